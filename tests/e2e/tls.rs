//! The TLS side of the front door: versions, certificates, tickets, records of every size, and ends of every kind.

use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, SignatureScheme};
use wsgate::{Config, Overrides};

use crate::support::backend::Backend;
use crate::support::frames::{self, CLOSE, TEXT};
use crate::support::peer::upgrade_request;
use crate::support::tls::{
    Folder, VERSIONS, authority, client, client_with, expired, leaf, localhost, make, params, shake,
};
use crate::support::{Peer, Running, gateway, parse, start, trust};

const ECHO: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/echo\"\necho = {}\n";
const PAGE: &str = "GET /chat HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A gateway with an echo over TLS, and a client that trusts it.
fn secured(top: &str, more: &str) -> (Running, ClientConfig) {
    let tls = localhost();
    (gateway(&format!("{top}{ECHO}{more}{}", tls.config)), tls.client())
}

async fn connect(gateway: &Running, config: impl Into<Arc<ClientConfig>>) -> TlsStream<TcpStream> {
    shake(&gateway.address(), "localhost", &config.into()).await.expect("TLS")
}

async fn open(gateway: &Running, config: impl Into<Arc<ClientConfig>>) -> Peer {
    upgrade(connect(gateway, config).await).await
}

async fn upgrade(stream: TlsStream<TcpStream>) -> Peer {
    let mut peer = Peer::new(stream);
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    peer
}

async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

fn leaf_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("certificates")[0].clone().into_owned()
}

// Versions, groups, protocols, tickets.

#[tokio::test]
async fn both_versions_carry_a_websocket_to_its_orderly_end() {
    let tls = localhost();
    let gateway = gateway(&format!("{ECHO}{}", tls.config));
    for (version, name) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        let stream = connect(&gateway, client(&[&tls.authority], &[version])).await;
        assert_eq!(stream.get_ref().1.protocol_version(), Some(name));
        let mut peer = upgrade(stream).await;
        for text in ["a", "", &"long ".repeat(20_000)] {
            echoes(&mut peer, text).await;
        }
        peer.send(&frames::client(CLOSE, &frames::close(1000, "bye"))).await;
        assert_eq!(peer.message().await.code(), 1000);
        // With a close_notify: without one this would be an error.
        peer.clean_end().await;
    }
}

#[tokio::test]
async fn an_older_version_than_the_owner_wants_is_refused() {
    let tls = localhost();
    let newer = gateway(&format!("{ECHO}{}min_version = \"1.3\"\n", tls.config));
    let old = Arc::new(client(&[&tls.authority], &[&TLS12]));
    let error = shake(&newer.address(), "localhost", &old).await.expect_err("refused");
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    newer.until_metric("wsgate_tls_handshake_failures_total{reason=\"incompatible\"}", 1.0).await;
    open(&newer, tls.client()).await;
}

#[tokio::test]
async fn the_key_exchange_is_post_quantum_where_the_client_can() {
    let (gateway, config) = secured("", "");
    let group =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.negotiated_key_exchange_group().expect("group").name();
    assert_eq!(group(&connect(&gateway, config).await), NamedGroup::X25519MLKEM768);
    let tls = localhost();
    let gateway = self::gateway(&format!("{ECHO}{}", tls.config));
    for classic in [kx_group::X25519, kx_group::SECP256R1] {
        let provider = CryptoProvider { kx_groups: vec![classic], ..default_provider() };
        let stream = connect(&gateway, client_with(provider, &[&tls.authority], VERSIONS)).await;
        assert_eq!(group(&stream), classic.name());
        echoes(&mut upgrade(stream).await, "hello").await;
    }
}

#[tokio::test]
async fn http_1_1_is_what_alpn_agrees_on() {
    let (gateway, config) = secured("", "");
    let offering = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    };
    let stream = connect(&gateway, offering(&[b"h2", b"http/1.1"])).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    echoes(&mut upgrade(stream).await, "hello").await;
    assert_eq!(connect(&gateway, offering(&[])).await.get_ref().1.alpn_protocol(), None);
    let error = shake(&gateway.address(), "localhost", &offering(&[b"h2"])).await.expect_err("no h2 here");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn a_session_is_resumed_by_ticket_in_both_versions() {
    let tls = localhost();
    let gateway = gateway(&format!("{ECHO}{}", tls.config));
    for version in [&TLS13, &TLS12] {
        let mut config = client(&[&tls.authority], &[version]);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let stream = connect(&gateway, config.clone()).await;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{version:?}");
            // The ticket comes after the handshake: it is there when an answer is.
            echoes(&mut upgrade(stream).await, "hello").await;
        }
    }
}

