//! Has a backend died, or has it only left one client? Both look the same: a process that is killed ends its streams as
//! one that hangs up does.
//!
//! On this machine the kernel is asked whether the listener that the connection was made to is still there, of which the
//! process notices nothing; of processes that share a port, whether any of them is. Elsewhere only a connection tells: it is made at most once a second for each backend,
//! however many of its clients want to know, and ended at once.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::sync::Mutex as Turn;

use super::Lease;
use super::member::Member;
use crate::client::way::Way;
use crate::config::Transport;
use crate::lifecycle::clock::{self, Instant};
use crate::socket::{Listener, Socket};

/// When the kernel is asked, from one time to the next: a process that ends closes one socket after the other, its
/// listener perhaps last. 300 ms in all.
const LOOKS: [u64; 7] = [0, 3, 7, 20, 40, 80, 150];
/// How long a connection may take that asks: with the wait before it, well below a second.
const ANSWER: Duration = Duration::from_millis(400);
/// The wait before it, for the same reason.
const REST: Duration = Duration::from_millis(50);
/// For so long nobody asks again.
const KNOWN: Duration = Duration::from_secs(1);

/// What was found out of one backend.
#[derive(Debug, Default)]
pub(super) struct Death {
    /// Who was found to listen, and when.
    known: Mutex<Option<(Instant, Arc<Listener>)>>,
    /// A listener that is gone: who was connected to it needs not ask.
    gone: Mutex<Option<Arc<Listener>>>,
    /// Whether a connection was refused, and when; who wants to know waits for the one who asks.
    refused: Turn<Option<(Instant, bool)>>,
}

impl Lease {
    /// Who listens where this connection to the backend was made, if the kernel can tell. All who were connected at the
    /// same time have one value between them.
    pub(crate) fn listener(&self, backend: &Socket) -> Option<Arc<Listener>> {
        let death = &self.member().death;
        let known = death.known.lock().clone().filter(|(since, _)| since.elapsed() < KNOWN).map(|(_, known)| known);
        let found = backend.listener(known.as_ref())?;
        if known.is_none_or(|known| !Arc::ptr_eq(&known, &found)) {
            *death.known.lock() = Some((Instant::now(), Arc::clone(&found)));
        }
        Some(found)
    }

    /// Whether the backend behind this place has died, whose connection has just ended; `listener` is who listened when
    /// it was made, where the kernel can tell. Takes half a second at most, and does not hold the place. Cancel safe.
    pub(crate) fn has_died(&self, listener: Option<Arc<Listener>>) -> impl Future<Output = bool> + use<> {
        let member = Arc::clone(self.member());
        async move {
            match listener {
                Some(listener) => member.is_gone(listener).await,
                None => member.is_refused().await,
            }
        }
    }
}

impl Member {
    async fn is_gone(&self, listener: Arc<Listener>) -> bool {
        for wait in LOOKS {
            if wait > 0 {
                clock::sleep(Duration::from_millis(wait)).await;
            }
            if self.death.gone.lock().as_ref() == Some(&listener) {
                return true;
            }
            if !listener.is_there() {
                if self.death.gone.lock().replace(Arc::clone(&listener)) != Some(listener) {
                    self.tell_death();
                }
                return true;
            }
        }
        false
    }

    async fn is_refused(&self) -> bool {
        let mut known = self.death.refused.lock().await;
        if let Some((_, is_refused)) = known.filter(|(since, _)| since.elapsed() < KNOWN) {
            return is_refused;
        }
        clock::sleep(REST).await;
        // Who does not answer at all has not ended a stream a moment ago.
        let is_refused = clock::timeout(ANSWER, refuses(&self.backend.transport)).await.unwrap_or(false);
        if is_refused {
            self.tell_death();
        }
        *known = Some((Instant::now(), is_refused));
        is_refused
    }

    fn tell_death(&self) {
        tracing::warn!(backend = &*self.backend.url, "a backend has died");
    }
}

/// Whether nobody listens there any more. A connection that comes about is ended with a FIN.
async fn refuses(transport: &Transport) -> bool {
    let connected = match transport {
        Transport::Ws(host, port) | Transport::Wss(host, port) => {
            Way::default().connect_tcp(host, *port).await.map(drop)
        }
        Transport::Unix(path) => UnixStream::connect(path).await.map(drop),
    };
    // Of a unix socket the file can be gone, too.
    connected.is_err_and(|error| {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(error.kind(), ConnectionRefused | NotFound)
    })
}
