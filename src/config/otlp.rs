//! The collector that gets a span of each connection. Plain data.

use std::path::PathBuf;
use std::time::Duration;

use super::pool::Transport;

/// Where spans go, by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// As it was written.
    pub endpoint: String,
    /// How the collector is reached.
    pub transport: Transport,
    /// The Host it is asked for.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// PEM file of the CAs that an `https://` collector is checked against; absent: the public roots.
    pub ca: Option<PathBuf>,
    /// From connecting to its whole answer.
    pub timeout: Duration,
    /// Spans that may wait, at least 1; more are dropped.
    pub queue: usize,
    /// What this gateway is called there.
    pub service_name: String,
}
