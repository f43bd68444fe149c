//! What one session is due for, by the clock: pings, idle and lifetime limits, the deadline of its end. Pure.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::SessionLimits;

/// Milliseconds since the worker started, as its sweep counts them.
pub(crate) type Millis = u64;

/// Milliseconds in a tick. A session remembers its times in ticks of 32 bits, which come round after 397 days: all that
/// is asked of them is how long ago they were, and never whether it was more than [`LONGEST`].
const TICK: u64 = 8;
/// Ticks of a wait at most: a few hours less than what comes round, since a look may be late.
const LONGEST: u32 = u32::MAX - (1 << 20);

/// What time has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// A ping to the client.
    Ping,
    /// The client has not answered for two intervals: it is gone.
    Dead,
    /// No data for too long.
    Idle,
    /// The session is too old.
    Old,
    /// The credentials that the session was opened with are over.
    Expired,
    /// The wait for the session's end is over.
    Deadline,
}

/// The times of one session.
#[derive(Debug)]
pub(crate) struct Vigil {
    limits: Arc<SessionLimits>,
    /// Nothing can be due before; signs of life move the true time back, never forward, so it may lie too early. Of a
    /// session that ends: its deadline.
    look_at: Millis,
    /// When it began; nothing once it ends, when only the deadline counts.
    started: Option<NonZeroU32>,
    /// The last sign of life of the client (bytes from it, or bytes that it took), or the last ping.
    quiet: u32,
    /// The last data frame, either way.
    active: u32,
    /// The first ping since the last sign of life.
    asked: Option<NonZeroU32>,
}

impl Vigil {
    /// A session that begins now.
    #[must_use]
    pub(crate) fn new(limits: Arc<SessionLimits>, now: Millis) -> Self {
        let (quiet, active) = (tick(now), tick(now));
        let mut vigil = Self { limits, look_at: 0, started: Some(marked(now)), quiet, active, asked: None };
        vigil.look_at = vigil.earliest(now);
        vigil
    }

    /// The limits it keeps watch over.
    #[must_use]
    pub(crate) fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// The client gave a sign of life.
    pub(crate) const fn heard(&mut self, now: Millis) {
        self.quiet = tick(now);
        self.asked = None;
    }

    /// The client may have given signs of life that nobody has looked at: it is not dead, and is asked on.
    pub(crate) const fn spare(&mut self) {
        self.asked = None;
    }

    /// A data frame passed.
    pub(crate) const fn active(&mut self, now: Millis) {
        self.active = tick(now);
    }

    /// The session is ending: from now on only this deadline counts. An earlier call's deadline is moved.
    pub(crate) fn end_within(&mut self, now: Millis, wait: Duration) {
        self.look_at = now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.started = None;
    }

    /// Whether the end's deadline runs.
    #[must_use]
    pub(crate) const fn is_ending(&self) -> bool {
        self.started.is_none()
    }

    /// Since the last data frame: to a tick.
    #[must_use]
    pub(crate) const fn idle(&self, now: Millis) -> Duration {
        Duration::from_millis(tick(now).wrapping_sub(self.active) as u64 * TICK)
    }

    /// What is due; a ping that is due counts as sent.
    pub(crate) fn look(&mut self, now: Millis) -> Due {
        if now < self.look_at {
            return Due::Nothing;
        }
        if self.is_ending() {
            return Due::Deadline;
        }
        let due = self.judge(now);
        self.look_at = self.earliest(now);
        due
    }

    fn judge(&mut self, now: Millis) -> Due {
        let [expired, old, idle, dead, ping] = self.left(now).map(|left| left == Some(0));
        if expired {
            Due::Expired
        } else if old {
            Due::Old
        } else if idle {
            Due::Idle
        } else if dead {
            Due::Dead
        } else if ping {
            self.quiet = tick(now);
            self.asked.get_or_insert(marked(now));
            Due::Ping
        } else {
            Due::Nothing
        }
    }

    /// When to look again at the latest.
    #[must_use]
    pub(crate) const fn next(&self) -> Millis {
        self.look_at
    }

    fn earliest(&self, now: Millis) -> Millis {
        let left = self.left(now).into_iter().flatten().min();
        left.map_or(Millis::MAX, |left| now.saturating_add(u64::from(left) * TICK))
    }

    /// Ticks until the session's credentials are over, it is too old, is idle for too long, is dead, is to be pinged.
    fn left(&self, now: Millis) -> [Option<u32>; 5] {
        let SessionLimits { credentials, max_lifetime, idle_timeout, ping_interval, .. } = *self.limits;
        let left = |wait: u32, since: u32| wait.min(LONGEST).saturating_sub(tick(now).wrapping_sub(since));
        [
            credentials.and_then(|wait| Some(left(ticks(wait), self.started?.get()))),
            max_lifetime.and_then(|wait| Some(left(ticks(wait), self.started?.get()))),
            idle_timeout.map(|wait| left(ticks(wait), self.active)),
            ping_interval.and_then(|wait| Some(left(ticks(wait).saturating_mul(2), self.asked?.get()))),
            ping_interval.map(|wait| left(ticks(wait), self.quiet)),
        ]
    }
}

