//! One of this gateway's own messages, from when it was said until the stream has it for good.

use std::sync::Arc;

use crate::hub::cluster::entry::Said;

/// A message, what members here have seen of it, and what Redis has said of it.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) said: Arc<Said>,
    /// Under which it was shown; `None` before that.
    pub(super) shown: Option<u64>,
    /// Up to where the stream was shown by then.
    pub(super) after: u64,
    /// Known as soon as Redis has answered, which may be before it is shown.
    pub(super) place: Option<u64>,
    /// How many had their place before it.
    pub(super) number: u64,
    /// Whether Redis was asked at least once.
    pub(super) asked: bool,
    /// Whether Redis is being asked.
    pub(super) flying: bool,
}

impl Own {
    /// One that was just said; `asked`: Redis is being asked for its place.
    pub(super) const fn new(said: Arc<Said>, asked: bool) -> Self {
        Self { said, shown: None, after: 0, place: None, number: 0, asked, flying: asked }
    }

    /// Whether members have seen it, and the stream does not have it.
    pub(super) const fn is_owed(&self) -> bool {
        self.shown.is_some() && self.place.is_none()
    }

    /// Whether the stream does not have it, and Redis is not being asked.
    pub(super) const fn rests(&self) -> bool {
        self.place.is_none() && !self.flying
    }
}
