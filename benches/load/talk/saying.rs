//! The half of a conversation that says something: joins, and messages when they are due.

use std::task::Context;

use wsgate::client::Socket;

use super::super::plan::{Mark, Micros};
use super::super::policy::Sending;
use super::{Membership, Talk};

/// While so much waits for the server to read it, nothing more is sent; it counts as late all the same.
pub(super) const BACKLOG: usize = 1 << 20;

impl Talk<'_> {
    /// Asks to be let in, once.
    pub(super) fn join(&mut self, cx: &mut Context<'_>, socket: &mut Socket) {
        if self.membership != Membership::None {
            return;
        }
        let worker = self.worker;
        let speech = &worker.policy.speech;
        if let Some(words) = self.resumption() {
            socket.send(cx, &words);
        } else if !speech.join.is_empty() {
            socket.send(cx, &worker.template.borrow().join(&speech.join, worker.speaker(self.seat)));
        }
        if speech.joined.is_some() && !self.never_reads() {
            self.membership = Membership::Asked;
        } else {
            self.let_in();
        }
    }

    pub(super) fn let_in(&mut self) {
        self.membership = Membership::In;
        self.member_since = self.worker.pacer.now();
        self.worker.control.join();
    }

    pub(super) fn send_due(&mut self, cx: &mut Context<'_>, socket: &mut Socket) {
        let worker = self.worker;
        let (from, until) = (worker.control.from(), worker.control.until());
        let now = worker.pacer.now();
        match worker.policy.sending {
            Sending::Nothing => {}
            Sending::OnReply(_) => {
                while self.credit > 0 && now >= from && now < until {
                    self.credit -= 1;
                    self.send(cx, socket, worker.pacer.now());
                }
                if now < from && from != u64::MAX && self.armed != from {
                    self.armed = from;
                    worker.pacer.wake_at(from, cx.waker().clone());
                }
            }
            Sending::Scheduled { .. } if from != u64::MAX => {
                if self.schedule.is_none_or(|schedule| schedule.start() != from) {
                    (self.schedule, self.number) = (worker.policy.schedule(self.seat.index, from), 0);
                }
                self.send_scheduled(cx, socket, until);
            }
            Sending::Scheduled { .. } => {}
        }
    }

    fn send_scheduled(&mut self, cx: &mut Context<'_>, socket: &mut Socket, until: Micros) {
        let Some(schedule) = self.schedule else { return };
        let worker = self.worker;
        loop {
            let (due, now) = (schedule.due(self.number), worker.pacer.now());
            if due >= until {
                return;
            }
            if now < due {
                self.held_up = false;
                if self.armed != due {
                    self.armed = due;
                    worker.pacer.wake_at(due, cx.waker().clone());
                }
                return;
            }
            if socket.queued() > BACKLOG {
                // The flush wakes us; that the message is late is the server's doing.
                self.held_up = true;
                return;
            }
            if !self.held_up {
                worker.tally.borrow_mut().late.saturating_record((now - due).max(1));
            }
            self.number += 1;
            self.send(cx, socket, due);
        }
    }

    /// Sends one message that was to be sent at `at`.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, socket: &mut Socket, at: Micros) {
        let worker = self.worker;
        let mut template = worker.template.borrow_mut();
        if !template.marked {
            self.unmarked.push_back(at);
        }
        if self.number <= 1 && self.waits_since.is_some_and(|since| since < at) {
            self.waits_since = Some(at);
        }
        let mark = Mark { run: worker.policy.run, sender: self.seat.index as u32, at };
        let (frame, size) = template.message(worker.policy.speech.say.as_ref(), mark, worker.speaker(self.seat));
        let size = size as u64;
        socket.send(cx, frame);
        if worker.control.measuring() {
            let mut tally = worker.tally.borrow_mut();
            tally.sent += 1;
            tally.bytes_out += size;
            tally.second.sent += 1;
            tally.second.bytes_out += size;
        }
    }
}
