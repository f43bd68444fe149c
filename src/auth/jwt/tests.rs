//! Tokens signed here, by every algorithm, and everything that can be wrong with one.

use std::path::PathBuf;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::auth::Algorithm as Wished;

const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The signature of some bytes.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Somebody who signs: the algorithm's name, the signature of some bytes, and the public key in PEM and as a JWK.
struct Signer {
    algorithm: Wished,
    sign: Sign,
    pem: String,
    jwk: Value,
}

fn url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pem(der: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    let text = STANDARD.encode(der.as_der().expect("DER").as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

fn secret(algorithm: Wished) -> Signer {
    let kind = match algorithm {
        Wished::Hs256 => hmac::HMAC_SHA256,
        Wished::Hs384 => hmac::HMAC_SHA384,
        _ => hmac::HMAC_SHA512,
    };
    let key = hmac::Key::new(kind, SECRET);
    let sign = Box::new(move |bytes: &[u8]| hmac::sign(&key, bytes).as_ref().to_vec());
    Signer { algorithm, sign, pem: String::new(), jwk: Value::Null }
}

fn rsa(algorithm: Wished, size: KeySize) -> Signer {
    let encoding: &'static dyn signature::RsaEncoding = match algorithm {
        Wished::Rs256 => &signature::RSA_PKCS1_SHA256,
        Wished::Rs384 => &signature::RSA_PKCS1_SHA384,
        Wished::Rs512 => &signature::RSA_PKCS1_SHA512,
        Wished::Ps256 => &signature::RSA_PSS_SHA256,
        Wished::Ps384 => &signature::RSA_PSS_SHA384,
        _ => &signature::RSA_PSS_SHA512,
    };
    let pair = RsaKeyPair::generate(size).expect("key");
    let public = pair.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let jwk = json!({ "kty": "RSA", "n": url(n.big_endian_without_leading_zero()),
        "e": url(e.big_endian_without_leading_zero()) });
    let pem = pem(public);
    let sign = Box::new(move |bytes: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), bytes, &mut signature).expect("signature");
        signature
    });
    Signer { algorithm, sign, pem, jwk }
}

fn ecdsa(algorithm: Wished) -> Signer {
    let (kind, curve) = match algorithm {
        Wished::Es256 => (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
        _ => (&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
    };
    let pair = EcdsaKeyPair::generate(kind).expect("key");
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({ "kty": "EC", "crv": curve, "x": url(x), "y": url(y) });
    let pem = pem(pair.public_key());
    let sign =
        Box::new(move |bytes: &[u8]| pair.sign(&SystemRandom::new(), bytes).expect("signature").as_ref().to_vec());
    Signer { algorithm, sign, pem, jwk }
}

fn ed25519() -> Signer {
    let pair = Ed25519KeyPair::generate().expect("key");
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": url(pair.public_key()) });
    let pem = pem(pair.public_key());
    Signer { algorithm: Wished::EdDsa, sign: Box::new(move |bytes| pair.sign(bytes).as_ref().to_vec()), pem, jwk }
}

impl Signer {
    fn name(&self) -> &'static str {
        Wished::ALL.iter().find(|(_, algorithm)| *algorithm == self.algorithm).expect("known").0
    }

    /// A token with this header, whatever it says of the signature.
    fn token_with(&self, head: &Value, claims: &Value) -> String {
        let said = format!("{}.{}", url(head.to_string()), url(claims.to_string()));
        let signature = url((self.sign)(said.as_bytes()));
        format!("{said}.{signature}")
    }

    fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.name(), "typ": "JWT" }), claims)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn claims() -> Value {
    json!({ "sub": "anna", "exp": now() + 100 })
}

/// Rules with the file's text written down.
struct Rules {
    folder: TempDir,
    wishes: Jwt,
}

impl Rules {
    fn new(algorithms: &[Wished], keys: fn(PathBuf) -> Keys, text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        std::fs::write(&path, text).expect("write");
        let wishes = Jwt {
            algorithms: algorithms.to_vec(),
            keys: keys(path),
            issuer: Vec::new(),
            audience: Vec::new(),
            leeway: Duration::ZERO,
            require: Vec::new(),
            token: vec![TokenPlace::Header],
            strip: true,
            claims: Vec::new(),
        };
        Self { folder, wishes }
    }

    fn of(signer: &Signer) -> Self {
        match signer.algorithm.secret_size() {
            Some(_) => Self::new(&[signer.algorithm], Keys::Secret, SECRET),
            None => Self::new(&[signer.algorithm], Keys::Public, &signer.pem),
        }
    }

