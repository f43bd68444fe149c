//! One client, one backend: the tunnel between them, and the only I/O around it.

mod wires;

use std::task::{Context, Poll};

use self::wires::{Wires, pump};
use crate::pool::{LEAVE, Lease};
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::rate::MessageRate;
use crate::socket::vigil::{Due, Millis, Vigil};
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::{Close, Code, Ending, Party};
use crate::wire::tunnel::{Offence, Policy, Side, Traffic, Tunnel};

/// How long a backend may take for its last words after its client broke the law.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(400);
/// Answers to a client's control frames that may wait for it before no more is read from it, in bytes.
const ANSWERS: usize = 4096;
/// The same for a backend, beyond one whole message of the client's.
const PILED: usize = 64 * 1024;

/// A relayed WebSocket. One task polls it.
pub(crate) struct Leg {
    client: Socket,
    backend: Socket,
    tunnel: Tunnel,
    rate: MessageRate,
    vigil: Vigil,
    lease: Lease,
    place: Place,
    /// What waited for the client when it was last looked at: less of it now is a sign of life.
    backlog: usize,
    backend_ended: bool,
    client_failed: bool,
    over: Option<Over>,
}

impl Conversation for Leg {
    /// Relays until both ends are done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Some(order) = self.place.take_order() {
            self.order(cx, order);
        }
        let poll = self.poll_at(cx, self.place.now());
        self.place.settle(cx, self.vigil.next());
        poll
    }

    fn passed(&self) -> Passed {
        Passed { from_client: self.tunnel.traffic(Side::Client), to_client: self.tunnel.traffic(Side::Backend) }
    }
}

/// What came of one attempt to move bytes in one direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Bytes moved, or the source ended.
    Moved,
    /// The source has nothing; its socket wakes the task.
    Waits,
    /// The sink has to take what it was given before.
    Blocked,
}

/// The end of a leg: both sockets are left in peace.
#[derive(Default)]
struct Over {
    client_done: bool,
    backend_done: bool,
}

impl Leg {
    /// A tunnel between a client whose 101 is sent and a backend that has answered with one. `seed` is a random number
    /// for the masks of the gateway's own frames.
    #[must_use]
    pub(crate) fn new(
        client: Socket,
        (backend, lease): (Socket, Lease),
        (vigil, place): (Vigil, Place),
        edge: bool,
        seed: u32,
    ) -> Self {
        let limits = vigil.limits();
        let policy = Policy { message_size: limits.message_size as u64, utf8: limits.utf8, edge };
        Self {
            client,
            backend,
            tunnel: Tunnel::new(policy, seed),
            rate: MessageRate::new(limits.messages),
            vigil,
            lease,
            place,
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
            self.flush(cx, now);
            if self.tunnel.is_over() {
                return self.poll_over(cx, now);
            }
            if self.tunnel.is_ending() && !self.vigil.is_ending() {
                let wait = if self.tunnel.is_failing() { LAST_WORDS } else { self.vigil.limits().close_timeout };
                self.vigil.end_within(now, wait.min(self.vigil.limits().close_timeout));
            }
            // A direction that waits for its socket has left word there: it is not asked again before the task wakes.
            if up != Step::Waits {
                up = self.pump_up(cx, now);
            }
            if down != Step::Waits {
                down = self.pump_down(cx, now);
            }
            if up != Step::Moved && down != Step::Moved && !self.tunnel.is_over() {
                self.tunnel.rest();
                return Poll::Pending;
            }
        }
    }

    fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        let code = Code::from_wire(order.code).unwrap_or(Code::GOING_AWAY);
        self.tell(cx, |tunnel, wires| tunnel.order(Close::new(code, order.reason), wires));
    }

    /// The backend's name.
    #[must_use]
    pub(crate) fn backend(&self) -> &str {
        self.lease.backend()
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
                if self.tunnel.is_mid_frame(Side::Backend) && self.client.queued() == 0 {
                    // The ping has to wait for the frame's end, and the client takes all that there is of it.
                    self.vigil.heard(now);
                }
                self.tell(cx, |tunnel, wires| tunnel.ping(wires));
            }
            Due::Dead => self.client_ended(cx, "no answer to pings".into()),
            Due::Idle => self.order(cx, Order { code: 1001, reason: "idle for too long".into() }),
            Due::Old => self.order(cx, Order { code: 1001, reason: "open for too long".into() }),
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
            self.backend_ended(cx, format!("the backend's connection failed: {error}"));
        }
        let queued = self.client.queued();
        if queued < self.backlog {
            self.vigil.heard(now);
        }
        self.backlog = queued;
    }

    /// Client to backend.
    fn pump_up(&mut self, cx: &mut Context<'_>, now: Millis) -> Step {
        let is_clear = self.backend.queued() == 0 || self.backend_ended;
        if !is_clear {
            // A client that is not listened to is not dead: its pongs wait behind what the backend does not take.
            self.vigil.heard(now);
        }
        if self.client_failed || !is_clear || self.client.queued() > ANSWERS {
            return Step::Blocked;
        }
        if self.client.poll_arrived(cx).is_pending() {
            return Step::Waits;
        }
        let before = self.tunnel.traffic(Side::Client);
        let Self { client, backend, tunnel, rate, .. } = self;
        match pump(cx, Side::Client, (client, backend), tunnel, rate) {
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
    fn pump_down(&mut self, cx: &mut Context<'_>, now: Millis) -> Step {
        // A backend that talks and does not listen makes answers of ours pile up behind its client's last message.
        let piled = self.backend.queued() > self.vigil.limits().message_size.saturating_add(PILED);
        if self.backend_ended || self.client.queued() > 0 || piled {
            return Step::Blocked;
        }
        if self.backend.poll_arrived(cx).is_pending() {
            return Step::Waits;
        }
        let before = self.tunnel.traffic(Side::Backend);
        let Self { client, backend, tunnel, rate, .. } = self;
        match pump(cx, Side::Backend, (backend, client), tunnel, rate) {
            Poll::Pending => Step::Waits,
            Poll::Ready(Ok(true)) => {
                self.note_data(Side::Backend, before, now);
                Step::Moved
            }
            Poll::Ready(Ok(false)) => {
                self.backend_ended(cx, "the backend ended without a close".to_owned());
                Step::Moved
            }
            Poll::Ready(Err(error)) => {
                self.backend_ended(cx, format!("the backend's connection failed: {error}"));
                Step::Moved
            }
        }
    }

    /// Data keeps a session from being idle; pings and pongs do not.
    fn note_data(&mut self, from: Side, before: Traffic, now: Millis) {
        if self.tunnel.traffic(from) != before || self.tunnel.is_mid_frame(from) {
            self.vigil.active(now);
        }
    }

    fn client_ended(&mut self, cx: &mut Context<'_>, how: String) {
        self.client_failed = true;
        self.tell(cx, |tunnel, wires| tunnel.on_end(Side::Client, how, wires));
    }

    fn backend_ended(&mut self, cx: &mut Context<'_>, how: String) {
        self.backend_ended = true;
        self.tell(cx, |tunnel, wires| tunnel.on_end(Side::Backend, how, wires));
    }

    fn tell(&mut self, cx: &mut Context<'_>, event: impl FnOnce(&mut Tunnel, &mut Wires<'_, '_>)) {
        event(
            &mut self.tunnel,
            &mut Wires { client: &mut self.client, backend: &mut self.backend, cx, rate: &self.rate },
        );
    }

    /// Both ends get what is still queued, an orderly end of the stream, and time to say their own.
    fn poll_over(&mut self, cx: &mut Context<'_>, now: Millis) -> Poll<Ending> {
        if self.over.is_none() {
            // A client that has gone still gets its close_notify (RFC 8446 §6.1), but is not waited for.
            self.over = Some(Over { client_done: self.client_failed, backend_done: false });
            self.vigil.end_within(now, self.vigil.limits().close_timeout.min(LEAVE));
        }
        let is_late = self.vigil.look(now) == Due::Deadline;
        let Some(over) = &mut self.over else { return Poll::Pending };
        over.client_done |= self.client.poll_linger(cx).is_ready();
        over.backend_done |= self.backend.poll_linger(cx).is_ready();
        if is_late || (over.client_done && over.backend_done) {
            let ending = self.tunnel.ending().cloned();
            return Poll::Ready(ending.unwrap_or_else(|| Ending::lost(Party::Gateway, "cut")));
        }
        Poll::Pending
    }
}
