//! A request becomes a decision, the decision a place, the place a 101; everything else gets its one plain line.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode, request};
use hyper::body::{Bytes, Incoming};

use super::Shared;
use super::accept::Side;
use super::answering::Answering;
use super::entry::{enter, own_limits};
use super::farewell::Farewell;
use super::pages;
use super::reply::{Answer, close_after, redirect, show, switch, text};
use super::session::{Place, Promise, Session};
use super::snapshot::{LiveRoute, LiveTarget, Snapshot};
use super::to_https;
use super::visit::{Shown, dial, forwarded, hops, trace_of, vouched};
use crate::admission::refusal::Refusal;
use crate::admission::{self, Admission, Outcome, PlainRequest, Visible};
use crate::auth::{Denied, No, Pass, Visit};
use crate::config::Refuse;
use crate::courier::Lines;
use crate::hub::page;
use crate::lifecycle::Phase;
use crate::pool::{DialError, Pool};
use crate::telemetry::record::Record;
use crate::telemetry::sample::Kind;
use crate::wire::close::Close;
use crate::wire::offer::has_body;
use crate::wire::request_head::HeadError;

/// Who asks: one connection before its upgrade.
pub(super) struct Asker {
    pub(super) shared: Arc<Shared>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) secure: bool,
    /// The listener's.
    pub(super) side: Side,
    pub(super) peer: IpAddr,
    pub(super) proxied: bool,
    /// What backends are told of a client that has shown a certificate; absent: it has shown none.
    pub(super) identity: Option<Vec<(String, HeaderValue)>>,
    pub(super) record: Rc<RefCell<Record>>,
    pub(super) answering: Rc<Answering>,
    /// The worker's connections to backends of ordinary HTTP.
    pub(super) lines: Rc<Lines>,
    /// Left here with a 101, for whoever has the socket when it is sent.
    pub(super) promise: RefCell<Option<Promise>>,
}

/// Answers one request. When dropped half-way (the client is gone), everything it took is given back.
pub(super) async fn answer(asker: &Asker, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    note_host(asker, &head.headers);
    if asker.side == Side::ToHttps {
        return lead_away(asker, &head);
    }
    let is_upgrade = head.headers.contains_key(header::UPGRADE);
    let arrival = admission::Arrival {
        method: &head.method,
        version: head.version,
        uri: &head.uri,
        headers: &head.headers,
        peer: asker.peer,
        proxied: asker.proxied,
        secure: asker.secure,
        certified: asker.identity.is_some(),
    };
    if has_two_minds(&head) {
        return refuse(asker, Refusal::Head(HeadError::BadHost));
    }
    let gate = &asker.snapshot.gate;
    if let Some(warning) = is_upgrade.then(|| gate.suspicion(&arrival)).flatten() {
        tracing::warn!("{warning}");
    }
    let draining = asker.shared.life.phase() >= Phase::Draining;
    let mut is_read = false;
    let answer = match gate.decide(&arrival, draining) {
        Outcome::Plain(plain) => Ok(answer_plain(asker, &plain, &head)),
        Outcome::Refuse(refusal) => {
            note_origin(asker, refusal, &head.headers);
            Err(refusal)
        }
        Outcome::Upgrade(admission) => upgrade(asker, admission, &head).await,
        Outcome::Pass(passing) => {
            let answer = pages::pass(asker, &passing, (&head, body)).await;
            // Who has the answer's end has read to the body's, or is about to.
            is_read = answer.is_ok();
            answer
        }
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => tell(asker, &arrival, refusal).unwrap_or_else(|| refuse(asker, refusal)),
    };
    // Whatever follows a refused upgrade could be frames, and whatever follows a body nobody read could be anything.
    let last = is_upgrade || draining || (has_body(&head.headers) && !is_read);
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS && last {
        close_after(&mut answer);
    }
    if let Some(hsts) = asker.snapshot.hsts.as_ref().filter(|_| asker.secure) {
        // A site behind it may have its own.
        answer.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
    }
    answer
}

