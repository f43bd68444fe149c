//! A message's place in a room: as a number, as Redis names entries of a stream, and as members see it.
//!
//! The number is the milliseconds since 1970, shifted by 16 bits, and a sequence. Sequences from [`LOCAL`] on are given
//! out by a gateway that is apart from Redis: such an id says nothing about what its owner has seen of the stream.

/// The lowest sequence of an id that one gateway gave out alone.
const LOCAL: u64 = 0x8000;

/// Whether a gateway gave it out alone.
pub(in crate::hub) const fn is_local(id: u64) -> bool {
    id & LOCAL != 0
}

/// Bits of a gateway's own in such a sequence, so that hardly ever two give out the same id; below them it counts.
const TAGS: u64 = 1 << 10;
const COUNT: u64 = 1 << 5;

/// The next id of a gateway alone: above `last`, and no earlier than now (milliseconds since 1970). Of `tag`, the lowest
/// bits tell its ids from those of others.
pub(super) const fn next_local(last: u64, now: u64, tag: u64) -> u64 {
    let own = LOCAL | ((tag % TAGS) * COUNT);
    let time = if last >> 16 > now { last >> 16 } else { now };
    let first = time << 16 | own;
    if first > last {
        first
    } else if last - first < COUNT - 1 {
        last + 1
    } else {
        (time + 1) << 16 | own
    }
}

/// As an entry of a stream is named, `milliseconds-sequence`.
pub(super) fn to_stream(id: u64) -> String {
    format!("{}-{}", id >> 16, id & 0xffff)
}

/// From an entry's name; `None` when it is none, or beyond what is given out here.
pub(super) fn of_stream(name: &str) -> Option<u64> {
    let (time, sequence) = name.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(time) || !digits(sequence) {
        return None;
    }
    let (time, sequence): (u64, u64) = (time.parse().ok()?, sequence.parse().ok()?);
    (time < 1 << 48 && sequence <= 0xffff).then_some(time << 16 | sequence)
}

/// As members see it: 16 digits.
pub(super) fn to_hex(id: u64) -> String {
    format!("{id:016x}")
}

/// From 16 digits, as written by [`to_hex`].
pub(super) fn of_hex(text: &str) -> Option<u64> {
    let plain = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u64::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_lead_back(id: u64) {
            prop_assert_eq!(of_stream(&to_stream(id)), Some(id));
            prop_assert_eq!(of_hex(&to_hex(id)), Some(id));
        }

        #[test]
        fn local_ids_rise_and_are_marked(last in 0..u64::MAX / 2, now in 0..1u64 << 47, tag: u64) {
            let id = next_local(last, now, tag);
            prop_assert!(id > last && id >= now << 16 && is_local(id));
            prop_assert_ne!(id, next_local(last, now, tag.wrapping_add(1)));
            prop_assert!(next_local(id, now, tag) > id);
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = (of_stream(&text), of_hex(&text));
        }
    }

    #[test]
    fn names_that_are_none() {
        for name in
            ["", "1", "-", "1-", "-1", "1-65536", "+1-0", "1-2-3", "281474976710656-0", "99999999999999999999-0"]
        {
            assert_eq!(of_stream(name), None, "{name}");
        }
    }
}
