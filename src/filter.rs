//! A service that is asked over HTTP whether a message of a hub's may be said: its answer in time and in bounds.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::lines::{self, Lines};
use crate::client::{self, Trust};
use crate::config::{self, Problem, Problems, Unfiltered};
use crate::hub::filter::{Filter, Question, Verdict};
use crate::lifecycle::clock::timeout;
use crate::telemetry::metrics::{FilterTally, Judged, Unjudged};
use crate::tls;

/// Letters of a reason that its speaker is told.
const REASON: usize = 200;
/// Bytes of an answer beyond six times the text, as which JSON may write it: what stands around it.
const AROUND: usize = 4096;

/// The service.
pub(crate) struct Service {
    wishes: config::Filter,
    trust: Trust,
    places: Semaphore,
    lines: Lines,
    tally: Arc<FilterTally>,
}

/// Why nobody can say whether it may be said.
#[derive(Debug)]
enum Failure {
    Late,
    Connect(io::Error),
    Http(hyper::Error),
    Status(StatusCode),
    Unread(Box<dyn std::error::Error + Send + Sync>),
    NoJson(serde_json::Error),
    NoText,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("no answer in time"),
            Self::Connect(error) => write!(f, "it cannot be connected to: {error}"),
            Self::Http(error) => write!(f, "no answer that can be understood: {error}"),
            Self::Status(status) => write!(f, "status {} says neither yes nor no", status.as_u16()),
            Self::Unread(error) => write!(f, "its answer cannot be read: {error}"),
            Self::NoJson(error) => write!(f, "its answer is no JSON: {error}"),
            Self::NoText => f.write_str("its answer has a \"text\" that is none"),
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl lines::Failure for Failure {
    /// A service that ends a connection because it was idle may say so, with 408 (RFC 9110 §15.5.9).
    fn is_no_answer(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_parse(),
            Self::Status(status) => *status == StatusCode::REQUEST_TIMEOUT,
            Self::Connect(_) => true,
            Self::Late | Self::Unread(_) | Self::NoJson(_) | Self::NoText => false,
        }
    }
}

impl Failure {
    const fn kind(&self) -> Unjudged {
        match self {
            Self::Late => Unjudged::Late,
            Self::Connect(_) => Unjudged::Connect,
            Self::Http(_) => Unjudged::Http,
            Self::Status(_) => Unjudged::Status,
            Self::Unread(_) | Self::NoJson(_) | Self::NoText => Unjudged::Answer,
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("url", &self.wishes.url).finish_non_exhaustive()
    }
}

impl Service {
    /// A service that has not been asked yet, or `before` where that is the same; what was counted goes on.
    ///
    /// # Errors
    /// What is wrong with the file of its authorities; the keys of these problems begin with `key`.
    pub(crate) fn new(wishes: &config::Filter, key: &str, before: Option<&Arc<Self>>) -> Result<Arc<Self>, Problems> {
        let named = |found: Problems| {
            let named = found.0.into_iter().map(|problem| Problem { key: format!("{key}.filter.ca"), ..problem });
            Problems::new(named.collect())
        };
        let trust = match &wishes.ca {
            Some(path) => Trust::only(tls::read_roots(path).map_err(named)?),
            None => Trust::public(),
        };
        if let Some(same) = before.filter(|before| before.wishes == *wishes && before.trust.is_like(&trust)) {
            return Ok(Arc::clone(same));
        }
        Ok(Arc::new(Self {
            places: Semaphore::new(wishes.at_once),
            lines: Lines::new(wishes.idle_connections),
            tally: before.map(|before| Arc::clone(&before.tally)).unwrap_or_default(),
            wishes: wishes.clone(),
            trust,
        }))
    }

    /// What came of its questions.
    pub(crate) fn tally(&self) -> Arc<FilterTally> {
        Arc::clone(&self.tally)
    }

    /// It is not asked any more, however long somebody holds on to it: it keeps no connections.
    pub(crate) fn retire(&self) {
        self.lines.close();
    }

    /// Ends connections that were not needed for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.lines.sweep(now);
    }

    /// Whoever came first is asked for first. Cancel safe: a dropped future drops the connection and gives its place
    /// back.
    async fn ask(&self, question: &Question) -> Result<Verdict, Failure> {
        // It is never closed.
        let place = self.places.acquire().await;
        let most = 6 * question.text.len() + AROUND;
        let connect = async || client::connect(&self.wishes.transport, &self.trust).await.map_err(Failure::Connect);
        let read = async |answer| Ok((read(answer, most).await?, None));
        let verdict = self.lines.put(self.request(question), self.wishes.timeout / 2, connect, read).await;
        drop(place);
        verdict
    }

    fn request(&self, question: &Question) -> lines::Question {
        let Question { room, member, name, text } = question;
        let said = json!({ "room": &**room, "member": member.to_string(), "name": &**name, "text": &**text });
        let mut request = Request::new(Full::from(Bytes::from(said.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.wishes.target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.wishes.host) {
            headers.insert(HOST, host);
        }
        if self.wishes.idle_connections == 0 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    /// What becomes of a message when nobody can say.
    fn without(&self, failure: &Failure) -> Verdict {
        let passed = self.wishes.on_error == Unfiltered::Pass;
        tracing::warn!(filter = self.wishes.host, error = %failure, passed, "nobody can say whether it may be said");
        if passed { Verdict::Pass(None) } else { Verdict::Down }
    }
}

async fn read(answer: Response<Incoming>, most: usize) -> Result<Verdict, Failure> {
    let status = answer.status();
    let refuses = matches!(status, StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY);
    if !status.is_success() && !refuses {
        return Err(Failure::Status(status));
    }
    let body = Limited::new(answer.into_body(), most).collect().await.map(|body| body.to_bytes());
    if refuses {
        // The status stands, whatever becomes of the words.
        let value: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        let reason = value["reason"].as_str().map(|reason| reason.chars().take(REASON).collect());
        return Ok(Verdict::Refuse(reason));
    }
    let body = body.map_err(Failure::Unread)?;
    if body.trim_ascii().is_empty() {
        return Ok(Verdict::Pass(None));
    }
    let value: Value = serde_json::from_slice(&body).map_err(Failure::NoJson)?;
    match &value["text"] {
        Value::Null => Ok(Verdict::Pass(None)),
        Value::String(text) if !text.is_empty() => Ok(Verdict::Pass(Some(text.as_str().into()))),
        _ => Err(Failure::NoText),
    }
}

/// How an answer about this text is counted.
fn judged(text: &str, answer: &Result<Verdict, Failure>) -> Judged {
    match answer {
        Ok(Verdict::Pass(Some(words))) if **words != *text => Judged::Changed,
        Ok(Verdict::Pass(_)) => Judged::Passed,
        Ok(Verdict::Refuse(_) | Verdict::Down) => Judged::Refused,
        Err(failure) => Judged::Failed(failure.kind()),
    }
}

impl Filter for Service {
    fn judge(self: Arc<Self>, question: Question) -> Pin<Box<dyn Future<Output = Verdict>>> {
        Box::pin(async move {
            self.tally.ask();
            let since = Instant::now();
            let answer = timeout(self.wishes.timeout, self.ask(&question)).await.unwrap_or(Err(Failure::Late));
            self.tally.note(judged(&question.text, &answer), since.elapsed());
            answer.unwrap_or_else(|failure| self.without(&failure))
        })
    }
}
