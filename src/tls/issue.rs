//! Certificates made here: one for itself at start, or a local CA and leaves signed by it.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::finding::Place;
use super::names::Name;
use crate::config::{Problem, Problems};

/// How long a certificate made at start lives; a reload renews it in its last third.
pub(super) const SELF_SIGNED_DAYS: i64 = 90;
/// From first to last day: macOS and iOS refuse more than 398.
const LEAF_DAYS: u64 = 397;
const AUTHORITY_DAYS: u64 = 3650;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// RFC 5280, appendix A: ub-common-name.
const LONGEST_COMMON_NAME: usize = 64;

/// Why no certificate was made.
#[derive(Debug)]
pub enum IssueError {
    /// Not one name was given.
    NoName,
    /// A name that no certificate can carry.
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file or folder could not be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Files that are there already stand in the way; nothing was overwritten.
    InTheWay {
        /// Which one.
        path: PathBuf,
        /// Why it is neither used nor overwritten.
        why: String,
    },
    /// Files that are there already cannot be used; nothing was overwritten.
    Unusable(Problems),
    /// The certificate could not be made.
    Generate(rcgen::Error),
    /// The system has no random numbers.
    Random,
    /// What was made here cannot be read back.
    Unreadable(String),
}

impl IssueError {
    /// The same, as a finding about a key of the configuration.
    pub(super) fn problem(&self, key: &str) -> Problem {
        let place = Place { path: "configuration".as_ref(), key };
        let mut problem = place.whole(self.to_string(), "host names, wildcards such as *.example.com, IP addresses");
        if let Self::Name { name, .. } = self {
            problem.value = Some(name.clone());
        }
        problem
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("no name was given"),
            Self::Name { name, why } => write!(f, "{name:?} is no name for a certificate: {why}"),
            Self::File { path, .. } => write!(f, "{} cannot be read or written", path.display()),
            Self::InTheWay { path, why } => write!(f, "{} is left as it is: {why}", path.display()),
            Self::Unusable(Problems(problems)) => {
                let each = problems.iter().map(|problem| format!("{}: {}", problem.file, problem.wrong));
                f.write_str(&each.collect::<Vec<_>>().join("; "))
            }
            Self::Generate(_) => f.write_str("the certificate could not be made"),
            Self::Random => f.write_str("the system has no random numbers"),
            Self::Unreadable(why) => write!(f, "what was made cannot be read back: {why}"),
        }
    }
}

impl std::error::Error for IssueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            Self::Generate(error) => Some(error),
            Self::NoName | Self::Name { .. } | Self::InTheWay { .. } => None,
            Self::Unusable(_) | Self::Random | Self::Unreadable(_) => None,
        }
    }
}

impl From<rcgen::Error> for IssueError {
    fn from(error: rcgen::Error) -> Self {
        Self::Generate(error)
    }
}

/// A chain of one certificate, for these names, and its key: ECDSA P-256, no CA, 90 days.
///
/// Browsers do not trust it until the user tells them to; [`make_certificate`](super::make_certificate) makes better
/// ones.
///
/// # Errors
/// A name that no certificate can carry, or no random numbers.
pub(crate) fn self_signed(
    names: &[String],
    now: SystemTime,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IssueError> {
    let key = KeyPair::generate()?;
    let until = now + DAY * u32::try_from(SELF_SIGNED_DAYS).unwrap_or(90);
    let certificate = leaf_params(&parse(names)?, now, until)?.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((vec![certificate.der().clone()], key.into()))
}

/// The names, each once, in the order given.
pub(super) fn parse(names: &[String]) -> Result<Vec<Name>, IssueError> {
    let mut parsed = Vec::new();
    for name in names {
        let one = Name::parse(name).map_err(|why| IssueError::Name { name: name.clone(), why })?;
        if !parsed.contains(&one) {
            parsed.push(one);
        }
    }
    if parsed.is_empty() { Err(IssueError::NoName) } else { Ok(parsed) }
}

/// A leaf for the names with this public key; it lives no longer than its issuer.
pub(super) fn leaf(
    names: &[Name],
    key: &impl PublicKeyData,
    issuer: &Issuer<'_, KeyPair>,
    (now, issuer_until): (SystemTime, SystemTime),
) -> Result<Certificate, IssueError> {
    let until = (yesterday(now) + days(LEAF_DAYS)).min(issuer_until);
    let mut params = leaf_params(names, now, until)?;
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, issuer)?)
}

/// A new CA: its certificate, and its key.
///
/// Its name carries a piece of its key, since browsers get confused by two CAs of one name.
pub(super) fn authority(now: SystemTime) -> Result<(Certificate, KeyPair), IssueError> {
    let key = KeyPair::generate()?;
    let mut params = params(now, now + days(AUTHORITY_DAYS))?;
    let mark: String = params.key_identifier(&key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::OrganizationName, "wsgate");
    params.distinguished_name.push(DnType::CommonName, format!("wsgate local CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok((params.self_signed(&key)?, key))
}

pub(super) fn leaf_params(names: &[Name], now: SystemTime, until: SystemTime) -> Result<CertificateParams, IssueError> {
    let mut params = params(now, until)?;
    params.distinguished_name.push(DnType::OrganizationName, "wsgate");
    let first = names.first().map(ToString::to_string).filter(|first| first.len() <= LONGEST_COMMON_NAME);
    if let Some(first) = first {
        params.distinguished_name.push(DnType::CommonName, first);
    }
    for name in names {
        params.subject_alt_names.push(match name {
            Name::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            Name::Address(address) => SanType::IpAddress(*address),
        });
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// Dates, and a serial number of its own: rcgen's default is made from the key, and Firefox refuses a renewed
/// certificate that has the serial number of the old one.
pub(super) fn params(now: SystemTime, until: SystemTime) -> Result<CertificateParams, IssueError> {
    let mut serial = [0; 16];
    default_provider().secure_random.fill(&mut serial).map_err(|_| IssueError::Random)?;
    // RFC 5280 §4.1.2.2: positive, and not zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = yesterday(now).into();
    params.not_after = until.into();
    Ok(params)
}

/// Clocks of clients differ, and one in the past would refuse what begins now.
fn yesterday(now: SystemTime) -> SystemTime {
    now - DAY
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY.as_secs())
}

#[cfg(test)]
mod tests {
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
        let expected =
            "\"https://b\" is no name for a certificate: only the host of a URL, without scheme, port and path";
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
}
