//! The certificate that a CA has made by itself: read from where it is kept, and put in the place of the one before.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;

use super::certs::{self, Pair};
use super::chain::{Certificate, date};
use super::challenge::Challenges;
use super::finding::{Findings, Place};
use super::issue::{IssueError, leaf_params, parse};
use super::pem;
use super::sni::Table;
use super::{Acceptor, Pairs, seconds};
use crate::config::{Acme, CertificateFiles, Problem, Problems};

/// The leaf of a chain, DER.
pub(crate) type Leaf = CertificateDer<'static>;

/// What there is to know of a certificate that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// The leaf itself.
    pub leaf: Leaf,
    /// DNS names, lower case.
    pub names: Vec<String>,
    /// When it begins to be good.
    pub not_before: SystemTime,
    /// When clients begin to refuse it.
    pub not_after: SystemTime,
}

/// A certificate that is good now.
pub(super) fn read(file: &Path, now: SystemTime) -> Result<(Pair, Vec<Problem>), Problems> {
    let mut findings = Findings::default();
    let files = CertificateFiles { chain: file.to_owned(), key: file.to_owned() };
    match certs::load(&files, "tls.acme", seconds(now), &mut findings) {
        Some(pair) => Ok((pair, findings.warnings)),
        None => Err(Problems(findings.problems)),
    }
}

/// What is kept for these wishes, or what was served before them until there is. One that cannot be used is told of, and
/// stops nobody: another will be ordered.
pub(super) fn kept(acme: &Acme, now: SystemTime, before: &Pairs, warnings: &mut Vec<Problem>) -> Option<Pair> {
    let file = acme.file();
    if !file.exists() {
        return before.issued.clone();
    }
    match read(&file, now) {
        Ok((pair, more)) => {
            warnings.extend(more);
            Some(pair)
        }
        Err(problems) => {
            warnings.extend(problems.0);
            before.issued.clone()
        }
    }
}

/// What is kept in this file, without serving it.
///
/// # Errors
/// Every reason why it could not be served.
pub(crate) fn examine(file: &Path, now: SystemTime) -> Result<Issued, Problems> {
    describe(&read(file, now)?.0)
}

/// Why what is kept in this file could never be served; that it has ended is no reason.
pub(crate) fn flaw(file: &Path) -> Option<String> {
    let (mut findings, place) = (Findings::default(), Place { path: file, key: "tls.acme" });
    let objects = pem::read(place, &mut findings);
    let chain = objects.and_then(|objects| certs::certificates(&objects, place, &mut findings)).unwrap_or_default();
    if let Some(leaf) = chain.first() {
        let files = CertificateFiles { chain: file.to_owned(), key: file.to_owned() };
        certs::load(&files, place.key, leaf.not_before, &mut findings);
    }
    findings.problems.into_iter().next().map(|problem| problem.wrong)
}

/// A time as people read it.
pub(crate) fn told(time: SystemTime) -> String {
    date(seconds(time))
}

fn describe(pair: &Pair) -> Result<Issued, Problems> {
    let leaf = pair.certified.cert[0].clone();
    let unreadable = |error: String| Problems::from(Problem::new(pair.source.as_str(), "tls.acme", error));
    let read = Certificate::parse(&leaf, 1, 1).map_err(unreadable)?;
    let time = |seconds| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let (not_before, not_after) = (time(read.not_before), time(read.not_after));
    Ok(Issued { leaf, names: pair.names.clone(), not_before, not_after })
}

impl Acceptor {
    /// Serves what is kept in this file, from the next handshake on, and says what it is.
    ///
    /// # Errors
    /// Every reason why it cannot be served; then everything is as before.
    pub(crate) fn take_up(&self, file: &Path, now: SystemTime) -> Result<Issued, Problems> {
        let (pair, _) = read(file, now)?;
        let issued = describe(&pair)?;
        let mut current = self.pairs.lock();
        current.issued = Some(pair);
        self.resolver.swap(Table::new(&current.all(), &current.awaited));
        Ok(issued)
    }

    /// What CAs are told while they look whether a name leads here.
    #[must_use]
    pub(crate) fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }
}

/// A request to certify these names (RFC 2986, DER), and its new key (PEM).
///
/// # Errors
/// A name that no certificate can carry, or no random numbers.
pub(crate) fn request(names: &[String], now: SystemTime) -> Result<(Vec<u8>, String), IssueError> {
    let key = KeyPair::generate()?;
    let mut params = leaf_params(&parse(names)?, now, now)?;
    // The CA says what it certifies; what it may not be asked for here it would refuse.
    params.serial_number = None;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = rcgen::IsCa::NoCa;
    params.key_usages = Vec::new();
    params.extended_key_usages = Vec::new();
    let request = params.serialize_request(&key)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}
