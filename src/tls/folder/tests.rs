//! `wsgate cert` in a folder, the first time and again.

use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};

use super::super::fixture::{DAY, Folder, authority, handshake, leaf};
use super::super::{Acceptor, read_roots};
use super::*;
use crate::config::{CertificateFiles, Tls, TlsVersion};

fn cert(out: &Path, names: &[&str]) -> Result<Made, IssueError> {
    make_certificate(out, &names.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn acceptor(made: &Made) -> Acceptor {
    let certificates = vec![CertificateFiles { chain: made.chain.clone(), key: made.key.clone() }];
    let tls = Tls {
        certificates,
        self_signed: Vec::new(),
        acme: None,
        min_version: TlsVersion::Tls12,
        hsts: None,
        clients: None,
        watch: None,
    };
    let (acceptor, warnings) = Acceptor::build(&tls, SystemTime::now()).expect("acceptor");
    assert!(warnings.is_empty(), "{warnings:?}");
    acceptor
}

fn in_the_way(result: Result<Made, IssueError>) -> (String, String) {
    match result {
        Err(IssueError::InTheWay { path, why }) => (path.file_name().expect("name").to_string_lossy().into(), why),
        other => panic!("{other:?}"),
    }
}

fn written(made: &Made) -> Vec<String> {
    made.written.iter().map(|path| path.file_name().expect("name").to_string_lossy().into()).collect()
}

#[test]
fn clients_that_trust_the_authority_trust_the_leaf() {
    let folder = Folder::new();
    let made = cert(&folder.path().join("new/folder"), &["chat.example", "*.chat.example", "10.0.0.1"]).expect("made");
    assert_eq!(written(&made), ["wsgate-ca.key", "wsgate-ca.pem", "chat.example.key", "chat.example.pem"]);
    let mut store = RootCertStore::empty();
    for root in read_roots(&made.authority).expect("roots") {
        store.add(root).expect("root");
    }
    let builder = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
    let client = Arc::new(builder.with_root_certificates(store).with_no_client_auth());
    let acceptor = acceptor(&made);
    for name in ["chat.example", "x.chat.example", "10.0.0.1"] {
        handshake(acceptor.config(), client.clone(), name).expect(name);
    }
    handshake(acceptor.config(), client, "other.example").expect_err("not in it");
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let made = cert(folder.path(), &["localhost"]).expect("made");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&made.key), 0o600);
    assert_eq!(mode(&folder.path().join("wsgate-ca.key")), 0o600);
}

#[test]
fn the_authority_is_made_once_and_signs_them_all() {
    let folder = Folder::new();
    let first = cert(folder.path(), &["a.example"]).expect("made");
    let ca = fs::read(&first.authority).expect("ca");
    let second = cert(folder.path(), &["*.b.example"]).expect("made");
    assert_eq!(written(&second), ["_wildcard.b.example.key", "_wildcard.b.example.pem"]);
    assert_eq!(fs::read(&second.authority).expect("ca"), ca);
}

#[test]
fn a_leaf_is_renewed_for_the_key_that_is_there() {
    let folder = Folder::new();
    let first = cert(folder.path(), &["a.example"]).expect("made");
    let before = (fs::read(&first.key).expect("key"), fs::read(&first.chain).expect("chain"));
    let later = SystemTime::now() + 500 * DAY;
    let names = ["a.example", "b.example"].map(str::to_owned);
    let again = make_at(folder.path(), &names, later).expect("renewed, though it had expired");
    assert_eq!(written(&again), ["a.example.pem"]);
    assert!(again.not_after > later);
    assert_eq!(fs::read(&again.key).expect("key"), before.0);
    assert_ne!(fs::read(&again.chain).expect("chain"), before.1);
    let now = cert(folder.path(), &["a.example", "b.example"]).expect("renewed");
    assert_eq!(acceptor(&now).names(), ["a.example", "b.example"]);
}

