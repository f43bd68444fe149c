//! The head that a backend gets, to the byte, and the heads that hand-written servers answer with.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::backend::{Backend, switch};
use crate::support::frames::{TEXT, server};
use crate::support::peer::upgrade_request;
use crate::support::{Answer, Peer, Running, gateway, log, logged, together, within};

/// A route at `/ws` to this backend, with these keys beside `pool`, and these in the pool.
fn site(proxy: &str, url: &str, pool: &str) -> Running {
    gateway(&format!(
        "limits = {{ handshakes_per_address = \"0/s\", connections_per_address = 1000 }}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"p\", {proxy} }}\n\
         [pool.p]\nbackends = [\"{url}\"]\n{pool}\n"
    ))
}

/// What a backend behind such a route gets when a client asks with these lines, and the answer once it has switched.
async fn asked(proxy: &str, path: &str, lines: &[&str]) -> (String, Answer) {
    let backend = Backend::bind().await;
    let gateway = site(proxy, &backend.url(), "");
    let mut peer = gateway.connect().await;
    let (answer, (_far, head)) = tokio::join!(peer.upgrade(path, lines), backend.upgrade(&[]));
    assert_eq!(answer.status, 101, "{answer:?}");
    (head, answer)
}

/// The answer to an upgrade request that reaches no backend.
async fn refused(gateway: &Running, lines: &[&str]) -> Answer {
    gateway.ask(&upgrade_request("/ws", lines)).await
}

fn line<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The name of each line, in order.
fn names(head: &str) -> Vec<&str> {
    head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect()
}

const LEGACY: &str = "profile = \"legacy\"";

// The request

