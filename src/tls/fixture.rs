//! Certificates for tests, made on the spot, and handshakes in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    SignatureAlgorithm,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::finding::Findings;
use super::{certs, seconds};
use crate::config::{CertificateFiles, Problem};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate that can sign others, or a leaf, with its key.
pub(super) struct Made {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) key: KeyPair,
    params: CertificateParams,
}

impl Made {
    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The same subject and key under another issuer.
    pub(super) fn signed_again_by(&self, issuer: &Self) -> Self {
        let key = KeyPair::try_from(self.key.serialize_der()).expect("key");
        let certificate = self.params.signed_by(&key, &issuer.issuer()).expect("certificate");
        Self { der: certificate.der().clone(), pem: certificate.pem(), key, params: self.params.clone() }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

pub(super) fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 300 * DAY).into();
    params
}

pub(super) fn make(params: CertificateParams, issuer: Option<&Made>) -> Made {
    make_with(params, issuer, &PKCS_ECDSA_P256_SHA256)
}

pub(super) fn make_with(
    mut params: CertificateParams,
    issuer: Option<&Made>,
    algorithm: &'static SignatureAlgorithm,
) -> Made {
    let key = KeyPair::generate_for(algorithm).expect("key");
    params.use_authority_key_identifier_extension = issuer.is_some();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, &issuer.issuer()),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("certificate");
    Made { der: certificate.der().clone(), pem: certificate.pem(), key, params }
}

pub(super) fn authority(common_name: &str, issuer: Option<&Made>) -> Made {
    let mut params = params(common_name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    make(params, issuer)
}

pub(super) fn leaf(names: &[&str], issuer: Option<&Made>) -> Made {
    make(params(names[0], names), issuer)
}

/// A folder with files, gone at the end of the test.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(TempDir::new().expect("folder"))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("write");
        chmod(&path, 0o600);
        path
    }

    /// `NAME.pem` and `NAME.key`.
    pub(super) fn pair(&self, name: &str, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> CertificateFiles {
        let chain = self.write(&format!("{name}.pem"), chain);
        CertificateFiles { chain, key: self.write(&format!("{name}.key"), key) }
    }

    pub(super) fn made(&self, name: &str, made: &Made) -> CertificateFiles {
        self.pair(name, &made.pem, made.key_pem())
    }
}

#[cfg(unix)]
pub(super) fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}

/// What is found in one pair of files.
pub(super) fn examine(files: &CertificateFiles) -> (Option<certs::Pair>, Findings) {
    let mut findings = Findings::default();
    let pair = certs::load(files, "tls.certificates[0]", seconds(SystemTime::now()), &mut findings);
    (pair, findings)
}

/// One line for each finding: file name, line, what is wrong.
pub(super) fn said(findings: &[Problem]) -> Vec<String> {
    let line = |problem: &Problem| {
        assert!(!problem.allowed.is_empty(), "{problem:?}");
        let file = problem.file.rsplit('/').next().unwrap_or_default();
        let at = problem.line.map_or(String::new(), |line| format!(":{line}"));
        format!("{file}{at}: {}", problem.wrong)
    };
    findings.iter().map(line).collect()
}

pub(super) fn client(roots: &[&Made], versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.der.clone()).expect("root");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions");
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// Both ends, shaken hands with and with every ticket delivered; the error is the server's where it has one.
pub(super) fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let mut server = ServerConnection::new(server)?;
    let mut client = ClientConnection::new(client, ServerName::try_from(name.to_owned()).expect("name"))?;
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("memory");
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets()?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("memory");
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets()?;
        }
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok((server, client))
}
