//! One message as it stands in Redis: as an entry of a room's stream, and as JSON in the room's channel. What comes from
//! there is bounded and checked, whoever wrote it.

use std::collections::HashMap;
use std::sync::Arc;

use super::id;

/// Bytes of a text at most, whatever this hub allows its members: another gateway may allow more, and what has its place
/// is shown.
pub(super) const TEXT: usize = 1 << 20;
/// Bytes of a key at most: a member's id and its reference, or a gateway's name and a number.
const KEY_MAX: usize = 160;
/// Bytes of a gateway's name at most.
pub(super) const NODE_MAX: usize = 64;
/// Bytes of a name at most, whatever the hub allows its members.
const NAME_MAX: usize = 512;
/// Bytes of a reference at most.
const REFERENCE_MAX: usize = 64;
/// Who speaks when a script does: no hash of a session is all zeros.
pub(super) const SCRIPT: &str = "0000000000000000";

/// A message, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Said {
    /// By which doubles are known: no other message has it.
    pub(in crate::hub) key: Arc<str>,
    /// The gateway that took it in.
    pub(in crate::hub) node: Arc<str>,
    /// The member who said it: 16 hexadecimal digits.
    pub(in crate::hub) from: Arc<str>,
    /// What the member was called.
    pub(in crate::hub) name: Arc<str>,
    /// What was said.
    pub(in crate::hub) text: Arc<str>,
    /// What its sender calls it.
    pub(in crate::hub) reference: Option<Arc<str>>,
}

/// What members of the gateway that took a message in saw of it before it had its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Seen {
    /// The id that they know it by.
    pub(in crate::hub) id: u64,
    /// Up to where they had seen the stream by then.
    pub(in crate::hub) after: u64,
}

/// A message that has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Entry {
    /// Its place in the stream.
    pub(in crate::hub) id: u64,
    /// The last place before it; only known of what came through the channel.
    pub(super) prev: Option<u64>,
    /// What was said, and by whom.
    pub(in crate::hub) said: Arc<Said>,
    /// Present when others have seen it before, elsewhere.
    pub(in crate::hub) seen: Option<Seen>,
}

/// Why something from Redis is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is not JSON, or not an object of texts.
    Shape,
    /// Something that must be there is not, or is not what it must be.
    Field,
    /// It is larger than anything that could have been said.
    Size,
}

/// What a message has, by name.
pub(super) type Fields = HashMap<String, String>;

impl Said {
    /// As names and values for the stream, in the order in which people read them.
    pub(super) fn fields(&self, seen: Option<Seen>) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("from", self.from.to_string()),
            ("name", self.name.to_string()),
            ("text", self.text.to_string()),
            ("key", self.key.to_string()),
            ("node", self.node.to_string()),
        ];
        fields.extend(self.reference.as_ref().map(|reference| ("ref", reference.to_string())));
        if let Some(seen) = seen {
            fields.extend([("as", id::to_hex(seen.id)), ("after", id::to_hex(seen.after))]);
        }
        fields
    }
}

impl Entry {
    /// From an entry of a stream; `limit` is in bytes of text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of_stream(name: &str, mut fields: Fields, limit: usize) -> Result<Self, Bad> {
        let id = id::of_stream(name).filter(|id| !id::is_local(*id)).ok_or(Bad::Field)?;
        Self::of_fields(id, None, &mut fields, limit)
    }

    /// From what a channel brings.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of_json(bytes: &[u8], limit: usize) -> Result<Self, Bad> {
        let mut fields = read_json(bytes, limit)?;
        let number = |name: &str| fields.get(name).and_then(|text| id::of_hex(text)).ok_or(Bad::Field);
        let (place, prev) = (number("id")?, number("prev")?);
        if id::is_local(place) || prev >= place {
            return Err(Bad::Field);
        }
        Self::of_fields(place, Some(prev), &mut fields, limit)
    }

    fn of_fields(id: u64, prev: Option<u64>, fields: &mut Fields, limit: usize) -> Result<Self, Bad> {
        let mut take = |name: &str, max: usize| match fields.remove(name) {
            Some(text) if text.len() > max => Err(Bad::Size),
            text => Ok(text),
        };
        let text = take("text", limit)?.filter(|text| !text.is_empty()).ok_or(Bad::Field)?;
        let name = take("name", NAME_MAX)?.filter(|name| is_name(name)).ok_or(Bad::Field)?;
        let from = take("from", 16)?.filter(|from| id::of_hex(from).is_some()).ok_or(Bad::Field)?;
        let key = take("key", KEY_MAX)?.filter(|key| is_name(key)).ok_or(Bad::Field)?;
        let node = take("node", NODE_MAX)?.filter(|node| is_name(node)).ok_or(Bad::Field)?;
        let reference = take("ref", REFERENCE_MAX)?.filter(|reference| !reference.is_empty());
        let seen = match (take("as", 16)?, take("after", 16)?) {
            (None, _) => None,
            (Some(known), after) => {
                let known = id::of_hex(&known).ok_or(Bad::Field)?;
                Some(Seen { id: known, after: after.as_deref().and_then(id::of_hex).unwrap_or(0) })
            }
        };
        let said = Said {
            key: key.into(),
            node: node.into(),
            from: from.into(),
            name: name.into(),
            text: text.into(),
            reference: reference.map(Arc::from),
        };
        Ok(Self { id, prev, said: Arc::new(said), seen })
    }
}

