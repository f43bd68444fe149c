//! Auth at the door: tokens that are judged here, and a server that is asked, as raw peers on both sides see it.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::support::backend::Backend;
use crate::support::frames::{self, CLOSE};
use crate::support::peer::{Answer, Peer};
use crate::support::process::Program;
use crate::support::{Running, gateway, log, logged, parse, tls, within};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token of these claims, signed with [`SECRET`].
pub fn token(claims: &Value) -> String {
    let url = |text: String| URL_SAFE_NO_PAD.encode(text);
    let said = format!("{}.{}", url(json!({ "alg": "HS256" }).to_string()), url(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{said}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, said.as_bytes())))
}

fn good() -> String {
    token(&json!({ "sub": "anna", "exp": now() + 600 }))
}

/// A folder with the secret, and `auth = …` for it with more settings.
pub fn jwt(more: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).expect("write");
    (folder, format!("auth = {{ kind = \"jwt\", algorithms = [\"HS256\"], secret_file = {path:?}, {more} }}\n"))
}

/// A gateway whose route `/ws` leads to the backend, with this `auth`.
fn guarded(auth: &str, backend: &Backend) -> Running {
    gateway(&config(auth, &backend.url()))
}

fn config(auth: &str, backend: &str) -> String {
    format!(
        "{ADMIN}[[route]]\npath = \"/ws\"\n{auth}proxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{backend}\"]\n"
    )
}

/// A visit that comes to a 101, and the head that the backend saw.
async fn visit(gateway: &Running, backend: &Backend, path: &str, more: &[&str]) -> (Answer, Peer, String, Peer) {
    let mut peer = gateway.connect().await;
    let (answer, (behind, head)) = tokio::join!(peer.upgrade(path, more), backend.upgrade(&[]));
    assert_eq!(answer.status, 101, "{answer:?}");
    (answer, peer, head, behind)
}

async fn ask(gateway: &Running, path: &str, more: &[&str]) -> Answer {
    gateway.connect().await.upgrade(path, more).await
}

fn line<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines().filter(|line| line.starts_with(&format!("{name}: "))).collect()
}

// Tokens

#[tokio::test]
async fn a_token_opens_the_door_and_does_not_go_through_it() {
    let token = good();
    let bearer = format!("Authorization: Bearer {token}");
    let cookie = format!("Cookie: a=1; id={token}; b=2");
    let query = format!("/ws?x=1&t={token}&y");
    let offer = format!("Sec-WebSocket-Protocol: chat, bearer, {token}");
    for (place, path, more) in [
        ("header", "/ws?x=1&y", &*bearer),
        ("cookie:id", "/ws?x=1&y", &*cookie),
        ("query:t", &*query, "X-Other: 1"),
        ("subprotocol", "/ws?x=1&y", &*offer),
    ] {
        let backend = Backend::bind().await;
        let (_folder, auth) = jwt(&format!("token = \"{place}\", claims = {{ X-User = \"sub\", X-Room = \"room\" }}"));
        let gateway = guarded(&auth, &backend);
        let forged = ["X-User: root", "X-Room: vault", "Accept-Language: de", more];
        let (answer, _peer, head, _behind) = visit(&gateway, &backend, path, &forged).await;
        assert!(head.starts_with("GET /ws?x=1&y HTTP/1.1\r\n"), "{head}");
        assert!(!head.contains(&token) && !head.contains("bearer"), "{head}");
        assert_eq!((line(&head, "X-User"), line(&head, "X-Room")), (vec!["X-User: anna"], vec![]), "{head}");
        assert!(head.contains("\r\nX-User: anna\r\n"), "{head}");
        if place == "subprotocol" {
            assert_eq!(line(&head, "Sec-WebSocket-Protocol"), ["Sec-WebSocket-Protocol: chat"]);
            assert_eq!(answer.header("sec-websocket-protocol"), Some("bearer"));
        } else {
            assert_eq!((line(&head, "Authorization"), answer.header("sec-websocket-protocol")), (vec![], None));
        }
        if place == "cookie:id" {
            assert_eq!(line(&head, "Cookie"), ["Cookie: a=1; b=2"]);
        }
    }
}

