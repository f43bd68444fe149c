//! What is shown, worked out from what was seen: one value for the screen and for the snapshot alike.

use std::time::Duration;

use super::desk::{Backend, Pool};
use super::history::{History, Latency, Line};
use super::plain::Plain;
use super::watch::{Desk, Sample};

/// All figures of a moment, the lists in the order in which they are shown.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) version: Plain,
    pub(crate) phase: Plain,
    pub(crate) uptime: Option<Duration>,
    pub(crate) open: f64,
    pub(crate) pending: f64,
    pub(crate) messages: Ways,
    pub(crate) bytes: Ways,
    pub(crate) opened: Counted,
    pub(crate) refused: Counted,
    pub(crate) routes: Vec<Route>,
    /// Refusals of requests, handshakes and connections, by reason.
    pub(crate) refusals: Vec<(String, Counted)>,
    /// WebSockets that have ended, by code and by who ended them.
    pub(crate) closes: Vec<(String, Counted)>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) backends: Vec<Stand>,
    pub(crate) own: Own,
}

/// A counter, and how much it grows in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) total: f64,
    pub(crate) rate: Option<f64>,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ways {
    pub(crate) into: Option<f64>,
    pub(crate) out: Option<f64>,
}

/// A route and its WebSockets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) name: Plain,
    pub(crate) open: f64,
    pub(crate) opened: Counted,
    /// Rooms and members, where it is a hub.
    pub(crate) hub: Option<(f64, f64)>,
}

/// How a backend stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stand {
    pub(crate) pool: Plain,
    pub(crate) name: Plain,
    pub(crate) is_usable: bool,
    pub(crate) state: String,
    pub(crate) open: f64,
    pub(crate) most: Option<f64>,
    /// All that the desk tells, where it does.
    pub(crate) whole: Option<(Pool, Backend)>,
}

/// The process itself.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) descriptors: Option<(f64, f64)>,
    pub(crate) memory: Option<f64>,
    /// Processors in use.
    pub(crate) cpu: Option<f64>,
    /// Bytes that wait for clients.
    pub(crate) queued: f64,
    pub(crate) held: f64,
    pub(crate) panics: f64,
    pub(crate) lost_lines: f64,
    /// Each with the seconds until its end, the first to end first.
    pub(crate) certificates: Vec<(Plain, f64)>,
    /// Whether Redis is there, where there is to be one.
    pub(crate) cluster: Option<bool>,
    /// WebSockets that a drain of the gateway has still to tell.
    pub(crate) draining: f64,
}

impl Figures {
    /// Those of this moment, which `history` has taken in already.
    #[must_use]
    pub(crate) fn of(sample: &Sample, history: &History) -> Self {
        let scrape = &sample.scrape;
        let started = scrape.value("process_start_time_seconds");
        let counted = |name, line| Counted { total: scrape.total(name), rate: history.rate(line) };
        let ways = |into, out| Ways { into: history.rate(into), out: history.rate(out) };
        let version = scrape.by("wsgate_build_info", ["version"]).into_keys().next();
        Self {
            version: version.map(|[version]| version).unwrap_or_default(),
            phase: sample.phase.clone(),
            uptime: started.and_then(|started| Duration::try_from_secs_f64(sample.time - started).ok()),
            open: scrape.total("wsgate_websockets_open"),
            pending: scrape.total("wsgate_tcp_connections_pending"),
            messages: ways(Line::MessagesIn, Line::MessagesOut),
            bytes: ways(Line::BytesIn, Line::BytesOut),
            opened: counted("wsgate_websockets_opened_total", Line::Opened),
            refused: counted("wsgate_requests_refused_total", Line::Refused),
            routes: routes(sample, history),
            refusals: refusals(history),
            closes: closes(history),
            latencies: history.latencies(),
            backends: backends(sample),
            own: Own::of(sample, history),
        }
    }
}

impl Own {
    fn of(sample: &Sample, history: &History) -> Self {
        let scrape = &sample.scrape;
        let open = scrape.value("process_open_fds");
        let ends = scrape.by("wsgate_certificate_expiry_timestamp_seconds", ["name"]);
        let mut certificates: Vec<(Plain, f64)> =
            ends.into_iter().map(|([name], end)| (name, end - sample.time)).collect();
        certificates.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let states = scrape.by("wsgate_websockets_in_state", ["state"]);
        Self {
            descriptors: open.zip(scrape.value("process_max_fds")),
            memory: scrape.value("process_resident_memory_bytes"),
            cpu: history.rate_of(|scrape| scrape.total("process_cpu_seconds_total")),
            queued: scrape.total("wsgate_send_queue_bytes"),
            held: states.get(&[Plain::of("held")]).copied().unwrap_or_default(),
            panics: scrape.total("wsgate_panics_total"),
            lost_lines: scrape.total("wsgate_log_lines_lost_total"),
            certificates,
            cluster: scrape.value("wsgate_cluster_up").map(|up| up > 0.0),
            draining: scrape.total("wsgate_drain_websockets"),
        }
    }
}

