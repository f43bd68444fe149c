//! What one open WebSocket tells of itself when it is asked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::metrics::Route;

/// An open WebSocket, as it was when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Unlike that of any other session of this process.
    pub number: u64,
    /// Where it leads.
    pub route: Arc<Route>,
    /// The client's address; none where it came by a unix socket and nobody said better.
    pub address: Option<IpAddr>,
    /// The Host that was asked for.
    pub host: Box<str>,
    /// `TLSv1.2`, `TLSv1.3` or `-`.
    pub tls: &'static str,
    /// Since its 101.
    pub age: Duration,
    /// The backend's name; empty where there is none.
    pub backend: String,
    /// Data frames from the client and to it.
    pub frames: (u64, u64),
    /// Their payload.
    pub bytes: (u64, u64),
    /// How it stands now.
    pub state: State,
    /// How long its client took to answer the last ping that it has answered.
    pub round_trip: Option<Duration>,
}

/// How a session stands at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Bytes that wait for its client.
    pub queued: usize,
    /// Since the last data frame, either way: to some milliseconds.
    pub idle: Duration,
    /// A Close has been sent or has come.
    pub is_ending: bool,
    /// It waits for its backend to come back.
    pub is_held: bool,
}

#[cfg(test)]
impl Report {
    /// For tests of those who pass it on.
    pub(crate) fn of_nobody() -> Self {
        Self {
            number: 0,
            route: Arc::new(Route { route: String::new() }),
            address: None,
            host: "".into(),
            tls: "-",
            age: Duration::ZERO,
            backend: String::new(),
            frames: (0, 0),
            bytes: (0, 0),
            state: State::default(),
            round_trip: None,
        }
    }
}
