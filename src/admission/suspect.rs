//! Notices a proxy that the owner forgot to trust: nearly all clients seem to come from one address.

use std::net::IpAddr;

use http::HeaderMap;

/// Upgrade requests to have seen before anything is said.
const ENOUGH: u32 = 20;

/// Peers that are told apart. More than two cannot each send most of the requests; the rest is for those that come
/// before the one.
const PEERS: usize = 8;

/// At so many requests all counts are halved, so that yesterday does not outweigh today.
const WINDOW: u32 = 1000;

/// What a proxy adds to a request, and a client hardly ever does.
const FORWARDING: [&str; 4] = ["x-forwarded-for", "forwarded", "via", "x-real-ip"];

/// The upgrade requests of the last while, by peer; of constant size.
#[derive(Debug, Default)]
pub(crate) struct Suspect {
    warned: bool,
    seen: u32,
    peers: Vec<(IpAddr, u32)>,
}

impl Suspect {
    /// Notes one upgrade request. Returns the warning when it is due, once in the life of this value.
    ///
    /// It is due when more than 80 % of at least 20 requests came from one peer that is not trusted and sent a
    /// forwarding header with them.
    pub(crate) fn note(&mut self, peer: IpAddr, headers: &HeaderMap, trusted: bool) -> Option<String> {
        if self.warned {
            return None;
        }
        self.age();
        self.seen += 1;
        let looks_like_a_proxy = FORWARDING.iter().any(|name| headers.contains_key(*name));
        if trusted || !looks_like_a_proxy {
            return None;
        }
        let hits = self.count(peer.to_canonical());
        // 80 % without fractions.
        self.warned = self.seen >= ENOUGH && u64::from(hits) * 5 > u64::from(self.seen) * 4;
        self.warned.then(|| warning(peer.to_canonical(), hits, self.seen))
    }

    fn count(&mut self, peer: IpAddr) -> u32 {
        if let Some((_, hits)) = self.peers.iter_mut().find(|(known, _)| *known == peer) {
            *hits += 1;
            return *hits;
        }
        if self.peers.len() < PEERS {
            self.peers.push((peer, 1));
        } else {
            // A newcomer wears the others down; whoever sends most of the requests outlives this.
            self.peers.iter_mut().for_each(|(_, hits)| *hits -= 1);
            self.peers.retain(|(_, hits)| *hits > 0);
        }
        1
    }

    fn age(&mut self) {
        if self.seen >= WINDOW {
            self.seen /= 2;
            self.peers.iter_mut().for_each(|(_, hits)| *hits /= 2);
            self.peers.retain(|(_, hits)| *hits > 0);
        }
    }
}

fn warning(peer: IpAddr, hits: u32, seen: u32) -> String {
    format!(
        "{hits} of the last {seen} upgrade requests came from {peer} with forwarding headers: it looks like a proxy, and \
         all its clients share one address's limits; if it is yours, add it to trusted_proxies"
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn forwarding() -> HeaderMap {
        HeaderMap::from_iter([(http::header::VIA, HeaderValue::from_static("1.1 nginx"))])
    }

    #[test]
    fn warns_once_and_names_the_peer() {
        let mut suspect = Suspect::default();
        let mut warnings = (0..100).filter_map(|_| suspect.note(ip(1), &forwarding(), false));
        let text = warnings.next().unwrap();
        assert!(text.starts_with("20 of the last 20 ") && text.contains("192.0.2.1 "), "{text}");
        assert_eq!(warnings.next(), None);
    }

    #[test]
    fn says_nothing_of_trusted_plain_or_mixed_peers() {
        let mut suspect = Suspect::default();
        for round in 0..5_000_u32 {
            let last = u8::try_from(round % 250).unwrap();
            assert_eq!(suspect.note(ip(251), &forwarding(), true), None);
            assert_eq!(suspect.note(ip(252), &HeaderMap::new(), false), None);
            assert_eq!(suspect.note(ip(last), &forwarding(), false), None);
        }
        assert!(suspect.peers.len() <= PEERS);
    }

    #[test]
    fn four_fifths_are_not_enough_a_little_more_is() {
        let mut suspect = Suspect::default();
        let rounds = |suspect: &mut Suspect, proxied: usize| {
            let first = suspect.note(ip(9), &HeaderMap::new(), false);
            (0..proxied).fold(first, |found, _| found.or(suspect.note(ip(1), &forwarding(), false)))
        };
        assert!((0..400).all(|_| rounds(&mut suspect, 4).is_none()));
        assert!((0..400).any(|_| rounds(&mut suspect, 9).is_some()));
    }

    #[test]
    fn a_proxy_that_comes_late_is_noticed() {
        let mut suspect = Suspect::default();
        for round in 0..600_u32 {
            suspect.note(ip(u8::try_from(round % 200).unwrap()), &forwarding(), false);
        }
        assert!((0..10_000).any(|_| suspect.note(ip(250), &forwarding(), false).is_some()));
    }
}
