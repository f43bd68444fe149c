//! A backend that is gone without a Close: what its client is told, or how another connection takes its place.

use std::borrow::Cow;

use super::{Out, Side, Tunnel};
use crate::wire::close::{Close, Code};

/// What is known of a backend that is gone without a Close, and what was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its stream has ended; nothing says that it could not have gone on.
    Ended,
    /// It has died: its connection was reset, or nobody is there any more.
    Died,
    /// It has died and was not back in the time for which its client was held.
    NotBack,
    /// It has died, and its client has said more than may wait for it.
    QueueFull,
    /// It has died, is back, and does not want the client any more.
    Refused,
}

impl Lost {
    /// What the client is told.
    #[must_use]
    pub(super) fn close(self) -> Close {
        let (code, told) = match self {
            Self::Ended => (Code::INTERNAL, "bad gateway: the backend ended without a close"),
            Self::Died => (Code::RESTART, "bad gateway: the backend has died"),
            Self::NotBack => (Code::RESTART, "bad gateway: the backend has died and is not back in time"),
            Self::QueueFull => (Code::RESTART, "bad gateway: the backend has died, and too much waits for it"),
            Self::Refused => (Code::RESTART, "bad gateway: the backend has died and does not take the session back"),
        };
        Close::new(code, told)
    }
}

impl Tunnel {
    /// The backend is gone without a Close, for what is known of it. Who has died comes back: the client is told to
    /// come back, too.
    pub fn on_lost(&mut self, lost: Lost, how: impl Into<Cow<'static, str>>, out: &mut impl Out) {
        let was_over = self.is_over();
        if !std::mem::replace(&mut self.gone[Side::Backend as usize], true) && !was_over {
            self.backend_ended(how.into(), lost, out);
        }
    }

    /// The backend's connection is gone, and another one may take its place: what had come of a frame or a message is
    /// forgotten. `false`, and nothing is done, where that cannot be: without an [`Edge`](super::Edge), once an end has
    /// begun, and while a long message has passed in part, of which the client waits for the rest.
    #[must_use]
    pub fn forget_backend(&mut self) -> bool {
        let Some(held) = &mut self.edge else { return false };
        if self.ending.is_some() || (held.has_begun && self.down.is_in_message()) {
            return false;
        }
        self.down.restart();
        held.down.clear();
        (held.has_begun, held.is_bad) = (false, false);
        true
    }
}
