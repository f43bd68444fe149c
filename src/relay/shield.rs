//! What stands between a tunnel and its sockets for a backend that does not keep RFC 6455: one frame for one read, a
//! backend that is always read, and a bound on what its slow clients hold.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::pace::Pace;
use crate::config::{Legacy, SessionLimits, SlowClient};
use crate::lifecycle::clock::sleep;
use crate::socket::rate::MessageRate;
use crate::socket::{Message, Socket};
use crate::telemetry::metrics::Counter;
use crate::wire::frame::Opcode;
use crate::wire::tunnel::{Out, Side, Tunnel};

/// Pongs are left out when so many bytes wait before them: RFC 6455 §5.5.3 asks for the most recent one alone.
const PILED: usize = 64 * 1024;

/// A client that takes nothing of a long message for so long is too slow.
const PATIENCE: Duration = Duration::from_secs(2);

/// A message that was too long to be held until it was whole: it passes in fragments, and could not be left out any more.
enum Long {
    /// There is none.
    Not,
    /// More of it is to come.
    Passes,
    /// All of it is in the client's queue.
    Passed,
}

/// The wait for a client to take something of what it has.
struct Patience {
    /// What it has.
    queued: usize,
    ends: Pin<Box<dyn Future<Output = ()>>>,
}

/// One session's shield. A session without one has nothing of it but an empty `Option`.
pub(crate) struct Shield {
    legacy: Legacy,
    pace: Option<Pace>,
    send_queue: usize,
    slow_client: SlowClient,
    /// The client is too slow, and is to be told so: it gets no more messages.
    is_full: bool,
    long: Long,
    patience: Option<Patience>,
    counts: Counts,
    /// Those of the tunnel that are counted already.
    bad_texts: u64,
}

/// What is counted while a session lives.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// Messages of the backend that were not UTF-8.
    pub bad_texts: Counter,
    /// Messages that a slow client did not get.
    pub dropped: Counter,
}

impl Shield {
    /// For a backend that has answered the upgrade.
    #[must_use]
    pub(crate) fn new(legacy: Legacy, limits: &SessionLimits, backend: &Socket, counts: Counts) -> Box<Self> {
        let pace = legacy.one_frame_per_read.then(|| Pace::new(backend, legacy.pace_reply));
        let SessionLimits { send_queue, slow_client, .. } = *limits;
        let (long, patience) = (Long::Not, None);
        let shield =
            Self { legacy, pace, send_queue, slow_client, is_full: false, long, patience, counts, bad_texts: 0 };
        shield.acknowledge(backend);
        Box::new(shield)
    }

