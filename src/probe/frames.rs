//! Frames of the probe: lawful and unlawful ones as bytes, and whatever a server sends read with patience.

use crate::client::random;
use crate::wire::frame::{self, Head, Opcode};
use crate::wire::mask::Mask;

/// The longest payload that is waited for; a server that announces more has lost its way.
const PAYLOAD_MAX: u64 = 4 << 20;

/// A frame of a server, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// FIN, reserved bits and opcode.
    pub(super) first: u8,
    /// Unmasked, if it was masked.
    pub(super) payload: Vec<u8>,
}

/// What came cannot be a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbage;

impl Frame {
    /// Whether it has this opcode.
    pub(super) const fn is(&self, opcode: Opcode) -> bool {
        self.first & 0x0f == opcode as u8
    }

    /// Whether it is a message in which this text stands, be it between a name and a time of day.
    pub(super) fn says(&self, text: &str) -> bool {
        let is_data = self.first & 0x0f < Opcode::Close as u8;
        is_data && self.payload.windows(text.len().max(1)).any(|part| part == text.as_bytes())
    }

    /// The code of a Close.
    pub(super) fn code(&self) -> Option<u16> {
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }
}

/// Takes the first frame out of the bytes, as soon as all of it is there.
pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Frame>, Garbage> {
    let [first, second, ..] = bytes[..] else { return Ok(None) };
    let start = Head::size(second);
    let Some(head) = bytes.get(..start) else { return Ok(None) };
    let length = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
        127 => head[2..10].iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
        short => u64::from(short),
    };
    if length > PAYLOAD_MAX {
        return Err(Garbage);
    }
    let end = start + length as usize;
    let Some(payload) = bytes.get(start..end) else { return Ok(None) };
    let mut payload = payload.to_vec();
    if second & 0x80 != 0
        && let Some(key) = head.last_chunk()
    {
        Mask::new(*key).apply(&mut payload);
    }
    bytes.drain(..end);
    Ok(Some(Frame { first, payload }))
}

/// A whole frame of a client.
pub(super) fn whole(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame::whole(opcode, payload, Some(random()))
}

/// A text message.
pub(super) fn text(text: &str) -> Vec<u8> {
    whole(Opcode::Text, text.as_bytes())
}

/// A piece of a fragmented message.
pub(super) fn fragment(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let key = random();
    let mut bytes = Vec::new();
    Head { fin, opcode, key: Some(key), length: payload.len() as u64 }.write(&mut bytes);
    append_masked(&mut bytes, payload, key);
    bytes
}

/// A short text whose length is written in two bytes, against RFC 6455 §5.2.
pub(super) fn long_form(text: &str) -> Vec<u8> {
    let key = random();
    let mut bytes = vec![0x81, 0x80 | 126];
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&key);
    append_masked(&mut bytes, text.as_bytes(), key);
    bytes
}

/// A text without a mask, against RFC 6455 §5.1.
pub(super) fn unmasked(text: &str) -> Vec<u8> {
    frame::whole(Opcode::Text, text.as_bytes(), None)
}

/// The head of a text of 2^40 bytes, and the first few of them.
pub(super) fn boundless() -> Vec<u8> {
    let mut bytes = Vec::new();
    Head { fin: true, opcode: Opcode::Text, key: Some(random()), length: 1 << 40 }.write(&mut bytes);
    bytes.extend_from_slice(b"wsgate");
    bytes
}

fn append_masked(bytes: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    Mask::new(key).apply(&mut bytes[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_taken_byte_by_byte() {
        let sent = [
            text("one"),
            fragment(Opcode::Text, false, &[b'x'; 300]),
            long_form("two"),
            unmasked("three"),
            whole(Opcode::Ping, b""),
        ];
        let (mut bytes, mut got) = (Vec::new(), Vec::new());
        for byte in sent.concat() {
            bytes.push(byte);
            got.extend(take(&mut bytes).expect("a frame"));
        }
        let firsts: Vec<u8> = got.iter().map(|frame| frame.first).collect();
        assert_eq!(firsts, [0x81, 0x01, 0x81, 0x81, 0x89]);
        let payloads: Vec<usize> = got.iter().map(|frame| frame.payload.len()).collect();
        assert_eq!(payloads, [3, 300, 3, 5, 0]);
        assert!(got[2].says("two") && !got[2].says("twos") && !got[4].says(""));
    }

    #[test]
    fn an_announcement_beyond_reason_is_garbage() {
        assert_eq!(take(&mut boundless()), Err(Garbage));
    }
}
