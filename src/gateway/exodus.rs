//! Open WebSockets, all over the workers: asked how they are, and sent home few at a time, so that they do not come back
//! in one storm.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::client;
use crate::config::Rate;
use crate::lifecycle::clock;
use crate::telemetry::report::Report;
use crate::telemetry::roster::{Census, Order};

/// How often some are told.
const TICK: Duration = Duration::from_millis(100);

/// Asks all workers' sessions, or the one of this number, to tell of themselves; takes a second at most. Cancel safe.
pub(super) async fn survey(workers: &[Worker], only: Option<u64>) -> Census {
    let asked: Vec<_> = workers.iter().map(|worker| worker.survey(only)).collect();
    let mut all = Census::default();
    for answer in asked {
        // A worker that is gone has nobody left.
        let Ok(Census { sessions, missing }) = answer.await else { continue };
        all.sessions.extend(sessions);
        all.missing += missing;
    }
    all
}

/// Tells the sessions of these numbers to go, now.
pub(super) fn dismiss(workers: &[Worker], numbers: &HashSet<u64>, order: &Order) {
    workers.iter().for_each(|worker| worker.dismiss(numbers.clone(), order.clone()));
}

/// How quickly a crowd is sent home.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From the first to the last.
    pub(super) window: Duration,
    /// So many at least; `None`: all at once.
    pub(super) least: Option<Rate>,
}

impl Pace {
    /// How long so many take.
    pub(super) fn time(&self, count: usize) -> Duration {
        let longest =
            self.least.map_or(0.0, |rate| count as f64 * rate.per.as_secs_f64() / f64::from(rate.count.get()));
        Duration::from_secs_f64(self.window.as_secs_f64().min(longest))
    }
}

/// Sends these sessions home: those that were idle for longest first, each at a moment of its own. `tell` hears before
/// each step how many have not been told yet, and how long it will take. Cancel safe: who was told was told.
pub(super) async fn leave(
    workers: &[Worker],
    sessions: Vec<Report>,
    (pace, order): (Pace, &Order),
    mut tell: impl FnMut(usize, Duration),
) {
    let since = Instant::now();
    let mut plan = plan(sessions, pace, &mut chance).into_iter().peekable();
    let end = plan.clone().last().map_or(Duration::ZERO, |(at, _)| at);
    while plan.peek().is_some() {
        let passed = since.elapsed();
        tell(plan.len(), end.saturating_sub(passed));
        let mut due = HashSet::new();
        while let Some((_, number)) = plan.next_if(|(at, _)| *at < passed + TICK) {
            due.insert(number);
        }
        if !due.is_empty() {
            dismiss(workers, &due, order);
        }
        if plan.peek().is_some() {
            clock::sleep(TICK).await;
        }
    }
    tell(0, Duration::ZERO);
}

/// When each is told. The moments are spread evenly, and each is anywhere within its share: clients that count their
/// time from the Close do not come back in step.
fn plan(mut sessions: Vec<Report>, pace: Pace, chance: &mut impl FnMut() -> f64) -> Vec<(Duration, u64)> {
    sessions.sort_by_key(|report| std::cmp::Reverse(report.state.idle));
    let share = pace.time(sessions.len()).as_secs_f64() / sessions.len().max(1) as f64;
    let mut moment = |at: usize| Duration::from_secs_f64((at as f64 + chance()) * share);
    sessions.iter().enumerate().map(|(at, report)| (moment(at), report.number)).collect()
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(u32::from_le_bytes(client::random())) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::report::State;

    fn crowd(count: u64) -> Vec<Report> {
        let idle = |number: u64| State { idle: Duration::from_secs(number % 7), ..State::default() };
        (1..=count).map(|number| Report { number, state: idle(number), ..Report::of_nobody() }).collect()
    }

    fn pace(seconds: u64, least: u32) -> Pace {
        let per = Duration::from_secs(1);
        let least = std::num::NonZeroU32::new(least).map(|count| Rate { count, per });
        Pace { window: Duration::from_secs(seconds), least }
    }

    #[test]
    fn a_crowd_fills_the_window_evenly_and_the_idle_leave_first() {
        let plan = plan(crowd(5_000), pace(20, 100), &mut chance);
        for second in 0..20 {
            let within = Duration::from_secs(second)..Duration::from_secs(second + 1);
            let told = plan.iter().filter(|(at, _)| within.contains(at)).count();
            assert!((249..=251).contains(&told), "{told} in second {second}");
        }
        let idle: Vec<_> = plan.iter().map(|(_, number)| number % 7).collect();
        assert!(idle.is_sorted_by(|a, b| a >= b));
        assert!(plan.is_sorted());
    }

    #[test]
    fn few_are_not_kept_waiting_for_the_window() {
        let last = |count, least| plan(crowd(count), pace(20, least), &mut || 1.0).last().map(|(at, _)| *at);
        assert_eq!(last(3, 100), Some(Duration::from_millis(30)));
        assert_eq!(last(3, 0), Some(Duration::ZERO), "all at once");
        assert_eq!(last(0, 100), None);
    }
}
