//! Ledgers of several gateways around one stream that comes, goes and forgets.

use proptest::prelude::*;

use super::*;
use crate::hub::cluster::entry::tests::said;

/// One gateway, and all that its members have seen.
struct Node {
    name: String,
    ledger: Ledger,
    up: bool,
    channel: VecDeque<Entry>,
    /// What Redis is being asked to add, and what it has answered to a look: a page, and up to where it goes.
    asks: VecDeque<Ask>,
    page: Option<(Vec<Entry>, u64)>,
    shown: Vec<(Arc<str>, u64)>,
    said: usize,
    /// Whether nothing may be shown twice; what is older than the history may be.
    strict: bool,
}

/// Redis and the gateways around it.
struct World {
    now: u64,
    last: u64,
    stream: Vec<Entry>,
    nodes: Vec<Node>,
    length: usize,
    /// Whether the stream lets go of what is beyond its length.
    trims: bool,
}

#[derive(Clone, Debug)]
enum Act {
    Say(usize),
    /// The connection breaks before Redis hears of it, or before its answer.
    SayInVain(usize, bool),
    Deliver(usize),
    Lose(usize),
    Return(usize),
    /// A gateway that has come back gives Redis one message that it owes.
    Owe(usize),
    /// The stream is looked at, and what it has answered is looked through.
    Look(usize),
    Looked(usize),
    Wait(u64),
    /// Redis comes back with its first so many messages.
    Forget(usize),
}

impl World {
    fn new(nodes: usize, length: usize) -> Self {
        let node = |at: usize| Node {
            name: format!("n{at}"),
            ledger: Ledger::new(length, 0, at as u64),
            up: false,
            channel: VecDeque::new(),
            asks: VecDeque::new(),
            page: None,
            shown: Vec::new(),
            said: 0,
            strict: true,
        };
        let nodes: Vec<Node> = (0..nodes).map(node).collect();
        let mut world = Self { now: 1_000, last: 0, stream: Vec::new(), nodes, length, trims: false };
        (0..world.nodes.len()).for_each(|at| world.settle(at));
        world
    }

    /// What the script does.
    fn add(&mut self, ask: &Ask) -> u64 {
        let known = self.stream.iter().rev().take(self.length).find(|entry| entry.said.key == ask.said.key);
        if let Some(known) = known.filter(|_| ask.again) {
            return known.id;
        }
        let prev = self.last;
        let mut id = (prev + 1).max(self.now << 16).max(ask.floor + 1);
        if id::is_local(id) {
            id = ((id >> 16) + 1) << 16;
        }
        self.last = id;
        let entry = Entry { id, prev: None, said: Arc::clone(&ask.said), seen: ask.seen };
        self.stream.push(entry.clone());
        if self.trims && self.stream.len() > self.length {
            self.stream.remove(0);
        }
        for node in self.nodes.iter_mut().filter(|node| node.up) {
            node.channel.push_back(Entry { prev: Some(prev), ..entry.clone() });
        }
        id
    }

    fn say(&mut self, at: usize) -> Option<Ask> {
        let now = self.now + 40 * at as u64;
        let node = &mut self.nodes[at];
        node.said += 1;
        match node.ledger.submit(said(&format!("{}/{}", node.name, node.said), "x"), now) {
            Submitted::Ask(ask) => Some(ask),
            Submitted::Show(show) => {
                node.show(&show);
                None
            }
            Submitted::Wait => None,
            Submitted::Double => panic!("said twice"),
        }
    }

    fn lose(&mut self, at: usize) {
        let now = self.now + 40 * at as u64;
        let node = &mut self.nodes[at];
        (node.up, node.page) = (false, None);
        node.channel.clear();
        node.asks.clear();
        let shows = node.ledger.lost(now);
        shows.iter().for_each(|show| node.show(show));
    }

    fn deliver(&mut self, at: usize) {
        let Some(entry) = self.nodes[at].channel.pop_front() else { return };
        self.arrive(at, entry);
    }

