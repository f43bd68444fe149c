//! What stands between a tunnel and its sockets for a backend that does not keep RFC 6455: one frame for one read, a
//! backend that is always read, and a bound on what its slow clients hold.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::absence::Absence;
use super::hold::Hold;
use super::pace::Pace;
use crate::config::{Legacy, SessionLimits, SlowClient};
use crate::lifecycle::clock::sleep;
use crate::pool::Lease;
use crate::socket::{Listener, Message, Socket};
use crate::telemetry::metrics::Counter;
use crate::wire::frame::Opcode;
use crate::wire::tunnel::Tunnel;

/// Pongs are left out when so many bytes wait before them: RFC 6455 §5.5.3 asks for the most recent one alone.
pub(super) const PILED: usize = 64 * 1024;

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
    pub(super) pace: Option<Pace>,
    send_queue: usize,
    slow_client: SlowClient,
    /// The client is too slow, and is to be told so: it gets no more messages.
    is_full: bool,
    long: Long,
    patience: Option<Box<Patience>>,
    counts: Counts,
    /// Those of the tunnel that are counted already, as far as a u32 tells.
    bad_texts: u32,
    /// Who listened when the backend was connected to, where the kernel can tell.
    listener: Option<Arc<Listener>>,
    /// There while the backend is not.
    pub(super) absence: Option<Box<Absence>>,
    /// There where the route has its clients held.
    pub(super) hold: Option<Box<Hold>>,
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
    pub(crate) fn new(
        legacy: Legacy,
        limits: &SessionLimits,
        backend: (&Socket, &Lease),
        counts: Counts,
        hold: Option<Box<Hold>>,
    ) -> Box<Self> {
        let SessionLimits { send_queue, slow_client, .. } = *limits;
        let mut shield = Self {
            legacy,
            pace: None,
            send_queue,
            slow_client,
            is_full: false,
            long: Long::Not,
            patience: None,
            counts,
            bad_texts: 0,
            listener: None,
            absence: None,
            hold,
        };
        shield.meet(backend);
        Box::new(shield)
    }

    fn meet(&mut self, (backend, lease): (&Socket, &Lease)) {
        self.pace =
            self.legacy.one_frame_per_read.then(|| Pace::new(backend, self.legacy.pace_reply, self.hold.is_some()));
        self.listener = lease.listener(backend);
        self.acknowledge(backend);
    }

    /// Another backend has taken the place of the one before.
    pub(super) fn rejoin(&mut self, attempts: u32, backend: (&Socket, &Lease)) {
        self.meet(backend);
        if let Some(hold) = &mut self.hold {
            hold.rejoin(attempts);
        }
    }

    /// The name of the backend that is gone.
    pub(super) fn gone(&self) -> &str {
        self.hold.as_ref().map_or("", |hold| hold.backend())
    }

    /// Who listened when the backend was connected to, where the kernel can tell.
    pub(super) fn listener(&self) -> Option<Arc<Listener>> {
        self.listener.clone()
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
        let waits = self.pace.as_ref().is_some_and(|pace| pace.waiting() > 0);
        !waits && self.hold.as_ref().is_none_or(|hold| hold.has_room())
    }

    /// Whether the client has just turned out too slow; told once.
    pub(super) fn take_full(&mut self) -> bool {
        std::mem::take(&mut self.is_full)
    }

    /// A frame for the client that is no message that could be left out.
    pub(super) fn tell_client(&mut self, cx: &mut Context<'_>, client: &mut Socket, frame: &[u8]) {
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
            _ => Box::new(Patience { queued, ends: Box::pin(sleep(PATIENCE)) }),
        };
        let is_patient = self.patience.insert(patience).ends.as_mut().poll(cx).is_pending();
        if !is_patient {
            (self.patience, self.long, self.is_full) = (None, Long::Not, true);
        }
        is_patient
    }

    /// The backend has said something.
    pub(super) fn heard(&mut self, backend: &Socket) {
        if let Some(pace) = &mut self.pace {
            pace.heard(backend);
        }
    }

    /// A whole message for the client.
    pub(super) fn message(&mut self, cx: &mut Context<'_>, client: &mut Socket, message: &[u8]) {
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

    pub(super) fn acknowledge(&self, backend: &Socket) {
        if self.legacy.quickack {
            backend.acknowledge_at_once();
        }
    }

    pub(super) fn count_bad_texts(&mut self, tunnel: &Tunnel) {
        let all = tunnel.bad_texts() as u32;
        let new = all.wrapping_sub(std::mem::replace(&mut self.bad_texts, all));
        self.counts.bad_texts.inc_by(u64::from(new));
    }
}

pub(super) fn is_control(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 0x08 != 0)
}

pub(super) fn is_pong(frame: &[u8]) -> bool {
    frame.first() == Some(&(0x80 | Opcode::Pong as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The allocator's next larger block has 256 bytes, and there are as many shields as clients of such backends.
    #[test]
    fn a_shield_takes_no_more_than_this() {
        assert!(size_of::<Shield>() <= 224, "{}", size_of::<Shield>());
    }
}
