//! Legs whose worker has not looked yet: what a write finds out first costs nobody's last words.

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::client::Trust;
use crate::config::{Config, Habits, Profile};
use crate::pool::Pool;
use crate::socket::Transport;
use crate::telemetry::metrics::Counter;
use crate::telemetry::roster::Roster;
use crate::wire::frame::{self, Opcode};
use crate::wire::head::{Ask, Forwarded, Rules, request};

const CONFIG: &str = "[[route]]\npath = \"/\"\nproxy = { pool = \"p\" }\n[pool.p]\nbackends = [\"ws://h:1\"]\n";

/// A place at a backend that is never dialled.
async fn lease() -> Lease {
    let config = Config::parse(CONFIG, "test.toml", Path::new("")).expect("valid");
    let pool = Pool::new("p", &config.pools["p"], Habits::TRANSPARENT, Trust::only(Vec::new()), None);
    pool.take_over();
    let (headers, client) = (Default::default(), IpAddr::from(Ipv4Addr::LOCALHOST));
    let forwarded = Forwarded { client, chain: None, peer: client, secure: false, host: "h" };
    let rules = Rules { budget: None, cookies: &[], pass: &[], subprotocols: true };
    let ask = Ask { target: "/", key: "key", client: &headers, forwarded, vouched: &[], rules };
    let wish = pool.wish((&headers, client), request(&ask).expect("no budget"), None);
    pool.enter(&wish).await.expect("a place")
}

/// One end for the leg, and the other one, which does not wait.
fn tcp() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let ours = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (theirs, _) = listener.accept().expect("accept");
    for stream in [&ours, &theirs] {
        stream.set_nonblocking(true).expect("allowed");
        stream.set_nodelay(true).expect("allowed");
    }
    let ours = tokio::net::TcpStream::from_std(ours).expect("registered");
    (Socket::plain(Transport::Tcp(ours)), theirs)
}

async fn leg(client: Socket, backend: Socket, is_framework: bool) -> Leg {
    let limits = Arc::new(SessionLimits::default());
    let legacy = is_framework.then(|| Profile::Workerman.treatment().legacy).flatten();
    let counts = Counts { bad_texts: Counter::default(), dropped: Counter::default() };
    let lease = lease().await;
    let shield = legacy.map(|legacy| Shield::new(legacy, &limits, (&backend, &lease), counts, None));
    let place = Rc::new(Roster::new(0, 1)).pass();
    Leg::new(client, (backend, lease), (Vigil::new(limits, 0), place), shield, 1)
}

/// One turn of the leg, and then of everybody else.
async fn turn(leg: &mut Leg) {
    assert!(poll_fn(|cx| Poll::Ready(leg.poll(cx))).await.is_pending(), "the client is still here");
    tokio::task::yield_now().await;
}

/// The next frame that the client gets, of which `expected` has the length.
async fn gets(leg: &mut Leg, near: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    while near.peek(&mut got).unwrap_or(0) < expected.len() {
        turn(leg).await;
    }
    near.read_exact(&mut got).expect("it is there");
    assert_eq!(got, expected);
}

fn close(code: u16, reason: &'static str) -> Vec<u8> {
    frame::close(&Close::new(Code::from_wire(code).expect("one"), reason), None)
}

fn message(text: &str) -> Vec<u8> {
    frame::whole(Opcode::Text, text.as_bytes(), Some([0; 4]))
}

#[tokio::test]
async fn what_a_backend_said_before_its_reset_arrives_though_a_write_has_met_the_reset_first() {
    for is_framework in [false, true] {
        let ((client, mut near), (backend, mut far)) = (tcp(), tcp());
        let mut leg = leg(client, backend, is_framework).await;
        near.write_all(&message("one")).expect("room");
        while far.peek(&mut [0]).is_err() {
            turn(&mut leg).await;
        }
        near.write_all(&message("two")).expect("room");
        poll_fn(|cx| leg.client.poll_arrived(cx)).await;
        // Of this the worker has not heard yet. What is unread makes the end a reset.
        far.write_all(&frame::whole(Opcode::Text, b"last words", None)).expect("room");
        far.write_all(&close(4000, "bye")).expect("room");
        drop(far);
        gets(&mut leg, &mut near, &frame::whole(Opcode::Text, b"last words", None)).await;
        gets(&mut leg, &mut near, &close(4000, "bye")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_nothing_any_more_and_has_nothing_to_say_is_waited_for_in_vain_and_not_for_long() {
    let (client, mut near) = tcp();
    let (ours, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("allowed");
    let ours = tokio::net::UnixStream::from_std(ours).expect("registered");
    let mut leg = leg(client, Socket::plain(Transport::Unix(ours)), false).await;
    far.shutdown(std::net::Shutdown::Read).expect("open");
    near.write_all(&message("one")).expect("room");
    while leg.broken.is_none() {
        turn(&mut leg).await;
    }
    assert!(near.peek(&mut [0]).is_err(), "it may have something to say");
    tokio::time::advance(LAST_WORDS).await;
    gets(&mut leg, &mut near, &close(1011, "bad gateway: the backend ended without a close")).await;
    drop(far);
}
