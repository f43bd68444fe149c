//! A server that is asked whether a client may come in: the question, its answer in time and in bounds, and what is
//! made of one that is neither yes nor no.

use std::fmt;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

use super::Visit;
use super::cache::{Cache, Digest};
use crate::admission::refusal::Refusal;
use crate::client::{self, Trust};
use crate::config::Problems;
use crate::config::auth::{AuthRequest, OnError};
use crate::lifecycle::clock::timeout;
use crate::tls;
use crate::wire::head::{ANSWER_MAX, BODY_MAX};

/// Larger answers are not remembered.
const REMEMBERED_MAX: usize = 2048;

/// Credentials and who asks: all that the server gets to see of the client's own headers.
const SHOWN: [HeaderName; 4] = [header::COOKIE, header::AUTHORIZATION, header::ORIGIN, header::USER_AGENT];

/// A server that is asked.
pub(super) struct Server {
    wishes: AuthRequest,
    trust: Trust,
    places: Semaphore,
    /// How long a client may wait for a place.
    patience: Duration,
    memory: Option<Cache<Word>>,
}

/// What it says.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// The client may come in; these headers are for the backend.
    Yes(Vec<(String, HeaderValue)>),
    /// It may not.
    No(No),
}

/// A refusal in the server's own words.
#[derive(Clone, Debug)]
pub(crate) struct No {
    /// 401 or 403.
    pub status: StatusCode,
    /// Content-Type, where there is a body.
    pub content_type: Option<HeaderValue>,
    /// WWW-Authenticate, if it was given.
    pub authenticate: Option<HeaderValue>,
    /// The body; empty when there was none, or one over [`BODY_MAX`].
    pub body: Bytes,
}

