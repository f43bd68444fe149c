//! The table of connections: which of them, and in which order.

use std::cmp::Ordering;

use super::desk::Connection;

/// By what they are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Bytes in a second.
    #[default]
    Pace,
    Age,
    Bytes,
    Messages,
    Idle,
    Address,
}

impl Sort {
    /// The one behind it.
    #[must_use]
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Pace => Self::Age,
            Self::Age => Self::Bytes,
            Self::Bytes => Self::Messages,
            Self::Messages => Self::Idle,
            Self::Idle => Self::Address,
            Self::Address => Self::Pace,
        }
    }

    /// As it is called.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pace => "bytes/s",
            Self::Age => "age",
            Self::Bytes => "bytes",
            Self::Messages => "messages",
            Self::Idle => "idle",
            Self::Address => "address",
        }
    }

    /// The most first, addresses from the first; equals by id, so that rows do not dance.
    fn compare(self, one: &Connection, other: &Connection) -> Ordering {
        let order = match self {
            Self::Pace => other.pace.unwrap_or_default().total_cmp(&one.pace.unwrap_or_default()),
            Self::Age => other.age_seconds.total_cmp(&one.age_seconds),
            Self::Bytes => other.bytes().cmp(&one.bytes()),
            Self::Messages => other.messages().cmp(&one.messages()),
            Self::Idle => other.idle_seconds.total_cmp(&one.idle_seconds),
            Self::Address => one.address.cmp(&other.address),
        };
        order.then(one.id.cmp(&other.id))
    }
}

/// Those that have every word of the filter somewhere, sorted.
#[must_use]
pub(crate) fn rows<'a>(all: &'a [Connection], filter: &str, (sort, is_reversed): (Sort, bool)) -> Vec<&'a Connection> {
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    let mut rows: Vec<&Connection> = all.iter().filter(|one| words.iter().all(|word| has(one, word))).collect();
    rows.sort_unstable_by(|one, other| {
        let order = sort.compare(one, other);
        if is_reversed { order.reverse() } else { order }
    });
    rows
}

fn has(one: &Connection, word: &str) -> bool {
    let texts = [Some(&one.route), one.address.as_ref(), Some(&one.host), one.tls.as_ref(), one.backend.as_ref()];
    texts.into_iter().flatten().any(|text| text.as_str().to_lowercase().contains(word))
        || one.state().contains(word) && !one.state().is_empty()
        || one.id.to_string() == word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::plain::Plain;

    fn one(id: u64, route: &str, bytes: u64, age: f64) -> Connection {
        let (route, address) = (Plain::of(route), Some(Plain::of(&format!("192.0.2.{}", 10 - id))));
        Connection { id, route, address, bytes_in: bytes, frames_out: id, age_seconds: age, ..Connection::default() }
    }

    fn ids(rows: &[&Connection]) -> Vec<u64> {
        rows.iter().map(|row| row.id).collect()
    }

    #[test]
    fn rows_are_sorted_and_equals_stay_where_they_are() {
        let all = [one(1, "/a", 5, 1.0), one(2, "/b", 9, 3.0), one(3, "/a", 5, 2.0)];
        let sorted = |sort| ids(&rows(&all, "", (sort, false)));
        assert_eq!(sorted(Sort::Bytes), [2, 1, 3]);
        assert_eq!((sorted(Sort::Age), sorted(Sort::Messages)), (vec![2, 3, 1], vec![3, 2, 1]));
        assert_eq!((sorted(Sort::Pace), sorted(Sort::Address)), (vec![1, 2, 3], vec![3, 2, 1]));
        assert_eq!(ids(&rows(&all, "", (Sort::Bytes, true))), [3, 1, 2]);
        let mut sort = Sort::default();
        for _ in 0..6 {
            sort = sort.next();
        }
        assert_eq!(sort, Sort::default(), "each has its turn");
    }

    #[test]
    fn every_word_of_the_filter_has_to_be_somewhere() {
        let mut all = [one(1, "/chat/Küche", 5, 1.0), one(2, "/b", 9, 3.0)];
        all[1].held = true;
        let found = |filter: &str| ids(&rows(&all, filter, (Sort::Age, false)));
        assert_eq!((found("küche"), found("CHAT 192.0.2.9"), found("chat held")), (vec![1], vec![1], vec![]));
        assert_eq!((found("held"), found("2"), found("  ")), (vec![2], vec![2, 1], vec![2, 1]));
    }
}
