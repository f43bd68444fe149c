//! What there is to tell of chat histories in files, asked at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Labels, label};

/// What there is to tell of the history of one hub now, which is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryFacts {
    /// The hub's route.
    pub route: String,
    /// Whether the disk takes nothing.
    pub is_failing: bool,
    /// Messages that were written.
    pub kept: u64,
    /// Messages for which there was no room in the queue.
    pub dropped: u64,
    /// Errors of the disk or the database.
    pub errors: u64,
    /// Bytes on disk.
    pub file_bytes: u64,
    /// What waits to be written.
    pub queue: usize,
}

/// Asks the histories each time, as the pools are asked.
pub(super) struct Histories<F>(pub(super) F);

impl<F> fmt::Debug for Histories<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Histories")
    }
}

impl<F: Fn() -> Vec<HistoryFacts> + Send + Sync + 'static> Collector for Histories<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let histories = self.0();
        let values = |number: fn(&HistoryFacts) -> u64| {
            histories.iter().map(move |history| (label("route", &*history.route), number(history)))
        };
        let gauges = [
            (
                "history_failing",
                "Whether messages cannot be written to the history",
                values(|facts| facts.is_failing.into()),
            ),
            ("history_queue", "Messages that wait to be written to the history", values(|facts| facts.queue as u64)),
            ("history_file_bytes", "Bytes of the history on disk", values(|facts| facts.file_bytes)),
        ];
        let counters = [
            ("history_messages", "Messages written to the history", values(|facts| facts.kept)),
            ("history_overflow", "Messages that did not fit into the queue", values(|facts| facts.dropped)),
            ("history_errors", "Errors of the disk or the database", values(|facts| facts.errors)),
        ];
        for (name, help, values) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in values {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        for (name, help, values) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, value) in values {
                family.encode_family(&labels)?.encode_counter::<Labels, _, u64>(&value, None)?;
            }
        }
        Ok(())
    }
}
