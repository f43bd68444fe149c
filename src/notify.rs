//! What systemd is told of the service: that it is ready, reloads, leaves, and is alive (sd_notify(3)).

use std::cell::Cell;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wsgate::Handle;

/// Where the socket is, and how often a sign of life is expected.
const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG: &str = "WATCHDOG_USEC";
/// Whose signs of life are meant; not those of a program that this one starts.
pub(crate) const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// The manager reads quickly; one that does not must not stop us.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line to the service manager; without one, all that is said goes nowhere.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    /// Somebody else is the service's main process by now.
    is_silent: Cell<bool>,
}

impl Notify {
    /// As the environment says it.
    pub(crate) fn from_env() -> Self {
        let manager = std::env::var_os(SOCKET).and_then(|name| match connect(name.as_bytes()) {
            Ok(manager) => Some(manager),
            Err(error) => {
                tracing::warn!(%error, socket = ?name, "the service manager is told nothing");
                None
            }
        });
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_meant = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number(WATCHDOG).filter(|micros| is_meant && *micros > 0).map(Duration::from_micros);
        Self { manager, watchdog, is_silent: Cell::new(false) }
    }

    /// It serves.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its configuration again; [`Notify::ready`] ends that.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
    }

    /// It drains.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=draining");
    }

    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// From now on that process is the service, and this one says no more. The manager reads in the order in which it was
    /// told: what the other says after this is heard.
    pub(crate) fn main_process(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}"));
        self.is_silent.set(true);
    }

    /// Gives a sign of life twice in the time in which one is expected, as long as this thread and every worker does its
    /// work: one that hangs is waited for, and nothing is said meanwhile. Never ends.
    pub(crate) async fn keep_alive(&self, handle: &Handle) {
        let Some(expected) = self.watchdog.filter(|_| self.manager.is_some()) else {
            return std::future::pending().await;
        };
        loop {
            handle.answered().await;
            self.send("WATCHDOG=1");
            tokio::time::sleep(expected / 2).await;
        }
    }

    fn send(&self, text: &str) {
        let Some((socket, manager)) = self.manager.as_ref().filter(|_| !self.is_silent.get()) else { return };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), manager) {
            tracing::warn!(%error, text, "the service manager could not be told");
        }
    }
}

/// A path, or an abstract name behind `@`.
fn connect(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}
