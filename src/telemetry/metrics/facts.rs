//! What there is to tell of pools, hubs and certificates, asked at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::{DialTally, FilterTally, Labels, dials, filter, label};

/// What there is to tell now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Of each pool.
    pub pools: Vec<PoolFacts>,
    /// Of each hub.
    pub hubs: Vec<HubFacts>,
    /// The first name of each certificate that is served, and when it ends: seconds since 1970.
    pub certificates: BTreeMap<String, u64>,
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
    /// Rooms at the moment.
    pub rooms: usize,
    /// Members in them; who is in two rooms counts twice.
    pub members: usize,
}

/// What there is to tell of one pool now.
#[derive(Clone, Debug)]
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
    /// How connecting to its backends went.
    pub dials: Arc<DialTally>,
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
pub(super) struct Found<F>(pub(super) F);

impl<F> fmt::Debug for Found<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Found")
    }
}

impl<F: Fn() -> Facts + Send + Sync + 'static> Collector for Found<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Facts { pools, hubs, certificates } = self.0();
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
        let by_route = |number: fn(&HubFacts) -> usize| -> Vec<(Labels, u64)> {
            hubs.iter().map(|hub| (label("route", &*hub.route), number(hub) as u64)).collect()
        };
        let gauges = [
            ("hub_rooms", "Rooms of a hub", by_route(|hub| hub.rooms)),
            ("hub_members", "Members in the rooms of a hub", by_route(|hub| hub.members)),
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
        encode_all(&mut encoder, MetricType::Gauge, gauges)?;
        encode_all(&mut encoder, MetricType::Counter, counters)?;
        encode_certificates(&mut encoder, certificates)?;
        let dials = pools.iter().map(|pool| (&*pool.pool, &*pool.dials));
        dials::encode(&dials.collect::<Vec<_>>(), &mut encoder)?;
        let filters = hubs.iter().filter_map(|hub| Some((&*hub.route, Arc::clone(hub.filter.as_ref()?))));
        filter::encode(&filters.collect::<Vec<_>>(), &mut encoder)
    }
}

fn encode_certificates(encoder: &mut DescriptorEncoder<'_>, certificates: BTreeMap<String, u64>) -> fmt::Result {
    let (help, unit) = ("When a certificate ends, by its first name: seconds since 1970", Unit::Seconds);
    let mut family = encoder.encode_descriptor("certificate_expiry_timestamp", help, Some(&unit), MetricType::Gauge)?;
    for (name, end) in certificates {
        family.encode_family(&label("name", name))?.encode_gauge(&end)?;
    }
    Ok(())
}

/// A name, a help, and values by their labels.
type Family<'a> = (&'a str, &'a str, Vec<(Labels, u64)>);

/// Families without a unit.
fn encode_all<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    families: [Family<'_>; N],
) -> fmt::Result {
    for (name, help, values) in families {
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            let mut one = family.encode_family(&labels)?;
            match kind {
                MetricType::Counter => one.encode_counter::<Labels, _, u64>(&value, None)?,
                _ => one.encode_gauge(&value)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn certificates_are_told_by_their_first_name() {
        let certificates = BTreeMap::from([("a.example".to_owned(), 4_102_444_800)]);
        let facts = Facts { certificates, ..Facts::default() };
        let text = Metrics::with_facts(move || facts.clone()).text();
        let line = "wsgate_certificate_expiry_timestamp_seconds{name=\"a.example\"} 4102444800";
        assert!(text.lines().any(|have| have == line), "{text}");
    }

    #[test]
    fn pools_are_asked_at_each_scrape() {
        use std::sync::Mutex;
        let backend = BackendFacts { backend: "ws://h".into(), open: 3, cap: Some(9), usable: true, ejections: 2 };
        let free = BackendFacts { backend: "ws://i".into(), cap: None, usable: false, ..backend.clone() };
        let (waiting, refused, retries, retries_refused) = (1, 2, 3, 4);
        let pool = "php".to_owned();
        let (dials, backends) = (Arc::default(), vec![backend, free]);
        let facts = PoolFacts { pool, waiting, refused, retries, retries_refused, dials, backends };
        let pools = std::sync::Arc::new(Mutex::new(vec![facts]));
        let seen = std::sync::Arc::clone(&pools);
        let metrics =
            Metrics::with_facts(move || Facts { pools: seen.lock().expect("facts").clone(), ..Facts::default() });
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