#[tokio::test]
async fn a_token_goes_through_where_the_owner_wants_it() {
    let token = good();
    let backend = Backend::bind().await;
    let (_folder, auth) = jwt("token = [\"subprotocol\", \"header\"], strip = false");
    let gateway = guarded(&auth, &backend);
    let bearer = format!("Authorization: Bearer {token}");
    let (_, _peer, head, _behind) = visit(&gateway, &backend, "/ws", &[&bearer]).await;
    assert_eq!(line(&head, "Authorization"), [bearer.as_str()]);
    // One that stands elsewhere was not judged.
    let offered = format!("Sec-WebSocket-Protocol: bearer, {token}");
    let (_, _peer, head, _behind) = visit(&gateway, &backend, "/ws", &["Authorization: Bearer x", &offered]).await;
    assert_eq!((line(&head, "Authorization"), line(&head, "Sec-WebSocket-Protocol")), (vec![], vec![&*offered]));
    // Offered, and not to be chosen all the same.
    let offer = format!("Sec-WebSocket-Protocol: bearer, {token}");
    let mut peer = gateway.connect().await;
    let chosen = format!("Sec-WebSocket-Protocol: {token}");
    let (offers, choices) = ([offer.as_str()], [chosen.as_str()]);
    let (answer, (_behind, head)) = tokio::join!(peer.upgrade("/ws", &offers), backend.upgrade(&choices));
    assert_eq!((line(&head, "Sec-WebSocket-Protocol"), answer.status), (vec![offer.as_str()], 502));
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_reaches_no_backend() {
    let backend = Backend::bind().await;
    let (_folder, auth) = jwt("audience = \"chat\", require = [\"sub\"], issuer = \"idp\", leeway = \"0s\"");
    let gateway = guarded(&auth, &backend);
    let with = |more: Value| {
        let mut claims = json!({ "sub": "anna", "exp": now() + 60, "aud": "chat", "iss": "idp" });
        claims.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        token(&claims)
    };
    let invalid = "Bearer error=\"invalid_token\"";
    for (token, label, told) in [
        (with(json!({ "exp": now() - 5 })), "token_expired", "the token has expired"),
        (with(json!({ "nbf": now() + 50 })), "token_not_yet", "the token is not valid yet"),
        (with(json!({ "aud": "mail" })), "token_audience", "the token is not for this place"),
        (with(json!({ "iss": "me" })), "token_issuer", "the token is not from an issuer that is known here"),
        (with(json!({ "sub": null })), "token_claim", "the token lacks a claim that is required here"),
        (with(json!({})) + "x", "token_signature", "the token's signature is wrong"),
        ("x.y.z".to_owned(), "token_malformed", "the token is not a signed JWT"),
        (
            "eyJhbGciOiJub25lIn0.e30.".to_owned(),
            "token_algorithm",
            "the token is signed in a way that is not allowed here",
        ),
    ] {
        let answer = ask(&gateway, "/ws", &[&format!("Authorization: Bearer {token}")]).await;
        assert_eq!((answer.status, &*answer.body), (401, &*format!("{told}\n")), "{token}");
        assert_eq!(answer.header("www-authenticate"), Some(invalid));
        gateway.until_metric(&format!("wsgate_requests_refused_total{{reason=\"{label}\"}}"), 1.0).await;
    }
    let answer = ask(&gateway, "/ws", &[]).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(answer.body, "a token is required here\n");
    let twice = format!("Authorization: Bearer {}", with(json!({})));
    let answer = ask(&gateway, "/ws", &[&twice, &twice]).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (400, Some("Bearer error=\"invalid_request\"")));
    // The first that the backend hears of anybody is the one whose token is good.
    let (_, _peer, head, _behind) = visit(&gateway, &backend, "/ws?first", &[&twice]).await;
    assert!(head.starts_with("GET /ws?first "), "{head}");
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let backend = Backend::bind().await;
    let (_folder, auth) = jwt("leeway = \"0s\"");
    let local =
        format!("[[route]]\npath = \"/echo\"\n{auth}echo = {{}}\n[[route]]\npath = \"/chat\"\n{auth}hub = {{}}\n");
    let gateway = gateway(&format!("{}{local}", config(&auth, &backend.url())));
    let started = Instant::now();
    let bearer = format!("Authorization: Bearer {}", token(&json!({ "exp": now() + 3 })));
    let (_, relayed, _, mut behind) = visit(&gateway, &backend, "/ws", &[&bearer]).await;
    let (mut echo, mut chat) = (gateway.connect().await, gateway.connect().await);
    assert_eq!(echo.upgrade("/echo", &[&bearer]).await.status, 101);
    assert_eq!(chat.upgrade("/chat", &[&bearer]).await.status, 101);
    echo.say("in time").await;
    assert_eq!(echo.message().await.text(), "in time");
    for mut peer in [relayed, echo, chat] {
        let close = peer.message().await;
        assert_eq!((close.code(), close.reason()), (4401, "the token has expired".to_owned()));
        peer.send(&frames::client(CLOSE, &close.payload)).await;
    }
    let close = behind.message().await;
    assert_eq!((close.code(), close.reason()), (1001, "the token has expired".to_owned()));
    behind.send(&frames::server(CLOSE, &close.payload)).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    gateway.until_metric("wsgate_websockets_ended_total{by=\"gateway\",code=\"4xxx\"}", 3.0).await;
}

#[tokio::test]
async fn the_leeway_lets_a_late_token_in_and_stay() {
    let backend = Backend::bind().await;
    let (_folder, auth) = jwt("leeway = \"10m\"");
    let gateway = guarded(&auth, &backend);
    let bearer = format!("Authorization: Bearer {}", token(&json!({ "exp": now() - 60 })));
    let (_, mut peer, _, mut behind) = visit(&gateway, &backend, "/ws", &[&bearer]).await;
    behind.send(&frames::server(frames::TEXT, b"still here")).await;
    assert_eq!(peer.message().await.text(), "still here");
}

