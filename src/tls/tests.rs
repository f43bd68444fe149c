//! An acceptor against rustls' own client, in memory.

use std::time::{Duration, SystemTime};

use rustls::HandshakeKind::{Full, Resumed};
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, NamedGroup, ProtocolVersion};

use super::fixture::{Folder, Made, authority, client, handshake, leaf, said};
use super::*;
use crate::config::CertificateFiles;

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

fn tls(certificates: Vec<CertificateFiles>) -> Tls {
    Tls {
        certificates,
        self_signed: Vec::new(),
        acme: None,
        min_version: TlsVersion::Tls12,
        hsts: None,
        clients: None,
        watch: None,
    }
}

fn build(tls: &Tls) -> Acceptor {
    let (acceptor, warnings) = Acceptor::build(tls, SystemTime::now()).expect("acceptor");
    assert_eq!(said(&warnings), [""; 0]);
    acceptor
}

struct House {
    folder: Folder,
    ca: Made,
    acceptor: Acceptor,
}

/// An acceptor for `a.example`.
fn house() -> House {
    let folder = Folder::new();
    let ca = authority("ca", None);
    let acceptor = build(&tls(vec![folder.made("a", &leaf(&["a.example"], Some(&ca)))]));
    House { folder, ca, acceptor }
}

fn resuming(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

#[test]
fn the_newest_version_and_the_post_quantum_group_are_chosen() {
    let House { ca, acceptor, .. } = house();
    let (server, _) = handshake(acceptor.config(), Arc::new(client(&[&ca], BOTH)), "a.example").expect("handshake");
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = server.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(server.handshake_kind(), Some(Full));
}

#[test]
fn tls_1_2_is_spoken_unless_it_is_too_old() {
    let House { ca, acceptor, folder } = house();
    let old = Arc::new(client(&[&ca], &[&TLS12]));
    let (server, _) = handshake(acceptor.config(), old.clone(), "a.example").expect("handshake");
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_2));

    let files = CertificateFiles { chain: folder.path().join("a.pem"), key: folder.path().join("a.key") };
    let newer = Tls { min_version: TlsVersion::Tls13, ..tls(vec![files]) };
    let acceptor = build(&newer);
    let error = handshake(acceptor.config(), old, "a.example").expect_err("too old");
    assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error:?}");
    handshake(acceptor.config(), Arc::new(client(&[&ca], BOTH)), "a.example").expect("handshake");
}

#[test]
fn only_http_1_1_is_negotiated() {
    let House { ca, acceptor, .. } = house();
    let mut offers = client(&[&ca], BOTH);
    offers.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (_, chosen) = handshake(acceptor.config(), Arc::new(offers.clone()), "a.example").expect("handshake");
    assert_eq!(chosen.alpn_protocol(), Some(&b"http/1.1"[..]));

    offers.alpn_protocols = vec![b"h2".to_vec()];
    let error = handshake(acceptor.config(), Arc::new(offers), "a.example").expect_err("only h2");
    assert_eq!(error, rustls::Error::NoApplicationProtocol);

    let (_, silent) = handshake(acceptor.config(), Arc::new(client(&[&ca], BOTH)), "a.example").expect("handshake");
    assert_eq!(silent.alpn_protocol(), None);
}

#[test]
fn a_ticket_resumes_a_session_in_both_versions() {
    for version in [&TLS13, &TLS12] {
        let House { ca, acceptor, .. } = house();
        let config = resuming(client(&[&ca], &[version]));
        for expected in [Full, Resumed, Resumed] {
            let (server, client) = handshake(acceptor.config(), config.clone(), "a.example").expect("handshake");
            assert_eq!(server.handshake_kind(), Some(expected), "{version:?}");
            assert_eq!(client.handshake_kind(), Some(expected), "{version:?}");
            let tickets = if *version == TLS13 { 1 } else { 0 };
            assert_eq!(client.tls13_tickets_received(), tickets);
        }
    }
}

