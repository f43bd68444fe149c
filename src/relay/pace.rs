//! One frame for one read: the next frame for the backend waits until it has read the one before.
//!
//! Hand-written servers decode the first frame of each read and lose the others. A pause between two frames helps until
//! the server is busy for longer; only its queue tells whether it has read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::lifecycle::clock::{Instant, sleep};
use crate::socket::{FarEnd, Socket, Taken};
use crate::wire::frame::Opcode;

/// The first wait before a queue is looked at again, and the longest: each is twice the one before.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(20);

/// Frames on their way to a backend, one at a time.
///
/// What waits is bounded by what one read of the client has brought: it is not read as long as something waits, and of
/// the gateway's own pongs only the latest does (RFC 6455 §5.5.3).
pub(super) struct Pace {
    sign: Sign,
    /// The longest wait for a reply in milliseconds, where there is no other sign.
    reply: u32,
    looks: u8,
    /// Whether the last frame is kept until it is known to have been read.
    keeps: bool,
    last: Option<Box<[u8]>>,
    waiting: VecDeque<Vec<u8>>,
    /// When the last frame was written, until it is known to have been read.
    unread: Option<Instant>,
    sleep: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// How it is known that the backend has read.
enum Sign {
    /// Its queue is empty.
    Queue(FarEnd),
    /// It says something, whatever that is: such servers answer each message. Or it has had time enough.
    Reply,
}

impl Pace {
    /// For a backend that has answered the upgrade.
    pub(super) fn new(backend: &Socket, reply: Duration, keeps: bool) -> Self {
        let sign = backend.far_end().map_or(Sign::Reply, Sign::Queue);
        let reply = u32::try_from(reply.as_millis()).unwrap_or(u32::MAX);
        Self { sign, reply, looks: 0, keeps, last: None, waiting: VecDeque::new(), unread: None, sleep: None }
    }

    const fn reply(&self) -> Duration {
        Duration::from_millis(self.reply as u64)
    }

    /// By what it is known that the backend has read, in one word for the log.
    pub(super) const fn word(&self) -> &'static str {
        match self.sign {
            Sign::Queue(_) => "queue",
            Sign::Reply => "reply",
        }
    }

    /// Frames that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the last frame is not known to have been read.
    pub(super) const fn is_unread(&self) -> bool {
        self.unread.is_some()
    }

    /// Writes the frame, now or when its turn has come (see [`Pace::poll`]).
    pub(super) fn send(&mut self, cx: &mut Context<'_>, backend: &mut Socket, frame: &[u8]) {
        if self.waiting.is_empty() && self.is_free(backend) {
            return self.write(cx, backend, frame);
        }
        let is_pong = |frame: &[u8]| frame.first() == Some(&(0x80 | Opcode::Pong as u8));
        if is_pong(frame) && self.waiting.back().is_some_and(|last| is_pong(last)) {
            self.waiting.pop_back();
        }
        self.waiting.push_back(frame.to_vec());
    }

    /// The backend has said something. Whoever answers has read, as a rule: its queue is looked at now, so that what
    /// waits need not wait for the next look, nor the next message for the question.
    pub(super) fn heard(&mut self, backend: &Socket) {
        if let Sign::Reply = self.sign {
            (self.unread, self.sleep) = (None, None);
        } else if self.is_free(backend) {
            self.sleep = None;
        }
    }

    /// The backend is gone: nothing waits for it any more. Gives what did, and before it the last frame where that is
    /// known not to have been read: tcp(7) ends a stream whose reader has left something with a reset, and with a FIN
    /// one of which everything was read. There may have been one frame alone to read.
    pub(super) fn clear(&mut self, was_reset: bool) -> VecDeque<Vec<u8>> {
        let mut left = std::mem::take(&mut self.waiting);
        let is_unread = was_reset && self.unread.is_some() && matches!(self.sign, Sign::Queue(_));
        if let Some(last) = self.last.take().filter(|_| is_unread) {
            left.push_front(last.into());
        }
        (self.unread, self.sleep) = (None, None);
        left
    }

    /// Writes what may be written by now. `Ready` when nothing waits any more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, backend: &mut Socket) -> Poll<()> {
        while !self.waiting.is_empty() {
            ready!(self.poll_free(cx, backend));
            if let Some(frame) = self.waiting.pop_front() {
                self.write(cx, backend, &frame);
            }
        }
        Poll::Ready(())
    }

    /// The same, and the next frame would be written at once.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>, backend: &mut Socket) -> Poll<()> {
        ready!(self.poll(cx, backend));
        self.poll_free(cx, backend)
    }

    /// `Ready` when nothing waits, and the backend's queue has been seen empty after the last frame, where it can be
    /// seen.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, backend: &mut Socket) -> Poll<()> {
        match self.sign {
            Sign::Queue(_) => self.poll_idle(cx, backend),
            Sign::Reply => self.poll(cx, backend),
        }
    }

    fn poll_free(&mut self, cx: &mut Context<'_>, backend: &Socket) -> Poll<()> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            if backend.queued() > 0 {
                // Its socket wakes the task when it has taken that.
                return Poll::Pending;
            }
            if self.is_free(backend) {
                return Poll::Ready(());
            }
            self.sleep = Some(Box::pin(sleep(self.next_look())));
        }
    }

    fn next_look(&mut self) -> Duration {
        match self.sign {
            Sign::Queue(_) => {
                let wait = FIRST_LOOK.saturating_mul(1 << self.looks).min(LAST_LOOK);
                self.looks = (self.looks + 1).min(10);
                wait
            }
            Sign::Reply => self.reply().saturating_sub(self.unread.map_or(self.reply(), |since| since.elapsed())),
        }
    }

    /// Whether the next frame may be written.
    fn is_free(&mut self, backend: &Socket) -> bool {
        let Some(since) = self.unread else { return backend.queued() == 0 };
        if backend.queued() > 0 {
            return false;
        }
        let reply = self.reply();
        let taken = match &mut self.sign {
            Sign::Queue(far_end) => far_end.look(),
            Sign::Reply if since.elapsed() >= reply => Taken::Everything,
            Sign::Reply => Taken::NotYet,
        };
        match taken {
            Taken::Everything => (self.unread, self.last) = (None, None),
            // Its end is about to be read, and what waits may be for another.
            Taken::NotYet | Taken::Ended => {}
            Taken::Unknown => self.sign = Sign::Reply,
        }
        self.unread.is_none()
    }

    fn write(&mut self, cx: &mut Context<'_>, backend: &mut Socket, frame: &[u8]) {
        backend.send(cx, frame);
        if let Sign::Queue(far_end) = &mut self.sign {
            far_end.note_sent(frame.len());
            self.last = self.keeps.then(|| frame.into());
        }
        (self.unread, self.looks, self.sleep) = (Some(Instant::now()), 0, None);
    }
}

#[cfg(test)]
mod tests;
