//! One read through a tunnel with a shield: what the tunnel says goes out frame by frame, past the shield's bounds.

use std::io;
use std::task::{Context, Poll};

use super::Shield;
use super::wires::note;
use crate::socket::Socket;
use crate::socket::rate::MessageRate;
use crate::telemetry::roster::Place;
use crate::wire::tunnel::{Note, Out, Side, Tunnel};

impl Shield {
    /// One read of the client through the tunnel: as [`super::wires::pump`], but each frame by itself.
    pub(super) fn pump_up(
        &mut self,
        cx: &mut Context<'_>,
        (client, backend): (&mut Socket, &mut Socket),
        tunnel: &mut Tunnel,
        (rate, place): (&MessageRate, &Place),
    ) -> Poll<io::Result<bool>> {
        let mut back = Vec::new();
        let mut sending = Context::from_waker(cx.waker());
        let read = client.poll_pieces(cx, &mut |piece, _| {
            let to = Ends { client: End::Later(&mut back), backend: End::Now(backend) };
            tunnel.on_bytes(Side::Client, piece, &mut Guard { shield: self, to, cx: &mut sending, rate, place });
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
        (rate, place): (&MessageRate, &Place),
    ) -> Poll<io::Result<bool>> {
        let mut back = Vec::new();
        let mut sending = Context::from_waker(cx.waker());
        let read = backend.poll_pieces(cx, &mut |piece, _| {
            let to = Ends { client: End::Now(client), backend: End::Later(&mut back) };
            tunnel.on_bytes(Side::Backend, piece, &mut Guard { shield: self, to, cx: &mut sending, rate, place });
            true
        });
        if let Poll::Ready(Ok(true)) = &read {
            self.heard(backend);
        }
        for frame in back {
            self.tell_backend(cx, backend, &frame);
        }
        self.acknowledge(backend);
        self.count_bad_texts(tunnel);
        read
    }
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
    place: &'a Place,
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

    fn note(&mut self, what: Note) {
        note(self.place, what);
    }
}
