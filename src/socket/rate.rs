//! How many messages one client may send: a token bucket, there only where a limit is set.

use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::limits::Rate;

/// A client's bucket of messages.
#[derive(Debug)]
pub(crate) struct MessageRate(Option<Box<RateLimiter<NotKeyed, InMemoryState, DefaultClock>>>);

impl MessageRate {
    /// A full bucket, or none.
    #[must_use]
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| Box::new(RateLimiter::direct(quota(rate)))))
    }

    /// Takes one message out of it; `false` when it is empty.
    #[must_use]
    pub(crate) fn admit(&self) -> bool {
        self.0.as_ref().is_none_or(|bucket| bucket.check().is_ok())
    }
}

/// `count` in `per`, with a burst of `count`.
fn quota(rate: Rate) -> Quota {
    let period = rate.per.checked_div(rate.count.get()).filter(|period| !period.is_zero());
    period.and_then(Quota::with_period).unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX)).allow_burst(rate.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_burst_is_the_count_and_no_rate_is_no_limit() {
        let rate = Rate { count: NonZeroU32::new(3).expect("not zero"), per: Duration::from_secs(3600) };
        let bucket = MessageRate::new(Some(rate));
        let admitted = (0..10).filter(|_| bucket.admit()).count();
        assert_eq!(admitted, 3);
        assert!((0..10_000).all(|_| MessageRate::new(None).admit()));
    }
}