    fn arrive(&mut self, at: usize, entry: Entry) {
        let arrived = self.nodes[at].ledger.arrived(entry, self.now);
        self.took(at, vec![arrived]);
        self.looked(at, false);
    }

    /// What has come of it; where something is missing, the stream is looked at, and at some time has answered.
    fn took(&mut self, at: usize, all: Vec<Arrived>) {
        for arrived in all {
            match arrived {
                Arrived::Show(show) => self.nodes[at].show(&show),
                Arrived::Placed(..) | Arrived::Erased(_) | Arrived::Double => {}
                Arrived::Hole => self.look(at),
            }
        }
    }

    /// What the other script does.
    fn look(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.up && node.page.is_none() {
            let after = node.ledger.place();
            let rest = self.stream.iter().filter(|entry| entry.id > after);
            let page: Vec<Entry> = rest.take(self.length).cloned().collect();
            let upto = if page.len() < self.length { self.last } else { page[page.len() - 1].id };
            node.page = Some((page, upto));
        }
    }

    /// As the desk does it: not before the channel has told as much, unless that takes too long.
    fn looked(&mut self, at: usize, late: bool) {
        let node = &mut self.nodes[at];
        if let Some((page, upto)) = node.page.take_if(|(_, upto)| late || !node.ledger.is_ahead(*upto)) {
            let arrived = node.ledger.looked(page, upto, self.now);
            self.took(at, arrived);
        }
    }

    fn come_back(&mut self, at: usize) {
        if self.nodes[at].up {
            return;
        }
        let newest = self.stream.len().saturating_sub(self.length);
        let entries = self.stream[newest..].to_vec();
        let node = &mut self.nodes[at];
        node.up = true;
        let gone = if entries.len() < self.length { 0 } else { entries[0].id };
        let arrived = node.ledger.returned(entries, gone, self.now);
        self.took(at, arrived);
        self.nodes[at].ledger.settle();
    }

    /// Up to `most` messages that are owed are added.
    fn owe(&mut self, at: usize, most: usize) {
        for _ in 0..most {
            let node = &mut self.nodes[at];
            if node.asks.is_empty() && node.up {
                node.asks.extend(node.ledger.asks(2, self.now));
            }
            let Some(ask) = node.asks.pop_front() else { return };
            let place = self.add(&ask);
            let arrived = self.nodes[at].ledger.placed(&ask.said.key, place, self.now);
            self.took(at, vec![arrived]);
            self.nodes[at].ledger.settle();
        }
    }

    fn settle(&mut self, at: usize) {
        self.come_back(at);
        self.owe(at, usize::MAX);
    }

    fn act(&mut self, act: Act) {
        let nodes = self.nodes.len();
        match act {
            Act::Say(at) => {
                if let Some(ask) = self.say(at % nodes) {
                    let place = self.add(&ask);
                    let arrived = self.nodes[at % nodes].ledger.placed(&ask.said.key, place, self.now);
                    self.took(at % nodes, vec![arrived]);
                }
            }
            Act::SayInVain(at, heard) => {
                if let Some(ask) = self.say(at % nodes) {
                    if heard {
                        self.add(&ask);
                    }
                    self.lose(at % nodes);
                }
            }
            Act::Deliver(at) => self.deliver(at % nodes),
            Act::Lose(at) => self.lose(at % nodes),
            Act::Return(at) => self.come_back(at % nodes),
            Act::Owe(at) => self.owe(at % nodes, 1),
            Act::Look(at) => self.look(at % nodes),
            Act::Looked(at) => self.looked(at % nodes, false),
            Act::Wait(time) => self.now += time,
            Act::Forget(left) => {
                (0..nodes).for_each(|at| self.lose(at));
                self.stream.truncate(left);
                self.last = self.stream.last().map_or(0, |entry| entry.id);
            }
        }
    }

    fn finish(&mut self) {
        for _ in 0..3 {
            (0..self.nodes.len()).for_each(|at| self.settle(at));
            while self.nodes.iter().any(|node| !node.channel.is_empty()) {
                (0..self.nodes.len()).for_each(|at| self.deliver(at));
            }
            (0..self.nodes.len()).for_each(|at| self.looked(at, true));
        }
    }
}

