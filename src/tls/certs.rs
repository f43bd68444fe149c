//! PEM files in, checked pairs of certificate chain and private key out.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, RootCertStore, SignatureAlgorithm};

use super::chain::{self, Certificate, date};
use super::finding::{Findings, Place};
use super::pem::{self, Content, Object};
use crate::config::{CertificateFiles, Problem, Problems};

const CHAIN: &str = "the leaf certificate first, then each one's issuer";
const KEY: &str = "exactly one private key, without a passphrase (PKCS#8, PKCS#1 or SEC1)";
const KEY_TYPES: &str = "RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, Ed25519";
/// In the subject of the certificate that comes with the source; its private key is known to the world.
const EXAMPLE: &str = "wsgate example, its key is public";
const DAY: i64 = 24 * 60 * 60;

/// A chain and its key, fit to be served.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// DNS names (also `*.…`) and addresses that the leaf is good for, lower case.
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    /// Where it came from, as logs name it.
    pub(super) source: String,
}

impl Pair {
    /// Whether clients are shown the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// The leaf's kind of key.
    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.certified.key.algorithm()
    }
}

/// Reads one pair; `key` is what the configuration calls it, `now` is in seconds since 1970.
pub(super) fn load(files: &CertificateFiles, key: &str, now: i64, findings: &mut Findings) -> Option<Pair> {
    let (chain_key, key_key) = (format!("{key}.chain"), format!("{key}.key"));
    let chain_place = Place { path: &files.chain, key: &chain_key };
    let key_place = Place { path: &files.key, key: &key_key };
    let before = findings.problems.len();

    let chain = pem::read(chain_place, findings).and_then(|objects| certificates(&objects, chain_place, findings));
    let private = pem::read(key_place, findings).and_then(|objects| private_key(objects, key_place, findings));
    let signing = private.and_then(|(line, private)| {
        let signing = default_provider().key_provider.load_private_key(private).ok();
        if signing.is_none() {
            let kind =
                chain.as_ref().map_or(String::new(), |chain| format!(" (the certificate says {})", chain[0].key_type));
            let wrong = format!("this key is of no kind that can be used{kind}");
            findings.problems.push(key_place.at(line, wrong, KEY_TYPES));
        }
        signing
    });
    let chain = chain?;
    let ordered = check_key(&chain, signing.as_ref(), (chain_place, key_place), findings);
    if ordered {
        check_order(&chain, chain_place, findings);
        check_leaf(&chain, chain_place, now, findings);
        check_issuers(&chain, chain_place, now, findings);
        check_secrecy(&chain[0], key_place, findings);
    }
    let leaf = &chain[0];
    let (names, not_after) = (leaf.names.clone(), leaf.not_after);
    let certified = Arc::new(CertifiedKey::new(chain.iter().map(|one| one.der.clone()).collect(), signing?));
    let source = files.chain.display().to_string();
    (findings.problems.len() == before).then_some(Pair { certified, names, not_after, source })
}

/// The CAs of a file, which the certificates of `wss://` backends are checked against.
///
/// # Errors
/// Every reason why the file cannot be used.
pub(crate) fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problems> {
    let mut findings = Findings::default();
    let place = Place { path, key: "ca" };
    let roots = pem::read(place, &mut findings).and_then(|objects| certificates(&objects, place, &mut findings));
    let roots = roots.unwrap_or_default();
    for root in &roots {
        if let Err(error) = RootCertStore::empty().add(root.der.clone()) {
            let wrong = format!("certificate {} ({}) cannot be trusted: {error}", root.number, root.subject);
            findings.problems.push(place.at(root.line, wrong, "certificates of CAs"));
        }
    }
    if findings.problems.is_empty() {
        return Ok(roots.into_iter().map(|root| root.der).collect());
    }
    Err(Problems(findings.problems))
}

