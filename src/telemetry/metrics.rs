//! Counters and gauges, and their text for Prometheus.

mod acme;
mod classic;
mod cluster;
mod dials;
mod drain;
mod facts;
mod filter;
mod handshakes;
mod history;
mod holds;
mod lanes;
mod process;
mod shown;
mod sizes;
mod traffic;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
pub(crate) use prometheus_client::metrics::counter::Counter;
pub(crate) use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub(crate) use self::acme::AcmeTally;
pub(crate) use self::cluster::ClusterFacts;
pub(crate) use self::dials::{DialTally, Undialled};
pub(crate) use self::drain::Drain;
pub(crate) use self::facts::{BackendFacts, Facts, HubFacts, PoolFacts};
pub(crate) use self::filter::{FilterTally, Judged, Unjudged};
pub(crate) use self::handshakes::Handshakes;
pub(crate) use self::history::HistoryFacts;
pub(crate) use self::holds::Holds;
pub(crate) use self::lanes::{Lanes, Opening, Stand};
pub(crate) use self::process::Process;
pub(super) use self::shown::show;
pub(crate) use self::sizes::Sizes;
pub(crate) use self::traffic::{Told, Traffic};
use super::sample::{Rule, Sampler};

/// Labels of one counter. Their values come from fixed sets and the configuration, never from a client.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// What is told of any process, under the names that all programs have for it.
    process: Registry,
    /// TCP connections accepted.
    pub accepted: Counter,
    /// Attempts to accept one that failed, by reason.
    pub accept_failures: Family<Labels, Counter>,
    /// TCP connections that are no WebSocket yet.
    pub pending: Gauge,
    /// TCP connections closed at the door, by reason.
    pub door: Family<Labels, Counter>,
    /// How TLS and WebSockets were begun.
    pub handshakes: Handshakes,
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
    /// What passes in open WebSockets, and how they are.
    pub traffic: Traffic,
    /// Offences of backends, by pool.
    pub backend_offences: Family<Labels, Counter>,
    /// Messages of backends whose text was not UTF-8 and which were dropped or mended, by pool.
    pub backend_bad_texts: Family<Labels, Counter>,
    /// Messages that clients of a legacy profile did not get because they were too slow, by pool.
    pub dropped: Family<Labels, Counter>,
    /// Configurations that were read again, by what came of it.
    pub reloads: Family<Labels, Counter>,
    /// Lines of the log that were lost.
    pub log_lost: Counter,
    /// Which lines of connections are written.
    pub sampler: Sampler,
    /// Where spans are left; absent: nobody collects them.
    #[cfg(feature = "otel")]
    pub spans: Option<std::sync::Arc<super::spans::Outbox>>,
    /// Panics, on any thread.
    pub panics: Counter,
    /// Clients that were held while their backend restarted.
    pub holds: Holds,
    /// How far a drain is.
    pub drain: Drain,
    /// Certificates that a CA makes by itself.
    pub acme: AcmeTally,
}

