//! From a place at a backend to its 101: connect, handshake, and another backend where one gave no sign of life.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::member::Member;
use super::{Caller, DialError, Dialled, Lease, Pool, Wish};
use crate::client::{self, UpgradeError};
use crate::lifecycle::clock::{self, Instant};
use crate::socket::Socket;
use crate::wire::head::{self, Answer, Expected, Nonsense};
use crate::wire::offer::accept_for;

/// Bytes of an answer that a log shows.
const SHOWN: usize = 160;

/// What one attempt came to that failed.
struct Failed {
    error: DialError,
    /// Whether another backend may be asked: this one has not said a word, so nothing has happened there.
    again: bool,
    /// Whether it is this one's fault. An answer, however wrong, is not: a client's strange request may be the reason.
    blame: bool,
}

impl Failed {
    /// It was its turn to speak, and it did not.
    const fn silent(error: DialError, blame: bool) -> Self {
        Self { error, again: true, blame }
    }

    const fn final_word(error: DialError) -> Self {
        Self { error, again: false, blame: false }
    }
}

/// A time that something may take, up to the end of a longer one.
#[derive(Clone, Copy)]
struct Span {
    end: Instant,
    /// Whether it is all there: who has only the rest of another's time is not late.
    whole: bool,
}

impl Span {
    fn from_now(time: Duration, deadline: Instant) -> Self {
        let end = Instant::now() + time;
        Self { end: end.min(deadline), whole: end <= deadline }
    }
}

impl Pool {
    /// A backend's WebSocket, upgraded and checked. Where the one of the lease gives no sign of life, others are tried,
    /// as far as the pool's retries allow; what one has answered stands. Cancel safe: a dropped future gives its place
    /// and its connection back.
    ///
    /// # Errors
    /// See [`DialError`]; the last one's.
    pub(crate) async fn dial(&self, lease: Lease, wish: &Wish) -> Result<Dialled, DialError> {
        let deadline = Instant::now() + self.wishes.connect_timeout + self.wishes.answer_timeout;
        let attempt = async |member: &Member| self.attempt(member, wish, deadline).await;
        let ((socket, protocol), lease) = self.try_each(lease, wish.caller, deadline, attempt).await?;
        lease.member().succeed(Instant::now());
        Ok(Dialled { socket, lease, protocol })
    }

    /// A connection to a backend, on which nothing was said yet; another one where that of the lease cannot be connected
    /// to. Cancel safe, as [`Pool::dial`] is.
    ///
    /// # Errors
    /// [`DialError::Unreachable`] and [`DialError::ConnectTimeout`]; the last one's.
    pub(crate) async fn connect(&self, lease: Lease, caller: Caller) -> Result<(Socket, Lease), DialError> {
        let deadline = Instant::now() + self.wishes.connect_timeout.saturating_mul(2);
        self.try_each(lease, caller, deadline, async |member: &Member| self.reach(member, caller, deadline).await).await
    }

    /// How a backend has done that was connected to and asked.
    pub(crate) fn note(&self, lease: &Lease, has_answered: bool) {
        if has_answered {
            lease.member().succeed(Instant::now());
        } else {
            self.blame(lease.member());
        }
    }

