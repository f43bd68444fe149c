//! What the desk says of hubs.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};

use super::ask::Query;
use crate::admin::Reply;
use crate::gateway::desk::wrong::{reply, shown};
use crate::gateway::snapshot::LiveRoute;
use crate::hub::sentence::{Sentence, Who};
use crate::hub::{Facts, Hub, MessageId, Room, Wanted};

/// Bytes of what was said in one answer.
const HISTORY: usize = 1 << 20;

pub(super) fn hubs<'a>(hubs: impl Iterator<Item = (&'a LiveRoute, &'a Hub)>) -> Reply {
    let hubs: Vec<Value> = hubs
        .map(|(live, hub)| {
            let rooms = hub.house().all();
            let members: usize = rooms.iter().map(|room| room.facts().members).sum();
            json!({ "hub": live.route.route, "rooms": rooms.len(), "members": members })
        })
        .collect();
    shown(&json!({ "hubs": hubs }))
}

/// By name; those behind `after`.
pub(super) fn rooms(mut rooms: Vec<Arc<Room>>, query: &Query) -> Reply {
    let count = rooms.len();
    rooms.retain(|room| query.after.as_deref().is_none_or(|after| room.name() > after));
    rooms.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    let more = rooms.len() > query.limit;
    let rooms: Vec<Value> = rooms.iter().take(query.limit).map(|room| about(room)).collect();
    shown(&json!({ "count": count, "rooms": rooms, "more": more }))
}

pub(super) fn room(room: &Room) -> Reply {
    shown(&about(room))
}

fn about(room: &Room) -> Value {
    let Facts { members, messages, last, read_only, slow, is_fixed } = room.facts();
    let last = last.map(|id| id.to_string());
    json!({
        "room": room.name(), "members": members, "messages": messages, "last": last, "read_only": read_only,
        "slow": slow.as_secs(), "fixed": is_fixed
    })
}

/// By id; those behind `after`.
pub(super) fn members(room: &Room, query: &Query) -> Reply {
    let (count, mut members) = room.who(usize::MAX);
    members.retain(|(id, _)| query.after.as_deref().is_none_or(|after| id.to_string().as_str() > after));
    members.sort_unstable_by_key(|(id, _)| *id);
    let more = members.len() > query.limit;
    let some = members.iter().take(query.limit);
    let members: Vec<Value> = some.map(|(id, name)| json!({ "id": id.to_string(), "name": &**name })).collect();
    shown(&json!({ "room": room.name(), "count": count, "members": members, "more": more }))
}

/// The newest that fit, oldest first.
pub(super) fn messages(room: &Room, query: &Query) -> Reply {
    let wanted = Wanted { since: query.since, before: query.before, most: query.limit, budget: HISTORY };
    let found = room.find(&wanted);
    let messages: Vec<Value> = found
        .records
        .iter()
        .map(|record| {
            let from = json!({ "id": record.from.to_string(), "name": &*record.name });
            json!({ "id": record.id.to_string(), "time": record.id.time(), "from": from, "text": &*record.text })
        })
        .collect();
    let gap = found.gap.map(|(after, before)| json!({ "after": after.to_string(), "before": before.to_string() }));
    shown(&json!({ "room": room.name(), "messages": messages, "more": found.more, "gap": gap }))
}

type Listed = ((Option<Box<str>>, Who), Sentence);

pub(super) fn sentences((count, list): &(usize, Vec<Listed>), now: Instant) -> Reply {
    let one = |((room, who), sentence): &Listed| {
        let (kind, value) = match who {
            Who::Member(id) => ("member", id.to_string()),
            Who::Name(name) => ("name", name.to_string()),
            Who::Address(address) => ("address", address.to_string()),
        };
        let seconds = sentence.until.saturating_duration_since(now).as_secs();
        json!({
            "room": room, kind: value, "seconds": seconds, "by": &*sentence.by, "reason": sentence.reason.as_deref()
        })
    };
    shown(&json!({ "count": count, "list": list.iter().map(one).collect::<Vec<_>>() }))
}

/// `concerned`: how many members were at once.
pub(super) fn done(concerned: usize) -> Reply {
    shown(&json!({ "concerned": concerned }))
}

pub(super) fn said(status: StatusCode, room: &str, id: Option<MessageId>) -> Reply {
    reply(status, &json!({ "room": room, "id": id.map(|id| id.to_string()), "time": id.map(MessageId::time) }))
}
