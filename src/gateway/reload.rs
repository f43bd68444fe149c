//! A new configuration in force, or the old one untouched: read where the program says, one after the other.

mod fates;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) use self::fates::{Fate, Fates};
use super::error::ReloadError;
use super::snapshot::Snapshot;
use super::{Shared, cluster, worker};
use crate::config::{Change, Config, Problem, Problems, difference};
use crate::hub::{Mailbox, Site};
use crate::telemetry::metrics::label;

/// Reads the configuration anew. It may take its time: it is called on a thread of its own.
pub(super) type Reader = Box<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// Where configurations come from, and whose turn it is to bring one.
#[derive(Default)]
pub(super) struct Rereads {
    reader: OnceLock<Reader>,
    /// Those who want it read wait here, in the order in which they came.
    queue: Arc<tokio::sync::Mutex<()>>,
    /// Held while one is made and put into force, or certificates are.
    swap: Mutex<()>,
}

/// Whether what was read is put into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is not: everything is looked at, nothing changes.
    Rehearse,
    InForce,
}

/// What came of reading the configuration again.
#[derive(Debug)]
pub struct Reloaded {
    /// What has changed; empty where nothing has but certificates.
    pub changes: Vec<Change>,
    /// What is odd about it, though it can be served.
    pub warnings: Vec<Problem>,
    /// What becomes of those who were there before.
    pub(super) fates: Fates,
}

impl Rereads {
    /// From now on it is read so. Said once: what is said later has no effect.
    pub(super) fn read_with(&self, reader: Reader) {
        let _ = self.reader.set(reader);
    }

    /// While it is held nobody else puts anything into force.
    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        // What is made under it is swapped at its end: after a panic everything is as it was.
        self.swap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the configuration on a thread of its own when its turn has come, and puts it into force or not. Cancel safe: what
/// has begun is brought to its end, and told in the log.
pub(super) async fn reread(shared: &Arc<Shared>, purpose: Purpose) -> Result<Reloaded, ReloadError> {
    if shared.rereads.reader.get().is_none() {
        return Err(ReloadError::NoReader);
    }
    let turn = Arc::clone(&shared.rereads.queue).lock_owned().await;
    let same = Arc::clone(shared);
    let work = move || {
        let _turn = turn;
        let read = same.rereads.reader.get().ok_or(ReloadError::NoReader)?;
        match purpose {
            Purpose::Rehearse => read().and_then(|config| rehearse(&same, config)).map_err(ReloadError::Config),
            Purpose::InForce => {
                let done = counted(&same, read().and_then(|config| replace(&same, config)));
                tell(&done);
                done.map_err(ReloadError::Config)
            }
        }
    };
    let done = worker::aside("wsgate-reload", work).map_err(ReloadError::Thread)?;
    done.await.map_err(|_| ReloadError::Broken)?
}

/// Puts this one into force, and counts what came of it.
pub(super) fn reload(shared: &Shared, config: Config) -> Result<Vec<Change>, Problems> {
    let reloaded = counted(shared, replace(shared, config))?;
    reloaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(reloaded.changes)
}

fn counted<T>(shared: &Shared, outcome: Result<T, Problems>) -> Result<T, Problems> {
    let result = if outcome.is_ok() { "ok" } else { "refused" };
    shared.metrics.reloads.get_or_create(&label("result", result)).inc();
    outcome
}

fn tell(done: &Result<Reloaded, Problems>) {
    match done {
        Ok(Reloaded { changes, warnings, .. }) => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            if changes.is_empty() {
                tracing::info!("reloaded, nothing has changed but certificates");
            }
            for change in changes {
                let effect = if change.restart { "needs a restart" } else { "in force for new connections" };
                let parts = (!change.parts.is_empty()).then(|| change.parts.join(","));
                tracing::info!(key = change.key, change = change.kind.word(), parts, effect, "reloaded");
            }
        }
        Err(problems) => {
            tracing::error!("not reloaded, nothing has changed:");
            problems.0.iter().for_each(|problem| tracing::error!("{problem}"));
        }
    }
}

/// Builds everything first and swaps one pointer last.
fn replace(shared: &Shared, mut config: Config) -> Result<Reloaded, Problems> {
    let _alone = shared.rereads.hold();
    let old = shared.snapshot.load_full();
    let changes = changes(&old.config, &mut config);
    let fates = Fates::between(&old.config, &config);
    let (snapshot, warnings) = Snapshot::build(config, &shared.site, Some(&old))?;
    let snapshot = Arc::new(snapshot);
    shared.snapshot.store(Arc::clone(&snapshot));
    snapshot.take_over();
    old.retire(&snapshot);
    shared.reloads.send_modify(|count| *count += 1);
    Ok(Reloaded { changes, warnings, fates })
}

/// What would become of it.
fn rehearse(shared: &Shared, mut config: Config) -> Result<Reloaded, Problems> {
    let old = shared.snapshot.load_full();
    let changes = changes(&old.config, &mut config);
    let fates = Fates::between(&old.config, &config);
    // One that is begun for this alone: the one in force hears of nothing. That its password cannot be read now is no
    // reason: only a start reads it.
    let cluster = cluster::prepare(config.cluster.as_ref()).ok().flatten().map(|(cluster, _)| cluster);
    let (_, warnings) = Snapshot::build(config, &site_to_look_at(cluster), Some(&old))?;
    Ok(Reloaded { changes, warnings, fates })
}

/// Where hubs are made that nobody enters, and files are only looked at.
pub(super) fn site_to_look_at(cluster: Option<crate::hub::Cluster>) -> Site {
    let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([Arc::default()]);
    Site { mailboxes, archives: None, cluster }
}

/// What is another in it. What only a restart can change stays as it is in force.
fn changes(old: &Config, config: &mut Config) -> Vec<Change> {
    let mut changes = difference(old, config);
    changes.extend(config.keep_histories(old));
    config.listen.clone_from(&old.listen);
    match (&mut config.admin, &old.admin) {
        (Some(admin), Some(old)) => admin.listen.clone_from(&old.listen),
        (admin, old) => admin.clone_from(old),
    }
    match (&mut config.to_https, &old.to_https) {
        (Some(plain), Some(old)) => plain.listen.clone_from(&old.listen),
        (plain, old) => plain.clone_from(old),
    }
    config.workers = old.workers;
    config.cluster.clone_from(&old.cluster);
    config.log.clone_from(&old.log);
    config.otlp.clone_from(&old.otlp);
    if config.tls.is_some() != old.tls.is_some() {
        config.tls.clone_from(&old.tls);
    }
    changes
}
