//! Certificates that a CA makes by itself: the first one, renewals, what goes wrong at the CA and on the disk, and several
//! gateways beside each other. The CA is one of the test's own; tests/real has another one, written by others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::support::acme::{Ca, Wrong, made, problem};
use crate::support::tls::{VERSIONS, client, localhost, shake};
use crate::support::{Peer, Running, gateway, log, logged, parse, trust, within};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ECHO: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/echo\"\necho = {}\n";
const ORDERED: &str = "wsgate_acme_orders_total{result=\"ok\"}";
const FAILED: &str = "wsgate_acme_orders_total{result=\"failed\"}";
/// After a failure it is tried again soon.
const SOON: &str = "retry = \"10ms\"";

/// A gateway that has nothing but what this CA makes for these names.
fn alone(ca: &Ca, storage: &TempDir, names: &[&str], more: &str) -> Running {
    gateway(&format!("{ECHO}{}", ca.wishes(storage.path(), names, more)))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

/// The one folder below the storage, which is the CA's.
fn kept(storage: &TempDir) -> PathBuf {
    let mut folders = std::fs::read_dir(storage.path()).expect("read").map(|entry| entry.expect("entry").path());
    let folder = folders.next().expect("a folder");
    assert!(folders.next().is_none(), "one folder for one CA");
    folder
}

/// Puts a certificate where the gateway keeps one, as if it had been made between these times.
fn keep(ca: &Ca, storage: &TempDir, names: &[&str], from: SystemTime, to: SystemTime) {
    let url = ca.directory.strip_prefix("https://").expect("https").replace([':', '/'], "_");
    let folder = storage.path().join(url);
    std::fs::create_dir_all(&folder).expect("folder");
    std::fs::write(folder.join(format!("{}.pem", names[0])), made(&ca.issuer, names, (from, to))).expect("write");
}

fn trusting(ca: &Ca) -> Arc<ClientConfig> {
    Arc::new(client(&[&ca.issuer], VERSIONS))
}

/// The serial number of the certificate that is shown for a name, to a client that trusts the CA.
async fn serial(gateway: &Running, ca: &Ca, name: &str) -> std::io::Result<String> {
    let stream = shake(&gateway.address(), name, &trusting(ca)).await?;
    let certificates = stream.get_ref().1.peer_certificates().expect("a certificate");
    let (_, leaf) = X509Certificate::from_der(&certificates[0]).expect("X.509");
    Ok(leaf.raw_serial_as_string())
}

/// An order is many handshakes one after the other, on a machine that may be busy with other tests.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(120);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

async fn until_served(gateway: &Running, ca: &Ca, name: &str) -> String {
    in_time("a certificate of the CA's", async {
        loop {
            if let Ok(serial) = serial(gateway, ca, name).await {
                return serial;
            }
        }
    })
    .await
}

/// Waits until so many have been made.
async fn until_ordered(gateway: &Running, count: f64) {
    in_time("an order", async {
        while gateway.metric(ORDERED).await < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn line_of(serials: &str) -> String {
    format!("wsgate_certificate_expiry_timestamp_seconds{{name=\"{serials}\"}}")
}

#[tokio::test]
async fn a_gateway_without_a_certificate_gets_one_and_serves_others_meanwhile() {
    let (ca, storage, own) = (Ca::start().await, folder(), localhost());
    let wishes = ca.wishes(storage.path(), &["a.example", "b.example"], "contact = [\"mailto:me@a.example\"]");
    let gateway = gateway(&format!("{ECHO}{}{wishes}", own.config));
    // The CA does not look before it is told where: until then there is none.
    let error = serial(&gateway, &ca, "a.example").await.expect_err("no certificate yet");
    assert!(error.to_string().contains("AccessDenied"), "a clean end: {error}");
    shake(&gateway.address(), "localhost", &Arc::new(own.client())).await.expect("another name has its own");
    within("the CA to be asked", async {
        while ca.count("/challenge") < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut asking = ClientConfig::clone(&trust::anybody(trust::ANY, |_| ()));
    asking.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    shake(&gateway.address(), "c.example", &Arc::new(asking)).await.expect_err("nobody asks about this name");
    shake(&gateway.address(), "localhost", &Arc::new(own.client())).await.expect("others are served while it is asked");
    ca.look_at(&[gateway.address()]);
    let serial = until_served(&gateway, &ca, "a.example").await;
    assert_eq!(until_served(&gateway, &ca, "b.example").await, serial, "all names are in one certificate");
    let mut peer = Peer::connect_tls(&gateway.address(), "b.example", trusting(&ca)).await.expect("TLS");
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    until_ordered(&gateway, 1.0).await;
    assert!(gateway.metric(&line_of("a.example")).await > 0.0);
    assert!((gateway.metric("wsgate_acme_failing").await).abs() < 0.5);
    let (_, account) = ca.last("/account");
    assert_eq!(
        (&account["contact"][0], &account["termsOfServiceAgreed"]),
        (&"mailto:me@a.example".into(), &true.into())
    );
    for file in ["account.json", "a.example.pem", "lock"] {
        assert_eq!(mode(&kept(&storage).join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&kept(&storage)), 0o700);
    let looks = ca.count("/challenge");
    assert_eq!((looks, ca.count("/new-order"), ca.count("/account")), (2, 1, 1));
}

#[tokio::test]
async fn a_certificate_is_had_over_plain_http() {
    let (ca, storage) = (Ca::start().await, folder());
    let wishes = ca.wishes(storage.path(), &["a.example"], "challenge = \"http-01\"");
    let gateway = gateway(&format!("{ECHO}[to_https]\nlisten = [\"127.0.0.1:0\"]\n{wishes}"));
    let plain = gateway.addresses[1].strip_prefix("http://").expect("plain HTTP").to_owned();
    ca.look_at(std::slice::from_ref(&plain));
    until_served(&gateway, &ca, "a.example").await;
    let asked = ca.last("/challenge").0["url"].as_str().expect("a URL").to_owned();
    assert!(asked.ends_with("/http"), "{asked}");
    let mut peer = Peer::connect(&plain).await;
    peer.send(b"GET /.well-known/acme-challenge/token_0-0 HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(peer.answer().await.status, 301, "what is not asked any more is answered no more");
}

#[tokio::test]
async fn a_ca_needs_no_certificate_where_clients_do() {
    let (ca, storage, own) = (Ca::start().await, folder(), localhost());
    let wishes = ca.wishes(storage.path(), &["a.example"], "");
    let gateway = gateway(&format!("{ECHO}{}client_ca = {:?}\n{wishes}", own.config, ca.trust));
    ca.look_at(&[gateway.address()]);
    until_ordered(&gateway, 1.0).await;
    // What is shown can be seen; TLS 1.3 lets a client find out only later that it is not let in.
    until_served(&gateway, &ca, "a.example").await;
    let mut peer = Peer::connect_tls(&gateway.address(), "a.example", trusting(&ca)).await.expect("so far");
    peer.try_send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.ok();
    peer.try_head().await.expect_err("nobody is let in without");
}

#[tokio::test]
async fn a_stand_in_is_shown_until_there_is_one_where_the_owner_wants_it() {
    let (ca, storage) = (Ca::start().await, folder());
    let wishes = ca.wishes(storage.path(), &["a.example"], "");
    let gateway = gateway(&format!("{ECHO}[tls]\nself_signed = [\"a.example\"]\n{wishes}"));
    let anybody = trust::anybody(trust::ANY, |_| ());
    shake(&gateway.address(), "a.example", &anybody).await.expect("one that nobody trusts");
    serial(&gateway, &ca, "a.example").await.expect_err("not the CA's");
    ca.look_at(&[gateway.address()]);
    until_served(&gateway, &ca, "a.example").await;
}

#[tokio::test]
async fn what_is_kept_is_taken_up_at_the_next_start_and_what_is_damaged_is_set_aside() {
    let (ca, storage) = (Ca::start().await, folder());
    let first = alone(&ca, &storage, &["a.example"], SOON);
    ca.look_at(&[first.address()]);
    let serial_of_first = until_served(&first, &ca, "a.example").await;
    until_ordered(&first, 1.0).await;
    first.stop();
    let second = alone(&ca, &storage, &["a.example"], SOON);
    assert_eq!(serial(&second, &ca, "a.example").await.expect("from its first handshake on"), serial_of_first);
    second.stop();
    assert_eq!((ca.count("/new-order"), ca.count("/account")), (1, 1));

    let file = kept(&storage).join("a.example.pem");
    let whole = std::fs::read(&file).expect("read");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("write");
    std::fs::write(kept(&storage).join("account.json"), "{}").expect("write");
    log();
    let third = alone(&ca, &storage, &["a.example"], SOON);
    ca.look_at(&[third.address()]);
    assert_ne!(until_served(&third, &ca, "a.example").await, serial_of_first);
    logged(&["cannot be used, and is set aside", &file.display().to_string()]).await;
    let aside = std::fs::read(kept(&storage).join("a.example.pem.damaged")).expect("there");
    assert_eq!(aside, whole[..whole.len() / 2]);
    assert!(kept(&storage).join("account.json.damaged").exists());
    assert_eq!((ca.count("/new-order"), ca.count("/account")), (2, 2));
}

#[tokio::test]
async fn it_is_renewed_in_its_last_third_and_open_connections_stay() {
    let (ca, storage, now) = (Ca::start().await, folder(), SystemTime::now());
    keep(&ca, &storage, &["a.example"], now - 80 * DAY, now + 10 * DAY);
    ca.answer_next("/new-order", &problem(503, "serverInternal", "down for maintenance", ""));
    let gateway = alone(&ca, &storage, &["a.example"], SOON);
    let mut peer = Peer::connect_tls(&gateway.address(), "a.example", trusting(&ca)).await.expect("TLS");
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    let old = serial(&gateway, &ca, "a.example").await.expect("the old one");
    gateway.until_metric(FAILED, 1.0).await;
    assert_eq!(serial(&gateway, &ca, "a.example").await.expect("the old one"), old, "kept after a failure");
    ca.look_at(&[gateway.address()]);
    until_ordered(&gateway, 1.0).await;
    assert_ne!(serial(&gateway, &ca, "a.example").await.expect("the new one"), old);
    peer.say("still here").await;
    assert_eq!(peer.message().await.text(), "still here");
}

#[tokio::test]
async fn it_is_renewed_when_the_ca_says_so() {
    let (ca, storage, now) = (Ca::start().await, folder(), SystemTime::now());
    let first = alone(&ca, &storage, &["a.example"], SOON);
    ca.look_at(&[first.address()]);
    let old = until_served(&first, &ca, "a.example").await;
    until_ordered(&first, 1.0).await;
    first.stop();
    // RFC 9773 §4.2: a window that is over means now.
    ca.suggest(now - 2 * DAY, now - DAY);
    let second = alone(&ca, &storage, &["a.example"], SOON);
    ca.look_at(&[second.address()]);
    until_ordered(&second, 1.0).await;
    assert_ne!(serial(&second, &ca, "a.example").await.expect("the new one"), old);
    assert!(
        ca.last("/new-order").1["replaces"].as_str().is_some_and(|id| id.contains('.')),
        "{:?}",
        ca.last("/new-order")
    );
    // And not over and over, though the CA still says so.
    within("the CA to be asked of the new one", async {
        while ca.count("/renewal") < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    second.stop();
    assert_eq!(ca.count("/new-order"), 2);
}

#[tokio::test]
async fn what_goes_wrong_at_the_ca_is_told_and_tried_again() {
    log();
    let junk = "HTTP/1.1 200 OK\r\nReplay-Nonce: bm9uY2U\r\nContent-Length: 7\r\n\r\nnothing";
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}", "x".repeat(400 * 1024));
    let away = "HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n";
    let unknown = problem(400, "accountDoesNotExist", "who are you?", "");
    let bad = problem(403, "rejectedIdentifier", "not for such a name", "");
    for (at, (path, answer, told)) in [
        ("/dir", "", "the CA cannot be asked: "),
        ("/dir", junk, "the CA cannot be asked: failed to (de)serialize JSON"),
        ("/dir", &*endless, "its answer cannot be read"),
        ("/dir", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "status 502 without a reason"),
        ("/dir", away, "status 302 without a reason"),
        ("/nonce", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no nonce"),
        ("/new-order", &*bad, "the CA says: not for such a name (rejectedIdentifier)"),
        ("/new-order", &*unknown, "the CA says: who are you? (accountDoesNotExist)"),
        ("/authorization", junk, "the CA cannot be asked: "),
        ("/finalize", junk, "the CA cannot be asked: "),
        ("/certificate", junk, "what the CA has made cannot be served"),
    ]
    .into_iter()
    .enumerate()
    {
        let (ca, storage, name) = (Ca::start().await, folder(), format!("wrong{at}.example"));
        ca.answer_next(path, answer);
        let gateway = alone(&ca, &storage, &[&name], SOON);
        ca.look_at(&[gateway.address()]);
        let line = logged(&["no certificate was made", &name]).await;
        assert!(line.contains(told), "{path}: {line}");
        until_served(&gateway, &ca, &name).await;
        until_ordered(&gateway, 1.0).await;
        assert!(gateway.metric(FAILED).await > 0.5);
    }
}

#[tokio::test]
async fn a_ca_that_is_not_convinced_says_why_and_what_it_makes_is_looked_at() {
    log();
    let (ca, storage) = (Ca::start().await, folder());
    let own = localhost();
    let elsewhere = gateway(&format!("{ECHO}{}", own.config));
    let gateway = alone(&ca, &storage, &["doubt.example"], SOON);
    ca.look_at(&[elsewhere.address()]);
    let line = logged(&["no certificate was made", "doubt.example"]).await;
    assert!(line.contains("the CA says: doubt.example: ") && line.contains("(unauthorized)"), "{line}");
    for (wrong, told) in [(Wrong::Name, "is not for doubt.example"), (Wrong::Key, "the key is not that of the leaf")] {
        ca.err(Some(wrong));
        ca.look_at(&[gateway.address()]);
        logged(&["no certificate was made", "doubt.example", told]).await;
    }
    serial(&gateway, &ca, "doubt.example").await.expect_err("nothing of that is served");
    ca.err(None);
    until_served(&gateway, &ca, "doubt.example").await;
}

#[tokio::test]
async fn a_ca_that_wants_to_be_left_alone_is() {
    log();
    let (ca, storage) = (Ca::start().await, folder());
    let told = problem(429, "rateLimited", "too many certificates for busy.example", "Retry-After: 7200\r\n");
    ca.answer_next("/new-order", &told);
    let gateway = alone(&ca, &storage, &["busy.example"], SOON);
    let before = SystemTime::now();
    let line = logged(&["no certificate was made", "busy.example"]).await;
    assert!(
        line.contains("too many certificates for busy.example (rateLimited); it wants to be left alone for 7200 s"),
        "{line}"
    );
    gateway.until_metric("wsgate_acme_failing", 1.0).await;
    let next = gateway.metric("wsgate_acme_next_order_timestamp_seconds").await;
    let since = before.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!(next - since > 7100.0 && next - since < 8000.0, "{}", next - since);
    assert_eq!(ca.count("/new-order"), 1);
}

#[tokio::test]
async fn only_its_own_authorities_vouch_for_a_ca() {
    log();
    let (ca, storage) = (Ca::start().await, folder());
    let wishes = ca.wishes(storage.path(), &["stranger.example"], "");
    let without: String =
        wishes.lines().filter(|line| !line.starts_with("ca = ")).map(|line| format!("{line}\n")).collect();
    let gateway = gateway(&format!("{ECHO}{without}"));
    let line = logged(&["no certificate was made", "stranger.example"]).await;
    assert!(line.contains("UnknownIssuer"), "{line}");
    gateway.until_metric(FAILED, 1.0).await;
    assert_eq!(ca.count("/"), 0);
}

#[tokio::test]
async fn an_account_that_was_made_elsewhere_is_bound() {
    let (ca, storage) = (Ca::start().await, folder());
    let key = storage.path().with_extension("key");
    std::fs::write(&key, "c2VjcmV0\n").expect("write");
    let more = format!("eab_id = \"kid-1\"\neab_key_file = {:?}", key.display().to_string());
    let gateway = alone(&ca, &storage, &["a.example"], &more);
    ca.look_at(&[gateway.address()]);
    until_served(&gateway, &ca, "a.example").await;
    std::fs::remove_file(key).expect("remove");
    let binding = &ca.last("/account").1["externalAccountBinding"];
    let header = binding["protected"].as_str().expect("a header");
    let header = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, header).expect("base64url");
    let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
    assert_eq!((&header["kid"], &header["alg"]), (&"kid-1".into(), &"HS256".into()));
    let signed = format!("{}.{}", binding["protected"].as_str().unwrap(), binding["payload"].as_str().unwrap());
    let signature = binding["signature"].as_str().expect("a signature");
    let signature = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, signature).expect("base64url");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
    aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &signature).expect("signed with the file's key");
}

#[tokio::test]
async fn a_reload_changes_what_is_ordered_and_what_is_there_is_served_until_then() {
    let (ca, storage) = (Ca::start().await, folder());
    let text = |names: &[&str], more| format!("{ECHO}{}", ca.wishes(storage.path(), names, more));
    let gateway = gateway(&text(&["a.example"], ""));
    ca.look_at(&[gateway.address()]);
    let first = until_served(&gateway, &ca, "a.example").await;
    until_ordered(&gateway, 1.0).await;
    gateway.handle.reload(parse(&text(&["a.example"], ""))).expect("the same");
    ca.look_at(&[]);
    let more = parse(&text(&["a.example", "b.example"], "contact = [\"new@a.example\"]"));
    let changes = gateway.handle.reload(more).expect("more names");
    assert!(changes.iter().any(|change| change.key == "tls" && !change.restart), "{changes:?}");
    assert_eq!(serial(&gateway, &ca, "a.example").await.expect("still"), first);
    serial(&gateway, &ca, "b.example").await.expect_err("not yet");
    ca.look_at(&[gateway.address()]);
    let second = until_served(&gateway, &ca, "b.example").await;
    assert_eq!((serial(&gateway, &ca, "a.example").await.expect("the new one"), ca.count("/new-order")), (second, 2));
    until_ordered(&gateway, 2.0).await;
    assert_eq!(ca.last("/account/1").1["contact"][0], "mailto:new@a.example", "the CA is told of a new contact");
    let own = localhost();
    gateway.handle.reload(parse(&format!("{ECHO}{}", own.config))).expect("no CA any more");
    gateway.until_metric("wsgate_acme_next_order_timestamp_seconds", 0.0).await;
    serial(&gateway, &ca, "a.example").await.expect_err("the default");
}

#[tokio::test]
async fn gateways_that_share_a_folder_order_once() {
    let (ca, storage) = (Ca::start().await, folder());
    let gateways = [(); 3].map(|()| alone(&ca, &storage, &["a.example"], SOON));
    ca.look_at(&gateways.each_ref().map(Running::address));
    let mut serials = Vec::new();
    for gateway in &gateways {
        serials.push(until_served(gateway, &ca, "a.example").await);
    }
    assert_eq!(serials, [&*serials[0]; 3]);
    assert_eq!((ca.count("/new-order"), ca.count("/account")), (1, 1));
}

#[tokio::test]
async fn what_it_names_is_read_before_it_is_in_force() {
    let (ca, storage, own) = (Ca::start().await, folder(), localhost());
    let gateway = gateway(&format!("{ECHO}{}", own.config));
    let more = "eab_id = \"a\"\neab_key_file = \"/nowhere/key\"";
    let wishes = ca.wishes(storage.path(), &["a.example"], more).replace(&ca.trust, "/nowhere/ca.pem");
    let problems = gateway.handle.reload(parse(&format!("{ECHO}{wishes}"))).expect_err("refused").to_string();
    assert!(problems.contains("/nowhere/ca.pem: tls.acme.ca: there is no such file"), "{problems}");
    assert!(problems.contains("/nowhere/key: tls.acme.eab_key_file: cannot be read"), "{problems}");
    assert_eq!(ca.count("/"), 0);
}
