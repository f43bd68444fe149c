//! Chains in and out of order.

use rcgen::{CertificateParams, IsCa};

use super::super::fixture::{Made, authority, leaf, make, params};
use super::*;

fn chain(made: &[&Made]) -> Vec<Certificate> {
    let parse = |(at, made): (usize, &&Made)| Certificate::parse(&made.der, at + 1, at * 10 + 1).expect("certificate");
    made.iter().enumerate().map(parse).collect()
}

fn wrong(made: &[&Made]) -> Vec<String> {
    misplaced(&chain(made)).into_iter().map(|(_, advice)| advice).collect()
}

#[test]
fn a_certificate_is_understood() {
    let made = leaf(&["Chat.Example.com", "*.example.com", "127.0.0.1", "::1"], None);
    let certificate = &chain(&[&made])[0];
    assert_eq!(certificate.names, ["chat.example.com", "*.example.com", "127.0.0.1", "::1"]);
    assert_eq!((certificate.subject.as_str(), certificate.key_type.as_str()), ("Chat.Example.com", "ECDSA P-256"));
    assert!(certificate.version_3 && certificate.for_servers && !certificate.authority && certificate.is_self_signed());
    assert!(certificate.not_before < certificate.not_after);
}

#[test]
fn what_is_no_certificate_is_refused() {
    let made = leaf(&["a.example"], None);
    let mut longer = made.der.to_vec();
    longer.push(0);
    assert_eq!(Certificate::parse(&longer.into(), 1, 1).expect_err("longer"), "1 bytes follow it");
    for cut in [0, 1, 10, made.der.len() - 1] {
        Certificate::parse(&made.der[..cut].to_vec().into(), 1, 1).expect_err("cut");
    }
}

#[test]
fn the_leaf_then_its_issuers() {
    let root = authority("root", None);
    let middle = authority("middle", Some(&root));
    let leaf = leaf(&["a.example"], Some(&middle));
    assert_eq!(wrong(&[&leaf]), [""; 0]);
    assert_eq!(wrong(&[&leaf, &middle]), [""; 0]);
    assert_eq!(wrong(&[&leaf, &middle, &root]), [""; 0]);
}

#[test]
fn what_stands_wrong_is_sent_to_its_place() {
    let root = authority("root", None);
    let middle = authority("middle", Some(&root));
    let leaf = leaf(&["a.example"], Some(&middle));
    let swapped = "certificate 2 (root) must come after certificate 3 (middle, line 21), which it issued";
    assert_eq!(wrong(&[&leaf, &root, &middle]), [swapped]);
    let hole = "certificate 2 (root) issued none of those above it; wanted here: middle";
    assert_eq!(wrong(&[&leaf, &root]), [hole]);
    assert_eq!(wrong(&[&leaf, &leaf]), ["certificate 2 (a.example) repeats certificate 1: remove it"]);
}

#[test]
fn a_namesake_of_the_issuer_is_not_the_issuer() {
    let leaf = leaf(&["a.example"], Some(&authority("ca", None)));
    let made_anew = authority("ca", None);
    let expected =
        "certificate 2 (ca) bears the name of certificate 1 (a.example)'s issuer, but its key did not sign it";
    assert_eq!(wrong(&[&leaf, &made_anew]), [expected]);
}

#[test]
fn two_signatures_of_one_intermediate_are_allowed() {
    let (old, new) = (authority("old root", None), authority("new root", None));
    let middle = authority("middle", Some(&new));
    let leaf = leaf(&["a.example"], Some(&middle));
    let crossed = middle.signed_again_by(&old);
    assert_eq!(wrong(&[&leaf, &middle, &crossed, &old]), [""; 0]);
}

#[test]
fn usage_and_authority_are_read() {
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("a.example", &["a.example"]);
        change(&mut params);
        chain(&[&make(params, None)]).remove(0)
    };
    assert!(!with(&|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]).for_servers);
    assert!(with(&|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Any]).for_servers);
    assert!(with(&|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)).authority);
    assert!(!with(&|params| params.is_ca = IsCa::NoCa).authority);
}

#[test]
fn dates_are_readable() {
    assert_eq!(date(0), "1970-01-01 00:00 UTC");
    assert_eq!(date(i64::MAX), format!("{} seconds after 1970", i64::MAX));
}
