//! May this request in? One decision for each request, in a fixed order, and the refusals it can end in.

pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod caps;
pub(crate) mod count;
pub(crate) mod credentials;
pub(crate) mod door;
pub(crate) mod origin;
pub(crate) mod proxy_header;
pub(crate) mod rate;
pub(crate) mod refusal;
pub(crate) mod suspect;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HOST, UPGRADE};
use http::{HeaderMap, Method, Uri, Version};
use ipnet::IpNet;
use parking_lot::Mutex;

use self::address::{client_address, is_trusted};
use self::caps::{Caps, Permit};
use self::door::{Door, DoorFull, DoorPermit};
use self::origin::Own;
use self::refusal::Refusal;
use self::suspect::Suspect;
use crate::config::{Config, Refuse, Route, Target};
use crate::route::{self, Router};
use crate::wire::close::Code;
use crate::wire::offer::{Malformed, Offer, elements};

/// A request, as far as the decision looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its HTTP version.
    pub version: Version,
    /// Its target, in whatever form (RFC 9112 §3.2).
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Who brought it: the TCP peer, or the source that a trusted PROXY header names.
    pub peer: IpAddr,
    /// Whether a trusted PROXY header named the peer: then a proxy stands in front, though the peer is none.
    pub proxied: bool,
    /// Whether it came over this gateway's own TLS.
    pub secure: bool,
    /// Whether its client has shown a certificate that is good.
    pub certified: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It may become a WebSocket.
    Upgrade(Admission),
    /// It gets a plain answer: the hub's page, or the way elsewhere.
    Plain(PlainRequest),
    /// It goes on to a backend as it is.
    Pass(Passing),
    /// It is turned away.
    Refuse(Refusal),
}

/// A WebSocket that may be opened.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The route's index in [`Config::routes`].
    pub route: usize,
    /// The path below the route, without its first slash.
    pub rest: String,
    /// The client's request, checked.
    pub offer: Offer,
    /// What is counted until the session ends; to be kept until then.
    pub permit: Permit,
    /// The client's own address.
    pub client: IpAddr,
}

/// A refused request that may be answered with a WebSocket which is closed at once.
#[derive(Debug)]
pub(crate) struct Visible {
    /// The route's index in [`Config::routes`].
    pub route: usize,
    /// The client's request, checked.
    pub offer: Offer,
    /// The route's own close code.
    pub code: Option<Code>,
}

/// A plain GET or HEAD that has an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlainRequest {
    /// The route's index in [`Config::routes`].
    pub route: usize,
    /// The path below the route, without its first slash.
    pub rest: String,
}

/// An ordinary request that a backend answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passing {
    /// The route's index in [`Config::routes`].
    pub route: usize,
    /// The client's own address.
    pub client: IpAddr,
}

/// The decision, with all it needs to know: the rules of one configuration, and counters that outlive it.
#[derive(Debug)]
pub(crate) struct Gate {
    router: Router<usize>,
    routes: Vec<Route>,
    trusted: Vec<IpNet>,
    caps: Caps,
    door: Door,
    suspect: Arc<Mutex<Suspect>>,
}

impl Gate {
    /// The gate of this configuration. Whoever came in through `previous` is counted here too, so that a reload
    /// forgets nobody; a route goes on counting when its host and path are the same.
    #[must_use]
    pub(crate) fn new(config: &Config, previous: Option<&Self>) -> Self {
        let mut router = Router::new();
        for (index, route) in config.routes.iter().enumerate() {
            router.add(route.host.as_deref(), &route.path, index);
        }
        Self {
            router,
            routes: config.routes.clone(),
            trusted: config.trusted_proxies.clone(),
            caps: Caps::new(config, previous.map(|gate| &gate.caps)),
            door: Door::new(&config.limits, previous.map(|gate| &gate.door)),
            suspect: previous.map(|gate| Arc::clone(&gate.suspect)).unwrap_or_default(),
        }
    }

    /// Lets one TCP connection stand before the gate until it is upgraded.
    ///
    /// # Errors
    /// Which cap is reached: the connection is to be closed.
    pub(crate) fn enter(&self, peer: IpAddr) -> Result<DoorPermit, DoorFull> {
        self.door.enter(peer, is_trusted(peer, &self.trusted))
    }

    /// Connections that were accepted and have come to nothing yet.
    pub(crate) fn pending(&self) -> usize {
        self.door.pending()
    }