    fn judge(&self) -> Judge {
        Judge::new(&self.wishes).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn check(&self, token: &str) -> Result<Good, TokenFault> {
        self.judge().check(token)
    }

    fn problem(&self) -> String {
        let problems = Judge::new(&self.wishes).err().expect("a problem");
        problems.to_string().replace(&self.folder.path().display().to_string(), "")
    }
}

fn every_signer() -> Vec<Signer> {
    let rsa = |algorithm| rsa(algorithm, KeySize::Rsa2048);
    let secrets = [Wished::Hs256, Wished::Hs384, Wished::Hs512].map(secret);
    let rsas = [Wished::Rs256, Wished::Rs384, Wished::Rs512, Wished::Ps256, Wished::Ps384, Wished::Ps512].map(rsa);
    let curves = [Wished::Es256, Wished::Es384].map(ecdsa);
    secrets.into_iter().chain(rsas).chain(curves).chain([ed25519()]).collect()
}

#[test]
fn every_algorithm_has_its_signature_and_no_other() {
    let signers = every_signer();
    assert_eq!(signers.len(), Wished::ALL.len());
    for signer in &signers {
        let rules = Rules::of(signer);
        let token = signer.token(&claims());
        let good = rules.check(&token).unwrap_or_else(|fault| panic!("{}: {fault:?}", signer.name()));
        assert_eq!(good.claims["sub"], "anna");
        assert!((99..=100).contains(&good.left.as_secs()), "{:?}", good.left);
        let (said, signature) = token.rsplit_once('.').expect("three parts");
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        bytes[7] ^= 1;
        let forged = format!("{said}.{}", url(&bytes));
        assert_eq!(rules.check(&forged).unwrap_err(), TokenFault::Signature, "{}", signer.name());
        assert_eq!(rules.check(&format!("{said}.")).unwrap_err(), TokenFault::Signature, "{}", signer.name());
        for other in signers.iter().filter(|other| other.algorithm != signer.algorithm) {
            assert_eq!(rules.check(&other.token(&claims())).unwrap_err(), TokenFault::Algorithm, "{}", other.name());
        }
    }
}

#[test]
fn a_token_that_is_not_signed_is_none() {
    let signer = secret(Wished::Hs256);
    let rules = Rules::of(&signer);
    for none in ["none", "None", "NONE", "nOnE", "", "hs256"] {
        let token = format!("{}.{}.", url(json!({ "alg": none }).to_string()), url(claims().to_string()));
        assert_eq!(rules.check(&token).unwrap_err(), TokenFault::Algorithm, "{none}");
        let signed = signer.token_with(&json!({ "alg": none }), &claims());
        assert_eq!(rules.check(&signed).unwrap_err(), TokenFault::Algorithm, "{none}");
    }
    let good = signer.token(&claims());
    for token in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        &format!("{good}.x"),
        &good.replace('.', " "),
        &format!("{good}="),
        "e30.e30.e30",
    ] {
        let fault = rules.check(token).unwrap_err();
        assert!(matches!(fault, TokenFault::Malformed | TokenFault::Signature), "{token}: {fault:?}");
    }
    let critical = signer.token_with(&json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), &claims());
    assert_eq!(rules.check(&critical).unwrap_err(), TokenFault::Critical);
}

