//! The pool's only sight of time, so that tests can hold it; its timers may be asked for on any thread.

use std::future::Future;
use std::time::Duration;

pub(super) use tokio::time::Instant;

use crate::lifecycle::clock;

/// What the time is.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// What comes of a future in this time; `None` when nothing does. As cancel safe as the future.
pub(super) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    clock::timeout(time, future).await.ok()
}

/// The same up to a moment.
pub(super) async fn by<T>(moment: Instant, future: impl Future<Output = T>) -> Option<T> {
    clock::timeout_at(moment, future).await.ok()
}

/// Waits for a moment. Cancel safe.
pub(super) async fn reach(moment: Instant) {
    clock::sleep_until(moment).await;
}
