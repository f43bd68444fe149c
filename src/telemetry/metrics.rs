//! Counters and gauges, and their text for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
pub(crate) use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Labels of one counter. Their values come from fixed sets and the configuration, never from a client.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// TCP connections accepted.
    pub accepted: Counter,
    /// TCP connections that are no WebSocket yet.
    pub pending: Gauge,
    /// TCP connections closed at the door, by reason.
    pub door: Family<Labels, Counter>,
    /// TLS handshakes that failed.
    pub tls_failures: Counter,
    /// WebSockets open, by route.
    pub open: Family<Route, Gauge>,
    /// WebSockets opened, by route.
    pub opened: Family<Route, Counter>,
    /// Requests refused, by reason.
    pub refused: Family<Labels, Counter>,
    /// Plain requests answered, by status.
    pub answered: Family<Labels, Counter>,
    /// WebSockets ended, by who ended them and the close code.
    pub ended: Family<Labels, Counter>,
    /// Data frames and payload bytes, by direction; added when a WebSocket ends.
    pub frames: Family<Labels, Counter>,
    /// Payload bytes of data frames.
    pub bytes: Family<Labels, Counter>,
    /// Offences of backends, by pool.
    pub backend_offences: Family<Labels, Counter>,
    /// Messages of backends whose text was not UTF-8 and which were dropped or mended, by pool.
    pub backend_bad_texts: Family<Labels, Counter>,
    /// Messages that clients of a legacy profile did not get because they were too slow, by pool.
    pub dropped: Family<Labels, Counter>,
}

/// A route, as its path (and host) stand in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Route {
    /// Host and path.
    pub route: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("wsgate"),
            accepted: Counter::default(),
            pending: Gauge::default(),
            door: Family::default(),
            tls_failures: Counter::default(),
            open: Family::default(),
            opened: Family::default(),
            refused: Family::default(),
            answered: Family::default(),
            ended: Family::default(),
            frames: Family::default(),
            bytes: Family::default(),
            backend_offences: Family::default(),
            backend_bad_texts: Family::default(),
            dropped: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("tcp_connections_accepted", "TCP connections accepted", self.accepted.clone());
        registry.register("tcp_connections_pending", "TCP connections that are no WebSocket yet", self.pending.clone());
        registry.register("door_closed", "TCP connections closed at the door, by reason", self.door.clone());
        registry.register("tls_handshake_failures", "TLS handshakes that failed", self.tls_failures.clone());
        registry.register("websockets_open", "WebSockets open, by route", self.open.clone());
        registry.register("websockets_opened", "WebSockets opened, by route", self.opened.clone());
        registry.register("requests_refused", "Requests refused, by reason", self.refused.clone());
        registry.register("requests_answered", "Plain requests answered, by status", self.answered.clone());
        registry.register("websockets_ended", "WebSockets ended, by party and close code", self.ended.clone());
        registry.register("data_frames", "Data frames of ended WebSockets, by direction", self.frames.clone());
        let help = "Payload of data frames of ended WebSockets, by direction";
        registry.register_with_unit("data", help, Unit::Bytes, self.bytes.clone());
        registry.register("backend_offences", "Backends that broke RFC 6455, by pool", self.backend_offences.clone());
        let help = "Messages of backends that were not UTF-8 and were dropped or mended, by pool";
        registry.register("backend_bad_texts", help, self.backend_bad_texts.clone());
        let help = "Messages of backends that slow clients did not get, by pool";
        registry.register("backend_messages_dropped", help, self.dropped.clone());
    }

    /// The text exposition (OpenMetrics 1.0).
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// One label.
#[must_use]
pub(crate) fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_what_was_counted() {
        let metrics = Metrics::default();
        metrics.refused.get_or_create(&label("reason", "origin")).inc();
        metrics.opened.get_or_create(&Route { route: "/chat".into() }).inc();
        let text = metrics.text();
        assert!(text.contains("wsgate_requests_refused_total{reason=\"origin\"} 1"), "{text}");
        assert!(text.contains("wsgate_websockets_opened_total{route=\"/chat\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
