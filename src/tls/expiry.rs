//! Certificates that come to their end: told at 30, 7 and 1 days before it, and when it has come, once each.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::chain::date;
use super::{Served, seconds};

/// So long before its end a certificate is told of.
const MARKS: [Duration; 3] = [days(30), days(7), days(1)];

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

/// What was told of each certificate that is served: marks that it has passed.
#[derive(Debug, Default)]
pub(crate) struct Expiry(BTreeMap<(String, SystemTime), usize>);

/// One that is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Its file, or `self-signed`.
    pub source: String,
    /// Its first name; empty where it has none.
    pub name: String,
    /// When it ends, as text.
    pub end: String,
    /// Until then; `None`: it has come.
    pub left: Option<Duration>,
}

impl Expiry {
    /// What is to be told now. One that has passed several marks since the last look is told of once; one that is served no
    /// more is forgotten.
    pub(crate) fn due(&mut self, served: &[Served], now: SystemTime) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut told = BTreeMap::new();
        for one in served {
            let key = (one.source.clone(), one.not_after);
            let left = one.not_after.duration_since(now).ok().filter(|left| !left.is_zero());
            let passed = MARKS.iter().filter(|mark| left.is_none_or(|left| left <= **mark)).count();
            let passed = passed + usize::from(left.is_none());
            if passed > self.0.get(&key).copied().unwrap_or_default() && !told.contains_key(&key) {
                let (source, name) = (one.source.clone(), one.names.first().cloned().unwrap_or_default());
                notices.push(Notice { source, name, end: date(seconds(one.not_after)), left });
            }
            told.insert(key, passed);
        }
        self.0 = told;
        notices
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left.map(|left| left.as_secs()) {
            None => f.write_str("a certificate has expired: clients refuse it"),
            Some(left) if left < 2 * 3600 => write!(f, "a certificate expires in {} minutes", left / 60),
            Some(left) if left < 2 * 86_400 => write!(f, "a certificate expires in {} hours", left / 3600),
            Some(left) => write!(f, "a certificate expires in {} days", left / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(source: &str, not_after: SystemTime) -> Served {
        Served { source: source.to_owned(), names: vec!["a.example".to_owned()], not_after }
    }

    #[test]
    fn each_mark_is_told_once() {
        let (mut expiry, end) = (Expiry::default(), SystemTime::UNIX_EPOCH + days(20_000));
        let all = [served("a.pem", end)];
        let mut told = Vec::new();
        // Each hour from 40 days before it to 5 days after it.
        for hour in 0..45 * 24 {
            let now = end - days(40) + Duration::from_secs(hour * 3600);
            told.extend(expiry.due(&all, now).iter().map(|notice| (hour, notice.to_string())));
        }
        let expected = [
            (10 * 24, "a certificate expires in 30 days"),
            (33 * 24, "a certificate expires in 7 days"),
            (39 * 24, "a certificate expires in 24 hours"),
            (40 * 24, "a certificate has expired: clients refuse it"),
        ];
        assert_eq!(told, expected.map(|(hour, text)| (hour, text.to_owned())));
    }

    #[test]
    fn several_marks_at_once_are_one_word_and_a_renewed_one_begins_anew() {
        let (mut expiry, now) = (Expiry::default(), SystemTime::UNIX_EPOCH + days(20_000));
        let soon = served("a.pem", now + days(3));
        let notices = expiry.due(&[soon.clone(), served("b.pem", now + days(300))], now);
        assert_eq!(notices.len(), 1);
        assert_eq!((notices[0].source.as_str(), notices[0].name.as_str()), ("a.pem", "a.example"));
        assert!(expiry.due(std::slice::from_ref(&soon), now + days(1)).is_empty());
        assert_eq!(expiry.due(&[served("a.pem", now + days(20))], now + days(1)).len(), 1, "another one, in its place");
        assert_eq!(expiry.due(&[served("a.pem", now + days(20)), soon], now + days(3)).len(), 1);
    }
}
