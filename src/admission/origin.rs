//! Whether the page that opens a WebSocket may: the Origin header against the route's rules (RFC 6455 §10.2).

use http::HeaderMap;
use http::header::ORIGIN;

use crate::config::Origins;
use crate::wire::origin::Origin;

/// Why an origin was refused; each is answered with 403 (RFC 6455 §4.2.2 item 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginRefused {
    /// More than one `Origin` header (RFC 6454 §7.3: a user agent sends at most one).
    Twice,
    /// No `Origin`, where the route requires one.
    Absent,
    /// An `Origin` header without a value.
    Empty,
    /// A value that is no serialized origin (RFC 6454 §6.2).
    Unreadable,
    /// An origin that is not among those allowed.
    NotAllowed,
}

impl OriginRefused {
    /// What was wrong, in one plain line without its line end.
    #[must_use]
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::Twice => "the request has more than one Origin",
            Self::Absent => "a request without Origin is not allowed here",
            Self::Empty => "the request's Origin is empty",
            Self::Unreadable => "the request's Origin is not an origin",
            Self::NotAllowed => "pages of this Origin are not allowed here",
        }
    }

    /// The name under which it is counted; stable.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Twice => "origin_twice",
            Self::Absent => "origin_absent",
            Self::Empty => "origin_empty",
            Self::Unreadable => "origin_unreadable",
            Self::NotAllowed => "origin_not_allowed",
        }
    }
}

/// How the browser reached us, as far as we can know; it decides what "the request's own host" is as an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own<'a> {
    /// The Host header's value, or the authority of an absolute-form target (RFC 9112 §3.2.2).
    pub host: &'a str,
    /// Whether this listener speaks TLS.
    pub secure: bool,
    /// Whether a trusted proxy stands in front: the browser's TLS may end there, so both schemes are our own.
    pub behind_proxy: bool,
}

impl Own<'_> {
    /// RFC 6454 §4: an origin is scheme, host and port; each scheme fills in its own default port.
    fn is(&self, origin: &Origin) -> bool {
        let schemes: &[&str] = match (self.behind_proxy, self.secure) {
            (true, _) => &["https", "http"],
            (false, true) => &["https"],
            (false, false) => &["http"],
        };
        schemes.iter().any(|scheme| Origin::of_host(scheme, self.host).as_ref() == Some(origin))
    }
}

/// Checks the `Origin` of an upgrade request.
///
/// With [`Origins::Any`] a value need not be readable: nothing is compared, and web views send such values
/// (`file://`). An empty one, or two, are refused there too.
///
/// # Errors
/// Why the request must not come in.
pub(crate) fn check(
    origins: &Origins,
    require_origin: bool,
    own: Own<'_>,
    headers: &HeaderMap,
) -> Result<(), OriginRefused> {
    let mut lines = headers.get_all(ORIGIN).into_iter();
    let Some(line) = lines.next() else {
        return if require_origin { Err(OriginRefused::Absent) } else { Ok(()) };
    };
    if lines.next().is_some() {
        return Err(OriginRefused::Twice);
    }
    if line.as_bytes().trim_ascii().is_empty() {
        return Err(OriginRefused::Empty);
    }
    let origin = line.to_str().ok().and_then(Origin::parse).ok_or(OriginRefused::Unreadable);
    let allowed = match origins {
        Origins::Any => true,
        Origins::SameHost => own.is(&origin?),
        Origins::List(rules) => {
            let origin = origin?;
            rules.iter().any(|rule| rule.allows(&origin))
        }
    };
    if allowed { Ok(()) } else { Err(OriginRefused::NotAllowed) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::wire::origin::OriginRule;

    const OWN: Own<'_> = Own { host: "example.com", secure: true, behind_proxy: false };

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (ORIGIN, HeaderValue::from_bytes(line.as_bytes()).unwrap())).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    fn list(rules: &[&str]) -> Origins {
        Origins::List(rules.iter().map(|rule| OriginRule::parse(rule).unwrap()).collect())
    }

    #[test]
    fn absent_is_allowed_unless_required() {
        for origins in [Origins::SameHost, Origins::Any, list(&["https://example.com"])] {
            assert_eq!(check(&origins, false, OWN, &headers(&[])), Ok(()));
            assert_eq!(check(&origins, true, OWN, &headers(&[])), Err(OriginRefused::Absent));
        }
    }

    #[test]
    fn two_or_empty_are_never_allowed() {
        let good = "https://example.com";
        for origins in [Origins::SameHost, Origins::Any, list(&[good])] {
            assert_eq!(check(&origins, false, OWN, &headers(&[good, good])), Err(OriginRefused::Twice));
            assert_eq!(check(&origins, false, OWN, &headers(&[""])), Err(OriginRefused::Empty));
        }
    }

    #[test]
    fn unreadable_is_refused_where_something_is_compared() {
        for bad in ["example.com", "file://", "https://example.com/", "https://a, https://example.com", "ä"] {
            assert_eq!(
                check(&Origins::SameHost, false, OWN, &headers(&[bad])),
                Err(OriginRefused::Unreadable),
                "{bad}"
            );
            let rules = list(&["https://example.com"]);
            assert_eq!(check(&rules, false, OWN, &headers(&[bad])), Err(OriginRefused::Unreadable), "{bad}");
            assert_eq!(check(&Origins::Any, false, OWN, &headers(&[bad])), Ok(()), "{bad}");
        }
    }

    #[test]
    fn the_same_host_is_scheme_host_and_port() {
        for (host, secure, behind_proxy, origin, good) in [
            ("example.com", true, false, "https://example.com", true),
            ("EXAMPLE.com:443", true, false, "https://example.com", true),
            ("example.com:8443", true, false, "https://example.com:8443", true),
            ("example.com:8443", true, false, "https://example.com", false),
            ("example.com", true, false, "http://example.com", false),
            ("example.com", false, false, "http://example.com", true),
            ("example.com", false, false, "https://example.com", false),
            ("example.com", false, true, "https://example.com", true),
            ("example.com", true, true, "http://example.com", true),
            ("example.com", false, true, "https://evil.net", false),
            ("example.com", false, true, "https://example.com:444", false),
            ("[::1]:8443", true, false, "https://[::1]:8443", true),
            ("example.com", true, false, "https://sub.example.com", false),
            ("example.com", true, false, "null", false),
            ("", true, false, "https://example.com", false),
        ] {
            let own = Own { host, secure, behind_proxy };
            let verdict = check(&Origins::SameHost, false, own, &headers(&[origin]));
            assert_eq!(verdict.is_ok(), good, "{own:?} {origin}");
        }
    }

    #[test]
    fn a_list_is_a_list() {
        let rules = list(&["https://a.example", "https://*.b.example", "null"]);
        for (origin, good) in [
            ("https://a.example", true),
            ("https://x.b.example", true),
            ("null", true),
            ("https://b.example", false),
            ("https://example.com", false),
        ] {
            assert_eq!(check(&rules, false, OWN, &headers(&[origin])).is_ok(), good, "{origin}");
        }
    }
}
