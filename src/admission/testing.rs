//! Configurations and requests for the tests of this room.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::Arrival;
use crate::config::{
    AddressLimits, BackendHead, Config, GatewayLimits, Hub, Listen, Log, LogFormat, Origins, Pages, Profile, Proxy,
    Rate, Refuse, Route, SessionLimits, Target,
};

/// Only one in this test ever comes back within its time.
pub(super) fn hourly(count: u32) -> Option<Rate> {
    NonZeroU32::new(count).map(|count| Rate { count, per: Duration::from_secs(3600) })
}

pub(super) fn route(path: &str, target: Target) -> Route {
    Route {
        path: path.to_owned(),
        host: None,
        origins: Origins::SameHost,
        require_origin: false,
        refuse: Refuse::Http,
        connections: None,
        address: None,
        auth: None,
        limits: SessionLimits {
            message_size: 1 << 20,
            messages: None,
            idle_timeout: None,
            ping_interval: None,
            max_lifetime: None,
            credentials: None,
            close_timeout: Duration::from_secs(5),
            send_queue: 1 << 18,
            slow_client: crate::config::SlowClient::Close,
            utf8: true,
        },
        target,
        client_certificate: false,
        pages: None,
    }
}

/// Ordinary HTTP that is passed on.
pub(super) fn pages() -> Pages {
    Pages {
        pool: "web".to_owned(),
        strip_prefix: None,
        at_once: 1,
        body: 1024,
        body_timeout: Duration::from_secs(1),
        answer_timeout: Duration::from_secs(1),
        answer_head: 8192,
        idle_connections: 1,
    }
}

pub(super) fn hub(page: bool) -> Target {
    Target::Hub(Hub { page, ..Hub::default() })
}

/// Routes: 0 `/` leads to `/chat`, 1 `/chat` with its page, 2 `/echo`, 3 `/ws` to a pool, 4 `/quiet`, a hub without page.
pub(super) fn config() -> Config {
    let head = BackendHead::of(Profile::Legacy);
    let proxy =
        Target::Proxy(Proxy { pool: "php".to_owned(), profile: Profile::Legacy, head, legacy: None, hold: None });
    Config {
        to_https: None,
        listen: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), Listen::Unix(PathBuf::from("x"))],
        workers: 1,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        handshake_timeout: Duration::from_secs(10),
        drain_timeout: Duration::from_secs(30),
        drain_pace: None,
        upgrade_timeout: Duration::from_secs(30),
        tls: None,
        admin: None,
        limits: GatewayLimits {
            connections: 100,
            pending: 100,
            pending_per_address: 100,
            request_head: 16384,
            address: AddressLimits { connections: 100, handshakes: None },
        },
        routes: vec![
            route("/", Target::Redirect("/chat".to_owned())),
            route("/chat", hub(true)),
            route("/echo", Target::Echo),
            route("/ws", proxy),
            route("/quiet", hub(false)),
        ],
        pools: BTreeMap::new(),
        cluster: None,
        log: Log { format: LogFormat::Text, level: "info".to_owned(), buffer: 1 },
    }
}

/// A request that can be bent before it is looked at.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) peer: IpAddr,
    pub(super) proxied: bool,
    pub(super) secure: bool,
    pub(super) certified: bool,
}

impl Asked {
    /// A plain GET of `example.com` over TLS.
    pub(super) fn plain(path: &str) -> Self {
        let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("example.com"))]);
        let peer = IpAddr::from([192, 0, 2, 1]);
        Self {
            method: Method::GET,
            version: Version::HTTP_11,
            uri: path.parse().unwrap(),
            headers,
            peer,
            proxied: false,
            secure: true,
            certified: false,
        }
    }

    /// A sound upgrade request from a page of `example.com`.
    pub(super) fn upgrade(path: &str) -> Self {
        Self::plain(path)
            .with("upgrade", "websocket")
            .with("connection", "keep-alive, Upgrade")
            .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .with("sec-websocket-version", "13")
            .with("origin", "https://example.com")
    }

    /// The header with this value alone.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    /// One more line of the header.
    pub(super) fn and(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(super) fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(super) fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub(super) fn arrival(&self) -> Arrival<'_> {
        let Self { method, version, uri, headers, peer, proxied, secure, certified } = self;
        Arrival {
            method,
            version: *version,
            uri,
            headers,
            peer: *peer,
            proxied: *proxied,
            secure: *secure,
            certified: *certified,
        }
    }
}
