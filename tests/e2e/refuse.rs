//! Refusals in both manners, row by row of the contract's table: as HTTP, and as a WebSocket that is closed at once.

use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use wsgate::Phase;

use crate::support::backend::Backend;
use crate::support::frames::{CLOSE, TEXT, client};
use crate::support::peer::{ACCEPT, upgrade_request};
use crate::support::{Answer, Peer, Running, gateway, log, logged};

/// A gateway with this route at `/ws`, refusing in the manner of `refuse`, with these lines of the top level.
fn site(refuse: &str, top: &str, route: &str) -> Running {
    gateway(&format!(
        "{top}\n[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/ws\"\n{refuse}\n{route}\n\
         [[route]]\npath = \"/page\"\n{refuse}\nhub = {{}}\n"
    ))
}

const HTTP: &str = "refuse = \"http\"";
const TOLD: &str = "refuse = \"close\"";
const ECHO: &str = "echo = {}";

fn proxy(url: &str, pool: &str) -> String {
    format!("proxy = {{ pool = \"p\", profile = \"legacy\" }}\n[pool.p]\nbackends = [\"{url}\"]\n{pool}")
}

async fn ask(gateway: &Running, request: &str) -> (Peer, Answer) {
    let mut peer = gateway.connect().await;
    peer.send(request.as_bytes()).await;
    let answer = peer.answer().await;
    (peer, answer)
}

/// What stands in the Close that follows the 101; then the goodbye is said to its end.
async fn told(mut peer: Peer, answer: &Answer) -> (u16, String) {
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Accept")), (101, Some(ACCEPT)), "{answer:?}");
    let close = peer.frame().await;
    assert_eq!(close.opcode, CLOSE);
    let said = (close.code(), close.reason());
    peer.send(&client(CLOSE, &close.payload)).await;
    peer.clean_end().await;
    said
}

/// Refused with this status where it is HTTP, and told with this code where it is a Close; the words are the same, and
/// so is the reason under which it is counted.
async fn both(gateways: [&Running; 2], more: &[&str], expected: (u16, u16), words: &str, counted: &str) {
    let [http, close] = gateways;
    let request = upgrade_request("/ws", more);
    let (mut peer, answer) = ask(http, &request).await;
    assert_eq!((answer.status, answer.body.as_str()), (expected.0, format!("{words}\n").as_str()), "{counted}");
    peer.clean_end().await;
    let (peer, answer) = ask(close, &request).await;
    assert_eq!(told(peer, &answer).await, (expected.1, words.to_owned()), "{counted}");
    for gateway in gateways {
        gateway.until_metric(&format!("wsgate_requests_refused_total{{reason=\"{counted}\"}}"), 1.0).await;
    }
}

