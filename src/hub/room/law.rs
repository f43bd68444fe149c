//! A property of rooms: whatever is said, lost and bounded, who comes back has heard everything once and in order, or was
//! told of the gap.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config;
use crate::hub::mailbox::{Content, Letter, Mailbox, Said};
use crate::hub::order::Alone;
use crate::hub::record::Draft;
use crate::hub::store::Memory;

const CLIENTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Somebody says a text of so many bytes, with a word of its own or without, once or twice.
    Say { by: usize, size: usize, twice: Option<bool> },
    /// What waits in the mailbox is handed out, but for so many letters.
    HandOut(usize),
    /// A client is gone; what is not handed out yet is lost to it.
    Lose(usize),
    /// It comes back, and asks for so many messages at once.
    Resume { client: usize, most: usize, budget: usize },
    /// The owner bounds the history otherwise.
    Bound(usize, usize),
    /// The clock jumps, as messages of another gateway make it.
    Jump,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        8 => (client.clone(), 0usize..60, proptest::option::of(any::<bool>()))
            .prop_map(|(by, size, twice)| Step::Say { by, size, twice }),
        3 => (0usize..3).prop_map(Step::HandOut),
        2 => client.clone().prop_map(Step::Lose),
        4 => (client, 0usize..6, 100usize..2000).prop_map(|(client, most, budget)| Step::Resume { client, most, budget }),
        1 => (0usize..8, 1usize..400).prop_map(|(most, size)| Step::Bound(most, size)),
        1 => Just(Step::Jump),
    ]
}

/// What one client knows.
#[derive(Debug, Default)]
struct Client {
    /// The letter after which it came, while it is there.
    since: Option<u64>,
    /// Its connection's number: another one each time.
    user: u64,
    view: Vec<MessageId>,
    gaps: Vec<(MessageId, MessageId)>,
}

struct House {
    room: Arc<Room>,
    clients: [Client; CLIENTS],
    users: u64,
    words: usize,
    begin: MessageId,
}

impl House {
    fn new(most: usize) -> Self {
        let wishes = config::Hub { history: most, history_size: 400, ..config::Hub::default() };
        let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([Arc::new(Mailbox::default())]);
        let ground = Arc::new(Ground::new(mailboxes, Box::new(Alone), Box::new(Memory)));
        let begin = MessageId(MessageId::at(id::now()).0 - 1);
        let room = Arc::new(Room::new("lobby", Rules::new(&wishes, None), &ground));
        Self { room, clients: Default::default(), users: 0, words: 0, begin }
    }

    /// `all` gets the id of each message.
    fn take(&mut self, step: &Step) {
        match step {
            Step::Say { by, size, twice } => self.say(*by, *size, *twice),
            Step::HandOut(left) => self.hand_out(*left),
            Step::Lose(client) => self.lose(*client),
            Step::Resume { client, most, budget } => self.resume(*client, (*most, *budget)),
            Step::Bound(most, size) => {
                let wishes = config::Hub { history: *most, history_size: *size, ..config::Hub::default() };
                self.room.adopt(Rules::new(&wishes, None));
            }
            Step::Jump => {
                let last = self.room.state.lock().history.end().max(self.begin);
                let draft = self.draft(0, 1, None);
                self.room.commit(draft, Some(MessageId(last.0 + 5)));
            }
        }
    }

    fn draft(&self, by: usize, size: usize, word: Option<usize>) -> Draft {
        let reference = word.map(|word| Arc::from(format!("w{word}")));
        let (from, user) = (MemberId(by as u64), self.clients[by].user);
        Draft { from, user, name: "n".into(), text: "x".repeat(size).into(), reference }
    }

    fn say(&mut self, by: usize, size: usize, twice: Option<bool>) {
        self.words += 1;
        let draft = self.draft(by, size, twice.map(|_| self.words));
        let speech = Speech { now: Instant::now(), queue: 1 << 18, moderates: false };
        self.room.submit(draft.clone(), speech).expect("said");
        let end = self.room.state.lock().history.end();
        if twice == Some(true) && self.room.state.lock().history.said(draft.from, draft.reference.as_ref()).is_some() {
            assert_eq!(self.room.submit(draft, speech), Ok(Some(end)));
            assert_eq!(self.room.state.lock().history.end(), end, "said twice");
        }
    }

