//! The admin door's desk: pools as they stand, and a route, a backend or all of the gateway emptied from there.

use serde_json::{Value, json};

use crate::desk::{ask, desk, get, raw, with_routes};
use crate::support::backend::{Backend, relay};
use crate::support::peer::upgrade_request;
use crate::support::{Peer, Running, frames, parse, within};

fn proxy(urls: &[&str], more: &str) -> String {
    format!("[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"app\" }}\n[pool.app]\nbackends = {urls:?}\n{more}\n")
}

async fn talking(gateway: &Running, path: &str) -> Peer {
    let mut peer = gateway.open(path).await;
    echoes(&mut peer).await;
    peer
}

async fn echoes(peer: &mut Peer) {
    peer.say("hello").await;
    assert_eq!(peer.message().await.text(), "hello");
}

async fn is_told(mut peer: Peer, code: u16, reason: &str) {
    let close = peer.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (code, reason));
    peer.agree(&close).await;
}

/// Where each session leads, by backend.
async fn led_to(gateway: &Running) -> Vec<Value> {
    let list = get(gateway, "/connections").await;
    list["connections"].as_array().expect("list").iter().map(|one| one["backend"].clone()).collect()
}

#[tokio::test]
async fn backends_are_shown_as_they_stand() {
    let (good, bad) = (Backend::bind().await.echo(), "ws://127.0.0.1:9");
    let more = "connections_per_backend = 7\nbalance = \"round_robin\"\nqueue = 3\nretries = 1\nretry_budget = 100\n\
        eject_after = 1\neject_time = \"1h\"\neject_max = \"1h\"";
    let (gateway, _folder) = with_routes("", &proxy(&[&good, bad], more));
    let _sessions = [talking(&gateway, "/ws").await, talking(&gateway, "/ws").await];
    let shown = get(&gateway, "/backends").await;
    let pool = &shown["pools"][0];
    assert_eq!(
        (&pool["pool"], &pool["waiting"], &pool["queue"], &pool["retries"]),
        (&json!("app"), &json!(0), &json!(3), &json!(1)),
        "{shown}"
    );
    let expected = json!({
        "backend": good, "usable": true, "drained": false, "ejected_seconds": null, "checks": null, "failures": 0,
        "ejections": 0, "open": 2, "max": 7, "handshakes": 0, "weight": 1, "backup": false
    });
    assert_eq!(pool["backends"][0], expected);
    let ejected = &pool["backends"][1];
    assert_eq!((&ejected["usable"], &ejected["ejections"], &ejected["open"]), (&json!(false), &json!(1), &json!(0)));
    assert!(ejected["ejected_seconds"].as_f64().is_some_and(|left| left > 3000.0 && left <= 3600.0), "{ejected}");
    assert_eq!(get(&gateway, "/backends?pool=none").await, json!({ "pools": [] }));
    for (line, status, code) in [
        ("GET /backends?pools=app", 400, "bad_query"),
        ("GET /backends/app", 404, "no_such_path"),
        ("DELETE /backends", 405, "bad_method"),
    ] {
        let (have, value) = ask(&gateway, line, None).await;
        assert_eq!((have, &value["code"]), (status, &json!(code)), "{line}");
    }
}

