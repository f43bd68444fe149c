//! Two directions as one tunnel: what passes, what is answered at the edge, and how both ends come to one Ending.

use std::borrow::Cow;

use super::close::{Close, Code, Ending, Party, Violation};
use super::frame::{self, Opcode, Role};
use super::inbound::{Inbound, Rules, Turn};
use super::message::Assembler;

/// One end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whoever opened it.
    Client,
    /// Whoever serves it.
    Backend,
}

/// Where a tunnel's bytes go, and who may say that a client talks too much.
pub trait Out {
    /// Takes bytes for one end; all of them, in this order.
    fn send(&mut self, to: Side, bytes: &[u8]);

    /// Whether the client may send one more message now.
    fn admit_message(&mut self) -> bool;
}

/// How much the gateway does on behalf of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Bytes of one message from the client.
    pub message_size: u64,
    /// Whether text is checked in both directions.
    pub utf8: bool,
    /// Pings, pongs and closes end here, and the backend gets each message as one frame in one piece.
    pub edge: bool,
}

/// What passed one way, as the receiver gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Data frames, each counted when its last byte passes.
    pub frames: u64,
    /// Bytes of payload in data frames.
    pub bytes: u64,
}

impl Traffic {
    fn count(&mut self, bytes: usize, frame_ends: bool) {
        self.bytes += bytes as u64;
        self.frames += u64::from(frame_ends);
    }
}

/// An offence of the backend, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// What it did.
    pub violation: Violation,
    /// The bytes of the offending head.
    pub head: Vec<u8>,
}

/// The payload of the gateway's own pings begins so; pongs that begin so are for the gateway alone.
const OWN_PING: &[u8] = b"wsgate:";

/// The state of one tunnel. Bytes and events in, frames out; no socket, no clock.
///
/// Invariants: nothing follows a Close in either direction; nothing of a frame that breaks the law is sent on (but for
/// text found bad after its frame had begun to pass); what is put in from here stands between frames; there is exactly
/// one [`Ending`], and it is there before the session is over; once it is over, nothing passes.
#[derive(Debug)]
pub struct Tunnel {
    up: Inbound,
    down: Inbound,
    edge: Option<Box<Assembler>>,
    /// A frame has begun to pass and is not complete, so that nothing may be put in.
    up_open: bool,
    down_open: bool,
    /// Whose Close has come.
    got: [bool; 2],
    /// Who was sent a Close; a backend that is left without one (see [`Policy::edge`]) counts too.
    sent: [bool; 2],
    gone: [bool; 2],
    /// The client broke the law or was told to go: what it still says is not read.
    deaf: bool,
    /// The session ends without a Close for the client: there is no place or no time for one.
    cut: bool,
    waiting: Option<Box<Waiting>>,
    ending: Option<Ending>,
    offence: Option<Box<Offence>>,
    key: u32,
    traffic: [Traffic; 2],
}

/// What waits for a frame boundary, or for the backend.
#[derive(Debug, Default)]
struct Waiting {
    ping: bool,
    /// Only the latest: RFC 6455 §5.5.3 lets an endpoint answer the most recent ping alone.
    pong: Option<Vec<u8>>,
    /// A Close for the client, at the next boundary.
    close: Option<Close>,
    /// A Close for the client, held until the backend has said its last words.
    last: Option<Close>,
    /// A Close for the backend, at the next boundary.
    leave: Option<Close>,
}

impl Tunnel {
    /// A tunnel in which nothing has passed. `seed` makes the keys of the gateway's own frames to the backend, which
    /// RFC 6455 §5.3 wants unpredictable.
    #[must_use]
    pub fn new(policy: Policy, seed: u32) -> Self {
        let up = Rules { from: Role::Client, message_size: policy.message_size, utf8: policy.utf8 };
        let down = Rules { from: Role::Server, message_size: u64::MAX, utf8: policy.utf8 };
        Self {
            up: Inbound::new(up),
            down: Inbound::new(down),
            edge: policy.edge.then(Box::default),
            up_open: false,
            down_open: false,
            got: [false; 2],
            sent: [false; 2],
            gone: [false; 2],
            deaf: false,
            cut: false,
            waiting: None,
            ending: None,
            offence: None,
            key: seed | 1,
            traffic: [Traffic::default(); 2],
        }
    }

