//! One frame's head (RFC 6455 §5.2): read under the law of a frame alone, and written anew.

use super::close::{Close, Violation};
use super::mask::Mask;

/// Which end of a WebSocket sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
    /// A server that masks some of its frames all the same, as hand-written ones do, and is not failed for it.
    Careless,
}

/// What a frame is (RFC 6455 §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of a fragmented message.
    Continuation = 0x0,
    /// Text in UTF-8.
    Text = 0x1,
    /// Any bytes.
    Binary = 0x2,
    /// The end, with a code and a reason.
    Close = 0x8,
    /// Are you there?
    Ping = 0x9,
    /// I am here.
    Pong = 0xa,
}

impl Opcode {
    const fn from_wire(code: u8) -> Option<Self> {
        match code {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    /// Control frames may stand between the fragments of a message (RFC 6455 §5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The longest head: two bytes, a 64-bit length, a masking key.
pub const HEAD_MAX: usize = 14;
/// The largest payload of a control frame.
pub const CONTROL_MAX: usize = 125;

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The masking key, in frames of a client.
    pub key: Option<[u8; 4]>,
    /// Bytes of payload.
    pub length: u64,
}

impl Head {
    /// How many bytes the head takes whose first two bytes are these (RFC 6455 §5.2).
    #[must_use]
    pub const fn size(second: u8) -> usize {
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let key = if second & 0x80 == 0 { 0 } else { 4 };
        2 + length + key
    }

    /// The law that two bytes are enough for, so that an offence is known before its length has come.
    ///
    /// # Errors
    /// Reserved bits, an unknown opcode, the wrong side's mask, a control frame too long or fragmented.
    #[inline]
    pub const fn check(first: u8, second: u8, from: Role) -> Result<Opcode, Violation> {
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let Some(opcode) = Opcode::from_wire(first & 0x0f) else {
            return Err(Violation::Opcode(first & 0x0f));
        };
        match (from, second & 0x80 != 0) {
            (Role::Client, false) => return Err(Violation::NotMasked),
            (Role::Server, true) => return Err(Violation::Masked),
            (Role::Client, true) | (Role::Server, false) | (Role::Careless, _) => {}
        }
        if opcode.is_control() {
            if first & 0x80 == 0 {
                return Err(Violation::ControlFragmented);
            }
            if second & 0x7f > CONTROL_MAX as u8 {
                return Err(Violation::ControlTooLong);
            }
        }
        Ok(opcode)
    }

    /// Reads a head that stands at the beginning of `bytes`, of which every byte is there (see [`Head::size`]), and
    /// whose first two have passed [`Head::check`].
    ///
    /// # Errors
    /// A length that is not in its shortest form, or has the top bit set.
    #[inline]
    pub fn read(bytes: &[u8; HEAD_MAX], opcode: Opcode) -> Result<Self, Violation> {
        let (first, second) = (bytes[0], bytes[1]);
        let (length, end) = match second & 0x7f {
            126 => {
                let length = u64::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                if length < 126 {
                    return Err(Violation::LengthNotMinimal);
                }
                (length, 4)
            }
            127 => {
                let mut wide = [0; 8];
                wide.copy_from_slice(&bytes[2..10]);
                let length = u64::from_be_bytes(wide);
                if length >> 63 != 0 {
                    return Err(Violation::LengthTopBit);
                }
                if length <= u64::from(u16::MAX) {
                    return Err(Violation::LengthNotMinimal);
                }
                (length, 10)
            }
            short => (u64::from(short), 2),
        };
        let key = (second & 0x80 != 0).then(|| [bytes[end], bytes[end + 1], bytes[end + 2], bytes[end + 3]]);
        Ok(Self { fin: first & 0x80 != 0, opcode, key, length })
    }

    /// Appends the head, its length in the shortest form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mask = if self.key.is_some() { 0x80 } else { 0 };
        out.push((u8::from(self.fin) << 7) | self.opcode as u8);
        match self.length {
            0..=125 => out.push(mask | self.length as u8),
            126..=0xffff => {
                out.push(mask | 126);
                out.extend_from_slice(&(self.length as u16).to_be_bytes());
            }
            _ => {
                out.push(mask | 127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        if let Some(key) = self.key {
            out.extend_from_slice(&key);
        }
    }
}

/// A whole frame as bytes: `key` is there when a client sends it.
#[must_use]
pub fn whole(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_MAX + payload.len());
    append(&mut out, opcode, payload, key);
    out
}

/// A piece of a server's message as a frame that is not the last (RFC 6455 §5.4).
#[must_use]
pub(super) fn fragment(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_MAX + payload.len());
    Head { fin: false, opcode, key: None, length: payload.len() as u64 }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

/// The same as [`whole`], behind what is already in `out`.
pub fn append(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
    Head { fin: true, opcode, key, length: payload.len() as u64 }.write(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        Mask::new(key).apply(&mut out[start..]);
    }
}

/// Bytes of payload in one whole frame of a server, told from its length: the head's own length is the least possible
/// (RFC 6455 §5.2), and nothing has to be read for it.
#[must_use]
#[inline]
pub const fn payload_len(frame: &[u8]) -> usize {
    let head = match frame.len() {
        0..128 => 2,
        128..65_540 => 4,
        _ => 10,
    };
    frame.len().saturating_sub(head)
}

/// Bytes of payload in each of some whole frames of a server, one behind the other.
pub(crate) fn payloads(mut frames: &[u8]) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let (head, length) = match *frames {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize),
            [_, length, ..] => (2, usize::from(length)),
            _ => return None,
        };
        frames = frames.get(head + length..).unwrap_or_default();
        Some(length)
    })
}

