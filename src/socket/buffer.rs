//! Buffers that are held only while bytes are in flight: one pool for each thread, nothing for an idle connection.

use std::cell::RefCell;

/// Bytes in one buffer: two full TLS records (RFC 8446 §5.2: 2^14 + 256, and 5 bytes of header), or the largest one
/// of old (RFC 5246 §6.2.3: 2^14 + 2048). Pages that are not written to cost nothing.
pub(super) const SIZE: usize = 2 * (16 * 1024 + 256 + 5);
/// Buffers that a thread keeps for the next use at most; the rest goes back to the allocator.
const KEPT: usize = 64;
/// A remainder of at most so many bytes is kept in an allocation of its own size, so that a peer that sends one byte
/// of a record and stops does not hold a whole buffer.
const SPILL: usize = 1024;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// [`SIZE`] bytes of the thread's own, for what goes to the kernel at once. Not to be asked for again inside.
#[inline]
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.is_empty() {
            scratch.resize(SIZE, 0);
        }
        work(scratch)
    })
}

/// A buffer of at least [`SIZE`] bytes on loan from this thread's pool.
#[derive(Debug)]
pub(super) struct Loan(Box<[u8]>);

impl Loan {
    /// All of the buffer.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(super) fn take() -> Self {
        let kept = POOL.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice()))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // A thread that is going away has no pool any more.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if self.0.len() == SIZE && pool.len() < KEPT {
                pool.push(std::mem::take(&mut self.0));
            }
        });
    }
}

/// Bytes that wait for something: in a loan while they are worked on, in an exact allocation or nowhere while not.
#[derive(Debug, Default)]
pub(crate) struct Bay {
    hold: Hold,
    start: usize,
    end: usize,
}

#[derive(Debug, Default)]
enum Hold {
    #[default]
    Nothing,
    Spill(Box<[u8]>),
    Loan(Loan),
}

impl Bay {
    /// What is in it.
    pub(crate) fn filled(&mut self) -> &mut [u8] {
        let range = self.start..self.end;
        match &mut self.hold {
            Hold::Nothing => &mut [],
            Hold::Spill(bytes) => &mut bytes[range],
            Hold::Loan(loan) => &mut loan.0[range],
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is in it.
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The room behind what is in it; takes a buffer if there is none, and moves what is there to its front.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if !matches!(self.hold, Hold::Loan(_)) {
            let mut loan = Loan::take();
            let filled = self.filled();
            loan.0[..filled.len()].copy_from_slice(filled);
            self.end = filled.len();
            self.start = 0;
            self.hold = Hold::Loan(loan);
        }
        let Hold::Loan(loan) = &mut self.hold else { return &mut [] };
        if self.start > 0 {
            loan.0.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut loan.0[self.end..]
    }

    /// At least `wanted` bytes of room, in a larger buffer than usual if need be.
    pub(super) fn room_for(&mut self, wanted: usize) -> &mut [u8] {
        if self.room().len() < wanted {
            let mut larger = vec![0; self.end + wanted].into_boxed_slice();
            let filled = self.filled();
            larger[..filled.len()].copy_from_slice(filled);
            self.hold = Hold::Loan(Loan(larger));
        }
        self.room()
    }

    /// Puts the bytes behind what is in it, in an allocation of the size that takes.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let all: Box<[u8]> = [&*self.filled(), bytes].concat().into();
        (self.start, self.end) = (0, all.len());
        self.hold = Hold::Spill(all);
    }

    /// Puts the bytes behind what is in it; `false`, and nothing is done, when they do not fit into a buffer.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> bool {
        let fits = self.len() + bytes.len() <= SIZE;
        if fits {
            self.room()[..bytes.len()].copy_from_slice(bytes);
            self.fill(bytes.len());
        }
        fits
    }

    /// `count` bytes of the room are filled now.
    pub(super) const fn fill(&mut self, count: usize) {
        self.end += count;
    }

    /// `count` bytes at the front are used up.
    pub(super) const fn discard(&mut self, count: usize) {
        self.start += count;
    }

    /// Empties it, and gives back what it holds.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back what is not needed while nothing happens.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            self.clear();
        } else if self.len() <= SPILL {
            self.shrink();
        }
    }

    /// What is in it waits for long: it gets an allocation of its own size, and the buffer is given back.
    pub(super) fn shrink(&mut self) {
        if matches!(self.hold, Hold::Loan(_)) {
            let spill: Box<[u8]> = (&*self.filled()).into();
            (self.start, self.end) = (0, spill.len());
            self.hold = Hold::Spill(spill);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_spill_and_growth() {
        let mut bay = Bay::default();
        bay.room()[..5].copy_from_slice(b"hello");
        bay.fill(5);
        bay.discard(1);
        bay.rest();
        assert!(matches!(bay.hold, Hold::Spill(_)));
        assert_eq!(bay.filled(), b"ello");
        let room = bay.room_for(2 * SIZE);
        assert!(room.len() >= 2 * SIZE);
        room[0] = b'!';
        bay.fill(1);
        assert_eq!(bay.filled(), b"ello!");
        bay.discard(5);
        bay.rest();
        assert!(matches!(bay.hold, Hold::Nothing));
    }

    #[test]
    fn an_empty_bay_holds_nothing_and_the_pool_gets_its_buffer_back() {
        POOL.with_borrow_mut(Vec::clear);
        let mut bay = Bay::default();
        let _ = bay.room();
        bay.rest();
        assert_eq!(POOL.with_borrow(Vec::len), 1);
        let loans: Vec<Loan> = (0..2 * KEPT).map(|_| Loan::take()).collect();
        drop(loans);
        assert_eq!(POOL.with_borrow(Vec::len), KEPT);
    }
}