impl Node {
    fn show(&mut self, show: &Show) {
        let last = self.shown.last().map_or(0, |(_, id)| *id);
        assert!(show.id > last, "{} shows {:x} after {last:x}", self.name, show.id);
        let shown = || self.shown.iter().any(|(key, _)| *key == show.said.key);
        assert!(!self.strict || !shown(), "{} doubles {}", self.name, show.said.key);
        self.shown.push((Arc::clone(&show.said.key), show.id));
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..3usize).prop_map(Act::Say),
        1 => (0..3usize, any::<bool>()).prop_map(|(at, heard)| Act::SayInVain(at, heard)),
        4 => (0..3usize).prop_map(Act::Deliver),
        1 => (0..3usize).prop_map(Act::Lose),
        2 => (0..3usize).prop_map(Act::Return),
        3 => (0..3usize).prop_map(Act::Owe),
        1 => (0..3usize).prop_map(Act::Look),
        2 => (0..3usize).prop_map(Act::Looked),
        1 => (0..100u64).prop_map(Act::Wait),
        1 => (0..10usize).prop_map(Act::Forget),
    ];
    prop::collection::vec(act, 0..60)
}

proptest! {
    /// Every message is seen by everybody, once, under ids that rise, whatever becomes of Redis and of connections.
    #[test]
    fn nothing_is_lost_and_nothing_doubled(acts in acts()) {
        let mut world = World::new(3, 1000);
        acts.into_iter().for_each(|act| world.act(act));
        world.finish();
        let all: usize = world.nodes.iter().map(|node| node.said).sum();
        prop_assert_eq!(world.stream.len(), all, "each message stands in the stream once");
        for node in &world.nodes {
            prop_assert_eq!(node.shown.len(), all);
            prop_assert_eq!(node.ledger.state, State::Together);
        }
    }

    /// Without a break all gateways have one order, and the same ids.
    #[test]
    fn together_there_is_one_order(acts in prop::collection::vec((0..3usize, any::<bool>()), 0..60)) {
        let mut world = World::new(3, 4);
        for (at, says) in acts {
            world.act(if says { Act::Say(at) } else { Act::Deliver(at) });
        }
        world.finish();
        prop_assert_eq!(&world.nodes[0].shown, &world.nodes[1].shown);
        prop_assert_eq!(&world.nodes[0].shown, &world.nodes[2].shown);
    }

    /// A look at the stream may be ahead of the channel, or behind it, and the stream may have let go of what is on its
    /// way: whoever has nothing but its channel to wait for hears all of it, in one order.
    #[test]
    fn looks_hide_nothing(acts in prop::collection::vec((0..2usize, 0..8u8), 0..120)) {
        let mut world = World::new(2, 3);
        world.trims = true;
        for (at, act) in acts {
            world.act(match act {
                0..=3 => Act::Say(at),
                4 | 5 => Act::Deliver(at),
                6 => Act::Look(at),
                _ => Act::Looked(at),
            });
        }
        world.finish();
        let all: usize = world.nodes.iter().map(|node| node.said).sum();
        prop_assert_eq!(world.nodes[0].shown.len(), all);
        prop_assert_eq!(&world.nodes[0].shown, &world.nodes[1].shown);
    }

    /// What is remembered is bounded.
    #[test]
    fn what_is_remembered_is_bounded(acts in acts()) {
        let mut world = World::new(3, 5);
        world.nodes.iter_mut().for_each(|node| node.strict = false);
        acts.into_iter().for_each(|act| world.act(act));
        world.finish();
        for node in &world.nodes {
            prop_assert!(node.ledger.own.len() <= 5 && node.ledger.known.len() <= 10);
        }
    }
}

#[test]
fn a_hole_in_the_channel_is_noticed() {
    let mut world = World::new(2, 10);
    for _ in 0..3 {
        world.act(Act::Say(0));
    }
    world.nodes[1].channel.remove(1);
    world.finish();
    assert_eq!(world.nodes[1].shown.len(), 3);
    assert_eq!(world.nodes[0].shown, world.nodes[1].shown);
}

