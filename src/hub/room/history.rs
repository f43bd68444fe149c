//! What was said in a room, as far as it is remembered: bounded in messages and in bytes, and known for its gaps.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::hub::id::{MemberId, MessageId};
use crate::hub::language::plain;
use crate::hub::record::Record;

/// The messages of one room, oldest first.
#[derive(Debug)]
pub(super) struct History {
    kept: VecDeque<Kept>,
    weight: usize,
    /// The newest message, kept or not.
    last: MessageId,
    /// Whether anything was said since the room is there.
    has_last: bool,
    /// Up to here messages may be missing: they were dropped, or the room was not there to keep them.
    floor: MessageId,
    /// Whether nobody else gives out ids of this room: one that is later than all of them is of another life of it.
    is_alone: bool,
    /// What members have said with a word of their own.
    references: HashMap<(MemberId, Arc<str>), MessageId>,
}

#[derive(Debug)]
struct Kept {
    record: Arc<Record>,
    /// In the plain language; there once somebody needed it.
    plain: Option<Bytes>,
}

/// Which messages somebody wants: the newest of those that fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Only later ones; what is missing of them is a gap.
    pub(crate) since: Option<MessageId>,
    /// Only earlier ones.
    pub(crate) before: Option<MessageId>,
    /// So many at most.
    pub(crate) most: usize,
    /// So many bytes at most, as far as can be told before they are encoded.
    pub(crate) budget: usize,
}

/// What there is of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Between these two, messages are gone.
    pub(crate) gap: Option<(MessageId, MessageId)>,
    /// Oldest first.
    pub(crate) records: Vec<Arc<Record>>,
    /// Whether there are older ones that were wanted and did not fit.
    pub(crate) more: bool,
}

/// What JSON puts around a text, and its own quoting, as far as most texts go.
const AROUND: usize = 140;

impl History {
    /// Without memory of what was said up to this id.
    pub(super) fn new(beginning: MessageId) -> Self {
        Self {
            kept: VecDeque::new(),
            weight: 0,
            last: MessageId::default(),
            has_last: false,
            floor: beginning,
            is_alone: false,
            references: HashMap::new(),
        }
    }

    /// The same, of a room that gives out its ids by itself or not.
    pub(super) fn alone(self, is_alone: bool) -> Self {
        Self { is_alone, ..self }
    }

    /// What a store had of it, oldest first; ids that do not rise are left out.
    pub(super) fn restore(&mut self, records: Vec<Record>) {
        let Some(oldest) = records.first() else { return };
        self.floor = MessageId(oldest.id.0.saturating_sub(1));
        self.last = self.floor;
        for record in records.into_iter().map(Arc::new) {
            if record.id > self.last {
                self.push(record, None);
            }
        }
    }

    /// What was said before all that is kept, oldest first, by the only store there is: what it does not have was not said,
    /// unless it lets go of its oldest.
    pub(super) fn precede(&mut self, records: Vec<Record>, bounds: (usize, usize)) {
        if self.kept.is_empty() && !self.has_last {
            (self.last, self.floor) = (MessageId(0), MessageId(0));
        }
        if let Some(oldest) = records.first().filter(|_| records.len() >= bounds.0) {
            // It keeps no more than that: there may have been others.
            self.floor = self.floor.max(MessageId(oldest.id.0.saturating_sub(1)));
        }
        let kept = std::mem::take(&mut self.kept);
        let (last, has_last) = (self.last, self.has_last);
        let first = kept.front().map_or(MessageId(u64::MAX), |kept| kept.record.id);
        for record in records.into_iter().map(Arc::new) {
            let is_double = record.reference.is_some() && self.said(record.from, record.reference.as_ref()).is_some();
            if record.id < first && !is_double {
                self.push(record, None);
            }
        }
        if has_last {
            (self.last, self.has_last) = (last, true);
        }
        self.kept.extend(kept);
        self.trim(bounds);
    }

    /// The newest message; `None` before the first.
    pub(super) fn last(&self) -> Option<MessageId> {
        self.has_last.then_some(self.last)
    }

    /// Behind which id the next one has to be.
    pub(super) const fn end(&self) -> MessageId {
        self.last
    }

