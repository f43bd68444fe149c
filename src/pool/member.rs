//! One backend of a pool: how many connections it has, and whether it is thought to be well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::balance::{WHOLE, hash};
use super::death::Death;
use super::places::Places;
use crate::config::{Backend, Ejection, Health};
use crate::lifecycle::clock::Instant;

/// The least share of a slow start, in parts of [`WHOLE`]: with none at all nobody would find out how it does.
const SMALLEST: i64 = 10;

/// A backend, shared by all that use it, and by the pools before and after a reload.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) backend: Backend,
    /// What it is known by to clients that are led by hash.
    pub(super) id: u64,
    pub(super) places: Arc<Places>,
    /// Written under the lock of `places` alone.
    pub(super) open: AtomicUsize,
    /// How long it has waited for its turn; under the same lock.
    pub(super) turn: AtomicI64,
    /// Whether it was told of that it is nearly full.
    pub(super) crowded: AtomicBool,
    retired: AtomicBool,
    drained: AtomicBool,
    /// How often it was ejected.
    pub(super) ejections: AtomicU64,
    pub(super) death: Death,
    standing: Mutex<Standing>,
    slots: Mutex<Slots>,
}

/// What is thought of it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// In a row.
    pub(super) failures: usize,
    /// In a row: each failed on its return from the one before.
    ejections: u32,
    pub(super) ejected_until: Option<Instant>,
    /// Whether there are checks.
    watched: bool,
    /// Taken out by them.
    pub(super) down: bool,
    /// Checks in a row that spoke against `down`.
    contrary: usize,
    /// When checks brought it back.
    risen: Option<Instant>,
    pub(super) checked: Option<Instant>,
}

/// The handshakes that may be in flight.
#[derive(Debug)]
struct Slots {
    limit: usize,
    free: Arc<Semaphore>,
}

/// What a check has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It is in service again.
    Up,
    /// It is out of service.
    Down,
}

impl Member {
    pub(super) fn new(backend: &Backend, places: &Arc<Places>, at_once: usize) -> Self {
        Self {
            backend: backend.clone(),
            id: hash(backend.url.as_bytes()),
            places: Arc::clone(places),
            open: AtomicUsize::new(0),
            turn: AtomicI64::new(0),
            crowded: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            ejections: AtomicU64::new(0),
            death: Death::default(),
            standing: Mutex::default(),
            slots: Mutex::new(Slots::new(at_once)),
        }
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A reload has taken it out of its pool.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether a reload has taken it out of its pool.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The operator takes it out, or brings it back.
    pub(super) fn drain(&self, is_drained: bool) {
        self.drained.store(is_drained, Ordering::Relaxed);
    }

    /// Whether the operator has taken it out.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Whether it gets nobody, however well it is.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.is_retired() || self.is_drained()
    }

    /// What is thought of it, for those who show it.
    pub(super) fn told<T>(&self, tell: impl FnOnce(&Standing) -> T) -> T {
        tell(&self.standing.lock())
    }

    /// Handshakes in flight.
    pub(super) fn handshakes(&self) -> usize {
        let slots = self.slots.lock();
        slots.limit.min(Semaphore::MAX_PERMITS).saturating_sub(slots.free.available_permits())
    }

    /// Whether it may be given to clients.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        let standing = self.standing.lock();
        !standing.down && !standing.is_ejected(now) && !self.is_withdrawn()
    }

    /// Its weight now, in [`WHOLE`]s: a part of it while it is only just back.
    pub(super) fn weight(&self, weight: u32, now: Instant, slow_start: Duration) -> i64 {
        let back = {
            let standing = self.standing.lock();
            standing.risen.max(standing.ejected_until)
        };
        let since = back.map_or(slow_start, |back| now.saturating_duration_since(back));
        let share = if since >= slow_start {
            WHOLE
        } else {
            // Both are below a day here, so that the product is far from its end.
            let part = since.as_millis() * WHOLE.unsigned_abs() as u128 / slow_start.as_millis().max(1);
            i64::try_from(part).unwrap_or(WHOLE).max(SMALLEST)
        };
        i64::from(weight) * share
    }

    /// It has answered a client as it should.
    pub(super) fn succeed(&self, now: Instant) {
        let mut standing = self.standing.lock();
        // What was asked before it was ejected says nothing about its return.
        if !standing.is_ejected(now) {
            standing.failures = 0;
            standing.ejections = 0;
        }
    }

    /// It has failed a client; says for how long it is ejected, if it now is. `is_last`: no other is usable.
    pub(super) fn fail(&self, now: Instant, rule: &Ejection, is_last: bool) -> Option<Duration> {
        let mut standing = self.standing.lock();
        if standing.is_ejected(now) {
            return None;
        }
        standing.failures += 1;
        if rule.after == 0 || standing.failures < rule.after || (is_last && !rule.last) {
            return None;
        }
        let time = rule.time.saturating_mul(1u32.checked_shl(standing.ejections).unwrap_or(u32::MAX)).min(rule.max);
        standing.ejections = (standing.ejections + 1).min(31);
        standing.ejected_until = Some(now + time);
        // On its return one failure is enough.
        standing.failures = rule.after - 1;
        self.ejections.fetch_add(1, Ordering::Relaxed);
        Some(time)
    }

    /// When it is to be checked next, if each check begins so long after the one before.
    pub(super) fn next_check(&self, now: Instant, interval: Duration) -> Instant {
        self.standing.lock().checked.map_or(now, |checked| checked + interval)
    }

    /// A check begins.
    pub(super) fn begin_check(&self, now: Instant) {
        self.standing.lock().checked = Some(now);
    }

    /// A check has ended.
    pub(super) fn judge(&self, now: Instant, is_well: bool, rule: &Health) -> Change {
        let mut standing = self.standing.lock();
        if is_well != standing.down || !standing.watched {
            standing.contrary = 0;
            return Change::None;
        }
        standing.contrary += 1;
        let needed = if is_well { rule.rise } else { rule.fall };
        if standing.contrary < needed {
            return Change::None;
        }
        standing.contrary = 0;
        standing.down = !is_well;
        if is_well {
            standing.risen = Some(now);
            Change::Up
        } else {
            Change::Down
        }
    }

    /// Whether it is checked from now on. If not, what checks have found is void, and what they may yet find: one can
    /// still be under way.
    pub(super) fn watch(&self, is_watched: bool) {
        let mut standing = self.standing.lock();
        standing.watched = is_watched;
        if !is_watched {
            (standing.down, standing.contrary, standing.checked) = (false, 0, None);
        }
    }

    /// The handshakes that may be in flight. With another limit than before those that are in flight are not counted.
    pub(super) fn limit_slots(&self, at_once: usize) {
        let mut slots = self.slots.lock();
        if slots.limit != at_once {
            *slots = Slots::new(at_once);
        }
    }

    /// Where those who want to shake hands wait, in the order in which they came.
    pub(super) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.slots.lock().free)
    }
}

