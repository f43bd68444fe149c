//! Families whose name, type and help are told before there is anything to count.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::registry::{Registry, Unit};

/// The registry leaves out what is empty; dashboards and alerts need to know the name all the same.
struct Shown<M> {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    metric: M,
}

impl<M> fmt::Debug for Shown<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<M: EncodeMetric + Send + Sync + 'static> Collector for Shown<M> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let family = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), self.metric.metric_type())?;
        self.metric.encode(family)
    }
}

/// Registers a family that is there from the beginning.
pub(in crate::telemetry) fn show<M: EncodeMetric + Clone + Send + Sync + 'static>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    metric: &M,
) {
    registry.register_collector(Box::new(Shown { name, help, unit: None, metric: metric.clone() }));
}

/// The same for what has a unit, which comes behind its name.
pub(super) fn show_in<M: EncodeMetric + Clone + Send + Sync + 'static>(
    registry: &mut Registry,
    unit: Unit,
    (name, help): (&'static str, &'static str),
    metric: &M,
) {
    registry.register_collector(Box::new(Shown { name, help, unit: Some(unit), metric: metric.clone() }));
}
