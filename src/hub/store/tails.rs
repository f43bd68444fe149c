//! The newest messages of every room, in memory: what a room that is made again begins with.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::Bounds;
use super::queue::Write;
use crate::hub::id::MessageId;
use crate::hub::record::Record;

/// By room; bounded in each, and in rooms once they are pruned.
#[derive(Debug, Default)]
pub(super) struct Tails {
    rooms: HashMap<Arc<str>, Tail>,
    /// Those that are not for everybody, with or without messages.
    guarded: HashSet<Arc<str>>,
}

#[derive(Debug, Default)]
struct Tail {
    records: VecDeque<Record>,
    /// Of their texts.
    bytes: usize,
    /// Messages and bytes that its room keeps, as far as it has told.
    own: Option<(usize, usize)>,
    /// Rooms of this name that are there.
    held: usize,
}

impl Tails {
    /// A message is the newest of its room; the room's name as it is held here. `None`: the room does not keep it.
    pub(super) fn keep(&mut self, room: &str, record: Record, bounds: &Bounds) -> Option<Arc<str>> {
        let (most, size) = self.limit(room, bounds);
        if most == 0 || record.text.len() > size {
            return None;
        }
        let name = self.rooms.get_key_value(room).map_or_else(|| Arc::from(room), |(name, _)| Arc::clone(name));
        self.rooms.entry(Arc::clone(&name)).or_default().push(record, (most, size));
        Some(name)
    }

    /// Messages and bytes of text that a room keeps.
    pub(super) fn limit(&self, room: &str, bounds: &Bounds) -> (usize, usize) {
        let own = self.rooms.get(room).and_then(|tail| tail.own);
        own.map_or((bounds.messages, bounds.bytes), |(most, size)| (most.min(bounds.messages), size.min(bounds.bytes)))
    }

    /// A room that is there keeps so many.
    pub(super) fn bound(&mut self, room: &str, own: (usize, usize)) {
        if let Some(tail) = self.rooms.get_mut(room) {
            tail.own = Some(own);
            tail.trim(own);
        }
    }

    /// Forgets a message.
    pub(super) fn erase(&mut self, room: &str, id: MessageId) {
        let Some(tail) = self.rooms.get_mut(room) else { return };
        if let Some(at) = tail.records.iter().rposition(|record| record.id == id)
            && let Some(record) = tail.records.remove(at)
        {
            tail.bytes -= record.text.len();
        }
    }

    /// The newest of a room that are not older than `oldest`, oldest first.
    pub(super) fn newest(&self, room: &str, most: usize, oldest: MessageId) -> Vec<Record> {
        let Some(tail) = self.rooms.get(room) else { return Vec::new() };
        let from = tail.records.len().saturating_sub(most);
        tail.records.range(from..).filter(|record| record.id >= oldest).cloned().collect()
    }

    /// A room is there.
    pub(super) fn hold(&mut self, room: &str) {
        match self.rooms.get_mut(room) {
            Some(tail) => tail.held += 1,
            None => drop(self.rooms.insert(room.into(), Tail { held: 1, ..Tail::default() })),
        }
    }

    /// It is there no more.
    pub(super) fn release(&mut self, room: &str) {
        let Some(tail) = self.rooms.get_mut(room) else { return };
        tail.held = tail.held.saturating_sub(1);
        if tail.held == 0 && tail.records.is_empty() {
            self.rooms.remove(room);
        }
    }

    /// Whether a room is not for everybody; whether that is new.
    pub(super) fn guard(&mut self, room: &str, is_guarded: bool) -> bool {
        match is_guarded {
            true => !self.guarded.contains(room) && self.guarded.insert(room.into()),
            false => self.guarded.remove(room),
        }
    }

    /// Whether a room is not for everybody.
    pub(super) fn is_guarded(&self, room: &str) -> bool {
        self.guarded.contains(room)
    }

    /// The rooms that are not.
    pub(super) fn guarded(&self) -> HashSet<Arc<str>> {
        self.guarded.clone()
    }

    /// Forgets what is older than `oldest`, and of more rooms than there may be those that were silent longest, but none
    /// that is there: whoever makes room after room drives out nobody's but such. The rooms that are gone.
    pub(super) fn prune(&mut self, oldest: MessageId, rooms: usize) -> Vec<Arc<str>> {
        for tail in self.rooms.values_mut() {
            while tail.records.front().is_some_and(|record| record.id < oldest) {
                tail.pop();
            }
        }
        let more = self.rooms.values().filter(|tail| !tail.records.is_empty()).count().saturating_sub(rooms);
        let dormant = self.rooms.iter().filter(|(_, tail)| tail.held == 0);
        let mut by_silence: Vec<_> = dormant.map(|(name, tail)| (tail.last(), Arc::clone(name))).collect();
        by_silence.sort_unstable();
        let empty = by_silence.partition_point(|(last, _)| last.0 == 0);
        let gone: Vec<_> = by_silence.into_iter().take(empty + more).map(|(_, name)| name).collect();
        for name in &gone {
            self.rooms.remove(name);
        }
        gone
    }

    /// The rooms that there are.
    pub(super) fn rooms(&self) -> Vec<Arc<str>> {
        self.rooms.keys().cloned().collect()
    }

    /// All of a room, to be written in place of what the file has of it.
    pub(super) fn whole(&self, room: &Arc<str>) -> Vec<Write> {
        let records = self.rooms.get(room).into_iter().flat_map(|tail| &tail.records);
        let keep = records.map(|record| Write::Keep(Arc::clone(room), record.clone()));
        std::iter::once(Write::Clear(Arc::clone(room))).chain(keep).collect()
    }
}

impl Tail {
    fn push(&mut self, record: Record, bounds: (usize, usize)) {
        self.bytes += record.text.len();
        self.records.push_back(record);
        self.trim(bounds);
    }

    fn trim(&mut self, (most, size): (usize, usize)) {
        while self.records.len() > most || self.bytes > size {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.text.len();
        }
    }

    /// The newest message; 0: there is none.
    fn last(&self) -> MessageId {
        self.records.back().map_or(MessageId(0), |record| record.id)
    }
}