#[tokio::test]
async fn what_is_no_sound_upgrade_stays_http() {
    let sound = upgrade_request("/ws", &[]);
    let without = |line: &str| sound.replace(line, "");
    let large = format!("X-Large: {}", "x".repeat(20 << 10));
    let mut late = Vec::new();
    for refuse in [HTTP, TOLD] {
        let hasty = site(refuse, "handshake_timeout = \"1500ms\"", ECHO);
        let mut slow = hasty.connect().await;
        slow.send(b"GET /ws HTTP/1.1\r\nHost: a\r\n").await;
        late.push((refuse, hasty, slow));
        let gateway = site(refuse, "", ECHO);
        for (request, status) in [
            (upgrade_request("/ws", &[&large]), 431),
            ("hello\r\n\r\n".to_owned(), 400),
            (upgrade_request("/ws", &["Content-Length: 1", "Content-Length: 1"]), 400),
            (upgrade_request("/ws", &["X: a\rb"]), 400),
            (upgrade_request("/ws", &["Host: other"]), 400),
            (without("Host: test.example\r\n"), 400),
            (upgrade_request("/nowhere", &[]), 404),
            ("GET /page HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
            ("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), 426),
            (sound.replacen("GET", "POST", 1), 405),
            (sound.replacen("HTTP/1.1", "HTTP/1.0", 1), 400),
            (sound.replace("Upgrade: websocket", "Upgrade: h2c"), 400),
            (sound.replace("Connection: Upgrade", "Connection: keep-alive"), 400),
            (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
            (upgrade_request("/ws", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]), 400),
            (sound.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 400),
            (upgrade_request("/ws", &["X-Sec-WebSocket-Key: x"]), 400),
            (sound.replace("Version: 13", "Version: 8"), 426),
            (upgrade_request("/ws", &["Sec-WebSocket-Protocol: a b"]), 400),
            // Two faults at once: it is not sound, whatever its origin.
            (upgrade_request("/ws", &["Origin: http://evil.example"]).replace("Version: 13", "Version: 8"), 426),
        ] {
            let (_, answer) = ask(&gateway, &request).await;
            assert_eq!(answer.status, status, "{refuse}: {request}");
        }
    }
    for (refuse, _, slow) in &mut late {
        assert_eq!(slow.answer().await.status, 408, "{refuse}");
    }
}

#[tokio::test]
async fn all_well_is_all_well_in_both_manners() {
    for refuse in [HTTP, TOLD, "refuse = 4001"] {
        let gateway = site(refuse, "", ECHO);
        let mut peer = gateway.open("/ws").await;
        peer.say("hello").await;
        assert_eq!(peer.message().await.text(), "hello", "{refuse}");
    }
}

#[tokio::test]
async fn an_origin_that_is_not_allowed() {
    for (more, route, words, counted) in [
        (&["Origin: http://evil.example"][..], ECHO, "pages of this Origin are not allowed here", "origin_not_allowed"),
        (&["Origin: null", "Origin: null"], ECHO, "the request has more than one Origin", "origin_twice"),
        (&[], "require_origin = true\necho = {}", "a request without Origin is not allowed here", "origin_absent"),
    ] {
        let (http, close) = (site(HTTP, "", route), site(TOLD, "", route));
        both([&http, &close], more, (403, 1008), words, counted).await;
    }
}

#[tokio::test]
async fn caps_and_rates() {
    for (limits, own, status, words, counted) in [
        ("connections_per_address = 1", "", 429, "your address has too many open connections", "address_cap"),
        ("handshakes_per_address = \"1/h\"", "", 429, "your address opens connections too fast", "address_rate"),
        ("connections = 1", "", 503, "the gateway has no room for more connections", "gateway_full"),
        ("", "connections = 1", 503, "there is no room for more connections here", "route_full"),
    ] {
        let (top, route) = (format!("limits = {{ {limits} }}"), format!("limits = {{ {own} }}\n{ECHO}"));
        let (http, close) = (site(HTTP, &top, &route), site(TOLD, &top, &route));
        let _open = (http.open("/ws").await, close.open("/ws").await);
        both([&http, &close], &[], (status, 1013), words, counted).await;
    }
}

#[tokio::test]
async fn a_pool_that_is_full() {
    let backend = Backend::bind().await;
    let route = proxy(&backend.url(), "connections_per_backend = 1");
    let (http, close) = (site(HTTP, "", &route), site(TOLD, "", &route));
    let _one = tokio::join!(http.open("/ws"), backend.upgrade(&[]));
    let _two = tokio::join!(close.open("/ws"), backend.upgrade(&[]));
    both([&http, &close], &[], (503, 1013), "no backend has room for more connections", "backends_full").await;
}

#[tokio::test]
async fn a_queue_that_took_too_long() {
    let backend = Backend::bind().await;
    let route = proxy(&backend.url(), "connections_per_backend = 1\nqueue = 1\nqueue_timeout = \"50ms\"");
    let (http, close) = (site(HTTP, "", &route), site(TOLD, "", &route));
    let _one = tokio::join!(http.open("/ws"), backend.upgrade(&[]));
    let _two = tokio::join!(close.open("/ws"), backend.upgrade(&[]));
    both([&http, &close], &[], (503, 1013), "no backend had room in time", "queue_timeout").await;
}

#[tokio::test]
async fn a_pool_that_is_out_of_service() {
    let (_socket, url) = refusing();
    let route = proxy(&url, "eject_after = 1\neject_last = true\nretries = 0");
    let (http, close) = (site(HTTP, "", &route), site(TOLD, "", &route));
    for gateway in [&http, &close] {
        let (_, answer) = ask(gateway, &upgrade_request("/ws", &[])).await;
        assert!(matches!(answer.status, 502 | 101), "it fails, and is left alone: {answer:?}");
    }
    both([&http, &close], &[], (503, 1013), "no backend is in service", "no_backend").await;
}

/// An address that refuses every connection and that nobody else gets: bound, but not listening.
fn refusing() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let url = format!("ws://{}", socket.local_addr().expect("address"));
    (socket, url)
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached() {
    let (_socket, url) = refusing();
    let route = proxy(&url, "");
    let (http, close) = (site(HTTP, "", &route), site(TOLD, "", &route));
    both([&http, &close], &[], (502, 1013), "the backend could not be reached", "backend_refused").await;
}

#[tokio::test]
async fn a_backend_that_is_too_slow() {
    // It takes connections, and never says a word: neither TLS, nor an answer.
    let backend = Backend::bind().await;
    for route in [
        proxy(&format!("wss://{}", backend.address), "connect_timeout = \"50ms\""),
        proxy(&backend.url(), "answer_timeout = \"50ms\""),
    ] {
        let (http, close) = (site(HTTP, "", &route), site(TOLD, "", &route));
        both([&http, &close], &[], (504, 1013), "the backend did not answer in time", "backend_timeout").await;
    }
}

/// A backend that says the same to everybody.
fn saying(backend: Backend, said: &'static str) -> String {
    let url = backend.url();
    tokio::spawn(async move {
        loop {
            let mut far = backend.wait().await;
            far.head().await;
            far.send(said.as_bytes()).await;
            far.finish().await;
        }
    });
    url
}

#[tokio::test]
async fn a_backend_that_answers_nonsense() {
    let url = saying(Backend::bind().await, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (http, close) = (site(HTTP, "", &proxy(&url, "")), site(TOLD, "", &proxy(&url, "")));
    let words = "the backend did not answer as a WebSocket server";
    both([&http, &close], &[], (502, 1011), words, "backend_nonsense").await;
}

#[tokio::test]
async fn a_backends_own_refusal() {
    let url = saying(Backend::bind().await, "HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nlog in");
    let (http, close) = (site(HTTP, "", &proxy(&url, "")), site(TOLD, "", &proxy(&url, "")));
    let (_, answer) = ask(&http, &upgrade_request("/ws", &[])).await;
    assert_eq!((answer.status, answer.body.as_str()), (403, "log in"));
    let (peer, answer) = ask(&close, &upgrade_request("/ws", &[])).await;
    assert_eq!(told(peer, &answer).await, (1008, "the backend refused with status 403".to_owned()));
    close.until_metric("wsgate_requests_refused_total{reason=\"backend_status\"}", 1.0).await;
}

#[tokio::test]
async fn a_head_over_the_backends_budget() {
    let backend = Backend::bind().await;
    let route = proxy(&backend.url(), "");
    let (http, close) = (site(HTTP, "", &route), site(TOLD, "", &route));
    let cookie = format!("Cookie: PHPSESSID={}", "p".repeat(2000));
    let (_, answer) = ask(&http, &upgrade_request("/ws", &[&cookie])).await;
    assert_eq!(answer.status, 431);
    let (peer, said) = ask(&close, &upgrade_request("/ws", &[&cookie])).await;
    assert_eq!(told(peer, &said).await, (1008, answer.body.trim_end().to_owned()));
}

#[tokio::test]
async fn a_route_may_have_a_code_of_its_own() {
    let gateway = site("refuse = 4403", "", ECHO);
    let (peer, answer) = ask(&gateway, &upgrade_request("/ws", &["Origin: http://evil.example"])).await;
    assert_eq!(told(peer, &answer).await, (4403, "pages of this Origin are not allowed here".to_owned()));
}

/// A browser that hears of no subprotocol, though it has offered some, tells its page of that fault alone.
#[tokio::test]
async fn the_101_names_a_subprotocol_and_what_a_client_says_is_not_heard() {
    log();
    let gateway = site(TOLD, "", ECHO);
    let lines = ["Origin: http://evil.example", "Sec-WebSocket-Protocol: chat, superchat"];
    let mut peer = gateway.connect().await;
    let early = client(TEXT, b"before I knew");
    peer.send(&[upgrade_request("/ws", &lines).as_bytes(), &early].concat()).await;
    let answer = peer.answer().await;
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), Some("chat"));
    let close = peer.frame().await;
    assert_eq!((close.opcode, close.code()), (CLOSE, 1008), "no echo in front of it");
    peer.say("and after").await;
    peer.send(&client(CLOSE, &close.payload)).await;
    peer.clean_end().await;
    drop(peer);
    gateway.until_metric("wsgate_tcp_connections_pending", 0.0).await;
    let opened = gateway.metric("wsgate_websockets_opened_total{route=\"/ws\"}").await;
    assert!(opened.abs() < f64::EPSILON, "it never was a session: {opened}");
    logged(&["connection ended", "status=101", "pages of this Origin are not allowed here, told with 1008"]).await;
}

#[tokio::test]
async fn whoever_does_not_go_stands_at_the_door_and_is_cut() {
    let top = "limits = { close_timeout = \"2s\", pending_per_address = 2 }";
    let gateway = site(TOLD, top, ECHO);
    let started = Instant::now();
    let request = upgrade_request("/ws", &["Origin: http://evil.example"]);
    let mut stubborn = Vec::new();
    for _ in 0..2 {
        let (mut peer, answer) = ask(&gateway, &request).await;
        assert_eq!((answer.status, peer.frame().await.code()), (101, 1008));
        stubborn.push(peer);
    }
    // Both are still counted as pending: there is no room for a third.
    gateway.connect().await.end().await;
    gateway.until_metric("wsgate_door_closed_total{reason=\"door_address\"}", 1.0).await;
    for mut peer in stubborn {
        peer.end().await;
    }
    assert!(started.elapsed() < Duration::from_millis(4800), "the default is 5 s: {:?}", started.elapsed());
    gateway.open("/ws").await;
}

#[tokio::test]
async fn a_drain_waits_for_a_goodbye() {
    let gateway = site(TOLD, "limits = { close_timeout = \"10m\" }\ndrain_timeout = \"10m\"", ECHO);
    let (mut peer, answer) = ask(&gateway, &upgrade_request("/ws", &["Origin: http://evil.example"])).await;
    assert_eq!(answer.status, 101);
    let close = peer.frame().await;
    gateway.handle.drain();
    peer.send(&client(CLOSE, &close.payload)).await;
    // Only one Close, though the drain sends everybody home.
    peer.clean_end().await;
    drop(peer);
    gateway.handle.reached(Phase::Stopped).await;
    assert_eq!(gateway.stop().cut, 0);
}
