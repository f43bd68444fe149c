//! What a moderator has decided, as it stands in Redis and goes through its channel: checked and bounded, whoever wrote it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::entry::{Bad, Fields};
use super::id;
use crate::hub::id::{MemberId, MessageId};
use crate::hub::sentence::Who;

/// Characters of who decided and why that are passed on.
const WORDS: usize = 200;
/// Bytes of any one text that is taken.
const TEXT: usize = 1024;
/// How far ahead of this gateway's clock another one's may be, in milliseconds: decisions of a clock beyond that would win
/// for as long.
const AHEAD: u64 = 24 * 3_600_000;
/// How long anything may hold, in milliseconds: a year, and what clocks may differ by.
const LONGEST: u64 = 366 * 24 * 3_600_000 + AHEAD;
/// Between two messages in a slow room, in seconds.
const SLOWEST: u64 = 6 * 3600;

/// The kinds of decisions, each kept by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Book {
    Mute,
    Ban,
    Slow,
    Delete,
}

impl Book {
    pub(super) const ALL: [Self; 4] = [Self::Mute, Self::Ban, Self::Slow, Self::Delete];

    /// As keys name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
            Self::Slow => "slow",
            Self::Delete => "delete",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|book| book.name() == name)
    }
}

/// What somebody is sentenced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mute,
    Ban,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// About somebody, in one room or in all.
    Sentence {
        kind: Kind,
        room: Option<Box<str>>,
        who: Who,
        /// Whom it was asked for, who may be somebody's other name.
        asked: Who,
        /// Whether it is over rather than begun.
        lifted: bool,
    },
    /// So long between two messages of one member.
    Slow { room: Box<str>, every: Duration },
    /// The message that has this place for all gateways is forgotten.
    Delete { room: Box<str>, place: MessageId },
}

/// One decision about one matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decree {
    /// When, in microseconds since 1970, and behind all that its gateway knew: finer than anybody decides, so that a
    /// gateway that decides much does not run ahead of the others.
    pub(in crate::hub) at: u64,
    /// By which decisions of one moment are told apart.
    pub(in crate::hub) key: Arc<str>,
    /// Until when it holds, in milliseconds since 1970.
    pub(in crate::hub) until: u64,
    pub(in crate::hub) by: Arc<str>,
    pub(in crate::hub) reason: Option<Arc<str>>,
    pub(in crate::hub) matter: Matter,
}

impl Matter {
    pub(super) const fn book(&self) -> Book {
        match self {
            Self::Sentence { kind: Kind::Mute, .. } => Book::Mute,
            Self::Sentence { kind: Kind::Ban, .. } => Book::Ban,
            Self::Slow { .. } => Book::Slow,
            Self::Delete { .. } => Book::Delete,
        }
    }

    /// What it is about: the same for decisions of which only the latest holds.
    pub(super) fn about(&self) -> String {
        match self {
            Self::Sentence { room, who, .. } => about(room.as_deref(), who),
            Self::Slow { room, .. } => json!([room]).to_string(),
            Self::Delete { room, place } => json!([room, place.to_string()]).to_string(),
        }
    }
}

/// Somebody, in a room or everywhere.
pub(super) fn about(room: Option<&str>, who: &Who) -> String {
    json!([room, written(who)]).to_string()
}

impl Decree {
    /// What comes later holds.
    pub(super) fn moment(&self) -> (u64, &str) {
        (self.at, &self.key)
    }

    /// As a JSON object of texts.
    pub(super) fn text(&self) -> String {
        let short = |text: &str| text.chars().take(WORDS).collect::<String>();
        let mut all = serde_json::Map::new();
        let mut add = |name: &str, text: String| drop(all.insert(name.to_owned(), text.into()));
        add("book", self.matter.book().name().to_owned());
        add("at", self.at.to_string());
        add("key", self.key.to_string());
        add("until", self.until.to_string());
        add("by", short(&self.by));
        if let Some(reason) = &self.reason {
            add("reason", short(reason));
        }
        match &self.matter {
            Matter::Sentence { room, who, asked, lifted, .. } => {
                if let Some(room) = room {
                    add("room", room.to_string());
                }
                add("who", written(who));
                if asked != who {
                    add("asked", written(asked));
                }
                if *lifted {
                    add("lifted", "1".to_owned());
                }
            }
            Matter::Slow { room, every } => {
                add("room", room.to_string());
                add("every", every.as_secs().to_string());
            }
            Matter::Delete { room, place } => {
                add("room", room.to_string());
                add("id", place.to_string());
            }
        }
        serde_json::Value::Object(all).to_string()
    }

