//! Dials ws and wss servers: the transport, the upgrade, and a whole client for tests and the load harness.

pub mod dial;
pub(crate) mod lines;
pub(crate) mod way;

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fastwebsockets::{Role, WebSocket};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use url::Url;

use self::way::Way;
use crate::config;
pub use crate::socket::Socket;
use crate::socket::Transport;
use crate::wire::head::{self, Answer, Expected, Nonsense};
use crate::wire::offer::accept_for;

/// Whom a client trusts when it speaks TLS.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    /// Absent: the public roots.
    only: Option<Arc<[CertificateDer<'static>]>>,
}

impl Trust {
    /// The public roots (those of Mozilla, as the webpki-roots crate carries them).
    #[must_use]
    pub fn public() -> Self {
        let config = Self::config(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        Self { config, only: None }
    }

    /// These authorities and no others; what does not parse as one is left out.
    #[must_use]
    pub fn only(authorities: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        Self { config: Self::config(roots), only: Some(authorities.into()) }
    }

    /// Whether it trusts the same authorities.
    #[must_use]
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.only == other.only
    }

    fn config(roots: RootCertStore) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|_| ClientConfig::builder())
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

/// Connects the transport of a backend, TLS included. Cancel safe: a dropped future drops the connection.
///
/// # Errors
/// Those of name resolution, connect and TLS.
pub async fn connect(transport: &config::Transport, trust: &Trust) -> io::Result<Socket> {
    connect_by(transport, trust, &Way::default()).await
}

/// The same, from a source and with a preface.
///
/// # Errors
/// Those of name resolution, bind, connect and TLS.
pub(crate) async fn connect_by(transport: &config::Transport, trust: &Trust, way: &Way) -> io::Result<Socket> {
    match transport {
        config::Transport::Ws(host, port) => Ok(Socket::plain(Transport::Tcp(way.connect_tcp(host, *port).await?))),
        config::Transport::Unix(path) => {
            let mut stream = UnixStream::connect(path).await?;
            way.announce_to(&mut stream, None).await?;
            Ok(Socket::plain(Transport::Unix(stream)))
        }
        config::Transport::Wss(host, port) => secure(way.connect_tcp(host, *port).await?, host, trust).await,
    }
}

/// TLS over a stream that is connected already; the host is the name to check. Cancel safe: a dropped future drops the
/// connection.
///
/// # Errors
/// Those of TLS, and a host that no certificate can have.
pub async fn secure(stream: TcpStream, host: &str, trust: &Trust) -> io::Result<Socket> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::clone(&trust.config)).connect(name, Transport::Tcp(stream)).await?;
    Ok(Socket::outbound(stream))
}

/// Why an upgrade did not come about.
#[derive(Debug)]
pub enum UpgradeError {
    /// The connection failed or ended.
    Io(io::Error),
    /// The answer is none.
    Nonsense(Nonsense),
}

impl std::fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the connection ended before the answer was complete")
            }
            Self::Io(error) => error.fmt(f),
            Self::Nonsense(nonsense) => nonsense.fmt(f),
        }
    }
}

impl std::error::Error for UpgradeError {}

impl From<io::Error> for UpgradeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A server's answer; bytes behind a 101 are back in the socket, the body of a refusal is here.
pub type Answered = (Answer, Vec<u8>);

/// Sends an upgrade request in one write and reads the answer. Not cancel safe: drop the socket with the future.
///
/// # Errors
/// The connection's, or an answer that is none.
pub async fn upgrade(
    socket: &mut Socket,
    request: &[u8],
    accept: &str,
    offered: &[String],
) -> Result<Answered, UpgradeError> {
    exchange(socket, request, &Expected { accept, offered: Some(offered) }, &mut Vec::new()).await
}

/// The same; what the server has said so far is in `heard`, for whoever has to tell why there was no answer.
///
/// # Errors
/// As for [`upgrade`].
pub(crate) async fn exchange(
    socket: &mut Socket,
    request: &[u8],
    expected: &Expected<'_>,
    heard: &mut Vec<u8>,
) -> Result<Answered, UpgradeError> {
    socket.write_all(request).await?;
    socket.flush().await?;
    let (answer, size) = loop {
        if let Some(answer) = head::answer(heard, expected).map_err(UpgradeError::Nonsense)? {
            break answer;
        }
        read_more(socket, heard).await?;
    };
    let mut rest = heard.split_off(size);
    match &answer {
        Answer::Switched { .. } => {
            if !rest.is_empty() {
                socket.put_back(std::mem::take(&mut rest).into());
            }
        }
        Answer::Refused(refused) => {
            // A server that announces more than it says has refused all the same.
            while rest.len() < refused.body && read_more(socket, &mut rest).await.is_ok() {}
            rest.truncate(refused.body);
        }
    }
    Ok((answer, rest))
}

/// Cancel safe: `bytes` never hold anything that was not read.
async fn read_more(socket: &mut Socket, bytes: &mut Vec<u8>) -> io::Result<()> {
    let room = head::ANSWER_MAX.saturating_sub(bytes.len()).clamp(1, 4096);
    bytes.reserve(room.min(1024));
    let count = socket.take(room as u64).read_buf(bytes).await?;
    if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// A fresh Sec-WebSocket-Key from 16 random bytes (RFC 6455 §4.1).
#[must_use]
pub fn key(random: [u8; 16]) -> String {
    BASE64_STANDARD.encode(random)
}

/// Random bytes for keys and masks, from the TLS provider's generator.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The generator of aws-lc aborts the process rather than fail; an error is only there for other providers.
    let _ = rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    bytes
}

/// How a whole client opens its WebSocket.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whom it trusts, for `wss`.
    pub trust: Trust,
    /// Header lines to add, as `Name: value`.
    pub headers: Vec<String>,
}

/// Opens `ws://`, `wss://` URLs as a whole client.
///
/// # Errors
/// A URL that is none of these, the connection's, or an answer other than a right 101.
pub async fn open(url: &str, options: &Options) -> Result<WebSocket<Socket>, UpgradeError> {
    let bad = |why: &str| UpgradeError::Io(io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {why}")));
    let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
    let host = parsed.host_str().ok_or_else(|| bad("no host"))?.trim_matches(['[', ']']).to_owned();
    let port = parsed.port_or_known_default().ok_or_else(|| bad("no port"))?;
    let transport = match parsed.scheme() {
        "ws" => config::Transport::Ws(host, port),
        "wss" => config::Transport::Wss(host, port),
        _ => return Err(bad("neither ws:// nor wss://")),
    };
    let mut socket = connect(&transport, &options.trust).await?;
    let key = key(random());
    let request = request(&parsed, &key, &options.headers);
    match upgrade(&mut socket, request.as_bytes(), &accept_for(&key), &[]).await? {
        (Answer::Switched { .. }, _) => Ok(WebSocket::after_handshake(socket, Role::Client)),
        (Answer::Refused(refused), _) => Err(UpgradeError::Nonsense(Nonsense::Status(refused.status))),
    }
}

fn request(url: &Url, key: &str, headers: &[String]) -> String {
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let extra: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}
