//! Certificates made here, as clients see them.

use super::super::chain;
use super::*;

#[test]
fn a_certificate_made_at_start_is_one_that_clients_accept() {
    let now = SystemTime::now();
    let names = ["localhost", "*.dev.example", "127.0.0.1", "::1", "localhost"].map(str::to_owned);
    let (der, _) = self_signed(&names, now).expect("made");
    let leaf = chain::Certificate::parse(&der[0], 1, 1).expect("certificate");
    assert_eq!(leaf.names, ["localhost", "*.dev.example", "127.0.0.1", "::1"]);
    assert_eq!(leaf.key_type, "ECDSA P-256");
    assert!(!leaf.authority && leaf.for_servers && leaf.version_3);
    let life = leaf.not_after - leaf.not_before;
    assert_eq!(life, (SELF_SIGNED_DAYS + 1) * 24 * 60 * 60);
}

#[test]
fn every_certificate_has_its_own_serial_number() {
    let now = SystemTime::now();
    let serial = || params(now, now).expect("params").serial_number.expect("serial").to_bytes();
    let (one, two) = (serial(), serial());
    assert_ne!(one, two);
    assert!(one.len() == 16 && one[0] & 0x80 == 0 && one[0] != 0);
}

#[test]
fn a_long_name_does_not_break_the_subject() {
    let name = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
    let (der, _) = self_signed(std::slice::from_ref(&name), SystemTime::now()).expect("made");
    assert_eq!(chain::Certificate::parse(&der[0], 1, 1).expect("certificate").names, [name]);
}

#[test]
fn names_are_checked() {
    let error = self_signed(&[], SystemTime::now()).expect_err("none");
    assert_eq!(error.to_string(), "no name was given");
    let error = self_signed(&["a".to_owned(), "https://b".to_owned()], SystemTime::now()).expect_err("a URL");
    let expected = "\"https://b\" is no name for a certificate: only the host of a URL, without scheme, port and path";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_local_authority_can_sign_leaves_and_nothing_else() {
    let now = SystemTime::now();
    let (one, key) = authority(now).expect("authority");
    let (two, _) = authority(now).expect("authority");
    let parse = |made: &Certificate| chain::Certificate::parse(made.der(), 1, 1).expect("certificate");
    let (parsed, other) = (parse(&one), parse(&two));
    assert!(parsed.authority && parsed.subject.starts_with("wsgate local CA "));
    assert_ne!(parsed.subject, other.subject);
    let issuer = Issuer::from_ca_cert_der(one.der(), key).expect("issuer");
    let key = KeyPair::generate().expect("key");
    let soon = now + DAY;
    let leaf = leaf(&[Name::Dns("a.example".to_owned())], &key, &issuer, (now, soon)).expect("leaf");
    let leaf = parse(&leaf);
    assert!(parsed.issued(&leaf) && !other.issued(&leaf));
    assert!(leaf.not_after <= parsed.not_after, "no leaf outlives its issuer");
    assert_eq!(leaf.not_after, super::super::seconds(soon));
}