#[tokio::test]
async fn keys_are_read_anew_at_a_reload() {
    let folder = tempfile::tempdir().expect("folder");
    let pairs = [(); 2].map(|()| tls::leaf(&["x"], None));
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("write");
        path
    };
    let set = |at: usize| {
        let point = rcgen::PublicKeyData::der_bytes(&pairs[at].key)[1..].to_vec();
        let url = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": url(&point[..32]), "y": url(&point[32..]) });
        write("jwks.json", json!({ "keys": [key] }).to_string())
    };
    let sign = |at: usize| {
        let url = |text: String| URL_SAFE_NO_PAD.encode(text);
        let head = url(json!({ "alg": "ES256", "kid": "k" }).to_string());
        let said = format!("{head}.{}", url(json!({ "exp": now() + 60 }).to_string()));
        let kind = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(kind, &pairs[at].key.serialize_der()).expect("key");
        let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), said.as_bytes()).expect("signature");
        format!("Authorization: Bearer {said}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let path = set(0);
    let text = format!(
        "[[route]]\npath = \"/echo\"\nauth = {{ kind = \"jwt\", algorithms = [\"ES256\"], jwks_file = {path:?} }}\necho = {{}}\n"
    );
    let gateway = gateway(&text);
    let status = async |at: usize| ask(&gateway, "/echo", &[&sign(at)]).await.status;
    assert_eq!((status(0).await, status(1).await), (101, 401));
    set(1);
    gateway.handle.reload(parse(&text)).expect("reloaded");
    assert_eq!((status(0).await, status(1).await), (401, 101));
    // One that cannot be read changes nothing.
    write("jwks.json", "{}".to_owned());
    let problems = gateway.handle.reload(parse(&text)).expect_err("refused").to_string();
    let told = "route \"/echo\".auth.jwks_file: has no list of keys; allowed: a JWK set: {\"keys\": [ … ]}";
    assert!(problems.ends_with(told), "{problems}");
    assert_eq!((status(0).await, status(1).await), (401, 101));
    // The same key as PEM.
    let body = STANDARD.encode(rcgen::PublicKeyData::subject_public_key_info(&pairs[0].key));
    let pem = write("key.pem", format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"));
    let text = text.replace(&format!("jwks_file = {path:?}"), &format!("key_file = {pem:?}"));
    gateway.handle.reload(parse(&text)).expect("reloaded");
    assert_eq!((status(0).await, status(1).await), (101, 401));
}

#[tokio::test]
async fn no_token_is_ever_logged() {
    let backend = Backend::bind().await;
    let asked = Backend::bind().await;
    let (folder, auth) = jwt("token = [\"header\", \"cookie:id\", \"query:t\", \"subprotocol\"]");
    let server = format!("auth = {{ kind = \"request\", url = \"http://{}/auth\", cache = \"1h\" }}\n", asked.address);
    let routes = config(&auth, &backend.url());
    let text = format!("{routes}[[route]]\npath = \"/asked\"\n{server}echo = {{}}\n");
    crate::support::process::configure(folder.path(), &text);
    let program = Program::start(folder.path(), &["--log", "trace"]).await;
    let (fine, late) = (good(), token(&json!({ "sub": "anna", "exp": 5 })));
    let forged = format!("{}x", good());
    for token in [&fine, &late, &forged] {
        for (path, more) in [
            ("/ws".to_owned(), format!("Authorization: Bearer {token}")),
            ("/ws".to_owned(), format!("Cookie: id={token}")),
            (format!("/ws?t={token}"), "X-Other: 1".to_owned()),
            (format!("/nowhere?t={token}"), "X-Other: 1".to_owned()),
            ("/ws".to_owned(), format!("Sec-WebSocket-Protocol: bearer, {token}")),
        ] {
            let mut peer = Peer::connect(program.address()).await;
            if *token == fine && path != format!("/nowhere?t={token}") {
                // A backend that answers nonsense is logged as well.
                let serve = async {
                    let mut behind = backend.accept().await;
                    behind.head().await;
                    behind.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n").await;
                };
                let lines = [more.as_str()];
                let (answer, ()) = tokio::join!(peer.upgrade(&path, &lines), serve);
                assert_eq!(answer.status, 502);
            } else {
                assert!([401, 404].contains(&peer.upgrade(&path, &[&more]).await.status));
            }
        }
        let serve = async {
            let mut server = asked.accept().await;
            assert!(server.head().await.contains(token.as_str()));
            server.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n").await;
        };
        let mut peer = Peer::connect(program.address()).await;
        let bearer = format!("Authorization: Bearer {token}");
        let lines = [bearer.as_str()];
        let (answer, ()) = tokio::join!(peer.upgrade("/asked", &lines), serve);
        assert_eq!(answer.status, 503);
    }
    let log = program.stop().await.err;
    assert!(
        log.contains("the token has expired") && log.contains("nobody can say whether a client may come in"),
        "{log}"
    );
    for token in [&fine, &late, &forged] {
        for part in token.split('.').filter(|part| part.len() > 10) {
            assert!(!log.contains(part), "{part} in\n{log}");
        }
    }
    assert!(!log.contains(SECRET), "{log}");
}

// A server that is asked

fn request(server: &Backend, more: &str) -> String {
    format!("auth = {{ kind = \"request\", url = \"http://{}/auth?a=b\", {more} }}\n", server.address)
}

/// The server's next question, answered with these bytes.
async fn answered(server: &Backend, answer: &str) -> String {
    let mut peer = server.accept().await;
    let head = peer.head().await;
    peer.send(answer.as_bytes()).await;
    head
}

const YES: &str = "HTTP/1.1 204 No Content\r\nX-User: anna\r\nX-Other: x\r\nSet-Cookie: a=b\r\n\r\n";

#[tokio::test]
async fn a_server_is_asked_before_the_backend_is() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let more = "headers = [\"X-User\", \"X-Room\", \"Cookie\"], idle_connections = 0";
    let gateway = guarded(&request(&server, more), &backend);
    let mut peer = gateway.connect().await;
    let more = [
        "Origin: http://test.example",
        "Cookie: id=secret",
        "Cookie: x=y",
        "Authorization: Basic eDp5",
        "User-Agent: me",
        "Accept-Language: de",
        "Sec-WebSocket-Protocol: chat",
        "X-User: root",
        "X-Room: vault",
        "X-Forwarded-For: 6.6.6.6",
    ];
    let asked = async {
        let head = answered(&server, YES).await;
        (head, backend.upgrade(&["Sec-WebSocket-Protocol: chat"]).await)
    };
    let (answer, (asked, (_behind, head))) = tokio::join!(peer.upgrade("/ws?room=1", &more), asked);
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("chat")));
    let mut lines: Vec<&str> = asked.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /auth?a=b HTTP/1.1");
    lines.sort_unstable();
    let host = format!("Host: {}", server.address);
    let mut expected = vec![
        host.as_str(),
        "Connection: close",
        "Cookie: id=secret; x=y",
        "Authorization: Basic eDp5",
        "Origin: http://test.example",
        "User-Agent: me",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: test.example",
        "X-Forwarded-Uri: /ws?room=1",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(line(&head, "X-User"), ["X-User: anna"]);
    assert_eq!((line(&head, "X-Room"), line(&head, "X-Other"), line(&head, "Cookie")), (vec![], vec![], vec![]));
    assert_eq!(line(&head, "Authorization"), ["Authorization: Basic eDp5"]);
}

