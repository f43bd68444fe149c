//! What names messages and members: a message's place in time, and a member by a secret that only its client has.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};

/// A message's place in its room: milliseconds since 1970 in the upper 48 bits, and a number within them. Written as 16
/// hexadecimal digits, so that texts sort as the numbers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageId(pub(crate) u64);

/// Who somebody is, on every gateway: the first 64 bits of SHA-256 of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(pub(crate) u64);

/// What a client shows to be who it was: 128 random bits, which nobody else gets to see.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session([u8; 16]);

impl MessageId {
    /// Digits of its text.
    const DIGITS: usize = 16;

    /// The first one of a millisecond since 1970.
    #[must_use]
    pub(crate) const fn at(milliseconds: u64) -> Self {
        Self(milliseconds << 16)
    }

    /// The next one behind `last`, and of this millisecond at the earliest.
    #[must_use]
    pub(crate) fn after(last: Self, milliseconds: u64) -> Self {
        Self((last.0 + 1).max(Self::at(milliseconds).0))
    }

    /// When it was said, in milliseconds since 1970.
    #[must_use]
    pub(crate) const fn time(self) -> u64 {
        self.0 >> 16
    }

    /// Reads what [`fmt::Display`] has written, in lower or upper case.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl MemberId {
    /// The id of a member that has no session: as good as random, and the same while the hub lives.
    #[must_use]
    pub(crate) fn without_session(keys: &RandomState, user: u64) -> Self {
        Self(keys.hash_one(user))
    }

    /// Reads what [`fmt::Display`] has written.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        MessageId::parse(text).map(|MessageId(number)| Self(number))
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Session {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads 32 hexadecimal digits in lower case: one session has one spelling.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sound = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        sound.then(|| u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes())))?
    }

    /// Who has it.
    #[must_use]
    pub(crate) fn member(&self) -> MemberId {
        let hash = digest(&SHA256, self.text().as_bytes());
        let first = hash.as_ref().iter().take(8);
        MemberId(first.fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }

    /// As 32 hexadecimal digits.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(…)")
    }
}

/// Milliseconds since 1970.
#[must_use]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_whatever_the_clock_does() {
        let first = MessageId::after(MessageId::default(), 1_700_000_000_000);
        assert_eq!((first.time(), first.to_string().as_str()), (1_700_000_000_000, "018bcfe568000000"));
        let second = MessageId::after(first, 1_700_000_000_000);
        let third = MessageId::after(second, 1_600_000_000_000);
        assert!(first < second && second < third);
        assert_eq!(MessageId::after(third, 1_700_000_000_001).time(), 1_700_000_000_001);
    }

    #[test]
    fn ids_are_sixteen_digits_and_nothing_else() {
        assert_eq!(MessageId::parse("00000000000000ff"), Some(MessageId(255)));
        for text in ["", "ff", "+0000000000000ff", "00000000000000fg", "00000000000000ff0"] {
            assert_eq!(MessageId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_session_has_one_member_and_is_not_shown() {
        let session = Session::parse("000102030405060708090a0b0c0d0e0f").expect("session");
        // echo -n 000102030405060708090a0b0c0d0e0f | sha256sum
        assert_eq!(session.member().to_string(), "d65df89f702eec58");
        assert_eq!(Session::parse(&session.text()), Some(session));
        assert_eq!(format!("{session:?}"), "Session(…)");
        for text in ["", "00", "000102030405060708090A0B0C0D0E0F", "+00102030405060708090a0b0c0d0e0f"] {
            assert_eq!(Session::parse(text), None, "{text}");
        }
        assert_ne!(Session::random().expect("random"), Session::random().expect("random"));
    }
}
