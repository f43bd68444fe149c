//! What carries the bytes: a TCP or a unix stream, as one type.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A byte stream of the operating system.
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Tcp(TcpStream),
    /// A unix stream.
    Unix(UnixStream),
}

macro_rules! each {
    ($self:ident, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Transport::Tcp($stream) => $do,
            Transport::Unix($stream) => $do,
        }
    };
}

impl Transport {
    /// Waits until there may be something to read, so that a buffer is only taken for bytes that have come.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Whether there may be something to read. Nobody is woken: a fraction of what asking to be woken costs.
    pub(super) fn is_readable(&self) -> bool {
        let seen = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || Ok(())),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || Ok(())),
        };
        seen.is_ok()
    }

    /// Sets TCP_QUICKACK; a hint, so that it may fail.
    pub(super) fn acknowledge_at_once(&self) {
        if let Self::Tcp(stream) = self {
            let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
        }
    }

    /// Reads what has come, 0 bytes at the end of the stream: what `poll_read` does, for a third less. Most of what that
    /// costs is to be woken by something that has come already.
    #[inline]
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let mut part = None;
        let got = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || take(&*stream, room, &mut part)),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || take(&*stream, room, &mut part)),
        };
        match (got, part) {
            // Not one of those that a task may do in one turn; the next one below is.
            (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => drop(turn),
            (got, part) => {
                turn.made_progress();
                return Poll::Ready(part.map_or(got, Ok));
            }
        }
        let mut buf = ReadBuf::new(room);
        ready!(Pin::new(self).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Sends what the kernel takes now.
    #[inline]
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.len() <= SHORT {
            // Like any other operation it is one of those that a task may do in one turn: a client whose every byte
            // makes a write must not keep the others waiting.
            let turn = ready!(tokio::task::coop::poll_proceed(cx));
            let sent = match self {
                Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, || give(&*stream, bytes)),
                Self::Unix(stream) => stream.try_io(Interest::WRITABLE, || give(&*stream, bytes)),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    turn.made_progress();
                    return Poll::Ready(sent);
                }
            }
        }
        Pin::new(self).poll_write(cx, bytes)
    }
}

/// One read. When it has brought less than there is room for, nothing more is there: `part` says how much it was, and
/// tokio is told that there was nothing, so that it forgets what it knew, and waits for the next word of the kernel
/// without a read in vain. What comes after that word is not forgotten.
fn take(stream: &impl AsFd, room: &mut [u8], part: &mut Option<usize>) -> io::Result<usize> {
    let (count, _) = recv(stream, &mut *room, RecvFlags::empty())?;
    if 0 < count && count < room.len() {
        *part = Some(count);
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(count)
}

/// One write. The calls of rustix are bare: those of the C library first see whether the thread is to be cancelled.
fn give(stream: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(stream, bytes, SendFlags::NOSIGNAL)?)
}

/// So few bytes fit nearly always, so they are tried without asking to be woken; of more, a part may be left over,
/// and then only `poll_write` knows without another call that the kernel takes no more.
const SHORT: usize = 4096;

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