    /// Up to here messages may be missing.
    pub(super) const fn floor(&self) -> MessageId {
        self.floor
    }

    /// What this member has said with this word, as far as it is remembered.
    pub(super) fn said(&self, from: MemberId, reference: Option<&Arc<str>>) -> Option<MessageId> {
        self.references.get(&(from, Arc::clone(reference?))).copied()
    }

    /// Keeps a message that has its place at the end, within so many messages and bytes.
    pub(super) fn keep(&mut self, record: Arc<Record>, plain: Option<Bytes>, (most, size): (usize, usize)) {
        let id = record.id;
        if !self.has_last {
            // Whoever gives the ids may have another clock: the first one is where this memory begins at the latest.
            self.floor = self.floor.min(MessageId(id.0.saturating_sub(1)));
        }
        if most == 0 || record.weight() > size {
            (self.last, self.has_last, self.floor) = (id, true, id);
            return;
        }
        self.push(record, plain);
        self.trim((most, size));
    }

    fn push(&mut self, record: Arc<Record>, plain: Option<Bytes>) {
        (self.last, self.has_last) = (record.id, true);
        self.weight += record.weight();
        if let Some(reference) = &record.reference {
            self.references.insert((record.from, Arc::clone(reference)), record.id);
        }
        self.kept.push_back(Kept { record, plain });
    }

    /// Messages in it.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Forgets one message, which is no gap; whether it was there.
    pub(super) fn erase(&mut self, id: MessageId) -> bool {
        let at = self.kept.binary_search_by_key(&id, |kept| kept.record.id);
        let Some(Kept { record, .. }) = at.ok().and_then(|at| self.kept.remove(at)) else { return false };
        self.weight -= record.weight();
        self.forget_reference(&record);
        true
    }

    /// Drops the oldest until the rest is within these bounds.
    pub(super) fn trim(&mut self, (most, size): (usize, usize)) {
        while self.kept.len() > most || self.weight > size {
            if !self.forget_oldest() {
                return;
            }
        }
    }

    /// Drops what is older than this.
    pub(super) fn forget_before(&mut self, oldest: MessageId) {
        while self.kept.front().is_some_and(|kept| kept.record.id < oldest) {
            self.forget_oldest();
        }
    }

