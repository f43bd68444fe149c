//! How many retries a pool may make: a share of its requests, so that a storm is not multiplied by its own failures.

use std::time::Duration;

use crate::lifecycle::clock::Instant;

/// Requests and retries are counted in spans of this length.
const SPAN: Duration = Duration::from_secs(10);
/// Retries that any span allows: with few requests a share of them would be none.
const RESERVE: u64 = 10;

/// The count of the span under way.
#[derive(Debug, Default)]
pub(super) struct Budget {
    since: Option<Instant>,
    requests: u64,
    retries: u64,
}

impl Budget {
    /// A request has come.
    pub(super) fn count_request(&mut self, now: Instant) {
        self.turn(now);
        self.requests += 1;
    }

    /// Whether one more retry is within this share of the requests, in percent; if it is, it is counted.
    pub(super) fn take_retry(&mut self, now: Instant, percent: usize) -> bool {
        self.turn(now);
        let share = self.requests.saturating_mul(percent as u64) / 100;
        let allowed = if percent == 0 { 0 } else { share.max(RESERVE) };
        let is_within = self.retries < allowed;
        self.retries += u64::from(is_within);
        is_within
    }

    fn turn(&mut self, now: Instant) {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SPAN) {
            *self = Self { since: Some(now), ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_gets_its_share_and_no_more() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        let mut retried = 0;
        for _ in 0..1000 {
            budget.count_request(now);
            // Every one of them fails, and would be tried twice more.
            retried += (0..2).filter(|_| budget.take_retry(now, 20)).count();
        }
        assert_eq!(retried, 200);
    }

    #[test]
    fn few_requests_have_a_reserve_that_comes_back_with_time() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        budget.count_request(now);
        assert_eq!((0..50).filter(|_| budget.take_retry(now, 20)).count(), 10);
        assert!(!budget.take_retry(now + SPAN - Duration::from_millis(1), 20));
        assert!(budget.take_retry(now + SPAN, 20));
        assert!(!Budget::default().take_retry(now, 0));
    }
}