#[tokio::test]
async fn the_head_comes_in_one_piece_in_order_and_in_canonical_case() {
    for (profile, passes_offer) in [("transparent", true), ("legacy", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("ws://{}", listener.local_addr().expect("address"));
        let gateway = site(&format!("profile = \"{profile}\""), &url, "");
        let mut peer = gateway.connect().await;
        let lines = ["USER-AGENT:  test/1  ", "origin:http://test.example", "cookie: a=1", "sec-websocket-protocol: x"];
        peer.send(upgrade_request("/ws?q=1", &lines).as_bytes()).await;
        let (mut far, _) = within("a connection", listener.accept()).await.expect("accept");
        let mut buffer = [0; 4096];
        let count = within("a head", far.read(&mut buffer)).await.expect("read");
        let head = std::str::from_utf8(&buffer[..count]).expect("text");
        assert!(head.starts_with("GET /ws?q=1 HTTP/1.1\r\nHost: test.example\r\n"), "{head}");
        assert!(head.ends_with("\r\nUser-Agent: test/1\r\n\r\n"), "the whole head in one read: {head:?}");
        let mut expected = vec!["Host", "Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"];
        expected.extend(["Origin", "Cookie"]);
        expected.extend(passes_offer.then_some("Sec-WebSocket-Protocol"));
        expected.extend(["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded"]);
        expected.push("User-Agent");
        assert_eq!(names(head), expected, "{profile}");
    }
}

#[tokio::test]
async fn a_header_that_only_ends_in_the_keys_name_is_400() {
    let backend = Backend::bind().await;
    let gateway = site(LEGACY, &backend.url(), "");
    for name in ["X-Sec-WebSocket-Key", "x-sec-websocket-key", "Sec_WebSocket_Key"] {
        let answer = refused(&gateway, &[&format!("{name}: dGhlIHNhbXBsZSBub25jZQ==")]).await;
        let expected = "the request has a header that only ends in Sec-WebSocket-Key\n";
        assert_eq!((answer.status, answer.body.as_str()), (400, expected), "{name}");
    }
    let counted = gateway.metric("wsgate_requests_refused_total{reason=\"key_lookalike\"}").await;
    assert!((counted - 3.0).abs() < f64::EPSILON, "{counted}");
    // What merely holds the name is another header, and stays at the edge.
    let (answer, (_far, head)) = tokio::join!(
        async { gateway.connect().await.upgrade("/ws", &["Sec-WebSocket-Key-Old: x", "Sec-WebSocket-Key1: y"]).await },
        backend.upgrade(&[])
    );
    assert_eq!((answer.status, head.to_lowercase().matches("sec-websocket-key").count()), (101, 1), "{head}");
}

#[tokio::test]
async fn more_headers_pass_when_they_are_named() {
    let lines = ["x-requested-with: a", "x-requested-with: b", "dnt: 1", "X-Other: no", "cf-connecting-ip: 192.0.2.1"];
    for profile in ["transparent", "legacy"] {
        let named = "pass_headers = [\"X-Requested-With\", \"DNT\", \"CF-Connecting-IP\", \"Cookie\", \"Accept\"]";
        let with = format!("profile = \"{profile}\", {named}");
        let (head, _) = asked(&with, "/ws", &[&lines[..], &["Cookie: a=1"]].concat()).await;
        assert!(
            head.ends_with("\r\nX-Requested-With: a, b\r\nDNT: 1\r\nCF-Connecting-IP: 192.0.2.1\r\n\r\n"),
            "{head}"
        );
        assert_eq!((head.matches("Cookie: ").count(), line(&head, "X-Other")), (1, None), "{head}");
        let (head, _) = asked(&format!("profile = \"{profile}\""), "/ws", &lines).await;
        assert_eq!((line(&head, "DNT"), line(&head, "X-Requested-With")), (None, None), "{head}");
    }
}

#[tokio::test]
async fn what_does_not_fit_into_the_budget_is_left_out() {
    let agent = format!("User-Agent: {}", "u".repeat(300));
    let cookie = format!("Cookie: PHPSESSID=s3cret; _ga={}; theme=dark", "g".repeat(400));
    let lines = ["Origin: http://test.example", "Accept-Language: de", "Referer: x", &agent, &cookie];
    let passing = "pass_headers = [\"Referer\"]";
    for (keys, most, has_agent, cookies) in [
        (LEGACY, Some(1000), false, "PHPSESSID=s3cret; _ga="),
        ("legacy = { head_budget = 512 }", Some(512), false, "PHPSESSID=s3cret; theme=dark"),
        ("profile = \"legacy\", legacy = { head_budget = \"4KiB\" }", None, true, "PHPSESSID=s3cret; _ga="),
        ("profile = \"transparent\"", None, true, "PHPSESSID=s3cret; _ga="),
    ] {
        let (head, _) = asked(&format!("{keys}, {passing}"), "/ws", &lines).await;
        assert!(most.is_none_or(|most| head.len() <= most), "{keys}: {}", head.len());
        assert_eq!(most.is_none(), head.len() > 1000, "{keys}: nothing is left out without need");
        assert_eq!(line(&head, "User-Agent").is_some(), has_agent, "{keys}: {head}");
        assert_eq!(line(&head, "Accept-Language").is_some(), has_agent, "{keys}: {head}");
        assert!(line(&head, "Cookie").is_some_and(|value| value.starts_with(cookies)), "{keys}: {head}");
        assert_eq!(line(&head, "Origin"), Some("http://test.example"), "{keys}");
        assert_eq!(line(&head, "X-Forwarded-For"), Some("127.0.0.1"), "{keys}");
    }
}

#[tokio::test]
async fn cookies_that_are_named_are_never_left_out() {
    let cookie = format!("Cookie: a={}; token={}; PHPSESSID={}", "a".repeat(300), "t".repeat(310), "p".repeat(300));
    let (head, _) = asked("legacy = { head_budget = 700, cookies = [\"token\"] }", "/ws", &[&cookie]).await;
    assert_eq!(line(&head, "Cookie"), Some(format!("token={}", "t".repeat(310)).as_str()), "{head}");
    let (head, _) = asked("legacy = { head_budget = 700 }", "/ws", &[&cookie]).await;
    assert_eq!(line(&head, "Cookie"), Some(format!("PHPSESSID={}", "p".repeat(300)).as_str()), "{head}");
}

#[tokio::test]
async fn what_still_does_not_fit_is_431_and_reaches_no_backend() {
    let backend = Backend::bind().await;
    let gateway = site(LEGACY, &backend.url(), "");
    let session = |size: usize| format!("Cookie: PHPSESSID={}", "p".repeat(size));
    let answer = refused(&gateway, &[&session(1000)]).await;
    let told = answer.body.strip_prefix("the request head is ").expect("a plain line");
    let (over, rest) = told.split_once(' ').expect("a number");
    assert_eq!((answer.status, rest), (431, "bytes over what the backend takes\n"));
    let over: usize = over.parse().expect("a number");
    let counted = gateway.metric("wsgate_requests_refused_total{reason=\"backend_head_too_large\"}").await;
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
    assert_eq!(refused(&gateway, &[&session(1000 - over + 1)]).await.status, 431);
    // The first that the backend hears of is one that fits, to the byte.
    let fitting = session(1000 - over);
    let (answer, (_far, head)) =
        tokio::join!(async { gateway.connect().await.upgrade("/ws", &[&fitting]).await }, backend.upgrade(&[]));
    assert_eq!((answer.status, head.len()), (101, 1000), "{head}");
}

#[tokio::test]
async fn an_offer_of_subprotocols_is_answered_passed_or_stripped() {
    let offer = ["Sec-WebSocket-Protocol: chat, superchat"];
    for (keys, is_passed, named) in [
        (LEGACY, false, Some("chat")),
        ("profile = \"transparent\"", true, None),
        ("legacy = { subprotocol = \"answer\" }", false, Some("chat")),
        ("profile = \"legacy\", legacy = { subprotocol = \"pass\" }", true, None),
        ("profile = \"legacy\", legacy = { subprotocol = \"strip\" }", false, None),
    ] {
        let (head, answer) = asked(keys, "/ws", &offer).await;
        let seen = line(&head, "Sec-WebSocket-Protocol");
        assert_eq!((seen.is_some(), answer.header("Sec-WebSocket-Protocol")), (is_passed, named), "{keys}");
        let (_, answer) = asked(keys, "/ws", &[]).await;
        assert_eq!(answer.header("Sec-WebSocket-Protocol"), None, "{keys}: nothing was offered");
        assert!(!head.contains("Extensions"), "{head}");
    }
}

#[tokio::test]
async fn a_backend_that_names_a_subprotocol_is_heard_only_where_it_was_asked() {
    let offer = ["Sec-WebSocket-Protocol: chat, superchat"];
    for (mode, named, expected) in [
        ("pass", "superchat", (101, Some("superchat"))),
        ("pass", "soap", (502, None)),
        ("answer", "superchat", (101, Some("chat"))),
        ("answer", "soap", (101, Some("chat"))),
        ("strip", "soap", (101, None)),
    ] {
        let backend = Backend::bind().await;
        let gateway = site(&format!("legacy = {{ subprotocol = \"{mode}\" }}"), &backend.url(), "");
        let own = format!("Sec-WebSocket-Protocol: {named}");
        let mut peer = gateway.connect().await;
        let own = [own.as_str()];
        let (answer, _) = tokio::join!(peer.upgrade("/ws", &offer), backend.upgrade(&own));
        assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), expected, "{mode} {named}");
    }
}

