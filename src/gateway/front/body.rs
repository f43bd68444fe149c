//! A body at the gate: it is handed on up to its end, and what stands behind it waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::{Front, Stage};
use crate::wire::chunked::Framing;

/// Bytes of one read of a body.
const PIECE: usize = 16 << 10;

impl Front {
    /// Hands on what has come of a body, and nothing of what stands behind it.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        mut framing: Framing,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unsound = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if self.held.is_empty() {
            let room = buf.remaining().min(PIECE);
            let mut piece = ReadBuf::new(buf.initialize_unfilled_to(room));
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut piece))?;
            let count = framing.take(piece.filled()).map_err(unsound)?;
            self.held.extend_from_slice(&piece.filled()[count..]);
            buf.advance(count);
        } else {
            let ready = self.held.len().min(buf.remaining());
            let count = framing.take(&self.held[..ready]).map_err(unsound)?;
            buf.put_slice(&self.held[..count]);
            self.held.drain(..count);
        }
        if framing.is_over() {
            self.await_head()
        } else {
            self.stage = Stage::Body(framing)
        }
        Poll::Ready(Ok(()))
    }
}
