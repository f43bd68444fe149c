//! How an owner writes addresses: where to listen, whom to believe, which backend, which host; text to value, no I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::auth::{AuthRequest, OnError};
use super::error::Wrong;
use super::{Backend, Listen, Transport};

/// A unix socket's path and its final zero byte fit into `sun_path` (unix(7)): 108 bytes on Linux.
const UNIX_PATH: usize = 107;

const LISTEN: &str = r#"an IP address and port such as "0.0.0.0:8443" or "[::]:8443", or "unix:/run/wsgate.sock""#;
const BACKEND: &str = r#""ws://host:port", "wss://host:port" or "unix:/path""#;
const MEMBER: &str = r#""ws://host:port", "wss://host:port", "http://host:port", "https://host:port" or "unix:/path""#;
const HOST_AND_PORT: &str = r#"host and port alone, such as "ws://127.0.0.1:8080""#;
const PROXIES: &str = r#"a network such as "10.0.0.0/8", an address, "loopback", "private" or "cloudflare""#;
const AUTH_URL: &str = r#""http://host:port/path", "https://host/path" or "unix:/socket:/path""#;
const HOST: &str = r#"a host name alone, such as "example.com""#;

/// RFC 1122 §3.2.1.3 and RFC 4291 §2.5.3.
const LOOPBACK: [IpNet; 2] = [v4(127, 0, 0, 0, 8), v6(0, 0, 128, 1)];

/// RFC 1918 and RFC 4193.
const PRIVATE: [IpNet; 4] = [v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16), v6(0xfc00, 0, 7, 0)];

/// As published at <https://www.cloudflare.com/ips/>; to be compared with it at every release.
const CLOUDFLARE: [IpNet; 22] = [
    v4(173, 245, 48, 0, 20),
    v4(103, 21, 244, 0, 22),
    v4(103, 22, 200, 0, 22),
    v4(103, 31, 4, 0, 22),
    v4(141, 101, 64, 0, 18),
    v4(108, 162, 192, 0, 18),
    v4(190, 93, 240, 0, 20),
    v4(188, 114, 96, 0, 20),
    v4(197, 234, 240, 0, 22),
    v4(198, 41, 128, 0, 17),
    v4(162, 158, 0, 0, 15),
    v4(104, 16, 0, 0, 13),
    v4(104, 24, 0, 0, 14),
    v4(172, 64, 0, 0, 13),
    v4(131, 0, 72, 0, 22),
    v6(0x2400, 0xcb00, 32, 0),
    v6(0x2606, 0x4700, 32, 0),
    v6(0x2803, 0xf800, 32, 0),
    v6(0x2405, 0xb500, 32, 0),
    v6(0x2405, 0x8100, 32, 0),
    v6(0x2a06, 0x98c0, 29, 0),
    v6(0x2c0f, 0xf248, 32, 0),
];

/// Reads `127.0.0.1:8443`, `[::1]:8443` or `unix:PATH`; a relative path starts at `base`.
pub(super) fn read_listen(text: &str, base: &Path) -> Result<Listen, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return read_unix(path, base, LISTEN).map(Listen::Unix);
    }
    if let Ok(address) = text.parse() {
        return Ok(Listen::Tcp(address));
    }
    let what = match text.parse::<IpAddr>() {
        Ok(_) => "no port",
        Err(_) => "not an address to listen on",
    };
    Err(Wrong::new(what, LISTEN))
}

/// Reads a network, a single address or a preset's name.
pub(super) fn read_proxies(text: &str) -> Result<Vec<IpNet>, Wrong> {
    match text {
        "loopback" => return Ok(LOOPBACK.to_vec()),
        "private" => return Ok(PRIVATE.to_vec()),
        "cloudflare" => return Ok(CLOUDFLARE.to_vec()),
        _ => {}
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(vec![IpNet::from(address)]);
    }
    let network = text.parse::<IpNet>().map_err(|_| Wrong::new("not a network", PROXIES))?;
    // `10.0.0.1/8` is as often a mistyped `10.0.0.1` as it is a network: whom to believe is no place to guess.
    if network.trunc() != network {
        return Err(Wrong::new(
            "bits set beyond the prefix",
            format!("{:?}, or the address alone", network.trunc().to_string()),
        ));
    }
    Ok(vec![network])
}

