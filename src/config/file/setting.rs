//! Reads one setting as the type it must have; a wrong one is reported and reads as absent, so that the walk goes on.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::document::{Table, Value};
use crate::config::Rate;
use crate::config::error::Wrong;
use crate::config::quantity::{duration_text, read_duration, read_rate, read_size, size_text};

const RATE: &str = r#"a rate such as "20/s", "100/m" or "5/h", "0/s" for no limit"#;

impl<'d> Table<'d> {
    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        self.get(name)?.flag()
    }

    pub(super) fn count(&self, name: &'static str, range: RangeInclusive<usize>) -> Option<usize> {
        let value = self.get(name)?;
        let allowed = format!("a whole number, {} to {}", range.start(), range.end());
        let number = or_refuse(&value, value.raw.as_integer(), "not a whole number", &allowed)?;
        number_within(&value, wide(number), &range, &allowed)
    }

    pub(super) fn size(&self, name: &'static str, range: RangeInclusive<usize>) -> Option<usize> {
        let value = self.get(name)?;
        let ends = (size_text(*range.start()), size_text(*range.end()));
        let allowed = format!("bytes as a number or \"64KiB\", {} to {}", ends.0, ends.1);
        let size = match value.raw {
            DeValue::Integer(number) => Some(wide(number)),
            DeValue::String(text) => read_size(text).map(|size| size as i128),
            _ => None,
        };
        let size = or_refuse(&value, size, "not a size", &allowed)?;
        number_within(&value, size, &range, &allowed)
    }

    pub(super) fn duration(&self, name: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.get(name)?;
        let allowed = duration_allowed(&range);
        let duration = or_refuse(&value, value.as_text().and_then(read_duration), "not a duration", &allowed)?;
        time_within(&value, duration, &range, &allowed)
    }

    /// `Some(None)` is the owner's "0s", none.
    pub(super) fn optional_duration(
        &self,
        name: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        let value = self.get(name)?;
        let allowed = format!("{}, or \"0s\" for none", duration_allowed(&range));
        let duration = or_refuse(&value, value.as_text().and_then(read_duration), "not a duration", &allowed)?;
        if duration.is_zero() {
            return Some(None);
        }
        time_within(&value, duration, &range, &allowed).map(Some)
    }

    /// `Some(None)` is the owner's "0/s", no limit.
    pub(super) fn rate(&self, name: &'static str) -> Option<Option<Rate>> {
        let value = self.get(name)?;
        or_refuse(&value, value.as_text().and_then(read_rate), "not a rate", RATE)
    }

    /// One of some words; `later` are words that are promised and not kept yet.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        self.get(name)?.choice(words, later)
    }

    /// Text that `read` understands.
    pub(super) fn text<T>(&self, name: &'static str, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        self.get(name)?.text(read)
    }

    /// The elements of a list; a list that must have one is refused when it is empty.
    pub(super) fn items(&self, name: &'static str, allowed: &str) -> Option<Vec<Value<'d>>> {
        self.get(name)?.items(allowed)
    }

    /// A table; anything else is refused.
    pub(super) fn table(&self, name: &'static str) -> Option<Table<'d>> {
        self.get(name)?.table()
    }
}

impl<'d> Value<'d> {
    pub(super) fn flag(&self) -> Option<bool> {
        or_refuse(self, self.raw.as_bool(), "not a switch", "true or false")
    }

    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let text = self.as_text();
        let found = words.iter().find(|(word, _)| Some(*word) == text);
        if let Some((_, choice)) = found {
            return Some(*choice);
        }
        let wrong = match text {
            None => "not text",
            Some(text) if later.contains(&text) => "not supported yet",
            Some(_) => "unknown",
        };
        self.refuse(wrong, &quoted_words(words));
        None
    }

    pub(super) fn text<T>(&self, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        // What is allowed is known to the reader alone: an empty text makes it say so.
        let (text, is_text) = self.as_text().map_or(("", false), |text| (text, true));
        match read(text) {
            Ok(value) if is_text => Some(value),
            Ok(_) => {
                self.refuse("not text", "text in quotes");
                None
            }
            Err(wrong) => {
                self.refuse(if is_text { &wrong.what } else { "not text" }, &wrong.allowed);
                None
            }
        }
    }

    pub(super) fn items(&self, allowed: &str) -> Option<Vec<Value<'d>>> {
        or_refuse(self, self.as_items(), "not a list", allowed)
    }

    pub(super) fn table(&self) -> Option<Table<'d>> {
        or_refuse(self, self.as_table(), "not a table", "a table of settings")
    }
}

/// `"transparent", "legacy"`, as a problem lists them.
pub(super) fn quoted_words<T>(words: &[(&str, T)]) -> String {
    words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

fn or_refuse<T>(value: &Value<'_>, read: Option<T>, wrong: &str, allowed: &str) -> Option<T> {
    if read.is_none() {
        value.refuse(wrong, allowed);
    }
    read
}

fn number_within(value: &Value<'_>, number: i128, range: &RangeInclusive<usize>, allowed: &str) -> Option<usize> {
    let wrong = if number < *range.start() as i128 { "too small" } else { "too large" };
    or_refuse(value, usize::try_from(number).ok().filter(|number| range.contains(number)), wrong, allowed)
}

fn time_within(value: &Value<'_>, time: Duration, range: &RangeInclusive<Duration>, allowed: &str) -> Option<Duration> {
    let wrong = if time < *range.start() { "too short" } else { "too long" };
    or_refuse(value, Some(time).filter(|time| range.contains(time)), wrong, allowed)
}

/// TOML numbers may be of any length; beyond this type they are as good as its end.
fn wide(number: &DeInteger<'_>) -> i128 {
    let end = if number.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(end)
}

fn duration_allowed(range: &RangeInclusive<Duration>) -> String {
    format!(
        "a duration such as \"10s\" or \"1m30s\", {} to {}",
        duration_text(*range.start()),
        duration_text(*range.end())
    )
}
