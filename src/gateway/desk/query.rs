//! Queries and bodies as the desk reads them: bounded, and nothing unknown in them.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::wrong::Wrong;

/// What is shown at once where nothing is said of it, and at most.
pub(super) const LIMIT: (usize, usize) = (100, 1000);

/// Which part of a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: LIMIT.0, offset: 0 }
    }
}

impl Page {
    /// Takes a word that is about pages; whether it is one.
    pub(super) fn take(&mut self, key: &str, value: &str) -> Result<bool, Wrong> {
        match key {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT.1).contains(limit));
                self.limit = limit.ok_or(Wrong::Field("limit"))?;
            }
            "offset" => self.offset = value.parse().map_err(|_| Wrong::Field("offset"))?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The words behind the question mark. `take` says whether it knows one: what nobody knows is refused, since a wrong
/// word could mean more than was meant; so is a word that comes twice.
pub(super) fn read(query: Option<&str>, mut take: impl FnMut(&str, &str) -> Result<bool, Wrong>) -> Result<(), Wrong> {
    let mut seen: Vec<String> = Vec::new();
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if seen.iter().any(|other| *other == key) || !take(&key, &value)? {
            return Err(Wrong::Query(key.into_owned()));
        }
        seen.push(key.into_owned());
    }
    Ok(())
}

/// No words at all.
pub(super) fn none(query: Option<&str>) -> Result<(), Wrong> {
    read(query, |_, _| Ok(false))
}

/// The body as what it should be.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Wrong> {
    // A struct of serde's would be read from a list as well.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Wrong::Json("not a JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Wrong::Shape(error.to_string()),
        Category::Io | Category::Syntax | Category::Eof => Wrong::Json(error.to_string()),
    })
}

/// As it is shown, to the millisecond.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
