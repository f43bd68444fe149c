//! A WebSocket that is opened only to be told why it cannot stay: browsers hide every other answer from the page.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::session::{Running, run};
use super::worker::Local;
use crate::admission::door::DoorPermit;
use crate::config::SessionLimits;
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Ended};
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
    /// Sends the Close and waits for the client's own, for as long as the route's `close_timeout`. The client goes on
    /// standing at the door until then: `permit` is what bounds how many are told goodbye at once.
    pub(super) fn start(self, local: &Local, socket: Socket, record: Record, permit: DoorPermit) -> Running {
        let place = local.roster.enter();
        let endpoint = Endpoint::new(socket, Vigil::new(self.limits, place.now()));
        run(Parting { endpoint, place, close: Some(self.close) }, record, permit)
    }
}

struct Parting {
    endpoint: Endpoint,
    place: Place,
    /// Until it is sent.
    close: Option<Close>,
}

impl Conversation for Parting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(close) = self.close.take() {
            self.endpoint.dismiss(cx, close);
        }
        self.endpoint.poll(cx, &self.place, &mut Nobody)
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