/// CVE-2015-9235 and its kin: whoever knows the public key signs with it as if it were a secret.
#[test]
fn a_public_key_is_no_secret() {
    let signer = rsa(Wished::Rs256, KeySize::Rsa2048);
    let rules = Rules::of(&signer);
    let said = format!("{}.{}", url(json!({ "alg": "HS256" }).to_string()), url(claims().to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, signer.pem.as_bytes());
    let token = format!("{said}.{}", url(hmac::sign(&key, said.as_bytes())));
    assert_eq!(rules.check(&token).unwrap_err(), TokenFault::Algorithm);
    let found = Rules::new(&[Wished::Hs256], Keys::Secret, &signer.pem).problem();
    let expected = "/key: secret_file: PEM, not a secret; allowed: random bytes; a public key belongs to key_file";
    assert_eq!(found, expected);
}

#[test]
fn times_are_kept_with_the_leeway_that_is_given() {
    let signer = ed25519();
    let mut rules = Rules::of(&signer);
    let check = |rules: &Rules, claims: Value| rules.check(&signer.token(&claims)).map(|good| good.left.as_secs());
    let fault = Err::<u64, _>;
    assert_eq!(check(&rules, json!({ "exp": now() })), fault(TokenFault::Expired));
    assert_eq!(check(&rules, json!({ "exp": now() - 50 })), fault(TokenFault::Expired));
    assert_eq!(check(&rules, json!({ "exp": now() + 50, "nbf": now() + 40 })), fault(TokenFault::NotYet));
    assert!(check(&rules, json!({ "exp": now() + 50, "nbf": now() })).is_ok());
    for wrong in [json!({}), json!({ "exp": null }), json!({ "exp": "soon" }), json!({ "exp": -1 })] {
        assert_eq!(check(&rules, wrong), fault(TokenFault::Claim));
    }
    assert_eq!(check(&rules, json!({ "exp": now() + 50, "nbf": "later" })), fault(TokenFault::Claim));
    assert!(check(&rules, json!({ "exp": 1e18 })).is_ok_and(|left| left > 1 << 50));
    rules.wishes.leeway = Duration::from_secs(60);
    assert!(check(&rules, json!({ "exp": now() - 50 })).is_ok_and(|left| (9..=10).contains(&left)));
    assert_eq!(check(&rules, json!({ "exp": now() - 60 })), fault(TokenFault::Expired));
    assert!(check(&rules, json!({ "exp": now() + 50, "nbf": now() + 40 })).is_ok());
}

#[test]
fn issuer_audience_and_claims_are_those_that_are_wished() {
    let signer = secret(Wished::Hs256);
    let mut rules = Rules::of(&signer);
    let fault = |rules: &Rules, more: Value| {
        let mut claims = claims();
        claims.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        rules.check(&signer.token(&claims)).err()
    };
    // RFC 7519 §4.1.3: who does not find itself in it must refuse it.
    assert_eq!(fault(&rules, json!({ "aud": "else" })), Some(TokenFault::Audience));
    rules.wishes.issuer = vec!["idp".to_owned()];
    rules.wishes.audience = vec!["chat".to_owned(), "talk".to_owned()];
    rules.wishes.require = vec!["sub".to_owned(), "room".to_owned()];
    let with = |iss: Value, aud: Value, room: Value| json!({ "iss": iss, "aud": aud, "room": room });
    assert_eq!(fault(&rules, with(json!("idp"), json!("talk"), json!(7))), None);
    assert_eq!(fault(&rules, with(json!("idp"), json!(["x", "chat"]), json!(false))), None);
    assert_eq!(fault(&rules, with(json!("other"), json!("chat"), json!(7))), Some(TokenFault::Issuer));
    assert_eq!(fault(&rules, with(json!(7), json!("chat"), json!(7))), Some(TokenFault::Claim));
    assert_eq!(fault(&rules, with(Value::Null, json!("chat"), json!(7))), Some(TokenFault::Claim));
    assert_eq!(fault(&rules, with(json!("idp"), json!("Chat"), json!(7))), Some(TokenFault::Audience));
    assert_eq!(fault(&rules, with(json!("idp"), json!([]), json!(7))), Some(TokenFault::Audience));
    assert_eq!(fault(&rules, with(json!("idp"), Value::Null, json!(7))), Some(TokenFault::Claim));
    assert_eq!(fault(&rules, with(json!("idp"), json!("chat"), Value::Null)), Some(TokenFault::Claim));
}

#[test]
fn the_kid_chooses_in_a_set() {
    let signers = [rsa(Wished::Rs256, KeySize::Rsa2048), ecdsa(Wished::Es256), ecdsa(Wished::Es256), ed25519()];
    let mut keys: Vec<Value> = signers.iter().map(|signer| signer.jwk.clone()).collect();
    for (key, kid) in keys.iter_mut().zip(["rsa", "one", "two", "ed"]) {
        key["kid"] = kid.into();
    }
    keys[0]["alg"] = "RS256".into();
    keys[3]["use"] = "sig".into();
    keys.push(json!({ "kty": "oct", "kid": "oct", "k": url(SECRET) }));
    keys.push(json!({ "kty": "new", "kid": "new" }));
    let set = json!({ "keys": keys }).to_string();
    let wished = [Wished::Rs256, Wished::Ps256, Wished::Es256, Wished::EdDsa];
    let rules = Rules::new(&wished, Keys::Set, &set);
    let token = |at: usize, kid: Value| {
        let signer: &Signer = &signers[at];
        signer.token_with(&json!({ "alg": signer.name(), "kid": kid }), &claims())
    };
    for (at, kid) in ["rsa", "one", "two", "ed"].iter().enumerate() {
        assert!(rules.check(&token(at, json!(kid))).is_ok(), "{kid}");
    }
    assert_eq!(rules.check(&token(1, json!("two"))).unwrap_err(), TokenFault::Signature);
    for (at, kid) in [(1, json!("three")), (1, json!("ed")), (1, json!(7)), (1, json!("")), (0, json!("oct"))] {
        assert_eq!(rules.check(&token(at, kid)).unwrap_err(), TokenFault::Key);
    }
    // Without a kid there must be no choice: two keys are for ES256, one is for RS256.
    assert_eq!(rules.check(&signers[1].token(&claims())).unwrap_err(), TokenFault::Key);
    assert!(rules.check(&signers[0].token(&claims())).is_ok());
    // The set says that its RSA key is for RS256, whatever else is on the list.
    let head = json!({ "alg": "PS256", "kid": "rsa" });
    assert_eq!(rules.check(&signers[0].token_with(&head, &claims())).unwrap_err(), TokenFault::Algorithm);
}

#[test]
fn files_that_hold_no_key_are_told() {
    let problem = |algorithms: &[Wished], keys, text: &str| Rules::new(algorithms, keys, text).problem();
    let short = problem(&[Wished::Hs256, Wished::Hs384], Keys::Secret, "hunter2\r\n");
    let expected =
        "/key: secret_file: the secret has 7 bytes; allowed: 48 bytes or more, such as `openssl rand -hex 48` gives";
    assert_eq!(short, expected);
    let curve = ecdsa(Wished::Es256);
    let found = problem(&[Wished::Es256, Wished::Es384], Keys::Public, &curve.pem);
    assert!(
        found.starts_with("/key: key_file: the key is not one for ES384; allowed: algorithms among [ES256]"),
        "{found}"
    );
    for (text, wrong) in [
        ("{", "not JSON at line 1"),
        ("[]", "has no list of keys"),
        ("{\"keys\":[]}", "has no key for any of the algorithms"),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "has no key for any of the algorithms"),
    ] {
        let found = problem(&[Wished::Es256], Keys::Set, text);
        assert!(found.starts_with(&format!("/key: jwks_file: {wrong}; allowed: ")), "{found}");
    }
    let twice = json!({ "keys": [curve.jwk, curve.jwk] }).to_string();
    assert!(problem(&[Wished::Es256], Keys::Set, &twice).contains("names two keys \"\""));
    let mut other = curve.jwk.clone();
    other["use"] = "enc".into();
    assert!(problem(&[Wished::Es256], Keys::Set, &json!({ "keys": [other] }).to_string()).contains("has no key"));
    let mut gone = Rules::of(&curve);
    gone.wishes.keys = Keys::Set("/nowhere/keys.json".into());
    assert!(gone.problem().starts_with("/nowhere/keys.json: jwks_file: the file cannot be read: "));
}

