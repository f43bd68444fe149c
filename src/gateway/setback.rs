//! What a listener does that cannot accept: it waits until something may have changed, counts, and says so once in a
//! while.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::lifecycle::clock::{self, Instant};
use crate::telemetry::metrics::{Metrics, label};

/// The first wait, which doubles up to the last: somebody else on this machine may give back what is missing.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// The log is told no more often.
const QUIET: Duration = Duration::from_secs(60);

/// Tells those who wait for room that a connection has ended.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Nobody is told while nobody waits, which is nearly always.
    waiting: AtomicUsize,
    made: Notify,
}

impl Room {
    /// A connection has ended, and what it had is free.
    pub(super) fn make(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.made.notify_waiters();
        }
    }

    /// Waits for an end from now on; for so long at most, since one may just have been missed. Cancel safe.
    async fn wait(&self, most: Duration) {
        let _waiting = Waiting::of(&self.waiting);
        let _ = clock::timeout(most, self.made.notified()).await;
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One listener's bad luck.
pub(super) struct Setback {
    metrics: Arc<Metrics>,
    room: Arc<Room>,
    wait: Duration,
    told: Option<Instant>,
}

impl Setback {
    pub(super) fn new(metrics: &Arc<Metrics>, room: &Arc<Room>) -> Self {
        Self { metrics: Arc::clone(metrics), room: Arc::clone(room), wait: BACKOFF.0, told: None }
    }

    /// It has accepted.
    pub(super) const fn over(&mut self) {
        self.wait = BACKOFF.0;
    }

    /// It could not; returns when it should try again. Cancel safe.
    pub(super) async fn wait(&mut self, error: &io::Error) {
        self.metrics.accept_failures.get_or_create(&label("reason", reason(error))).inc();
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= QUIET) {
            self.told = Some(now);
            tracing::warn!(%error, "connections cannot be accepted, and wait until others end; this is said once a minute");
        }
        self.room.wait(self.wait).await;
        self.wait = (2 * self.wait).min(BACKOFF.1);
    }
}

/// ENFILE and EMFILE; ENOMEM and ENOBUFS (errno(3), Linux), which std has no words for.
fn reason(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(23 | 24) => "descriptors",
        Some(12 | 105) => "memory",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_tries_again_when_a_connection_has_ended_or_ever_less_often() {
        let (metrics, room) = (Arc::new(Metrics::default()), Arc::new(Room::default()));
        let mut setback = Setback::new(&metrics, &room);
        let since = Instant::now();
        let full = io::Error::from_raw_os_error(24);
        for _ in 0..10 {
            setback.wait(&full).await;
        }
        // From 5 ms to 640 ms, each twice the one before, and then a second two times.
        assert_eq!(since.elapsed().as_millis(), 1275 + 2000);
        let since = Instant::now();
        tokio::join!(setback.wait(&full), async {
            tokio::task::yield_now().await;
            room.make();
        });
        assert_eq!(since.elapsed(), Duration::ZERO);
        setback.over();
        setback.wait(&io::Error::from_raw_os_error(105)).await;
        assert_eq!(since.elapsed(), BACKOFF.0);
        assert_eq!(room.waiting.load(Ordering::Relaxed), 0);
        let text = metrics.text();
        for line in [
            "wsgate_tcp_accept_failures_total{reason=\"descriptors\"} 11",
            "wsgate_tcp_accept_failures_total{reason=\"memory\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
