//! One end of a WebSocket over plain TCP, a unix stream or TLS: bytes in place on the way in, a bounded queue on the
//! way out.

mod buffer;
pub(crate) mod conversation;
pub(crate) mod endpoint;
pub(crate) mod rate;
mod secure;
mod transport;
pub(crate) mod vigil;

pub(crate) use transport::Transport;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use self::buffer::Bay;
use self::secure::Secure;

/// A connected byte stream with a queue of what could not be sent yet.
///
/// While nothing is in flight it holds no buffer, but for what TLS itself needs.
pub struct Socket {
    link: Link,
    /// Bytes that were read before this socket was made, or by someone who read too far; they come first.
    early: Bytes,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// The first error of a write: told by the next flush.
    failed: Option<io::Error>,
}

enum Link {
    Plain(Transport),
    Secure(Box<Secure>),
    Outbound(Box<TlsStream<Transport>>),
}

/// What was agreed on in a TLS handshake with a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// Whether the session was resumed from a ticket.
    pub resumed: bool,
}

impl Socket {
    /// A socket without TLS.
    #[must_use]
    pub fn plain(transport: Transport) -> Self {
        Self::new(Link::Plain(transport))
    }

    /// A socket over TLS to a backend.
    #[must_use]
    pub fn outbound(stream: TlsStream<Transport>) -> Self {
        Self::new(Link::Outbound(Box::new(stream)))
    }

    /// The server's side of a TLS handshake with a client of whom `early` was read already. Cancel safe in the sense
    /// that a dropped future just drops the connection.
    ///
    /// # Errors
    /// What TLS or the transport had to complain about; an alert has been sent where TLS wants one.
    pub async fn accept(transport: Transport, config: Arc<ServerConfig>, early: &[u8]) -> io::Result<(Self, TlsFacts)> {
        let mut secure = Box::new(Secure::new(transport, config, early)?);
        std::future::poll_fn(|cx| secure.poll_handshake(cx)).await?;
        let version = match secure.version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let facts = TlsFacts { version, resumed: secure.is_resumed() };
        Ok((Self::new(Link::Secure(secure)), facts))
    }

    const fn new(link: Link) -> Self {
        Self { link, early: Bytes::new(), queue: VecDeque::new(), queued: 0, failed: None }
    }

    /// Bytes that were read from this socket and belong in front of what comes next.
    pub fn put_back(&mut self, bytes: Bytes) {
        self.early = if self.early.is_empty() { bytes } else { [bytes, self.early.clone()].concat().into() };
    }

    /// Hands on what has come, in place, until `take` says `false`; each piece is whole when `take` returns.
    /// `Ready(true)` after at least one piece, `Ready(false)` at the end of the stream.
    ///
    /// # Errors
    /// Those of the transport and of TLS.
    pub fn poll_pieces(&mut self, cx: &mut Context<'_>, take: &mut dyn FnMut(&[u8]) -> bool) -> Poll<io::Result<bool>> {
        if !self.early.is_empty() {
            take(&std::mem::take(&mut self.early));
            return Poll::Ready(Ok(true));
        }
        match &mut self.link {
            Link::Plain(transport) => {
                ready!(transport.poll_readable(cx))?;
                poll_piece(transport, cx, take)
            }
            Link::Outbound(stream) => poll_piece(stream.as_mut(), cx, take),
            Link::Secure(secure) => secure.poll_pieces(cx, take),
        }
    }

