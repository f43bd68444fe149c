//! From a request's host and path to the route it takes; generic in what a route leads to.

use std::borrow::Cow;

/// Routes by host and path: the longest path wins, and among equals the one with a host.
#[derive(Clone, Debug)]
pub(crate) struct Router<T> {
    /// Best first, so that the first match is the answer.
    entries: Vec<Entry<T>>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    host: Option<String>,
    /// Normal form, without a slash at its end; the root is the empty text.
    path: String,
    target: T,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> Router<T> {
    /// A router without routes.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a route. Of two with the same host and path, the one added first is found.
    ///
    /// A path that no request can have, such as one with a dot segment, is never found.
    pub(crate) fn add(&mut self, host: Option<&str>, path: &str, target: T) {
        let path = normal(path).unwrap_or(Cow::Borrowed(path)).trim_end_matches('/').to_owned();
        let entry = Entry { host: host.map(|host| bare_host(host).to_ascii_lowercase()), path, target };
        let rank = |entry: &Entry<T>| (entry.path.len(), entry.host.is_some());
        let place = self.entries.partition_point(|other| rank(other) >= rank(&entry));
        self.entries.insert(place, entry);
    }

    /// The route for a request, and the path below it without its first slash (`"x"` for `/chat/x` on `/chat`).
    ///
    /// `host` is a Host header's value, port and all (RFC 9110 §7.2); `path` is without its query. None is returned
    /// when no route fits, and for a path that different readers could understand differently (see [`normal`]).
    #[must_use]
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<(&T, String)> {
        let host = bare_host(host);
        let path = normal(path)?;
        self.entries.iter().find_map(|entry| {
            let fits = entry.host.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host));
            let below = if fits { below(&entry.path, &path) } else { None };
            below.map(|rest| (&entry.target, rest.to_owned()))
        })
    }
}

/// Whole segments are compared: `/chatter` is not below `/chat`.
fn below<'a>(route: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(route)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Whether a path of the configuration is this one or below it.
#[must_use]
pub(crate) fn is_at_or_below(upper: &str, path: &str) -> bool {
    below(upper, path).is_some()
}

/// A request's path and query without the prefix that led it here; with one slash in front, whatever is left. A target
/// in which the prefix is only found in its [`normal`] form goes on in that form, and one without it as it is.
#[must_use]
pub(crate) fn without_prefix<'t>(prefix: &str, target: &'t str) -> Cow<'t, str> {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let plain;
    let rest = match below(prefix, path) {
        Some(rest) => rest,
        None => {
            plain = normal(path).unwrap_or_default();
            let Some(rest) = below(prefix, &plain) else { return Cow::Borrowed(target) };
            rest
        }
    };
    // Two slashes in front would be taken for a host (RFC 3986 §4.2).
    Cow::Owned(format!("/{}{query}", rest.trim_start_matches('/')))
}

/// What stands below a hub's route as the name of a room, in which percent-encoding is taken off exactly once. `path` is
/// the whole as it was asked for, `rest` what [`Router::find`] gave of it. Nothing for what is no UTF-8 or has control
/// characters in it; slashes in disguise have no route.
#[must_use]
pub(crate) fn room(path: &str, rest: &str) -> Option<String> {
    // In a path that is sound every `%` of the normal form was one before: only what is broken could become another.
    let whole = path.split('%').skip(1).all(|after| after.get(..2).and_then(hex).is_some());
    let name = if whole { unescaped(rest)? } else { return None };
    if name.chars().any(char::is_control) { None } else { Some(name) }
}

