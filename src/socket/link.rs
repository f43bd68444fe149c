//! What a socket sends its bytes through: the transport itself, or TLS on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::buffer::Loan;
use super::secure::{RECORD, Secure};
use super::transport::Transport;
use crate::wire::frame::HEAD_MAX;

/// One of three ways.
pub(super) enum Link {
    Plain(Transport),
    Secure(Box<Secure>),
    Outbound(Box<TlsStream<Transport>>),
}

impl Link {
    /// What carries it.
    pub(super) fn transport(&self) -> &Transport {
        match self {
            Self::Plain(transport) => transport,
            Self::Secure(secure) => secure.transport(),
            Self::Outbound(stream) => stream.get_ref().0,
        }
    }

    /// Sends what is taken now: a count of at least 1, or an error.
    #[inline]
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = match self {
            Self::Secure(secure) => return secure.poll_send(cx, bytes),
            Self::Plain(transport) => ready!(transport.poll_send(cx, bytes))?,
            Self::Outbound(stream) => ready!(Pin::new(stream).poll_write(cx, bytes))?,
        };
        if sent == 0 { Poll::Ready(Err(io::ErrorKind::WriteZero.into())) } else { Poll::Ready(Ok(sent)) }
    }

    /// Bytes that were taken and wait inside.
    pub(super) fn waiting(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Secure(secure) => secure.waiting(),
            // rustls does not tell how much waits in it; something is enough to know.
            Self::Outbound(stream) => usize::from(stream.get_ref().1.wants_write()),
        }
    }

    /// Sends what was taken.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Outbound(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(secure) => secure.poll_drain(cx),
        }
    }
}

/// One read into a buffer that is given back at once.
#[inline]
pub(super) fn poll_piece(
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    flowing: &mut bool,
    take: &mut dyn FnMut(&[u8], bool) -> bool,
) -> Poll<io::Result<bool>> {
    let mut loan = Loan::take();
    let room = &mut loan.bytes()[..if *flowing { FLOW } else { PLAIN }];
    let count = ready!(read(room))?;
    *flowing = count == room.len();
    if count == 0 {
        return Poll::Ready(Ok(false));
    }
    take(&room[..count], false);
    Poll::Ready(Ok(true))
}

/// One read from a stream of whatever kind.
pub(super) fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(room);
    ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}

/// Bytes of one read from a plain stream: with its head, a frame of 16 KiB comes in one piece.
const PLAIN: usize = RECORD + HEAD_MAX;
/// The same while much is coming: two full TLS records.
const FLOW: usize = 2 * RECORD;
