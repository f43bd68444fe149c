//! Is there room for so many connections? If not: the command that makes it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are used for other things.
const OTHERS: u64 = 64;

/// Looks whether `connections` can be opened to `to`; raises the soft limit of descriptors if need be.
///
/// # Errors
/// What is missing, and the command that helps.
pub(crate) fn check(connections: usize, to: SocketAddr, sources: u8, own_server: bool) -> Result<(), String> {
    descriptors(connections, own_server)?;
    if sources > 0 && !to.ip().is_loopback() {
        return Err(format!("--source-addresses needs a server on loopback; {} is none", to.ip()));
    }
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    ports(connections, to, sources, &range)
}

fn descriptors(connections: usize, own_server: bool) -> Result<(), String> {
    let ends = if own_server { 2 } else { 1 };
    let wanted = ends * connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|have| have >= wanted) {
        return Ok(());
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if raised.is_ok() && limit.maximum.is_none_or(|most| most >= wanted) {
        return Ok(());
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    Err(format!(
        "{connections} connections need {wanted} descriptors, {most} are allowed. As root, for this shell:\n    \
         prlimit --pid $$ --nofile={wanted}:{wanted}"
    ))
}

/// The kernel gives each connection to the same server a port of its own, for each local address.
fn ports(connections: usize, to: SocketAddr, sources: u8, range: &str) -> Result<(), String> {
    let mut bounds = range.split_whitespace().filter_map(|bound| bound.parse::<usize>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else { return Ok(()) };
    let each = high.saturating_sub(low) + 1;
    let have = each * usize::from(sources.max(1));
    if connections <= have {
        return Ok(());
    }
    let wider = "sysctl -w net.ipv4.ip_local_port_range='1024 65535'";
    let help = if to.ip().is_loopback() {
        format!("--source-addresses {}", connections.div_ceil(each))
    } else {
        wider.to_owned()
    };
    Err(format!("{connections} connections need as many ports, {have} are there ({low} to {high}). Try:\n    {help}"))
}

/// The local addresses to dial from.
pub(crate) fn sources(count: u8) -> Vec<IpAddr> {
    (0..count).map(|at| IpAddr::V4(Ipv4Addr::new(127, 0, 0, at.saturating_add(2)))).collect()
}
