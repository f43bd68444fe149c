//! One of this gateway's own messages, from when it was said until the stream has it for good.

use std::sync::Arc;

use super::Ledger;
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
    /// Whether it is to be taken out as soon as it has its place.
    pub(super) erased: bool,
}

impl Own {
    /// One that was just said; `asked`: Redis is being asked for its place.
    pub(super) const fn new(said: Arc<Said>, asked: bool) -> Self {
        Self { said, shown: None, after: 0, place: None, number: 0, asked, flying: asked, erased: false }
    }

    /// Whether it was shown, and the stream does not have it.
    pub(super) const fn is_owed(&self) -> bool {
        self.shown.is_some() && self.place.is_none() && !self.erased
    }

    /// Whether the stream does not have it, and Redis is to be asked.
    pub(super) const fn rests(&self) -> bool {
        self.place.is_none() && !self.flying && !self.erased
    }
}

impl Ledger {
    /// From now on the stream keeps so many messages, at least 1.
    pub(in crate::hub::cluster) fn bound(&mut self, length: usize) {
        if self.length != length.max(1) {
            self.length = length.max(1);
            self.known.bound(2 * self.length);
        }
    }

    /// What has waited for long is not believed to have its place: Redis is asked once more.
    pub(in crate::hub::cluster) fn doubt(&mut self) {
        self.own.iter_mut().filter(|own| own.shown.is_none()).for_each(|own| own.place = None);
    }

    /// What the stream does not have, and whether Redis was asked for it: for the room that comes after this one.
    pub(in crate::hub::cluster) fn unsaid(&self) -> Vec<(Arc<Said>, bool)> {
        let unsaid = self.own.iter().filter(|own| (own.place.is_none() || own.shown.is_none()) && !own.erased);
        unsaid.map(|own| (Arc::clone(&own.said), own.asked)).collect()
    }

    /// Messages of an earlier room of this name wait for the first look at the stream.
    pub(in crate::hub::cluster) fn inherit(&mut self, unsaid: Vec<(Arc<Said>, bool)>) {
        self.waiting += unsaid.len();
        self.own.extend(unsaid.into_iter().map(|(said, asked)| Own { flying: false, ..Own::new(said, asked) }));
    }

    /// A message that was shown under this id was taken out: it does not come back. One that Redis may have already is
    /// taken out when it is found there; the place of one that has its own is returned.
    pub(in crate::hub::cluster) fn erase(&mut self, shown: u64) -> Option<u64> {
        let at = self.own.iter().position(|own| own.shown == Some(shown))?;
        if self.own[at].place.is_none() && self.own[at].asked {
            self.own[at].erased = true;
            return None;
        }
        self.own.remove(at).and_then(|own| own.place)
    }
}