    /// Takes what came from one end and sends on what may pass.
    pub fn on_bytes(&mut self, from: Side, bytes: &[u8], out: &mut impl Out) {
        if self.is_over() {
            return;
        }
        match from {
            Side::Client => self.client_bytes(bytes, out),
            Side::Backend => self.backend_bytes(bytes, out),
        }
    }

    /// One end is gone: end of stream, reset or time-out, as `how` says.
    pub fn on_end(&mut self, from: Side, how: impl Into<Cow<'static, str>>, out: &mut impl Out) {
        let was_over = self.is_over();
        if std::mem::replace(&mut self.gone[from as usize], true) || was_over {
            return;
        }
        match from {
            Side::Client => self.end(|| Ending::lost(Party::Client, how)),
            Side::Backend => self.backend_ended(how.into(), out),
        }
    }

    /// The wait for a Close, or for the backend's last words, is over. If the session still is not, then a new wait
    /// begins: the client was sent its Close, or gets it at the end of a frame that is passing.
    pub fn on_deadline(&mut self, out: &mut impl Out) {
        if self.is_over() || self.ending.is_none() || self.take_last(out) {
            return;
        }
        self.cut = true;
    }

    /// The gateway ends the session: both ends get a Close, now or at the next frame boundary, and nothing after it.
    pub fn order(&mut self, close: Close, out: &mut impl Out) {
        if self.ending.is_some() {
            return;
        }
        self.end(|| Ending::closed(Party::Gateway, &close));
        self.leave_backend(&Close::new(Code::GOING_AWAY, close.reason.clone()), out);
        self.close_client(close, out);
    }

    /// The gateway's own ping to the client, now or at the next frame boundary.
    pub fn ping(&mut self, out: &mut impl Out) {
        if self.sent[Side::Client as usize] || self.is_over() {
            return;
        }
        if self.down_open {
            self.wait().ping = true;
        } else {
            out.send(Side::Client, &frame::whole(Opcode::Ping, OWN_PING, None));
        }
    }

