//! The command line as people write it; its help is the contract.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use wsgate::Overrides;

/// A TLS-terminating WebSocket reverse proxy and gateway.
///
/// Without a command it serves: with the configuration of --config, else ./wsgate.toml, else /etc/wsgate/gateway.toml,
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
    /// without it only pages of the gateway's own host. With probe: the Origin that it names
    #[arg(long, value_name = "ORIGIN", global = true)]
    pub(crate) origin: Vec<String>,
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
    /// Try a backend: say what it can do and what it cannot, and print the configuration that fits
    #[command(after_help = AFTER_PROBE)]
    Probe(Probe),
    /// Ask the admin door of the configuration whether the gateway is ready: 0 if so, else 1
    Health,
    /// Print the manual page, or that of one command
    Man {
        /// The command
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
    /// Print what makes a shell complete the command line
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

/// What is probed, and how.
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// The backend: ws://host:port/path, wss://… or unix:PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The Host to ask for, where it is not the URL's: some servers answer to one name only
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// PEM file of the authorities that a wss:// backend is checked against; without it the public ones
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// How long any one answer may take: 50ms to 60s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = read_time)]
    pub(crate) time_limit: Duration,
    /// Leave out, without asking, what some servers do not survive
    #[arg(long, conflicts_with = "harsh")]
    pub(crate) gentle: bool,
    /// Try, without asking, also what some servers do not survive
    #[arg(long)]
    pub(crate) harsh: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
impl Arguments {
    /// What serves with this configuration.
    pub(crate) fn naming(config: std::ffi::OsString) -> Self {
        Self::parse_from(["wsgate".into(), "--config".into(), config])
    }
}

/// Reads `5s` or `500ms`.
fn read_time(text: &str) -> Result<Duration, String> {
    let number = |unit: &str| text.strip_suffix(unit).and_then(|number| number.parse().ok());
    let time = number("ms").map(Duration::from_millis).or_else(|| number("s").map(Duration::from_secs));
    time.filter(|time| (Duration::from_millis(50)..=Duration::from_secs(60)).contains(time))
        .ok_or_else(|| "allowed: 50ms to 60s, such as 5s or 500ms".to_owned())
}

const AFTER: &str = "\
Signals: SIGTERM and SIGINT drain (a second one ends at once), SIGHUP reads the configuration again, SIGUSR2 starts \
the program anew and hands its listeners over, so that an upgrade refuses nobody.
Exit: 0 after a clean drain, 1 could not start, 2 drain cut short, 64 wrong usage, 78 bad configuration.";

const AFTER_PROBE: &str = "\
The probe's messages (\"wsgate probe …\") reach whoever is connected to a chat. Experiments that some servers do not \
survive are tried after a yes at the terminal, or with --harsh; without a terminal they are left out. After each \
experiment the probe looks whether the server still answers.
Exit: 0 a proposal was made, 1 there is no WebSocket server, 3 the server has stopped answering (the best proposal \
is printed all the same), 64 wrong usage.";

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
