//! One client, one backend: the tunnel between them, and the only I/O around it.

mod absence;
mod end;
mod flow;
mod guard;
mod hold;
mod last_words;
mod outward;
mod pace;
mod shield;
mod wires;

pub(crate) use hold::Hold;
pub(crate) use shield::{Counts, Shield};

use std::io;
use std::task::{Context, Poll};

use self::end::Over;
use self::flow::Step;
use self::last_words::Broken;
use self::wires::Wires;
use crate::config::{Legacy, SessionLimits};
use crate::pool::Lease;
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::rate::MessageRate;
use crate::socket::vigil::{Due, Millis, Vigil};
use crate::telemetry::report::State;
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::{Close, Code, Ending};
use crate::wire::tunnel::{Edge, Offence, Policy, Side, Tunnel};

/// How long a backend may take for its last words after its client broke the law.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(400);

/// A relayed WebSocket. One task polls it.
pub(crate) struct Leg {
    client: Socket,
    backend: Socket,
    tunnel: Tunnel,
    rate: MessageRate,
    vigil: Vigil,
    /// Absent while it is held.
    lease: Option<Lease>,
    place: Place,
    /// There for a backend that does not keep RFC 6455.
    shield: Option<Box<Shield>>,
    /// There once nothing can be written to the backend any more, until it is known to have ended.
    broken: Option<Box<Broken>>,
    /// Whether one of these two is there: looked at in each turn, so it is one byte.
    is_careful: bool,
    /// What waited for the client when it was last looked at (or all that a u32 can tell): less of it now is a sign of
    /// life.
    backlog: u32,
    backend_ended: bool,
    client_failed: bool,
    over: Option<Over>,
}

impl Conversation for Leg {
    /// Relays until both ends are done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let poll = self.poll_at(cx, self.place.now());
        self.place.settle(cx, self.vigil.next());
        poll
    }

    fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        if self.over.is_none() {
            // What has come by now stands before our Close. That it may be over then is found again by the next poll.
            let _ = self.poll_at(cx, self.place.now());
        }
        self.leave(cx, order);
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn passed(&self) -> Passed {
        Passed { from_client: self.tunnel.traffic(Side::Client), to_client: self.tunnel.traffic(Side::Backend) }
    }

    fn state(&self) -> State {
        State {
            queued: self.client.queued(),
            idle: self.vigil.idle(self.place.now()),
            is_ending: self.tunnel.is_ending() || self.vigil.is_ending(),
            is_held: self.lease.is_none(),
        }
    }
}

/// The law of this session's tunnel; of two limits the stricter one counts.
fn policy(limits: &SessionLimits, legacy: Option<&Legacy>) -> Policy {
    let SessionLimits { message_size, utf8, .. } = *limits;
    let message_size = legacy.map_or(message_size, |legacy| message_size.min(legacy.message_size)) as u64;
    let edge = legacy.map(|legacy| Edge { binary: legacy.binary, bad_text: legacy.bad_text });
    Policy { message_size, utf8, edge }
}

impl Leg {
    /// A tunnel between a client whose 101 is sent and a backend that has answered with one. `seed` is a random number
    /// for the masks of the gateway's own frames.
    #[must_use]
    pub(crate) fn new(
        client: Socket,
        (backend, lease): (Socket, Lease),
        (vigil, place): (Vigil, Place),
        shield: Option<Box<Shield>>,
        seed: u32,
    ) -> Self {
        let limits = vigil.limits();
        let policy = policy(limits, shield.as_ref().map(|shield| shield.legacy()));
        Self {
            client,
            backend,
            tunnel: Tunnel::new(policy, seed),
            rate: MessageRate::new(limits.messages),
            vigil,
            lease: Some(lease),
            place,
            is_careful: shield.is_some(),
            shield,
            broken: None,
            backlog: 0,
            backend_ended: false,
            client_failed: false,
            over: None,
        }
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, now: Millis) -> Poll<Ending> {
        self.look(cx, now);
        let (mut up, mut down) = (Step::Moved, Step::Moved);
        loop {
            if self.is_careful {
                self.poll_absence(cx);
            }
            self.flush(cx, now);
            if self.tunnel.is_over() {
                return self.poll_over(cx, now);
            }
            if self.tunnel.is_ending() && !self.vigil.is_ending() {
                let wait = if self.tunnel.is_failing() { LAST_WORDS } else { self.vigil.limits().close_timeout };
                self.vigil.end_within(now, wait.min(self.vigil.limits().close_timeout));
            }
            // A direction that waits for its socket has left word there: it is not asked again before the task wakes.
            // Of a backend that may have died this is to be known before it is told more, so it comes first. Each
            // direction is asked at one place, where it is inlined: a call more costs every message.
            if down != Step::Waits {
                down = self.pump_down(cx, now);
            }
            if up != Step::Waits {
                up = self.pump_up(cx, now);
            }
            if up != Step::Moved && down != Step::Moved && !self.tunnel.is_over() {
                if self.is_careful && down == Step::Waits && self.last_words_are_over(cx) {
                    continue;
                }
                self.tunnel.rest();
                return Poll::Pending;
            }
        }
    }