    /// What the next frame waits for, in one word for the log: `queue`, `reply` or `nothing`.
    #[must_use]
    pub(crate) fn waits_for(&self) -> &'static str {
        self.pace.as_ref().map_or("nothing", Pace::word)
    }

    /// The parts of the profile.
    pub(super) const fn legacy(&self) -> &Legacy {
        &self.legacy
    }

    /// Whether the client may say more: everything it has said was written.
    pub(super) fn is_clear(&self) -> bool {
        self.pace.as_ref().is_none_or(|pace| pace.waiting() == 0)
    }

    /// Whether the client has just turned out too slow; told once.
    pub(super) fn take_full(&mut self) -> bool {
        std::mem::take(&mut self.is_full)
    }

    /// The backend is gone.
    pub(super) fn backend_ended(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.clear();
        }
    }

    /// Writes to the backend what may be written by now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, backend: &mut Socket) {
        if let Some(pace) = &mut self.pace {
            let _ = pace.poll(cx, backend);
        }
    }

    /// `Ready` when the backend has everything, and has read it where that can be seen. Says whether a frame has left.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>, backend: &mut Socket) -> (Poll<()>, bool) {
        let Some(pace) = &mut self.pace else { return (Poll::Ready(()), false) };
        let before = pace.waiting();
        let poll = pace.poll_read(cx, backend);
        (poll, pace.waiting() < before)
    }

    /// A frame for the backend.
    pub(super) fn tell_backend(&mut self, cx: &mut Context<'_>, backend: &mut Socket, frame: &[u8]) {
        match &mut self.pace {
            Some(pace) => pace.send(cx, backend, frame),
            None if is_pong(frame) && backend.queued() > PILED => {}
            None => backend.send(cx, frame),
        }
    }

    /// A frame for the client that is no message that could be left out.
    fn tell_client(&mut self, cx: &mut Context<'_>, client: &mut Socket, frame: &[u8]) {
        let is_pong = is_pong(frame);
        if is_pong && client.queued() > PILED {
            return;
        }
        if !is_control(frame) {
            if self.is_full {
                return;
            }
            self.long = if frame.first().is_some_and(|first| first & 0x80 == 0) { Long::Passes } else { Long::Passed };
        }
        client.send(cx, frame);
    }

    /// Whether the backend is not to be read now: only while a long message is in the client's queue, which no limit
    /// could hold, and while the client takes of it.
    pub(super) fn poll_held(&mut self, cx: &mut Context<'_>, client: &Socket) -> bool {
        let most = match self.long {
            Long::Not => return false,
            Long::Passes => self.send_queue / 2,
            Long::Passed => 0,
        };
        let queued = client.queued();
        if queued <= most {
            self.patience = None;
            if let Long::Passed = self.long {
                self.long = Long::Not;
            }
            return false;
        }
        let patience = match self.patience.take() {
            Some(patience) if queued >= patience.queued => patience,
            _ => Patience { queued, ends: Box::pin(sleep(PATIENCE)) },
        };
        let is_patient = self.patience.insert(patience).ends.as_mut().poll(cx).is_pending();
        if !is_patient {
            (self.patience, self.long, self.is_full) = (None, Long::Not, true);
        }
        is_patient
    }

    /// A whole message for the client.
    fn message(&mut self, cx: &mut Context<'_>, client: &mut Socket, message: &[u8]) {
        if self.is_full {
            return;
        }
        // What came in one read with the end of a long message is little.
        let is_behind = matches!(self.long, Long::Passed);
        if client.queued() == 0 || is_behind || self.make_room(client, message.len()) {
            client.send_message(cx, Message::Own(message));
        } else if self.slow_client == SlowClient::Close {
            self.is_full = true;
        } else {
            self.counts.dropped.inc();
        }
    }

    fn make_room(&self, client: &mut Socket, wanted: usize) -> bool {
        let (fits, dropped) = client.make_room(wanted, self.send_queue, self.slow_client);
        self.counts.dropped.inc_by(dropped);
        fits
    }

    fn acknowledge(&self, backend: &Socket) {
        if self.legacy.quickack {
            backend.acknowledge_at_once();
        }
    }

    fn count_bad_texts(&mut self, tunnel: &Tunnel) {
        let all = tunnel.bad_texts();
        self.counts.bad_texts.inc_by(all - std::mem::replace(&mut self.bad_texts, all));
    }

    /// One read of the client through the tunnel: as [`super::wires::pump`], but each frame by itself.
    pub(super) fn pump_up(
        &mut self,
        cx: &mut Context<'_>,
        (client, backend): (&mut Socket, &mut Socket),
        tunnel: &mut Tunnel,
        rate: &MessageRate,
    ) -> Poll<io::Result<bool>> {
        let mut back = Vec::new();
        let mut sending = Context::from_waker(cx.waker());
        let read = client.poll_pieces(cx, &mut |piece, _| {
            let to = Ends { client: End::Later(&mut back), backend: End::Now(backend) };
            tunnel.on_bytes(Side::Client, piece, &mut Guard { shield: self, to, cx: &mut sending, rate });
            backend.queued() == 0 && self.is_clear()
        });
        for frame in back {
            self.tell_client(cx, client, &frame);
        }
        read
    }

    /// One read of the backend through the tunnel, whether the client takes it or not.
    pub(super) fn pump_down(
        &mut self,
        cx: &mut Context<'_>,
        (client, backend): (&mut Socket, &mut Socket),
        tunnel: &mut Tunnel,
        rate: &MessageRate,
    ) -> Poll<io::Result<bool>> {
        let mut back = Vec::new();
        let mut sending = Context::from_waker(cx.waker());
        let read = backend.poll_pieces(cx, &mut |piece, _| {
            let to = Ends { client: End::Now(client), backend: End::Later(&mut back) };
            tunnel.on_bytes(Side::Backend, piece, &mut Guard { shield: self, to, cx: &mut sending, rate });
            true
        });
        if let (Some(pace), Poll::Ready(Ok(true))) = (&mut self.pace, &read) {
            pace.heard(backend);
        }
        for frame in back {
            self.tell_backend(cx, backend, &frame);
        }
        self.acknowledge(backend);
        self.count_bad_texts(tunnel);
        read
    }
}

fn is_control(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 0x08 != 0)
}

fn is_pong(frame: &[u8]) -> bool {
    frame.first() == Some(&(0x80 | Opcode::Pong as u8))
}

/// An end as it can be reached at the moment.
enum End<'a> {
    Now(&'a mut Socket),
    /// Its socket is being read: the frames are sent afterwards.
    Later(&'a mut Vec<Vec<u8>>),
}

struct Ends<'a> {
    client: End<'a>,
    backend: End<'a>,
}

/// Takes what a tunnel says while one of the sockets is being read.
struct Guard<'a, 'c> {
    shield: &'a mut Shield,
    to: Ends<'a>,
    cx: &'a mut Context<'c>,
    rate: &'a MessageRate,
}

impl Out for Guard<'_, '_> {
    fn send(&mut self, to: Side, frame: &[u8]) {
        match (to, &mut self.to.client, &mut self.to.backend) {
            (Side::Client, End::Now(client), _) => self.shield.tell_client(self.cx, client, frame),
            (Side::Backend, _, End::Now(backend)) => self.shield.tell_backend(self.cx, backend, frame),
            (Side::Client, End::Later(back), _) | (Side::Backend, _, End::Later(back)) => back.push(frame.to_vec()),
        }
    }

    fn message(&mut self, frame: &[u8]) {
        match &mut self.to.client {
            End::Now(client) => self.shield.message(self.cx, client, frame),
            End::Later(back) => back.push(frame.to_vec()),
        }
    }

    fn admit_message(&mut self) -> bool {
        self.rate.admit()
    }
}
