//! An open WebSocket at its place: run to its end, and told of in its record.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::worker::Local;
use crate::admission::caps::Permit;
use crate::client;
use crate::config::{Legacy, SessionLimits};
use crate::echo::Echo;
use crate::hub::Seat;
use crate::pool::{Dialled, Pool};
use crate::relay::Leg;
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Ended};
use crate::socket::vigil::Vigil;
use crate::telemetry::metrics::{Metrics, label};
use crate::telemetry::record::{End, Record};
use crate::wire::tunnel::Offence;

/// What a 101 has promised.
pub(super) struct Session {
    pub(super) place: Place,
    pub(super) label: Arc<str>,
    pub(super) limits: Arc<SessionLimits>,
    /// Counted until the very end of the session.
    pub(super) permit: Permit,
}

/// Where a WebSocket leads.
pub(super) enum Place {
    Room(Seat),
    Echo,
    Backend { dialled: Box<Dialled>, legacy: Option<Legacy>, pool: Arc<Pool> },
}

/// A session on its way to its end.
pub(super) type Running = Pin<Box<dyn Future<Output = ()>>>;

impl Session {
    /// Serves the client, once polled. Boxed to its exact size: most of a connection's life is spent in it.
    pub(super) fn start(self, local: &Local, socket: Socket, mut record: Record) -> Running {
        let Self { place, label, limits, permit } = self;
        let entry = local.roster.enter();
        let vigil = Vigil::new(limits, entry.now());
        match place {
            Place::Room(seat) => {
                record.upgraded(&label, "");
                run(seat.take(socket, vigil, entry, &local.shard), record, permit)
            }
            Place::Echo => {
                record.upgraded(&label, "");
                run(Echo::new(socket, vigil, entry), record, permit)
            }
            Place::Backend { dialled, legacy, pool } => {
                record.upgraded(&label, dialled.lease.backend());
                let seed = u32::from_le_bytes(client::random());
                let Dialled { socket: backend, lease, .. } = *dialled;
                let leg = Leg::new(socket, (backend, lease), (vigil, entry), legacy, seed);
                let metrics = Arc::clone(record.metrics());
                run(Relayed { leg, pool, metrics, bad_texts: 0 }, record, permit)
            }
        }
    }
}

fn run(conversation: impl Conversation + Unpin + 'static, record: Record, permit: Permit) -> Running {
    Box::pin(Task { conversation, record, _permit: permit })
}

/// All that the task of an open WebSocket holds.
struct Task<C> {
    conversation: C,
    /// Given back before the record is closed, so that whoever sees the counters finds the place free.
    _permit: Permit,
    record: Record,
}

impl<C: Conversation + Unpin> Future for Task<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Ended { ending, from_client, to_client } = ready!(this.conversation.poll(cx));
        this.record.ended(End {
            by: ending.by.word(),
            code: ending.code,
            reason: ending.reason,
            frames: (from_client.frames, to_client.frames),
            bytes: (from_client.bytes, to_client.bytes),
        });
        Poll::Ready(())
    }
}

/// A relayed session that tells of what its backend does wrong.
struct Relayed {
    leg: Leg,
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
    /// Those that are counted already.
    bad_texts: u64,
}

impl Conversation for Relayed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let poll = self.leg.poll(cx);
        let bad_texts = self.leg.bad_texts();
        if bad_texts > self.bad_texts {
            let new = bad_texts - std::mem::replace(&mut self.bad_texts, bad_texts);
            self.metrics.backend_bad_texts.get_or_create(&label("pool", self.pool.name())).inc_by(new);
        }
        let ended = ready!(poll);
        if let Some(offence) = self.leg.offence() {
            self.tell(offence);
        }
        Poll::Ready(ended)
    }
}

impl Relayed {
    fn tell(&self, offence: &Offence) {
        self.metrics.backend_offences.get_or_create(&label("pool", self.pool.name())).inc();
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
