//! Who may come in and how often: caps by address, route and gateway, proxies that are believed, and the door.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::support::backend::Backend;
use crate::support::frames::{self, CLOSE, TEXT};
use crate::support::peer::upgrade_request;
use crate::support::tls::localhost;
use crate::support::{Answer, Peer, Running, gateway, log, logged, parse, within};

const ECHO: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/echo\"\necho = {}\n";
const OPEN: &str = "wsgate_websockets_open{route=\"/echo\"}";
const PENDING: &str = "wsgate_tcp_connections_pending";

/// A gateway with an echo, these limits, and these lines at the top.
fn limited(top: &str, limits: &str) -> Running {
    gateway(&format!("{top}\n[limits]\n{limits}\n{ECHO}"))
}

/// A connection from another address of this machine.
async fn connect_from(gateway: &Running, address: [u8; 4]) -> Peer {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind(SocketAddr::from((address, 0))).expect("bind");
    let to = gateway.address().parse().expect("address");
    Peer::new(within("a connection", socket.connect(to)).await.expect("connect"))
}

async fn ask(gateway: &Running, lines: &[&str]) -> (Peer, Answer) {
    let mut peer = gateway.connect().await;
    let answer = peer.upgrade("/echo", lines).await;
    (peer, answer)
}

async fn status(gateway: &Running, lines: &[&str]) -> (Peer, u16) {
    let (peer, answer) = ask(gateway, lines).await;
    (peer, answer.status)
}

async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

async fn close(mut peer: Peer) {
    peer.send(&frames::client(CLOSE, &frames::close(1000, ""))).await;
    assert_eq!(peer.message().await.code(), 1000);
    peer.end().await;
}

// Caps on open WebSockets.

#[tokio::test]
async fn the_sixth_socket_of_an_address_is_429_until_one_of_the_five_has_ended() {
    let gateway = limited("", "connections_per_address = 5");
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(gateway.open("/echo").await);
    }
    // All are idle: what counts is the session, not the request.
    for _ in 0..3 {
        let (_, answer) = ask(&gateway, &[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("10")));
    }
    let mut elsewhere = connect_from(&gateway, [127, 0, 0, 2]).await;
    assert_eq!(elsewhere.upgrade("/echo", &[]).await.status, 101, "another address has its own five");
    gateway.until_metric(OPEN, 6.0).await;
    close(open.remove(0)).await;
    gateway.until_metric(OPEN, 5.0).await;
    open.push(gateway.open("/echo").await);
    assert_eq!(status(&gateway, &[]).await.1, 429);
    // One that vanishes without a word makes room as well.
    gateway.until_metric(OPEN, 6.0).await;
    drop(open.remove(0));
    gateway.until_metric(OPEN, 5.0).await;
    open.push(gateway.open("/echo").await);
    assert_eq!(status(&gateway, &[]).await.1, 429);
    for peer in &mut open {
        echoes(peer, "still here").await;
    }
}

