//! Every way in which a pair of files can be wrong.

use std::time::SystemTime;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, PKCS_ED25519, PKCS_RSA_SHA256};

use super::super::fixture::{DAY, Folder, Made, authority, chmod, examine, leaf, make, make_with, params, said};
use super::*;

fn problems(files: &CertificateFiles) -> Vec<String> {
    let (pair, findings) = examine(files);
    assert!(pair.is_none(), "{findings:?}");
    said(&findings.problems)
}

fn warnings(files: &CertificateFiles) -> Vec<String> {
    let (pair, findings) = examine(files);
    assert!(pair.is_some(), "{findings:?}");
    said(&findings.warnings)
}

fn with(change: impl Fn(&mut CertificateParams)) -> Made {
    let mut params = params("a.example", &["a.example"]);
    change(&mut params);
    make(params, None)
}

#[test]
fn a_sound_pair_is_loaded() {
    let folder = Folder::new();
    let ca = authority("ca", None);
    let made = leaf(&["a.example", "127.0.0.1"], Some(&ca));
    let (pair, findings) = examine(&folder.pair("a", format!("{}{}", made.pem, ca.pem), made.key_pem()));
    let pair = pair.expect("pair");
    assert_eq!(said(&findings.warnings), [""; 0]);
    assert_eq!(pair.names, ["a.example", "127.0.0.1"]);
    assert_eq!(pair.certified.cert, [made.der, ca.der]);
    assert_eq!(pair.algorithm(), SignatureAlgorithm::ECDSA);
}

#[test]
fn one_file_may_hold_both() {
    let folder = Folder::new();
    let made = leaf(&["a.example"], None);
    let path = folder.write("both.pem", format!("{}{}", made.key_pem(), made.pem));
    assert_eq!(warnings(&CertificateFiles { chain: path.clone(), key: path }), [""; 0]);
}

#[test]
fn rsa_keys_in_either_form_are_taken() {
    let made = make_with(params("a.example", &["a.example"]), None, &PKCS_RSA_SHA256);
    assert_eq!(warnings(&Folder::new().made("a", &made)), [""; 0]);
}

#[test]
fn files_given_the_wrong_way_round_are_told_apart() {
    let made = leaf(&["a.example"], None);
    let expected = [
        "a.pem: there is no certificate in it, only: PRIVATE KEY (line 1)",
        "a.key: there is no private key in it, only: CERTIFICATE (line 1)",
    ];
    assert_eq!(problems(&Folder::new().pair("a", made.key_pem(), &made.pem)), expected);
}

#[test]
fn the_key_must_be_one_and_readable() {
    let folder = Folder::new();
    let made = leaf(&["a.example"], None);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let expected = ["a.key:1: the private key is encrypted, and nobody is there to type its passphrase"];
    assert_eq!(problems(&folder.pair("a", &made.pem, encrypted)), expected);

    let two = format!("{}{encrypted}", made.key_pem());
    let line = made.key_pem().lines().count() + 1;
    let expected = format!("a.key:{line}: there is a second private key (the first is on line 1)");
    assert_eq!(problems(&folder.pair("a", &made.pem, two)), [expected]);

    let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let expected = ["a.key:1: this key is of no kind that can be used (the certificate says ECDSA P-256)"];
    assert_eq!(problems(&folder.pair("a", &made.pem, nonsense)), expected);
}

#[test]
fn a_certificate_that_does_not_parse_is_named() {
    let made = leaf(&["a.example"], None);
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let line = made.pem.lines().count() + 1;
    let said = problems(&Folder::new().pair("a", format!("{}{nonsense}", made.pem), made.key_pem()));
    assert!(said[0].starts_with(&format!("a.pem:{line}: certificate 2 cannot be understood: ")), "{said:?}");
}

#[test]
fn the_key_must_belong_to_the_leaf() {
    let (one, other) = (leaf(&["a.example"], None), leaf(&["a.example"], None));
    let (pair, findings) = examine(&Folder::new().pair("a", &one.pem, other.key_pem()));
    assert!(pair.is_none());
    assert!(said(&findings.problems)[0].starts_with("a.key: the key is not that of the leaf certificate (a.example, "));
    assert!(findings.problems[0].allowed.contains("ECDSA P-256"));
}

