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
}

#[derive(Clone, Debug)]
enum Act {
    Say(usize),
    /// The connection breaks before Redis hears of it, or before its answer.
    SayInVain(usize, bool),
    Deliver(usize),
    Lose(usize),
    Return(usize),
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
            shown: Vec::new(),
            said: 0,
            strict: true,
        };
        let mut world = Self { now: 1_000, last: 0, stream: Vec::new(), nodes: (0..nodes).map(node).collect(), length };
        (0..nodes).for_each(|at| world.come_back(at));
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
            Submitted::Double => panic!("said twice"),
        }
    }

    fn lose(&mut self, at: usize) {
        let now = self.now + 40 * at as u64;
        let node = &mut self.nodes[at];
        (node.up, _) = (false, node.channel.clear());
        let shows = node.ledger.lost(now);
        shows.iter().for_each(|show| node.show(show));
    }

    fn deliver(&mut self, at: usize) {
        let Some(entry) = self.nodes[at].channel.pop_front() else { return };
        self.arrive(at, entry);
    }

    fn arrive(&mut self, at: usize, entry: Entry) {
        let node = &mut self.nodes[at];
        match node.ledger.arrived(entry, self.now) {
            Arrived::Show(show) => node.show(&show),
            Arrived::Placed(..) | Arrived::Erased(_) | Arrived::Double => {}
            Arrived::Hole => {
                let after = node.ledger.place();
                let missing: Vec<Entry> = self.stream.iter().filter(|entry| entry.id > after).cloned().collect();
                missing.into_iter().for_each(|entry| self.arrive(at, entry));
            }
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
        for arrived in node.ledger.returned(entries, 0, self.now) {
            if let Arrived::Show(show) = arrived {
                node.show(&show);
            }
        }
        while self.nodes[at].ledger.state != State::Together && !self.nodes[at].ledger.settle() {
            let asks = self.nodes[at].ledger.asks(2);
            for ask in asks {
                let place = self.add(&ask);
                self.nodes[at].ledger.placed(&ask.said.key, place);
            }
        }
    }

    fn act(&mut self, act: Act) {
        let nodes = self.nodes.len();
        match act {
            Act::Say(at) => {
                if let Some(ask) = self.say(at % nodes) {
                    let place = self.add(&ask);
                    self.nodes[at % nodes].ledger.placed(&ask.said.key, place);
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
            Act::Wait(time) => self.now += time,
            Act::Forget(left) => {
                (0..nodes).for_each(|at| self.lose(at));
                self.stream.truncate(left);
                self.last = self.stream.last().map_or(0, |entry| entry.id);
            }
        }
    }

    fn finish(&mut self) {
        for _ in 0..2 {
            (0..self.nodes.len()).for_each(|at| self.come_back(at));
            while self.nodes.iter().any(|node| !node.channel.is_empty()) {
                (0..self.nodes.len()).for_each(|at| self.deliver(at));
            }
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
    assert!((ledger.asks(9).len(), ledger.owed()) == (0, 0) && ledger.settle());
    assert_eq!(ledger.arrived(stream[0].clone(), now), Arrived::Double, "it does not come back");
    // One that Redis never heard of is forgotten.
    let ask = world.say(0).expect("together");
    world.lose(0);
    let shown = world.nodes[0].shown[2].1;
    let ledger = &mut world.nodes[0].ledger;
    ledger.erase(shown);
    assert_eq!((ledger.returned(Vec::new(), 0, now), ledger.asks(9)), (Vec::new(), Vec::new()));
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
    assert_eq!((ledger.owed(), ledger.asks(9).len()), (0, 0));
    ledger.lost(now);
    ledger.returned(vec![last.clone()], 0, now);
    assert_eq!(ledger.owed(), 2, "without an age they were lost");
}
