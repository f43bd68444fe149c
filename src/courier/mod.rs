//! One ordinary request, carried to a backend, and its answer back; nothing of either is kept.

mod answer;
mod line;
mod upload;

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response, Version, request};
use hyper::body::{Body as _, Incoming};

pub(crate) use self::answer::Passed;
pub(crate) use self::line::Lines;
use self::line::{Broken, Line};
use self::upload::Upload;
use crate::admission::body::BodyFault;
use crate::config::Pages;
use crate::pool::{Caller, DialError, Lease, Pool};
use crate::wire::passing;

/// What is to be carried, and how.
pub(crate) struct Errand<'a> {
    /// Whose backends are asked.
    pub pool: &'a Arc<Pool>,
    /// For whom.
    pub caller: Caller,
    /// Within which bounds.
    pub wishes: &'a Pages,
    /// The connections that this worker keeps.
    pub lines: &'a Rc<Lines>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// No backend could be had.
    Dial(DialError),
    /// The client's own body is the reason.
    Body(BodyFault),
    /// This backend did not answer in time.
    Late(String),
    /// This backend ended the connection, or said something else than an answer.
    Broken(String, String),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Body(fault) => write!(f, "the request's body: {fault:?}"),
            Self::Late(backend) => write!(f, "{backend}: no answer in time"),
            Self::Broken(backend, why) => write!(f, "{backend}: no sound answer: {why}"),
        }
    }
}

impl Errand<'_> {
    /// Carries a request, its headers as the backend is to get them, and comes back with the answer, its headers as the
    /// client is to get them. `held` is dropped with the answer's last byte, the place at the backend too.
    ///
    /// What may have reached a backend is not sent again, but for one case: a connection that was kept turns out to be
    /// closed, and the request is one that may be repeated (RFC 9110 §9.2.2). Others get a connection of their own.
    ///
    /// Cancel safe: a dropped future drops the connection, and gives the place back.
    ///
    /// # Errors
    /// Why there is no answer; then nothing of one has gone to the client.
    pub(crate) async fn carry(
        &self,
        lease: Lease,
        head: request::Parts,
        body: Incoming,
        held: Box<dyn Any>,
    ) -> Result<Response<Passed>, Undelivered> {
        let ask = |upload| asked(&head, upload);
        if head.method.is_idempotent()
            && body.is_end_stream()
            && let Some(line) = self.lines.take(self.pool, lease.backend())
        {
            match self.ask(line, ask(Upload::nothing())).await {
                Err(Broken::Connection(error)) if !error.is_parse() => {
                    tracing::debug!(backend = lease.backend(), %error, "a kept connection was closed: asked again");
                }
                asked => return self.pass_back(asked, lease, held),
            }
        }
        let (socket, lease) = self.pool.connect(lease, self.caller).await.map_err(Undelivered::Dial)?;
        let opened = Line::open(socket, self.wishes.answer_head).await;
        let asked = match opened {
            Ok(line) => self.ask(line, ask(Upload::new(body, self.wishes))).await,
            Err(error) => Err(Broken::Connection(error)),
        };
        self.pass_back(asked, lease, held)
    }

    async fn ask(&self, line: Line, request: Request<Upload>) -> Result<(Response<Incoming>, Line), Broken> {
        line.ask(request, self.wishes.answer_timeout).await
    }

    fn pass_back(
        &self,
        asked: Result<(Response<Incoming>, Line), Broken>,
        lease: Lease,
        held: Box<dyn Any>,
    ) -> Result<Response<Passed>, Undelivered> {
        let backend = || lease.backend().to_owned();
        let (mut answer, line) = match asked {
            Ok(answered) => answered,
            Err(Broken::Body(fault)) => return Err(Undelivered::Body(fault)),
            Err(Broken::Late) => {
                self.pool.note(&lease, false);
                return Err(Undelivered::Late(backend()));
            }
            Err(Broken::Connection(error)) => {
                self.pool.note(&lease, false);
                return Err(Undelivered::Broken(backend(), told(&error)));
            }
        };
        self.pool.note(&lease, true);
        // RFC 9110 §15.2.2: nobody has asked for another protocol.
        if answer.status().is_informational() {
            return Err(Undelivered::Broken(backend(), format!("status {}", answer.status().as_u16())));
        }
        if passing::answer(answer.headers_mut()).is_err() {
            return Err(Undelivered::Broken(backend(), "a transfer coding other than chunked".to_owned()));
        }
        // Its version is the backend's own hop's (RFC 9110 §2.5).
        *answer.version_mut() = Version::HTTP_11;
        let (head, body) = answer.into_parts();
        let keep = self.pool.is_shared().then(|| self.lines.room(self.pool, lease.backend(), self.wishes));
        let passed = Passed::new(body, (line, keep), self.wishes.body_timeout, (lease, held));
        Ok(Response::from_parts(head, passed))
    }
}

/// An error and what is behind it, in one line.
fn told(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn asked(head: &request::Parts, upload: Upload) -> Request<Upload> {
    let mut request = Request::new(upload);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    request.headers_mut().clone_from(&head.headers);
    request
}
