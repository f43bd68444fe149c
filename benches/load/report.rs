//! What a run has found: plain data that tables, pages and comparisons are made of, and its file as JSON.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::stayed::Stayed;

/// One run, whole. All times are in microseconds unless their name says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was run, against whom, when.
    pub meta: Meta,
    /// By name: `tcp`, `tls`, `tls_resumed`, `upgrade`, `first_message`, `round_trip` or `delivery`, `close`.
    pub latencies: BTreeMap<String, Summary>,
    /// What happened in each second.
    pub series: Vec<Second>,
    /// When each stage began.
    pub stages: Vec<StageMark>,
    /// How connections ended: how often each close code came. 1006 stands for an end without a Close.
    pub closes: BTreeMap<u16, u64>,
    /// Upgrades that were refused, by the status line's code or the reason.
    pub refusals: BTreeMap<String, u64>,
    /// What failed, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Sums and rates.
    pub totals: Totals,
    /// How the generator itself fared, and whether the figures may be believed.
    pub generator: Generator,
    /// What the server spent, when its process was named.
    pub server: Option<Server>,
    /// Of a chat: what was due and came, in one part; or in two, without and with those that never read.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Of those who stay: what was lost, and how they came back.
    #[serde(default)]
    pub stayed: Option<Stayed>,
    /// How those ended that never read.
    #[serde(default)]
    pub never_read: BTreeMap<String, u64>,
    /// What was asked of the figures, and whether they hold.
    pub thresholds: Vec<Threshold>,
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The name and version of this tool.
    pub tool: String,
    /// When the run began, in seconds since 1970.
    pub started_unix: u64,
    /// The server.
    pub url: String,
    /// The profile's name.
    pub profile: String,
    /// The options that shaped the run, as given.
    pub options: BTreeMap<String, String>,
    /// How long it measured.
    pub seconds: f64,
    /// How many processors this machine shows.
    pub cpus: u32,
}

/// The distribution of one kind of latency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many were measured.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The mean.
    pub mean: f64,
    /// Half took no longer.
    pub p50: u64,
    /// 90 % took no longer.
    pub p90: u64,
    /// 99 % took no longer.
    pub p99: u64,
    /// 99.9 % took no longer.
    pub p999: u64,
    /// 99.99 % took no longer.
    pub p9999: u64,
    /// The most.
    pub max: u64,
    /// Percentile and microseconds, about 100 points, for a plot.
    pub curve: Vec<(f64, u64)>,
}

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the start.
    pub at: u32,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Bytes of messages received.
    pub bytes_in: u64,
    /// Bytes of messages sent.
    pub bytes_out: u64,
    /// Failures.
    pub errors: u64,
    /// Connections open at its end.
    pub open: u64,
    /// The median of the profile's own latency in this second.
    pub p50: u64,
    /// 99 % took no longer.
    pub p99: u64,
    /// The most.
    pub max: u64,
    /// The generator's processor time, as a share of one core.
    pub own_cpu: f64,
    /// How late the generator's clock task was, at worst.
    pub lag_max: u64,
}

/// When a stage began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageMark {
    /// Seconds since the start.
    pub at: u32,
    /// What the stage is.
    pub name: String,
}

/// Sums and rates over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Connections that were upgraded.
    pub connections: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Bytes of messages received.
    pub bytes_in: u64,
    /// Bytes of messages sent.
    pub bytes_out: u64,
    /// Messages received in a second.
    pub messages_per_second: f64,
    /// Megabytes (10⁶) of messages received in a second.
    pub megabytes_per_second: f64,
    /// Handshakes in a second, where they were the work.
    pub handshakes_per_second: Option<f64>,
    /// The same while they were full ones.
    pub full_handshakes_per_second: Option<f64>,
    /// The same while sessions were resumed.
    pub resumed_handshakes_per_second: Option<f64>,
    /// How many of the deliveries that were due came, in percent.
    pub completeness: Option<f64>,
    /// Deliveries that came.
    #[serde(default)]
    pub deliveries: Option<u64>,
    /// Deliveries that were due: of each message, one to each member of its room that reads.
    #[serde(default)]
    pub due: Option<u64>,
    /// Messages that were to be acknowledged, where the language has such a thing.
    #[serde(default)]
    pub acks_due: Option<u64>,
}

/// What was due in a part of a run, and came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What is different about it; empty when there is only one.
    pub name: String,
    /// Members that read.
    pub receivers: u64,
    /// Deliveries to them that were due.
    pub due: u64,
    /// Those that came.
    pub deliveries: u64,
    /// What members lack of what was due to each.
    pub missing: u64,
    /// How much of what was due is not missing, in percent.
    pub completeness: Option<f64>,
    /// From when a message was to be sent to its delivery.
    pub latency: Summary,
    /// The server's processor time for each delivery, in user and kernel mode.
    pub cpu_us_per_delivery: Option<f64>,
    /// The most memory that the server had, in bytes, looked at once a second.
    pub memory_most: Option<u64>,
    /// Descriptors that the server had open, at the beginning and at the end.
    pub descriptors: Option<(u64, u64)>,
}

/// How the generator fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Processor time it used.
    pub cpu_seconds: f64,
    /// The same as a share of the cores that its threads could have had: 1 is all of them.
    pub cpu_share: f64,
    /// How late its clock task was, 99 % of the time.
    pub lag_p99: u64,
    /// How late at worst.
    pub lag_max: u64,
    /// Whether the figures are the server's, not the generator's.
    pub valid: bool,
    /// Why not.
    pub why: Vec<String>,
}

/// What the server's process tree spent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The processes that were counted.
    pub pids: Vec<u32>,
    /// Processor time of all of them.
    pub cpu_seconds: f64,
    /// The same for each message received here.
    pub cpu_us_per_message: Option<f64>,
    /// The same for each delivery, counted until the last had come.
    #[serde(default)]
    pub cpu_us_per_delivery: Option<f64>,
    /// Memory before the run, in bytes (proportional set size).
    pub pss_before: u64,
    /// Memory while all connections were open, in bytes.
    pub pss_after: u64,
    /// What one connection more costs, by the slope between two counts of connections.
    pub bytes_per_connection: Option<f64>,
}

/// One thing that was asked of the figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// As it was asked: the run fails when this is so.
    pub expression: String,
    /// What was measured.
    pub value: f64,
    /// Whether the run passed.
    pub passed: bool,
}

/// An empty histogram of microseconds, up to an hour, to three digits.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap_or_else(|_| unreachable!("the bounds are lawful"))
}

impl Summary {
    /// Of a histogram of microseconds; nothing of an empty one.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            min: histogram.min(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            p9999: histogram.value_at_quantile(0.9999),
            max: histogram.max(),
            curve: curve(histogram),
        })
    }
}

/// Points that lie densest where percentiles are interesting: ten to each half of what is left, up to 99.999 %.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    let mut points = vec![(0.0, histogram.min())];
    let mut left = 100.0_f64;
    while left > 0.001 {
        for step in 1..=6 {
            let percentile = 100.0 - left + left / 2.0 * f64::from(step) / 6.0;
            points.push((percentile, histogram.value_at_percentile(percentile)));
        }
        left /= 2.0;
    }
    points.push((100.0, histogram.max()));
    points
}
