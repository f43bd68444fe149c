//! Spans of connections that have ended, on their way to a collector: a bounded number waits, and nobody waits for them.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use prometheus_client::registry::Registry;

use super::metrics::{Counter, Family, Labels, label, show};

/// Spans that travel together.
const BATCH: usize = 512;
/// How long the first of them waits for the others.
const DELAY: Duration = Duration::from_secs(1);

/// One connection, as it was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    /// `websocket`, with its route, or `connection`.
    pub name: String,
    /// The trace that it belongs to, as its record has it; absent: one of its own.
    pub trace: Option<Box<str>>,
    /// How long it was.
    pub took: Duration,
    /// When it ended.
    pub ended: SystemTime,
    /// Why it was no good end, if it was none.
    pub fault: Option<String>,
    /// What is known of it.
    pub facts: Vec<(&'static str, Fact)>,
}

/// One fact about a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// In words.
    Text(String),
    /// As a number.
    Number(u64),
}

/// Where spans are left by workers, and taken by the thread that sends them.
#[derive(Debug)]
pub(crate) struct Outbox {
    most: usize,
    state: Mutex<State>,
    news: Condvar,
    sent: Counter,
    dropped: Family<Labels, Counter>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Span>,
    is_over: bool,
}

impl Outbox {
    /// For so many spans that wait.
    #[must_use]
    pub(crate) fn new(most: usize) -> Self {
        let (state, news) = (Mutex::default(), Condvar::new());
        Self { most, state, news, sent: Counter::default(), dropped: Family::default() }
    }

    /// Leaves a span, or counts it where there is no room. Never waits.
    pub(crate) fn leave(&self, span: Span) {
        let mut state = self.state.lock();
        if state.waiting.len() >= self.most || state.is_over {
            drop(state);
            return self.dropped(1, "queue");
        }
        state.waiting.push_back(span);
        if state.waiting.len() == 1 || state.waiting.len() == BATCH {
            self.news.notify_one();
        }
    }

    /// The next spans, and whether no more can come; `None`: that was all. Waits for the first, and a moment for more.
    pub(crate) fn take(&self) -> Option<(Vec<Span>, bool)> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.is_over {
                return None;
            }
            self.news.wait(&mut state);
        }
        self.news.wait_while_for(&mut state, |state| state.waiting.len() < BATCH && !state.is_over, DELAY);
        let count = state.waiting.len().min(BATCH);
        Some((state.waiting.drain(..count).collect(), state.is_over))
    }

    /// What waits is still taken; nothing more comes.
    pub(crate) fn end(&self) {
        self.state.lock().is_over = true;
        self.news.notify_one();
    }

    /// So many have reached the collector.
    pub(crate) fn sent(&self, count: usize) {
        self.sent.inc_by(count as u64);
    }

    /// So many never will: there was no room for them in the `queue`, or their `export` has failed.
    pub(crate) fn dropped(&self, count: usize, why: &str) {
        self.dropped.get_or_create(&label("reason", why)).inc_by(count as u64);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("spans_exported", "Spans that the collector has taken", self.sent.clone());
        show(registry, "spans_dropped", "Spans that it did not get, by reason", &self.dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str) -> Span {
        let (took, ended) = (Duration::ZERO, SystemTime::UNIX_EPOCH);
        Span { name: name.to_owned(), trace: None, took, ended, fault: None, facts: Vec::new() }
    }

    #[test]
    fn as_many_wait_as_there_may_be_and_the_end_takes_them_all() {
        let outbox = Outbox::new(2);
        for name in ["a", "b", "c"] {
            outbox.leave(span(name));
        }
        outbox.end();
        outbox.leave(span("d"));
        assert_eq!(outbox.dropped.get_or_create(&label("reason", "queue")).get(), 2);
        assert_eq!(outbox.take(), Some((vec![span("a"), span("b")], true)));
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn they_travel_in_batches() {
        let outbox = Outbox::new(2 * BATCH);
        (0..BATCH + 3).for_each(|_| outbox.leave(span("a")));
        assert_eq!(outbox.take().map(|(batch, is_over)| (batch.len(), is_over)), Some((BATCH, false)));
        outbox.end();
        assert_eq!(outbox.take().map(|(batch, is_over)| (batch.len(), is_over)), Some((3, true)));
    }
}
