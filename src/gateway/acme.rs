//! The certificate that a CA makes by itself, kept good as long as the gateway runs and the configuration wants it.

use std::sync::Arc;

use tokio::sync::watch;

use super::Shared;
use crate::acme::Keeper;
use crate::lifecycle::Phase;

/// Runs the keeper of the configuration in force, until the drain. After a reload it goes on, or gives way to another.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut reloads = shared.reloads.subscribe();
    loop {
        // Before the snapshot is read: what comes into force meanwhile is seen in the next round.
        reloads.mark_unchanged();
        let snapshot = shared.snapshot.load_full();
        let work = async {
            match snapshot.acme.as_ref().zip(snapshot.tls.as_ref()) {
                Some((keeper, tls)) => keeper.run(tls, &shared.metrics.acme).await,
                None => {
                    shared.metrics.acme.idle();
                    std::future::pending().await
                }
            }
        };
        tokio::select! {
            never = work => match never {},
            () = changed(&shared, &mut reloads, snapshot.acme.as_ref()) => {}
            // Whoever has the listeners from then on is asked in our place.
            () = shared.life.reached(Phase::Leaving) => return,
        }
    }
}

/// Waits until another keeper is wished, or none.
async fn changed(shared: &Shared, reloads: &mut watch::Receiver<u64>, known: Option<&Arc<Keeper>>) {
    // The sender is in `shared`, so that it cannot be gone.
    while reloads.changed().await.is_ok() {
        let snapshot = shared.snapshot.load();
        if snapshot.acme.as_ref().map(Arc::as_ptr) != known.map(Arc::as_ptr) {
            return;
        }
    }
}
