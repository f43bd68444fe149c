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
pub(super) struct Origins(BTreeMap<MessageId, Origin>);

impl Origins {
    /// A message is shown here under this id.
    pub(super) fn add(&mut self, id: MessageId, origin: Origin) {
        self.0.insert(id, origin);
        while self.0.len() > MOST {
            self.0.pop_first();
        }
    }

    /// It has its place now.
    pub(super) fn place(&mut self, id: MessageId, place: MessageId) {
        if let Some(origin) = self.0.get_mut(&id) {
            origin.place = Some(place);
        }
    }

    /// The place of the message that has this id here, if it has one.
    pub(super) fn place_of(&self, id: MessageId) -> Option<MessageId> {
        self.0.get(&id).map_or_else(|| Some(id).filter(|id| !is_local(id.0)), |origin| origin.place)
    }

    /// The id here of the message that has this place.
    pub(super) fn shown(&self, place: MessageId) -> MessageId {
        let known = self.0.iter().find(|(_, origin)| origin.place == Some(place));
        known.map_or(place, |(id, _)| *id)
    }

    /// Whether ids alone tell what somebody has seen who knows this one.
    pub(super) fn are_plain(&self, since: MessageId) -> bool {
        self.0.is_empty() && !is_local(since.0)
    }

    /// Whether somebody who knows `since` has seen the message that has this id here.
    pub(super) fn has_seen(&self, id: MessageId, since: MessageId) -> bool {
        if !is_local(since.0) {
            return self.rank(id).is_some_and(|rank| rank <= since);
        }
        if self.0.contains_key(&since) {
            // This gateway gave it out: its order is the one that was seen.
            return id <= since;
        }
        let first = self.0.values().find(|origin| origin.seen.is_some_and(|(seen, _)| seen == since));
        let Some(Origin { node, seen: Some((_, after)), .. }) = first else { return false };
        let there = self.0.get(&id).filter(|origin| origin.node == *node).and_then(|origin| origin.seen);
        self.rank(id).is_some_and(|rank| rank <= *after) || there.is_some_and(|(seen, _)| seen <= since)
    }

    /// Where a message stands among all gateways: whoever knows a later place has seen it.
    fn rank(&self, id: MessageId) -> Option<MessageId> {
        let Some(origin) = self.0.get(&id) else { return Some(id) };
        match origin.seen {
            // It had its place before, and Redis has forgotten it meanwhile.
            Some((seen, _)) if !is_local(seen.0) => Some(seen),
            _ => origin.place,
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
        let seen = |since| [5, 7, 20, 21].map(|time| here.has_seen(id(time), since));
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
        let seen = |since| [id(5), local(6), local(9), id(30)].map(|id| here.has_seen(id, since));
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
        assert!(here.has_seen(id(20), id(5)) && !here.has_seen(id(20), id(3)));
        assert!(
            !here.are_plain(id(1)) && Origins::default().are_plain(id(1)) && !Origins::default().are_plain(local(1))
        );
    }
}