/// Reads `ws://host:port`, `wss://host` (the scheme's port when none is given) or `unix:PATH`.
pub(super) fn read_backend(text: &str, base: &Path) -> Result<Backend, Wrong> {
    let transport = if let Some(path) = text.strip_prefix("unix:") {
        Transport::Unix(read_unix(path, base, BACKEND)?)
    } else if let Some(authority) = text.strip_prefix("ws://") {
        let (host, port) = read_authority(authority, 80)?;
        Transport::Ws(host, port)
    } else if let Some(authority) = text.strip_prefix("wss://") {
        let (host, port) = read_authority(authority, 443)?;
        Transport::Wss(host, port)
    } else {
        return Err(Wrong::new("not a backend", BACKEND));
    };
    Ok(Backend { url: text.to_owned(), transport, weight: 1, backup: false })
}

/// The same for a pool, whose backends may also be written as those of ordinary HTTP: `http://` is as good as `ws://`, and
/// `https://` as `wss://`.
pub(super) fn read_member(text: &str, base: &Path) -> Result<Backend, Wrong> {
    let written = |scheme: &str, authority: &str| read_backend(&format!("{scheme}://{authority}"), base);
    let backend = match text.split_once("://") {
        Some(("http", authority)) => written("ws", authority)?,
        Some(("https", authority)) => written("wss", authority)?,
        Some(("ws" | "wss", _)) => return read_backend(text, base),
        None if text.starts_with("unix:") => return read_backend(text, base),
        _ => return Err(Wrong::new("not a backend", MEMBER)),
    };
    Ok(Backend { url: text.to_owned(), ..backend })
}

/// Reads a backend from the command line; a relative path starts where it was typed.
///
/// # Errors
/// What is wrong with it, and what would be right, in one line.
pub(crate) fn backend(text: &str) -> Result<Backend, String> {
    read_backend(text, Path::new("")).map_err(|wrong| format!("{text:?}: {}; allowed: {}", wrong.what, wrong.allowed))
}

/// Reads `http://host:port/path`, `https://host/path` or `unix:SOCKET:/path` (`/` when no path is given); everything else
/// of a server that is asked is as it is when nothing is said.
pub(super) fn read_auth_url(text: &str, base: &Path) -> Result<AuthRequest, Wrong> {
    let of = |transport, host: &str, target: &str| AuthRequest {
        url: text.to_owned(),
        transport,
        host: host.to_owned(),
        target: if target.is_empty() { "/".to_owned() } else { target.to_owned() },
        ca: None,
        timeout: Duration::ZERO,
        headers: Vec::new(),
        cache: None,
        cache_entries: 0,
        cache_refusals: false,
        at_once: 0,
        idle_connections: 0,
        on_error: OnError::Refuse,
    };
    if let Some(rest) = text.strip_prefix("unix:") {
        let (path, target) = rest.split_once(":/").unwrap_or((rest, ""));
        let target = check_target(&format!("/{target}"))?.to_owned();
        return Ok(of(Transport::Unix(read_unix(path, base, AUTH_URL)?), "localhost", &target));
    }
    let (rest, secure) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        (None, None) => return Err(Wrong::new("not a URL to ask", AUTH_URL)),
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let target = check_target(target)?;
    let (host, port) =
        read_authority(authority, if secure { 443 } else { 80 }).map_err(|wrong| Wrong::new(wrong.what, AUTH_URL))?;
    let transport = if secure { Transport::Wss(host, port) } else { Transport::Ws(host, port) };
    Ok(of(transport, authority, target))
}