/// On a listener that leads to https. Nothing of what may follow the head is read.
fn lead_away(asker: &Asker, head: &request::Parts) -> Answer {
    let wishes = asker.snapshot.config.to_https.as_ref();
    let answer = match wishes {
        _ if has_two_minds(head) => Err(Refusal::Head(HeadError::BadHost)),
        Some(wishes) => to_https::answer(wishes, head, asker.snapshot.tls.as_ref().map(|tls| &**tls.challenges())),
        // A listener lives as long as its table: only a restart takes it away.
        None => Err(Refusal::NoRoute),
    };
    let mut answer = match answer {
        Ok(answer) => {
            asker.record.borrow_mut().answer(answer.status().as_u16());
            answer
        }
        Err(refusal) => refuse(asker, refusal),
    };
    close_after(&mut answer);
    answer
}

/// RFC 9112 §3.2.2: a target in absolute-form comes with the same Host; another one could be routed as one host and
/// served as the other.
fn has_two_minds(head: &request::Parts) -> bool {
    let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    head.uri.authority().is_some_and(|target| !host.eq_ignore_ascii_case(target.as_str().as_bytes()))
}

fn note_host(asker: &Asker, headers: &HeaderMap) {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    host.clone_into(&mut asker.record.borrow_mut().host);
}

/// Which origin was refused is what an owner needs to know; the client chose it, so it is cut and escaped.
fn note_origin(asker: &Asker, refusal: Refusal, headers: &HeaderMap) {
    if let Refusal::Origin(_) = refusal
        && asker.shared.metrics.sampler.admits(Kind::Refused)
    {
        let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
        let origin = String::from_utf8_lossy(&origin[..origin.len().min(200)]);
        tracing::info!(origin = &*origin, "origin refused: it is not among the route's origins");
    }
}

/// Where the route wishes it and the request allows it: the WebSocket is opened, and closed at once with the reason.
fn tell(asker: &Asker, arrival: &admission::Arrival<'_>, refusal: Refusal) -> Option<Answer> {
    let code = refusal.close()?;
    let Visible { route, offer, code: own } = asker.snapshot.gate.visible(arrival)?;
    let close = Close::new(own.unwrap_or(code), refusal.line().trim_end().to_owned());
    let told = format!("{}, told with {}", close.reason, close.number());
    let status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    asker.record.borrow_mut().refuse(status, refusal.label(), told);
    let limits = Arc::clone(&asker.snapshot.routes[route].limits);
    *asker.promise.borrow_mut() = Some(Promise::Farewell(Farewell { close, limits }));
    // A browser that has offered some and hears of none sees that fault alone.
    Some(switch(&offer.accept, offer.protocols.first().map(String::as_str)))
}

fn refuse(asker: &Asker, refusal: Refusal) -> Answer {
    let line = refusal.line();
    asker.record.borrow_mut().refuse(refusal.status().as_u16(), refusal.label(), line.clone());
    let mut answer = text(refusal.status(), line);
    for (name, value) in refusal.headers() {
        answer.headers_mut().append(name, value);
    }
    answer
}

fn answer_plain(asker: &Asker, plain: &PlainRequest, head: &request::Parts) -> Answer {
    let answer = match &asker.snapshot.routes[plain.route].target {
        LiveTarget::Redirect(to) => redirect(to),
        _ => match page::asset(&asker.snapshot.config.routes[plain.route].path, head.uri.query()) {
            Some(asset) => show(asset),
            None => return refuse(asker, Refusal::NoRoute),
        },
    };
    asker.record.borrow_mut().answer(answer.status().as_u16());
    answer
}

