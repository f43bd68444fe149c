//! How an owner writes durations, sizes, rates and networks, read from text and written back.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use super::Rate;
use super::address::read_proxies;

/// Largest first, the order in which a duration names them; in milliseconds.
/// Days are read and not written: "24h" is what is told of a day.
const DAY: (&str, u64) = ("d", 86_400_000);
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The first four are how sizes are written back.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("kB", 1000),
];

const RATE_UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// Reads `10s`, `1m30s`, `500ms`, `0s`: whole numbers, each unit once, the larger first.
pub(crate) fn read_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut units = std::iter::once(&DAY).chain(&TIME_UNITS);
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let (number, behind) = leading_number(rest)?;
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (name, next) = behind.split_at(end);
        // The iterator only moves on, so a unit cannot come twice or after a smaller one.
        let (_, milliseconds) = units.find(|(unit, _)| *unit == name)?;
        total = total.checked_add(number.checked_mul(*milliseconds)?)?;
        rest = next;
    }
    Some(Duration::from_millis(total))
}

/// Writes a duration as [`read_duration`] reads it (whole milliseconds).
pub(crate) fn duration_text(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, milliseconds) in TIME_UNITS {
        if left >= milliseconds {
            text.push_str(&format!("{}{unit}", left / milliseconds));
            left %= milliseconds;
        }
    }
    text
}

/// Reads `64KiB`, `1MiB`, `1MB`, `512B` or a plain number of bytes.
pub(crate) fn read_size(text: &str) -> Option<usize> {
    let (number, unit) = leading_number(text)?;
    let bytes = match unit {
        "" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    usize::try_from(number.checked_mul(bytes)?).ok()
}

/// Writes a size in the largest binary unit that says it exactly.
pub(super) fn size_text(size: usize) -> String {
    let size = size as u64;
    let (unit, bytes) =
        SIZE_UNITS[..3].iter().find(|(_, bytes)| size > 0 && size.is_multiple_of(*bytes)).copied().unwrap_or(("B", 1));
    format!("{}{unit}", size / bytes)
}

/// Reads a network, a single address or a preset's name, where nobody wants to know why it is none.
pub(crate) fn read_networks(text: &str) -> Option<Vec<IpNet>> {
    read_proxies(text).ok()
}

/// Reads `20/s`, `100/m`, `5/h`; the inner `None` is `0/s`, no limit.
pub(super) fn read_rate(text: &str) -> Option<Option<Rate>> {
    let (number, unit) = leading_number(text)?;
    let unit = unit.strip_prefix('/')?;
    let (_, seconds) = RATE_UNITS.iter().find(|(name, _)| *name == unit)?;
    let per = Duration::from_secs(*seconds);
    let count = u32::try_from(number).ok()?;
    Some(NonZeroU32::new(count).map(|count| Rate { count, per }))
}

/// Writes a rate as [`read_rate`] reads it.
pub(crate) fn rate_text(rate: Option<Rate>) -> String {
    let Some(rate) = rate else { return "0/s".to_owned() };
    // There is no rate in another unit.
    let unit = RATE_UNITS.iter().find(|(_, seconds)| *seconds == rate.per.as_secs()).map_or("s", |(unit, _)| unit);
    format!("{}/{unit}", rate.count)
}

/// Plain digits only: no sign, no underscore, no fraction.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h", 3_600_000),
            ("0s", 0),
            ("1h0m1ms", 3_600_001),
            ("30d12h", 2_635_200_000),
        ] {
            assert_eq!(read_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        let refused = [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            " 1s",
            "1 s",
            "1s ",
            "30s1m",
            "1s1s",
            "1h1d",
            "1D",
            "1S",
            "1ms1s",
            "99999999999999999999h",
            "9999999999999999999h",
            "é",
        ];
        for text in refused {
            assert_eq!(read_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("64KiB", 65_536), ("1MiB", 1_048_576), ("1MB", 1_000_000), ("512B", 512), ("7", 7), ("2kB", 2000)]
        {
            assert_eq!(read_size(text), Some(bytes), "{text}");
        }
        for text in ["", "KiB", "1 KiB", "1K", "1kib", "-1", "1.5MiB", "99999999999GiB", "0x10", "1TiB"] {
            assert_eq!(read_size(text), None, "{text}");
        }
    }

    #[test]
    fn rates() {
        let rate = |count, seconds| {
            Some(NonZeroU32::new(count).map(|count| Rate { count, per: Duration::from_secs(seconds) }))
        };
        assert_eq!(read_rate("20/s"), rate(20, 1));
        assert_eq!(read_rate("100/m"), rate(100, 60));
        assert_eq!(read_rate("5/h"), rate(5, 3600));
        assert_eq!(read_rate("0/s"), Some(None));
        for text in ["", "20", "/s", "20/", "20/d", "20 / s", "20/2s", "4294967296/s", "-1/s"] {
            assert_eq!(read_rate(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn durations_round_trip(milliseconds in 0..u64::MAX / 2) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(read_duration(&duration_text(duration)), Some(duration));
        }

        #[test]
        fn sizes_round_trip(number in 0usize..1 << 30, shift in prop::sample::select(vec![0, 10, 20, 30])) {
            let size = number << shift;
            prop_assert_eq!(read_size(&size_text(size)), Some(size));
            prop_assert_eq!(read_size(&size.to_string()), Some(size));
        }

        #[test]
        fn rates_round_trip(count in 1u32.., seconds in prop::sample::select(vec![1u64, 60, 3600])) {
            let rate = Rate { count: NonZeroU32::new(count).expect("not zero"), per: Duration::from_secs(seconds) };
            prop_assert_eq!(read_rate(&rate_text(Some(rate))), Some(Some(rate)));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            let _ = (read_duration(&text), read_size(&text), read_rate(&text));
        }
    }
}
