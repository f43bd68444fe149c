//! Accepting: one place does it, and hands each socket to the worker with the least to do.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::Shared;
use super::bound::{Bound, Listening};
use super::worker::Worker;
use crate::admin;
use crate::admission::door::DoorPermit;
use crate::lifecycle::{Life, Phase, clock};
use crate::telemetry::metrics::label;

/// The first wait after an error of accept, which doubles up to the last: no descriptors left is the usual one.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A socket that was accepted and may stand before the gate.
pub(super) struct Arrival {
    pub(super) stream: Stream,
    pub(super) peer: IpAddr,
    pub(super) permit: DoorPermit,
    pub(super) side: Side,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The routes, with TLS or without.
    Gateway,
    /// Plain HTTP, on which everybody is sent to https.
    ToHttps,
}

/// Not yet registered with any runtime: the worker does that.
pub(super) enum Stream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// What an accepted socket passes: the cap at the door, then the worker with the least to do.
pub(super) struct Door {
    shared: Arc<Shared>,
    workers: Arc<[Worker]>,
    side: Side,
}

impl Door {
    pub(super) const fn new(shared: Arc<Shared>, workers: Arc<[Worker]>, side: Side) -> Self {
        Self { shared, workers, side }
    }

    fn take(&self, stream: Stream, peer: IpAddr) {
        if self.shared.life.phase() >= Phase::Draining {
            // Accepted in the moment of the drain: there is no worker to serve it any more.
            return;
        }
        self.shared.metrics.accepted.inc();
        let snapshot = self.shared.snapshot.load();
        match snapshot.gate.enter(peer) {
            Ok(permit) => {
                if let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load()) {
                    worker.give(Arrival { stream, peer, permit, side: self.side });
                }
            }
            Err(full) => {
                self.shared.metrics.door.get_or_create(&label("reason", full.label())).inc();
                tracing::debug!(%peer, reason = full.label(), "closed at the door");
            }
        }
    }
}

/// Accepts until the drain begins, or somebody else does in our place; then the listener is closed.
pub(super) async fn run(bound: Arc<Bound>, door: Door, life: Life) {
    tokio::select! {
        // Asked first: whoever is accepted from then on would find no worker, and the one who comes next serves them.
        biased;
        () = life.reached(Phase::Leaving) => {}
        error = accept_all(&bound, |stream, peer| door.take(stream, peer)) => {
            tracing::error!(%error, "a listener failed");
        }
    }
}

/// The admin door stays open through a drain, to be asked how it goes; unless it is somebody else's by then.
pub(super) async fn serve_admin(bound: Arc<Bound>, door: admin::Door, life: Life) {
    let serve = |stream: Stream, _| match stream {
        Stream::Tcp(stream) => door.serve(tokio::net::TcpStream::from_std(stream)),
        Stream::Unix(stream) => door.serve(tokio::net::UnixStream::from_std(stream)),
    };
    let end = async {
        life.reached(Phase::Leaving).await;
        if !bound.is_left() {
            life.reached(Phase::Stopped).await;
        }
    };
    tokio::select! {
        biased;
        () = end => {}
        error = accept_all(&bound, serve) => tracing::error!(%error, "the admin listener failed"),
    }
}

/// Only ends when the listener cannot be registered with this runtime.
async fn accept_all(bound: &Bound, take: impl Fn(Stream, IpAddr)) -> io::Error {
    match &bound.socket {
        Listening::Tcp(listener) => match listener.try_clone().and_then(TcpListener::from_std) {
            Ok(listener) => {
                accept_each(async || {
                    let (stream, peer) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    take(Stream::Tcp(stream.into_std()?), peer.ip());
                    Ok(())
                })
                .await
            }
            Err(error) => error,
        },
        Listening::Unix(listener) => match listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => {
                accept_each(async || {
                    let (stream, _) = listener.accept().await?;
                    // Whoever may open the socket's file is on this machine.
                    take(Stream::Unix(stream.into_std()?), IpAddr::V4(Ipv4Addr::LOCALHOST));
                    Ok(())
                })
                .await
            }
            Err(error) => error,
        },
    }
}

async fn accept_each(accept: impl AsyncFn() -> io::Result<()>) -> io::Error {
    let mut wait = BACKOFF.0;
    loop {
        match accept().await {
            Ok(()) => wait = BACKOFF.0,
            // The client was gone before we came to it: nobody's fault.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::InvalidInput) => {}
            Err(error) => {
                tracing::warn!(%error, ?wait, "cannot accept, waiting");
                clock::sleep(wait).await;
                wait = (2 * wait).min(BACKOFF.1);
            }
        }
    }
}