/// The place is taken before the 101, so that there can still be another answer.
async fn upgrade(asker: &Asker, mut admission: Admission, head: &request::Parts) -> Result<Answer, Refusal> {
    let live = asker.snapshot.routes[admission.route].clone();
    asker.record.borrow_mut().address = Some(admission.client);
    let trace = trace_of(&live.target, &head.headers);
    asker.record.borrow_mut().trace = trace.as_ref().map(|trace| trace.to_string().into());
    if live.drained.load(Ordering::Relaxed) {
        return Err(Refusal::RouteDrained);
    }
    let opening = asker.shared.metrics.traffic.opening(&live.route);
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let hops = hops(asker, admission.client, &head.headers);
    let forwarded = forwarded(asker, admission.client, &head.headers, hops.as_deref());
    let mut shown = Shown { headers: &head.headers, target, vouched: &[], forwarded };
    let pass = match &live.guard {
        Some(guard) => match guard.check(&Visit { headers: shown.headers, target, forwarded }).await {
            Ok(pass) => Some(pass),
            Err(Denied::Refused(refusal)) => return Err(refusal),
            Err(Denied::Answered(no)) => {
                return pass_no_on(asker, asker.snapshot.config.routes[admission.route].refuse, no);
            }
        },
        None => None,
    };
    let vouched = vouched(asker, pass.as_ref(), trace.as_ref());
    shown.vouched = &vouched;
    if let Some(pass) = &pass {
        shown = Shown { headers: &pass.headers, target: &pass.target, vouched: &vouched, forwarded };
        admission.offer.protocols.retain(|offered| !pass.unchosen.contains(offered));
    }
    let offered = &admission.offer.protocols;
    let (place, protocol) = match &live.target {
        LiveTarget::Hub(hub) => enter(hub, &admission.rest, offered, pass.as_ref(), admission.client).await?,
        LiveTarget::Echo => (Place::Echo, offered.first().cloned()),
        LiveTarget::Redirect(_) | LiveTarget::Pages => return Err(Refusal::NoRoute),
        LiveTarget::Proxy(proxy) => match dial(asker, proxy, shown, (offered, &opening)).await? {
            Ok(found) => found,
            Err(error) => return explain(asker, &admission, &proxy.pool, error),
        },
    };
    let accept = admission.offer.accept.clone();
    let LiveRoute { route, limits, .. } = live;
    let limits = own_limits(&limits, pass.as_ref().and_then(Pass::left), &place);
    let protocol = protocol.as_deref().or(pass.and_then(|pass| pass.protocol));
    let session = Session { place, route, limits, permit: admission.permit, opening };
    *asker.promise.borrow_mut() = Some(Promise::Session(session));
    Ok(switch(&accept, protocol))
}

/// A refusal in the words of the server that was asked, where the route's own manner is HTTP.
pub(super) fn pass_no_on(asker: &Asker, manner: Refuse, no: No) -> Result<Answer, Refusal> {
    if manner != Refuse::Http {
        return Err(Refusal::AuthStatus(no.status.as_u16()));
    }
    let line = "the auth server refused";
    asker.record.borrow_mut().refuse(no.status.as_u16(), "auth_status", line);
    let body = if no.body.is_empty() { Bytes::from_static(b"you may not come in here\n") } else { no.body };
    let mut answer = text(no.status, body);
    for (name, value) in [(header::CONTENT_TYPE, no.content_type), (header::WWW_AUTHENTICATE, no.authenticate)] {
        if let Some(value) = value {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}

/// What went wrong with the backends, for the log in full and for the client in one line; a backend's own refusal is
/// passed on.
fn explain(asker: &Asker, admission: &Admission, pool: &Pool, error: DialError) -> Result<Answer, Refusal> {
    if asker.shared.metrics.sampler.admits(Kind::Abnormal) {
        tracing::warn!(pool = pool.name(), %error, "no backend for a client");
    }
    match error {
        DialError::Full => Err(Refusal::BackendsFull),
        DialError::QueueTimeout => Err(Refusal::QueueTimeout),
        DialError::OutOfService => Err(Refusal::NoBackend),
        DialError::Unreachable(..) | DialError::Broken(..) => Err(Refusal::BackendRefused),
        DialError::ConnectTimeout(_) | DialError::HandshakesBusy(_) | DialError::AnswerTimeout(..) => {
            Err(Refusal::BackendTimeout)
        }
        DialError::Nonsense(..) => Err(Refusal::BackendNonsense),
        DialError::Refused(_, refused, _) if asker.snapshot.config.routes[admission.route].refuse != Refuse::Http => {
            Err(Refusal::BackendStatus(refused.status))
        }
        DialError::Refused(_, refused, body) => {
            asker.record.borrow_mut().refuse(refused.status, "backend_status", "the backend refused");
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
            let mut answer = text(status, body);
            let own = [(header::CONTENT_TYPE, refused.content_type), (header::WWW_AUTHENTICATE, refused.authenticate)];
            for (name, value) in own {
                if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                    answer.headers_mut().insert(name, value);
                }
            }
            Ok(answer)
        }
    }
}
