//! A request becomes a decision, the decision a place, the place a 101; everything else gets its one plain line.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, request};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};

use super::Shared;
use super::entry::{enter, own_limits};
use super::farewell::Farewell;
use super::session::{Place, Promise, Session};
use super::snapshot::{LiveRoute, LiveTarget, Snapshot};
use super::visit::{Shown, dial, forwarded, hops};
use crate::admission::refusal::Refusal;
use crate::admission::{self, Admission, Outcome, PlainRequest, Visible};
use crate::auth::{Denied, No, Pass, Visit};
use crate::config::Refuse;
use crate::hub::page;
use crate::lifecycle::Phase;
use crate::pool::{DialError, Pool};
use crate::telemetry::record::Record;
use crate::wire::close::Close;
use crate::wire::offer::has_body;
use crate::wire::request_head::HeadError;

/// Who asks: one connection before its upgrade.
pub(super) struct Asker {
    pub(super) shared: Arc<Shared>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) secure: bool,
    pub(super) peer: IpAddr,
    pub(super) proxied: bool,
    pub(super) record: Rc<RefCell<Record>>,
    /// Left here with a 101, for whoever has the socket when it is sent.
    pub(super) promise: RefCell<Option<Promise>>,
}

type Answer = Response<Full<Bytes>>;

/// Answers one request. When dropped half-way (the client is gone), everything it took is given back.
pub(super) async fn answer(asker: &Asker, request: Request<Incoming>) -> Answer {
    let (head, _body) = request.into_parts();
    note_host(asker, &head.headers);
    let is_upgrade = head.headers.contains_key(header::UPGRADE);
    let arrival = admission::Arrival {
        method: &head.method,
        version: head.version,
        uri: &head.uri,
        headers: &head.headers,
        peer: asker.peer,
        proxied: asker.proxied,
        secure: asker.secure,
    };
    if has_two_minds(&head) {
        return refuse(asker, Refusal::Head(HeadError::BadHost));
    }
    let gate = &asker.snapshot.gate;
    if let Some(warning) = is_upgrade.then(|| gate.suspicion(&arrival)).flatten() {
        tracing::warn!("{warning}");
    }
    let draining = asker.shared.life.phase() >= Phase::Draining;
    let answer = match gate.decide(&arrival, draining) {
        Outcome::Plain(plain) => Ok(answer_plain(asker, &plain, &head)),
        Outcome::Refuse(refusal) => {
            note_origin(refusal, &head.headers);
            Err(refusal)
        }
        Outcome::Upgrade(admission) => upgrade(asker, admission, &head).await,
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => tell(asker, &arrival, refusal).unwrap_or_else(|| refuse(asker, refusal)),
    };
    // Whatever follows a refused upgrade could be frames, and whatever follows a body nobody read could be anything.
    let last = is_upgrade || has_body(&head.headers) || draining;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS && last {
        close_after(&mut answer);
    }
    answer
}

/// RFC 9110 §7.8: an answer with an Upgrade has to name it in Connection, whatever else stands there.
fn close_after(answer: &mut Answer) {
    let upgrade = answer.headers().contains_key(header::UPGRADE);
    let options = HeaderValue::from_static(if upgrade { "close, Upgrade" } else { "close" });
    answer.headers_mut().insert(header::CONNECTION, options);
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
fn note_origin(refusal: Refusal, headers: &HeaderMap) {
    if let Refusal::Origin(_) = refusal {
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

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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

fn redirect(to: &str) -> Answer {
    let mut answer = text(StatusCode::FOUND, format!("see {to}\n"));
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(header::LOCATION, to);
    }
    answer
}

fn show(asset: page::Asset) -> Answer {
    let body = match asset.body {
        Cow::Borrowed(body) => Bytes::from_static(body.as_bytes()),
        Cow::Owned(body) => Bytes::from(body),
    };
    let mut answer = text(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // The page is part of the binary: another version must not meet this one's script.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// The place is taken before the 101, so that there can still be another answer.
async fn upgrade(asker: &Asker, mut admission: Admission, head: &request::Parts) -> Result<Answer, Refusal> {
    let live = asker.snapshot.routes[admission.route].clone();
    asker.record.borrow_mut().address = Some(admission.client);
    if live.drained.load(Ordering::Relaxed) {
        return Err(Refusal::RouteDrained);
    }
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let hops = hops(asker, &admission, &head.headers);
    let forwarded = forwarded(asker, &admission, &head.headers, hops.as_deref());
    let mut shown = Shown { headers: &head.headers, target, vouched: &[], forwarded };
    let pass = match &live.guard {
        Some(guard) => match guard.check(&Visit { headers: shown.headers, target, forwarded }).await {
            Ok(pass) => Some(pass),
            Err(Denied::Refused(refusal)) => return Err(refusal),
            Err(Denied::Answered(no)) => return pass_no_on(asker, &admission, no),
        },
        None => None,
    };
    if let Some(pass) = &pass {
        shown = Shown { headers: &pass.headers, target: &pass.target, vouched: &pass.vouched, forwarded };
        admission.offer.protocols.retain(|offered| !pass.unchosen.contains(offered));
    }
    let offered = &admission.offer.protocols;
    let (place, protocol) = match &live.target {
        LiveTarget::Hub(hub) => enter(hub, &admission.rest, offered, pass.as_ref(), admission.client).await?,
        LiveTarget::Echo => (Place::Echo, offered.first().cloned()),
        LiveTarget::Redirect(_) => return Err(Refusal::NoRoute),
        LiveTarget::Proxy(proxy) => match dial(asker, proxy, shown, offered).await? {
            Ok(found) => found,
            Err(error) => return explain(asker, &admission, &proxy.pool, error),
        },
    };
    let accept = admission.offer.accept.clone();
    let LiveRoute { route, limits, .. } = live;
    let limits = own_limits(&limits, pass.as_ref().and_then(Pass::left), &place);
    let protocol = protocol.as_deref().or(pass.and_then(|pass| pass.protocol));
    let session = Session { place, route, limits, permit: admission.permit };
    *asker.promise.borrow_mut() = Some(Promise::Session(session));
    Ok(switch(&accept, protocol))
}

/// A refusal in the words of the server that was asked, where the route's own manner is HTTP.
fn pass_no_on(asker: &Asker, admission: &Admission, no: No) -> Result<Answer, Refusal> {
    if asker.snapshot.config.routes[admission.route].refuse != Refuse::Http {
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
    tracing::warn!(pool = pool.name(), %error, "no backend for a client");
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

/// RFC 6455 §4.2.2.
fn switch(accept: &str, protocol: Option<&str>) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for (name, value) in [(header::SEC_WEBSOCKET_ACCEPT, Some(accept)), (header::SEC_WEBSOCKET_PROTOCOL, protocol)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    answer
}
