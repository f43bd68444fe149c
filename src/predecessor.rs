//! The program whose place this one takes: its listeners are received, and it is told how far we are.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use wsgate::{Inherited, Turn};

use crate::passing;

/// Says which process has started this one to take its place: its number. One that has it from elsewhere, further up, is
/// no successor.
pub(crate) const VARIABLE: &str = "WSGATE_SUCCEEDS";
/// All that is passed is there when the process starts.
const PATIENCE: Duration = Duration::from_secs(10);

/// The line to it, which is our standard input.
#[derive(Debug)]
pub(crate) struct Predecessor {
    line: UnixStream,
}

impl Predecessor {
    /// If this process was started to take another's place: the one, and its listeners.
    ///
    /// # Errors
    /// What it has sent is not to be understood.
    pub(crate) fn meet() -> io::Result<Option<(Self, Vec<Inherited>)>> {
        let told = std::env::var(VARIABLE).ok().and_then(|pid| pid.parse().ok());
        if told != Some(std::os::unix::process::parent_id()) {
            return Ok(None);
        }
        let line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        line.set_read_timeout(Some(PATIENCE))?;
        let sockets = passing::receive(&line)?;
        Ok(Some((Self { line }, sockets)))
    }

    /// All is prepared, and these of its listeners are in use here. Returns when it wants to be replaced: with
    /// [`Turn::After`] when it has ended.
    ///
    /// # Errors
    /// Those of the line. That it has ended before it said anything is none: somebody has to serve.
    pub(crate) async fn ready(&self, turn: Turn, taken: &[usize]) -> io::Result<()> {
        let when = match turn {
            Turn::Together => "now",
            Turn::After => "after",
        };
        let places: String = taken.iter().map(|place| format!(" {place}")).collect();
        (&self.line).write_all(format!("ready {when}{places}\n").as_bytes())?;
        let mut lines = self.lines()?;
        let said = lines.next_line().await;
        if turn == Turn::After {
            // Until its end, or an error on the line, which says the same.
            while let Ok(Some(_)) = lines.next_line().await {}
        }
        said.map(drop)
    }

    /// Whoever connects is served here: it may go. Returns when it has made this one the service's main process.
    pub(crate) async fn serving(&self) {
        if (&self.line).write_all(b"serving\n").is_ok()
            && let Ok(mut lines) = self.lines()
        {
            let _ = lines.next_line().await;
        }
    }

    /// Tells it why it is not replaced.
    pub(crate) fn failed(&self, told: &str) {
        let _ = (&self.line).write_all(format!("failed {told}").as_bytes());
    }

    fn lines(&self) -> io::Result<tokio::io::Lines<BufReader<tokio::net::UnixStream>>> {
        let line = self.line.try_clone()?;
        line.set_nonblocking(true)?;
        Ok(BufReader::new(tokio::net::UnixStream::from_std(line)?).lines())
    }
}
