//! Connections to backends of ordinary HTTP: a request and its answer on one, and a few that wait for the next request.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::upload::Upload;
use crate::admission::body::BodyFault;
use crate::config::Pages;
use crate::lifecycle::clock;
use crate::pool::Pool;
use crate::socket::Socket;

/// A connection that was not needed for so long is ended.
const IDLE: Duration = Duration::from_secs(30);

/// A connection to a backend.
pub(super) struct Line {
    sender: SendRequest<Upload>,
    /// Nothing once it is over; what it had read until then is with the answer.
    connection: Option<Connection<TokioIo<Socket>, Upload>>,
}

/// Why a connection has not come to an answer.
pub(super) enum Broken {
    /// The client's body is the reason.
    Body(BodyFault),
    /// The backend has had its time.
    Late,
    /// It was ended, or something came that is no answer.
    Connection(hyper::Error),
}

impl Line {
    /// A connection that has asked nothing yet, for answers with heads of so many bytes. Cancel safe.
    ///
    /// # Errors
    /// hyper's own.
    pub(super) async fn open(socket: Socket, head: usize) -> Result<Self, hyper::Error> {
        let mut builder = Builder::new();
        builder.title_case_headers(true).max_buf_size(head);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await?;
        Ok(Self { sender, connection: Some(connection) })
    }

    /// Asks, and waits for the head of the answer for `patience` from the moment in which the request has gone. Cancel
    /// safe: a dropped future drops the connection.
    pub(super) async fn ask(
        mut self,
        request: Request<Upload>,
        patience: Duration,
    ) -> Result<(Response<Incoming>, Self), Broken> {
        let progress = request.body().progress();
        let answered = {
            let Self { sender, connection } = &mut self;
            let mut answer = pin!(sender.send_request(request));
            let mut timer = pin!(clock::sleep(patience));
            std::future::poll_fn(|cx| {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answer.map_err(Broken::Connection));
                }
                drive(connection, cx);
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answer.map_err(Broken::Connection));
                }
                loop {
                    ready!(timer.as_mut().poll(cx));
                    match progress.due(patience) {
                        Some(due) => timer.as_mut().reset(due),
                        None => return Poll::Ready(Err(Broken::Late)),
                    }
                }
            })
            .await
        };
        match (answered, progress.fault()) {
            (Ok(answer), _) => Ok((answer, self)),
            (Err(_), Some(fault)) => Err(Broken::Body(fault)),
            (Err(broken), None) => Err(broken),
        }
    }

    /// Goes on with what is under way on it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }

    /// Looks once whether another request can be asked on it: nothing of the last exchange is left, and the backend has
    /// neither ended it nor said something that nobody asked for.
    fn is_free(&mut self) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }
}

fn drive(connection: &mut Option<Connection<TokioIo<Socket>, Upload>>, cx: &mut Context<'_>) {
    if let Some(open) = connection
        && Pin::new(open).poll(cx).is_ready()
    {
        *connection = None;
    }
}

/// One worker's connections that wait for a request. No task drives them meanwhile: whoever takes one looks at it first.
#[derive(Default)]
pub(crate) struct Lines(RefCell<Vec<Kept>>);

struct Kept {
    pool: Arc<Pool>,
    backend: String,
    line: Line,
    since: Instant,
}

/// Where a connection may wait when it is free.
pub(super) struct Room {
    lines: Rc<Lines>,
    pool: Arc<Pool>,
    backend: String,
    most: usize,
}

impl Lines {
    /// A connection to this backend that is open as far as is known; the one that was needed last.
    pub(super) fn take(&self, pool: &Arc<Pool>, backend: &str) -> Option<Line> {
        let mut kept = self.0.borrow_mut();
        loop {
            let at = kept.iter().rposition(|kept| kept.is_of(pool, backend))?;
            let mut line = kept.remove(at).line;
            if line.is_free() {
                return Some(line);
            }
        }
    }

    /// Where a connection to this backend may wait.
    pub(super) fn room(self: &Rc<Self>, pool: &Arc<Pool>, backend: &str, wishes: &Pages) -> Room {
        let (lines, pool) = (Rc::clone(self), Arc::clone(pool));
        Room { lines, pool, backend: backend.to_owned(), most: wishes.idle_connections }
    }

    /// Ends those that were not needed for long, or are closed.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.0.borrow_mut().retain_mut(|kept| now < kept.since + IDLE && kept.line.is_free());
    }
}

impl Kept {
    /// After a reload the pool is another one: its authorities may be, too.
    fn is_of(&self, pool: &Arc<Pool>, backend: &str) -> bool {
        Arc::ptr_eq(&self.pool, pool) && self.backend == backend
    }
}

impl Room {
    /// Keeps the connection if it is free and there is room.
    pub(super) fn keep(self, mut line: Line) {
        let Self { lines, pool, backend, most } = self;
        let mut kept = lines.0.borrow_mut();
        if kept.iter().filter(|kept| kept.is_of(&pool, &backend)).count() < most && line.is_free() {
            kept.push(Kept { pool, backend, line, since: Instant::now() });
        }
    }
}