    async fn try_each<T>(
        &self,
        mut lease: Lease,
        caller: Caller,
        deadline: Instant,
        attempt: impl AsyncFn(&Member) -> Result<T, Failed>,
    ) -> Result<(T, Lease), DialError> {
        let mut tried: Vec<Arc<Member>> = Vec::new();
        loop {
            let failed = match attempt(lease.member()).await {
                Ok(made) => return Ok((made, lease)),
                Err(failed) => failed,
            };
            if let Some(why) = failed.error.undialled() {
                self.dials.failed(why);
            }
            let member = Arc::clone(lease.member());
            drop(lease);
            if failed.blame {
                self.blame(&member);
            }
            tried.push(member);
            lease = match self.other(caller, &failed, &tried, deadline) {
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
    fn other(&self, caller: Caller, failed: &Failed, tried: &[Arc<Member>], deadline: Instant) -> Option<Lease> {
        let now = Instant::now();
        if !failed.again || tried.len() > self.wishes.retries || now >= deadline {
            return None;
        }
        let choose = |cap, key, chance: &mut _| self.choose(cap, key, chance, tried);
        let lease = self.places.take(caller.key, choose)?;
        if !self.places.may_retry(now, self.wishes.retry_budget) {
            tracing::warn!(pool = self.name, "no retry: the pool has made as many as its budget allows");
            return None;
        }
        self.tell_crowd(lease.member());
        Some(lease)
    }

    /// A client had no luck with this member.
    pub(super) fn blame(&self, member: &Arc<Member>) {
        let now = Instant::now();
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

    async fn reach(&self, member: &Member, caller: Caller, deadline: Instant) -> Result<Socket, Failed> {
        let url = || member.backend.url.clone();
        let span = Span::from_now(self.wishes.connect_timeout, deadline);
        let way = self.way_for(caller.client);
        let since = Instant::now();
        let connected = client::connect_by(&member.backend.transport, &self.trust, &way);
        match clock::timeout_at(span.end, connected).await {
            Ok(Ok(socket)) => {
                self.dials.connected(since.elapsed());
                Ok(socket)
            }
            Ok(Err(error)) => {
                let blame = !is_ours(&error);
                Err(Failed::silent(DialError::Unreachable(url(), error), blame))
            }
            Err(_) => Err(Failed::silent(DialError::ConnectTimeout(url()), span.whole)),
        }
    }

    async fn attempt(
        &self,
        member: &Member,
        wish: &Wish,
        deadline: Instant,
    ) -> Result<(Socket, Option<String>), Failed> {
        let url = || member.backend.url.clone();
        // Semaphores are fair: who came first goes first.
        let Ok(Ok(_slot)) = clock::timeout_at(deadline, member.slots().acquire_owned()).await else {
            return Err(Failed::final_word(DialError::HandshakesBusy(url())));
        };
        let mut socket = self.reach(member, wish.caller, deadline).await?;
        let since = Instant::now();
        let key = client::key(client::random());
        let (request, accept) = (wish.head.with_key(&key), accept_for(&key));
        let expected = Expected { accept: &accept, offered: wish.offered.as_deref() };
        let mut heard = Vec::with_capacity(1024);
        let span = Span::from_now(self.wishes.answer_timeout, deadline);
        let answered = client::exchange(&mut socket, &request, &expected, &mut heard);
        let failed = match clock::timeout_at(span.end, answered).await {
            Ok(Ok((Answer::Switched { protocol }, _))) => {
                self.dials.answered(since.elapsed());
                return Ok((socket, protocol));
            }
            Ok(Ok((Answer::Refused(refused), body))) => {
                // Its own word, and a sound one: it is well.
                member.succeed(Instant::now());
                DialError::Refused(url(), refused, body)
            }
            Ok(Err(UpgradeError::Nonsense(nonsense))) => DialError::Nonsense(url(), nonsense, beginning(&heard)),
            // A server that says anything but 101 has answered, whether it ends its head or not.
            Err(_) if head::status(&heard).is_some_and(|status| status != 101) => {
                DialError::Nonsense(url(), Nonsense::Unfinished, beginning(&heard))
            }
            Err(_) if !heard.is_empty() => DialError::AnswerTimeout(url(), beginning(&heard)),
            Ok(Err(UpgradeError::Io(_))) if !heard.is_empty() => {
                DialError::Nonsense(url(), Nonsense::Unfinished, beginning(&heard))
            }
            Ok(Err(UpgradeError::Io(error))) => return Err(Failed::silent(DialError::Broken(url(), error), true)),
            Err(_) => return Err(Failed::silent(DialError::AnswerTimeout(url(), String::new()), span.whole)),
        };
        Err(Failed::final_word(failed))
    }
}

/// The first bytes of an answer, as a log may show them.
fn beginning(heard: &[u8]) -> String {
    heard[..heard.len().min(SHOWN)].escape_ascii().to_string()
}

/// Whether it is this machine that has no descriptor, port or memory left; the backend can do nothing about it.
pub(super) fn is_ours(error: &io::Error) -> bool {
    // ENOMEM, ENFILE, EMFILE and ENOBUFS (errno(3), Linux), which std has no words for.
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105)) || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_span_that_its_deadline_cuts_is_not_whole() {
        let (second, deadline) = (Duration::from_secs(1), Instant::now() + Duration::from_secs(3));
        let whole = Span::from_now(second * 3, deadline);
        assert_eq!((whole.end, whole.whole), (deadline, true));
        let short = Span::from_now(second, deadline);
        assert_eq!((short.end, short.whole), (Instant::now() + second, true));
        tokio::time::advance(second).await;
        let cut = Span::from_now(second * 3, deadline);
        assert_eq!((cut.end, cut.whole), (deadline, false));
    }

    #[test]
    fn what_this_machine_lacks_is_no_backends_fault() {
        let os = io::Error::from_raw_os_error;
        // EMFILE and EADDRNOTAVAIL; ECONNREFUSED, EHOSTUNREACH and ETIMEDOUT.
        assert!([24, 99].into_iter().all(|code| is_ours(&os(code))));
        assert!(![111, 113, 110].into_iter().any(|code| is_ours(&os(code))));
        assert!(!is_ours(&io::ErrorKind::UnexpectedEof.into()));
    }
}
