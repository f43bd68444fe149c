//! How many upgrade requests an address may send in a time: a token bucket for each.

use std::num::NonZeroU64;
use std::sync::Arc;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota};

use super::address::AddressKey;
use crate::config::Rate;

/// Token buckets of one rate, one for each address. A copy shares them.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    limiter: Arc<DefaultKeyedRateLimiter<AddressKey>>,
}

impl Buckets {
    /// Full buckets of this rate; none for a rate too high to be measured (more than one in a nanosecond).
    #[must_use]
    pub(crate) fn new(rate: Rate) -> Option<Self> {
        let quota = Quota::with_period(rate.per / rate.count.get())?.allow_burst(rate.count);
        Some(Self { rate, limiter: Arc::new(DefaultKeyedRateLimiter::keyed(quota)) })
    }

    /// These buckets if their rate is still the wanted one, new ones otherwise; for a reload.
    #[must_use]
    pub(crate) fn carry(previous: Option<&Self>, wanted: Option<Rate>) -> Option<Self> {
        let wanted = wanted?;
        previous.filter(|buckets| buckets.rate == wanted).cloned().or_else(|| Self::new(wanted))
    }

    /// Takes a token.
    ///
    /// # Errors
    /// The whole seconds after which there will be one again, at least 1 (RFC 9110 §10.2.3).
    pub(crate) fn take(&self, address: AddressKey) -> Result<(), NonZeroU64> {
        self.limiter.check_key(&address).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            NonZeroU64::new(seconds).unwrap_or(NonZeroU64::MIN)
        })
    }

    /// Addresses with a bucket that is not known to be full.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> usize {
        self.limiter.len()
    }

    /// Forgets the buckets that are full again, and gives their memory back.
    pub(crate) fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    fn rate(count: u32, per: Duration) -> Rate {
        Rate { count: NonZeroU32::new(count).unwrap(), per }
    }

    fn key(number: u32) -> AddressKey {
        IpAddr::V4(Ipv4Addr::from(number)).into()
    }

    #[test]
    fn a_burst_then_a_wait_in_whole_seconds() {
        let buckets = Buckets::new(rate(2, Duration::from_secs(60))).unwrap();
        assert_eq!((buckets.take(key(1)), buckets.take(key(1))), (Ok(()), Ok(())));
        let wait = buckets.take(key(1)).map_err(NonZeroU64::get);
        assert!(matches!(wait, Err(28..=30)), "half a minute, less what has passed: {wait:?}");
        assert_eq!(buckets.take(key(2)), Ok(()));
        let quick = Buckets::new(rate(1, Duration::from_millis(900))).unwrap();
        // A busy machine may let 900 ms pass between two calls, but not each time.
        let wait = (1..100).find_map(|number| {
            assert_eq!(quick.take(key(number)), Ok(()));
            quick.take(key(number)).err()
        });
        assert_eq!(wait.map(NonZeroU64::get), Some(1));
    }

    #[test]
    fn a_reload_carries_buckets_of_the_same_rate() {
        let hourly = rate(1, Duration::from_secs(3600));
        let old = Buckets::new(hourly).unwrap();
        assert!(old.take(key(1)).is_ok());
        assert!(Buckets::carry(Some(&old), Some(hourly)).unwrap().take(key(1)).is_err());
        assert!(Buckets::carry(Some(&old), Some(rate(2, hourly.per))).unwrap().take(key(1)).is_ok());
        assert!(Buckets::carry(Some(&old), None).is_none());
    }

    #[test]
    fn a_sweep_forgets_who_has_waited() {
        let buckets = Buckets::new(rate(1000, Duration::from_millis(1))).unwrap();
        for number in 0..10_000 {
            assert!(buckets.take(key(number)).is_ok());
        }
        while buckets.addresses() > 0 {
            buckets.sweep();
        }
    }

    #[test]
    fn a_rate_beyond_measure_is_no_limit() {
        assert!(Buckets::new(rate(u32::MAX, Duration::from_secs(1))).is_none());
    }
}
