//! What the admin door's desk says: JSON, and what was wrong with a code that stays.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::ask::Query;
use crate::admin::{Reply, Unread};
use crate::gateway::snapshot::LiveRoute;
use crate::hub::sentence::{Sentence, Who};
use crate::hub::{Facts, Fault, Hub, MessageId, Room, Wanted};

/// Bytes of what was said in one answer.
const HISTORY: usize = 1 << 20;

/// Why something is not done.
#[derive(Debug)]
pub(super) enum Wrong {
    /// No token is configured: nobody may ask.
    Closed,
    Token,
    Path,
    Method(&'static [Method]),
    ContentType,
    Unread(Unread),
    Query,
    /// No JSON.
    Json(String),
    /// Not the JSON that was asked for.
    Shape(String),
    /// A field that is missing or is not what it should be.
    Field(&'static str),
    NoSuchHub,
    WhichHub,
    Fault(Fault),
}

impl Wrong {
    fn status(&self) -> StatusCode {
        match self {
            Self::Closed => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Path | Self::NoSuchHub => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unread(Unread::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread(Unread::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Unread(Unread::Broken) | Self::Json(_) => StatusCode::BAD_REQUEST,
            Self::Query | Self::Shape(_) | Self::Field(_) | Self::WhichHub => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Fault(Fault::NoSuchRoom | Fault::NoSuchMember | Fault::NoSuchMessage) => StatusCode::NOT_FOUND,
            Self::Fault(Fault::RoomsFull) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fault(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Closed => "no_token",
            Self::Token => "unauthorized",
            Self::Path => "no_such_path",
            Self::Method(_) => "bad_method",
            Self::ContentType => "not_json",
            Self::Unread(Unread::TooLarge) => "too_large",
            Self::Unread(Unread::TooSlow) => "too_slow",
            Self::Unread(Unread::Broken) => "broken",
            Self::Query => "bad_query",
            Self::Json(_) => "bad_json",
            Self::Shape(_) | Self::Field(_) => "bad_field",
            Self::NoSuchHub => "no_such_hub",
            Self::WhichHub => "which_hub",
            Self::Fault(fault) => fault.code(),
        }
    }

    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Closed => "rooms are not served here: [admin] has neither token_file nor token_env".into(),
            Self::Token => "this needs the header Authorization: Bearer TOKEN, with the token of [admin]".into(),
            Self::Path => "there is nothing at this path".into(),
            Self::Method(_) => "this path does not know the method".into(),
            Self::ContentType => "the body has to come as application/json".into(),
            Self::Unread(Unread::TooLarge) => "the body has more bytes than [admin] body allows".into(),
            Self::Unread(Unread::TooSlow) => "the body did not come in time".into(),
            Self::Unread(Unread::Broken) => "the body ended before its end".into(),
            Self::Query => "the query has a word that nobody knows".into(),
            Self::Json(wrong) => format!("this is not JSON: {wrong}").into(),
            Self::Shape(wrong) => wrong.clone().into(),
            Self::Field(name) => format!("\"{name}\" is missing or not what it should be").into(),
            Self::NoSuchHub => "there is no such hub".into(),
            Self::WhichHub => "there are several hubs: name one of /hubs by ?hub=".into(),
            Self::Fault(fault) => fault.text().into(),
        }
    }

    pub(super) fn reply(self) -> Reply {
        let value = json!({ "code": self.code(), "text": self.text() });
        let mut reply = reply(self.status(), &value);
        match &self {
            // RFC 9110 §15.5.2 and §15.5.6: what these statuses must come with.
            Self::Token => reply.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::Method(methods) => {
                let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
                let value = HeaderValue::from_str(&names.join(", "));
                reply.headers.extend(value.ok().map(|value| (header::ALLOW, value)));
            }
            _ => {}
        }
        reply
    }
}

fn reply(status: StatusCode, value: &Value) -> Reply {
    let mut body = value.to_string().into_bytes();
    body.push(b'\n');
    Reply { status, headers: Vec::new(), body }
}

fn shown(value: &Value) -> Reply {
    reply(StatusCode::OK, value)
}

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
