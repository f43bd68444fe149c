//! The program that takes this one's place: started anew, given the listeners, waited for; or told why it did not work.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{sleep, timeout};
use wsgate::{Handle, Turn};

use crate::notify::WATCHDOG_PID;
use crate::passing;
use crate::predecessor::VARIABLE;

/// The longest reason that is listened to.
const LONGEST: u64 = 16 * 1024;
/// One whose line has ended is about to end itself.
const LAST_STEPS: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// How this process was started, so that it can be done again.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// One that serves, or will when this process has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heir {
    pub(crate) pid: u32,
    pub(crate) turn: Turn,
}

impl Program {
    /// To be asked at the start: later the file may be another.
    pub(crate) fn of_this_process() -> Self {
        let mut arguments = std::env::args_os();
        let name = arguments.next().map(PathBuf::from).unwrap_or_default();
        // As it was called, so that a link that leads elsewhere by then is followed anew.
        let called = find(&name);
        let path = match std::env::current_exe() {
            Ok(own) => called.filter(|path| is_same_file(path, &own)).unwrap_or(own),
            Err(_) => called.unwrap_or(name),
        };
        Self { path, arguments: arguments.collect() }
    }

    /// Starts it, hands the listeners over and waits until it serves, or is ready to when this process has ended. From
    /// then on nobody is accepted here. Dropped before, it ends what it has started.
    ///
    /// # Errors
    /// Why nothing has changed, in one line.
    pub(crate) async fn start(
        &self,
        handle: &Handle,
        tell_manager: impl Fn(Heir),
    ) -> Result<(Heir, Option<Child>), String> {
        let limit = handle.upgrade_timeout();
        let mut successor = self.spawn(handle).map_err(|error| format!("{}: {error}", self.path.display()))?;
        let pid = successor.started.0.as_ref().map(Child::id).unwrap_or_default();
        tracing::info!(pid, program = %self.path.display(), "upgrade: started anew");
        let outcome = timeout(limit, successor.prepare()).await;
        let (turn, taken) = match outcome {
            Ok(Ok(ready)) => ready,
            Ok(Err(why)) => return Err(format!("{why}; {}", successor.end().await)),
            Err(_) => {
                return Err(format!("it was not ready within {limit:?} (upgrade_timeout); {}", successor.end().await));
            }
        };
        let Successor { mut started, mut line, whole } = successor;
        // It goes on without us. What it waits for is the end of this process, not of anything in it: files that only one
        // may have are free then.
        std::mem::forget(whole);
        let child = started.0.take();
        let heir = Heir { pid, turn };
        tell_manager(heir);
        // One that has gone by now has served already; there is no way back.
        let _ = line.write_all(b"main\n").await;
        handle.hand_over(&taken);
        Ok((heir, child))
    }

    fn spawn(&self, handle: &Handle) -> io::Result<Successor> {
        let (ours, theirs) = UnixStream::pair()?;
        passing::send(&ours, &handle.listeners()?)?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env(VARIABLE, std::process::id().to_string()).stdin(OwnedFd::from(theirs));
        for ours_alone in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", WATCHDOG_PID] {
            command.env_remove(ours_alone);
        }
        let whole = ours.try_clone()?;
        ours.set_nonblocking(true)?;
        let line = BufReader::new(tokio::net::UnixStream::from_std(ours)?);
        Ok(Successor { started: Started(Some(command.spawn()?)), line, whole })
    }
}

/// A program that has been started, and the line to it.
struct Successor {
    started: Started,
    line: BufReader<tokio::net::UnixStream>,
    /// The same line, which ends with this process and not before.
    whole: UnixStream,
}

/// Ended when this is dropped, until it is on its own.
struct Started(Option<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Successor {
    /// Waits until it serves, or is ready to when this process has ended; and which listeners it has.
    async fn prepare(&mut self) -> Result<(Turn, Vec<usize>), String> {
        let said = self.hear().await?;
        let mut words = said.split_whitespace();
        let turn = match (words.next(), words.next()) {
            (Some("ready"), Some("now")) => Turn::Together,
            (Some("ready"), Some("after")) => Turn::After,
            _ => return Err(format!("it said {said:?}")),
        };
        let taken = words.map(str::parse).collect::<Result<_, _>>().map_err(|_| format!("it said {said:?}"))?;
        self.line.write_all(b"go\n").await.map_err(|error| format!("it has gone: {error}"))?;
        if turn == Turn::Together {
            // Until then everybody is accepted here, too: should it fail in this moment, nobody has noticed.
            self.hear().await?;
        }
        Ok((turn, taken))
    }

    /// Its next line; or why there is none.
    async fn hear(&mut self) -> Result<String, String> {
        let mut said = String::new();
        let heard = (&mut self.line).take(LONGEST).read_line(&mut said).await;
        if let Some(why) = said.strip_prefix("failed ") {
            let mut why = why.to_owned();
            let _ = (&mut self.line).take(LONGEST).read_to_string(&mut why).await;
            let lines: Vec<&str> = why.lines().map(str::trim).collect();
            return Err(lines.join(" "));
        }
        match heard {
            Ok(_) if said.ends_with('\n') => Ok(said),
            Ok(_) => Err("it has ended".to_owned()),
            Err(error) => Err(format!("it does not speak: {error}")),
        }
    }

    /// Ends it, if it does not do so itself, and says how it ended.
    async fn end(mut self) -> String {
        let Some(mut child) = self.started.0.take() else { return "it is on its own".to_owned() };
        let by_itself = async {
            while let Ok(None) = child.try_wait() {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(LAST_STEPS, by_itself).await;
        let _ = child.kill();
        child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

/// Where a shell would find it.
fn find(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return std::path::absolute(name).ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    identity(one).is_some_and(|it| identity(other) == Some(it))
}