#[tokio::test]
async fn the_edge_names_only_subprotocols_of_its_list() {
    let keys = "profile = \"legacy\", legacy = { subprotocols = [\"v2\", \"superchat\"] }";
    for (offer, named) in [("chat, superchat, v2", Some("superchat")), ("v2", Some("v2")), ("chat", None)] {
        let (_, answer) = asked(keys, "/ws", &[&format!("Sec-WebSocket-Protocol: {offer}")]).await;
        assert_eq!(answer.header("Sec-WebSocket-Protocol"), named, "{offer}");
    }
}

#[tokio::test]
async fn a_prefix_is_taken_off_the_path() {
    for (keys, path, seen) in [
        ("strip_prefix = true", "/ws/room/1?a=b", "/room/1?a=b"),
        ("strip_prefix = true", "/ws", "/"),
        ("strip_prefix = true", "/ws/?q=/ws", "/?q=/ws"),
        ("strip_prefix = true", "/%77s/x", "/x"),
        ("strip_prefix = true", "/ws//evil.example/x", "/evil.example/x"),
        ("strip_prefix = \"/ws\"", "/ws/room", "/room"),
        ("strip_prefix = false", "/ws/room", "/ws/room"),
        ("profile = \"legacy\", strip_prefix = true", "/ws/chat", "/chat"),
    ] {
        let (head, _) = asked(keys, path, &[]).await;
        assert!(head.starts_with(&format!("GET {seen} HTTP/1.1\r\nHost: test.example\r\n")), "{keys} {path}: {head}");
    }
    let backend = Backend::bind().await;
    let gateway = gateway(&format!(
        "[[route]]\npath = \"/ws/chat\"\nproxy = {{ pool = \"p\", strip_prefix = \"/ws\" }}\n\
         [pool.p]\nbackends = [\"{}\"]\n",
        backend.url()
    ));
    let (_peer, (_far, head)) = tokio::join!(gateway.open("/ws/chat/1"), backend.upgrade(&[]));
    assert!(head.starts_with("GET /chat/1 HTTP/1.1\r\n"), "{head}");
}

