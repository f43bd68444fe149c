//! What the edge does with whole messages for a backend that does not keep RFC 6455 itself, and what it holds for it.

use crate::wire::frame::Opcode;
use crate::wire::message::Assembler;

/// How a careless backend is helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Whether the client's binary messages reach it.
    pub binary: Binary,
    /// What becomes of its text that is not UTF-8.
    pub bad_text: BadText,
}

/// What becomes of a client's binary messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// They pass.
    Pass,
    /// They end the session with 1003: a server that sends them on as text would disconnect whoever gets them.
    Reject,
}

/// What becomes of a backend's text that is not UTF-8, where text is checked at all. RFC 6455 §8.1 makes every client
/// that gets one fail its connection, so one bad message would empty a whole room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadText {
    /// The message is left out. One that has begun to pass, because it is too long to be held, is mended instead.
    Drop,
    /// What is bad in it becomes U+FFFD.
    Replace,
    /// The session ends with 1011.
    Close,
}

/// Messages under way at the edge, and what is done with them.
#[derive(Debug)]
pub(super) struct Held {
    edge: Edge,
    utf8: bool,
    /// The client's message, until it is whole.
    pub(super) up: Assembler,
    /// The backend's, until it is whole or too long to be held.
    pub(super) down: Assembler,
    /// The first part of the backend's message has passed as a fragment.
    pub(super) has_begun: bool,
    /// Something bad was found in it already.
    pub(super) is_bad: bool,
    /// Messages of the backend in which something bad was found.
    pub(super) bad_texts: u64,
}

impl Held {
    pub(super) fn new(edge: Edge, utf8: bool) -> Self {
        let (up, down) = (Assembler::default(), Assembler::default());
        Self { edge, utf8, up, down, has_begun: false, is_bad: false, bad_texts: 0 }
    }

    /// Whether a client's message is not let in whose first frame begins with this byte.
    pub(super) fn refuses(&self, first: u8) -> bool {
        first & 0x0f == Opcode::Binary as u8 && self.edge.binary == Binary::Reject
    }

    /// Whether the backend's text is looked at here, and not failed by the law.
    pub(super) fn mends(&self) -> bool {
        self.utf8 && self.edge.bad_text != BadText::Close
    }

    /// Whether bad text is left out as a whole.
    pub(super) fn drops(&self) -> bool {
        self.edge.bad_text == BadText::Drop
    }

    /// The message under way is bad; counted once.
    pub(super) fn note_bad(&mut self) {
        self.bad_texts += u64::from(!self.is_bad);
        self.is_bad = true;
    }

    /// Gives back what is only needed while bytes are in flight.
    pub(super) fn rest(&mut self) {
        self.up.rest();
        self.down.rest();
    }
}