#[tokio::test]
async fn its_no_is_passed_on() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, ""), &backend);
    for (head, status, authenticate, kind, body) in [
        (
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<no>",
            401,
            Some("Basic realm=\"x\""),
            "text/html",
            "<no>",
        ),
        (
            "HTTP/1.0 403 No\r\nSet-Cookie: a=b\r\n\r\n",
            403,
            None,
            "text/plain; charset=utf-8",
            "you may not come in here\n",
        ),
    ] {
        // Without a length the body ends with the connection, which ends when its peer is dropped.
        let (answer, _) = tokio::join!(ask(&gateway, "/ws", &[]), answered(&server, head));
        assert_eq!((answer.status, answer.header("www-authenticate")), (status, authenticate));
        assert_eq!((answer.header("content-type"), &*answer.body), (Some(kind), body));
        assert_eq!(answer.header("set-cookie"), None);
    }
    let long = format!("HTTP/1.1 403 No\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
    let (answer, _) = tokio::join!(ask(&gateway, "/ws", &[]), answered(&server, &long));
    assert_eq!((answer.status, &*answer.body), (403, "you may not come in here\n"));
    gateway.until_metric("wsgate_requests_refused_total{reason=\"auth_status\"}", 3.0).await;
}

#[tokio::test]
async fn nobody_comes_in_when_nobody_can_say() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, "headers = [\"X-User\"]"), &backend);
    let long = format!("HTTP/1.1 200 Fine\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    let answers = [
        "HTTP/1.1 500 Oh\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n",
        "HTTP/1.1 404 Gone\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200 Fine\r\nX-User: anna\r\nX-User: root\r\n\r\n",
        "yes\r\n\r\n",
        "",
        &long,
    ];
    for answer in answers {
        let (refused, _) = tokio::join!(ask(&gateway, "/ws", &[]), answered(&server, answer));
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{answer}");
        assert_eq!(refused.body, "it cannot be found out whether you may come in\n");
    }
    gateway.until_metric("wsgate_requests_refused_total{reason=\"auth_failed\"}", answers.len() as f64).await;
    drop(server);
    assert_eq!(ask(&gateway, "/ws", &[]).await.status, 503);
}

#[tokio::test]
async fn a_late_answer_is_none() {
    let late = async |begun: &str| {
        let (server, backend) = (Backend::bind().await, Backend::bind().await);
        let gateway = guarded(&request(&server, "timeout = \"1s\""), &backend);
        let started = Instant::now();
        let serve = async {
            let mut peer = server.accept().await;
            peer.head().await;
            peer.send(begun.as_bytes()).await;
            peer.rest().await;
        };
        let (answer, ()) = tokio::join!(ask(&gateway, "/ws", &[]), serve);
        assert_eq!(
            (answer.status, &*answer.body),
            (503, "it could not be found out in time whether you may come in\n")
        );
        assert!(started.elapsed() < Duration::from_millis(2900), "the default is 3 s: {:?}", started.elapsed());
        gateway.until_metric("wsgate_requests_refused_total{reason=\"auth_timeout\"}", 1.0).await;
    };
    let (head, body) = ("HTTP/1.1 200 Fi", "HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nx");
    tokio::join!(late(""), late(head), late(body));
}

