//! The gateway's own upgrade request as bytes, and a backend's answer from bytes (RFC 6455 §4.1, RFC 9112).
//!
//! Names are written in the case of their specifications: hand-written PHP servers search the head for
//! `Sec-WebSocket-Key: ` to the letter, and neither lower case nor title case will do.

mod answer;

pub use self::answer::{ANSWER_MAX, Answer, BODY_MAX, Nonsense, Refused, answer};

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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

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
}
