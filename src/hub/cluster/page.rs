//! What is read of a room's stream at once.

use std::collections::HashMap;

use redis::{FromRedisValue, Value};

/// Entries of a stream as they come: each with its name and what it has.
pub(super) type Raw = Vec<(String, HashMap<String, String>)>;

/// The newest of a stream, oldest first.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) raw: Raw,
    /// Of what has a place below this, the stream has let go.
    pub(super) gone: u64,
}

/// What stands in a stream behind a place, oldest first.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) raw: Raw,
    /// Up to here nothing else does.
    pub(super) upto: u64,
    /// Whether nothing stands behind it.
    pub(super) is_last: bool,
}

/// Entries of a stream; one that is not text from end to end has nothing but its name, and is found to be bad.
pub(super) fn sound(entries: Vec<Value>) -> Raw {
    let entry = |entry: Value| {
        // One that was taken out meanwhile may come as nothing at all.
        let (name, fields): (String, Value) = FromRedisValue::from_redis_value(entry).ok()?;
        Some((name, FromRedisValue::from_redis_value(fields).unwrap_or_default()))
    };
    entries.into_iter().filter_map(entry).collect()
}
