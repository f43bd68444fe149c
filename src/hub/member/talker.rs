//! A member of `wsgate.chat.v1`: connected to a hub, and in as many of its rooms as it likes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::Credentials;
use super::ask::Desk;
use super::misconduct::Misconduct;
use crate::hub::Hub;
use crate::hub::bucket::Bucket;
use crate::hub::fault::Fault;
use crate::hub::house::Chair;
use crate::hub::id::{self, MemberId, MessageId, Session};
use crate::hub::language::Language;
use crate::hub::language::v1::event::{Event, Limits};
use crate::hub::mailbox::{Again, Out, Word};
use crate::hub::name::Name;
use crate::hub::room::{Guest, Room};
use crate::hub::shard::Shard;
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::endpoint::Endpoint;
use crate::socket::vigil::Vigil;
use crate::telemetry::report;
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::{Close, Code, Ending};

/// Somebody who is promised a seat in a hub.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(super) hub: Arc<Hub>,
    /// The room of its path.
    pub(super) room: Box<str>,
    pub(super) credentials: Credentials,
    /// What it is called, where its token says so.
    pub(super) name: Option<Name>,
}

/// One member.
pub(crate) struct Talker {
    endpoint: RefCell<Endpoint>,
    pub(in crate::hub) place: Place,
    pub(super) arrival: Arrival,
    user: u64,
    pub(super) state: RefCell<State>,
}

/// What changes while a member is connected.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: MemberId,
    pub(super) name: Name,
    pub(super) rooms: Vec<InRoom>,
    pub(super) has_resumed: bool,
    /// What it says, what it asks for, and what it would have said or asked for beyond that.
    pub(super) says: Bucket,
    pub(super) asks: Bucket,
    pub(super) excess: Bucket,
    pub(super) misconduct: Misconduct,
    /// Seats in rooms that are not ready for it yet, and who is to be woken when they are. With a seat a room is not
    /// forgotten, and whoever waits for it is not either.
    pub(super) joining: Vec<Chair>,
    pub(super) waker: Option<Waker>,
}

/// A member in one of its rooms.
#[derive(Debug)]
pub(super) struct InRoom {
    pub(super) chair: Chair,
    /// Its place in the shard.
    pub(super) key: usize,
    /// When the others last heard that it writes; in milliseconds since the worker's start.
    pub(super) typed: Option<u64>,
}

impl std::fmt::Debug for Talker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talker").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Talker {
    /// Its number among the connections of its hub.
    pub(crate) const fn user(&self) -> u64 {
        self.user
    }

    /// How letters name it.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.hub().house().ground().number(), self.user)
    }

    pub(super) const fn hub(&self) -> &Arc<Hub> {
        &self.arrival.hub
    }

    /// Hands it a frame that others may share.
    pub(crate) fn deliver(&self, cx: &mut Context<'_>, frame: &Bytes) {
        let mut endpoint = self.endpoint.borrow_mut();
        let kept = endpoint.deliver(cx, &self.place, frame);
        if !kept || endpoint.has_backlog() {
            self.place.wake();
        }
    }

    /// Lets it into a room that is ready now.
    pub(crate) fn again(self: &Rc<Self>, cx: &mut Context<'_>, shard: &Rc<Shard>, again: &Again) {
        let mut answer = Vec::new();
        Desk::new(self, shard, again.budget).again(again, &mut answer);
        self.deliver(cx, &Bytes::from(answer));
        let waker = self.state.borrow_mut().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Sends it away.
    pub(crate) fn dismiss(&self, cx: &mut Context<'_>, close: Close) {
        self.endpoint.borrow_mut().dismiss(cx, close);
        self.place.wake();
    }

    /// Who it is.
    pub(crate) fn id(&self) -> MemberId {
        self.state.borrow().id
    }

    /// Whether it is in this room, and not about to go.
    pub(crate) fn is_in(&self, room: &Arc<Room>) -> bool {
        let rooms = &self.state.borrow().rooms;
        !self.endpoint.borrow().is_ending() && rooms.iter().any(|known| Arc::ptr_eq(known.chair.room(), room))
    }

    /// What it has said has its place.
    pub(crate) fn acknowledge(&self, room: &Room, reference: Option<&str>, id: MessageId) {
        let event = Event::Ack { reference, id, time: id.time(), room: Some(room.name()) };
        self.deliver(&mut Context::from_waker(Waker::noop()), &event.frame());
    }

    /// What it has said is not said, for this reason; in the words of whoever has judged it, if there are any.
    pub(crate) fn refuse(&self, room: &Room, reference: Option<&str>, (fault, words): (Fault, Option<&str>)) {
        let retry = fault.retry().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        let (code, text, room) = (fault.code(), fault.text(), Some(room.name()));
        let event = Event::Error { reference, code, text: words.unwrap_or(&text), room, retry };
        self.deliver(&mut Context::from_waker(Waker::noop()), &event.frame());
    }

    /// It is in this room no more, and is told why.
    pub(crate) fn put_out(&self, cx: &mut Context<'_>, shard: &Shard, room: &Arc<Room>, out: &Out) {
        if out.close {
            return self.dismiss(cx, Close::new(Code::PUT_OUT, out.line()));
        }
        let mut state = self.state.borrow_mut();
        let at = state.rooms.iter().position(|known| Arc::ptr_eq(known.chair.room(), room));
        let Some(left) = at.map(|at| state.rooms.swap_remove(at)) else { return };
        let id = state.id;
        drop(state);
        self.leave(shard, left, id);
        let event = Event::Left { reference: None, room: room.name(), why: Some(out.why), text: out.reason.as_deref() };
        self.deliver(cx, &event.frame());
    }

    pub(super) fn leave(&self, shard: &Shard, InRoom { chair, key, .. }: InRoom, id: MemberId) {
        shard.unlisten(chair.room(), key);
        chair.room().depart(id, self.user, shard.worker(), Language::V1);
    }

    fn hello(&self, session: &str) -> Bytes {
        let (state, wishes) = (self.state.borrow(), self.hub().wishes());
        let limits = Limits {
            text: wishes.text,
            rooms: wishes.rooms_per_member,
            rate: wishes.say.rate.map(|rate| f64::from(rate.count.get()) / rate.per.as_secs_f64()),
            burst: wishes.say.burst,
        };
        let hello = Event::Hello {
            id: state.id,
            session,
            name: &state.name.text,
            room: &self.arrival.room,
            time: id::now(),
            limits,
            moderator: self.arrival.credentials.moderator,
        };
        hello.frame()
    }
}