#[test]
fn what_is_known_does_not_hide_what_is_missing_before_it() {
    let mut ledger = Ledger::new(10, 0, 1);
    ledger.lost(1);
    assert!(matches!(ledger.submit(said("a/1", "x"), 1), Submitted::Show(_)));
    assert_eq!(ledger.returned(Vec::new(), 0, 2), []);
    let ask = ledger.asks(9, 2).pop().expect("it is owed");
    let [foreign, own] = [(9, said("b/1", "y")), (10, ask.said)].map(|(at, said)| (at << 16, said));
    let entry = |(id, said): &(u64, Arc<Said>), prev| Entry { id: *id, prev, said: Arc::clone(said), seen: None };
    // What another gateway has said is on its way by a look; the own message comes by the channel first.
    assert_eq!(ledger.arrived(entry(&own, Some(foreign.0)), 3), Arrived::Hole);
    let arrived = ledger.looked(vec![entry(&foreign, None), entry(&own, None)], own.0, 4);
    assert!(
        matches!(&arrived[..], [Arrived::Show(show), Arrived::Placed(..)] if show.said == foreign.1),
        "{arrived:?}"
    );
}

#[test]
fn what_the_stream_has_let_go_of_is_taken_from_the_channel() {
    let mut world = World::new(2, 10);
    for _ in 0..4 {
        world.act(Act::Say(0));
    }
    // The first is lost on its way; the others come while it is looked for, in vain for the second one.
    world.nodes[1].channel.pop_front();
    world.stream.drain(..2);
    world.finish();
    let keys: Vec<&str> = world.nodes[1].shown.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["n0/2", "n0/3", "n0/4"]);
}

#[test]
fn an_own_message_that_a_look_has_skipped_is_shown_when_its_place_is_known() {
    let mut world = World::new(1, 3);
    world.trims = true;
    let asks: Vec<Ask> = (0..5).filter_map(|_| world.say(0)).collect();
    let places: Vec<u64> = asks.iter().map(|ask| world.add(ask)).collect();
    // The channel brings nothing, and the stream has but the last three.
    world.nodes[0].channel.clear();
    world.nodes[0].ledger.placed("n0/1", places[0], 1_000);
    world.look(0);
    world.looked(0, true);
    let keys = |world: &World| world.nodes[0].shown.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(&world), ["n0/3", "n0/4", "n0/5", "n0/1"]);
    let arrived = world.nodes[0].ledger.placed("n0/2", places[1], 1_000);
    world.took(0, vec![arrived]);
    assert_eq!((keys(&world).len(), world.nodes[0].ledger.waiting()), (5, 0));
}

#[test]
fn what_is_said_in_a_room_that_nobody_has_looked_at_waits_for_that() {
    let mut ledger = Ledger::new(3, 0, 1);
    for at in 0..3 {
        assert!(ledger.is_patient());
        assert_eq!(ledger.submit(said(&format!("a/{at}"), "x"), 1), Submitted::Wait);
    }
    assert!(ledger.is_new() && !ledger.is_patient(), "not for ever");
    let mut before = vec![Entry { id: 5 << 16, prev: None, said: said("b/1", "y"), seen: None }];
    assert_eq!(ledger.learn(&mut before).map(|shows| shows.len()), Some(1));
    assert_eq!(ledger.returned(before, 0, 2), []);
    assert_eq!((ledger.state, ledger.rests()), (State::Together, true));
    let asks = ledger.asks(9, 2);
    assert_eq!(asks.iter().map(|ask| (ask.floor, ask.again)).collect::<Vec<_>>(), [(5 << 16, false); 3]);
    assert!(!ledger.rests() && ledger.is_asking());
}

