//! Hubs at the desk: their rooms and members, seen and moderated over HTTP.

mod ask;
mod tell;

use std::time::{Duration, Instant};

use http::{Method, StatusCode, request};

use self::ask::{About, Asked, Path, Post, Query, Slow};
use super::wrong::Wrong;
use crate::admin::Reply;
use crate::gateway::snapshot::{LiveRoute, Snapshot};
use crate::hub::moderation::{Grounds, Measure, SLOWEST};
use crate::hub::sentence::{DOOR, Sentences};
use crate::hub::{Fault, Hub, Posted};

/// The first parts of the paths that are answered here.
pub(super) const PATHS: [&str; 4] = ["hubs", "rooms", "mutes", "bans"];

/// A hub, and what of its route matters here.
struct Place<'a> {
    live: &'a LiveRoute,
    hub: &'a Hub,
}

/// Answers.
pub(super) fn serve(snapshot: &Snapshot, head: &request::Parts, body: &[u8]) -> Result<Reply, Wrong> {
    let path = Path::parse(head.uri.path()).ok_or(Wrong::Path)?;
    let query = Query::parse(head.uri.query().unwrap_or_default())?;
    if !path.methods().contains(&head.method) {
        return Err(Wrong::Method(path.methods()));
    }
    if path == Path::Hubs {
        return Ok(tell::hubs(snapshot.hub_routes()));
    }
    let place = find(snapshot, query.hub.as_deref())?;
    let asked = Asked { path, method: &head.method, query, body };
    match *asked.method {
        Method::GET => place.show(&asked),
        Method::DELETE => place.take_away(&asked),
        _ => place.change(&asked),
    }
}

/// The hub that is named, or the only one.
fn find<'a>(snapshot: &'a Snapshot, name: Option<&str>) -> Result<Place<'a>, Wrong> {
    let mut hubs = snapshot.hub_routes().filter(|(live, _)| name.is_none_or(|name| live.route.route == name));
    match (hubs.next(), hubs.next(), name) {
        (Some((live, hub)), None, _) => Ok(Place { live, hub }),
        (None, _, _) => Err(Wrong::NoSuchHub),
        (Some(_), Some(_), _) => Err(Wrong::WhichHub),
    }
}

impl Place<'_> {
    fn show(&self, asked: &Asked<'_>) -> Result<Reply, Wrong> {
        let (house, query) = (self.hub.house(), &asked.query);
        let room = |name: &str| house.find(name).ok_or(Wrong::Fault(Fault::NoSuchRoom));
        Ok(match &asked.path {
            Path::Rooms => tell::rooms(house.all(), query),
            Path::Room(name) => tell::room(&*room(name)?),
            Path::Members(name) => tell::members(&*room(name)?, query),
            Path::Messages(name) => tell::messages(&*room(name)?, query),
            Path::Mutes => self.sentences(&house.ground().moderation.mutes, query),
            Path::Bans => self.sentences(&house.ground().moderation.bans, query),
            Path::Hubs | Path::Member(..) | Path::Message(..) => return Err(Wrong::Path),
        })
    }

    fn sentences(&self, table: &Sentences, query: &Query) -> Reply {
        let now = Instant::now();
        tell::sentences(&table.list((query.offset, query.limit), now), now)
    }

    fn change(&self, asked: &Asked<'_>) -> Result<Reply, Wrong> {
        match &asked.path {
            Path::Messages(room) => self.say(room, asked.json()?),
            Path::Room(room) => {
                let Slow { slow, reason } = asked.json()?;
                let every = Duration::from_secs(slow);
                if every > SLOWEST {
                    return Err(Wrong::Field("slow"));
                }
                self.moderate(&Measure::Slow { room: room.clone(), every }, reason.as_deref())
            }
            Path::Mutes => {
                let about: About = asked.json()?;
                let (who, time) = (about.who()?, about.time()?);
                self.moderate(&Measure::Mute { room: about.room, who, time }, about.reason.as_deref())
            }
            Path::Bans => {
                let about: About = asked.json()?;
                let (who, time) = (about.who_or_address()?, about.time()?);
                self.moderate(&Measure::Ban { room: about.room, who, time }, about.reason.as_deref())
            }
            Path::Hubs | Path::Rooms | Path::Members(_) | Path::Member(..) | Path::Message(..) => Err(Wrong::Path),
        }
    }

    fn take_away(&self, asked: &Asked<'_>) -> Result<Reply, Wrong> {
        let about = &asked.query.about;
        let room = || about.room.clone();
        let measure = match &asked.path {
            Path::Member(room, id) => Measure::Kick { room: room.clone(), who: ask::member(id)? },
            Path::Message(room, id) => Measure::Delete { room: room.clone(), id: ask::message(id)? },
            Path::Mutes => Measure::Unmute { room: room(), who: about.who()? },
            Path::Bans => Measure::Unban { room: room(), who: about.who_or_address()? },
            Path::Hubs | Path::Rooms | Path::Room(_) | Path::Members(_) | Path::Messages(_) => return Err(Wrong::Path),
        };
        self.moderate(&measure, about.reason.as_deref())
    }

    fn moderate(&self, measure: &Measure, reason: Option<&str>) -> Result<Reply, Wrong> {
        let grounds = Grounds { by: DOOR, reason };
        let concerned = self.hub.house().moderate(measure, grounds, Instant::now()).map_err(Wrong::Fault)?;
        Ok(tell::done(concerned))
    }

    fn say(&self, room: &str, post: Post) -> Result<Reply, Wrong> {
        let Post { text, name, reference } = post;
        if text.is_empty() {
            return Err(Wrong::Field("text"));
        }
        let reference = reference.filter(|word| !word.is_empty());
        if reference.as_ref().is_some_and(|word| word.len() > 64) {
            return Err(Wrong::Field("ref"));
        }
        let queue = self.live.limits.send_queue;
        let posted = self.hub.post(room, (&name, &text), reference.as_deref(), queue).map_err(Wrong::Fault)?;
        Ok(match posted {
            Posted::Placed(id) => tell::said(StatusCode::CREATED, room, Some(id)),
            Posted::Underway => tell::said(StatusCode::ACCEPTED, room, None),
        })
    }
}
