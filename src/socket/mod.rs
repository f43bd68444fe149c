//! One end of a WebSocket over plain TCP, a unix stream or TLS: bytes in place on the way in, a bounded queue on the
//! way out.

mod buffer;
pub(crate) mod conversation;
pub(crate) mod endpoint;
mod far_end;
mod link;
mod queue;
pub(crate) mod rate;
mod secure;
mod stream;
mod transport;
pub(crate) mod vigil;

pub(crate) use buffer::Bay;
pub(crate) use far_end::{FarEnd, Listener, Taken};
pub(crate) use queue::Message;
pub(crate) use secure::tls_failure;
pub(crate) use transport::Transport;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::AsyncWrite;
use tokio_rustls::client::TlsStream;

use self::link::{Link, poll_piece, poll_read};
use self::queue::Queue;
use self::secure::Secure;
use crate::limits::SlowClient;

/// A connected byte stream with a queue of what could not be sent yet.
///
/// While nothing is in flight it holds no buffer, but for what TLS itself needs.
pub struct Socket {
    link: Link,
    /// Bytes that were read before this socket was made, or by someone who read too far; they come first.
    early: Option<Box<Bytes>>,
    queue: Option<Box<Queue>>,
    /// The first error of a write: told by the next flush.
    failed: Option<io::Error>,
    /// Whether anything waits to be sent or told: asked several times for each message, so it is known.
    busy: bool,
    /// Whether the task that polls it is sure to be woken when there is something to read.
    armed: bool,
    /// The last read from a plain stream filled its buffer: much is coming.
    flowing: bool,
}