    /// From the same; `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(fields: &Fields, now: u64) -> Result<Self, Bad> {
        let text = |name: &str| match fields.get(name).map(String::as_str) {
            Some(text) if text.len() > TEXT => Err(Bad::Size),
            text => Ok(text),
        };
        let number = |name: &str| text(name)?.and_then(|text| text.parse::<u64>().ok()).ok_or(Bad::Field);
        let (at, until) = (number("at")?, number("until")?);
        if at > now.saturating_add(AHEAD).saturating_mul(1000) || until > now.saturating_add(LONGEST) {
            return Err(Bad::Field);
        }
        let key = text("key")?.filter(|key| !key.is_empty() && !key.chars().any(char::is_control)).ok_or(Bad::Field)?;
        let room = text("room")?.map(Box::from);
        let book = text("book")?.and_then(Book::of).ok_or(Bad::Field)?;
        let matter = match book {
            Book::Mute | Book::Ban => {
                let kind = if book == Book::Mute { Kind::Mute } else { Kind::Ban };
                let who = text("who")?.and_then(somebody).ok_or(Bad::Field)?;
                let asked = text("asked")?.map_or(Some(who.clone()), somebody).ok_or(Bad::Field)?;
                Matter::Sentence { kind, room, who, asked, lifted: text("lifted")?.is_some() }
            }
            Book::Slow => {
                let every = Some(number("every")?).filter(|every| *every <= SLOWEST).ok_or(Bad::Field)?;
                Matter::Slow { room: room.ok_or(Bad::Field)?, every: Duration::from_secs(every) }
            }
            Book::Delete => {
                let place = text("id")?.and_then(MessageId::parse).filter(|place| !id::is_local(place.0));
                Matter::Delete { room: room.ok_or(Bad::Field)?, place: place.ok_or(Bad::Field)? }
            }
        };
        let (by, reason) = (text("by")?.unwrap_or_default().into(), text("reason")?.map(Arc::from));
        Ok(Self { at, key: key.into(), until, by, reason, matter })
    }
}

/// Somebody, as a text.
pub(super) fn written(who: &Who) -> String {
    match who {
        Who::Member(id) => format!("member:{id}"),
        Who::Name(name) => format!("name:{name}"),
        Who::Address(address) => format!("address:{address}"),
    }
}

/// The same, read.
pub(super) fn somebody(text: &str) -> Option<Who> {
    match text.split_once(':')? {
        ("member", id) => MemberId::parse(id).map(Who::Member),
        ("name", name) if !name.trim().is_empty() && !name.chars().any(char::is_control) => Some(Who::named(name)),
        ("address", address) => address.parse::<IpAddr>().ok().map(Who::at),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::entry::read_json;
    use super::*;

    pub(in crate::hub::cluster) fn decree(at: u64, key: &str, until: u64, matter: Matter) -> Decree {
        Decree { at, key: key.into(), until, by: "Boss".into(), reason: Some("spam".into()), matter }
    }

    fn read(text: &str) -> Result<Decree, Bad> {
        Decree::read(&read_json(text.as_bytes(), 4096)?, 1000)
    }

    #[test]
    fn what_is_written_is_read() {
        let ann = Who::named("Änn: \"x\"");
        let room = Some("a b".into());
        for matter in [
            Matter::Sentence { kind: Kind::Ban, room, who: ann.clone(), asked: ann.clone(), lifted: false },
            Matter::Sentence { kind: Kind::Mute, room: None, who: Who::Member(MemberId(7)), asked: ann, lifted: true },
            Matter::Slow { room: "a".into(), every: Duration::from_secs(9) },
            Matter::Delete { room: "a".into(), place: MessageId(1 << 16) },
        ] {
            let decree = decree(5, "n/1", 2000, matter);
            assert_eq!(read(&decree.text()), Ok(decree));
        }
        let address = Who::at("2001:db8::1".parse().expect("address"));
        assert_eq!(somebody(&written(&address)), Some(address));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let good = r#"{"book":"ban","at":"5","key":"n/1","until":"2000","who":"name:ann","room":"a"}"#;
        assert!(read(good).is_ok());
        let long = format!("\"by\":\"{}\",\"at\"", "x".repeat(TEXT + 1));
        for (from, to) in [
            ("\"ban\"", "\"bun\""),
            ("\"5\"", "\"-5\""),
            ("\"5\"", "\"99999999999\""),
            ("\"2000\"", "\"99999999999999\""),
            ("\"n/1\"", "\"\\u0000\""),
            ("name:ann", "name: "),
            ("name:ann", "ann"),
            ("name:ann", "member:1"),
            ("name:ann", "address:1.2.3"),
            ("\"ban\"", "\"slow\""),
            ("\"ban\"", "\"delete\",\"id\":\"0000000000008000\""),
            ("\"at\"", &long),
            ("{", "["),
        ] {
            assert!(read(&good.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    proptest! {
        #[test]
        fn no_fields_are_a_panic(fields: Fields, text: String) {
            let _ = (Decree::read(&fields, 0), somebody(&text));
        }
    }
}
