//! From a place at a backend to its 101: connect, handshake, and another backend where one gave no sign of life.

use std::sync::Arc;

use super::clock::{self, Instant};
use super::member::Member;
use super::{DialError, Dialled, Lease, Pool, Wish};
use crate::client::{self, UpgradeError};
use crate::socket::Socket;
use crate::wire::head::{self, Answer};
use crate::wire::offer::accept_for;

/// What one attempt came to that failed.
struct Failed {
    error: DialError,
    /// Whether the backend was to speak and has not said a word. Then nothing has happened there, and another may be
    /// asked; and it is the backend's fault, while an answer, however wrong, can be had by a client's strange request.
    silent: bool,
}

impl Failed {
    const fn new(error: DialError, silent: bool) -> Self {
        Self { error, silent }
    }
}

impl Pool {
    /// A backend's WebSocket, upgraded and checked. Where the one of the lease gives no sign of life, others are tried,
    /// as far as the pool's retries allow; what one has answered stands. Cancel safe: a dropped future gives its place
    /// and its connection back.
    ///
    /// # Errors
    /// See [`DialError`]; the last one's.
    pub(crate) async fn dial(&self, mut lease: Lease, wish: &Wish<'_>) -> Result<Dialled, DialError> {
        let deadline = clock::now() + self.wishes.connect_timeout + self.wishes.answer_timeout;
        let mut tried: Vec<Arc<Member>> = Vec::new();
        loop {
            let failed = match self.attempt(lease.member(), wish, deadline).await {
                Ok((socket, protocol)) => {
                    lease.member().succeed(clock::now());
                    return Ok(Dialled { socket, lease, protocol });
                }
                Err(failed) => failed,
            };
            let member = Arc::clone(lease.member());
            drop(lease);
            if failed.silent {
                self.blame(&member);
            }
            tried.push(member);
            lease = match self.other(wish, &failed, &tried, deadline) {
                Some(lease) => lease,
                None => return Err(failed.error),
            };
            tracing::warn!(
                pool = self.name,
                error = %failed.error,
                next = lease.backend(),
                "a backend failed, and another is tried"
            );
        }
    }

    /// A place at a backend that was not tried yet, if one more may be.
    fn other(&self, wish: &Wish<'_>, failed: &Failed, tried: &[Arc<Member>], deadline: Instant) -> Option<Lease> {
        let now = clock::now();
        if !failed.silent || tried.len() > self.wishes.retries || now >= deadline {
            return None;
        }
        let choose = |cap, key, chance: &mut _| self.choose(cap, key, chance, tried);
        let lease = self.places.take(self.key(wish), choose)?;
        if !self.places.may_retry(now, self.wishes.retry_budget) {
            tracing::warn!(pool = self.name, "no retry: the pool has made as many as its budget allows");
            return None;
        }
        self.tell_crowd(lease.member());
        Some(lease)
    }

    /// A client had no luck with this member.
    pub(super) fn blame(&self, member: &Arc<Member>) {
        let now = clock::now();
        // One by one: two that fail at the same moment must not each take the other for the one that is left.
        let ejected = self.places.alone(|| {
            let is_other = |other: &&Arc<Member>| !Arc::ptr_eq(other, member);
            let is_last = !self.members().filter(is_other).any(|other| other.is_usable(now));
            member.fail(now, &self.wishes.ejection, is_last)
        });
        if let Some(time) = ejected {
            let (backend, seconds) = (&*member.backend.url, time.as_secs_f64());
            tracing::warn!(
                pool = self.name,
                backend,
                seconds,
                "a backend keeps failing, and is left alone for a while"
            );
        }
    }

    async fn attempt(
        &self,
        member: &Member,
        wish: &Wish<'_>,
        deadline: Instant,
    ) -> Result<(Socket, Option<String>), Failed> {
        let url = || member.backend.url.clone();
        // Semaphores are fair: who came first goes first.
        let Some(Ok(_slot)) = clock::by(deadline, member.slots().acquire_owned()).await else {
            return Err(Failed::new(DialError::HandshakesBusy(url()), false));
        };
        let connected = clock::by(
            deadline.min(clock::now() + self.wishes.connect_timeout),
            client::connect(&member.backend.transport, &self.trust),
        );
        let mut socket = match connected.await {
            Some(Ok(socket)) => socket,
            Some(Err(error)) => return Err(Failed::new(DialError::Unreachable(url(), error), true)),
            None => return Err(Failed::new(DialError::ConnectTimeout(url()), true)),
        };
        let key = client::key(client::random());
        let request = head::request(wish.target, &key, wish.headers, &wish.forwarded);
        let accept = accept_for(&key);
        let mut heard = false;
        let answered = clock::by(
            deadline.min(clock::now() + self.wishes.answer_timeout),
            client::upgrade_hearing(&mut socket, &request, &accept, wish.offered, &mut heard),
        );
        let answer = match answered.await {
            None => return Err(Failed::new(DialError::AnswerTimeout(url()), !heard)),
            Some(Err(UpgradeError::Io(error))) => {
                return Err(Failed::new(DialError::Broken(url(), error), !heard));
            }
            Some(Err(UpgradeError::Nonsense(nonsense))) => {
                return Err(Failed::new(DialError::Nonsense(url(), nonsense), false));
            }
            Some(Ok(answer)) => answer,
        };
        match answer {
            (Answer::Switched { protocol }, _) => Ok((socket, protocol)),
            (Answer::Refused(refused), body) => {
                // Its own word, and a sound one: it is well.
                member.succeed(clock::now());
                Err(Failed::new(DialError::Refused(url(), refused, body), false))
            }
        }
    }
}
