//! How often somebody may do something: a token bucket of eight bytes, told the time by whoever asks.

use std::time::Duration;

use crate::config::SayRate;

/// When the bucket would be full again, in microseconds of the worker's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket(u64);

impl Bucket {
    /// Takes one token; `now` is in milliseconds since the worker's start.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub(super) fn take(&mut self, now: u64, rate: SayRate) -> Result<(), Duration> {
        let Some(limit) = rate.rate else { return Ok(()) };
        let now = now.saturating_mul(1000);
        let each = u64::try_from(limit.per.as_micros()).unwrap_or(u64::MAX) / u64::from(limit.count.get());
        let full = self.0.max(now);
        let ahead = full - now;
        let most = each.saturating_mul(u64::from(rate.burst.saturating_sub(1)));
        if ahead > most {
            return Err(Duration::from_micros(ahead - most));
        }
        self.0 = full.saturating_add(each);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::Rate;

    #[test]
    fn a_burst_and_then_the_rate() {
        let per = Duration::from_secs(1);
        let rate = SayRate { rate: NonZeroU32::new(5).map(|count| Rate { count, per }), burst: 3 };
        let mut bucket = Bucket::default();
        assert_eq!([0; 3].map(|_| bucket.take(1000, rate)), [Ok(()); 3]);
        assert_eq!(bucket.take(1000, rate), Err(Duration::from_millis(200)));
        assert_eq!((bucket.take(1199, rate), bucket.take(1200, rate)), (Err(Duration::from_millis(1)), Ok(())));
        assert!(bucket.take(1200, rate).is_err());
        assert_eq!([0; 4].map(|_| bucket.take(60_000, rate).is_ok()), [true, true, true, false]);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..10_000).all(|_| bucket.take(0, SayRate { rate: None, burst: 1 }).is_ok()));
    }
}
