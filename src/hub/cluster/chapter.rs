//! One hub's part of the cluster: its prefix, its bounds, and the names of its keys and channels.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::entry::Fields;

/// Messages that a stream keeps at least, however short the history is: what is said during a break has to fit.
const LENGTH: usize = 100;

/// One hub among several gateways.
pub(crate) struct Chapter {
    /// What its keys and channels begin with.
    prefix: Arc<str>,
    /// Messages that newcomers get to see.
    pub(super) history: usize,
    /// For how long the stream of a silent room is kept; zero: for ever.
    pub(super) age: Duration,
    /// Bytes of one text.
    pub(super) text: usize,
    /// Whether there may be a room of this name.
    pub(super) allows: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Another gateway tells this one something that concerns no room.
    pub(super) hear: Box<dyn Fn(Fields) + Send + Sync>,
}

impl fmt::Debug for Chapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chapter").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Chapter {
    /// A hub under this prefix, with the bounds of its rooms.
    pub(crate) fn new(prefix: &str, (history, age, text): (usize, Duration, usize)) -> Self {
        Self { prefix: prefix.into(), history, age, text, allows: Box::new(|_| true), hear: Box::new(|_| ()) }
    }

    /// With a rule for the names of rooms.
    pub(crate) fn allowing(mut self, allows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.allows = Box::new(allows);
        self
    }

    /// With somebody who listens to other gateways.
    pub(crate) fn hearing(mut self, hear: impl Fn(Fields) + Send + Sync + 'static) -> Self {
        self.hear = Box::new(hear);
        self
    }

    /// What its keys and channels begin with.
    pub(crate) const fn prefix(&self) -> &Arc<str> {
        &self.prefix
    }

    /// Messages that a stream keeps.
    pub(super) fn length(&self) -> usize {
        self.history.max(LENGTH)
    }

    /// A room's stream.
    pub(super) fn stream(&self, room: &str) -> String {
        format!("{}:room:{room}", self.prefix)
    }

    /// Where a room's messages are told.
    pub(super) fn said(&self, room: &str) -> String {
        format!("{}:said:{room}", self.prefix)
    }

    /// Where gateways tell one another of a room.
    pub(super) fn tell(&self, room: &str) -> String {
        format!("{}:tell:{room}", self.prefix)
    }

    /// Who is in a room, by gateway.
    pub(super) fn who(&self, room: &str) -> String {
        format!("{}:who:{room}", self.prefix)
    }

    /// Where scripts say something, for all rooms: what the channels begin with.
    pub(super) fn say(&self) -> String {
        format!("{}:say:", self.prefix)
    }

    /// Where scripts leave what must be said.
    pub(super) fn inlet(&self) -> String {
        format!("{}:in", self.prefix)
    }

    /// Who takes in what scripts say.
    pub(super) fn lease(&self) -> String {
        format!("{}:lead", self.prefix)
    }

    /// Where one gateway is told something.
    pub(super) fn node(&self, node: &str) -> String {
        format!("{}:node:{node}", self.prefix)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::hub::cluster) fn chapter() -> Arc<Chapter> {
        Arc::new(Chapter::new("t", (50, Duration::ZERO, 4096)))
    }

    #[test]
    fn names_begin_with_the_prefix() {
        let chapter = chapter();
        assert_eq!((chapter.said("a b"), chapter.inlet()), ("t:said:a b".to_owned(), "t:in".to_owned()));
        assert_eq!(chapter.length(), LENGTH);
    }
}