#[tokio::test]
async fn everybody_comes_in_unvouched_for_where_the_owner_wants_it() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    log();
    let gateway = guarded(&request(&server, "on_error = \"allow\", headers = [\"X-User\"]"), &backend);
    let mut peer = gateway.connect().await;
    let asked = async {
        answered(&server, "HTTP/1.1 500 Oh\r\nX-User: anna\r\n\r\n").await;
        backend.upgrade(&[]).await
    };
    let (answer, (_behind, head)) = tokio::join!(peer.upgrade("/ws", &["X-User: root"]), asked);
    assert_eq!((answer.status, line(&head, "X-User")), (101, vec![]));
    logged(&["nobody can say whether a client may come in", "status 500 says neither yes nor no", "allowed=true"])
        .await;
    let (answer, _) = tokio::join!(ask(&gateway, "/ws", &[]), answered(&server, "HTTP/1.1 403 No\r\n\r\n"));
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn an_answer_is_remembered_for_the_same_question() {
    for (more, refusals) in [("cache = \"1h\"", false), ("cache = \"1h\", cache_refusals = true", true)] {
        let (server, backend) = (Backend::bind().await, Backend::bind().await);
        let gateway = guarded(&request(&server, &format!("headers = [\"X-User\"], {more}")), &backend);
        let (first, ()) = tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=1"]), async {
            answered(&server, YES).await;
        });
        // Nobody answers a second question: this one is not asked.
        let (_, _peer, head, _behind) = visit(&gateway, &backend, "/ws", &["Cookie: id=1"]).await;
        assert_eq!((line(&head, "X-User"), line(&first.2, "X-User")), (vec!["X-User: anna"], vec!["X-User: anna"]));
        for (path, cookie) in [("/ws", "Cookie: id=2"), ("/ws?room=1", "Cookie: id=1"), ("/ws", "Cookie: id=1; x=1")] {
            let no = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
            let lines = [cookie];
            let (answer, _) = tokio::join!(ask(&gateway, path, &lines), answered(&server, no));
            assert_eq!((answer.status, &*answer.body), (403, "no"), "{path} {cookie}");
        }
        if refusals {
            assert_eq!(ask(&gateway, "/ws", &["Cookie: id=2"]).await.status, 403);
        } else {
            let (_, ()) = tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=2"]), async {
                answered(&server, YES).await;
            });
        }
    }
}

#[tokio::test]
async fn no_more_answers_are_remembered_than_there_may_be() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, "cache = \"1h\", cache_entries = 1"), &backend);
    for cookie in [["Cookie: id=1"], ["Cookie: id=2"], ["Cookie: id=1"]] {
        tokio::join!(visit(&gateway, &backend, "/ws", &cookie), answered(&server, YES));
    }
    visit(&gateway, &backend, "/ws", &["Cookie: id=1"]).await;
}

#[tokio::test]
async fn questions_at_once_are_bounded_and_asked_in_turn() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let text = config(&request(&server, "at_once = 1, timeout = \"20s\""), &backend.url());
    let gateway = gateway(&format!("handshake_timeout = \"1500ms\"\n{text}"));
    let mut first = gateway.connect().await;
    first.send(crate::support::peer::upgrade_request("/ws?1", &[]).as_bytes()).await;
    let mut question = server.accept().await;
    assert!(question.head().await.contains("X-Forwarded-Uri: /ws?1\r\n"));
    // The next waits for its turn, and no longer than a handshake may take.
    let answer = ask(&gateway, "/ws?2", &[]).await;
    assert_eq!((answer.status, &*answer.body), (503, "too many wait to be let in\n"));
    gateway.until_metric("wsgate_requests_refused_total{reason=\"auth_busy\"}", 1.0).await;
    let mut third = gateway.connect().await;
    third.send(crate::support::peer::upgrade_request("/ws?3", &[]).as_bytes()).await;
    question.send(YES.as_bytes()).await;
    let (_behind, _) = backend.upgrade(&[]).await;
    assert_eq!(first.answer().await.status, 101);
    // The one that gave up is not asked for any more.
    assert!(question.head().await.contains("X-Forwarded-Uri: /ws?3\r\n"));
    question.send(YES.as_bytes()).await;
    let (_behind, _) = backend.upgrade(&[]).await;
    assert_eq!(third.answer().await.status, 101);
}

#[tokio::test]
async fn a_client_that_goes_gives_its_place_back() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, "at_once = 1, timeout = \"20s\""), &backend);
    let mut first = gateway.connect().await;
    first.send(crate::support::peer::upgrade_request("/ws", &[]).as_bytes()).await;
    let mut question = server.accept().await;
    question.head().await;
    drop(first);
    question.end().await;
    let (_, ()) = tokio::join!(visit(&gateway, &backend, "/ws", &[]), async {
        answered(&server, YES).await;
    });
}