/// Why nobody can say whether the client may come in.
#[derive(Debug)]
enum Failure {
    Busy,
    Late,
    Connect(io::Error),
    Http(hyper::Error),
    Status(StatusCode),
    Twice(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many wait for it"),
            Self::Late => f.write_str("no answer in time"),
            Self::Connect(error) => write!(f, "it cannot be connected to: {error}"),
            Self::Http(error) => write!(f, "no answer that can be understood: {error}"),
            Self::Status(status) => write!(f, "status {} says neither yes nor no", status.as_u16()),
            Self::Twice(name) => write!(f, "the answer has more than one {name}"),
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl Failure {
    const fn refusal(&self) -> Refusal {
        match self {
            Self::Busy => Refusal::AuthBusy,
            Self::Late => Refusal::AuthTimeout,
            Self::Connect(_) | Self::Http(_) | Self::Status(_) | Self::Twice(_) => Refusal::AuthFailed,
        }
    }
}

impl Server {
    /// A server that has not been asked yet; a client waits for `patience` at most until it is asked.
    ///
    /// # Errors
    /// What is wrong with the file of its authorities.
    pub(super) fn new(wishes: &AuthRequest, patience: Duration) -> Result<Self, Problems> {
        let trust = match &wishes.ca {
            Some(path) => Trust::only(tls::read_roots(path)?),
            None => Trust::public(),
        };
        let memory = wishes.cache.map(|time| Cache::new(time, wishes.cache_entries));
        Ok(Self { places: Semaphore::new(wishes.at_once), wishes: wishes.clone(), trust, patience, memory })
    }

    /// Headers that only the server may give.
    pub(super) fn headers(&self) -> &[String] {
        &self.wishes.headers
    }

    /// Asks, or remembers. Cancel safe: a dropped future drops the connection and gives its place back.
    ///
    /// # Errors
    /// Nobody can say, and the owner wants such clients refused.
    pub(super) async fn decide(&self, visit: &Visit<'_>) -> Result<Word, Refusal> {
        let request = self.question(visit);
        let digest = digest(&request);
        if let Some(word) = self.memory.as_ref().and_then(|memory| memory.get(&digest, Instant::now())) {
            return Ok(word);
        }
        match self.ask_in_turn(request).await {
            Ok(word) => {
                self.remember(digest, &word);
                Ok(word)
            }
            Err(failure) => {
                let allowed = self.wishes.on_error == OnError::Allow;
                tracing::warn!(server = self.wishes.host, error = %failure, allowed, "nobody can say whether a client may come in");
                if allowed { Ok(Word::Yes(Vec::new())) } else { Err(failure.refusal()) }
            }
        }
    }

    fn remember(&self, digest: Digest, word: &Word) {
        let Some(memory) = &self.memory else { return };
        let (wanted, size) = match word {
            Word::Yes(headers) => (true, headers.iter().map(|(name, value)| name.len() + value.len()).sum()),
            Word::No(no) => (self.wishes.cache_refusals, no.body.len()),
        };
        if wanted && size <= REMEMBERED_MAX {
            memory.put(digest, word.clone(), Instant::now());
        }
    }

    /// Whoever came first is asked for first.
    async fn ask_in_turn(&self, request: Request<Empty<Bytes>>) -> Result<Word, Failure> {
        let place = timeout(self.patience, self.places.acquire()).await.map_err(|_| Failure::Busy)?;
        let word = timeout(self.wishes.timeout, self.ask(request)).await.map_err(|_| Failure::Late)?;
        drop(place);
        word
    }

    async fn ask(&self, request: Request<Empty<Bytes>>) -> Result<Word, Failure> {
        let socket = client::connect(&self.wishes.transport, &self.trust).await.map_err(Failure::Connect)?;
        let mut builder = http1::Builder::new();
        builder.title_case_headers(true).max_buf_size(ANSWER_MAX);
        let (mut sender, connection) = builder.handshake(TokioIo::new(socket)).await?;
        let mut exchange = pin!(async { self.read(sender.send_request(request).await?).await });
        // No task of its own drives the connection: it ends with the question.
        tokio::select! {
            biased;
            word = &mut exchange => word,
            // What it has read before its end is still there.
            _ = connection => exchange.await,
        }
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<Word, Failure> {
        match answer.status() {
            status if status.is_success() => self.handed_on(answer.headers()).map(Word::Yes),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let (head, body) = answer.into_parts();
                // The status stands, whatever becomes of the words.
                let body = Limited::new(body, BODY_MAX).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let one = |name: HeaderName| head.headers.get(name).cloned();
                Ok(Word::No(No {
                    status: head.status,
                    content_type: one(header::CONTENT_TYPE).filter(|_| !body.is_empty()),
                    authenticate: one(header::WWW_AUTHENTICATE),
                    body,
                }))
            }
            status => Err(Failure::Status(status)),
        }
    }

    /// Two lines of one name could be read as one by the backend, or as the other.
    fn handed_on(&self, headers: &HeaderMap) -> Result<Vec<(String, HeaderValue)>, Failure> {
        let mut found = Vec::new();
        for name in &self.wishes.headers {
            let mut lines = headers.get_all(name.as_str()).into_iter();
            match (lines.next(), lines.next()) {
                (None, _) => {}
                (Some(value), None) => found.push((name.clone(), value.clone())),
                (Some(_), Some(_)) => return Err(Failure::Twice(name.clone())),
            }
        }
        Ok(found)
    }

    /// Never a body, and nothing of the WebSocket's own.
    fn question(&self, visit: &Visit<'_>) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.wishes.target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let mut say = |name: HeaderName, value: &[u8]| {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        };
        say(header::HOST, self.wishes.host.as_bytes());
        say(header::CONNECTION, b"close");
        for name in SHOWN {
            // RFC 6265 §5.4 and RFC 9110 §5.3: how several lines become one.
            let between: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
            let lines: Vec<&[u8]> = visit.headers.get_all(&name).into_iter().map(HeaderValue::as_bytes).collect();
            if !lines.is_empty() {
                say(name, &lines.join(between));
            }
        }
        let scheme = if visit.forwarded.secure { "https" } else { "http" };
        say(HeaderName::from_static("x-forwarded-for"), visit.forwarded.hops().as_bytes());
        say(HeaderName::from_static("x-forwarded-proto"), scheme.as_bytes());
        say(HeaderName::from_static("x-forwarded-host"), visit.forwarded.host.as_bytes());
        say(HeaderName::from_static("x-forwarded-uri"), visit.target.as_bytes());
        request
    }
}

/// Of all that is asked. No value can hold the zero that stands between two.
fn digest(request: &Request<Empty<Bytes>>) -> Digest {
    let mut context = Context::new(&SHA256);
    for (name, value) in request.headers() {
        context.update(name.as_str().as_bytes());
        context.update(b"\0");
        context.update(value.as_bytes());
        context.update(b"\0");
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
