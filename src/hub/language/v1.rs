//! The language `wsgate.chat.v1`: one JSON object in each text frame, both ways.

pub(crate) mod event;
pub(crate) mod request;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod trial;

/// The subprotocol that asks for it.
pub(crate) const NAME: &str = "wsgate.chat.v1";

/// Bytes that a text takes in JSON at most: of what serde_json escapes, control characters are the longest.
#[must_use]
pub(crate) fn longest(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'"' | b'\\' => 1,
        0..0x20 | 0x7f => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(more).sum::<usize>()
}