    /// Whether the session is over, but for flushing what was sent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let client = Side::Client as usize;
        self.cut || self.gone[client] || (self.sent[client] && (self.got[client] || self.deaf))
    }

    /// Whether an end has begun, so that a deadline should run.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the client's Close waits only for the backend's last words: a short wait, not a close handshake.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.last.is_some())
    }

    /// How it ended, once it has begun to.
    #[must_use]
    pub const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What the backend did wrong, if it did.
    #[must_use]
    pub fn offence(&self) -> Option<&Offence> {
        self.offence.as_deref()
    }

    /// Whether a data frame of this end has begun and is not complete.
    #[must_use]
    pub fn is_mid_frame(&self, from: Side) -> bool {
        match from {
            Side::Client => !self.up.at_boundary(),
            Side::Backend => !self.down.at_boundary(),
        }
    }

    /// What came from one end and passed.
    #[must_use]
    pub const fn traffic(&self, from: Side) -> Traffic {
        self.traffic[from as usize]
    }

    /// Gives back what is only needed while bytes are in flight.
    pub fn rest(&mut self) {
        self.up.rest();
        self.down.rest();
        if let Some(assembler) = &mut self.edge {
            assembler.rest();
        }
    }

    fn client_bytes(&mut self, bytes: &[u8], out: &mut impl Out) {
        let mut run = Run::new(bytes, Side::Backend);
        loop {
            if self.deaf || self.got[Side::Client as usize] {
                return;
            }
            if self.pass_short_message(&mut run, out) {
                if run.rest().is_empty() {
                    break;
                }
                continue;
            }
            let before = run.at;
            let (used, turn) = match self.up.next(run.rest()) {
                Ok(next) => next,
                Err(violation) => {
                    self.up_open = self.edge.is_none() && !self.up.at_boundary() && !run.retract();
                    run.flush(out);
                    return self.client_offended(violation, out);
                }
            };
            run.at += used;
            match turn {
                Turn::More if run.at == bytes.len() => break,
                Turn::More => {}
                Turn::Data { .. } | Turn::Payload { .. } if self.is_left() => {}
                Turn::Data { head, carried, opens } => {
                    if opens && !out.admit_message() {
                        return self.client_talks_too_much(&mut run, out);
                    }
                    match &mut self.edge {
                        Some(assembler) if opens => assembler.open(head.opcode, head.key),
                        Some(_) => {}
                        None => run.head(before, carried, self.up.head_bytes(), out),
                    }
                }
                Turn::Payload { bytes: piece, mask, frame_ends, message_ends } => match &mut self.edge {
                    Some(assembler) => {
                        assembler.push(piece, mask);
                        if message_ends {
                            self.traffic[Side::Client as usize].count(assembler.bytes().len(), true);
                            send_whole(assembler, out);
                        }
                    }
                    None => {
                        self.traffic[Side::Client as usize].count(piece.len(), frame_ends);
                        run.extend();
                        if frame_ends && self.waiting.is_some() {
                            run.flush(out);
                            self.put_in_leave(out);
                        }
                    }
                },
                Turn::Control(opcode) => {
                    run.flush(out);
                    self.client_control(opcode, out);
                }
            }
        }
        run.flush(out);
        self.up_open = self.edge.is_none() && !self.up.at_boundary();
    }

    /// The short way of most messages; says whether there was one.
    fn pass_short_message(&mut self, run: &mut Run<'_>, out: &mut impl Out) -> bool {
        if self.waiting.is_some() || self.is_left() {
            return false;
        }
        let Some((size, payload)) = self.up.short_message(run.rest()) else { return false };
        if !out.admit_message() {
            self.client_talks_too_much(run, out);
            return true;
        }
        self.traffic[Side::Client as usize].count(payload, true);
        run.frame(size, out);
        if self.edge.is_some() {
            run.flush(out);
        }
        true
    }

    fn client_talks_too_much(&mut self, run: &mut Run<'_>, out: &mut impl Out) {
        run.flush(out);
        self.up_open = false;
        self.client_offended(Violation::TooMany, out);
    }

    fn client_control(&mut self, opcode: Opcode, out: &mut impl Out) {
        // The stream towards the backend stands between two frames here, whatever `up_open` was before.
        self.up_open = false;
        let payload = self.up.control().to_vec();
        match opcode {
            Opcode::Ping if self.edge.is_some() => self.pong_client(payload, out),
            Opcode::Ping => self.send_backend(Opcode::Ping, &payload, out),
            Opcode::Pong if self.edge.is_some() || payload.starts_with(OWN_PING) => {}
            Opcode::Pong => self.send_backend(Opcode::Pong, &payload, out),
            _ => match Close::parse(&payload) {
                Ok(close) => self.client_closed(close, out),
                Err(violation) => self.client_offended(violation, out),
            },
        }
    }

    fn client_closed(&mut self, close: Close, out: &mut impl Out) {
        self.got[Side::Client as usize] = true;
        self.end(|| Ending::closed(Party::Client, &close));
        if self.edge.is_some() {
            return self.close_client(close, out);
        }
        self.leave_backend(&close, out);
        // The backend's own Close answers it; should none come, this one does.
        self.close_client_last(close);
    }

    fn client_offended(&mut self, violation: Violation, out: &mut impl Out) {
        self.deaf = true;
        let close = Close::new(violation.code(), violation.to_string());
        self.end(|| Ending::closed(Party::Gateway, &close));
        if self.edge.is_some() || self.up_open || self.is_left() {
            return self.close_client(close, out);
        }
        // What the backend still has to say to earlier messages goes first, as without a gateway.
        self.leave_backend(&Close::new(Code::GOING_AWAY, "the client broke the protocol"), out);
        self.close_client_last(close);
    }

    fn backend_bytes(&mut self, bytes: &[u8], out: &mut impl Out) {
        let mut run = Run::new(bytes, Side::Client);
        loop {
            if self.got[Side::Backend as usize] || self.sent[Side::Client as usize] || self.offence.is_some() {
                return;
            }
            if self.waiting.is_none()
                && let Some((size, payload)) = self.down.short_message(run.rest())
            {
                self.traffic[Side::Backend as usize].count(payload, true);
                run.frame(size, out);
                if run.rest().is_empty() {
                    break;
                }
                continue;
            }
            let before = run.at;
            let (used, turn) = match self.down.next(run.rest()) {
                Ok(next) => next,
                Err(violation) => {
                    self.down_open = !self.down.at_boundary() && !run.retract();
                    run.flush(out);
                    return self.backend_offended(violation, out);
                }
            };
            run.at += used;
            match turn {
                Turn::More if run.at == bytes.len() => break,
                Turn::More => {}
                Turn::Data { carried, .. } => run.head(before, carried, self.down.head_bytes(), out),
                Turn::Payload { bytes: piece, frame_ends, .. } => {
                    self.traffic[Side::Backend as usize].count(piece.len(), frame_ends);
                    run.extend();
                    if frame_ends && self.waiting.is_some() {
                        run.flush(out);
                        self.put_in(out);
                    }
                }
                Turn::Control(opcode) => {
                    run.flush(out);
                    self.backend_control(opcode, out);
                }
            }
        }
        run.flush(out);
        self.down_open = !self.down.at_boundary();
    }

    fn backend_control(&mut self, opcode: Opcode, out: &mut impl Out) {
        // The stream towards the client stands between two frames here, whatever `down_open` was before.
        self.down_open = false;
        let payload = self.down.control().to_vec();
        match opcode {
            Opcode::Ping if self.edge.is_some() => self.send_backend(Opcode::Pong, &payload, out),
            Opcode::Pong if self.edge.is_some() => {}
            Opcode::Ping | Opcode::Pong => out.send(Side::Client, &frame::whole(opcode, &payload, None)),
            _ => match Close::parse(&payload) {
                Ok(close) => self.backend_closed(close, out),
                Err(violation) => self.backend_offended(violation, out),
            },
        }
    }

    fn backend_closed(&mut self, close: Close, out: &mut impl Out) {
        self.got[Side::Backend as usize] = true;
        if !self.got[Side::Client as usize] && self.take_last(out) {
            return;
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.last = None;
        }
        self.end(|| Ending::closed(Party::Backend, &close));
        self.close_client(close, out);
    }

    fn backend_ended(&mut self, how: Cow<'static, str>, out: &mut impl Out) {
        if self.take_last(out) || self.sent[Side::Client as usize] {
            return;
        }
        self.end(|| Ending { by: Party::Backend, code: Code::INTERNAL.get(), reason: how });
        if self.down_open {
            // A frame was cut in two: a Close cannot stand inside it.
            self.cut = true;
        } else {
            self.close_client(Close::new(Code::INTERNAL, "bad gateway: the backend ended without a close"), out);
        }
    }

    fn backend_offended(&mut self, violation: Violation, out: &mut impl Out) {
        let head = self.down.head_bytes().to_vec();
        self.offence = Some(Box::new(Offence { violation, head }));
        self.end(|| Ending {
            by: Party::Backend,
            code: Code::INTERNAL.get(),
            reason: format!("the backend broke the protocol: {violation}").into(),
        });
        self.leave_backend(&Close::new(violation.code(), violation.to_string()), out);
        if self.down_open {
            self.cut = true;
        } else if !self.take_last(out) {
            self.close_client(Close::new(Code::INTERNAL, "bad gateway: the backend broke the protocol"), out);
        }
    }

    /// What stands to be sent to the client now that the stream to it is between two frames.
    fn put_in(&mut self, out: &mut impl Out) {
        self.down_open = false;
        let Some(waiting) = &mut self.waiting else { return };
        if std::mem::take(&mut waiting.ping) {
            out.send(Side::Client, &frame::whole(Opcode::Ping, OWN_PING, None));
        }
        if let Some(pong) = waiting.pong.take() {
            out.send(Side::Client, &frame::whole(Opcode::Pong, &pong, None));
        }
        let close = waiting.close.take();
        if waiting.last.is_none() && waiting.leave.is_none() {
            self.waiting = None;
        }
        if let Some(close) = close {
            self.close_client(close, out);
        }
    }

    /// The same towards the backend.
    fn put_in_leave(&mut self, out: &mut impl Out) {
        self.up_open = false;
        if let Some(close) = self.waiting.as_mut().and_then(|waiting| waiting.leave.take()) {
            self.leave_backend(&close, out);
        }
    }

    fn pong_client(&mut self, payload: Vec<u8>, out: &mut impl Out) {
        if self.sent[Side::Client as usize] {
        } else if self.down_open {
            self.wait().pong = Some(payload);
        } else {
            out.send(Side::Client, &frame::whole(Opcode::Pong, &payload, None));
        }
    }

    /// The first Close that is meant for the client is the one that it gets.
    fn close_client(&mut self, close: Close, out: &mut impl Out) {
        if self.sent[Side::Client as usize] {
        } else if !self.down_open {
            self.sent[Side::Client as usize] = true;
            out.send(Side::Client, &frame::close(&close, None));
        } else if self.gone[Side::Backend as usize] {
            self.cut = true;
        } else {
            self.wait().close.get_or_insert(close);
        }
    }

    /// A Close for the client, once the backend has closed or ended, unless another one is on its way.
    fn close_client_last(&mut self, close: Close) {
        if !self.sent[Side::Client as usize] && self.waiting.as_ref().is_none_or(|waiting| waiting.close.is_none()) {
            self.wait().last = Some(close);
        }
    }

    /// The backend's Close, where it may stand and is understood; otherwise its connection just ends.
    fn leave_backend(&mut self, close: &Close, out: &mut impl Out) {
        if self.is_left() {
        } else if self.up_open {
            self.wait().leave = Some(close.clone());
        } else {
            self.sent[Side::Backend as usize] = true;
            if self.edge.is_none() {
                let key = self.next_key();
                out.send(Side::Backend, &frame::close(close, Some(key)));
            }
        }
    }

    /// Nothing goes to the backend any more.
    const fn is_left(&self) -> bool {
        self.sent[Side::Backend as usize] || self.gone[Side::Backend as usize]
    }

    fn send_backend(&mut self, opcode: Opcode, payload: &[u8], out: &mut impl Out) {
        if !self.is_left() {
            let key = self.next_key();
            out.send(Side::Backend, &frame::whole(opcode, payload, Some(key)));
        }
    }

    /// The Close that was held back until the backend had said its last words.
    fn take_last(&mut self, out: &mut impl Out) -> bool {
        let last = self.waiting.as_mut().and_then(|waiting| waiting.last.take());
        last.map(|close| self.close_client(close, out)).is_some()
    }

    fn wait(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    fn end(&mut self, ending: impl FnOnce() -> Ending) {
        self.ending.get_or_insert_with(ending);
    }

    /// A fresh key for each frame (xorshift from the seed).
    fn next_key(&mut self) -> [u8; 4] {
        self.key ^= self.key << 13;
        self.key ^= self.key >> 17;
        self.key ^= self.key << 5;
        self.key.to_le_bytes()
    }
}

