//! A TLS client by hand: every record is bytes in the test's own hands, to be cut, glued and spoiled.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, Error};

use super::frames::{self, Frame, PING};
use super::peer::{Peer, STUCK, upgrade_request};
use super::within;

/// A client whose TLS is rustls, and whose transport is the test.
pub struct Records {
    pub tls: ClientConnection,
    stream: TcpStream,
    plain: Vec<u8>,
    address: String,
}

/// A record that came, and what rustls made of it.
#[derive(Debug)]
pub struct Record {
    /// Bytes behind its head of five.
    pub length: usize,
    pub verdict: Result<(), Error>,
}

/// The length of a KeyUpdate on the wire (RFC 8446 §4.6.3): a handshake message of 5, its type, and a tag.
pub const KEY_UPDATE: usize = 5 + 1 + 16;

impl Records {
    /// TCP, and nothing said yet.
    pub async fn connect(address: &str, config: &Arc<ClientConfig>) -> Self {
        Self::new(TcpSocket::new_v4().expect("socket"), address, config).await
    }

    /// The same with a receive buffer so small that the gateway's sending soon stops.
    pub async fn narrow(address: &str, config: &Arc<ClientConfig>) -> Self {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.set_recv_buffer_size(16 << 10).expect("buffer");
        Self::new(socket, address, config).await
    }

    async fn new(socket: TcpSocket, address: &str, config: &Arc<ClientConfig>) -> Self {
        let connect = socket.connect(address.parse().expect("address"));
        let stream = within("a connection", connect).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let name = ServerName::try_from("localhost").expect("name");
        let mut tls = ClientConnection::new(Arc::clone(config), name).expect("client");
        tls.set_buffer_limit(None);
        Self { tls, stream, plain: Vec::new(), address: address.to_owned() }
    }

    /// TLS 1.3, but for what the client says last: it is given back, not sent.
    pub async fn almost_shake(&mut self) -> Vec<u8> {
        let hello = self.flight();
        self.send(&hello).await;
        while self.tls.is_handshaking() {
            self.heard().await;
        }
        self.flight()
    }

    /// TLS, each flight of ours cut into these pieces.
    pub async fn shake(&mut self, cut: impl Fn(&[u8]) -> Vec<&[u8]>) {
        loop {
            let flight = self.flight();
            self.send_apart(cut(&flight)).await;
            if !self.tls.is_handshaking() {
                return;
            }
            self.heard().await;
        }
    }

    /// The upgrade at this path.
    pub async fn upgrade(&mut self, path: &str) {
        let request = self.seal(upgrade_request(path, &[]).as_bytes());
        self.send(&request).await;
        self.switched().await;
    }

    /// An upgraded WebSocket at this path.
    pub async fn open(address: &str, config: &Arc<ClientConfig>, path: &str) -> Self {
        let mut records = Self::connect(address, config).await;
        records.shake(|flight| vec![flight]).await;
        records.upgrade(path).await;
        records
    }

    /// What rustls has to say now, as bytes that nobody has sent yet.
    pub fn flight(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("memory");
        }
        bytes
    }

    /// Plaintext as records.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(plain).expect("memory");
        self.flight()
    }

    /// A KeyUpdate that asks for one in return; what is sealed from now on is under the new keys.
    pub fn renew(&mut self) -> Vec<u8> {
        self.tls.refresh_traffic_keys().expect("TLS 1.3");
        self.flight()
    }

    /// close_notify.
    pub fn farewell(&mut self) -> Vec<u8> {
        self.tls.send_close_notify();
        self.flight()
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within("a write", self.stream.write_all(bytes)).await.expect("send");
    }

    /// Sends of these bytes what is taken at once; the rest stays.
    pub fn pour(&mut self, bytes: &mut Vec<u8>) {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => drop(bytes.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The same until all is taken, or nobody has taken anything for a while.
    pub async fn press(&mut self, bytes: &mut Vec<u8>) {
        self.pour(bytes);
        while !bytes.is_empty() && timeout(STUCK, self.stream.writable()).await.is_ok() {
            self.pour(bytes);
        }
    }

    /// Sends these pieces, each in a read of the gateway's own: the next goes out when it has looked at the one before.
    pub async fn send_apart<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.send(piece).await;
            self.looked_at().await;
        }
    }

    /// Until the gateway's worker (it has one) has gone round: somebody who came later has got an answer.
    async fn looked_at(&self) {
        let mut later = Peer::connect(&self.address).await;
        later.send(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(later.head().await.starts_with("HTTP/1.1 400 "), "this port speaks TLS");
    }

    /// Ends our direction of TCP, with or without a close_notify before it.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.expect("shutdown");
    }

    /// The next record; `None` at the end of TCP.
    pub async fn record(&mut self) -> Option<Record> {
        let mut bytes = vec![0; 5];
        let first = within("a record", self.stream.read(&mut bytes[..1])).await.expect("read");
        if first == 0 {
            return None;
        }
        within("a record's head", self.stream.read_exact(&mut bytes[1..])).await.expect("head");
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        bytes.resize(5 + length, 0);
        within("a record's body", self.stream.read_exact(&mut bytes[5..])).await.expect("body");
        let mut rest = &bytes[..];
        let mut verdict = Ok(());
        while !rest.is_empty() && verdict.is_ok() {
            self.tls.read_tls(&mut rest).expect("memory");
            verdict = self.tls.process_new_packets().map(|state| {
                let mut fresh = vec![0; state.plaintext_bytes_to_read()];
                std::io::Read::read_exact(&mut self.tls.reader(), &mut fresh).expect("memory");
                self.plain.extend_from_slice(&fresh);
            });
        }
        Some(Record { length, verdict })
    }

    /// The next record, which is a sound one.
    async fn heard(&mut self) -> usize {
        let record = self.record().await.expect("a record before the end");
        record.verdict.expect("a sound record");
        record.length
    }

    /// Reads the answer to an upgrade, which is a 101.
    pub async fn switched(&mut self) {
        let end = loop {
            if let Some(at) = self.plain.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.heard().await;
        };
        let head: Vec<u8> = self.plain.drain(..end).collect();
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    }

    /// The next frame, whatever it is, and the lengths of the records that came for it.
    pub async fn frame(&mut self) -> (Frame, Vec<usize>) {
        let mut lengths = Vec::new();
        loop {
            let mut rest = &self.plain[..];
            if let Ok(frame) = frames::read(&mut rest).await {
                let left = rest.len();
                self.plain.drain(..self.plain.len() - left);
                return (frame, lengths);
            }
            lengths.push(self.heard().await);
        }
    }

    /// The next frame that is not a ping.
    pub async fn message(&mut self) -> Frame {
        loop {
            let (frame, _) = self.frame().await;
            if frame.opcode != PING {
                return frame;
            }
        }
    }

    /// Waits for the gateway's close_notify and the end of TCP; nothing may come before them.
    pub async fn clean_end(&mut self) {
        while let Some(record) = self.record().await {
            record.verdict.expect("a sound record");
        }
        assert!(self.plain.is_empty(), "{:?}", String::from_utf8_lossy(&self.plain));
        let end = std::io::Read::read(&mut self.tls.reader(), &mut [0]);
        assert!(matches!(end, Ok(0)), "without close_notify: {end:?}");
    }
}
