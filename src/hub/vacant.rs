//! Rooms in the order in which they became empty: who needs a place for another looks at the first, not at all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

/// Rooms that nobody was in, and since when. One that was entered since, or is gone, still stands here: whoever takes it
/// out sees that it is not empty since then.
#[derive(Debug, Default)]
pub(crate) struct Vacant(Mutex<VecDeque<(Instant, Arc<str>)>>);

impl Vacant {
    /// A room is empty from now on.
    pub(crate) fn add(&self, room: &Arc<str>, now: Instant) {
        self.0.lock().push_back((now, Arc::clone(room)));
    }

    /// Takes the one out that has been empty longest, if it still is.
    pub(crate) fn take(&self) -> Option<(Instant, Arc<str>)> {
        self.0.lock().pop_front()
    }

    /// How many stand here.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Takes those out of which this does not hold; the list is not locked meanwhile.
    pub(crate) fn retain(&self, is_true: impl Fn(&str, Instant) -> bool) {
        let mut before = std::mem::take(&mut *self.0.lock());
        before.retain(|(since, room)| is_true(room, *since));
        let mut now = self.0.lock();
        before.append(&mut now);
        *now = before;
    }
}
