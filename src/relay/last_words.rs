//! A backend that takes nothing any more: what it has said before is still read, and counts.
//!
//! A write can meet a reset of which the worker has not heard yet. What lies before it in the socket is read when the
//! worker has, and only then has the backend ended.

use std::io;
use std::pin::Pin;
use std::task::Context;

use super::{LAST_WORDS, Leg};
use crate::lifecycle::clock::sleep;

/// Why nothing can be written to a backend any more, and how long its last words are waited for.
pub(super) struct Broken {
    error: io::Error,
    /// Where nothing can be read and nothing ends, as with a unix stream whose reader alone has gone.
    ends: Pin<Box<dyn Future<Output = ()>>>,
}

impl Leg {
    /// Nothing can be written to the backend any more.
    #[cold]
    pub(super) fn backend_refuses(&mut self, error: io::Error) {
        if self.broken.is_none() {
            self.broken = Some(Box::new(Broken { error, ends: Box::pin(sleep(LAST_WORDS)) }));
            self.is_careful = true;
        }
    }

    /// Whether the time of a backend's last words is over; then it has failed. To be asked when there is nothing to
    /// read from it.
    pub(super) fn last_words_are_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(broken) = &mut self.broken else { return false };
        if broken.ends.as_mut().poll(cx).is_pending() {
            return false;
        }
        let how = format!("the backend's connection failed: {}", broken.error);
        self.backend_lost(cx, how, false);
        true
    }

    /// Why nothing could be written to the backend that has ended now, if so it was.
    pub(super) fn take_broken(&mut self) -> Option<io::ErrorKind> {
        self.broken.take().map(|broken| broken.error.kind())
    }
}
