//! How TLS and WebSockets were begun: how many, as what, how long it took, and why not.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::shown::show;
use super::{Labels, label};

/// Seconds: from a resumed session on the same machine to the longest that a handshake should be allowed.
pub(super) const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What came of clients' handshakes; refused requests are counted elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Handshakes {
    tls: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    tls_times: Histogram,
    times: Histogram,
}

impl Default for Handshakes {
    fn default() -> Self {
        let (tls, failures) = (Family::default(), Family::default());
        Self { tls, failures, tls_times: Histogram::new(BUCKETS), times: Histogram::new(BUCKETS) }
    }
}

impl Handshakes {
    /// TLS of this version is spoken, after so long; from a ticket or anew.
    pub(crate) fn secured(&self, version: &str, resumed: bool, time: Duration) {
        self.tls.get_or_create(&vec![("version", version.to_owned()), ("resumed", resumed.to_string())]).inc();
        self.tls_times.observe(time.as_secs_f64());
    }

    /// TLS could not be agreed on; why, in one word of a fixed set.
    pub(crate) fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&label("reason", reason)).inc();
    }

    /// A 101 is sent, so long after the connection was accepted.
    pub(crate) fn opened(&self, time: Duration) {
        self.times.observe(time.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "TLS handshakes that succeeded, by version and whether a session was resumed";
        show(registry, "tls_handshakes", help, &self.tls);
        show(registry, "tls_handshake_failures", "TLS handshakes that failed, by reason", &self.failures);
        let help = "TLS handshakes that succeeded, from the first byte awaited";
        registry.register_with_unit("tls_handshake_duration", help, Unit::Seconds, self.tls_times.clone());
        let help = "From a connection's accept to its 101: TLS, auth and the backend's own handshake among it";
        registry.register_with_unit("websocket_handshake_duration", help, Unit::Seconds, self.times.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn handshakes_are_told_by_what_came_of_them() {
        let metrics = Metrics::default();
        metrics.handshakes.secured("TLSv1.3", true, Duration::from_millis(3));
        metrics.handshakes.failed("timeout");
        metrics.handshakes.opened(Duration::from_millis(30));
        let text = metrics.text();
        for line in [
            "wsgate_tls_handshakes_total{version=\"TLSv1.3\",resumed=\"true\"} 1",
            "wsgate_tls_handshake_failures_total{reason=\"timeout\"} 1",
            "wsgate_tls_handshake_duration_seconds_bucket{le=\"0.0025\"} 0",
            "wsgate_tls_handshake_duration_seconds_bucket{le=\"0.005\"} 1",
            "wsgate_websocket_handshake_duration_seconds_bucket{le=\"0.025\"} 0",
            "wsgate_websocket_handshake_duration_seconds_bucket{le=\"0.05\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
