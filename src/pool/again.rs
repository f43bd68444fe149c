//! A backend again, for a client whose own has died and which waits: asked for over and over, more and more seldom.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{DialError, Dialled, Pool, Wish};
use crate::client;
use crate::lifecycle::clock::{self, Instant};

/// The first wait before the pool is asked, and the longest: each is twice the one before, give or take a half, so
/// that a crowd whose backend has died does not come back as one.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A look at the pool that is in force; `None` when there is none of this name any more.
pub(crate) type Current = Box<dyn Fn() -> Option<Arc<Pool>>>;

/// The client's wish, and the pool that it was first put to. Of that, what is in force now is asked: its members, limits,
/// budgets and retries hold for every attempt.
pub(crate) struct Again {
    pool: Arc<Pool>,
    current: Current,
    wish: Wish,
    /// The subprotocol that the backend chose at first, of which the client was told.
    protocol: Option<String>,
}

/// Why there is no backend again.
#[derive(Debug)]
pub(crate) enum NotBack {
    /// None was there in time.
    InTime,
    /// One was there, and did not want the client as it had been taken before; with what it said.
    Refused(String),
}

impl Again {
    /// The wish that has led to a connection of this subprotocol.
    #[must_use]
    pub(crate) const fn new(pool: Arc<Pool>, current: Current, wish: Wish, protocol: Option<String>) -> Self {
        Self { pool, current, wish, protocol }
    }

    /// The pool's name.
    #[must_use]
    pub(crate) fn pool(&self) -> &str {
        self.pool.name()
    }

    /// A backend's WebSocket, upgraded as the first one was, before this moment. `attempts` have come to nothing
    /// before; how many have now is told too. Cancel safe, as [`Pool::enter`] and [`Pool::dial`] are.
    pub(crate) async fn back(self: Rc<Self>, mut attempts: u32, until: Instant) -> (u32, Result<Dialled, NotBack>) {
        tracing::debug!(pool = self.pool(), attempts, "a client is held");
        loop {
            clock::sleep_until(until.min(Instant::now() + wait(attempts))).await;
            if Instant::now() >= until {
                return (attempts, Err(NotBack::InTime));
            }
            attempts = attempts.saturating_add(1);
            let error = match clock::timeout_at(until, self.dial()).await {
                Err(_) => return (attempts, Err(NotBack::InTime)),
                // A reload has come while it was dialled: nobody sends its clients home any more.
                Ok(Ok(dialled)) if dialled.lease.member().is_retired() => continue,
                Ok(Ok(dialled)) if dialled.protocol == self.protocol => {
                    let backend = dialled.lease.backend();
                    tracing::debug!(
                        pool = self.pool(),
                        backend,
                        attempts,
                        "a client that was held has a backend again"
                    );
                    return (attempts, Ok(dialled));
                }
                Ok(Ok(_)) => return (attempts, Err(NotBack::Refused("another subprotocol than before".to_owned()))),
                Ok(Err(error)) => error,
            };
            if is_final(&error) {
                return (attempts, Err(NotBack::Refused(error.to_string())));
            }
            tracing::debug!(pool = self.pool(), attempts, %error, "no backend yet for a client that is held");
        }
    }

    async fn dial(&self) -> Result<Dialled, DialError> {
        let current = (self.current)();
        let pool = current.as_ref().unwrap_or(&self.pool);
        let lease = pool.enter_uncounted(self.wish.caller).await?;
        pool.dial(lease, &self.wish).await
    }
}

/// Whether the backend has thought about this client, and will say the same again. What a proxy in front of a server
/// that is still starting says, or anybody who has too much to do at the moment, is no such word (RFC 9110 §15.5.9,
/// §15.6; RFC 6585 §4; RFC 8470 §5.2).
const fn is_final(error: &DialError) -> bool {
    match error {
        DialError::Refused(_, refused, _) => {
            matches!(refused.status, 300..=499) && !matches!(refused.status, 408 | 425 | 429)
        }
        _ => false,
    }
}

fn wait(attempts: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << attempts.min(10)).min(LAST_WAIT);
    // From a half to one and a half of it.
    let chance = u32::from(u16::from_le_bytes(client::random()));
    longest / 2 + longest * chance / 65_536
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_differ() {
        for (attempts, longest) in [(0, 25), (1, 50), (3, 200), (5, 800), (6, 1000), (9999, 1000)] {
            let longest = Duration::from_millis(longest);
            let waits: Vec<_> = (0..100).map(|_| wait(attempts)).collect();
            assert!(waits.iter().all(|wait| *wait >= longest / 2 && *wait < longest * 3 / 2), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait < longest) && waits.iter().any(|wait| *wait > longest));
        }
    }
}
