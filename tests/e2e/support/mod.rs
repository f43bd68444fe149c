//! A whole gateway in a line, raw peers on both sides, certificates made on the spot.

#![allow(dead_code)] // each module of the tests uses its own part

pub mod acme;
pub mod backend;
pub mod frames;
pub mod peer;
pub mod process;
pub mod records;
pub mod redis;
pub mod tls;
pub mod trust;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;
use wsgate::{Config, Gateway, Handle, Phase, Totals};

pub use peer::{Answer, Peer};

/// The longest that anything in a test may take before it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A future's value, or a panic that says what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// All of them side by side, in the order in which they are done: cases that wait for a limit of time wait for it
/// together, so that it can be long enough for a busy machine.
pub async fn together<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    tasks.into_iter().collect::<JoinSet<T>>().join_all().await
}

/// A gateway on a thread of its own, drained when the test ends.
pub struct Running {
    pub addresses: Vec<String>,
    pub admin: Option<String>,
    pub handle: Handle,
    thread: Option<std::thread::JoinHandle<Totals>>,
}

/// Starts a gateway from the text of a configuration file; `listen` need not be in it (then 127.0.0.1:0).
pub fn gateway(config: &str) -> Running {
    start(parse(config))
}

/// The configuration, with a listener on a free port if it names none. Paths are relative to the package.
pub fn parse(config: &str) -> Config {
    let listen = if config.contains("listen = [") { "" } else { "listen = [\"127.0.0.1:0\"]\n" };
    let text = format!("{listen}{config}");
    match Config::parse(&text, "test.toml", Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(config) => config,
        Err(problems) => panic!("the test's configuration is wrong:\n{problems}\n{text}"),
    }
}

/// Starts a gateway; when this returns it serves.
pub fn start(config: Config) -> Running {
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("gateway".into())
        .spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("runtime");
            runtime.block_on(async {
                let gateway = Gateway::bind(config).expect("bind");
                ready.send((gateway.addresses(), gateway.admin_address(), gateway.handle())).expect("test is there");
                gateway.run().await.expect("run")
            })
        })
        .expect("thread");
    let (addresses, admin, handle) = started.recv().expect("the gateway starts");
    Running { addresses, admin, handle, thread: Some(thread) }
}

impl Running {
    /// `127.0.0.1:PORT` of the first listener.
    pub fn address(&self) -> String {
        self.addresses[0].rsplit("//").next().expect("address").to_owned()
    }

    /// A raw peer connected to the first listener, without TLS.
    pub async fn connect(&self) -> Peer {
        Peer::connect(&self.address()).await
    }

    /// An upgraded WebSocket at this path.
    pub async fn open(&self, path: &str) -> Peer {
        let mut peer = self.connect().await;
        let answer = peer.upgrade(path, &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        peer
    }

    /// The same, and its session has begun: behind the 101 alone it could still be about to.
    pub async fn enter(&self, path: &str) -> Peer {
        self.open(path).await.settled().await
    }

    /// One whole request on a new connection, and its answer.
    pub async fn ask(&self, request: &str) -> Answer {
        let mut peer = self.connect().await;
        peer.send(request.as_bytes()).await;
        peer.answer().await
    }

    /// The value of a metric's line, 0 when it is not there. Needs `[admin]` in the configuration.
    pub async fn metric(&self, line: &str) -> f64 {
        let admin = self.admin.as_ref().expect("[admin] in the test's configuration");
        let mut peer = Peer::connect(admin.rsplit("//").next().expect("address")).await;
        peer.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let text = peer.answer().await.body;
        let value = text.lines().find_map(|have| have.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("number"))
    }

    /// Waits until a metric has this value.
    pub async fn until_metric(&self, line: &str, value: f64) {
        within(&format!("{line} to be {value}"), async {
            while (self.metric(line).await - value).abs() > f64::EPSILON {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Drains, and waits for the end.
    pub fn stop(mut self) -> Totals {
        self.handle.drain();
        self.thread.take().expect("once").join().expect("the gateway's thread")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.handle.drain();
        if self.handle.phase() == Phase::Draining {
            self.handle.drain();
        }
        let ended = thread.join();
        assert!(std::thread::panicking() || ended.is_ok(), "the gateway panicked");
    }
}

/// What the gateway logs while a test runs, by line, for tests that look at the log. The lines of all tests of the
/// process are in it: look for something that only yours says.
pub fn log() -> Arc<Mutex<Vec<u8>>> {
    static LOG: std::sync::OnceLock<Arc<Mutex<Vec<u8>>>> = std::sync::OnceLock::new();
    Arc::clone(LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        tracing_subscriber::fmt()
            .with_env_filter("info")
            .with_ansi(false)
            .with_writer(move || Sink(Arc::clone(&sink)))
            .init();
        log
    }))
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits for a log line that has all of these pieces.
pub async fn logged(pieces: &[&str]) -> String {
    let log = log();
    within(&format!("a log line with {pieces:?}"), async {
        loop {
            let text = String::from_utf8_lossy(&log.lock().expect("log")).into_owned();
            if let Some(line) = text.lines().find(|line| pieces.iter().all(|piece| line.contains(piece))) {
                return line.to_owned();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
