//! Certificates of clients: who gets a connection, who a route, what backends hear of it, and what a reload ends.

use std::sync::Arc;

use rcgen::{DnType, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

use crate::support::backend::Backend;
use crate::support::tls::{
    Folder, Localhost, Made, VERSIONS, authority, client_of, localhost, make, params, revoked, shake,
};
use crate::support::{Answer, Peer, Running, gateway, log, logged, parse};

const ECHO: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/echo\"\necho = {}\n";
const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n";

/// A client's certificate of this name and serial number.
fn certificate(name: &str, serial: u64, issuer: &Made) -> Made {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    make(params, &PKCS_ECDSA_P256_SHA256, Some(issuer))
}

/// An authority that may sign lists, too.
fn ca(name: &str) -> Made {
    let mut made = params(&[]);
    made.distinguished_name.push(DnType::CommonName, name);
    made.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    made.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    make(made, &PKCS_ECDSA_P256_SHA256, None)
}

/// What stands in `[tls]` for these clients.
fn wants(folder: &Folder, name: &str, authority: &Made, more: &str) -> String {
    let path = folder.write(name, &authority.pem);
    format!("client_ca = {:?}\n{more}", path.display().to_string())
}

async fn connect(gateway: &Running, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    shake(&gateway.address(), "localhost", config).await
}

/// With TLS 1.3 a client hears of its refusal only when it reads.
async fn is_refused(gateway: &Running, config: &Arc<ClientConfig>) -> bool {
    let Ok(stream) = connect(gateway, config).await else { return true };
    let mut peer = Peer::new(stream);
    let _ = peer.try_send(format!("{GET}\r\n").as_bytes()).await;
    peer.try_head().await.is_err()
}

async fn asked(gateway: &Running, config: &Arc<ClientConfig>, path: &str) -> (Peer, Answer) {
    let mut peer = Peer::new(connect(gateway, config).await.expect("TLS"));
    let answer = peer.upgrade(path, &[]).await;
    (peer, answer)
}

fn client(tls: &Localhost, own: &Made) -> Arc<ClientConfig> {
    Arc::new(client_of(&[&tls.authority], own, VERSIONS))
}

#[tokio::test]
async fn only_clients_with_a_certificate_get_a_connection() {
    let (tls, folder, ours, other) = (localhost(), Folder::new(), ca("ours"), authority("other", None));
    let gateway = gateway(&format!("{ECHO}{}{}", tls.config, wants(&folder, "ca.pem", &ours, "")));
    let (good, stranger) = (certificate("good", 1, &ours), certificate("stranger", 2, &other));
    for version in [&TLS13, &TLS12] {
        let config = Arc::new(client_of(&[&tls.authority], &good, &[version]));
        assert_eq!(asked(&gateway, &config, "/echo").await.1.status, 101);
        assert!(is_refused(&gateway, &Arc::new(client_of(&[&tls.authority], &stranger, &[version]))).await);
    }
    assert!(is_refused(&gateway, &Arc::new(tls.client())).await);
    gateway.until_metric("wsgate_tls_handshake_failures_total{reason=\"client_certificate\"}", 3.0).await;
}

#[tokio::test]
async fn a_route_may_ask_for_what_others_do_not_need() {
    let (tls, folder, ours) = (localhost(), Folder::new(), ca("ours"));
    let inner = "[[route]]\npath = \"/inner\"\necho = {}\nclient_certificate = true\n";
    let wants = wants(&folder, "ca.pem", &ours, "client_certificate = \"optional\"\n");
    let gateway = gateway(&format!("{ECHO}{inner}{}{wants}", tls.config));
    let (anybody, known) = (Arc::new(tls.client()), client(&tls, &certificate("known", 1, &ours)));
    assert_eq!(asked(&gateway, &anybody, "/echo").await.1.status, 101);
    assert_eq!(asked(&gateway, &known, "/inner").await.1.status, 101);
    let (_, refused) = asked(&gateway, &anybody, "/inner").await;
    assert_eq!((refused.status, refused.body.as_str()), (403, "a client certificate is required here\n"));
    gateway.until_metric("wsgate_requests_refused_total{reason=\"no_certificate\"}", 1.0).await;
    // On a session that is resumed it is known still.
    let mut peer = Peer::new(connect(&gateway, &known).await.expect("TLS"));
    assert_eq!(peer.upgrade("/inner", &[]).await.status, 101);
}

#[tokio::test]
async fn backends_and_the_log_hear_who_it_is_and_nobody_can_say_so_himself() {
    log();
    let (tls, folder, ours, backend) = (localhost(), Folder::new(), ca("ours"), Backend::bind().await);
    let url = backend.url();
    let route = format!(
        "[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\nhttp = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{url}\"]\n"
    );
    let wants = wants(&folder, "ca.pem", &ours, "client_certificate = \"optional\"\n");
    let gateway = gateway(&format!("{route}{}{wants}", tls.config));
    let known = client(&tls, &certificate("anna, the first", 1, &ours));
    let anybody = Arc::new(tls.client());
    let lies = "X-Client-Cert-Subject: CN=root\r\nX_Client_Cert_Subject: CN=root\r\nX-Client-Cert-Serial: 1\r\n";
    for (config, is_known) in [(&known, true), (&anybody, false)] {
        let mut peer = Peer::new(connect(&gateway, config).await.expect("TLS"));
        peer.send(format!("{GET}{lies}\r\n").as_bytes()).await;
        let mut served = backend.accept().await;
        let head = served.head().await;
        served.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(peer.answer().await.status, 200);
        let lies: Vec<&str> = lies.lines().collect();
        let upgrade = async {
            let (served, head) = backend.upgrade(&[]).await;
            (served, head)
        };
        let (answer, (_served, upgraded)) = tokio::join!(peer.upgrade("/x", &lies), upgrade);
        assert_eq!(answer.status, 101);
        for head in [head, upgraded] {
            let told: Vec<&str> = head.lines().filter(|line| line.to_ascii_lowercase().contains("client")).collect();
            let subject = told.contains(&"X-Client-Cert-Subject: CN=anna\\, the first");
            let print = told.iter().filter_map(|line| line.strip_prefix("X-Client-Cert-Fingerprint: "));
            let prints = print.filter(|print| print.len() == 64).count();
            assert_eq!((subject, prints, told.len()), (is_known, usize::from(is_known), 2 * usize::from(is_known)));
        }
    }
    logged(&["websocket ended", "subject=CN=anna\\, the first"]).await;
}

#[tokio::test]
async fn a_session_does_not_outlive_the_authority_that_let_it_in() {
    let (tls, folder, old, new) = (localhost(), Folder::new(), ca("old"), ca("new"));
    let config =
        |name: &str, authority: &Made| parse(&format!("{ECHO}{}{}", tls.config, wants(&folder, name, authority, "")));
    let gateway = crate::support::start(config("old.pem", &old));
    for version in [&TLS13, &TLS12] {
        gateway.handle.reload(config("old.pem", &old)).expect("sound");
        let client = Arc::new(client_of(&[&tls.authority], &certificate("client", 1, &old), &[version]));
        let resumed = async || {
            let stream = connect(&gateway, &client).await.expect("TLS");
            let kind = stream.get_ref().1.handshake_kind();
            // A ticket comes behind the handshake.
            let mut peer = Peer::new(stream);
            assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
            kind == Some(HandshakeKind::Resumed)
        };
        assert_eq!((resumed().await, resumed().await), (false, true));
        gateway.handle.reload(config("old.pem", &old)).expect("sound");
        assert!(resumed().await, "nothing has changed for clients");
        gateway.handle.reload(config("new.pem", &new)).expect("sound");
        assert!(is_refused(&gateway, &client).await);
        assert!(is_refused(&gateway, &client).await);
    }
}

#[tokio::test]
async fn a_certificate_that_is_revoked_is_refused() {
    let (tls, folder, ours) = (localhost(), Folder::new(), ca("ours"));
    let crl = folder.write("crl.pem", &revoked(&ours, &[7]));
    let crl = format!("client_crl = {:?}\n", crl.display().to_string());
    let gateway = gateway(&format!("{ECHO}{}{}", tls.config, wants(&folder, "ca.pem", &ours, &crl)));
    assert_eq!(asked(&gateway, &client(&tls, &certificate("good", 6, &ours)), "/echo").await.1.status, 101);
    assert!(is_refused(&gateway, &client(&tls, &certificate("gone", 7, &ours))).await);
}
