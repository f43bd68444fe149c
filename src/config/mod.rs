//! What the owner wishes, checked once and plain data afterwards: no `Option` here means "must be set later".

mod address;
pub(crate) mod auth;
mod backend_head;
pub(crate) mod cluster;
mod difference;
mod error;
mod file;
mod hub;
mod legacy;
mod pages;
mod pool;
mod profile;
mod quantity;

pub(crate) use address::backend;
pub(crate) use backend_head::{BackendHead, Subprotocol};
pub use difference::Change;
pub(crate) use difference::difference;
pub use error::{Problem, Problems};
pub use file::{BUILT_IN, Overrides};
pub(crate) use hub::{Filter, FixedRoom, HistoryStore, Hub, NamePattern, RoomSecret, SayRate, Secret, Unfiltered};
pub(crate) use legacy::{BINARY, BadText, Binary, Hold, Legacy};
pub(crate) use pages::Pages;
pub(crate) use pool::{
    Backend, Balance, Check, Ejection, HashBy, Health, Pool, ProxyProtocol, SourceAddress, Transport,
};
pub(crate) use profile::{Habits, Profile, Treatment};
pub(crate) use quantity::{read_duration, read_networks, read_size};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use self::auth::Auth;
use self::cluster::Cluster;
pub(crate) use crate::limits::{AddressLimits, GatewayLimits, Rate, SessionLimits, SlowClient};
use crate::wire::close::Code;
use crate::wire::origin::OriginRule;

/// A whole configuration, as checked and complete as it can be without opening certificates or sockets.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listen: Vec<Listen>,
    /// Worker threads, at least 1 (the file's `0`, one per core, is resolved when it is read).
    pub workers: usize,
    /// Peers whose X-Forwarded-For, Forwarded and PROXY headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS handshake and first request head together; also the wait for each later head.
    pub handshake_timeout: Duration,
    /// How long a drain may take before what is left is cut.
    pub drain_timeout: Duration,
    /// WebSockets that a drain sends home in a time, at least; `None`: all at once.
    pub drain_pace: Option<Rate>,
    /// How long the program that takes over may take to be ready.
    pub upgrade_timeout: Duration,
    /// Absent: plain `ws`.
    pub tls: Option<Tls>,
    /// Where plain HTTP is sent on to TLS; absent: nowhere.
    pub to_https: Option<ToHttps>,
    /// Absent: no admin door.
    pub admin: Option<Admin>,
    /// Limits of the gateway as a whole, outside any one session.
    pub limits: GatewayLimits,
    /// In the order of the file; matching is by longest path, not by order.
    pub routes: Vec<Route>,
    /// Backend pools by name; every pool that a route names is here.
    pub pools: BTreeMap<String, Pool>,
    /// The Redis that several gateways share; absent: this one is alone.
    pub cluster: Option<Cluster>,
    /// How logs are written.
    pub log: Log,
}

impl Config {
    /// Reads and checks the file; paths inside it are relative to its folder.
    ///
    /// # Errors
    /// Every problem of the file at once.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        file::load(path, &Overrides::default())
    }

    /// The same, with what the command line overrides.
    ///
    /// # Errors
    /// Every problem of the file and of the overrides at once.
    pub fn load_with(path: &Path, overrides: &Overrides) -> Result<Self, Problems> {
        file::load(path, overrides)
    }

    /// The configuration that serves with no file at all (the text is [`BUILT_IN`]), with the overrides applied.
    ///
    /// # Errors
    /// Only what the overrides got wrong.
    pub fn built_in(overrides: &Overrides) -> Result<Self, Problems> {
        file::parse(BUILT_IN, "built-in default", Path::new("."), overrides)
    }

    /// Reads a configuration from text; `name` stands for the file in problems, `base` is where relative paths start.
    ///
    /// # Errors
    /// Every problem of the text at once.
    pub fn parse(text: &str, name: &str, base: &Path) -> Result<Self, Problems> {
        file::parse(text, name, base, &Overrides::default())
    }
}

