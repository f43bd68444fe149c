//! A service that is asked over HTTP whether a message of a hub's may be said: its answer in time and in bounds.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::{self, Trust};
use crate::config::{self, Problem, Problems, Unfiltered};
use crate::hub::filter::{Filter, Question, Verdict};
use crate::lifecycle::clock::timeout;
use crate::tls;
use crate::wire::head::ANSWER_MAX;

/// Letters of a reason that its speaker is told.
const REASON: usize = 200;
/// Bytes of an answer beyond twice the text: what stands around it.
const AROUND: usize = 4096;

/// The service. Each question has a connection of its own.
pub(crate) struct Service {
    wishes: config::Filter,
    trust: Trust,
    places: Semaphore,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("url", &self.wishes.url).finish_non_exhaustive()
    }
}

impl Service {
    /// A service that has not been asked yet.
    ///
    /// # Errors
    /// What is wrong with the file of its authorities; the keys of these problems begin with `key`.
    pub(crate) fn new(wishes: &config::Filter, key: &str) -> Result<Self, Problems> {
        let named = |found: Problems| {
            let named = found.0.into_iter().map(|problem| Problem { key: format!("{key}.filter.ca"), ..problem });
            Problems::new(named.collect())
        };
        let trust = match &wishes.ca {
            Some(path) => Trust::only(tls::read_roots(path).map_err(named)?),
            None => Trust::public(),
        };
        Ok(Self { places: Semaphore::new(wishes.at_once), wishes: wishes.clone(), trust })
    }

    /// Cancel safe: a dropped future drops the connection and gives its place back.
    async fn ask(&self, question: &Question) -> Result<Verdict, String> {
        let place = self.places.acquire().await.map_err(|error| error.to_string())?;
        let socket = client::connect(&self.wishes.transport, &self.trust);
        let socket = socket.await.map_err(|error| format!("it cannot be connected to: {error}"))?;
        let mut builder = Builder::new();
        builder.title_case_headers(true).max_buf_size(ANSWER_MAX);
        let told = |error: hyper::Error| format!("no answer that can be understood: {error}");
        let (mut sender, connection) = builder.handshake(TokioIo::new(socket)).await.map_err(told)?;
        let most = 6 * question.text.len() + AROUND;
        let mut exchange = pin!(async {
            let answer = sender.send_request(self.request(question)).await.map_err(told)?;
            read(answer, most).await
        });
        let verdict = tokio::select! {
            biased;
            verdict = &mut exchange => verdict,
            // What it has read before its end is still there.
            _ = connection => exchange.await,
        };
        drop(place);
        verdict
    }

    fn request(&self, question: &Question) -> Request<Full<Bytes>> {
        let Question { room, member, name, text } = question;
        let said = json!({ "room": &**room, "member": member.to_string(), "name": &**name, "text": &**text });
        let mut request = Request::new(Full::from(said.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.wishes.target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.wishes.host) {
            headers.insert(HOST, host);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}

async fn read(answer: Response<Incoming>, most: usize) -> Result<Verdict, String> {
    let status = answer.status();
    let refuses = matches!(status, StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY);
    if !status.is_success() && !refuses {
        return Err(format!("status {} says neither yes nor no", status.as_u16()));
    }
    let body = Limited::new(answer.into_body(), most).collect().await.map(|body| body.to_bytes());
    if refuses {
        // The status stands, whatever becomes of the words.
        let value: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        let reason = value["reason"].as_str().map(|reason| reason.chars().take(REASON).collect());
        return Ok(Verdict::Refuse(reason));
    }
    let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?;
    if body.trim_ascii().is_empty() {
        return Ok(Verdict::Pass(None));
    }
    let value: Value = serde_json::from_slice(&body).map_err(|error| format!("its answer is no JSON: {error}"))?;
    match &value["text"] {
        Value::Null => Ok(Verdict::Pass(None)),
        Value::String(text) if !text.is_empty() => Ok(Verdict::Pass(Some(text.as_str().into()))),
        _ => Err("its answer has a \"text\" that is none".to_owned()),
    }
}

impl Filter for Service {
    fn judge(self: Arc<Self>, question: Question) -> Pin<Box<dyn Future<Output = Verdict>>> {
        Box::pin(async move {
            let answer = timeout(self.wishes.timeout, self.ask(&question)).await;
            let failure = match answer {
                Ok(Ok(verdict)) => return verdict,
                Ok(Err(failure)) => failure,
                Err(_) => "no answer in time".to_owned(),
            };
            let passed = self.wishes.on_error == Unfiltered::Pass;
            tracing::warn!(filter = self.wishes.host, error = failure, passed, "nobody can say whether it may be said");
            if passed { Verdict::Pass(None) } else { Verdict::Down }
        })
    }
}
