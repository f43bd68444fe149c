//! Bytes on their way through a leg: what is read when, and what is not read until the other side has taken what it has.

use std::task::{Context, Poll};

use super::Leg;
use super::wires::pump;
use crate::socket::endpoint::TOO_SLOW;
use crate::socket::vigil::Millis;
use crate::telemetry::roster::Order;
use crate::wire::close::Code;
use crate::wire::tunnel::{Side, Traffic};

/// Answers to a client's control frames that may wait for it before no more is read from it, in bytes.
const ANSWERS: usize = 4096;
/// The same for a backend, beyond one whole message of the client's.
const PILED: usize = 64 * 1024;

/// What came of one attempt to move bytes in one direction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes moved, or the source ended.
    Moved,
    /// The source has nothing; its socket wakes the task.
    Waits,
    /// The sink has to take what it was given before.
    Blocked,
}

impl Leg {
    /// Client to backend.
    pub(super) fn pump_up(&mut self, cx: &mut Context<'_>, now: Millis) -> Step {
        // What a shield might have to keep for another backend stays with the client while this one may be dead.
        let is_read = self.shield.as_ref().is_none_or(|shield| self.broken.is_none() && shield.is_clear());
        let is_clear = (self.backend.queued() == 0 && is_read) || self.backend_ended;
        if !is_clear {
            // A client that is not listened to is not dead: its pongs wait behind what the backend does not take.
            self.vigil.spare();
        }
        let is_full = self.shield.is_none() && self.client.queued() > ANSWERS;
        if self.client_failed || !is_clear || is_full {
            return Step::Blocked;
        }
        if self.client.poll_arrived(cx).is_pending() {
            return Step::Waits;
        }
        let before = self.tunnel.traffic(Side::Client);
        let Self { client, backend, tunnel, rate, shield, place, .. } = self;
        let pumped = match shield {
            None => pump(cx, Side::Client, (client, backend), tunnel, (rate, place)),
            Some(shield) => shield.pump_up(cx, (client, backend), tunnel, (rate, place)),
        };
        match pumped {
            Poll::Pending => Step::Waits,
            Poll::Ready(Ok(true)) => {
                self.vigil.heard(now);
                self.note_data(Side::Client, before, now);
                Step::Moved
            }
            Poll::Ready(Ok(false)) => {
                self.client_ended(cx, "the client ended without a close".to_owned());
                Step::Moved
            }
            Poll::Ready(Err(error)) => {
                self.client_ended(cx, format!("the client's connection failed: {error}"));
                Step::Moved
            }
        }
    }

    /// Backend to client.
    pub(super) fn pump_down(&mut self, cx: &mut Context<'_>, now: Millis) -> Step {
        if self.backend_ended || self.is_down_blocked(cx) {
            return Step::Blocked;
        }
        if self.backend.poll_arrived(cx).is_pending() {
            return Step::Waits;
        }
        let before = self.tunnel.traffic(Side::Backend);
        let Self { client, backend, tunnel, rate, shield, place, .. } = self;
        let pumped = match shield {
            None => pump(cx, Side::Backend, (backend, client), tunnel, (rate, place)),
            Some(shield) => shield.pump_down(cx, (client, backend), tunnel, (rate, place)),
        };
        self.tell_slow_client(cx);
        match pumped {
            Poll::Pending => Step::Waits,
            Poll::Ready(Ok(true)) => {
                self.note_data(Side::Backend, before, now);
                Step::Moved
            }
            Poll::Ready(Ok(false)) => {
                self.backend_lost(cx, "the backend ended without a close".to_owned(), false);
                Step::Moved
            }
            Poll::Ready(Err(error)) => {
                self.backend_failed(cx, &error);
                Step::Moved
            }
        }
    }

    /// Nothing more is read from a backend whose client does not take what there is, unless it has a shield.
    fn is_down_blocked(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(shield) = &mut self.shield {
            let is_held = shield.poll_held(cx, &self.client);
            self.tell_slow_client(cx);
            return is_held;
        }
        // A backend that talks and does not listen makes answers of ours pile up behind its client's last message.
        let piled = self.backend.queued() > self.vigil.limits().message_size.saturating_add(PILED);
        self.client.queued() > 0 || (piled && self.broken.is_none())
    }

    /// A client that cannot get what its shielded backend says is told to go.
    fn tell_slow_client(&mut self, cx: &mut Context<'_>) {
        let Some(shield) = &mut self.shield else { return };
        if shield.take_full() {
            self.client.drop_queue();
            self.leave(cx, Order { code: Code::TRY_LATER.get(), reason: TOO_SLOW.into() });
        }
        // What was dropped was not taken by the client.
        self.backlog = self.waits_for_client();
    }

    /// Data keeps a session from being idle; pings and pongs do not.
    fn note_data(&mut self, from: Side, before: Traffic, now: Millis) {
        if self.tunnel.traffic(from) != before || self.tunnel.is_mid_frame(from) {
            self.vigil.active(now);
        }
    }
}
