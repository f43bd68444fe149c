//! What a gateway remembers of a message that was said on it, for as long as it may have to say it again.

use std::sync::Arc;

use crate::hub::cluster::entry::Said;

/// One of this gateway's own messages.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) said: Arc<Said>,
    /// Under which it was shown; `None` before that.
    pub(super) shown: Option<u64>,
    /// Up to where the stream was shown by then.
    pub(super) after: u64,
    pub(super) place: Option<u64>,
    /// How many had their place before it.
    pub(super) number: u64,
    /// Whether Redis was asked at least once.
    pub(super) asked: bool,
    /// Whether Redis is being asked.
    pub(super) flying: bool,
    /// Whether it is to be taken out as soon as it has its place.
    pub(super) erased: bool,
}

impl Own {
    /// Whether it was shown, and the stream does not have it.
    pub(super) const fn is_owed(&self) -> bool {
        self.shown.is_some() && self.place.is_none() && !self.erased
    }
}
