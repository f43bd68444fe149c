//! The gateway's own upgrade request as bytes, and a backend's answer from bytes (RFC 6455 §4.1, RFC 9112).
//!
//! Names are written in the case of their specifications: hand-written PHP servers search the head for
//! `Sec-WebSocket-Key: ` to the letter, and neither lower case nor title case will do.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName};

/// Client headers that a backend gets to see, in the case in which it gets them. What is not here stays at the edge:
/// hop-by-hop headers, offers of extensions, and whatever claims to be forwarded.
const PASSED: &[(&str, HeaderName)] = &[
    ("Origin", header::ORIGIN),
    ("Sec-WebSocket-Protocol", header::SEC_WEBSOCKET_PROTOCOL),
    ("Cookie", header::COOKIE),
    ("Authorization", header::AUTHORIZATION),
    ("User-Agent", header::USER_AGENT),
    ("Accept-Language", header::ACCEPT_LANGUAGE),
];

/// What the gateway says of the client whom it speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Forwarded<'a> {
    /// The client's own address.
    pub client: IpAddr,
    /// X-Forwarded-For as a trusted proxy sent it; the peer's address is added behind it.
    pub chain: Option<&'a str>,
    /// The peer that the gateway accepted.
    pub peer: IpAddr,
    /// Whether the client came over TLS.
    pub secure: bool,
    /// The Host it asked for.
    pub host: &'a str,
}

/// The upgrade request for a backend: `target` is path and query, `key` the gateway's own Sec-WebSocket-Key.
#[must_use]
pub fn request(target: &str, key: &str, client: &HeaderMap, forwarded: &Forwarded<'_>) -> Vec<u8> {
    let mut head = String::with_capacity(512);
    let _ = write!(
        head,
        "GET {target} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
        forwarded.host
    );
    let mut head = head.into_bytes();
    for (name, header) in PASSED {
        append_joined(&mut head, name, client, header);
    }
    append_forwarded(&mut head, forwarded);
    head.extend_from_slice(b"\r\n");
    head
}

