//! One conversation: bytes become messages, messages become latencies, and due messages become frames.

mod hearing;
mod saying;
mod staying;

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use wsgate::client::{self, Socket};
use wsgate::wire::close::{Close, Code};
use wsgate::wire::frame::{self, Role};
use wsgate::wire::inbound::{Inbound, Rules};

use super::member::Member;
use super::plan::{Micros, Schedule};
use super::policy::{Expect, Life, Sending};
use super::worker::{Seat, Worker};

/// How long a peer has to answer a Close.
const FAREWELL: Micros = 3_000_000;

/// How a conversation ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The conductor had everybody cut.
    Cut,
    /// With a Close: who began it, and how long the answer took if we did.
    Closed { code: u16, ours: bool, took: Option<Micros> },
    /// Without one.
    Lost(String),
}

impl End {
    /// Whether it was not we who ended it.
    pub(crate) fn is_the_servers(&self) -> bool {
        matches!(self, Self::Closed { ours: false, .. } | Self::Lost(_))
    }

    /// What there is to say of it when nobody had read anything until then.
    pub(crate) fn of_one_who_never_read(&self) -> String {
        match self {
            Self::Cut => "cut".to_owned(),
            // It has answered our Close, after all that it had sent before.
            Self::Closed { code: 1000, ours: true, .. } => "still held in the end".to_owned(),
            Self::Closed { code, .. } => format!("closed with {code}"),
            Self::Lost(why) if why == NO_ANSWER => "still held in the end".to_owned(),
            Self::Lost(_) => "ended by the server without a Close".to_owned(),
        }
    }
}

const NO_ANSWER: &str = "no answer to Close";

/// Whether a connection is in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    /// It has not asked yet.
    None,
    /// It has asked, and was not told yet that it is in.
    Asked,
    /// It is.
    In,
}

/// The state of one conversation.
pub(crate) struct Talk<'w> {
    worker: &'w Worker,
    seat: Seat,
    generation: usize,
    member: &'w mut Member,
    inbound: Inbound,
    /// The beginning of the message under way, and its size so far.
    head: Vec<u8>,
    size: usize,
    /// Pongs and Closes to send.
    out: Vec<u8>,
    closed: Option<u16>,
    offence: Option<String>,
    /// When we sent our Close.
    leaving: Option<Micros>,
    /// Send times of messages too short for a mark, oldest first.
    unmarked: VecDeque<Micros>,
    /// Of a closed loop: how many more may be sent now.
    credit: usize,
    schedule: Option<Schedule>,
    number: u64,
    membership: Membership,
    /// Since when.
    member_since: Micros,
    /// How many of those that its member has no answer to were said here, the oldest first.
    said: usize,
    /// How many messages of each part came.
    heard: [u64; 2],
    armed: Micros,
    held_up: bool,
    /// From when the first message is waited for; gone once it has come.
    waits_since: Option<Micros>,
}

impl<'w> Talk<'w> {
    pub(crate) fn new(worker: &'w Worker, (seat, member): (Seat, &'w mut Member), generation: usize) -> Self {
        let rules = Rules { from: Role::Server, message_size: u64::MAX, utf8: false };
        let credit = if let Sending::OnReply(window) = worker.policy.sending { window } else { 0 };
        Self {
            worker,
            seat,
            generation,
            member,
            inbound: Inbound::new(rules),
            head: Vec::new(),
            size: 0,
            out: Vec::new(),
            closed: None,
            offence: None,
            leaving: None,
            unmarked: VecDeque::new(),
            credit,
            schedule: None,
            number: 0,
            membership: Membership::None,
            member_since: 0,
            said: 0,
            heard: [0; 2],
            armed: 0,
            held_up: false,
            waits_since: Some(worker.pacer.now()),
        }
    }

    /// How many messages of each part came.
    pub(crate) fn heard(&self) -> [u64; 2] {
        self.heard
    }

    /// How many messages were said here and have no answer.
    pub(crate) fn said(&self) -> usize {
        self.said
    }

    /// Goes on as far as it can. The connection's task is polled when bytes come or go, when a message is due, and when
    /// orders change.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<End> {
        let worker = self.worker;
        worker.register(self.seat, cx);
        if self.generation != worker.control.generation() {
            return Poll::Ready(End::Cut);
        }
        self.join(cx, socket);
        loop {
            let progress = match self.read(cx, socket) {
                Ok(progress) => progress,
                Err(end) => return Poll::Ready(end),
            };
            if !self.out.is_empty() {
                socket.send(cx, &self.out);
                self.out.clear();
            }
            if let Some(code) = self.closed {
                let took = self.leaving.map(|since| worker.pacer.now() - since);
                let _ = socket.poll_flush(cx);
                return Poll::Ready(End::Closed { code, ours: took.is_some(), took });
            }
            let leaves = self.leave_if_told(cx, socket);
            match worker.policy.expect {
                _ if self.leaving.is_some() => {}
                Expect::Once => self.say_all(cx, socket),
                Expect::Replies | Expect::Deliveries => self.send_due(cx, socket),
            }
            if let Poll::Ready(Err(error)) = socket.poll_flush(cx) {
                return Poll::Ready(lost(&error));
            }
            if self.leaving.is_some_and(|since| worker.pacer.now() >= since + FAREWELL) {
                return Poll::Ready(End::Lost(NO_ANSWER.into()));
            }
            // Who has stopped reading reads again to hear the answer.
            if !progress && !leaves {
                return Poll::Pending;
            }
        }
    }

    fn never_reads(&self) -> bool {
        self.seat.index >= self.worker.policy.readers
    }

    fn read(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Result<bool, End> {
        if self.never_reads() && self.leaving.is_none() && !self.worker.control.quit() {
            return Ok(false);
        }
        let polled = socket.poll_pieces(cx, &mut |piece, _| {
            self.take(piece);
            true
        });
        if let Some(offence) = self.offence.take() {
            return Err(End::Lost(offence));
        }
        match polled {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(true)) => Ok(true),
            Poll::Ready(Ok(false)) => match self.closed {
                Some(code) => Err(End::Closed { code, ours: self.leaving.is_some(), took: None }),
                None => Err(End::Lost("ended without a Close".into())),
            },
            Poll::Ready(Err(error)) => Err(lost(&error)),
        }
    }

    fn leave_if_told(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> bool {
        let worker = self.worker;
        let is_done = worker.policy.life == Life::Brief || !worker.is_wanted_now(self.seat);
        let leaves = is_done && self.leaving.is_none();
        if leaves {
            if self.membership == Membership::Asked {
                worker.tally.borrow_mut().error("was not let in: no message with --joined in it");
            }
            let close = Close::new(Code::NORMAL, "");
            socket.send(cx, &frame::close(&close, Some(client::random())));
            let now = worker.pacer.now();
            self.leaving = Some(now);
            worker.pacer.wake_at(now + FAREWELL, cx.waker().clone());
        }
        leaves
    }
}

fn lost(error: &io::Error) -> End {
    End::Lost(error.to_string())
}
