//! The door: how many TCP connections may stand there before they have become a WebSocket.

use std::net::IpAddr;

use super::count::{AddressHeld, Gauge, Held, Tally};
use crate::config::GatewayLimits;

/// Counts connections from accept to upgrade, by the peer's own address: nothing they say is known yet.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    limit: usize,
    limit_per_address: usize,
    pending: Gauge,
    addresses: Tally,
}

/// The right of one connection to be there before it is upgraded. To be dropped at the upgrade, or with the connection.
#[derive(Debug)]
#[must_use = "what is counted is given back when this is dropped"]
pub(crate) struct DoorPermit {
    _pending: Held,
    _address: Option<AddressHeld>,
}

/// Why a connection is closed before a byte of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoorFull {
    /// Too many stand there from this address.
    Address,
    /// Too many stand there in all.
    Gateway,
}

impl DoorFull {
    /// The name under which it is counted; stable.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Address => "door_address",
            Self::Gateway => "door_full",
        }
    }
}

impl Door {
    /// The door with these limits; who already stands at the previous one is counted at this one too.
    #[must_use]
    pub(crate) fn new(limits: &GatewayLimits, previous: Option<&Self>) -> Self {
        Self {
            limit: limits.pending,
            limit_per_address: limits.pending_per_address,
            pending: previous.map(|door| door.pending.clone()).unwrap_or_default(),
            addresses: previous.map(|door| door.addresses.clone()).unwrap_or_default(),
        }
    }

    /// Lets one connection stand here. A trusted proxy brings the connections of many, so it has no cap of its own.
    ///
    /// # Errors
    /// Which cap is reached; nothing stays taken.
    pub(crate) fn enter(&self, peer: IpAddr, trusted: bool) -> Result<DoorPermit, DoorFull> {
        let taken = (!trusted).then(|| self.addresses.take(peer.into(), self.limit_per_address));
        let address = taken.map(|held| held.ok_or(DoorFull::Address)).transpose()?;
        let pending = self.pending.take(self.limit).ok_or(DoorFull::Gateway)?;
        Ok(DoorPermit { _pending: pending, _address: address })
    }

    /// Connections that stand here now.
    pub(crate) fn pending(&self) -> usize {
        self.pending.now()
    }

    /// Gives back the room that a past crowd has left. To be called now and then.
    pub(crate) fn sweep(&self) {
        self.addresses.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::config;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn door(pending: usize, pending_per_address: usize, previous: Option<&Door>) -> Door {
        Door::new(&GatewayLimits { pending, pending_per_address, ..config().limits }, previous)
    }

    #[test]
    fn by_address_and_in_all() {
        let door = door(3, 2, None);
        let first = door.enter(ip("2001:db8::1"), false).unwrap();
        let second = door.enter(ip("2001:db8::2"), false).unwrap();
        assert_eq!(door.enter(ip("2001:db8::3"), false).unwrap_err(), DoorFull::Address);
        let third = door.enter(ip("192.0.2.1"), false).unwrap();
        assert_eq!(door.enter(ip("192.0.2.2"), false).unwrap_err(), DoorFull::Gateway);
        assert_eq!((door.pending(), door.addresses.addresses()), (3, 2));
        drop((first, second, third));
        assert_eq!((door.pending(), door.addresses.addresses()), (0, 0));
    }

    #[test]
    fn a_trusted_proxy_has_no_cap_of_its_own() {
        let door = door(10, 1, None);
        let held: Vec<_> = (0..11).map_while(|_| door.enter(ip("10.0.0.1"), true).ok()).collect();
        assert_eq!((held.len(), door.addresses.addresses()), (10, 0));
    }

    #[test]
    fn who_stands_there_is_counted_after_a_reload() {
        let old = door(10, 10, None);
        let held = old.enter(ip("192.0.2.1"), false).unwrap();
        let new = door(10, 1, Some(&old));
        assert_eq!(new.enter(ip("192.0.2.1"), false).unwrap_err(), DoorFull::Address);
        drop(held);
        assert!(new.enter(ip("192.0.2.1"), false).is_ok());
    }
}