#[tokio::test]
async fn keys_can_be_renewed_within_a_session() {
    let (gateway, config) = secured("", "");
    let mut stream = connect(&gateway, config).await;
    for _ in 0..3 {
        stream.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
        stream.write_all(PAGE.as_bytes()).await.expect("write");
        stream.flush().await.expect("flush");
    }
    let mut peer = Peer::new(stream);
    for _ in 0..3 {
        assert_eq!(peer.answer().await.status, 404);
    }
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut peer, "hello").await;
}

// Certificates.

#[tokio::test]
async fn each_name_gets_its_certificate_and_each_client_a_signature_it_can_check() {
    let (folder, root) = (Folder::new(), authority("root", None));
    let middle = authority("middle", Some(&root));
    let rsa = make(params(&["one.example"]), &PKCS_RSA_SHA256, Some(&root));
    let ecdsa = make(params(&["one.example"]), &PKCS_ECDSA_P256_SHA256, Some(&root));
    let other = leaf(&["*.two.example"], Some(&middle));
    let pairs = [
        folder.pair("rsa", &rsa.pem, &rsa),
        folder.pair("ecdsa", &ecdsa.pem, &ecdsa),
        folder.pair("other", &format!("{}{}", other.pem, middle.pem), &other),
    ];
    let gateway = gateway(&format!("{ECHO}[tls]\ncertificates = [{}]\n", pairs.join(", ")));
    let modern = Arc::new(client(&[&root], VERSIONS));
    for (name, expected) in [("one.example", &ecdsa), ("a.two.example", &other)] {
        let stream = shake(&gateway.address(), name, &modern).await.expect(name);
        assert!(leaf_of(&stream) == expected.der, "{name}");
        echoes(&mut upgrade(stream).await, "hello").await;
    }
    // A name that nobody has gets the first one's, which this client then refuses.
    let error = shake(&gateway.address(), "three.example", &modern).await.expect_err("another name");
    assert!(error.to_string().contains("not valid for name"), "{error}");
    // A client that can check RSA only.
    let old = trust::checking(&[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PSS_SHA384]);
    let stream = shake(&gateway.address(), "one.example", &old).await.expect("RSA");
    assert!(leaf_of(&stream) == rsa.der);
    echoes(&mut upgrade(stream).await, "hello").await;
}

#[tokio::test]
async fn with_nothing_configured_a_certificate_is_made_for_localhost() {
    let mut config = Config::built_in(&Overrides::default()).expect("the built-in configuration");
    config.listen = parse(ECHO).listen;
    let gateway = start(config);
    assert!(gateway.addresses[0].starts_with("wss://127.0.0.1:"), "{:?}", gateway.addresses);
    let anybody = trust::anybody(trust::ANY, |_| ());
    let made = leaf_of(&shake(&gateway.address(), "localhost", &anybody).await.expect("TLS"));
    let mut roots = tokio_rustls::rustls::RootCertStore::empty();
    roots.add(made).expect("root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    for name in ["localhost", "127.0.0.1"] {
        let stream = shake(&gateway.address(), name, &config).await.expect(name);
        let mut peer = Peer::new(stream);
        peer.send(PAGE.as_bytes()).await;
        assert_eq!(peer.answer().await.status, 200, "the chat page");
        assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
        echoes(&mut peer, "hello").await;
    }
}

