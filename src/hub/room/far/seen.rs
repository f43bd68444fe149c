//! What somebody has seen who knows one id of a room that several gateways share, whichever of them gave it that id.
//!
//! Most messages have one id everywhere, and all before it were seen by whoever has seen it. A gateway that is apart gives
//! out ids of its own: those messages have their place later, and are known by it elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::hub::cluster::is_local;
use crate::hub::id::MessageId;

/// Messages of which something is remembered at most: beyond it, the oldest are as if all had seen them by their ids.
const MOST: usize = 20_000;

/// What is known of a message that has more than one id.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Its place for all gateways; absent while it has none.
    pub(crate) place: Option<MessageId>,
    /// The gateway that took it in.
    pub(crate) node: Arc<str>,
    /// The id that its members saw, and up to where they had seen the rest by then.
    pub(crate) seen: Option<(MessageId, MessageId)>,
}

/// Messages that have more than one id, by the one that they have here.
#[derive(Debug, Default)]
pub(super) struct Origins {
    known: BTreeMap<MessageId, Origin>,
    /// The latest place of any that is forgotten with its message: whoever knows less may have missed it.
    gone: MessageId,
}

/// What somebody has seen, as far as the one id tells that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// All that has a place up to this one.
    Upto(MessageId),
    /// All that this gateway has shown up to this id.
    Here(MessageId),
    /// What was said on another gateway, which was apart, up to the first id, and of all else what has a place up to the
    /// second.
    There(&'a Arc<str>, MessageId, MessageId),
    /// Nobody knows where that was.
    Unknown,
}

impl Origins {
    /// A message is shown here under this id.
    pub(super) fn add(&mut self, id: MessageId, origin: Origin) {
        self.known.insert(id, origin);
        while self.known.len() > MOST {
            self.forget_first();
        }
    }

    /// Messages up to this id are not kept any more.
    pub(super) fn forget(&mut self, floor: MessageId) {
        while self.known.first_key_value().is_some_and(|(id, _)| *id <= floor) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let first = self.known.first_key_value().map(|(id, _)| *id);
        self.gone = first.map_or(self.gone, |id| self.gone.max(self.rank(id).unwrap_or(id)));
        self.known.pop_first();
    }

    /// Whoever has seen all up to this place has missed nothing that is forgotten, where what has an id up to `floor` is.
    pub(super) fn gone(&self, floor: MessageId) -> MessageId {
        self.gone.max(floor)
    }

    /// It has its place now.
    pub(super) fn place(&mut self, id: MessageId, place: MessageId) {
        if let Some(origin) = self.known.get_mut(&id) {
            origin.place = Some(place);
        }
    }

    /// The place of the message that has this id here, if it has one.
    pub(super) fn place_of(&self, id: MessageId) -> Option<MessageId> {
        self.known.get(&id).map_or_else(|| Some(id).filter(|id| !is_local(id.0)), |origin| origin.place)
    }

    /// The id here of the message that has this place.
    pub(super) fn shown(&self, place: MessageId) -> MessageId {
        let known = self.known.iter().find(|(_, origin)| origin.place == Some(place));
        known.map_or(place, |(id, _)| *id)
    }

    /// Whether ids alone tell what somebody has seen who knows this one.
    pub(super) fn are_plain(&self, since: MessageId) -> bool {
        self.known.is_empty() && !is_local(since.0) && since >= self.gone
    }

    /// What somebody has seen who knows this id.
    pub(super) fn seen(&self, since: MessageId) -> Seen<'_> {
        if !is_local(since.0) {
            return Seen::Upto(since);
        }
        if self.known.contains_key(&since) {
            // This gateway gave it out: its order is the one that was seen.
            return Seen::Here(since);
        }
        let first = self.known.values().find_map(|origin| {
            let (_, after) = origin.seen.filter(|(seen, _)| *seen == since)?;
            Some(Seen::There(&origin.node, since, after))
        });
        first.unwrap_or(Seen::Unknown)
    }

    /// Whether the message that has this id here is among what somebody has seen.
    pub(super) fn has_seen(&self, id: MessageId, seen: Seen<'_>) -> bool {
        let upto = |place| self.rank(id).is_some_and(|rank| rank <= place);
        match seen {
            Seen::Upto(place) => upto(place),
            Seen::Here(since) => id <= since,
            Seen::There(node, since, after) => {
                let there = self.known.get(&id).filter(|origin| origin.node == *node).and_then(|origin| origin.seen);
                upto(after) || there.is_some_and(|(seen, _)| seen <= since)
            }
            Seen::Unknown => false,
        }
    }

    /// Where a message stands among all gateways: whoever knows a later place has seen it.
    pub(super) fn rank(&self, id: MessageId) -> Option<MessageId> {
        let Some(origin) = self.known.get(&id) else { return Some(id) };
        match origin.seen {
            // It had its place before, and Redis has forgotten it meanwhile.
            Some((seen, _)) if !is_local(seen.0) => Some(seen),
            _ => origin.place,
        }
    }
}

