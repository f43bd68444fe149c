//! Listeners: one place accepts, and hands each socket to the worker with the least to do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use super::Shared;
use super::setback::Setback;
use super::worker::Worker;
use crate::admin;
use crate::admission::door::DoorPermit;
use crate::config::Listen;
use crate::lifecycle::{Life, Phase};
use crate::telemetry::metrics::label;

/// Connections that the kernel holds for us before we accept them.
const BACKLOG: i32 = 4096;

/// A bound listener.
pub(super) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, PathBuf),
}

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

impl Bound {
    pub(super) fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => bind_tcp(*address).map(Self::Tcp),
            Listen::Unix(path) => {
                remove_stale(path)?;
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("{scheme}://{address}"),
                Err(error) => format!("{scheme}://?({error})"),
            },
            Self::Unix(_, path) => format!("{scheme}+unix:{}", path.display()),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A socket file without a listener behind it is left from an earlier life; anything else is not ours to remove.
fn remove_stale(path: &std::path::Path) -> io::Result<()> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if meta.file_type().is_socket() && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
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
        if self.shared.life.phase() != Phase::Running {
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

/// Accepts until the drain begins; then the listener is closed.
pub(super) async fn run(mut bound: Bound, door: Door, life: Life) {
    let setback = Setback::new(&door.shared.metrics, &door.shared.room);
    tokio::select! {
        error = accept_all(&mut bound, setback, |stream, peer| door.take(stream, peer)) => {
            tracing::error!(%error, "a listener failed");
        }
        () = life.reached(Phase::Draining) => {}
    }
}

/// The admin door stays open through a drain, to be asked how it goes.
pub(super) async fn serve_admin(mut bound: Bound, setback: Setback, door: admin::Door, life: Life) {
    let serve = |stream: Stream, _| match stream {
        Stream::Tcp(stream) => door.serve(tokio::net::TcpStream::from_std(stream)),
        Stream::Unix(stream) => door.serve(tokio::net::UnixStream::from_std(stream)),
    };
    tokio::select! {
        error = accept_all(&mut bound, setback, serve) => tracing::error!(%error, "the admin listener failed"),
        () = life.reached(Phase::Stopped) => {}
    }
}

/// Only ends when the listener cannot be registered with this runtime.
async fn accept_all(bound: &mut Bound, setback: Setback, take: impl Fn(Stream, IpAddr)) -> io::Error {
    match bound {
        Bound::Tcp(listener) => match listener.try_clone().and_then(TcpListener::from_std) {
            Ok(listener) => {
                accept_each(setback, async || {
                    let (stream, peer) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    take(Stream::Tcp(stream.into_std()?), peer.ip());
                    Ok(())
                })
                .await
            }
            Err(error) => error,
        },
        Bound::Unix(listener, _) => match listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => {
                accept_each(setback, async || {
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

async fn accept_each(mut setback: Setback, accept: impl AsyncFn() -> io::Result<()>) -> io::Error {
    loop {
        match accept().await {
            Ok(()) => setback.over(),
            // The client was gone before we came to it: nobody's fault.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::InvalidInput) => {}
            Err(error) => setback.wait(&error).await,
        }
    }
}

/// How logs and errors name an address.
pub(super) fn name_of(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}