/// What is wrong with a gateway whose certificates are these, one line each.
fn problems(pairs: &[String]) -> Vec<String> {
    let config = parse(&format!("{ECHO}[tls]\ncertificates = [{}]\n", pairs.join(", ")));
    let problems = wsgate::check(config).expect_err("something is wrong");
    for problem in &problems.0 {
        assert!(problem.key.starts_with("tls.certificates[") && !problem.allowed.is_empty(), "{problem}");
    }
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn bad_certificates_are_explained_all_at_once() {
    let (folder, root) = (Folder::new(), authority("root", None));
    let middle = authority("middle", Some(&root));
    let good = leaf(&["good.example"], Some(&middle));
    let other = leaf(&["other.example"], Some(&middle));
    let old = expired(&["old.example"], Some(&middle));
    let found = problems(&[
        folder.pair("stranger", &good.pem, &other),
        folder.pair("old", &old.pem, &old),
        folder.pair("backwards", &format!("{}{}", middle.pem, good.pem), &good),
        folder.pair("shuffled", &format!("{}{}{}", good.pem, root.pem, middle.pem), &good),
        "{ chain = \"/nonexistent/nothing.pem\", key = \"/nonexistent/nothing.key\" }".to_owned(),
        folder.pair("swapped", &good.key.serialize_pem(), &good),
    ]);
    for (file, pieces) in [
        ("stranger.key: ", &["tls.certificates[0].key", "the key is not that of the leaf certificate"][..]),
        ("old.pem:1: ", &["tls.certificates[1].chain", "expired on "]),
        (
            "backwards.pem:",
            &["tls.certificates[2].chain", "private key is that of certificate 2", "must therefore come first"],
        ),
        ("shuffled.pem:", &["tls.certificates[3].chain", "must come after certificate 3"]),
        ("nothing.pem: ", &["tls.certificates[4].chain", "there is no such file"]),
        ("nothing.key: ", &["tls.certificates[4].key", "there is no such file"]),
        ("swapped.pem: ", &["tls.certificates[5].chain", "there is no certificate in it", "PRIVATE KEY"]),
    ] {
        let fits = |line: &String| line.contains(file) && pieces.iter().all(|piece| line.contains(piece));
        assert!(found.iter().any(fits), "{file} {pieces:?} in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn what_can_be_served_but_is_odd_is_a_warning() {
    let (folder, root) = (Folder::new(), authority("root", None));
    let (one, two) = (leaf(&["a.example"], Some(&root)), leaf(&["a.example"], Some(&root)));
    let pairs = [folder.pair("one", &one.pem, &one), folder.pair("two", &two.pem, &two)];
    let config = parse(&format!("{ECHO}[tls]\ncertificates = [{}]\n", pairs.join(", ")));
    let warnings = wsgate::check(config).expect("usable");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].wrong.contains("no client ever gets this certificate"), "{}", warnings[0]);
}

// What is no TLS.

#[tokio::test]
async fn plain_http_on_the_tls_port_gets_an_answer_it_can_read() {
    let (gateway, _) = secured("", "");
    for request in [PAGE.to_owned(), upgrade_request("/echo", &[])] {
        let mut peer = gateway.connect().await;
        peer.send(request.as_bytes()).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
        assert_eq!(answer.body, "this port speaks TLS: use https:// or wss://\n");
        peer.clean_end().await;
    }
    gateway.until_metric("wsgate_requests_refused_total{reason=\"plain_http_on_tls\"}", 2.0).await;
}

#[tokio::test]
async fn garbage_on_the_tls_port_ends_the_connection() {
    let (gateway, config) = secured("handshake_timeout = \"10s\"\n", "");
    let garbage: [&[u8]; 5] = [
        b"\0\0\0\0\0\0\0\0",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff\x01\x00\x00\x00",
        b"\x17\x03\x03\x00\x05hello",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("connect");
        stream.write_all(bytes).await.expect("write");
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
        let _ = crate::support::within("the end", read).await;
        // An alert, or nothing at all.
        assert!(answer.is_empty() || (answer[0] == 0x15 && answer.len() == 7), "{bytes:x?}: {answer:x?}");
    }
    gateway.until_metric("wsgate_tls_handshake_failures_total{reason=\"protocol\"}", 5.0).await;
    open(&gateway, config).await;
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let (gateway, _) = secured("handshake_timeout = \"1500ms\"\n", "");
    let mut peers = Vec::new();
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut peer = gateway.connect().await;
        peer.send(bytes).await;
        peers.push(peer);
    }
    for mut peer in peers {
        peer.clean_end().await;
    }
    gateway.until_metric("wsgate_tls_handshake_failures_total{reason=\"timeout\"}", 3.0).await;
    gateway.until_metric("wsgate_tcp_connections_pending", 0.0).await;
}

#[tokio::test]
async fn the_head_has_what_the_handshake_left_of_the_time() {
    let (gateway, config) = secured("handshake_timeout = \"1500ms\"\n", "");
    let mut peer = Peer::new(connect(&gateway, config).await);
    peer.send(b"GET /echo HTTP/1.1\r\n").await;
    assert_eq!(peer.answer().await.status, 408);
    peer.clean_end().await;
}

// Records.

/// A client whose records are this small, their heads included.
fn in_records_of(size: usize, config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.max_fragment_size = Some(size);
    config
}

#[tokio::test]
async fn a_request_and_a_frame_in_one_record() {
    let (gateway, config) = secured("", "");
    let mut peer = Peer::new(connect(&gateway, config).await);
    let bytes = [PAGE.as_bytes(), upgrade_request("/echo", &[]).as_bytes(), &frames::client(TEXT, b"behind")].concat();
    peer.send(&bytes).await;
    assert_eq!((peer.answer().await.status, peer.answer().await.status), (404, 101));
    assert_eq!(peer.message().await.text(), "behind");
    echoes(&mut peer, "later").await;
}

