//! The gate in front of the HTTP parser: it lets a request head through only when it is whole, in time, within its
//! size and sound, and answers the rest itself.

mod body;
mod write;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::answering::Answering;
use crate::admission::refusal::Refusal;
use crate::lifecycle::{Life, Phase, clock};
use crate::socket::Socket;
use crate::telemetry::record::Record;
use crate::wire::chunked::Framing;
use crate::wire::request_head::{self, Sniff};

/// How long a client whose head was refused has to take the answer and go.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes of one read while a head is collected.
const READ: usize = 4096;

/// A client's socket, seen through the gate.
pub(super) struct Front {
    socket: Socket,
    record: Rc<RefCell<Record>>,
    answering: Rc<Answering>,
    stage: Stage,
    /// What was read and not handed on.
    held: Vec<u8>,
    /// Up to here no end of a head was found.
    searched: usize,
    limit: usize,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    /// While the client takes nothing of what is sent.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The end of the client's stream was seen.
    ended: bool,
    life: Life,
    /// Only polled before the drain has begun.
    draining: Pin<Box<dyn Future<Output = ()>>>,
}

enum Stage {
    /// A head is awaited or collected.
    Head,
    /// A sound head of this many bytes is being handed on.
    Pass { left: usize, then: Behind },
    /// A body is being handed on; behind it comes another head.
    Body(Framing),
    /// Whatever comes belongs to the request that was handed on.
    Through,
    /// The answer to a head that was refused is being sent.
    Refuse { answer: Bytes },
    /// It is sent; what still comes is read and forgotten.
    Goodbye,
}

/// What stands behind a head.
#[derive(Clone, Copy)]
enum Behind {
    Head,
    Body(Framing),
    Anything,
}

impl Front {
    /// `deadline` is the first head's; each later one has `timeout` from the end of the one before. Once `life` drains,
    /// no head is awaited any more; one that has begun is refused at once.
    pub(super) fn new(
        socket: Socket,
        (record, answering): (Rc<RefCell<Record>>, Rc<Answering>),
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
        let (searched, stalled) = (0, None);
        Self {
            socket,
            record,
            answering,
            stage,
            held,
            searched,
            limit,
            timeout,
            deadline,
            stalled,
            ended,
            life,
            draining,
        }
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
            if self.is_late(cx) {
                if self.held.is_empty() {
                    return Poll::Ready(Ok(false));
                }
                return Poll::Ready(Ok(self.refuse(Refusal::HeadTooSlow)));
            }
            match self.poll_more(cx)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Ok(false)),
                Poll::Pending if self.answering.is_under_way() || !self.is_draining(cx) => return Poll::Pending,
                Poll::Pending if self.held.is_empty() => return Poll::Ready(Ok(false)),
                Poll::Pending => return Poll::Ready(Ok(self.refuse(Refusal::Draining))),
            }
        }
    }

    /// While an answer is under way nobody has to ask again.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        while self.deadline.as_mut().poll(cx).is_ready() {
            match self.answering.due(self.timeout).filter(|due| *due > Instant::now()) {
                Some(due) => self.deadline.as_mut().reset(due),
                None => return true,
            }
        }
        false
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
                let then = match summary.body {
                    _ if summary.upgrade => Behind::Anything,
                    Some(framing) => Behind::Body(framing),
                    None => Behind::Head,
                };
                self.stage = Stage::Pass { left: end, then };
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

    fn hand_on(&mut self, left: usize, then: Behind, buf: &mut ReadBuf<'_>) {
        let count = left.min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.drain(..count);
        match (left - count, then) {
            (0, Behind::Head) => self.await_head(),
            (0, Behind::Body(framing)) => self.stage = Stage::Body(framing),
            (0, Behind::Anything) => self.stage = Stage::Through,
            (left, then) => self.stage = Stage::Pass { left, then },
        }
    }

    fn await_head(&mut self) {
        self.searched = 0;
        self.deadline.as_mut().reset(Instant::now() + self.timeout);
        self.stage = Stage::Head;
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
                Stage::Pass { left, then } => {
                    self.hand_on(left, then, buf);
                    return Poll::Ready(Ok(()));
                }
                Stage::Body(framing) => return self.poll_body(cx, framing, buf),
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
