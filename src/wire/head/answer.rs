//! A backend's answer to the gateway's upgrade request, from bytes (RFC 6455 §4.1, RFC 9112 §4).
//!
//! Hand-written servers write heads in their own way: any reason phrase or none, no space behind a colon, bare line
//! feeds, HTTP/1.0. All of it is read; what makes a WebSocket of it, the accept value above all, has to be right.

use crate::wire::request_head::MAX_HEADERS;

/// Bytes of a backend's answer head at most.
pub const ANSWER_MAX: usize = 16 * 1024;
/// Bytes of a refusal's body that are passed on at most.
pub const BODY_MAX: usize = 16 * 1024;

/// What a right answer has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The accept value that answers the gateway's key.
    pub accept: &'a str,
    /// The subprotocols that were offered, of which it may name one. `None`: they are none of the backend's business,
    /// and what it says of them is not heard.
    pub offered: Option<&'a [String]>,
}

/// What a backend answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 101, and everything about it is right.
    Switched {
        /// The subprotocol it chose among those offered.
        protocol: Option<String>,
    },
    /// A 4xx of its own.
    Refused(Refused),
}

/// A backend's 4xx, as far as it is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 400 to 499.
    pub status: u16,
    /// Content-Type, if it was given.
    pub content_type: Option<String>,
    /// WWW-Authenticate, if it was given.
    pub authenticate: Option<String>,
    /// Bytes of the body that follows the head, as announced; 0 when it was not, or was over [`BODY_MAX`].
    pub body: usize,
}

/// Why an answer is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// Not HTTP/1.
    NotHttp,
    /// A head over [`ANSWER_MAX`].
    TooLong,
    /// More than [`MAX_HEADERS`] headers.
    TooMany,
    /// A head without its empty line, or a body shorter than was announced, behind which nothing came. Never from
    /// [`answer`], which knows no end.
    Unfinished,
    /// A status that neither switches nor refuses.
    Status(u16),
    /// 101 without `Upgrade: websocket`.
    Upgrade,
    /// 101 without `Connection: Upgrade`.
    Connection,
    /// 101 with an accept value that does not answer our key, or with none.
    Accept,
    /// 101 with an extension that was never offered.
    Extension,
    /// 101 with a subprotocol that was not offered.
    Protocol,
}

impl std::fmt::Display for Nonsense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::TooLong => write!(f, "the answer's head is over {ANSWER_MAX} bytes"),
            Self::TooMany => write!(f, "the answer's head has more than {MAX_HEADERS} headers"),
            Self::Unfinished => f.write_str("the answer has no end"),
            Self::Status(status) => write!(f, "status {status} instead of 101"),
            Self::Upgrade => f.write_str("101 without Upgrade: websocket"),
            Self::Connection => f.write_str("101 without Connection: Upgrade"),
            Self::Accept => f.write_str("101 with a wrong Sec-WebSocket-Accept"),
            Self::Extension => f.write_str("101 with an extension that was not offered"),
            Self::Protocol => f.write_str("101 with a subprotocol that was not offered"),
        }
    }
}

/// Reads an answer; `None` until its head is complete. With it comes the size of the head: bytes behind it are the
/// body of a refusal, or frames.
///
/// # Errors
/// Anything that is neither a right 101 nor a 4xx.
pub fn answer(bytes: &[u8], expected: &Expected<'_>) -> Result<Option<(Answer, usize)>, Nonsense> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let mut parser = httparse::ParserConfig::default();
    parser
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let size = match parser.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() >= ANSWER_MAX => return Err(Nonsense::TooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Nonsense::TooMany),
        Err(_) => return Err(Nonsense::NotHttp),
    };
    let headers = Headers(response.headers);
    let answer = match response.code.unwrap_or(0) {
        101 => headers.switched(expected)?,
        status @ 400..=499 => Answer::Refused(headers.refused(status)),
        status => return Err(Nonsense::Status(status)),
    };
    Ok(Some((answer, size)))
}

/// The status of an answer whose head need not be complete; `None` while it is not known.
#[must_use]
pub fn status(bytes: &[u8]) -> Option<u16> {
    let mut response = httparse::Response::new(&mut []);
    // Whether the head goes on, or has headers that there is no room for here, its first line has been read.
    let _ = response.parse(bytes);
    response.code
}

struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .filter_map(|header| std::str::from_utf8(header.value).ok())
            .map(str::trim)
    }

    fn has_token(&self, name: &'a str, token: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// RFC 6455 §4.1: the client must fail the connection when any of this is wrong.
    fn switched(&self, expected: &Expected<'_>) -> Result<Answer, Nonsense> {
        if !self.has_token("Upgrade", "websocket") {
            return Err(Nonsense::Upgrade);
        }
        if !self.has_token("Connection", "upgrade") {
            return Err(Nonsense::Connection);
        }
        let mut accepts = self.all("Sec-WebSocket-Accept");
        if accepts.next() != Some(expected.accept) || accepts.next().is_some() {
            return Err(Nonsense::Accept);
        }
        if self.all("Sec-WebSocket-Extensions").any(|value| !value.is_empty()) {
            return Err(Nonsense::Extension);
        }
        let Some(offered) = expected.offered else { return Ok(Answer::Switched { protocol: None }) };
        let mut protocols = self.all("Sec-WebSocket-Protocol");
        let protocol = protocols.next().map(str::to_owned);
        let is_offered = protocol.as_ref().is_none_or(|protocol| offered.contains(protocol));
        if !is_offered || protocols.next().is_some() {
            return Err(Nonsense::Protocol);
        }
        Ok(Answer::Switched { protocol })
    }

    fn refused(&self, status: u16) -> Refused {
        let chunked = self.all("Transfer-Encoding").next().is_some();
        let length = self.all("Content-Length").next().and_then(|value| value.parse().ok()).unwrap_or(0);
        let one = |name| self.all(name).next().map(str::to_owned);
        Refused {
            status,
            content_type: one("Content-Type"),
            authenticate: one("WWW-Authenticate"),
            body: if chunked || length > BODY_MAX { 0 } else { length },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn read(bytes: &[u8], offered: &[String]) -> Result<Option<(Answer, usize)>, Nonsense> {
        answer(bytes, &Expected { accept: ACCEPT, offered: Some(offered) })
    }

    #[test]
    fn php_ways_of_saying_101_are_understood() {
        for head in [
            format!(
                "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept:{ACCEPT}\r\n\r\n"
            ),
            format!(
                "HTTP/1.1 101 \r\nconnection: keep-alive, upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {ACCEPT} \r\n\r\n"
            ),
        ] {
            let bytes = [head.as_bytes(), b"\x81\x02hi"].concat();
            let got = read(&bytes, &[]);
            assert_eq!(got, Ok(Some((Answer::Switched { protocol: None }, head.len()))), "{head}");
            for cut in 0..head.len() {
                assert_eq!(read(&bytes[..cut], &[]), Ok(None), "{cut}");
            }
        }
    }

    #[test]
    fn anything_else_never_becomes_a_tunnel() {
        let base = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
        let cases = [
            ("garbage\r\n\r\n".to_owned(), Nonsense::NotHttp),
            ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), Nonsense::Status(200)),
            ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n".to_owned(), Nonsense::Status(302)),
            ("HTTP/1.1 503 Busy\r\n\r\n".to_owned(), Nonsense::Status(503)),
            (format!("{base}\r\n"), Nonsense::Accept),
            (format!("{base}Sec-WebSocket-Accept: wrong\r\n\r\n"), Nonsense::Accept),
            (
                format!("{base}Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
                Nonsense::Extension,
            ),
            (
                format!("{base}Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: soap\r\n\r\n"),
                Nonsense::Protocol,
            ),
            (
                format!("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"),
                Nonsense::Upgrade,
            ),
            (
                format!("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"),
                Nonsense::Connection,
            ),
        ];
        for (head, nonsense) in cases {
            assert_eq!(read(head.as_bytes(), &["chat".to_owned()]), Err(nonsense), "{head}");
        }
        assert_eq!(read(&[b'H'; ANSWER_MAX], &[]), Err(Nonsense::NotHttp));
    }

    #[test]
    fn a_status_is_known_before_the_head_ends() {
        for (bytes, expected) in [
            ("", None),
            ("HTTP/1.1 40", None),
            ("HTTP/1.1 400", Some(400)),
            ("HTTP/1.0 403 Forbidden", Some(403)),
            ("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n", Some(101)),
            ("garbage", None),
        ] {
            assert_eq!(status(bytes.as_bytes()), expected, "{bytes}");
        }
    }

    #[test]
    fn the_head_is_bounded() {
        let many = format!("HTTP/1.1 101 x\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(read(many.as_bytes(), &[]), Err(Nonsense::TooMany));
        let long = format!("HTTP/1.1 101 x\r\nX: {}", "y".repeat(ANSWER_MAX));
        assert_eq!(read(long.as_bytes(), &[]), Err(Nonsense::TooLong));
    }

    #[test]
    fn what_nobody_asked_for_is_not_heard() {
        let head = format!(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\
             Sec-WebSocket-Protocol: soap\r\n\r\n"
        );
        let got = answer(head.as_bytes(), &Expected { accept: ACCEPT, offered: None });
        assert_eq!(got, Ok(Some((Answer::Switched { protocol: None }, head.len()))));
        assert_eq!(read(head.as_bytes(), &["chat".to_owned()]), Err(Nonsense::Protocol));
    }

    #[test]
    fn a_refusal_is_read_with_its_body() {
        let head = "HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
        let Ok(Some((Answer::Refused(refused), size))) = read(head.as_bytes(), &[]) else { panic!("refusal") };
        assert_eq!((refused.status, refused.body, size), (403, 5, head.len()));
    }
}