#[tokio::test]
async fn pages_and_refusals_take_nothing_from_the_cap() {
    let hub = "[[route]]\npath = \"/chat\"\nhub = {}\n";
    let gateway = gateway(&format!("[limits]\nconnections_per_address = 1\n{ECHO}{hub}"));
    for _ in 0..3 {
        assert_eq!(gateway.ask("GET /chat HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
        assert_eq!(status(&gateway, &["Origin: https://evil.net"]).await.1, 403);
        assert_eq!(gateway.ask(&upgrade_request("/nowhere", &[])).await.status, 404);
    }
    let _open = gateway.open("/echo").await;
    assert_eq!(gateway.ask("GET /chat HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    assert_eq!(gateway.ask(&upgrade_request("/chat", &[])).await.status, 429, "the cap is the gateway's");
}

#[tokio::test]
async fn a_routes_own_caps_are_counted_apart() {
    let routes = "[[route]]\npath = \"/tight\"\necho = {}\nlimits = { connections_per_address = 1 }\n\
        [[route]]\npath = \"/slow\"\necho = {}\nlimits = { handshakes_per_address = \"1/h\" }\n\
        [[route]]\npath = \"/small\"\necho = {}\nlimits = { connections = 2 }\n";
    let gateway = gateway(&format!("[limits]\nconnections_per_address = 3\n{ECHO}{routes}"));
    let tight = gateway.open("/tight").await;
    assert_eq!(gateway.ask(&upgrade_request("/tight", &[])).await.status, 429);
    let slow = gateway.open("/slow").await;
    let refused = gateway.ask(&upgrade_request("/slow", &[])).await;
    let seconds: u64 = refused.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!(refused.status == 429 && (3000..=3600).contains(&seconds), "{refused:?}");
    // What stands on those two is not counted with the rest; what stands here is.
    let small = (gateway.open("/small").await, gateway.open("/small").await);
    let full = gateway.ask(&upgrade_request("/small", &[])).await;
    assert_eq!((full.status, full.body.as_str()), (503, "there is no room for more connections here\n"));
    let _third = gateway.open("/echo").await;
    assert_eq!(status(&gateway, &[]).await.1, 429);
    gateway.until_metric("wsgate_websockets_open{route=\"/tight\"}", 1.0).await;
    drop((tight, slow, small));
    gateway.until_metric("wsgate_websockets_open{route=\"/tight\"}", 0.0).await;
    gateway.open("/tight").await;
}

#[tokio::test]
async fn the_rate_of_upgrades_is_by_address() {
    let gateway = limited("", "handshakes_per_address = \"3/h\"");
    for expected in [101, 101, 101, 429, 429] {
        assert_eq!(status(&gateway, &[]).await.1, expected);
    }
    let mut elsewhere = connect_from(&gateway, [127, 0, 0, 2]).await;
    assert_eq!(elsewhere.upgrade("/echo", &[]).await.status, 101);
    assert!(
        (gateway.metric("wsgate_requests_refused_total{reason=\"address_rate\"}").await - 2.0).abs() < f64::EPSILON
    );
}

// Proxies that are believed, and others.

const TRUST: &str = "trusted_proxies = [\"127.0.0.1\"]";

#[tokio::test]
async fn behind_a_trusted_proxy_each_forwarded_address_is_counted_by_itself() {
    let gateway = limited(TRUST, "connections_per_address = 1");
    let mut open = Vec::new();
    for (line, expected) in [
        ("X-Forwarded-For: 203.0.113.1", 101),
        ("X-Forwarded-For: 203.0.113.2", 101),
        ("X-Forwarded-For: 203.0.113.1", 429),
        // What stands left of the last hop that the proxy wrote, the client may have made up.
        ("X-Forwarded-For: 198.51.100.9, 203.0.113.2", 429),
        ("X-Forwarded-For: 198.51.100.9, 203.0.113.3", 101),
        ("X-Forwarded-For: 203.0.113.3:4711", 429),
        ("X-Forwarded-For: 203.0.113.4, 127.0.0.1", 101),
        ("X-Forwarded-For: 203.0.113.4", 429),
        ("Forwarded: for=203.0.113.1", 429),
        ("Forwarded: for=203.0.113.5;proto=https", 101),
        ("Forwarded: for=198.51.100.9, for=\"203.0.113.5:80\"", 429),
        ("X-Forwarded-For: 203.0.113.6\r\nForwarded: for=203.0.113.6", 101),
        // Nobody knows which of the two is true, so it is the proxy itself that counts.
        ("X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.8", 101),
        ("X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.8", 429),
        ("X-Forwarded-For: unknown", 429),
    ] {
        let (peer, answer) = ask(&gateway, &[line]).await;
        assert_eq!(answer.status, expected, "{line}");
        open.push(peer);
    }
    assert_eq!(status(&gateway, &[]).await.1, 429, "without a header it is the proxy itself");
}

#[tokio::test]
async fn an_ipv6_subscriber_is_one_address() {
    let gateway = limited(TRUST, "connections_per_address = 1");
    let mut open = Vec::new();
    for (address, expected) in [
        ("2001:db8:1:2::1", 101),
        ("2001:db8:1:2:ffff::9", 429),
        ("[2001:db8:1:2::7]:443", 429),
        ("2001:db8:1:3::1", 101),
        ("::ffff:203.0.113.1", 101),
        ("203.0.113.1", 429),
    ] {
        let (peer, answer) = ask(&gateway, &[&format!("X-Forwarded-For: {address}")]).await;
        assert_eq!(answer.status, expected, "{address}");
        open.push(peer);
    }
}

#[tokio::test]
async fn forwarding_headers_of_others_are_not_believed() {
    let gateway = limited("trusted_proxies = [\"127.0.0.9\"]", "connections_per_address = 1");
    let (_open, first) = status(&gateway, &["X-Forwarded-For: 203.0.113.1"]).await;
    assert_eq!(first, 101);
    for line in ["X-Forwarded-For: 203.0.113.2", "Forwarded: for=203.0.113.3", "X-Real-IP: 203.0.113.4"] {
        assert_eq!(status(&gateway, &[line]).await.1, 429, "{line}");
    }
    let mut proxy = connect_from(&gateway, [127, 0, 0, 9]).await;
    assert_eq!(proxy.upgrade("/echo", &["X-Forwarded-For: 203.0.113.2"]).await.status, 101);
    // A client behind the proxy that is counted as this machine's own address shares with it.
    let mut proxy = connect_from(&gateway, [127, 0, 0, 9]).await;
    assert_eq!(proxy.upgrade("/echo", &["X-Forwarded-For: 127.0.0.1"]).await.status, 429);
}

/// A binary PROXY header (version 2) of a TCP connection from this address.
fn binary(source: std::net::IpAddr) -> Vec<u8> {
    let (family, addresses) = match source {
        std::net::IpAddr::V4(source) => (0x11, [source.octets(), Ipv4Addr::LOCALHOST.octets()].concat()),
        std::net::IpAddr::V6(source) => (0x21, [source.octets(), Ipv6Addr::LOCALHOST.octets()].concat()),
    };
    let payload = [&addresses[..], &[0x12, 0x34, 1, 187]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family, 0, payload.len() as u8][..], &payload].concat()
}

fn proxy_lines() -> Vec<(Vec<u8>, u16)> {
    let text = |line: &str| line.as_bytes().to_vec();
    vec![
        (text("PROXY TCP4 203.0.113.1 127.0.0.1 4660 443\r\n"), 101),
        (text("PROXY TCP4 203.0.113.2 127.0.0.1 4660 443\r\n"), 101),
        (text("PROXY TCP4 203.0.113.1 127.0.0.1 4661 443\r\n"), 429),
        (binary([203, 0, 113, 2].into()), 429),
        (binary([203, 0, 113, 3].into()), 101),
        (text("PROXY TCP6 2001:db8::1 ::1 4660 443\r\n"), 101),
        (binary("2001:db8::2".parse().expect("address")), 429),
        // A connection of the proxy's own, such as a health check, counts as the proxy's; and so does one without.
        (text("PROXY UNKNOWN\r\n"), 101),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), 429),
        (Vec::new(), 429),
    ]
}

#[tokio::test]
async fn a_proxy_header_in_front_of_plain_http_names_the_client() {
    let gateway = limited(TRUST, "connections_per_address = 1");
    let mut open = Vec::new();
    for (header, expected) in proxy_lines() {
        let mut peer = gateway.connect().await;
        let request = [header.clone(), upgrade_request("/echo", &[]).into(), frames::client(TEXT, b"behind")].concat();
        peer.send(&request).await;
        assert_eq!(peer.answer().await.status, expected, "{:?}", String::from_utf8_lossy(&header));
        if expected == 101 {
            assert_eq!(peer.message().await.text(), "behind");
        }
        open.push(peer);
    }
}

#[tokio::test]
async fn a_proxy_header_in_front_of_tls_names_the_client() {
    let tls = localhost();
    let gateway = gateway(&format!("{TRUST}\n[limits]\nconnections_per_address = 1\n{ECHO}{}", tls.config));
    let connector = TlsConnector::from(Arc::new(tls.client()));
    let mut open = Vec::new();
    for (header, expected) in proxy_lines() {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("connect");
        stream.write_all(&header).await.expect("header");
        let name = ServerName::try_from("localhost").expect("name");
        let mut peer = Peer::new(within("a handshake", connector.connect(name, stream)).await.expect("TLS"));
        let answer = peer.upgrade("/echo", &[]).await;
        assert_eq!(answer.status, expected, "{:?}", String::from_utf8_lossy(&header));
        open.push(peer);
    }
}

#[tokio::test]
async fn a_backend_is_told_of_the_client_that_the_proxy_named() {
    let backend = Backend::bind().await;
    let pool = format!(
        "[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"back\" }}\n[pool.back]\nbackends = [\"{}\"]\n",
        backend.url()
    );
    let gateway = gateway(&format!("{TRUST}\n{ECHO}{pool}"));
    for (header, lines, address) in [
        (&b"PROXY TCP4 203.0.113.1 127.0.0.1 4660 443\r\n"[..], &[][..], "203.0.113.1"),
        (b"", &["X-Forwarded-For: 203.0.113.2"], "203.0.113.2"),
        // The client that a PROXY header names is no proxy itself: what it says of others is not believed.
        (b"PROXY TCP4 203.0.113.3 127.0.0.1 4660 443\r\n", &["X-Forwarded-For: 198.51.100.9"], "203.0.113.3"),
    ] {
        let mut peer = gateway.connect().await;
        // Piece by piece: the header may come in as many as it likes.
        for byte in header {
            peer.send(&[*byte]).await;
        }
        let (answer, (_far, head)) = tokio::join!(peer.upgrade("/ws", lines), backend.upgrade(&[]));
        assert_eq!(answer.status, 101);
        assert!(head.contains(&format!("\r\nX-Real-IP: {address}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn a_proxy_header_from_an_untrusted_peer_is_refused_as_not_http() {
    let tls = localhost();
    let plain = limited("", "connections_per_address = 1");
    let secure = gateway(&format!("{ECHO}{}", tls.config));
    for (header, _) in proxy_lines().into_iter().filter(|(header, _)| !header.is_empty()) {
        let request = [header, upgrade_request("/echo", &[]).into()].concat();
        let mut peer = plain.connect().await;
        peer.send(&request).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{answer:?}");
        peer.clean_end().await;
        let mut peer = secure.connect().await;
        let _ = peer.try_send(&request).await;
        if request.starts_with(b"PROXY") {
            assert_eq!(peer.answer().await.status, 400);
        }
        peer.rest().await;
    }
    assert!(plain.metric("wsgate_websockets_opened_total{route=\"/echo\"}").await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_proxy_header_that_is_wrong_ends_the_connection() {
    let gateway = limited(&format!("handshake_timeout = \"10s\"\n{TRUST}"), "");
    for header in [
        "PROXY TCP4 203.0.113.1\r\n".to_owned(),
        "PROXY TCP4 203.0.113.1 127.0.0.1 99999 443\r\n".to_owned(),
        format!("PROXY UNKNOWN {}", "x".repeat(200)),
        "\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c".to_owned(),
    ] {
        let mut peer = gateway.connect().await;
        peer.send(header.as_bytes()).await;
        peer.end().await;
    }
    gateway.until_metric(PENDING, 0.0).await;
}

#[tokio::test]
async fn a_proxy_that_nobody_trusts_is_told_of_exactly_once() {
    let log = log();
    let gateway = limited("", "connections_per_address = 500\nhandshakes_per_address = \"0/s\"");
    let mut open = Vec::new();
    let mut ask_often = async || {
        for at in 0..30 {
            let mut peer = connect_from(&gateway, [127, 0, 0, 77]).await;
            let answer = peer.upgrade("/echo", &[&format!("X-Forwarded-For: 203.0.113.{at}")]).await;
            assert_eq!(answer.status, 101);
            open.push(peer);
        }
    };
    ask_often().await;
    let line = logged(&["came from 127.0.0.77", "looks like a proxy"]).await;
    assert!(line.contains("WARN") && line.contains("trusted_proxies"), "{line}");
    gateway.handle.reload(parse(ECHO)).expect("the same configuration, but for the limits");
    ask_often().await;
    let text = String::from_utf8_lossy(&log.lock().expect("log")).into_owned();
    let lines = text.lines().filter(|line| line.contains("came from 127.0.0.77"));
    assert_eq!(lines.count(), 1, "{text}");
}

// The door.

#[tokio::test]
async fn connections_that_ask_for_nothing_are_capped_by_address() {
    let gateway = limited("", "pending_per_address = 3");
    let mut waiting = vec![gateway.connect().await, gateway.connect().await, gateway.connect().await];
    gateway.until_metric(PENDING, 3.0).await;
    gateway.connect().await.end().await;
    gateway.until_metric("wsgate_door_closed_total{reason=\"door_address\"}", 1.0).await;
    let mut elsewhere = connect_from(&gateway, [127, 0, 0, 2]).await;
    assert_eq!(elsewhere.upgrade("/echo", &[]).await.status, 101);
    // An upgrade leaves the door, and so does one that goes away.
    let mut first = waiting.remove(0);
    assert_eq!(first.upgrade("/echo", &[]).await.status, 101);
    gateway.until_metric(PENDING, 2.0).await;
    let mut next = gateway.open("/echo").await;
    drop(waiting);
    gateway.until_metric(PENDING, 0.0).await;
    for peer in [&mut first, &mut elsewhere, &mut next] {
        echoes(peer, "hello").await;
    }
}

#[tokio::test]
async fn connections_that_ask_for_nothing_are_capped_in_all_but_proxies_only_so() {
    let gateway = limited("trusted_proxies = [\"127.0.0.3\"]", "pending = 4\npending_per_address = 2");
    let mut waiting = Vec::new();
    for address in [[127, 0, 0, 3], [127, 0, 0, 3], [127, 0, 0, 3], [127, 0, 0, 2]] {
        waiting.push(connect_from(&gateway, address).await);
    }
    gateway.until_metric(PENDING, 4.0).await;
    gateway.connect().await.end().await;
    gateway.until_metric("wsgate_door_closed_total{reason=\"door_full\"}", 1.0).await;
    drop(waiting);
    gateway.until_metric(PENDING, 0.0).await;
    gateway.open("/echo").await;
}

/// 2,000 connections that say nothing: all are closed in time, and nothing of them stays.
async fn silence(tls: &str) {
    let limits = "[limits]\npending = 3000\npending_per_address = 3000\n";
    let gateway = gateway(&format!("handshake_timeout = \"1s\"\n{limits}{ECHO}{tls}"));
    let since = Instant::now();
    let mut peers = Vec::new();
    for _ in 0..2_000 {
        peers.push(gateway.connect().await);
    }
    for peer in &mut peers {
        peer.clean_end().await;
    }
    assert!(since.elapsed() >= Duration::from_secs(1));
    gateway.until_metric(PENDING, 0.0).await;
    assert!((gateway.metric("wsgate_tcp_connections_accepted_total").await - 2_000.0).abs() < f64::EPSILON);
    assert!(gateway.metric("wsgate_door_closed_total{reason=\"door_address\"}").await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn two_thousand_silent_connections_are_gone_after_the_timeout() {
    silence("").await;
}

#[tokio::test]
async fn two_thousand_silent_connections_to_tls_are_gone_after_the_timeout() {
    silence(&localhost().config).await;
}

#[tokio::test]
async fn a_client_that_vanishes_while_its_backend_is_asked_gives_everything_back() {
    let backend = Backend::bind().await;
    let pool = format!(
        "[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"back\" }}\n[pool.back]\nbackends = [\"{}\"]\n\
         connections_per_backend = 1\nanswer_timeout = \"10m\"\n",
        backend.url()
    );
    let gateway = gateway(&format!("[limits]\nconnections_per_address = 1\n{ECHO}{pool}"));
    for _ in 0..3 {
        let mut peer = gateway.connect().await;
        peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
        let mut far = backend.accept().await;
        far.head().await;
        assert_eq!(gateway.ask(&upgrade_request("/ws", &[])).await.status, 429, "it is counted while it waits");
        drop(peer);
        far.end().await;
        gateway.until_metric(PENDING, 0.0).await;
    }
    let (_open, _far) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
}
