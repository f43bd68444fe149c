//! Certificates while they are served: other files are taken up by themselves, and an end that comes near is told.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::worker;
use crate::lifecycle::{Phase, clock};
use crate::tls::{Expiry, Refreshed, Watch};

/// How often it is looked whether an end is near.
const LOOK: Duration = Duration::from_secs(60);

/// Looks after the files as often as the owner wishes, until the drain.
pub(super) async fn watch(shared: Arc<Shared>) {
    let (mut reloads, mut watch) = (shared.reloads.subscribe(), Watch::default());
    loop {
        reloads.mark_unchanged();
        let interval = shared.snapshot.load().config.tls.as_ref().and_then(|tls| tls.watch);
        let pause = async {
            match interval {
                Some(interval) => clock::sleep(interval).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            _ = reloads.changed() => continue,
            () = shared.life.reached(Phase::Draining) => return,
        }
        watch = match worker::aside("wsgate-certs", look(&shared, watch)) {
            Ok(looked) => looked.await.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "cannot look whether certificates have changed");
                Watch::default()
            }
        };
    }
}

/// A disk may keep whoever reads it waiting: not here, where connections are accepted.
fn look(shared: &Arc<Shared>, mut watch: Watch) -> impl FnOnce() -> Watch + Send + 'static {
    let shared = Arc::clone(shared);
    move || {
        let _alone = shared.rereads.hold();
        if let Some(tls) = &shared.snapshot.load().tls {
            tell(&tls.refresh(&mut watch, super::now()));
        }
        watch
    }
}

fn tell(refreshed: &Refreshed) {
    let Refreshed { taken, problems, warnings } = refreshed;
    for file in taken {
        tracing::info!(file, "a certificate has changed on disk, and is in force for new connections");
    }
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if !problems.is_empty() {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let told = problems.join("; ");
        tracing::error!("a certificate has changed on disk and cannot be used, the one before stays: {told}");
    }
}

/// Tells of those that come to their end, until the drain.
pub(super) async fn tell_ends(shared: Arc<Shared>) {
    let (mut reloads, mut expiry) = (shared.reloads.subscribe(), Expiry::default());
    loop {
        reloads.mark_unchanged();
        let served = shared.snapshot.load().tls.as_ref().map(|tls| tls.served()).unwrap_or_default();
        for notice in expiry.due(&served, super::now()) {
            let (file, name, until) = (&*notice.source, &*notice.name, &*notice.end);
            match notice.left {
                Some(_) => tracing::warn!(file, name, until, "{notice}"),
                None => tracing::error!(file, name, until, "{notice}"),
            }
        }
        tokio::select! {
            () = clock::sleep(LOOK) => {}
            _ = reloads.changed() => {}
            () = shared.life.reached(Phase::Draining) => return,
        }
    }
}