#[tokio::test]
async fn health_checks_are_shown() {
    let url = Backend::bind().await.echo();
    let (gateway, _folder) = with_routes("", &proxy(&[&url], "health = \"tcp\""));
    within("a check", async {
        loop {
            let shown = get(&gateway, "/backends").await;
            let checks = &shown["pools"][0]["backends"][0]["checks"];
            assert_eq!(checks["passing"], json!(true), "{shown}");
            if checks["last_seconds_ago"].is_f64() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_drained_backend_loses_its_sessions_and_gets_no_new_ones_until_it_is_brought_back() {
    let (one, two) = (Backend::bind().await.echo(), Backend::bind().await.echo());
    let routes = proxy(&[&one, &two], "balance = \"round_robin\"");
    let (gateway, folder) = with_routes("", &routes);
    let (first, mut second) = (talking(&gateway, "/ws").await, talking(&gateway, "/ws").await);
    assert_eq!(led_to(&gateway).await.len(), 2);
    let body = json!({ "pool": "app", "backend": one });
    let (status, drain) = ask(&gateway, "POST /drain", Some(&body)).await;
    assert_eq!((status, &drain["pool"], &drain["backend"]), (202, &json!("app"), &json!(one)), "{drain}");
    is_told(first, 1012, "service restart").await;
    echoes(&mut second).await;
    assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await.0, 200, "once is enough");
    let mut more = Vec::new();
    for _ in 0..4 {
        more.push(talking(&gateway, "/ws").await);
    }
    within("the first to be gone", async { while led_to(&gateway).await != vec![json!(two); 5] {} }).await;
    let shown = get(&gateway, "/backends").await;
    let shown = &shown["pools"][0]["backends"][0];
    assert_eq!((&shown["drained"], &shown["usable"], &shown["open"]), (&json!(true), &json!(false), &json!(0)));
    let list = get(&gateway, "/drain").await;
    let drain = &list["drains"][0];
    assert_eq!((&drain["left"], &drain["open"], &drain["backend"]), (&json!(0), &json!(0), &json!(one)), "{list}");
    // A reload that has it too brings nobody back.
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}/token\"\n", folder.path().display());
    gateway.handle.reload(parse(&format!("workers = 2\n{admin}{routes}"))).expect("reload");
    more.push(talking(&gateway, "/ws").await);
    assert_eq!(led_to(&gateway).await, vec![json!(two); 6]);
    let query = format!("pool=app&backend={}", one.replace(':', "%3A"));
    assert_eq!(ask(&gateway, &format!("DELETE /drain?{query}"), None).await.0, 200);
    assert_eq!(get(&gateway, "/drain").await, json!({ "gateway": null, "drains": [], "missing": 0 }));
    for _ in 0..2 {
        more.push(talking(&gateway, "/ws").await);
    }
    assert!(led_to(&gateway).await.contains(&json!(one)));
    let (status, value) = ask(&gateway, &format!("DELETE /drain?{query}"), None).await;
    assert_eq!((status, &value["code"]), (404, &json!("not_drained")));
}

#[tokio::test]
async fn who_was_being_let_in_as_a_drain_began_is_sent_home_too() {
    let backend = Backend::bind().await;
    let (gateway, _folder) = with_routes("", &proxy(&[&backend.url()], ""));
    let mut late = gateway.connect().await;
    late.send(upgrade_request("/ws", &[]).as_bytes()).await;
    let behind = backend.accept().await;
    let body = json!({ "pool": "app", "backend": backend.url() });
    assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await.0, 202);
    // The last that is drained is not used for want of another either.
    let none = gateway.ask(&upgrade_request("/ws", &[])).await;
    assert_eq!((none.status, none.header("retry-after")), (503, Some("5")), "{none:?}");
    let (_behind, _) = crate::support::backend::upgrade(behind, &[]).await;
    assert_eq!(late.answer().await.status, 101);
    is_told(late, 1012, "service restart").await;
}

/// RFC 6455 §5.5.1: who has got a Close may have said something before it saw that.
#[tokio::test]
async fn nothing_is_lost_of_what_either_end_said_before_it_knew_of_the_drain() {
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let (gateway, _folder) = with_routes("", &relay(profile, &[&backend.url()], ""));
        let (mut behind, mut peer) = tokio::join!(async { backend.upgrade(&[]).await.0 }, gateway.open("/ws"));
        let answer = if profile == "transparent" { frames::server } else { frames::client };
        behind.send(&answer(1, b"pushed")).await;
        let body = json!({ "pool": profile, "backend": backend.url() });
        assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await.0, 202);
        assert_eq!(peer.message().await.text(), "pushed");
        let close = peer.message().await;
        assert_eq!((close.code(), close.reason().as_str()), (1012, "service restart"));
        for late in ["late", "later"] {
            peer.say(late).await;
            assert_eq!(behind.message().await.text(), late, "{profile}");
        }
        peer.agree(&close).await;
        if profile == "transparent" {
            assert_eq!(behind.message().await.code(), 1001, "and not before");
        } else {
            assert_eq!(behind.rest().await, b"", "it would take a Close for a message");
        }
    }
}

