//! What holds in one room: the hub's wishes, and those for the room alone.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use super::Room;
use crate::config::{self, SayRate, Secret};
use crate::hub::mailbox::Bounds;

/// A fixed room whose secret is known.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    /// As the owner wrote it.
    pub(crate) wishes: config::FixedRoom,
    /// What one must know to enter.
    pub(crate) secret: Option<Secret>,
}

impl Fixed {
    /// Whether it is not for everybody.
    #[must_use]
    pub(crate) const fn is_guarded(&self) -> bool {
        self.secret.is_some() || self.wishes.read_only
    }
}

/// The rules of one room.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Messages that are kept, and their bytes.
    pub(crate) history: (usize, usize),
    pub(crate) members: usize,
    pub(crate) presence: usize,
    pub(crate) secret: Option<Secret>,
    pub(crate) read_only: bool,
    /// Between two messages of one member; zero: nothing.
    pub(crate) slow: Duration,
    pub(crate) text: usize,
    pub(crate) escape: bool,
    pub(crate) to_sender: bool,
    /// For members of the plain language: others have their own.
    pub(crate) say: SayRate,
    pub(crate) bounds: Bounds,
    /// Whether it is there without members, for good.
    pub(crate) is_fixed: bool,
    /// Whether it was not for everybody and is fixed no more: nobody comes in, until it is gone.
    pub(crate) is_closed: bool,
}

impl Rules {
    /// Those of a room of this hub.
    #[must_use]
    pub(crate) fn new(hub: &config::Hub, fixed: Option<&Fixed>) -> Self {
        let wishes = fixed.map(|fixed| &fixed.wishes);
        let messages = wishes.and_then(|room| room.history).unwrap_or(hub.history);
        Self {
            history: (messages, hub.history_size),
            members: wishes.and_then(|room| room.members).unwrap_or(hub.members),
            presence: hub.presence,
            secret: fixed.and_then(|fixed| fixed.secret.clone()),
            read_only: wishes.is_some_and(|room| room.read_only),
            slow: wishes.map(|room| room.slow).unwrap_or_default(),
            text: hub.text,
            escape: hub.escape,
            to_sender: hub.to_sender,
            say: hub.say,
            bounds: Bounds { letters: hub.mailbox, bytes: hub.mailbox_size },
            is_fixed: fixed.is_some(),
            is_closed: false,
        }
    }

    /// These, behind those before. Who takes a room out of the list takes its secret with it: that must not open it.
    #[must_use]
    fn following(self, before: &Self) -> Self {
        if self.is_fixed || !(before.is_closed || before.secret.is_some() || before.read_only) {
            return self;
        }
        Self { secret: before.secret.clone(), read_only: before.read_only, is_closed: true, ..self }
    }

    /// Whether this opens the room. Takes as long for any secret: what is compared are digests.
    #[must_use]
    pub(crate) fn opens(&self, shown: Option<&str>) -> bool {
        let Some(secret) = &self.secret else { return true };
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        let (right, shown) = (hash(secret.reveal()), hash(shown.unwrap_or_default()));
        verify_slices_are_equal(right.as_ref(), shown.as_ref()).is_ok()
    }
}

impl Room {
    /// From now on these rules hold; nobody is put out for them. Whether it is closed by them.
    pub(crate) fn adopt(&self, rules: Rules) -> bool {
        let mut state = self.state.lock();
        let rules = rules.following(&state.rules);
        if state.rules.escape != rules.escape {
            state.history.forget_frames();
        }
        state.history.trim(rules.history);
        self.ground.store.bound(&self.name, rules.history);
        let slow = state.slow.unwrap_or(rules.slow);
        state.rules = Rules { slow, ..rules };
        state.rules.is_closed
    }
}
