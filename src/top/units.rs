//! Numbers as people read them, in few characters.

use std::time::Duration;

use super::arithmetic::Quantile;

/// What is not known.
pub(crate) const UNKNOWN: &str = "–";

/// `1,204`; from a million on `1.20M`.
#[must_use]
pub(crate) fn count(number: f64) -> String {
    if !number.is_finite() {
        return "unlimited".to_owned();
    }
    if number >= 999_999.5 {
        return scaled(number, 1000.0, &["", "k", "M", "G", "T", "P"]);
    }
    let digits = format!("{:.0}", number.max(0.0));
    match digits.len().checked_sub(3) {
        Some(at @ 1..) => format!("{},{}", &digits[..at], &digits[at..]),
        _ => digits,
    }
}

/// `3.4/s`; none where it is not known yet.
#[must_use]
pub(crate) fn rate(number: Option<f64>) -> String {
    match number {
        None => UNKNOWN.to_owned(),
        Some(number) if number < 0.05 => "0/s".to_owned(),
        Some(number) => scaled(number, 1000.0, &["", "k", "M", "G", "T", "P"]) + "/s",
    }
}

/// `3.4 KiB`.
#[must_use]
pub(crate) fn bytes(number: f64) -> String {
    scaled(number, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
}

/// `3.4 KiB/s`; none where it is not known yet.
#[must_use]
pub(crate) fn byte_rate(number: Option<f64>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), |number| bytes(number) + "/s")
}

/// `85 µs`, `1.2 ms`, `3.4 s`; `>10 s` beyond what is counted.
#[must_use]
pub(crate) fn latency(quantile: Option<Quantile>) -> String {
    match quantile {
        None => UNKNOWN.to_owned(),
        Some(Quantile::About(seconds)) => short(seconds),
        Some(Quantile::Beyond(seconds)) => format!(">{}", short(seconds)),
    }
}

fn short(seconds: f64) -> String {
    scaled(seconds * 1e6, 1000.0, &[" µs", " ms", " s"])
}

/// `12s`, `4m07s`, `2h14m`, `3d04h`.
#[must_use]
pub(crate) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (0..100, _, _) => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// Three digits or so, and the unit that fits.
fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let (mut number, mut unit) = (if number.is_finite() { number.max(0.0) } else { 0.0 }, 0);
    // What would be rounded up to a whole step is one of the next unit.
    while number >= step - 0.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits = usize::from(number < 9.95 && number.fract() > 0.0);
    format!("{number:.digits$}{}", units.get(unit).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        for (number, told) in
            [(0.0, "0"), (999.0, "999"), (1204.0, "1,204"), (999_999.0, "999,999"), (1_250_000.0, "1.2M"), (2e9, "2G")]
        {
            assert_eq!(count(number), told);
        }
        assert_eq!(count(f64::INFINITY), "unlimited");
        for (number, told) in
            [(0.01, "0/s"), (0.25, "0.2/s"), (9.96, "10/s"), (999.6, "1.0k/s"), (1000.0, "1k/s"), (12_345.0, "12k/s")]
        {
            assert_eq!(rate(Some(number)), told);
        }
        for (number, told) in
            [(0.0, "0 B"), (1023.0, "1023 B"), (1024.0, "1 KiB"), (1536.0, "1.5 KiB"), (1e9, "954 MiB")]
        {
            assert_eq!(bytes(number), told);
        }
        assert_eq!((rate(None), byte_rate(None)), ("–".to_owned(), "–".to_owned()));
        assert_eq!(byte_rate(Some(2048.0)), "2 KiB/s");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (seconds, told) in
            [(0.000_085, "85 µs"), (0.0012, "1.2 ms"), (0.25, "250 ms"), (3.4, "3.4 s"), (90.0, "90 s")]
        {
            assert_eq!(latency(Some(Quantile::About(seconds))), told);
        }
        assert_eq!((latency(Some(Quantile::Beyond(10.0))), latency(None)), (">10 s".to_owned(), "–".to_owned()));
        for (seconds, told) in
            [(0, "0s"), (59, "59s"), (247, "4m07s"), (8040, "2h14m"), (273_600, "3d04h"), (8_640_000, "100d")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), told);
        }
    }
}