/// The certificates among the objects, at least one, each understood; `None` when something is wrong with them.
pub(super) fn certificates(objects: &[Object], place: Place<'_>, findings: &mut Findings) -> Option<Vec<Certificate>> {
    let before = findings.problems.len();
    let mut certificates = Vec::new();
    let ders = objects.iter().filter_map(|object| match &object.content {
        Content::Certificate(der) => Some((object.line, der)),
        _ => None,
    });
    for (at, (line, der)) in ders.enumerate() {
        match Certificate::parse(der, at + 1, line) {
            Ok(certificate) => certificates.push(certificate),
            Err(error) => {
                let wrong = format!("certificate {} cannot be understood: {error}", at + 1);
                findings.problems.push(place.at(line, wrong, "X.509 certificates"));
            }
        }
    }
    if findings.problems.len() > before {
        return None;
    }
    if certificates.is_empty() {
        let wrong = format!("there is no certificate in it, only: {}", listed(objects));
        findings.problems.push(place.whole(wrong, "CERTIFICATE objects"));
        return None;
    }
    Some(certificates)
}

/// The only private key among the objects and its line; `None` when there is none or more than one.
pub(super) fn private_key(
    objects: Vec<Object>,
    place: Place<'_>,
    findings: &mut Findings,
) -> Option<(usize, PrivateKeyDer<'static>)> {
    let list = listed(&objects);
    let is_key = |object: &Object| matches!(object.content, Content::Key(_) | Content::EncryptedKey);
    let mut keys = objects.into_iter().filter(is_key);
    let problem = match (keys.next(), keys.next()) {
        (Some(Object { line, content: Content::Key(key) }), None) => return Some((line, key)),
        (Some(Object { line, .. }), None) => place.at(
            line,
            "the private key is encrypted, and nobody is there to type its passphrase",
            "a key without one, mode 0600: `openssl pkey -in FILE -out FILE.plain`",
        ),
        (Some(first), Some(second)) => {
            let wrong = format!("there is a second private key (the first is on line {})", first.line);
            place.at(second.line, wrong, KEY)
        }
        (None, _) => place.whole(format!("there is no private key in it, only: {list}"), KEY),
    };
    findings.problems.push(problem);
    None
}

/// What a file holds, for people who gave the wrong one.
pub(super) fn listed(objects: &[Object]) -> String {
    let name = |object: &Object| match &object.content {
        Content::Certificate(_) => format!("CERTIFICATE (line {})", object.line),
        Content::Key(_) => format!("PRIVATE KEY (line {})", object.line),
        Content::EncryptedKey => format!("ENCRYPTED PRIVATE KEY (line {})", object.line),
        Content::PublicKey(_) => format!("PUBLIC KEY (line {})", object.line),
        Content::Crl(_) => format!("X509 CRL (line {})", object.line),
        Content::Other(label) => format!("{label} (line {})", object.line),
    };
    objects.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Whether the first certificate is meant as the leaf: not so when the key is that of a later one.
fn check_key(
    chain: &[Certificate],
    key: Option<&Arc<dyn SigningKey>>,
    (chain_place, key_place): (Place<'_>, Place<'_>),
    findings: &mut Findings,
) -> bool {
    let leaf = &chain[0];
    let Some(key) = key else { return true };
    if !leaf.version_3 {
        // rustls would only say "unsupported version"; `check_leaf` says more.
        return true;
    }
    let error = match CertifiedKey::new(vec![leaf.der.clone()], key.clone()).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => return true,
        Err(error) => error,
    };
    let public = key.public_key();
    let owner = chain.iter().find(|one| public.as_ref().is_some_and(|public| public.as_ref() == one.public_key));
    let problem = match owner {
        Some(owner) => {
            let wrong = format!("the private key is that of certificate {} ({})", owner.number, owner.subject);
            chain_place.at(owner.line, format!("{wrong}, which must therefore come first"), CHAIN)
        }
        None if matches!(error, rustls::Error::InconsistentKeys(_)) => key_place.whole(
            format!("the key is not that of the leaf certificate ({}, {})", leaf.subject, chain_place.path.display()),
            format!("the {} key whose public half is in that certificate", leaf.key_type),
        ),
        None => chain_place.at(leaf.line, format!("the leaf certificate cannot be used: {error}"), CHAIN),
    };
    findings.problems.push(problem);
    owner.is_none()
}