/// One address to listen on or to dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// A TCP address; port 0 asks the kernel for a free one.
    Tcp(SocketAddr),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// What TLS offers to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate files in the file's order; the first is the default. May be empty only when `self_signed` is not.
    pub certificates: Vec<CertificateFiles>,
    /// Names for which a certificate is made at start (not trusted by browsers); the default when no files are given.
    pub self_signed: Vec<String>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// For how long browsers are told to ask for nothing but https (RFC 6797); absent: they are told nothing.
    pub hsts: Option<Duration>,
    /// Whose certificates clients may show; absent: they are not asked for one.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates of clients are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM file of the CAs that may have signed them.
    pub ca: PathBuf,
    /// PEM file of what these CAs have revoked; absent: nobody looks.
    pub crl: Option<PathBuf>,
    /// Whether a client without one gets no connection at all.
    pub required: bool,
}

/// Listeners on which everybody is sent to https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToHttps {
    /// Where they are; at least one.
    pub listen: Vec<Listen>,
    /// The port that clients are sent to, as they see it.
    pub port: u16,
    /// Under it lie the answers to ACME's questions (RFC 8555 §8.3); absent: those are sent on as well.
    pub acme_webroot: Option<PathBuf>,
}

/// One certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Leaf first, then intermediates.
    pub chain: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A TLS protocol version (RFC 5246, RFC 8446).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The operator's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its own listener, never the public one.
    pub listen: Listen,
    /// What opens the part of it that can change something; absent: nothing does.
    pub token: Option<AdminToken>,
    /// Bytes of one request's body.
    pub body: usize,
}

/// Where the admin door's token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminToken {
    /// The first line of this file.
    File(PathBuf),
    /// This variable of the environment.
    Variable(String),
}

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// Levels, in the syntax of `tracing_subscriber::EnvFilter`, such as `info` or `wsgate=debug`.
    pub level: String,
    /// Lines that may wait to be read, at least 1; more are lost.
    pub buffer: usize,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}

/// A host and path, who may come in, and where it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Starts with `/`; matches itself and what is below it.
    pub path: String,
    /// Lower case; absent: any host.
    pub host: Option<String>,
    /// Who may come in from a browser.
    pub origins: Origins,
    /// Whether a request without Origin is refused.
    pub require_origin: bool,
    /// How a request is refused.
    pub refuse: Refuse,
    /// Open WebSockets on this route; absent: only the gateway's own limit.
    pub connections: Option<usize>,
    /// The route's own caps by address, counted apart from the gateway's; absent: the gateway's.
    pub address: Option<AddressLimits>,
    /// How a client shows that it may come in; absent: it need not.
    pub auth: Option<Auth>,
    /// What one session may do.
    pub limits: SessionLimits,
    /// Whether a client without a certificate of its own is refused here.
    pub client_certificate: bool,
    /// Where its WebSockets lead.
    pub target: Target,
    /// Where its other requests go; always there with [`Target::Pages`].
    pub pages: Option<Pages>,
}

/// How a sound upgrade request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuse {
    /// With a status and one plain line, which browsers hide from the page.
    Http,
    /// With a WebSocket that is closed at once: with this code, or the one of the refusal.
    Close(Option<Code>),
}

/// Which Origins a route lets in (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Only the origin that the request's own Host names.
    SameHost,
    /// Any origin, `null` included.
    Any,
    /// These and no others.
    List(Vec<OriginRule>),
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The built-in chat hub.
    Hub(Hub),
    /// Every message comes back.
    Echo,
    /// A pool of backends.
    Proxy(Proxy),
    /// A plain GET of exactly this path is sent elsewhere with 302.
    Redirect(String),
    /// Nowhere: only ordinary HTTP is served here.
    Pages,
}

/// A route to a pool of backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The pool's name; a key of [`Config::pools`].
    pub pool: String,
    /// How much help the backend needs.
    pub profile: Profile,
    /// The parts of the profile, each as the route wants it; absent for [`Profile::Transparent`].
    pub legacy: Option<Legacy>,
    /// What it gets to see of a request.
    pub head: BackendHead,
    /// How its clients are kept while it restarts; absent: not at all, and never with [`Profile::Transparent`].
    pub hold: Option<Hold>,
}
