//! A session as its task sees it: polled to its end, and told of in one piece.

use std::task::{Context, Poll};

use crate::telemetry::report::State;
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::Ending;
use crate::wire::tunnel::Traffic;

/// An open WebSocket that runs to its end. A plain value: its task holds it and nothing else.
pub(crate) trait Conversation {
    /// Does what can be done now; `Ready` exactly once.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending>;

    /// The gateway ends it: it closes with this code and reason, unless it closes already.
    fn order(&mut self, cx: &mut Context<'_>, order: Order);

    /// Its place among the living.
    fn place(&self) -> &Place;

    /// What has passed so far.
    fn passed(&self) -> Passed;

    /// How it stands.
    fn state(&self) -> State;
}

/// What passed in a session, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// What came from the client.
    pub from_client: Traffic,
    /// What went to it.
    pub to_client: Traffic,
}

impl Passed {
    /// Frames, and bytes: from the client, and to it.
    #[must_use]
    pub(crate) const fn pairs(&self) -> ((u64, u64), (u64, u64)) {
        let Self { from_client, to_client } = self;
        ((from_client.frames, to_client.frames), (from_client.bytes, to_client.bytes))
    }
}
