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
        }
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
    /// From now on these rules hold; nobody is put out for them.
    pub(crate) fn adopt(&self, rules: Rules) {
        let mut state = self.state.lock();
        if state.rules.escape != rules.escape {
            state.history.forget_frames();
        }
        state.history.trim(rules.history);
        let slow = state.slow.unwrap_or(rules.slow);
        state.rules = Rules { slow, ..rules };
    }
}
