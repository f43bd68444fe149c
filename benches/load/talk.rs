//! One conversation: bytes become messages, messages become latencies, and due messages become frames.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use wsgate::client::{self, Socket};
use wsgate::wire::close::{Close, Code};
use wsgate::wire::frame::{self, HEAD_MAX, Opcode, Role};
use wsgate::wire::inbound::{Inbound, Rules, Turn};

use super::plan::{MARK, Mark, Micros, Schedule};
use super::tally::Kind;
use super::worker::{Expect, Life, Policy, Seat, Sending, Worker};

/// So much of a message's beginning is searched for its mark.
const SEARCHED: usize = 256;
/// While so much waits for the server to read it, nothing more is sent; it counts as late all the same.
const BACKLOG: usize = 1 << 20;
/// How long a peer has to answer a Close.
const FAREWELL: Micros = 3_000_000;

/// A whole masked frame, of which only the mark changes. Its mask is the same each time: the server's work is the same,
/// and nobody here needs protection from caches in between.
pub(crate) struct Template {
    frame: Vec<u8>,
    key: [u8; 4],
    /// Where the payload begins.
    start: usize,
    marked: bool,
    size: usize,
}

impl Template {
    pub(crate) fn new(policy: &Policy) -> Self {
        let opcode = if policy.binary { Opcode::Binary } else { Opcode::Text };
        let payload: Vec<u8> = (b'a'..=b'z').cycle().take(policy.size).collect();
        let key = client::random();
        let frame = frame::whole(opcode, &payload, Some(key));
        let start = frame.len() - payload.len();
        Self { frame, key, start, marked: policy.size >= MARK, size: policy.size }
    }

    fn with(&mut self, mark: Mark) -> &[u8] {
        if self.marked {
            for (at, byte) in mark.to_text().into_iter().enumerate() {
                self.frame[self.start + at] = byte ^ self.key[at % 4];
            }
        }
        &self.frame
    }
}

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

/// The state of one conversation.
pub(crate) struct Talk<'w> {
    worker: &'w Worker,
    seat: Seat,
    generation: usize,
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
    armed: Micros,
    held_up: bool,
    /// From when the first message is waited for; gone once it has come.
    waits_since: Option<Micros>,
}

impl<'w> Talk<'w> {
    pub(crate) fn new(worker: &'w Worker, seat: Seat, generation: usize) -> Self {
        let rules = Rules { from: Role::Server, message_size: u64::MAX, utf8: false };
        let credit = if let Sending::OnReply(window) = worker.policy.sending { window } else { 0 };
        Self {
            worker,
            seat,
            generation,
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
            armed: 0,
            held_up: false,
            waits_since: Some(worker.pacer.now()),
        }
    }

