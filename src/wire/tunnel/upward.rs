//! From the client to the backend: what passes, what it is answered, and what it is failed for.

use super::run::{Run, note_end};
use super::{Note, OWN_PING, Out, Side, Tunnel};
use crate::wire::close::{Close, Code, Ending, Party, Violation};
use crate::wire::frame::{self, Opcode};
use crate::wire::inbound::Turn;
use crate::wire::message::Assembler;

impl Tunnel {
    pub(super) fn client_bytes(&mut self, bytes: &[u8], out: &mut impl Out) {
        let mut run = Run::new(bytes, Side::Backend);
        loop {
            if self.deaf || self.got[Side::Client as usize] {
                return;
            }
            if self.pass_short_message(&mut run, out) {
                if run.rest().is_empty() {
                    break;
                }
                continue;
            }
            let before = run.at;
            let (used, turn) = match self.up.next(run.rest()) {
                Ok(next) => next,
                Err(violation) => {
                    self.up_open = self.edge.is_none() && !self.up.at_boundary() && !run.retract();
                    run.flush(out);
                    return self.client_offended(violation, out);
                }
            };
            run.at += used;
            match turn {
                Turn::More if run.at == bytes.len() => break,
                Turn::More => {}
                Turn::Data { .. } | Turn::Payload { .. } if self.is_left() => {}
                Turn::Data { head, carried, opens } => {
                    if opens && let Some(why) = self.refusal(head.opcode as u8, out) {
                        return self.client_is_refused(why, &mut run, out);
                    }
                    match &mut self.edge {
                        Some(held) if opens => held.up.open(head.opcode, head.key),
                        Some(_) => {}
                        None => run.head(before, carried, self.up.head_bytes(), out),
                    }
                }
                Turn::Payload { bytes: piece, mask, frame_ends, message_ends, message_size } => match &mut self.edge {
                    Some(held) => {
                        held.up.push(piece, mask);
                        if message_ends {
                            self.traffic[Side::Client as usize].count(held.up.bytes().len(), true);
                            out.note(Note::Message(Side::Client, message_size));
                            send_whole(&mut held.up, out);
                        }
                    }
                    None => {
                        self.traffic[Side::Client as usize].count(piece.len(), frame_ends);
                        run.extend();
                        note_end(Side::Client, (message_ends, message_size), out);
                        self.end_frame(frame_ends, &mut run, out);
                    }
                },
                Turn::Control(opcode) => {
                    run.flush(out);
                    self.client_control(opcode, out);
                }
            }
        }
        run.flush(out);
        self.up_open = self.edge.is_none() && !self.up.at_boundary();
    }

    /// What stands to be sent to the backend is put in where a frame ends.
    fn end_frame(&mut self, ends: bool, run: &mut Run<'_>, out: &mut impl Out) {
        if ends && self.waiting.is_some() {
            run.flush(out);
            self.put_in_leave(out);
        }
    }

    /// The short way of most messages; says whether there was one.
    fn pass_short_message(&mut self, run: &mut Run<'_>, out: &mut impl Out) -> bool {
        if self.waiting.is_some() || self.is_left() {
            return false;
        }
        let Some((size, payload)) = self.up.short_message(run.rest()) else { return false };
        if let Some(why) = self.refusal(run.rest()[0], out) {
            self.client_is_refused(why, run, out);
            return true;
        }
        self.traffic[Side::Client as usize].count(payload, true);
        out.note(Note::Message(Side::Client, payload as u64));
        run.frame(size, out);
        if self.edge.is_some() {
            run.flush(out);
        }
        true
    }

    /// Why a message whose first frame begins with this byte is not let in, if it is not; one that is counts.
    fn refusal(&self, first: u8, out: &mut impl Out) -> Option<Violation> {
        if !out.admit_message() {
            return Some(Violation::TooMany);
        }
        self.edge.as_ref().is_some_and(|held| held.refuses(first)).then_some(Violation::Binary)
    }

    /// A message that breaks no law of frames is not let in.
    fn client_is_refused(&mut self, why: Violation, run: &mut Run<'_>, out: &mut impl Out) {
        run.flush(out);
        self.up_open = false;
        self.client_offended(why, out);
    }

    fn client_control(&mut self, opcode: Opcode, out: &mut impl Out) {
        // The stream towards the backend stands between two frames here, whatever `up_open` was before.
        self.up_open = false;
        let payload = self.up.control().to_vec();
        match opcode {
            Opcode::Ping if self.edge.is_some() => self.pong_client(payload, out),
            Opcode::Ping => self.send_backend(Opcode::Ping, &payload, out),
            Opcode::Pong if payload == OWN_PING && self.unanswered > 0 => {
                self.unanswered -= 1;
                out.note(Note::Ponged);
            }
            Opcode::Pong if self.edge.is_some() => {}
            Opcode::Pong => self.send_backend(Opcode::Pong, &payload, out),
            _ => match Close::parse(&payload) {
                Ok(close) => self.client_closed(close, out),
                Err(violation) => self.client_offended(violation, out),
            },
        }
    }

    fn client_closed(&mut self, close: Close, out: &mut impl Out) {
        self.got[Side::Client as usize] = true;
        self.end(|| Ending::closed(Party::Client, &close));
        self.leave_behind(out);
        if self.edge.is_some() {
            return self.close_client(close, out);
        }
        self.leave_backend(&close, out);
        // The backend's own Close answers it; should none come, this one does.
        self.close_client_last(close);
    }

    fn client_offended(&mut self, violation: Violation, out: &mut impl Out) {
        self.deaf = true;
        let close = Close::new(violation.code(), violation.to_string());
        self.end(|| Ending::closed(Party::Gateway, &close));
        if self.edge.is_some() || self.up_open || self.is_left() {
            return self.close_client(close, out);
        }
        // What the backend still has to say to earlier messages goes first, as without a gateway.
        self.leave_backend(&Close::new(Code::GOING_AWAY, "the client broke the protocol"), out);
        self.close_client_last(close);
    }
}

/// One whole message as one frame in one piece. The key is the one that the client chose for its first frame: as
/// unpredictable to whoever wrote the payload as it was before.
fn send_whole(assembler: &mut Assembler, out: &mut impl Out) {
    let bytes = assembler.bytes();
    out.send(Side::Backend, &frame::whole(assembler.opcode(), bytes, assembler.key()));
    assembler.clear();
}
