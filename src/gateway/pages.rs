//! Ordinary HTTP on its way to a pool: who asks is made sure of, and what comes of it is told.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Response, Uri, request};
use http_body_util::Either;
use hyper::body::{Body as _, Incoming};

use super::answer::{Asker, pass_no_on};
use super::reply::Answer;
use super::snapshot::{LivePages, LiveRoute};
use super::visit::{Shown, forwarded, hops, vouched};
use crate::admission::Passing;
use crate::admission::body::BodyFault;
use crate::admission::refusal::Refusal;
use crate::auth::{Denied, Visit};
use crate::config::Refuse;
use crate::courier::{Errand, Undelivered};
use crate::lifecycle::Phase;
use crate::pool::{Caller, DialError, Lease};
use crate::wire::passing;

/// Passes one request on, and its answer back. When dropped half-way (the client is gone), the backend is left at once.
pub(super) async fn pass(
    asker: &Asker,
    passing: &Passing,
    (head, body): (&request::Parts, Incoming),
) -> Result<Answer, Refusal> {
    let LiveRoute { pages: Some(pages), guard, .. } = &asker.snapshot.routes[passing.route] else {
        return Err(Refusal::NoRoute);
    };
    asker.record.borrow_mut().address = Some(passing.client);
    let turn = asker.answering.begin(pages.wishes.body_timeout);
    let place = pages.open.take(pages.wishes.at_once).ok_or(Refusal::RouteFull)?;
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > pages.wishes.body {
        return Err(Refusal::Body(BodyFault::TooLarge));
    }
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let hops = hops(asker, passing.client, &head.headers);
    let forwarded = forwarded(asker, passing.client, &head.headers, hops.as_deref());
    let mut shown = Shown { headers: &head.headers, target, vouched: &[], forwarded };
    let pass = match guard {
        Some(guard) => match guard.check(&Visit { headers: shown.headers, target, forwarded }).await {
            Ok(pass) => Some(pass),
            Err(Denied::Refused(refusal)) => return Err(refusal),
            Err(Denied::Answered(no)) => return pass_no_on(asker, Refuse::Http, no),
        },
        None => None,
    };
    let vouched = vouched(asker, pass.as_ref(), None);
    shown.vouched = &vouched;
    if let Some(pass) = &pass {
        shown = Shown { headers: &pass.headers, target: &pass.target, vouched: &vouched, forwarded };
    }
    let caller = pages.pool.caller((shown.headers, passing.client));
    let lease = enter(asker, pages, caller).await?;
    let errand = Errand { pool: &pages.pool, caller, wishes: &pages.wishes, lines: &asker.lines };
    let carried = errand.carry(lease, written(head, pages, shown), body, Box::new((turn, place))).await;
    let answer = carried.map_err(|why| explain(pages, &why))?;
    asker.record.borrow_mut().answer(answer.status().as_u16());
    tracing::debug!(pool = pages.pool.name(), method = %head.method, status = answer.status().as_u16(), "passed on");
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, Either::Right(Box::new(body))))
}

/// The request as the backend gets it.
fn written(head: &request::Parts, pages: &LivePages, shown: Shown<'_>) -> request::Parts {
    let target = pages.wishes.target(shown.target);
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = head.method.clone();
    parts.uri = target.parse::<PathAndQuery>().map(Uri::from).unwrap_or_default();
    parts.headers = passing::request(shown.headers, &shown.forwarded, shown.vouched);
    parts
}

/// A drain frees places one after the other: whoever waits for one would only be sent home again.
async fn enter(asker: &Asker, pages: &Arc<LivePages>, caller: Caller) -> Result<Lease, Refusal> {
    tokio::select! {
        biased;
        entered = pages.pool.enter_as(caller) => entered.map_err(|error| explain(pages, &Undelivered::Dial(error))),
        () = asker.shared.life.reached(Phase::Draining) => Err(Refusal::Draining),
    }
}

/// What went wrong, for the log in full and for the client in one line.
fn explain(pages: &LivePages, why: &Undelivered) -> Refusal {
    match why {
        Undelivered::Body(fault) => Refusal::Body(*fault),
        _ => {
            tracing::warn!(pool = pages.pool.name(), error = %why, "no answer for a client");
            match why {
                Undelivered::Dial(DialError::Full) => Refusal::BackendsFull,
                Undelivered::Dial(DialError::QueueTimeout) => Refusal::QueueTimeout,
                Undelivered::Dial(DialError::OutOfService) => Refusal::NoBackend,
                Undelivered::Dial(DialError::ConnectTimeout(_)) | Undelivered::Late(_) => Refusal::BackendTimeout,
                Undelivered::Dial(_) => Refusal::BackendRefused,
                Undelivered::Broken(..) | Undelivered::Body(_) => Refusal::BackendBroken,
            }
        }
    }
}
