//! An open WebSocket at its place: run to its end, and told of in its record.

use std::borrow::Cow;
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::departures;
use super::farewell::Farewell;
use super::worker::{Load, Local};
use crate::admission::caps::Permit;
use crate::client;
use crate::config::{self, Legacy, SessionLimits};
use crate::echo::Echo;
use crate::hub::{Seat, Sitting};
use crate::pool::{Again, Dialled, Pool};
use crate::relay::{Counts, Hold, Leg, Shield};
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::vigil::Vigil;
use crate::telemetry::metrics::{Metrics, Opening, Route, label};
use crate::telemetry::record::{End, Record, Stay};
use crate::telemetry::report::{Report, State};
use crate::telemetry::roster::{self, Order};
use crate::wire::close::Ending;

/// What a 101 has promised.
pub(super) struct Session {
    pub(super) place: Place,
    pub(super) route: Arc<Route>,
    pub(super) limits: Arc<SessionLimits>,
    /// Counted until the very end of the session.
    pub(super) permit: Permit,
    /// Counted until it begins.
    pub(super) opening: Opening,
}

/// What is to become of a socket whose 101 is sent.
pub(super) enum Promise {
    /// It is a session.
    Session(Session),
    /// It is turned away.
    Farewell(Farewell),
}

/// Where a WebSocket leads.
pub(super) enum Place {
    Room(Seat),
    Echo,
    Backend {
        dialled: Box<Dialled>,
        legacy: Option<Legacy>,
        again: Option<(config::Hold, Box<Again>)>,
        pool: Arc<Pool>,
    },
}

impl Session {
    /// Serves the client in a task of its own.
    pub(super) fn start(self, local: &Local, socket: Socket, record: Record, load: Load) {
        let Self { place, route, limits, permit, opening } = self;
        let entry = local.roster.enter(&route);
        drop(opening);
        let backend = match &place {
            Place::Backend { dialled, .. } => Some(dialled.lease.backend()),
            Place::Room(_) | Place::Echo => None,
        };
        // It was let in by a configuration that can be over by now.
        if !local.shared.snapshot.load().keeps(&route, backend) {
            local.roster.order(&HashSet::from([entry.number()]), &departures::order());
        }
        let vigil = Vigil::new(limits, entry.now());
        let held = Held { _permit: permit, stay: record.upgraded(&route), _load: load };
        match place {
            Place::Room(seat) => run(local, seat.take(socket, vigil, entry, &local.shard), held),
            Place::Echo => run(local, Echo::new(socket, vigil, entry), held),
            Place::Backend { dialled, legacy, again, pool } => {
                let seed = u32::from_le_bytes(client::random());
                let Dialled { socket: backend, lease, .. } = *dialled;
                let shield = legacy.map(|legacy| {
                    let metrics = held.stay.metrics();
                    let hold = again.map(|(rules, again)| Hold::new(rules, *again, metrics.holds.clone()));
                    let shield =
                        Shield::new(legacy, vigil.limits(), (&backend, &lease), counts(metrics, pool.name()), hold);
                    let (pool, backend) = (pool.name(), lease.backend());
                    tracing::debug!(pool, backend, waits_for = shield.waits_for(), "a shielded session begins");
                    shield
                });
                let leg = Leg::new(socket, (backend, lease), (vigil, entry), shield, seed);
                run(local, Relayed { leg, pool }, held);
            }
        }
    }
}

fn counts(metrics: &Metrics, pool: &str) -> Counts {
    let pool = label("pool", pool);
    Counts {
        bad_texts: metrics.backend_bad_texts.get_or_create(&pool).clone(),
        dropped: metrics.dropped.get_or_create(&pool).clone(),
    }
}

fn run(local: &Local, conversation: impl Told + Unpin + 'static, held: Held) {
    local.sessions.run(Task { conversation, held });
}

/// What every session holds to its end, dropped in this order.
struct Held {
    /// Given back before the session is told of, so that whoever sees the counters finds the place free.
    _permit: Permit,
    stay: Stay,
    _load: Load,
}

