//! A Redis that is really there, in a folder of its own, on a unix socket or a free port; it ends with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::within;

/// A server that can be killed and started again.
pub struct Redis {
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// On a unix socket alone, remembering nothing when it ends.
    pub async fn start() -> Self {
        Self::start_with(&["--port", "0"]).await
    }

    /// With these settings besides its socket.
    pub async fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("folder"), arguments).await
    }

    /// The same in a folder in which there is something already.
    pub async fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        let mut redis = Self { folder, arguments, child: None };
        redis.again().await;
        redis
    }

    /// Starts it again, and waits until it answers.
    pub async fn again(&mut self) {
        let mut command = Command::new("redis-server");
        let sentinel = self.folder.path().join("sentinel.conf");
        if sentinel.exists() {
            command.arg(sentinel).arg("--sentinel");
        }
        command.args(["--unixsocket", "redis.sock", "--save", "", "--dir"]).arg(self.folder.path());
        command.args(&self.arguments).current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is needed: apt-get install redis-server"));
        within("redis to answer", async {
            while UnixStream::connect(self.socket()).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Ends it at once, with all that it knows.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Stops it from answering, or lets it go on.
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs").id();
        let status = Command::new("kill").args([format!("-{name}"), child.to_string()]).status().expect("kill");
        assert!(status.success());
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `unix:PATH`, as a configuration names it.
    pub fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Asks one question, and gives the whole answer as it came; arrays are read to their end.
    pub async fn ask(&self, words: &[&str]) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.expect("connect");
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
        }
        request.extend(b"*1\r\n$4\r\nQUIT\r\n");
        stream.write_all(&request).await.expect("write");
        let mut answer = Vec::new();
        // A reset behind the answer to QUIT is an end as well.
        let _ = within("an answer", stream.read_to_end(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.strip_suffix("+OK\r\n").expect("the answer to QUIT").to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago, for servers that cannot choose one themselves: below those that the kernel gives to
/// whoever leaves the choice to it (32768 and up on Linux), so that no other test gets it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another process of these tests begins elsewhere.
    let begin = std::process::id() as u16 % 20_000;
    let ports = std::iter::repeat_with(|| 10_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000);
    ports.take(20_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
