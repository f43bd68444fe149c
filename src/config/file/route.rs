//! Reads `[[route]]`.

use std::path::Path;

use super::auth::read_auth;
use super::backend_head;
use super::document::{Place, Placed, Table, Value};
use super::hub::{Beside, read_hub};
use super::legacy::{read_hold, read_legacy};
use super::limits::{RouteLimits, read_route as read_limits};
use super::pages::{check_beside, read_pages};
use crate::config::address::read_host;
use crate::config::error::Wrong;
use crate::config::{GatewayLimits, Origins, Pages, Profile, Proxy, Refuse, Route, SessionLimits, Target};
use crate::wire::close::Code;
use crate::wire::origin::OriginRule;

const ORIGINS: &str = r#"a list such as ["https://example.com", "https://*.example.com", "null"], or "*" for any"#;
const PATH: &str = r#"a path such as "/chat""#;
const REDIRECT: &str = r#"a path such as "/chat", or an http:// or https:// URL"#;
const TARGETS: &str = "exactly one of hub, echo, proxy, redirect";
const POOL: &str = "the name of a pool";
const ANY_TARGET: &str = "exactly one of hub, echo, proxy, redirect; or http, alone or beside one of them";

/// A route, and the places of what can only be checked beside the others.
pub(super) struct Draft {
    pub(super) route: Route,
    /// Absent when the path or the host was refused.
    pub(super) path: Option<Placed<String>>,
    pub(super) pool: Option<Placed<String>>,
    /// The pool of its pages.
    pub(super) pages_pool: Option<Placed<String>>,
    pub(super) redirect: Option<Placed<String>>,
    /// What its hub says that has to fit what others say.
    pub(super) hub: Option<Beside>,
    /// Where it asks for a client's certificate.
    pub(super) certificate: Option<Place>,
}

/// A route of this path and target with everything else as it is when nothing is said.
pub(super) fn route_of(path: String, target: Target, limits: SessionLimits) -> Route {
    Route {
        path,
        host: None,
        origins: Origins::SameHost,
        require_origin: false,
        refuse: Refuse::Http,
        connections: None,
        address: None,
        auth: None,
        client_certificate: false,
        limits,
        target,
        pages: None,
    }
}

/// Reads one route; what is refused gets a stand-in, which nobody sees since the problem is reported.
pub(super) fn read_route(table: Table<'_>, gateway: &GatewayLimits, session: SessionLimits, base: &Path) -> Draft {
    let path = table.require("path", PATH).and_then(|value| {
        let path = value.text(read_path)?;
        Some(Placed::new(path, value.place()))
    });
    let host = table.get("host").map(|value| value.text(read_host));
    // A route whose host was refused may share its path with any other.
    let path = path.filter(|_| host != Some(None));
    let (origins, require_origin, limits) = (table.get("origins"), table.get("require_origin"), table.get("limits"));
    let (refuse, auth, certificate) = (table.get("refuse"), table.get("auth"), table.get("client_certificate"));
    let name = path.as_ref().map(|path| path.value.clone()).unwrap_or_default();
    let target = read_target(&table, &name, base);
    let (of_websockets, why) = match target.target {
        Target::Redirect(_) => {
            (&[&origins, &require_origin, &refuse, &limits, &auth, &certificate][..], "has no meaning on a redirect")
        }
        Target::Pages => (&[&origins, &require_origin, &refuse, &limits][..], "has no meaning without a WebSocket"),
        _ => (&[][..], ""),
    };
    for setting in of_websockets.iter().copied().flatten() {
        setting.refuse(why, "nothing");
    }
    let has_backend = matches!(target.target, Target::Proxy(_)) || target.pages.is_some();
    let RouteLimits { session, connections, address } =
        read_limits(limits.and_then(|value| value.table()), gateway, session);
    let route = Route {
        host: host.flatten(),
        origins: origins.and_then(|value| read_origins(&value)).unwrap_or(Origins::SameHost),
        require_origin: require_origin.and_then(|value| value.flag()).unwrap_or(false),
        refuse: refuse.map_or(Refuse::Http, |value| read_refuse(&value)),
        connections,
        address,
        auth: auth.and_then(|value| read_auth(&value, base, has_backend)),
        client_certificate: certificate.as_ref().and_then(|value| value.flag()).unwrap_or(false),
        pages: target.pages,
        ..route_of(name, target.target, session)
    };
    table.finish();
    let (pool, pages_pool) = (target.pool, target.pages_pool);
    let certificate = certificate.filter(|_| route.client_certificate).map(|value| value.place());
    Draft { route, path, pool, pages_pool, redirect: target.redirect, hub: target.hub, certificate }
}