#[tokio::test]
async fn a_backend_learns_of_the_end_when_its_client_does_not_answer_the_close() {
    let backend = Backend::bind().await;
    let routes = relay("transparent", &[&backend.url()], "");
    let (gateway, _folder) =
        with_routes("", &routes.replacen("[pool", "limits = { close_timeout = \"50ms\" }\n[pool", 1));
    for hangs_up in [true, false] {
        let (mut behind, mut peer) = tokio::join!(async { backend.upgrade(&[]).await.0 }, gateway.open("/ws"));
        let gone = "DELETE /connections?route=/ws&code=1012";
        assert_eq!(ask(&gateway, gone, None).await.0, 202);
        assert_eq!(peer.message().await.code(), 1012);
        let kept = (!hangs_up).then_some(peer);
        assert_eq!(behind.message().await.code(), 1001);
        drop(kept);
    }
}

#[tokio::test]
async fn what_is_said_in_a_room_before_the_close_is_seen_is_said() {
    let (gateway, _folder) = desk("", "");
    for (room, code, is_said) in [("home", 1012, true), ("out", 1008, false)] {
        let mut peer = gateway.enter(&format!("/chat/{room}")).await;
        assert_eq!(ask(&gateway, &format!("DELETE /connections?route=/chat&code={code}"), None).await.0, 202);
        let close = peer.message().await;
        assert_eq!(close.code(), code);
        peer.say("late").await;
        peer.agree(&close).await;
        let heard = get(&gateway, &format!("/rooms/{room}/messages")).await["messages"].clone();
        let texts: Vec<_> = heard.as_array().expect("messages").iter().map(|message| &message["text"]).collect();
        assert_eq!(texts, if is_said { vec!["late"] } else { vec![] });
    }
}

#[tokio::test]
async fn a_drained_route_sends_home_and_says_503() {
    let echo = |path: &str| format!("[[route]]\npath = \"{path}\"\necho = {{}}\n");
    let (gateway, folder) = with_routes("", &(echo("/echo") + &echo("/other")));
    let (one, mut other) = (talking(&gateway, "/echo").await, talking(&gateway, "/other").await);
    let body = json!({ "route": "/echo" });
    assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await.0, 202);
    is_told(one, 1012, "service restart").await;
    echoes(&mut other).await;
    let refused = gateway.ask(&upgrade_request("/echo", &[])).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    assert_eq!(refused.body, "nobody is let in here for a time\n");
    gateway.until_metric("wsgate_requests_refused_total{reason=\"route_drained\"}", 1.0).await;
    // Without the route there is nothing to be drained; with it again there is a new one.
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}/token\"\n", folder.path().display());
    let reload = |routes: String| {
        gateway.handle.reload(parse(&format!("workers = 2\n{admin}{routes}"))).expect("reload");
    };
    reload(echo("/echo") + &echo("/other"));
    assert_eq!(gateway.ask(&upgrade_request("/echo", &[])).await.status, 503);
    reload(echo("/other"));
    assert_eq!(get(&gateway, "/drain").await["drains"], json!([]));
    reload(echo("/echo") + &echo("/other"));
    let _back = talking(&gateway, "/echo").await;
    assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await.0, 202);
    assert_eq!(get(&gateway, "/drain").await["drains"][0]["route"], json!("/echo"));
    assert_eq!(ask(&gateway, "DELETE /drain?route=/echo", None).await.0, 200);
    talking(&gateway, "/echo").await;
}