/// All that the task of an open WebSocket holds. There are as many of it as clients: a test below keeps it small.
struct Task<C: Told> {
    conversation: C,
    held: Held,
}

impl<C: Told + Unpin> Future for Task<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.conversation.place().has_words() {
            this.listen(cx);
        }
        let ending = ready!(this.conversation.poll(cx));
        this.conversation.tell(this.held.stay.metrics());
        this.told(ending.by.word(), ending.code, ending.reason);
        Poll::Ready(())
    }
}

impl<C: Told> Task<C> {
    /// Does what it is told, and tells what it is asked.
    #[cold]
    fn listen(&mut self, cx: &mut Context<'_>) {
        let words = self.conversation.place().take_words();
        self.conversation.place().tell(self.conversation.passed().pairs(), self.conversation.state());
        if words.report {
            let (place, backend) = (self.conversation.place(), self.conversation.backend());
            let (passed, state) = (self.conversation.passed().pairs(), self.conversation.state());
            let report = self.held.stay.report(place.number(), backend, passed, state);
            place.report(&Report { round_trip: place.round_trip(), ..report });
        }
        if let Some(order) = words.close {
            self.conversation.order(cx, order);
        }
    }

    fn told(&mut self, by: &'static str, code: u16, reason: Cow<'static, str>) {
        let (frames, bytes) = self.conversation.passed().pairs();
        self.conversation.place().tell((frames, bytes), State::default());
        let (id, backend) = (self.conversation.place().number(), self.conversation.backend().to_owned());
        self.held.stay.ended(End { id, by, code, reason, frames, bytes, backend });
    }
}

impl<C: Told> Drop for Task<C> {
    /// Its task was dropped, or it panicked. Only the conversation knows what passed, and it is gone before the line is
    /// written.
    fn drop(&mut self) {
        if !self.held.stay.has_ended() {
            self.told("gateway", 1006, "cut".into());
        }
    }
}

/// A conversation, and what is to be told of it when it is over.
trait Told: Conversation {
    /// The backend's name; empty where there is none.
    fn backend(&self) -> &str {
        ""
    }

    /// Counts and logs what was wrong with the backend.
    fn tell(&self, _: &Metrics) {}
}

impl Told for Sitting {}

impl Told for Echo {}

/// A relayed session that tells of what its backend did wrong.
struct Relayed {
    leg: Leg,
    pool: Arc<Pool>,
}

impl Conversation for Relayed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.leg.poll(cx)
    }

    fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        self.leg.order(cx, order);
    }

    fn place(&self) -> &roster::Place {
        self.leg.place()
    }

    fn passed(&self) -> Passed {
        self.leg.passed()
    }

    fn state(&self) -> State {
        self.leg.state()
    }
}

impl Told for Relayed {
    fn backend(&self) -> &str {
        self.leg.backend()
    }

    fn tell(&self, metrics: &Metrics) {
        let Some(offence) = self.leg.offence() else { return };
        metrics.backend_offences.get_or_create(&label("pool", self.pool.name())).inc();
        let head: String = offence.head.iter().map(|byte| format!("{byte:02x} ")).collect();
        tracing::warn!(
            pool = self.pool.name(),
            backend = self.leg.backend(),
            offence = %offence.violation,
            head = head.trim_end(),
            "a backend broke the protocol"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a ticket and tokio's 96 bytes it is rounded up to the next 128: whoever makes a session larger makes every
    /// open WebSocket dearer. Each socket is 16 bytes larger here than in a release, by what mio and tokio add for tests.
    #[test]
    fn an_open_websocket_takes_no_more_than_this() {
        let sizes = [size_of::<Task<Sitting>>(), size_of::<Task<Echo>>(), size_of::<Task<Relayed>>()];
        let most = [152, 464, 768];
        assert!(sizes.iter().zip(most).all(|(size, most)| *size <= most), "{sizes:?}, at most {most:?}");
    }
}
