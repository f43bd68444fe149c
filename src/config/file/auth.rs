//! Reads a route's `auth`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::{Table, Value};
use super::limits::SHORT;
use super::pool::read_file_path;
use crate::config::address::read_auth_url;
use crate::config::auth::{Algorithm, Auth, AuthRequest, Jwt, Keys, OnError, TokenPlace};
use crate::config::error::Wrong;
use crate::wire::offer::is_token;

const KINDS: [(&str, Kind); 2] = [("jwt", Kind::Jwt), ("request", Kind::Request)];
const ON_ERROR: [(&str, OnError); 2] = [("refuse", OnError::Refuse), ("allow", OnError::Allow)];
const ALGORITHMS: &str = r#"a list such as ["RS256", "ES256"]; a token's own word is never taken"#;
const CLAIMS: &str = r#"a table such as { "X-User" = "sub" }"#;
const HEADERS: &str = r#"a list such as ["X-User"]"#;
const KEYS: &str = "exactly one of secret_file, key_file, jwks_file";
const NAMES: &str = "a text, or a list of texts";
const PLACES: &str = r#""header", "cookie:NAME", "query:NAME", "subprotocol", or a list of them"#;
const URL: &str = r#""http://host:port/path", "https://host/path" or "unix:/socket:/path""#;

/// What the gateway says itself in a backend's request, and what would end the connection or the head.
const OURS: [&str; 16] = [
    "host",
    "connection",
    "upgrade",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
];

/// Clocks that are further apart than this are to be set.
const LEEWAY: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);
/// Who is shut out meanwhile, or let in, waits for it.
const CACHE: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(24 * 3600);

/// From a file to what it holds.
type MakeKeys = fn(PathBuf) -> Keys;

#[derive(Clone, Copy)]
enum Kind {
    Jwt,
    Request,
}

/// Reads who may come in; `is_relayed` tells whether there is a backend to which headers can be handed on.
pub(super) fn read_auth(value: &Value<'_>, base: &Path, is_relayed: bool) -> Option<Auth> {
    let table = value.table()?;
    let kind = table.require("kind", r#""jwt", "request""#)?.choice(&KINDS, &[]);
    let auth = match kind? {
        Kind::Jwt => read_jwt(&table, base, is_relayed).map(Auth::Jwt),
        Kind::Request => read_request(&table, base, is_relayed).map(Auth::Request),
    };
    table.finish();
    auth
}

fn read_jwt(table: &Table<'_>, base: &Path, is_relayed: bool) -> Option<Jwt> {
    let algorithms = table.require("algorithms", ALGORITHMS).and_then(|value| read_algorithms(&value));
    let keys = read_keys(table, base);
    if let (Some((value, keys)), Some(algorithms)) = (&keys, &algorithms) {
        check_family(value, keys, algorithms);
    }
    for name in ["strip", "claims"] {
        without_backend(table, name, is_relayed);
    }
    Some(Jwt {
        issuer: read_names(table, "issuer"),
        audience: read_names(table, "audience"),
        leeway: table.duration("leeway", LEEWAY).unwrap_or(Duration::from_secs(30)),
        require: read_names(table, "require"),
        token: table.get("token").map_or_else(|| vec![TokenPlace::Header], |value| read_places(&value)),
        strip: table.flag("strip").unwrap_or(true),
        claims: table.get("claims").map(|value| read_claims(&value)).unwrap_or_default(),
        algorithms: algorithms?,
        keys: keys?.1,
    })
}

fn read_request(table: &Table<'_>, base: &Path, is_relayed: bool) -> Option<AuthRequest> {
    let url = table.require("url", URL).and_then(|value| value.text(|text| read_auth_url(text, base)));
    without_backend(table, "headers", is_relayed);
    let cache = table.optional_duration("cache", CACHE).flatten();
    if cache.is_none() {
        for name in ["cache_entries", "cache_refusals"] {
            if let Some(value) = table.get(name) {
                value.refuse("has no meaning without cache", "cache = \"10s\" beside it");
            }
        }
    }
    Some(AuthRequest {
        ca: table.text("ca", |text| read_file_path(text, base)),
        timeout: table.duration("timeout", SHORT).unwrap_or(Duration::from_secs(3)),
        headers: table.get("headers").map(|value| read_headers(&value)).unwrap_or_default(),
        cache,
        cache_entries: table.count("cache_entries", 1..=1_000_000).unwrap_or(10_000),
        cache_refusals: table.flag("cache_refusals").unwrap_or(false),
        at_once: table.count("at_once", 1..=10_000).unwrap_or(64),
        idle_connections: table.count("idle_connections", 0..=1000).unwrap_or(8),
        on_error: table.choice("on_error", &ON_ERROR, &[]).unwrap_or(OnError::Refuse),
        ..url?
    })
}

fn read_algorithms(value: &Value<'_>) -> Option<Vec<Algorithm>> {
    let items = value.items(ALGORITHMS)?;
    if items.is_empty() {
        value.refuse("empty", ALGORITHMS);
    }
    let algorithms: Vec<Algorithm> = items.iter().filter_map(|item| item.choice(&Algorithm::ALL, &[])).collect();
    let secrets = algorithms.iter().filter(|algorithm| algorithm.secret_size().is_some()).count();
    // Whoever knows a public key, which is everybody, could sign with it as if it were the secret.
    if secrets > 0 && secrets < algorithms.len() {
        value.refuse(
            "mixes keys that are shared with keys that are public",
            "HS256, HS384, HS512 alone, or none of them",
        );
        return None;
    }
    (algorithms.len() == items.len() && !items.is_empty()).then_some(algorithms)
}

fn read_keys<'d>(table: &Table<'d>, base: &Path) -> Option<(Value<'d>, Keys)> {
    let path = |text: &str| read_file_path(text, base).map_err(|wrong| Wrong::new(wrong.what, "the path of a file"));
    let makes: [(_, MakeKeys); 3] =
        [("secret_file", Keys::Secret), ("key_file", Keys::Public), ("jwks_file", Keys::Set)];
    let named = makes.into_iter().filter_map(|(name, make)| Some((table.get(name)?, make)));
    let mut named: Vec<_> = named.collect();
    match named.len() {
        0 => table.incomplete("has no key", KEYS),
        1 => {}
        _ => {
            table.problem("has more than one kind of key", KEYS);
            return None;
        }
    }
    let (value, make) = named.pop()?;
    let keys = make(value.text(path)?);
    Some((value, keys))
}