/// Sends upgrade requests with this cookie on one worker, and waits until it has looked at all of them.
async fn seek(gateway: &Running, count: usize, cookie: &str) -> Vec<Peer> {
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = gateway.connect().await;
        peer.send(crate::support::peer::upgrade_request("/ws", &[cookie]).as_bytes()).await;
        peers.push(peer);
    }
    // Whoever comes last is served last.
    assert_eq!(ask(gateway, "/echo", &[]).await.status, 101);
    peers
}

/// A gateway with one worker, and a route that asks nobody.
fn guarded_on_one_worker(auth: &str, backend: &Backend) -> Running {
    let routes = config(auth, &backend.url());
    gateway(&format!("workers = 1\n{routes}[[route]]\npath = \"/echo\"\necho = {{}}\n"))
}

#[tokio::test]
async fn the_same_question_is_asked_once_at_a_time() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded_on_one_worker(&request(&server, "headers = [\"X-User\"]"), &backend);
    let first = seek(&gateway, 1, "Cookie: id=1").await;
    let mut question = server.accept().await;
    question.head().await;
    let others = seek(&gateway, 5, "Cookie: id=1").await;
    question.send(YES.as_bytes()).await;
    for mut peer in first.into_iter().chain(others) {
        let (_behind, head) = backend.upgrade(&[]).await;
        assert_eq!((line(&head, "X-User"), peer.answer().await.status), (vec!["X-User: anna"], 101));
    }
    // It is not remembered: whoever comes later asks anew. There was no other question before this one.
    let _later = seek(&gateway, 1, "Cookie: id=1").await;
    assert!(question.head().await.contains("Cookie: id=1\r\n"));
    // Who asks something else does not wait for it.
    let _other = seek(&gateway, 1, "Cookie: id=2").await;
    assert!(server.accept().await.head().await.contains("Cookie: id=2\r\n"));
}

#[tokio::test]
async fn those_who_wait_for_an_answer_are_told_a_failure_too() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded_on_one_worker(&request(&server, ""), &backend);
    let first = seek(&gateway, 1, "Cookie: id=1").await;
    let mut question = server.accept().await;
    question.head().await;
    let others = seek(&gateway, 2, "Cookie: id=1").await;
    question.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n").await;
    for mut peer in first.into_iter().chain(others) {
        assert_eq!(peer.answer().await.status, 503);
    }
    gateway.until_metric("wsgate_requests_refused_total{reason=\"auth_failed\"}", 3.0).await;
}

#[tokio::test]
async fn when_the_one_who_asks_leaves_another_asks() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded_on_one_worker(&request(&server, "at_once = 1"), &backend);
    let first = seek(&gateway, 1, "Cookie: id=1").await;
    let mut question = server.accept().await;
    question.head().await;
    let others = seek(&gateway, 2, "Cookie: id=1").await;
    drop(first);
    question.end().await;
    let head = answered(&server, YES).await;
    assert!(head.contains("Cookie: id=1\r\n"), "{head}");
    for mut peer in others {
        let (_behind, _) = backend.upgrade(&[]).await;
        assert_eq!(peer.answer().await.status, 101);
    }
}

#[tokio::test]
async fn a_connection_serves_one_question_after_the_other() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, "headers = [\"X-User\"]"), &backend);
    let serve = async {
        let mut question = server.accept().await;
        for (cookie, answer) in [
            ("Cookie: id=1", "HTTP/1.1 204 Yes\r\n\r\n"),
            ("Cookie: id=2", "HTTP/1.1 200 Yes\r\nContent-Length: 4\r\n\r\n<ok>"),
            ("Cookie: id=3", "HTTP/1.1 200 Yes\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
            ("Cookie: id=4", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"),
            ("Cookie: id=5", "HTTP/1.1 200 Yes\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        ] {
            let head = question.head().await;
            assert!(head.contains(cookie) && !head.contains("Connection: "), "{head}");
            question.send(answer.as_bytes()).await;
        }
        question.end().await;
    };
    let clients = async {
        for at in 1..=5 {
            let cookie = format!("Cookie: id={at}");
            if at == 4 {
                assert_eq!(ask(&gateway, "/ws", &[&cookie]).await.status, 403);
            } else {
                visit(&gateway, &backend, "/ws", &[&cookie]).await;
            }
        }
    };
    tokio::join!(serve, clients);
    // That one was the last on its connection.
    tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=6"]), answered(&server, YES));
}

#[tokio::test]
async fn a_question_on_a_connection_that_has_ended_is_asked_again() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, ""), &backend);
    for more in ["Cookie: id=1", "Cookie: id=2"] {
        // Ended while nobody needed it: the kernel tells it before the next question, or with it.
        let lines = [more];
        tokio::join!(visit(&gateway, &backend, "/ws", &lines), answered(&server, YES));
    }
    let serve = async {
        let mut question = server.accept().await;
        question.head().await;
        question.send(YES.as_bytes()).await;
        // Ended on account of the question, as far as can be seen.
        assert!(question.head().await.contains("Cookie: id=4\r\n"));
        drop(question);
        assert!(answered(&server, YES).await.contains("Cookie: id=4\r\n"));
    };
    let clients = async {
        for cookie in [["Cookie: id=3"], ["Cookie: id=4"]] {
            visit(&gateway, &backend, "/ws", &cookie).await;
        }
    };
    tokio::join!(serve, clients);
    // A new one that ends without an answer is none: it is not asked a third time.
    let serve = async {
        let mut question = server.accept().await;
        question.head().await;
    };
    let (answer, ()) = tokio::join!(ask(&gateway, "/ws", &["Cookie: id=5"]), serve);
    assert_eq!(answer.status, 503);
}

