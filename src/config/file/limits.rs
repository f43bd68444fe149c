//! Reads `[limits]` and a route's own `limits`; what is not named is taken from the gateway's, and that from defaults.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use crate::config::{AddressLimits, GatewayLimits, SessionLimits, SlowClient};

const KIB: usize = 1 << 10;
const GIB: usize = 1 << 30;

/// More connections than one machine has ever held.
const CONNECTIONS: RangeInclusive<usize> = 1..=10_000_000;

/// Below a few milliseconds a timer fires before the peer could have answered.
pub(super) const SHORT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(600);

/// For times that may span a working day, or a connection's whole life.
const LONG: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(365 * 24 * 3600);

const SLOW: [(&str, SlowClient); 3] =
    [("close", SlowClient::Close), ("drop_oldest", SlowClient::DropOldest), ("latest", SlowClient::Latest)];

/// A route's limits: its session's, and its own counts.
pub(super) struct RouteLimits {
    pub(super) session: SessionLimits,
    pub(super) connections: Option<usize>,
    pub(super) address: Option<AddressLimits>,
}

/// `[limits]`: the gateway's own, and what a session gets where its route says nothing.
pub(super) fn read_gateway(table: Option<Table<'_>>) -> (GatewayLimits, SessionLimits) {
    let (default, session) = (GatewayLimits::default(), SessionLimits::default());
    let Some(table) = table else {
        return (default, session);
    };
    let limits = GatewayLimits {
        connections: table.count("connections", CONNECTIONS).unwrap_or(default.connections),
        pending: table.count("pending", CONNECTIONS).unwrap_or(default.pending),
        pending_per_address: table.count("pending_per_address", CONNECTIONS).unwrap_or(default.pending_per_address),
        // hyper's own buffer cannot be smaller than 8 KiB.
        request_head: table.size("request_head", 8 * KIB..=256 * KIB).unwrap_or(default.request_head),
        address: AddressLimits {
            connections: table.count("connections_per_address", CONNECTIONS).unwrap_or(default.address.connections),
            handshakes: table.rate("handshakes_per_address").unwrap_or(default.address.handshakes),
        },
    };
    let session = read_session(&table, session);
    table.finish();
    (limits, session)
}

/// A route's `limits`; a cap by address that names only one of the two takes the other from the gateway.
pub(super) fn read_route(table: Option<Table<'_>>, gateway: &GatewayLimits, session: SessionLimits) -> RouteLimits {
    let Some(table) = table else {
        return RouteLimits { session, connections: None, address: None };
    };
    let per_address = table.count("connections_per_address", CONNECTIONS);
    let handshakes = table.rate("handshakes_per_address");
    let limits = RouteLimits {
        session: read_session(&table, session),
        connections: table.count("connections", CONNECTIONS),
        address: (per_address.is_some() || handshakes.is_some()).then(|| AddressLimits {
            connections: per_address.unwrap_or(gateway.address.connections),
            handshakes: handshakes.unwrap_or(gateway.address.handshakes),
        }),
    };
    table.finish();
    limits
}

fn read_session(table: &Table<'_>, default: SessionLimits) -> SessionLimits {
    SessionLimits {
        message_size: table.size("message_size", KIB..=GIB).unwrap_or(default.message_size),
        messages: table.rate("messages_per_connection").unwrap_or(default.messages),
        idle_timeout: table.optional_duration("idle_timeout", LONG).unwrap_or(default.idle_timeout),
        ping_interval: table.optional_duration("ping_interval", LONG).unwrap_or(default.ping_interval),
        max_lifetime: table.optional_duration("max_lifetime", LONG).unwrap_or(default.max_lifetime),
        credentials: None,
        close_timeout: table.duration("close_timeout", SHORT).unwrap_or(default.close_timeout),
        // Less than this and one TLS record of 16 KiB on its way could fill half the queue.
        send_queue: table.size("send_queue", 32 * KIB..=GIB).unwrap_or(default.send_queue),
        slow_client: table.choice("slow_client", &SLOW, &[]).unwrap_or(default.slow_client),
        utf8: table.flag("utf8").unwrap_or(default.utf8),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Rate};

    fn config(text: &str) -> Config {
        Config::parse(text, "test.toml", Path::new("")).expect("valid")
    }

    #[test]
    fn a_route_takes_what_it_does_not_name_from_the_gateway() {
        let config = config(
            "limits = { message_size = \"2KiB\", idle_timeout = \"1m\", handshakes_per_address = \"7/m\" }\n\
             [[route]]\npath = \"/a\"\necho = {}\nlimits = { idle_timeout = \"0s\", connections_per_address = 3 }\n\
             [[route]]\npath = \"/b\"\necho = {}\n",
        );
        let [a, b] = config.routes.as_slice() else { panic!("two routes") };
        assert_eq!((a.limits.message_size, a.limits.idle_timeout), (2048, None));
        assert_eq!(b.limits.idle_timeout, Some(Duration::from_secs(60)));
        let handshakes = Some(Rate { count: 7.try_into().expect("not zero"), per: Duration::from_secs(60) });
        assert_eq!(a.address, Some(AddressLimits { connections: 3, handshakes }));
        assert_eq!(b.address, None);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let config = config("[limits]\nhandshakes_per_address = \"0/s\"\n[[route]]\npath = \"/\"\necho = {}\n");
        assert_eq!(config.limits.address.handshakes, None);
    }
}
