//! The TLS end that clients reach, on rustls' unbuffered connection: decrypted records are handed on as they are, and
//! buffers are held only while bytes are in flight.
//!
//! All law of TLS (alerts, key updates, limits) stays in rustls. Two faces: a byte stream for HTTP, and records one by
//! one for frames.

mod failure;
mod seal;
mod send;
mod stream;

pub(crate) use failure::tls_failure;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ProtocolVersion, ServerConfig};

use self::seal::{Write, encode, tls_error};
use super::buffer::Bay;
use super::transport::Transport;

/// Plaintext in one record at most (RFC 8446 §5.1).
pub(super) const RECORD: usize = 16 * 1024;

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
            match self.advance(None, &mut keep) {
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

    /// The client's certificates.
    pub(super) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.tls.peer_certificates().map(<[_]>::to_vec).unwrap_or_default()
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
        take: &mut dyn FnMut(&[u8], bool) -> bool,
    ) -> Poll<io::Result<bool>> {
        if !self.plain.is_empty() {
            take(&std::mem::take(&mut self.plain), false);
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
            let stand = self.advance(None, &mut |_, piece, more| {
                any = true;
                take(piece, more)
            });
            let stand = match stand {
                Ok(stand) => stand,
                Err(error) => {
                    // The alert that says why.
                    let _ = self.poll_drain(cx);
                    return Poll::Ready(Err(error));
                }
            };
            // Records of ours that rustls had to make: what is not sent now goes out with the next flush.
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

    /// Whether bytes of the peer's are here, or its end, so that nothing of the transport has to be waited for.
    pub(super) const fn holds_input(&self) -> bool {
        self.closed || !self.inbox.is_empty() || !self.plain.is_empty()
    }

    /// What carries the records.
    pub(super) const fn transport(&self) -> &Transport {
        &self.transport
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.inbox.room();
        if room.is_empty() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "TLS message over the buffer's size")));
        }
        let count = ready!(self.transport.poll_recv(cx, room))?;
        self.inbox.fill(count);
        Poll::Ready(Ok(count))
    }

    /// Lets rustls work on the inbox until it needs something; decrypted records go to `take`, and so does everything
    /// that turns up on the way to a `write`. rustls must always see the true inbox: a handshake message under way is
    /// remembered by its place in it.
    fn advance(&mut self, mut write: Option<&mut Write<'_>>, take: &mut Take<'_>) -> io::Result<Stand> {
        if self.closed && self.said_close {
            return Ok(Stand::Closed);
        }
        loop {
            let held = self.inbox.len();
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(self.inbox.filled());
            let mut stand = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let mut enough = false;
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(tls_error)?;
                        discard += record.discard;
                        enough |= !take(&mut self.plain, record.payload, discard < held);
                    }
                    if write.is_none() && (enough || discard == held) {
                        stand = Some(Stand::Open);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.outbox, &mut |room| data.encode(room))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake) => stand = Some(Stand::Handshake),
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    if let Some(write) = &mut write {
                        write.seal(traffic)?;
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
}

/// Where decrypted records go, with the connection's own store of plaintext, for those who want them later, and whether
/// bytes stand behind them. `false` for "no more now".
type Take<'a> = dyn FnMut(&mut Vec<u8>, &[u8], bool) -> bool + 'a;

/// What comes is kept for later.
fn keep(plain: &mut Vec<u8>, piece: &[u8], _: bool) -> bool {
    plain.extend_from_slice(piece);
    true
}
