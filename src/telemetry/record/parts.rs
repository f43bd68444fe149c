//! The parts of a record's line.

use std::borrow::Cow;
use std::time::Instant;

/// What a client has called itself, or was called.
pub(super) struct Names<'s> {
    pub(super) host: &'s str,
    pub(super) subject: Option<&'s str>,
    pub(super) trace: Option<&'s str>,
}

/// A version of TLS in one byte.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tls {
    Absent,
    V1_2,
    V1_3,
}

/// How a session ended, in plain words and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The number of its [`Report`](crate::telemetry::report::Report).
    pub id: u64,
    /// `client`, `backend` or `gateway`.
    pub by: &'static str,
    /// The close code.
    pub code: u16,
    /// The reason.
    pub reason: Cow<'static, str>,
    /// Data frames from the client and to it.
    pub frames: (u64, u64),
    /// Their payload.
    pub bytes: (u64, u64),
    /// The backend's name; empty where there is none.
    pub backend: String,
}

impl Tls {
    /// By the name that it has in the log.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "TLSv1.2" => Self::V1_2,
            "TLSv1.3" => Self::V1_3,
            _ => Self::Absent,
        }
    }

    /// `TLSv1.2`, `TLSv1.3` or `-`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Absent => "-",
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

impl End {
    /// What is told of a session that was not told of: its task was dropped, or it panicked.
    #[must_use]
    pub(crate) fn cut(backend: &str) -> Self {
        let backend = backend.to_owned();
        Self { id: 0, by: "gateway", code: 1006, reason: "cut".into(), frames: (0, 0), bytes: (0, 0), backend }
    }
}

/// The number of the trace alone.
pub(super) fn trace_id(trace: &str) -> &str {
    trace.split('-').next().unwrap_or(trace)
}

/// To the millisecond.
pub(super) fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}

/// Codes of an application's own are many and chosen by clients: they share one label.
pub(super) fn code_label(code: u16) -> String {
    match code {
        1000..=1015 => code.to_string(),
        3000..=3999 => "3xxx".to_owned(),
        4000..=4999 => "4xxx".to_owned(),
        _ => "other".to_owned(),
    }
}
