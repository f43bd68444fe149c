//! Who a client is by its certificate: whose are good, what it is called, and that this still holds when a session is
//! resumed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

use super::certs::{listed, read_roots};
use super::finding::{Findings, Place};
use super::pem::{self, Content};
use crate::config::{ClientCertificates, Problem};

const CRL: &str = "X509 CRL objects of the CAs in client_ca";

/// Whose certificates are good.
#[derive(Debug)]
pub(super) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    material: Material,
}

/// All that the verifier was made of: with the same, what was good stays good until it expires.
#[derive(Debug, PartialEq, Eq)]
struct Material {
    authorities: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    required: bool,
}

/// What a client has proven to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its distinguished name as text (RFC 4514), in visible ASCII: whatever is not is written as `\\XX`.
    pub subject: String,
    /// SHA-256 of its certificate, as 64 hexadecimal digits.
    pub fingerprint: String,
}

impl Clients {
    /// Reads the files; what is wrong with them goes into the findings.
    pub(super) fn read(wishes: &ClientCertificates, findings: &mut Findings) -> Option<Self> {
        let named = |problem: Problem| Problem { key: "tls.client_ca".to_owned(), ..problem };
        let authorities =
            read_roots(&wishes.ca).map_err(|found| findings.problems.extend(found.0.into_iter().map(named)));
        let revoked = match &wishes.crl {
            Some(path) => read_revoked(path, findings)?,
            None => Vec::new(),
        };
        let material = Material { authorities: authorities.ok()?, revoked, required: wishes.required };
        match material.verifier() {
            Ok(verifier) => Some(Self { verifier, material }),
            Err(wrong) => {
                let path = wishes.crl.as_deref().unwrap_or(&wishes.ca);
                let place = Place { path, key: "tls.client_ca" };
                findings.problems.push(place.whole(format!("it cannot be used: {wrong}"), "CAs, and lists of theirs"));
                None
            }
        }
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Whether both find the same certificates good.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.material == other.material
    }

    /// Who this is. On a session that was resumed, `certificates` are those of its first connection, and nobody has looked
    /// at them since: they may have expired, or be revoked by now.
    pub(super) fn identify(
        &self,
        certificates: &[CertificateDer<'static>],
        resumed: bool,
        now: SystemTime,
    ) -> io::Result<Option<Identity>> {
        let refused = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let Some((own, chain)) = certificates.split_first() else {
            let refusal = || refused("the client has no certificate".to_owned());
            return if self.material.required { Err(refusal()) } else { Ok(None) };
        };
        if resumed {
            let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
            let verified = self.verifier.verify_client_cert(own, chain, now);
            verified.map_err(|error| refused(format!("the client's certificate is good no more: {error}")))?;
        }
        Identity::of(own).map(Some).ok_or_else(|| refused("the client's certificate cannot be read".to_owned()))
    }
}

impl Material {
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        if !self.revoked.is_empty() {
            // Of whom no list tells is refused; CAs between the two seldom have lists of their own.
            builder = builder.with_crls(self.revoked.iter().cloned()).only_check_end_entity_revocation();
        }
        if !self.required {
            builder = builder.allow_unauthenticated();
        }
        builder.build().map_err(|error| error.to_string())
    }
}

fn read_revoked(path: &Path, findings: &mut Findings) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let place = Place { path, key: "tls.client_crl" };
    let objects = pem::read(place, findings)?;
    let list = listed(&objects);
    let lists: Vec<_> = objects
        .into_iter()
        .filter_map(|object| match object.content {
            Content::Crl(der) => Some(der),
            _ => None,
        })
        .collect();
    if lists.is_empty() {
        findings.problems.push(place.whole(format!("there is no list in it, only: {list}"), CRL));
        return None;
    }
    Some(lists)
}

impl Identity {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let digest = digest(&SHA256, certificate);
        let fingerprint = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { subject: name(parsed.subject()), fingerprint })
    }
}

/// RFC 4514 §2.1: the last part comes first.
fn name(name: &X509Name<'_>) -> String {
    let part = |part: &RelativeDistinguishedName<'_>| part.iter().map(attribute).collect::<Vec<_>>().join("+");
    let mut parts: Vec<String> = name.iter_rdn().map(part).collect();
    parts.reverse();
    parts.join(",")
}

/// RFC 4514 §2.3 and §2.4: what is no text is written as the bytes of its value.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    match attribute.as_str() {
        Ok(text) => match oid2abbrev(oid, oid_registry()) {
            Ok(known) => format!("{known}={}", escaped(text)),
            Err(_) => format!("{oid}={}", escaped(text)),
        },
        Err(_) => {
            let hex: String = attribute.attr_value().data.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{oid}=#{hex}")
        }
    }
}

/// What has a meaning in a name, and all that is not visible ASCII, so that it fits into a header and a line of a log.
fn escaped(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    let escape = |(at, byte): (usize, u8)| match byte {
        b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => format!("\\{}", char::from(byte)),
        b'#' | b' ' if at == 0 => format!("\\{}", char::from(byte)),
        b' ' if at == last => "\\ ".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:02X}"),
    };
    text.bytes().enumerate().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{DnType, DnValue};

    use super::super::fixture::{Folder, authority, leaf, make, params};
    use super::*;

    fn clients(folder: &Folder, ca: &str, required: bool) -> Clients {
        let ca = folder.write("ca.pem", ca);
        let mut findings = Findings::default();
        let clients = Clients::read(&ClientCertificates { ca, crl: None, required }, &mut findings);
        clients.unwrap_or_else(|| panic!("{:?}", findings.problems))
    }

    #[test]
    fn a_name_is_written_so_that_nobody_can_pose_as_another() {
        let mut params = params("a", &[]);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(" J\u{fc}rgen\n,O=Admin#".to_owned()));
        let made = make(params, None);
        let identity = Identity::of(&made.der).expect("readable");
        assert_eq!(identity.subject, "CN=\\ J\\C3\\BCrgen\\0A\\,O\\=Admin#,O=Acme\\, Inc.");
        assert_eq!(identity.fingerprint.len(), 64);
        assert_eq!((escaped(""), escaped("#"), escaped(" ")), (String::new(), "\\#".to_owned(), "\\ ".to_owned()));
    }

    #[test]
    fn a_session_that_is_resumed_is_looked_at_again() {
        let (folder, ca, other) = (Folder::new(), authority("ca", None), authority("other", None));
        let certificates = vec![leaf(&["client.example"], Some(&ca)).der];
        let (now, years) = (SystemTime::now(), Duration::from_secs(20 * 365 * 24 * 3600));
        let good = clients(&folder, &ca.pem, true);
        assert!(good.identify(&certificates, true, now).is_ok_and(|identity| identity.is_some()));
        let error = good.identify(&certificates, true, now + years).expect_err("expired");
        assert!(error.to_string().contains("good no more"), "{error}");
        let bad = clients(&folder, &other.pem, true);
        bad.identify(&certificates, true, now).expect_err("signed by nobody who is trusted now");
        assert!(!good.is_like(&bad) && good.is_like(&clients(&folder, &ca.pem, true)));
        good.identify(&[], true, now).expect_err("none, from a time when none was needed");
        assert_eq!(clients(&folder, &ca.pem, false).identify(&[], false, now).ok(), Some(None));
    }
}
