//! What a client asks for in `wsgate.chat.v1`: parsed into types that know their fields; what they do not know is ignored.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;

use crate::hub::fault::Fault;
use crate::hub::id::MessageId;

/// Bytes of a client's own word for a request.
const REFERENCE: usize = 64;

/// One request, and the client's own word for it.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// Comes back with the answer.
    pub(crate) reference: Option<String>,
    /// What is asked, or why it cannot be understood.
    pub(crate) request: Result<Request<'a>, Fault>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Join(Join),
    Leave(Place),
    Say(Say<'a>),
    To(To<'a>),
    Name(Name),
    Who(Place),
    History(History),
    Typing(Place),
    Resume(Resume),
    /// What only moderators may ask for.
    Moderate(Wish, Moderate),
}

/// What a moderator wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Kick,
    Mute,
    Ban,
    Unban,
    Slow,
    Delete,
}

/// About whom or what, as far as that is said.
#[derive(Debug, Deserialize)]
pub(crate) struct Moderate {
    pub(crate) room: Option<String>,
    pub(crate) member: Option<String>,
    pub(crate) name: Option<String>,
    /// Seconds.
    pub(crate) r#for: Option<u64>,
    pub(crate) seconds: Option<u64>,
    #[serde(default, deserialize_with = "message_id")]
    pub(crate) id: Option<MessageId>,
    pub(crate) reason: Option<String>,
}

/// To enter a room.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Join {
    /// Absent: that of the path.
    pub(crate) room: Option<String>,
    pub(crate) secret: Option<String>,
    #[serde(default, deserialize_with = "message_id")]
    pub(crate) since: Option<MessageId>,
    pub(crate) history: Option<usize>,
}

/// Something about one room.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) room: Option<String>,
}

/// To say something to all.
#[derive(Debug, Deserialize)]
pub(crate) struct Say<'a> {
    pub(crate) room: Option<String>,
    #[serde(borrow)]
    pub(crate) text: Cow<'a, str>,
}

/// To say something to one.
#[derive(Debug, Deserialize)]
pub(crate) struct To<'a> {
    pub(crate) member: String,
    #[serde(borrow)]
    pub(crate) text: Cow<'a, str>,
}

/// To be called otherwise.
#[derive(Debug, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
}

/// To be told what was said.
#[derive(Debug, Deserialize)]
pub(crate) struct History {
    pub(crate) room: Option<String>,
    #[serde(default, deserialize_with = "message_id")]
    pub(crate) before: Option<MessageId>,
    #[serde(default, deserialize_with = "message_id")]
    pub(crate) since: Option<MessageId>,
    pub(crate) limit: Option<usize>,
}

/// To go on after a connection was lost.
#[derive(Debug, Deserialize)]
pub(crate) struct Resume {
    pub(crate) session: String,
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) rooms: Vec<Join>,
}

#[derive(Deserialize)]
struct Kind {
    r#type: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    r#ref: Option<String>,
}

/// Reads one text. Its size is bounded by whoever took it in. Its depth need not be: what is not asked for is skipped
/// without recursion, and what is asked for is flat.
#[must_use]
pub(crate) fn parse(text: &str) -> Asked<'_> {
    // A struct of serde's would be read from a list as well.
    if !text.trim_start().starts_with('{') {
        return Asked { reference: None, request: Err(Fault::BadJson) };
    }
    let reference = read::<Reference>(text, "ref").and_then(|found| match found.r#ref {
        Some(word) if word.is_empty() || word.len() > REFERENCE => Err(Fault::BadField("ref")),
        word => Ok(word),
    });
    match reference {
        Ok(reference) => Asked { reference, request: request(text) },
        Err(fault) => Asked { reference: None, request: Err(fault) },
    }
}

