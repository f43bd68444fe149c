//! Figures as people read them: times, counts, rates and sizes, with three digits and a unit.

/// What stands where there is nothing to say.
pub(crate) const NOTHING: &str = "–";

/// Microseconds, in the unit that keeps them short.
#[must_use]
pub(crate) fn time(us: f64) -> String {
    const UNITS: [(f64, f64, &str); 5] =
        [(1e3, 1.0, "µs"), (1e6, 1e3, "ms"), (1.2e8, 1e6, "s"), (7.2e9, 6e7, "min"), (f64::INFINITY, 3.6e9, "h")];
    let unit = UNITS.iter().find(|(below, ..)| us.abs() < *below);
    match unit {
        Some((_, size, name)) if *size == 1.0 && us.fract() == 0.0 => format!("{us} {name}"),
        Some((_, size, name)) => format!("{} {name}", digits(us / size)),
        None => NOTHING.to_owned(),
    }
}

/// A whole number, in groups of three.
#[must_use]
pub(crate) fn count(number: u64) -> String {
    let plain = number.to_string();
    let mut grouped = String::with_capacity(plain.len() * 4 / 3 + 1);
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number that may be broken: whole and grouped when it is whole or a thousand and more, else three digits.
#[must_use]
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        NOTHING.to_owned()
    } else if (999.5..1e15).contains(&value) || (0.0..1e15).contains(&value) && value.fract() == 0.0 {
        count(value.round() as u64)
    } else {
        digits(value)
    }
}

/// A number in at most five characters, for a scale: 12 k, 1.5 M.
#[must_use]
pub(crate) fn compact(value: f64) -> String {
    const UNITS: [(f64, f64, &str); 4] = [(1e3, 1.0, ""), (1e6, 1e3, " k"), (1e9, 1e6, " M"), (1e12, 1e9, " G")];
    match UNITS.iter().find(|(below, ..)| value.abs() < *below) {
        Some((_, size, name)) => format!("{}{name}", short(&digits(value / size))),
        None if value.is_finite() => format!("{value:.1e}"),
        None => NOTHING.to_owned(),
    }
}

/// So many in a second.
#[must_use]
pub(crate) fn rate(value: f64) -> String {
    if value.is_finite() { format!("{}/s", number(value)) } else { NOTHING.to_owned() }
}

/// Bytes: whole up to 100,000, then in powers of a thousand.
#[must_use]
pub(crate) fn bytes(value: f64) -> String {
    const UNITS: [(f64, f64, &str); 3] = [(1e6, 1e3, "kB"), (1e9, 1e6, "MB"), (f64::INFINITY, 1e9, "GB")];
    if value.abs() < 1e5 {
        return format!("{}{} B", if value <= -0.5 { "−" } else { "" }, count(value.abs().round() as u64));
    }
    let unit = UNITS.iter().find(|(below, ..)| value.abs() < *below);
    unit.map_or(NOTHING.to_owned(), |(_, size, name)| format!("{} {name}", digits(value / size)))
}

/// A share of 100, exact near both ends: what is not complete never reads 100 %.
#[must_use]
pub(crate) fn percent(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    let whole = value == 0.0 || value == 100.0;
    let exact = if (99.0..100.0).contains(&value) { 100.0 - value } else { value }.abs();
    let places = if whole || exact >= 100.0 { 0 } else { (2.0 - exact.log10().floor()).clamp(0.0, 6.0) as usize };
    let text = format!("{value:.places$}");
    format!("{} %", if places > 2 { short(&text) } else { text })
}

/// A moment, from seconds since 1970.
#[must_use]
pub(crate) fn moment(unix: u64) -> String {
    let at = i64::try_from(unix).ok().and_then(|unix| ::time::OffsetDateTime::from_unix_timestamp(unix).ok());
    at.map_or(NOTHING.to_owned(), |at| {
        format!("{} {:02}:{:02}:{:02} UTC", at.date(), at.hour(), at.minute(), at.second())
    })
}

