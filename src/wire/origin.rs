//! Web origins (RFC 6454): parsed into scheme, host and port, and compared as such, never as pieces of text.

use std::fmt;

use url::{Host, Url};

/// The origin of a request, from its `Origin` header or made from its own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The literal `null`: a sandboxed frame, a file, a redirect across origins.
    Null,
    /// Scheme, host and port (the scheme's default filled in).
    Tuple(Tuple),
}

/// An origin that is not `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    scheme: String,
    host: Host<String>,
    port: u16,
}

/// What an owner allows: one origin, every subdomain of one, or `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRule {
    /// The literal `null`.
    Null,
    /// This origin and no other.
    Exact(Tuple),
    /// Any host strictly below this domain (`https://*.example.com`), same scheme and port.
    Below(Tuple),
}

impl Origin {
    /// Reads the value of an `Origin` header (RFC 6454 §7.1); `None` when it is not a serialized origin.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value == "null" {
            return Some(Self::Null);
        }
        Tuple::parse(value).map(Self::Tuple)
    }

    /// The origin a page of this host itself has: `authority` is a Host header's value.
    #[must_use]
    pub fn of_host(scheme: &str, authority: &str) -> Option<Self> {
        Tuple::parse(&format!("{scheme}://{authority}")).map(Self::Tuple)
    }
}

impl Tuple {
    /// A serialized origin is scheme, host and port alone: anything behind them makes it something else.
    fn parse(value: &str) -> Option<Self> {
        let (_, authority) = value.split_once("://")?;
        if authority.contains(['/', '?', '#', '@', '\\']) || value.contains(char::is_whitespace) {
            return None;
        }
        let url = Url::parse(value).ok()?;
        let host = url.host()?.to_owned();
        let host = match host {
            // Opaque hosts of schemes that the URL standard does not know keep their case.
            Host::Domain(name) => Host::Domain(name.to_ascii_lowercase()),
            other => other,
        };
        let port = url.port_or_known_default().unwrap_or(0);
        Some(Self { scheme: url.scheme().to_owned(), host, port })
    }
}

impl OriginRule {
    /// Reads a rule as the configuration writes it; `None` when it is neither an origin, `null`, nor `scheme://*.domain`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value == "null" {
            return Some(Self::Null);
        }
        let (scheme, rest) = value.split_once("://")?;
        match rest.strip_prefix("*.") {
            None => Tuple::parse(value).map(Self::Exact),
            Some(domain) => {
                let tuple = Tuple::parse(&format!("{scheme}://{domain}"))?;
                matches!(tuple.host, Host::Domain(_)).then_some(Self::Below(tuple))
            }
        }
    }

    /// Whether this rule lets the origin in.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Null, Origin::Null) => true,
            (Self::Exact(rule), Origin::Tuple(given)) => rule == given,
            (Self::Below(rule), Origin::Tuple(given)) => {
                rule.scheme == given.scheme && rule.port == given.port && is_below(&rule.host, &given.host)
            }
            (Self::Null, Origin::Tuple(_)) | (Self::Exact(_) | Self::Below(_), Origin::Null) => false,
        }
    }
}

/// As [`OriginRule::parse`] reads it.
impl fmt::Display for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (below, tuple) = match self {
            Self::Null => return f.write_str("null"),
            Self::Exact(tuple) => ("", tuple),
            Self::Below(tuple) => ("*.", tuple),
        };
        let Tuple { scheme, host, port } = tuple;
        write!(f, "{scheme}://{below}{host}")?;
        match (scheme.as_str(), port) {
            (_, 0) | ("http" | "ws", 80) | ("https" | "wss", 443) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// Whole labels are compared: `evilexample.com` is not below `example.com`, and neither is `example.com` itself.
fn is_below(domain: &Host<String>, host: &Host<String>) -> bool {
    match (domain, host) {
        (Host::Domain(domain), Host::Domain(host)) => {
            host.strip_suffix(domain.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, origin: &str) -> bool {
        let rule = OriginRule::parse(rule).expect("rule");
        Origin::parse(origin).is_some_and(|origin| rule.allows(&origin))
    }

    #[test]
    fn default_ports_and_case_are_the_same_origin() {
        assert!(allows("https://example.com", "https://example.com"));
        assert!(allows("https://example.com:443", "https://EXAMPLE.com"));
        assert!(!allows("https://example.com", "http://example.com"));
        assert!(!allows("https://example.com", "https://example.com:8443"));
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in ["null", "https://example.com", "http://a.test:8080", "https://*.example.com", "http://[::1]:81"] {
            assert_eq!(OriginRule::parse(text).expect("rule").to_string(), text);
        }
    }

    #[test]
    fn no_piece_of_text_is_enough() {
        for evil in [
            "https://example.com.evil.net",
            "https://evilexample.com",
            "https://evil.net/https://example.com",
            "https://example.com@evil.net",
            "https://evil.net?example.com",
            "https://example.com/",
            "https://example.com, https://evil.net",
            "null",
            "",
        ] {
            assert!(!allows("https://example.com", evil), "{evil}");
        }
    }

    #[test]
    fn wildcard_is_whole_labels_below() {
        assert!(allows("https://*.example.com", "https://a.example.com"));
        assert!(allows("https://*.example.com", "https://a.b.example.com"));
        for evil in
            ["https://example.com", "https://evilexample.com", "https://a.example.com.evil.net", "https://.example.com"]
        {
            assert!(!allows("https://*.example.com", evil), "{evil}");
        }
        assert!(OriginRule::parse("https://*.1.2.3.4").is_none());
    }

    #[test]
    fn null_must_be_named() {
        assert!(allows("null", "null"));
        assert!(!allows("https://example.com", "null"));
    }
}
