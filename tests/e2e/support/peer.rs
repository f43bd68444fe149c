//! A raw peer: bytes out, bytes in, with just enough HTTP to read an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::frames::{self, Frame};
use super::within;

/// More than all the kernel's buffers on the way can hold.
const FLOOD: usize = 128 << 20;
/// No write went through for so long: nobody is reading.
pub const STUCK: Duration = Duration::from_millis(300);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection of a test's own.
pub struct Peer {
    stream: BufReader<Box<dyn Stream>>,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The key of the example in RFC 6455 §1.3, and the accept value that answers it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A sound upgrade request with more header lines.
pub fn upgrade_request(path: &str, more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "GET {path} HTTP/1.1\r\nHost: test.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

impl Peer {
    pub fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    pub async fn connect(address: &str) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Self::new(stream)
    }

    /// A connection over TLS, with this configuration and server name.
    pub async fn connect_tls(address: &str, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = within("a connection", TcpStream::connect(address)).await?;
        let name = ServerName::try_from(name.to_owned()).expect("name");
        Ok(Self::new(within("a TLS handshake", TlsConnector::from(config).connect(name, stream)).await?))
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("send");
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        within("a write", async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Sends some of these bytes, as many as are taken at once; waits as long as none is. Cancel safe.
    pub async fn send_some(&mut self, bytes: &[u8]) -> usize {
        self.stream.write(bytes).await.expect("send")
    }

    /// Writes this frame over and over until nobody takes it any more; how many bytes were taken.
    pub async fn flood(&mut self, frame: &[u8]) -> usize {
        let mut sent = 0;
        while sent < FLOOD {
            match timeout(STUCK, self.send_some(&frame[sent % frame.len()..])).await {
                Ok(count) => sent += count,
                Err(_) => return sent,
            }
        }
        panic!("somebody took {sent} bytes for nobody");
    }

    /// The two directions, each of them a peer of its own.
    pub fn split(self) -> (Self, Self) {
        assert!(self.stream.buffer().is_empty(), "bytes read too far");
        let (from, to) = tokio::io::split(self.stream.into_inner());
        (Self::new(tokio::io::join(from, tokio::io::sink())), Self::new(tokio::io::join(tokio::io::empty(), to)))
    }

    /// Ends this direction.
    pub async fn finish(&mut self) {
        within("the end of a stream", self.stream.shutdown()).await.expect("shutdown");
    }

    /// Exactly so many bytes.
    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within("bytes", self.stream.read_exact(&mut bytes)).await.expect("read");
        bytes
    }

    /// What one read brings, at most so many bytes.
    pub async fn some(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let count = within("bytes", self.stream.read(&mut bytes)).await.expect("read");
        bytes.truncate(count);
        bytes
    }

    /// Reads an HTTP answer: its head, and the body by Content-Length or to the end.
    pub async fn answer(&mut self) -> Answer {
        within("an answer", self.read_answer()).await
    }

    async fn read_answer(&mut self) -> Answer {
        let head = self.head().await;
        let mut lines = head.lines();
        let first = lines.next().expect("status line");
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{first}"));
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new() };
        if let Some(length) = answer.header("content-length").and_then(|length| length.parse().ok()) {
            let body = self.read_exact(length).await;
            answer.body = String::from_utf8(body).expect("text");
        } else if status != 101 {
            self.stream.read_to_string(&mut answer.body).await.expect("body");
        }
        answer
    }

    /// Reads up to and with the blank line of a head.
    pub async fn head(&mut self) -> String {
        self.try_head().await.unwrap_or_else(|(error, head)| panic!("{error} after {head:?}"))
    }

    /// The same, or how the stream ended, and after what.
    pub async fn try_head(&mut self) -> Result<String, (std::io::Error, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match within("a head", self.stream.read_u8()).await {
                Ok(byte) => head.push(byte),
                Err(error) => return Err((error, String::from_utf8_lossy(&head).into_owned())),
            }
        }
        Ok(String::from_utf8(head).expect("text"))
    }

    /// Asks for an upgrade.
    pub async fn upgrade(&mut self, path: &str, more: &[&str]) -> Answer {
        self.send(upgrade_request(path, more).as_bytes()).await;
        self.answer().await
    }

    /// A WebSocket whose session has begun, as it has answered a ping.
    pub async fn settled(mut self) -> Self {
        self.send(&frames::client(frames::PING, b"here")).await;
        let pong = self.frame().await;
        assert_eq!((pong.opcode, pong.payload.as_slice()), (frames::PONG, &b"here"[..]));
        self
    }

    /// The next frame, whatever it is.
    pub async fn frame(&mut self) -> Frame {
        within("a frame", frames::read(&mut self.stream)).await.expect("frame")
    }

    /// The next frame, or how the stream ended or failed instead.
    pub async fn try_frame(&mut self) -> std::io::Result<Frame> {
        within("a frame", frames::read(&mut self.stream)).await
    }

    /// The next frame that is not a ping.
    pub async fn message(&mut self) -> Frame {
        loop {
            let frame = self.frame().await;
            if frame.opcode != frames::PING {
                return frame;
            }
        }
    }

    /// The next message, its fragments put together.
    pub async fn whole(&mut self) -> Frame {
        let mut message = self.message().await;
        while !message.fin {
            let more = self.message().await;
            assert_eq!(more.opcode, frames::CONTINUATION);
            message.payload.extend(more.payload);
            message.fin = more.fin;
        }
        message
    }

    /// Sends a client's text message.
    pub async fn say(&mut self, text: &str) {
        self.send(&frames::client(frames::TEXT, text.as_bytes())).await;
    }

    /// Answers a Close with the same payload, masked, and waits for the end of the stream.
    pub async fn agree(&mut self, close: &Frame) {
        let _ = self.try_send(&frames::client(frames::CLOSE, &close.payload)).await;
        self.end().await;
    }

    /// Waits for the end of the stream; nothing may come before it.
    pub async fn end(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well, where a test does not look closer.
        let _ = within("the end of the stream", self.stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "bytes before the end: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Everything up to the end of the stream, be it a reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = within("the end of the stream", self.stream.read_to_end(&mut rest)).await;
        rest
    }

    /// Waits for an orderly end of the stream, without a reset.
    pub async fn clean_end(&mut self) {
        let mut rest = Vec::new();
        let read = within("the end of the stream", self.stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok_and(|count| count == 0), "{rest:?}");
    }
}
