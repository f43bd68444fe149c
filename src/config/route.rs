//! A route as the owner wishes it: who may come in, and where it leads.

use super::auth::Auth;
use super::{AddressLimits, BackendHead, Hold, Hub, Legacy, Pages, Profile, SessionLimits};
use crate::wire::close::Code;
use crate::wire::origin::OriginRule;

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

impl Route {
    /// Host and path, as logs and counters name it.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.host.as_deref().unwrap_or(""), self.path)
    }
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

impl Target {
    /// Whether an open WebSocket that was led to one of the two is where the other one leads: however it is treated there.
    #[must_use]
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Proxy(proxy), Self::Proxy(other)) => proxy.pool == other.pool,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
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
