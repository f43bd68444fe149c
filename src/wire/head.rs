//! The gateway's own upgrade request as bytes, and a backend's answer from bytes (RFC 6455 §4.1, RFC 9112).
//!
//! Names are written in the case of their specifications: hand-written PHP servers search the head for
//! `Sec-WebSocket-Key: ` to the letter, and neither lower case nor title case will do.

mod answer;
mod budget;
mod name;

pub use self::answer::{ANSWER_MAX, Answer, BODY_MAX, Expected, Nonsense, Refused, answer, status};
pub use self::budget::OverBudget;
pub(super) use self::name::is_key_lookalike;
pub use self::name::{NotPassed, canonical, check_passed};

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use http::header::{self, HeaderMap, HeaderValue};

use self::budget::Line;

/// Client headers that every backend gets to see, in the order in which it gets them. What is neither here nor among
/// the owner's own stays at the edge: hop-by-hop headers, offers of extensions, and whatever claims to be forwarded.
const PASSED: [&str; 3] = ["authorization", "user-agent", "accept-language"];

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

impl Forwarded<'_> {
    /// The value of X-Forwarded-For.
    #[must_use]
    pub fn hops(&self) -> String {
        match self.chain {
            Some(chain) => format!("{chain}, {}", self.peer),
            None => self.client.to_string(),
        }
    }

    /// X-Forwarded-For, -Proto and -Host, X-Real-IP, and Forwarded (RFC 7239).
    #[must_use]
    pub fn lines(&self) -> [(&'static str, String); 5] {
        let Self { client, secure, host, .. } = self;
        let scheme = if *secure { "https" } else { "http" };
        let node = match client {
            IpAddr::V4(address) => address.to_string(),
            // RFC 7239 §6: an IPv6 address stands in brackets, and so in quotes.
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        [
            ("X-Forwarded-For", self.hops()),
            ("X-Forwarded-Proto", scheme.to_owned()),
            ("X-Forwarded-Host", (*host).to_owned()),
            ("X-Real-IP", client.to_string()),
            ("Forwarded", format!("for={node};host=\"{host}\";proto={scheme}")),
        ]
    }
}

/// What of a client's request a backend gets to see.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Bytes of the whole head at most, its empty line included; `None`: as long as it comes.
    pub budget: Option<usize>,
    /// Cookies that stay whatever the budget; names, in their own case (RFC 6265 §4.1.1).
    pub cookies: &'a [String],
    /// Client headers to pass besides those that every backend gets; see [`check_passed`].
    pub pass: &'a [String],
    /// Whether the client's offer of subprotocols is passed on.
    pub subprotocols: bool,
}

/// A request that is to be written for a backend.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Path and query.
    pub target: &'a str,
    /// The gateway's own Sec-WebSocket-Key.
    pub key: &'a str,
    /// The client's headers.
    pub client: &'a HeaderMap,
    /// What is said of the client.
    pub forwarded: Forwarded<'a>,
    /// What is vouched for: lines of the gateway's own, in place of a client's of these names.
    pub vouched: &'a [(String, HeaderValue)],
    /// What of it is passed on.
    pub rules: Rules<'a>,
}

/// A whole request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// To be sent in one write.
    pub bytes: Vec<u8>,
    /// What was left out so that it fits: names of headers, and of cookies as `Cookie: name`.
    pub dropped: Vec<String>,
    /// Where the key stands.
    key: Range<usize>,
}

impl Head {
    /// The same with another key, for another connection (RFC 6455 §4.1 item 7: each has its own).
    #[must_use]
    pub fn with_key(&self, key: &str) -> Vec<u8> {
        [&self.bytes[..self.key.start], key.as_bytes(), &self.bytes[self.key.end..]].concat()
    }
}

/// The upgrade request for a backend. What servers cannot do without comes first: the key lies within the first 400
/// bytes as long as target and Host together have no more than 200.
///
/// # Errors
/// By how much it is over the budget when everything that may be left out is.
pub fn request(ask: &Ask<'_>) -> Result<Head, OverBudget> {
    let Ask { target, key, client, forwarded, vouched, rules } = ask;
    let first = format!("GET {target} HTTP/1.1\r\n");
    let mut lines = vec![
        Line::own("Host", forwarded.host),
        Line::own("Upgrade", "websocket"),
        Line::own("Connection", "Upgrade"),
        Line::own("Sec-WebSocket-Version", "13"),
        Line::own("Sec-WebSocket-Key", *key),
    ];
    // None of these lines may be left out.
    let key_end = first.len() + lines.iter().map(Line::len).sum::<usize>() - 2;
    lines.extend(["origin", "cookie"].into_iter().filter_map(|name| joined(client, name)));
    if rules.subprotocols {
        lines.extend(joined(client, header::SEC_WEBSOCKET_PROTOCOL.as_str()));
    }
    lines.extend(forwarded.lines().map(|(name, value)| Line::own(name, value)));
    lines.extend(
        vouched.iter().map(|(name, value)| Line { name: Cow::Owned(name.clone()), value: value.as_bytes().to_vec() }),
    );
    let own = rules.pass.iter().map(String::as_str).filter(|name| check_passed(name).is_ok());
    for name in PASSED.into_iter().chain(own) {
        if !lines.iter().any(|line| line.name.eq_ignore_ascii_case(name)) {
            lines.extend(joined(client, name));
        }
    }
    let dropped = match rules.budget {
        // Two bytes are the empty line's.
        Some(budget) => budget::fit(&mut lines, (first.len() + 2, budget), rules.cookies)?,
        None => Vec::new(),
    };
    let mut bytes = first.into_bytes();
    lines.iter().for_each(|line| line.write(&mut bytes));
    bytes.extend_from_slice(b"\r\n");
    Ok(Head { bytes, dropped, key: key_end - key.len()..key_end })
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

/// Several lines of one name become one: `; ` joins cookies (RFC 6265 §5.4), `, ` the rest (RFC 9110 §5.3). What is
/// empty is not written: there would be a blank behind its colon, or none.
fn joined(client: &HeaderMap, name: &str) -> Option<Line> {
    let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
    let values = client.get_all(name).iter().map(|value| value.as_bytes().trim_ascii());
    let values: Vec<&[u8]> = values.filter(|value| !value.is_empty()).collect();
    (!values.is_empty()).then(|| Line { name: Cow::Owned(canonical(name)), value: values.join(separator) })
}

#[cfg(test)]
mod tests;