    /// Whether PROXY and forwarding headers of this peer are believed.
    #[must_use]
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        is_trusted(peer, &self.trusted)
    }

    /// Decides about one request; `draining` refuses what would open a WebSocket.
    #[must_use]
    pub(crate) fn decide(&self, arrival: &Arrival<'_>, draining: bool) -> Outcome {
        self.judge(arrival, draining).unwrap_or_else(Outcome::Refuse)
    }

    /// The table of what a request gets, from top to bottom.
    fn judge(&self, arrival: &Arrival<'_>, draining: bool) -> Result<Outcome, Refusal> {
        let (route, rest) = self.find(arrival)?;
        let rules = &self.routes[route];
        if rules.client_certificate && !arrival.certified {
            return Err(Refusal::NoCertificate);
        }
        let rest = match &rules.target {
            Target::Hub(_) => route::room(arrival.uri.path(), &rest).ok_or(Refusal::NoRoute)?,
            Target::Echo | Target::Proxy(_) | Target::Redirect(_) | Target::Pages => rest,
        };
        if has_plain_answer(arrival, &rules.target, &rest)? {
            return Ok(Outcome::Plain(PlainRequest { route, rest }));
        }
        if rules.pages.is_some() && !wants_websocket(arrival.headers) {
            let client = client_address(arrival.peer, arrival.headers, &self.trusted);
            let is_trace = *arrival.method == Method::TRACE;
            return if is_trace { Err(Refusal::Trace) } else { Ok(Outcome::Pass(Passing { route, client })) };
        }
        if rules.target == Target::Pages {
            return Err(Refusal::NoRoute);
        }
        let offer = Offer::check(arrival.method, arrival.version, arrival.headers).map_err(Refusal::Malformed)?;
        let own = self.own(arrival);
        origin::check(&rules.origins, rules.require_origin, own, arrival.headers).map_err(Refusal::Origin)?;
        let client = client_address(arrival.peer, arrival.headers, &self.trusted);
        let permit = self.caps.admit(route, client.into())?;
        if draining {
            Err(Refusal::Draining)
        } else {
            Ok(Outcome::Upgrade(Admission { route, rest, offer, permit, client }))
        }
    }

    /// What is needed to tell a refused client why in a WebSocket of its own: where its route wishes that, and its
    /// request is sound, whatever else it was refused for.
    #[must_use]
    pub(crate) fn visible(&self, arrival: &Arrival<'_>) -> Option<Visible> {
        let (route, _) = self.find(arrival).ok()?;
        let Refuse::Close(code) = self.routes[route].refuse else { return None };
        let offer = Offer::check(arrival.method, arrival.version, arrival.headers).ok()?;
        Some(Visible { route, offer, code })
    }

    /// The route's index and the path below it. RFC 9110 §9.3.6: CONNECT names no path, so it can have no route.
    fn find(&self, arrival: &Arrival<'_>) -> Result<(usize, String), Refusal> {
        if arrival.method == Method::CONNECT {
            return Err(Refusal::Malformed(Malformed::Method));
        }
        let found = self.router.find(arrival.host(), arrival.uri.path());
        found.map(|(index, rest)| (*index, rest)).ok_or(Refusal::NoRoute)
    }

    /// What the route's own origin is made of.
    fn own<'a>(&self, arrival: &'a Arrival<'_>) -> Own<'a> {
        // Behind a PROXY header that came in front of our own TLS, TLS ends here all the same.
        let behind_proxy = (arrival.proxied && !arrival.secure) || self.trusts(arrival.peer);
        Own { host: arrival.host(), secure: arrival.secure, behind_proxy }
    }

    /// Notes an upgrade request, whatever became of it; returns a warning for the log when all clients seem to come
    /// through a proxy that is not trusted. Once, and not again after a reload.
    #[must_use]
    pub(crate) fn suspicion(&self, arrival: &Arrival<'_>) -> Option<String> {
        let trusted = self.trusts(arrival.peer);
        self.suspect.lock().note(arrival.peer, arrival.headers, trusted)
    }

    /// The counters of open WebSockets.
    #[cfg(test)]
    pub(crate) fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The counter of connections before their upgrade.
    #[cfg(test)]
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Gives back the memory of addresses that are gone. To be called now and then, such as once a minute.
    pub(crate) fn sweep(&self) {
        self.caps.sweep();
        self.door.sweep();
    }
}

impl Arrival<'_> {
    /// RFC 9112 §3.2.2: in absolute-form the host is the target's, and the Host header is ignored.
    fn host(&self) -> &str {
        let named = || self.headers.get(HOST).and_then(|host| host.to_str().ok());
        self.uri.authority().map(http::uri::Authority::as_str).or_else(named).unwrap_or_default()
    }
}

/// Whether this is a GET or HEAD without upgrade that the route answers itself. Where a redirect stands, nothing else
/// lives: neither below it nor as a WebSocket.
fn has_plain_answer(arrival: &Arrival<'_>, target: &Target, rest: &str) -> Result<bool, Refusal> {
    let reads = matches!(*arrival.method, Method::GET | Method::HEAD);
    let plain = reads && !arrival.headers.contains_key(UPGRADE);
    match target {
        Target::Redirect(_) if plain && rest.is_empty() => Ok(true),
        Target::Redirect(_) => Err(Refusal::NoRoute),
        Target::Hub(hub) if plain && hub.page && !rest.is_empty() && !hub.room_names.allows(rest) => {
            Err(Refusal::NoRoute)
        }
        Target::Hub(hub) => Ok(plain && hub.page),
        Target::Echo | Target::Proxy(_) | Target::Pages => Ok(false),
    }
}

/// RFC 9110 §7.8: other protocols may be ignored, and are not passed on.
fn wants_websocket(headers: &HeaderMap) -> bool {
    elements(headers, &UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
