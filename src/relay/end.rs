//! The end of a leg: both sockets get what is still queued, are left in peace, and are given time to say their own.

use std::task::{Context, Poll, ready};

use super::Leg;
use crate::pool::LEAVE;
use crate::socket::vigil::{Due, Millis};
use crate::wire::close::{Ending, Party};

/// How long a backend may take to read what its client had said before it left.
const LAST_FRAMES: Millis = 30_000;

/// Which sockets are done, and since when that is waited for.
pub(super) struct Over {
    since: Millis,
    client_done: bool,
    backend_done: bool,
}

impl Leg {
    /// Both ends get what is still queued, an orderly end of the stream, and time to say their own.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>, now: Millis) -> Poll<Ending> {
        if self.over.is_none() {
            self.end_absence("left");
            // A client that has gone still gets its close_notify (RFC 8446 §6.1), but is not waited for.
            self.over = Some(Over { since: now, client_done: self.client_failed, backend_done: false });
            self.leave_within(now);
        }
        let is_left = self.poll_leave_backend(cx, now).is_ready();
        let is_late = self.vigil.look(now) == Due::Deadline;
        let Some(over) = &mut self.over else { return Poll::Pending };
        over.backend_done |= is_left;
        over.client_done |= self.client.poll_linger(cx).is_ready();
        if is_late || (over.client_done && over.backend_done) {
            let ending = self.tunnel.ending().cloned();
            return Poll::Ready(ending.unwrap_or_else(|| Ending::lost(Party::Gateway, "cut")));
        }
        Poll::Pending
    }

    fn leave_within(&mut self, now: Millis) {
        self.vigil.end_within(now, self.vigil.limits().close_timeout.min(LEAVE));
    }

    /// Our direction ends when the backend has read everything, and the socket is read until the backend has ended too:
    /// there are servers that never forget a client that was reset.
    fn poll_leave_backend(&mut self, cx: &mut Context<'_>, now: Millis) -> Poll<()> {
        if !self.backend_ended && self.poll_backend_has_all(cx, now).is_pending() {
            // Meanwhile nothing of its own may hold the backend up; when it has ended, nothing is waited for.
            ready!(self.backend.poll_forget(cx));
            self.note_backend_ended(false);
        }
        self.backend.poll_linger(cx)
    }

    fn poll_backend_has_all(&mut self, cx: &mut Context<'_>, now: Millis) -> Poll<()> {
        let Some(shield) = &mut self.shield else { return Poll::Ready(()) };
        let (poll, has_left) = shield.poll_done(cx, &mut self.backend);
        let is_in_time = self.over.as_ref().is_some_and(|over| now < over.since + LAST_FRAMES);
        if has_left && is_in_time {
            // Frames that are still being read one by one have time, as long as they are.
            self.leave_within(now);
        }
        poll
    }
}