/// A gateway that keeps so many connections to the server, each of which has answered once.
async fn kept(server: &Backend, backend: &Backend, more: &str, count: usize) -> (Running, Vec<Peer>) {
    let gateway = guarded(&request(server, more), backend);
    let mut asking = Vec::new();
    for at in 0..count {
        let mut peer = gateway.connect().await;
        let cookie = format!("Cookie: before={at}");
        peer.send(crate::support::peer::upgrade_request("/ws", &[&cookie]).as_bytes()).await;
        let mut question = server.accept().await;
        question.head().await;
        asking.push((peer, question));
    }
    let mut questions = Vec::new();
    for (mut peer, mut question) in asking {
        question.send(YES.as_bytes()).await;
        let (_behind, _) = backend.upgrade(&[]).await;
        assert_eq!(peer.answer().await.status, 101);
        questions.push(question);
    }
    (gateway, questions)
}

/// Nothing is heard from the other end any more, as when a machine or the way to it is gone.
#[tokio::test]
async fn a_kept_connection_that_died_without_a_word_costs_half_of_the_time() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let (gateway, mut dead) = kept(&server, &backend, "timeout = \"2s\"", 2).await;
    let serve = async {
        assert!(dead[1].head().await.contains("Cookie: id=1\r\n"), "the one that was needed last");
        let mut new = server.accept().await;
        assert!(new.head().await.contains("Cookie: id=1\r\n"));
        new.send(YES.as_bytes()).await;
        new
    };
    let (_, mut new) = tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=1"]), serve);
    for mut dead in dead {
        dead.end().await;
    }
    // The new one is kept.
    tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=2"]), async {
        assert!(new.head().await.contains("Cookie: id=2\r\n"));
        new.send(YES.as_bytes()).await;
    });
}

#[tokio::test]
async fn a_server_that_is_only_slow_is_heard_on_a_kept_connection() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let (gateway, mut slow) = kept(&server, &backend, "timeout = \"2s\"", 1).await;
    let serve = async {
        slow[0].head().await;
        let mut new = server.accept().await;
        new.head().await;
        // That one ends without an answer: there is still the other.
        drop(new);
        slow[0].send(YES.as_bytes()).await;
    };
    tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=1"]), serve);
}

#[tokio::test]
async fn both_connections_together_have_one_time() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let (gateway, mut dead) = kept(&server, &backend, "timeout = \"300ms\"", 1).await;
    let started = Instant::now();
    let serve = async {
        dead[0].head().await;
        let mut new = server.accept().await;
        new.head().await;
        new.end().await;
    };
    let (answer, ()) = tokio::join!(ask(&gateway, "/ws", &["Cookie: id=1"]), serve);
    assert_eq!(answer.status, 503);
    assert!(started.elapsed() < Duration::from_millis(2500), "the default is 3 s: {:?}", started.elapsed());
    dead[0].end().await;
}

/// RFC 9110 §15.5.9: how a server says that it has waited long enough.
#[tokio::test]
async fn a_408_on_a_kept_connection_is_no_answer_and_on_a_new_one_it_is() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let (gateway, mut idle) = kept(&server, &backend, "timeout = \"20s\"", 1).await;
    let late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let serve = async {
        idle[0].head().await;
        idle[0].send(late.as_bytes()).await;
        let mut new = server.accept().await;
        assert!(new.head().await.contains("Cookie: id=1\r\n"));
        new.send(late.as_bytes()).await;
        new.end().await;
    };
    let (answer, ()) = tokio::join!(ask(&gateway, "/ws", &["Cookie: id=1"]), serve);
    assert_eq!(answer.status, 503);
    gateway.until_metric("wsgate_requests_refused_total{reason=\"auth_failed\"}", 1.0).await;
}

#[tokio::test]
async fn what_nobody_asked_for_answers_no_question() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, ""), &backend);
    let no = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    // A yes behind the no must not become the next one's.
    let both = format!("{no}{YES}");
    let mut asked = Vec::new();
    for (cookie, answer) in [("Cookie: id=1", both.as_str()), ("Cookie: id=2", no)] {
        let lines = [cookie];
        let (refused, head) = tokio::join!(ask(&gateway, "/ws", &lines), async {
            let mut question = server.accept().await;
            let head = question.head().await;
            question.send(answer.as_bytes()).await;
            // It is the gateway's to end it.
            asked.push(question);
            head
        });
        assert!(refused.status == 403 && head.contains(cookie), "{refused:?}: {head}");
    }
}

