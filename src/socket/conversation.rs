//! A session as its task sees it: polled to its end, and told of in one piece.

use std::task::{Context, Poll};

use crate::wire::close::Ending;
use crate::wire::tunnel::Traffic;

/// An open WebSocket that runs to its end. A plain value: its task holds it and nothing else.
pub(crate) trait Conversation {
    /// Does what can be done now; `Ready` exactly once.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended>;
}

/// What is left of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How it ended.
    pub ending: Ending,
    /// What came from the client.
    pub from_client: Traffic,
    /// What went to it.
    pub to_client: Traffic,
}
