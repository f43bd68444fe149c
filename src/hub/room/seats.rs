//! The seats of a room: promised before somebody is present, and counted, so that a room without any can be forgotten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Room;
use crate::hub::fault::Fault;
use crate::hub::id::MemberId;

impl Room {
    /// Somebody is promised a seat. Who is here already by another connection finds one in a full room, too.
    ///
    /// # Errors
    /// Closed, the wrong secret, or no seat.
    pub(crate) fn expect(&self, secret: Option<&str>, id: Option<MemberId>) -> Result<(), Fault> {
        let mut state = self.state.lock();
        if state.rules.is_closed {
            return Err(Fault::NoSuchRoom);
        }
        if !state.rules.opens(secret) {
            return Err(Fault::WrongSecret);
        }
        if state.seats >= state.rules.members && !id.is_some_and(|id| state.people.has(id)) {
            return Err(Fault::RoomFull);
        }
        state.seats += 1;
        state.empty_since = None;
        Ok(())
    }

    /// A seat that was promised or taken is free.
    pub(crate) fn forget_one(&self) {
        let mut state = self.state.lock();
        state.seats -= 1;
        if state.seats == 0 {
            let now = Instant::now();
            state.empty_since = Some(now);
            self.ground.vacant.add(&self.name, now);
            state.spoke = HashMap::new();
        }
    }

    /// Lets in those who have waited for so long to know what was said before: whoever is to tell it may have been stopped
    /// by something that nobody has thought of, and then they would not even be read any more.
    pub(crate) fn hurry(&self, now: Instant, patience: Duration) {
        let is_late = {
            let state = self.state.lock();
            !state.far.is_ready() && state.seats > 0 && now.saturating_duration_since(state.made) >= patience
        };
        if is_late {
            self.let_in();
        }
    }

    /// Since when nobody is here; never, for a room that is always there.
    pub(crate) fn empty_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.empty_since.filter(|_| !state.rules.is_fixed)
    }

    /// Whether nobody has been here for so long that it is as if it had not been there.
    pub(crate) fn is_forgotten(&self, now: Instant, most: Duration) -> bool {
        let state = self.state.lock();
        let since = state.empty_since.filter(|_| !state.rules.is_fixed);
        since.is_some_and(|since| state.rules.is_closed || now.saturating_duration_since(since) >= most)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.ground.store.close(&self.name);
    }
}
