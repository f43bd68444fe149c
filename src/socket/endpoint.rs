//! A WebSocket whose other end is here: whole messages in, frames out, pings and closes answered (RFC 6455 §5.5).

mod talk;

use std::task::{Context, Poll};

use bytes::Bytes;

use self::talk::{Desk, Talk};
use super::conversation::Passed;
use super::rate::MessageRate;
use super::vigil::{Due, Millis, Vigil};
use super::{Message, Socket};
use crate::limits::{SessionLimits, SlowClient};
use crate::telemetry::report::State;
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::{Close, Code, Ending, Party};
use crate::wire::frame::{self, Opcode, Role};
use crate::wire::inbound::Rules;

/// Why a client that does not take what is sent to it is told to go.
pub(crate) const TOO_SLOW: &str = "too slow: the send queue is full";

/// The payload of our pings.
const OWN_PING: &[u8] = b"wsgate:";

/// Who gets a client's messages.
pub(crate) trait Listener {
    /// A whole message: text (checked, unless the limits say otherwise) or binary. Frames appended to `reply` go back
    /// to the client.
    ///
    /// # Errors
    /// The Close that this message deserves.
    fn message(&mut self, opcode: Opcode, payload: &[u8], reply: &mut Vec<u8>) -> Result<(), Close>;

    /// Whether messages can be taken now; if not, `cx` is woken when they can.
    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool;
}

/// The server's end of one client's WebSocket. One task polls it; others may queue frames with [`Endpoint::deliver`].
pub(crate) struct Endpoint {
    socket: Socket,
    talk: Talk,
    vigil: Vigil,
}

impl Endpoint {
    /// A WebSocket that has just been upgraded.
    #[must_use]
    pub(crate) fn new(socket: Socket, vigil: Vigil) -> Self {
        let limits = vigil.limits();
        let rules = Rules { from: Role::Client, message_size: limits.message_size as u64, utf8: limits.utf8 };
        let talk = Talk::new(rules, MessageRate::new(limits.messages));
        Self { socket, talk, vigil }
    }

    /// Queues a data frame that many share. What does not fit into the client's send queue is dealt with as its limits
    /// say; `false` when that was the end: the client is told to go with 1013, and what was not begun is dropped.
    #[inline]
    pub(crate) fn deliver(&mut self, cx: &mut Context<'_>, place: &Place, frame: &Bytes) -> bool {
        if self.talk.sent_close {
            return true;
        }
        let SessionLimits { send_queue, slow_client, .. } = *self.vigil.limits();
        if self.socket.queued() > 0 {
            let (fits, dropped) = self.socket.make_room(frame.len(), send_queue, slow_client);
            let is_left_out = !fits && slow_client != SlowClient::Close;
            place.traffic().dropped(dropped + u64::from(is_left_out));
            if is_left_out {
                // What has begun has to leave first: this message is one of those that are left out.
                return true;
            }
            if !fits {
                self.socket.drop_queue();
                self.close(cx, Close::new(Code::TRY_LATER, TOO_SLOW), Party::Gateway);
                return false;
            }
        }
        self.vigil.active(place.now());
        self.socket.send_message(cx, Message::Shared(frame));
        self.talk.to_client.frames += 1;
        let size = frame::payload_len(frame) as u64;
        self.talk.to_client.bytes += size;
        place.sent(size);
        true
    }

    /// Bytes that it may hold for its client at most.
    #[must_use]
    pub(crate) fn send_queue(&self) -> usize {
        self.vigil.limits().send_queue
    }

    /// Whether something waits that only the endpoint's own task can send.
    #[must_use]
    pub(crate) fn has_backlog(&self) -> bool {
        self.socket.queued() > 0
    }

    /// Whether it has been told to go, or is lost.
    #[must_use]
    pub(crate) const fn is_ending(&self) -> bool {
        self.talk.sent_close || self.talk.gone
    }