#[tokio::test]
async fn as_many_connections_are_kept_as_the_owner_says() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, "idle_connections = 1"), &backend);
    let mut peers = Vec::new();
    let mut questions = Vec::new();
    for at in 1..=3 {
        let mut peer = gateway.connect().await;
        let cookie = format!("Cookie: id={at}");
        peer.send(crate::support::peer::upgrade_request("/ws", &[&cookie]).as_bytes()).await;
        let mut question = server.accept().await;
        question.head().await;
        peers.push(peer);
        questions.push(question);
    }
    for (peer, question) in peers.iter_mut().zip(&mut questions) {
        question.send(YES.as_bytes()).await;
        let (_behind, _) = backend.upgrade(&[]).await;
        assert_eq!(peer.answer().await.status, 101);
    }
    questions[1].end().await;
    questions[2].end().await;
    let (_, head) = tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=4"]), async {
        let head = questions[0].head().await;
        questions[0].send(YES.as_bytes()).await;
        head
    });
    assert!(head.contains("Cookie: id=4\r\n"), "{head}");
}

#[tokio::test]
async fn a_yes_does_not_wait_for_a_body_that_does_not_end() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let gateway = guarded(&request(&server, "timeout = \"20s\""), &backend);
    let serve = async {
        let mut question = server.accept().await;
        question.head().await;
        question.send(b"HTTP/1.1 200 Yes\r\nContent-Length: 9\r\n\r\n<").await;
        // Nothing more can be asked on it.
        question.end().await;
    };
    tokio::join!(visit(&gateway, &backend, "/ws", &[]), serve);
}

#[tokio::test]
async fn what_is_remembered_outlives_a_reload_of_the_same() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let text = |more: &str| config(&request(&server, &format!("cache = \"1h\"{more}")), &backend.url());
    let gateway = gateway(&text(""));
    tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=1"]), answered(&server, YES));
    // Nobody answers, so nobody is asked.
    for same in [text(""), format!("handshake_timeout = \"9s\"\n{}", text("")), text("") + "connect_timeout = \"2s\"\n"]
    {
        gateway.handle.reload(parse(&same)).expect("reloaded");
        visit(&gateway, &backend, "/ws", &["Cookie: id=1"]).await;
    }
    gateway.handle.reload(parse(&text(", headers = [\"X-User\"]"))).expect("reloaded");
    let ((_, _, head, _), _) =
        tokio::join!(visit(&gateway, &backend, "/ws", &["Cookie: id=1"]), answered(&server, YES));
    assert_eq!(line(&head, "X-User"), ["X-User: anna"]);
}

#[tokio::test]
async fn a_server_may_be_a_unix_socket() {
    let (folder, backend) = (tempfile::tempdir().expect("folder"), Backend::bind().await);
    let path = folder.path().join("auth.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let gateway =
        guarded(&format!("auth = {{ kind = \"request\", url = \"unix:{}:/in\" }}\n", path.display()), &backend);
    let serve = async {
        let (stream, _) = within("a question", listener.accept()).await.expect("accept");
        let mut peer = Peer::new(stream);
        let head = peer.head().await;
        peer.send(YES.as_bytes()).await;
        head
    };
    let (_, head) = tokio::join!(visit(&gateway, &backend, "/ws", &[]), serve);
    assert!(head.starts_with("GET /in HTTP/1.1\r\n") && head.contains("Host: localhost\r\n"), "{head}");
}

#[tokio::test]
async fn a_servers_certificate_is_checked_against_its_ca() {
    let folder = tempfile::tempdir().expect("folder");
    let made = wsgate::make_certificate(folder.path(), &["127.0.0.1".to_owned()]).expect("certificate");
    let certificates = format!("certificates = [{{ chain = {:?}, key = {:?} }}]", made.chain, made.key);
    // A page over TLS is as good a yes as any: another gateway's hub has one.
    let server = gateway(&format!("[tls]\n{certificates}\n[[route]]\npath = \"/yes\"\nhub = {{}}\n"));
    let url = format!("https://{}/yes", server.address());
    let echo = |more: &str| {
        let auth = format!("auth = {{ kind = \"request\", url = \"{url}\", {more} }}");
        gateway(&format!("[[route]]\npath = \"/echo\"\n{auth}\necho = {{}}\n"))
    };
    assert_eq!(ask(&echo(""), "/echo", &[]).await.status, 503);
    assert_eq!(ask(&echo(&format!("ca = {:?}", made.authority)), "/echo", &[]).await.status, 101);
    let missing = wsgate::check(
        wsgate::Config::parse(
            &format!("[[route]]\npath = \"/echo\"\nauth = {{ kind = \"request\", url = \"{url}\", ca = \"gone.pem\" }}\necho = {{}}\n"),
            "t",
            Path::new("/nowhere"),
        )
        .expect("valid"),
    );
    let told = missing.expect_err("no such file").to_string();
    assert!(told.starts_with("/nowhere/gone.pem: route \"/echo\".auth.ca: there is no such file"), "{told}");
}
