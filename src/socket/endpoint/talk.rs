//! What is said on one client's WebSocket: judged, answered, put together, and ended.

use std::borrow::Cow;

use super::{Listener, OWN_PING};
use crate::socket::rate::MessageRate;
use crate::telemetry::roster::Place;
use crate::wire::close::{Close, Code, Ending, Party, Violation};
use crate::wire::frame::{self, Opcode};
use crate::wire::inbound::{Inbound, Rules, Turn};
use crate::wire::message::Assembler;
use crate::wire::tunnel::Traffic;

/// All of the conversation but its socket, so that both can be borrowed at once.
pub(super) struct Talk {
    pub(super) inbound: Inbound,
    /// A message of which more is to come.
    partial: Option<Box<Assembler>>,
    pub(super) rate: MessageRate,
    pub(super) got_close: bool,
    pub(super) sent_close: bool,
    /// The client broke the law, was told to go, or is gone: what it says is not heard.
    pub(super) deaf: bool,
    pub(super) gone: bool,
    pub(super) ending: Option<Box<Ending>>,
    pub(super) from_client: Traffic,
    pub(super) to_client: Traffic,
    /// What was queued when it was last looked at (or all that a u32 can tell): less of it now is a sign of life. It
    /// stands here because there is room.
    pub(super) backlog: u32,
}

/// What is only needed while bytes are in flight: kept on the stack of one turn, so that an idle client has none of it.
#[derive(Default)]
pub(super) struct Desk {
    assembler: Assembler,
    /// Whether more is to come of the message in it.
    is_partial: bool,
    /// Frames for the client.
    pub(super) replies: Vec<u8>,
    /// Whether a data message has come.
    pub(super) heard_data: bool,
}

impl Talk {
    pub(super) fn new(rules: Rules, rate: MessageRate) -> Self {
        Self {
            inbound: Inbound::new(rules),
            partial: None,
            rate,
            got_close: false,
            sent_close: false,
            deaf: false,
            gone: false,
            ending: None,
            from_client: Traffic::default(),
            to_client: Traffic::default(),
            backlog: 0,
        }
    }

    /// A turn begins.
    pub(super) fn sit_down(&mut self) -> Desk {
        match self.partial.take() {
            Some(partial) => Desk { assembler: *partial, is_partial: true, ..Desk::default() },
            None => Desk::default(),
        }
    }

    /// A turn ends: what is needed in the next one is kept.
    pub(super) fn get_up(&mut self, desk: Desk) {
        if desk.is_partial {
            self.partial = Some(Box::new(desk.assembler));
        }
    }

    /// Judges the bytes and answers.
    pub(super) fn take(&mut self, bytes: &[u8], desk: &mut Desk, (listener, place): (&mut dyn Listener, &Place)) {
        let mut at = 0;
        while !self.deaf && !self.got_close {
            match self.inbound.next(&bytes[at..]) {
                Ok((used, turn)) => {
                    at += used;
                    match turn {
                        Turn::More if at == bytes.len() => break,
                        Turn::More => {}
                        Turn::Data { head, opens, .. } => {
                            if opens && !self.rate.admit() {
                                self.offended(Violation::TooMany, desk);
                            } else if opens {
                                desk.is_partial = true;
                                desk.assembler.open(head.opcode, None);
                            }
                        }
                        Turn::Payload { .. } if self.sent_close && !self.hears_last() => {}
                        Turn::Payload { bytes, mask, message_ends, .. } => {
                            desk.assembler.push(bytes, mask);
                            if message_ends {
                                desk.is_partial = false;
                                self.message(desk, listener, place);
                            }
                        }
                        Turn::Control(opcode) => self.control(opcode, desk, place),
                    }
                }
                Err(violation) => self.offended(violation, desk),
            }
        }
    }

    /// Who was sent home by no fault of its own is heard until it has seen it.
    fn hears_last(&self) -> bool {
        let invites_back = |ending: &Ending| Code::from_wire(ending.code).is_some_and(Code::invites_back);
        self.ending.as_deref().is_some_and(|ending| ending.by == Party::Gateway && invites_back(ending))
    }

    fn message(&mut self, desk: &mut Desk, listener: &mut dyn Listener, place: &Place) {
        let Desk { assembler, replies, heard_data, .. } = desk;
        *heard_data = true;
        self.from_client.frames += 1;
        self.from_client.bytes += assembler.bytes().len() as u64;
        place.received(assembler.bytes().len() as u64);
        let before = replies.len();
        let verdict = listener.message(assembler.opcode(), assembler.bytes(), replies);
        if self.sent_close {
            replies.truncate(before); // RFC 6455 §5.5.1: nothing follows our Close
        }
        for payload in frame::payloads(&replies[before..]) {
            self.to_client.frames += 1;
            self.to_client.bytes += payload as u64;
            place.sent(payload as u64);
        }
        assembler.clear();
        if let Err(close) = verdict {
            self.refuse(&close, desk);
        }
    }

    fn control(&mut self, opcode: Opcode, desk: &mut Desk, place: &Place) {
        match opcode {
            Opcode::Ping if self.sent_close => {}
            Opcode::Ping => frame::append(&mut desk.replies, Opcode::Pong, self.inbound.control(), None),
            Opcode::Close => match Close::parse(self.inbound.control()) {
                Ok(close) => self.closed(&close, desk),
                Err(violation) => self.offended(violation, desk),
            },
            Opcode::Pong if self.inbound.control() == OWN_PING => place.answered(),
            _ => {}
        }
    }

    /// RFC 6455 §5.5.1: the answer to a Close usually echoes its code.
    fn closed(&mut self, close: &Close, desk: &mut Desk) {
        self.got_close = true;
        self.ending.get_or_insert_with(|| Ending::closed(Party::Client, close).into());
        if !std::mem::replace(&mut self.sent_close, true) {
            frame::append(&mut desk.replies, Opcode::Close, &close.payload(), None);
        }
    }

    fn offended(&mut self, violation: Violation, desk: &mut Desk) {
        self.refuse(&Close::new(violation.code(), violation.to_string()), desk);
    }

    fn refuse(&mut self, close: &Close, desk: &mut Desk) {
        self.deaf = true;
        self.ending.get_or_insert_with(|| Ending::closed(Party::Gateway, close).into());
        if !std::mem::replace(&mut self.sent_close, true) {
            frame::append(&mut desk.replies, Opcode::Close, &close.payload(), None);
        }
    }

    pub(super) fn lost(&mut self, why: impl Into<Cow<'static, str>>) {
        self.gone = true;
        self.ending.get_or_insert_with(|| Ending::lost(Party::Client, why).into());
    }

    /// Gives back what is only needed while bytes are in flight.
    pub(super) fn rest(&mut self) {
        self.inbound.rest();
    }
}
