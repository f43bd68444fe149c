//! The way out: plaintext into records, records into the transport.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::seal::{OVERHEAD, What, Write};
use super::{RECORD, Secure, Stand, keep};
use crate::socket::buffer::with_scratch;

impl Secure {
    /// Encrypts as much of `bytes` as there is room for, and sends what the transport takes. `Ready` with a count of
    /// at least 1, or `Pending` when nothing was taken, because earlier records wait.
    pub(in crate::socket) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.outbox.is_empty() {
            ready!(self.poll_drain(cx))?;
        }
        with_scratch(|scratch| {
            let (mut sealed, mut filled) = (0, 0);
            while sealed == 0 || (sealed < bytes.len() && has_room(scratch, filled, bytes.len() - sealed)) {
                let record = &bytes[sealed..(sealed + RECORD).min(bytes.len())];
                match self.write(What::Plain(record), &mut scratch[filled..]) {
                    Ok(count) => filled += count,
                    Err(error) => {
                        // What is sealed counts as sent in TLS. Garbage that turned up on the way to the write has left
                        // an alert in the outbox.
                        let _ = self.send_records(cx, &scratch[..filled]);
                        let _ = self.poll_drain(cx);
                        return Poll::Ready(Err(error));
                    }
                }
                sealed += record.len();
            }
            self.send_records(cx, &scratch[..filled])?;
            Poll::Ready(Ok(sealed))
        })
    }

    /// Sends what the transport takes; what it does not waits in the outbox, behind what rustls had to say before.
    fn send_records(&mut self, cx: &mut Context<'_>, records: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        if self.outbox.is_empty()
            && let Poll::Ready(count) = self.transport.poll_send(cx, records)?
        {
            if count == records.len() {
                return Ok(());
            }
            sent = count;
        }
        self.outbox.keep(&records[sent..]);
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends what waits in the outbox.
    pub(in crate::socket) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            match self.transport.poll_send(cx, self.outbox.filled())? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(sent) => self.outbox.discard(sent),
                Poll::Pending => {
                    // A peer that does not read may not do so for long: no more than its bytes are held for it.
                    self.outbox.shrink();
                    return Poll::Pending;
                }
            }
        }
        self.outbox.rest();
        Poll::Ready(Ok(()))
    }

    /// close_notify, then the end of our direction of the transport.
    pub(in crate::socket) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_close {
            let mut room = [0; OVERHEAD];
            // A connection that cannot say goodbye any more just ends.
            if let Ok(filled) = self.write(What::CloseNotify, &mut room) {
                self.outbox.keep(&room[..filled]);
            }
            self.said_close = true;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    /// Bytes that wait for the transport.
    pub(in crate::socket) const fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Makes one record, in the room; how long it has become.
    fn write(&mut self, what: What<'_>, room: &mut [u8]) -> io::Result<usize> {
        let mut write = Write { what, room, filled: 0 };
        let stand = self.advance(Some(&mut write), &mut keep)?;
        match (stand, write.filled, write.what) {
            (Stand::Handshake, ..) => Err(io::ErrorKind::NotConnected.into()),
            // TLS is over, by its end or by its failure.
            (Stand::Closed, 0, What::Plain(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            (_, filled, _) => Ok(filled),
        }
    }
}

/// Whether the next record of so many bytes fits into the room.
const fn has_room(room: &[u8], filled: usize, plain: usize) -> bool {
    let record = if plain < RECORD { plain } else { RECORD };
    filled + record + OVERHEAD <= room.len()
}
