//! What time it is for messages: Redis's, as soon as it was asked, so that a wrong clock here moves no room's ids.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A clock that goes by Redis.
#[derive(Debug, Default)]
pub(super) struct Time(Mutex<Option<(u64, Instant)>>);

impl Time {
    /// It is `millis` since 1970 for Redis.
    pub(super) fn learn(&self, millis: u64) {
        *self.0.lock() = Some((millis, Instant::now()));
    }

    /// Milliseconds since 1970; by this machine's clock until Redis was asked.
    pub(super) fn now(&self) -> u64 {
        let known = *self.0.lock();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        known.map_or_else(|| millis(since), |(millis_then, then)| millis_then.saturating_add(millis(then.elapsed())))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_redis_once_that_was_asked() {
        let time = Time::default();
        assert!(time.now() > 1_700_000_000_000);
        time.learn(5_000);
        assert!((5_000..3_600_000).contains(&time.now()));
    }
}
