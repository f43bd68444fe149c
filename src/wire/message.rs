//! From pieces to whole messages, for those who need them whole: hub, echo, and re-framing for backends.

use super::frame::Opcode;
use super::mask::Mask;

/// Collects one message at a time, unmasked. Grows with what has come, never with what was announced.
#[derive(Debug, Default)]
pub struct Assembler {
    bytes: Vec<u8>,
    text: bool,
    key: Option<[u8; 4]>,
}

/// Room that is kept from one message to the next; more is given back.
const KEPT: usize = 4096;

impl Assembler {
    /// A message begins: text or binary, and the key of its first frame.
    pub fn open(&mut self, opcode: Opcode, key: Option<[u8; 4]>) {
        self.bytes.clear();
        self.text = opcode == Opcode::Text;
        self.key = key;
    }

    /// More of it, as it came.
    pub fn push(&mut self, bytes: &[u8], mask: Option<Mask>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if let Some(mut mask) = mask {
            mask.apply(&mut self.bytes[start..]);
        }
    }

    /// What the message is.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        if self.text { Opcode::Text } else { Opcode::Binary }
    }

    /// The message so far, unmasked.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key that its first frame came with.
    #[must_use]
    pub const fn key(&self) -> Option<[u8; 4]> {
        self.key
    }

    /// The first `count` bytes are used up; the message goes on.
    pub(super) fn use_up(&mut self, count: usize) {
        self.bytes.drain(..count);
    }

    /// The message is used up: room beyond a small message's is given back.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Between messages, nothing is held at all.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}