impl Seen<'_> {
    /// Up to where nothing is missing.
    pub(super) const fn whole(self) -> MessageId {
        match self {
            Self::Upto(id) | Self::Here(id) | Self::There(_, _, id) => id,
            Self::Unknown => MessageId(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(time: u64) -> MessageId {
        MessageId(time << 16)
    }

    const fn local(time: u64) -> MessageId {
        MessageId(time << 16 | 0x8000)
    }

    fn origin(place: Option<MessageId>, node: &str, seen: Option<(MessageId, MessageId)>) -> Origin {
        Origin { place, node: node.into(), seen }
    }

    #[test]
    fn who_was_on_the_gateway_that_was_apart_has_seen_its_messages_and_no_others() {
        // Elsewhere 5 was said before the break, 7 during it, and on return 20 and 21, known at "b" as 6 and 8.
        let mut here = Origins::default();
        here.add(id(20), origin(Some(id(20)), "b", Some((local(6), id(5)))));
        here.add(id(21), origin(Some(id(21)), "b", Some((local(8), id(5)))));
        let seen = |since| [5, 7, 20, 21].map(|time| here.has_seen(id(time), here.seen(since)));
        assert_eq!(seen(local(6)), [true, false, true, false]);
        assert_eq!(seen(local(8)), [true, false, true, true]);
        assert_eq!(seen(id(7)), [true, true, false, false]);
        assert_eq!(seen(id(20)), [true, true, true, false]);
        assert_eq!(seen(local(9)), [false; 4], "nobody knows where that was");
    }

    #[test]
    fn on_the_gateway_that_was_apart_its_own_order_holds() {
        let mut here = Origins::default();
        here.add(local(6), origin(None, "b", None));
        here.add(local(9), origin(Some(id(7)), "a", None));
        here.place(local(6), id(20));
        let seen = |since| [id(5), local(6), local(9), id(30)].map(|id| here.has_seen(id, here.seen(since)));
        assert_eq!(seen(local(6)), [true, true, false, false]);
        assert_eq!(seen(id(8)), [true, false, true, false], "somebody from elsewhere");
        assert_eq!(seen(id(25)), [true, true, true, false]);
        assert_eq!(
            [local(6), local(9), local(3), id(5)].map(|id| here.place_of(id)),
            [Some(id(20)), Some(id(7)), None, Some(id(5))]
        );
        assert_eq!([20, 7, 5].map(|place| here.shown(id(place))), [local(6), local(9), id(5)]);
    }

    #[test]
    fn what_redis_forgot_and_got_again_keeps_its_first_place() {
        let mut here = Origins::default();
        here.add(id(20), origin(Some(id(20)), "a", Some((id(4), id(0)))));
        assert!(here.has_seen(id(20), here.seen(id(5))) && !here.has_seen(id(20), here.seen(id(3))));
        assert!(
            !here.are_plain(id(1)) && Origins::default().are_plain(id(1)) && !Origins::default().are_plain(local(1))
        );
    }

    #[test]
    fn what_is_forgotten_with_its_message_is_known_to_be_gone() {
        let mut here = Origins::default();
        here.add(local(6), origin(Some(id(20)), "b", None));
        here.add(local(30), origin(Some(id(40)), "b", None));
        assert_eq!(here.gone(id(3)), id(3));
        here.forget(id(7));
        assert_eq!((here.known.len(), here.gone(id(7))), (1, id(20)));
        here.forget(id(31));
        // Whoever knows less than the last of their places may have missed one: that is no plain matter.
        assert_eq!((here.are_plain(id(39)), here.are_plain(id(40))), (false, true));
        assert_eq!((here.seen(local(6)), here.seen(local(6)).whole()), (Seen::Unknown, MessageId(0)));
    }
}
