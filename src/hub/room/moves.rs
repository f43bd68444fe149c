//! A property of rooms that several gateways share: whoever goes from one to another, however late each of them is told
//! what is said, hears everything once and in order.

use proptest::prelude::*;

use super::far::Far;
use super::law::id_of;
use super::*;
use crate::config;
use crate::hub::mailbox::{Content, Letter, Mailbox, Said};
use crate::hub::order::Alone;
use crate::hub::record::{Draft, Record};
use crate::hub::store::Memory;

const GATEWAYS: usize = 2;
const CLIENTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Something gets its place; twice, when it was said again before its speaker knew.
    Say { twice: bool },
    /// A gateway is told of so many messages.
    Tell { gateway: usize, count: usize },
    /// What waits in its mailbox is handed out.
    HandOut(usize),
    /// A client is gone, and comes to this gateway with the last id that it knows.
    Move { client: usize, gateway: usize },
    /// A gateway starts anew: its clients are gone, and it finds all that has its place.
    Start(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let gateway = 0..GATEWAYS;
    prop_oneof![
        6 => any::<bool>().prop_map(|twice| Step::Say { twice }),
        6 => (gateway.clone(), 1usize..4).prop_map(|(gateway, count)| Step::Tell { gateway, count }),
        6 => gateway.clone().prop_map(Step::HandOut),
        4 => (0..CLIENTS, gateway.clone()).prop_map(|(client, gateway)| Step::Move { client, gateway }),
        1 => gateway.prop_map(Step::Start),
    ]
}

/// One gateway's part of the room, and how much of what was said it knows.
struct Gateway {
    room: Arc<Room>,
    told: usize,
}

/// What one client knows.
#[derive(Debug, Default)]
struct Client {
    there: Option<(usize, Since)>,
    view: Vec<MessageId>,
}

struct World {
    begin: MessageId,
    /// What has its place: under which id, and by which word it is known.
    said: Vec<(MessageId, usize)>,
    words: usize,
    gateways: Vec<Gateway>,
    clients: [Client; CLIENTS],
    users: u64,
}

fn room() -> Arc<Room> {
    let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([Arc::new(Mailbox::default())]);
    let ground = Arc::new(Ground::new(mailboxes, Box::new(Alone), Box::new(Memory)));
    let room = Arc::new(Room::new("lobby", Rules::new(&config::Hub::default(), None), &ground));
    let mut state = room.state.lock();
    (state.far, state.history) = (Far::new(false), History::new(MessageId(0)).alone(false));
    drop(state);
    room
}

fn draft(word: usize) -> Draft {
    let (name, text) = (Arc::from("n"), Arc::from("x"));
    Draft { from: MemberId(77), user: 0, name, text, reference: Some(format!("w{word}").into()) }
}

fn arrive(room: &Arc<Room>, user: u64, since: MessageId) -> Welcome {
    let (id, name) = (MemberId(user), Name::chosen(&format!("client {user}"), 32).expect("name"));
    room.expect(None, None).expect("seat");
    let guest = Guest { id, user, worker: 0, name: &name };
    let wanted = Wanted { since: Some(since), before: None, most: usize::MAX, budget: usize::MAX };
    room.arrive(&guest, &wanted).expect("arrives")
}

/// What waits in the mailbox, for each of these.
fn heard<const N: usize>(room: &Room, by: [Since; N]) -> [Vec<MessageId>; N] {
    let mut all = by.map(|_| Vec::new());
    while let Some(letter) = room.ground.mailboxes[0].take() {
        let Letter::Room { number, content: Content::Said(said), .. } = letter else { continue };
        let Said { v1: Some(frame), .. } = &said else { continue };
        let hearers = all.iter_mut().zip(by).filter(|(_, since)| since.is_before(number, said.place));
        hearers.for_each(|(heard, _)| heard.push(id_of(frame)));
    }
    all
}