// The answer

/// An upgrade through the gateway, the far end of which a test serves by hand; with the accept value it must name.
async fn begun(gateway: &Running, backend: &Backend) -> (Peer, Peer, String) {
    let mut peer = gateway.connect().await;
    peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
    let mut far = backend.accept().await;
    let head = far.head().await;
    let accept = wsgate::wire::offer::accept_for(line(&head, "Sec-WebSocket-Key").expect("key"));
    (peer, far, accept)
}

#[tokio::test]
async fn every_manner_of_saying_101_is_understood() {
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let gateway = site(&format!("profile = \"{profile}\""), &backend.url(), "");
        for said in [
            "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept:@\r\n\r\n",
            "HTTP/1.1 101 Switching Protocol\nupgrade:websocket\nconnection:upgrade\nsec-websocket-accept:@\n\n",
            "HTTP/1.1 101\r\nUPGRADE: websocket\r\nCONNECTION: keep-alive, upgrade\r\nSEC-WEBSOCKET-ACCEPT: @  \r\n\n",
            "HTTP/1.0 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept:  @\r\nodd line\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ] {
            let (mut peer, mut far, accept) = begun(&gateway, &backend).await;
            far.send(&[said.replace('@', &accept).as_bytes(), &server(TEXT, b"welcome")].concat()).await;
            assert_eq!(peer.answer().await.status, 101, "{profile}: {said}");
            assert_eq!(peer.frame().await.text(), "welcome", "{profile}: {said}");
        }
    }
}

#[tokio::test]
async fn an_answer_with_a_greeting_may_be_cut_anywhere() {
    let backend = Backend::bind().await;
    let gateway = site(LEGACY, &backend.url(), "");
    let length = {
        let (mut peer, mut far, accept) = begun(&gateway, &backend).await;
        let whole = greeted(&accept);
        // Byte by byte first.
        for byte in &whole {
            far.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!((peer.answer().await.status, peer.frame().await.text()), (101, "welcome"));
        whole.len()
    };
    for cut in 1..length {
        let (mut peer, mut far, accept) = begun(&gateway, &backend).await;
        let whole = greeted(&accept);
        far.send(&whole[..cut]).await;
        tokio::task::yield_now().await;
        far.send(&whole[cut..]).await;
        assert_eq!((peer.answer().await.status, peer.frame().await.text()), (101, "welcome"), "cut at {cut}");
    }
}

fn greeted(accept: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 101 x\nUpgrade:websocket\r\nConnection:Upgrade\nSec-WebSocket-Accept:{accept}\n\r\n");
    [head.as_bytes(), &server(TEXT, b"welcome")].concat()
}

#[tokio::test]
async fn an_answer_without_an_end_is_502_and_never_a_hang() {
    log();
    let unfinished = [
        ("HTTP/1.1 400 Bad Request", true),
        ("HTTP/1.1 400 Bad Request", false),
        ("HTTP/1.1 400 Bad One\r\nX-Told: never ends", true),
        ("HTTP/1.1 400 Bad One\r\nX-Told: never ends", false),
        ("HTTP/1.0 403 Forbidden Two\r\n", true),
        ("HTTP/1.0 403 Forbidden Two\r\n", false),
        ("HTTP/1.1 101 Unfinished\r\nUpgrade: websocket\r\n", true),
        ("HT", true),
    ];
    let nonsense = (502, "the backend did not answer as a WebSocket server\n", "the answer has no end");
    // What may still become a 101 is late, and the log shows it as well.
    let late = (504, "the backend did not answer in time\n", "no whole answer in time");
    let of_time = ["HT", "HTTP/1.1 101 Unfinished\r\nUpgrade: websocket\r\n"].map(|said| (said, false, late));
    let all = unfinished.into_iter().map(|(said, closes)| (said, closes, nonsense)).chain(of_time);
    together(all.map(|(said, closes, expected)| unended(said, closes, expected))).await;
}

/// A backend says this and no more; the client gets this status and body, and the log has this.
async fn unended(said: &'static str, closes: bool, (status, body, told): (u16, &'static str, &'static str)) {
    let backend = Backend::bind().await;
    // Who closes is not waited for.
    let patience = if closes { "10m" } else { "2s" };
    let gateway = site(LEGACY, &backend.url(), &format!("answer_timeout = \"{patience}\""));
    let (mut peer, mut far, _) = begun(&gateway, &backend).await;
    far.send(said.as_bytes()).await;
    if closes {
        far.finish().await;
    }
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (status, body), "{said:?} closes: {closes}");
    let line = logged(&[&backend.url(), told]).await;
    assert!(line.contains(&format!("it began with \"{}\"", said.escape_default())), "{line}");
}

