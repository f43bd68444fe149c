//! The front hall: from the listeners to the summary of a drain; the only room that knows all others.

mod accept;
mod answer;
mod answering;
mod bound;
mod checks;
mod cluster;
mod connection;
mod desk;
mod drain;
mod entry;
mod error;
mod exodus;
mod farewell;
mod front;
mod handover;
mod listeners;
mod pages;
mod reload;
mod reply;
mod session;
mod snapshot;
mod to_https;
mod token;
mod visit;
mod worker;

use std::rc::Rc;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use self::accept::{Door, Side};
use self::bound::Bound;
pub use self::error::StartError;
pub use self::handover::Turn;
pub use self::listeners::{Inherited, Listeners};
use self::snapshot::Snapshot;
use self::worker::{Clock, Service, Worker};
use crate::admin;
use crate::config::{Change, Config, Problem, Problems};
use crate::hub::{Mailbox, Site, Way};
use crate::lifecycle::{Life, Phase, Tasks};
use crate::telemetry::metrics::{Facts, Metrics};

/// How long the end waits for a disk that takes the last messages of chat histories.
const SETTLE: Duration = Duration::from_secs(5);

/// A gateway whose listeners are bound, and which serves once it runs.
pub struct Gateway {
    listeners: Listeners,
    shared: Arc<Shared>,
    orders: watch::Receiver<bool>,
    handle: Handle,
    warnings: Vec<Problem>,
    /// The way to Redis, until the cluster has its thread.
    way: Option<Way>,
}

/// What all workers see.
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    metrics: Arc<Metrics>,
    life: Life,
    site: Site,
    /// How many configurations have come into force after the first.
    reloads: watch::Sender<u64>,
    /// The threads that serve, while it runs.
    crew: OnceLock<Weak<[Worker]>>,
}

impl Shared {
    fn new(snapshot: Snapshot, site: Site) -> Arc<Self> {
        Arc::new_cyclic(|shared: &Weak<Self>| {
            let (shared, same) = (Weak::clone(shared), Weak::clone(shared));
            let facts = move || {
                let shared = shared.upgrade();
                shared.map_or_else(Facts::default, |shared| shared.snapshot.load().facts())
            };
            let histories = move || same.upgrade().map_or_else(Vec::new, |shared| shared.snapshot.load().histories());
            snapshot.take_over();
            let mut metrics = Metrics::with_facts(facts).with_histories(histories);
            if let Some(cluster) = site.cluster.clone() {
                metrics = metrics.with_cluster(move || cluster.facts());
            }
            Self {
                snapshot: ArcSwap::from_pointee(snapshot),
                metrics: Arc::new(metrics),
                life: Life::default(),
                site,
                reloads: watch::Sender::default(),
                crew: OnceLock::new(),
            }
        })
    }
}

/// What a drain did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Connections that were open when the drain began.
    pub open: usize,
    /// Those that were still open at its deadline and were cut.
    pub cut: usize,
    /// How long it took.
    pub took: Duration,
}

/// Orders to a running gateway; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    drain: watch::Sender<bool>,
    /// The listeners, as long as they are open.
    doors: Arc<[Weak<Bound>]>,
}

impl Handle {
    /// Begins the drain: no new connections, the open ones are sent home. A second call cuts what is left.
    pub fn drain(&self) {
        if self.shared.life.phase() == Phase::Draining {
            self.drain.send_replace(true);
        }
        self.shared.life.enter(Phase::Draining);
    }

    /// Where the gateway stands in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.shared.life.phase()
    }

    /// Counts lines of the log that were lost: the log is the program's, its metric is among the gateway's.
    pub fn log_lines_lost(&self, lines: u64) {
        self.shared.metrics.log_lost.inc_by(lines);
    }

    /// Counts a panic: whoever is told of panics is the program, the metric is among the gateway's.
    pub fn panicked(&self) {
        self.shared.metrics.panics.inc();
    }

    /// Waits until this phase or a later one. Cancel safe.
    pub async fn reached(&self, phase: Phase) {
        self.shared.life.reached(phase).await;
    }

    /// Puts a new configuration into force for the connections that come from now on. Certificates are read anew.
    /// Changes that need a restart are told, and wait for one.
    ///
    /// # Errors
    /// Everything that is wrong with it; then nothing has changed.
    pub fn reload(&self, config: Config) -> Result<Vec<Change>, Problems> {
        reload::reload(&self.shared, config)
    }
}

