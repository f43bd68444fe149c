//! Connections to servers that are asked one question after the other: a question and its answer on one, and a few that
//! wait for the next question.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use crate::lifecycle::clock::timeout;
use crate::socket::Socket;
use crate::wire::head::{ANSWER_MAX, BODY_MAX};

/// A connection that was not needed for so long is ended.
const IDLE: Duration = Duration::from_secs(30);
/// How long an answer may take to its end when its head has said all that matters; beyond, its connection is ended.
const REST: Duration = Duration::from_millis(100);

/// A question, with whatever it is about.
pub(crate) type Question = Request<Full<Bytes>>;

/// Why a question has no answer that counts.
pub(crate) trait Failure: From<hyper::Error> {
    /// Whether nothing was said of this question, so that it may be asked again on another connection: where it changes
    /// nothing, RFC 9112 §9.3.1 lets it be.
    fn is_no_answer(&self) -> bool;
}

/// Connections that wait for a question. No task drives them meanwhile: whoever takes one looks at it first.
pub(crate) struct Lines {
    /// The one that was needed last stands last.
    idle: Mutex<Vec<Line>>,
    most: AtomicUsize,
}

/// A connection, on which one question is asked at a time.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<Socket>, Full<Bytes>>,
    used: Instant,
}

impl Lines {
    /// At most so many wait; 0: each question has a connection of its own.
    pub(crate) const fn new(most: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), most: AtomicUsize::new(most) }
    }

    /// Asks what may be asked twice, on a connection that waits if there is one. That may be dead without a word, and would
    /// then cost all the time there is: it has `patience` for itself; then a new one is asked as well, and the first answer
    /// counts, since a server may be but slow. Cancel safe: a dropped future drops the connections.
    ///
    /// # Errors
    /// Those of `connect` and `read`, and of connections that do not come to an answer.
    pub(crate) async fn put<T, E: Failure>(
        &self,
        question: Question,
        patience: Duration,
        connect: impl AsyncFnOnce() -> Result<Socket, E>,
        read: impl AsyncFn(Response<Incoming>) -> Result<(T, Option<Incoming>), E>,
    ) -> Result<T, E> {
        let again = question.clone();
        let anew = async { self.ask(Line::open(connect().await?).await?, again, &read).await };
        let Some(line) = self.take().await else { return anew.await };
        let mut kept = pin!(self.ask(line, question, &read));
        match timeout(patience, kept.as_mut()).await {
            Ok(Err(failure)) if failure.is_no_answer() => return anew.await,
            Ok(said) => return said,
            // Those that wait have been silent for longer.
            Err(_) => self.idle.lock().clear(),
        }
        let mut anew = pin!(anew);
        tokio::select! {
            biased;
            said = kept.as_mut() => match said {
                Err(failure) if failure.is_no_answer() => anew.await,
                said => said,
            },
            said = anew.as_mut() => match said {
                Err(failure) if failure.is_no_answer() => kept.await,
                said => said,
            },
        }
    }

    /// One that waits, and is open as far as is known.
    async fn take(&self) -> Option<Line> {
        loop {
            let mut line = self.idle.lock().pop()?;
            if line.is_open().await {
                return Some(line);
            }
        }
    }

    /// Asks, and makes of the answer what `read` says, which gives back what it has not read. The connection is kept
    /// where it can be. Cancel safe: a dropped future drops the connection.
    ///
    /// # Errors
    /// Those of `read`, and of a connection that does not come to an answer.
    async fn ask<T, E: From<hyper::Error>>(
        &self,
        mut line: Line,
        question: Question,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<(T, Option<Incoming>), E>,
    ) -> Result<T, E> {
        let (said, is_free) = {
            let Line { sender, connection, .. } = &mut line;
            let mut exchange = pin!(async {
                let answer = sender.send_request(question).await?;
                let (said, rest) = read(answer).await?;
                let is_free = self.most() > 0 && timeout(REST, is_free(sender, rest)).await.unwrap_or(false);
                Ok::<_, E>((said, is_free))
            });
            tokio::select! {
                biased;
                done = &mut exchange => done?,
                // What it has read before its end is still there.
                _ = connection => (exchange.await?.0, false),
            }
        };
        if is_free {
            self.keep(line);
        }
        Ok(said)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Ends those that wait, and keeps none any more.
    pub(crate) fn close(&self) {
        self.most.store(0, Ordering::Relaxed);
        self.idle.lock().clear();
    }

    fn keep(&self, mut line: Line) {
        line.used = Instant::now();
        let mut idle = self.idle.lock();
        if idle.len() < self.most() {
            idle.push(line);
        }
    }

    /// Ends those that were not needed for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.idle.lock().retain(|line| now < line.used + IDLE);
    }
}

/// What is left of an answer is read; then the server has to be ready for the next question.
async fn is_free(sender: &mut SendRequest<Full<Bytes>>, rest: Option<Incoming>) -> bool {
    if let Some(rest) = rest
        && Limited::new(rest, BODY_MAX).collect().await.is_err()
    {
        return false;
    }
    sender.ready().await.is_ok()
}

impl Line {
    /// A connection that has asked nothing yet. Cancel safe.
    ///
    /// # Errors
    /// hyper's own.
    async fn open(socket: Socket) -> Result<Self, hyper::Error> {
        let mut builder = Builder::new();
        builder.title_case_headers(true).max_buf_size(ANSWER_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await?;
        Ok(Self { sender, connection, used: Instant::now() })
    }

    /// Looks once whether the server has ended it, or has said something that nobody asked for.
    async fn is_open(&mut self) -> bool {
        let Self { sender, connection, .. } = self;
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *connection).poll(cx).is_pending() && sender.is_ready())).await
    }
}
