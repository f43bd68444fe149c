//! One member's stay in a room: from the promise before the 101 to the end of its WebSocket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::Hub;
use super::event;
use super::room::Room;
use super::shard::{Member, Shard};
use crate::socket::Socket;
use crate::socket::endpoint::{Endpoint, Listener};
use crate::socket::vigil::Vigil;
use crate::telemetry::roster::Place;
use crate::wire::close::{Close, Code, Ending};
use crate::wire::frame::Opcode;
use crate::wire::tunnel::Traffic;

/// A seat in a room, free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    hub: Arc<Hub>,
    room: Arc<Room>,
}

impl Seat {
    /// The room was told to [`Room::expect`] somebody.
    pub(super) const fn new(hub: Arc<Hub>, room: Arc<Room>) -> Self {
        Self { hub, room }
    }

    /// Takes the seat: history, then messages both ways until the WebSocket ends. With the ending comes what passed in
    /// and out.
    pub async fn run(
        self,
        socket: Socket,
        vigil: Vigil,
        place: Place,
        shard: Rc<Shard>,
    ) -> (Ending, (Traffic, Traffic)) {
        let user = self.hub.next_user();
        // Half of the queue for the history: a newcomer is not too slow before it has begun to read.
        let largest = vigil.limits().send_queue;
        let budget = largest / 2;
        let mut endpoint = Endpoint::new(socket, vigil);
        let welcome = self.room.arrive(shard.worker(), budget);
        let mut cx = Context::from_waker(Waker::noop());
        for frame in &welcome.history {
            endpoint.deliver(&mut cx, frame);
        }
        let endpoint = RefCell::new(endpoint);
        let to_self = self.hub.wishes().to_sender;
        let member = Rc::new(Member { endpoint, place, user, last: welcome.last, to_self });
        // Left before the seat is: declared after it.
        let _membership = shard.join(&self.room, Rc::clone(&member));
        let mut speaker = Speaker { seat: &self, user, largest };
        let ending = poll_fn(|cx| {
            let mut endpoint = member.endpoint.borrow_mut();
            if let Some(order) = member.place.take_order() {
                endpoint.order(cx, order);
            }
            let poll = endpoint.poll(cx, member.place.now(), &mut speaker);
            member.place.settle(cx, endpoint.next_look());
            poll
        })
        .await;
        let traffic = member.endpoint.borrow().traffic();
        (ending, traffic)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.forget_one();
    }
}

struct Speaker<'a> {
    seat: &'a Seat,
    user: u64,
    /// Bytes of a frame that a member can be sent at all.
    largest: usize,
}

impl Listener for Speaker<'_> {
    fn message(&mut self, opcode: Opcode, payload: &[u8], _: &mut Vec<u8>) -> Result<(), Close> {
        let refusal = match (opcode, std::str::from_utf8(payload)) {
            (Opcode::Text, Ok("")) => return Ok(()),
            (Opcode::Text, Ok(text)) => {
                let hub = &self.seat.hub;
                let frame = event::said(self.user, text, hub.wishes.escape);
                if frame.len() > self.largest {
                    // Else all who would get it were cut for being slow.
                    return Err(Close::new(Code::TOO_BIG, "too large for the room"));
                }
                self.seat.room.say(self.user, &frame, &hub.mailboxes);
                return Ok(());
            }
            // Only reached where the limits say that text is not checked: the room is shared, so here it is.
            (Opcode::Text, Err(_)) => Close::new(Code::INVALID_PAYLOAD, "text is not UTF-8"),
            _ => Close::new(Code::UNSUPPORTED, "the chat takes text only"),
        };
        Err(refusal)
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.seat.hub.mailboxes.iter().all(|mailbox| mailbox.has_room(cx))
    }
}