    /// Reads, answers and flushes; `Ready` once the WebSocket has ended, with both ends of the socket
    /// done or given up. `place` learns whom to wake, and when.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, place: &Place, listener: &mut dyn Listener) -> Poll<Ending> {
        let poll = self.poll_at(cx, place, listener);
        place.settle(cx, self.vigil.next());
        poll
    }

    /// What has passed so far.
    #[must_use]
    pub(crate) const fn passed(&self) -> Passed {
        Passed { from_client: self.talk.from_client, to_client: self.talk.to_client }
    }

    /// How it stands.
    #[must_use]
    pub(crate) fn state(&self, now: Millis) -> State {
        let is_ending = self.talk.ending.is_some() || self.vigil.is_ending();
        State { queued: self.socket.queued(), idle: self.vigil.idle(now), is_ending, is_held: false }
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, place: &Place, listener: &mut dyn Listener) -> Poll<Ending> {
        let now = place.now();
        self.look(cx, now, place);
        let mut desk = self.talk.sit_down();
        let poll = self.poll_turn(cx, place, &mut desk, listener);
        self.talk.get_up(desk);
        poll
    }

    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        place: &Place,
        desk: &mut Desk,
        listener: &mut dyn Listener,
    ) -> Poll<Ending> {
        let now = place.now();
        loop {
            self.flush(cx, now);
            if self.talk.ending.is_some() && !self.vigil.is_ending() {
                self.vigil.end_within(now, self.vigil.limits().close_timeout);
            }
            if self.is_over() {
                return self.poll_end(cx);
            }
            if self.socket.queued() > 0 {
                // A client that does not take its answers is not asked for more.
                return Poll::Pending;
            }
            if !listener.is_ready(cx) {
                // A client that is not listened to is not dead: its pongs wait with the rest.
                self.vigil.spare();
                return Poll::Pending;
            }
            let Self { socket, talk, .. } = self;
            let pieces = match socket.poll_arrived(cx) {
                Poll::Pending => Poll::Pending,
                // One at a time: its effects are to be seen before the next.
                Poll::Ready(()) => socket.poll_pieces(cx, &mut |piece, _| {
                    talk.take(piece, desk, (listener, place));
                    false
                }),
            };
            match pieces {
                Poll::Pending => {
                    self.talk.rest();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(true)) => self.after_pieces(cx, now, desk),
                Poll::Ready(Ok(false)) => self.talk.lost("the client ended without a close"),
                Poll::Ready(Err(error)) => self.talk.lost(format!("the client's connection failed: {error}")),
            }
        }
    }

    /// Ends a session that should not have begun: its Close is the first thing that the client gets.
    pub(crate) fn dismiss(&mut self, cx: &mut Context<'_>, close: Close) {
        self.close(cx, close, Party::Gateway);
    }

    /// The gateway ends the session.
    pub(crate) fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        let code = Code::from_wire(order.code).unwrap_or(Code::GOING_AWAY);
        self.close(cx, Close::new(code, order.reason), Party::Gateway);
    }

    fn look(&mut self, cx: &mut Context<'_>, now: Millis, place: &Place) {
        match self.vigil.look(now) {
            Due::Nothing => {}
            // RFC 6455 §5.5.1: nothing follows a Close.
            Due::Ping if self.talk.sent_close => {}
            Due::Ping => {
                place.traffic().ping();
                self.socket.send(cx, &frame::whole(Opcode::Ping, OWN_PING, None));
                place.asked();
            }
            Due::Dead => {
                place.traffic().unanswered();
                self.talk.lost("no answer to pings");
            }
            Due::Idle => self.close(cx, Close::new(Code::GOING_AWAY, "idle for too long"), Party::Gateway),
            Due::Old => self.close(cx, Close::new(Code::GOING_AWAY, "open for too long"), Party::Gateway),
            Due::Expired => self.close(cx, Close::new(Code::EXPIRED, "the token has expired"), Party::Gateway),
            Due::Deadline => self.talk.gone = true,
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>, now: Millis) {
        if let Poll::Ready(Err(error)) = self.socket.poll_flush(cx) {
            self.talk.lost(format!("the client's connection failed: {error}"));
        }
        let queued = u32::try_from(self.socket.queued()).unwrap_or(u32::MAX);
        if queued < self.talk.backlog {
            self.vigil.heard(now);
        }
        self.talk.backlog = queued;
    }

    fn after_pieces(&mut self, cx: &mut Context<'_>, now: Millis, desk: &mut Desk) {
        self.vigil.heard(now);
        if std::mem::take(&mut desk.heard_data) {
            self.vigil.active(now);
        }
        let replies = std::mem::take(&mut desk.replies);
        self.socket.send_shared(cx, &Bytes::from(replies));
    }

    fn close(&mut self, cx: &mut Context<'_>, close: Close, by: Party) {
        if self.talk.sent_close || self.talk.gone {
            return;
        }
        self.talk.ending.get_or_insert_with(|| Ending::closed(by, &close).into());
        self.talk.sent_close = true;
        self.socket.send(cx, &frame::close(&close, None));
    }

    const fn is_over(&self) -> bool {
        self.talk.gone || (self.talk.sent_close && (self.talk.got_close || self.talk.deaf))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if self.talk.gone {
            // RFC 8446 §6.1: before its end each party says close_notify. Who has gone is not waited for.
            let _ = self.socket.poll_close(cx);
        } else if self.socket.poll_linger(cx).is_pending() {
            return Poll::Pending;
        }
        let ending = self.talk.ending.take();
        Poll::Ready(ending.map_or_else(|| Ending::lost(Party::Gateway, "ended"), |ending| *ending))
    }
}