#[test]
fn early_data_is_not_offered() {
    let House { ca, acceptor, .. } = house();
    let mut config = client(&[&ca], &[&TLS13]);
    config.enable_early_data = true;
    let config = resuming(config);
    handshake(acceptor.config(), config.clone(), "a.example").expect("handshake");
    let name = rustls::pki_types::ServerName::try_from("a.example").expect("name");
    let mut second = rustls::ClientConnection::new(config, name).expect("client");
    assert!(second.early_data().is_none());
}

#[test]
fn a_swap_serves_the_new_certificate_and_old_tickets_stay_good() {
    let House { ca, acceptor, folder } = house();
    let (fresh, held) = (Arc::new(client(&[&ca], BOTH)), resuming(client(&[&ca], BOTH)));
    handshake(acceptor.config(), held.clone(), "a.example").expect("handshake");

    let renewed = leaf(&["a.example", "b.example"], Some(&ca));
    let files = folder.made("renewed", &renewed);
    let config = acceptor.config();
    acceptor.swap(&tls(vec![files]), SystemTime::now()).expect("swap");
    assert_eq!(acceptor.names(), ["a.example", "b.example"]);
    // Also for a listener that holds on to the configuration it began with.
    for config in [config, acceptor.config()] {
        let (_, client) = handshake(config.clone(), fresh.clone(), "a.example").expect("handshake");
        assert_eq!(client.peer_certificates().map(|chain| &chain[0]), Some(&renewed.der));
        let (server, _) = handshake(config, held.clone(), "a.example").expect("handshake");
        assert_eq!(server.handshake_kind(), Some(Resumed));
    }
}

#[test]
fn a_swap_may_change_the_oldest_version() {
    let House { ca, acceptor, folder } = house();
    let files = folder.made("a", &leaf(&["a.example"], Some(&ca)));
    let newer = Tls { min_version: TlsVersion::Tls13, ..tls(vec![files]) };
    acceptor.swap(&newer, SystemTime::now()).expect("swap");
    handshake(acceptor.config(), Arc::new(client(&[&ca], &[&TLS12])), "a.example").expect_err("too old");
}

#[test]
fn a_swap_that_fails_changes_nothing() {
    let House { ca, acceptor, folder } = house();
    let good = folder.made("good", &leaf(&["b.example"], Some(&ca)));
    let bad = CertificateFiles { chain: folder.path().join("none.pem"), key: folder.path().join("none.key") };
    let Problems(problems) = acceptor.swap(&tls(vec![good, bad]), SystemTime::now()).expect_err("missing files");
    assert_eq!(said(&problems), ["none.pem: there is no such file", "none.key: there is no such file"]);
    assert_eq!(problems[0].key, "tls.certificates[1].chain");
    assert_eq!(problems[1].key, "tls.certificates[1].key");
    assert_eq!(acceptor.names(), ["a.example"]);
    handshake(acceptor.config(), Arc::new(client(&[&ca], BOTH)), "a.example").expect("handshake");
}

#[test]
fn names_choose_the_certificate_and_addresses_get_the_default() {
    let folder = Folder::new();
    let ca = authority("ca", None);
    let made =
        [&["127.0.0.1", "a.example"][..], &["*.b.example"], &["x.b.example"]].map(|names| leaf(names, Some(&ca)));
    let files = made.iter().enumerate().map(|(at, made)| folder.made(&at.to_string(), made)).collect();
    let acceptor = build(&tls(files));
    let client = Arc::new(client(&[&ca], BOTH));
    for (name, expected) in [("a.example", 0), ("127.0.0.1", 0), ("y.b.example", 1), ("x.b.example", 2)] {
        let (_, client) = handshake(acceptor.config(), client.clone(), name).expect(name);
        assert_eq!(client.peer_certificates().map(|chain| &chain[0]), Some(&made[expected].der), "{name}");
    }
    let error = handshake(acceptor.config(), client, "unknown.example").expect_err("the default is for other names");
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
}