/// What a script says into a room: its text, and the name under which it speaks.
///
/// # Errors
/// What is wrong with it.
pub(super) fn of_script(mut fields: Fields, limit: usize) -> Result<(String, String), Bad> {
    let text = fields.remove("text").filter(|text| !text.is_empty()).ok_or(Bad::Field)?;
    if text.len() > limit {
        return Err(Bad::Size);
    }
    let name = fields.remove("name").unwrap_or_else(|| "server".to_owned());
    let name = name.trim();
    if name.len() > NAME_MAX || !is_name(name) {
        return Err(Bad::Field);
    }
    Ok((text, name.to_owned()))
}

/// The texts of a JSON object, with all else in it left out. No text in JSON is more than six times as long.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_json(bytes: &[u8], limit: usize) -> Result<Fields, Bad> {
    if bytes.len() > limit.saturating_mul(6).saturating_add(8192) {
        return Err(Bad::Size);
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| Bad::Shape)?;
    let serde_json::Value::Object(object) = value else { return Err(Bad::Shape) };
    let text = |value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    };
    Ok(object.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

/// Not empty, and nothing that would not be seen.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::hub::cluster) fn said(key: &str, text: &str) -> Arc<Said> {
        let node = key.split_once('/').map_or("x", |(node, _)| node);
        Arc::new(Said {
            key: key.into(),
            node: node.into(),
            from: "00000000000000aa".into(),
            name: "ann".into(),
            text: text.into(),
            reference: None,
        })
    }

    fn json(text: &str) -> Result<Entry, Bad> {
        Entry::of_json(text.as_bytes(), 10)
    }

    #[test]
    fn what_is_written_is_read() {
        let (said, seen) = (said("a/1", "hi <b>"), Some(Seen { id: 7 << 16 | 0x8000, after: 3 << 16 }));
        let fields: Fields = said.fields(seen).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let entry = Entry::of_stream("9-2", fields, 10).expect("an entry");
        assert_eq!(entry, Entry { id: 9 << 16 | 2, prev: None, said, seen });
    }

    #[test]
    fn what_is_wrong_is_told() {
        let good = r#"{"id":"0000000000090002","prev":"0000000000000000","time":9,"from":"00000000000000aa","name":"n","text":"t","key":"k","node":"x"}"#;
        assert!(json(good).is_ok());
        for (from, to, bad) in [
            ("\"text\":\"t\"", "\"text\":\"\"", Bad::Field),
            ("\"text\":\"t\"", "\"text\":\"twelve bytes\"", Bad::Size),
            ("\"text\":\"t\"", "\"text\":5", Bad::Field),
            ("\"name\":\"n\"", "\"name\":\"a\\u0007\"", Bad::Field),
            ("00000000000000aa", "00000000000000AA", Bad::Field),
            ("0000000000090002", "0000000000098002", Bad::Field),
            ("\"prev\":\"0000000000000000\"", "\"prev\":\"0000000000090002\"", Bad::Field),
            ("\"key\":\"k\",", "", Bad::Field),
            ("{", "[", Bad::Shape),
        ] {
            assert_eq!(json(&good.replacen(from, to, 1)), Err(bad), "{to}");
        }
        assert_eq!(json(&"x".repeat(10_000)), Err(Bad::Size));
    }

    #[test]
    fn what_scripts_say() {
        let read = |text: &str| of_script(read_json(text.as_bytes(), 10).expect("an object"), 10);
        assert_eq!(read(r#"{"text":"hi"}"#), Ok(("hi".to_owned(), "server".to_owned())));
        assert_eq!(read(r#"{"text":"hi","name":" shop "}"#), Ok(("hi".to_owned(), "shop".to_owned())));
        assert_eq!(read(r#"{"name":"shop"}"#), Err(Bad::Field));
        assert_eq!(read(r#"{"text":"hi","name":" "}"#), Err(Bad::Field));
        assert_eq!(read(r#"{"text":"twelve bytes"}"#), Err(Bad::Size));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes: Vec<u8>, text: String) {
            let _ = Entry::of_json(&bytes, 100);
            let _ = Entry::of_json(text.as_bytes(), 100);
        }
    }
}
