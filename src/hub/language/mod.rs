//! How a hub talks with its clients: plain text for anyone, or JSON with all that a chat needs.

pub(crate) mod plain;
pub(crate) mod v1;

/// What one client speaks, for as long as it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// Text in, `NAME: text` out.
    Plain,
    /// `wsgate.chat.v1`.
    V1,
}

impl Language {
    /// The language among the subprotocols that a client offers, and the one to answer with: none for plain text, whatever
    /// else was offered.
    #[must_use]
    pub(crate) fn among(offered: &[String]) -> (Self, Option<&'static str>) {
        match offered.iter().any(|name| name == v1::NAME) {
            true => (Self::V1, Some(v1::NAME)),
            false => (Self::Plain, None),
        }
    }
}
