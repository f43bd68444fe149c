//! Dials ws and wss servers: the transport, the upgrade, and a whole client for tests and the load harness.

pub mod dial;
pub(crate) mod way;

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fastwebsockets::{Role, WebSocket};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use url::Url;

use self::way::Way;
use crate::config;
pub use crate::socket::Socket;
use crate::socket::Transport;
use crate::wire::head::{self, Answer, Nonsense};
use crate::wire::offer::accept_for;

/// Whom a client trusts when it speaks TLS.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The public roots (those of Mozilla, as the webpki-roots crate carries them).
    #[must_use]
    pub fn public() -> Self {
        Self::of(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// These authorities and no others; what does not parse as one is left out.
    #[must_use]
    pub fn only(authorities: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|_| ClientConfig::builder())
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
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
        config::Transport::Wss(host, port) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let stream = Transport::Tcp(way.connect_tcp(host, *port).await?);
            let stream = TlsConnector::from(Arc::clone(&trust.0)).connect(name, stream).await?;
            Ok(Socket::outbound(stream))
        }
    }
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
    upgrade_hearing(socket, request, accept, offered, &mut false).await
}

/// The same; `heard` says, however it ends, whether the server has sent anything at all.
///
/// # Errors
/// The connection's, or an answer that is none.
pub(crate) async fn upgrade_hearing(
    socket: &mut Socket,
    request: &[u8],
    accept: &str,
    offered: &[String],
    heard: &mut bool,
) -> Result<Answered, UpgradeError> {
    socket.write_all(request).await?;
    socket.flush().await?;
    let mut bytes = Vec::with_capacity(1024);
    let (answer, size) = loop {
        if let Some(answer) = head::answer(&bytes, accept, offered).map_err(UpgradeError::Nonsense)? {
            break answer;
        }
        read_more(socket, &mut bytes).await?;
        *heard = true;
    };
    let mut rest = bytes.split_off(size);
    match &answer {
        Answer::Switched { .. } => {
            if !rest.is_empty() {
                socket.put_back(std::mem::take(&mut rest).into());
            }
        }
        Answer::Refused(refused) => {
            while rest.len() < refused.body {
                read_more(socket, &mut rest).await?;
            }
            rest.truncate(refused.body);
        }
    }
    Ok((answer, rest))
}

async fn read_more(socket: &mut Socket, bytes: &mut Vec<u8>) -> io::Result<()> {
    let room = head::ANSWER_MAX.saturating_sub(bytes.len()).clamp(1, 4096);
    let start = bytes.len();
    bytes.resize(start + room, 0);
    let count = socket.read(&mut bytes[start..]).await?;
    bytes.truncate(start + count);
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
