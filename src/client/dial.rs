//! Dialling step by step, each step timed: what the load harness needs beyond [`super::connect`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::way::connect_from;
use crate::socket::{Socket, Transport};

/// How TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Whose certificates pass.
    pub verify: Verify,
    /// Which versions are offered.
    pub versions: Versions,
    /// Whether a session is resumed when there is a ticket.
    pub resume: Resume,
}

/// Whose certificates pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Those that the public roots vouch for.
    PublicRoots,
    /// Anybody's: for measuring servers of one's own. Whoever sits in between is not noticed.
    Nobody,
}

/// Which versions of TLS are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    All,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

/// Whether a session is resumed when there is a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Every handshake is a full one.
    Never,
    /// With the newest ticket of this client's clones.
    Always,
}

/// TLS spoken in one [`Manner`]; clones share their tickets.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// TLS in this manner.
    ///
    /// # Errors
    /// The provider does not speak these versions.
    pub fn new(manner: Manner) -> io::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions: &[_] = match manner.versions {
            Versions::All => &[&TLS13, &TLS12],
            Versions::Only12 => &[&TLS12],
            Versions::Only13 => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).map_err(io::Error::other)?;
        let mut config = match manner.verify {
            Verify::PublicRoots => {
                let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Verify::Nobody => {
                let blind = Arc::new(Blind(provider));
                builder.dangerous().with_custom_certificate_verifier(blind).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match manner.resume {
            Resume::Never => Resumption::disabled(),
            Resume::Always => Resumption::in_memory_sessions(64),
        };
        Ok(Self(Arc::new(config)))
    }

    /// The same, for other clients to dial with.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// Lets every certificate pass; the handshake's signature must still be the key's.
#[derive(Debug)]
struct Blind(Arc<CryptoProvider>);

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What a `ws://` or `wss://` URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether it is `wss`.
    pub secure: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// As given, or the scheme's.
    pub port: u16,
    url: Url,
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// Not a URL, or one that is neither `ws` nor `wss`.
    pub fn parse(text: &str) -> io::Result<Self> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: {why}"));
        let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        let secure = match url.scheme() {
            "ws" => false,
            "wss" => true,
            _ => return Err(bad("neither ws:// nor wss://")),
        };
        let host = url.host_str().ok_or_else(|| bad("no host"))?.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().ok_or_else(|| bad("no port"))?;
        Ok(Self { secure, host, port, url })
    }

    /// The upgrade request with this key, and further header lines as `Name: value`.
    #[must_use]
    pub fn request(&self, key: &str, headers: &[String]) -> String {
        super::request(&self.url, key, headers)
    }
}

/// Where and how one connection is made.
#[derive(Clone, Debug)]
pub struct Line {
    /// The server.
    pub to: SocketAddr,
    /// The local address, when the kernel is not to choose it.
    pub from: Option<IpAddr>,
    /// TLS and the name that is asked for; absent: none.
    pub tls: Option<(Tls, ServerName<'static>)>,
}

/// How long the steps took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Until TCP was connected.
    pub tcp: Duration,
    /// From there until TLS was agreed on.
    pub tls: Option<Duration>,
    /// Whether a session was resumed.
    pub resumed: bool,
}

/// The step that failed, and why.
#[derive(Debug)]
pub enum DialError {
    /// TCP.
    Tcp(io::Error),
    /// TLS.
    Tls(io::Error),
}

/// Connects, step by step. Cancel safe: a dropped future drops the connection.
///
/// # Errors
/// Those of connect and TLS.
pub async fn dial(line: &Line) -> Result<(Socket, Steps), DialError> {
    let start = Instant::now();
    let stream = connect(line).await.map_err(DialError::Tcp)?;
    let tcp = start.elapsed();
    let transport = Transport::Tcp(stream);
    let Some((tls, name)) = &line.tls else {
        return Ok((Socket::plain(transport), Steps { tcp, tls: None, resumed: false }));
    };
    let start = Instant::now();
    let connector = TlsConnector::from(Arc::clone(&tls.0));
    let stream = connector.connect(name.clone(), transport).await.map_err(DialError::Tls)?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok((Socket::outbound(stream), Steps { tcp, tls: Some(start.elapsed()), resumed }))
}

async fn connect(line: &Line) -> io::Result<TcpStream> {
    let stream = match line.from {
        Some(from) => connect_from(from, line.to).await?,
        None => TcpStream::connect(line.to).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}
