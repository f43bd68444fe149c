//! `wsgate cert`: a folder with a local CA, made once, and leaves signed by it. A key file is never overwritten.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{Issuer, KeyPair, PublicKeyData};

use super::chain::{Certificate, date};
use super::finding::{Findings, Place};
use super::issue::{self, IssueError};
use super::names::Name;
use super::{certs, pem, seconds};
use crate::config::Problems;

const AUTHORITY: &str = "wsgate-ca";

/// What was made, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The certificate of the CA, for browsers and other clients to trust.
    pub authority: PathBuf,
    /// The leaf's chain: the leaf alone, since whoever trusts the CA has its certificate.
    pub chain: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// The files that were written, in that order; the others were there and are as they were.
    pub written: Vec<PathBuf>,
    /// The names in the leaf.
    pub names: Vec<String>,
    /// When the leaf expires.
    pub not_after: SystemTime,
}

/// Makes a certificate for the names in the folder, signed by the folder's own CA, which is made too if there is none.
///
/// Files: `wsgate-ca.pem`, `wsgate-ca.key`, and `NAME.pem`, `NAME.key` after the first name. Run again, it renews
/// `NAME.pem` for the key that is there, provided that this CA signed the old one. No key is ever overwritten: whatever
/// else stands in the way is left as it is, and said.
///
/// # Errors
/// A name that no certificate can carry, files in the way, or a folder that cannot be written.
pub fn make_certificate(out: &Path, names: &[String]) -> Result<Made, IssueError> {
    make_at(out, names, SystemTime::now())
}

fn make_at(out: &Path, names: &[String], now: SystemTime) -> Result<Made, IssueError> {
    let names = issue::parse(names)?;
    let files = Files::new(out, &stem(&names));
    fs::create_dir_all(out).map_err(|error| IssueError::File { path: out.to_owned(), error })?;
    let mut written = Vec::new();

    // What is in the way of the leaf is found before a CA is made for nothing.
    let leaf = files.read()?;
    let authority_files = Files::new(out, AUTHORITY);
    let authority = match authority_files.read()? {
        Some(authority) => Authority::reuse(authority, &authority_files, now)?,
        None if leaf.is_some() => return Err(files.not_ours("there is no CA in the folder that could renew it")),
        None => Authority::make(&authority_files, now, &mut written)?,
    };
    let renewed = match leaf {
        Some((old, key)) if authority.certificate.issued(&old) && !old.authority => Some(key),
        Some(_) => return Err(files.not_ours("the CA in the folder did not sign it")),
        None => None,
    };
    let until = UNIX_EPOCH + Duration::from_secs(u64::try_from(authority.certificate.not_after).unwrap_or(0));
    let sign = |key: &KeyPair| issue::leaf(&names, key, &authority.issuer, (now, until));
    let certificate = if let Some(key) = renewed {
        let certificate = sign(&key)?;
        replace(&files.chain, &certificate.pem())?;
        certificate
    } else {
        let key = KeyPair::generate()?;
        let certificate = sign(&key)?;
        files.write(&certificate, &key)?;
        written.push(files.key.clone());
        certificate
    };
    written.push(files.chain.clone());
    let not_after = Certificate::parse(certificate.der(), 1, 1).map_err(IssueError::Unreadable)?.not_after;
    let not_after = UNIX_EPOCH + Duration::from_secs(u64::try_from(not_after).unwrap_or(0));
    let names = names.iter().map(ToString::to_string).collect();
    Ok(Made { authority: authority_files.chain, chain: files.chain, key: files.key, written, names, not_after })
}

/// What the leaf's files are called; the CA's own name is taken.
fn stem(names: &[Name]) -> String {
    let stem = names.first().map(Name::stem).unwrap_or_default();
    if stem == AUTHORITY { format!("_{stem}") } else { stem }
}