    /// Both ends are told to go.
    fn leave(&mut self, cx: &mut Context<'_>, order: Order) {
        let code = Code::from_wire(order.code).unwrap_or(Code::GOING_AWAY);
        let close = Close::new(code, order.reason);
        if code.invites_back() {
            self.tell(cx, |tunnel, wires| tunnel.send_home(close, wires));
        } else {
            self.tell(cx, |tunnel, wires| tunnel.order(close, wires));
        }
    }

    /// The backend's name.
    #[must_use]
    pub(crate) fn backend(&self) -> &str {
        let gone = || self.shield.as_ref().map_or("", |shield| shield.gone());
        self.lease.as_ref().map_or_else(gone, Lease::backend)
    }

    /// What the backend did wrong, if it did.
    #[must_use]
    pub(crate) fn offence(&self) -> Option<&Offence> {
        self.tunnel.offence()
    }

    fn look(&mut self, cx: &mut Context<'_>, now: Millis) {
        if self.over.is_some() {
            return;
        }
        match self.vigil.look(now) {
            Due::Nothing => {}
            Due::Ping => {
                self.place.traffic().ping();
                if self.tunnel.is_frame_open() && self.client.queued() == 0 {
                    // The ping has to wait for the frame's end, and the client takes all that there is of it.
                    self.vigil.heard(now);
                }
                self.tell(cx, |tunnel, wires| tunnel.ping(wires));
            }
            Due::Dead => {
                self.place.traffic().unanswered();
                self.client_ended(cx, "no answer to pings".into());
            }
            Due::Idle => self.leave(cx, Order { code: 1001, reason: "idle for too long".into() }),
            Due::Old => self.leave(cx, Order { code: 1001, reason: "open for too long".into() }),
            Due::Expired => {
                self.leave(cx, Order { code: Code::EXPIRED.get(), reason: "the token has expired".into() });
            }
            Due::Deadline => {
                self.tell(cx, |tunnel, wires| tunnel.on_deadline(wires));
                self.vigil.end_within(now, self.vigil.limits().close_timeout);
            }
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>, now: Millis) {
        if !self.client_failed
            && let Poll::Ready(Err(error)) = self.client.poll_flush(cx)
        {
            self.client_ended(cx, format!("the client's connection failed: {error}"));
        }
        if !self.backend_ended
            && let Poll::Ready(Err(error)) = self.backend.poll_flush(cx)
        {
            self.backend_refuses(error);
        }
        if let Some(shield) = &mut self.shield
            && !self.backend_ended
            && self.broken.is_none()
            && self.over.is_none()
        {
            shield.poll(cx, &mut self.backend);
        }
        let queued = self.waits_for_client();
        if queued < self.backlog {
            self.vigil.heard(now);
        }
        self.backlog = queued;
    }

    fn waits_for_client(&self) -> u32 {
        u32::try_from(self.client.queued()).unwrap_or(u32::MAX)
    }

    fn client_ended(&mut self, cx: &mut Context<'_>, how: String) {
        self.client_failed = true;
        self.tell(cx, |tunnel, wires| tunnel.on_end(Side::Client, how, wires));
    }

    fn backend_failed(&mut self, cx: &mut Context<'_>, error: &io::Error) {
        let is_reset = error.kind() == io::ErrorKind::ConnectionReset;
        self.backend_lost(cx, format!("the backend's connection failed: {error}"), is_reset);
    }

    fn note_backend_ended(&mut self, was_reset: bool) {
        self.backend_ended = true;
        if let Some(shield) = &mut self.shield {
            shield.backend_ended(was_reset);
        }
    }

    fn tell(&mut self, cx: &mut Context<'_>, event: impl FnOnce(&mut Tunnel, &mut Wires<'_, '_>)) {
        event(
            &mut self.tunnel,
            &mut Wires {
                client: &mut self.client,
                backend: &mut self.backend,
                cx,
                rate: &self.rate,
                shield: self.shield.as_deref_mut(),
                place: &self.place,
            },
        );
    }
}

#[cfg(test)]
mod tests;