/// The fullest first.
fn routes(sample: &Sample, history: &History) -> Vec<Route> {
    let scrape = &sample.scrape;
    let opened = history.counters("wsgate_websockets_opened_total", ["route"]);
    let open = scrape.by("wsgate_websockets_open", ["route"]);
    let (rooms, members) = (scrape.by("wsgate_hub_rooms", ["route"]), scrape.by("wsgate_hub_members", ["route"]));
    let mut names: Vec<&[Plain; 1]> = open.keys().chain(opened.keys()).chain(rooms.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let route = |key: &[Plain; 1]| {
        let (total, rate) = opened.get(key).copied().unwrap_or_default();
        let hub = rooms.get(key).map(|rooms| (*rooms, members.get(key).copied().unwrap_or_default()));
        let open = open.get(key).copied().unwrap_or_default();
        Route { name: key[0].clone(), open, opened: Counted { total, rate }, hub }
    };
    let mut routes: Vec<Route> = names.into_iter().map(route).collect();
    routes.sort_by(|one, other| other.open.total_cmp(&one.open));
    routes
}

/// What happens now first, then what has happened most.
fn refusals(history: &History) -> Vec<(String, Counted)> {
    let kinds = [
        ("wsgate_requests_refused_total", ""),
        ("wsgate_tls_handshake_failures_total", "tls "),
        ("wsgate_door_closed_total", "door "),
    ];
    let mut found = Vec::new();
    for (name, before) in kinds {
        let counters = history.counters(name, ["reason"]);
        found.extend(counters.into_iter().map(|([reason], counted)| (format!("{before}{reason}"), counted)));
    }
    by_weight(found)
}

fn closes(history: &History) -> Vec<(String, Counted)> {
    let counters = history.counters("wsgate_websockets_ended_total", ["code", "by"]);
    by_weight(counters.into_iter().map(|([code, by], counted)| (format!("{code} {by}"), counted)).collect())
}

fn by_weight(counters: Vec<(String, (f64, Option<f64>))>) -> Vec<(String, Counted)> {
    let mut counted: Vec<(String, Counted)> = counters
        .into_iter()
        .filter(|(_, (total, _))| *total > 0.0)
        .map(|(name, (total, rate))| (name, Counted { total, rate }))
        .collect();
    let weight = |counted: &Counted| (counted.rate.unwrap_or_default(), counted.total);
    counted.sort_by(|(_, one), (_, other)| {
        let ((rate, total), (other_rate, other_total)) = (weight(one), weight(other));
        other_rate.total_cmp(&rate).then(other_total.total_cmp(&total))
    });
    counted
}

/// From the desk, which knows more, else from the metrics; in the order of the configuration.
fn backends(sample: &Sample) -> Vec<Stand> {
    if let Desk::Open { pools, .. } = &sample.desk {
        let all = pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
        return all
            .map(|(pool, backend)| Stand {
                pool: pool.pool.shown(),
                name: backend.backend.shown(),
                is_usable: backend.usable && !backend.drained,
                state: backend.state(),
                open: backend.open as f64,
                most: backend.max.map(|most| most as f64),
                whole: Some((Pool { backends: Vec::new(), ..pool.clone() }, backend.clone())),
            })
            .collect();
    }
    let labels = ["pool", "backend"];
    let (open, most) = ("wsgate_backend_connections", "wsgate_backend_connections_max");
    let (open, most) = (sample.scrape.by(open, labels), sample.scrape.by(most, labels));
    let usable = sample.scrape.by("wsgate_backend_usable", labels).into_iter();
    usable
        .map(|(key, usable)| Stand {
            is_usable: usable > 0.0,
            state: if usable > 0.0 { "usable" } else { "not usable" }.to_owned(),
            open: open.get(&key).copied().unwrap_or_default(),
            most: most.get(&key).copied(),
            pool: key[0].clone(),
            name: key[1].clone(),
            whole: None,
        })
        .collect()
}
