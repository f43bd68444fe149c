//! What all workers and services of one gateway share.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::otlp;
use super::reload::Rereads;
use super::setback::Room;
use super::snapshot::Snapshot;
use super::worker::Worker;
use crate::config::Log;
use crate::hub::Site;
use crate::lifecycle::Life;
use crate::telemetry::metrics::{Facts, Metrics};
use crate::telemetry::sample::Rule;

/// What all workers see.
pub(super) struct Shared {
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) life: Life,
    pub(super) site: Site,
    /// For listeners that cannot accept.
    pub(super) room: Arc<Room>,
    /// How many configurations have come into force after the first.
    pub(super) reloads: watch::Sender<u64>,
    /// The threads that serve, while it runs.
    pub(super) crew: OnceLock<Weak<[Worker]>>,
    pub(super) rereads: Rereads,
}

impl Shared {
    pub(super) fn new(snapshot: Snapshot, site: Site) -> Arc<Self> {
        Arc::new_cyclic(|shared: &Weak<Self>| {
            let (shared, same) = (Weak::clone(shared), Weak::clone(shared));
            let facts = move || {
                let shared = shared.upgrade();
                shared.map_or_else(Facts::default, |shared| shared.snapshot.load().facts())
            };
            let histories = move || same.upgrade().map_or_else(Vec::new, |shared| shared.snapshot.load().histories());
            snapshot.take_over();
            let rule = sample_rule(&snapshot.config.log);
            let mut metrics = Metrics::with_facts(facts).with_histories(histories).with_sample(rule);
            metrics = otlp::with_spans(metrics, &snapshot.config);
            if let Some(cluster) = site.cluster.clone() {
                metrics = metrics.with_cluster(move || cluster.facts());
            }
            Self {
                snapshot: ArcSwap::from_pointee(snapshot),
                metrics: Arc::new(metrics),
                life: Life::default(),
                site,
                room: Arc::default(),
                reloads: watch::Sender::default(),
                crew: OnceLock::new(),
                rereads: Rereads::default(),
            }
        })
    }
}

fn sample_rule(log: &Log) -> Option<Rule> {
    let Log { sample, sample_every: every, .. } = *log;
    sample.map(|rate| Rule { most: rate.count.get(), per: rate.per, every })
}