fn check_family(value: &Value<'_>, keys: &Keys, algorithms: &[Algorithm]) {
    let shared = algorithms.iter().any(|algorithm| algorithm.secret_size().is_some());
    match keys {
        Keys::Secret(_) if !shared => value.refuse("is for HS256, HS384 and HS512", "key_file or jwks_file"),
        Keys::Public(_) | Keys::Set(_) if shared => {
            value.refuse("holds public keys, which anybody may know: not for HS256, HS384, HS512", "secret_file");
        }
        Keys::Secret(_) | Keys::Public(_) | Keys::Set(_) => {}
    }
}

fn without_backend(table: &Table<'_>, name: &'static str, is_relayed: bool) {
    if let Some(value) = table.get(name).filter(|_| !is_relayed) {
        value.refuse("has no meaning without a backend", "nothing");
    }
}

/// One text or several, none of them empty.
fn read_names(table: &Table<'_>, name: &'static str) -> Vec<String> {
    let Some(value) = table.get(name) else { return Vec::new() };
    let read = |text: &str| match text {
        "" => Err(Wrong::new("empty", NAMES)),
        _ => Ok(text.to_owned()),
    };
    if value.as_text().is_some() {
        return value.text(read).into_iter().collect();
    }
    let items = value.items(NAMES).unwrap_or_default();
    items.iter().filter_map(|item| item.text(read)).collect()
}

fn read_places(value: &Value<'_>) -> Vec<TokenPlace> {
    if value.as_text().is_some() {
        return value.text(read_place).into_iter().collect();
    }
    let items = value.items(PLACES).unwrap_or_default();
    if items.is_empty() && value.as_items().is_some() {
        value.refuse("empty", PLACES);
    }
    items.iter().filter_map(|item| item.text(read_place)).collect()
}

fn read_place(text: &str) -> Result<TokenPlace, Wrong> {
    let wrong = || Wrong::new("not a place for a token", PLACES);
    match text.split_once(':') {
        None if text == "header" => Ok(TokenPlace::Header),
        None if text == "subprotocol" => Ok(TokenPlace::Subprotocol),
        // RFC 6265 §4.1.1: a cookie's name is a token.
        Some(("cookie", name)) if is_token(name.as_bytes()) => Ok(TokenPlace::Cookie(name.to_owned())),
        Some(("query", name)) if is_token(name.as_bytes()) => Ok(TokenPlace::Query(name.to_owned())),
        _ => Err(wrong()),
    }
}

