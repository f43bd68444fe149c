//! What passes in WebSockets while they are open, and how many of them are in which state.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::lanes::{ByRoute, Lanes, Opening, Stand};
use super::shown::show;
use super::{Labels, Route, label};
use crate::telemetry::report::State;

/// How an open WebSocket may be, besides well.
const STATES: [&str; 3] = ["queued", "ending", "held"];

/// What all sessions of all workers add to, each the difference to what it told before.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// From clients, and to them.
    frames: Both,
    bytes: Both,
    /// In the order of [`STATES`].
    states: [Gauge; STATES.len()],
    by_state: Family<Labels, Gauge>,
    queued: Gauge,
    pings: Counter,
    unanswered: Counter,
    dropped: Counter,
    by_route: ByRoute,
}

/// One family with its two members at hand.
#[derive(Clone, Debug)]
struct Both {
    family: Family<Labels, Counter>,
    ways: [Counter; 2],
}

impl Default for Both {
    fn default() -> Self {
        let family = Family::<Labels, Counter>::default();
        let ways = ["in", "out"].map(|way| family.get_or_create_owned(&label("direction", way)));
        Self { family, ways }
    }
}

impl Default for Traffic {
    fn default() -> Self {
        let by_state = Family::<Labels, Gauge>::default();
        Self {
            frames: Both::default(),
            bytes: Both::default(),
            states: STATES.map(|state| by_state.get_or_create_owned(&label("state", state))),
            by_state,
            queued: Gauge::default(),
            pings: Counter::default(),
            unanswered: Counter::default(),
            dropped: Counter::default(),
            by_route: ByRoute::default(),
        }
    }
}

/// What one session has told so far. There is one for each, so it is small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    bytes: [u64; 2],
    /// They may come round: the difference is what counts.
    frames: [u32; 2],
    queued: u32,
    states: [bool; STATES.len()],
    stand: Stand,
}

impl Told {
    /// Frames and payload, from the client and to it; and how it stands.
    #[must_use]
    pub(crate) fn new((frames, bytes): ((u64, u64), (u64, u64)), state: State) -> Self {
        Self {
            bytes: [bytes.0, bytes.1],
            frames: [frames.0 as u32, frames.1 as u32],
            queued: u32::try_from(state.queued).unwrap_or(u32::MAX),
            states: [state.queued > 0, state.is_ending, state.is_held],
            stand: match state {
                State { is_ending: true, .. } => Stand::Ending,
                State { is_held: true, .. } => Stand::Held,
                State { .. } => Stand::Open,
            },
        }
    }

    /// How it stands.
    #[must_use]
    pub(crate) const fn stand(self) -> Stand {
        self.stand
    }

    /// The same of one that is open no more.
    #[must_use]
    pub(crate) const fn gone(self) -> Self {
        Self { queued: 0, states: [false; STATES.len()], stand: Stand::Gone, ..self }
    }
}

impl Traffic {
    /// What is told of this route.
    #[must_use]
    pub(crate) fn lanes(&self, route: &Route) -> Lanes {
        self.by_route.of(route)
    }

    /// Somebody wants to come in on this route.
    #[must_use]
    pub(crate) fn opening(&self, route: &Route) -> Opening {
        self.by_route.opening(route)
    }

    /// Adds what is new since `before`.
    pub(crate) fn add(&self, before: Told, now: Told) {
        for way in 0..2 {
            self.bytes.ways[way].inc_by(now.bytes[way].saturating_sub(before.bytes[way]));
            self.frames.ways[way].inc_by(now.frames[way].wrapping_sub(before.frames[way]).into());
        }
        self.queued.inc_by(i64::from(now.queued) - i64::from(before.queued));
        for (at, gauge) in self.states.iter().enumerate() {
            gauge.inc_by(i64::from(now.states[at]) - i64::from(before.states[at]));
        }
    }

    /// A client was sent a ping of the gateway's own.
    pub(crate) fn ping(&self) {
        self.pings.inc();
    }

    /// A client has answered none for two intervals, and is given up.
    pub(crate) fn unanswered(&self) {
        self.unanswered.inc();
    }

    /// Messages of a hub that a slow client does not get.
    pub(crate) fn dropped(&self, messages: u64) {
        self.dropped.inc_by(messages);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        show(registry, "data_frames", "Data frames, by direction", &self.frames.family);
        let help = "Payload of data frames, by direction";
        registry.register_with_unit("data", help, Unit::Bytes, self.bytes.family.clone());
        let help = "Open WebSockets for whose client something waits, that close, or whose backend is waited for";
        show(registry, "websockets_in_state", help, &self.by_state);
        registry.register_with_unit("send_queue", "What waits for clients", Unit::Bytes, self.queued.clone());
        registry.register("pings_sent", "Pings that clients were sent", self.pings.clone());
        let help = "Clients that answered no ping for two intervals and were given up";
        registry.register("pings_unanswered", help, self.unanswered.clone());
        let help = "Messages of hubs that slow clients did not get";
        registry.register("hub_messages_dropped", help, self.dropped.clone());
        self.by_route.register(registry);
    }
}
