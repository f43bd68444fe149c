//! One direction of a relay: bytes from one socket through the tunnel into the other, without a copy where none waits.

use std::io;
use std::task::{Context, Poll};

use super::Shield;
use crate::socket::rate::MessageRate;
use crate::socket::{Bay, Socket};
use crate::wire::tunnel::{Out, Side, Tunnel};

/// Both sockets, for what the tunnel says of its own accord.
pub(super) struct Wires<'a, 'c> {
    pub(super) client: &'a mut Socket,
    pub(super) backend: &'a mut Socket,
    pub(super) cx: &'a mut Context<'c>,
    pub(super) rate: &'a MessageRate,
    pub(super) shield: Option<&'a mut Shield>,
}

impl Out for Wires<'_, '_> {
    fn send(&mut self, to: Side, bytes: &[u8]) {
        match (to, &mut self.shield) {
            (Side::Client, _) => self.client.send(self.cx, bytes),
            (Side::Backend, None) => self.backend.send(self.cx, bytes),
            (Side::Backend, Some(shield)) => shield.tell_backend(self.cx, self.backend, bytes),
        }
    }

    fn admit_message(&mut self) -> bool {
        self.rate.admit()
    }
}

/// The other socket, and what goes back to the one that is being read.
struct Pass<'a, 'c> {
    from: Side,
    other: &'a mut Socket,
    back: &'a mut Vec<u8>,
    /// The beginning of a frame whose next piece is here already: one write for both.
    begun: &'a mut Bay,
    hold: bool,
    cx: &'a mut Context<'c>,
    rate: &'a MessageRate,
}

impl Out for Pass<'_, '_> {
    fn send(&mut self, to: Side, bytes: &[u8]) {
        let waits = self.hold || !self.begun.is_empty();
        if to == self.from {
            self.back.extend_from_slice(bytes);
        } else if !(waits && self.begun.append(bytes)) {
            self.let_go();
            self.other.send(self.cx, bytes);
        }
    }

    fn admit_message(&mut self) -> bool {
        self.rate.admit()
    }
}

impl Pass<'_, '_> {
    fn let_go(&mut self) {
        if !self.begun.is_empty() {
            self.other.send(self.cx, self.begun.filled());
            self.begun.clear();
        }
    }
}

/// One read of `source` through the tunnel into `sink`: `Ready(true)` after bytes, `Ready(false)` at the end. Stops as
/// soon as the sink does not take everything at once.
pub(super) fn pump(
    cx: &mut Context<'_>,
    from: Side,
    (source, sink): (&mut Socket, &mut Socket),
    tunnel: &mut Tunnel,
    rate: &MessageRate,
) -> Poll<io::Result<bool>> {
    let (mut back, mut begun) = (Vec::new(), Bay::default());
    let mut sending = Context::from_waker(cx.waker());
    let read = source.poll_pieces(cx, &mut |piece, more| {
        let mut pass =
            Pass { from, other: sink, back: &mut back, begun: &mut begun, hold: more, cx: &mut sending, rate };
        tunnel.on_bytes(from, piece, &mut pass);
        if !more || !tunnel.is_mid_frame(from) {
            pass.let_go();
        }
        sink.queued() == 0
    });
    if !begun.is_empty() {
        sink.send(&mut sending, begun.filled());
    }
    if !back.is_empty() {
        source.send(cx, &back);
    }
    read
}
