//! From the backend to the client: what passes, and what becomes of the client when the backend ends or errs.

use std::borrow::Cow;

use super::run::{Run, note_end};
use super::{Lost, Note, Offence, Out, Side, Tunnel};
use crate::wire::close::{Close, Code, Ending, Party, Violation};
use crate::wire::frame::{self, Opcode};
use crate::wire::inbound::Turn;

impl Tunnel {
    pub(super) fn backend_bytes(&mut self, bytes: &[u8], out: &mut impl Out) {
        let mut run = Run::new(bytes, Side::Client);
        loop {
            if self.got[Side::Backend as usize] || self.sent[Side::Client as usize] || self.offence.is_some() {
                return;
            }
            if self.waiting.is_none()
                && let Some((size, payload)) = self.down.short_message(run.rest())
            {
                self.traffic[Side::Backend as usize].count(payload, true);
                out.note(Note::Message(Side::Backend, payload as u64));
                run.frame(size, out);
                if run.rest().is_empty() {
                    break;
                }
                continue;
            }
            let before = run.at;
            let (used, turn) = match self.down.next(run.rest()) {
                Ok(next) => next,
                Err(violation) => {
                    self.down_open = !self.down.at_boundary() && !run.retract();
                    run.flush(out);
                    return self.backend_offended(violation, out);
                }
            };
            run.at += used;
            match turn {
                Turn::More if run.at == bytes.len() => break,
                Turn::More => {}
                Turn::Data { carried, .. } => run.head(before, carried, self.down.head_bytes(), out),
                Turn::Payload { bytes: piece, frame_ends, message_ends, message_size, .. } => {
                    self.traffic[Side::Backend as usize].count(piece.len(), frame_ends);
                    run.extend();
                    note_end(Side::Backend, (message_ends, message_size), out);
                    if frame_ends && self.waiting.is_some() {
                        run.flush(out);
                        self.put_in(out);
                    }
                }
                Turn::Control(opcode) => {
                    run.flush(out);
                    self.backend_control(opcode, out);
                }
            }
        }
        run.flush(out);
        self.down_open = !self.down.at_boundary();
    }

    pub(super) fn backend_control(&mut self, opcode: Opcode, out: &mut impl Out) {
        // The stream towards the client stands between two frames here, whatever `down_open` was before.
        self.down_open = false;
        let payload = self.down.control().to_vec();
        match opcode {
            Opcode::Ping if self.edge.is_some() => self.send_backend(Opcode::Pong, &payload, out),
            Opcode::Pong if self.edge.is_some() => {}
            Opcode::Ping | Opcode::Pong => out.send(Side::Client, &frame::whole(opcode, &payload, None)),
            _ => match Close::parse(&payload) {
                Ok(close) => self.backend_closed(close, out),
                Err(violation) => self.backend_offended(violation, out),
            },
        }
    }

    fn backend_closed(&mut self, close: Close, out: &mut impl Out) {
        self.got[Side::Backend as usize] = true;
        if !self.got[Side::Client as usize] && self.take_last(out) {
            return;
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.last = None;
        }
        self.end(|| Ending::closed(Party::Backend, &close));
        self.close_client(close, out);
    }

    pub(super) fn backend_ended(&mut self, how: Cow<'static, str>, lost: Lost, out: &mut impl Out) {
        if self.take_last(out) || self.sent[Side::Client as usize] {
            return;
        }
        let close = lost.close();
        self.end(|| Ending { by: Party::Backend, code: close.number(), reason: how });
        if self.down_open {
            // A frame was cut in two: a Close cannot stand inside it.
            self.cut = true;
        } else {
            self.close_client(close, out);
        }
    }

    pub(super) fn backend_offended(&mut self, violation: Violation, out: &mut impl Out) {
        let head = self.down.head_bytes().to_vec();
        self.offence = Some(Box::new(Offence { violation, head }));
        self.end(|| Ending {
            by: Party::Backend,
            code: Code::INTERNAL.get(),
            reason: format!("the backend broke the protocol: {violation}").into(),
        });
        self.leave_backend(&Close::new(violation.code(), violation.to_string()), out);
        if self.down_open {
            self.cut = true;
        } else if !self.take_last(out) {
            self.close_client(Close::new(Code::INTERNAL, "bad gateway: the backend broke the protocol"), out);
        }
    }
}