fn request(text: &str) -> Result<Request<'_>, Fault> {
    let kind = read::<Kind>(text, "type")?.r#type.ok_or(Fault::UnknownType)?;
    Ok(match kind.as_str() {
        "join" => Request::Join(read(text, "room, secret, since or history")?),
        "leave" => Request::Leave(read(text, "room")?),
        "say" => Request::Say(read(text, "text or room")?),
        "to" => Request::To(read(text, "member or text")?),
        "name" => Request::Name(read(text, "name")?),
        "who" => Request::Who(read(text, "room")?),
        "history" => Request::History(read(text, "room, before, since or limit")?),
        "typing" => Request::Typing(read(text, "room")?),
        "resume" => Request::Resume(read(text, "session, name or rooms")?),
        wish => {
            let wish = moderators(wish).ok_or(Fault::UnknownType)?;
            Request::Moderate(wish, read(text, "room, member, name, for, seconds, id or reason")?)
        }
    })
}

fn moderators(wish: &str) -> Option<Wish> {
    Some(match wish {
        "kick" => Wish::Kick,
        "mute" => Wish::Mute,
        "ban" => Wish::Ban,
        "unban" => Wish::Unban,
        "slow" => Wish::Slow,
        "delete" => Wish::Delete,
        _ => return None,
    })
}

/// `fields` is what to look at when a value is not what it should be.
fn read<'a, T: Deserialize<'a>>(text: &'a str, fields: &'static str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => Fault::BadField(fields),
        Category::Io | Category::Syntax | Category::Eof => Fault::BadJson,
    })
}

fn message_id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<MessageId>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let parse = |text: String| MessageId::parse(&text).ok_or_else(|| serde::de::Error::custom("not a message id"));
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (Option<String>, Fault) {
        let asked = parse(text);
        (asked.reference, asked.request.expect_err(text))
    }

    #[test]
    fn known_fields_are_read_and_others_ignored() {
        let asked =
            parse(r#"{"later":[{"x":[null]}],"type":"say","ref":"7","text":"a\u00e4","room":null,"limit":"no"}"#);
        assert_eq!(asked.reference.as_deref(), Some("7"));
        let Ok(Request::Say(say)) = asked.request else { panic!("{asked:?}") };
        assert_eq!((&*say.text, say.room), ("aä", None));
        let asked = parse(r#" {"type":"join","since":"00000000000000ff","history":5} "#);
        let Ok(Request::Join(join)) = asked.request else { panic!("{asked:?}") };
        assert_eq!((join.room, join.since, join.history), (None, Some(MessageId(255)), Some(5)));
    }

    #[test]
    fn what_nobody_asked_for_may_be_deep() {
        let deep = format!(r#"{{"type":"who","x":{}1{}}}"#, "[{\"y\":".repeat(100_000), "}]".repeat(100_000));
        assert!(matches!(parse(&deep).request, Ok(Request::Who(Place { room: None }))));
        let deep = format!(r#"{{"type":"resume","session":"","rooms":{}"#, "[".repeat(100_000));
        assert!(parse(&deep).request.is_err());
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        for text in ["", "x", "[]", "[\"say\",\"1\"]", "\"say\"", "{", "{}x", r#"{"type":"say","text":"\ud800"}"#] {
            assert_eq!(fault(text).1, Fault::BadJson, "{text}");
        }
        for text in ["{}", r#"{"type":null}"#, r#"{"type":"dance"}"#] {
            assert_eq!(fault(text).1, Fault::UnknownType, "{text}");
        }
        let long = format!(r#"{{"type":"who","ref":"{}"}}"#, "x".repeat(65));
        for text in
            [r#"{"type":1}"#, r#"{"type":"say"}"#, r#"{"type":"say","text":1}"#, r#"{"type":"who","ref":""}"#, &long]
        {
            assert_eq!(fault(text).1.code(), "bad_field", "{text}");
        }
        assert_eq!(fault(r#"{"type":"join","since":"x","ref":"a"}"#).0.as_deref(), Some("a"));
    }
}
