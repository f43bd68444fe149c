//! What one session is due for, by the clock: pings, idle and lifetime limits, the deadline of its end. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::limits::SessionLimits;

/// Milliseconds since the worker started, as its sweep counts them.
pub(crate) type Millis = u64;

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
    /// The wait for the session's end is over.
    Deadline,
}

/// The times of one session.
#[derive(Debug)]
pub(crate) struct Vigil {
    limits: Arc<SessionLimits>,
    started: Millis,
    /// The last sign of life of the client: bytes from it, or bytes that it took.
    heard: Millis,
    /// The last data frame, either way.
    active: Millis,
    /// The last ping, and the first one since the last sign of life.
    pinged: Millis,
    asked: Option<Millis>,
    deadline: Option<Millis>,
    /// Nothing can be due before; signs of life move the true time back, never forward, so it may lie too early.
    look_at: Millis,
}

impl Vigil {
    /// A session that begins now.
    #[must_use]
    pub(crate) fn new(limits: Arc<SessionLimits>, now: Millis) -> Self {
        let (asked, deadline) = (None, None);
        let mut vigil =
            Self { limits, started: now, heard: now, active: now, pinged: now, asked, deadline, look_at: 0 };
        vigil.look_at = vigil.earliest();
        vigil
    }

    /// The limits it keeps watch over.
    #[must_use]
    pub(crate) fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// The client gave a sign of life.
    pub(crate) const fn heard(&mut self, now: Millis) {
        self.heard = now;
        self.asked = None;
    }

    /// A data frame passed.
    pub(crate) const fn active(&mut self, now: Millis) {
        self.active = now;
    }

    /// The session is ending: from now on only this deadline counts. An earlier call's deadline is moved.
    pub(crate) fn end_within(&mut self, now: Millis, wait: Duration) {
        let deadline = now + millis(wait);
        self.deadline = Some(deadline);
        self.look_at = deadline;
    }

    /// Whether the end's deadline runs.
    #[must_use]
    pub(crate) const fn is_ending(&self) -> bool {
        self.deadline.is_some()
    }

    /// What is due; a ping that is due counts as sent.
    pub(crate) fn look(&mut self, now: Millis) -> Due {
        if now < self.look_at {
            return Due::Nothing;
        }
        let due = self.judge(now);
        self.look_at = self.earliest();
        due
    }

    fn judge(&mut self, now: Millis) -> Due {
        if let Some(deadline) = self.deadline {
            return if now >= deadline { Due::Deadline } else { Due::Nothing };
        }
        if past(self.limits.max_lifetime, self.started, now) {
            return Due::Old;
        }
        if past(self.limits.idle_timeout, self.active, now) {
            return Due::Idle;
        }
        let Some(interval) = self.limits.ping_interval else { return Due::Nothing };
        if self.asked.is_some_and(|asked| now >= asked + 2 * millis(interval)) {
            return Due::Dead;
        }
        if now >= self.pinged.max(self.heard) + millis(interval) {
            self.pinged = now;
            self.asked.get_or_insert(now);
            return Due::Ping;
        }
        Due::Nothing
    }

    /// When to look again at the latest.
    #[must_use]
    pub(crate) const fn next(&self) -> Millis {
        self.look_at
    }

    fn earliest(&self) -> Millis {
        if let Some(deadline) = self.deadline {
            return deadline;
        }
        let SessionLimits { max_lifetime, idle_timeout, ping_interval, .. } = *self.limits;
        let times = [
            max_lifetime.map(|wait| self.started + millis(wait)),
            idle_timeout.map(|wait| self.active + millis(wait)),
            ping_interval.map(|wait| self.pinged.max(self.heard) + millis(wait)),
            ping_interval.and_then(|wait| self.asked.map(|asked| asked + 2 * millis(wait))),
        ];
        times.into_iter().flatten().min().unwrap_or(Millis::MAX)
    }
}

fn past(wait: Option<Duration>, since: Millis, now: Millis) -> bool {
    wait.is_some_and(|wait| now >= since + millis(wait))
}

fn millis(wait: Duration) -> Millis {
    Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX / 4).min(Millis::MAX / 4)
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
    fn idle_counts_data_and_lifetime_counts_all() {
        let mut limits = limits();
        limits.idle_timeout = Some(Duration::from_secs(10));
        limits.max_lifetime = Some(Duration::from_secs(15));
        let mut vigil = Vigil::new(Arc::new(limits), 0);
        vigil.heard(9_000);
        assert_eq!(vigil.look(10_000), Due::Idle);
        vigil.active(9_500);
        assert_eq!(vigil.look(10_000), Due::Nothing);
        assert_eq!(vigil.next(), 15_000);
        assert_eq!(vigil.look(15_000), Due::Old);
    }

    #[test]
    fn once_it_ends_only_the_deadline_counts() {
        let mut vigil = Vigil::new(Arc::new(limits()), 0);
        vigil.end_within(1_000, Duration::from_secs(5));
        assert_eq!((vigil.look(5_999), vigil.next()), (Due::Nothing, 6_000));
        assert_eq!(vigil.look(6_000), Due::Deadline);
    }
}