/// The CA of a folder.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn make(files: &Files, now: SystemTime, written: &mut Vec<PathBuf>) -> Result<Self, IssueError> {
        let (certificate, key) = issue::authority(now)?;
        files.write(&certificate, &key)?;
        written.extend([files.key.clone(), files.chain.clone()]);
        let certificate = Certificate::parse(certificate.der(), 1, 1).map_err(IssueError::Unreadable)?;
        Ok(Self { issuer: Issuer::from_ca_cert_der(&certificate.der, key)?, certificate })
    }

    fn reuse((certificate, key): (Certificate, KeyPair), files: &Files, now: SystemTime) -> Result<Self, IssueError> {
        if !certificate.authority {
            return Err(files.not_ours("it is no CA certificate"));
        }
        if certificate.not_after <= seconds(now) {
            let why = format!(
                "it expired on {}; move it and its key away, and trust the new one",
                date(certificate.not_after)
            );
            return Err(files.not_ours(&why));
        }
        Ok(Self { issuer: Issuer::from_ca_cert_der(&certificate.der, key)?, certificate })
    }
}

/// A certificate and its key, side by side.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(out: &Path, stem: &str) -> Self {
        Self { chain: out.join(format!("{stem}.pem")), key: out.join(format!("{stem}.key")) }
    }

    /// Both, when both are there and belong together; `None` when neither is there.
    fn read(&self) -> Result<Option<(Certificate, KeyPair)>, IssueError> {
        let there = |path: &Path| fs::symlink_metadata(path).is_ok();
        match (there(&self.chain), there(&self.key)) {
            (false, false) => return Ok(None),
            (true, true) => {}
            (true, false) => return Err(self.not_ours("its key is not beside it")),
            (false, true) => {
                let why = "its certificate is not beside it, and a key is never overwritten".to_owned();
                return Err(IssueError::InTheWay { path: self.key.clone(), why });
            }
        }
        let mut findings = Findings::default();
        let chain = Place { path: &self.chain, key: "chain" };
        let key = Place { path: &self.key, key: "key" };
        let certificates =
            pem::read(chain, &mut findings).and_then(|objects| certs::certificates(&objects, chain, &mut findings));
        let private = pem::read(key, &mut findings).and_then(|objects| certs::private_key(objects, key, &mut findings));
        let (Some(certificates), Some((_, private))) = (certificates, private) else {
            return Err(IssueError::Unusable(Problems(findings.problems)));
        };
        let key = KeyPair::try_from(&private)?;
        match certificates.into_iter().next() {
            Some(leaf) if leaf.public_key == key.subject_public_key_info() => Ok(Some((leaf, key))),
            _ => Err(self.not_ours("the key beside it is another one's")),
        }
    }

    fn not_ours(&self, why: &str) -> IssueError {
        IssueError::InTheWay { path: self.chain.clone(), why: why.to_owned() }
    }

    /// The key first: a certificate without its key is of no use.
    fn write(&self, certificate: &rcgen::Certificate, key: &KeyPair) -> Result<(), IssueError> {
        create(&self.key, &key.serialize_pem(), 0o600)?;
        create(&self.chain, &certificate.pem(), 0o644)
    }
}

/// Writes a file that is not there yet.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), IssueError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_mode(&mut options, mode);
    let written =
        options.open(path).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| IssueError::File { path: path.to_owned(), error })
}

/// Writes a certificate in place of another, so that whoever reads it meanwhile gets one or the other, whole.
fn replace(path: &Path, text: &str) -> Result<(), IssueError> {
    let fresh = path.with_extension("pem.new");
    let _ = fs::remove_file(&fresh);
    create(&fresh, text, 0o644)?;
    fs::rename(&fresh, path).map_err(|error| IssueError::File { path: path.to_owned(), error })
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(mode);
}

#[cfg(not(unix))]
fn set_mode(_options: &mut OpenOptions, _mode: u32) {}

#[cfg(test)]
mod tests;
