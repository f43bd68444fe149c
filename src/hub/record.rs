//! One message, whatever language it is told in: before it has its place, and with it.

use std::sync::Arc;

use super::id::{MemberId, MessageId};

/// What somebody wants to say, checked, and without a place in the room's order.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Who says it.
    pub(crate) from: MemberId,
    /// The connection on this gateway that says it, by its number; 0 when it is on another.
    pub(crate) user: u64,
    /// What its speaker is called.
    pub(crate) name: Arc<str>,
    /// What is said.
    pub(crate) text: Arc<str>,
    /// The client's own word for it: what comes twice with it is said once.
    pub(crate) reference: Option<Arc<str>>,
}

/// One message of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its place, and its time.
    pub(crate) id: MessageId,
    /// Who said it.
    pub(crate) from: MemberId,
    /// What its speaker was called.
    pub(crate) name: Arc<str>,
    /// What was said.
    pub(crate) text: Arc<str>,
    /// The client's own word for it.
    pub(crate) reference: Option<Arc<str>>,
}

impl Draft {
    /// It has its place.
    #[must_use]
    pub(crate) fn placed(self, id: MessageId) -> Record {
        let Self { from, name, text, reference, .. } = self;
        Record { id, from, name, text, reference }
    }
}

impl Record {
    /// What it counts in a history that is bounded in bytes: its texts, and what stands around them.
    #[must_use]
    pub(crate) fn weight(&self) -> usize {
        self.text.len() + self.name.len() + 8
    }
}
