//! Rooms that span several gateways: one Redis gives each message its place, keeps what was said, and knows who is where.
//!
//! Rooms leave notes in an [`inbox`]; a thread of its own takes them to Redis, listens to the channels of all rooms, and
//! tells each room what has its place, through [`hall::Hall`]. What must not go wrong is in [`ledger`].

mod attend;
mod chapter;
mod connect;
mod decree;
mod desk;
mod entry;
mod facts;
mod flight;
mod hall;
mod id;
mod inbox;
mod inlet;
mod latch;
mod law;
mod ledger;
mod page;
mod script;
mod time;
mod wall;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

pub(crate) use self::chapter::Chapter;
pub(crate) use self::connect::{Login, Way};
pub(crate) use self::decree::{Decree, Kind, Matter};
pub(in crate::hub) use self::entry::Said;
pub(in crate::hub) use self::hall::{Hall, Others};
pub(in crate::hub) use self::id::is_local;
pub(in crate::hub) use self::inbox::Note;
pub(crate) use self::latch::Latch;
pub(in crate::hub) use self::ledger::Show;
pub(crate) use self::wall::Together;

use self::desk::Desk;
use self::facts::Facts;
use self::inbox::Inbox;
use self::time::Time;
use crate::telemetry::metrics::ClusterFacts;

/// What the owner wishes of the cluster's thread.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    /// Where Redis is, as logs name it.
    pub(crate) place: String,
    /// This gateway's name; absent: one by chance.
    pub(crate) node: Option<String>,
    /// After which the members of a gateway that says nothing are gone.
    pub(crate) expiry: Duration,
    /// The longest wait between two tries to connect.
    pub(crate) reconnect: Duration,
    /// Notes beyond which senders wait.
    pub(crate) queue: usize,
}

/// The cluster, as rooms and the gateway see it; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cluster(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wishes: Wishes,
    node: Arc<str>,
    /// What keys of this run begin with: a gateway that is started again under its name makes other ones.
    run: String,
    count: AtomicU64,
    /// By which ids of messages that are owed are told from those of other gateways.
    tag: u64,
    inbox: Inbox,
    time: Time,
    facts: Arc<Facts>,
}

impl Shared {
    fn next_key(&self) -> String {
        format!("{}/{}", self.run, self.count.fetch_add(1, Ordering::Relaxed))
    }
}

impl Cluster {
    /// A cluster that [`Cluster::run`] makes work.
    pub(crate) fn new(wishes: Wishes) -> Self {
        let chance = RandomState::new();
        let node = wishes.node.clone().unwrap_or_else(|| format!("{:016x}", chance.hash_one(0)));
        let run = format!("{node}.{:08x}", chance.hash_one(1) >> 32);
        let inbox = Inbox::new(wishes.queue);
        let node = node.into();
        let (count, tag, facts) = (AtomicU64::new(0), chance.hash_one(2), Arc::default());
        Self(Arc::new(Shared { wishes, node, run, count, tag, inbox, time: Time::default(), facts }))
    }

    /// Speaks with Redis until `stop`. To be run on a thread of its own, with a local runtime that has all drivers.
    pub(crate) async fn run(self, way: Way, stop: oneshot::Receiver<()>) {
        let (desk, answers) = Desk::new(self.0, Arc::new(way));
        desk.run(answers, stop).await;
    }

    /// What there is to tell of it now.
    pub(crate) fn facts(&self) -> ClusterFacts {
        let Facts { up, reconnects, published, received, doubles, bad, owed, lag } = &*self.0.facts;
        ClusterFacts {
            up: up.get() == 1,
            reconnects: reconnects.get(),
            published: published.get(),
            received: received.get(),
            doubles: doubles.get(),
            bad: bad.get(),
            owed: owed.get(),
            queue: self.0.inbox.len() as u64,
            lag: lag.get() as f64 / 1e6,
        }
    }

    /// This gateway's name among the others.
    pub(crate) fn node(&self) -> &str {
        &self.0.node
    }

    /// A key that no other message has.
    pub(in crate::hub) fn next_key(&self) -> String {
        self.0.next_key()
    }

    /// Leaves a note; never waits.
    pub(in crate::hub) fn post(&self, note: Note) {
        self.0.inbox.post(note);
    }

    /// Whether senders may go on; if not, `cx` is woken when they may.
    pub(in crate::hub) fn has_room(&self, cx: &mut std::task::Context<'_>) -> bool {
        self.0.inbox.has_room(cx)
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    micros() / 1000
}

/// Microseconds since 1970.
fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
