//! Every message comes back: the simplest place a route can lead to, for trying things out and for measuring.

use std::task::{Context, Poll};

use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::endpoint::{Endpoint, Listener};
use crate::socket::vigil::Vigil;
use crate::telemetry::report::State;
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::{Close, Ending};
use crate::wire::frame::{self, Opcode};

/// A WebSocket that echoes.
pub(crate) struct Echo {
    endpoint: Endpoint,
    place: Place,
}

impl Echo {
    /// Echoes to this client, once polled.
    #[must_use]
    pub(crate) fn new(socket: Socket, vigil: Vigil, place: Place) -> Self {
        Self { endpoint: Endpoint::new(socket, vigil), place }
    }
}

impl Conversation for Echo {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.endpoint.poll(cx, &self.place, &mut Back)
    }

    fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        self.endpoint.order(cx, order);
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn passed(&self) -> Passed {
        self.endpoint.passed()
    }

    fn state(&self) -> State {
        self.endpoint.state(self.place.now())
    }
}

struct Back;

impl Listener for Back {
    fn message(&mut self, opcode: Opcode, payload: &[u8], reply: &mut Vec<u8>) -> Result<(), Close> {
        frame::append(reply, opcode, payload, None);
        Ok(())
    }

    fn is_ready(&mut self, _: &mut Context<'_>) -> bool {
        true
    }
}
