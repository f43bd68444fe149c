//! One certificate as far as a server needs to understand it, and the law of a chain: leaf first, then who issued it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer, X509Version};
use x509_parser::x509::SubjectPublicKeyInfo;

/// What a certificate says, read once.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    /// Its place among the certificates of its file, counted from 1.
    pub(super) number: usize,
    /// The line where it begins.
    pub(super) line: usize,
    pub(super) der: CertificateDer<'static>,
    /// Common name, or the whole subject when it has none.
    pub(super) subject: String,
    /// The same of its issuer.
    pub(super) issuer: String,
    /// SubjectPublicKeyInfo, DER.
    pub(super) public_key: Vec<u8>,
    /// Such as `RSA 2048` or `ECDSA P-256`.
    pub(super) key_type: String,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    /// Names and addresses of the SubjectAltName, lower case.
    pub(super) names: Vec<String>,
    pub(super) version_3: bool,
    pub(super) authority: bool,
    /// Its extended key usage, when it has one, includes servers.
    pub(super) for_servers: bool,
    /// It says where its issuer's certificate can be had, as those of public CAs do.
    pub(super) issuer_elsewhere: bool,
    names_raw: [Vec<u8>; 2],
}

impl Certificate {
    /// Reads a certificate; the error says what is wrong with it.
    pub(super) fn parse(der: &CertificateDer<'static>, number: usize, line: usize) -> Result<Self, String> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow it", rest.len()));
        }
        let name = |name: &x509_parser::x509::X509Name<'_>| {
            let common = name.iter_common_name().next().and_then(|common| common.as_str().ok());
            common.map_or_else(|| name.to_string(), str::to_owned)
        };
        let usage = parsed.extended_key_usage().map_err(|error| error.to_string())?;
        Ok(Self {
            number,
            line,
            der: der.clone(),
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            public_key: parsed.public_key().raw.to_vec(),
            key_type: key_type(parsed.public_key()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            names: names(&parsed)?,
            version_3: parsed.version() == X509Version::V3,
            authority: parsed.is_ca(),
            for_servers: usage.is_none_or(|usage| usage.value.any || usage.value.server_auth),
            issuer_elsewhere: parsed
                .extensions()
                .iter()
                .any(|extension| matches!(extension.parsed_extension(), ParsedExtension::AuthorityInfoAccess(_))),
            names_raw: [parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec()],
        })
    }

    /// Whether it is its own issuer.
    pub(super) fn is_self_signed(&self) -> bool {
        self.names_raw[0] == self.names_raw[1]
    }

    /// Whether this one's key signed that one. Names alone would not do: a CA that was made anew keeps its name.
    pub(super) fn issued(&self, child: &Self) -> bool {
        self.names_raw[0] == child.names_raw[1] && self.signed(child).unwrap_or(true)
    }

    /// `None` when the algorithm is not one that can be checked here.
    fn signed(&self, child: &Self) -> Option<bool> {
        let (_, issuer) = X509Certificate::from_der(&self.der).ok()?;
        let (_, child) = X509Certificate::from_der(&child.der).ok()?;
        match child.verify_signature(Some(issuer.public_key())) {
            Ok(()) => Some(true),
            Err(X509Error::SignatureVerificationError) => Some(false),
            Err(_) => None,
        }
    }
}

fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let Some(extension) = certificate.subject_alternative_name().map_err(|error| error.to_string())? else {
        return Ok(Vec::new());
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    Ok(extension.value.general_names.iter().filter_map(name).collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).into());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).into())).ok()
}

fn key_type(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &key.algorithm.algorithm;
    let bits = key.parsed().map_or(0, |key| key.key_size());
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return format!("RSA {bits}");
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let known = [(OID_EC_P256, "P-256"), (OID_NIST_EC_P384, "P-384"), (OID_NIST_EC_P521, "P-521")];
        let name = known.iter().find(|(oid, _)| curve.as_ref() == Some(oid)).map(|(_, name)| (*name).to_owned());
        return format!("ECDSA {}", name.or(curve.map(|curve| curve.to_string())).unwrap_or_default());
    }
    match algorithm {
        oid if *oid == OID_SIG_ED25519 => "Ed25519".to_owned(),
        oid if *oid == OID_KEY_TYPE_DSA => "DSA".to_owned(),
        oid if *oid == OID_PKCS1_RSASSAPSS => "RSA-PSS".to_owned(),
        other => other.to_string(),
    }
}

/// Every certificate that stands in the wrong place (RFC 5246 §7.4.2), and what should be done with it.
///
/// The leaf comes first; each one after it must have issued one above it. That lets a chain carry two signatures of the
/// same intermediate (cross-signed), as RFC 8446 §4.4.2 allows.
pub(super) fn misplaced(chain: &[Certificate]) -> Vec<(&Certificate, String)> {
    let stray = |(at, certificate): (usize, &Certificate)| {
        let (above, below) = (&chain[..at], &chain[at + 1..]);
        if above.iter().any(|child| certificate.issued(child)) {
            return None;
        }
        Some(advice(certificate, above, below))
    };
    let wrong = chain.iter().enumerate().skip(1);
    wrong.filter_map(|(at, certificate)| stray((at, certificate)).map(|advice| (certificate, advice))).collect()
}

fn advice(certificate: &Certificate, above: &[Certificate], below: &[Certificate]) -> String {
    let Certificate { number, subject, .. } = certificate;
    if let Some(twin) = above.iter().find(|twin| twin.der == certificate.der) {
        return format!("certificate {number} ({subject}) repeats certificate {}: remove it", twin.number);
    }
    if let Some(child) = below.iter().find(|child| certificate.issued(child)) {
        let child = format!("certificate {} ({}, line {})", child.number, child.subject, child.line);
        return format!("certificate {number} ({subject}) must come after {child}, which it issued");
    }
    let namesake = above.iter().find(|child| child.names_raw[1] == certificate.names_raw[0]);
    if let Some(child) = namesake {
        let child = format!("certificate {} ({})", child.number, child.subject);
        return format!(
            "certificate {number} ({subject}) bears the name of {child}'s issuer, but its key did not sign it"
        );
    }
    let last = above.last().map_or("", |last| &last.issuer);
    format!("certificate {number} ({subject}) issued none of those above it; wanted here: {last}")
}

/// A time as people read it.
pub(super) fn date(seconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(format).ok()).unwrap_or_else(|| format!("{seconds} seconds after 1970"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, IsCa};

    use super::super::fixture::{Made, authority, leaf, make, params};
    use super::*;

    fn chain(made: &[&Made]) -> Vec<Certificate> {
        let parse =
            |(at, made): (usize, &&Made)| Certificate::parse(&made.der, at + 1, at * 10 + 1).expect("certificate");
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
        assert!(
            certificate.version_3 && certificate.for_servers && !certificate.authority && certificate.is_self_signed()
        );
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
        assert!(
            !with(&|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]).for_servers
        );
        assert!(with(&|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Any]).for_servers);
        assert!(with(&|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)).authority);
        assert!(!with(&|params| params.is_ca = IsCa::NoCa).authority);
    }

    #[test]
    fn dates_are_readable() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(i64::MAX), format!("{} seconds after 1970", i64::MAX));
    }
}
