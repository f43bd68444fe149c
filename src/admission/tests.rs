//! What a request gets, row by row of the table, and that the rows stand in their order.

use super::testing::{Asked, config, hourly, hub, pages, route};
use super::*;
use crate::admission::origin::OriginRefused;
use crate::config::{AddressLimits, Origins};

fn gate() -> Gate {
    Gate::new(&config(), None)
}

fn refusal(gate: &Gate, asked: &Asked) -> Option<Refusal> {
    match gate.decide(&asked.arrival(), false) {
        Outcome::Refuse(refusal) => Some(refusal),
        Outcome::Plain(_) | Outcome::Upgrade(_) | Outcome::Pass(_) => None,
    }
}

fn admitted(gate: &Gate, asked: &Asked) -> Admission {
    match gate.decide(&asked.arrival(), false) {
        Outcome::Upgrade(admission) => admission,
        other => panic!("{other:?}"),
    }
}

fn plain(gate: &Gate, asked: &Asked) -> Option<(usize, String)> {
    match gate.decide(&asked.arrival(), false) {
        Outcome::Plain(PlainRequest { route, rest }) => Some((route, rest)),
        Outcome::Refuse(_) | Outcome::Upgrade(_) | Outcome::Pass(_) => None,
    }
}

#[test]
fn row_no_route() {
    for path in ["/nothing", "/chatter", "/chat/../echo", "/chat/%2e%2e/echo", "/chat%2fx", "*"] {
        assert_eq!(refusal(&gate(), &Asked::upgrade(path)), Some(Refusal::NoRoute), "{path}");
        assert_eq!(refusal(&gate(), &Asked::plain(path)), Some(Refusal::NoRoute), "{path}");
    }
}

#[test]
fn row_what_is_passed_on() {
    let mut config = config();
    let mut alone = route("/site", Target::Pages);
    alone.pages = Some(pages());
    config.routes.push(alone);
    config.routes[2].pages = Some(pages());
    let gate = Gate::new(&config, None);
    let passed = |asked: &Asked| match gate.decide(&asked.arrival(), false) {
        Outcome::Pass(passing) => Some((passing.route, passing.client.to_string())),
        _ => None,
    };
    let client = "192.0.2.1".to_owned();
    for method in [Method::GET, Method::POST, Method::OPTIONS, Method::DELETE] {
        assert_eq!(passed(&Asked::plain("/echo/x").by(method.clone())), Some((2, client.clone())), "{method}");
        assert_eq!(passed(&Asked::plain("/site").by(method.clone())), Some((5, client.clone())), "{method}");
    }
    // Another protocol than WebSocket's is as if nobody had asked.
    assert_eq!(passed(&Asked::plain("/echo").with("upgrade", "h2c")), Some((2, client)));
    assert_eq!(refusal(&gate, &Asked::plain("/echo").by(Method::TRACE)), Some(Refusal::Trace));
    // A WebSocket that is not sound is refused as one.
    let unsound = Asked::upgrade("/echo").without("sec-websocket-key");
    assert_eq!(refusal(&gate, &unsound), Some(Refusal::Malformed(Malformed::KeyAbsent)));
    assert_eq!(admitted(&gate, &Asked::upgrade("/echo")).route, 2);
    assert_eq!(refusal(&gate, &Asked::upgrade("/site")), Some(Refusal::NoRoute));
}

#[test]
fn row_no_certificate() {
    let mut config = config();
    config.routes[2].client_certificate = true;
    let gate = Gate::new(&config, None);
    for asked in [Asked::upgrade("/echo"), Asked::plain("/echo")] {
        assert_eq!(refusal(&gate, &asked), Some(Refusal::NoCertificate));
    }
    assert_eq!(admitted(&gate, &Asked { certified: true, ..Asked::upgrade("/echo") }).route, 2);
}

#[test]
fn row_plain_get_on_a_hub_with_a_page() {
    let gate = gate();
    assert_eq!(plain(&gate, &Asked::plain("/chat")), Some((1, String::new())));
    assert_eq!(plain(&gate, &Asked::plain("/chat/room?x=1")), Some((1, "room".to_owned())));
    assert_eq!(plain(&gate, &Asked::plain("/chat").by(Method::HEAD)), Some((1, String::new())));
    assert_eq!(gate.caps().open(), 0);
}

