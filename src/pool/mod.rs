//! A backend that answers: the members of a pool, how one is chosen, dialled, watched and given back.

mod again;
mod balance;
mod budget;
pub(crate) mod check;
mod choice;
mod death;
mod dial;
mod member;
mod places;
mod source;
mod state;
mod wish;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) use self::again::{Again, Current, NotBack};
use self::member::Member;
pub(crate) use self::places::Lease;
use self::places::{Entry, Places};
pub(crate) use self::state::{BackendState, PoolState};
pub(crate) use self::wish::{Caller, Wish};
use crate::client::{self, Trust};
use crate::config::{self, Check, Habits};
use crate::lifecycle::clock::Instant;
use crate::socket::Socket;
use crate::telemetry::metrics::{BackendFacts, DialTally, PoolFacts, Undialled};
use crate::wire::head::{Nonsense, Refused};

/// How long a backend has for its own goodbye after ours.
pub(crate) const LEAVE: Duration = Duration::from_secs(2);
/// How often one who waits looks around: a backend whose time out of service has passed tells nobody.
const LOOK: Duration = Duration::from_secs(1);

/// Backends that stand in for one another.
#[derive(Debug)]
pub(crate) struct Pool {
    name: String,
    seats: Vec<Seat>,
    /// Members of the pool before that are none of this one.
    gone: Vec<Arc<Member>>,
    places: Arc<Places>,
    trust: Trust,
    wishes: config::Pool,
    habits: Habits,
    /// How connecting to them went, in this pool and those before.
    dials: Arc<DialTally>,
}

/// A member, and what this configuration says of it.
#[derive(Debug)]
struct Seat {
    member: Arc<Member>,
    weight: u32,
    backup: bool,
}

/// An open tunnel's far end.
pub(crate) struct Dialled {
    /// The connection; frames that came behind the 101 are in it.
    pub socket: Socket,
    /// The place at the backend.
    pub lease: Lease,
    /// The subprotocol that the backend chose.
    pub protocol: Option<String>,
}

/// Why no backend could be had.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Every backend has as many connections as it may, and as many wait as may.
    Full,
    /// No place became free in the time for which one may wait.
    QueueTimeout,
    /// Every backend is out of service.
    OutOfService,
    /// No backend could be connected to; with the last one's error.
    Unreachable(String, io::Error),
    /// No backend could be connected to in time.
    ConnectTimeout(String),
    /// Others were shaking hands with the backend for all the time there was.
    HandshakesBusy(String),
    /// A backend did not answer in time; with what it had said until then.
    AnswerTimeout(String, String),
    /// A backend ended the connection instead of answering.
    Broken(String, io::Error),
    /// A backend's answer was none; with its first bytes, as a log may show them.
    Nonsense(String, Nonsense, String),
    /// A backend refused; its own answer.
    Refused(String, Refused, Vec<u8>),
}

impl DialError {
    /// What went wrong with a backend; nothing where none was tried.
    const fn undialled(&self) -> Option<Undialled> {
        Some(match self {
            Self::Full | Self::QueueTimeout | Self::OutOfService => return None,
            Self::Unreachable(..) => Undialled::Connect,
            Self::ConnectTimeout(_) => Undialled::ConnectTimeout,
            Self::HandshakesBusy(_) => Undialled::Busy,
            Self::AnswerTimeout(..) => Undialled::AnswerTimeout,
            Self::Broken(..) => Undialled::Broken,
            Self::Nonsense(..) => Undialled::Nonsense,
            Self::Refused(..) => Undialled::Refused,
        })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("every backend has as many connections as it may"),
            Self::QueueTimeout => f.write_str("no backend had room in time"),
            Self::OutOfService => f.write_str("every backend is out of service"),
            Self::Unreachable(url, error) => write!(f, "{url}: {error}"),
            Self::ConnectTimeout(url) => write!(f, "{url}: no connection in time"),
            Self::HandshakesBusy(url) => write!(f, "{url}: busy with other handshakes for too long"),
            Self::AnswerTimeout(url, first) if first.is_empty() => write!(f, "{url}: no answer in time"),
            Self::AnswerTimeout(url, first) => write!(f, "{url}: no whole answer in time; it began with \"{first}\""),
            Self::Broken(url, error) => write!(f, "{url}: no answer: {error}"),
            Self::Nonsense(url, nonsense, first) => write!(f, "{url}: {nonsense}; it began with \"{first}\""),
            Self::Refused(url, refused, _) => write!(f, "{url}: refused with status {}", refused.status),
        }
    }
}

impl std::error::Error for DialError {}

impl Pool {
    /// A pool in which nothing is open. Members of `before` that are wanted again keep all that is known of them.
    /// Nothing of `before` changes until this one takes over.
    #[must_use]
    pub(crate) fn new(name: &str, wishes: &config::Pool, habits: Habits, trust: Trust, before: Option<&Self>) -> Self {
        let places = before.map_or_else(
            || Arc::new(Places::new(u64::from_le_bytes(client::random()))),
            |before| Arc::clone(&before.places),
        );
        let at_once = wishes.handshakes_at_once.unwrap_or(habits.handshakes_at_once);
        let seat = |backend: &config::Backend| Seat {
            member: before
                .and_then(|before| before.member_at(backend))
                .unwrap_or_else(|| Arc::new(Member::new(backend, &places, at_once))),
            weight: backend.weight,
            backup: backend.backup,
        };
        let seats: Vec<Seat> = wishes.backends.iter().map(seat).collect();
        let stays = |member: &Arc<Member>| seats.iter().any(|seat| Arc::ptr_eq(&seat.member, member));
        let gone = before.map(|before| before.members().filter(|member| !stays(member)).cloned().collect());
        let gone = gone.unwrap_or_default();
        let dials = before.map_or_else(Arc::default, |before| Arc::clone(&before.dials));
        Self { name: name.to_owned(), seats, gone, places, trust, wishes: wishes.clone(), habits, dials }
    }

