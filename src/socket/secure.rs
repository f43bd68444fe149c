//! The TLS end that clients reach, on rustls' unbuffered connection: decrypted records are handed on as they are, and
//! buffers are held only while bytes are in flight.
//!
//! All law of TLS (alerts, key updates, limits) stays in rustls. Two faces: a byte stream for HTTP, and records one by
//! one for frames.

mod seal;
mod stream;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::seal::{OVERHEAD, Write, encode, tls_error};
use super::buffer::{Bay, SIZE};
use super::transport::Transport;

/// Plaintext in one record at most (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// A TLS connection with a client, past or in its handshake.
pub(super) struct Secure {
    tls: UnbufferedServerConnection,
    transport: Transport,
    /// Records as they came, not decrypted yet.
    inbox: Bay,
    /// Records that wait for the transport.
    outbox: Bay,
    /// Plaintext that came while writing, or that a reader of the byte stream had no room for.
    plain: Vec<u8>,
    /// The peer said close_notify: what follows on the transport is not read.
    closed: bool,
    /// Our close_notify is in the outbox or gone.
    said_close: bool,
}

/// Where the record machine stands when it needs something.
#[derive(Debug, PartialEq, Eq)]
enum Stand {
    /// More bytes from the peer are needed to finish the handshake.
    Handshake,
    /// The handshake is done; no whole record is left, or the taker wants no more of them now.
    Open,
    /// The peer has closed.
    Closed,
}

impl Secure {
    /// A connection whose first bytes, if some were read already, are `early`.
    pub(super) fn new(transport: Transport, config: Arc<ServerConfig>, early: &[u8]) -> io::Result<Self> {
        let tls = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut inbox = Bay::default();
        inbox.room_for(early.len())[..early.len()].copy_from_slice(early);
        inbox.fill(early.len());
        Ok(Self { tls, transport, inbox, outbox: Bay::default(), plain: Vec::new(), closed: false, said_close: false })
    }