    /// Sends what the transport takes now and queues the rest, which is copied. An error shows at the next flush.
    pub fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        let sent = self.send_now(cx, bytes);
        if sent < bytes.len() {
            self.enqueue(Bytes::copy_from_slice(&bytes[sent..]));
        }
    }

    /// The same for bytes that many sockets share: the rest is queued without a copy.
    pub fn send_shared(&mut self, cx: &mut Context<'_>, bytes: &Bytes) {
        let sent = self.send_now(cx, bytes);
        if sent < bytes.len() {
            self.enqueue(bytes.slice(sent..));
        }
    }

    /// Bytes that were accepted for sending and have not left the process.
    #[must_use]
    pub fn queued(&self) -> usize {
        let inside = match &self.link {
            Link::Plain(_) => 0,
            Link::Secure(secure) => secure.waiting(),
            // rustls does not tell how much waits in it; something is enough to know.
            Link::Outbound(stream) => usize::from(stream.get_ref().1.wants_write()),
        };
        self.queued + inside
    }

    /// Drops what was queued but not begun: the pieces that were given to `send_shared` whole. A piece of which a part
    /// has left stays, so that the stream to the peer still makes sense.
    pub fn drop_queue(&mut self) {
        let begun = self.queue.pop_front();
        self.queue.clear();
        self.queued = begun.as_ref().map_or(0, Bytes::len);
        self.queue.extend(begun);
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The first error of any write so far.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Most often there is nothing: asked twice for each message, so worth the look.
        let is_idle = self.failed.is_none() && self.queue.is_empty() && self.queued() == 0;
        if is_idle && !matches!(self.link, Link::Outbound(_)) { Poll::Ready(Ok(())) } else { self.poll_flush_queue(cx) }
    }

    fn poll_flush_queue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        while let Some(front) = self.queue.front_mut() {
            let sent = ready!(self.link.poll_send(cx, front))?;
            self.queued -= sent;
            bytes::Buf::advance(front, sent);
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        if self.queue.capacity() > 0 {
            self.queue = VecDeque::new();
        }
        self.link.poll_drain(cx)
    }

    /// Sends what is queued, says goodbye (TLS close_notify) and ends our direction. Reading goes on.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        match &mut self.link {
            Link::Plain(transport) => Pin::new(transport).poll_shutdown(cx),
            Link::Outbound(stream) => Pin::new(stream).poll_shutdown(cx),
            Link::Secure(secure) => secure.poll_close(cx),
        }
    }

    /// Says goodbye, then reads and forgets until the peer has ended too: a socket that is closed with unread bytes is
    /// reset, and the peer loses what it has not read yet. `Ready` when both ends are done or the transport failed; the
    /// caller sets the deadline.
    pub fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if ready!(self.poll_close(cx)).is_err() {
            return Poll::Ready(());
        }
        while matches!(ready!(self.poll_pieces(cx, &mut |_| true)), Ok(true)) {}
        Poll::Ready(())
    }

    fn send_now(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while self.queue.is_empty() && self.failed.is_none() && sent < bytes.len() {
            match self.link.poll_send(cx, &bytes[sent..]) {
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending => break,
            }
        }
        // After an error nothing is queued: it could never be sent.
        if self.failed.is_some() { bytes.len() } else { sent }
    }

    fn enqueue(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }
}

/// One read into a buffer that is given back at once.
fn poll_piece(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    take: &mut dyn FnMut(&[u8]) -> bool,
) -> Poll<io::Result<bool>> {
    let mut bay = Bay::default();
    let mut buf = ReadBuf::new(&mut bay.room()[..PLAIN]);
    ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
    let filled = buf.filled();
    if filled.is_empty() {
        return Poll::Ready(Ok(false));
    }
    take(filled);
    Poll::Ready(Ok(true))
}

/// Bytes of one read from a plain stream: with a frame's head in front they still make one TLS record.
const PLAIN: usize = 16 * 1024;

impl Link {
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = match self {
            Self::Plain(transport) => ready!(Pin::new(transport).poll_write(cx, bytes))?,
            Self::Outbound(stream) => ready!(Pin::new(stream).poll_write(cx, bytes))?,
            Self::Secure(secure) => ready!(secure.poll_send(cx, bytes))?,
        };
        if sent == 0 { Poll::Ready(Err(io::ErrorKind::WriteZero.into())) } else { Poll::Ready(Ok(sent)) }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Outbound(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(secure) => secure.poll_drain(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.early.is_empty() {
            let count = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early.split_to(count));
            return Poll::Ready(Ok(()));
        }
        match &mut this.link {
            Link::Plain(transport) => Pin::new(transport).poll_read(cx, buf),
            Link::Outbound(stream) => Pin::new(stream).poll_read(cx, buf),
            Link::Secure(secure) => Pin::new(secure).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if !this.queue.is_empty() {
            ready!(this.poll_flush(cx))?;
        }
        this.link.poll_send(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close(cx)
    }
}
