//! The face that HTTP sees: a TLS connection as a stream of bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Secure;

impl AsyncRead for Secure {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.plain.is_empty() {
            let mut plain = Vec::new();
            let more = ready!(this.poll_pieces(cx, &mut |piece, _| {
                plain.extend_from_slice(piece);
                false
            }))?;
            this.plain = plain;
            if !more {
                return Poll::Ready(Ok(()));
            }
        }
        let count = this.plain.len().min(buf.remaining());
        buf.put_slice(&this.plain[..count]);
        this.plain.drain(..count);
        if this.plain.is_empty() {
            this.plain = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Secure {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() { Poll::Ready(Ok(0)) } else { self.get_mut().poll_send(cx, bytes) }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close(cx)
    }
}
