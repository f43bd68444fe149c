//! The members of all rooms on one worker: one walk hands a message to each of them, and never waits for any.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use slab::Slab;
use tokio::sync::oneshot;

use super::filter::{Filter, Waiting};
use super::mailbox::{Content, Letter, Mailbox, Out, Said, Word};
use super::member::{Member, Talker};
use super::room::{Room, Since};
use crate::lifecycle::Tasks;
use crate::wire::close::{Close, Code};

/// Members that are served before others on this worker get their turn.
///
/// Below the budget of 128 operations that tokio gives a task for one turn: beyond it every write would have to wait.
const STRIDE: usize = 96;

/// One worker's members.
#[derive(Debug)]
pub(crate) struct Shard {
    worker: usize,
    mailbox: Arc<Mailbox>,
    /// By the room's address, which is its own as long as a member holds it.
    rooms: RefCell<HashMap<*const Room, Company>>,
    /// Who can be told something alone, by hub and number.
    talkers: RefCell<HashMap<(u64, u64), Rc<Talker>>>,
    /// What members have said and is not judged yet, by hub and number, in their order.
    waiting: RefCell<HashMap<(u64, u64), Queue>>,
    tasks: Tasks,
}

/// What one member has said and is not judged yet.
#[derive(Debug)]
struct Queue {
    all: VecDeque<Waiting>,
    /// Dropped with the queue: then nobody waits for the verdict that is asked for.
    _wanted: oneshot::Sender<Infallible>,
}

/// The members of one room on one worker, by what they speak.
#[derive(Debug, Default)]
struct Company {
    plain: Slab<Rc<Member>>,
    v1: Slab<Listening>,
}

/// A member of the newer language in one of its rooms.
#[derive(Debug)]
struct Listening {
    talker: Rc<Talker>,
    since: Since,
}

impl Shard {
    /// A worker's shard; `worker` is its place among the mailboxes.
    #[must_use]
    pub(crate) fn new(worker: usize, mailbox: Arc<Mailbox>) -> Self {
        Self {
            worker,
            mailbox,
            rooms: RefCell::default(),
            talkers: RefCell::default(),
            waiting: RefCell::default(),
            tasks: Tasks::default(),
        }
    }

    pub(super) const fn worker(&self) -> usize {
        self.worker
    }

    /// Somebody of the plain language has come; what is returned is to be shown when it leaves.
    pub(super) fn join(&self, member: Rc<Member>) -> usize {
        let room = Arc::as_ptr(member.room());
        self.rooms.borrow_mut().entry(room).or_default().plain.insert(member)
    }

    /// Somebody of the plain language leaves the room, which is held by it until then.
    pub(super) fn leave(&self, room: &Arc<Room>, key: usize) {
        self.thin(room, |company| leave(&mut company.plain, key));
    }

    /// Somebody of the newer language has come into a room, and hears it from there on; see [`Shard::join`].
    pub(super) fn listen(&self, room: &Arc<Room>, talker: &Rc<Talker>, since: Since) -> usize {
        let listening = Listening { talker: Rc::clone(talker), since };
        self.rooms.borrow_mut().entry(Arc::as_ptr(room)).or_default().v1.insert(listening)
    }

    /// It leaves the room.
    pub(super) fn unlisten(&self, room: &Arc<Room>, key: usize) {
        self.thin(room, |company| leave(&mut company.v1, key));
    }

    /// Somebody can be told something alone from now on.
    pub(super) fn connect(&self, talker: &Rc<Talker>) {
        self.talkers.borrow_mut().insert(talker.key(), Rc::clone(talker));
    }

    /// It ends.
    pub(super) fn disconnect(&self, talker: &Talker) {
        let gone = self.talkers.borrow_mut().remove(&talker.key());
        drop(gone);
        self.silence(talker.key());
    }

    /// A member has gone: what of it waits is not said.
    pub(super) fn silence(&self, key: (u64, u64)) {
        let unsaid = self.waiting.borrow_mut().remove(&key);
        drop(unsaid);
    }

    /// Puts a message to the filter: behind those of the same member that wait, and beside those of all others.
    pub(super) fn put_to(self: &Rc<Self>, filter: Arc<dyn Filter>, waiting: Waiting) {
        let key = (waiting.room.ground().number(), waiting.draft.user);
        let mut all = self.waiting.borrow_mut();
        if let Some(queue) = all.get_mut(&key) {
            return queue.all.push_back(waiting);
        }
        let (wanted, unwanted) = oneshot::channel();
        all.insert(key, Queue { all: VecDeque::from([waiting]), _wanted: wanted });
        let shard = Rc::clone(self);
        self.tasks.spawn(async move { shard.judge(key, filter, unwanted).await });
    }

    /// Whether something of this member's waits for its verdict: it is not read on until then.
    pub(super) fn is_waiting(&self, key: (u64, u64)) -> bool {
        self.waiting.borrow().contains_key(&key)
    }

    /// Has one member's messages judged until none waits, or until it has gone.
    async fn judge(&self, key: (u64, u64), filter: Arc<dyn Filter>, mut unwanted: oneshot::Receiver<Infallible>) {
        let first = || {
            let all = self.waiting.borrow();
            let waiting = all.get(&key)?.all.front()?;
            Some(waiting.stands().map(|()| waiting.question()))
        };
        while let Some(question) = first() {
            let verdict = match question {
                Ok(question) => tokio::select! {
                    biased;
                    _ = &mut unwanted => return,
                    verdict = Arc::clone(&filter).judge(question) => Ok(verdict),
                },
                // Nobody is asked about what could not be said.
                Err(fault) => Err(fault),
            };
            let Some((waiting, is_last)) = self.take_judged(key) else { return };
            let speaker = waiting.speaker.clone();
            waiting.conclude(verdict);
            if is_last {
                return speaker.wake();
            }
        }
    }

