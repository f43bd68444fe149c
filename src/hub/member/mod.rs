//! A member, from the promise of a seat before the 101 to the end of its WebSocket.

mod ask;
mod credentials;
mod misconduct;
mod plain;
mod talker;

pub(crate) use credentials::Credentials;
pub(super) use plain::Member;
pub(super) use talker::Talker;

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Hub;
use super::house::Chair;
use super::name::Name;
use super::shard::Shard;
use crate::socket::Socket;
use crate::socket::conversation::{Conversation, Passed};
use crate::socket::vigil::Vigil;
use crate::telemetry::report::State;
use crate::telemetry::roster::{Order, Place};
use crate::wire::close::Ending;

/// A seat that is promised.
#[derive(Debug)]
pub(crate) enum Seat {
    /// In a room, and in the plain language; with the name that a token gives.
    Room(Chair, Option<Name>),
    /// In a hub, from which rooms are entered.
    Hub(Box<talker::Arrival>),
}

/// A member on its seat, until its WebSocket ends.
pub(crate) enum Sitting {
    /// In the plain language.
    Plain(plain::Sitting),
    /// In the newer one.
    V1(talker::Sitting),
}

impl Seat {
    pub(super) fn in_hub(hub: &Arc<Hub>, room: &str, (credentials, name): (Credentials, Option<Name>)) -> Self {
        Self::Hub(Box::new(talker::Arrival { hub: Arc::clone(hub), room: room.into(), credentials, name }))
    }

    /// Whether no message may be left out for it: in the newer language one counts on the ids of what comes.
    #[must_use]
    pub(crate) const fn must_hear_all(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    /// Waits until its room knows what was said in it. Cancel safe.
    pub(crate) async fn ready(&self) {
        if let Self::Room(chair, _) = self {
            chair.room().ready().await;
        }
    }

    /// Takes the seat: the member is present from now on, and has the first that it is to hear in its queue.
    #[must_use]
    pub(crate) fn take(self, socket: Socket, vigil: Vigil, place: Place, shard: &Rc<Shard>) -> Sitting {
        match self {
            Self::Room(chair, name) => {
                Sitting::Plain(plain::Sitting::new((chair, name), socket, (vigil, place), shard))
            }
            Self::Hub(arrival) => Sitting::V1(talker::Sitting::new(*arrival, socket, (vigil, place), shard)),
        }
    }
}

impl Conversation for Sitting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        match self {
            Self::Plain(sitting) => sitting.poll(cx),
            Self::V1(sitting) => sitting.poll(cx),
        }
    }

    fn order(&mut self, cx: &mut Context<'_>, order: Order) {
        match self {
            Self::Plain(sitting) => sitting.order(cx, order),
            Self::V1(sitting) => sitting.order(cx, order),
        }
    }

    fn place(&self) -> &Place {
        match self {
            Self::Plain(sitting) => sitting.place(),
            Self::V1(sitting) => sitting.place(),
        }
    }

    fn passed(&self) -> Passed {
        match self {
            Self::Plain(sitting) => sitting.passed(),
            Self::V1(sitting) => sitting.passed(),
        }
    }

    fn state(&self) -> State {
        match self {
            Self::Plain(sitting) => sitting.state(),
            Self::V1(sitting) => sitting.state(),
        }
    }
}