#[test]
fn claims_become_headers_only_where_they_fit() {
    let signer = secret(Wished::Hs512);
    let mut rules = Rules::of(&signer);
    rules.wishes.claims = vec![("X-User".to_owned(), "sub".to_owned()), ("X-Roles".to_owned(), "roles".to_owned())];
    let headers = |sub: Value, roles: Value| {
        let judge = rules.judge();
        let token = signer.token(&json!({ "exp": now() + 9, "sub": sub, "roles": roles }));
        let headers = judge.headers(&judge.check(&token).expect("good"))?;
        Ok(headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect())
    };
    let ok = |lines: &[&str]| Ok::<Vec<String>, TokenFault>(lines.iter().map(|line| (*line).to_owned()).collect());
    assert_eq!(headers(json!("anna b"), json!(["a", 7, true])), ok(&["X-User: anna b", "X-Roles: a,7,true"]));
    assert_eq!(headers(json!("Jörg"), Value::Null), ok(&["X-User: Jörg"]));
    assert_eq!(headers(json!(12), json!([])), ok(&["X-User: 12", "X-Roles: "]));
    for sub in
        [json!("a\r\nX-Admin: 1"), json!("a\nb"), json!("a\0"), json!(" root"), json!("root\t"), json!("a\u{85}b")]
    {
        assert_eq!(headers(sub.clone(), Value::Null), Err(TokenFault::Unsafe), "{sub}");
    }
    for roles in [json!(["user,admin"]), json!([""]), json!([["admin"]]), json!(["a", null]), json!({ "a": 1 })] {
        assert_eq!(headers(json!("a"), roles.clone()), Err(TokenFault::Unsafe), "{roles}");
    }
}

#[test]
fn a_request_is_looked_through_for_its_token() {
    let signer = secret(Wished::Hs256);
    let judge = Rules::of(&signer).judge();
    let with =
        |name: HeaderName, value: &str| HeaderMap::from_iter([(name, value.parse::<HeaderValue>().expect("value"))]);
    assert_eq!(judge.judge(&HeaderMap::new(), "/").unwrap_err(), TokenFault::Absent);
    assert!(judge.judge(&with(AUTHORIZATION, &format!("Bearer {}", signer.token(&claims()))), "/").is_ok());
    assert_eq!(judge.judge(&with(AUTHORIZATION, "Bearer x"), "/").unwrap_err(), TokenFault::Malformed);
}
