//! The command line as people write it; its help is the contract.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use wsgate::Overrides;

/// A TLS-terminating WebSocket reverse proxy and gateway.
///
/// Without a command it serves: with the configuration of --config, else ./wsgate.toml, else /etc/wsgate/wsgate.toml,
/// else a built-in default: a chat at https://127.0.0.1:8443/chat and an echo at wss://127.0.0.1:8443/echo, with a
/// certificate made at start.
#[derive(Debug, Parser)]
#[command(name = "wsgate", version, max_term_width = 100, after_help = AFTER)]
pub(crate) struct Arguments {
    /// What to do; serves when there is none.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Relay every path that has no route of its own to this backend: ws://, wss:// or unix:. Repeat it for a pool
    #[arg(long, value_name = "URL", global = true)]
    to: Vec<String>,
    /// How the --to backends are treated: transparent (default), legacy for any hand-written server, php-2048, ratchet,
    /// workerman or swoole
    #[arg(long, value_name = "NAME", global = true)]
    profile: Option<String>,
    /// A web origin whose pages may reach the --to backends, such as https://example.com; * for any. May be repeated;
    /// without it only pages of the gateway's own host
    #[arg(long, value_name = "ORIGIN", global = true)]
    origin: Vec<String>,
    /// Listen here instead: HOST:PORT or unix:PATH. May be repeated
    #[arg(long, value_name = "ADDR", global = true)]
    listen: Vec<String>,
    /// Certificate chain to serve with, in PEM, leaf first; goes with --key
    #[arg(long, value_name = "FILE", global = true)]
    cert: Option<PathBuf>,
    /// Private key of --cert, in PEM
    #[arg(long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
    /// Log levels, such as info or wsgate=debug; also from WSGATE_LOG
    #[arg(long, value_name = "LEVELS", env = "WSGATE_LOG", global = true)]
    log: Option<String>,
    /// Log lines for people (text) or machines (json)
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
}

/// What can be asked of wsgate.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve (the default)
    Serve,
    /// Read and check everything, certificates included, and tell every problem at once
    Check,
    /// Make a local CA, once, and a certificate for these names
    Cert {
        /// The folder to write into
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
        /// Host names (also *.example.test) and IP addresses
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

const AFTER: &str = "\
Signals: SIGTERM and SIGINT drain (a second one ends at once), SIGHUP reads the configuration again.
Exit: 0 after a clean drain, 1 could not start, 2 drain cut short, 64 wrong usage, 78 bad configuration.";

impl Arguments {
    /// What the command line says instead of the file.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            to: self.to.clone(),
            profile: self.profile.clone(),
            origin: self.origin.clone(),
            listen: self.listen.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            log: self.log.clone(),
            log_format: self.log_format.clone(),
        }
    }
}
