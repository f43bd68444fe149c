//! Where everything comes together: notes of rooms, answers of Redis, what its channels bring, and time. One task, on a
//! thread of its own, that never waits for any one of them.

mod channel;
mod law;
mod link;
mod look;
mod presence;
mod room;

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{PushInfo, RedisError};
use tokio::sync::mpsc;

use self::channel::Channel;
use self::law::Lawful;
use self::link::Link;
use self::room::Desked;
use super::Shared;
use super::chapter::Chapter;
use super::connect::{Connection, Way};
use super::flight::{Address, Concern, Job, Outcome};
use super::inbox::Note;
use super::script::Scripts;
use crate::lifecycle::{Tasks, clock};

/// How often small things are looked at: who has come and gone, what waits for too long.
const TICK: Duration = Duration::from_millis(200);

/// The desk.
pub(super) struct Desk {
    shared: Arc<Shared>,
    way: Arc<Way>,
    tasks: Tasks,
    scripts: Rc<Scripts>,
    answers: mpsc::UnboundedSender<Answer>,
    chapters: HashMap<Arc<str>, Arc<Chapter>>,
    /// Hubs in which this gateway takes in what scripts say.
    leads: HashMap<Arc<str>, bool>,
    /// What moderators have decided in each hub.
    laws: HashMap<Arc<str>, Lawful>,
    rooms: HashMap<Address, Desked>,
    channels: HashMap<String, (Address, Channel)>,
    /// Rooms that are gone, whose channels are listened to until Redis has answered.
    leaving: HashSet<Address>,
    link: Link,
    pushes: Option<mpsc::Receiver<PushInfo>>,
    /// Counts connections, so that answers of an earlier one are known; and those that were made.
    generation: u64,
    connections: u64,
    /// Tries to connect that failed, one after the other.
    failures: u32,
    /// Since when Redis is gone.
    lost: Option<Instant>,
    flying: usize,
    jobs: VecDeque<Job>,
    /// When a word was sent through a channel that has not come back.
    canary: Option<Instant>,
}

/// What a task has to tell.
pub(super) enum Answer {
    /// Of the connection of this generation.
    Flown(u64, Concern, Result<Outcome, RedisError>),
    Connected(Result<Box<Connection>, RedisError>),
    /// The inlet of this generation has ended.
    Ended(u64, RedisError),
}

impl Desk {
    /// A desk, and where its tasks leave their answers.
    pub(super) fn new(shared: Arc<Shared>, way: Arc<Way>) -> (Self, mpsc::UnboundedReceiver<Answer>) {
        // Bounded by the questions under way, and a few.
        let (answers, inbox) = mpsc::unbounded_channel();
        let desk = Self {
            shared,
            way,
            tasks: Tasks::default(),
            scripts: Rc::default(),
            answers,
            chapters: HashMap::new(),
            leads: HashMap::new(),
            laws: HashMap::new(),
            rooms: HashMap::new(),
            channels: HashMap::new(),
            leaving: HashSet::new(),
            link: Link::Down,
            pushes: None,
            generation: 0,
            connections: 0,
            failures: 0,
            lost: None,
            flying: 0,
            jobs: VecDeque::new(),
            canary: None,
        };
        (desk, inbox)
    }

