//! From a careless backend to the client: whole messages in single frames, without masks, and without bad text.

use std::borrow::Cow;

use super::edge::Held;
use super::{Note, Out, Side, Tunnel};
use crate::wire::frame::{self, Opcode};
use crate::wire::inbound::Turn;
use crate::wire::utf8::is_text;

/// A message of more bytes passes in fragments as it comes: so much of it may be held until it is whole.
const HOLD: usize = 64 * 1024;

impl Tunnel {
    /// Every send is one whole frame, so that something can be put in, or left out, between any two of them.
    pub(super) fn careless_bytes(&mut self, bytes: &[u8], out: &mut impl Out) {
        let (mut at, mut frame_at) = (0, None);
        loop {
            if self.got[Side::Backend as usize] || self.sent[Side::Client as usize] || self.offence.is_some() {
                return;
            }
            if let Some((size, payload)) = self.down.short_message(&bytes[at..]) {
                self.pass_whole(&bytes[at..at + size], payload, out);
                at += size;
                if at == bytes.len() {
                    return;
                }
                continue;
            }
            let before = at;
            let (used, turn) = match self.down.next(&bytes[at..]) {
                Ok(next) => next,
                Err(violation) => return self.backend_offended(violation, out),
            };
            at += used;
            match turn {
                Turn::More if at == bytes.len() => return,
                Turn::More => {}
                Turn::Data { head, carried, opens } => {
                    frame_at = (opens && head.fin && head.key.is_none() && carried == 0).then_some(before);
                    if let (true, Some(held)) = (opens, &mut self.edge) {
                        held.down.open(head.opcode, None);
                        (held.has_begun, held.is_bad) = (false, false);
                    }
                }
                Turn::Payload { bytes: piece, mask, message_ends, message_size, .. } => {
                    match (frame_at.take(), message_ends) {
                        (Some(start), true) => self.pass_whole(&bytes[start..at], piece.len(), out),
                        _ => {
                            let Some(held) = &mut self.edge else { return };
                            held.down.push(piece, mask);
                            if message_ends {
                                self.pass_held(message_size, out);
                            } else if held.down.bytes().len() > HOLD {
                                self.pass_fragment(out);
                            }
                        }
                    }
                }
                Turn::Control(opcode) => self.backend_control(opcode, out),
            }
        }
    }

    /// A message that came in one frame without a mask, all of it at hand: it passes without a copy if it is sound.
    fn pass_whole(&mut self, frame: &[u8], payload: usize, out: &mut impl Out) {
        let Some(held) = &mut self.edge else { return };
        let text = frame[0] & 0x0f == Opcode::Text as u8;
        let payload = &frame[frame.len() - payload..];
        if !text || !held.mends() || is_text(payload) {
            self.traffic[Side::Backend as usize].count(payload.len(), true);
            out.note(Note::Message(Side::Backend, payload.len() as u64));
            return out.message(frame);
        }
        held.down.open(Opcode::Text, None);
        held.down.push(payload, None);
        (held.has_begun, held.is_bad) = (false, false);
        self.pass_held(payload.len() as u64, out);
    }

    /// The message that was held is whole, or its last part is here; `size` is that of all of it, as it came.
    fn pass_held(&mut self, size: u64, out: &mut impl Out) {
        let Some(held) = &mut self.edge else { return };
        let (end, opcode, has_begun) = (held.down.bytes().len(), held.down.opcode(), held.has_begun);
        if let Some(payload) = mended(held, end) {
            self.traffic[Side::Backend as usize].count(payload.len(), true);
            out.note(Note::Message(Side::Backend, size));
            if has_begun {
                out.send(Side::Client, &frame::whole(Opcode::Continuation, &payload, None));
            } else {
                out.message(&frame::whole(opcode, &payload, None));
            }
        }
        held.down.clear();
    }

    /// What is held of a long message passes, up to the last whole character.
    fn pass_fragment(&mut self, out: &mut impl Out) {
        let Some(held) = &mut self.edge else { return };
        let opcode = if held.has_begun { Opcode::Continuation } else { held.down.opcode() };
        held.has_begun = true;
        let bytes = held.down.bytes();
        let end = if is_mended(held) { whole_characters(bytes) } else { bytes.len() };
        let Some(payload) = mended(held, end) else { return };
        self.traffic[Side::Backend as usize].count(payload.len(), true);
        out.send(Side::Client, &frame::fragment(opcode, &payload));
        held.down.use_up(end);
    }
}

fn is_mended(held: &Held) -> bool {
    held.down.opcode() == Opcode::Text && held.mends()
}

/// The first `end` bytes of what is held, as they may pass; `None`: they may not.
fn mended(held: &mut Held, end: usize) -> Option<Cow<'_, [u8]>> {
    if is_mended(held) && !is_text(&held.down.bytes()[..end]) {
        held.note_bad();
        if held.drops() && !held.has_begun {
            return None;
        }
        let text = String::from_utf8_lossy(&held.down.bytes()[..end]);
        return Some(Cow::Owned(text.into_owned().into_bytes()));
    }
    Some(Cow::Borrowed(&held.down.bytes()[..end]))
}

/// The length without a character at the end of which the rest may still come.
fn whole_characters(text: &[u8]) -> usize {
    let tail = &text[text.len().saturating_sub(3)..];
    let Some(back) = tail.iter().rev().position(|byte| byte & 0xc0 != 0x80) else { return text.len() };
    let (start, have) = (text.len() - 1 - back, back + 1);
    let wants = match text[start] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if have < wants { start } else { text.len() }
}

#[cfg(test)]
mod tests;
