//! How logs are written. Plain data.

use std::path::PathBuf;

use super::Rate;

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// Levels, in the syntax of `tracing_subscriber::EnvFilter`, such as `info` or `wsgate=debug`.
    pub level: String,
    /// Lines that may wait to be read, at least 1; more are lost.
    pub buffer: usize,
    /// The file that they go into; absent: standard error.
    pub file: Option<PathBuf>,
    /// Lines of connections that are written, of each kind; `None`: all.
    pub sample: Option<Rate>,
    /// Beyond them each one of so many; 0: none.
    pub sample_every: u32,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}
