//! What there is to tell of the Redis that several gateways share, asked at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// All of it at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ClusterFacts {
    /// Whether Redis is there.
    pub up: bool,
    /// Connections after the first.
    pub reconnects: u64,
    /// Messages given to Redis.
    pub published: u64,
    /// Messages that came from Redis.
    pub received: u64,
    /// Those of them that were known.
    pub doubles: u64,
    /// What came and was not sound.
    pub bad: u64,
    /// Messages that Redis does not have yet.
    pub owed: u64,
    /// Notes of rooms that wait for the cluster's thread.
    pub queue: u64,
    /// Seconds that the last word took to Redis and back.
    pub lag: f64,
}

/// Asks whenever somebody wants to know.
pub(super) struct Cluster<F>(pub(super) F);

impl<F> fmt::Debug for Cluster<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}

impl<F: Fn() -> ClusterFacts + Send + Sync + 'static> Collector for Cluster<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let facts = self.0();
        let gauges = [
            ("cluster_up", "Whether Redis is there", f64::from(u8::from(facts.up))),
            ("cluster_owed", "Messages that Redis does not have yet", facts.owed as f64),
            ("cluster_queue", "What rooms have for Redis and waits for its thread", facts.queue as f64),
            ("cluster_lag_seconds", "How long the last word took to Redis and back", facts.lag),
        ];
        let counters = [
            ("cluster_reconnects", "Connections to Redis after the first", facts.reconnects),
            ("cluster_published", "Messages given to Redis", facts.published),
            ("cluster_received", "Messages that came from Redis", facts.received),
            ("cluster_doubles", "Messages that came from Redis and were known", facts.doubles),
            ("cluster_bad", "What came from Redis and was not sound", facts.bad),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn facts_are_told() {
        let facts = ClusterFacts { up: true, owed: 3, doubles: 2, lag: 0.25, ..ClusterFacts::default() };
        let text = Metrics::default().with_cluster(move || facts).text();
        for line in [
            "wsgate_cluster_up 1.0",
            "wsgate_cluster_owed 3.0",
            "wsgate_cluster_doubles_total 2",
            "wsgate_cluster_lag_seconds 0.25",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
