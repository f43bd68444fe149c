//! Who a client is: the address behind trusted proxies, and the key under which addresses are counted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is counted as one client: an IPv4 address, or the IPv6 /64 that one subscriber is given (RFC 6177 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AddressKey {
    /// One address; IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2) are here too.
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6(u64),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((u128::from(address) >> 64) as u64),
        }
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from(u128::from(*prefix) << 64)),
        }
    }
}

/// Whether the peer is one of the proxies whose word is taken.
#[must_use]
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// The address of the client itself.
///
/// Only a trusted peer is believed. Its chain is walked from the right, where the nearest hop wrote, and the first hop
/// that is not trusted is the client; what stands left of it, the client may have made up (RFC 7239 §8.1). A hop that
/// is unknown, hidden or unreadable ends the walk at the last good one. When `X-Forwarded-For` and `Forwarded` (RFC
/// 7239 §5.2) name different clients, one of them went through the proxy untouched, and since nobody can tell which,
/// the peer's own address counts.
///
/// The forwarded host and scheme (`host=`, `proto=`, `X-Forwarded-Host`, `X-Forwarded-Proto`) are never believed:
/// routes and origins are checked against the request's own Host.
#[must_use]
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let listed = headers.contains_key(X_FORWARDED_FOR).then(|| walk(peer, listed_hops(headers), trusted));
    let forwarded = headers.contains_key(FORWARDED).then(|| walk(peer, forwarded_hops(headers), trusted));
    match (listed, forwarded) {
        (None, None) => peer,
        (Some(client), None) | (None, Some(client)) => client,
        (Some(one), Some(other)) if one == other => one,
        (Some(_), Some(_)) => peer,
    }
}

/// `hops` come nearest first; `None` is one that cannot be read.
fn walk(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    let mut last = peer;
    for hop in hops.map_while(|hop| hop) {
        last = hop;
        if !is_trusted(hop, trusted) {
            break;
        }
    }
    last
}

/// `X-Forwarded-For`: all lines are one list (RFC 9110 §5.3), empty elements are none.
fn listed_hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(X_FORWARDED_FOR).into_iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
    entries.map(|entry| str::from_utf8(entry).ok().and_then(read_node))
}

/// `Forwarded`: each line is read from its left, since quoted strings can only be told so; one line that cannot be
/// read is one hop that cannot be read.
fn forwarded_hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers.get_all(FORWARDED).into_iter().rev().flat_map(|line| {
        let elements = line.to_str().ok().and_then(read_forwarded).unwrap_or_else(|| vec![None]);
        elements.into_iter().rev()
    })
}

/// RFC 7239 §4: `forwarded-element *( "," forwarded-element )`; for each element the address of its `for`, or nothing
/// when it has none that is an address.
fn read_forwarded(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut elements = Vec::new();
    let mut element = Element::default();
    let mut rest = line.trim_ascii();
    while let Some(next) = rest.chars().next() {
        if next == ',' || next == ';' {
            if next == ',' {
                elements.extend(std::mem::take(&mut element).hop());
            }
            rest = rest[1..].trim_ascii_start();
        } else {
            let (name, value, behind) = read_pair(rest)?;
            element.add(name, &value)?;
            rest = behind;
        }
    }
    elements.extend(element.hop());
    Some(elements)
}

/// What one proxy wrote.
#[derive(Default)]
struct Element {
    pairs: usize,
    /// The `for`, and in it the address, if it is one.
    client: Option<Option<IpAddr>>,
}

impl Element {
    /// RFC 7239 §4: each parameter MUST NOT occur more than once per element.
    fn add(&mut self, name: &str, value: &str) -> Option<()> {
        self.pairs += 1;
        if !name.eq_ignore_ascii_case("for") {
            return Some(());
        }
        self.client.replace(read_node(value)).is_none().then_some(())
    }

    /// An empty element of the list is no hop (RFC 9110 §5.6.1.2); one without a `for` is a hop that hides its client.
    fn hop(self) -> Option<Option<IpAddr>> {
        (self.pairs > 0).then(|| self.client.flatten())
    }
}

/// RFC 7239 §4: `token "=" ( token / quoted-string )`, and what stands behind it: nothing, `;` or `,`.
fn read_pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, text) = text.split_once('=')?;
    let (value, behind) = match text.strip_prefix('"') {
        Some(quoted) => read_quoted(quoted)?,
        None => {
            let (value, behind) = text.split_at(text.find([',', ';']).unwrap_or(text.len()));
            (value.trim_ascii_end().to_owned(), behind)
        }
    };
    let behind = behind.trim_ascii_start();
    let name_is_good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let good = name_is_good && !value.contains('"') && (behind.is_empty() || behind.starts_with([',', ';']));
    good.then_some((name, value, behind))
}