#[tokio::test]
async fn a_request_and_a_frame_in_records_of_one_byte() {
    let (gateway, config) = secured("", "");
    for together in [false, true] {
        let mut stream = connect(&gateway, config.clone()).await;
        let bytes = [upgrade_request("/echo", &[]).as_bytes(), &frames::client(TEXT, b"behind")].concat();
        for byte in bytes {
            if together {
                // Many records, in as few segments as the sockets like.
                std::io::Write::write_all(&mut stream.get_mut().1.writer(), &[byte]).expect("memory");
            } else {
                stream.write_all(&[byte]).await.expect("write");
                stream.flush().await.expect("flush");
            }
        }
        stream.flush().await.expect("flush");
        let mut peer = Peer::new(stream);
        assert_eq!(peer.answer().await.status, 101);
        assert_eq!(peer.message().await.text(), "behind");
        echoes(&mut peer, "later").await;
    }
}

#[tokio::test]
async fn a_long_message_in_many_small_records() {
    let (gateway, config) = secured("", "");
    for config in [in_records_of(64, &config), config] {
        let mut peer = open(&gateway, config).await;
        let text: String = (0..300_000_u32).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        echoes(&mut peer, &text).await;
        echoes(&mut peer, "and a short one").await;
    }
}

#[tokio::test]
async fn long_messages_in_many_small_records_pass_a_backend_both_ways() {
    let backend = Backend::bind().await;
    let pool = format!(
        "[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"back\" }}\n[pool.back]\nbackends = [\"{}\"]\n",
        backend.url()
    );
    let (gateway, config) = secured("", &pool);
    let mut peer = Peer::new(connect(&gateway, in_records_of(100, &config)).await);
    let (answer, (mut far, head)) = tokio::join!(peer.upgrade("/ws", &[]), backend.upgrade(&[]));
    assert_eq!(answer.status, 101);
    assert!(head.contains("\r\nX-Forwarded-Proto: https\r\n"), "{head}");
    let text = "0123456789abcdef".repeat(300_000 / 16);
    let there = async {
        for _ in 0..2 {
            peer.say(&text).await;
        }
        for _ in 0..2 {
            assert!(whole(&mut peer).await == text.as_bytes());
        }
    };
    let back = async {
        for _ in 0..2 {
            assert!(whole(&mut far).await == text.as_bytes());
        }
        for _ in 0..2 {
            // One write, and so about one record, for every few bytes.
            for piece in frames::server(TEXT, text.as_bytes()).chunks(200) {
                far.send(piece).await;
            }
        }
    };
    tokio::join!(there, back);
}

/// A message, however many frames it came in.
async fn whole(peer: &mut Peer) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        let frame = peer.message().await;
        message.extend_from_slice(&frame.payload);
        if frame.fin {
            return message;
        }
    }
}

// Ends.

#[tokio::test]
async fn a_client_that_ends_its_direction_still_gets_the_answer_to_its_request() {
    let (gateway, config) = secured("", "");
    let mut peer = Peer::new(connect(&gateway, config).await);
    peer.send(PAGE.as_bytes()).await;
    peer.finish().await;
    assert_eq!(peer.answer().await.status, 404);
    peer.clean_end().await;
}

#[tokio::test]
async fn a_client_that_ends_its_direction_without_a_close_ends_the_session() {
    let (gateway, config) = secured("", "");
    let mut peer = open(&gateway, config.clone()).await;
    echoes(&mut peer, "hello").await;
    peer.finish().await;
    peer.end().await;
    // The same without close_notify, as a vanished client does it.
    drop(open(&gateway, config).await);
    gateway.until_metric("wsgate_websockets_ended_total{by=\"client\",code=\"1006\"}", 2.0).await;
    gateway.until_metric("wsgate_websockets_open{route=\"/echo\"}", 0.0).await;
}

#[tokio::test]
async fn a_close_and_the_end_of_the_clients_direction_in_one_flight() {
    let (gateway, config) = secured("", "");
    let mut peer = open(&gateway, config).await;
    let bytes = [frames::client(TEXT, b"last words"), frames::client(CLOSE, &frames::close(1000, "bye"))].concat();
    peer.send(&bytes).await;
    peer.finish().await;
    assert_eq!(peer.message().await.text(), "last words");
    assert_eq!(peer.message().await.code(), 1000);
    peer.clean_end().await;
    gateway.until_metric("wsgate_websockets_ended_total{by=\"client\",code=\"1000\"}", 1.0).await;
}
