//! When a member that asks nonsense has done so for too long.

/// Requests that make no sense, counted by the minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Misconduct {
    since: u64,
    count: u32,
}

impl Misconduct {
    /// So many within a minute are too many.
    const MOST: u32 = 10;
    const MINUTE: u64 = 60_000;

    /// Another one; whether it was one too many. `now` is in milliseconds since the worker's start.
    pub(super) fn add(&mut self, now: u64) -> bool {
        if self.count == 0 || now.saturating_sub(self.since) >= Self::MINUTE {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count >= Self::MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_in_a_minute_are_too_many() {
        let mut misconduct = Misconduct::default();
        assert!((0..9).all(|at| !misconduct.add(1000 + at)));
        assert!(!misconduct.add(61_000), "another minute");
        assert!((0..8).all(|at| !misconduct.add(61_001 + at)));
        assert!(misconduct.add(62_000));
    }
}