/// RFC 3986 §2.1: without its percent-encoding. Nothing for what is not encoded soundly, or no UTF-8.
#[must_use]
pub(crate) fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(part.get(..2).and_then(hex)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// A host without its port and without the dot of the DNS root (RFC 3986 §3.2.2, §3.2.3).
#[must_use]
pub(crate) fn bare_host(authority: &str) -> &str {
    let host = match authority.rfind(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        Some(_) | None => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// The one form in which paths are compared, or nothing for a path that must not lead anywhere.
///
/// Percent-encoded unreserved characters are decoded (RFC 3986 §6.2.2.2: they are equivalent) and runs of slashes are
/// one slash, so that neither `/%61dmin` nor `//admin` walks around the rules of `/admin` to a backend that reads both
/// as the same. Dot segments (RFC 3986 §5.2.4), encoded or with parameters behind them, and slashes in disguise are
/// refused: whoever resolves them behind us would be led out of the route.
#[must_use]
pub(crate) fn normal(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') {
        return None;
    }
    let plain = !path.contains(['%', '\\']) && !path.contains("//");
    let path = if plain { Cow::Borrowed(path) } else { Cow::Owned(decode(path)?) };
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if path.split('/').any(is_dots) { None } else { Some(path) }
}

/// Decodes what is equivalent, joins runs of slashes, and gives up on slashes in disguise and encoded NUL.
fn decode(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(next) = rest.chars().next() {
        let encoded = if next == '%' { rest.get(1..3).and_then(hex) } else { None };
        match (next, encoded) {
            ('\\', _) | (_, Some(b'/' | b'\\' | 0)) => return None,
            ('/', _) if out.ends_with('/') => {}
            (_, Some(byte)) if is_unreserved(byte) => out.push(char::from(byte)),
            _ => out.push(next),
        }
        let length = if encoded.is_some_and(is_unreserved) { 3 } else { next.len_utf8() };
        rest = &rest[length..];
    }
    Some(out)
}

fn hex(digits: &str) -> Option<u8> {
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if all { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(routes: &[(Option<&'static str>, &'static str)]) -> Router<usize> {
        let mut router = Router::new();
        for (index, (host, path)) in routes.iter().enumerate() {
            router.add(*host, path, index);
        }
        router
    }

    fn find(router: &Router<usize>, host: &str, path: &str) -> Option<(usize, String)> {
        router.find(host, path).map(|(index, rest)| (*index, rest))
    }

    #[test]
    fn a_route_is_itself_and_what_is_below() {
        let chat = router(&[(None, "/chat")]);
        for (path, rest) in [("/chat", ""), ("/chat/", ""), ("/chat/x", "x"), ("/chat/x/y", "x/y"), ("/chat/x/", "x/")]
        {
            assert_eq!(find(&chat, "a", path), Some((0, rest.to_owned())), "{path}");
        }
        for path in ["/", "/chatter", "/Chat", "/x/chat", "", "*", "chat"] {
            assert_eq!(find(&chat, "a", path), None, "{path}");
        }
    }

    #[test]
    fn the_root_matches_everything() {
        let root = router(&[(None, "/")]);
        assert_eq!(find(&root, "", "/"), Some((0, String::new())));
        assert_eq!(find(&root, "", "/a/b"), Some((0, "a/b".to_owned())));
        assert_eq!(find(&root, "", "*"), None);
    }

    #[test]
    fn the_longest_path_wins_then_the_host() {
        let routes =
            router(&[(None, "/"), (Some("a.example"), "/"), (None, "/chat"), (None, "/chat/vip/"), (None, "/chat")]);
        for (host, path, index) in [
            ("a.example", "/", 1),
            ("b.example", "/", 0),
            ("a.example", "/chat", 2),
            ("a.example", "/chat/vip", 3),
            ("a.example", "/chat/vip/1", 3),
            ("a.example", "/chat/vipers", 2),
        ] {
            assert_eq!(find(&routes, host, path).map(|found| found.0), Some(index), "{host}{path}");
        }
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_root_dot() {
        let routes = router(&[(Some("Example.com"), "/"), (Some("[::1]"), "/six")]);
        for host in ["example.com", "EXAMPLE.COM:8443", "example.com.", "example.com.:443", "example.com:"] {
            assert!(find(&routes, host, "/").is_some(), "{host}");
        }
        for host in ["", "www.example.com", "example.com.evil.net", "example.com..", "evil.net"] {
            assert!(find(&routes, host, "/").is_none(), "{host}");
        }
        assert!(find(&routes, "[::1]", "/six").is_some() && find(&routes, "[::1]:80", "/six").is_some());
        assert!(find(&routes, "[::2]:80", "/six").is_none());
    }

    #[test]
    fn rfc3986_5_2_4_no_path_walks_out_of_its_route() {
        let routes = router(&[(None, "/"), (None, "/chat"), (None, "/admin")]);
        for path in [
            "/chat/../admin",
            "/chat/..",
            "/chat/.",
            "/chat/%2e%2E/admin",
            "/chat/.%2e/admin",
            "/chat/..;x=1/admin",
            "/chat/..%2fadmin",
            "/chat%2Fadmin",
            "/chat/..\\admin",
            "/chat/..%5cadmin",
            "/chat%00",
        ] {
            assert_eq!(find(&routes, "", path), None, "{path}");
        }
        for (path, index) in
            [("/%61dmin", 2), ("//admin", 2), ("/chat//x", 1), ("/admin;x", 0), ("/...", 0), ("/a%2eb", 0)]
        {
            assert_eq!(find(&routes, "", path).map(|found| found.0), Some(index), "{path}");
        }
        for odd in ["/%", "/%2", "/%zz", "/100%", "/%+1", "/ä%", "/%ä"] {
            assert!(find(&routes, "", odd).is_some(), "{odd}");
        }
    }

    #[test]
    fn rfc3986_2_1_a_room_is_decoded_exactly_once() {
        let chat = router(&[(None, "/chat")]);
        let named = |path: &str| room(path, &find(&chat, "", path)?.1);
        for (path, name) in [
            ("/chat", ""),
            ("/chat/K%C3%BCche", "Küche"),
            ("/chat/K\u{fc}che", "Küche"),
            ("/%63hat/a%20%61", "a a"),
            ("/chat/100%25", "100%"),
            ("/chat/%2561", "%61"),
            ("/chat/%252F", "%2F"),
        ] {
            assert_eq!(named(path).as_deref(), Some(name), "{path}");
        }
        for path in
            ["/chat/%", "/chat/%f", "/chat/%zz", "/chat/%%361", "/%/chat", "/chat/%ff", "/chat/%C3", "/chat/a%0Ab"]
        {
            assert_eq!(named(path), None, "{path}");
        }
        for path in ["/chat/a%C2%85", "/chat/a%7F", "/chat/a%2Fb", "/chat/%2e%2e", "/chat/%00", "/chat/%C3%BC%+1"] {
            assert_eq!(named(path), None, "{path}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off() {
        for (target, left) in [
            ("/ws", "/"),
            ("/ws/", "/"),
            ("/ws?a=/ws", "/?a=/ws"),
            ("/ws/room/1?a=b&c=%20d", "/room/1?a=b&c=%20d"),
            ("/ws/a%20b//c", "/a%20b//c"),
            ("/ws//evil.example/x", "/evil.example/x"),
            ("//ws/x?y", "/x?y"),
            ("/%77s/a%7eb", "/a~b"),
            ("/ws/ws", "/ws"),
            ("/wsx/a", "/wsx/a"),
            ("/", "/"),
        ] {
            assert_eq!(without_prefix("/ws", target), left, "{target}");
        }
        assert!(is_at_or_below("/ws", "/ws/chat") && is_at_or_below("/ws", "/ws") && !is_at_or_below("/ws", "/wsx"));
    }

    proptest! {
        #[test]
        fn the_normal_form_is_normal(path in "/[a/.%25eEfF;\\\\\u{e4}]{0,24}") {
            if let Some(once) = normal(&path) {
                prop_assert!(!once.contains("//") && !once.contains('\\'));
                prop_assert!(once.split('/').all(|segment| segment != ".." && segment != "."));
            }
        }

        #[test]
        fn no_text_is_a_room_by_mistake(name in "[a-zA-Z %\u{e4}\u{65e5}]{1,8}", junk: String) {
            let chat = router(&[(None, "/c")]);
            let path: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let path = format!("/c/{path}");
            let rest = find(&chat, "", &path).unwrap().1;
            prop_assert_eq!(room(&path, &rest), Some(name));
            let _ = (room(&junk, &junk), unescaped(&junk));
        }

        #[test]
        fn what_is_found_is_below(path in "/[a-c/]{0,12}") {
            let routes = router(&[(None, "/a"), (None, "/a/b")]);
            if let Some((index, rest)) = find(&routes, "", &path) {
                let front = if index == 0 { "/a" } else { "/a/b" };
                let whole = if rest.is_empty() { front.to_owned() } else { format!("{front}/{rest}") };
                let asked = normal(&path).unwrap();
                prop_assert_eq!(asked.trim_end_matches('/'), whole.trim_end_matches('/'));
            }
        }
    }
}
