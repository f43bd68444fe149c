//! The law of a sequence of frames: one direction of a WebSocket, in bytes cut anywhere (RFC 6455 §5).

mod between;
mod text;

use self::text::is_text;
use super::close::Violation;
use super::frame::{CONTROL_MAX, HEAD_MAX, Head, Opcode, Role};
use super::mask::Mask;
use super::utf8::Utf8;

/// What the law allows in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who sends.
    pub from: Role,
    /// Bytes of one message, its fragments together.
    pub message_size: u64,
    /// Whether text is checked to be UTF-8.
    pub utf8: bool,
}

/// One direction's state; takes bytes in any cut and gives the same verdicts.
///
/// A head that is not complete is held here (14 bytes at most), and so is a control frame (125 bytes at most);
/// payload of data frames never is.
#[derive(Debug)]
pub struct Inbound {
    rules: Rules,
    /// The head that is under way or was read last; `held` bytes of it are valid.
    head: [u8; HEAD_MAX],
    held: u8,
    stage: Stage,
    /// The payload bytes of the current frame that have not come yet.
    left: u64,
    mask: Option<Mask>,
    /// The message under way: its bytes so far, with the announced ones of the current frame.
    message: Option<Message>,
    utf8: Utf8,
    /// There only from a control frame's head until [`Inbound::rest`].
    control: Option<Box<Control>>,
}

/// The payload of a control frame, as far as it has come.
#[derive(Debug)]
struct Control {
    bytes: [u8; CONTROL_MAX],
    len: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two frames, but for the first `carried` bytes of a head.
    Head {
        carried: u8,
    },
    Data {
        fin: bool,
    },
    Control(Opcode),
}

#[derive(Clone, Copy, Debug)]
struct Message {
    size: u64,
    text: bool,
}

/// What the next bytes were.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<'a> {
    /// All bytes were taken; there is no verdict without more.
    More,
    /// A data frame begins. `carried` bytes of its head came with an earlier piece.
    Data {
        /// The head as read.
        head: Head,
        /// How many of the head's bytes were held from before.
        carried: usize,
        /// Whether it opens a message (text or binary) or continues one.
        opens: bool,
    },
    /// Payload of the data frame, as it came (masked, if it is).
    Payload {
        /// The bytes.
        bytes: &'a [u8],
        /// The key for the first of them.
        mask: Option<Mask>,
        /// The last payload of its frame.
        frame_ends: bool,
        /// The last payload of its message.
        message_ends: bool,
        /// The payload of its message so far, with all of this frame; at its end that of all of it.
        message_size: u64,
    },
    /// A whole control frame; its payload, unmasked, is [`Inbound::control`].
    Control(Opcode),
}

/// The first byte of a text or binary message in one frame.
const WHOLE_TEXT: u8 = 0x80 | Opcode::Text as u8;
const WHOLE_BINARY: u8 = 0x80 | Opcode::Binary as u8;

