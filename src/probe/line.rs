//! One connection of the probe: bytes out in the pieces that an experiment wants, frames in, and an orderly end.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::frames::{Frame, take};
use crate::lifecycle::clock::{timeout, timeout_at};
use crate::socket::Socket;

/// How long a server has to end its direction after ours has ended.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that are held of what a server sends without being a frame or a head.
const HELD_MAX: usize = 8 << 20;

/// A connected byte stream, and what has been read from it and not been looked at.
pub(super) struct Line {
    stream: Stream,
    pub(super) bytes: Vec<u8>,
    /// Whether acknowledgements leave at once (`TCP_QUICKACK`); absent: as the kernel likes.
    pub(super) acknowledge: Option<bool>,
    over: bool,
}

enum Stream {
    Tcp(TcpStream),
    Socket(Box<Socket>),
}

/// What reading for a while came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    /// Bytes have come.
    Came,
    /// The stream has ended, in order or not.
    Over,
    /// Nothing has come in time.
    Quiet,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A frame, lawful or not.
    Frame(Frame),
    /// The stream has ended, or what came is no frame.
    Over,
    /// Nothing has come in time.
    Quiet,
}

impl Line {
    /// A line over plain TCP.
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self { stream: Stream::Tcp(stream), bytes: Vec::new(), acknowledge: None, over: false }
    }

    /// A line over TLS or a unix stream.
    pub(super) fn socket(socket: Socket) -> Self {
        Self { stream: Stream::Socket(Box::new(socket)), bytes: Vec::new(), acknowledge: None, over: false }
    }

    /// Sends all of it in one write, where the kernel takes it in one. A server that takes nothing is as good as one
    /// that is gone: `false`.
    pub(super) async fn send(&mut self, bytes: &[u8], limit: Duration) -> bool {
        let sending = async {
            match &mut self.stream {
                Stream::Tcp(stream) => stream.write_all(bytes).await,
                Stream::Socket(socket) => {
                    socket.write_all(bytes).await?;
                    socket.flush().await
                }
            }
        };
        matches!(timeout(limit, sending).await, Ok(Ok(())))
    }

    /// Whether it is plain TCP, whose acknowledgements can be hurried.
    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.stream, Stream::Tcp(_))
    }

    /// Reads once. Cancel safe.
    pub(super) async fn more(&mut self, until: Instant) -> More {
        if self.over || self.bytes.len() > HELD_MAX {
            return More::Over;
        }
        if let (Some(at_once), Stream::Tcp(stream)) = (self.acknowledge, &self.stream) {
            // The kernel forgets it, so it is said before each read.
            let _ = stream.set_quickack(at_once);
        }
        let reading = async {
            match &mut self.stream {
                Stream::Tcp(stream) => stream.read_buf(&mut self.bytes).await,
                Stream::Socket(socket) => socket.read_buf(&mut self.bytes).await,
            }
        };
        match timeout_at(until, reading).await {
            Err(_) => More::Quiet,
            Ok(Ok(count)) if count > 0 => More::Came,
            Ok(_) => {
                self.over = true;
                More::Over
            }
        }
    }

    /// The next frame. Cancel safe.
    pub(super) async fn frame(&mut self, until: Instant) -> Heard {
        loop {
            match take(&mut self.bytes) {
                Ok(Some(frame)) => return Heard::Frame(frame),
                Err(_) => return Heard::Over,
                Ok(None) => {}
            }
            match self.more(until).await {
                More::Came => {}
                More::Over => return Heard::Over,
                More::Quiet => return Heard::Quiet,
            }
        }
    }

    /// Whether the server has ended it; the frames that it has sent until now are read and forgotten.
    pub(super) async fn is_over(&mut self) -> bool {
        while matches!(self.frame(Instant::now()).await, Heard::Frame(_)) {}
        if take(&mut self.bytes).is_err() {
            // It has lost its way; whether it is still there can be seen all the same.
            self.bytes.clear();
        }
        self.over
    }

    /// Leaves by FIN and reads on until the server has ended its direction too: a socket that is closed with unread
    /// bytes is reset, and some servers never forget that. `false` when the server did not end in time.
    pub(super) async fn leave(mut self) -> bool {
        let ended: io::Result<()> = match &mut self.stream {
            Stream::Tcp(stream) => stream.shutdown().await,
            Stream::Socket(socket) => match timeout(FAREWELL, socket.shutdown()).await {
                Ok(ended) => ended,
                Err(_) => return false,
            },
        };
        if ended.is_err() {
            return self.over;
        }
        let until = Instant::now() + FAREWELL;
        loop {
            self.bytes.clear();
            match self.more(until).await {
                More::Came => {}
                More::Over => return true,
                More::Quiet => return false,
            }
        }
    }
}
