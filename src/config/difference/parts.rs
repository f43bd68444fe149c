//! Which keys of a route or a pool are not what they were.

use crate::config::{Pool, Route, Target};

/// The keys, in the order of the manual.
pub(super) fn of_route(old: &Route, new: &Route) -> Vec<&'static str> {
    // Named one by one, so that a new key does not compile until it has its place below.
    let Route {
        path: _,
        host: _,
        origins,
        require_origin,
        refuse,
        connections,
        address,
        auth,
        limits,
        client_certificate,
        target,
        pages,
    } = old;
    let is_limited_otherwise = *connections != new.connections || *address != new.address || *limits != new.limits;
    only([
        ("origins", *origins != new.origins),
        ("require_origin", *require_origin != new.require_origin),
        ("refuse", *refuse != new.refuse),
        ("limits", is_limited_otherwise),
        ("auth", *auth != new.auth),
        ("client_certificate", *client_certificate != new.client_certificate),
        (key_of(&new.target), *target != new.target),
        ("http", *pages != new.pages),
    ])
}

/// The key that says where a route leads.
const fn key_of(target: &Target) -> &'static str {
    match target {
        Target::Hub(_) => "hub",
        Target::Echo => "echo",
        Target::Proxy(_) => "proxy",
        Target::Redirect(_) => "redirect",
        Target::Pages => "http",
    }
}

/// The same for a pool.
pub(super) fn of_pool(old: &Pool, new: &Pool) -> Vec<&'static str> {
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
    } = old;
    only([
        ("backends", *backends != new.backends),
        ("balance", *balance != new.balance),
        ("hash", *hash != new.hash),
        ("connections_per_backend", *connections_per_backend != new.connections_per_backend),
        ("queue", *queue != new.queue),
        ("queue_timeout", *queue_timeout != new.queue_timeout),
        ("handshakes_at_once", *handshakes_at_once != new.handshakes_at_once),
        ("connect_timeout", *connect_timeout != new.connect_timeout),
        ("answer_timeout", *answer_timeout != new.answer_timeout),
        ("source_address", *source_address != new.source_address),
        ("proxy_protocol", *proxy_protocol != new.proxy_protocol),
        ("retries", *retries != new.retries),
        ("retry_budget", *retry_budget != new.retry_budget),
        ("eject", *ejection != new.ejection),
        ("slow_start", *slow_start != new.slow_start),
        ("health", *health != new.health),
        ("ca", *ca != new.ca),
    ])
}

/// Those that are another, each once.
fn only<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    let mut parts: Vec<_> = keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect();
    parts.dedup();
    parts
}