    /// `false`: there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some(Kept { record, .. }) = self.kept.pop_front() else { return false };
        self.weight -= record.weight();
        self.floor = self.floor.max(record.id);
        self.forget_reference(&record);
        true
    }

    fn forget_reference(&mut self, record: &Record) {
        if let Some(reference) = &record.reference {
            self.references.remove(&(record.from, Arc::clone(reference)));
        }
    }

    /// The frames of the plain language are to be made anew.
    pub(super) fn forget_frames(&mut self) {
        self.kept.iter_mut().for_each(|kept| kept.plain = None);
    }

    /// The newest messages in the plain language that fit into `budget` bytes, oldest first.
    pub(super) fn frames(&mut self, budget: usize, escape: bool) -> Vec<Bytes> {
        let mut left = budget;
        let mut frames = Vec::new();
        for Kept { record, plain } in self.kept.iter_mut().rev() {
            let frame = plain.get_or_insert_with(|| plain::said(&record.name, &record.text, escape));
            if frame.len() > left {
                break;
            }
            left -= frame.len();
            frames.push(frame.clone());
        }
        frames.reverse();
        frames
    }

    /// Looks for messages; see [`Wanted`].
    pub(super) fn find(&self, wanted: &Wanted) -> Found {
        if wanted.since.is_some_and(|since| self.is_alone && since > self.last.max(self.floor)) {
            // The clock was set back, or the last of it was not written before an end: what was missed cannot be told.
            let all = self.find(&Wanted { since: None, ..*wanted });
            return Found { gap: self.gap(&Wanted { since: Some(MessageId(0)), ..*wanted }, 0), ..all };
        }
        let start = wanted.since.map(|since| since.max(self.floor));
        let from = start.map_or(0, |start| self.kept.partition_point(|kept| kept.record.id <= start));
        let end =
            wanted.before.map_or(self.kept.len(), |before| self.kept.partition_point(|kept| kept.record.id < before));
        let mut left = wanted.budget;
        let fits = |record: &&Arc<Record>| {
            let size = record.weight() + AROUND;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let newest = self.kept.range(from.min(end)..end).rev().map(|kept| &kept.record);
        let mut records: Vec<Arc<Record>> = newest.take(wanted.most).take_while(fits).cloned().collect();
        records.reverse();
        let more = records.len() < end.saturating_sub(from);
        Found { gap: self.gap(wanted, from), records, more }
    }

    /// The newest of the messages that somebody has not seen; there is a gap before them unless all that it may have
    /// missed is kept: `is_whole`.
    pub(super) fn find_unseen(&self, wanted: &Wanted, is_whole: bool, has_seen: impl Fn(MessageId) -> bool) -> Found {
        let mut left = wanted.budget;
        let fits = |record: &&Arc<Record>| {
            let size = record.weight() + AROUND;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let before = |id: MessageId| wanted.before.is_none_or(|before| id < before);
        let unseen = || {
            self.kept.iter().rev().map(|kept| &kept.record).filter(|record| before(record.id) && !has_seen(record.id))
        };
        let mut records: Vec<Arc<Record>> = unseen().take(wanted.most).take_while(fits).cloned().collect();
        records.reverse();
        let more = records.len() < unseen().count();
        let gap = wanted.since.filter(|_| !is_whole).map(|since| {
            let next = self.kept.front().map_or(MessageId(self.floor.0.saturating_add(1)), |kept| kept.record.id);
            (since.min(MessageId(next.0.saturating_sub(1))), next)
        });
        Found { gap: gap.filter(|(after, _)| before(*after)), records, more }
    }

    /// Messages behind `since` that are not there any more; `from` is the place of the first that is.
    fn gap(&self, wanted: &Wanted, from: usize) -> Option<(MessageId, MessageId)> {
        let since = wanted.since.filter(|since| *since < self.floor)?;
        let next = self.kept.get(from).map_or(MessageId(self.floor.0.saturating_add(1)), |kept| kept.record.id);
        let end = wanted.before.unwrap_or(MessageId(u64::MAX));
        (since < end).then_some((since, next.min(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64, text: &str) -> Arc<Record> {
        let reference = Some(Arc::from(format!("r{id}")));
        Arc::new(Record { id: MessageId(id), from: MemberId(1), name: "n".into(), text: text.into(), reference })
    }

    fn history(ids: std::ops::RangeInclusive<u64>, most: usize) -> History {
        let mut history = History::new(MessageId(9));
        ids.for_each(|id| history.keep(record(id, "x"), None, (most, 1000)));
        history
    }

    fn ids(found: &Found) -> Vec<u64> {
        found.records.iter().map(|record| record.id.0).collect()
    }

    const ALL: Wanted = Wanted { since: None, before: None, most: 100, budget: 100_000 };

    fn since(id: u64) -> Wanted {
        Wanted { since: Some(MessageId(id)), ..ALL }
    }

    #[test]
    fn it_is_bounded_in_count_and_bytes() {
        let mut history = History::new(MessageId(0));
        for (id, text) in [(1, "aaaa"), (2, "bbbb"), (3, "cccc"), (4, "dd"), (5, "ee")] {
            history.keep(record(id, text), None, (3, 36));
        }
        assert_eq!(ids(&history.find(&ALL)), [3, 4, 5]);
        history.keep(record(6, &"x".repeat(30)), None, (3, 36));
        assert_eq!((ids(&history.find(&ALL)), history.last()), (vec![3, 4, 5], Some(MessageId(6))));
        history.keep(record(7, &"x".repeat(25)), None, (3, 36));
        assert_eq!((ids(&history.find(&ALL)), history.references.len(), history.weight), (vec![7], 1, 34));
    }

    #[test]
    fn who_comes_back_gets_what_was_missed_or_a_gap() {
        let history = history(10..=20, 5);
        let found = history.find(&since(17));
        assert_eq!((ids(&found), found.gap, found.more), (vec![18, 19, 20], None, false));
        assert_eq!(history.find(&since(15)).gap, None);
        let found = history.find(&since(14));
        assert_eq!((ids(&found), found.gap), (vec![16, 17, 18, 19, 20], Some((MessageId(14), MessageId(16)))));
        assert!(ids(&history.find(&since(20))).is_empty());
        assert_eq!(history.find(&since(3)).gap, Some((MessageId(3), MessageId(16))));
    }

    #[test]
    fn a_room_that_is_new_does_not_know_what_was() {
        let history = History::new(MessageId(9));
        assert_eq!(history.find(&since(3)).gap, Some((MessageId(3), MessageId(10))));
        assert_eq!((history.find(&since(9)).gap, history.last()), (None, None));
    }

    #[test]
    fn an_id_that_was_never_given_out_is_a_gap_before_everything() {
        let history = history(10..=20, 3).alone(true);
        let found = history.find(&since(21));
        assert_eq!((ids(&found), found.gap), (vec![18, 19, 20], Some((MessageId(0), MessageId(18)))));
        let page = history.find(&Wanted { before: Some(MessageId(19)), ..since(30) });
        assert_eq!((ids(&page), page.gap), (vec![18], Some((MessageId(0), MessageId(18)))));
        let found = history.find(&since(20));
        assert_eq!((ids(&found), found.gap), (vec![], None));
        let empty = History::new(MessageId(9)).alone(true);
        assert_eq!([9, 10].map(|id| empty.find(&since(id)).gap), [None, Some((MessageId(0), MessageId(10)))]);
        // Where others give out ids, too, it is only not here yet.
        let found = history.alone(false).find(&since(21));
        assert_eq!((ids(&found), found.gap), (vec![], None));
    }

    #[test]
    fn another_clock_may_be_slow() {
        let mut history = History::new(MessageId(1000));
        history.keep(record(10, "x"), None, (5, 1000));
        let found = history.find(&since(9));
        assert_eq!((ids(&found), found.gap, history.last()), (vec![10], None, Some(MessageId(10))));
        assert_eq!(history.find(&since(8)).gap, Some((MessageId(8), MessageId(10))));
    }

    #[test]
    fn what_was_never_kept_is_a_gap_too() {
        let mut history = history(10..=12, 5);
        history.keep(record(13, &"x".repeat(2000)), None, (5, 1000));
        history.keep(record(14, "x"), None, (5, 1000));
        let found = history.find(&since(11));
        assert_eq!((ids(&found), found.gap), (vec![14], Some((MessageId(11), MessageId(14)))));
        assert_eq!(ids(&history.find(&ALL)), [10, 11, 12, 14]);
    }

    #[test]
    fn pages_lead_back_to_the_beginning() {
        let history = history(10..=20, 100);
        let page = |before| history.find(&Wanted { before: Some(MessageId(before)), most: 4, ..ALL });
        assert_eq!((ids(&page(21)), page(21).more), (vec![17, 18, 19, 20], true));
        assert_eq!((ids(&page(13)), page(13).more), (vec![10, 11, 12], false));
        assert_eq!((ids(&page(3)), page(3).more), (vec![], false));
        let small = history.find(&Wanted { budget: 300, ..since(12) });
        assert_eq!((ids(&small), small.more, small.gap), (vec![19, 20], true, None));
    }

    #[test]
    fn what_is_erased_is_no_gap() {
        let mut history = history(10..=14, 100);
        assert!(history.erase(MessageId(12)) && !history.erase(MessageId(12)) && history.erase(MessageId(10)));
        assert_eq!((ids(&history.find(&ALL)), history.find(&since(9)).gap), (vec![11, 13, 14], None));
        assert_eq!((history.len(), history.references.len(), history.weight), (3, 3, 30));
        assert!(history.erase(MessageId(14)));
        assert_eq!(history.last(), Some(MessageId(14)));
    }

    #[test]
    fn what_a_store_had_goes_on() {
        let mut history = History::new(MessageId(100));
        let records: Vec<Record> = [20, 30, 30, 40].iter().map(|id| (*record(*id, "x")).clone()).collect();
        history.restore(records);
        assert_eq!((ids(&history.find(&ALL)), history.last()), (vec![20, 30, 40], Some(MessageId(40))));
        assert_eq!(history.said(MemberId(1), Some(&"r30".into())), Some(MessageId(30)));
        assert_eq!(history.find(&since(30)).gap, None);
        assert_eq!(history.find(&since(5)).gap, Some((MessageId(5), MessageId(20))));
    }
}
