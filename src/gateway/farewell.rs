//! A WebSocket that is opened only to be told why it cannot stay: browsers hide every other answer from the page.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::worker::{Load, Local};
use crate::admission::door::DoorPermit;
use crate::config::SessionLimits;
use crate::socket::Socket;
use crate::socket::endpoint::{Endpoint, Listener};
use crate::socket::vigil::Vigil;
use crate::telemetry::record::Record;
use crate::telemetry::roster::Place;
use crate::wire::close::Close;
use crate::wire::frame::Opcode;

/// What a 101 has promised to a client that is turned away.
pub(super) struct Farewell {
    pub(super) close: Close,
    pub(super) limits: Arc<SessionLimits>,
}

impl Farewell {
    /// Sends the Close and waits for the client's own, for as long as the route's `close_timeout`, in a task of its own.
    /// The client goes on standing at the door until then: `permit` is what bounds how many are told goodbye at once.
    pub(super) fn start(self, local: &Local, socket: Socket, record: Record, (permit, load): (DoorPermit, Load)) {
        let place = local.roster.pass();
        let endpoint = Endpoint::new(socket, Vigil::new(self.limits, place.now()));
        let close = Some(self.close);
        local.sessions.run(Parting { _permit: permit, endpoint, place, close, _record: record, _load: load });
    }
}

struct Parting {
    /// Given back before the socket is closed, so that whoever sees the end finds the place free.
    _permit: DoorPermit,
    endpoint: Endpoint,
    place: Place,
    /// Until it is sent.
    close: Option<Close>,
    /// Its line is written when it is dropped.
    _record: Record,
    _load: Load,
}

impl Future for Parting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(close) = this.close.take() {
            this.endpoint.dismiss(cx, close);
        }
        this.endpoint.poll(cx, &this.place, &mut Nobody).map(drop)
    }
}

/// RFC 6455 §5.5.1: what a client says after our Close is not listened to.
struct Nobody;

impl Listener for Nobody {
    fn message(&mut self, _: Opcode, _: &[u8], _: &mut Vec<u8>) -> Result<(), Close> {
        Ok(())
    }

    fn is_ready(&mut self, _: &mut Context<'_>) -> bool {
        true
    }
}
