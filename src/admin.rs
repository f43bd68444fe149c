//! The operator's door: health, readiness and metrics, on a listener of its own; a desk for what else may be asked, and a
//! page that shows it all.

mod page;

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::lifecycle::clock::timeout;
use crate::lifecycle::{Life, Phase, Tasks};
use crate::telemetry::metrics::Metrics;

/// Connections to the door at once; more are closed.
const CONNECTIONS: usize = 64;
/// For each request head, for each body, and for each answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Who answers what this room knows nothing of.
pub(crate) trait Desk {
    /// Whether this path is the desk's.
    fn has(&self, path: &str) -> bool;

    /// Whether there is a token that opens it.
    fn is_open(&self) -> bool;

    /// Whether this may be asked at all: the bytes that its body may have, before anything of it is read.
    ///
    /// # Errors
    /// The answer to what may not be asked.
    fn admit(&self, head: &request::Parts) -> Result<usize, Reply>;

    /// Answers; dropped when it has taken too long.
    fn serve<'a>(&'a self, head: &'a request::Parts, body: &'a [u8]) -> Served<'a>;

    /// What is said then.
    fn late(&self) -> Reply;

    /// What is said where the body did not come as it should.
    fn unread(&self, why: Unread) -> Reply;
}

/// An answer that is being made.
pub(crate) type Served<'a> = Pin<Box<dyn Future<Output = Reply> + 'a>>;

/// An answer of the desk's.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

/// What was wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It has more bytes than it may.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// It ended before its end.
    Broken,
}

/// The door; serves on the tasks of the thread that made it.
pub(crate) struct Door {
    metrics: Arc<Metrics>,
    life: Life,
    desk: Rc<dyn Desk>,
    tasks: Tasks,
    places: Arc<Semaphore>,
}

impl Door {
    /// A door that tells of these, with a desk behind it.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Metrics>, life: Life, desk: Rc<dyn Desk>) -> Self {
        Self { metrics, life, desk, tasks: Tasks::default(), places: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Serves one connection in a task of its own.
    pub(crate) fn serve(&self, stream: io::Result<impl AsyncRead + AsyncWrite + Unpin + 'static>) {
        let (Ok(stream), Ok(place)) = (stream, Arc::clone(&self.places).try_acquire_owned()) else { return };
        let (metrics, life, desk) = (Arc::clone(&self.metrics), self.life.clone(), Rc::clone(&self.desk));
        self.tasks.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (metrics, life, desk) = (Arc::clone(&metrics), life.clone(), Rc::clone(&desk));
                async move {
                    let is_desks = desk.has(request.uri().path());
                    Ok::<_, Infallible>(match is_desks {
                        true => ask(&*desk, request).await,
                        false => answer(&request, (&metrics, &life), desk.is_open()),
                    })
                }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection failed");
            }
            drop(place);
        });
    }
}

/// Nothing of a body is read before it is known whether there may be one. Cancel safe.
async fn ask(desk: &dyn Desk, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let most = match desk.admit(&head) {
        Ok(most) => most,
        Err(reply) => return told(reply, true),
    };
    match timeout(TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => {
            let served = timeout(TIMEOUT, desk.serve(&head, &body.to_bytes())).await;
            told(served.unwrap_or_else(|_| desk.late()), false)
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => told(desk.unread(Unread::TooLarge), true),
        Ok(Err(_)) => told(desk.unread(Unread::Broken), true),
        Err(_) => told(desk.unread(Unread::TooSlow), true),
    }
}

/// Where the body was not read, nobody knows where the next request would begin.
fn told(reply: Reply, is_last: bool) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(reply.body));
    *answer.status_mut() = reply.status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(reply.headers);
    if is_last {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn answer(
    request: &Request<Incoming>,
    (metrics, life): (&Metrics, &Life),
    is_desk_open: bool,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".into());
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => {
            let phase = life.phase();
            let status = if phase == Phase::Running { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            text(status, format!("{phase}\n"))
        }
        "/metrics" => {
            let (told, kind) = if takes_openmetrics(request) {
                (metrics.text(), "application/openmetrics-text; version=1.0.0; charset=utf-8")
            } else {
                (metrics.classic_text(), "text/plain; version=0.0.4; charset=utf-8")
            };
            let mut answer = text(StatusCode::OK, told);
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
            answer
        }
        "/" => match page::asset(request.uri().query(), is_desk_open) {
            Some(asset) => show(asset),
            None => text(StatusCode::NOT_FOUND, "the page has no such part\n".into()),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "there are / (a page), /healthz, /readyz, /metrics, and with a token /connections, /backends, /drain, \
             /reload, /config, /hubs, /rooms, /mutes and /bans\n"
                .into(),
        ),
    }
}

/// Nothing of it stays in a cache: the page is part of the binary, and another version must not meet this one's script.
fn show(asset: page::Asset) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(asset.body));
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// RFC 9110 §12.5.1: whoever names it, and not to say that it is unwanted, is a machine that can read it; a browser, with
/// its `*/*`, is shown the text that it can show.
fn takes_openmetrics(request: &Request<Incoming>) -> bool {
    let lines = request.headers().get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|wanted| {
        let mut parts = wanted.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let weight = |part: &str| part.strip_prefix("q=")?.parse().ok();
        is_named && parts.find_map(weight).is_none_or(|weight: f32| weight > 0.0)
    })
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    /// Falls over whatever it is asked.
    struct Broken;

    impl Desk for Broken {
        fn has(&self, path: &str) -> bool {
            path == "/broken" || path == "/slow"
        }

        fn is_open(&self) -> bool {
            false
        }

        fn admit(&self, _: &request::Parts) -> Result<usize, Reply> {
            Ok(0)
        }

        fn serve<'a>(&'a self, head: &'a request::Parts, _: &'a [u8]) -> Served<'a> {
            assert_eq!(head.uri.path(), "/slow", "on purpose");
            Box::pin(std::future::pending())
        }

        fn late(&self) -> Reply {
            Reply { status: StatusCode::SERVICE_UNAVAILABLE, headers: Vec::new(), body: b"late".to_vec() }
        }

        fn unread(&self, _: Unread) -> Reply {
            panic!("on purpose")
        }
    }

    async fn ask(door: &Door, path: &str) -> String {
        let (mut near, far): (DuplexStream, _) = duplex(64 * 1024);
        door.serve(Ok(far));
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        near.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_its_time() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let door = Door::new(Arc::default(), Life::default(), Rc::new(Broken));
                let answer = ask(&door, "/slow").await;
                assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("late"), "{answer}");
            })
            .await;
    }

    #[tokio::test]
    async fn a_panic_costs_one_connection_and_no_place() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let door = Door::new(Arc::default(), Life::default(), Rc::new(Broken));
                for _ in 0..=CONNECTIONS {
                    assert_eq!(ask(&door, "/broken").await, "");
                }
                assert!(ask(&door, "/healthz").await.starts_with("HTTP/1.1 200 OK\r\n"));
                assert_eq!(door.places.available_permits(), CONNECTIONS);
            })
            .await;
    }
}