/// RFC 9110 §5.6.4: up to the closing quote, with backslash escapes undone.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// RFC 7239 §6: an address with an optional port, IPv6 in brackets; `X-Forwarded-For` also has it without them.
/// `unknown` (§6.2) and obfuscated identifiers (§6.3) are no addresses.
fn read_node(node: &str) -> Option<IpAddr> {
    let bare = IpAddr::from_str(node).ok();
    let address = bare.or_else(|| SocketAddr::from_str(node).ok().map(|with_port| with_port.ip()));
    let address = address.or_else(|| {
        let (host, port) = match node.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => node.split_at(node.find(':')?),
        };
        let port = port.strip_prefix(':').or(port.is_empty().then_some("_"))?;
        // RFC 7239 §6: a port may be obfuscated too (`obfport`).
        let address = if node.starts_with('[') { host.parse().map(IpAddr::V6) } else { host.parse().map(IpAddr::V4) };
        if port.starts_with('_') { address.ok() } else { None }
    });
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The client as seen with 10.0.0.0/8 and fd00::/8 trusted and 10.0.0.1 as the peer.
    fn client(lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(ip("::ffff:10.0.0.1"), &headers, &trusted).to_string()
    }

    #[test]
    fn keys_are_ipv4_addresses_and_ipv6_64s() {
        let key = |text| AddressKey::from(ip(text));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(key("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        assert_eq!(client_address(ip("198.51.100.1"), &headers, &["10.0.0.0/8".parse().unwrap()]), ip("198.51.100.1"));
        assert_eq!(client_address(ip("198.51.100.1"), &headers, &[]), ip("198.51.100.1"));
        assert_eq!(client(&[]), "10.0.0.1");
    }

    #[test]
    fn x_forwarded_for_is_walked_from_the_right() {
        for (lines, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1, 10.0.0.2,10.0.0.3"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1", "10.9.9.9"], "192.0.2.1"),
            (&["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1, fd00::1"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, , "], "192.0.2.1"),
            (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1, evil"], "10.0.0.1"),
            (&["192.0.2.1 6.6.6.6"], "10.0.0.1"),
            (&["192.0.2.1:99999"], "10.0.0.1"),
            (&["ä"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lines.iter().map(|value| ("x-forwarded-for", *value)).collect();
            assert_eq!(client(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn rfc7239_forwarded_is_walked_from_the_right() {
        for (lines, expected) in [
            (&["for=192.0.2.1"][..], "192.0.2.1"),
            (&["For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.9"], "2001:db8::1"),
            (&["for=6.6.6.6, for=192.0.2.1;host=a , for=10.0.0.2"], "192.0.2.1"),
            (&["for=6.6.6.6", "for=192.0.2.1", "for=10.0.0.2"], "192.0.2.1"),
            (&["for=\"192.0.2.1:_port\""], "192.0.2.1"),
            (&["for=\"[2001:db8::1]:_p\""], "2001:db8::1"),
            (&["for=\"\\192.0.2.1\""], "192.0.2.1"),
            (&["for=192.0.2.1, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["for=192.0.2.1, for=unknown"], "10.0.0.1"),
            (&["for=192.0.2.1, proto=https"], "10.0.0.1"),
            (&["for=192.0.2.1;, ,;"], "192.0.2.1"),
            (&["for=192.0.2.1 ; proto=http"], "192.0.2.1"),
            (&["for=192.0.2.1;for=6.6.6.6"], "10.0.0.1"),
            (&["for=\"6.6.6.6, for=192.0.2.1"], "10.0.0.1"),
            (&["for=\"6.6.6.6", "for=192.0.2.1"], "192.0.2.1"),
            (&["for=\"6.6.6.6, for=192.0.2.1, for=\"[2001:db8::1]\""], "10.0.0.1"),
            (&["for"], "10.0.0.1"),
            (&["for=\"192.0.2.1\" x"], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lines.iter().map(|value| ("forwarded", *value)).collect();
            assert_eq!(client(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn two_headers_must_agree() {
        let agreed = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client(&agreed), "192.0.2.1");
        let forged = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=6.6.6.6")];
        assert_eq!(client(&forged), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn what_a_client_makes_up_changes_nothing(made_up in "[ -~]{0,30}") {
            let chain = format!("{made_up}, 192.0.2.1, 10.0.0.2");
            prop_assert_eq!(client(&[("x-forwarded-for", &chain)]), "192.0.2.1");
            let chain = format!("{made_up}, for=192.0.2.1, for=\"10.0.0.2\"");
            let seen = client(&[("forwarded", &chain)]);
            prop_assert!(seen == "192.0.2.1" || seen == "10.0.0.1", "{}", seen);
        }
    }
}
