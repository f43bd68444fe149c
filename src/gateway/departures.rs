//! Who has to go after a reload: those whose route is gone, leads elsewhere now, or has their backend no more. They are
//! sent home few at a time; nobody else is told anything.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::exodus;
use super::worker::Worker;
use super::{drain, snapshot::Snapshot};
use crate::lifecycle::{Phase, clock};
use crate::telemetry::metrics::Route;
use crate::telemetry::roster::{Census, Order};

/// How long those are left in peace who did not answer: their tasks have too much to do.
const LOOK: Duration = Duration::from_secs(1);

/// What they are told.
pub(super) fn order() -> Order {
    Order { code: 1012, reason: "service restart".into() }
}

impl Snapshot {
    /// Whether who was led there by this route would be led there still; `backend`: where it is, if it is at any.
    pub(super) fn keeps(&self, route: &Arc<Route>, backend: Option<&str>) -> bool {
        // Another place under the same name is another route.
        let known = self.routes.iter().find(|known| Arc::ptr_eq(&known.route, route));
        known.is_some_and(|known| backend.is_none_or(|backend| known.has(backend)))
    }
}

/// Looks after each reload, until the drain.
pub(super) async fn keep(shared: Arc<Shared>, workers: Arc<[Worker]>) {
    let mut reloads = shared.reloads.subscribe();
    loop {
        tokio::select! {
            // The sender is in `shared`, so that it cannot be gone.
            _ = reloads.changed() => {}
            () = shared.life.reached(Phase::Draining) => return,
        }
        loop {
            reloads.mark_unchanged();
            tokio::select! {
                () = send_home(&shared, &workers) => break,
                // Who was not told yet may have its way back.
                _ = reloads.changed() => {}
                () = shared.life.reached(Phase::Draining) => return,
            }
        }
    }
}

/// Those who come into a session from now on look for themselves. Cancel safe: who was told was told.
async fn send_home(shared: &Shared, workers: &[Worker]) {
    loop {
        let Census { mut sessions, missing } = exodus::survey(workers, None).await;
        let pace = {
            let snapshot = shared.snapshot.load();
            sessions.retain(|report| {
                let backend = Some(&*report.backend).filter(|name| !name.is_empty() && !report.state.is_held);
                !report.state.is_ending && !snapshot.keeps(&report.route, backend)
            });
            drain::pace(&snapshot)
        };
        if !sessions.is_empty() {
            let (websockets, seconds) = (sessions.len(), pace.time(sessions.len()).as_secs_f64());
            tracing::info!(websockets, seconds, "sent home, for the way that they came by is gone");
            exodus::leave(workers, sessions, (pace, &order()), |_, _| {}).await;
        }
        if missing == 0 {
            return;
        }
        clock::sleep(LOOK).await;
    }
}