#[test]
fn a_chain_upside_down_is_told_from_a_wrong_key() {
    let ca = authority("ca", None);
    let made = leaf(&["a.example"], Some(&ca));
    let line = ca.pem.lines().count() + 1;
    let folder = Folder::new();
    let files = folder.pair("a", format!("{}{}", ca.pem, made.pem), made.key_pem());
    let expected =
        format!("a.pem:{line}: the private key is that of certificate 2 (a.example), which must therefore come first");
    assert_eq!(problems(&files), [expected]);
}

#[test]
fn a_chain_with_a_hole_is_a_problem() {
    let root = authority("root", None);
    let made = leaf(&["a.example"], Some(&authority("middle", Some(&root))));
    let line = made.pem.lines().count() + 1;
    let folder = Folder::new();
    let files = folder.pair("a", format!("{}{}", made.pem, root.pem), made.key_pem());
    let expected = format!("a.pem:{line}: certificate 2 (root) issued none of those above it; wanted here: middle");
    assert_eq!(problems(&files), [expected]);
}

#[test]
fn a_leaf_outside_its_dates_is_refused() {
    let now = SystemTime::now();
    let expired = with(|params| params.not_after = (now - DAY).into());
    let said = problems(&Folder::new().made("a", &expired));
    assert!(said[0].starts_with("a.pem:1: the certificate (a.example) expired on 20"), "{said:?}");
    let early = with(|params| params.not_before = (now + DAY).into());
    let said = problems(&Folder::new().made("a", &early));
    assert!(said[0].starts_with("a.pem:1: the certificate (a.example) is not valid before 20"), "{said:?}");
}

#[test]
fn everything_wrong_with_a_pair_is_said_at_once() {
    let expired = with(|params| params.not_after = (SystemTime::now() - DAY).into());
    let folder = Folder::new();
    let files = folder.pair("a", &expired.pem, leaf(&["a.example"], None).key_pem());
    assert_eq!(problems(&files).len(), 2);
}

#[test]
fn what_only_some_clients_accept_is_a_warning() {
    let folder = Folder::new();
    let said = |made: &Made| warnings(&folder.made("a", made)).join("\n");
    let ca = with(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert!(said(&ca).starts_with("a.pem:1: the leaf is a CA certificate"), "{}", said(&ca));
    assert!(said(&with(|params| params.subject_alt_names.clear())).contains("has no names"));
    let usage = with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(said(&usage).contains("extended key usage"));
    let soon = with(|params| params.not_after = (SystemTime::now() + DAY / 24).into());
    assert!(said(&soon).contains("expires soon"));
    let edwards = make_with(params("a.example", &["a.example"]), None, &PKCS_ED25519);
    assert!(said(&edwards).contains("Ed25519"));
    let example = make(params(EXAMPLE, &["localhost"]), None);
    assert!(said(&example).contains("everyone has its private key"));
}

#[test]
fn an_expired_issuer_is_a_warning() {
    let mut params = params("ca", &[]);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = (SystemTime::now() - DAY / 2).into();
    let ca = make(params, None);
    let made = leaf(&["a.example"], Some(&ca));
    let folder = Folder::new();
    let files = folder.pair("a", format!("{}{}", made.pem, ca.pem), made.key_pem());
    assert!(warnings(&files)[0].contains("certificate 2 (ca) is valid only from 20"), "{:?}", warnings(&files));
}

#[cfg(unix)]
#[test]
fn a_key_that_everyone_may_read_is_a_warning() {
    let folder = Folder::new();
    let files = folder.made("a", &leaf(&["a.example"], None));
    for (mode, expected) in [(0o600, 0), (0o640, 0), (0o644, 1), (0o604, 1)] {
        chmod(&files.key, mode);
        assert_eq!(warnings(&files).len(), expected, "{mode:o}");
    }
}

#[test]
fn roots_are_read() {
    let folder = Folder::new();
    let (one, two) = (authority("one", None), authority("two", None));
    let both = folder.write("both.pem", format!("one\n{}two\n{}", one.pem, two.pem));
    assert_eq!(read_roots(&both), Ok(vec![one.der, two.der]));
    let key = folder.write("key.pem", one.key.serialize_pem());
    let Problems(problems) = read_roots(&key).expect_err("a key");
    assert_eq!(said(&problems), ["key.pem: there is no certificate in it, only: PRIVATE KEY (line 1)"]);
    let Problems(problems) = read_roots(&folder.path().join("none.pem")).expect_err("nothing");
    assert_eq!(said(&problems), ["none.pem: there is no such file"]);
}
