//! Pools and their backends at the desk: how each stands.

use http::{Method, request};
use serde_json::{Value, json};

use super::query::{self, seconds};
use super::rest_of;
use super::wrong::{Wrong, shown};
use crate::admin::Reply;
use crate::gateway::snapshot::Snapshot;
use crate::pool::{BackendState, PoolState};

/// Answers.
pub(super) fn serve(snapshot: &Snapshot, head: &request::Parts) -> Result<Reply, Wrong> {
    if !rest_of(head).is_empty() {
        return Err(Wrong::Path);
    }
    if head.method != Method::GET {
        return Err(Wrong::Method(&[Method::GET]));
    }
    let mut only = None;
    query::read(head.uri.query(), |key, value| {
        if key == "pool" {
            only = Some(value.to_owned());
        }
        Ok(key == "pool")
    })?;
    let pools = snapshot.pools().filter(|pool| only.as_deref().is_none_or(|only| pool.name() == only));
    let pools: Vec<Value> = pools.map(|pool| told(&pool.state())).collect();
    Ok(shown(&json!({ "pools": pools })))
}

fn told(state: &PoolState) -> Value {
    let PoolState { pool, waiting, queue, refused, retries, retries_refused, backends } = state;
    let backends: Vec<Value> = backends.iter().map(backend).collect();
    json!({
        "pool": pool, "waiting": waiting, "queue": queue, "refused": refused, "retries": retries,
        "retries_refused": retries_refused, "backends": backends
    })
}

fn backend(state: &BackendState) -> Value {
    let checks = state
        .checks
        .map(|checks| json!({ "passing": checks.is_passing, "last_seconds_ago": checks.last.map(seconds) }));
    json!({
        "backend": state.backend,
        "usable": state.is_usable,
        "drained": state.is_drained,
        "ejected_seconds": state.ejected_for.map(seconds),
        "checks": checks,
        "failures": state.failures,
        "ejections": state.ejections,
        "open": state.open,
        "max": state.cap,
        "handshakes": state.handshakes,
        "weight": state.weight,
        "backup": state.is_backup
    })
}