#[tokio::test]
async fn a_wrong_accept_is_502_and_the_log_says_so() {
    log();
    let backend = Backend::bind().await;
    let gateway = site(LEGACY, &backend.url(), "");
    let (mut peer, mut far, accept) = begun(&gateway, &backend).await;
    far.send(&switch(&format!("Sec-WebSocket-Key: {accept}\r\n"), &[])).await;
    assert_eq!(peer.answer().await.status, 502);
    let told = logged(&[&backend.url(), "101 with a wrong Sec-WebSocket-Accept"]).await;
    assert!(told.contains("HTTP/1.1 101 Switching Protocols"), "{told}");
    far.end().await;
}

#[tokio::test]
async fn an_answers_head_is_bounded() {
    log();
    for (said, told) in [
        (format!("HTTP/1.1 101 x\r\nX-Long: {}", "x".repeat(17 << 10)), "the answer's head is over 16384 bytes"),
        (format!("HTTP/1.1 101 x\r\n{}\r\n", "X: y\r\n".repeat(101)), "the answer's head has more than 100 headers"),
    ] {
        let backend = Backend::bind().await;
        let gateway = site(LEGACY, &backend.url(), "");
        let (mut peer, mut far, _) = begun(&gateway, &backend).await;
        far.try_send(said.as_bytes()).await.ok();
        assert_eq!(peer.answer().await.status, 502, "{told}");
        logged(&[&backend.url(), told]).await;
    }
}

#[tokio::test]
async fn a_refusal_whose_body_never_comes_is_502() {
    log();
    let backend = Backend::bind().await;
    let gateway = site(LEGACY, &backend.url(), "answer_timeout = \"1500ms\"");
    let (mut peer, mut far, _) = begun(&gateway, &backend).await;
    far.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nbro").await;
    assert_eq!(peer.answer().await.status, 502);
    logged(&[&backend.url(), "the answer has no end; it began with \"HTTP/1.1 403 Forbidden"]).await;
}

#[tokio::test]
async fn a_refusal_of_http_1_0_without_a_length_is_passed_on() {
    let backend = Backend::bind().await;
    let gateway = site(LEGACY, &backend.url(), "");
    for (said, body) in
        [("HTTP/1.0 400 Bad Request\n\n<b>400</b>", ""), ("HTTP/1.1 400\r\nContent-Length: 9\r\n\r\nbroken", "broken")]
    {
        let (mut peer, mut far, _) = begun(&gateway, &backend).await;
        far.send(said.as_bytes()).await;
        far.finish().await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (400, body), "{said}");
    }
}