#[test]
fn row_plain_get_of_exactly_a_redirect() {
    let gate = gate();
    assert_eq!(plain(&gate, &Asked::plain("/")), Some((0, String::new())));
    assert_eq!(refusal(&gate, &Asked::plain("/favicon.ico")), Some(Refusal::NoRoute));
    assert_eq!(refusal(&gate, &Asked::upgrade("/")), Some(Refusal::NoRoute));
    assert_eq!(refusal(&gate, &Asked::plain("/").by(Method::POST)), Some(Refusal::NoRoute));
}

#[test]
fn row_no_upgrade_asked() {
    let not_upgrade = Some(Refusal::Malformed(Malformed::NotUpgrade));
    for asked in [
        Asked::plain("/echo"),
        Asked::plain("/ws"),
        Asked::plain("/quiet"),
        Asked::plain("/chat").by(Method::POST),
        Asked::upgrade("/echo").without("upgrade"),
    ] {
        assert_eq!(refusal(&gate(), &asked), not_upgrade);
    }
}

#[test]
fn rows_of_the_upgrade_request() {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let good = || Asked::upgrade("/echo");
    let mut old = good();
    old.version = Version::HTTP_10;
    for (asked, malformed) in [
        (good().by(Method::POST), Malformed::Method),
        (good().by(Method::HEAD), Malformed::Method),
        (good().by(Method::CONNECT), Malformed::Method),
        (old, Malformed::OldHttp),
        (good().with("upgrade", "h2c"), Malformed::UpgradeToken),
        (good().with("connection", "close"), Malformed::ConnectionToken),
        (good().without("connection"), Malformed::ConnectionToken),
        (good().without("sec-websocket-key"), Malformed::KeyAbsent),
        (good().and("sec-websocket-key", key), Malformed::KeyTwice),
        (good().with("sec-websocket-key", "c2hvcnQ="), Malformed::KeyInvalid),
        (good().with("sec-websocket-version", "8"), Malformed::Version),
        (good().without("sec-websocket-version"), Malformed::Version),
        (good().with("sec-websocket-protocol", "a, a"), Malformed::ProtocolTwice),
        (good().with("content-length", "5"), Malformed::Body),
    ] {
        assert_eq!(refusal(&gate(), &asked), Some(Refusal::Malformed(malformed)));
    }
}

#[test]
fn row_origin_not_allowed() {
    let gate = gate();
    let refused = |asked: Asked| refusal(&gate, &asked);
    let with = |origin: &str| Asked::upgrade("/echo").with("origin", origin);
    assert_eq!(refused(with("https://evil.net")), Some(Refusal::Origin(OriginRefused::NotAllowed)));
    assert_eq!(refused(with("http://example.com")), Some(Refusal::Origin(OriginRefused::NotAllowed)));
    assert_eq!(refused(with("null")), Some(Refusal::Origin(OriginRefused::NotAllowed)));
    assert_eq!(refused(with("example.com")), Some(Refusal::Origin(OriginRefused::Unreadable)));
    let two = with("https://example.com").and("origin", "https://example.com");
    assert_eq!(refused(two), Some(Refusal::Origin(OriginRefused::Twice)));
    assert_eq!(refused(Asked::upgrade("/echo").without("origin")), None);
}

#[test]
fn row_origin_absent_where_required() {
    let mut config = config();
    config.routes[2].require_origin = true;
    let gate = Gate::new(&config, None);
    let refused = refusal(&gate, &Asked::upgrade("/echo").without("origin"));
    assert_eq!(refused, Some(Refusal::Origin(OriginRefused::Absent)));
}

#[test]
fn tls_may_end_at_a_trusted_proxy() {
    let mut asked = Asked::upgrade("/echo").from("10.0.0.1");
    asked.secure = false;
    assert_eq!(refusal(&gate(), &asked), None);
    let stranger = asked.clone().from("192.0.2.9");
    assert_eq!(refusal(&gate(), &stranger), Some(Refusal::Origin(OriginRefused::NotAllowed)));
    let by_proxy_header = Asked { proxied: true, ..stranger };
    assert_eq!(refusal(&gate(), &by_proxy_header), None);
    // The forwarded host is not believed.
    let forged = asked.with("x-forwarded-host", "evil.net").with("origin", "https://evil.net");
    assert_eq!(refusal(&gate(), &forged), Some(Refusal::Origin(OriginRefused::NotAllowed)));
}

