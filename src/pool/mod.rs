//! A backend that answers: the members of a pool, how one is chosen, dialled and given back.

mod balance;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::balance::Ranking;
use crate::client::{self, Trust, UpgradeError};
use crate::config;
use crate::lifecycle::clock::timeout;
use crate::socket::Socket;
use crate::wire::head::{self, Answer, Forwarded, Nonsense, Refused};
use crate::wire::offer::accept_for;

/// Backends that stand in for one another.
#[derive(Debug)]
pub(crate) struct Pool {
    name: String,
    members: Vec<Arc<Member>>,
    ranking: Ranking,
    trust: Trust,
    wishes: config::Pool,
}

#[derive(Debug)]
struct Member {
    backend: config::Backend,
    open: AtomicUsize,
}

/// One of a backend's connections; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Member>);

impl Lease {
    /// The backend, as the configuration names it.
    #[must_use]
    pub(crate) fn backend(&self) -> &str {
        &self.0.backend.url
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
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
    /// Every backend has as many connections as it may.
    Full,
    /// No backend could be connected to; with the last one's error.
    Unreachable(String, io::Error),
    /// No backend could be connected to in time.
    ConnectTimeout(String),
    /// A backend did not answer in time.
    AnswerTimeout(String),
    /// A backend ended the connection instead of answering.
    Broken(String, io::Error),
    /// A backend's answer was none.
    Nonsense(String, Nonsense),
    /// A backend refused; its own answer.
    Refused(String, Refused, Vec<u8>),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("every backend has as many connections as it may"),
            Self::Unreachable(url, error) => write!(f, "{url}: {error}"),
            Self::ConnectTimeout(url) => write!(f, "{url}: no connection in time"),
            Self::AnswerTimeout(url) => write!(f, "{url}: no answer in time"),
            Self::Broken(url, error) => write!(f, "{url}: no answer: {error}"),
            Self::Nonsense(url, nonsense) => write!(f, "{url}: {nonsense}"),
            Self::Refused(url, refused, _) => write!(f, "{url}: refused with status {}", refused.status),
        }
    }
}

impl std::error::Error for DialError {}

/// What is asked of a backend on behalf of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// Path and query.
    pub target: &'a str,
    /// The client's headers.
    pub headers: &'a http::HeaderMap,
    /// What somebody vouches for, by header; the client's own headers of these names are not among `headers`.
    pub vouched: &'a [(String, http::HeaderValue)],
    /// What is said of the client.
    pub forwarded: Forwarded<'a>,
    /// The subprotocols it offered.
    pub offered: &'a [String],
    /// Connections to each backend at most, where the pool does not say.
    pub cap: usize,
}

impl Pool {
    /// A pool in which nothing is open. Members of `before` that are wanted again keep their counts.
    #[must_use]
    pub(crate) fn new(name: &str, wishes: &config::Pool, trust: Trust, before: Option<&Self>) -> Self {
        let known = |backend: &config::Backend| before?.members.iter().find(|member| member.backend == *backend);
        let members = wishes.backends.iter().map(|backend| match known(backend) {
            Some(member) => Arc::clone(member),
            None => Arc::new(Member { backend: backend.clone(), open: AtomicUsize::new(0) }),
        });
        Self {
            name: name.to_owned(),
            members: members.collect(),
            ranking: Ranking::new(wishes.balance),
            trust,
            wishes: wishes.clone(),
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A backend's WebSocket, upgraded and checked. Where one cannot be connected to, the next is tried; what one has
    /// answered stands. Cancel safe: a dropped future gives its place and its connection back.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(crate) async fn dial(&self, wish: &Wish<'_>) -> Result<Dialled, DialError> {
        let mut last = DialError::Full;
        for at in self.ranking.order(&self.open()) {
            let Some(lease) = self.lease(at, wish.cap) else { continue };
            match self.connect(&lease.0.backend).await {
                Ok(socket) => return self.upgrade(socket, lease, wish).await,
                Err(error) => {
                    tracing::warn!(pool = self.name, %error, "backend cannot be connected to");
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn open(&self) -> Vec<usize> {
        self.members.iter().map(|member| member.open.load(Ordering::Relaxed)).collect()
    }

    fn lease(&self, at: usize, cap: usize) -> Option<Lease> {
        let member = &self.members[at];
        let cap = self.wishes.connections_per_backend.unwrap_or(cap);
        let taken =
            member.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < cap).then(|| open + 1));
        taken.ok().map(|_| Lease(Arc::clone(member)))
    }

    async fn connect(&self, backend: &config::Backend) -> Result<Socket, DialError> {
        match timeout(self.wishes.connect_timeout, client::connect(&backend.transport, &self.trust)).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(error)) => Err(DialError::Unreachable(backend.url.clone(), error)),
            Err(_) => Err(DialError::ConnectTimeout(backend.url.clone())),
        }
    }

    async fn upgrade(&self, mut socket: Socket, lease: Lease, wish: &Wish<'_>) -> Result<Dialled, DialError> {
        let url = lease.backend().to_owned();
        let key = client::key(client::random());
        let mut request = head::request(wish.target, &key, wish.headers, &wish.forwarded);
        head::append(&mut request, wish.vouched);
        let accept = accept_for(&key);
        let answered = client::upgrade(&mut socket, &request, &accept, wish.offered);
        match timeout(self.wishes.answer_timeout, answered).await {
            Err(_) => Err(DialError::AnswerTimeout(url)),
            Ok(Err(UpgradeError::Io(error))) => Err(DialError::Broken(url, error)),
            Ok(Err(UpgradeError::Nonsense(nonsense))) => Err(DialError::Nonsense(url, nonsense)),
            Ok(Ok((Answer::Refused(refused), body))) => Err(DialError::Refused(url, refused, body)),
            Ok(Ok((Answer::Switched { protocol }, _))) => Ok(Dialled { socket, lease, protocol }),
        }
    }
}

/// How long a backend has for its own goodbye after ours.
pub(crate) const LEAVE: Duration = Duration::from_secs(2);
