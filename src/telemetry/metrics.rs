//! Counters and gauges, and their text for Prometheus.

mod cluster;
mod drain;
mod filter;
mod history;
mod holds;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
pub(crate) use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::cluster::ClusterFacts;
pub(crate) use self::drain::Drain;
pub(crate) use self::filter::{FilterTally, Judged, Unjudged};
pub(crate) use self::history::HistoryFacts;
pub(crate) use self::holds::Holds;

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
    /// Lines of the log that were lost.
    pub log_lost: Counter,
    /// Panics, on any thread.
    pub panics: Counter,
    /// Clients that were held while their backend restarted.
    pub holds: Holds,
    /// How far a drain is.
    pub drain: Drain,
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
            log_lost: Counter::default(),
            panics: Counter::default(),
            holds: Holds::default(),
            drain: Drain::default(),
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
        let help = "Lines of the log that were lost because they were not read in time";
        registry.register("log_lines_lost", help, self.log_lost.clone());
        registry.register("panics", "Panics: faults of wsgate's own", self.panics.clone());
        self.holds.register(registry);
        self.drain.register(registry);
    }

    /// Tells of what pools and hubs are found to be at each scrape, too.
    #[must_use]
    pub(crate) fn with_facts(facts: impl Fn() -> Facts + Send + Sync + 'static) -> Self {
        let mut metrics = Self::default();
        metrics.registry.register_collector(Box::new(Found(facts)));
        metrics
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
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// What there is to tell now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Of each pool.
    pub pools: Vec<PoolFacts>,
    /// Of each hub.
    pub hubs: Vec<HubFacts>,
}

/// What there is to tell of one hub now.
#[derive(Clone, Debug)]
pub(crate) struct HubFacts {
    /// Host and path.
    pub route: String,
    /// What its moderators have done, and how often.
    pub moderated: Vec<(&'static str, u64)>,
    /// What came of the questions to its filter, if it has one.
    pub filter: Option<Arc<FilterTally>>,
}

/// What there is to tell of one pool now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolFacts {
    /// Its name.
    pub pool: String,
    /// Clients that wait for a place.
    pub waiting: usize,
    /// Clients that got none.
    pub refused: u64,
    /// Requests that were tried on another backend.
    pub retries: u64,
    /// Those that the budget did not allow.
    pub retries_refused: u64,
    /// Its backends.
    pub backends: Vec<BackendFacts>,
}

/// What there is to tell of one backend now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackendFacts {
    /// As the configuration names it.
    pub backend: String,
    /// Open connections.
    pub open: usize,
    /// How many there may be; absent: any number.
    pub cap: Option<usize>,
    /// Whether clients may be given to it.
    pub usable: bool,
    /// How often it was ejected.
    pub ejections: u64,
}

/// Asks pools and hubs each time that somebody wants to know, so that those that are gone leave nothing behind.
struct Found<F>(F);

impl<F> fmt::Debug for Found<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Found")
    }
}

impl<F: Fn() -> Facts + Send + Sync + 'static> Collector for Found<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Facts { pools, hubs } = self.0();
        let by_hub = |numbers: fn(&HubFacts) -> &[(&'static str, u64)], name: &'static str| -> Vec<(Labels, u64)> {
            let labels = |hub: &HubFacts, word: &str| vec![("route", hub.route.clone()), (name, word.to_owned())];
            let of = |hub| numbers(hub).iter().map(move |(word, count)| (labels(hub, word), *count));
            hubs.iter().flat_map(of).collect()
        };
        let by_pool = |number: fn(&PoolFacts) -> u64| -> Vec<(Labels, u64)> {
            pools.iter().map(|pool| (label("pool", &*pool.pool), number(pool))).collect()
        };
        let by_backend = |number: fn(&BackendFacts) -> Option<u64>| -> Vec<(Labels, u64)> {
            let all = pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
            let labels = |pool: &PoolFacts, backend: &BackendFacts| {
                vec![("pool", pool.pool.clone()), ("backend", backend.backend.clone())]
            };
            all.filter_map(|(pool, backend)| Some((labels(pool, backend), number(backend)?))).collect()
        };
        let gauges = [
            ("pool_waiting", "Clients that wait for a place at a backend", by_pool(|pool| pool.waiting as u64)),
            ("backend_connections", "Open connections by backend", by_backend(|backend| Some(backend.open as u64))),
            (
                "backend_connections_max",
                "How many there may be",
                by_backend(|backend| backend.cap.map(|cap| cap as u64)),
            ),
            ("backend_usable", "Whether clients are given to it", by_backend(|backend| Some(backend.usable.into()))),
        ];
        let counters = [
            ("pool_refused", "Clients for whom no backend had a place", by_pool(|pool| pool.refused)),
            ("pool_retries", "Requests that were tried on another backend", by_pool(|pool| pool.retries)),
            ("pool_retries_refused", "Retries beyond the budget", by_pool(|pool| pool.retries_refused)),
            ("hub_moderated", "What moderators have done", by_hub(|hub| &hub.moderated, "action")),
            ("backend_ejections", "Times a backend was ejected", by_backend(|backend| Some(backend.ejections))),
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
        let filters = hubs.iter().filter_map(|hub| Some((&*hub.route, Arc::clone(hub.filter.as_ref()?))));
        filter::encode(&filters.collect::<Vec<_>>(), &mut encoder)
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

    #[test]
    fn pools_are_asked_at_each_scrape() {
        use std::sync::Mutex;
        let backend = BackendFacts { backend: "ws://h".into(), open: 3, cap: Some(9), usable: true, ejections: 2 };
        let free = BackendFacts { backend: "ws://i".into(), cap: None, usable: false, ..backend.clone() };
        let (waiting, refused, retries, retries_refused) = (1, 2, 3, 4);
        let pool = "php".to_owned();
        let facts = PoolFacts { pool, waiting, refused, retries, retries_refused, backends: vec![backend, free] };
        let pools = std::sync::Arc::new(Mutex::new(vec![facts]));
        let seen = std::sync::Arc::clone(&pools);
        let metrics =
            Metrics::with_facts(move || Facts { pools: seen.lock().expect("facts").clone(), hubs: Vec::new() });
        let text = metrics.text();
        for line in [
            "wsgate_pool_waiting{pool=\"php\"} 1",
            "wsgate_pool_refused_total{pool=\"php\"} 2",
            "wsgate_pool_retries_total{pool=\"php\"} 3",
            "wsgate_pool_retries_refused_total{pool=\"php\"} 4",
            "wsgate_backend_connections{pool=\"php\",backend=\"ws://h\"} 3",
            "wsgate_backend_connections_max{pool=\"php\",backend=\"ws://h\"} 9",
            "wsgate_backend_usable{pool=\"php\",backend=\"ws://h\"} 1",
            "wsgate_backend_usable{pool=\"php\",backend=\"ws://i\"} 0",
            "wsgate_backend_ejections_total{pool=\"php\",backend=\"ws://h\"} 2",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(!text.contains("connections_max{pool=\"php\",backend=\"ws://i\"}"), "{text}");
        pools.lock().expect("facts").clear();
        assert!(!metrics.text().contains("php"));
    }
}