const fn tick(now: Millis) -> u32 {
    (now / TICK) as u32
}

/// A tick that can be told from none: of all that there are, the first counts as the one before it.
const fn marked(now: Millis) -> NonZeroU32 {
    match NonZeroU32::new(tick(now)) {
        Some(tick) => tick,
        None => NonZeroU32::MAX,
    }
}

/// No less than the wait.
fn ticks(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(u128::from(TICK))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> SessionLimits {
        SessionLimits { ping_interval: Some(Duration::from_secs(30)), ..SessionLimits::default() }
    }

    #[test]
    fn a_silent_client_is_pinged_and_gone_after_two_intervals() {
        let mut vigil = Vigil::new(Arc::new(limits()), 0);
        assert_eq!(vigil.look(29_999), Due::Nothing);
        assert_eq!(vigil.next(), 30_000);
        assert_eq!(vigil.look(30_000), Due::Ping);
        assert_eq!(vigil.look(60_000), Due::Ping);
        assert_eq!(vigil.look(89_999), Due::Nothing);
        assert_eq!(vigil.look(90_000), Due::Dead);
    }

    #[test]
    fn a_sign_of_life_starts_the_wait_anew() {
        let mut vigil = Vigil::new(Arc::new(limits()), 0);
        assert_eq!(vigil.look(30_000), Due::Ping);
        vigil.heard(89_000);
        assert_eq!(vigil.look(90_000), Due::Nothing);
        assert_eq!(vigil.look(119_000), Due::Ping);
    }

    #[test]
    fn who_is_not_listened_to_is_asked_on_and_never_dead_however_often_it_is_looked_at() {
        let mut vigil = Vigil::new(Arc::new(limits()), 0);
        let mut pings = 0;
        for now in (0..=300_000).step_by(1_000) {
            pings += u32::from(vigil.look(now) == Due::Ping);
            vigil.spare();
        }
        assert_eq!(pings, 10);
    }

    #[test]
    fn idle_counts_data_and_lifetime_counts_all() {
        let mut limits = limits();
        limits.idle_timeout = Some(Duration::from_secs(10));
        limits.max_lifetime = Some(Duration::from_secs(15));
        let mut vigil = Vigil::new(Arc::new(limits), 1_000);
        vigil.heard(10_000);
        assert_eq!((vigil.look(11_000), vigil.idle(11_000)), (Due::Idle, Duration::from_secs(10)));
        vigil.active(10_500);
        assert_eq!(vigil.look(11_000), Due::Nothing);
        assert_eq!(vigil.next(), 16_000);
        assert_eq!(vigil.look(16_000), Due::Old);
    }

    #[test]
    fn credentials_end_before_a_life_does() {
        let mut limits = limits();
        limits.max_lifetime = Some(Duration::from_secs(15));
        limits.credentials = Some(Duration::from_secs(15));
        let mut vigil = Vigil::new(Arc::new(limits), 1_000);
        assert_eq!((vigil.look(15_999), vigil.next()), (Due::Nothing, 16_000));
        assert_eq!(vigil.look(16_000), Due::Expired);
    }

    #[test]
    fn once_it_ends_only_the_deadline_counts() {
        let mut vigil = Vigil::new(Arc::new(limits()), 0);
        vigil.end_within(1_000, Duration::from_secs(5));
        assert_eq!((vigil.look(5_999), vigil.next()), (Due::Nothing, 6_000));
        assert_eq!(vigil.look(6_000), Due::Deadline);
    }

    #[test]
    fn times_that_come_round_change_nothing() {
        let mut limits = limits();
        limits.idle_timeout = Some(Duration::from_secs(365 * 24 * 3600));
        limits.max_lifetime = Some(Duration::from_secs(u64::MAX));
        let (limits, round) = (Arc::new(limits), (1 << 32) * TICK);
        for begin in [round - 10_000, round - 8, round, 3 * round - 29_999] {
            let mut vigil = Vigil::new(Arc::clone(&limits), begin);
            assert_eq!(vigil.look(begin + 29_999), Due::Nothing);
            assert_eq!(vigil.look(begin + 30_000), Due::Ping);
            assert_eq!(vigil.look(begin + 60_000), Due::Ping);
            vigil.heard(begin + 89_000);
            assert_eq!(vigil.look(begin + 90_000), Due::Nothing);
            assert_eq!(vigil.look(begin + 119_000), Due::Ping);
            assert_eq!(vigil.look(begin + 149_000), Due::Ping);
            assert_eq!(vigil.look(begin + 179_000 + TICK), Due::Dead);
        }
    }

    #[test]
    fn a_client_that_talks_for_years_is_still_pinged() {
        let mut vigil = Vigil::new(Arc::new(limits()), 0);
        let year = 365 * 24 * 3600 * 1000;
        for day in 1..1000 {
            vigil.heard(day * (year / 365));
        }
        let last = 999 * (year / 365);
        assert_eq!(vigil.look(last + 29_000), Due::Nothing);
        assert_eq!(vigil.look(last + 30_000), Due::Ping);
    }
}
