//! Every message comes back: the simplest place a route can lead to, for trying things out and for measuring.

use std::future::poll_fn;
use std::task::Context;

use crate::socket::Socket;
use crate::socket::endpoint::{Endpoint, Listener};
use crate::socket::vigil::Vigil;
use crate::telemetry::roster::Place;
use crate::wire::close::{Close, Ending};
use crate::wire::frame::{self, Opcode};
use crate::wire::tunnel::Traffic;

struct Echo;

impl Listener for Echo {
    fn message(&mut self, opcode: Opcode, payload: &[u8], reply: &mut Vec<u8>) -> Result<(), Close> {
        frame::append(reply, opcode, payload, None);
        Ok(())
    }

    fn is_ready(&mut self, _: &mut Context<'_>) -> bool {
        true
    }
}

/// Echoes until the WebSocket ends; with the ending comes what passed in and out.
pub(crate) async fn run(socket: Socket, vigil: Vigil, place: Place) -> (Ending, (Traffic, Traffic)) {
    let mut endpoint = Endpoint::new(socket, vigil);
    let ending = poll_fn(|cx| {
        if let Some(order) = place.take_order() {
            endpoint.order(cx, order);
        }
        let poll = endpoint.poll(cx, place.now(), &mut Echo);
        place.settle(cx, endpoint.next_look());
        poll
    })
    .await;
    (ending, endpoint.traffic())
}