impl Standing {
    fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| now < until)
    }
}

impl Slots {
    fn new(limit: usize) -> Self {
        Self { limit, free: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Check, Transport};

    const RULE: Ejection =
        Ejection { after: 3, time: Duration::from_secs(10), max: Duration::from_secs(35), last: false };

    fn member() -> Member {
        let transport = Transport::Ws("h".to_owned(), 1);
        let backend = Backend { url: "ws://h:1".to_owned(), transport, weight: 1, backup: false };
        Member::new(&backend, &Arc::new(Places::new(1)), 4)
    }

    #[test]
    fn three_failures_in_a_row_eject_and_a_success_in_between_does_not() {
        let (member, now) = (member(), Instant::now());
        for _ in 0..5 {
            assert_eq!(member.fail(now, &RULE, false), None);
            assert_eq!(member.fail(now, &RULE, false), None);
            member.succeed(now);
        }
        let times: Vec<_> = (0..4).map(|_| member.fail(now, &RULE, false)).collect();
        assert_eq!(times, [None, None, Some(RULE.time), None]);
        assert!(!member.is_usable(now) && member.is_usable(now + RULE.time));
    }

    #[test]
    fn who_fails_on_its_return_is_out_for_longer_up_to_the_longest() {
        let (member, mut now) = (member(), Instant::now());
        let _ = (member.fail(now, &RULE, false), member.fail(now, &RULE, false));
        let mut times = Vec::new();
        for _ in 0..40 {
            let time = member.fail(now, &RULE, false).expect("ejected");
            times.push(time.as_secs());
            now += time;
        }
        assert_eq!(times[..5], [10, 20, 35, 35, 35]);
        assert_eq!(times[39], 35);
        member.succeed(now);
        let times: Vec<_> = (0..3).map(|_| member.fail(now, &RULE, false)).collect();
        assert_eq!(times, [None, None, Some(RULE.time)], "all is forgiven");
    }

    #[test]
    fn the_last_one_stays_unless_told() {
        let (member, now) = (member(), Instant::now());
        assert!((0..9).all(|_| member.fail(now, &RULE, true).is_none()));
        assert!(member.is_usable(now));
        assert_eq!(member.fail(now, &RULE, false), Some(RULE.time), "with another there again, at once");
        let other = self::member();
        let told = Ejection { last: true, ..RULE };
        assert_eq!((0..3).filter_map(|_| other.fail(now, &told, true)).count(), 1);
        let never = Ejection { after: 0, ..RULE };
        assert!((0..9).all(|_| self::member().fail(now, &never, false).is_none()));
    }

    #[test]
    fn checks_take_out_and_bring_back_after_so_many_in_a_row() {
        let (member, now) = (member(), Instant::now());
        let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(1));
        let rule =
            Health { check: Check::Tcp, interval, timeout, rise: 2, fall: 3, path: String::new(), ping: Some(false) };
        let changes = |verdicts: &[bool]| -> Vec<Change> {
            verdicts.iter().map(|is_well| member.judge(now, *is_well, &rule)).collect()
        };
        use Change::{Down, None, Up};
        member.watch(true);
        assert_eq!(changes(&[false, false, true, false, false, false]), [None, None, None, None, None, Down]);
        assert!(!member.is_usable(now));
        assert_eq!(changes(&[false, true, false, true, true, true]), [None, None, None, None, Up, None]);
        assert!(member.is_usable(now));
        let slow = Duration::from_secs(100);
        assert_eq!(member.weight(1, now + slow / 2, slow), WHOLE / 2, "it has only just come back");
        changes(&[false, false, false]);
        member.watch(false);
        assert!(member.is_usable(now));
        assert_eq!(changes(&[false, false, false]), [None, None, None], "of one that was still under way");
    }

    #[test]
    fn a_share_grows_after_a_return_and_not_before() {
        let (member, now, slow) = (member(), Instant::now(), Duration::from_secs(100));
        assert_eq!(member.weight(3, now, slow), 3 * WHOLE, "who was never away");
        let back = now + (0..3).find_map(|_| member.fail(now, &RULE, false)).expect("ejected");
        let shares = [0, 5, 10, 50, 99, 100, 1000].map(|at| member.weight(3, back + Duration::from_secs(at), slow));
        assert_eq!(shares, [30, 30, 30, 150, 297, 300, 300]);
        assert_eq!(member.weight(3, back, Duration::ZERO), 300);
    }
}