#[tokio::test]
async fn pages_of_a_drained_route_are_served_on_and_those_of_a_drained_backend_elsewhere() {
    let (chat, site) = (Backend::bind().await.echo(), Backend::bind().await);
    let url = site.url().replace("ws://", "http://");
    let routes = format!(
        "[[route]]\npath = \"/\"\nproxy = {{ pool = \"chat\" }}\nhttp = {{ pool = \"site\" }}\n\
         [pool.chat]\nbackends = [\"{chat}\"]\n[pool.site]\nbackends = [\"{url}\"]\n"
    );
    let (gateway, _folder) = with_routes("", &routes);
    let peer = talking(&gateway, "/").await;
    assert_eq!(ask(&gateway, "POST /drain", Some(&json!({ "route": "/" }))).await.0, 202);
    is_told(peer, 1012, "service restart").await;
    assert_eq!(gateway.ask(&upgrade_request("/", &[])).await.body, "nobody is let in here for a time\n");
    let page = "GET /page HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n\r\n";
    let (answer, ()) = tokio::join!(gateway.ask(page), async {
        let mut served = site.accept().await;
        assert!(served.head().await.starts_with("GET /page "));
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    });
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
    // A backend that is to be stopped gets no pages either.
    assert_eq!(ask(&gateway, "POST /drain", Some(&json!({ "pool": "site", "backend": url }))).await.0, 202);
    let none = gateway.ask(page).await;
    assert_eq!((none.status, none.header("retry-after")), (503, Some("5")), "{none:?}");
}

#[tokio::test]
async fn the_whole_gateway_is_drained_from_its_admin_door() {
    let (gateway, _folder) = with_routes("", "[[route]]\npath = \"/echo\"\necho = {}\n");
    let peer = talking(&gateway, "/echo").await;
    let body = json!({ "gateway": true });
    assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await, (202, json!({ "gateway": true })));
    assert_eq!(gateway.handle.phase(), wsgate::Phase::Draining);
    assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await.0, 202, "and nobody is cut by that");
    let (status, value) = ask(&gateway, "DELETE /drain?gateway=true", None).await;
    assert_eq!((status, &value["code"]), (409, &json!("too_late")));
    assert_eq!(get(&gateway, "/drain").await["gateway"]["left"].as_i64().map(|left| left <= 1), Some(true));
    is_told(peer, 1001, "the gateway is going away").await;
    within("the end", gateway.handle.reached(wsgate::Phase::Stopped)).await;
}

#[tokio::test]
async fn what_is_asked_wrongly_of_drains_is_told() {
    let (gateway, _folder) = with_routes("", &proxy(&["ws://127.0.0.1:9"], ""));
    for (line, body, status, code) in [
        ("GET /drain?x=1", None, 400, "bad_query"),
        ("GET /drain/x", None, 404, "no_such_path"),
        ("POST /drain", None, 415, "not_json"),
        ("POST /drain", Some(json!({})), 422, "bad_field"),
        ("POST /drain", Some(json!({ "rout": "/ws" })), 422, "bad_field"),
        ("POST /drain", Some(json!({ "pool": "app" })), 422, "bad_field"),
        ("POST /drain", Some(json!({ "gateway": true, "route": "/ws" })), 422, "bad_field"),
        ("POST /drain", Some(json!({ "route": "/wss" })), 404, "no_such_route"),
        ("POST /drain", Some(json!({ "pool": "app", "backend": "ws://127.0.0.1:10" })), 404, "no_such_backend"),
        ("POST /drain", Some(json!({ "pool": "ap", "backend": "ws://127.0.0.1:9" })), 404, "no_such_backend"),
        ("DELETE /drain", None, 422, "bad_field"),
        ("DELETE /drain?route=/ws", None, 404, "not_drained"),
        ("PUT /drain", Some(json!({})), 405, "bad_method"),
    ] {
        let (have, value) = ask(&gateway, line, body.as_ref()).await;
        assert_eq!((have, &value["code"]), (status, &json!(code)), "{line} {value}");
    }
    let request = "OPTIONS /drain HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n";
    assert_eq!(raw(&gateway, request).await.header("allow"), Some("GET, POST, DELETE"));
}
