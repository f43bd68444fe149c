//! A server that is asked whether a client may come in: the question, its answer in time and in bounds, and what is
//! made of one that is neither yes nor no.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::Visit;
use super::cache::{Cache, Digest};
use super::failure::Failure;
use super::flights::Flights;
use crate::admission::refusal::Refusal;
use crate::client::lines::{Lines, Question};
use crate::client::{self, Trust};
use crate::config::Problems;
use crate::config::auth::{AuthRequest, OnError};
use crate::lifecycle::clock::timeout;
use crate::tls;
use crate::wire::head::BODY_MAX;

/// Larger answers are not remembered.
const REMEMBERED_MAX: usize = 2048;

/// Credentials and who asks: all that the server gets to see of the client's own headers.
const SHOWN: [HeaderName; 4] = [header::COOKIE, header::AUTHORIZATION, header::ORIGIN, header::USER_AGENT];

/// A server that is asked.
pub(super) struct Server {
    wishes: AuthRequest,
    trust: Trust,
    places: Semaphore,
    lines: Lines,
    flights: Flights<Result<Word, Refusal>>,
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

impl Server {
    /// A server that has not been asked yet, or `before` where that is the same.
    ///
    /// # Errors
    /// What is wrong with the file of its authorities.
    pub(super) fn new(wishes: &AuthRequest, before: Option<&Arc<Self>>) -> Result<Arc<Self>, Problems> {
        let trust = match &wishes.ca {
            Some(path) => Trust::only(tls::read_roots(path)?),
            None => Trust::public(),
        };
        if let Some(same) = before.filter(|before| before.wishes == *wishes && before.trust.is_like(&trust)) {
            return Ok(Arc::clone(same));
        }
        Ok(Arc::new(Self {
            places: Semaphore::new(wishes.at_once),
            lines: Lines::new(wishes.idle_connections),
            flights: Flights::default(),
            memory: wishes.cache.map(|time| Cache::new(time, wishes.cache_entries)),
            wishes: wishes.clone(),
            trust,
        }))
    }

    /// Headers that only the server may give.
    pub(super) fn headers(&self) -> &[String] {
        &self.wishes.headers
    }

    /// Ends connections that were not needed for long.
    pub(super) fn sweep(&self, now: Instant) {
        self.lines.sweep(now);
    }

    /// Asks, or waits for one who asks the same already, or remembers. Cancel safe: a dropped future drops the
    /// connection and gives its place back, and who has waited for its answer asks.
    ///
    /// # Errors
    /// Nobody can say, and the owner wants such clients refused.
    pub(super) async fn decide(&self, visit: &Visit<'_>, patience: Duration) -> Result<Word, Refusal> {
        let question = self.question(visit);
        let digest = digest(&question);
        if let Some(word) = self.remembered(&digest) {
            return Ok(word);
        }
        let seat = self.flights.join(digest);
        let answer = seat.answer(async || self.find_out(question, digest, patience).await);
        match timeout(patience + self.wishes.timeout, answer).await {
            Ok(answer) => answer,
            // Those who asked before it have gone, one after the other.
            Err(_) => self.nobody_says(&Failure::Late),
        }
    }

    async fn find_out(&self, question: Question, digest: Digest, patience: Duration) -> Result<Word, Refusal> {
        // Somebody may have been told since this one looked.
        if let Some(word) = self.remembered(&digest) {
            return Ok(word);
        }
        match self.ask_in_turn(question, patience).await {
            Ok(word) => {
                self.remember(digest, &word);
                Ok(word)
            }
            Err(failure) => self.nobody_says(&failure),
        }
    }

    fn nobody_says(&self, failure: &Failure) -> Result<Word, Refusal> {
        let allowed = self.wishes.on_error == OnError::Allow;
        tracing::warn!(server = self.wishes.host, error = %failure, allowed, "nobody can say whether a client may come in");
        if allowed { Ok(Word::Yes(Vec::new())) } else { Err(failure.refusal()) }
    }

    fn remembered(&self, digest: &Digest) -> Option<Word> {
        self.memory.as_ref()?.get(digest, Instant::now())
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
    async fn ask_in_turn(&self, question: Question, patience: Duration) -> Result<Word, Failure> {
        let place = timeout(patience, self.places.acquire()).await.map_err(|_| Failure::Busy)?;
        let word = timeout(self.wishes.timeout, self.ask(question)).await.map_err(|_| Failure::Late)?;
        drop(place);
        word
    }

    async fn ask(&self, question: Question) -> Result<Word, Failure> {
        let connect = async || client::connect(&self.wishes.transport, &self.trust).await.map_err(Failure::Connect);
        self.lines.put(question, self.wishes.timeout / 2, connect, async |answer| self.read(answer).await).await
    }

    /// What the answer says, and its body as far as that does not matter.
    async fn read(&self, answer: Response<Incoming>) -> Result<(Word, Option<Incoming>), Failure> {
        let (head, body) = answer.into_parts();
        match head.status {
            status if status.is_success() => Ok((Word::Yes(self.handed_on(&head.headers)?), Some(body))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                // The status stands, whatever becomes of the words.
                let body = Limited::new(body, BODY_MAX).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let one = |name: HeaderName| head.headers.get(name).cloned();
                let no = No {
                    status: head.status,
                    content_type: one(header::CONTENT_TYPE).filter(|_| !body.is_empty()),
                    authenticate: one(header::WWW_AUTHENTICATE),
                    body,
                };
                Ok((Word::No(no), None))
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
    fn question(&self, visit: &Visit<'_>) -> Question {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.wishes.target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let mut say = |name: HeaderName, value: &[u8]| {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        };
        say(header::HOST, self.wishes.host.as_bytes());
        if self.wishes.idle_connections == 0 {
            say(header::CONNECTION, b"close");
        }
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
fn digest(question: &Question) -> Digest {
    let mut context = Context::new(&SHA256);
    for (name, value) in question.headers() {
        context.update(name.as_str().as_bytes());
        context.update(b"\0");
        context.update(value.as_bytes());
        context.update(b"\0");
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
