//! A pool as its table would write it.

use serde_json::{Value, json};

use super::{path, time, url, word};
use crate::config::{Backend, Balance, Check, Ejection, HashBy, Health, Pool, ProxyProtocol, SourceAddress};

/// What the profile decides is null.
pub(super) fn told(pool: &Pool) -> Value {
    let Pool {
        backends,
        balance,
        hash,
        connections_per_backend,
        queue,
        queue_timeout,
        handshakes_at_once,
        connect_timeout,
        answer_timeout,
        source_address,
        proxy_protocol,
        retries,
        retry_budget,
        ejection,
        slow_start,
        health,
        ca,
    } = pool;
    let mut told = json!({
        "backends": backends.iter().map(backend).collect::<Vec<_>>(),
        "balance": match balance {
            Balance::RoundRobin => "round_robin",
            Balance::LeastConnections => "least_connections",
            Balance::RandomTwo => "random_two",
            Balance::Hash => "hash",
        },
        "hash": match hash {
            HashBy::Address => "address".to_owned(),
            HashBy::Header(name) => format!("header:{name}"),
            HashBy::Cookie(name) => format!("cookie:{name}"),
        },
        "connections_per_backend": connections_per_backend,
        "queue": queue,
        "queue_timeout": time(*queue_timeout),
        "handshakes_at_once": handshakes_at_once,
        "connect_timeout": time(*connect_timeout),
        "answer_timeout": time(*answer_timeout),
        "source_address": source_address.map(|source| word(&SourceAddress::ALL, &source)),
        "proxy_protocol": match proxy_protocol {
            None => "off",
            Some(ProxyProtocol::V1) => "v1",
            Some(ProxyProtocol::V2) => "v2",
        },
        "retries": retries,
        "retry_budget": retry_budget,
        "slow_start": time(*slow_start),
        "ca": ca.as_deref().map(path)
    });
    let Ejection { after, time: first, max, last } = ejection;
    told["eject_after"] = (*after).into();
    told["eject_time"] = time(*first);
    told["eject_max"] = time(*max);
    told["eject_last"] = (*last).into();
    tell_health(health, &mut told);
    told
}

fn backend(backend: &Backend) -> Value {
    // How it is reached is what its URL says.
    let Backend { url: written, transport: _, weight, backup } = backend;
    json!({ "url": url(written), "weight": weight, "backup": backup })
}

fn tell_health(health: &Health, told: &mut Value) {
    let Health { check, interval, timeout, rise, fall, path, ping } = health;
    told["health"] = match check {
        Check::Off => "off",
        Check::Tcp => "tcp",
        Check::Handshake => "handshake",
    }
    .into();
    told["health_interval"] = time(*interval);
    told["health_timeout"] = time(*timeout);
    told["health_rise"] = (*rise).into();
    told["health_fall"] = (*fall).into();
    told["health_path"] = url(path);
    told["health_ping"] = (*ping).into();
}