fn check_order(chain: &[Certificate], place: Place<'_>, findings: &mut Findings) {
    for (certificate, wrong) in chain::misplaced(chain) {
        findings.problems.push(place.at(certificate.line, wrong, CHAIN));
    }
    let leaf = &chain[0];
    if chain.len() == 1 && leaf.issuer_elsewhere && !leaf.is_self_signed() {
        let wrong =
            format!("the certificate of its issuer ({}) is missing: many clients cannot do without", leaf.issuer);
        findings.warnings.push(place.whole(wrong, "the full chain (certbot calls it fullchain.pem)"));
    }
}

fn check_leaf(chain: &[Certificate], place: Place<'_>, now: i64, findings: &mut Findings) {
    let leaf = &chain[0];
    let mut problem = |wrong: String, allowed: &str| findings.problems.push(place.at(leaf.line, wrong, allowed));
    if !leaf.version_3 {
        let wrong = "an X.509 certificate of version 1, as `openssl x509 -req` makes it, which TLS clients refuse";
        problem(wrong.to_owned(), "version 3: add `-extfile` with subjectAltName and basicConstraints");
    }
    if leaf.not_after < now {
        problem(format!("the certificate ({}) expired on {}", leaf.subject, date(leaf.not_after)), "a renewed one");
    } else if leaf.not_before > now {
        let wrong = format!("the certificate ({}) is not valid before {}", leaf.subject, date(leaf.not_before));
        problem(wrong, "one that is valid already, and a clock that is right");
    }
    warn_of_leaf(leaf, place, now, findings);
}

/// What some clients accept and others do not.
fn warn_of_leaf(leaf: &Certificate, place: Place<'_>, now: i64, findings: &mut Findings) {
    let mut warn = |wrong: &str, allowed: &str| findings.warnings.push(place.at(leaf.line, wrong, allowed));
    if leaf.authority {
        warn(
            "the leaf is a CA certificate, as plain `openssl req -x509` makes it: rustls clients refuse it",
            "basicConstraints=CA:FALSE: `openssl req -x509 -addext basicConstraints=critical,CA:FALSE …`",
        );
    }
    if leaf.names.is_empty() {
        warn(
            "the certificate has no names (subjectAltName): browsers refuse it, since they ignore the common name",
            "subjectAltName, such as `-addext subjectAltName=DNS:example.com`",
        );
    }
    if !leaf.for_servers {
        warn("its extended key usage does not include servers", "extendedKeyUsage=serverAuth");
    }
    if leaf.key_type == "Ed25519" {
        warn("browsers do not know Ed25519", "a pair with an ECDSA or RSA key for the same names, besides this one");
    }
    let remaining = leaf.not_after - now;
    if (0..(14 * DAY).min((leaf.not_after - leaf.not_before) / 10)).contains(&remaining) {
        warn(&format!("the certificate expires soon, on {}", date(leaf.not_after)), "a renewed one");
    }
}

fn check_issuers(chain: &[Certificate], place: Place<'_>, now: i64, findings: &mut Findings) {
    for issuer in chain[1..].iter().filter(|issuer| issuer.not_after < now || issuer.not_before > now) {
        let Certificate { number, subject, not_before, not_after, .. } = issuer;
        let span = format!("from {} to {}", date(*not_before), date(*not_after));
        let wrong = format!("certificate {number} ({subject}) is valid only {span}");
        findings.warnings.push(place.at(issuer.line, wrong, "an issuer that is valid now"));
    }
}

/// Who else can read the key. A group may be on purpose (Debian's `ssl-cert`), everyone cannot.
fn check_secrecy(leaf: &Certificate, place: Place<'_>, findings: &mut Findings) {
    let warning = if leaf.subject.contains(EXAMPLE) {
        (
            "the example certificate: everyone has its private key",
            "it is for a laptop only; see `wsgate cert`".to_owned(),
        )
    } else if is_open_to_everyone(place.path) {
        ("every user of this machine may read the private key", format!("`chmod 600 {}`", place.path.display()))
    } else {
        return;
    };
    let problem: Problem = place.whole(warning.0, warning.1);
    findings.warnings.push(problem);
}

#[cfg(unix)]
fn is_open_to_everyone(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open_to_everyone(path: &Path) -> bool {
    let _ = fs::metadata(path);
    false
}

#[cfg(test)]
mod tests;
