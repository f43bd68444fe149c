//! What is said to sessions from outside, and what comes back.

use std::borrow::Cow;

use crate::telemetry::report::Report;

/// What a session is told from outside: to close with this code and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The close code.
    pub code: u16,
    /// The reason, at most 123 bytes.
    pub reason: Cow<'static, str>,
}

/// What waits for a session that has looked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// It is to close.
    pub close: Option<Order>,
    /// It is to tell of itself with [`super::Place::report`].
    pub report: bool,
}

/// What came of asking all who live.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Those who answered, in no order.
    pub sessions: Vec<Report>,
    /// Those who did not within its patience.
    pub missing: usize,
}
