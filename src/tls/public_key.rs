//! A PEM file with one public key, for signatures that others make.

use std::path::Path;

use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certs::listed;
use super::finding::{Findings, Place};
use super::pem::{self, Content};
use crate::config::Problems;

const ONE: &str = "exactly one PUBLIC KEY (`openssl x509 -pubkey -noout -in FILE` takes it out of a certificate, \
    `openssl pkey -pubout -in FILE` makes it from a private key)";
const KINDS: &str = "RSA of 2048 bits or more, ECDSA on P-256 or P-384, Ed25519";
/// What aws-lc verifies with at least.
const RSA_BITS: usize = 2048;

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// RSA (RFC 8017).
    Rsa,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

/// A public key, taken out of its SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// Its kind.
    pub kind: KeyKind,
    /// RSA: an RSAPublicKey in DER (RFC 8017 §A.1.1); ECDSA: the uncompressed point; Ed25519: 32 bytes.
    pub bytes: Vec<u8>,
}

/// The public key in this file.
///
/// # Errors
/// Everything that is wrong with the file; the key of these problems is `key_file`.
pub(crate) fn read_public_key(path: &Path) -> Result<PublicKey, Problems> {
    let mut findings = Findings::default();
    let place = Place { path, key: "key_file" };
    let objects = pem::read(place, &mut findings).ok_or_else(|| Problems(std::mem::take(&mut findings.problems)))?;
    let keys = objects.iter().filter_map(|object| match &object.content {
        Content::PublicKey(der) => Some((object.line, der)),
        _ => None,
    });
    let [(line, der)] = keys.collect::<Vec<_>>()[..] else {
        return Err(place.whole(format!("there is not one public key in it, but: {}", listed(&objects)), ONE).into());
    };
    parse(der).map_err(|wrong| place.at(line, wrong, KINDS).into())
}

fn parse(der: &[u8]) -> Result<PublicKey, String> {
    let Ok((b"", key)) = SubjectPublicKeyInfo::from_der(der) else {
        return Err("this public key cannot be understood".to_owned());
    };
    let algorithm = key.algorithm.algorithm.to_id_string();
    let curve = || key.algorithm.parameters.as_ref()?.as_oid().ok().map(|oid| oid.to_id_string());
    let kind = match (algorithm.as_str(), curve().as_deref()) {
        (RSA, _) => match key.parsed() {
            Ok(Parsed::RSA(rsa)) if rsa.key_size() >= RSA_BITS => KeyKind::Rsa,
            _ => return Err("this RSA key is too small".to_owned()),
        },
        (EC, Some(P256)) => KeyKind::P256,
        (EC, Some(P384)) => KeyKind::P384,
        (ED25519, _) => KeyKind::Ed25519,
        (other, _) => return Err(format!("this public key is of no kind that can be used (its OID is {other})")),
    };
    let bytes = key.subject_public_key.data.to_vec();
    match kind {
        KeyKind::P256 | KeyKind::P384 if bytes.first() != Some(&4) => {
            Err("this public key's point is compressed".to_owned())
        }
        _ => Ok(PublicKey { kind, bytes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::PublicKeyData as _;

    fn read(pem: &str) -> Result<PublicKey, String> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("k.pem");
        std::fs::write(&path, pem).expect("write");
        read_public_key(&path).map_err(|problems| problems.to_string())
    }

    #[test]
    fn keys_are_told_apart() {
        let kinds = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::P256, 65),
            (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::P384, 97),
            (&rcgen::PKCS_ED25519, KeyKind::Ed25519, 32),
        ];
        for (algorithm, kind, size) in kinds {
            let pair = rcgen::KeyPair::generate_for(algorithm).expect("key");
            let key = read(&pair.public_key_pem()).expect("key");
            assert_eq!((key.kind, key.bytes.len()), (kind, size));
            assert_eq!(key.bytes, pair.der_bytes());
        }
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("key");
        assert_eq!(read(&pair.public_key_pem()).expect("key").kind, KeyKind::Rsa);
    }

    #[test]
    fn anything_else_is_told() {
        let pair = rcgen::KeyPair::generate().expect("key");
        let found = read(&pair.serialize_pem()).expect_err("private");
        assert!(found.contains("there is not one public key in it, but: PRIVATE KEY"), "{found}");
        let found = read(&pair.public_key_pem().repeat(2)).expect_err("two");
        assert!(found.contains("there is not one public key"), "{found}");
        let p521 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("key");
        let found = read(&p521.public_key_pem()).expect_err("P-521");
        assert!(found.contains("of no kind that can be used"), "{found}");
    }
}
