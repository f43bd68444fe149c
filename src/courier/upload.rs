//! A client's body on its way to a backend: within its size, and never standing still for too long.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use crate::admission::body::BodyFault as Fault;
use crate::config::Pages;
use crate::lifecycle::clock::{self, Instant};

/// What a connection is told when a client's body cannot go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped(Fault);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a request's body: {:?}", self.0)
    }
}

impl std::error::Error for Stopped {}

/// How far a body has come, for whoever waits for its answer.
#[derive(Debug)]
pub(super) struct Progress {
    /// When something of it was last handed to the backend's connection.
    moved: Cell<Instant>,
    waits_for_client: Cell<bool>,
    fault: Cell<Option<Fault>>,
}

impl Progress {
    /// What is wrong with the body.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// When the backend has had `patience` to answer; `None` when it has had it. It has not as long as it waits for the
    /// client.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        let now = Instant::now();
        let due = if self.waits_for_client.get() { now } else { self.moved.get() } + patience;
        (due > now).then_some(due)
    }
}

/// A request's body as the backend's connection sees it.
pub(super) struct Upload {
    /// Absent: there is none.
    body: Option<Incoming>,
    /// Bytes that it may still have.
    left: usize,
    patience: Duration,
    /// While nothing comes.
    timer: Option<Pin<Box<Sleep>>>,
    progress: Rc<Progress>,
}

impl Upload {
    /// No body.
    pub(super) fn nothing() -> Self {
        let progress =
            Progress { moved: Cell::new(Instant::now()), waits_for_client: Cell::default(), fault: Cell::default() };
        Self { body: None, left: 0, patience: Duration::ZERO, timer: None, progress: Rc::new(progress) }
    }

    /// This body, within these bounds.
    pub(super) fn new(body: Incoming, wishes: &Pages) -> Self {
        let (left, patience) = (wishes.body, wishes.body_timeout);
        Self { body: Some(body).filter(|body| !body.is_end_stream()), left, patience, ..Self::nothing() }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    fn fail(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        self.progress.fault.set(Some(fault));
        Poll::Ready(Some(Err(Stopped(fault))))
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let patience = self.patience;
        self.timer.get_or_insert_with(|| Box::pin(clock::sleep(patience))).as_mut().poll(cx).is_ready()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        this.progress.waits_for_client.set(polled.is_pending());
        let frame = match polled {
            Poll::Pending if this.is_late(cx) => return this.fail(Fault::TooSlow),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        this.timer = None;
        this.progress.moved.set(Instant::now());
        match frame.map(|frame| frame.map(Frame::into_data)) {
            // RFC 9110 §6.5.1: trailers may be discarded, and behind them there is nothing.
            None | Some(Ok(Err(_))) => Poll::Ready(None),
            Some(Err(_)) => this.fail(Fault::Unsound),
            Some(Ok(Ok(data))) => match this.left.checked_sub(data.len()) {
                Some(left) => {
                    this.left = left;
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                None => this.fail(Fault::TooLarge),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
