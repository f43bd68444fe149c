//! Header names: the case in which a backend gets them, and which of a client's it may get at all.

use std::fmt;

use crate::wire::offer::is_token;

/// Words of header names that are not written in title case.
const WORDS: &[(&str, &str)] = &[
    ("cf", "CF"),
    ("ch", "CH"),
    ("csrf", "CSRF"),
    ("dnt", "DNT"),
    ("etag", "ETag"),
    ("gpc", "GPC"),
    ("ip", "IP"),
    ("md5", "MD5"),
    ("te", "TE"),
    ("ua", "UA"),
    ("websocket", "WebSocket"),
    ("www", "WWW"),
    ("xsrf", "XSRF"),
];

/// Names that mean one hop alone (RFC 9110 §7.6.1), or frame a message.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a client's header is not for backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPassed {
    /// No name of a header (RFC 9110 §5.1).
    NoName,
    /// It means the connection between client and gateway alone.
    HopByHop,
    /// The gateway writes it itself, from what it knows.
    Own,
    /// It belongs to the WebSocket handshake, which is the gateway's, or looks as if it did.
    Handshake,
}

impl fmt::Display for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoName => "not a header's name",
            Self::HopByHop => "means one connection alone",
            Self::Own => "is written by the gateway itself",
            Self::Handshake => "belongs to the WebSocket handshake",
        })
    }
}

/// Whether a client's header of this name, in whatever case, may be passed on to a backend when its owner asks for it.
///
/// # Errors
/// Why not.
pub fn check_passed(name: &str) -> Result<(), NotPassed> {
    if !is_token(name.as_bytes()) {
        return Err(NotPassed::NoName);
    }
    let name = dashed(name);
    if HOP_BY_HOP.contains(&name.as_str()) {
        return Err(NotPassed::HopByHop);
    }
    if name.starts_with("sec-websocket-") || is_key_lookalike(&name) {
        return Err(NotPassed::Handshake);
    }
    let forwarded = matches!(name.as_str(), "host" | "forwarded" | "x-real-ip")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-client-cert-");
    if forwarded { Err(NotPassed::Own) } else { Ok(()) }
}

/// Whether a name ends as the key's does without being it: servers that search the head as one text take its value for
/// the key. Underscores count as dashes, as they do for servers that turn names into variables.
pub(in crate::wire) fn is_key_lookalike(name: &str) -> bool {
    const KEY: &str = "sec-websocket-key";
    let Some(start) = name.len().checked_sub(KEY.len()) else { return false };
    let alike = |(have, key): (&u8, &u8)| have.eq_ignore_ascii_case(key) || (*have == b'_' && *key == b'-');
    name.as_bytes()[start..].iter().zip(KEY.as_bytes()).all(alike) && !name.eq_ignore_ascii_case(KEY)
}

fn dashed(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// A name in the case of its specification: `sec-websocket-key` becomes `Sec-WebSocket-Key`.
#[must_use]
pub fn canonical(name: &str) -> String {
    let words: Vec<String> = name.split('-').map(word).collect();
    words.join("-")
}

fn word(word: &str) -> String {
    if let Some((_, odd)) = WORDS.iter().find(|(plain, _)| plain.eq_ignore_ascii_case(word)) {
        return (*odd).to_owned();
    }
    let mut word = word.to_ascii_lowercase();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_case_of_their_specifications() {
        for name in [
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Protocol",
            "X-Real-IP",
            "X-Forwarded-For",
            "DNT",
            "ETag",
            "Cookie",
            "User-Agent",
            "Sec-Fetch-Mode",
            "Sec-CH-UA-Mobile",
            "Content-MD5",
            "CF-Connecting-IP",
            "X-CSRF-Token",
            "X-Requested-With",
            "X--A",
            "X_odd",
        ] {
            for written in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(canonical(&written), name);
            }
        }
    }

    #[test]
    fn what_is_the_gateways_own_is_not_passed() {
        for name in ["Accept", "X-Other", "Referer", "Sec-Fetch-Mode", "CF-Connecting-IP", "Cookie"] {
            assert_eq!(check_passed(name), Ok(()), "{name}");
        }
        for (name, why) in [
            ("", NotPassed::NoName),
            ("a b", NotPassed::NoName),
            ("a:", NotPassed::NoName),
            ("Connection", NotPassed::HopByHop),
            ("transfer-encoding", NotPassed::HopByHop),
            ("Transfer_Encoding", NotPassed::HopByHop),
            ("Sec-WebSocket-Extensions", NotPassed::Handshake),
            ("Sec_WebSocket_Key", NotPassed::Handshake),
            ("X-Sec-WebSocket-Key", NotPassed::Handshake),
            ("Host", NotPassed::Own),
            ("x-forwarded-port", NotPassed::Own),
            ("Forwarded", NotPassed::Own),
            ("X-Client_Cert-Subject", NotPassed::Own),
        ] {
            assert_eq!(check_passed(name), Err(why), "{name}");
        }
    }

    #[test]
    fn a_lookalike_is_not_the_key() {
        for name in [
            "x-sec-websocket-key",
            "X-Sec-WebSocket-Key",
            "sec_websocket_key",
            "asec-websocket-key",
            "ésec-websocket_key",
        ] {
            assert!(is_key_lookalike(name), "{name}");
        }
        for name in ["sec-websocket-key", "Sec-WebSocket-Key", "sec-websocket-key1", "sec-websocket-accept", "key"] {
            assert!(!is_key_lookalike(name), "{name}");
        }
    }
}