#[test]
fn row_over_the_cap_of_the_address() {
    let mut config = config();
    config.limits.address.connections = 1;
    let gate = Gate::new(&config, None);
    let first = admitted(&gate, &Asked::upgrade("/echo"));
    assert_eq!(refusal(&gate, &Asked::upgrade("/chat")), Some(Refusal::AddressCap));
    assert_eq!(refusal(&gate, &Asked::upgrade("/chat").from("192.0.2.2")), None);
    drop(first.permit);
    assert_eq!(refusal(&gate, &Asked::upgrade("/chat")), None);
}

#[test]
fn row_over_the_handshake_rate() {
    let mut config = config();
    config.limits.address.handshakes = hourly(1);
    let gate = Gate::new(&config, None);
    // What is refused before it costs no token.
    assert!(refusal(&gate, &Asked::upgrade("/echo").with("origin", "https://evil.net")).is_some());
    assert!(refusal(&gate, &Asked::plain("/echo")).is_some());
    assert_eq!(refusal(&gate, &Asked::upgrade("/echo")), None);
    assert!(matches!(refusal(&gate, &Asked::upgrade("/echo")), Some(Refusal::AddressRate { .. })));
}

#[test]
fn rows_over_the_gateways_and_the_routes_cap() {
    let mut config = config();
    config.limits.connections = 2;
    config.routes[2].connections = Some(1);
    let gate = Gate::new(&config, None);
    let _echo = admitted(&gate, &Asked::upgrade("/echo"));
    assert_eq!(refusal(&gate, &Asked::upgrade("/echo")), Some(Refusal::RouteFull));
    let _chat = admitted(&gate, &Asked::upgrade("/chat"));
    assert_eq!(refusal(&gate, &Asked::upgrade("/ws")), Some(Refusal::GatewayFull));
    assert_eq!(gate.caps().open(), 2);
}

#[test]
fn row_draining() {
    let gate = gate();
    let draining = |asked: Asked| gate.decide(&asked.arrival(), true);
    assert!(matches!(draining(Asked::upgrade("/echo")), Outcome::Refuse(Refusal::Draining)));
    assert!(matches!(draining(Asked::plain("/chat")), Outcome::Plain(_)));
    let foreign = Asked::upgrade("/echo").with("origin", "https://evil.net");
    assert!(matches!(draining(foreign), Outcome::Refuse(Refusal::Origin(_))));
    assert_eq!((gate.caps().open(), gate.caps().addresses()), (0, 0));
}

