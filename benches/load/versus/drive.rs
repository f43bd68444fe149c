//! The load of a comparison: connections that all look the same to every server, and as little work as can be here.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An upgraded connection.
pub(super) type Wire = TlsStream<TcpStream>;

/// RFC 6455 §1.3, with the key and the answer of its example.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The longest answer to an upgrade that is read.
const ANSWER: usize = 4096;

/// Counts what has come back.
pub(super) type Tally = Arc<AtomicU64>;

/// How long round trips took: all tasks write into one, and take turns on one thread anyway.
#[derive(Clone)]
pub(super) struct Times(Arc<Mutex<Histogram<u64>>>);

impl Times {
    /// None yet. Kept to three digits, up to a minute.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new() -> io::Result<Self> {
        let histogram = Histogram::new_with_max(60_000_000_000, 3).map_err(io::Error::other)?;
        Ok(Self(Arc::new(Mutex::new(histogram))))
    }

    /// Forgets what was recorded so far.
    pub(super) fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reset();
    }

    /// The time that so many percent of them did not exceed.
    pub(super) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.lock().unwrap_or_else(PoisonError::into_inner).value_at_percentile(percent))
    }

    fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanoseconds);
    }
}

/// Opens connections to one server.
#[derive(Clone)]
pub(super) struct Dialer {
    address: SocketAddr,
    connector: TlsConnector,
}

impl Dialer {
    /// Trusts the authority in this file. TLS 1.3, AES-256-GCM and X25519 are offered and nothing else: whoever could
    /// do more (wsgate would take a post-quantum group) does the same work as the others.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn new(address: SocketAddr, authority: &Path, resumption: Resumption) -> io::Result<Self> {
        let authority = CertificateDer::from_pem_file(authority).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(io::Error::other)?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&TLS13]).map_err(io::Error::other)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = resumption;
        Ok(Self { address, connector: Arc::new(config).into() })
    }

    /// Connects, shakes hands and upgrades. Cancel safe: a dropped future drops the connection.
    ///
    /// # Errors
    /// The connection's, or an answer that is no right 101.
    pub(super) async fn open(&self) -> io::Result<Wire> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut wire = self.connector.connect(name, stream).await?;
        wire.write_all(REQUEST).await?;
        wire.flush().await?;
        let mut head = Vec::with_capacity(ANSWER);
        while !head.ends_with(b"\r\n\r\n") {
            if wire.read_buf(&mut head).await? == 0 || head.len() >= ANSWER {
                return Err(refused(&head));
            }
        }
        let text = String::from_utf8_lossy(&head);
        if text.starts_with("HTTP/1.1 101 ") && text.contains(ACCEPT) { Ok(wire) } else { Err(refused(&head)) }
    }
}

fn refused(head: &[u8]) -> io::Error {
    let line = String::from_utf8_lossy(head).lines().next().unwrap_or("the connection ended").to_owned();
    io::Error::other(format!("no upgrade: {line}"))
}

/// A message of text, as a client sends it and as it has to come back.
#[derive(Clone)]
pub(super) struct Message {
    sent: Arc<[u8]>,
    back: Arc<[u8]>,
}

impl Message {
    /// So many bytes of ASCII.
    #[must_use]
    pub(super) fn of(size: usize) -> Self {
        let payload: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
        let mut back = vec![0x81];
        match size {
            0..=125 => back.push(size as u8),
            126..=0xFFFF => back.extend([&[126][..], &(size as u16).to_be_bytes()].concat()),
            _ => back.extend([&[127][..], &(size as u64).to_be_bytes()].concat()),
        }
        let mut sent = back.clone();
        sent[1] |= 0x80;
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        sent.extend(mask);
        sent.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        back.extend(payload);
        Self { sent: sent.into(), back: back.into() }
    }
}

/// One round trip after the other, for ever. Pings are not expected: a figure takes less time than wsgate's first one
/// (30 s), and the others send none.
///
/// # Errors
/// The connection's, or an answer that is not the message.
pub(super) async fn echo(mut wire: Wire, message: Message, tally: Tally, times: Times) -> io::Result<()> {
    let mut back = vec![0; message.back.len()];
    loop {
        let since = Instant::now();
        wire.write_all(&message.sent).await?;
        wire.flush().await?;
        wire.read_exact(&mut back).await?;
        times.record(since.elapsed());
        if *back != *message.back {
            return Err(io::Error::other("the echo is not the message"));
        }
        tally.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the members of a room share.
pub(super) struct Room {
    pub(super) members: u64,
    /// Counts deliveries.
    pub(super) tally: Tally,
    pub(super) all_heard: Arc<Notify>,
}

/// Says the message, and says it again whenever all have heard it, for ever.
///
/// # Errors
/// The connection's.
pub(super) async fn speak(mut wire: WriteHalf<Wire>, message: Message, all_heard: Arc<Notify>) -> io::Result<()> {
    loop {
        wire.write_all(&message.sent).await?;
        wire.flush().await?;
        all_heard.notified().await;
    }
}

/// Hears what is said, for ever: texts that end with the message, whatever stands in front of it.
///
/// # Errors
/// The connection's, or something else than the message.
pub(super) async fn listen(mut wire: ReadHalf<Wire>, message: Message, room: Room) -> io::Result<()> {
    let said = &message.back[2..];
    let mut frame = [0; 2 + 125];
    loop {
        wire.read_exact(&mut frame[..2]).await?;
        let [0x81, length @ 0..=125, ..] = frame else {
            return Err(io::Error::other(format!("not a short text: {:02x?}", &frame[..2])));
        };
        let text = &mut frame[2..2 + usize::from(length)];
        wire.read_exact(text).await?;
        if !text.ends_with(said) {
            return Err(io::Error::other(format!("not what was said: {}", String::from_utf8_lossy(text))));
        }
        if (room.tally.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(room.members) {
            room.all_heard.notify_one();
        }
    }
}

/// Opens, upgrades and closes in order, again and again, for ever; `resumed` counts the handshakes that were.
///
/// # Errors
/// The connection's.
pub(super) async fn come_and_go(dialer: Dialer, tally: Tally, resumed: Tally) -> io::Result<()> {
    // Close, code 1000, masked with zeros.
    const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    loop {
        let mut wire = dialer.open().await?;
        if wire.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            resumed.fetch_add(1, Ordering::Relaxed);
        }
        wire.write_all(CLOSE).await?;
        wire.flush().await?;
        let mut close = [0; 4];
        wire.read_exact(&mut close).await?;
        if close != [0x88, 0x02, 0x03, 0xe8] {
            return Err(io::Error::other(format!("the Close is not answered in kind: {close:02x?}")));
        }
        // The server ends first; one that does not say goodbye in TLS has ended all the same.
        let _ = wire.read(&mut close).await;
        tally.fetch_add(1, Ordering::Relaxed);
    }
}
