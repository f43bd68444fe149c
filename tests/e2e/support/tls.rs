//! Certificates made on the spot, and clients that trust them and can be asked what was agreed on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::within;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Both versions, the newer first.
pub const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// A certificate with its key: an authority or a leaf.
pub struct Made {
    pub der: CertificateDer<'static>,
    pub pem: String,
    pub key: KeyPair,
    params: CertificateParams,
}

impl Made {
    /// Signs others.
    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// What goes into a certificate, valid from yesterday for 300 days.
pub fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
    params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("authority"));
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 300 * DAY).into();
    params
}

/// A certificate with these contents and this kind of key, signed by the issuer or itself.
pub fn make(params: CertificateParams, kind: &'static SignatureAlgorithm, issuer: Option<&Made>) -> Made {
    let key = KeyPair::generate_for(kind).expect("key");
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("certificate");
    Made { der: certificate.der().clone(), pem: certificate.pem(), key, params }
}

/// An authority of this name.
pub fn authority(name: &str, issuer: Option<&Made>) -> Made {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    make(params, &PKCS_ECDSA_P256_SHA256, issuer)
}

/// An ECDSA leaf.
pub fn leaf(names: &[&str], issuer: Option<&Made>) -> Made {
    make(params(names), &PKCS_ECDSA_P256_SHA256, issuer)
}

/// The same names, expired yesterday.
pub fn expired(names: &[&str], issuer: Option<&Made>) -> Made {
    let mut params = params(names);
    params.not_before = (SystemTime::now() - 30 * DAY).into();
    params.not_after = (SystemTime::now() - DAY).into();
    make(params, &PKCS_ECDSA_P256_SHA256, issuer)
}

/// A folder of PEM files, gone at the end of the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().expect("folder"))
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
        path
    }

    /// One entry of `certificates`: these PEM texts as `NAME.pem` and `NAME.key`.
    pub fn pair(&self, name: &str, chain: &str, key: &Made) -> String {
        let chain = self.write(&format!("{name}.pem"), chain);
        let key = self.write(&format!("{name}.key"), &key.key.serialize_pem());
        format!("{{ chain = {:?}, key = {:?} }}", chain.display().to_string(), key.display().to_string())
    }
}

/// A gateway's `[tls]` with one certificate for localhost, and who can check it.
pub struct Localhost {
    pub config: String,
    pub authority: Made,
    pub leaf: Made,
    _folder: Folder,
}

pub fn localhost() -> Localhost {
    let (folder, authority) = (Folder::new(), authority("authority", None));
    let leaf = leaf(&["localhost", "127.0.0.1"], Some(&authority));
    let pair = folder.pair("localhost", &leaf.pem, &leaf);
    Localhost { config: format!("[tls]\ncertificates = [{pair}]\n"), authority, leaf, _folder: folder }
}

impl Localhost {
    /// A client that trusts it.
    pub fn client(&self) -> ClientConfig {
        client(&[&self.authority], VERSIONS)
    }
}

/// A client that trusts these and speaks these versions.
pub fn client(roots: &[&Made], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    client_with(default_provider(), roots, versions)
}

/// The same with this provider's suites and groups.
pub fn client_with(
    provider: CryptoProvider,
    roots: &[&Made],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.der.clone()).expect("root");
    }
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(store)
        .with_no_client_auth()
}

/// A client that trusts these and shows this certificate.
pub fn client_of(roots: &[&Made], own: &Made, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.der.clone()).expect("root");
    }
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(store);
    builder.with_client_auth_cert(vec![own.der.clone()], key).expect("a certificate and its key")
}

/// A list of what this authority has revoked.
pub fn revoked(authority: &Made, serials: &[u64]) -> String {
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: (SystemTime::now() - DAY).into(),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: (SystemTime::now() - DAY).into(),
        next_update: (SystemTime::now() + 30 * DAY).into(),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&Issuer::from_params(&authority.params, &authority.key)).expect("list").pem().expect("PEM")
}

/// A server with this certificate.
pub fn acceptor(leaf: &Made) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![leaf.der.clone()], key);
    TlsAcceptor::from(Arc::new(config.expect("config")))
}

/// A connection whose facts can still be asked for; [`super::Peer::new`] makes a peer of it.
pub async fn shake(address: &str, name: &str, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = within("a connection", TcpStream::connect(address)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).expect("name");
    within("a TLS handshake", TlsConnector::from(Arc::clone(config)).connect(name, stream)).await
}
