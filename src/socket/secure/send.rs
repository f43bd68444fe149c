//! The way out: plaintext into records, records into the transport.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::seal::{OVERHEAD, Write};
use super::{RECORD, Secure, Stand, keep};
use crate::socket::buffer::SIZE;

impl Secure {
    /// Encrypts as much of `bytes` as there is room for, and sends what the transport takes. `Ready` with a count of
    /// at least 1, or `Pending` when nothing was taken, because earlier records wait.
    pub(in crate::socket) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.outbox.is_empty() {
            ready!(self.poll_drain(cx))?;
        }
        let mut sealed = 0;
        while sealed == 0 || (sealed < bytes.len() && self.has_room_for(bytes.len() - sealed)) {
            let record = &bytes[sealed..(sealed + RECORD).min(bytes.len())];
            self.write(Write::Plain(record))?;
            sealed += record.len();
        }
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(sealed)),
        }
    }

    /// Whether the next record of so many bytes fits behind what is in the outbox.
    fn has_room_for(&self, plain: usize) -> bool {
        self.outbox.len() + plain.min(RECORD) + OVERHEAD <= SIZE
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
            self.said_close = true;
            // A connection that cannot say goodbye any more just ends.
            let _ = self.write(Write::CloseNotify);
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    /// Bytes that wait for the transport.
    pub(in crate::socket) const fn waiting(&self) -> usize {
        self.outbox.len()
    }

    pub(super) fn write(&mut self, write: Write<'_>) -> io::Result<()> {
        let stand = self.advance(Some(write), &mut keep)?;
        if stand == Stand::Handshake { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}
