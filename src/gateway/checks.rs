//! What is done over and over for the configuration in force: its backends are checked, and no others; memory is given back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Shared;
use crate::lifecycle::{Phase, Tasks, clock};
use crate::telemetry::metrics::Metrics;

/// Runs the health checks until the drain. After a reload they begin anew by what it says; what they know stands with
/// the backends, and stays with those that stay.
pub(super) async fn keep(shared: Arc<Shared>, tasks: Tasks) {
    let mut reloads = shared.reloads.subscribe();
    loop {
        // Before the snapshot is read: what comes into force meanwhile is seen in the next round.
        reloads.mark_unchanged();
        let running = start(&shared, &tasks);
        tokio::select! {
            // The sender is in `shared`, so that it cannot be gone.
            _ = reloads.changed() => {}
            () = shared.life.reached(Phase::Draining) => return,
        }
        // Each ends with its sender, when it has nothing under way.
        drop(running);
    }
}

fn start(shared: &Shared, tasks: &Tasks) -> Vec<oneshot::Sender<Infallible>> {
    let snapshot = shared.snapshot.load_full();
    let checks = snapshot.pools().flat_map(|pool| pool.checks());
    let begin = |check: crate::pool::check::Check| {
        let (running, stop) = oneshot::channel();
        tasks.spawn(check.run(stop));
        running
    };
    checks.map(begin).collect()
}

/// Says each second how many lines of connections were left out in it.
pub(super) async fn tell_left_out(metrics: Arc<Metrics>) {
    loop {
        clock::sleep(Duration::from_secs(1)).await;
        metrics.sampler.tell();
    }
}

/// Gives back the memory of those who are gone.
pub(super) async fn sweep(shared: Arc<Shared>) {
    loop {
        clock::sleep(Duration::from_secs(30)).await;
        let snapshot = shared.snapshot.load();
        snapshot.gate.sweep();
        snapshot.hubs().for_each(|hub| hub.sweep(Instant::now()));
        snapshot.guards().for_each(|guard| guard.sweep(Instant::now()));
        snapshot.filters().for_each(|filter| filter.sweep(Instant::now()));
    }
}
