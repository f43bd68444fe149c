//! What goes into a ledger, and what comes out of it.

use std::sync::Arc;

use crate::hub::cluster::entry::{Said, Seen};

/// Whether a room's messages get their places from Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub::cluster) enum State {
    /// It was not looked at yet: nobody is in it, but the server may say something.
    New,
    /// Places come from Redis.
    Together,
    /// Messages are shown at once, and owed.
    Apart,
}

/// A message to be shown to members here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Show {
    /// What was said.
    pub(in crate::hub) said: Arc<Said>,
    /// Under which id.
    pub(in crate::hub) id: u64,
    /// Its place, known to all gateways; `None` while it is owed.
    pub(in crate::hub) place: Option<u64>,
    /// Present when members elsewhere have seen it before.
    pub(in crate::hub) seen: Option<Seen>,
    /// Whether somebody here waits for its place.
    pub(in crate::hub) own: bool,
}

/// A message to be added to the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub::cluster) struct Ask {
    pub(in crate::hub::cluster) said: Arc<Said>,
    /// Its place must be above this.
    pub(in crate::hub::cluster) floor: u64,
    /// Whether it may be there already.
    pub(in crate::hub::cluster) again: bool,
    /// What members here have seen of it.
    pub(in crate::hub::cluster) seen: Option<Seen>,
}

/// What becomes of a message that was just said here.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::hub::cluster) enum Submitted {
    /// It wants a place.
    Ask(Ask),
    /// It waits for the first look at the stream.
    Wait,
    /// It is shown at once.
    Show(Show),
    /// It was said before.
    Double,
}

/// What becomes of an entry of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::hub::cluster) enum Arrived {
    /// It is new here.
    Show(Show),
    /// It was shown here under this id, and has its place now.
    Placed(u64, u64),
    /// It was taken out here before it had this place: it is to be taken out of the stream.
    Erased(u64),
    /// It is known.
    Double,
    /// Something is missing before it: it is kept until the stream was looked at after [`Ledger::place`].
    Hole,
}