fn read_refuse(value: &Value<'_>) -> Refuse {
    let number = value.raw.as_integer().and_then(|number| number.as_str().parse::<u16>().ok());
    let own = number.filter(|number| (4000..=4999).contains(number)).and_then(Code::from_wire);
    match (value.as_text(), own) {
        (Some("http"), _) => Refuse::Http,
        (Some("close"), _) => Refuse::Close(None),
        (_, Some(_)) => Refuse::Close(own),
        _ => {
            value.refuse("no manner of refusing", r#""http", "close", or a close code of your own, 4000 to 4999"#);
            Refuse::Http
        }
    }
}

struct Aim {
    target: Target,
    pages: Option<Pages>,
    pool: Option<Placed<String>>,
    pages_pool: Option<Placed<String>>,
    redirect: Option<Placed<String>>,
    hub: Option<Beside>,
}

/// All are read even when one too many is there, so that the problems of each are told.
fn read_target(table: &Table<'_>, path: &str, base: &Path) -> Aim {
    let (hub, beside) = table.get("hub").map(|value| read_hub(&value, base)).unzip();
    let hub = hub.map(Target::Hub);
    let echo = table.get("echo").map(|value| read_echo(&value));
    let (proxy, pool) = table.get("proxy").map(|value| read_proxy(&value, path)).unzip();
    let (redirect, place) = table.get("redirect").map(|value| read_redirect(&value)).unzip();
    let mut targets: Vec<Target> = [hub, echo, proxy, redirect].into_iter().flatten().collect();
    let said = table.get("http");
    match (targets.len(), &said) {
        (0, None) => table.incomplete("leads nowhere", ANY_TARGET),
        (0, Some(_)) => targets.push(Target::Pages),
        (1, _) => {}
        _ => table.problem("leads to more than one target", TARGETS),
    }
    let target = targets.pop().unwrap_or(Target::Echo);
    let (pages, pages_pool) = said.as_ref().and_then(|value| read_pages(value, path)).unzip();
    if let Some(said) = &said {
        check_beside(said, &target);
    }
    Aim {
        target,
        pages,
        pool: pool.flatten(),
        pages_pool: pages_pool.flatten(),
        redirect: place.flatten(),
        hub: beside,
    }
}

fn read_echo(value: &Value<'_>) -> Target {
    if let Some(table) = value.table() {
        table.finish();
    }
    Target::Echo
}

fn read_proxy(value: &Value<'_>, path: &str) -> (Target, Option<Placed<String>>) {
    let Some(table) = value.table() else {
        return (Target::Echo, None);
    };
    let pool = read_pool_name(&table);
    let profile = table.get("profile").map_or(Profile::Transparent, |value| {
        // Where the profile was refused, its parts are read all the same.
        value.choice(&Profile::ALL, &[]).unwrap_or(Profile::Legacy)
    });
    let parts = table.table("legacy");
    let legacy = read_legacy(parts.as_ref(), profile);
    let hold = parts.as_ref().filter(|_| legacy.is_some()).and_then(read_hold);
    let head = backend_head::read(&table, parts.as_ref(), profile, path);
    if let Some(parts) = parts {
        parts.finish();
    }
    table.finish();
    let name = pool.as_ref().map(|pool| pool.value.clone()).unwrap_or_default();
    (Target::Proxy(Proxy { pool: name, profile, head, legacy, hold }), pool)
}

/// The `pool` of a table, and its place.
pub(super) fn read_pool_name(table: &Table<'_>) -> Option<Placed<String>> {
    let named = |text: &str| match text {
        "" => Err(Wrong::new("no name", POOL)),
        _ => Ok(text.to_owned()),
    };
    let value = table.require("pool", POOL)?;
    let name = value.text(named)?;
    Some(Placed::new(name, value.place()))
}

fn read_redirect(value: &Value<'_>) -> (Target, Option<Placed<String>>) {
    let target = value.text(|text| {
        let local = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
        let remote = ["http://", "https://"].iter().any(|scheme| {
            text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']))
        });
        // It becomes the Location header: nothing that could end the line, nothing that needs encoding.
        match (local || remote) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(text.to_owned()),
            false => Err(Wrong::new("not a place to lead to", REDIRECT)),
        }
    });
    let place = target.clone().map(|target| Placed::new(target, value.place()));
    (Target::Redirect(target.unwrap_or_default()), place)
}