/// The shortest upgrade request there is, on nobody's behalf: for seeing whether a backend is well.
#[must_use]
pub fn bare_request(target: &str, host: &str, key: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Several lines of one name become one: `; ` joins cookies (RFC 6265 §5.4), `, ` the rest (RFC 9110 §5.3).
fn append_joined(head: &mut Vec<u8>, name: &str, client: &HeaderMap, header: &HeaderName) {
    let separator: &[u8] = if *header == header::COOKIE { b"; " } else { b", " };
    let mut values = client.get_all(header).iter();
    let Some(first) = values.next() else { return };
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(first.as_bytes());
    for value in values {
        head.extend_from_slice(separator);
        head.extend_from_slice(value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
}

/// X-Forwarded-For, -Proto and -Host, X-Real-IP, and Forwarded (RFC 7239).
fn append_forwarded(head: &mut Vec<u8>, forwarded: &Forwarded<'_>) {
    let Forwarded { client, chain, peer, secure, host } = forwarded;
    let scheme = if *secure { "https" } else { "http" };
    let chain = match chain {
        Some(chain) => format!("{chain}, {peer}"),
        None => client.to_string(),
    };
    let node = match client {
        IpAddr::V4(address) => address.to_string(),
        // RFC 7239 §6: an IPv6 address stands in brackets, and so in quotes.
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let text = format!(
        "X-Forwarded-For: {chain}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {host}\r\nX-Real-IP: {client}\r\n\
         Forwarded: for={node};host=\"{host}\";proto={scheme}\r\n"
    );
    head.extend_from_slice(text.as_bytes());
}

/// Bytes of a backend's answer head at most.
pub const ANSWER_MAX: usize = 16 * 1024;
/// Bytes of a refusal's body that are passed on at most.
pub const BODY_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;

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
pub fn answer(bytes: &[u8], accept: &str, offered: &[String]) -> Result<Option<(Answer, usize)>, Nonsense> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let mut parser = httparse::ParserConfig::default();
    parser.allow_spaces_after_header_name_in_responses(true).ignore_invalid_headers_in_responses(true);
    let size = match parser.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() >= ANSWER_MAX => return Err(Nonsense::TooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Nonsense::NotHttp),
    };
    let headers = Headers(response.headers);
    let answer = match response.code.unwrap_or(0) {
        101 => headers.switched(accept, offered)?,
        status @ 400..=499 => Answer::Refused(headers.refused(status)),
        status => return Err(Nonsense::Status(status)),
    };
    Ok(Some((answer, size)))
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
    fn switched(&self, accept: &str, offered: &[String]) -> Result<Answer, Nonsense> {
        if !self.has_token("Upgrade", "websocket") {
            return Err(Nonsense::Upgrade);
        }
        if !self.has_token("Connection", "upgrade") {
            return Err(Nonsense::Connection);
        }
        let mut accepts = self.all("Sec-WebSocket-Accept");
        if accepts.next() != Some(accept) || accepts.next().is_some() {
            return Err(Nonsense::Accept);
        }
        if self.all("Sec-WebSocket-Extensions").any(|value| !value.is_empty()) {
            return Err(Nonsense::Extension);
        }
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
    use http::HeaderValue;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn forwarded() -> Forwarded<'static> {
        let client = IpAddr::from([203, 0, 113, 7]);
        Forwarded { client, chain: None, peer: client, secure: true, host: "chat.example" }
    }

    #[test]
    fn names_are_written_in_canonical_case_and_the_key_comes_early() {
        let mut client = HeaderMap::new();
        client.insert(header::ORIGIN, HeaderValue::from_static("https://chat.example"));
        client.append(header::COOKIE, HeaderValue::from_static("a=1"));
        client.append(header::COOKIE, HeaderValue::from_static("b=2"));
        client.insert("x-sec-websocket-key", HeaderValue::from_static("spoof"));
        client.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
        client.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        let head = String::from_utf8(request("/ws?a=b", "KEY", &client, &forwarded())).expect("text");
        let expected = "GET /ws?a=b HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: KEY\r\nSec-WebSocket-Version: 13\r\nOrigin: https://chat.example\r\nCookie: a=1; b=2\r\n\
            X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: chat.example\r\n\
            X-Real-IP: 203.0.113.7\r\nForwarded: for=203.0.113.7;host=\"chat.example\";proto=https\r\n\r\n";
        assert_eq!(head, expected);
    }

    #[test]
    fn a_trusted_chain_is_carried_on() {
        let mut said = forwarded();
        said.chain = Some("203.0.113.7, 10.0.0.2");
        said.peer = IpAddr::from([10, 0, 0, 1]);
        let head = String::from_utf8(request("/", "KEY", &HeaderMap::new(), &said)).expect("text");
        assert!(head.contains("X-Forwarded-For: 203.0.113.7, 10.0.0.2, 10.0.0.1\r\n"), "{head}");
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
            let got = answer(&bytes, ACCEPT, &[]);
            assert_eq!(got, Ok(Some((Answer::Switched { protocol: None }, head.len()))), "{head}");
            for cut in 0..head.len() {
                assert_eq!(answer(&bytes[..cut], ACCEPT, &[]), Ok(None), "{cut}");
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
            assert_eq!(answer(head.as_bytes(), ACCEPT, &["chat".to_owned()]), Err(nonsense), "{head}");
        }
        assert_eq!(answer(&[b'H'; ANSWER_MAX], ACCEPT, &[]), Err(Nonsense::NotHttp));
    }

    #[test]
    fn a_refusal_is_read_with_its_body() {
        let head = "HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
        let Ok(Some((Answer::Refused(refused), size))) = answer(head.as_bytes(), ACCEPT, &[]) else {
            panic!("refusal")
        };
        assert_eq!((refused.status, refused.body, size), (403, 5, head.len()));
    }
}
