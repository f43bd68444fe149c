//! An open WebSocket at its place: run to its end, and told of in its record.

use std::future::poll_fn;
use std::sync::Arc;

use super::worker::Local;
use crate::admission::caps::Permit;
use crate::client;
use crate::config::SessionLimits;
use crate::echo;
use crate::hub::Seat;
use crate::pool::{Dialled, Pool};
use crate::relay::Leg;
use crate::socket::Socket;
use crate::socket::vigil::Vigil;
use crate::telemetry::metrics::label;
use crate::telemetry::record::{End, Record};
use crate::telemetry::roster;
use crate::wire::close::Ending;
use crate::wire::tunnel::{Offence, Traffic};

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
    Backend { dialled: Box<Dialled>, edge: bool, pool: Arc<Pool> },
}

impl Session {
    /// Serves the client to the end.
    pub(super) async fn run(self, local: &Local, socket: Socket, mut record: Record) {
        let Self { place, label, limits, permit } = self;
        let entry = local.roster.enter();
        let vigil = Vigil::new(limits, entry.now());
        let backend = if let Place::Backend { dialled, .. } = &place { dialled.lease.backend() } else { "" };
        record.upgraded(&label, backend);
        let (ending, traffic) = match place {
            Place::Room(seat) => seat.run(socket, vigil, entry, std::rc::Rc::clone(&local.shard)).await,
            Place::Echo => echo::run(socket, vigil, entry).await,
            Place::Backend { dialled, edge, pool } => {
                let (leg, ending) = relay(socket, *dialled, vigil, entry, edge).await;
                if let Some(offence) = leg.offence() {
                    tell_offence(&record, &pool, leg.backend(), offence);
                }
                (ending, leg.traffic())
            }
        };
        record.ended(end(ending, traffic));
        drop(permit);
    }
}

async fn relay(socket: Socket, dialled: Dialled, vigil: Vigil, entry: roster::Place, edge: bool) -> (Leg, Ending) {
    let seed = u32::from_le_bytes(client::random());
    let mut leg = Leg::new(socket, (dialled.socket, dialled.lease), vigil, edge, seed);
    let ending = poll_fn(|cx| {
        if let Some(order) = entry.take_order() {
            leg.order(cx, order);
        }
        let poll = leg.poll(cx, entry.now());
        entry.settle(cx, leg.next_look());
        poll
    })
    .await;
    (leg, ending)
}

fn tell_offence(record: &Record, pool: &Pool, backend: &str, offence: &Offence) {
    record.metrics().backend_offences.get_or_create(&label("pool", pool.name())).inc();
    let head: String = offence.head.iter().map(|byte| format!("{byte:02x} ")).collect();
    tracing::warn!(
        pool = pool.name(),
        backend,
        offence = %offence.violation,
        head = head.trim_end(),
        "a backend broke the protocol"
    );
}

fn end(ending: Ending, (from_client, to_client): (Traffic, Traffic)) -> End {
    End {
        by: ending.by.word(),
        code: ending.code,
        reason: ending.reason,
        frames: (from_client.frames, to_client.frames),
        bytes: (from_client.bytes, to_client.bytes),
    }
}
