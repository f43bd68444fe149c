//! Is there room for so many connections? If not: the command that makes it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are used for other things.
const OTHERS: u64 = 64;

/// Looks whether `connections` can be opened to `to`; raises the soft limit of descriptors if need be.
///
/// # Errors
/// What is missing, and the command that helps.
pub(crate) fn check(connections: usize, to: SocketAddr, sources: u8, is_double: bool) -> Result<(), String> {
    descriptors(connections, is_double)?;
    if sources > 0 && !to.ip().is_loopback() {
        return Err(format!("--source-addresses needs a server on loopback; {} is none", to.ip()));
    }
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    ports(connections, to, sources, &range)
}

/// `is_double`: one process holds two descriptors for each connection.
fn descriptors(connections: usize, is_double: bool) -> Result<(), String> {
    let ends = if is_double { 2 } else { 1 };
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

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: &str = "32768\t60999\n";

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn ports_that_run_out_are_told_of_with_what_mends_it() {
        let here = at("127.0.0.1:8443");
        assert_eq!(ports(28_232, here, 0, RANGE), Ok(()));
        let one =
            "28233 connections need as many ports, 28232 are there (32768 to 60999). Try:\n    --source-addresses 2";
        assert_eq!(ports(28_233, here, 0, RANGE), Err(one.to_owned()));
        assert_eq!(ports(28_233, here, 2, RANGE), Ok(()));
        let more = ports(100_000, here, 3, RANGE).expect_err("too many");
        assert!(more.ends_with("84696 are there (32768 to 60999). Try:\n    --source-addresses 4"), "{more}");
        assert_eq!(ports(100_000, here, 4, RANGE), Ok(()));
        let away = ports(28_233, at("192.0.2.1:443"), 0, RANGE).expect_err("too many");
        assert!(away.ends_with("Try:\n    sysctl -w net.ipv4.ip_local_port_range='1024 65535'"), "{away}");
    }

    #[test]
    fn descriptors_that_run_out_are_told_of_with_what_mends_it() {
        const MOST: usize = 1 << 40;
        let why = descriptors(MOST, true).expect_err("too many");
        let wanted = 2 * MOST + 64;
        assert!(why.starts_with(&format!("{MOST} connections need {wanted} descriptors, ")), "{why}");
        assert!(why.ends_with(&format!("\n    prlimit --pid $$ --nofile={wanted}:{wanted}")), "{why}");
    }

    #[test]
    fn other_source_addresses_are_of_loopback_alone() {
        let why = check(10, at("192.0.2.1:443"), 2, false).expect_err("nothing to dial from");
        assert_eq!(why, "--source-addresses needs a server on loopback; 192.0.2.1 is none");
        assert_eq!(sources(2), ["127.0.0.2", "127.0.0.3"].map(|address| address.parse::<IpAddr>().expect("one")));
    }
}
