//! What is said of a visitor to those behind: to whoever is asked about it, and to the backend.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};

use super::answer::Asker;
use super::session::Place;
use super::snapshot::{LiveProxy, LiveTarget};
use crate::admission::refusal::Refusal;
use crate::auth::Pass;
use crate::client;
use crate::config::TraceParent;
use crate::lifecycle::Phase;
use crate::pool::{Again, Current, DialError};
use crate::telemetry::metrics::{Opening, Stand};
use crate::wire;
use crate::wire::head::{Ask, Forwarded, OverBudget};
use crate::wire::trace::Trace;

/// What a backend gets to see of a client's request.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) target: &'a str,
    pub(super) vouched: &'a [(String, HeaderValue)],
    pub(super) forwarded: Forwarded<'a>,
}

/// What is vouched for: by a token or a server that was asked, by the client's certificate, and by the gateway itself.
pub(super) fn vouched<'a>(
    asker: &'a Asker,
    pass: Option<&'a Pass>,
    trace: Option<&Trace>,
) -> Cow<'a, [(String, HeaderValue)]> {
    let passed = pass.map_or(&[][..], |pass| &pass.vouched);
    let certified = asker.identity.as_deref().unwrap_or(&[]);
    let traced = trace.map_or_else(Vec::new, traced);
    match (passed, certified, &traced[..]) {
        (all, [], []) | ([], all, []) => Cow::Borrowed(all),
        _ => Cow::Owned([passed, certified, &traced].concat()),
    }
}

/// The trace that this request to this place belongs to, as far as anybody wants to know.
pub(super) fn trace_of(target: &LiveTarget, client: &HeaderMap) -> Option<Trace> {
    let wish = match target {
        LiveTarget::Proxy(proxy) => proxy.head.traceparent,
        _ => TraceParent::Pass,
    };
    let said = || client.contains_key("traceparent").then(|| Trace::of(client, client::random())).flatten();
    match wish {
        TraceParent::Off => None,
        TraceParent::Pass => said(),
        TraceParent::Make => said().or_else(|| Some(Trace::new(client::random(), client::random()))),
    }
}

/// §2.1 of Trace Context wants these names in lower case.
fn traced(trace: &Trace) -> Vec<(String, HeaderValue)> {
    let lines = [("traceparent", Some(trace.own.to_string())), ("tracestate", trace.state.clone())];
    let line = |(name, value): (&str, Option<String>)| Some((name.to_owned(), HeaderValue::try_from(value?).ok()?));
    lines.into_iter().filter_map(line).collect()
}

/// A backend's WebSocket as a place, or why there is none; refused at once where the drain is faster. With it comes the
/// subprotocol that the client is told.
pub(super) async fn dial(
    asker: &Asker,
    proxy: &LiveProxy,
    shown: Shown<'_>,
    (offered, opening): (&[String], &Opening),
) -> Result<Result<(Place, Option<String>), DialError>, Refusal> {
    let LiveProxy { pool, legacy, head: rules, hold } = proxy;
    let Shown { headers, target, vouched, forwarded } = shown;
    let (target, key) = (rules.target(target), client::key(client::random()));
    let ask = Ask { target: &target, key: &key, client: headers, forwarded, vouched, rules: rules.rules() };
    let written = wire::head::request(&ask).map_err(|OverBudget { over }| Refusal::BackendHead { over })?;
    if !written.dropped.is_empty() {
        tracing::debug!(pool = pool.name(), dropped = ?written.dropped, "a request head was cut to its budget");
    }
    let wish = pool.wish((headers, forwarded.client), written, rules.offered(offered));
    opening.step(Stand::Waiting);
    // A drain frees places one after the other: whoever waits for one would only be sent home again.
    let entered = tokio::select! {
        biased;
        entered = pool.enter(&wish) => entered,
        () = asker.shared.life.reached(Phase::Draining) => return Err(Refusal::Draining),
    };
    opening.step(Stand::Dialling);
    let dialled = match entered {
        Ok(lease) => pool.dial(lease, &wish).await,
        Err(error) => Err(error),
    };
    Ok(dialled.map(|dialled| {
        let chosen = dialled.protocol.clone();
        let protocol = rules.named(offered, chosen.clone());
        let again = hold.map(|hold| {
            let again = Again::new(Arc::clone(pool), current(asker, pool.name()), wish, chosen);
            (hold, Box::new(again))
        });
        let (dialled, pool) = (Box::new(dialled), Arc::clone(pool));
        (Place::Backend { dialled, legacy: *legacy, again, pool }, protocol)
    }))
}

/// A session outlives the configuration that it came in with, and backends move.
fn current(asker: &Asker, name: &str) -> Current {
    let (shared, name) = (Arc::clone(&asker.shared), name.to_owned());
    Box::new(move || shared.snapshot.load().pool(&name).cloned())
}

/// X-Forwarded-For as it came. Proxies may add a line of their own. A chain that did not lead to the client (see
/// `client_address`) is no chain.
pub(super) fn hops(asker: &Asker, client: IpAddr, headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let chain = lines.collect::<Vec<_>>().join(", ");
    let leads = asker.snapshot.gate.trusts(asker.peer) && !chain.is_empty() && client != asker.peer;
    leads.then_some(chain)
}

/// What is said of the client, to backends and to whoever is asked about it.
pub(super) fn forwarded<'a>(
    asker: &Asker,
    client: IpAddr,
    headers: &'a HeaderMap,
    chain: Option<&'a str>,
) -> Forwarded<'a> {
    // A PROXY header tells who the client is, and nothing of what the client's own headers are worth.
    let trusted = asker.snapshot.gate.trusts(asker.peer);
    let scheme = trusted.then(|| headers.get("x-forwarded-proto")?.to_str().ok()).flatten();
    Forwarded {
        client,
        chain,
        peer: asker.peer,
        secure: scheme.map_or(asker.secure, |scheme| scheme.eq_ignore_ascii_case("https")),
        host: headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
    }
}