/// A Close frame as bytes.
#[must_use]
pub fn close(close: &Close, key: Option<[u8; 4]>) -> Vec<u8> {
    whole(Opcode::Close, &close.payload(), key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_in_a_row_are_told_apart() {
        let mut row = Vec::new();
        for size in [0, 125, 126, 65_535, 65_536, 3] {
            append(&mut row, Opcode::Text, &vec![b'x'; size], None);
        }
        assert_eq!(payloads(&row).collect::<Vec<_>>(), [0, 125, 126, 65_535, 65_536, 3]);
        assert_eq!(payloads(&[]).count(), 0);
    }

    #[test]
    fn the_payload_of_a_whole_frame_is_told_from_its_length() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            assert_eq!(payload_len(&whole(Opcode::Text, &vec![b'x'; payload], None)), payload);
        }
    }

    proptest! {
        #[test]
        fn rfc6455_5_2_a_head_written_is_the_head_read(fin: bool, text: bool, key: Option<[u8; 4]>, length in prop_oneof![0u64..200, 65_000u64..66_000, 0u64..(1 << 62)]) {
            let opcode = if text { Opcode::Text } else { Opcode::Continuation };
            let head = Head { fin, opcode, key, length };
            let mut bytes = Vec::new();
            head.write(&mut bytes);
            let from = if key.is_some() { Role::Client } else { Role::Server };
            prop_assert_eq!(Head::size(bytes[1]), bytes.len());
            let opcode = Head::check(bytes[0], bytes[1], from).expect("lawful");
            bytes.resize(HEAD_MAX, 0xff);
            prop_assert_eq!(Head::read(bytes.first_chunk().expect("resized"), opcode), Ok(head));
        }
    }

    #[test]
    fn rfc6455_5_2_lengths_are_minimal() {
        let read = |length: &[u8]| {
            let mut bytes = [0xff; HEAD_MAX];
            bytes[0] = 0x82;
            bytes[1..=length.len()].copy_from_slice(length);
            Head::read(&bytes, Opcode::Binary)
        };
        for length in [&[126, 0, 125][..], &[126, 0, 0], &[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]] {
            assert_eq!(read(length), Err(Violation::LengthNotMinimal));
        }
        assert_eq!(read(&[127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Violation::LengthTopBit));
    }

    #[test]
    fn two_bytes_are_enough_for_most_offences() {
        use Violation::*;
        let cases = [
            (0xc1, 0x80, Role::Client, ReservedBits),
            (0x83, 0x80, Role::Client, Opcode(3)),
            (0x8b, 0x80, Role::Client, Opcode(11)),
            (0x81, 0x01, Role::Client, NotMasked),
            (0x81, 0x81, Role::Server, Masked),
            (0x89, 0xfe, Role::Client, ControlTooLong),
            (0x09, 0x80, Role::Client, ControlFragmented),
        ];
        for (first, second, from, offence) in cases {
            assert_eq!(Head::check(first, second, from), Err(offence));
        }
    }
}
