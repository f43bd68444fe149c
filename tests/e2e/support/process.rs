//! The program itself as a process: its lines, its log, its signals, its exit code.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio_rustls::rustls::ClientConfig;

use super::peer::Peer;
use super::{PATIENCE, within};

/// A `wsgate` that runs.
pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: watch::Receiver<String>,
    /// `wss://127.0.0.1:PORT` of the first listener.
    pub url: String,
}

/// A `wsgate` that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The program with these arguments in this folder, and nothing of our own surroundings that it could listen to.
/// `WSGATE_PROGRAM` may name another build of it.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("WSGATE_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_wsgate").into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_remove("WSGATE_LOG").env("COLUMNS", "100");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub async fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let output = within("the end of the program", command(folder, arguments).output()).await.expect("run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Program {
    /// Starts it; when this returns it serves.
    pub async fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command(folder, arguments)).await
    }

    /// Starts it with this configuration, which it finds in its folder.
    pub async fn configured(folder: &Path, config: &str) -> Self {
        configure(folder, config);
        Self::start(folder, &[]).await
    }

    pub async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("start");
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        // A test may have taken it for itself.
        let log = child.stderr.take().map_or_else(|| watch::channel(String::new()).1, follow);
        let mut program = Self { child, lines, log, url: String::new() };
        program.url = program.listening().await;
        program
    }

    /// The address of the next line on standard output.
    pub async fn listening(&mut self) -> String {
        let line = within("a line of standard output", self.lines.next_line()).await.expect("read");
        let line = line.unwrap_or_else(|| panic!("it ended:\n{}", *self.log.borrow()));
        line.strip_prefix("listening ").unwrap_or_else(|| panic!("{line:?}")).to_owned()
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.rsplit("//").next().expect("address")
    }

    /// An upgraded WebSocket without TLS.
    pub async fn open(&self, path: &str) -> Peer {
        opened(Peer::connect(self.address()).await, path).await
    }

    /// An upgraded WebSocket over TLS.
    pub async fn open_tls(&self, path: &str, client: Arc<ClientConfig>) -> Peer {
        opened(self.connect_tls(client).await, path).await
    }

    pub async fn connect_tls(&self, client: Arc<ClientConfig>) -> Peer {
        Peer::connect_tls(self.address(), "localhost", client).await.expect("TLS")
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends a signal by its name: `TERM`.
    pub async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        let status = Command::new("sh").args(["-c", &kill]).status().await.expect("sh");
        assert!(status.success(), "{kill}: {status}");
    }

    /// Waits for a line on standard error that has all of these pieces.
    pub async fn said(&mut self, pieces: &[&str]) -> String {
        let line_of = |text: &str| {
            let line = text.lines().find(|line| pieces.iter().all(|piece| line.contains(piece)));
            line.map(str::to_owned)
        };
        let mut log = self.log.clone();
        let seen = tokio::time::timeout(PATIENCE, log.wait_for(|text| line_of(text).is_some())).await;
        match seen {
            Ok(Ok(text)) => line_of(&text).expect("just seen"),
            _ => panic!("no line with {pieces:?}:\n{}", self.log()),
        }
    }

    /// All of standard error so far.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits for the end of the process itself, though others go on writing where it did; its exit code.
    pub async fn left(&mut self) -> Option<i32> {
        within("the end of the process", self.child.wait()).await.expect("wait").code()
    }

    /// Waits for its end; `out` is what stood on standard output beyond the lines that were read.
    pub async fn ended(mut self) -> Ended {
        let status = within("the end of the program", self.child.wait()).await.expect("wait");
        let mut out = String::new();
        while let Some(line) = within("standard output", self.lines.next_line()).await.expect("read") {
            out += &format!("{line}\n");
        }
        // The follower drops its end when standard error ends.
        while within("standard error", self.log.changed()).await.is_ok() {}
        Ended { code: status.code(), out, err: self.log() }
    }

    /// Tells it to go, and waits for its end.
    pub async fn stop(self) -> Ended {
        self.signal("TERM").await;
        self.ended().await
    }
}

/// Writes the file that is found in the folder; without a listener in it, one on a free port of the loopback.
pub fn configure(folder: &Path, config: &str) {
    let listen = if config.contains("listen = [") { "" } else { "listen = [\"127.0.0.1:0\"]\n" };
    std::fs::write(folder.join("wsgate.toml"), format!("{listen}{config}")).expect("write");
}

async fn opened(mut peer: Peer, path: &str) -> Peer {
    let answer = peer.upgrade(path, &[]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    peer
}

fn follow(mut stderr: impl AsyncRead + Unpin + Send + 'static) -> watch::Receiver<String> {
    let (tell, log) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        while matches!(stderr.read_buf(&mut bytes).await, Ok(count) if count > 0) {
            tell.send_modify(|text| *text = String::from_utf8_lossy(&bytes).into_owned());
        }
    });
    log
}
