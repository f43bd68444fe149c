//! Why nobody can say whether a client may come in.

use std::fmt;
use std::io;

use http::StatusCode;

use crate::admission::refusal::Refusal;
use crate::client::lines;

/// Why nobody can say whether the client may come in.
#[derive(Debug)]
pub(super) enum Failure {
    /// Too many questions are before this one.
    Busy,
    /// There was no answer in time.
    Late,
    /// It cannot be reached.
    Connect(io::Error),
    /// What came is no answer.
    Http(hyper::Error),
    /// Neither yes nor no.
    Status(StatusCode),
    /// A header of which there may be one.
    Twice(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many wait for it"),
            Self::Late => f.write_str("no answer in time"),
            Self::Connect(error) => write!(f, "it cannot be connected to: {error}"),
            Self::Http(error) => write!(f, "no answer that can be understood: {error}"),
            Self::Status(status) => write!(f, "status {} says neither yes nor no", status.as_u16()),
            Self::Twice(name) => write!(f, "the answer has more than one {name}"),
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl Failure {
    /// What the client is told.
    pub(super) const fn refusal(&self) -> Refusal {
        match self {
            Self::Busy => Refusal::AuthBusy,
            Self::Late => Refusal::AuthTimeout,
            Self::Connect(_) | Self::Http(_) | Self::Status(_) | Self::Twice(_) => Refusal::AuthFailed,
        }
    }
}

impl lines::Failure for Failure {
    /// A server that ends a connection because it was idle may say so, with 408 (RFC 9110 §15.5.9).
    fn is_no_answer(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_parse(),
            Self::Status(status) => *status == StatusCode::REQUEST_TIMEOUT,
            Self::Connect(_) => true,
            Self::Busy | Self::Late | Self::Twice(_) => false,
        }
    }
}
