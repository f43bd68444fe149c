//! What a TLS client of a test trusts, and which versions it speaks.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion, version,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// TLS 1.2 and no newer.
pub const TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];
/// All that there is.
pub const ANY: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// A client that trusts the authorities of a PEM file and nobody else.
pub fn only(authorities: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(authorities).expect("PEM") {
        roots.add(root.expect("certificate")).expect("authority");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(ANY).expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A client that looks at nothing, as for certificates made at start; every certificate is given to `seen`.
pub fn anybody(
    versions: &[&'static SupportedProtocolVersion],
    seen: impl Fn(&CertificateDer<'_>) + Send + Sync + 'static,
) -> Arc<ClientConfig> {
    let algorithms = algorithms();
    blind(versions, Anybody { algorithms, schemes: algorithms.supported_schemes(), seen: Box::new(seen) })
}

/// A client that looks at nothing, and can check these signatures only.
pub fn checking(schemes: &[SignatureScheme]) -> Arc<ClientConfig> {
    blind(ANY, Anybody { algorithms: algorithms(), schemes: schemes.to_vec(), seen: Box::new(|_| ()) })
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

fn blind(versions: &[&'static SupportedProtocolVersion], verifier: Anybody) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions").dangerous();
    Arc::new(builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// The one verifier of these tests that lets every certificate pass; the handshake's signature must be the key's.
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
    schemes: Vec<SignatureScheme>,
    seen: Box<dyn Fn(&CertificateDer<'_>) + Send + Sync>,
}

impl std::fmt::Debug for Anybody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Anybody")
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        (self.seen)(end_entity);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // With the key alone: certificates that answer a CA have a critical extension that nobody else knows.
        let (_, leaf) = X509Certificate::from_der(cert).map_err(|error| Error::General(error.to_string()))?;
        let key = SubjectPublicKeyInfoDer::from(leaf.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
