//! What a request gets: one test for each row of the contract's table.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use wsgate::Phase;

use crate::support::backend::{Backend, switch};
use crate::support::frames::{self, TEXT};
use crate::support::peer::{ACCEPT, KEY, upgrade_request};
use crate::support::tls::{localhost, shake};
use crate::support::{Answer, Peer, Running, gateway, within};

/// An echo, a hub with its page and a way there, with the admin door open; limits that no test meets by accident.
const SITE: &str = "workers = 1\n\
    [admin]\nlisten = \"127.0.0.1:0\"\n\
    [limits]\nconnections_per_address = 5000\nhandshakes_per_address = \"0/s\"\n\
    [[route]]\npath = \"/\"\nredirect = \"/chat\"\n\
    [[route]]\npath = \"/echo\"\necho = {}\n\
    [[route]]\npath = \"/chat\"\nhub = {}\n";

const PAGE: &str = "GET /chat HTTP/1.1\r\nHost: test.example\r\n\r\n";

/// A sound upgrade request to the echo with one piece of it replaced.
fn changed(from: &str, to: &str) -> String {
    let sound = upgrade_request("/echo", &[]);
    assert_eq!(sound.matches(from).count(), 1, "{from}");
    sound.replace(from, to)
}

/// A plain request for the page with these header lines besides Host.
fn plain(lines: &str) -> String {
    format!("GET /chat HTTP/1.1\r\nHost: test.example\r\n{lines}\r\n")
}

async fn count(gateway: &Running, reason: &str) -> f64 {
    gateway.metric(&format!("wsgate_requests_refused_total{{reason=\"{reason}\"}}")).await
}

/// An answer that refuses: this status, one plain line, counted once under this reason.
async fn refused(gateway: &Running, request: &[u8], status: u16, reason: &str) -> (Peer, Answer) {
    let before = count(gateway, reason).await;
    let mut peer = gateway.connect().await;
    peer.send(request).await;
    let answer = peer.answer().await;
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    assert_eq!(answer.status, status, "{answer:?}\n{shown}");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{answer:?}");
    assert!(answer.body.ends_with('\n') && answer.body.lines().count() == 1, "{answer:?}");
    let counted = count(gateway, reason).await - before;
    assert!((counted - 1.0).abs() < f64::EPSILON, "{reason} counted {counted} times: {answer:?}\n{shown}");
    (peer, answer)
}

/// The same, and then the connection is closed.
async fn refused_for_good(gateway: &Running, request: impl AsRef<[u8]>, status: u16, reason: &str) -> Answer {
    let (mut peer, answer) = refused(gateway, request.as_ref(), status, reason).await;
    let closes = answer.header("connection").is_some_and(|options| options.split(", ").any(|option| option == "close"));
    assert!(closes, "{answer:?}");
    peer.clean_end().await;
    answer
}

/// One echo there and back.
async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

// Heads that are no heads.

#[tokio::test]
async fn a_head_over_the_limit_is_431() {
    let gateway = gateway(SITE);
    let endless = format!("GET /echo HTTP/1.1\r\nHost: a\r\nX-Filler: {}", "a".repeat(64 << 10));
    refused_for_good(&gateway, &endless, 431, "head_too_large").await;
    refused_for_good(&gateway, format!("{endless}\r\n\r\n"), 431, "head_too_large").await;
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20 << 10));
    refused_for_good(&gateway, target, 431, "head_too_large").await;
}