/// A path and query as they may stand in the first line of a request (RFC 3986 §3.3, RFC 9112 §3.2.1).
fn check_target(target: &str) -> Result<&str, Wrong> {
    if target.contains('@') {
        return Err(Wrong::new("has a user part", AUTH_URL));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/?-._~!$&'()*+,;=:%".contains(&byte);
    if !target.bytes().all(plain) {
        return Err(Wrong::new("not a path to ask", AUTH_URL));
    }
    match target.starts_with('?') {
        true => Err(Wrong::new("has a query without a path", AUTH_URL)),
        false => Ok(target),
    }
}

/// Reads the host of a route, in lower case; requests are matched without their port.
pub(super) fn read_host(text: &str) -> Result<String, Wrong> {
    if text.contains("://") || text.contains('/') {
        return Err(Wrong::new("not a host", HOST));
    }
    if text.contains('*') {
        return Err(Wrong::new("a wildcard, but a route names one host", "a host name, or no host for any"));
    }
    let port = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(_, behind)| behind.starts_with(':')),
        None => text.contains(':') && text.parse::<Ipv6Addr>().is_err(),
    };
    if port {
        return Err(Wrong::new("has a port", HOST));
    }
    // RFC 9110 §7.2: in a Host header an IPv6 address stands in brackets.
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    if !is_host_name(text) {
        return Err(Wrong::new("not a host", HOST));
    }
    Ok(text.to_ascii_lowercase())
}

/// Whether a certificate can be made for this name: an IP address, a DNS name, or `*.` and a DNS name.
pub(super) fn is_certificate_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_host_name(text.strip_prefix("*.").unwrap_or(text))
}

/// Letters, digits, hyphens and (as the world has them) underscores in labels of at most 63 (RFC 1035 §2.3.1).
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits alone makes the whole an IPv4 address, or nothing (WHATWG URL, "ends in a number").
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && (!numeric || text.parse::<Ipv4Addr>().is_ok())
}

