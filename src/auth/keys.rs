//! Keys from the files that the configuration names, each with the algorithms that it may be used with.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr as _;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::config::auth::{Algorithm as Wished, Jwt, Keys};
use crate::config::{Problem, Problems};
use crate::tls::{KeyKind, read_public_key};

/// Larger than any set of keys.
const LARGEST_FILE: u64 = 1 << 20;
/// Keys in a set at most: each token is looked up among them.
const LARGEST_SET: usize = 256;

/// A key that tokens may be signed with.
pub(super) struct Key {
    /// Its name in a set.
    pub(super) kid: Option<String>,
    /// What it may be used with: on the owner's list, and of the key's own kind.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// All keys that the wishes name; at least one.
///
/// # Errors
/// What is wrong with the file; the keys of these problems are `secret_file`, `key_file` and `jwks_file`.
pub(super) fn read(wishes: &Jwt) -> Result<Vec<Key>, Problems> {
    match &wishes.keys {
        Keys::Secret(path) => Ok(vec![read_secret(path, &wishes.algorithms)?]),
        Keys::Public(path) => Ok(vec![read_public(path, &wishes.algorithms)?]),
        Keys::Set(path) => read_set(path, &wishes.algorithms),
    }
}

fn read_secret(path: &Path, wished: &[Wished]) -> Result<Key, Problems> {
    let problem = |wrong: String, allowed: &str| problem(path, "secret_file", wrong, allowed);
    let bytes = bytes(path).map_err(|wrong| problem(wrong, "a file that the gateway's user may read"))?;
    // Editors end a file with a line end, and generators of secrets do not mean it.
    let secret = bytes.strip_suffix(b"\n").map_or(&bytes[..], |rest| rest.strip_suffix(b"\r").unwrap_or(rest));
    if secret.windows(11).any(|part| part == b"-----BEGIN ") {
        return Err(problem("PEM, not a secret".to_owned(), "random bytes; a public key belongs to key_file").into());
    }
    // RFC 7518 §3.2: a key of the same size as the hash output or larger must be used.
    let least = wished.iter().filter_map(|algorithm| algorithm.secret_size()).max().unwrap_or(usize::MAX);
    if secret.len() < least {
        let wrong = format!("the secret has {} bytes", secret.len());
        return Err(problem(wrong, &format!("{least} bytes or more, such as `openssl rand -hex {least}` gives")).into());
    }
    let algorithms = wished.iter().filter_map(|wished| named(*wished)).collect();
    Ok(Key { kid: None, algorithms, key: DecodingKey::from_secret(secret) })
}

fn read_public(path: &Path, wished: &[Wished]) -> Result<Key, Problems> {
    let public = read_public_key(path)?;
    let own = fitting(public.kind);
    let strange = wished.iter().filter_map(|wished| named(*wished)).find(|wished| !own.contains(wished));
    if let Some(strange) = strange {
        let wrong = format!("the key is not one for {strange:?}");
        let allowed = format!("algorithms among {own:?}, or a jwks_file for keys of several kinds");
        return Err(problem(path, "key_file", wrong, &allowed).into());
    }
    let key = match public.kind {
        KeyKind::Rsa => DecodingKey::from_rsa_der(&public.bytes),
        KeyKind::P256 | KeyKind::P384 => DecodingKey::from_ec_der(&public.bytes),
        KeyKind::Ed25519 => DecodingKey::from_ed_der(&public.bytes),
    };
    Ok(Key { kid: None, algorithms: wished.iter().filter_map(|wished| named(*wished)).collect(), key })
}

/// RFC 7517 §5: keys of kinds that are not understood are passed over.
fn read_set(path: &Path, wished: &[Wished]) -> Result<Vec<Key>, Problems> {
    let problem = |wrong: String, allowed: &str| problem(path, "jwks_file", wrong, allowed);
    let bytes = bytes(path).map_err(|wrong| problem(wrong, "a file that the gateway's user may read"))?;
    let set: Value = serde_json::from_slice(&bytes)
        .map_err(|error| problem(format!("not JSON at line {}", error.line()), "a JWK set: {\"keys\": [ … ]}"))?;
    let Some(list) = set.get("keys").and_then(Value::as_array) else {
        return Err(problem("has no list of keys".to_owned(), "a JWK set: {\"keys\": [ … ]}").into());
    };
    if list.len() > LARGEST_SET {
        return Err(problem(format!("has {} keys", list.len()), &format!("{LARGEST_SET} keys at most")).into());
    }
    let jwks = list.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    let keys: Vec<Key> = jwks.filter_map(|jwk| usable(&jwk, wished)).collect();
    if keys.is_empty() {
        return Err(
            problem("has no key for any of the algorithms".to_owned(), "RSA, P-256, P-384 or Ed25519 keys").into()
        );
    }
    let twice = keys.iter().enumerate().find(|(at, key)| keys[..*at].iter().any(|other| other.kid == key.kid));
    if let Some((_, key)) = twice {
        let wrong = format!("names two keys {:?}", key.kid.as_deref().unwrap_or(""));
        return Err(problem(wrong, "a kid of its own for each key").into());
    }
    Ok(keys)
}

/// The key, when it is for signatures with one of the algorithms.
fn usable(jwk: &Jwk, wished: &[Wished]) -> Option<Key> {
    let kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => KeyKind::Rsa,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => KeyKind::P256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => KeyKind::P384,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => KeyKind::Ed25519,
        _ => return None,
    };
    // RFC 7517 §4.2 and §4.3: what is there for encryption does not sign.
    let (purpose, operations) = (&jwk.common.public_key_use, &jwk.common.key_operations);
    if purpose.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
        || operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
    {
        return None;
    }
    // RFC 7517 §4.4: the algorithm intended for use with the key.
    let intended =
        |algorithm: &Algorithm| jwk.common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(*algorithm));
    let wished = wished.iter().filter_map(|wished| named(*wished));
    let algorithms: Vec<Algorithm> =
        wished.filter(|algorithm| fitting(kind).contains(algorithm)).filter(intended).collect();
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (!algorithms.is_empty()).then(|| Key { kid: jwk.common.key_id.clone(), algorithms, key })
}

/// The algorithms of a kind of key.
const fn fitting(kind: KeyKind) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match kind {
        KeyKind::Rsa => &[RS256, RS384, RS512, PS256, PS384, PS512],
        KeyKind::P256 => &[ES256],
        KeyKind::P384 => &[ES384],
        KeyKind::Ed25519 => &[EdDSA],
    }
}

fn named(wished: Wished) -> Option<Algorithm> {
    let (name, _) = Wished::ALL.iter().find(|(_, known)| *known == wished)?;
    Algorithm::from_str(name).ok()
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > LARGEST_FILE => Err("the file is larger than 1 MiB".to_owned()),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("the file cannot be read: {error}")),
    }
}

fn problem(path: &Path, key: &str, wrong: String, allowed: &str) -> Problem {
    Problem::new(path.display().to_string(), key, wrong).allowing(allowed)
}
