//! Thresholds: `p99>20ms` is asked of a run, and the run fails when it is so.

use super::plan;
use super::report::{Run, Summary, Threshold};

/// A question that was understood: what, which side, against what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    text: String,
    /// A kind of latency, or the profile's own.
    kind: Option<String>,
    what: String,
    above: bool,
    limit: f64,
}

impl Question {
    /// Reads `p99>20ms`, `tls.p50>5ms`, `errors>0`, `completeness<100`.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let at = bare.find(['<', '>']).ok_or_else(|| format!("{text}: neither < nor > in it"))?;
        let (left, limit) = (&bare[..at], bare[at + 1..].trim_end_matches('%'));
        let (kind, what) = match left.split_once('.') {
            Some((kind, what)) => (Some(kind.to_owned()), what),
            None => (None, left),
        };
        let is_count = COUNTS.contains(&what) || STAYED.contains(&what);
        let is_time = TIMES.contains(&what);
        if !is_time && (kind.is_some() || !is_count) {
            let known = [&TIMES[..], &COUNTS, &STAYED].concat().join(", ");
            return Err(format!("{text}: {left} is none of {known}"));
        }
        let limit = match limit.parse::<f64>() {
            Ok(number) if !is_time => number,
            _ if is_time => plan::duration(limit)?.as_secs_f64() * 1e6,
            _ => return Err(format!("{text}: {limit} is no number")),
        };
        let above = bare.as_bytes()[at] == b'>';
        Ok(Self { text: text.to_owned(), kind, what: what.to_owned(), above, limit })
    }

    /// The answer. What was not measured at all cannot pass.
    pub(crate) fn ask(&self, run: &Run) -> Threshold {
        let value = self.value(run);
        let passed = value.is_some_and(|value| if self.above { value <= self.limit } else { value >= self.limit });
        Threshold { expression: self.text.clone(), value: value.unwrap_or(-1.0), passed }
    }

    fn value(&self, run: &Run) -> Option<f64> {
        let totals = &run.totals;
        match self.what.as_str() {
            "errors" => Some(run.errors.values().sum::<u64>() as f64),
            "refusals" => Some(run.refusals.values().sum::<u64>() as f64),
            name if STAYED.contains(&name) => run.stayed.as_ref()?.figure(name),
            "completeness" => totals.completeness,
            "messages_per_second" => Some(totals.messages_per_second),
            "megabytes_per_second" => Some(totals.megabytes_per_second),
            "handshakes_per_second" => totals.handshakes_per_second,
            "full_handshakes_per_second" => totals.full_handshakes_per_second,
            "resumed_handshakes_per_second" => totals.resumed_handshakes_per_second,
            "cpu_us_per_delivery" => run.server.as_ref()?.cpu_us_per_delivery,
            "bytes_per_connection" => run.server.as_ref()?.bytes_per_connection,
            _ => self.latency(run).map(|summary| match self.what.as_str() {
                "min" => summary.min as f64,
                "mean" => summary.mean,
                "p50" => summary.p50 as f64,
                "p90" => summary.p90 as f64,
                "p99" => summary.p99 as f64,
                "p999" => summary.p999 as f64,
                "p9999" => summary.p9999 as f64,
                _ => summary.max as f64,
            }),
        }
    }

    fn latency<'r>(&self, run: &'r Run) -> Option<&'r Summary> {
        match &self.kind {
            Some(kind) => run.latencies.get(kind),
            None => MAIN.iter().find_map(|kind| run.latencies.get(*kind)),
        }
    }
}

/// The profile's own latency is the first of these that was measured.
pub(crate) const MAIN: [&str; 5] = ["round_trip", "delivery", "reconnect", "tls", "upgrade"];
const TIMES: [&str; 8] = ["min", "mean", "p50", "p90", "p99", "p999", "p9999", "max"];
/// Of those who stay.
const STAYED: [&str; 6] = ["lost", "doubled", "disordered", "closed", "refused", "connects"];
const COUNTS: [&str; 10] = [
    "errors",
    "refusals",
    "completeness",
    "messages_per_second",
    "megabytes_per_second",
    "handshakes_per_second",
    "full_handshakes_per_second",
    "resumed_handshakes_per_second",
    "cpu_us_per_delivery",
    "bytes_per_connection",
];