    /// The message that was judged, and whether it was the last one.
    fn take_judged(&self, key: (u64, u64)) -> Option<(Waiting, bool)> {
        let mut all = self.waiting.borrow_mut();
        let queue = all.get_mut(&key)?;
        let waiting = queue.all.pop_front()?;
        let is_last = queue.all.is_empty();
        if is_last {
            all.remove(&key);
        }
        Some((waiting, is_last))
    }

    fn thin(&self, room: &Arc<Room>, leave: impl FnOnce(&mut Company)) {
        let mut rooms = self.rooms.borrow_mut();
        let address = Arc::as_ptr(room);
        if let Some(company) = rooms.get_mut(&address) {
            leave(company);
            if company.plain.is_empty() && company.v1.is_empty() {
                rooms.remove(&address);
            }
        }
    }

    /// Hands out what arrives, for as long as the worker lives.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            match self.mailbox.next().await {
                Letter::Room { room, number, content } => self.deliver(&room, number, &content).await,
                Letter::Member { to, word } => self.tell(to, &word),
            }
            // Members flush and answer between two letters, however many wait.
            tokio::task::yield_now().await;
        }
    }

    async fn deliver(&self, room: &Arc<Room>, number: u64, content: &Content) {
        if let Content::Out(out) = content {
            return self.put_out(room, number, out);
        }
        if let Content::Said(Said { plain: Some(_), .. }) = content {
            let mut at = 0;
            while self.deliver_plain(room, (number, content), at) {
                at += STRIDE;
                tokio::task::yield_now().await;
            }
        }
        let mut at = 0;
        while self.deliver_v1(room, (number, content), at) {
            at += STRIDE;
            tokio::task::yield_now().await;
        }
    }

    /// Serves the members in the slots from `at`; whether there are more. Nobody is forgotten or served twice when
    /// members come and go meanwhile: slots do not move, and newcomers came after this message.
    fn deliver_plain(&self, room: &Arc<Room>, (number, content): (u64, &Content), at: usize) -> bool {
        let Content::Said(Said { user, plain: Some(frame), to_sender, .. }) = content else { return false };
        let rooms = self.rooms.borrow();
        let Some(Company { plain: members, .. }) = rooms.get(&Arc::as_ptr(room)) else { return false };
        // Nobody's task is polled here: a member that has more to send than its socket takes is woken for it.
        let mut cx = Context::from_waker(Waker::noop());
        let end = members.capacity().min(at + STRIDE);
        for member in (at..end).filter_map(|slot| members.get(slot)) {
            if number > member.last && (*user != member.user || *to_sender) {
                member.deliver(&mut cx, frame);
            }
        }
        end < members.capacity()
    }

    /// The same for those of the newer language.
    fn deliver_v1(&self, room: &Arc<Room>, (number, content): (u64, &Content), at: usize) -> bool {
        let rooms = self.rooms.borrow();
        let Some(Company { v1: members, .. }) = rooms.get(&Arc::as_ptr(room)) else { return false };
        let mut cx = Context::from_waker(Waker::noop());
        let end = members.capacity().min(at + STRIDE);
        for Listening { talker, since } in (at..end).filter_map(|slot| members.get(slot)) {
            if number <= since.letter {
                continue;
            }
            match content {
                Content::Event { frame, except } if *except != talker.user() => talker.deliver(&mut cx, frame),
                Content::Event { .. } | Content::Out(_) => {}
                Content::Said(Said { user, place, v1, ack, to_sender, .. }) => {
                    let own = *user == talker.user();
                    let heard = v1.as_ref().filter(|_| since.is_before(number, *place) && (!own || *to_sender));
                    heard
                        .into_iter()
                        .chain(ack.as_ref().filter(|_| own))
                        .for_each(|frame| talker.deliver(&mut cx, frame));
                }
            }
        }
        end < members.capacity()
    }

    /// Those who came before it, in one walk: it is rare.
    fn put_out(&self, room: &Arc<Room>, number: u64, out: &Out) {
        let (mut plain, mut v1) = (Vec::new(), Vec::new());
        if let Some(company) = self.rooms.borrow().get(&Arc::as_ptr(room)) {
            let meant = |member: &&Rc<Member>| number > member.last && out.ids.contains(&member.id());
            plain.extend(company.plain.iter().map(|(_, member)| member).filter(meant).cloned());
            let listening = company.v1.iter().map(|(_, listening)| listening);
            let meant = listening.filter(|one| number > one.since.letter && out.ids.contains(&one.talker.id()));
            v1.extend(meant.map(|one| Rc::clone(&one.talker)));
        }
        let mut cx = Context::from_waker(Waker::noop());
        plain.iter().for_each(|member| member.dismiss(&mut cx, Close::new(Code::PUT_OUT, out.line())));
        v1.iter().for_each(|talker| talker.put_out(&mut cx, self, room, out));
    }

    fn tell(self: &Rc<Self>, to: (u64, u64), word: &Word) {
        let Some(talker) = self.talkers.borrow().get(&to).cloned() else { return };
        let mut cx = Context::from_waker(Waker::noop());
        match word {
            Word::Frame(frame) => talker.deliver(&mut cx, frame),
            Word::Close(close) => talker.dismiss(&mut cx, close.clone()),
            Word::Displaced(was) => talker.displaced(&mut cx, self.worker, was),
            Word::Again(again) => talker.again(&mut cx, self, again),
        }
    }
}

fn leave<T>(members: &mut Slab<T>, key: usize) {
    members.remove(key);
    if members.capacity() > 4 * members.len().max(STRIDE) {
        // The walk goes over all slots: those of a crowd that has left are given back.
        members.shrink_to_fit();
    }
}
