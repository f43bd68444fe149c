//! What the gateway says in `wsgate.chat.v1`.

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::hub::id::{MemberId, MessageId};
use crate::hub::record::Record;
use crate::wire::frame::{self, Opcode};

/// One message of the gateway's. Times are milliseconds since 1970.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The first thing that a client hears.
    Hello { id: MemberId, session: &'a str, name: &'a str, room: &'a str, time: u64, limits: Limits, moderator: bool },
    /// The client is in a room.
    Joined {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        room: &'a str,
        members: usize,
        last: Option<MessageId>,
        read_only: bool,
        /// Seconds.
        slow: u64,
        history: usize,
    },
    /// The client is in a room no more.
    Left {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'a str>,
        /// The moderator's words.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
    },
    /// Somebody else has come.
    Join { room: &'a str, id: MemberId, name: &'a str, time: u64 },
    /// Somebody else has gone.
    Leave { room: &'a str, id: MemberId, name: &'a str, time: u64 },
    /// Somebody says something to all.
    Say {
        room: &'a str,
        #[serde(flatten)]
        message: Message<'a>,
    },
    /// Somebody says something to the client alone.
    To { id: MessageId, time: u64, from: Person<'a>, to: Person<'a>, text: &'a str },
    /// What the client has said has its place.
    Ack {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        id: MessageId,
        time: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
    },
    /// What a moderator has asked for is done.
    #[serde(rename = "ack")]
    Done {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        room: &'a str,
    },
    /// Somebody is called otherwise.
    Name {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        id: MemberId,
        name: &'a str,
        was: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
    },
    /// Who is in a room.
    Who {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        room: &'a str,
        count: usize,
        members: Vec<Person<'a>>,
        more: bool,
    },
    /// What was said in a room, oldest first.
    History {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        room: &'a str,
        messages: Vec<Message<'a>>,
        more: bool,
    },
    /// Messages that nobody can tell any more.
    Gap { room: &'a str, after: MessageId, before: MessageId },
    /// The client is who it was.
    Resumed {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        id: MemberId,
        name: &'a str,
    },
    /// Somebody is writing.
    Typing { room: &'a str, from: Person<'a> },
    /// A message is to be forgotten.
    Delete { room: &'a str, id: MessageId },
    /// Something about a room, about all, or about the client.
    Notice {
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        code: &'a str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// A request was not done.
    Error {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        code: &'a str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        /// Milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<u64>,
    },
}

/// What a client may do.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    /// Bytes of one text.
    pub(crate) text: usize,
    /// Rooms at once.
    pub(crate) rooms: usize,
    /// Messages a second; absent where there is no limit.
    pub(crate) rate: Option<f64>,
    /// Messages at once.
    pub(crate) burst: u32,
}

/// Somebody.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Person<'a> {
    /// Who.
    pub(crate) id: MemberId,
    /// Called so.
    pub(crate) name: &'a str,
}

/// What was said.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    id: MessageId,
    time: u64,
    from: Person<'a>,
    text: &'a str,
}

impl<'a> From<&'a Record> for Message<'a> {
    fn from(record: &'a Record) -> Self {
        let from = Person { id: record.from, name: &record.name };
        Self { id: record.id, time: record.id.time(), from, text: &record.text }
    }
}

impl Event<'_> {
    /// As a text frame.
    #[must_use]
    pub(crate) fn frame(&self) -> Bytes {
        let mut frame = Vec::new();
        self.append(&mut frame);
        Bytes::from(frame)
    }

    /// The same behind what is already in `out`.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        // Nothing in these types can fail: no map, no number that JSON does not have, and a Vec takes all.
        let json = serde_json::to_vec(self).unwrap_or_default();
        frame::append(out, Opcode::Text, &json, None);
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for MemberId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: &Event<'_>) -> String {
        let frame = event.frame();
        let start = frame.len() - frame::payload_len(&frame);
        String::from_utf8(frame[start..].to_vec()).expect("text")
    }

    #[test]
    fn what_is_absent_is_not_there() {
        let left = Event::Left { reference: None, room: "a", why: None, text: None };
        assert_eq!(text(&left), r#"{"type":"left","room":"a"}"#);
        let left = Event::Left { reference: Some("1"), room: "a", why: Some("kicked"), text: None };
        assert_eq!(text(&left), r#"{"type":"left","ref":"1","room":"a","why":"kicked"}"#);
    }

    #[test]
    fn what_is_said_is_one_object() {
        let record = Record {
            id: MessageId::at(5),
            from: MemberId(255),
            name: "Ann".into(),
            text: "\"<b>\n\u{2028}".into(),
            reference: None,
        };
        let say = Event::Say { room: "lobby", message: Message::from(&record) };
        let expected = "{\"type\":\"say\",\"room\":\"lobby\",\"id\":\"0000000000050000\",\"time\":5,\
             \"from\":{\"id\":\"00000000000000ff\",\"name\":\"Ann\"},\"text\":\"\\\"<b>\\n\u{2028}\"}";
        assert_eq!(text(&say), expected);
    }
}