    fn hand_out(&mut self, left: usize) {
        let mut letters = Vec::new();
        while let Some(letter) = self.room.ground.mailboxes[0].take() {
            letters.push(letter);
        }
        let done = letters.len().saturating_sub(left);
        for letter in letters.split_off(done) {
            self.room.ground.mailboxes[0].post(letter);
        }
        for letter in letters {
            let Letter::Room { number, content: Content::Said(Said { v1: Some(frame), .. }), .. } = letter else {
                continue;
            };
            let id = id_of(&frame);
            let there = self.clients.iter_mut().filter(|client| client.since.is_some_and(|since| number > since));
            there.for_each(|client| client.view.push(id));
        }
    }

    fn lose(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.since.take().is_some() {
            self.room.depart(MemberId(at as u64), client.user, 0, Language::V1);
            self.room.forget_one();
        }
    }

    /// As a client does it: with the last id that it knows, and for what does not fit page by page.
    fn resume(&mut self, at: usize, (most, budget): (usize, usize)) {
        self.lose(at);
        self.users += 1;
        let (id, name) = (MemberId(at as u64), Name::chosen(&format!("client {at}"), 32).expect("name"));
        let since = self.clients[at].view.last().copied().unwrap_or(self.begin);
        self.room.expect(None, Some(id)).expect("seat");
        let guest = Guest { id, user: self.users, worker: 0, name: &name };
        let mut wanted = Wanted { since: Some(since), before: None, most, budget };
        let welcome = self.room.arrive(&guest, &wanted).expect("arrives");
        let client = &mut self.clients[at];
        (client.since, client.user) = (Some(welcome.since.letter), self.users);
        let (mut found, mut missed) = (welcome.found, Vec::new());
        loop {
            client.gaps.extend(found.gap);
            let ids: Vec<MessageId> = found.records.iter().map(|record| record.id).collect();
            if !found.more {
                missed.splice(0..0, ids);
                break;
            }
            // What did not fit is older than what did; where nothing did, one asks for everything.
            wanted.before = ids.first().copied().or(wanted.before);
            missed.splice(0..0, ids);
            (wanted.most, wanted.budget) = (wanted.most.max(1), wanted.budget.max(1000));
            found = self.room.find(&wanted);
        }
        client.view.extend(missed);
    }
}

pub(super) fn id_of(frame: &[u8]) -> MessageId {
    let text = String::from_utf8_lossy(frame);
    let id = text.split("\"id\":\"").nth(1).and_then(|rest| MessageId::parse(rest.get(..16)?));
    id.expect("id")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn who_comes_back_misses_nothing_but_what_a_gap_tells(
        most in 0usize..8,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut house = House::new(most);
        // Somebody hears everything, and never leaves: what it heard is what was said.
        let name = Name::chosen("witness", 32).expect("name");
        house.room.expect(None, None).expect("seat");
        let witness = Guest { id: MemberId(99), user: 1_000_000, worker: 0, name: &name };
        house.room.arrive(&witness, &Wanted { since: None, before: None, most: 0, budget: 0 }).expect("arrives");
        let mut all: Vec<MessageId> = Vec::new();
        for step in &steps {
            let before = house.room.state.lock().history.end();
            house.take(step);
            let after = house.room.state.lock().history.end();
            if after != before {
                all.push(after);
            }
        }
        (0..CLIENTS).for_each(|client| house.resume(client, (3, 1000)));
        house.hand_out(0);
        prop_assert!(all.is_sorted());
        for client in &house.clients {
            prop_assert!(client.view.windows(2).all(|pair| pair[0] < pair[1]), "twice or out of order: {client:?}");
            let view: BTreeSet<MessageId> = client.view.iter().copied().collect();
            for id in &all {
                let told = client.gaps.iter().any(|(after, before)| after < id && id < before);
                prop_assert!(view.contains(id) || told, "{id} is missing, and nobody said so: {client:?}");
            }
            prop_assert!(client.view.iter().all(|id| all.contains(id)), "{client:?}");
        }
    }
}