/// One whole message as one frame in one piece. The key is the one that the client chose for its first frame: as
/// unpredictable to whoever wrote the payload as it was before.
fn send_whole(assembler: &mut Assembler, out: &mut impl Out) {
    let bytes = assembler.bytes();
    out.send(Side::Backend, &frame::whole(assembler.opcode(), bytes, assembler.key()));
    assembler.clear();
}

/// The stretch of the bytes at hand that passes as it stands.
struct Run<'a> {
    bytes: &'a [u8],
    to: Side,
    /// Up to here the bytes are judged.
    at: usize,
    start: usize,
    end: usize,
    /// Where the current frame's head began, if it began in these bytes.
    frame: Option<usize>,
}

impl<'a> Run<'a> {
    const fn new(bytes: &'a [u8], to: Side) -> Self {
        Self { bytes, to, at: 0, start: 0, end: 0, frame: None }
    }

    /// The bytes that are not judged yet.
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next bytes, a whole frame, pass.
    fn frame(&mut self, size: usize, out: &mut impl Out) {
        self.begin(self.at, out);
        self.at += size;
        self.end = self.at;
    }

    /// A head that was read passes: as it stands, or from where it was held if it came in pieces.
    fn head(&mut self, before: usize, carried: usize, head: &[u8], out: &mut impl Out) {
        if carried == 0 {
            self.begin(before, out);
            self.frame = Some(before);
        } else {
            self.flush(out);
            out.send(self.to, head);
            self.start = self.at;
            self.frame = None;
        }
        self.end = self.at;
    }

    /// What passes next begins here.
    fn begin(&mut self, start: usize, out: &mut impl Out) {
        if self.end != start {
            self.flush(out);
            self.start = start;
        }
    }

    /// Payload passes.
    fn extend(&mut self) {
        self.end = self.at;
    }

    fn flush(&mut self, out: &mut impl Out) {
        if self.start < self.end {
            out.send(self.to, &self.bytes[self.start..self.end]);
        }
        self.start = self.at;
        self.end = self.at;
    }

    /// Takes back the frame whose payload turned out bad, unless a part of it has passed already; says whether it did.
    fn retract(&mut self) -> bool {
        match self.frame {
            Some(frame) if frame >= self.start => {
                self.end = frame;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
