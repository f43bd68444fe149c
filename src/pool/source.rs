//! Where a backend sees a client's connection come from, and what it is told of the client.

use std::net::{IpAddr, Ipv4Addr};

use super::Pool;
use super::balance::hash;
use crate::client::way::{Announce, Source, Way};
use crate::config::{ProxyProtocol, SourceAddress};

impl Pool {
    /// The beginning of a connection on behalf of this client.
    pub(super) fn way_for(&self, client: IpAddr) -> Way {
        let source = match self.wishes.source_address.unwrap_or(self.habits.source_address) {
            SourceAddress::Off => Source::Kernel,
            SourceAddress::Spread => Source::Loopback(loopback_of(client)),
            SourceAddress::Transparent => Source::Borrowed(client),
        };
        Way { source, announce: self.announce(Some(client)) }
    }

    /// The same for a connection of the gateway's own.
    pub(super) fn own_way(&self) -> Way {
        Way { source: Source::Kernel, announce: self.announce(None) }
    }

    /// Whether a connection that was made on behalf of one client may serve others: nothing in it tells who it is.
    #[must_use]
    pub(crate) fn is_shared(&self) -> bool {
        let source = self.wishes.source_address.unwrap_or(self.habits.source_address);
        source == SourceAddress::Off && self.wishes.proxy_protocol.is_none()
    }

    fn announce(&self, client: Option<IpAddr>) -> Option<Announce> {
        self.wishes.proxy_protocol.map(|version| Announce { binary: version == ProxyProtocol::V2, client })
    }
}

/// A client's own address in 127.0.0.0/8, the same each time: an IPv4 address or an IPv6 /64, as everywhere clients are
/// told apart. Never the first or the last of a /24, and nothing below 127.1.0.0, where other services live.
fn loopback_of(client: IpAddr) -> Ipv4Addr {
    let mixed = match client.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()[..8]),
    };
    let part = |shift: u32, from: u8, count: u64| from + ((mixed >> shift) % count) as u8;
    Ipv4Addr::new(127, part(40, 1, 255), part(20, 0, 256), part(0, 1, 254))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_client_has_an_address_of_its_own_and_keeps_it() {
        let clients = (0..10_000u32).map(|at| IpAddr::V4(Ipv4Addr::from(0xc000_0200 + at)));
        let addresses: HashSet<Ipv4Addr> = clients.clone().map(loopback_of).collect();
        // 16.5 million addresses: of ten thousand clients about three share one by chance.
        assert!(addresses.len() > 9_980, "{}", addresses.len());
        for address in addresses {
            let [net, second, _, last] = address.octets();
            assert!(net == 127 && second > 0 && last > 0 && last < 255, "{address}");
        }
        assert!(clients.clone().map(loopback_of).eq(clients.map(loopback_of)));
    }

    #[test]
    fn one_client_has_one_address_however_it_is_written() {
        let of = |text: &str| loopback_of(text.parse().expect("an address"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
