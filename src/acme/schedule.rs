//! When a certificate is renewed, and when it is tried again after a failure.

use std::time::{Duration, SystemTime};

use crate::client::random;
use crate::tls::{Issued, Leaf};

/// Failures in a row make the wait this much longer each.
const GROWTH: u32 = 3;
/// No wait grows beyond.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// A CA may ask for more patience than that, up to here.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);
/// RFC 9773 §4.3.2: how often a CA is asked when to renew, if it says nothing of that; and the bounds of what it says.
const ASK: Duration = Duration::from_secs(6 * 3600);
const ASK_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// However soon a CA wants a new certificate to be renewed, so long after it was made at least.
const PAUSE: Duration = Duration::from_secs(3600);

/// When one certificate is to be renewed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) leaf: Leaf,
    pub(super) due: SystemTime,
    /// Whether the CA has said when.
    pub(super) is_suggested: bool,
    /// When the CA is asked again.
    ask: SystemTime,
    /// Not before, for it was just made; not after, for it ends.
    bounds: (SystemTime, SystemTime),
}

impl Plan {
    /// After two thirds of its life, or a little earlier: many gateways have not all made theirs at the same time.
    pub(super) fn new(issued: &Issued, ordered: Option<SystemTime>) -> Self {
        Self::with_chance(issued, ordered, chance())
    }

    fn with_chance(issued: &Issued, ordered: Option<SystemTime>, chance: f64) -> Self {
        let life = issued.not_after.duration_since(issued.not_before).unwrap_or_default();
        let pause = ordered.map_or(Duration::ZERO, |_| PAUSE.min(life / 10));
        let earliest = ordered.map_or(SystemTime::UNIX_EPOCH, |at| at + pause);
        let bounds = (earliest, (issued.not_before + life.mul_f64(0.9)).max(earliest));
        let due = (issued.not_before + life.mul_f64(2.0 / 3.0 - chance / 20.0)).clamp(bounds.0, bounds.1);
        Self { leaf: issued.leaf.clone(), due, is_suggested: false, ask: SystemTime::UNIX_EPOCH, bounds }
    }

    pub(super) fn is_for(&self, issued: &Issued) -> bool {
        self.leaf == issued.leaf
    }

    /// Whether the CA is to be asked now.
    pub(super) fn asks(&self, now: SystemTime) -> bool {
        now >= self.ask
    }

    /// How long it is not to be asked.
    pub(super) fn until_ask(&self, now: SystemTime) -> Duration {
        self.ask.duration_since(now).unwrap_or_default().max(Duration::from_secs(1))
    }

    /// RFC 9773 §4.2: at a time of its window that chance chooses, or now when that is over.
    pub(super) fn suggested(&mut self, (start, end): (SystemTime, SystemTime), again: Duration, now: SystemTime) {
        let is_in = self.is_suggested && (start..=end).contains(&self.due);
        if !is_in && let Ok(width) = end.duration_since(start) {
            self.due = (start + width.mul_f64(chance())).clamp(self.bounds.0, self.bounds.1);
            self.is_suggested = true;
        }
        self.ask = now + again.clamp(ASK_BOUNDS.0, ASK_BOUNDS.1);
    }

    /// The CA has no opinion, or could not be asked: what was planned stands.
    pub(super) fn nothing_suggested(&mut self, now: SystemTime) {
        self.ask = now + ASK;
    }
}

/// How long to wait after so many failures; `least` is what the CA wants. `chance` is from 0 to 1, and changes the wait by
/// a quarter, so that many gateways that failed together do not come back together.
pub(super) fn after(failures: u32, first: Duration, least: Option<Duration>, chance: f64) -> Duration {
    let grown = GROWTH.checked_pow(failures.saturating_sub(1)).and_then(|times| first.checked_mul(times));
    let wait = grown.unwrap_or(LONGEST).min(LONGEST).mul_f64(0.75 + chance / 2.0);
    let least = least.unwrap_or_default().min(PATIENCE);
    if wait < least { least + first.mul_f64(chance) } else { wait }
}

/// From 0 to 1.
pub(super) fn chance() -> f64 {
    f64::from(u32::from_ne_bytes(random())) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn issued(life: Duration) -> (Issued, SystemTime) {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let (not_before, not_after) = (now, now + life);
        (Issued { leaf: Leaf::from(vec![1]), names: Vec::new(), not_before, not_after }, now)
    }

    fn days(plan: &Plan, from: SystemTime) -> f64 {
        plan.due.duration_since(from).expect("later").as_secs_f64() / DAY.as_secs_f64()
    }

    #[test]
    fn it_is_renewed_after_two_thirds_of_its_life_or_a_little_earlier() {
        let (issued, now) = issued(90 * DAY);
        assert!((days(&Plan::with_chance(&issued, None, 0.0), now) - 60.0).abs() < 0.01);
        assert!((days(&Plan::with_chance(&issued, None, 1.0), now) - 55.5).abs() < 0.01);
    }

    #[test]
    fn a_new_one_is_left_alone_for_a_while_whatever_is_wanted() {
        let (issued, now) = issued(90 * DAY);
        let late = now + 80 * DAY;
        let mut plan = Plan::with_chance(&issued, Some(late), 0.0);
        assert_eq!(plan.due, late + PAUSE);
        plan.suggested((now, now + DAY), DAY, late);
        assert_eq!(plan.due, late + PAUSE, "the window is over");
    }

    #[test]
    fn the_ca_says_when_and_is_asked_again() {
        let (issued, now) = issued(90 * DAY);
        let mut plan = Plan::with_chance(&issued, None, 0.0);
        assert!(plan.asks(now));
        plan.suggested((now + 10 * DAY, now + 12 * DAY), DAY / 4, now);
        assert!((10.0..=12.0).contains(&days(&plan, now)) && plan.is_suggested);
        assert!(!plan.asks(now + DAY / 5) && plan.asks(now + DAY / 4));
        let due = plan.due;
        plan.suggested((now + 10 * DAY, now + 12 * DAY), DAY, now + DAY);
        assert_eq!(plan.due, due, "what was chosen stands while it is in the window");
        plan.suggested((now + 300 * DAY, now + 301 * DAY), DAY, now);
        assert!((days(&plan, now) - 81.0).abs() < 0.01, "never so late that it ends");
        plan.suggested((now + 12 * DAY, now + 10 * DAY), Duration::ZERO, now);
        assert!((days(&plan, now) - 81.0).abs() < 0.01, "no window");
        assert!(!plan.asks(now + Duration::from_secs(59)));
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_never_shorter_than_the_ca_wants() {
        let minute = Duration::from_secs(60);
        let waits: Vec<u64> = (1..=5).map(|failures| after(failures, minute, None, 0.5).as_secs()).collect();
        assert_eq!(waits, [60, 180, 540, 1620, 4860]);
        assert_eq!(after(50, minute, None, 0.5), LONGEST);
        assert_eq!((after(1, minute, None, 0.0).as_secs(), after(1, minute, None, 1.0).as_secs()), (45, 75));
        assert_eq!(after(1, minute, Some(DAY), 0.5), DAY + minute / 2);
        assert_eq!(after(1, minute, Some(1000 * DAY), 0.0), PATIENCE);
        assert_eq!(after(4, minute, Some(minute), 0.5).as_secs(), 1620);
    }
}