#[test]
fn the_problems_of_all_pairs_come_at_once() {
    let folder = Folder::new();
    let (one, two) = (leaf(&["a.example"], None), leaf(&["b.example"], None));
    let files = vec![folder.pair("1", &one.pem, two.key_pem()), folder.pair("2", "", "")];
    let Problems(problems) = Acceptor::build(&tls(files), SystemTime::now()).expect_err("problems");
    assert_eq!(problems.len(), 3, "{:?}", said(&problems));
    let Problems(problems) = Acceptor::build(&tls(Vec::new()), SystemTime::now()).expect_err("nothing");
    assert_eq!(said(&problems), ["configuration: there is no certificate"]);
}

#[test]
fn a_certificate_that_nobody_gets_is_a_warning() {
    let folder = Folder::new();
    let files = ["1", "2"].map(|name| folder.made(name, &leaf(&["a.example"], None)));
    let (_, warnings) = Acceptor::build(&tls(files.to_vec()), SystemTime::now()).expect("acceptor");
    let expected =
        "2.pem: no client ever gets this certificate: earlier ones have all its names and the same kind of key";
    assert_eq!(said(&warnings), [expected]);
}

#[test]
fn a_certificate_made_at_start_serves_localhost_and_survives_a_reload() {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let tls = Tls { self_signed: names.clone(), ..tls(Vec::new()) };
    let acceptor = build(&tls);
    assert_eq!(acceptor.names(), names);
    let served = || acceptor.pairs.lock().all()[0].certified.cert[0].clone();
    let first = served();
    let mut store = rustls::RootCertStore::empty();
    store.add(first.clone()).expect("root");
    let config = Arc::new(ClientConfig::builder().with_root_certificates(store).with_no_client_auth());
    for name in ["localhost", "127.0.0.1", "::1"] {
        handshake(acceptor.config(), config.clone(), name).expect(name);
    }
    acceptor.swap(&tls, SystemTime::now()).expect("swap");
    assert_eq!(served(), first, "the same names: the same certificate");
    acceptor.swap(&tls, SystemTime::now() + Duration::from_secs(61 * 24 * 60 * 60)).expect("swap");
    assert_ne!(served(), first, "in its last third");

    let bad = Tls { self_signed: vec!["two words".to_owned()], ..tls };
    let Problems(problems) = acceptor.swap(&bad, SystemTime::now()).expect_err("no name");
    assert_eq!((problems[0].key.as_str(), problems[0].value.as_deref()), ("tls.self_signed", Some("two words")));
}

#[test]
fn logs_can_name_what_is_served() {
    let House { acceptor, .. } = house();
    let served = acceptor.served();
    assert!(served[0].source.ends_with("a.pem") && served[0].not_after > SystemTime::now());
    let text = format!("{acceptor:?}");
    assert!(text.contains("a.example") && !text.contains("key"), "{text}");
}

#[test]
fn the_example_certificate_serves_localhost_with_a_warning() {
    let file = |name: &str| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/certs-example")).join(name);
    let files = CertificateFiles { chain: file("localhost.pem"), key: file("localhost.key") };
    let (acceptor, warnings) = Acceptor::build(&tls(vec![files.clone()]), SystemTime::now()).expect("acceptor");
    assert_eq!(said(&warnings), ["localhost.key: the example certificate: everyone has its private key"]);
    assert_eq!(acceptor.names(), ["localhost", "127.0.0.1", "::1"]);
    let remark = std::fs::read_to_string(&files.key).expect("text");
    assert!(remark.starts_with("For a laptop only"));

    let mut store = rustls::RootCertStore::empty();
    store.add(read_roots(&files.chain).expect("roots").remove(0)).expect("root");
    let client = Arc::new(ClientConfig::builder().with_root_certificates(store).with_no_client_auth());
    for name in ["localhost", "127.0.0.1", "::1"] {
        handshake(acceptor.config(), client.clone(), name).expect(name);
    }
}
