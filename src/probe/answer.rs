//! What an upgrade request was answered with, in words that an operator can use. No I/O.

use std::fmt;

use crate::wire::head::{self, Answer, Expected, Nonsense};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// A right 101.
    Right {
        /// The subprotocol it names.
        protocol: Option<String>,
    },
    /// A 101 that accepts the extension.
    Extended,
    /// A 101 whose accept value belongs to another key, or to none.
    WrongAccept,
    /// A 101 that is wrong in another way, or no HTTP.
    Odd(Nonsense),
    /// Another status.
    Status(u16),
    /// The connection ended without an answer.
    Closed,
    /// Nothing came in time.
    Silent,
    /// There was no connection; why.
    NoConnection(String),
}

impl Answered {
    /// Reads what has come; `None`: more may follow. `over` says that nothing will.
    pub(super) fn read(bytes: &[u8], accept: &str, offered: &[String], over: bool) -> Option<(Self, usize)> {
        let answered = match head::answer(bytes, &Expected { accept, offered: Some(offered) }) {
            Ok(Some((Answer::Switched { protocol }, size))) => return Some((Self::Right { protocol }, size)),
            Ok(Some((Answer::Refused(refused), _))) => Self::Status(refused.status),
            Ok(None) if !over => return None,
            Ok(None) if bytes.is_empty() => Self::Closed,
            // Some servers leave out the end of their refusals' heads.
            Ok(None) => status(bytes).map_or(Self::Odd(Nonsense::NotHttp), Self::Status),
            Err(Nonsense::Accept) => Self::WrongAccept,
            Err(Nonsense::Extension) => Self::Extended,
            Err(Nonsense::Status(status)) => Self::Status(status),
            Err(nonsense) => Self::Odd(nonsense),
        };
        Some((answered, bytes.len()))
    }

    /// Whether it is a right 101.
    pub(super) const fn is_right(&self) -> bool {
        matches!(self, Self::Right { .. })
    }
}

fn status(bytes: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(bytes.get(..bytes.len().min(64))?).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.get(..3)?.parse().ok()
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right { .. } => f.write_str("accepted"),
            Self::Extended => f.write_str("101 that accepts the extension"),
            Self::WrongAccept => f.write_str("101 with a wrong Sec-WebSocket-Accept"),
            Self::Odd(nonsense) => nonsense.fmt(f),
            Self::Status(status) => write!(f, "refused with {status}"),
            Self::Closed => f.write_str("closed without an answer"),
            Self::Silent => f.write_str("no answer in time"),
            Self::NoConnection(why) => write!(f, "no connection: {why}"),
        }
    }
}

/// What the server calls itself in its 101: the value of `Server` or `X-Powered-By`.
pub(super) fn software(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let named = |wanted: &str| lines.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let (_, value) = named("Server").or_else(|| named("X-Powered-By"))?;
    // It goes to a terminal.
    Some(value.trim().chars().filter(|letter| !letter.is_control()).take(60).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n";

    fn read(text: &str, over: bool) -> Option<Answered> {
        Answered::read(text.as_bytes(), "a", &[], over).map(|(answered, _)| answered)
    }

    #[test]
    fn each_answer_has_its_name() {
        let right = format!("{RIGHT}\r\n");
        assert_eq!(read(&right, false), Some(Answered::Right { protocol: None }));
        assert_eq!(read(RIGHT, false), None);
        assert_eq!(read(&right.replace(": a", ": b"), false), Some(Answered::WrongAccept));
        assert_eq!(Answered::read(right.as_bytes(), "", &[], true).map(|read| read.0), Some(Answered::WrongAccept));
        let extended = format!("{RIGHT}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
        assert_eq!(read(&extended, false), Some(Answered::Extended));
        assert_eq!(read("HTTP/1.1 426 No\r\n\r\n", false), Some(Answered::Status(426)));
        assert_eq!(read("HTTP/1.1 500 No\r\n\r\n", false), Some(Answered::Status(500)));
        assert_eq!(read("HTTP/1.1 400 Bad Request", false), None);
        assert_eq!(read("HTTP/1.1 400 Bad Request", true), Some(Answered::Status(400)));
        assert_eq!(read("", true), Some(Answered::Closed));
        assert_eq!(read("hello\r\n\r\n", true), Some(Answered::Odd(Nonsense::NotHttp)));
    }

    #[test]
    fn a_server_is_asked_for_its_name_and_nothing_more() {
        assert_eq!(software(b"x\r\nserver: workerman/5\r\n\r\n").as_deref(), Some("workerman/5"));
        assert_eq!(software(b"x\r\nX-Powered-By: Ra\x1btchet\r\n").as_deref(), Some("Ratchet"));
        assert_eq!(software(RIGHT.as_bytes()), None);
    }
}
