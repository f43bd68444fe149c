//! Ordinary HTTP that is passed on to a pool, as the owner wishes it.

use std::borrow::Cow;
use std::time::Duration;

use crate::route::without_prefix;

/// What becomes of a route's requests that ask for no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The pool's name; a key of [`super::Config::pools`].
    pub pool: String,
    /// The path that is taken off the front of the client's: the route's own, or one above it.
    pub strip_prefix: Option<String>,
    /// Requests under way at once on the route, at least 1; beyond it 503.
    pub at_once: usize,
    /// Bytes of one request's body; beyond it 413.
    pub body: usize,
    /// How long a body may stand still: a request's (408), an answer's on its way from the backend, or on its way to the
    /// client (both are cut).
    pub body_timeout: Duration,
    /// From the last byte of a request to the head of its answer; 504 beyond.
    pub answer_timeout: Duration,
    /// Bytes of an answer's head, at least 8 KiB; beyond it 502.
    pub answer_head: usize,
    /// Connections that each worker keeps for the next request to a backend; 0: each request has its own.
    pub idle_connections: usize,
}

impl Pages {
    /// Path and query as the backend gets them.
    pub(crate) fn target<'t>(&self, asked: &'t str) -> Cow<'t, str> {
        match &self.strip_prefix {
            Some(prefix) => without_prefix(prefix, asked),
            None => Cow::Borrowed(asked),
        }
    }
}