/// A route, as its path (and host) stand in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Route {
    /// Host and path.
    pub route: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let left_out = Family::default();
        let mut registry = Registry::with_prefix("wsgate");
        let help = "Lines of connections that were not written because there were too many, by kind";
        show(&mut registry, "log_lines_left_out", help, &left_out);
        let mut metrics = Self {
            registry,
            process: Registry::default(),
            accepted: Counter::default(),
            accept_failures: Family::default(),
            pending: Gauge::default(),
            door: Family::default(),
            handshakes: Handshakes::default(),
            open: Family::default(),
            opened: Family::default(),
            refused: Family::default(),
            answered: Family::default(),
            ended: Family::default(),
            traffic: Traffic::default(),
            backend_offences: Family::default(),
            backend_bad_texts: Family::default(),
            dropped: Family::default(),
            reloads: Family::default(),
            log_lost: Counter::default(),
            sampler: Sampler::new(None, left_out),
            #[cfg(feature = "otel")]
            spans: None,
            panics: Counter::default(),
            holds: Holds::default(),
            drain: Drain::default(),
            acme: AcmeTally::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("build", "What runs here", Info::new(label("version", env!("CARGO_PKG_VERSION"))));
        registry.register("tcp_connections_accepted", "TCP connections accepted", self.accepted.clone());
        let help = "Attempts to accept connections that failed: they wait until others end, by reason";
        show(registry, "tcp_accept_failures", help, &self.accept_failures);
        registry.register("tcp_connections_pending", "TCP connections that are no WebSocket yet", self.pending.clone());
        show(registry, "door_closed", "TCP connections closed at the door, by reason", &self.door);
        show(registry, "websockets_open", "WebSockets open, by route", &self.open);
        show(registry, "websockets_opened", "WebSockets opened, by route", &self.opened);
        show(registry, "requests_refused", "Requests refused, by reason", &self.refused);
        show(registry, "requests_answered", "Plain requests answered, by status", &self.answered);
        show(registry, "websockets_ended", "WebSockets ended, by party and close code", &self.ended);
        show(registry, "backend_offences", "Backends that broke RFC 6455, by pool", &self.backend_offences);
        let help = "Messages of backends that were not UTF-8 and were dropped or mended, by pool";
        show(registry, "backend_bad_texts", help, &self.backend_bad_texts);
        let help = "Messages of backends that slow clients did not get, by pool";
        show(registry, "backend_messages_dropped", help, &self.dropped);
        let help = "Configurations that were read again, by what came of it";
        show(registry, "config_reloads", help, &self.reloads);
        let help = "Lines of the log that were lost because they were not read in time, or could not be written";
        registry.register("log_lines_lost", help, self.log_lost.clone());
        registry.register("panics", "Panics: faults of wsgate's own", self.panics.clone());
        self.handshakes.register(registry);
        self.traffic.register(registry);
        self.holds.register(registry);
        self.drain.register(registry);
        self.acme.register(registry);
        self.process.register_collector(Box::new(Process::new()));
    }

    /// Tells of what pools and hubs are found to be at each scrape, too.
    #[must_use]
    pub(crate) fn with_facts(facts: impl Fn() -> Facts + Send + Sync + 'static) -> Self {
        let mut metrics = Self::default();
        metrics.registry.register_collector(Box::new(facts::Found(facts)));
        metrics
    }

    /// From now on lines of connections are written by this rule.
    #[must_use]
    pub(crate) fn with_sample(mut self, rule: Option<Rule>) -> Self {
        self.sampler = self.sampler.with(rule);
        self
    }

    /// From now on connections leave spans here.
    #[cfg(feature = "otel")]
    #[must_use]
    pub(crate) fn with_spans(mut self, outbox: std::sync::Arc<super::spans::Outbox>) -> Self {
        outbox.register(&mut self.registry);
        self.spans = Some(outbox);
        self
    }

    /// And of what these histories are.
    #[must_use]
    pub(crate) fn with_histories(mut self, histories: impl Fn() -> Vec<HistoryFacts> + Send + Sync + 'static) -> Self {
        self.registry.register_collector(Box::new(history::Histories(histories)));
        self
    }

    /// Tells of the cluster at each scrape, too.
    #[must_use]
    pub(crate) fn with_cluster(mut self, facts: impl Fn() -> ClusterFacts + Send + Sync + 'static) -> Self {
        self.registry.register_collector(Box::new(cluster::Cluster(facts)));
        self
    }

    /// The text exposition (OpenMetrics 1.0).
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.process))
            .and_then(|()| encode_eof(&mut text));
        text
    }

    /// The same in the older format (Prometheus 0.0.4), for whoever does not ask for OpenMetrics.
    #[must_use]
    pub(crate) fn classic_text(&self) -> String {
        classic::classic(&self.text())
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
