//! What the gateway puts in of its own: now, at the end of the frame that is passing, or behind the last words.

use super::{Note, OWN_PING, Out, Side, Tunnel};
use crate::wire::close::Close;
use crate::wire::frame::{self, Opcode};

/// What waits for a frame boundary, or for the backend.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) ping: bool,
    /// Only the latest: RFC 6455 §5.5.3 lets an endpoint answer the most recent ping alone.
    pong: Option<Vec<u8>>,
    /// A Close for the client, at the next boundary.
    close: Option<Close>,
    /// A Close for the client, held until the backend has said its last words.
    pub(super) last: Option<Close>,
    /// A Close for the backend, at the next boundary.
    leave: Option<Close>,
    /// A Close for the backend, behind all that the client says until it has seen its own.
    pub(super) behind: Option<Close>,
}

impl Tunnel {
    /// The gateway's own ping to the client, where it may stand.
    pub(super) fn send_ping(&mut self, out: &mut impl Out) {
        self.unanswered = self.unanswered.saturating_add(1);
        out.send(Side::Client, &frame::whole(Opcode::Ping, OWN_PING, None));
        out.note(Note::Pinged);
    }

    /// What stands to be sent to the client now that the stream to it is between two frames.
    pub(super) fn put_in(&mut self, out: &mut impl Out) {
        self.down_open = false;
        let Some(waiting) = &mut self.waiting else { return };
        if std::mem::take(&mut waiting.ping) {
            self.send_ping(out);
        }
        let Some(waiting) = &mut self.waiting else { return };
        if let Some(pong) = waiting.pong.take() {
            out.send(Side::Client, &frame::whole(Opcode::Pong, &pong, None));
        }
        let close = waiting.close.take();
        if waiting.last.is_none() && waiting.leave.is_none() && waiting.behind.is_none() {
            self.waiting = None;
        }
        if let Some(close) = close {
            self.close_client(close, out);
        }
    }

    /// The same towards the backend.
    pub(super) fn put_in_leave(&mut self, out: &mut impl Out) {
        self.up_open = false;
        if let Some(close) = self.waiting.as_mut().and_then(|waiting| waiting.leave.take()) {
            self.leave_backend(&close, out);
        }
    }

    pub(super) fn pong_client(&mut self, payload: Vec<u8>, out: &mut impl Out) {
        if self.sent[Side::Client as usize] {
            return;
        }
        if self.down_open {
            self.wait().pong = Some(payload);
        } else {
            out.send(Side::Client, &frame::whole(Opcode::Pong, &payload, None));
        }
    }

    /// The first Close that is meant for the client is the one that it gets.
    pub(super) fn close_client(&mut self, close: Close, out: &mut impl Out) {
        if self.sent[Side::Client as usize] {
            return;
        }
        if !self.down_open {
            self.sent[Side::Client as usize] = true;
            out.send(Side::Client, &frame::close(&close, None));
        } else if self.gone[Side::Backend as usize] {
            self.cut = true;
        } else {
            self.wait().close.get_or_insert(close);
        }
    }

    /// A Close for the client, once the backend has closed or ended, unless another one is on its way.
    pub(super) fn close_client_last(&mut self, close: Close) {
        if !self.sent[Side::Client as usize] && self.waiting.as_ref().is_none_or(|waiting| waiting.close.is_none()) {
            self.wait().last = Some(close);
        }
    }

    /// The backend's Close, where it may stand and is understood; otherwise its connection just ends.
    pub(super) fn leave_backend(&mut self, close: &Close, out: &mut impl Out) {
        if self.is_left() {
        } else if self.up_open {
            self.wait().leave = Some(close.clone());
        } else {
            self.sent[Side::Backend as usize] = true;
            if self.edge.is_none() {
                let key = self.next_key();
                out.send(Side::Backend, &frame::close(close, Some(key)));
            }
        }
    }

    /// A client that was sent home says nothing any more: now the backend gets its Close, too.
    pub(super) fn leave_behind(&mut self, out: &mut impl Out) {
        if let Some(close) = self.waiting.as_mut().and_then(|waiting| waiting.behind.take()) {
            self.leave_backend(&close, out);
        }
    }

    /// Nothing goes to the backend any more.
    pub(super) const fn is_left(&self) -> bool {
        self.sent[Side::Backend as usize] || self.gone[Side::Backend as usize]
    }

    pub(super) fn send_backend(&mut self, opcode: Opcode, payload: &[u8], out: &mut impl Out) {
        if !self.is_left() {
            let key = self.next_key();
            out.send(Side::Backend, &frame::whole(opcode, payload, Some(key)));
        }
    }

    /// The Close that was held back until the backend had said its last words.
    pub(super) fn take_last(&mut self, out: &mut impl Out) -> bool {
        let last = self.waiting.as_mut().and_then(|waiting| waiting.last.take());
        last.map(|close| self.close_client(close, out)).is_some()
    }

    pub(super) fn wait(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    /// A fresh key for each frame (xorshift from the seed).
    fn next_key(&mut self) -> [u8; 4] {
        self.key ^= self.key << 13;
        self.key ^= self.key >> 17;
        self.key ^= self.key << 5;
        self.key.to_le_bytes()
    }
}
