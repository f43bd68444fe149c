//! The operator's door: health, readiness and metrics, on a listener of its own.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::lifecycle::{Life, Phase, Tasks};
use crate::telemetry::metrics::Metrics;

/// Connections to the door at once; more are closed.
const CONNECTIONS: usize = 64;
/// For each request head.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The door; serves on the tasks of the thread that made it.
pub(crate) struct Door {
    metrics: Arc<Metrics>,
    life: Life,
    tasks: Tasks,
    places: Arc<Semaphore>,
}

impl Door {
    /// A door that tells of these.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Metrics>, life: Life) -> Self {
        Self { metrics, life, tasks: Tasks::default(), places: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Serves one connection in a task of its own.
    pub(crate) fn serve(&self, stream: io::Result<impl AsyncRead + AsyncWrite + Unpin + 'static>) {
        let (Ok(stream), Ok(place)) = (stream, Arc::clone(&self.places).try_acquire_owned()) else { return };
        let (metrics, life) = (Arc::clone(&self.metrics), self.life.clone());
        self.tasks.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(&request, &metrics, &life);
                async move { Ok::<_, Infallible>(answer) }
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

fn answer(request: &Request<Incoming>, metrics: &Metrics, life: &Life) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".into());
        answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
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
            let mut answer = text(StatusCode::OK, metrics.text());
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            answer
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
