//! What goes to a shielded backend: frame by frame, to the next one what the one before has not got.

use std::task::{Context, Poll, ready};

use super::Shield;
use super::pace::Pace;
use super::shield::{PILED, is_control, is_pong};
use crate::socket::Socket;

impl Shield {
    /// The backend is gone. What it was not written or has not read waits for the next one, if there may be one.
    pub(super) fn backend_ended(&mut self, was_reset: bool) {
        let left = self.pace.as_mut().map(|pace| pace.clear(was_reset)).unwrap_or_default();
        if let Some(hold) = &mut self.hold {
            hold.take_back(left.into_iter().filter(|frame| !is_control(frame)));
        }
    }

    /// Writes to the backend what may be written by now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, backend: &mut Socket) {
        if let Some(pace) = &mut self.pace {
            let _ = pace.poll(cx, backend);
        }
        let _ = self.poll_kept(cx, backend);
    }

    /// Writes what was kept for this backend; `Ready` when nothing is left of it.
    fn poll_kept(&mut self, cx: &mut Context<'_>, backend: &mut Socket) -> Poll<()> {
        let Some(hold) = &mut self.hold else { return Poll::Ready(()) };
        while hold.left() > 0 {
            match &mut self.pace {
                Some(pace) => ready!(pace.poll_idle(cx, backend)),
                // Its socket wakes the task when it has taken that.
                None if backend.queued() > 0 => return Poll::Pending,
                None => {}
            }
            match (hold.next(), &mut self.pace) {
                (Some(frame), Some(pace)) => pace.send(cx, backend, &frame),
                (Some(frame), None) => backend.send(cx, &frame),
                (None, _) => break,
            }
        }
        Poll::Ready(())
    }

    /// `Ready` when the backend has everything, and has read it where that can be seen. Says whether a frame has left.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>, backend: &mut Socket) -> (Poll<()>, bool) {
        let before = self.left();
        let mut poll = self.poll_kept(cx, backend);
        if let (Poll::Ready(()), Some(pace)) = (poll, &mut self.pace) {
            poll = pace.poll_read(cx, backend);
        }
        (poll, self.left() < before)
    }

    fn left(&self) -> usize {
        self.pace.as_ref().map_or(0, Pace::waiting) + self.hold.as_ref().map_or(0, |hold| hold.left())
    }

    /// A frame for the backend, or for the next one.
    pub(super) fn tell_backend(&mut self, cx: &mut Context<'_>, backend: &mut Socket, frame: &[u8]) {
        match (&mut self.hold, &self.absence) {
            (Some(hold), Some(absence)) if absence.holds && !is_control(frame) => return hold.keep(frame),
            (_, Some(_)) => return,
            (_, None) if is_control(frame) => {}
            // A replay that is not read yet is the last frame that was told: another behind it would be taken for that.
            (Some(hold), None) if hold.left() > 0 || (hold.replays() && is_unread(&self.pace)) => {
                return hold.push(frame);
            }
            (Some(hold), None) => hold.note(frame),
            (None, None) => {}
        }
        match &mut self.pace {
            Some(pace) => pace.send(cx, backend, frame),
            None if is_pong(frame) && backend.queued() > PILED => {}
            None => backend.send(cx, frame),
        }
    }
}

fn is_unread(pace: &Option<Pace>) -> bool {
    pace.as_ref().is_some_and(Pace::is_unread)
}