pub(super) fn read_authority(authority: &str, default_port: u16) -> Result<(String, u16), Wrong> {
    // Before the path: a password may hold a slash.
    if authority.contains('@') {
        return Err(Wrong::new("has a user part", HOST_AND_PORT));
    }
    if let Some(at) = authority.find(['/', '?', '#']) {
        let what = if authority[at..].starts_with('/') {
            "has a path, but the client's is kept"
        } else {
            "has a query or fragment"
        };
        return Err(Wrong::new(what, HOST_AND_PORT));
    }
    let (host, port) = split_port(authority).ok_or_else(|| Wrong::new("not a backend", BACKEND))?;
    if host.is_empty() {
        return Err(Wrong::new("no host", BACKEND));
    }
    if host.parse::<IpAddr>().is_err() && !is_host_name(host) {
        return Err(Wrong::new("not a host", BACKEND));
    }
    let port = match port {
        None => default_port,
        Some(port) => read_port(port).ok_or_else(|| Wrong::new("not a port", "1 to 65535"))?,
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// The host without brackets, and what stands behind its colon.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let Some(rest) = authority.strip_prefix('[') else {
        return Some(match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    };
    let (host, behind) = rest.split_once(']')?;
    host.parse::<Ipv6Addr>().ok()?;
    match behind {
        "" => Some((host, None)),
        _ => behind.strip_prefix(':').map(|port| (host, Some(port))),
    }
}

fn read_port(text: &str) -> Option<u16> {
    // `u16::from_str` takes a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

pub(super) fn read_unix(path: &str, base: &Path, allowed: &'static str) -> Result<PathBuf, Wrong> {
    if path.is_empty() {
        return Err(Wrong::new("no path", allowed));
    }
    // `unix://run/x.sock` looks like a host; as a path it would quietly mean `/run/x.sock` or not, as the kernel likes.
    if path.starts_with("//") || path.contains('\0') {
        return Err(Wrong::new("not a path", allowed));
    }
    let path = base.join(path);
    if path.as_os_str().len() > UNIX_PATH {
        return Err(Wrong::new("path too long for a unix socket", format!("{UNIX_PATH} bytes, the folder included")));
    }
    Ok(path)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

/// The first two groups, the prefix and the last group; all between are zero.
const fn v6(first: u16, second: u16, prefix: u8, last: u16) -> IpNet {
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, last), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<Listen, String> {
        read_listen(text, Path::new("/etc/wsgate")).map_err(|wrong| wrong.what.into_owned())
    }

    fn backend(text: &str) -> Result<Transport, String> {
        read_backend(text, Path::new("/etc/wsgate"))
            .map(|backend| backend.transport)
            .map_err(|wrong| wrong.what.into_owned())
    }

    #[test]
    fn listen_addresses() {
        assert_eq!(listen("[::1]:0"), Ok(Listen::Tcp("[::1]:0".parse().expect("address"))));
        assert_eq!(listen("unix:run/a.sock"), Ok(Listen::Unix("/etc/wsgate/run/a.sock".into())));
        assert_eq!(listen("unix:/run/a.sock"), Ok(Listen::Unix("/run/a.sock".into())));
        for (text, what) in [
            ("0.0.0.0", "no port"),
            ("::1", "no port"),
            ("localhost:80", "not an address to listen on"),
            (":8443", "not an address to listen on"),
            ("127.0.0.1:99999", "not an address to listen on"),
            ("unix:", "no path"),
            ("unix://run/a", "not a path"),
        ] {
            assert_eq!(listen(text), Err(what.to_owned()), "{text}");
        }
        assert_eq!(listen(&format!("unix:/{}", "a".repeat(107))), Err("path too long for a unix socket".to_owned()));
    }

    #[test]
    fn proxies_and_presets() {
        let count = |text| read_proxies(text).map(|networks| networks.len());
        assert_eq!((count("loopback"), count("private"), count("cloudflare")), (Ok(2), Ok(4), Ok(22)));
        for network in CLOUDFLARE.iter().chain(&PRIVATE).chain(&LOOPBACK) {
            assert_eq!(network.trunc(), *network);
        }
        assert!(LOOPBACK[1].contains(&IpAddr::from(Ipv6Addr::LOCALHOST)));
        assert_eq!(read_proxies("10.1.2.3"), Ok(vec!["10.1.2.3/32".parse().expect("network")]));
        assert_eq!(
            read_proxies("10.0.0.1/8"),
            Err(Wrong::new("bits set beyond the prefix", "\"10.0.0.0/8\", or the address alone"))
        );
        for text in ["", "10.0.0.0/33", "fastly", "10.0.0"] {
            assert!(read_proxies(text).is_err(), "{text}");
        }
    }

    #[test]
    fn backends() {
        let ws = |host: &str, port| Ok(Transport::Ws(host.to_owned(), port));
        assert_eq!(backend("ws://127.0.0.1:8080"), ws("127.0.0.1", 8080));
        assert_eq!(backend("ws://Backend"), ws("backend", 80));
        assert_eq!(backend("ws://[::1]:81"), ws("::1", 81));
        assert_eq!(backend("wss://example.com"), Ok(Transport::Wss("example.com".to_owned(), 443)));
        assert_eq!(backend("unix:b.sock"), Ok(Transport::Unix("/etc/wsgate/b.sock".into())));
        for (text, what) in [
            ("http://h", "not a backend"),
            ("127.0.0.1:80", "not a backend"),
            ("wss://", "no host"),
            ("ws://:80", "no host"),
            ("ws://h/", "has a path, but the client's is kept"),
            ("ws://h?x", "has a query or fragment"),
            ("ws://u:p/x@h", "has a user part"),
            ("ws://h:0", "not a port"),
            ("ws://h:+1", "not a port"),
            ("ws://h:", "not a port"),
            ("ws://::1", "no host"),
            ("ws://[::1", "not a backend"),
            ("ws://[::1]x", "not a backend"),
            ("ws://a b", "not a host"),
            ("ws://1.2.3", "not a host"),
        ] {
            assert_eq!(backend(text), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(read_host("Example.COM"), Ok("example.com".to_owned()));
        assert_eq!(read_host("::1"), Ok("[::1]".to_owned()));
        assert_eq!(read_host("[::1]"), Ok("[::1]".to_owned()));
        for (text, what) in [
            ("example.com:443", "has a port"),
            ("[::1]:443", "has a port"),
            ("https://example.com", "not a host"),
            ("*.example.com", "a wildcard, but a route names one host"),
            ("example.com.", "not a host"),
            ("a..b", "not a host"),
            ("", "not a host"),
            ("bücher.de", "not a host"),
        ] {
            assert_eq!(read_host(text).map_err(|wrong| wrong.what.into_owned()), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn certificate_names() {
        for text in ["localhost", "127.0.0.1", "::1", "*.local.test"] {
            assert!(is_certificate_name(text), "{text}");
        }
        for text in ["", "*", "a b", "https://a", "*.*.test"] {
            assert!(!is_certificate_name(text), "{text}");
        }
    }
}
