//! The end of a gateway: everybody is sent home, spread over the time that there is, and waited for.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::exodus::{self, Pace};
use super::snapshot::Snapshot;
use super::worker::Worker;
use super::{Shared, Totals};
use crate::lifecycle::clock;
use crate::telemetry::roster::{Census, Order};

/// How often the log tells how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// Sends everybody home and waits for them, up to the deadline or the second order to end.
pub(super) async fn drain(shared: &Shared, workers: &[Worker], orders: &mut watch::Receiver<bool>) -> Totals {
    let since = Instant::now();
    let open = workers.iter().map(Worker::load).sum();
    let deadline = shared.snapshot.load().config.drain_timeout;
    let all = async {
        send_home(shared, workers).await;
        for wait in workers.iter().map(Worker::idle).collect::<Vec<_>>() {
            // A worker that is gone has nobody left.
            let _ = wait.await;
        }
    };
    tokio::select! {
        () = all => {}
        () = clock::sleep(deadline) => {}
        _ = orders.wait_for(|now| *now) => {}
    }
    let cut = workers.iter().map(Worker::load).sum();
    for worker in workers {
        worker.stop();
    }
    Totals { open, cut, took: since.elapsed() }
}

/// Tells everybody to go, few at a time. Whoever comes meanwhile is told at once.
async fn send_home(shared: &Shared, workers: &[Worker]) {
    let order = Order { code: 1001, reason: "the gateway is going away".into() };
    workers.iter().for_each(|worker| worker.shut(order.clone()));
    let Census { sessions, .. } = exodus::survey(workers, None).await;
    let mut told = Instant::now();
    let tell = |left: usize, wait: Duration| {
        shared.metrics.drain.set(left, wait);
        if left > 0 && told.elapsed() >= PROGRESS {
            told = Instant::now();
            tracing::info!(
                websockets = left,
                seconds = wait.as_secs(),
                "draining: so many are to be told in this time"
            );
        }
    };
    exodus::leave(workers, sessions, (pace(&shared.snapshot.load()), &order), tell).await;
    // Those too who did not answer in time.
    workers.iter().for_each(|worker| worker.empty(order.clone()));
}

/// The last who is told has the time that its route gives for a close, or half of all there is.
pub(super) fn pace(snapshot: &Snapshot) -> Pace {
    let timeout = snapshot.config.drain_timeout;
    let close = snapshot.routes.iter().map(|route| route.limits.close_timeout).max().unwrap_or_default();
    Pace { window: timeout.saturating_sub(close).max(timeout / 2), least: snapshot.config.drain_pace }
}
