//! The half of a conversation that hears: frames become messages, and messages are known by their marks.

use wsgate::client;
use wsgate::wire::frame::{self, HEAD_MAX, Opcode};
use wsgate::wire::inbound::Turn;

use super::super::plan::{MARK, Mark, Micros, Side};
use super::super::policy::{Expect, Sending};
use super::super::tally::{Kind, Tally};
use super::{Membership, Talk};

/// So much of a message's beginning is searched for its mark.
const SEARCHED: usize = 1024;
/// The same where there are many messages in one.
const WHOLE: usize = 1 << 22;

impl Talk<'_> {
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.closed.is_none() {
            if self.head.is_empty()
                && let Some((used, length)) = self.inbound.short_message(bytes)
            {
                self.got(&bytes[used - length..used], length);
                bytes = &bytes[used..];
                continue;
            }
            let (used, control) = match self.inbound.next(bytes) {
                Err(violation) => {
                    self.offence = Some(format!("the server broke the protocol: {violation}"));
                    return;
                }
                Ok((used, Turn::Payload { bytes, message_ends, .. })) => {
                    self.piece(bytes, message_ends);
                    (used, None)
                }
                // An empty frame brings no payload of its own before the next call.
                Ok((used, Turn::Data { .. } | Turn::More)) => (used, None),
                Ok((used, Turn::Control(opcode))) => (used, Some(opcode)),
            };
            match control {
                Some(Opcode::Ping) => {
                    let pong = self.inbound.control().to_vec();
                    frame::append(&mut self.out, Opcode::Pong, &pong, Some(client::random()));
                }
                Some(Opcode::Close) => self.peer_closes(),
                _ => {}
            }
            bytes = &bytes[used..];
        }
    }

    fn piece(&mut self, bytes: &[u8], ends: bool) {
        let searched = if self.worker.policy.expect == Expect::Once { WHOLE } else { SEARCHED };
        let room = searched.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.size += bytes.len();
        if ends {
            let (head, size) = (std::mem::take(&mut self.head), std::mem::take(&mut self.size));
            self.got(&head, size);
        }
    }

    fn peer_closes(&mut self) {
        let payload = self.inbound.control();
        let code = if let [high, low, ..] = payload { u16::from_be_bytes([*high, *low]) } else { 1005 };
        if self.leaving.is_none() {
            let answer = payload.get(..2).unwrap_or_default().to_vec();
            frame::append(&mut self.out, Opcode::Close, &answer, Some(client::random()));
        }
        self.closed = Some(code);
    }

    /// A whole message has come, of which this is the beginning.
    fn got(&mut self, head: &[u8], size: usize) {
        let worker = self.worker;
        let now = worker.pacer.now();
        let mut tally = worker.tally.borrow_mut();
        let measuring = worker.control.measuring();
        if measuring {
            tally.received += 1;
            tally.bytes_in += size as u64;
            tally.second.received += 1;
            tally.second.bytes_in += size as u64;
        }
        if let Some(since) = self.waits_since.take()
            && !self.never_reads()
        {
            tally.record(Kind::First, now.saturating_sub(since));
        }
        if self.membership == Membership::Asked
            && let Some(words) = &worker.policy.speech.joined
            && head.windows(words.len()).any(|window| window == words)
        {
            self.let_in();
        }
        match worker.policy.expect {
            Expect::Deliveries => self.heard_in_chat(head, now, &mut tally),
            Expect::Replies => self.got_reply((head, size), now, &mut tally),
            Expect::Once => self.heard_once((head, size), now, &mut tally),
        }
    }

    /// A message of this run with that mark, and whether it is this connection's own.
    pub(super) fn marked(&self, head: &[u8], side: Side) -> Option<(Mark, bool)> {
        let mark = Mark::find(head, side).filter(|mark| mark.run == self.worker.policy.run)?;
        Some((mark, mark.sender as usize == self.seat.index & 0xf_ffff))
    }

    fn heard_in_chat(&mut self, head: &[u8], now: Micros, tally: &mut Tally) {
        let worker = self.worker;
        if self.never_reads() {
            return;
        }
        if let Some((mark, is_own)) = self.marked(head, Side::Text) {
            tally.hears_itself |= is_own;
            // Also what comes after the end of sending: the latest must not be left out.
            let part = usize::from(mark.at >= worker.control.parted());
            self.heard[part] += 1;
            worker.control.deliver();
            tally.deliver(part, now.saturating_sub(mark.at));
        } else if worker.policy.speech.is_acknowledged()
            && let Some((mark, true)) = self.marked(head, Side::Ref)
        {
            tally.record(Kind::Ack, now.saturating_sub(mark.at));
        }
    }

    fn got_reply(&mut self, (head, size): (&[u8], usize), now: Micros, tally: &mut Tally) {
        let policy = &self.worker.policy;
        let own = if policy.size >= MARK { self.marked(head, Side::Text) } else { None };
        let own = own.filter(|(_, is_own)| *is_own).map(|(mark, _)| mark.at);
        let Some(sent_at) = own.or_else(|| self.unmarked.pop_front()) else { return };
        if size < policy.size {
            tally.error("a reply is shorter than the message");
        }
        tally.record(Kind::Main, now.saturating_sub(sent_at));
        self.credit += usize::from(matches!(policy.sending, Sending::OnReply(_)));
    }
}

const _: () = assert!(HEAD_MAX < SEARCHED);
