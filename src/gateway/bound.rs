//! One listening socket, from whoever bound it to whoever has it next.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::listeners::Inherited;
use crate::config::Listen;

/// Connections that the kernel holds for us before we accept them.
const BACKLOG: i32 = 4096;

/// What a listener is for, across all of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Gateway,
    ToHttps,
    Admin,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::ToHttps => "to_https",
            Self::Admin => "admin",
        }
    }
}

/// A bound listener. Dropped, it is closed; and its file goes, where it is one of ours that nobody else serves.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: Listening,
    listen: Listen,
    role: Role,
    /// Whether its file is ours, once somebody is served here.
    ours: bool,
    /// Whether it is to be removed when this is dropped.
    removes: AtomicBool,
    /// Whether somebody else serves it from now on.
    left: AtomicBool,
}

#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    fn new(socket: Listening, (role, listen): (Role, &Listen), ours: bool) -> Self {
        let (removes, left) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { socket, listen: listen.clone(), role, ours, removes, left }
    }

    /// Binds it anew. `[::]` takes IPv4 connections too, unless `only_v6`.
    pub(super) fn bind(role: Role, listen: &Listen, only_v6: bool) -> io::Result<Self> {
        let socket = match listen {
            Listen::Tcp(address) => Listening::Tcp(bind_tcp(*address, only_v6)?),
            Listen::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Listening::Unix(listener)
            }
        };
        let bound = Self::new(socket, (role, listen), true);
        bound.own();
        Ok(bound)
    }

    /// Its file stays whose it was until somebody is served here.
    pub(super) fn adopt(inherited: Inherited, role: Role, listen: &Listen) -> io::Result<Self> {
        let Inherited { socket, mark } = inherited;
        SockRef::from(&socket).set_nonblocking(true)?;
        let socket = match listen {
            Listen::Tcp(_) => Listening::Tcp(socket.into()),
            Listen::Unix(_) => Listening::Unix(socket.into()),
        };
        let ours = mark.is_some_and(|mark| mark.starts_with("own "));
        Ok(Self::new(socket, (role, listen), ours))
    }

    /// From now on its file is this gateway's to remove, if it is one of ours at all.
    pub(super) fn own(&self) {
        self.removes.store(self.ours, Ordering::Relaxed);
    }

    /// A second descriptor of it, for whoever is to take it over.
    pub(super) fn pass_on(&self) -> io::Result<Inherited> {
        let socket = match &self.socket {
            Listening::Tcp(listener) => listener.try_clone()?.into(),
            Listening::Unix(listener) => listener.try_clone()?.into(),
        };
        Ok(Inherited { socket, mark: Some(mark(self.ours, self.role, &self.listen)) })
    }

    /// Somebody else serves it from now on, and removes its file one day.
    pub(super) fn leave(&self) {
        self.removes.store(false, Ordering::Relaxed);
        self.left.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        match (&self.socket, &self.listen) {
            (Listening::Tcp(listener), _) => match listener.local_addr() {
                Ok(address) => format!("{scheme}://{address}"),
                Err(error) => format!("{scheme}://?({error})"),
            },
            (Listening::Unix(_), listen) => format!("{scheme}+{}", name_of(listen)),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Listen::Unix(path) = &self.listen
            && self.removes.load(Ordering::Relaxed)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A socket file without a listener behind it is left from an earlier life; anything else is not ours to remove.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if meta.file_type().is_socket() && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// A listener as one gateway tells the next: whether its file is theirs, what for, and where as its configuration says it.
fn mark(ours: bool, role: Role, listen: &Listen) -> String {
    format!("{} {} {}", if ours { "own" } else { "lent" }, role.name(), name_of(listen))
}

/// Whether that was said of a listener for this at this address.
pub(super) fn is_of(told: &str, role: Role, listen: &Listen) -> bool {
    [true, false].into_iter().any(|ours| told == mark(ours, role, listen))
}

/// How logs and errors name an address.
pub(super) fn name_of(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}
