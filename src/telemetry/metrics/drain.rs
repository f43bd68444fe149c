//! How far a drain is.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// WebSockets that have not been told to go yet, and for how long that will go on; both nothing while nothing is drained.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    left: Gauge,
    wait: Gauge<f64, AtomicU64>,
}

impl Drain {
    /// So many are left, and the last will be told after this.
    pub(crate) fn set(&self, left: usize, wait: Duration) {
        self.left.set(i64::try_from(left).unwrap_or(i64::MAX));
        self.wait.set(wait.as_secs_f64());
    }

    /// How many are left, and when the last will be told.
    #[must_use]
    pub(crate) fn get(&self) -> (i64, Duration) {
        (self.left.get(), Duration::try_from_secs_f64(self.wait.get()).unwrap_or_default())
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "WebSockets that a drain has not told to go yet";
        registry.register("drain_websockets", help, self.left.clone());
        let help = "Until a drain has told the last WebSocket to go";
        registry.register_with_unit("drain", help, Unit::Seconds, self.wait.clone());
    }
}
