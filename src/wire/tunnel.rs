//! Two directions as one tunnel: what passes, what is answered at the edge, and how both ends come to one Ending.

mod downward;
mod edge;
mod lost;
mod mend;
mod out;
mod run;
mod upward;
mod waiting;

use std::borrow::Cow;

use self::edge::Held;
pub use self::edge::{BadText, Binary, Edge};
pub use self::lost::Lost;
pub use self::out::{Note, Out};
use self::waiting::Waiting;
use super::close::{Close, Code, Ending, Party, Violation};
use super::frame::Role;
use super::inbound::{Inbound, Rules};

/// One end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whoever opened it.
    Client,
    /// Whoever serves it.
    Backend,
}

/// How much the gateway does on behalf of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Bytes of one message from the client.
    pub message_size: u64,
    /// Whether text is checked in both directions.
    pub utf8: bool,
    /// There: pings, pongs and closes end here, each message passes as one frame in one piece, and what a careless
    /// backend gets wrong is mended.
    pub edge: Option<Edge>,
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
    edge: Option<Box<Held>>,
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
    /// Pings of our own that the client has not answered yet. A pong beyond them answers one that has passed: that of another
    /// gateway behind us, whose payload is the same.
    unanswered: u8,
    waiting: Option<Box<Waiting>>,
    ending: Option<Box<Ending>>,
    offence: Option<Box<Offence>>,
    key: u32,
    traffic: [Traffic; 2],
}

impl Tunnel {
    /// A tunnel in which nothing has passed. `seed` makes the keys of the gateway's own frames to the backend, which
    /// RFC 6455 §5.3 wants unpredictable.
    #[must_use]
    pub fn new(policy: Policy, seed: u32) -> Self {
        let up = Rules { from: Role::Client, message_size: policy.message_size, utf8: policy.utf8 };
        let held = policy.edge.map(|edge| Box::new(Held::new(edge, policy.utf8)));
        let from = if held.is_some() { Role::Careless } else { Role::Server };
        let utf8 = policy.utf8 && held.as_ref().is_none_or(|held| !held.mends());
        let down = Rules { from, message_size: u64::MAX, utf8 };
        Self {
            up: Inbound::new(up),
            down: Inbound::new(down),
            edge: held,
            up_open: false,
            down_open: false,
            got: [false; 2],
            sent: [false; 2],
            gone: [false; 2],
            deaf: false,
            cut: false,
            unanswered: 0,
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
            Side::Backend if self.edge.is_some() => self.careless_bytes(bytes, out),
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
            Side::Client => {
                self.end(|| Ending::lost(Party::Client, how));
                self.leave_behind(out);
            }
            Side::Backend => self.backend_ended(how.into(), Lost::Ended, out),
        }
    }

    /// The wait for a Close, or for the backend's last words, is over. If the session still is not, then a new wait
    /// begins: the client was sent its Close, or gets it at the end of a frame that is passing.
    pub fn on_deadline(&mut self, out: &mut impl Out) {
        if self.is_over() || self.ending.is_none() || self.take_last(out) {
            return;
        }
        self.leave_behind(out);
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

    /// The gateway sends the client home, by no fault of its own: it gets its Close as in [`Tunnel::order`], and what it
    /// says until it has seen that still passes. The backend gets its own when the client has answered or gone, or the
    /// wait is over.
    pub fn send_home(&mut self, close: Close, out: &mut impl Out) {
        if self.ending.is_some() {
            return;
        }
        self.end(|| Ending::closed(Party::Gateway, &close));
        self.wait().behind = Some(Close::new(Code::GOING_AWAY, close.reason.clone()));
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
            self.send_ping(out);
        }
    }

    /// Whether the session is over, but for flushing what was sent.
    #[must_use]
    #[inline]
    pub fn is_over(&self) -> bool {
        // No end without an Ending: while there is none, which is most of the time, one look is enough.
        self.ending.is_some() && self.is_done()
    }

    const fn is_done(&self) -> bool {
        let client = Side::Client as usize;
        self.cut || self.gone[client] || (self.sent[client] && (self.got[client] || self.deaf))
    }

    /// Whether an end has begun, so that a deadline should run.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the client has broken the law and its Close waits only for the backend's last words: a short wait, not a
    /// close handshake.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        !self.got[Side::Client as usize] && self.waiting.as_ref().is_some_and(|waiting| waiting.last.is_some())
    }

    /// How it ended, once it has begun to.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_deref()
    }

    /// What the backend did wrong, if it did.
    #[must_use]
    pub fn offence(&self) -> Option<&Offence> {
        self.offence.as_deref()
    }

    /// Whether messages are put together here, and go to the backend whole (see [`Policy::edge`]).
    #[must_use]
    pub const fn is_edge(&self) -> bool {
        self.edge.is_some()
    }

    /// Whether a data frame of this end has begun and is not complete.
    #[must_use]
    pub fn is_mid_frame(&self, from: Side) -> bool {
        match from {
            Side::Client => !self.up.at_boundary(),
            Side::Backend => !self.down.at_boundary(),
        }
    }

    /// Whether a frame to the client has begun and is not complete, so that nothing can be put in.
    #[must_use]
    pub const fn is_frame_open(&self) -> bool {
        self.down_open
    }

    /// Messages of the backend whose text was not UTF-8, and which were dropped or mended (see [`BadText`]).
    #[must_use]
    pub fn bad_texts(&self) -> u64 {
        self.edge.as_ref().map_or(0, |held| held.bad_texts)
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
        if let Some(held) = &mut self.edge {
            held.rest();
        }
    }

    fn end(&mut self, ending: impl FnOnce() -> Ending) {
        self.ending.get_or_insert_with(|| Box::new(ending()));
    }
}

#[cfg(test)]
mod tests;