#[tokio::test]
async fn a_head_just_within_the_limit_is_read() {
    let gateway = gateway(SITE);
    let room = (16 << 10) - upgrade_request("/echo", &["X-Filler: "]).len();
    let head = |room: usize| upgrade_request("/echo", &[&format!("X-Filler: {}", "a".repeat(room))]);
    assert_eq!(gateway.ask(&head(room)).await.status, 101);
    refused_for_good(&gateway, head(room + 1), 431, "head_too_large").await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_408_though_bytes_keep_coming() {
    let gateway = gateway(&format!("handshake_timeout = \"1s\"\n{SITE}"));
    let (since, mut stream) = (Instant::now(), TcpStream::connect(gateway.address()).await.expect("connect"));
    stream.write_all(b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.expect("write");
    let mut drip = tokio::time::interval(Duration::from_millis(20));
    within("an answer to a head that drips", async {
        loop {
            tokio::select! {
                biased;
                ready = stream.readable() => break ready.expect("readable"),
                _ = drip.tick() => drop(stream.write_all(b"a").await),
            }
        }
    })
    .await;
    let mut peer = Peer::new(stream);
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (408, "the request head took too long\n"));
    assert!(since.elapsed() >= Duration::from_secs(1));
    peer.end().await;
    assert!((count(&gateway, "head_too_slow").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_an_answer() {
    let gateway = gateway(&format!("handshake_timeout = \"1500ms\"\n{SITE}"));
    let silent = async { gateway.connect().await.clean_end().await };
    // The time for a later head runs from the answer before it.
    let later = async {
        let mut peer = gateway.connect().await;
        peer.send(PAGE.as_bytes()).await;
        assert_eq!(peer.answer().await.status, 200);
        peer.clean_end().await;
    };
    let half = async {
        let mut peer = gateway.connect().await;
        peer.send(format!("{PAGE}GET /ch").as_bytes()).await;
        assert_eq!((peer.answer().await.status, peer.answer().await.status), (200, 408));
        peer.clean_end().await;
    };
    tokio::join!(silent, later, half);
}

#[tokio::test]
async fn what_is_not_http_is_400_and_closed() {
    let gateway = gateway(SITE);
    for request in [
        &b"hello\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0",
    ] {
        refused_for_good(&gateway, request, 400, "head_not_http").await;
    }
    refused_for_good(&gateway, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "head_http2").await;
    for request in
        ["GET /echo\r\n\r\n", "GET  /echo HTTP/1.1\r\nHost: a\r\n\r\n", "GET /echo HTTP/3.0\r\nHost: a\r\n\r\n"]
    {
        let mut peer = gateway.connect().await;
        peer.send(request.as_bytes()).await;
        assert_eq!(peer.answer().await.status, 400, "{request}");
        peer.clean_end().await;
    }
}

#[tokio::test]
async fn two_lengths_are_400_and_closed() {
    let gateway = gateway(SITE);
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\ncontent-length: 0\r\n",
        "Content-Length: 5, 5\r\n",
    ] {
        refused_for_good(&gateway, plain(lines), 400, "head_two_lengths").await;
    }
    for value in ["+5", "-1", "0x5", "five", "99999999999999999999"] {
        refused_for_good(&gateway, plain(&format!("Content-Length: {value}\r\n")), 400, "head_bad_length").await;
    }
}

#[tokio::test]
async fn a_length_with_a_transfer_coding_is_400_and_closed() {
    let gateway = gateway(SITE);
    let both = plain("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
    refused_for_good(&gateway, both, 400, "head_length_and_coding").await;
    for coding in ["gzip, chunked", "chunked, chunked", "xchunked", "identity"] {
        refused_for_good(&gateway, plain(&format!("Transfer-Encoding: {coding}\r\n")), 400, "head_unknown_coding")
            .await;
    }
}

#[tokio::test]
async fn a_space_before_the_colon_is_400_and_closed() {
    let gateway = gateway(SITE);
    for line in ["Content-Length : 5\r\n", "X-A\t: b\r\n"] {
        refused_for_good(&gateway, plain(line), 400, "head_space_before_colon").await;
    }
    refused_for_good(&gateway, plain("X-A: b\r\n folded\r\n"), 400, "head_obs_fold").await;
}

#[tokio::test]
async fn a_bare_cr_or_a_nul_is_400_and_closed() {
    let gateway = gateway(SITE);
    refused_for_good(&gateway, plain("X-A: b\rX-C: d\r\n"), 400, "head_bare_cr").await;
    refused_for_good(&gateway, plain("X-A: b\0\r\n"), 400, "head_nul").await;
    refused_for_good(&gateway, plain("X-A: b\nX-C: d\r\n"), 400, "head_bare_lf").await;
    refused_for_good(&gateway, "GET /chat HTTP/1.1\nHost: a\n\n", 400, "head_bare_lf").await;
}

#[tokio::test]
async fn no_host_or_two_hosts_are_400_and_closed() {
    let gateway = gateway(SITE);
    refused_for_good(&gateway, "GET /chat HTTP/1.1\r\n\r\n", 400, "head_no_host").await;
    refused_for_good(&gateway, plain("Host: test.example\r\n"), 400, "head_two_hosts").await;
    for host in ["", "a b", "a/b", "a@b", "a:b", "a:99999", "[::1"] {
        let request = format!("GET /chat HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refused_for_good(&gateway, request, 400, "head_bad_host").await;
    }
}

// Where nothing, or something plain, lives.

#[tokio::test]
async fn no_route_is_404() {
    let only = "[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\nhost = \"one.example\"\npath = \"/echo\"\necho = {}\n";
    let gateway = gateway(only);
    for target in ["/nowhere", "/", "/echoes", "/ech", "/ECHO", "/echo%2fx"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: one.example\r\n\r\n");
        let (mut peer, answer) = refused(&gateway, request.as_bytes(), 404, "no_route").await;
        assert_eq!(answer.body, "there is nothing at this host and path\n");
        // Nothing is wrong with the connection itself.
        peer.send(request.as_bytes()).await;
        assert_eq!(peer.answer().await.status, 404);
    }
    refused_for_good(&gateway, upgrade_request("/echo", &[]), 404, "no_route").await;
    let right = upgrade_request("/echo/below?a=b", &[]).replace("test.example", "ONE.example:8080");
    assert_eq!(gateway.ask(&right).await.status, 101);
}

#[tokio::test]
async fn a_plain_get_on_a_hub_is_its_page() {
    let gateway = gateway(SITE);
    for path in ["/chat", "/chat/garden", "/chat?x=y"] {
        let answer = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        assert!(answer.body.starts_with("<!doctype html>"), "{}", &answer.body[..100]);
        let policy = answer.header("content-security-policy").expect("policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(policy.ends_with("require-trusted-types-for 'script'; trusted-types 'none'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for (asset, kind) in [("chat.js", "text/javascript"), ("v1.js", "text/javascript"), ("chat.css", "text/css")] {
        let answer = gateway.ask(&format!("GET /chat/?asset={asset} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert!(answer.status == 200 && answer.header("content-type").expect("type").starts_with(kind), "{asset}");
        assert!(answer.header("content-security-policy").is_some());
    }
    refused(&gateway, b"GET /chat?asset=../x HTTP/1.1\r\nHost: a\r\n\r\n", 404, "no_route").await;
    assert!((gateway.metric("wsgate_requests_answered_total{status=\"200\"}").await - 6.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_head_on_a_hub_has_the_length_of_the_page_and_no_body() {
    let gateway = gateway(SITE);
    let length = gateway.ask(PAGE).await.body.len();
    let mut peer = gateway.connect().await;
    peer.send(PAGE.replace("GET", "HEAD").as_bytes()).await;
    let head = peer.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && head.contains(&format!("content-length: {length}\r\n")), "{head}");
    // The next thing on the connection is the next answer, so there was no body.
    peer.send(PAGE.as_bytes()).await;
    assert_eq!(peer.answer().await.body.len(), length);
}

#[tokio::test]
async fn the_bare_address_leads_to_the_page() {
    let gateway = gateway(SITE);
    let answer = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("/chat")));
    refused_for_good(&gateway, upgrade_request("/", &[]), 404, "no_route").await;
}

#[tokio::test]
async fn the_admin_door_tells_of_health_readiness_and_metrics() {
    let gateway = gateway(SITE);
    let mut open = gateway.open("/echo").await;
    gateway.until_metric("wsgate_websockets_open{route=\"/echo\"}", 1.0).await;
    let admin = gateway.admin.clone().expect("admin");
    let mut door = Peer::connect(admin.rsplit("//").next().expect("address")).await;
    for (target, status, body) in
        [("/healthz", 200, "ok\n"), ("/readyz", 200, "running\n"), ("/chat", 404, "there are")]
    {
        door.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        let answer = door.answer().await;
        assert!(answer.status == status && answer.body.starts_with(body), "{target}: {answer:?}");
    }
    door.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let metrics = door.answer().await;
    assert!(metrics.header("content-type").expect("type").starts_with("text/plain; version=0.0.4"), "{metrics:?}");
    assert!(metrics.body.contains("\nwsgate_websockets_open{route=\"/echo\"} 1\n"), "{}", metrics.body);
    door.send(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    let answer = door.answer().await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    // Health is not told at the public door.
    assert_eq!(gateway.ask("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 404);

    // It still answers while the rest is on its way out: the echo has not agreed to the close yet.
    gateway.handle.drain();
    let close = open.message().await;
    assert_eq!(close.code(), 1001);
    door.send(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = door.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
    door.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(door.answer().await.status, 200);
    open.agree(&close).await;
}

// Upgrades that are none.

#[tokio::test]
async fn no_upgrade_where_only_a_websocket_lives_is_426() {
    let gateway = gateway(SITE);
    for request in [
        "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "GET /echo HTTP/1.0\r\n\r\n",
        // Connection alone asks for nothing.
        "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ] {
        let mut peer = gateway.connect().await;
        peer.send(request.as_bytes()).await;
        let head = peer.head().await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.") && head.contains(" 426 upgrade required\r\n"), "{request}\n{head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{request}\n{head}");
    }
    assert!((count(&gateway, "not_upgrade").await - 5.0).abs() < f64::EPSILON);
    let (_, answer) = refused(&gateway, b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 426, "not_upgrade").await;
    // RFC 9110 §7.8: whoever sends Upgrade names it in Connection.
    assert_eq!(answer.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
}

#[tokio::test]
async fn an_upgrade_with_another_method_is_405_with_allow() {
    let gateway = gateway(SITE);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let answer = refused_for_good(&gateway, changed("GET ", &format!("{method} ")), 405, "method_not_get").await;
        assert_eq!(answer.header("allow"), Some("GET"), "{method}");
    }
    let connect = "CONNECT test.example:443 HTTP/1.1\r\nHost: test.example:443\r\n\r\n";
    refused(&gateway, connect.as_bytes(), 405, "method_not_get").await;
}

#[tokio::test]
async fn an_upgrade_in_http_1_0_is_400() {
    let gateway = gateway(SITE);
    refused_for_good(&gateway, changed("HTTP/1.1", "HTTP/1.0"), 400, "old_http").await;
}

#[tokio::test]
async fn an_upgrade_without_the_token_websocket_is_400() {
    let gateway = gateway(SITE);
    for value in ["h2c", "", "websockets", "web socket", "\"websocket\"", "websocket/13"] {
        refused_for_good(&gateway, changed("Upgrade: websocket", &format!("Upgrade: {value}")), 400, "upgrade_token")
            .await;
    }
    for line in ["Upgrade: WebSocket", "upgrade: h2c, websocket", "Upgrade: h2c\r\nUpgrade: websocket"] {
        assert_eq!(gateway.ask(&changed("Upgrade: websocket", line)).await.status, 101, "{line}");
    }
}

#[tokio::test]
async fn an_upgrade_without_the_token_in_connection_is_400() {
    let gateway = gateway(SITE);
    let line = "Connection: Upgrade\r\n";
    for instead in ["", "Connection: keep-alive\r\n", "Connection: close\r\n", "Connection: Upgrades\r\n"] {
        refused_for_good(&gateway, changed(line, instead), 400, "connection_token").await;
    }
    for instead in ["Connection: keep-alive, Upgrade\r\n", "Connection: keep-alive\r\nconnection:upgrade\r\n"] {
        assert_eq!(gateway.ask(&changed(line, instead)).await.status, 101, "{instead}");
    }
}

#[tokio::test]
async fn a_key_that_is_absent_twice_or_short_is_400() {
    let gateway = gateway(SITE);
    let line = format!("Sec-WebSocket-Key: {KEY}\r\n");
    refused_for_good(&gateway, changed(&line, ""), 400, "key_absent").await;
    refused_for_good(&gateway, changed(&line, &line.repeat(2)), 400, "key_twice").await;
    for key in [
        "",
        "c2hvcnQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "!!!!!!!!!!!!!!!!!!!!!!==",
    ] {
        let request = changed(&line, &format!("Sec-WebSocket-Key: {key}\r\n"));
        refused_for_good(&gateway, request, 400, "key_invalid").await;
    }
}

#[tokio::test]
async fn a_version_other_than_13_is_426_and_told_which() {
    let gateway = gateway(SITE);
    let line = "Sec-WebSocket-Version: 13\r\n";
    for instead in [
        "",
        "Sec-WebSocket-Version: 8\r\n",
        "Sec-WebSocket-Version: 13, 8\r\n",
        &line.repeat(2),
        "Sec-WebSocket-Version: 013\r\n",
    ] {
        let answer = refused_for_good(&gateway, changed(line, instead), 426, "version_not_13").await;
        assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{instead}");
        assert_eq!(
            (answer.header("upgrade"), answer.header("connection")),
            (Some("websocket"), Some("close, Upgrade"))
        );
    }
}

#[tokio::test]
async fn subprotocols_extensions_and_bodies_that_are_none_are_400() {
    let gateway = gateway(SITE);
    for (lines, reason) in [
        (&["Sec-WebSocket-Protocol: a b"][..], "protocol_token"),
        (&["Sec-WebSocket-Protocol: chat, chat"], "protocol_twice"),
        (&["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"], "protocol_twice"),
        (&["Content-Length: 5"], "upgrade_body"),
        (&["Transfer-Encoding: chunked"], "upgrade_body"),
    ] {
        refused_for_good(&gateway, upgrade_request("/echo", lines), 400, reason).await;
    }
    assert_eq!(gateway.ask(&upgrade_request("/echo", &["Content-Length: 0"])).await.status, 101);
}

// Origins.

const ORIGINS: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n\
    [[route]]\npath = \"/own\"\necho = {}\n\
    [[route]]\npath = \"/list\"\necho = {}\norigins = [\"https://example.com\", \"https://*.sub.example\"]\n\
    [[route]]\npath = \"/null\"\necho = {}\norigins = [\"null\"]\n\
    [[route]]\npath = \"/any\"\necho = {}\norigins = \"*\"\n\
    [[route]]\npath = \"/must\"\necho = {}\nrequire_origin = true\n";

async fn origin(gateway: &Running, path: &str, lines: &[&str], reason: Option<&str>) {
    let request = upgrade_request(path, lines);
    match reason {
        Some(reason) => drop(refused_for_good(gateway, request, 403, reason).await),
        None => assert_eq!(gateway.ask(&request).await.status, 101, "{path} {lines:?}"),
    }
}

#[tokio::test]
async fn an_origin_that_is_not_listed_is_403() {
    let gateway = gateway(ORIGINS);
    for good in ["https://example.com", "https://EXAMPLE.com:443", "https://a.sub.example", "https://a.b.sub.example"] {
        origin(&gateway, "/list", &[&format!("Origin: {good}")], None).await;
    }
    origin(&gateway, "/list", &[], None).await;
    for evil in [
        "https://example.com.evil.net",
        "https://evilexample.com",
        "https://evil.net#example.com",
        "http://example.com",
        "https://example.com:8443",
        "https://www.example.com",
        "https://sub.example",
        "https://evilsub.example",
        "https://a.sub.example.evil.net",
        "null",
        "http://test.example",
    ] {
        let reason = if evil.contains('#') { "origin_unreadable" } else { "origin_not_allowed" };
        origin(&gateway, "/list", &[&format!("Origin: {evil}")], Some(reason)).await;
    }
    for unreadable in
        ["https://example.com/", "https://example.com@evil.net", "example.com", "https://example.com, https://evil.net"]
    {
        origin(&gateway, "/list", &[&format!("Origin: {unreadable}")], Some("origin_unreadable")).await;
    }
}

#[tokio::test]
async fn without_a_list_only_the_own_origin_comes_in() {
    let gateway = gateway(ORIGINS);
    origin(&gateway, "/own", &["Origin: http://test.example"], None).await;
    origin(&gateway, "/own", &["Origin: http://TEST.example:80"], None).await;
    for other in ["http://test.example:8080", "https://test.example", "http://test.example.evil.net", "null"] {
        origin(&gateway, "/own", &[&format!("Origin: {other}")], Some("origin_not_allowed")).await;
    }
    let ported = upgrade_request("/own", &["Origin: http://test.example:8080"])
        .replace("Host: test.example", "Host: test.example:8080");
    assert_eq!(gateway.ask(&ported).await.status, 101);
}

#[tokio::test]
async fn two_origins_are_403_everywhere() {
    let gateway = gateway(ORIGINS);
    let twice = ["Origin: https://example.com", "Origin: https://example.com"];
    for path in ["/list", "/any", "/own"] {
        origin(&gateway, path, &twice, Some("origin_twice")).await;
        origin(&gateway, path, &["Origin:"], Some("origin_empty")).await;
    }
    origin(&gateway, "/any", &["Origin: null"], None).await;
    origin(&gateway, "/any", &["Origin: https://evil.net"], None).await;
}

#[tokio::test]
async fn null_must_be_named() {
    let gateway = gateway(ORIGINS);
    origin(&gateway, "/null", &["Origin: null"], None).await;
    origin(&gateway, "/null", &["Origin: NULL"], Some("origin_unreadable")).await;
    origin(&gateway, "/null", &["Origin: https://null"], Some("origin_not_allowed")).await;
}

#[tokio::test]
async fn an_absent_origin_is_403_where_it_is_required() {
    let gateway = gateway(ORIGINS);
    origin(&gateway, "/must", &[], Some("origin_absent")).await;
    origin(&gateway, "/must", &["Origin: http://test.example"], None).await;
}

#[tokio::test]
async fn over_tls_the_own_origin_is_https() {
    let tls = localhost();
    let gateway = gateway(&format!("{ORIGINS}{}", tls.config));
    let client = std::sync::Arc::new(tls.client());
    for (origin, status) in
        [("https://test.example", 101), ("http://test.example", 403), ("https://test.example:8443", 403)]
    {
        let mut peer = Peer::connect_tls(&gateway.address(), "localhost", client.clone()).await.expect("TLS");
        assert_eq!(peer.upgrade("/own", &[&format!("Origin: {origin}")]).await.status, status, "{origin}");
    }
}

// Caps; more of them in `admission`.

const CAPPED: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/echo\"\necho = {}\n";

#[tokio::test]
async fn over_the_address_cap_is_429_with_retry_after() {
    let gateway = gateway(&format!("[limits]\nconnections_per_address = 1\n{CAPPED}"));
    let _open = gateway.open("/echo").await;
    let answer = refused_for_good(&gateway, upgrade_request("/echo", &[]), 429, "address_cap").await;
    assert_eq!(answer.header("retry-after"), Some("10"));
}

#[tokio::test]
async fn over_the_handshake_rate_is_429_with_retry_after() {
    let gateway = gateway(&format!("[limits]\nhandshakes_per_address = \"2/m\"\n{CAPPED}"));
    let _open = (gateway.open("/echo").await, gateway.open("/echo").await);
    let answer = refused_for_good(&gateway, upgrade_request("/echo", &[]), 429, "address_rate").await;
    let seconds: u64 = answer.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!((1..=30).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn over_the_gateways_cap_is_503_with_retry_after() {
    let gateway = gateway(&format!("[limits]\nconnections = 1\n{CAPPED}"));
    let _open = gateway.open("/echo").await;
    let answer = refused_for_good(&gateway, upgrade_request("/echo", &[]), 503, "gateway_full").await;
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn over_a_routes_cap_is_503_with_retry_after() {
    let routes = "limits = { connections = 1 }\n[[route]]\npath = \"/other\"\necho = {}\n";
    let gateway = gateway(&format!("{CAPPED}{routes}"));
    let _open = gateway.open("/echo").await;
    let answer = refused_for_good(&gateway, upgrade_request("/echo", &[]), 503, "route_full").await;
    assert_eq!(answer.header("retry-after"), Some("5"));
    gateway.open("/other").await;
}

#[tokio::test]
async fn while_draining_a_request_that_has_begun_is_503_with_retry_after() {
    let gateway = gateway(SITE);
    let request = upgrade_request("/echo", &[]);
    let first = &request[..request.len() / 2];
    let (mut idle, mut fresh, mut begun) = (gateway.connect().await, gateway.connect().await, gateway.connect().await);
    for peer in [&mut idle, &mut begun] {
        peer.send(PAGE.as_bytes()).await;
        assert_eq!(peer.answer().await.status, 200);
    }
    begun.send(first.as_bytes()).await;
    fresh.send(first.as_bytes()).await;
    // Served by the same worker after the pieces above have been there to read.
    let mut open = gateway.open("/echo").await;
    gateway.handle.drain();
    let close = open.message().await;
    assert_eq!(close.code(), 1001);
    // Nobody is waited for, but whoever has begun to ask is answered.
    idle.clean_end().await;
    drop(idle);
    for mut peer in [begun, fresh] {
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (503, "the gateway is about to stop\n"));
        assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("5"), Some("close")));
        peer.clean_end().await;
    }
    assert!((count(&gateway, "draining").await - 2.0).abs() < f64::EPSILON);
    assert!(TcpStream::connect(gateway.address()).await.is_err(), "nobody new comes in");
    open.agree(&close).await;
    drop(open);
    gateway.handle.reached(Phase::Stopped).await;
    assert_eq!(gateway.stop().cut, 0);
}

// Backends.

fn proxied(url: &str, more: &str) -> Running {
    let pool = format!("[pool.back]\nbackends = [{url:?}]\n{more}\n");
    gateway(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"back\" }}\n{pool}"
    ))
}

#[tokio::test]
async fn a_backend_that_refuses_connections_is_502() {
    // Bound, so that nobody else gets the port, but not listening.
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let gateway = proxied(&format!("ws://{}", socket.local_addr().expect("address")), "");
    refused_for_good(&gateway, upgrade_request("/ws", &[]), 502, "backend_refused").await;
    let nowhere = proxied("unix:/nonexistent/wsgate.sock", "");
    refused_for_good(&nowhere, upgrade_request("/ws", &[]), 502, "backend_refused").await;
}

#[tokio::test]
async fn a_backend_that_hangs_up_is_502() {
    let backend = Backend::bind().await;
    let gateway = proxied(&backend.url(), "");
    let hang_up = async {
        let mut peer = backend.accept().await;
        peer.head().await;
    };
    let request = upgrade_request("/ws", &[]);
    let ((_, answer), ()) = tokio::join!(refused(&gateway, request.as_bytes(), 502, "backend_refused"), hang_up);
    assert_eq!(answer.body, "the backend could not be reached\n");
}

#[tokio::test]
async fn a_backend_that_answers_nonsense_is_502() {
    let backend = Backend::bind().await;
    let gateway = proxied(&backend.url(), "");
    let right = |head: &str| String::from_utf8(switch(head, &[])).expect("text");
    let nonsense: [&dyn Fn(&str) -> String; 12] = [
        &|_| "hello\r\n\r\n".into(),
        &|_| "SSH-2.0-OpenSSH_9.9\r\n".into(),
        &|_| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".into(),
        &|_| "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".into(),
        &|_| "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n".into(),
        &|_| "HTTP/1.1 101 Switching Protocols\r\n\r\n".into(),
        &|head| right(head).replace("Upgrade: websocket\r\n", ""),
        &|head| right(head).replace("Connection: Upgrade\r\n", ""),
        &|head| right(head).replace("Accept: ", "Accept: x"),
        &|head| right(head).replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        &|head| right(head).replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: unasked\r\n\r\n"),
        &|_| format!("HTTP/1.1 101 Switching Protocols\r\nX-Long: {}", "a".repeat(20_000)),
    ];
    for answer in nonsense {
        let serve = async {
            let mut peer = backend.accept().await;
            let head = peer.head().await;
            let text = answer(&head);
            let _ = peer.try_send(text.as_bytes()).await;
            (peer, text)
        };
        let request = upgrade_request("/ws", &["Sec-WebSocket-Extensions: permessage-deflate"]);
        let ((mut client, answer), (mut peer, text)) =
            tokio::join!(refused(&gateway, request.as_bytes(), 502, "backend_nonsense"), serve);
        assert_eq!(answer.body, "the backend did not answer as a WebSocket server\n", "{text}");
        client.clean_end().await;
        peer.end().await;
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_504() {
    let backend = Backend::bind().await;
    let gateway = proxied(&backend.url(), "answer_timeout = \"600ms\"");
    for partial in [&b""[..], b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"] {
        let serve = async {
            let mut peer = backend.accept().await;
            peer.head().await;
            peer.send(partial).await;
            peer
        };
        let request = upgrade_request("/ws", &[]);
        let ((_, answer), mut peer) =
            tokio::join!(refused(&gateway, request.as_bytes(), 504, "backend_timeout"), serve);
        assert_eq!(answer.body, "the backend did not answer in time\n");
        peer.end().await;
    }
}

#[tokio::test]
async fn a_backend_that_cannot_be_connected_to_in_time_is_504() {
    // A listener whose queue is full drops what comes: the connect neither fails nor succeeds.
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let listener = socket.listen(0).expect("listen");
    let address = listener.local_addr().expect("address");
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue never fills");
    }
    let gateway = proxied(&format!("ws://{address}"), "connect_timeout = \"50ms\"");
    refused_for_good(&gateway, upgrade_request("/ws", &[]), 504, "backend_timeout").await;
}

#[tokio::test]
async fn a_backends_own_4xx_is_passed_on_with_its_body() {
    let backend = Backend::bind().await;
    let gateway = proxied(&backend.url(), "");
    for (head, body, expected) in [
        (
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Type: text/html\r\nContent-Length: 4\r\nSet-Cookie: a=b",
            "sign",
            401,
        ),
        ("403 Forbidden\r\nContent-Length: 7\r\nContent-Type: application/json", "{\"a\":1}", 403),
        ("404 Not Found\r\nContent-Length: 0", "", 404),
    ] {
        let serve = async {
            let mut peer = backend.accept().await;
            peer.head().await;
            peer.send(format!("HTTP/1.1 {head}\r\n\r\n{body}").as_bytes()).await;
            peer
        };
        let (answer, mut peer) = tokio::join!(async { gateway.ask(&upgrade_request("/ws", &[])).await }, serve);
        assert_eq!((answer.status, answer.body.as_str()), (expected, body), "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), head.contains("WWW").then_some("Basic realm=\"a\""));
        assert!(head.contains("Content-Type") || answer.header("content-type") == Some("text/plain; charset=utf-8"));
        assert!(!head.contains("json") || answer.header("content-type") == Some("application/json"), "{answer:?}");
        peer.end().await;
    }
    assert!((count(&gateway, "backend_status").await - 3.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_pool_without_room_is_503_with_retry_after() {
    let backend = Backend::bind().await;
    let gateway = proxied(&backend.url(), "connections_per_backend = 1");
    let (mut open, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    let answer = refused_for_good(&gateway, upgrade_request("/ws", &[]), 503, "backends_full").await;
    assert_eq!(answer.header("retry-after"), Some("5"));
    // The place comes back with the end of the session.
    open.send(&frames::client(frames::CLOSE, &frames::close(1000, ""))).await;
    let close = far.message().await;
    far.send(&frames::server(frames::CLOSE, &close.payload)).await;
    drop(far);
    assert_eq!(open.message().await.code(), 1000);
    open.end().await;
    drop(open);
    gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 0.0).await;
    let (_open, _far) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
}

// All well.

#[tokio::test]
async fn all_well_is_101_with_the_accept_value() {
    let gateway = gateway(SITE);
    let mut peer = gateway.connect().await;
    let answer = peer.upgrade("/echo", &[]).await;
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(ACCEPT)));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    for absent in ["sec-websocket-protocol", "sec-websocket-extensions", "content-length", "transfer-encoding"] {
        assert_eq!(answer.header(absent), None);
    }
    echoes(&mut peer, "hello").await;
}

#[tokio::test]
async fn the_subprotocol_is_the_one_that_the_backend_chose() {
    let backend = Backend::bind().await;
    let gateway = proxied(&backend.url(), "");
    for chosen in [Some("two"), Some("one"), None] {
        let line = chosen.map(|name| format!("Sec-WebSocket-Protocol: {name}"));
        let lines: Vec<&str> = line.as_deref().into_iter().collect();
        let ask = async {
            let mut peer = gateway.connect().await;
            let answer =
                peer.upgrade("/ws", &["Sec-WebSocket-Protocol: one, two", "Sec-WebSocket-Protocol: three"]).await;
            (peer, answer)
        };
        let ((_peer, answer), (_far, head)) = tokio::join!(ask, backend.upgrade(&lines));
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, chosen));
        assert!(head.contains("\r\nSec-WebSocket-Protocol: one, two, three\r\n"), "{head}");
    }
}

#[tokio::test]
async fn all_well_over_tls_is_101_with_the_accept_value() {
    let tls = localhost();
    let gateway = gateway(&format!("{SITE}{}", tls.config));
    let mut peer = Peer::connect_tls(&gateway.address(), "localhost", tls.client().into()).await.expect("TLS");
    peer.send(PAGE.as_bytes()).await;
    assert_eq!(peer.answer().await.status, 200);
    let answer = peer.upgrade("/echo", &[]).await;
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(ACCEPT)));
    echoes(&mut peer, "hello").await;
}

#[tokio::test]
async fn frames_glued_to_the_request_are_not_lost() {
    let gateway = gateway(SITE);
    let mut peer = gateway.connect().await;
    let mut bytes = upgrade_request("/echo", &[]).into_bytes();
    for text in ["early", "bird", &"long ".repeat(10_000)] {
        bytes.extend(frames::client(TEXT, text.as_bytes()));
    }
    peer.send(&bytes).await;
    assert_eq!(peer.answer().await.status, 101);
    assert_eq!((peer.message().await.text(), peer.message().await.text()), ("early", "bird"));
    assert_eq!(peer.message().await.payload.len(), 50_000);
    echoes(&mut peer, "later").await;
}

#[tokio::test]
async fn frames_that_come_while_the_backend_is_asked_are_not_lost() {
    let backend = Backend::bind().await;
    let gateway = proxied(&backend.url(), "");
    let mut peer = gateway.connect().await;
    let glued = [upgrade_request("/ws", &[]).into_bytes(), frames::client(TEXT, b"one")].concat();
    peer.send(&glued).await;
    let mut far = backend.accept().await;
    let head = far.head().await;
    peer.say("two").await;
    // The backend's first frame comes glued to its 101.
    far.send(&[switch(&head, &[]), frames::server(TEXT, b"welcome")].concat()).await;
    assert_eq!(peer.answer().await.status, 101);
    peer.say("three").await;
    assert_eq!(peer.message().await.text(), "welcome");
    for text in ["one", "two", "three"] {
        assert_eq!(far.message().await.text(), text);
    }
}

/// Sends the same bytes on many connections, each cut at another place, and reads the echo of the frame behind them.
async fn cut_everywhere(gateway: &Running, connect: impl AsyncFn() -> Peer) {
    let whole = [upgrade_request("/echo", &[]).into_bytes(), frames::client(TEXT, b"behind")].concat();
    let mut peers = Vec::new();
    for cut in 1..whole.len() {
        let mut peer = connect().await;
        peer.send(&whole[..cut]).await;
        peers.push((cut, peer));
    }
    // The one worker serves in the order in which bytes came: when this is answered, all first pieces have been read.
    echoes(
        &mut {
            let mut peer = connect().await;
            assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
            peer
        },
        "barrier",
    )
    .await;
    for (cut, peer) in &mut peers {
        peer.send(&whole[*cut..]).await;
    }
    for (cut, peer) in &mut peers {
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(ACCEPT)), "cut at {cut}");
        assert_eq!(peer.message().await.text(), "behind", "cut at {cut}");
    }
    let opened = gateway.metric("wsgate_websockets_opened_total{route=\"/echo\"}").await;
    assert!((opened - whole.len() as f64).abs() < f64::EPSILON, "{opened}");
}

#[tokio::test]
async fn a_request_cut_at_any_byte_loses_nothing() {
    let gateway = gateway(SITE);
    cut_everywhere(&gateway, async || gateway.connect().await).await;
}

#[tokio::test]
async fn a_request_cut_at_any_byte_over_tls_loses_nothing() {
    let tls = localhost();
    let gateway = gateway(&format!("{SITE}{}", tls.config));
    let client = std::sync::Arc::new(tls.client());
    cut_everywhere(&gateway, async || Peer::new(shake(&gateway.address(), "localhost", &client).await.expect("TLS")))
        .await;
}

#[tokio::test]
async fn pages_and_then_an_upgrade_on_one_connection() {
    let gateway = gateway(SITE);
    let mut peer = gateway.connect().await;
    for _ in 0..2 {
        peer.send(PAGE.as_bytes()).await;
        let answer = peer.answer().await;
        assert!(answer.status == 200 && answer.body.ends_with("</html>\n"), "{answer:?}");
    }
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut peer, "hello").await;
}

#[tokio::test]
async fn pages_and_an_upgrade_and_a_frame_in_one_piece() {
    let gateway = gateway(SITE);
    let mut peer = gateway.connect().await;
    let pages = PAGE.repeat(2) + "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
    let bytes =
        [pages.into_bytes(), upgrade_request("/echo", &[]).into_bytes(), frames::client(TEXT, b"hello")].concat();
    peer.send(&bytes).await;
    for status in [200, 200, 404, 101] {
        assert_eq!(peer.answer().await.status, status);
    }
    assert_eq!(peer.message().await.text(), "hello");
    let mut all = gateway.connect().await;
    all.send(format!("{PAGE}{}", changed("Connection: Upgrade", "Connection: none")).as_bytes()).await;
    all.send(PAGE.as_bytes()).await;
    assert_eq!((all.answer().await.status, all.answer().await.status), (200, 400));
    // What follows a refused upgrade could be frames: it is no request any more.
    all.clean_end().await;
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_the_connection_after_the_answer() {
    let gateway = gateway(SITE);
    for lines in ["Content-Length: 40\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut peer = gateway.connect().await;
        peer.send(format!("{}{PAGE}", plain(lines)).as_bytes()).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{lines}");
        peer.clean_end().await;
    }
}
