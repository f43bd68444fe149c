//! One worker: a thread with its own runtime, its own roster, its own shard of every hub's members.

use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use super::accept::Arrival;
use super::{Shared, connection};
use crate::courier::Lines;
use crate::hub::{Cluster, Shard, Way};
use crate::lifecycle::{Tasks, clock};
use crate::telemetry::roster::{Census, Order, Roster};

/// How often sessions that are due are looked for.
const SWEEP: Duration = Duration::from_millis(100);

/// A running worker, seen from outside.
pub(super) struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    load: Arc<AtomicUsize>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

enum Job {
    Connection(Arrival, Load),
    Survey(Option<u64>, oneshot::Sender<Census>),
    Dismiss(HashSet<u64>, Order),
    /// Whoever comes from now on is to go again.
    Shut(Order),
    /// All are to go.
    Empty(Order),
    /// To be told when nobody is here.
    Idle(oneshot::Sender<()>),
    /// To be told that the worker is alive.
    Pulse(oneshot::Sender<()>),
    Stop,
}

/// What the tasks of one worker share.
pub(super) struct Local {
    pub(super) shared: Arc<Shared>,
    pub(super) roster: Rc<Roster>,
    pub(super) shard: Rc<Shard>,
    /// Connections to backends of ordinary HTTP that wait for the next request.
    pub(super) lines: Rc<Lines>,
    /// Connections, before their upgrade and after it.
    pub(super) sessions: Tasks,
}

/// One connection in a worker's load, from accept to its end: it moves with the connection.
pub(super) struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A thread that does nothing but keep time: whatever else the process waits for, timers of workers are not late.
pub(super) struct Clock {
    handle: Handle,
    /// Dropped, it ends the thread.
    _running: oneshot::Sender<()>,
}

impl Clock {
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let (running, ended) = oneshot::channel();
        let handle = runtime.handle().clone();
        thread::Builder::new().name("wsgate-clock".to_owned()).spawn(move || {
            let _ = runtime.block_on(ended);
        })?;
        Ok(Arc::new(Self { handle, _running: running }))
    }
}

impl Worker {
    /// The worker's timers run on this clock, which lives as long as its last worker.
    pub(super) fn start(at: usize, shared: &Arc<Shared>, timers: &Arc<Clock>) -> io::Result<Self> {
        // Bounded by the cap on pending connections: each arrival in it holds its permit.
        let (jobs, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(shared);
        let (ready, started) = std::sync::mpsc::channel();
        let timers = Arc::clone(timers);
        let thread = thread::Builder::new().name(format!("wsgate-{at}")).spawn(move || {
            clock::borrow(timers.handle.clone());
            let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let _ = ready.send(Ok(()));
                    runtime.block_on(work(at, shared, inbox));
                    // Names that are still being resolved are not waited for.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self { jobs, load, thread: Mutex::new(Some(thread)) })
    }

    /// Connections that it has.
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub(super) fn give(&self, arrival: Arrival) {
        self.load.fetch_add(1, Ordering::Relaxed);
        // A worker that is gone drops the job, and the load with it.
        let _ = self.jobs.send(Job::Connection(arrival, Load(Arc::clone(&self.load))));
    }

    /// Asks its sessions, or the one of this number, to tell of themselves.
    pub(super) fn survey(&self, only: Option<u64>) -> oneshot::Receiver<Census> {
        let (answer, wait) = oneshot::channel();
        let _ = self.jobs.send(Job::Survey(only, answer));
        wait
    }

    /// Sends the sessions of these numbers home; those of other workers are left alone.
    pub(super) fn dismiss(&self, numbers: HashSet<u64>, order: Order) {
        let _ = self.jobs.send(Job::Dismiss(numbers, order));
    }

    /// Sends home whoever comes from now on.
    pub(super) fn shut(&self, order: Order) {
        let _ = self.jobs.send(Job::Shut(order));
    }

    /// Sends everybody home, and whoever comes.
    pub(super) fn empty(&self, order: Order) {
        let _ = self.jobs.send(Job::Empty(order));
    }

    /// The receiver is told when nobody is here.
    pub(super) fn idle(&self) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        let _ = self.jobs.send(Job::Idle(done));
        wait
    }

    /// The receiver is told as soon as the worker comes to it.
    pub(super) fn pulse(&self) -> oneshot::Receiver<()> {
        let (alive, wait) = oneshot::channel();
        let _ = self.jobs.send(Job::Pulse(alive));
        wait
    }

    /// Ends at once, with everything that is left, and waits for it: what is cut is told in the log.
    pub(super) fn stop(&self) {
        let _ = self.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

/// The cluster's thread: Redis is spoken with there, on a runtime that has a clock of its own. Dropped, it says goodbye to
/// the other gateways, and is waited for.
pub(super) struct Service {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    pub(super) fn start((cluster, way): (Cluster, Way)) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let thread =
            thread::Builder::new().name("wsgate-cluster".to_owned()).spawn(
                move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => {
                        let _ = ready.send(Ok(()));
                        runtime.block_on(cluster.run(way, stopped));
                        runtime.shutdown_background();
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                },
            )?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tasks of the gateway's own, on the runtime of whoever runs it.
pub(super) fn service_tasks() -> Tasks {
    Tasks::default()
}

async fn work(at: usize, shared: Arc<Shared>, mut inbox: mpsc::UnboundedReceiver<Job>) {
    let shard = Rc::new(Shard::new(at, Arc::clone(&shared.site.mailboxes[at])));
    let roster = Roster::new(at, shared.site.mailboxes.len()).with_traffic(shared.metrics.traffic.clone());
    let roster = Rc::new(roster);
    let local = Rc::new(Local { shared, roster, shard, lines: Rc::default(), sessions: Tasks::default() });
    let services = Tasks::default();
    services.spawn(Rc::clone(&local.shard).run());
    services.spawn(sweep(Rc::clone(&local.roster), Rc::clone(&local.lines)));
    while let Some(job) = inbox.recv().await {
        match job {
            Job::Connection(arrival, load) => {
                local.sessions.spawn(connection::serve(Rc::clone(&local), arrival, load));
            }
            Job::Survey(only, answer) => local.roster.survey(only, move |census| {
                let _ = answer.send(census);
            }),
            Job::Dismiss(numbers, order) => {
                local.roster.order(&numbers, &order);
            }
            Job::Shut(order) => local.roster.order_arrivals(&order),
            Job::Empty(order) => local.roster.order_all(&order),
            Job::Idle(done) => {
                let sessions = local.sessions.clone();
                services.spawn(async move {
                    sessions.idle().await;
                    let _ = done.send(());
                });
            }
            Job::Pulse(alive) => {
                let _ = alive.send(());
            }
            Job::Stop => return,
        }
    }
}

/// One timer for all sessions of the worker.
async fn sweep(roster: Rc<Roster>, lines: Rc<Lines>) {
    let since = Instant::now();
    loop {
        clock::sleep(SWEEP).await;
        roster.sweep(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        lines.sweep();
    }
}
