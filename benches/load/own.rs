//! A gateway of our own on loopback, for runs without a URL.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use wsgate::{Config, Gateway, Handle};

use super::versus::Scheme;

const CONFIG: &str = r#"
listen = ["127.0.0.1:0"]
workers = 1

[limits]
pending = 100000
pending_per_address = 100000
connections = 1000000
connections_per_address = 1000000
handshakes_per_address = "0/s"
message_size = "16MiB"
send_queue = "32MiB"

[[route]]
path = "/echo"
echo = {}

[[route]]
path = "/chat"
hub = { history = 0, text = "1MiB", rooms = 1000000, say = { rate = "0/s" } }
limits = { message_size = "64KiB", send_queue = "1MiB" }
"#;

/// Before the first route, where tables are.
const TLS: &str = "[tls]\nself_signed = [\"localhost\", \"127.0.0.1\"]\n\n[limits]";

/// A gateway that runs until this is dropped.
pub(crate) struct Own {
    address: String,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Own {
    /// Starts it; when this returns it serves.
    ///
    /// # Errors
    /// What kept it from starting.
    pub(crate) fn start(scheme: Scheme) -> Result<Self, String> {
        let text = match scheme {
            Scheme::Ws => CONFIG.to_owned(),
            Scheme::Wss => CONFIG.replace("[limits]", TLS),
        };
        let config = Config::parse(&text, "own gateway", Path::new(".")).map_err(|problems| problems.to_string())?;
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("own gateway".into()).spawn(move || {
            let told = ready.clone();
            if let Err(why) = serve(config, &ready) {
                let _ = told.send(Err(why));
            }
        });
        let thread = thread.map_err(|error| error.to_string())?;
        let (address, handle) = started.recv().map_err(|error| error.to_string())??;
        Ok(Self { address, handle, thread: Some(thread) })
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }
}

type Ready = mpsc::Sender<Result<(String, Handle), String>>;

fn serve(config: Config, ready: &Ready) -> Result<(), String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.map_err(|error| told(&error))?.block_on(async {
        let gateway = Gateway::bind(config).map_err(|error| told(&error))?;
        let address = gateway.addresses().into_iter().next().unwrap_or_default();
        let _ = ready.send(Ok((address, gateway.handle())));
        gateway.run().await.map(drop).map_err(|error| told(&error))
    })
}

impl Drop for Own {
    fn drop(&mut self) {
        // The first order drains, the second does not wait for anybody.
        self.handle.drain();
        self.handle.drain();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