#[test]
fn nothing_of_others_is_overwritten() {
    let folder = Folder::new();
    cert(folder.path(), &["a.example"]).expect("made");
    let before = |name: &str| fs::read(folder.path().join(name)).expect("there");

    folder.made("b.example", &leaf(&["b.example"], Some(&authority("other", None))));
    let key = before("b.example.key");
    let expected = ("b.example.pem".to_owned(), "the CA in the folder did not sign it".to_owned());
    assert_eq!(in_the_way(cert(folder.path(), &["b.example"])), expected);
    assert_eq!(before("b.example.key"), key);

    fs::remove_file(folder.path().join("b.example.pem")).expect("remove");
    assert_eq!(in_the_way(cert(folder.path(), &["b.example"])).0, "b.example.key");
    assert_eq!(before("b.example.key"), key);

    fs::rename(folder.path().join("b.example.key"), folder.path().join("a.example.key")).expect("rename");
    let expected = ("a.example.pem".to_owned(), "the key beside it is another one's".to_owned());
    assert_eq!(in_the_way(cert(folder.path(), &["a.example"])), expected);
}

#[test]
fn an_authority_without_its_key_stops_everything() {
    let folder = Folder::new();
    cert(folder.path(), &["a.example"]).expect("made");
    fs::remove_file(folder.path().join("wsgate-ca.key")).expect("remove");
    let expected = ("wsgate-ca.pem".to_owned(), "its key is not beside it".to_owned());
    assert_eq!(in_the_way(cert(folder.path(), &["b.example"])), expected);
    assert!(!folder.path().join("b.example.key").exists());
    fs::remove_file(folder.path().join("wsgate-ca.pem")).expect("remove");
    let (_, why) = in_the_way(cert(folder.path(), &["a.example"]));
    assert_eq!(why, "there is no CA in the folder that could renew it");
    assert!(!folder.path().join("wsgate-ca.key").exists(), "no CA is made for nothing");
}

#[test]
fn an_authority_that_is_none_or_expired_is_refused() {
    let folder = Folder::new();
    cert(folder.path(), &["a.example"]).expect("made");
    let late = SystemTime::now() + 3651 * DAY;
    let (_, why) = in_the_way(make_at(folder.path(), &["b.example".to_owned()], late));
    assert!(why.starts_with("it expired on 20"), "{why}");
    let folder = Folder::new();
    folder.made("wsgate-ca", &leaf(&["a.example"], None));
    let (_, why) = in_the_way(cert(folder.path(), &["b.example"]));
    assert_eq!(why, "it is no CA certificate");
}

#[test]
fn no_leaf_takes_the_place_of_the_authority() {
    let folder = Folder::new();
    let made = cert(folder.path(), &["wsgate-ca"]).expect("made");
    assert_eq!(written(&made)[3], "_wsgate-ca.pem");
    let again = cert(folder.path(), &["wsgate-ca"]).expect("renewed");
    assert_eq!(written(&again), ["_wsgate-ca.pem"]);
}

#[test]
fn broken_files_and_folders_are_explained() {
    let folder = Folder::new();
    folder.pair("a.example", "hello", "hello");
    let error = cert(folder.path(), &["a.example"]).expect_err("broken");
    assert!(error.to_string().contains("a.example.pem: there is no PEM object in it"), "{error}");
    let file = folder.write("file", "");
    let error = cert(&file, &["a.example"]).expect_err("a file is no folder");
    assert!(matches!(error, IssueError::File { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
    assert!(matches!(cert(folder.path(), &[]), Err(IssueError::NoName)));
}

#[test]
fn it_says_what_to_do_next() {
    let folder = Folder::new();
    let text = cert(folder.path(), &["::1", "localhost"]).expect("made").to_string();
    let ca = folder.path().join("wsgate-ca.pem").display().to_string();
    for piece in [
        "Firefox",
        "Chrome",
        "macOS",
        "Windows",
        "Debian",
        "curl --cacert",
        "https://[::1]:8443/",
        "::1, localhost",
        &ca,
    ] {
        assert!(text.contains(piece), "{piece} is not in:\n{text}");
    }
    assert!(!text.contains("CA.pem") && !text.contains("HOST"), "{text}");
}
