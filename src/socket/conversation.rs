//! A session as its task sees it: polled to its end, and told of in one piece.

use std::task::{Context, Poll};

use crate::wire::close::Ending;
use crate::wire::tunnel::Traffic;

/// An open WebSocket that runs to its end. A plain value: its task holds it and nothing else.
pub(crate) trait Conversation {
    /// Does what can be done now; `Ready` exactly once.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// What has passed so far.
    fn passed(&self) -> Passed;
}

/// What passed in a session, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// What came from the client.
    pub from_client: Traffic,
    /// What went to it.
    pub to_client: Traffic,
}
