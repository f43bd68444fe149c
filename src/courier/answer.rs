//! A backend's answer on its way to a client: as fast as the client takes it, and never standing still for too long.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::line::{Line, Room};
use crate::lifecycle::clock;
use crate::pool::Lease;

/// The body of an answer. When it is dropped before its end, so is the connection to the backend.
pub(crate) struct Passed {
    body: Incoming,
    /// And where it may wait for the next request.
    line: Option<(Line, Option<Room>)>,
    is_over: bool,
    patience: Duration,
    /// While nothing comes.
    timer: Option<Pin<Box<Sleep>>>,
    backend: String,
    _held: (Lease, Box<dyn Any>),
}

/// Why an answer has no end.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The backend has ended it, or its framing is unsound.
    Broken(hyper::Error),
    /// Nothing of it has come for too long.
    TooSlow,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the backend's answer has no end: {error}"),
            Self::TooSlow => f.write_str("the backend's answer stands still"),
        }
    }
}

impl std::error::Error for Cut {}

impl Passed {
    pub(super) fn new(
        body: Incoming,
        line: (Line, Option<Room>),
        patience: Duration,
        held: (Lease, Box<dyn Any>),
    ) -> Self {
        let backend = held.0.backend().to_owned();
        Self { body, line: Some(line), is_over: false, patience, timer: None, backend, _held: held }
    }

    fn cut(&self, why: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // Its head has gone: all that is left is to end the client's connection too early.
        tracing::warn!(backend = self.backend, error = %why, "an answer was cut");
        Poll::Ready(Some(Err(why)))
    }
}

impl Body for Passed {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some((line, _)) = &mut this.line {
            line.poll(cx);
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                let patience = this.patience;
                let timer = this.timer.get_or_insert_with(|| Box::pin(clock::sleep(patience)));
                if timer.as_mut().poll(cx).is_pending() { Poll::Pending } else { this.cut(Cut::TooSlow) }
            }
            Poll::Ready(frame) => {
                this.timer = None;
                match frame.map(|frame| frame.map(Frame::into_data)) {
                    Some(Ok(Ok(data))) => Poll::Ready(Some(Ok(Frame::data(data)))),
                    Some(Err(error)) => this.cut(Cut::Broken(error)),
                    // RFC 9110 §6.5.1: trailers may be discarded, and behind them there is nothing.
                    None | Some(Ok(Err(_))) => {
                        this.is_over = true;
                        Poll::Ready(None)
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Passed {
    /// Whoever writes an answer that has its length does not ask for more behind the last byte.
    fn drop(&mut self) {
        let is_over = self.is_end_stream();
        if let Some((line, Some(room))) = self.line.take()
            && is_over
        {
            room.keep(line);
        }
    }
}
