//! The way into a hub: which language is spoken, what a token says of the member, and what it may do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::session::Place;
use crate::admission::refusal::Refusal;
use crate::auth::Pass;
use crate::config::{SessionLimits, SlowClient};
use crate::hub;

/// The route's limits, where nothing else holds for this session.
pub(super) fn own_limits(
    limits: &Arc<SessionLimits>,
    credentials: Option<Duration>,
    place: &Place,
) -> Arc<SessionLimits> {
    let mut own = **limits;
    own.credentials = credentials.or(own.credentials);
    if let Place::Room(seat) = place
        && seat.must_hear_all()
    {
        own.slow_client = SlowClient::Close;
    }
    if own == **limits { Arc::clone(limits) } else { Arc::new(own) }
}

/// Waits until it is known what was said in a room that is shared with other gateways, and who may not come in. A client that asks for the newer language speaks it; any other subprotocol is left unanswered.
pub(super) async fn enter(
    hub: &Arc<hub::Hub>,
    rest: &str,
    offered: &[String],
    pass: Option<&Pass>,
    client: IpAddr,
) -> Result<(Place, Option<String>), Refusal> {
    let (language, protocol) = hub::Language::among(offered);
    let own = pass.map(|pass| credentials(pass, hub)).unwrap_or_default();
    hub.settled().await;
    let seat = hub.enter(rest, language, hub::Credentials { address: Some(client), ..own });
    let seat = seat.map_err(|refused| match refused {
        hub::Refused::NoRoom => Refusal::NoRoute,
        hub::Refused::Full => Refusal::RouteFull,
        hub::Refused::Forbidden => Refusal::Room,
        hub::Refused::Banned => Refusal::Banned,
        hub::Refused::Nameless => Refusal::Name,
    })?;
    seat.ready().await;
    Ok((Place::Room(seat), protocol.map(str::to_owned)))
}

/// What the token says of a member. A claim that is there and is not what it should be allows nothing.
fn credentials(pass: &Pass, hub: &hub::Hub) -> hub::Credentials {
    let wishes = hub.wishes();
    hub::Credentials {
        rooms: pass.texts(&wishes.rooms_claim),
        name: pass.text(&wishes.name_claim).map(str::to_owned),
        moderator: pass.is_true(&wishes.moderator_claim),
        address: None,
    }
}