/// A duration of whole seconds as a clock shows it, or `45 s` when short.
#[must_use]
pub(crate) fn clock(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

/// What a latency of this name measures.
#[must_use]
pub(crate) fn kind(name: &str) -> String {
    match name {
        "tcp" => "TCP connect".to_owned(),
        "tls" => "TLS handshake".to_owned(),
        "tls_resumed" => "TLS, resumed".to_owned(),
        "ack" => "Acknowledgement".to_owned(),
        _ => {
            let mut letters = name.replace('_', " ");
            if let Some(first) = letters.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            letters
        }
    }
}

/// The latencies of a run in the order in which a connection meets them, those without a place last.
#[must_use]
pub(crate) fn in_order<'a, T>(latencies: impl Iterator<Item = (&'a String, T)>) -> Vec<(&'a str, T)> {
    const ORDER: [&str; 11] = [
        "tcp",
        "tls",
        "tls_resumed",
        "upgrade",
        "first_message",
        "round_trip",
        "delivery",
        "ack",
        "reconnect",
        "away",
        "close",
    ];
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    let mut ordered: Vec<_> = latencies.map(|(name, summary)| (name.as_str(), summary)).collect();
    ordered.sort_by_key(|(name, _)| place(name));
    ordered
}

/// Without the zeros that end a broken number.
#[must_use]
pub(crate) fn short(text: &str) -> String {
    let (number, unit) = text.split_once(' ').map_or((text, ""), |(number, unit)| (number, unit));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if unit.is_empty() { number.to_owned() } else { format!("{number} {unit}") }
}

/// Three digits; beyond 100,000 with an exponent.
fn digits(value: f64) -> String {
    match value.abs() {
        _ if value == 0.0 => "0".to_owned(),
        small if small < 0.0995 => short(&format!("{value:.4}")),
        small if small < 9.995 => format!("{value:.2}"),
        small if small < 99.95 => format!("{value:.1}"),
        small if small < 99_999.5 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_unit_that_keeps_them_short() {
        let read = [0.0, 87.0, 812.5, 1_234.0, 20_000.0, 3_456_789.0, 1.8e8, 7.2e9, u64::MAX as f64].map(time);
        assert_eq!(read, ["0 µs", "87 µs", "812 µs", "1.23 ms", "20.0 ms", "3.46 s", "3.00 min", "2.00 h", "5.12e9 h"]);
        assert_eq!(time(f64::NAN), NOTHING);
        assert_eq!(short(&time(20_000.0)), "20 ms");
    }

    #[test]
    fn counts_and_rates_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!([0.0, 0.5, 12.34, 999.6, 54_321.4].map(rate), ["0/s", "0.50/s", "12.3/s", "1,000/s", "54,321/s"]);
        assert_eq!([0.0, 0.5, 1500.0, 2e6, 1.8e19].map(compact), ["0", "0.5", "1.5 k", "2 M", "1.8e19"]);
        assert_eq!(rate(f64::INFINITY), NOTHING);
    }

    #[test]
    fn sizes_are_whole_as_long_as_that_is_short() {
        assert_eq!(
            [0.0, 5_123.4, 250_000.0, 48.6e6, 3e9].map(bytes),
            ["0 B", "5,123 B", "250 kB", "48.6 MB", "3.00 GB"]
        );
        assert_eq!(bytes(-20.0), "−20 B");
        assert_eq!(bytes(f64::NAN), NOTHING);
    }

    #[test]
    fn what_is_not_complete_never_reads_100() {
        let read = [100.0, 99.9999, 99.5, 50.0, 0.0123, 0.0, 250.0].map(percent);
        assert_eq!(read, ["100 %", "99.9999 %", "99.5 %", "50.0 %", "0.0123 %", "0 %", "250 %"]);
    }

    #[test]
    fn moments_and_clocks() {
        assert_eq!(moment(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(moment(u64::MAX), NOTHING);
        assert_eq!([0, 119, 125, 7_260].map(clock), ["0 s", "119 s", "2:05 min", "2:01 h"]);
    }

    #[test]
    fn latencies_come_in_the_order_of_a_connection() {
        let names = ["close", "odd", "round_trip", "tcp", "tls"].map(str::to_owned);
        let ordered = in_order(names.iter().map(|name| (name, ())));
        assert_eq!(
            ordered.iter().map(|(name, ())| *name).collect::<Vec<_>>(),
            ["tcp", "tls", "round_trip", "close", "odd"]
        );
        assert_eq!(["tls_resumed", "round_trip", "ärger", ""].map(kind), ["TLS, resumed", "Round trip", "ärger", ""]);
    }
}
