//! A new configuration in force, or the old one untouched.

use std::sync::Arc;

use super::Shared;
use super::snapshot::Snapshot;
use crate::config::{Change, Config, Problems, difference};
use crate::telemetry::metrics::label;

/// Puts it into force, and counts what came of it.
pub(super) fn reload(shared: &Shared, config: Config) -> Result<Vec<Change>, Problems> {
    let outcome = replace(shared, config);
    let result = if outcome.is_ok() { "ok" } else { "refused" };
    shared.metrics.reloads.get_or_create(&label("result", result)).inc();
    outcome
}

/// Builds everything first and swaps one pointer last.
fn replace(shared: &Shared, mut config: Config) -> Result<Vec<Change>, Problems> {
    let old = shared.snapshot.load_full();
    let mut changes = difference(&old.config, &config);
    changes.extend(config.keep_histories(&old.config));
    // What only a restart can change stays as it is in force.
    config.listen.clone_from(&old.config.listen);
    match (&mut config.admin, &old.config.admin) {
        (Some(admin), Some(old)) => admin.listen.clone_from(&old.listen),
        (admin, old) => admin.clone_from(old),
    }
    match (&mut config.to_https, &old.config.to_https) {
        (Some(plain), Some(old)) => plain.listen.clone_from(&old.listen),
        (plain, old) => plain.clone_from(old),
    }
    config.workers = old.config.workers;
    config.cluster.clone_from(&old.config.cluster);
    if config.tls.is_some() != old.config.tls.is_some() {
        config.tls.clone_from(&old.config.tls);
    }
    let (snapshot, warnings) = Snapshot::build(config, &shared.site, Some(&old))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let snapshot = Arc::new(snapshot);
    shared.snapshot.store(Arc::clone(&snapshot));
    snapshot.take_over();
    old.retire(&snapshot);
    shared.reloads.send_modify(|count| *count += 1);
    Ok(changes)
}
