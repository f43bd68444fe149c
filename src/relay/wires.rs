//! One direction of a relay: bytes from one socket through the tunnel into the other, without a copy where none waits.

use std::io;
use std::task::{Context, Poll};

use super::Shield;
use crate::socket::rate::MessageRate;
use crate::socket::{Bay, Socket};
use crate::telemetry::roster::Place;
use crate::wire::tunnel::{Note, Out, Side, Tunnel};

/// Both sockets, for what the tunnel says of its own accord.
pub(super) struct Wires<'a, 'c> {
    pub(super) client: &'a mut Socket,
    pub(super) backend: &'a mut Socket,
    pub(super) cx: &'a mut Context<'c>,
    pub(super) rate: &'a MessageRate,
    pub(super) shield: Option<&'a mut Shield>,
    pub(super) place: &'a Place,
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

    fn note(&mut self, what: Note) {
        note(self.place, what);
    }
}

/// Counts what a tunnel tells.
#[inline]
pub(super) fn note(place: &Place, what: Note) {
    match what {
        Note::Message(Side::Client, size) => place.received(size),
        Note::Message(Side::Backend, size) => place.sent(size),
        Note::Pinged => place.asked(),
        Note::Ponged => place.answered(),
    }
}

/// The other socket, and what goes back to the one that is being read.
struct Pass<'a, 'c> {
    from: Side,
    other: &'a mut Socket,
    back: Vec<u8>,
    /// The beginning of a frame whose next piece is here already: one write for both.
    begun: Bay,
    hold: bool,
    cx: &'a mut Context<'c>,
    rate: &'a MessageRate,
    place: &'a Place,
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

    #[inline]
    fn note(&mut self, what: Note) {
        note(self.place, what);
    }
}

impl Pass<'_, '_> {
    /// One piece through the tunnel; `false` when the other socket has enough.
    fn piece(&mut self, tunnel: &mut Tunnel, piece: &[u8], more: bool) -> bool {
        // At the edge each message is a write of its own: there are backends that look no further in what they read.
        self.hold = more && !tunnel.is_edge();
        tunnel.on_bytes(self.from, piece, self);
        if !more || !tunnel.is_mid_frame(self.from) {
            self.let_go();
        }
        self.other.queued() == 0
    }

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
    (rate, place): (&MessageRate, &Place),
) -> Poll<io::Result<bool>> {
    let mut sending = Context::from_waker(cx.waker());
    let mut pass =
        Pass { from, other: sink, back: Vec::new(), begun: Bay::default(), hold: false, cx: &mut sending, rate, place };
    let read = source.poll_pieces(cx, &mut |piece, more| pass.piece(tunnel, piece, more));
    pass.let_go();
    let back = pass.back;
    if !back.is_empty() {
        source.send(cx, &back);
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Transport;
    use crate::telemetry::roster::Roster;
    use crate::wire::frame::{self, Opcode};
    use crate::wire::tunnel::{BadText, Binary, Edge, Policy};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixStream as Stream};
    use std::rc::Rc;

    /// The writes that pieces of a client's bytes come to; a datagram keeps each apart.
    async fn writes(edge: bool, pieces: &[(&[u8], bool)]) -> Vec<Vec<u8>> {
        // A turn of its own, so that it may write as often as it has to.
        tokio::task::yield_now().await;
        let (ours, theirs) = UnixDatagram::pair().expect("a pair");
        for socket in [&ours, &theirs] {
            socket.set_nonblocking(true).expect("allowed");
        }
        let stream = tokio::net::UnixStream::from_std(Stream::from(OwnedFd::from(ours))).expect("registered");
        stream.writable().await.expect("open");
        let mut sink = Socket::plain(Transport::Unix(stream));
        let edge = edge.then_some(Edge { binary: Binary::Pass, bad_text: BadText::Drop });
        let mut tunnel = Tunnel::new(Policy { message_size: 1 << 20, utf8: true, edge }, 1);
        let (rate, mut cx) = (MessageRate::new(None), Context::from_waker(std::task::Waker::noop()));
        let place = Rc::new(Roster::new(0, 1)).pass();
        let (back, begun) = (Vec::new(), Bay::default());
        let mut pass = Pass {
            from: Side::Client,
            other: &mut sink,
            back,
            begun,
            hold: false,
            cx: &mut cx,
            rate: &rate,
            place: &place,
        };
        for (piece, more) in pieces {
            assert!(pass.piece(&mut tunnel, piece, *more));
        }
        pass.let_go();
        let mut room = [0; 100_000];
        std::iter::from_fn(|| theirs.recv(&mut room).ok().map(|count| room[..count].to_vec())).collect()
    }

    fn message(text: &str) -> Vec<u8> {
        frame::whole(Opcode::Text, text.as_bytes(), Some([0; 4]))
    }

    #[tokio::test]
    async fn at_the_edge_each_message_is_one_write_however_records_cut_them() {
        let all = ["first", "second", "third"].map(message);
        let bytes = all.concat();
        for cut in 0..bytes.len() {
            let pieces = [(&bytes[..cut], true), (&bytes[cut..], false)];
            assert_eq!(writes(true, &pieces).await, all, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_frame_in_two_records_is_one_write_when_both_are_here() {
        let long = message(&"x".repeat(20_000));
        assert_eq!(
            writes(false, &[(&long[..16_384], true), (&long[16_384..], false)]).await,
            std::slice::from_ref(&long)
        );
        // What follows has not come: the beginning does not wait for it.
        let halves = [long[..16_384].to_vec(), long[16_384..].to_vec()];
        assert_eq!(writes(false, &[(&long[..16_384], false), (&long[16_384..], false)]).await, halves);
        // More than a buffer holds goes on in order.
        let longer = message(&"y".repeat(90_000));
        let pieces: Vec<(&[u8], bool)> = longer.chunks(16_384).map(|piece| (piece, true)).collect();
        let sent = writes(false, &pieces).await;
        assert!(sent.len() < pieces.len() && sent.concat() == longer, "{}", sent.len());
    }
}
