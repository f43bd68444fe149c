//! The face that HTTP sees: a socket as a stream of bytes, without a queue.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Socket;
use super::link::Link;

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.armed = false;
        if let Some(early) = &mut this.early {
            let count = early.len().min(buf.remaining());
            buf.put_slice(&early.split_to(count));
            if early.is_empty() {
                this.early = None;
            }
            return Poll::Ready(Ok(()));
        }
        match &mut this.link {
            Link::Plain(transport) => Pin::new(transport).poll_read(cx, buf),
            Link::Outbound(stream) => Pin::new(stream).poll_read(cx, buf),
            Link::Secure(secure) => {
                let read = Pin::new(&mut **secure).poll_read(cx, buf);
                this.busy |= secure.waiting() > 0;
                read
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_flush(cx))?;
        let sent = ready!(this.link.poll_send(cx, bytes))?;
        this.busy = this.link.waiting() > 0;
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close(cx)
    }
}