/// A path is compared with the request's as it stands, so whatever a request cannot hold is refused here.
fn read_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return Err(Wrong::new("does not start with \"/\"", PATH));
    }
    if text.contains(['?', '#']) {
        return Err(Wrong::new("has a query or fragment", PATH));
    }
    if text == "/" {
        return Ok(text.to_owned());
    }
    if text.ends_with('/') {
        return Err(Wrong::new("ends in \"/\"", "the path without it: it matches itself and what is below"));
    }
    if text[1..].split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Wrong::new("has an empty, \".\" or \"..\" segment", PATH));
    }
    // RFC 3986 §3.3, less the percent sign: encoded letters have a plain form, encoded slashes and dots are traps.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    if !text.bytes().all(plain) {
        return Err(Wrong::new("has a character that a path may not hold", "letters, digits and -._~!$&'()*+,;=:@"));
    }
    Ok(text.to_owned())
}

fn read_origins(value: &Value<'_>) -> Option<Origins> {
    if value.as_text() == Some("*") {
        return Some(Origins::Any);
    }
    let items = value.items(ORIGINS)?;
    if items.is_empty() {
        value.refuse("empty", "a list with an origin; absent for the request's own host; \"*\" for any");
    }
    if let [item] = items.as_slice()
        && item.as_text() == Some("*")
    {
        return Some(Origins::Any);
    }
    Some(Origins::List(items.iter().filter_map(|item| item.text(read_origin)).collect()))
}

fn read_origin(text: &str) -> Result<OriginRule, Wrong> {
    if text == "*" {
        return Err(Wrong::new("makes every other origin needless", "\"*\" alone"));
    }
    // A star elsewhere would be taken for a host of that name, which no page has.
    let wildcards = text.matches('*').count() - usize::from(text.contains("://*."));
    match OriginRule::parse(text) {
        Some(rule) if wildcards == 0 => Ok(rule),
        _ => Err(Wrong::new("not an origin", r#""https://example.com", "https://*.example.com", "null" or "*" alone"#)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_problem(text: &str) -> String {
        read_path(text).expect_err("refused").what.into_owned()
    }

    #[test]
    fn paths() {
        for text in ["/", "/chat", "/a/b.c", "/@me/~x"] {
            assert_eq!(read_path(text), Ok(text.to_owned()));
        }
        assert_eq!(path_problem("chat"), "does not start with \"/\"");
        assert_eq!(path_problem("/a?b"), "has a query or fragment");
        assert_eq!(path_problem("/a/"), "ends in \"/\"");
        for text in ["/a/../b", "/..", "//a", "/a//b", "/./a"] {
            assert_eq!(path_problem(text), "has an empty, \".\" or \"..\" segment", "{text}");
        }
        for text in ["/%2e%2e/a", "/a b", "/ü", "/a\\b", "/a\r\nb"] {
            assert_eq!(path_problem(text), "has a character that a path may not hold", "{text}");
        }
    }

    #[test]
    fn origins_are_origins() {
        for text in ["https://example.com", "https://*.example.com", "null", "http://[::1]:8080"] {
            assert!(read_origin(text).is_ok(), "{text}");
        }
        for text in ["*", "example.com", "https://example.com/", "https://*", "https://*.*.com", "https://a.*.com", ""]
        {
            assert!(read_origin(text).is_err(), "{text}");
        }
    }
}
