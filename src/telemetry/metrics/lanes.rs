//! What is told of open WebSockets by route: how they stand, how large their messages are, how soon they answer pings.

use std::cell::Cell;
use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::shown::{show, show_in};
use super::sizes::{SizeHistogram, Sizes};
use super::{Labels, Route};

/// Seconds: from the same machine to a train in a tunnel.
const BUCKETS: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How a connection stands whose route is known: exactly one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It is not there, or not any more.
    #[default]
    Gone,
    /// Its request is judged.
    Opening,
    /// It waits for a place at a backend.
    Waiting,
    /// Its backend is connected to, and asked.
    Dialling,
    /// It is a WebSocket, and well.
    Open,
    /// Its backend has died, and another one is waited for.
    Held,
    /// A Close is under way.
    Ending,
}

impl Stand {
    const WORDS: [&str; 7] = ["", "opening", "waiting", "dialling", "open", "held", "ending"];
}

/// What all workers add to, by route.
#[derive(Clone, Debug)]
pub(crate) struct ByRoute {
    stands: Family<Labels, Gauge>,
    sizes: Family<Labels, SizeHistogram>,
    pings: Family<Labels, Histogram, fn() -> Histogram>,
}

impl Default for ByRoute {
    fn default() -> Self {
        let pings = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        Self { stands: Family::default(), sizes: Family::default(), pings }
    }
}

/// What is told of one route; of none, in what nobody is shown.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    open: Gauge,
    held: Gauge,
    ending: Gauge,
    from_client: SizeHistogram,
    to_client: SizeHistogram,
    pings: Histogram,
}

impl Default for Lanes {
    fn default() -> Self {
        let (open, held, ending) = Default::default();
        let (from_client, to_client) = Default::default();
        Self { open, held, ending, from_client, to_client, pings: Histogram::new(BUCKETS) }
    }
}

/// A connection on its way to be a WebSocket, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Opening {
    stands: Family<Labels, Gauge>,
    route: String,
    now: Cell<Stand>,
}

impl ByRoute {
    pub(super) fn of(&self, route: &Route) -> Lanes {
        let route = &*route.route;
        let stand = |stand| self.stands.get_or_create_owned(&with(route, ("state", word(stand))));
        let sizes = |way| self.sizes.get_or_create_owned(&with(route, ("direction", way)));
        Lanes {
            open: stand(Stand::Open),
            held: stand(Stand::Held),
            ending: stand(Stand::Ending),
            from_client: sizes("in"),
            to_client: sizes("out"),
            pings: self.pings.get_or_create_owned(&super::label("route", route)),
        }
    }

    pub(super) fn opening(&self, route: &Route) -> Opening {
        let opening = Opening { stands: self.stands.clone(), route: route.route.clone(), now: Cell::default() };
        opening.step(Stand::Opening);
        opening
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Connections whose route is known, each in one state";
        show(registry, "route_connections", help, &self.stands);
        let told = ("message_size", "Messages by size, whole and without their heads");
        show_in(registry, Unit::Bytes, told, &self.sizes);
        let told = ("ping_round_trip", "From a ping of the gateway's own to the client's pong");
        show_in(registry, Unit::Seconds, told, &self.pings);
    }
}

impl Lanes {
    /// A session that stood so stands so now.
    pub(crate) fn step(&self, before: Stand, now: Stand) {
        if before == now {
            return;
        }
        self.gauge(before).map(Gauge::dec);
        self.gauge(now).map(Gauge::inc);
    }

    const fn gauge(&self, stand: Stand) -> Option<&Gauge> {
        match stand {
            Stand::Open => Some(&self.open),
            Stand::Held => Some(&self.held),
            Stand::Ending => Some(&self.ending),
            Stand::Gone | Stand::Opening | Stand::Waiting | Stand::Dialling => None,
        }
    }

    /// Adds messages that came from clients, and those that went to them.
    pub(crate) fn add(&self, from_client: &Sizes, to_client: &Sizes) {
        self.from_client.take(from_client);
        self.to_client.take(to_client);
    }

    /// A client has answered a ping after so long.
    pub(crate) fn answered(&self, time: Duration) {
        self.pings.observe(time.as_secs_f64());
    }
}

impl Opening {
    /// It stands so now.
    pub(crate) fn step(&self, now: Stand) {
        let gauge = |stand| self.stands.get_or_create_owned(&with(&self.route, ("state", word(stand))));
        let before = self.now.replace(now);
        if before != Stand::Gone {
            gauge(before).dec();
        }
        if now != Stand::Gone {
            gauge(now).inc();
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.step(Stand::Gone);
    }
}

const fn word(stand: Stand) -> &'static str {
    Stand::WORDS[stand as usize]
}

fn with(route: &str, (name, value): (&'static str, &str)) -> Labels {
    vec![("route", route.to_owned()), (name, value.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn what_is_told_by_route() {
        let metrics = Metrics::default();
        let route = Route { route: "/chat".to_owned() };
        let has = |lines: &[&str]| {
            let text = metrics.text();
            lines.iter().for_each(|line| assert!(text.lines().any(|have| have == *line), "{line}\n{text}"));
        };
        let opening = metrics.traffic.opening(&route);
        opening.step(Stand::Waiting);
        has(&[
            "wsgate_route_connections{route=\"/chat\",state=\"opening\"} 0",
            "wsgate_route_connections{route=\"/chat\",state=\"waiting\"} 1",
        ]);
        drop(opening);
        let (lanes, sizes) = (metrics.traffic.lanes(&route), Sizes::default());
        lanes.step(Stand::Gone, Stand::Open);
        lanes.step(Stand::Open, Stand::Held);
        sizes.note(17);
        sizes.note(100);
        lanes.add(&sizes, &Sizes::default());
        lanes.answered(Duration::from_millis(30));
        has(&[
            "wsgate_route_connections{route=\"/chat\",state=\"waiting\"} 0",
            "wsgate_route_connections{route=\"/chat\",state=\"open\"} 0",
            "wsgate_route_connections{route=\"/chat\",state=\"held\"} 1",
            "wsgate_message_size_bytes_bucket{le=\"16.0\",route=\"/chat\",direction=\"in\"} 0",
            "wsgate_message_size_bytes_bucket{le=\"64.0\",route=\"/chat\",direction=\"in\"} 1",
            "wsgate_message_size_bytes_bucket{le=\"+Inf\",route=\"/chat\",direction=\"in\"} 2",
            "wsgate_message_size_bytes_sum{route=\"/chat\",direction=\"in\"} 117.0",
            "wsgate_message_size_bytes_count{route=\"/chat\",direction=\"out\"} 0",
            "wsgate_ping_round_trip_seconds_bucket{le=\"0.025\",route=\"/chat\"} 0",
            "wsgate_ping_round_trip_seconds_bucket{le=\"0.05\",route=\"/chat\"} 1",
        ]);
    }
}