    /// Goes on as far as it can. The connection's task is polled when bytes come or go, when a message is due, and when
    /// orders change.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<End> {
        let worker = self.worker;
        worker.register(self.seat, cx);
        if self.generation != worker.control.generation() {
            return Poll::Ready(End::Cut);
        }
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
            if self.leaving.is_none() {
                self.send_due(cx, socket);
            }
            if let Poll::Ready(Err(error)) = socket.poll_flush(cx) {
                return Poll::Ready(lost(&error));
            }
            if self.leaving.is_some_and(|since| worker.pacer.now() >= since + FAREWELL) {
                return Poll::Ready(End::Lost("no answer to Close".into()));
            }
            // Who has stopped reading reads again to hear the answer.
            if !progress && !leaves {
                return Poll::Pending;
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Result<bool, End> {
        let is_sluggish = self.seat.index < self.worker.policy.sluggish;
        let control = &self.worker.control;
        if is_sluggish && self.worker.pacer.now() >= control.from() && self.leaving.is_none() && !control.quit() {
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

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.closed.is_none() {
            if self.head.is_empty()
                && let Some((used, length)) = self.inbound.short_message(bytes)
            {
                self.got(&bytes[used - length..used], length);
                bytes = &bytes[used..];
                continue;
            }
            let (used, control) = match self.inbound.next(bytes) {
                Err(violation) => {
                    self.offence = Some(format!("the server broke the protocol: {violation}"));
                    return;
                }
                Ok((used, Turn::Payload { bytes, message_ends, .. })) => {
                    self.piece(bytes, message_ends);
                    (used, None)
                }
                // An empty frame brings no payload of its own before the next call.
                Ok((used, Turn::Data { .. } | Turn::More)) => (used, None),
                Ok((used, Turn::Control(opcode))) => (used, Some(opcode)),
            };
            match control {
                Some(Opcode::Ping) => {
                    let pong = self.inbound.control().to_vec();
                    frame::append(&mut self.out, Opcode::Pong, &pong, Some(client::random()));
                }
                Some(Opcode::Close) => self.peer_closes(),
                _ => {}
            }
            bytes = &bytes[used..];
        }
    }

    fn piece(&mut self, bytes: &[u8], ends: bool) {
        let room = SEARCHED.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.size += bytes.len();
        if ends {
            let (head, size) = (std::mem::take(&mut self.head), std::mem::take(&mut self.size));
            self.got(&head, size);
        }
    }

    fn peer_closes(&mut self) {
        let payload = self.inbound.control();
        let code = if let [high, low, ..] = payload { u16::from_be_bytes([*high, *low]) } else { 1005 };
        if self.leaving.is_none() {
            let answer = payload.get(..2).unwrap_or_default().to_vec();
            frame::append(&mut self.out, Opcode::Close, &answer, Some(client::random()));
        }
        self.closed = Some(code);
    }

    /// A whole message has come, of which this is the beginning.
    fn got(&mut self, head: &[u8], size: usize) {
        let worker = self.worker;
        let now = worker.pacer.now();
        let mut tally = worker.tally.borrow_mut();
        let measuring = worker.control.measuring();
        if measuring {
            tally.received += 1;
            tally.bytes_in += size as u64;
            tally.second.received += 1;
            tally.second.bytes_in += size as u64;
        }
        if let Some(since) = self.waits_since.take() {
            tally.record(Kind::First, now.saturating_sub(since));
        }
        let policy = &worker.policy;
        let mark = if policy.size >= MARK { Mark::find(head).filter(|mark| mark.run == policy.run) } else { None };
        let own = mark.is_some_and(|mark| mark.sender as usize == self.seat.index & 0xf_ffff);
        let sent_at = match policy.expect {
            Expect::Deliveries => mark.map(|mark| mark.at),
            Expect::Replies => mark.filter(|_| own).map(|mark| mark.at).or_else(|| self.unmarked.pop_front()),
        };
        let Some(sent_at) = sent_at else { return };
        tally.hears_itself |= own;
        if policy.expect == Expect::Replies && size < policy.size {
            tally.error("a reply is shorter than the message");
        }
        if policy.expect == Expect::Replies || self.seat.index >= policy.sluggish {
            // Also what comes after the end of sending: the latest must not be left out.
            tally.deliveries += 1;
            worker.control.deliver();
            tally.record(Kind::Main, now.saturating_sub(sent_at));
        }
        self.credit += usize::from(matches!(policy.sending, Sending::OnReply(_)));
    }

    fn leave_if_told(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> bool {
        let worker = self.worker;
        let is_done = worker.policy.life == Life::Brief || !worker.is_wanted_now(self.seat);
        let leaves = is_done && self.leaving.is_none();
        if leaves {
            let close = Close::new(Code::NORMAL, "");
            socket.send(cx, &frame::close(&close, Some(client::random())));
            let now = worker.pacer.now();
            self.leaving = Some(now);
            worker.pacer.wake_at(now + FAREWELL, cx.waker().clone());
        }
        leaves
    }

    fn send_due(&mut self, cx: &mut Context<'_>, socket: &mut Socket) {
        let worker = self.worker;
        let (from, until) = (worker.control.from(), worker.control.until());
        let now = worker.pacer.now();
        match worker.policy.sending {
            Sending::Nothing => {}
            Sending::OnReply(_) => {
                while self.credit > 0 && now >= from && now < until {
                    self.credit -= 1;
                    self.send(cx, socket, worker.pacer.now());
                }
                if now < from && from != u64::MAX && self.armed != from {
                    self.armed = from;
                    worker.pacer.wake_at(from, cx.waker().clone());
                }
            }
            Sending::Scheduled { rate, senders, of } => {
                if self.seat.index + senders >= of && from != u64::MAX {
                    let schedule = Schedule::new(from, rate, self.seat.index + senders - of, senders);
                    self.schedule.get_or_insert(schedule);
                    self.send_scheduled(cx, socket, until);
                }
            }
        }
    }

    fn send_scheduled(&mut self, cx: &mut Context<'_>, socket: &mut Socket, until: Micros) {
        let Some(schedule) = self.schedule else { return };
        let worker = self.worker;
        loop {
            let (due, now) = (schedule.due(self.number), worker.pacer.now());
            if due >= until {
                return;
            }
            if now < due {
                self.held_up = false;
                if self.armed != due {
                    self.armed = due;
                    worker.pacer.wake_at(due, cx.waker().clone());
                }
                return;
            }
            if socket.queued() > BACKLOG {
                // The flush wakes us; that the message is late is the server's doing.
                self.held_up = true;
                return;
            }
            if !self.held_up {
                worker.tally.borrow_mut().late.saturating_record((now - due).max(1));
            }
            self.number += 1;
            self.send(cx, socket, due);
        }
    }

    /// Sends one message that was to be sent at `at`.
    fn send(&mut self, cx: &mut Context<'_>, socket: &mut Socket, at: Micros) {
        let worker = self.worker;
        let mut template = worker.template.borrow_mut();
        if !template.marked {
            self.unmarked.push_back(at);
        }
        let size = template.size as u64;
        if self.number <= 1 && self.waits_since.is_some_and(|since| since < at) {
            self.waits_since = Some(at);
        }
        socket.send(cx, template.with(Mark { run: worker.policy.run, sender: self.seat.index as u32, at }));
        if worker.control.measuring() {
            let mut tally = worker.tally.borrow_mut();
            tally.sent += 1;
            tally.bytes_out += size;
            tally.second.sent += 1;
            tally.second.bytes_out += size;
        }
    }
}

fn lost(error: &io::Error) -> End {
    End::Lost(error.to_string())
}

const _: () = assert!(HEAD_MAX < SEARCHED);
