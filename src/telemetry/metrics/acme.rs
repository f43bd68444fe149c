//! What comes of the certificates that a CA makes by itself.

use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::shown::show;
use super::{Labels, label};

/// Orders, whether the last has failed, and when the next is due; all nothing where no CA is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct AcmeTally {
    orders: Family<Labels, Counter>,
    failing: Gauge,
    next: Gauge<f64, AtomicU64>,
}

impl AcmeTally {
    /// An order has come to its end.
    pub(crate) fn ordered(&self, is_made: bool) {
        self.orders.get_or_create(&label("result", if is_made { "ok" } else { "failed" })).inc();
        self.failing.set(i64::from(!is_made));
    }

    /// There is a certificate, whoever has ordered it.
    pub(crate) fn fine(&self) {
        self.failing.set(0);
    }

    /// When the next order is due.
    pub(crate) fn next(&self, at: SystemTime) {
        self.next.set(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64().floor());
    }

    /// No CA is asked any more.
    pub(crate) fn idle(&self) {
        self.failing.set(0);
        self.next.set(0.0);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        show(registry, "acme_orders", "Certificates that a CA was asked for, by what came of it", &self.orders);
        let help = "1 while the last order for a certificate has failed";
        registry.register("acme_failing", help, self.failing.clone());
        let help = "When a certificate is ordered next: seconds since 1970";
        registry.register_with_unit("acme_next_order_timestamp", help, Unit::Seconds, self.next.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_failure_is_told_until_there_is_a_certificate() {
        let metrics = Metrics::default();
        let has = |line: &str| metrics.text().lines().any(|have| have == line);
        metrics.acme.ordered(false);
        metrics.acme.next(UNIX_EPOCH + Duration::from_millis(4_102_444_800_700));
        assert!(has("wsgate_acme_orders_total{result=\"failed\"} 1") && has("wsgate_acme_failing 1"));
        assert!(has("wsgate_acme_next_order_timestamp_seconds 4102444800.0"), "{}", metrics.text());
        metrics.acme.fine();
        assert!(has("wsgate_acme_failing 0"));
        metrics.acme.ordered(true);
        metrics.acme.idle();
        assert!(has("wsgate_acme_orders_total{result=\"ok\"} 1"));
        assert!(has("wsgate_acme_next_order_timestamp_seconds 0.0"));
    }
}