impl Gateway {
    /// Reads the certificates and binds the listeners.
    ///
    /// # Errors
    /// Certificates or authorities that cannot be used, addresses that cannot be bound.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        Self::build(config, |config| Listeners::bind(config, Vec::new()))
    }

    /// The same on listeners that are there already, which were bound for this configuration.
    ///
    /// # Errors
    /// Certificates or authorities that cannot be used.
    pub fn on(config: Config, listeners: Listeners) -> Result<Self, StartError> {
        Self::build(config, |_| Ok(listeners))
    }

    fn build(
        config: Config,
        listeners: impl FnOnce(&Config) -> Result<Listeners, StartError>,
    ) -> Result<Self, StartError> {
        let mailboxes: Arc<[Arc<Mailbox>]> = (0..config.workers).map(|_| Arc::new(Mailbox::default())).collect();
        let prepared = cluster::prepare(config.cluster.as_ref()).map_err(StartError::Config)?;
        let (cluster, way) = prepared.unzip();
        let site = Site { mailboxes, archives: Some(Arc::default()), cluster };
        let (snapshot, warnings) = Snapshot::build(config, &site, None).map_err(StartError::Config)?;
        let listeners = listeners(&snapshot.config)?;
        let shared = Shared::new(snapshot, site);
        let (drain, orders) = watch::channel(false);
        let doors = listeners.all().map(Arc::downgrade).collect();
        let handle = Handle { shared: Arc::clone(&shared), drain, doors };
        Ok(Self { listeners, shared, orders, handle, warnings, way })
    }

    /// Where clients connect, as URLs with the real ports: `wss://127.0.0.1:8443`; those that send everybody to https come
    /// last, as `http://…`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let scheme = if self.shared.snapshot.load().config.tls.is_some() { "wss" } else { "ws" };
        let plain = self.listeners.plain.iter().map(|bound| bound.url("http"));
        self.listeners.gateway.iter().map(|bound| bound.url(scheme)).chain(plain).collect()
    }

    /// Where the admin door is, as a URL.
    #[must_use]
    pub fn admin_address(&self) -> Option<String> {
        self.listeners.admin.as_ref().map(|bound| bound.url("http"))
    }

    /// What is odd about the certificates, though it can be served.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// For orders while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until it is told to drain, and until the drain is done. To be run on a current-thread runtime with I/O
    /// and time; clients are served on threads of their own.
    ///
    /// # Errors
    /// When the workers cannot be started.
    pub async fn run(self) -> Result<Totals, StartError> {
        let Self { listeners, shared, mut orders, way, .. } = self;
        let timers = Clock::start().map_err(StartError::Worker)?;
        let workers = 0..shared.site.mailboxes.len();
        let workers = workers.map(|at| Worker::start(at, &shared, &timers)).collect::<Result<Vec<_>, _>>();
        let workers: Arc<[Worker]> = workers.map_err(StartError::Worker)?.into();
        let _ = shared.crew.set(Arc::downgrade(&workers));
        let cluster =
            shared.site.cluster.clone().zip(way).map(Service::start).transpose().map_err(StartError::Worker)?;
        let tasks = worker::service_tasks();
        listeners.all().for_each(|bound| bound.own());
        open_doors(listeners, &shared, &workers, &tasks);
        tasks.spawn(checks::sweep(Arc::clone(&shared)));
        tasks.spawn(checks::keep(Arc::clone(&shared), tasks.clone()));
        shared.life.enter(Phase::Running);
        handover::last_in(&shared).await;
        let totals = drain::drain(&shared, &workers, &mut orders).await;
        // After the last member has left, so that other gateways hear of it.
        drop(cluster);
        if let Some(archives) = &shared.site.archives {
            archives.settle(SETTLE);
        }
        shared.life.enter(Phase::Stopped);
        Ok(totals)
    }
}

/// From now on whoever connects is accepted.
fn open_doors(listeners: Listeners, shared: &Arc<Shared>, workers: &Arc<[Worker]>, tasks: &Tasks) {
    let Listeners { gateway, plain, admin, .. } = listeners;
    if let Some(bound) = admin {
        let desk = Rc::new(desk::Desk::new(Arc::clone(shared), Arc::clone(workers)));
        let door = admin::Door::new(Arc::clone(&shared.metrics), shared.life.clone(), desk);
        tasks.spawn(accept::serve_admin(bound, door, shared.life.clone()));
    }
    let doors = gateway.into_iter().map(|bound| (bound, Side::Gateway));
    let doors = doors.chain(plain.into_iter().map(|bound| (bound, Side::ToHttps)));
    for (listener, side) in doors {
        let door = Door::new(Arc::clone(shared), Arc::clone(workers), side);
        tasks.spawn(accept::run(listener, door, shared.life.clone()));
    }
}

/// Reads everything that a configuration names, as `bind` does, and tells what is wrong or odd with it.
///
/// # Errors
/// Every problem at once.
pub fn check(config: Config) -> Result<Vec<Problem>, Problems> {
    let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([Arc::default()]);
    let prepared = cluster::prepare(config.cluster.as_ref());
    let cluster = prepared.as_ref().ok().and_then(Option::as_ref).map(|(cluster, _)| cluster.clone());
    let site = Site { mailboxes, archives: None, cluster };
    let built = Snapshot::build(config, &site, None).map(|(_, warnings)| warnings);
    cluster::both(built, prepared.as_ref().err())
}

fn now() -> SystemTime {
    SystemTime::now()
}