#[test]
fn what_is_owed_outlives_its_room() {
    let mut ledger = Ledger::new(3, 0, 1);
    ledger.lost(1);
    ledger.submit(said("a/1", "x"), 1);
    let mut next = Ledger::new(3, 0, 1);
    next.inherit(ledger.unsaid());
    // One that never reached Redis is shown again, where somebody may come who was not there.
    assert_eq!((next.waiting(), next.lost(2).len(), next.owed()), (1, 1, 1));
    let mut known = Ledger::new(3, 0, 1);
    known.inherit(vec![(said("a/2", "x"), true)]);
    let mut before = vec![Entry { id: 5 << 16, prev: None, said: said("a/2", "x"), seen: None }];
    assert_eq!(known.learn(&mut before).map(|shows| shows.len()), Some(1));
    assert_eq!((known.waiting(), known.rests()), (0, false), "it was in the stream");
}

#[test]
fn a_clock_that_was_ahead_does_not_take_the_others_along() {
    let (day, now) = (86_400_000, 1_000_000);
    let mut ledger = Ledger::new(3, 0, 1);
    ledger.lost(now + day);
    assert!(matches!(ledger.submit(said("a/1", "x"), now + day), Submitted::Show(_)));
    ledger.returned(Vec::new(), 0, now);
    assert_eq!(ledger.asks(9, now).iter().map(|ask| ask.floor).collect::<Vec<_>>(), [0]);
    // A little ahead is usual: there, members shall see the same ids everywhere.
    let mut other = Ledger::new(3, 0, 1);
    other.lost(now + 1_000);
    other.submit(said("b/1", "x"), now + 1_000);
    other.returned(Vec::new(), 0, now);
    assert!(other.asks(9, now)[0].floor > now << 16);
}

#[test]
fn what_was_taken_out_before_it_had_its_place_is_taken_out_when_it_is_found() {
    let mut world = World::new(1, 10);
    world.act(Act::Say(0));
    world.act(Act::Deliver(0));
    let first = world.nodes[0].shown.pop().expect("shown").1;
    assert_eq!((world.nodes[0].ledger.erase(first), world.nodes[0].ledger.erase(first)), (Some(first), None));
    world.stream.clear();
    let ask = world.say(0).expect("together");
    let place = world.add(&ask);
    // Redis has heard of it, and its answer is lost.
    world.lose(0);
    let shown = world.nodes[0].shown[0].1;
    world.say(0);
    let apart = world.nodes[0].shown[1].1;
    let (stream, now) = (world.stream.clone(), world.now);
    let ledger = &mut world.nodes[0].ledger;
    ledger.erase(shown);
    ledger.erase(apart);
    assert_eq!(ledger.returned(stream.clone(), 0, now), [Arrived::Erased(place)]);
    assert!((ledger.asks(9, now).len(), ledger.owed()) == (0, 0) && ledger.settle());
    assert_eq!(ledger.arrived(stream[0].clone(), now), Arrived::Double, "it does not come back");
    // One that Redis never heard of is forgotten.
    let ask = world.say(0).expect("together");
    world.lose(0);
    let shown = world.nodes[0].shown[2].1;
    let ledger = &mut world.nodes[0].ledger;
    ledger.erase(shown);
    assert_eq!((ledger.returned(Vec::new(), 0, now), ledger.asks(9, now)), (Vec::new(), Vec::new()));
    assert!(!ledger.own.iter().any(|own| own.said.key == ask.said.key));
}

#[test]
fn what_redis_has_let_go_for_its_age_is_not_said_again() {
    let mut world = World::new(1, 10);
    for _ in 0..3 {
        world.act(Act::Say(0));
        world.act(Act::Deliver(0));
        world.act(Act::Wait(10));
    }
    let (last, now) = (world.stream[2].clone(), world.now);
    world.lose(0);
    let ledger = &mut world.nodes[0].ledger;
    assert_eq!(ledger.returned(vec![last.clone()], last.id, now), []);
    assert_eq!((ledger.owed(), ledger.asks(9, now).len()), (0, 0));
    ledger.lost(now);
    ledger.returned(vec![last.clone()], 0, now);
    assert_eq!(ledger.owed(), 2, "without an age they were lost");
}