fn read_claims(value: &Value<'_>) -> Vec<(String, String)> {
    let Some(table) = value.as_table() else {
        value.refuse("not a table", CLAIMS);
        return Vec::new();
    };
    let mut claims: Vec<(String, String)> = Vec::new();
    for (name, claim) in table.entries() {
        if let Err(wrong) = read_header(name) {
            claim.refuse(&wrong.what, &wrong.allowed);
            continue;
        }
        if claims.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            claim.refuse("the header is named twice", "each header once");
        }
        let read = |text: &str| match text {
            "" => Err(Wrong::new("no claim", "the name of a claim such as \"sub\"")),
            _ => Ok(text.to_owned()),
        };
        claims.extend(claim.text(read).map(|claim| (name.to_owned(), claim)));
    }
    claims
}

fn read_headers(value: &Value<'_>) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    for item in value.items(HEADERS).unwrap_or_default() {
        let Some(name) = item.text(read_header) else { continue };
        if headers.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            item.refuse("named twice", "each header once");
        }
        headers.push(name);
    }
    headers
}

/// A header that may be said in the gateway's name.
fn read_header(text: &str) -> Result<String, Wrong> {
    if !is_token(text.as_bytes()) {
        return Err(Wrong::new("not the name of a header", "a name such as \"X-User\""));
    }
    let name = text.to_ascii_lowercase();
    if OURS.contains(&name.as_str()) || name.starts_with("sec-websocket-") || name.starts_with("x-client-cert-") {
        return Err(Wrong::new("the gateway's own header, or one of this connection alone", "another name"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Transport};

    fn auth(text: &str) -> Auth {
        let text = format!(
            "[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\nauth = {{ {text} }}\n[pool.p]\nbackends = [\"ws://h\"]\n"
        );
        let mut config = Config::parse(&text, "t", Path::new("/etc")).expect("valid");
        config.routes.remove(0).auth.expect("auth")
    }

    #[test]
    fn a_token_and_its_defaults() {
        let Auth::Jwt(jwt) = auth("kind = \"jwt\", algorithms = [\"ES256\"], key_file = \"k.pem\"") else {
            panic!("a token")
        };
        assert_eq!(jwt.keys, Keys::Public("/etc/k.pem".into()));
        assert_eq!((jwt.leeway, jwt.strip, jwt.token), (Duration::from_secs(30), true, vec![TokenPlace::Header]));
        let text = "kind = \"jwt\", algorithms = [\"HS256\", \"HS512\"], secret_file = \"s\", issuer = \"a\", \
            audience = [\"b\", \"c\"], token = [\"subprotocol\", \"cookie:id\", \"query:t\"], strip = false, \
            claims = { X-User = \"sub\" }, require = [\"sub\"], leeway = \"0s\"";
        let Auth::Jwt(jwt) = auth(text) else { panic!("a token") };
        assert_eq!((jwt.issuer, jwt.audience.len(), jwt.strip), (vec!["a".to_owned()], 2, false));
        let places = [TokenPlace::Subprotocol, TokenPlace::Cookie("id".into()), TokenPlace::Query("t".into())];
        assert_eq!(jwt.token, places);
        assert_eq!(jwt.claims, [("X-User".to_owned(), "sub".to_owned())]);
    }

    #[test]
    fn a_server_and_its_defaults() {
        let Auth::Request(request) = auth("kind = \"request\", url = \"http://[::1]:81/a?b\"") else {
            panic!("a request")
        };
        assert_eq!(request.transport, Transport::Ws("::1".to_owned(), 81));
        assert_eq!((request.host.as_str(), request.target.as_str()), ("[::1]:81", "/a?b"));
        assert_eq!((request.timeout, request.at_once, request.cache), (Duration::from_secs(3), 64, None));
        let Auth::Request(request) = auth("kind = \"request\", url = \"unix:a.sock:/x\"") else { panic!("a request") };
        assert_eq!((request.transport, request.target), (Transport::Unix("/etc/a.sock".into()), "/x".to_owned()));
    }

    #[test]
    fn headers_that_are_not_the_owners_to_give() {
        for name in ["X-User", "x-user", "Authorization", "Cookie"] {
            assert!(read_header(name).is_ok(), "{name}");
        }
        for name in ["Host", "UPGRADE", "Sec-WebSocket-Protocol", "X-Forwarded-For", "TE", "", "a b", "a:", "ü"] {
            assert!(read_header(name).is_err(), "{name}");
        }
    }
}
