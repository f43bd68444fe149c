//! Who gets which certificate.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm as Kind};
use rustls::SignatureScheme as Scheme;

use super::super::fixture::{Folder, examine, make_with, params};
use super::*;

const EC: &Kind = &PKCS_ECDSA_P256_SHA256;
const RSA: &Kind = &PKCS_RSA_SHA256;
const MODERN: &[Scheme] = &[Scheme::ECDSA_NISTP256_SHA256, Scheme::RSA_PSS_SHA256];
const OLD: &[Scheme] = &[Scheme::RSA_PSS_SHA256, Scheme::RSA_PKCS1_SHA256];

fn pair(kind: &'static Kind, names: &[&str]) -> Pair {
    let made = make_with(params("test", names), None, kind);
    let (pair, findings) = examine(&Folder::new().made("a", &made));
    pair.unwrap_or_else(|| panic!("{findings:?}"))
}

/// Which of the pairs is chosen.
fn chosen(pairs: &[Pair], name: Option<&str>, schemes: &[Scheme]) -> Option<usize> {
    let chosen = Table::new(pairs).choose(name, schemes)?;
    pairs.iter().position(|pair| Arc::ptr_eq(&pair.certified, &chosen))
}

#[test]
fn exact_before_wildcard_before_default() {
    let pairs = [pair(EC, &["default.example"]), pair(EC, &["*.example.com"]), pair(EC, &["chat.example.com"])];
    for (name, expected) in [
        ("chat.example.com", 2),
        ("CHAT.Example.Com", 2),
        ("chat.example.com.", 2),
        ("other.example.com", 1),
        ("a.b.example.com", 0),
        ("example.com", 0),
        ("default.example", 0),
        ("*.example.com", 1),
        ("", 0),
    ] {
        assert_eq!(chosen(&pairs, Some(name), MODERN), Some(expected), "{name:?}");
    }
    assert_eq!(chosen(&pairs, None, MODERN), Some(0));
}

#[test]
fn the_kind_of_key_follows_the_client() {
    let pairs =
        [pair(RSA, &["a.example", "127.0.0.1"]), pair(EC, &["a.example", "127.0.0.1"]), pair(RSA, &["b.example"])];
    assert_eq!(chosen(&pairs, Some("a.example"), MODERN), Some(1), "the cheaper one, though it is listed later");
    assert_eq!(chosen(&pairs, Some("a.example"), OLD), Some(0));
    assert_eq!(chosen(&pairs, None, MODERN), Some(1), "it stands in for the default");
    assert_eq!(chosen(&pairs, None, OLD), Some(0));
    assert_eq!(chosen(&pairs, Some("b.example"), MODERN), Some(2));
    assert_eq!(chosen(&pairs, Some("b.example"), &[Scheme::ED25519]), Some(2), "rustls says why it ends");
}

#[test]
fn only_a_pair_with_all_its_names_stands_in_for_the_default() {
    let pairs = [pair(RSA, &["a.example", "b.example"]), pair(EC, &["a.example"])];
    assert_eq!(chosen(&pairs, None, MODERN), Some(0));
    let nameless = [pair(RSA, &[]), pair(EC, &["a.example"])];
    assert_eq!(chosen(&nameless, None, MODERN), Some(0));
}

#[test]
fn of_two_alike_the_first_is_served() {
    let pairs = [pair(EC, &["a.example"]), pair(EC, &["a.example"]), pair(EC, &["a.example", "b.example"])];
    assert_eq!(chosen(&pairs, Some("a.example"), MODERN), Some(0));
    let same = |pair: &Pair| pairs.iter().position(|other| Arc::ptr_eq(&other.certified, &pair.certified));
    assert_eq!(shadowed(&pairs).into_iter().map(same).collect::<Vec<_>>(), [Some(1)]);
}