    /// Runs until `stop`; then tells Redis that nobody is here any more.
    pub(super) async fn run(
        mut self,
        mut answers: mpsc::UnboundedReceiver<Answer>,
        mut stop: tokio::sync::oneshot::Receiver<()>,
    ) {
        let shared = Arc::clone(&self.shared);
        let third = shared.wishes.expiry / 3;
        let (mut tick, mut beat) = (Box::pin(clock::sleep(TICK)), Box::pin(clock::sleep(third)));
        self.connect(Duration::ZERO);
        loop {
            tokio::select! {
                // Beyond this notes wait in the inbox, and those who leave them.
                note = shared.inbox.next(), if self.jobs.len() < shared.wishes.queue => self.note(note),
                Some(answer) = answers.recv() => self.answer(answer),
                push = next_push(&mut self.pushes) => self.push(push),
                () = &mut tick => {
                    self.tick();
                    tick.set(clock::sleep(TICK));
                }
                () = &mut beat => {
                    self.beat();
                    beat.set(clock::sleep(third));
                }
                _ = &mut stop => break,
            }
        }
        self.leave(&mut answers).await;
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Begin(chapter) => self.begin(&chapter),
            Note::Open(chapter, hall) => drop(self.open(&chapter, hall, true)),
            Note::Say(chapter, hall, said, user) => self.say(&chapter, hall, said, user),
            Note::People(chapter, hall) => {
                let address = self.open(&chapter, hall, false);
                self.peopled(&address);
            }
            Note::Tell(chapter, hall, fields) => {
                let text = format!("{{\"node\":\"{}\",{fields}}}", self.shared.node);
                self.fly(Job::Publish(chapter.tell(hall.name()), text));
            }
            Note::Send(chapter, node, fields) => {
                let text = format!("{{\"node\":\"{}\",{fields}}}", self.shared.node);
                self.fly(Job::Publish(chapter.node(&node), text));
            }
            Note::Erase(chapter, hall, shown) => {
                let address = self.open(&chapter, hall, false);
                if let Some(room) = self.rooms.get_mut(&address) {
                    // A Redis that had lost it may have it under another place than the one that was spoken of.
                    room.erased.extend(room.ledger.erase(shown));
                }
            }
            Note::Decree(chapter, decree) => self.decide(&chapter, decree),
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Connected(connected) => self.connected(connected),
            Answer::Ended(generation, error) => {
                if generation == self.generation {
                    self.lose(&error);
                }
            }
            Answer::Flown(generation, concern, outcome) => {
                self.flying -= 1;
                if generation == self.generation && self.link.is_up() {
                    match outcome {
                        Ok(outcome) => self.landed(outcome),
                        Err(error) => self.failed(concern, &error),
                    }
                }
                self.take_off();
            }
        }
    }

    fn landed(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Opened(address, raw, others) => self.opened(&address, raw, &others),
            Outcome::Looked(address, page) => self.looked(&address, page),
            Outcome::Added(address, key, place) => self.added(&address, &key, place),
            Outcome::Attended(address, others) => {
                self.attended(&address, &others);
            }
            Outcome::Left(address) => self.left(&address),
            Outcome::Decreed(prefix, decree) => self.decreed(&prefix, &decree),
            Outcome::Law(prefix, statutes) => self.read_law(&prefix, statutes),
            Outcome::Led(prefix, leads) => drop(self.leads.insert(prefix, leads)),
            Outcome::Done => {}
        }
    }

    /// Asks Redis, now or when there is room; not at all while it is gone.
    fn fly(&mut self, job: Job) {
        if self.link.is_up() {
            self.jobs.push_back(job);
            self.take_off();
        }
    }

    fn take_off(&mut self) {
        while let Some(gear) = self.link.gear().filter(|gear| self.flying < gear.line.side_by_side()) {
            let Some(job) = self.jobs.pop_front() else { return };
            let (generation, answers, concern) = (self.generation, self.answers.clone(), job.concern());
            self.flying += 1;
            self.tasks.spawn(async move {
                let outcome = gear.fly(job).await;
                let _ = answers.send(Answer::Flown(generation, concern, outcome));
            });
        }
    }

    fn tick(&mut self) {
        let addresses: Vec<Address> = self.rooms.keys().cloned().collect();
        let (mut owed, mut kept, mut over) = (0, 0, Vec::new());
        for address in addresses {
            let Some(room) = self.rooms.get_mut(&address) else { continue };
            owed += room.ledger.owed() as u64;
            if room.hall.is_over() {
                // Nobody is here any more, but others are to hear what was said: of that, so much is kept.
                let unsaid = room.ledger.unsaid().len();
                kept += unsaid;
                if unsaid == 0 || kept > self.shared.wishes.queue {
                    over.push(address);
                    continue;
                }
            }
            self.tend(&address);
        }
        self.shared.facts.owed.set(owed);
        for address in over {
            self.close(&address);
        }
    }
}

/// What a channel brings; never, while there is no connection. Cancel safe.
async fn next_push(pushes: &mut Option<mpsc::Receiver<PushInfo>>) -> Option<PushInfo> {
    match pushes {
        Some(pushes) => pushes.recv().await,
        None => std::future::pending().await,
    }
}