/// What was agreed on in a TLS handshake with a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// Whether the session was resumed from a ticket.
    pub resumed: bool,
    /// What the client has shown, its own certificate first; nothing where it was not asked. Of a session that was
    /// resumed, what was shown when it began.
    pub certificates: Vec<CertificateDer<'static>>,
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
        let facts = TlsFacts { version, resumed: secure.is_resumed(), certificates: secure.certificates() };
        Ok((Self::new(Link::Secure(secure)), facts))
    }

    const fn new(link: Link) -> Self {
        Self { link, early: None, queue: None, failed: None, busy: false, armed: false, flowing: false }
    }

    /// Bytes that were read from this socket and belong in front of what comes next.
    pub fn put_back(&mut self, bytes: Bytes) {
        let bytes = match self.early.take() {
            None => bytes,
            Some(behind) => [bytes, *behind].concat().into(),
        };
        self.early = (!bytes.is_empty()).then(|| Box::new(bytes));
    }

    /// Waits until there may be something to read, holding no buffer; an error counts, the read will tell it. Always to
    /// be polled by the same task: it remembers that it has left word, and does not do so again.
    #[inline]
    pub fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let transport = match &self.link {
            _ if self.early.is_some() => return Poll::Ready(()),
            Link::Plain(transport) => transport,
            Link::Secure(secure) if !secure.holds_input() => secure.transport(),
            Link::Secure(_) | Link::Outbound(_) => return Poll::Ready(()),
        };
        if self.armed {
            return if transport.is_readable() { Poll::Ready(()) } else { Poll::Pending };
        }
        // A task that has had its turn is told to wait too, but nobody is left word then.
        let may_wait = tokio::task::coop::has_budget_remaining();
        let poll = transport.poll_readable(cx);
        self.armed = may_wait && poll.is_pending();
        poll.map(|_| ())
    }

    /// Hands on what has come, in place, until `take` says `false`; each piece is whole when `take` returns, and told
    /// whether more has come already. `Ready(true)` after at least one piece, `Ready(false)` at the end of the stream.
    ///
    /// # Errors
    /// Those of the transport and of TLS.
    pub fn poll_pieces(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8], bool) -> bool,
    ) -> Poll<io::Result<bool>> {
        self.armed = false;
        if let Some(early) = self.early.take() {
            take(&early, false);
            return Poll::Ready(Ok(true));
        }
        match &mut self.link {
            Link::Plain(transport) => poll_piece(|room| transport.poll_recv(cx, room), &mut self.flowing, take),
            Link::Outbound(stream) => poll_piece(|room| poll_read(stream.as_mut(), cx, room), &mut self.flowing, take),
            Link::Secure(secure) => {
                let pieces = secure.poll_pieces(cx, take);
                self.busy |= secure.waiting() > 0;
                pieces
            }
        }
    }

    /// Sends what the transport takes now and queues the rest, which is copied. An error shows at the next flush.
    pub fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        let sent = self.send_now(cx, bytes);
        if sent < bytes.len() {
            self.enqueue(Bytes::copy_from_slice(&bytes[sent..]), false);
        }
    }

    /// The same for bytes that many sockets share: the rest is queued without a copy.
    pub fn send_shared(&mut self, cx: &mut Context<'_>, bytes: &Bytes) {
        let sent = self.send_now(cx, bytes);
        if sent < bytes.len() {
            self.enqueue(bytes.slice(sent..), false);
        }
    }

    /// The same for a whole message, which may be left out as long as nothing of it has left.
    pub(crate) fn send_message(&mut self, cx: &mut Context<'_>, message: Message<'_>) {
        let bytes = message.bytes();
        let sent = self.send_now(cx, bytes);
        if sent < bytes.len() {
            let rest = match message {
                Message::Own(bytes) => Bytes::copy_from_slice(&bytes[sent..]),
                Message::Shared(bytes) => bytes.slice(sent..),
            };
            self.enqueue(rest, sent == 0);
        }
    }

    /// Whether a message of `wanted` bytes still fits into a queue of `limit`, after what waits was thinned out as
    /// `slow` says; and how many messages that cost. Where nothing waits everything fits.
    pub(crate) fn make_room(&mut self, wanted: usize, limit: usize, slow: SlowClient) -> (bool, u64) {
        let mut dropped = 0;
        if let Some(queue) = &mut self.queue
            && (slow == SlowClient::Latest || queue.bytes() + wanted > limit)
        {
            dropped = queue.thin(limit.saturating_sub(wanted), slow);
        }
        let queued = self.queued();
        (queued == 0 || queued + wanted <= limit, dropped)
    }

    /// Bytes that were accepted for sending and have not left the process.
    #[must_use]
    #[inline]
    pub fn queued(&self) -> usize {
        if self.busy { self.queue.as_ref().map_or(0, |queue| queue.bytes()) + self.link.waiting() } else { 0 }
    }

    /// Drops what was queued, but for what may have begun to leave, so that the stream to the peer still makes sense if
    /// each piece was a whole frame.
    pub fn drop_queue(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.drop_all_but_first();
        }
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The first error of any write so far.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.busy { self.poll_flush_queue(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_flush_queue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if let Some(queue) = &mut self.queue {
            while let Some(front) = queue.front() {
                let sent = ready!(self.link.poll_send(cx, front))?;
                queue.advance(sent);
            }
            self.queue = None;
        }
        ready!(self.link.poll_drain(cx))?;
        self.busy = false;
        Poll::Ready(Ok(()))
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
        self.poll_forget(cx)
    }

    /// Reads and forgets what comes. `Ready` when nothing more will.
    pub(crate) fn poll_forget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while matches!(ready!(self.poll_pieces(cx, &mut |_, _| true)), Ok(true)) {}
        Poll::Ready(())
    }

    /// What comes next is acknowledged at once (TCP_QUICKACK, which lasts for a few segments). A peer that writes a
    /// message in parts, with Nagle's algorithm on, otherwise waits for our delayed acknowledgement, 40 ms.
    pub(crate) fn acknowledge_at_once(&self) {
        self.link.transport().acknowledge_at_once();
    }

    #[inline]
    fn send_now(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while !self.busy && sent < bytes.len() {
            match self.link.poll_send(cx, &bytes[sent..]) {
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => {
                    // After an error nothing is queued: it could never be sent.
                    (self.failed, self.busy) = (Some(error), true);
                    return bytes.len();
                }
                Poll::Pending => break,
            }
            self.busy = self.link.waiting() > 0;
        }
        // The same for what comes after an error.
        if self.busy && self.failed.is_some() { bytes.len() } else { sent }
    }

    #[cold]
    fn enqueue(&mut self, bytes: Bytes, is_message: bool) {
        self.busy = true;
        self.queue.get_or_insert_default().push(bytes, is_message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    fn pair() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        (Socket::plain(Transport::Unix(ours)), theirs)
    }

    async fn with_context(mut work: impl FnMut(&mut Context<'_>)) {
        poll_fn(|cx| {
            work(cx);
            Poll::Ready(())
        })
        .await;
    }

    async fn read(socket: &mut Socket) -> Vec<u8> {
        poll_fn(|cx| socket.poll_arrived(cx)).await;
        let mut got = Vec::new();
        let more = poll_fn(|cx| {
            socket.poll_pieces(cx, &mut |piece, _| {
                got.extend_from_slice(piece);
                true
            })
        });
        assert!(more.await.expect("no error"));
        got
    }

    #[tokio::test]
    async fn who_waits_is_woken_each_time_something_comes() {
        let (mut socket, mut peer) = pair();
        for message in [&b"one"[..], b"two", b"three"] {
            let asks = poll_fn(|cx| Poll::Ready((socket.poll_arrived(cx), socket.poll_arrived(cx)))).await;
            assert_eq!(asks, (Poll::Pending, Poll::Pending));
            let (got, sent) = tokio::join!(read(&mut socket), peer.write_all(message));
            sent.expect("room");
            assert_eq!(got, message);
        }
    }

    #[tokio::test]
    async fn a_task_whose_turn_is_over_leaves_no_word_and_knows_it() {
        let (mut socket, mut peer) = pair();
        let spent = poll_fn(|cx| {
            while tokio::task::coop::has_budget_remaining() {
                // Each operation that succeeds takes one from the budget.
                let Poll::Ready(one) = tokio::task::coop::poll_proceed(cx) else { break };
                one.made_progress();
            }
            Poll::Ready(socket.poll_arrived(cx))
        });
        assert_eq!(spent.await, Poll::Pending);
        assert!(!socket.armed);
        let (got, sent) = tokio::join!(read(&mut socket), peer.write_all(b"late"));
        sent.expect("room");
        assert_eq!(got, b"late");
    }

    #[tokio::test]
    async fn what_the_kernel_does_not_take_waits_in_order() {
        let (mut socket, peer) = pair();
        let bytes: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        let shared = Bytes::from(bytes.clone());
        with_context(|cx| socket.send(cx, &bytes[..1000])).await;
        assert_eq!(socket.queued(), 0);
        with_context(|cx| socket.send_shared(cx, &shared.slice(1000..2_000_000))).await;
        assert!(socket.queued() > 0);
        with_context(|cx| socket.send(cx, &bytes[2_000_000..])).await;
        let mut got = Vec::new();
        let reader = async {
            let mut room = vec![0; 65_536];
            while got.len() < bytes.len() {
                peer.readable().await.expect("open");
                if let Ok(count) = peer.try_read(&mut room) {
                    got.extend_from_slice(&room[..count]);
                }
            }
        };
        let (flushed, ()) = tokio::join!(poll_fn(|cx| socket.poll_flush(cx)), reader);
        flushed.expect("no error");
        assert_eq!(socket.queued(), 0);
        assert!(got == bytes);
    }

    #[tokio::test]
    async fn one_turn_writes_so_often_and_no_more() {
        let (mut socket, _peer) = pair();
        let mut writes = 0;
        with_context(|cx| {
            while socket.queued() == 0 && writes < 10_000 {
                socket.send(cx, b"short");
                writes += 1;
            }
        })
        .await;
        // tokio gives a task 128 operations for a turn.
        assert!((2..=129).contains(&writes), "{writes}");
        poll_fn(|cx| socket.poll_flush(cx)).await.expect("no error");
        assert_eq!(socket.queued(), 0);
    }

    #[tokio::test]
    async fn the_error_of_a_write_shows_at_the_next_flush_and_nothing_is_queued() {
        let (mut socket, peer) = pair();
        drop(peer);
        with_context(|cx| socket.send(cx, b"nobody")).await;
        with_context(|cx| socket.send(cx, b"hears")).await;
        assert_eq!(socket.queued(), 0);
        let told = poll_fn(|cx| socket.poll_flush(cx)).await.expect_err("it failed");
        assert_eq!(told.kind(), io::ErrorKind::BrokenPipe);
    }
}
