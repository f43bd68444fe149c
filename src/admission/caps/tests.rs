//! Counting: nothing is lost, nothing is forgotten over a reload, and memory comes back.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::admission::testing::{config, hourly};

fn key(text: &str) -> AddressKey {
    text.parse::<IpAddr>().unwrap().into()
}

/// The gateway takes `all`, each address `each`, and the route `/echo` (2) at most `echo`.
fn limited(all: usize, each: usize, echo: Option<usize>) -> Config {
    let mut config = config();
    config.limits.connections = all;
    config.limits.address.connections = each;
    config.routes[2].connections = echo;
    config
}

fn is_send_and_sync<T: Send + Sync + 'static>() {}

#[test]
fn a_permit_can_travel_with_its_session() {
    is_send_and_sync::<Permit>();
}

#[test]
fn each_cap_has_its_name_and_its_place() {
    let caps = Caps::new(&limited(3, 2, Some(1)), None);
    let _a = caps.admit(1, key("192.0.2.1")).unwrap();
    let b = caps.admit(2, key("192.0.2.1")).unwrap();
    assert_eq!(caps.admit(2, key("192.0.2.1")).unwrap_err(), Refusal::AddressCap);
    assert_eq!(caps.admit(2, key("192.0.2.2")).unwrap_err(), Refusal::RouteFull);
    let _c = caps.admit(1, key("192.0.2.2")).unwrap();
    assert_eq!(caps.admit(2, key("192.0.2.2")).unwrap_err(), Refusal::GatewayFull);
    assert_eq!((caps.open(), caps.open_on(1), caps.open_on(2)), (3, 2, 1));
    drop(b);
    assert!(caps.admit(2, key("192.0.2.1")).is_ok());
    assert_eq!(caps.admit(9, key("192.0.2.9")).unwrap_err(), Refusal::NoRoute);
}

#[test]
fn an_ipv6_64_shares_one_cap_and_mapped_addresses_are_ipv4() {
    let caps = Caps::new(&limited(100, 2, None), None);
    let _held = [caps.admit(1, key("2001:db8::1")).unwrap(), caps.admit(1, key("2001:db8::2")).unwrap()];
    assert_eq!(caps.admit(1, key("2001:db8::3")).unwrap_err(), Refusal::AddressCap);
    assert!(caps.admit(1, key("2001:db8:0:1::3")).is_ok());
    let _mapped = [caps.admit(1, key("::ffff:192.0.2.1")).unwrap(), caps.admit(1, key("192.0.2.1")).unwrap()];
    assert_eq!(caps.admit(1, key("192.0.2.1")).unwrap_err(), Refusal::AddressCap);
}

#[test]
fn a_refusal_gives_back_all_but_the_token() {
    let mut config = limited(100, 1, Some(0));
    config.limits.address.handshakes = hourly(2);
    let caps = Caps::new(&config, None);
    assert_eq!(caps.admit(2, key("192.0.2.1")).unwrap_err(), Refusal::RouteFull);
    assert_eq!((caps.open(), caps.addresses()), (0, 1));
    let held = caps.admit(1, key("192.0.2.1")).unwrap();
    let late = caps.admit(1, key("192.0.2.1")).unwrap_err();
    assert!(matches!(late, Refusal::AddressRate { retry_after } if retry_after.get() == 1800), "{late:?}");
    drop(held);
}

#[test]
fn a_routes_own_address_limits_are_counted_apart() {
    let mut config = limited(100, 1, None);
    config.routes[3].address = Some(AddressLimits { connections: 2, handshakes: None });
    let caps = Caps::new(&config, None);
    let _chat = caps.admit(1, key("192.0.2.1")).unwrap();
    assert_eq!(caps.admit(2, key("192.0.2.1")).unwrap_err(), Refusal::AddressCap);
    let _own = [caps.admit(3, key("192.0.2.1")).unwrap(), caps.admit(3, key("192.0.2.1")).unwrap()];
    assert_eq!(caps.admit(3, key("192.0.2.1")).unwrap_err(), Refusal::AddressCap);
}

#[test]
fn a_reload_forgets_nobody() {
    let mut config = limited(3, 3, Some(3));
    config.routes[3].address = Some(AddressLimits { connections: 1, handshakes: hourly(2) });
    let old = Caps::new(&config, None);
    let echo = old.admit(2, key("192.0.2.1")).unwrap();
    let proxied = old.admit(3, key("192.0.2.1")).unwrap();

    config.routes.remove(0);
    config.routes[1].connections = Some(1);
    let new = Caps::new(&config, Some(&old));
    assert_eq!((new.open(), new.open_on(1), new.open_on(2)), (2, 1, 1));
    assert_eq!(new.admit(1, key("192.0.2.2")).unwrap_err(), Refusal::RouteFull);
    assert_eq!(new.admit(2, key("192.0.2.1")).unwrap_err(), Refusal::AddressCap);
    assert!(matches!(new.admit(2, key("192.0.2.1")), Err(Refusal::AddressRate { .. })));
    drop((echo, proxied, old));
    assert_eq!((new.open(), new.open_on(1), new.open_on(2)), (0, 0, 0));
}

#[test]
fn a_sweep_leaves_nothing_of_a_crowd() {
    let mut config = limited(usize::MAX, 10, None);
    config.limits.address.handshakes = std::num::NonZeroU32::new(1000)
        .map(|count| crate::config::Rate { count, per: std::time::Duration::from_millis(1) });
    let caps = Caps::new(&config, None);
    let crowd: Vec<_> = (0..10_000_u32).map(|last| caps.admit(1, AddressKey::V6(u64::from(last))).unwrap()).collect();
    assert!(caps.addresses() >= crowd.len());
    drop(crowd);
    // The buckets are full again a millisecond later, at the most.
    while caps.addresses() > 0 {
        caps.sweep();
    }
}

#[test]
fn threads_never_pass_a_cap() {
    let caps = Caps::new(&limited(7, 3, Some(2)), None);
    let admitted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (caps, admitted) = (&caps, &admitted);
            scope.spawn(move || {
                for round in 0..4_000 {
                    let permit = caps.admit(1 + (round % 2) as usize, AddressKey::V6((thread + round) % 3));
                    assert!(caps.open() <= 7 && caps.open_on(2) <= 2);
                    admitted.fetch_add(usize::from(permit.is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(admitted.into_inner() > 0);
    assert_eq!((caps.open(), caps.open_on(1), caps.open_on(2), caps.addresses()), (0, 0, 0, 0));
}

proptest! {
    /// Whatever is admitted, refused, reloaded and dropped in whatever order: in the end nothing is counted.
    #[test]
    fn permits_always_return_to_zero(steps in proptest::collection::vec((0u8..8, 0usize..6, 0u64..4), 0..80)) {
        let mut config = limited(6, 3, Some(2));
        config.routes[3].address = Some(AddressLimits { connections: 1, handshakes: None });
        let mut caps = Caps::new(&config, None);
        let mut held = Vec::new();
        for (step, route, address) in steps {
            match step {
                0 => caps = Caps::new(&config, Some(&caps)),
                1 => caps.sweep(),
                2 | 3 => if !held.is_empty() { drop(held.swap_remove(address as usize % held.len())); },
                _ => held.extend(caps.admit(route, AddressKey::V6(address))),
            }
            prop_assert_eq!(caps.open(), held.len());
            prop_assert!(held.len() <= 6 && caps.open_on(2) <= 2);
        }
        drop(held);
        prop_assert_eq!((caps.open(), caps.addresses()), (0, 0));
        prop_assert!((0..5).all(|route| caps.open_on(route) == 0));
    }
}
