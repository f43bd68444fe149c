//! The probe's upgrade requests: the gateway's own to the letter, and what other programs make of it. No I/O.

use http::header::{HeaderMap, HeaderValue, ORIGIN};

use super::place::Place;
use crate::client::{key, random};
use crate::wire::head::{self, Ask, Forwarded, Rules};
use crate::wire::offer::accept_for;

/// An upgrade request, and what its answer must have.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The pieces in which it is written, the last one with whatever follows the head.
    pub(super) pieces: Vec<Vec<u8>>,
    /// The right Sec-WebSocket-Accept.
    pub(super) accept: String,
    /// The subprotocols that are offered.
    pub(super) offered: Vec<String>,
}

/// What the request asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Path and query.
    pub(super) target: String,
    /// The Host.
    pub(super) host: String,
    /// The Origin, if there is to be one.
    pub(super) origin: Option<String>,
}

impl Asked {
    /// What clients of this server ask for.
    pub(super) fn of(place: &Place, origin: &str) -> Self {
        Self { target: place.target.clone(), host: place.host.clone(), origin: Some(origin.to_owned()) }
    }
}

impl Request {
    /// The request as the gateway writes it to a backend.
    pub(super) fn canonical(asked: &Asked) -> Self {
        let key = key(random());
        let mut client = HeaderMap::new();
        if let Some(origin) = asked.origin.as_deref().and_then(|origin| HeaderValue::from_str(origin).ok()) {
            client.insert(ORIGIN, origin);
        }
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        let forwarded = Forwarded { client: here, chain: None, peer: here, secure: true, host: &asked.host };
        let rules = Rules { budget: None, cookies: &[], pass: &[], subprotocols: false };
        let ask = Ask { target: &asked.target, key: &key, client: &client, forwarded, rules };
        // Without a budget nothing is over it.
        let head = head::request(&ask).map(|head| head.bytes).unwrap_or_default();
        Self { pieces: vec![head], accept: accept_for(&key), offered: Vec::new() }
    }

    /// With one more header line, the last of all.
    pub(super) fn with(mut self, line: &str) -> Self {
        if let Some(head) = self.pieces.last_mut() {
            head.truncate(head.len() - 2);
            head.extend_from_slice(line.as_bytes());
            head.extend_from_slice(b"\r\n\r\n");
        }
        self
    }

    /// With an offer of this subprotocol.
    pub(super) fn offering(mut self, protocol: &str) -> Self {
        self.offered.push(protocol.to_owned());
        self.with(&format!("Sec-WebSocket-Protocol: {protocol}"))
    }

    /// Filled up with a cookie until its head has so many bytes; one that is longer already stays as it is. A rest of
    /// it that is taken for frames is text, without a mask: every byte of it is an `a`.
    pub(super) fn padded(self, size: usize) -> Self {
        const AROUND: usize = "Cookie: wsgate=\r\n".len();
        match size.checked_sub(self.len() + AROUND) {
            Some(left) => self.with(&format!("Cookie: wsgate={}", "a".repeat(left))),
            None => self,
        }
    }

    /// With these bytes behind it, in the same write.
    pub(super) fn followed_by(mut self, bytes: &[u8]) -> Self {
        if let Some(head) = self.pieces.last_mut() {
            head.extend_from_slice(bytes);
        }
        self
    }

    /// In two pieces, cut before the key: who reads only once does not see it.
    pub(super) fn in_two(mut self) -> Self {
        const KEY: &[u8] = b"Sec-WebSocket-Key";
        if let [head] = &mut self.pieces[..] {
            let at = head.windows(KEY.len()).position(|part| part == KEY).unwrap_or(head.len() / 2);
            let rest = head.split_off(at);
            self.pieces.push(rest);
        }
        self
    }

    /// With names in lower case, as HTTP/2 has them and proxies pass them on.
    pub(super) fn in_lower_case(self) -> Self {
        self.with_names(|name| format!("{}: ", name.to_ascii_lowercase()))
    }

    /// With names in title case: `Sec-Websocket-Key`.
    pub(super) fn in_title_case(self) -> Self {
        self.with_names(|name| {
            let words = name.split('-').map(|word| {
                let (first, rest) = word.split_at(word.len().min(1));
                format!("{}{}", first.to_ascii_uppercase(), rest.to_ascii_lowercase())
            });
            format!("{}: ", words.collect::<Vec<_>>().join("-"))
        })
    }

    /// Without the space behind the colon, which RFC 9112 §5 does not ask for.
    pub(super) fn without_spaces(self) -> Self {
        self.with_names(|name| format!("{name}:"))
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    fn with_names(mut self, write: impl Fn(&str) -> String) -> Self {
        for piece in &mut self.pieces {
            let text = String::from_utf8_lossy(piece).into_owned();
            let lines = text.split("\r\n").map(|line| match line.split_once(": ") {
                Some((name, value)) => format!("{}{value}", write(name)),
                None => line.to_owned(),
            });
            *piece = lines.collect::<Vec<_>>().join("\r\n").into_bytes();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical() -> Request {
        let origin = Some("https://a".to_owned());
        Request::canonical(&Asked { target: "/x".to_owned(), host: "a:1".to_owned(), origin })
    }

    fn text(request: &Request) -> String {
        String::from_utf8(request.pieces.concat()).expect("text")
    }

    #[test]
    fn it_is_the_gateways_own() {
        let request = canonical();
        let text = text(&request);
        assert!(text.starts_with("GET /x HTTP/1.1\r\nHost: a:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
        assert!(text.contains("\r\nSec-WebSocket-Key: ") && text.contains("\r\nOrigin: https://a\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn each_disfigurement_leaves_the_rest_as_it_is() {
        let request = canonical();
        let lower = text(&request.clone().in_lower_case());
        assert!(lower.contains("\r\nsec-websocket-key: ") && lower.starts_with("GET /x HTTP/1.1\r\nhost: a:1\r\n"));
        let title = text(&request.clone().in_title_case());
        assert!(title.contains("\r\nSec-Websocket-Key: ") && title.contains("\r\nOrigin: https://a\r\n"));
        let cramped = text(&request.clone().without_spaces());
        assert!(cramped.contains("\r\nSec-WebSocket-Key:") && !cramped.contains("Key: "));
        assert_eq!(text(&request.clone().in_two()), text(&request));
        let pieces = request.clone().in_two().pieces;
        assert!(pieces.len() == 2 && pieces[1].starts_with(b"Sec-WebSocket-Key: "));
    }

    #[test]
    fn padding_is_exact_and_comes_behind_the_key() {
        let request = canonical().padded(1000);
        assert_eq!(request.len(), 1000);
        let text = text(&request);
        assert!(text.find("Sec-WebSocket-Key") < text.find("Cookie: wsgate=aaa") && text.ends_with("aa\r\n\r\n"));
        assert_eq!(canonical().padded(10).len(), canonical().len());
    }
}