impl State {
    /// Where this member stands in one of its rooms.
    pub(super) fn guest<'a>(&'a self, user: u64, worker: usize) -> Guest<'a> {
        Guest { id: self.id, user, worker, name: &self.name }
    }

    /// The seat that it waits on in the room of this name.
    pub(super) fn waited(&mut self, name: &str) -> Option<Chair> {
        let at = self.joining.iter().position(|chair| chair.room().name() == name)?;
        Some(self.joining.swap_remove(at))
    }

    /// The room of this name, when the member is in it.
    pub(super) fn room(&self, name: &str) -> Option<&Arc<Room>> {
        self.rooms.iter().map(|room| room.chair.room()).find(|room| room.name() == name)
    }
}

/// A member on its seat, until its WebSocket ends.
pub(crate) struct Sitting {
    talker: Rc<Talker>,
    shard: Rc<Shard>,
}

impl Sitting {
    /// The member is connected from now on, and has its `hello` in its queue.
    pub(super) fn new(arrival: Arrival, socket: Socket, (vigil, place): (Vigil, Place), shard: &Rc<Shard>) -> Self {
        let hub = Arc::clone(&arrival.hub);
        let ground = hub.house().ground();
        let user = ground.next_user();
        let session = Session::random();
        let state = State {
            id: session.map_or_else(|_| MemberId::without_session(&ground.keys, user), |session| session.member()),
            name: arrival.name.clone().unwrap_or_else(|| Name::of_user(user)),
            rooms: Vec::new(),
            has_resumed: false,
            says: Bucket::default(),
            asks: Bucket::default(),
            excess: Bucket::default(),
            misconduct: Misconduct::default(),
            joining: Vec::new(),
            waker: None,
        };
        ground.connect(state.id, (shard.worker(), user), Word::Close(superseded()));
        let (endpoint, state) = (RefCell::new(Endpoint::new(socket, vigil)), RefCell::new(state));
        let talker = Rc::new(Talker { endpoint, place, arrival, user, state });
        shard.connect(&talker);
        let mut cx = Context::from_waker(Waker::noop());
        match session {
            Ok(session) => talker.deliver(&mut cx, &talker.hello(&session.text())),
            Err(_) => talker.dismiss(&mut cx, Close::new(Code::INTERNAL, "there is no session to be had")),
        }
        Self { talker, shard: Rc::clone(shard) }
    }
}

/// What a connection is told whose member has come by another.
pub(super) fn superseded() -> Close {
    Close::new(Code::SUPERSEDED, "resumed elsewhere")
}

impl Conversation for Sitting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut endpoint = self.talker.endpoint.borrow_mut();
        let mut desk = Desk::new(&self.talker, &self.shard, endpoint.send_queue());
        endpoint.poll(cx, &self.talker.place, &mut desk)
    }

    fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        self.talker.endpoint.borrow_mut().order(cx, order);
    }

    fn place(&self) -> &Place {
        &self.talker.place
    }

    fn passed(&self) -> Passed {
        self.talker.endpoint.borrow().passed()
    }

    fn state(&self) -> report::State {
        self.talker.endpoint.borrow().state(self.talker.place.now())
    }
}

impl Drop for Sitting {
    /// The shard is left before the seats are.
    fn drop(&mut self) {
        let talker = &self.talker;
        let (id, rooms, _joining) = {
            let mut state = talker.state.borrow_mut();
            (state.id, std::mem::take(&mut state.rooms), std::mem::take(&mut state.joining))
        };
        rooms.into_iter().for_each(|room| talker.leave(&self.shard, room, id));
        talker.hub().house().ground().disconnect(id, talker.user);
        self.shard.disconnect(talker);
    }
}
