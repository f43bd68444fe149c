//! A pool of backends as the owner wishes it: who is in it, who is chosen, how many may come, and who is left alone.

use std::path::PathBuf;
use std::time::Duration;

/// Backends that can stand in for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// In the file's order; at least one that is not a backup.
    pub backends: Vec<Backend>,
    /// How one is chosen.
    pub balance: Balance,
    /// What [`Balance::Hash`] looks at.
    pub hash: HashBy,
    /// Open connections to each backend, at least 1; `None`: what the profile says ([`super::Profile`]).
    pub connections_per_backend: Option<usize>,
    /// Clients that may wait for a place while all backends are full; 0: nobody waits.
    pub queue: usize,
    /// How long one may wait there.
    pub queue_timeout: Duration,
    /// Upgrades in flight to each backend, at least 1; `None`: what the profile says (4 for servers written by hand, else no limit).
    pub handshakes_at_once: Option<usize>,
    /// TCP (and TLS) connect to one backend.
    pub connect_timeout: Duration,
    /// From the upgrade request to the backend's answer; 504 beyond.
    pub answer_timeout: Duration,
    /// Where backends see a client's connection come from; `None`: what the profile says (spread for servers written by hand, else off).
    pub source_address: Option<SourceAddress>,
    /// What is said of the client before everything else.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Further backends that one request may be tried on.
    pub retries: usize,
    /// Retries of the whole pool, in percent of its requests.
    pub retry_budget: usize,
    /// When a backend that fails is left alone.
    pub ejection: Ejection,
    /// The time in which a backend that has come back gets to its full share; 0: at once.
    pub slow_start: Duration,
    /// How backends are looked at while nobody asks for them.
    pub health: Health,
    /// PEM file of the CAs that `wss://` backends are checked against; absent: the public (webpki) roots.
    pub ca: Option<PathBuf>,
}

/// Where a backend sees its clients come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    /// All from the gateway's own address.
    Off,
    /// Each client from an address of its own in 127.0.0.0/8, always the same, where the backend is on loopback.
    Spread,
    /// Each client from its true address (`IP_TRANSPARENT`): needs CAP_NET_ADMIN, and routes that bring answers back.
    Transparent,
}

impl SourceAddress {
    /// All, by their names in a configuration.
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("off", Self::Off), ("spread", Self::Spread), ("transparent", Self::Transparent)];
}

/// A version of the PROXY protocol (HAProxy's `proxy-protocol.txt`), towards a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// The line of text.
    V1,
    /// The binary header.
    V2,
}

/// When a backend that fails is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row; 0: never.
    pub after: usize,
    /// The first time; doubled each time that the backend fails again on its return.
    pub time: Duration,
    /// The longest time.
    pub max: Duration,
    /// Whether the last backend that is left may be ejected too.
    pub last: bool,
}

/// How backends are looked at while nobody asks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is tried.
    pub check: Check,
    /// From the beginning of one check to the next.
    pub interval: Duration,
    /// For the whole of one check.
    pub timeout: Duration,
    /// Good checks in a row that bring a backend back, at least 1.
    pub rise: usize,
    /// Bad checks in a row that take it out, at least 1.
    pub fall: usize,
    /// Path and query of a check's upgrade request.
    pub path: String,
    /// Whether a check pings the upgraded backend; `None`: what the profile says (for servers written by hand no, else yes).
    pub ping: Option<bool>,
}

/// What a health check tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    Off,
    /// A connection, TLS included.
    Tcp,
    /// A WebSocket.
    Handshake,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backend {
    /// As the owner wrote it; how logs name it.
    pub url: String,
    /// How it is reached.
    pub transport: Transport,
    /// Its share beside the others, 1 to 100.
    pub weight: u32,
    /// Whether it is only used when no other can be.
    pub backup: bool,
}

/// How a backend is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Plain TCP: host (a name or an address without brackets) and port.
    Ws(String, u16),
    /// TLS over TCP; the host is also the name to check.
    Wss(String, u16),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest open connections.
    LeastConnections,
    /// Of two taken at random, the one with fewer open connections.
    RandomTwo,
    /// The same client always to the same one.
    Hash,
}

/// What makes two clients the same for [`Balance::Hash`]; who has no such header or cookie is known by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// An IPv4 address or an IPv6 /64.
    Address,
    /// The value of this header.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}