impl Inbound {
    /// A direction in which nothing has come yet.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            head: [0; HEAD_MAX],
            held: 0,
            stage: Stage::Head { carried: 0 },
            left: 0,
            mask: None,
            message: None,
            utf8: Utf8::new(),
            control: None,
        }
    }

    /// The payload of the control frame that [`Turn::Control`] told of.
    #[must_use]
    pub fn control(&self) -> &[u8] {
        self.control.as_ref().map_or(&[], |control| &control.bytes[..usize::from(control.len)])
    }

    /// The head, or the beginning of one, that was read last: what a log shows of an offence.
    #[must_use]
    pub fn head_bytes(&self) -> &[u8] {
        &self.head[..usize::from(self.held)]
    }

    /// Whether the bytes so far end with a whole frame (control frames that are held count as not begun).
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        !matches!(self.stage, Stage::Data { .. })
    }

    /// The size of the whole message in one short frame that the bytes begin with, and of its payload; it counts as
    /// taken then. Most messages are such ones, and need not go through the states of [`Inbound::next`].
    ///
    /// `None` is no verdict: `next` gives it.
    #[inline]
    pub fn short_message(&mut self, bytes: &[u8]) -> Option<(usize, usize)> {
        let &[first @ (WHOLE_TEXT | WHOLE_BINARY), second, ref rest @ ..] = bytes else { return None };
        let (key, mask_bit) = match self.rules.from {
            Role::Client => (*rest.first_chunk::<4>()?, 0x80),
            // A careless server's masked frame is too long then, and goes through `next`.
            Role::Server | Role::Careless => ([0; 4], 0),
        };
        // The wrong side's mask makes it too long.
        let length = usize::from(second ^ mask_bit);
        let start = if mask_bit == 0 { 2 } else { 6 };
        let is_small = length <= CONTROL_MAX && length as u64 <= self.rules.message_size;
        let is_first = self.stage == (Stage::Head { carried: 0 }) && self.message.is_none();
        if !is_small || !is_first {
            return None;
        }
        let payload = bytes.get(start..start + length)?;
        let is_lawful = first == WHOLE_BINARY || !self.rules.utf8 || is_text(payload, Mask::new(key));
        is_lawful.then_some((start + length, length))
    }

    /// Takes the next bytes and says what they were, and how many were used. Never uses a byte twice.
    ///
    /// # Errors
    /// The offence; nothing of the offending frame has been given out, but for text that was found to be no UTF-8
    /// half-way: then the piece with the bad byte is not given out.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Turn<'a>), Violation> {
        match self.stage {
            Stage::Head { carried } => self.head(bytes, usize::from(carried)),
            Stage::Data { fin } => self.payload(bytes, fin),
            Stage::Control(opcode) => self.control_payload(bytes, opcode),
        }
    }

    fn head<'a>(&mut self, bytes: &'a [u8], carried: usize) -> Result<(usize, Turn<'a>), Violation> {
        let have = self.copy_head(bytes, carried);
        if have < 2 {
            return Ok(self.more_head(bytes, have));
        }
        self.held = 2;
        let opcode = self.check_start()?;
        let size = Head::size(self.head[1]);
        if have < size {
            return Ok(self.more_head(bytes, have));
        }
        self.held = size as u8;
        let head = Head::read(&self.head, opcode)?;
        self.begin(head, size - carried, carried)
    }

    /// Copies what may belong to the head behind what is there of it, and says how many bytes are there then.
    fn copy_head(&mut self, bytes: &[u8], carried: usize) -> usize {
        if let (0, Some(all)) = (carried, bytes.first_chunk::<HEAD_MAX>()) {
            // A copy of known length is two instructions.
            self.head = *all;
            return HEAD_MAX;
        }
        let count = bytes.len().min(HEAD_MAX - carried);
        self.head[carried..carried + count].copy_from_slice(&bytes[..count]);
        carried + count
    }

    const fn more_head<'a>(&mut self, bytes: &'a [u8], have: usize) -> (usize, Turn<'a>) {
        self.held = have as u8;
        self.stage = Stage::Head { carried: have as u8 };
        (bytes.len(), Turn::More)
    }

    /// What two bytes and the message under way are enough to judge (§5.4, §5.5).
    fn check_start(&self) -> Result<Opcode, Violation> {
        let opcode = Head::check(self.head[0], self.head[1], self.rules.from)?;
        match (opcode, self.message.is_some()) {
            (Opcode::Continuation, false) => Err(Violation::StrayContinuation),
            (Opcode::Text | Opcode::Binary, true) => Err(Violation::InterruptedMessage),
            _ => Ok(opcode),
        }
    }

    fn begin<'a>(&mut self, head: Head, used: usize, carried: usize) -> Result<(usize, Turn<'a>), Violation> {
        self.mask = head.key.map(Mask::new);
        if head.opcode.is_control() {
            self.control = (head.length > 0).then(|| Box::new(Control { bytes: [0; CONTROL_MAX], len: 0 }));
            self.left = head.length;
            self.stage = Stage::Control(head.opcode);
            // A control frame is given out whole; an empty one is whole already.
            return Ok((used, if head.length == 0 { self.end_control(head.opcode) } else { Turn::More }));
        }
        let opens = head.opcode != Opcode::Continuation;
        let before = self.message.unwrap_or(Message { size: 0, text: head.opcode == Opcode::Text });
        let size = before.size.saturating_add(head.length);
        if size > self.rules.message_size {
            return Err(Violation::TooBig(self.rules.message_size));
        }
        if head.fin && head.length == 0 {
            // An empty frame is whole once its head is, so its head must not pass if the text ends inside a character.
            self.utf8.finish().map_err(|_| Violation::NotUtf8)?;
        }
        self.message = Some(Message { size, text: before.text });
        self.left = head.length;
        self.stage = Stage::Data { fin: head.fin };
        Ok((used, Turn::Data { head, carried, opens }))
    }

    fn payload<'a>(&mut self, bytes: &'a [u8], fin: bool) -> Result<(usize, Turn<'a>), Violation> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 && self.left > 0 {
            return Ok((0, Turn::More));
        }
        let bytes = &bytes[..count];
        let mask = self.mask;
        let message_size = self.message.map_or(0, |message| message.size);
        if self.rules.utf8 && self.message.is_some_and(|message| message.text) {
            self.check_text(bytes)?;
        }
        let frame_ends = self.left == count as u64;
        let message_ends = frame_ends && fin;
        if message_ends {
            self.utf8.finish().map_err(|_| Violation::NotUtf8)?;
        }
        self.left -= count as u64;
        self.mask = mask.map(|mask| mask.advanced(count));
        if frame_ends {
            self.stage = Stage::Head { carried: 0 };
        }
        if message_ends {
            self.message = None;
        }
        Ok((count, Turn::Payload { bytes, mask, frame_ends, message_ends, message_size }))
    }

    fn control_payload<'a>(&mut self, bytes: &'a [u8], opcode: Opcode) -> Result<(usize, Turn<'a>), Violation> {
        let count = (self.left as usize).min(CONTROL_MAX).min(bytes.len());
        if let Some(control) = &mut self.control {
            let start = usize::from(control.len);
            let piece = &mut control.bytes[start..start + count];
            piece.copy_from_slice(&bytes[..count]);
            if let Some(mask) = &mut self.mask {
                mask.apply(piece);
            }
            control.len += count as u8;
        }
        self.left -= count as u64;
        Ok((count, if self.left == 0 { self.end_control(opcode) } else { Turn::More }))
    }

    fn end_control<'a>(&mut self, opcode: Opcode) -> Turn<'a> {
        self.stage = Stage::Head { carried: 0 };
        Turn::Control(opcode)
    }
}

#[cfg(test)]
mod tests;