    /// Runs the handshake to its end. Cancel safe: all state is in the connection.
    ///
    /// On failure the alert that rustls has prepared is sent, as far as the transport takes it at once.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // Data may come in the handshake's last flight: it is kept.
            let stand = self.advance(None, &mut |plain, piece| {
                plain.extend_from_slice(piece);
                true
            });
            match stand {
                Ok(Stand::Handshake) => {
                    ready!(self.poll_drain(cx))?;
                    let fill = self.poll_fill(cx);
                    self.inbox.rest();
                    if ready!(fill)? == 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
                Ok(_) => {
                    ready!(self.poll_drain(cx))?;
                    self.inbox.rest();
                    return Poll::Ready(Ok(()));
                }
                Err(error) => {
                    let _ = self.poll_drain(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// The version that was agreed on.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        self.tls.protocol_version()
    }

    /// Whether the session was resumed.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Hands on what has come, a record at a time, until `take` says `false`. `Ready(true)` after at least one piece,
    /// `Ready(false)` at the end of the stream.
    pub(super) fn poll_pieces(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Poll<io::Result<bool>> {
        if !self.plain.is_empty() {
            take(&std::mem::take(&mut self.plain));
            return Poll::Ready(Ok(true));
        }
        if self.closed {
            return Poll::Ready(Ok(false));
        }
        let mut fresh = !self.inbox.is_empty();
        loop {
            if !fresh {
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    nothing => {
                        self.inbox.rest();
                        return nothing.map_ok(|_| false);
                    }
                }
            }
            fresh = false;
            let mut any = false;
            let stand = self.advance(None, &mut |_, piece| {
                any = true;
                take(piece)
            });
            let stand = match stand {
                Ok(stand) => stand,
                Err(error) => {
                    // The alert that says why.
                    let _ = self.poll_drain(cx);
                    return Poll::Ready(Err(error));
                }
            };
            // Records of ours that rustls had to make (a key update's answer) go out with the next flush at the latest.
            if !self.outbox.is_empty() {
                let _ = self.poll_drain(cx)?;
            }
            if any {
                self.inbox.rest();
                return Poll::Ready(Ok(true));
            }
            if stand == Stand::Closed {
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// Encrypts as much of `bytes` as there is room for, and sends what the transport takes. `Ready` with a count of
    /// at least 1, or `Pending` when nothing was taken.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.outbox.is_empty() && self.outbox.len() + bytes.len().min(RECORD) + OVERHEAD > SIZE {
            ready!(self.poll_drain(cx))?;
        }
        let record = &bytes[..bytes.len().min(RECORD)];
        // Garbage that turns up on the way to the write has left an alert in the outbox: it goes out as well.
        match (self.write(Write::Plain(record)), self.poll_drain(cx)) {
            (Err(error), _) | (Ok(()), Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(record.len())),
        }
    }

    /// Sends what waits in the outbox.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let sent = ready!(Pin::new(&mut self.transport).poll_write(cx, self.outbox.filled()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.discard(sent);
        }
        self.outbox.rest();
        Poll::Ready(Ok(()))
    }

    /// close_notify, then the end of our direction of the transport.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_close {
            // A connection that cannot say goodbye any more just ends.
            let _ = self.write(Write::CloseNotify);
            self.said_close = true;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    /// Bytes that wait for the transport.
    pub(super) const fn waiting(&self) -> usize {
        self.outbox.len()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.transport.poll_readable(cx))?;
        let room = self.inbox.room();
        if room.is_empty() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "TLS message over the buffer's size")));
        }
        let mut buf = ReadBuf::new(room);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buf))?;
        let count = buf.filled().len();
        self.inbox.fill(count);
        Poll::Ready(Ok(count))
    }

    /// Lets rustls work on the inbox until it needs something; decrypted records go to `take`, and so does everything
    /// that turns up on the way to a `write`. rustls must always see the true inbox: a handshake message under way is
    /// remembered by its place in it.
    fn advance(&mut self, write: Option<Write<'_>>, take: &mut Take<'_>) -> io::Result<Stand> {
        if self.closed && self.said_close {
            return Ok(Stand::Closed);
        }
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(self.inbox.filled());
            let mut stand = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let mut enough = false;
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(tls_error)?;
                        discard += record.discard;
                        enough |= !take(&mut self.plain, record.payload);
                    }
                    if write.is_none() && (enough || discard == self.inbox.len()) {
                        stand = Some(Stand::Open);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.outbox, &mut |room| data.encode(room))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake) => stand = Some(Stand::Handshake),
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    if let Some(write) = &write {
                        write.seal(traffic, &mut self.outbox)?;
                    }
                    stand = Some(if self.closed { Stand::Closed } else { Stand::Open });
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.closed = true;
                    stand = write.is_none().then_some(Stand::Closed);
                }
                Ok(ConnectionState::Closed) => stand = Some(Stand::Closed),
                // Early data is never offered, and the enum may grow: nothing else can be lawful here.
                Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "unexpected TLS state")),
                Err(error) => {
                    self.inbox.discard(discard);
                    self.collect_alert();
                    // rustls is not asked again: it would look at what it has refused, and say a second alert.
                    (self.closed, self.said_close) = (true, true);
                    return Err(tls_error(error));
                }
            }
            self.inbox.discard(discard);
            if let Some(stand) = stand {
                return Ok(stand);
            }
        }
    }

    /// After an error rustls holds the alert for it, behind whatever of the handshake it had not handed out yet: all of
    /// it goes to the outbox.
    fn collect_alert(&mut self) {
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(self.inbox.filled());
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            let encoded = encode(&mut self.outbox, &mut |room| data.encode(room));
            self.inbox.discard(discard);
            // Asked once more with bytes left, rustls would look at what it has refused already.
            if encoded.is_err() || !self.inbox.is_empty() {
                return;
            }
        }
    }

    fn write(&mut self, write: Write<'_>) -> io::Result<()> {
        let stand = self.advance(Some(write), &mut |plain, piece| {
            plain.extend_from_slice(piece);
            true
        })?;
        if stand == Stand::Handshake { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}

/// Where decrypted records go: with the connection's own store of plaintext, for those who want them later. `false`
/// for "no more now".
type Take<'a> = dyn FnMut(&mut Vec<u8>, &[u8]) -> bool + 'a;
