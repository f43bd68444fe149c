//! The caps on open WebSockets and on upgrade requests, and the permit that a session holds to its end.

use super::address::AddressKey;
use super::count::{AddressHeld, Gauge, Held, Tally};
use super::rate::Buckets;
use super::refusal::Refusal;
use crate::config::{AddressLimits, Config, Route};

/// All counters, with the limits of the configuration they were made for. Those of the configuration before go on
/// counting here after a reload.
#[derive(Debug)]
pub(crate) struct Caps {
    limit: usize,
    open: Gauge,
    addresses: AddressCaps,
    routes: Vec<RouteCaps>,
}

/// The counters of one route.
#[derive(Debug)]
struct RouteCaps {
    host: Option<String>,
    path: String,
    /// Counted with or without a limit, for the operator and for a limit that a reload brings.
    limit: Option<usize>,
    open: Gauge,
    /// None: the gateway's.
    addresses: Option<AddressCaps>,
}

/// The counters by address, of the gateway or of one route.
#[derive(Debug)]
struct AddressCaps {
    limit: usize,
    open: Tally,
    requests: Option<Buckets>,
}

/// The right to have one WebSocket open: counted for the gateway, the route and the address until it is dropped.
///
/// It moves with the session, through the upgrade to the very end.
#[derive(Debug)]
#[must_use = "what is counted is given back when this is dropped"]
pub(crate) struct Permit {
    _address: AddressHeld,
    _gateway: Held,
    _route: Held,
}

impl Caps {
    /// The counters for this configuration; those of `previous` that still have their use are shared with it.
    #[must_use]
    pub(crate) fn new(config: &Config, previous: Option<&Self>) -> Self {
        let routes = config.routes.iter().map(|route| {
            let before = previous.and_then(|caps| caps.routes.iter().find(|known| known.is_of(route)));
            RouteCaps::new(route, before)
        });
        Self {
            limit: config.limits.connections,
            open: previous.map(|caps| caps.open.clone()).unwrap_or_default(),
            addresses: AddressCaps::new(config.limits.address, previous.map(|caps| &caps.addresses)),
            routes: routes.collect(),
        }
    }

    /// Takes what one more WebSocket of this address on this route needs, in the order in which refusals are named:
    /// the rate, the address's cap, the gateway's, the route's.
    ///
    /// # Errors
    /// The first that is used up. All that was taken is given back, but for the token of the rate.
    pub(crate) fn admit(&self, route: usize, address: AddressKey) -> Result<Permit, Refusal> {
        let route = self.routes.get(route).ok_or(Refusal::NoRoute)?;
        let addresses = route.addresses.as_ref().unwrap_or(&self.addresses);
        if let Some(requests) = &addresses.requests {
            requests.take(address).map_err(|retry_after| Refusal::AddressRate { retry_after })?;
        }
        let by_address = addresses.open.take(address, addresses.limit).ok_or(Refusal::AddressCap)?;
        let gateway = self.open.take(self.limit).ok_or(Refusal::GatewayFull)?;
        let route = route.open.take(route.limit.unwrap_or(usize::MAX)).ok_or(Refusal::RouteFull)?;
        Ok(Permit { _address: by_address, _gateway: gateway, _route: route })
    }

    /// WebSockets open now, in all.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.open.now()
    }

    /// WebSockets open now on the route with this index in the configuration.
    #[cfg(test)]
    pub(crate) fn open_on(&self, route: usize) -> usize {
        self.routes.get(route).map_or(0, |route| route.open.now())
    }

    /// Addresses remembered now, for whatever reason; one can be counted more than once.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> usize {
        let buckets = |caps: &AddressCaps| caps.requests.as_ref().map_or(0, Buckets::addresses);
        self.tables().map(|caps| caps.open.addresses() + buckets(caps)).sum()
    }

    /// Gives back the memory of addresses that have nothing open and have not asked lately. To be called now and then.
    pub(crate) fn sweep(&self) {
        for caps in self.tables() {
            caps.open.sweep();
            if let Some(requests) = &caps.requests {
                requests.sweep();
            }
        }
    }

    fn tables(&self) -> impl Iterator<Item = &AddressCaps> {
        std::iter::once(&self.addresses).chain(self.routes.iter().filter_map(|route| route.addresses.as_ref()))
    }
}

impl RouteCaps {
    fn new(route: &Route, before: Option<&Self>) -> Self {
        let addresses_before = before.and_then(|before| before.addresses.as_ref());
        Self {
            host: route.host.clone(),
            path: route.path.clone(),
            limit: route.connections,
            open: before.map(|before| before.open.clone()).unwrap_or_default(),
            addresses: route.address.map(|limits| AddressCaps::new(limits, addresses_before)),
        }
    }

    /// A route is the same after a reload when host and path are.
    fn is_of(&self, route: &Route) -> bool {
        self.host == route.host && self.path == route.path
    }
}

impl AddressCaps {
    fn new(limits: AddressLimits, before: Option<&Self>) -> Self {
        Self {
            limit: limits.connections,
            open: before.map(|before| before.open.clone()).unwrap_or_default(),
            requests: Buckets::carry(before.and_then(|before| before.requests.as_ref()), limits.handshakes),
        }
    }
}

#[cfg(test)]
mod tests;
