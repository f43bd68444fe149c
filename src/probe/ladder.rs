//! The largest size that works, found with few tries: up along known limits, then by halves; never beyond a bound. No
//! I/O.

/// What is known of a size that works up to somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The largest that was seen to work; 0: none.
    pub(super) works: usize,
    /// The smallest that was seen to fail; absent: none did, up to where was tried.
    pub(super) fails: Option<usize>,
    /// Whether the failure harmed others than its sender.
    pub(super) harms: bool,
}

/// A search for a bound, from the small to the large.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    rungs: &'static [usize],
    ceiling: usize,
    bound: Bound,
    over: bool,
}

impl Ladder {
    /// Above `start`, which is known to work, and up to the ceiling; both belong to it. The rungs rise.
    pub(super) const fn new(rungs: &'static [usize], start: usize, ceiling: usize) -> Self {
        Self { rungs, ceiling, bound: Bound { works: start, fails: None, harms: false }, over: false }
    }

    /// The next size to try; `None` when enough is known.
    pub(super) fn next(&self) -> Option<usize> {
        let Bound { works, fails, .. } = self.bound;
        if self.over {
            return None;
        }
        match fails {
            None => self.rungs.iter().copied().find(|rung| *rung > works && *rung <= self.ceiling),
            // Limits are round numbers less a head: a 64th is near enough to know which.
            Some(fails) => (fails - works > 1 + works / 64).then(|| works + (fails - works) / 2),
        }
    }

    /// This size works.
    pub(super) fn passed(&mut self, size: usize) {
        self.bound.works = self.bound.works.max(size);
    }

    /// This size does not, and nobody but its sender was harmed.
    pub(super) fn failed(&mut self, size: usize) {
        self.bound.fails = Some(self.bound.fails.map_or(size, |fails| fails.min(size)));
    }

    /// This size has harmed others: nothing more is tried.
    pub(super) fn harmed(&mut self, size: usize) {
        self.failed(size);
        (self.bound.harms, self.over) = (true, true);
    }

    /// What is known now.
    pub(super) const fn bound(&self) -> Bound {
        self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUNGS: &[usize] = &[125, 512, 992, 1016, 2040, 16_384, 1 << 20];

    /// Runs a search against a server with this limit, and counts the tries.
    fn search(limit: usize, ceiling: usize, harms: bool) -> (Bound, usize) {
        let (mut ladder, mut tries) = (Ladder::new(RUNGS, 0, ceiling), 0);
        while let Some(size) = ladder.next() {
            assert!(size <= ceiling, "{size} is beyond {ceiling}");
            tries += 1;
            match (size <= limit, harms) {
                (true, _) => ladder.passed(size),
                (false, false) => ladder.failed(size),
                (false, true) => ladder.harmed(size),
            }
        }
        (ladder.bound(), tries)
    }

    #[test]
    fn known_limits_are_found_exactly_and_without_a_second_harm() {
        for limit in [992, 1016, 2040] {
            let (bound, _) = search(limit, 1 << 20, true);
            assert_eq!((bound.works, bound.harms), (limit, true));
        }
        assert_eq!(search(usize::MAX, 1 << 20, true).0, Bound { works: 1 << 20, fails: None, harms: false });
        assert_eq!(search(usize::MAX, 1000, true).0, Bound { works: 992, fails: None, harms: false });
        assert_eq!(search(10, 1 << 20, true).0, Bound { works: 0, fails: Some(125), harms: true });
    }

    proptest! {
        #[test]
        fn any_limit_is_found_to_a_64th_with_few_tries(limit in 1usize..2_000_000, ceiling in 125usize..=1 << 20) {
            let (bound, tries) = search(limit, ceiling, false);
            prop_assert!(tries <= RUNGS.len() + 16, "{tries}");
            prop_assert!(bound.works <= limit);
            match bound.fails {
                Some(fails) => prop_assert!(fails > limit && fails - bound.works <= 1 + bound.works / 64),
                None => prop_assert!(RUNGS.iter().all(|rung| *rung > ceiling || *rung <= limit)),
            }
        }
    }
}
