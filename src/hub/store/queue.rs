//! What waits for the disk: filled by any thread without waiting, emptied by the archive's own, and bounded.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::{BYTES, GATHER, JOBS};
use crate::hub::id::MessageId;
use crate::hub::record::Record;

/// Something to write.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Keep(Arc<str>, Record),
    Erase(Arc<str>, MessageId),
    /// All of a room: what it has comes after this.
    Clear(Arc<str>),
    /// Whether a room is not for everybody.
    Guard(Arc<str>, bool),
}

impl Write {
    /// Where it belongs.
    pub(super) fn into_room(self) -> Arc<str> {
        match self {
            Self::Keep(room, _) | Self::Erase(room, _) | Self::Clear(room) | Self::Guard(room, _) => room,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Keep(_, record) => size_of::<Self>() + record.weight(),
            Self::Erase(..) | Self::Clear(_) | Self::Guard(..) => 0,
        }
    }
}

/// What was taken at once, in its order.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) writes: Vec<Write>,
    /// Who wants to know whether all of it, and all before, is committed.
    pub(super) asked: Vec<SyncSender<bool>>,
    /// Nothing will come any more.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    writes: Vec<Write>,
    asked: Vec<SyncSender<bool>>,
    /// What is not done, and its bytes: those of `writes`, and of those that were taken.
    count: usize,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Takes something to write; `false`: there is no room for it.
    pub(super) fn write(&self, write: Write) -> bool {
        let mut inside = self.inside.lock();
        // A message that was erased must not come back with the next start, nor a room be open then that was not: there is
        // as much room again for these.
        let most = if matches!(write, Write::Erase(..) | Write::Guard(..)) { 2 * JOBS } else { JOBS };
        let size = write.size();
        if inside.closed || inside.count >= most || inside.bytes + size > BYTES {
            return false;
        }
        inside.count += 1;
        inside.bytes += size;
        inside.writes.push(write);
        drop(inside);
        self.more.notify_one();
        true
    }

    /// Asks whether everything so far is committed; the answer comes after one more try. A sender that is dropped means
    /// that nobody is there to answer.
    pub(super) fn ask(&self, answer: SyncSender<bool>) {
        let mut inside = self.inside.lock();
        if !inside.closed {
            inside.asked.push(answer);
        }
        drop(inside);
        self.more.notify_one();
    }

    /// Nothing more is taken; what is there will be.
    pub(super) fn close(&self) {
        self.inside.lock().closed = true;
        self.more.notify_one();
    }

    /// Nothing is taken or answered any more.
    pub(super) fn end(&self) {
        let mut inside = self.inside.lock();
        inside.closed = true;
        inside.writes.clear();
        inside.asked.clear();
    }

    /// All that waits, once something does; after something to write it waits a little for more of it. Comes back with
    /// nothing at `until`.
    pub(super) fn take(&self, until: Instant) -> Taken {
        let mut inside = self.inside.lock();
        while inside.writes.is_empty() && inside.asked.is_empty() && !inside.closed {
            if self.more.wait_until(&mut inside, until).timed_out() {
                return Taken::default();
            }
        }
        let gathered = Instant::now() + GATHER;
        while inside.asked.is_empty() && !inside.closed && inside.count < JOBS / 2 && inside.bytes < BYTES / 2 {
            if self.more.wait_until(&mut inside, gathered).timed_out() {
                break;
            }
        }
        let (writes, asked) = (std::mem::take(&mut inside.writes), std::mem::take(&mut inside.asked));
        Taken { writes, asked, closed: inside.closed }
    }

    /// These are written, or given up.
    pub(super) fn done(&self, writes: &[Write]) {
        let mut inside = self.inside.lock();
        inside.count -= writes.len();
        inside.bytes -= writes.iter().map(Write::size).sum::<usize>();
    }

    /// Things to write that are not done.
    pub(super) fn waiting(&self) -> usize {
        self.inside.lock().count
    }
}