    /// From now on this one's limits hold, for the connections that came before a reload as well.
    pub(crate) fn take_over(&self) {
        self.places.limit(self.wishes.connections_per_backend.unwrap_or(self.habits.cap), self.wishes.queue);
        for member in self.members() {
            member.limit_slots(self.wishes.handshakes_at_once.unwrap_or(self.habits.handshakes_at_once));
            member.watch(self.wishes.health.check != Check::Off);
        }
        for member in &self.gone {
            member.retire();
        }
        self.serve_queue();
    }

    /// Its name in the configuration.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What there is to tell of it now.
    #[must_use]
    pub(crate) fn facts(&self) -> PoolFacts {
        let (now, cap) = (Instant::now(), self.places.cap());
        let backend = |member: &Arc<Member>| BackendFacts {
            backend: member.backend.url.clone(),
            open: member.open(),
            cap: (cap != usize::MAX).then_some(cap),
            usable: member.is_usable(now),
            ejections: member.ejections.load(Ordering::Relaxed),
        };
        PoolFacts {
            pool: self.name.clone(),
            waiting: self.places.waiting(),
            refused: self.places.refused.load(Ordering::Relaxed),
            retries: self.places.retries.load(Ordering::Relaxed),
            retries_refused: self.places.retries_refused.load(Ordering::Relaxed),
            dials: Arc::clone(&self.dials),
            backends: self.members().map(backend).collect(),
        }
    }

    /// A place at a backend; where all are full and some may wait, one that became free in time. Cancel safe: who gives
    /// up waiting leaves the queue, and a place that was just handed over comes back.
    ///
    /// # Errors
    /// [`DialError::Full`], [`DialError::QueueTimeout`], [`DialError::OutOfService`].
    pub(crate) async fn enter(&self, wish: &Wish) -> Result<Lease, DialError> {
        self.enter_as(wish.caller).await
    }

    /// The same for a client that wants no WebSocket.
    ///
    /// # Errors
    /// As for [`Pool::enter`].
    pub(crate) async fn enter_as(&self, caller: Caller) -> Result<Lease, DialError> {
        let entered = self.enter_uncounted(caller).await;
        if entered.is_err() {
            self.places.refused.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// The same for a client that asks again if need be, and is not refused until it has given up.
    async fn enter_uncounted(&self, caller: Caller) -> Result<Lease, DialError> {
        self.places.count_request(Instant::now());
        let lease = self.enter_queue(caller.key).await?;
        self.tell_crowd(lease.member());
        Ok(lease)
    }

    async fn enter_queue(&self, key: u64) -> Result<Lease, DialError> {
        if self.is_out_of_service() {
            return Err(DialError::OutOfService);
        }
        let mut waiting = match self.places.enter(key, |cap, key, chance| self.choose(cap, key, chance, &[])) {
            Entry::Place(lease) => return Ok(lease),
            Entry::Full => return Err(DialError::Full),
            Entry::Queue(waiting) => waiting,
        };
        let deadline = Instant::now() + self.wishes.queue_timeout;
        loop {
            let now = Instant::now();
            if let Some(lease) = waiting.place_by(deadline.min(now + LOOK)).await {
                return Ok(lease);
            }
            if Instant::now() >= deadline {
                return Err(DialError::QueueTimeout);
            }
            self.serve_queue();
        }
    }

    /// Gives what is free to those who wait.
    fn serve_queue(&self) {
        self.places.serve(|cap, key, chance| self.choose(cap, key, chance, &[]));
    }

    fn is_out_of_service(&self) -> bool {
        let now = Instant::now();
        let last = self.wishes.ejection.last;
        !self.members().any(|member| if last { member.is_usable(now) } else { !member.is_withdrawn() })
    }

    /// Once it is nine tenths full, and again only when it was below eight tenths in between.
    fn tell_crowd(&self, member: &Member) {
        let (open, cap) = (member.open(), self.places.cap());
        let is_crowded = cap != usize::MAX && open.saturating_mul(10) >= cap.saturating_mul(9);
        if is_crowded && !member.crowded.swap(true, Ordering::Relaxed) {
            let backend = &*member.backend.url;
            tracing::warn!(pool = self.name, backend, open, cap, "a backend is nearly full");
        }
    }

    fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.seats.iter().map(|seat| &seat.member)
    }

    fn member_at(&self, backend: &config::Backend) -> Option<Arc<Member>> {
        let is_same =
            |member: &&Arc<Member>| member.backend.transport == backend.transport && member.backend.url == backend.url;
        self.members().find(is_same).cloned()
    }
}

#[cfg(test)]
mod tests;