#[test]
fn row_all_well() {
    let gate = gate();
    let asked = Asked::upgrade("/ws/room/7?token=x").with("sec-websocket-protocol", "v2, v1");
    let admission = admitted(&gate, &asked);
    assert_eq!((admission.route, admission.rest.as_str()), (3, "room/7"));
    assert_eq!(admission.offer.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(admission.offer.protocols, ["v2", "v1"]);
    assert_eq!(admission.client, asked.peer);
    assert_eq!((gate.caps().open(), gate.caps().open_on(3)), (1, 1));
    drop(admission);
    assert_eq!((gate.caps().open(), gate.caps().addresses()), (0, 0));
}

/// A request in which everything is wrong; each step puts right what was named.
#[test]
fn the_rows_stand_in_their_order() {
    let mut config = config();
    config.limits.address = AddressLimits { connections: 0, handshakes: hourly(1) };
    config.limits.connections = 0;
    config.routes[2].connections = Some(0);
    let worst = || Asked::plain("/echo").with("origin", "https://evil.net").with("content-length", "0");
    let mut asked = worst().by(Method::POST);
    asked.version = Version::HTTP_10;
    let gate = Gate::new(&config, None);
    let expect = |asked: &Asked, malformed| assert_eq!(refusal(&gate, asked), Some(Refusal::Malformed(malformed)));
    expect(&asked, Malformed::NotUpgrade);
    asked = asked.with("upgrade", "h2c");
    expect(&asked, Malformed::Method);
    asked = asked.by(Method::GET);
    expect(&asked, Malformed::OldHttp);
    asked.version = Version::HTTP_11;
    expect(&asked, Malformed::UpgradeToken);
    asked = asked.with("upgrade", "websocket");
    expect(&asked, Malformed::ConnectionToken);
    asked = asked.with("connection", "upgrade");
    expect(&asked, Malformed::KeyAbsent);
    asked = asked.with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    expect(&asked, Malformed::Version);
    asked = asked.with("sec-websocket-version", "13");
    assert!(matches!(refusal(&gate, &asked), Some(Refusal::Origin(_))));
    asked = asked.with("origin", "https://example.com");
    assert_eq!(refusal(&gate, &asked), Some(Refusal::AddressCap));
    assert!(matches!(refusal(&gate, &asked), Some(Refusal::AddressRate { .. })));
    config.limits.address = AddressLimits { connections: 9, handshakes: None };
    assert_eq!(refusal(&Gate::new(&config, Some(&gate)), &asked), Some(Refusal::GatewayFull));
    config.limits.connections = 9;
    assert_eq!(refusal(&Gate::new(&config, Some(&gate)), &asked), Some(Refusal::RouteFull));
    config.routes[2].connections = None;
    assert_eq!(refusal(&Gate::new(&config, Some(&gate)), &asked), None);
}

#[test]
fn rfc9112_3_2_2_the_target_names_the_host() {
    let mut config = config();
    config.routes.push(crate::config::Route { host: Some("vip.example".to_owned()), ..route("/echo", hub(false)) });
    let gate = Gate::new(&config, None);
    let route_of = |asked: &Asked| admitted(&gate, asked).route;
    assert_eq!(route_of(&Asked::upgrade("/echo")), 2);
    let by_header = Asked::upgrade("/echo").with("host", "VIP.example:8443").without("origin");
    assert_eq!(route_of(&by_header), 5);
    let by_target = Asked::upgrade("https://vip.example/echo").with("origin", "https://vip.example");
    assert_eq!(route_of(&by_target), 5);
}

#[test]
fn rfc9110_9_3_6_connect_has_no_route() {
    let tunnel = Asked::plain("example.com:443").by(Method::CONNECT);
    assert_eq!(refusal(&gate(), &tunnel), Some(Refusal::Malformed(Malformed::Method)));
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    let mut config = config();
    config.limits.address.connections = 1;
    let gate = Gate::new(&config, None);
    let behind = |client: &str| Asked::upgrade("/echo").from("10.0.0.1").with("x-forwarded-for", client);
    let first = admitted(&gate, &behind("192.0.2.1"));
    assert_eq!(first.client.to_string(), "192.0.2.1");
    assert_eq!(refusal(&gate, &behind("192.0.2.1")), Some(Refusal::AddressCap));
    assert_eq!(refusal(&gate, &behind("192.0.2.2")), None);
    // Said by somebody who is not trusted, the same header changes nothing.
    let forged = Asked::upgrade("/echo").with("x-forwarded-for", "192.0.2.99");
    assert_eq!(refusal(&gate, &forged), Some(Refusal::AddressCap));
}

#[test]
fn a_reload_brings_new_rules_and_keeps_the_counts() {
    let mut config = config();
    let old = Gate::new(&config, None);
    let open = admitted(&old, &Asked::upgrade("/echo"));
    let standing = old.enter(open.client).unwrap();
    config.limits.address.connections = 1;
    config.limits.pending_per_address = 1;
    config.routes[4].origins = Origins::Any;
    let new = Gate::new(&config, Some(&old));
    assert_eq!(refusal(&new, &Asked::upgrade("/echo")), Some(Refusal::AddressCap));
    assert_eq!(new.enter(open.client).unwrap_err(), DoorFull::Address);
    drop((open, standing, old));
    assert_eq!(refusal(&new, &Asked::upgrade("/quiet").with("origin", "https://evil.net")), None);
    assert_eq!((new.caps().open(), new.door().pending()), (0, 0));
}

#[test]
fn a_forgotten_proxy_is_named_once() {
    let gate = gate();
    let asked = Asked::upgrade("/echo").with("x-forwarded-for", "198.51.100.7");
    let texts: Vec<_> = (0..50).filter_map(|_| gate.suspicion(&asked.arrival())).collect();
    assert_eq!(texts.len(), 1);
    let after_reload = Gate::new(&config(), Some(&gate));
    assert!((0..50).all(|_| after_reload.suspicion(&asked.arrival()).is_none()));
    assert!(gate.trusts("10.0.0.1".parse().unwrap()) && !gate.trusts(asked.peer));
}
