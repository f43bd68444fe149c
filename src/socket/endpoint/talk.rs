//! What is said on one client's WebSocket: judged, answered, put together, and ended.

use std::borrow::Cow;

use super::Listener;
use crate::socket::rate::MessageRate;
use crate::wire::close::{Close, Ending, Party, Violation};
use crate::wire::frame::{self, Opcode};
use crate::wire::inbound::{Inbound, Rules, Turn};
use crate::wire::message::Assembler;
use crate::wire::tunnel::Traffic;

/// All of the conversation but its socket, so that both can be borrowed at once.
pub(super) struct Talk {
    pub(super) inbound: Inbound,
    pub(super) assembler: Assembler,
    pub(super) rate: MessageRate,
    pub(super) replies: Vec<u8>,
    pub(super) got_close: bool,
    pub(super) sent_close: bool,
    /// The client broke the law, was told to go, or is gone: what it says is not heard.
    pub(super) deaf: bool,
    pub(super) gone: bool,
    pub(super) ending: Option<Ending>,
    pub(super) from_client: Traffic,
    pub(super) to_client: Traffic,
    pub(super) heard_data: bool,
}

impl Talk {
    pub(super) fn new(rules: Rules, rate: MessageRate) -> Self {
        Self {
            inbound: Inbound::new(rules),
            assembler: Assembler::default(),
            rate,
            replies: Vec::new(),
            got_close: false,
            sent_close: false,
            deaf: false,
            gone: false,
            ending: None,
            from_client: Traffic::default(),
            to_client: Traffic::default(),
            heard_data: false,
        }
    }

    /// Judges the bytes and answers; `false` when no more pieces are wanted before this one's effects are seen.
    pub(super) fn take(&mut self, bytes: &[u8], listener: &mut dyn Listener) -> bool {
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
                                self.offended(Violation::TooMany);
                            } else if opens {
                                self.assembler.open(head.opcode, None);
                            }
                        }
                        Turn::Payload { .. } if self.sent_close => {} // RFC 6455 §5.5.1: nothing follows our Close
                        Turn::Payload { bytes, mask, message_ends, .. } => {
                            self.assembler.push(bytes, mask);
                            if message_ends {
                                self.message(listener);
                            }
                        }
                        Turn::Control(opcode) => self.control(opcode),
                    }
                }
                Err(violation) => self.offended(violation),
            }
        }
        false
    }

    fn message(&mut self, listener: &mut dyn Listener) {
        self.heard_data = true;
        self.from_client.frames += 1;
        self.from_client.bytes += self.assembler.bytes().len() as u64;
        let before = self.replies.len();
        let verdict = listener.message(self.assembler.opcode(), self.assembler.bytes(), &mut self.replies);
        if self.replies.len() > before {
            self.to_client.frames += 1;
            self.to_client.bytes += frame::payload_len(&self.replies[before..]) as u64;
        }
        self.assembler.clear();
        if let Err(close) = verdict {
            self.refuse(&close);
        }
    }

    fn control(&mut self, opcode: Opcode) {
        match opcode {
            Opcode::Ping if self.sent_close => {}
            Opcode::Ping => frame::append(&mut self.replies, Opcode::Pong, self.inbound.control(), None),
            Opcode::Close => match Close::parse(self.inbound.control()) {
                Ok(close) => self.closed(&close),
                Err(violation) => self.offended(violation),
            },
            _ => {}
        }
    }

    /// RFC 6455 §5.5.1: the answer to a Close usually echoes its code.
    fn closed(&mut self, close: &Close) {
        self.got_close = true;
        self.ending.get_or_insert_with(|| Ending::closed(Party::Client, close));
        if !std::mem::replace(&mut self.sent_close, true) {
            frame::append(&mut self.replies, Opcode::Close, &close.payload(), None);
        }
    }

    fn offended(&mut self, violation: Violation) {
        self.refuse(&Close::new(violation.code(), violation.to_string()));
    }

    fn refuse(&mut self, close: &Close) {
        self.deaf = true;
        self.ending.get_or_insert_with(|| Ending::closed(Party::Gateway, close));
        if !std::mem::replace(&mut self.sent_close, true) {
            frame::append(&mut self.replies, Opcode::Close, &close.payload(), None);
        }
    }

    pub(super) fn lost(&mut self, why: impl Into<Cow<'static, str>>) {
        self.gone = true;
        self.ending.get_or_insert_with(|| Ending::lost(Party::Client, why));
    }

    /// Gives back what is only needed while bytes are in flight.
    pub(super) fn rest(&mut self) {
        self.inbound.rest();
        self.assembler.rest();
    }
}
