//! How much anyone may do, and the figures that hold where the owner named none.

use std::num::NonZeroU32;
use std::time::Duration;

/// Limits of the gateway as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Open WebSockets in all.
    pub connections: usize,
    /// TCP connections that have not become a WebSocket yet (TLS, request head, plain HTTP).
    pub pending: usize,
    /// The same, from one address; trusted proxies are exempt.
    pub pending_per_address: usize,
    /// Bytes of one request head; more is answered 431.
    pub request_head: usize,
    /// By client address, unless a route has its own.
    pub address: AddressLimits,
}

/// Caps by client address (an IPv4 address, or an IPv6 /64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Open WebSockets, counted until each ends.
    pub connections: usize,
    /// Upgrade requests; `None` is no limit.
    pub handshakes: Option<Rate>,
}

/// So many in so much time, as a token bucket with a burst of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens in `per`; also the burst.
    pub count: NonZeroU32,
    /// The time in which `count` tokens come back.
    pub per: Duration,
}

/// What one WebSocket may do; every route has a complete set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Bytes of one message from the client, reassembled; 1009 beyond.
    pub message_size: usize,
    /// Data messages from the client; 1008 beyond. `None` is no limit.
    pub messages: Option<Rate>,
    /// Neither side sent a data frame for this long: closed with 1001. `None` is no limit.
    pub idle_timeout: Option<Duration>,
    /// The gateway's own pings to the client; two unanswered in a row end the session. `None`: no pings.
    pub ping_interval: Option<Duration>,
    /// Closed with 1001 at this age. `None` is no limit.
    pub max_lifetime: Option<Duration>,
    /// How long a peer has to answer a Close frame, and a refused frame to be flushed, before the socket is cut.
    pub close_timeout: Duration,
    /// Bytes that one slow client may make the gateway hold.
    pub send_queue: usize,
    /// What becomes of a client that holds more.
    pub slow_client: SlowClient,
    /// Whether text is checked to be UTF-8, in both directions.
    pub utf8: bool,
    /// Closed with 4401 at this age, when the credentials that it was opened with are over. Never configured: a session
    /// with such credentials has limits of its own.
    pub credentials: Option<Duration>,
}

/// What becomes of a client that does not take what is sent to it, where others are not to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowClient {
    /// It is told to go, with 1013.
    Close,
    /// The oldest messages that wait make room for new ones.
    DropOldest,
    /// A message that has to wait takes the place of all that wait.
    Latest,
}

/// What a connection costs while idle, times these, fits a small machine; `config/gateway.toml` argues each figure.
impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            connections: 50_000,
            pending: 4096,
            pending_per_address: 1024,
            request_head: 16 << 10,
            address: AddressLimits {
                connections: 100,
                handshakes: NonZeroU32::new(50).map(|count| Rate { count, per: Duration::from_secs(1) }),
            },
        }
    }
}

/// The figures of `[limits]` that a route may set for itself.
impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            message_size: 1 << 20,
            messages: None,
            idle_timeout: None,
            ping_interval: Some(Duration::from_secs(30)),
            max_lifetime: None,
            close_timeout: Duration::from_secs(5),
            send_queue: 256 << 10,
            slow_client: SlowClient::Close,
            utf8: true,
            credentials: None,
        }
    }
}
