//! What is asked of hubs at the desk: paths, queries and bodies, read into types.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::gateway::desk::query;
use crate::gateway::desk::wrong::Wrong;
use crate::hub::moderation::{LONGEST, USUAL};
use crate::hub::sentence::Who;
use crate::hub::{MemberId, MessageId};
use crate::route::unescaped;

/// Letters of a name that the server speaks by.
const NAME: usize = 64;

/// One request, as far as it is not about bytes.
pub(super) struct Asked<'a> {
    pub(super) path: Path,
    pub(super) method: &'a Method,
    pub(super) query: Query,
    pub(super) body: &'a [u8],
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Hubs,
    Rooms,
    Room(String),
    Members(String),
    Member(String, String),
    Messages(String),
    Message(String, String),
    Mutes,
    Bans,
}

impl Path {
    /// Each part is decoded after the path is taken apart: a room's name may have a slash in it, written `%2F`.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let parts: Option<Vec<String>> = path.strip_prefix('/')?.split('/').map(unescaped).collect();
        let mut parts = parts?;
        if parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        let texts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(match *texts.as_slice() {
            ["hubs"] => Self::Hubs,
            ["rooms"] => Self::Rooms,
            ["mutes"] => Self::Mutes,
            ["bans"] => Self::Bans,
            ["rooms", room] => Self::Room(room.to_owned()),
            ["rooms", room, "members"] => Self::Members(room.to_owned()),
            ["rooms", room, "messages"] => Self::Messages(room.to_owned()),
            ["rooms", room, "members", id] => Self::Member(room.to_owned(), id.to_owned()),
            ["rooms", room, "messages", id] => Self::Message(room.to_owned(), id.to_owned()),
            _ => return None,
        })
    }

    pub(super) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Hubs | Self::Rooms | Self::Members(_) => &[Method::GET],
            Self::Room(_) => &[Method::GET, Method::PATCH],
            Self::Messages(_) => &[Method::GET, Method::POST],
            Self::Member(..) | Self::Message(..) => &[Method::DELETE],
            Self::Mutes | Self::Bans => &[Method::GET, Method::POST, Method::DELETE],
        }
    }
}

/// What stands behind the question mark. What nobody knows is refused: a wrong word could mean more than was meant.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) hub: Option<String>,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) after: Option<String>,
    pub(super) before: Option<MessageId>,
    pub(super) since: Option<MessageId>,
    pub(super) about: About,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let about = About::default();
        let (hub, after, before, since) = (None, None, None, None);
        let mut query = Self { hub, limit: query::LIMIT.0, offset: 0, after, before, since, about };
        for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let number = |name| value.parse().map_err(|_| Wrong::Field(name));
            let id = |name| MessageId::parse(&value).map(Some).ok_or(Wrong::Field(name));
            let text = || Some(value.clone().into_owned());
            match &*key {
                "hub" => query.hub = text(),
                "limit" => query.limit = number("limit")?,
                "offset" => query.offset = number("offset")?,
                "after" => query.after = text(),
                "before" => query.before = id("before")?,
                "since" => query.since = id("since")?,
                "room" => query.about.room = text(),
                "member" => query.about.member = text(),
                "name" => query.about.name = text(),
                "address" => query.about.address = text(),
                "reason" => query.about.reason = text(),
                _ => return Err(Wrong::Query(key.into_owned())),
            }
        }
        match (1..=query::LIMIT.1).contains(&query.limit) {
            true => Ok(query),
            false => Err(Wrong::Field("limit")),
        }
    }
}

/// Something that the server says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Post {
    pub(super) text: String,
    /// As whom.
    #[serde(default = "server", deserialize_with = "short")]
    pub(super) name: String,
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
}

fn server() -> String {
    "Server".to_owned()
}

fn short<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let sound = (1..=NAME).contains(&name.trim().chars().count()) && !name.chars().any(char::is_control);
    if sound { Ok(name.trim().to_owned()) } else { Err(serde::de::Error::custom("not a name")) }
}

/// How long one waits between two messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slow {
    /// Seconds.
    pub(super) slow: u64,
    pub(super) reason: Option<String>,
}

/// Whom a mute or a ban is about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// Absent: in all rooms.
    pub(super) room: Option<String>,
    pub(super) member: Option<String>,
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
    /// Seconds.
    pub(super) r#for: Option<u64>,
    pub(super) reason: Option<String>,
}

impl About {
    pub(super) fn who(&self) -> Result<Who, Wrong> {
        match (&self.member, &self.name, &self.address) {
            (Some(id), None, None) => member(id),
            (None, Some(name), None) => Who::called(name).ok_or(Wrong::Field("name")),
            _ => Err(Wrong::Field("member or name")),
        }
    }

    /// Addresses are known before a room is, and hold for all.
    pub(super) fn who_or_address(&self) -> Result<Who, Wrong> {
        match (&self.member, &self.name, &self.address, &self.room) {
            (None, None, Some(address), None) => {
                let address: IpAddr = address.parse().map_err(|_| Wrong::Field("address"))?;
                Ok(Who::at(address))
            }
            (_, _, Some(_), _) => Err(Wrong::Field("address")),
            (_, _, None, _) => self.who(),
        }
    }

    pub(super) fn time(&self) -> Result<Duration, Wrong> {
        let time = self.r#for.map_or(USUAL, Duration::from_secs);
        if time.is_zero() || time > LONGEST { Err(Wrong::Field("for")) } else { Ok(time) }
    }
}

impl Asked<'_> {
    /// The body as what it should be.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Wrong> {
        query::json(self.body)
    }
}

pub(super) fn member(id: &str) -> Result<Who, Wrong> {
    MemberId::parse(id).map(Who::Member).ok_or(Wrong::Field("member"))
}

pub(super) fn message(id: &str) -> Result<MessageId, Wrong> {
    MessageId::parse(id).ok_or(Wrong::Field("message id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_may_have_any_letter() {
        let room = |text: &str| Some(Path::Room(text.to_owned()));
        assert_eq!(Path::parse("/rooms/K%C3%BCche%20%2F%201"), room("Küche / 1"));
        assert_eq!(Path::parse("/rooms/a+b"), room("a+b"));
        assert_eq!(Path::parse("/rooms/"), Some(Path::Rooms));
        assert_eq!(Path::parse("/rooms/a/members/1"), Some(Path::Member("a".into(), "1".into())));
        for path in ["/rooms/%", "/rooms/%f", "/rooms/%ff", "/rooms/%+1", "/rooms/a/x", "/bans/x", "/hubs/a", ""] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }

    #[test]
    fn queries_are_bounded_and_known() {
        let query = Query::parse("hub=%2Fchat&limit=1000&name=a+b").expect("query");
        assert_eq!(
            (query.hub.as_deref(), query.limit, query.about.name.as_deref()),
            (Some("/chat"), 1000, Some("a b"))
        );
        assert_eq!(Query::parse("").ok().map(|query| query.limit), Some(100));
        for text in ["limit=0", "limit=1001", "limit=x", "limt=1", "before=1", "offset=-1"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }
}
