//! Experiments with several connections: caps by address, other addresses, and whether places are given back.

use std::net::IpAddr;

use super::answer::Answered;
use super::bench::Bench;
use super::findings::Findings;
use super::heads::Verdict;
use super::line::Line;
use super::place::Approach;
use crate::lifecycle::clock as time;

/// Connections from one address at most.
const MANY: usize = 10;
/// How often one who was refused comes back.
const RETURNS: u32 = 5;
/// Who leaves by reset when no cap is known.
const RESETS: usize = 6;

/// Fills one address up to ten connections, tries other addresses, and comes back after all have left.
pub(super) async fn one_address(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let from = address(bench, 1).await;
    let (guests, refusal) = fill(bench, from).await;
    let open = guests.len();
    let Some(refusal) = refusal else {
        leave(guests).await;
        return Ok(format!("{open} connections from one address are served"));
    };
    // Without an address of its own, the watcher's place counts as well.
    let open = if from.is_none() { open + 1 } else { open };
    findings.cap = Some(open);
    let others = spread(bench, from).await;
    findings.spread = others;
    leave(guests).await;
    let back = returns(bench, from).await;
    let elsewhere = match others {
        Some(true) => ", while other addresses get in",
        Some(false) => ", and other addresses do not get in either",
        None => "",
    };
    let back = if back { "after they leave by FIN there is room again" } else { "their places are not given back" };
    Ok(format!("{open} connections from one address are served, the next one is not ({refusal}){elsewhere}; {back}"))
}

/// An address of the probe's own where there are such: whatever the server remembers of it harms nobody.
async fn address(bench: &Bench, number: u8) -> Option<IpAddr> {
    let from = bench.place.spare_address(number)?;
    let guest = bench.guest_by(Approach { from: Some(from), reset: false }).await.ok()?;
    guest.leave().await;
    Some(from)
}

async fn fill(bench: &Bench, from: Option<IpAddr>) -> (Vec<Line>, Option<Answered>) {
    let mut guests = Vec::new();
    while guests.len() < MANY {
        match bench.guest_by(Approach { from, reset: false }).await {
            Ok(guest) => guests.push(guest),
            Err(refusal) => return (guests, Some(refusal)),
        }
    }
    (guests, None)
}

async fn leave(guests: Vec<Line>) {
    for guest in guests {
        guest.leave().await;
    }
}

/// Whether two more addresses get in while this one is full.
async fn spread(bench: &Bench, full: Option<IpAddr>) -> Option<bool> {
    full?;
    let mut all = true;
    for number in 2..4 {
        let from = bench.place.spare_address(number);
        match bench.guest_by(Approach { from, reset: false }).await {
            Ok(guest) => {
                guest.leave().await;
            }
            Err(_) => all = false,
        }
    }
    Some(all)
}

async fn returns(bench: &Bench, from: Option<IpAddr>) -> bool {
    for wait in 0..RETURNS {
        time::sleep(bench.quiet / 4 * wait).await;
        if let Ok(guest) = bench.guest_by(Approach { from, reset: false }).await {
            guest.leave().await;
            return true;
        }
    }
    false
}

/// Connections from other loopback addresses.
pub(super) async fn other_addresses(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    if !bench.place.is_loopback() {
        return Ok(
            "not tried: only a server on this machine's 127.0.0.1 can be reached from other addresses".to_owned()
        );
    }
    for number in 4..7 {
        findings.elsewhere = Some(false);
        let from = bench.place.spare_address(number);
        match bench.guest_by(Approach { from, reset: false }).await {
            Ok(guest) => {
                guest.leave().await;
            }
            Err(answered) => {
                return Ok(format!("from {}: {answered}", from.map_or(String::new(), |ip| ip.to_string())));
            }
        }
    }
    findings.elsewhere = Some(true);
    Ok("three other addresses of 127.0.0.0/8 are served".to_owned())
}

/// Leaves by RST as often as the cap allows, and looks whether there is still room for the address.
pub(super) async fn reset(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let Some(from) = address(bench, 9).await else {
        return Ok("not tried: a server that never forgets would shut out this machine's own address".to_owned());
    };
    let times = findings.cap.unwrap_or(RESETS);
    for _ in 0..times {
        // The end of its life is the reset.
        drop(bench.guest_by(Approach { from: Some(from), reset: true }).await?);
    }
    let back = returns(bench, Some(from)).await;
    findings.reset = Some(back);
    Ok(match back {
        true => format!("{times} times; there is still room for the address"),
        false => format!("{times} times; then the address is shut out, until the server starts again"),
    })
}
