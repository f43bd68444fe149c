//! The gate in front of the HTTP parser: it lets a request head through only when it is whole, in time, within its
//! size and sound, and answers the rest itself.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::admission::refusal::Refusal;
use crate::lifecycle::{Life, Phase, clock};
use crate::socket::Socket;
use crate::telemetry::record::Record;
use crate::wire::request_head::{self, Sniff};

/// How long a client whose head was refused has to take the answer and go.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes of one read while a head is collected.
const READ: usize = 4096;

/// A client's socket, seen through the gate.
pub(super) struct Front {
    socket: Socket,
    record: Rc<RefCell<Record>>,
    stage: Stage,
    /// What was read and not handed on.
    held: Vec<u8>,
    /// Up to here no end of a head was found.
    searched: usize,
    limit: usize,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    /// The end of the client's stream was seen.
    ended: bool,
    life: Life,
    /// Only polled before the drain has begun.
    draining: Pin<Box<dyn Future<Output = ()>>>,
}

enum Stage {
    /// A head is awaited or collected.
    Head,
    /// A sound head of this many bytes is being handed on; behind it comes another head, or anything.
    Pass { left: usize, then_head: bool },
    /// Whatever comes belongs to the request that was handed on.
    Through,
    /// The answer to a head that was refused is being sent.
    Refuse { answer: Bytes },
    /// It is sent; what still comes is read and forgotten.
    Goodbye,
}

impl Front {
    /// `deadline` is the first head's; each later one has `timeout` from the end of the one before. Once `life` drains,
    /// no head is awaited any more; one that has begun is refused at once.
    pub(super) fn new(
        socket: Socket,
        record: Rc<RefCell<Record>>,
        limit: usize,
        (deadline, timeout): (Instant, Duration),
        life: &Life,
    ) -> Self {
        let deadline = Box::pin(clock::sleep_until(deadline));
        let (stage, held) = (Stage::Head, Vec::new());
        let draining = Box::pin({
            let life = life.clone();
            async move { life.reached(Phase::Draining).await }
        });
        let (life, ended) = (life.clone(), false);
        Self { socket, record, stage, held, searched: 0, limit, timeout, deadline, ended, life, draining }
    }

    /// The socket, with everything that was read ahead back in it; `parsed` is what the parser had beyond the request.
    pub(super) fn into_socket(self, parsed: Bytes) -> Socket {
        let mut socket = self.socket;
        if !parsed.is_empty() || !self.held.is_empty() {
            // The parser's bytes are copied, so that its whole buffer is not kept alive by a few of them.
            socket.put_back([&*parsed, &self.held].concat().into());
        }
        socket
    }

    /// Whether an answer may still be on its way to a client that was not told goodbye: not to one that never asked,
    /// who would keep its place at the door for longer than the deadline.
    pub(super) fn owes_goodbye(&self) -> bool {
        self.record.borrow().requests > 0 && !matches!(self.stage, Stage::Goodbye)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if let Some(end) = request_head::find_end(&self.held, self.searched) {
                return Poll::Ready(Ok(self.judge(end)));
            }
            self.searched = self.held.len();
            if self.held.len() > self.limit {
                return Poll::Ready(Ok(self.refuse(Refusal::HeadTooLarge)));
            }
            if request_head::sniff(&self.held) == Sniff::NotHttp {
                return Poll::Ready(Ok(self.refuse(Refusal::Head(request_head::HeadError::NotHttp))));
            }
            if self.deadline.as_mut().poll(cx).is_ready() {
                if self.held.is_empty() {
                    return Poll::Ready(Ok(false));
                }
                return Poll::Ready(Ok(self.refuse(Refusal::HeadTooSlow)));
            }
            match self.poll_more(cx)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Ok(false)),
                Poll::Pending if !self.is_draining(cx) => return Poll::Pending,
                Poll::Pending if self.held.is_empty() => return Poll::Ready(Ok(false)),
                Poll::Pending => return Poll::Ready(Ok(self.refuse(Refusal::Draining))),
            }
        }
    }

    fn is_draining(&mut self, cx: &mut Context<'_>) -> bool {
        self.life.phase() >= Phase::Draining || self.draining.as_mut().poll(cx).is_ready()
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; READ];
        let mut buf = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
        self.held.extend_from_slice(buf.filled());
        Poll::Ready(Ok(!buf.filled().is_empty()))
    }

    fn judge(&mut self, end: usize) -> bool {
        if end > self.limit {
            return self.refuse(Refusal::HeadTooLarge);
        }
        match request_head::check(&self.held[..end]) {
            Ok(summary) => {
                self.record.borrow_mut().requests += 1;
                self.stage = Stage::Pass { left: end, then_head: !summary.upgrade && !summary.body };
                true
            }
            Err(error) => self.refuse(Refusal::Head(error)),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> bool {
        self.record.borrow_mut().refuse(refusal.status().as_u16(), refusal.label(), refusal.line());
        self.stage = Stage::Refuse { answer: Bytes::from(raw_answer(refusal)) };
        true
    }

    fn hand_on(&mut self, left: usize, then_head: bool, buf: &mut ReadBuf<'_>) {
        let count = left.min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.drain(..count);
        self.stage = match (left - count, then_head) {
            (0, true) => {
                self.searched = 0;
                self.deadline.as_mut().reset(Instant::now() + self.timeout);
                Stage::Head
            }
            (0, false) => Stage::Through,
            (left, then_head) => Stage::Pass { left, then_head },
        };
    }

    /// What may be handed on now; nothing at the end of the stream.
    fn poll_pass(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.stage {
                Stage::Head => {
                    if !ready!(self.poll_head(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::Pass { left, then_head } => {
                    self.hand_on(left, then_head, buf);
                    return Poll::Ready(Ok(()));
                }
                Stage::Through if self.held.is_empty() => return Pin::new(&mut self.socket).poll_read(cx, buf),
                Stage::Through => {
                    let count = self.held.len().min(buf.remaining());
                    buf.put_slice(&self.held[..count]);
                    self.held.drain(..count);
                    return Poll::Ready(Ok(()));
                }
                Stage::Refuse { .. } | Stage::Goodbye => {
                    ready!(self.poll_refusal(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Sends the refusal; `Ready` when it is out and the client has gone, or has had its time.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Refuse { answer } = &mut self.stage {
            let answer = std::mem::take(answer);
            self.socket.send(cx, &answer);
            self.stage = Stage::Goodbye;
            self.deadline.as_mut().reset(Instant::now() + GOODBYE);
        }
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        self.socket.poll_linger(cx)
    }
}

/// A whole answer to a head that never reached the parser.
pub(super) fn raw_answer(refusal: Refusal) -> Vec<u8> {
    let status = refusal.status();
    let line = refusal.line();
    let mut answer = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or(""),
        line.len(),
    )
    .into_bytes();
    for (name, value) in refusal.headers().iter().filter(|(name, _)| *name != CONNECTION) {
        answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    answer.extend([b"\r\n", line.as_bytes()].concat());
    answer
}

impl AsyncRead for Front {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(this.poll_pass(cx, buf))?;
        // The parser takes the end of the stream for a client that is gone, even while it makes an answer: one turn
        // later, what can be answered at once is on its way to a client that has only ended its direction.
        if buf.filled().len() == before && !std::mem::replace(&mut this.ended, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Front {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.get_mut().socket), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
