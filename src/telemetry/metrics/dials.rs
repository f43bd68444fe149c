//! How connecting to the backends of a pool went, and how long it took.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::handshakes::BUCKETS;
use super::{Labels, label};

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undialled {
    /// It cannot be connected to.
    Connect,
    /// Not in time.
    ConnectTimeout,
    /// Others were shaking hands with it for all the time there was.
    Busy,
    /// It did not answer in time.
    AnswerTimeout,
    /// It ended the connection instead.
    Broken,
    /// Its answer was none.
    Nonsense,
    /// It refused.
    Refused,
}

impl Undialled {
    const KINDS: [&str; 7] = ["connect", "connect_timeout", "busy", "answer_timeout", "broken", "nonsense", "refused"];
}

/// One pool's attempts for clients, which outlive reloads; of health checks only their pings are among them.
#[derive(Debug)]
pub(crate) struct DialTally {
    connects: Histogram,
    answers: Histogram,
    pings: Histogram,
    /// In the order of [`Undialled::KINDS`].
    failures: [Counter; Undialled::KINDS.len()],
}

impl Default for DialTally {
    fn default() -> Self {
        let [connects, answers, pings] = [(); 3].map(|()| Histogram::new(BUCKETS));
        Self { connects, answers, pings, failures: Default::default() }
    }
}

impl DialTally {
    /// A connection was made, TLS and all, in this time.
    pub(crate) fn connected(&self, time: Duration) {
        self.connects.observe(time.as_secs_f64());
    }

    /// The request had its 101 in this time.
    pub(crate) fn answered(&self, time: Duration) {
        self.answers.observe(time.as_secs_f64());
    }

    /// A health check's ping had its pong in this time.
    pub(crate) fn ponged(&self, time: Duration) {
        self.pings.observe(time.as_secs_f64());
    }

    /// An attempt came to nothing.
    pub(crate) fn failed(&self, why: Undialled) {
        self.failures[why as usize].inc();
    }
}

/// One of a pool's histograms.
type Times = fn(&DialTally) -> &Histogram;

/// Tells of each pool by its name.
pub(super) fn encode(pools: &[(&str, &DialTally)], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Attempts to open a WebSocket at a backend that came to nothing";
    let mut family = encoder.encode_descriptor("backend_failures", help, None, MetricType::Counter)?;
    for (pool, tally) in pools {
        for (kind, counter) in Undialled::KINDS.iter().zip(&tally.failures).filter(|(_, counter)| counter.get() > 0) {
            let labels: Labels = vec![("pool", (*pool).to_owned()), ("kind", (*kind).to_owned())];
            family.encode_family(&labels)?.encode_counter::<Labels, _, u64>(&counter.get(), None)?;
        }
    }
    let times: [(_, _, Times); 3] = [
        ("backend_connect_duration", "Connecting to a backend, TLS among it", |tally| &tally.connects),
        ("backend_answer_duration", "From a backend's connection to its 101", |tally| &tally.answers),
        ("backend_ping_round_trip", "From a health check's ping to the backend's pong", |tally| &tally.pings),
    ];
    for (name, help, times) in times {
        let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (pool, tally) in pools {
            times(tally).encode(family.encode_family(&label("pool", *pool))?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Facts, Metrics, PoolFacts};
    use super::*;
    use std::sync::Arc;

    #[test]
    fn attempts_are_told_by_pool() {
        let tally = Arc::new(DialTally::default());
        tally.connected(Duration::from_millis(3));
        tally.answered(Duration::from_millis(30));
        tally.ponged(Duration::from_millis(300));
        let all = [
            Undialled::Connect,
            Undialled::ConnectTimeout,
            Undialled::Busy,
            Undialled::AnswerTimeout,
            Undialled::Broken,
            Undialled::Nonsense,
            Undialled::Refused,
        ];
        for (at, why) in all.into_iter().enumerate() {
            (0..=at).for_each(|_| tally.failed(why));
        }
        let (pool, backends) = ("php".to_owned(), Vec::new());
        let pool = PoolFacts { pool, waiting: 0, refused: 0, retries: 0, retries_refused: 0, dials: tally, backends };
        let facts = Facts { pools: vec![pool], ..Facts::default() };
        let text = Metrics::with_facts(move || facts.clone()).text();
        for line in [
            "wsgate_backend_failures_total{pool=\"php\",kind=\"connect\"} 1",
            "wsgate_backend_failures_total{pool=\"php\",kind=\"connect_timeout\"} 2",
            "wsgate_backend_failures_total{pool=\"php\",kind=\"busy\"} 3",
            "wsgate_backend_failures_total{pool=\"php\",kind=\"answer_timeout\"} 4",
            "wsgate_backend_failures_total{pool=\"php\",kind=\"broken\"} 5",
            "wsgate_backend_failures_total{pool=\"php\",kind=\"nonsense\"} 6",
            "wsgate_backend_failures_total{pool=\"php\",kind=\"refused\"} 7",
            "wsgate_backend_connect_duration_seconds_bucket{le=\"0.005\",pool=\"php\"} 1",
            "wsgate_backend_connect_duration_seconds_bucket{le=\"0.0025\",pool=\"php\"} 0",
            "wsgate_backend_answer_duration_seconds_count{pool=\"php\"} 1",
            "wsgate_backend_ping_round_trip_seconds_bucket{le=\"0.25\",pool=\"php\"} 0",
            "wsgate_backend_ping_round_trip_seconds_bucket{le=\"0.5\",pool=\"php\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
