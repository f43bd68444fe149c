//! Plain HTTP in front of https: where everybody is sent, what ACME gets, and what browsers are told to remember.

use std::sync::Arc;

use crate::support::backend::Backend;
use crate::support::tls::{localhost, shake};
use crate::support::{Answer, Peer, Running, gateway};

const CHAT: &str = "[[route]]\npath = \"/chat\"\nhub = {}\n";

/// A gateway with TLS, and with `more` beside a plain listener.
fn both(more: &str) -> (Running, crate::support::tls::Localhost) {
    let tls = localhost();
    let plain = format!("[to_https]\nlisten = [\"127.0.0.1:0\"]\n{more}");
    (gateway(&format!("listen = [\"127.0.0.1:0\"]\n{CHAT}{}{plain}\n", tls.config)), tls)
}

async fn connect(gateway: &Running) -> Peer {
    Peer::connect(gateway.addresses[1].strip_prefix("http://").expect("plain HTTP")).await
}

async fn ask(gateway: &Running, request: &str) -> Answer {
    let mut peer = connect(gateway).await;
    peer.send(request.as_bytes()).await;
    let answer = peer.answer().await;
    peer.clean_end().await;
    answer
}

#[tokio::test]
async fn everybody_is_sent_to_the_same_place_on_https() {
    for (port, shown) in [("", ""), ("port = 8443\n", ":8443")] {
        let (gateway, _tls) = both(port);
        for (method, more, status) in [
            ("GET", "", 301),
            ("HEAD", "", 301),
            ("POST", "Content-Length: 3\r\n", 308),
            ("DELETE", "", 308),
            ("GET", "Upgrade: websocket\r\nConnection: Upgrade\r\n", 301),
        ] {
            let request = format!("{method} /a//b?c=%20&d HTTP/1.1\r\nHost: Test.example.:80\r\n{more}\r\n");
            let mut peer = connect(&gateway).await;
            peer.send(request.as_bytes()).await;
            let head = peer.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {head}");
            let to = format!("location: https://Test.example{shown}/a//b?c=%20&d\r\n");
            assert!(head.contains(&to) && head.contains("connection: close\r\n"), "{head}");
            assert!(!head.contains("strict-transport"), "RFC 6797 §7.2: never in plain HTTP");
        }
        let six = ask(&gateway, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").await;
        assert_eq!(six.header("location").map(str::to_owned), Some(format!("https://[::1]{shown}/")));
    }
}

#[tokio::test]
async fn what_names_no_place_is_refused() {
    let (gateway, _tls) = both("");
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("\x16\x03\x01\x02\x00\x01", 400),
    ] {
        let answer = ask(&gateway, request).await;
        assert_eq!((answer.status, answer.header("location")), (status, None), "{request:?}");
    }
}

#[tokio::test]
async fn questions_of_acme_are_answered_from_a_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let challenges = folder.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(challenges.join("folder")).expect("folder");
    std::fs::write(challenges.join("a_token-1"), "a_token-1.thumb").expect("write");
    std::fs::write(folder.path().join("secret"), "secret").expect("write");
    let (gateway, _tls) = both(&format!("acme_webroot = {:?}\n", folder.path().display().to_string()));
    let at = |path: &str| format!("GET /.well-known/acme-challenge/{path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let answer = ask(&gateway, &at("a_token-1")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "a_token-1.thumb"));
    for path in ["unknown", "folder"] {
        assert_eq!(ask(&gateway, &at(path)).await.status, 404, "{path}");
    }
    // What is no token is nothing of ACME's.
    for path in ["", "../../secret", "..%2f..%2fsecret"] {
        assert_eq!(ask(&gateway, &at(path)).await.status, 301, "{path}");
    }
    let (gateway, _tls) = both("");
    let answer = ask(&gateway, &at("a_token-1")).await;
    let to = Some("https://a.example/.well-known/acme-challenge/a_token-1");
    assert_eq!((answer.status, answer.header("location")), (301, to));
}

#[tokio::test]
async fn answers_over_tls_say_for_how_long_it_is_to_be_https() {
    let (tls, backend) = (localhost(), Backend::bind().await);
    let site = format!(
        "[[route]]\npath = \"/\"\nhttp = {{ pool = \"web\" }}\n[pool.web]\nbackends = [\"{}\"]\n",
        backend.url()
    );
    let gateway = gateway(&format!("{CHAT}{site}{}hsts = \"180d\"\n", tls.config));
    let client = Arc::new(tls.client());
    let mut peer = Peer::new(shake(&gateway.address(), "localhost", &client).await.expect("TLS"));
    let hsts = Some("max-age=15552000");
    for (path, status) in [("/chat", 200), ("/chat%2f", 404)] {
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.header("strict-transport-security")), (status, hsts));
    }
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=7\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(peer.answer().await.header("strict-transport-security"), Some("max-age=7"), "the site's own");
}
