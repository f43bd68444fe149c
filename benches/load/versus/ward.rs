//! A server of ours in a process of its own: it ends when its guard is dropped, and its children with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::server::tree;

/// How long a server may take from its start to its first accept.
const START: Duration = Duration::from_secs(10);

/// How long it may take from being asked to end to its end.
const END: Duration = Duration::from_millis(500);

/// A running server. Dropped, also while a panic unwinds, it and all its descendants are gone.
#[derive(Debug)]
pub(super) struct Ward {
    child: Child,
    complaints: PathBuf,
}

impl Ward {
    /// Starts a program, which may write its complaints to a file in `folder`, and waits until `address` accepts.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not accept in time: with what it had to say.
    pub(super) fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        folder: &Path,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let complaints = folder.join("stderr");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&complaints)?)
            .spawn()?;
        let mut ward = Self { child, complaints };
        let since = Instant::now();
        while TcpStream::connect(address).is_err() {
            if ward.child.try_wait()?.is_some() || since.elapsed() > START {
                return Err(io::Error::other(format!("{} does not serve: {}", program.display(), ward.complaint())));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(ward)
    }

    /// Its process.
    #[must_use]
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to its standard error, shortened.
    #[must_use]
    pub(super) fn complaint(&self) -> String {
        let text = std::fs::read_to_string(&self.complaints).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).take(5).collect();
        if lines.is_empty() { "it says nothing".to_owned() } else { lines.join("; ") }
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        // Asked first, since nginx then ends its workers itself; whoever is busy is not waited for.
        let pids = tree(self.pid()).unwrap_or_default();
        end(self.pid(), Signal::TERM);
        let since = Instant::now();
        while since.elapsed() < END && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(10));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // Whom it left behind; it can start no others now.
        pids.into_iter().skip(1).for_each(|pid| end(pid, Signal::KILL));
    }
}

/// Whoever is gone already needs no signal.
fn end(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// An address on loopback that nobody listens on.
///
/// # Errors
/// There is none left.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_serve_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = ["-c", "echo no port >&2"];
        let address = free_address().expect("a port");
        let error = Ward::start(Path::new("/bin/sh"), &arguments, folder.path(), address).expect_err("no server");
        assert!(error.to_string().contains("no port"), "{error}");
    }

    #[test]
    fn grandchildren_go_with_their_guard() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let folder = tempfile::tempdir().expect("a folder");
        let address = listener.local_addr().expect("an address");
        let ward = Ward::start(Path::new("/bin/sh"), &["-c", "trap '' TERM; sleep 600 & wait"], folder.path(), address);
        let ward = ward.expect("started");
        let mut pids = Vec::new();
        while pids.len() < 2 {
            pids = tree(ward.pid()).expect("alive");
        }
        drop(ward);
        let gone = || !Path::new(&format!("/proc/{}/exe", pids[1])).exists();
        let since = Instant::now();
        while !gone() && since.elapsed() < START {
            sleep(Duration::from_millis(10));
        }
        assert!(gone(), "{pids:?}");
    }
}