impl World {
    fn new() -> Self {
        let begin = MessageId(MessageId::at(id::now()).0 - 1);
        let gateways = (0..GATEWAYS).map(|_| room()).map(|room| Gateway { room, told: 0 }).collect();
        let mut world = Self { begin, said: Vec::new(), words: 0, gateways, clients: Default::default(), users: 0 };
        (0..GATEWAYS).for_each(|gateway| world.start(gateway));
        world
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Say { twice } => {
                self.words += 1;
                for _ in 0..=usize::from(twice) {
                    let last = self.said.last().map_or(self.begin, |(id, _)| *id);
                    self.said.push((MessageId(last.0 + 1), self.words));
                }
            }
            Step::Tell { gateway, count } => {
                let Gateway { room, told } = &mut self.gateways[gateway];
                for (id, word) in self.said.iter().skip(*told).take(count) {
                    room.commit(draft(*word), Some(*id));
                    *told += 1;
                }
            }
            Step::HandOut(gateway) => self.hand_out(gateway),
            Step::Move { client, gateway } => self.go(client, gateway),
            Step::Start(gateway) => self.start(gateway),
        }
    }

    fn start(&mut self, gateway: usize) {
        for client in &mut self.clients {
            client.there = client.there.filter(|(there, _)| *there != gateway);
        }
        let room = room();
        let record = |(id, word): &(MessageId, usize)| -> Record { draft(*word).placed(*id) };
        room.restore(self.said.iter().map(record).collect());
        self.gateways[gateway] = Gateway { room, told: self.said.len() };
    }

    fn hand_out(&mut self, gateway: usize) {
        let nowhere = Since { letter: u64::MAX, place: MessageId(0) };
        let here = |client: &Client| client.there.filter(|(there, _)| *there == gateway).map(|(_, since)| since);
        let by: [Since; CLIENTS] = std::array::from_fn(|at| here(&self.clients[at]).unwrap_or(nowhere));
        let heard = heard(&self.gateways[gateway].room, by);
        self.clients.iter_mut().zip(heard).for_each(|(client, heard)| client.view.extend(heard));
    }

    fn go(&mut self, client: usize, gateway: usize) {
        self.users += 1;
        let client = &mut self.clients[client];
        let last = client.view.last().copied().unwrap_or(self.begin);
        let welcome = arrive(&self.gateways[gateway].room, self.users, last);
        client.view.extend(welcome.found.records.iter().map(|record| record.id));
        client.there = Some((gateway, welcome.since));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn who_goes_from_one_gateway_to_another_hears_everything_once(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
        // Whoever is nowhere comes back before the rest is told.
        for client in 0..CLIENTS {
            if world.clients[client].there.is_none() {
                world.go(client, 0);
            }
        }
        for gateway in 0..GATEWAYS {
            world.take(&Step::Tell { gateway, count: usize::MAX });
            world.hand_out(gateway);
        }
        let mut all = world.said.clone();
        all.dedup_by_key(|(_, word)| *word);
        for client in &world.clients {
            prop_assert!(client.view.iter().eq(all.iter().map(|(id, _)| id)), "{client:?} of {all:?}");
        }
    }
}

/// A millisecond of this run, which began in the first.
fn id(begin: u64, time: u64) -> MessageId {
    MessageId::at(begin + time)
}

#[test]
fn who_comes_from_a_gateway_that_was_told_sooner_hears_nothing_again() {
    let (room, begin) = (room(), id::now());
    let id = |time| id(begin, time);
    room.restore(vec![draft(1).placed(id(1))]);
    let [ahead, level] = [(1, id(3)), (2, id(1))].map(|(user, since)| arrive(&room, user, since));
    assert_eq!((ahead.found.records.len(), ahead.found.gap, level.found.records.len()), (0, None, 0));
    (2..5).for_each(|time| room.commit(draft(time as usize), Some(id(time))));
    let [ahead, level] = heard(&room, [ahead.since, level.since]);
    assert_eq!((ahead, level), (vec![id(4)], vec![id(2), id(3), id(4)]));
}

#[test]
fn what_comes_late_under_another_id_is_known_by_its_place() {
    let (room, begin) = (room(), id::now());
    let id = |time| id(begin, time);
    room.restore(Vec::new());
    let [one, two] = [(1, id(2)), (2, id(3))].map(|(user, since)| arrive(&room, user, since).since);
    let late = |time: u64, place: Option<u64>| {
        let own = MessageId(id(time).0 | 0x8000);
        room.remember(own, Origin { place: place.map(id), node: "a".into(), seen: None });
        room.commit(draft(time as usize), Some(own));
        own
    };
    // What has no place yet is known to nobody elsewhere.
    let (third, owed) = (late(8, Some(3)), late(9, None));
    assert_eq!(heard(&room, [one, two]), [vec![third, owed], vec![owed]]);
}

#[test]
fn only_what_somebody_can_have_heard_elsewhere_is_not_told() {
    let (shared, begin) = (room(), id::now());
    shared.restore(Vec::new());
    let place = |room: &Arc<Room>, since| arrive(room, since, MessageId(since)).since.place.0;
    let (now, later, local) = (id(begin, 0).0, id(begin, 3_600_000).0, id(begin, 0).0 | 0x8000);
    assert_eq!([now, later, local].map(|since| place(&shared, since)), [now, 0, 0]);
    let alone = room();
    alone.state.lock().far = Far::new(true);
    assert_eq!(place(&alone, now), 0);
}
