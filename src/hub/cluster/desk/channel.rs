//! What channels bring: messages of rooms, words between gateways, and what scripts say.

use std::sync::Arc;

use redis::{ErrorKind, PushInfo, PushKind, RedisError, Value};

use super::Desk;
use crate::hub::cluster::chapter::Chapter;
use crate::hub::cluster::entry::{self, Entry};
use crate::hub::cluster::flight::{Job, of_script};

/// Bytes of a word between gateways.
pub(super) const WORD: usize = 64 << 10;

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// A room's messages.
    Said,
    /// Words about a room.
    Tell,
}

impl Desk {
    pub(super) fn push(&mut self, push: Option<PushInfo>) {
        let Some(PushInfo { kind, data }) = push.filter(|push| push.kind != PushKind::Disconnection) else {
            return self.lose(&RedisError::from((ErrorKind::Io, "the connection has ended")));
        };
        let mut data = data.into_iter();
        // A pattern stands in front of what has come by it.
        if kind == PushKind::PMessage {
            data.next();
        } else if kind != PushKind::Message {
            return;
        }
        let (Some(channel), Some(text)) = (data.next().and_then(bytes), data.next().and_then(bytes)) else { return };
        let Ok(channel) = String::from_utf8(channel) else { return self.bad() };
        let known = self.channels.get(&channel).cloned();
        match known {
            Some((address, Channel::Said)) => match Entry::of_json(&text, entry::TEXT) {
                Ok(entry) => self.arrived(&address, entry),
                Err(_) => self.bad(),
            },
            Some((address, Channel::Tell)) => self.told(&address, &text),
            None => self.heard(&channel, &text),
        }
    }

    fn told(&mut self, address: &super::Address, text: &[u8]) {
        let Ok(mut fields) = entry::read_json(text, WORD) else { return self.bad() };
        let Some(room) = self.rooms.get_mut(address) else { return };
        let own = |node: &String| **node == *self.shared.node;
        match (fields.remove("attend"), fields.remove("node")) {
            (Some(node), _) if !own(&node) => self.others_changed(address),
            (Some(_), _) => {}
            (None, Some(node)) if !own(&node) => {
                if !room.hall.hear(&node, fields) {
                    self.bad();
                }
            }
            (None, _) => {}
        }
    }

    /// Something for this gateway, or from a script.
    fn heard(&mut self, channel: &str, text: &[u8]) {
        let chapters: Vec<Arc<Chapter>> = self.chapters.values().cloned().collect();
        for chapter in chapters {
            if channel == chapter.node(&self.shared.node) {
                // What one member says to another alone may be as long as what it says to all.
                let Ok(fields) = entry::read_json(text, entry::TEXT) else { return self.bad() };
                if fields.contains_key("beat") {
                    self.beaten();
                } else if !(chapter.hear)(fields) {
                    self.bad();
                }
                return;
            }
            if channel == chapter.law() {
                return self.heard_law(&chapter, text);
            }
            if let Some(room) = channel.strip_prefix(&chapter.say()) {
                return self.script(&chapter, room, text);
            }
        }
    }

    /// The word has come back.
    fn beaten(&mut self) {
        if let Some(sent) = self.canary.take() {
            self.shared.facts.lag.set(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// All gateways hear what a script says; the one that leads adds it.
    fn script(&mut self, chapter: &Arc<Chapter>, room: &str, text: &[u8]) {
        if self.leads.get(chapter.prefix()) != Some(&true) {
            return;
        }
        let said = entry::read_json(text, chapter.text()).and_then(|fields| entry::of_script(fields, chapter.text()));
        let Ok(said) = said else { return self.bad() };
        if !chapter.allows(room) {
            return self.bad();
        }
        let key = self.shared.next_key();
        let mut ask = of_script(key, &self.shared.node, said);
        ask.again = false;
        self.shared.facts.published.add(1);
        self.fly(Job::Add(Arc::clone(chapter), (Arc::clone(chapter.prefix()), room.into()), ask));
    }

    /// Something has come that is not sound.
    pub(super) fn bad(&self) {
        self.shared.facts.bad.add(1);
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
