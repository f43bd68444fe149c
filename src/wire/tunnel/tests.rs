//! Tunnels tried with scripts of bytes and events.

use super::super::frame::{self, HEAD_MAX, Head, Opcode};
use super::super::mask::Mask;
use super::*;

const KEY: [u8; 4] = [0x0a, 0xb0, 0x0c, 0xd0];
const TRANSPARENT: Policy = Policy { message_size: 1000, utf8: true, edge: None };
const EDGE: Policy = Policy { edge: Some(Edge { binary: Binary::Pass, bad_text: BadText::Close }), ..TRANSPARENT };

/// Where the bytes went, each send by itself.
struct Wire {
    sends: Vec<(Side, Vec<u8>)>,
    notes: Vec<Note>,
    /// Messages that the client may still send.
    allowance: usize,
}

impl Out for Wire {
    fn send(&mut self, to: Side, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "an empty send");
        self.sends.push((to, bytes.to_vec()));
    }

    fn admit_message(&mut self) -> bool {
        self.allowance.checked_sub(1).map(|left| self.allowance = left).is_some()
    }

    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
}

/// What happens to a tunnel.
#[derive(Clone, Debug)]
enum Event {
    Client(Vec<u8>),
    Backend(Vec<u8>),
    End(Side),
    Deadline,
    Order(Close),
    Home(Close),
    Ping,
}

/// A frame as it was found on the wire; what is before the first dot of its text is its kind.
type Frame = (bool, Opcode, Vec<u8>);

/// All that can be told of a tunnel from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    /// Bytes for each end, put together.
    client: Vec<u8>,
    backend: Vec<u8>,
    over: bool,
    failing: bool,
    ending: Option<Ending>,
    offence: Option<Offence>,
    traffic: [Traffic; 2],
    notes: Vec<Note>,
}

impl Told {
    fn to_client(&self) -> Vec<Frame> {
        frames(&self.client, Role::Server)
    }

    fn to_backend(&self) -> Vec<Frame> {
        frames(&self.backend, Role::Client)
    }

    #[track_caller]
    fn ended(&self, by: Party, code: u16) {
        let ending = self.ending.as_ref().expect("an ending");
        assert_eq!((ending.by, ending.code), (by, code), "{}", ending.reason);
    }
}

/// Takes whole lawful frames apart; anything else is a mistake of the tunnel.
#[track_caller]
fn frames(mut bytes: &[u8], from: Role) -> Vec<Frame> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let opcode = Head::check(bytes[0], bytes[1], from).expect("a lawful frame");
        let size = Head::size(bytes[1]);
        let mut head = [0; HEAD_MAX];
        head[..size].copy_from_slice(&bytes[..size]);
        let head = Head::read(&head, opcode).expect("a lawful length");
        let end = size + head.length as usize;
        let mut payload = bytes[size..end].to_vec();
        Mask::new(head.key.unwrap_or_default()).apply(&mut payload);
        all.push((head.fin, opcode, payload));
        bytes = &bytes[end..];
    }
    all
}

fn run(policy: Policy, allowance: usize, events: &[Event]) -> (Told, Vec<(Side, Vec<u8>)>) {
    let mut tunnel = Tunnel::new(policy, 7);
    let mut wire = Wire { sends: Vec::new(), notes: Vec::new(), allowance };
    for event in events {
        let was_over = tunnel.is_over();
        let before = (wire.sends.len(), tunnel.ending().cloned());
        match event {
            Event::Client(bytes) => tunnel.on_bytes(Side::Client, bytes, &mut wire),
            Event::Backend(bytes) => tunnel.on_bytes(Side::Backend, bytes, &mut wire),
            Event::End(side) => tunnel.on_end(*side, "gone", &mut wire),
            Event::Deadline => tunnel.on_deadline(&mut wire),
            Event::Order(close) => tunnel.order(close.clone(), &mut wire),
            Event::Home(close) => tunnel.send_home(close.clone(), &mut wire),
            Event::Ping => tunnel.ping(&mut wire),
        }
        tunnel.rest();
        assert_eq!(tunnel.is_ending(), tunnel.ending().is_some());
        assert!(!tunnel.is_over() || tunnel.is_ending(), "over without an ending");
        if was_over {
            assert!(tunnel.is_over());
            assert_eq!(wire.sends.len(), before.0, "something passed after the end");
        }
        if before.1.is_some() {
            assert_eq!(tunnel.ending(), before.1.as_ref(), "a second ending");
        }
    }
    let bytes_for = |side| wire.sends.iter().filter(|send| send.0 == side).flat_map(|send| send.1.clone()).collect();
    let told = Told {
        client: bytes_for(Side::Client),
        backend: bytes_for(Side::Backend),
        over: tunnel.is_over(),
        failing: tunnel.is_failing(),
        ending: tunnel.ending().cloned(),
        offence: tunnel.offence().cloned(),
        traffic: [tunnel.traffic(Side::Client), tunnel.traffic(Side::Backend)],
        notes: wire.notes,
    };
    (told, wire.sends)
}

/// Cuts the bytes of each event at `cut` (or all into single bytes, for 0).
fn cut(events: &[Event], cut: usize) -> Vec<Event> {
    let pieces = |bytes: &[u8]| -> Vec<Vec<u8>> {
        if cut == 0 {
            return bytes.chunks(1).map(<[u8]>::to_vec).collect();
        }
        let (front, back) = bytes.split_at(cut.min(bytes.len()));
        vec![front.to_vec(), back.to_vec()]
    };
    let each = |event: &Event| match event {
        Event::Client(bytes) => pieces(bytes).into_iter().map(Event::Client).collect(),
        Event::Backend(bytes) => pieces(bytes).into_iter().map(Event::Backend).collect(),
        other => vec![other.clone()],
    };
    events.iter().flat_map(each).collect()
}

/// Plays a script with its bytes cut in every way, and checks that it makes no difference.
#[track_caller]
fn play(policy: Policy, events: &[Event]) -> Told {
    play_with(policy, usize::MAX, events)
}

#[track_caller]
fn play_with(policy: Policy, allowance: usize, events: &[Event]) -> Told {
    let (told, _) = run(policy, allowance, events);
    let longest = events.iter().map(|event| match event {
        Event::Client(bytes) | Event::Backend(bytes) => bytes.len(),
        _ => 0,
    });
    for place in 0..longest.max().unwrap_or(0) {
        let (cut, _) = run(policy, allowance, &cut(events, place));
        assert_eq!(cut, told, "cut at {place}");
    }
    told
}

fn raw(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = frame::whole(Opcode::Binary, payload, key);
    bytes[0] = first;
    bytes
}

/// A client's frame: first byte and clear payload.
fn c(first: u8, payload: &[u8]) -> Vec<u8> {
    raw(first, payload, Some(KEY))
}

/// A backend's frame.
fn b(first: u8, payload: &[u8]) -> Vec<u8> {
    raw(first, payload, None)
}

fn client(frames: &[Vec<u8>]) -> Event {
    Event::Client(frames.concat())
}

fn backend(frames: &[Vec<u8>]) -> Event {
    Event::Backend(frames.concat())
}

fn payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn text(payload: &str) -> Frame {
    (true, Opcode::Text, payload.as_bytes().to_vec())
}

fn close(code: u16, reason: &str) -> Frame {
    (true, Opcode::Close, payload(code, reason))
}

/// The code of the last frame, which must be a Close.
#[track_caller]
fn code_of(frames: &[Frame]) -> u16 {
    let Some((true, Opcode::Close, payload)) = frames.last() else { panic!("no close: {frames:?}") };
    u16::from_be_bytes([payload[0], payload[1]])
}

fn leaving() -> Close {
    Close::new(Code::GOING_AWAY, "drain")
}

// What passes.

#[test]
fn lawful_frames_pass_as_they_are() {
    let up = [
        c(TEXT, b"hi"),
        c(0x02, b""),
        c(PING, b"?"),
        c(0x00, &[0xff; 300]),
        c(0x80, b"x"),
        c(PONG, b"foreign"),
        c(0x82, b""),
    ];
    let down =
        [b(TEXT, b"ho"), b(0x01, b"\xe2"), b(PONG, b"?"), b(0x80, b"\x82\xac"), b(PING, b"!"), b(0x82, &[1; 70_000])];
    let told = play(TRANSPARENT, &[client(&up)]);
    let kept = |frames: &[Vec<u8>], from| {
        frames.iter().flat_map(|bytes| super::tests::frames(bytes, from)).collect::<Vec<_>>()
    };
    assert_eq!(told.to_backend(), kept(&up, Role::Client));
    assert_eq!((told.client.len(), told.over, told.ending.is_none()), (0, false, true));
    assert_eq!(told.traffic, [Traffic { frames: 5, bytes: 303 }, Traffic::default()]);
    let (told, _) = run(TRANSPARENT, 9, &[backend(&down)]);
    assert_eq!(told.client, down.concat());
    assert_eq!(told.traffic, [Traffic::default(), Traffic { frames: 4, bytes: 70_005 }]);
    let told = play(TRANSPARENT, &[backend(&down[..5])]);
    assert_eq!((told.client, told.backend.len()), (down[..5].concat(), 0));
}

#[test]
fn frames_in_one_piece_pass_in_one_piece() {
    let frames = [c(TEXT, b"one"), c(0x01, b"two"), c(0x80, b"three")];
    let (_, sends) = run(TRANSPARENT, 9, &[client(&frames)]);
    assert_eq!(sends, [(Side::Backend, frames.concat())]);
}

#[test]
fn traffic_counts_what_passed() {
    let long = c(0x82, &[7; 200]);
    let told = play(TRANSPARENT, &[client(&[c(TEXT, b"abc")]), Event::Client(long[..60].to_vec())]);
    assert_eq!(told.traffic[0], Traffic { frames: 1, bytes: 3 + 60 - 8 });
    let (told, _) = run(TRANSPARENT, 9, &[client(&[c(TEXT, b"abc"), c(TEXT, b"ab\xff")])]);
    assert_eq!(told.traffic[0], Traffic { frames: 1, bytes: 3 });
    let told = play(EDGE, &[client(&[c(0x01, b"abc"), c(0x80, b"de"), c(0x01, b"never whole")])]);
    assert_eq!(told.traffic[0], Traffic { frames: 1, bytes: 5 });
    let told = play(TRANSPARENT, &[Event::Order(leaving()), client(&[c(TEXT, b"late")]), backend(&[b(TEXT, b"late")])]);
    assert_eq!(told.traffic, [Traffic::default(); 2]);
}

// How it ends when both behave.

#[test]
fn client_closes_and_backend_answers() {
    for (said, answered) in
        [(payload(1000, "bye"), payload(1000, "bye")), (vec![], vec![]), (payload(4711, "é"), payload(1001, ""))]
    {
        let events = [client(&[c(TEXT, b"last"), c(CLOSE, &said)]), backend(&[b(TEXT, b"late"), b(CLOSE, &answered)])];
        let told = play(TRANSPARENT, &events);
        assert_eq!(told.to_backend(), [text("last"), (true, Opcode::Close, said.clone())]);
        assert_eq!(told.to_client(), [text("late"), (true, Opcode::Close, answered)]);
        assert!(told.over);
        told.ended(Party::Client, if said.is_empty() { 1005 } else { u16::from_be_bytes([said[0], said[1]]) });
        let told = play(TRANSPARENT, &events[..1]);
        assert!(!told.over && !told.failing && told.client.is_empty(), "a close handshake has its whole time");
    }
}

#[test]
fn backend_closes_and_client_answers() {
    let events = [
        backend(&[b(TEXT, b"x"), b(CLOSE, &payload(1013, "full"))]),
        client(&[c(TEXT, b"late"), c(CLOSE, &payload(1013, ""))]),
    ];
    let told = play(TRANSPARENT, &events);
    assert_eq!(told.to_client(), [text("x"), close(1013, "full")]);
    assert_eq!(told.to_backend(), [text("late"), close(1013, "")]);
    assert!(told.over);
    told.ended(Party::Backend, 1013);
    assert_eq!(told.ending.expect("checked").reason, "full");
    assert!(!play(TRANSPARENT, &events[..1]).over);
}

#[test]
fn both_close_at_once() {
    let client = client(&[c(CLOSE, &payload(1000, "c"))]);
    let backend = backend(&[b(CLOSE, &payload(1001, "b"))]);
    for (events, by, code) in
        [([client.clone(), backend.clone()], Party::Client, 1000), ([backend, client], Party::Backend, 1001)]
    {
        let told = play(TRANSPARENT, &events);
        assert_eq!(told.to_backend(), [close(1000, "c")]);
        assert_eq!(told.to_client(), [close(1001, "b")]);
        assert!(told.over);
        told.ended(by, code);
    }
}

#[test]
fn a_close_passes_behind_a_frame_that_came_in_two_pieces() {
    let frame = c(TEXT, b"in two pieces");
    let told = play(TRANSPARENT, &[Event::Client(frame[..9].to_vec()), client(&[frame[9..].to_vec(), c(CLOSE, b"")])]);
    assert_eq!(told.to_backend(), [text("in two pieces"), (true, Opcode::Close, vec![])]);
}

#[test]
fn bytes_after_a_close_are_ignored() {
    let told =
        play(TRANSPARENT, &[client(&[c(CLOSE, b""), c(TEXT, b"more"), vec![0xff; 20]]), backend(&[b(TEXT, b"late")])]);
    assert_eq!(told.to_backend(), [(true, Opcode::Close, vec![])]);
    assert_eq!(told.to_client(), [text("late")]);
    let told = play(TRANSPARENT, &[backend(&[b(CLOSE, b""), b(TEXT, b"more"), vec![0xff; 20]])]);
    assert_eq!(told.to_client(), [(true, Opcode::Close, vec![])]);
    assert_eq!((told.offence, told.traffic[1]), (None, Traffic::default()));
}

#[test]
fn a_backend_that_never_answers_a_close_is_answered_for() {
    let said = client(&[c(CLOSE, &payload(1000, "bye"))]);
    let told = play(TRANSPARENT, &[said.clone(), backend(&[b(TEXT, b"late")]), Event::Deadline]);
    assert_eq!(told.to_client(), [text("late"), close(1000, "bye")]);
    assert!(told.over);
    told.ended(Party::Client, 1000);
    // In the middle of a frame the Close waits for its end, for one more deadline.
    let long = b(TEXT, b"a longer one");
    let begun = [said, Event::Backend(long[..6].to_vec()), Event::Deadline];
    let told = play(TRANSPARENT, &[&begun[..], &[Event::Backend(long[6..].to_vec())]].concat());
    assert_eq!(told.to_client(), [text("a longer one"), close(1000, "bye")]);
    assert!(told.over);
    assert!(!play(TRANSPARENT, &begun).over);
    let told = play(TRANSPARENT, &[&begun[..], &[Event::Deadline, Event::Backend(long[6..].to_vec())]].concat());
    assert_eq!((told.client, told.over), (long[..6].to_vec(), true));
}

#[test]
fn a_client_that_never_answers_a_close_is_cut() {
    for event in [backend(&[b(CLOSE, &payload(1000, ""))]), Event::Order(leaving()), Event::End(Side::Backend)] {
        let told = play(TRANSPARENT, std::slice::from_ref(&event));
        assert!(!told.over, "{event:?}");
        assert!(play(TRANSPARENT, &[event, Event::Deadline]).over);
    }
}

#[test]
fn a_deadline_without_an_end_is_none() {
    let told = play(TRANSPARENT, &[Event::Deadline, client(&[c(TEXT, b"still here")])]);
    assert_eq!((told.to_backend(), told.over), (vec![text("still here")], false));
}

// How it ends when one end vanishes.

#[test]
fn a_client_that_vanishes_ends_it() {
    let told = play(TRANSPARENT, &[client(&[c(TEXT, b"x")]), Event::End(Side::Client), backend(&[b(TEXT, b"late")])]);
    assert!(told.over && told.client.is_empty());
    told.ended(Party::Client, 1006);
    // Whatever happens afterwards, nothing is sent and the ending stays.
    let later =
        [Event::End(Side::Backend), Event::Deadline, Event::Order(leaving()), Event::Ping, Event::End(Side::Client)];
    let told = play(TRANSPARENT, &[&[Event::End(Side::Client)], &later[..]].concat());
    assert_eq!((told.client.len(), told.backend.len()), (0, 0));
    told.ended(Party::Client, 1006);
}

#[test]
fn a_backend_that_vanishes_is_a_bad_gateway() {
    let told = play(TRANSPARENT, &[backend(&[b(TEXT, b"x")]), Event::End(Side::Backend), client(&[c(TEXT, b"late")])]);
    assert_eq!((told.to_client()[0].clone(), code_of(&told.to_client())), (text("x"), 1011));
    assert_eq!((told.over, told.backend.len()), (false, 0));
    told.ended(Party::Backend, 1011);
    let told = play(TRANSPARENT, &[Event::End(Side::Backend), client(&[c(CLOSE, &payload(1011, ""))])]);
    assert!(told.over && told.backend.is_empty());
}

#[test]
fn a_head_that_has_begun_is_no_frame_yet() {
    let told = play(TRANSPARENT, &[Event::Backend(vec![0x82, 126, 1]), Event::End(Side::Backend)]);
    assert_eq!(code_of(&told.to_client()), 1011);
}

#[test]
fn a_backend_that_vanishes_inside_a_frame_leaves_it_cut() {
    let half = b(TEXT, b"half a frame")[..7].to_vec();
    let told = play(TRANSPARENT, &[Event::Backend(half.clone()), Event::Ping, Event::End(Side::Backend), Event::Ping]);
    assert_eq!((&told.client, told.over), (&half, true));
    told.ended(Party::Backend, 1011);
}

#[test]
fn at_the_edge_half_a_frame_never_begins_to_pass() {
    let half = b(TEXT, b"half a frame")[..7].to_vec();
    let told = play(EDGE, &[Event::Backend(half), Event::End(Side::Backend)]);
    assert_eq!((code_of(&told.to_client()), told.over), (1011, false));
    told.ended(Party::Backend, 1011);
}

#[test]
fn a_backend_that_closes_and_vanishes_has_closed() {
    let told = play(TRANSPARENT, &[backend(&[b(CLOSE, &payload(1000, ""))]), Event::End(Side::Backend)]);
    assert_eq!((told.to_client(), told.over), (vec![close(1000, "")], false));
    told.ended(Party::Backend, 1000);
    let events = [client(&[c(CLOSE, &payload(1000, "bye"))]), Event::End(Side::Backend)];
    let told = play(TRANSPARENT, &events);
    assert_eq!((told.to_client(), told.over), (vec![close(1000, "bye")], true));
    told.ended(Party::Client, 1000);
}

// Misdeeds.

/// Misdeeds with their codes; all are found before any byte of their frame has passed.
fn misdeeds() -> Vec<(Vec<u8>, u16)> {
    vec![
        (c(0xc1, b"rsv"), 1002),
        (c(0x83, b"opcode"), 1002),
        (b(TEXT, b"not masked"), 1002),
        (c(PING, &[0; 126]), 1002),
        (c(0x09, b"?"), 1002),
        (c(0x80, b"stray"), 1002),
        (vec![0x82, 0xfe, 0, 1, 0, 0, 0, 0, 0], 1002),
        (c(CLOSE, b"x"), 1002),
        (c(CLOSE, &payload(1005, "")), 1002),
        (c(CLOSE, &payload(999, "")), 1002),
        (c(CLOSE, b"\x03\xe8\xff"), 1007),
        (c(0x82, &[0; 1001]), 1009),
    ]
}

/// As Autobahn 4.1.3 wants: the answer to the message before the misdeed comes first, then the Close.
#[test]
fn a_misdeed_of_the_client_lets_the_backend_finish() {
    for (bad, code) in misdeeds() {
        let offends = client(&[c(TEXT, b"good"), bad, c(PING, b"never")]);
        let told = play(TRANSPARENT, std::slice::from_ref(&offends));
        assert!(told.failing && !told.over && told.client.is_empty());
        let to_backend = told.to_backend();
        assert_eq!((to_backend.len(), &to_backend[0], code_of(&to_backend)), (2, &text("good"), 1001));
        told.ended(Party::Gateway, code);
        assert_eq!(told.offence, None);

        let events = [offends.clone(), backend(&[b(TEXT, b"good"), b(CLOSE, &payload(1001, "")), b(TEXT, b"never")])];
        let finished = play(TRANSPARENT, &events);
        let to_client = finished.to_client();
        assert_eq!((to_client.len(), &to_client[0], code_of(&to_client)), (2, &text("good"), code));
        assert!(finished.over && !finished.failing);
        assert_eq!((finished.backend, finished.ending), (told.backend.clone(), told.ending.clone()));

        for last in [Event::Deadline, Event::End(Side::Backend)] {
            let told = play(TRANSPARENT, &[offends.clone(), backend(&[b(TEXT, b"good")]), last]);
            assert_eq!(
                (told.to_client()[0].clone(), code_of(&told.to_client()), told.over),
                (text("good"), code, true)
            );
        }
    }
}

#[test]
fn a_misdeed_of_both_is_the_clients() {
    let told = play(TRANSPARENT, &[client(&[c(0xc1, b"")]), backend(&[b(TEXT, b"x"), b(0xc1, b"")])]);
    assert_eq!((told.to_client()[0].clone(), code_of(&told.to_client()), told.over), (text("x"), 1002, true));
    told.ended(Party::Gateway, 1002);
    assert!(told.offence.is_some());
}

#[test]
fn a_bad_text_that_came_whole_never_passes() {
    let (told, _) = run(TRANSPARENT, 9, &[client(&[c(TEXT, b"good"), c(TEXT, b"bad\xff"), c(TEXT, b"never")])]);
    assert_eq!((told.to_backend()[0].clone(), told.to_backend().len()), (text("good"), 2));
    assert!(told.failing);
    told.ended(Party::Gateway, 1007);
}

#[test]
fn a_bad_text_that_has_begun_to_pass_is_cut() {
    let bad = c(TEXT, b"bad\xff text");
    let (front, back) = bad.split_at(8);
    let events = [
        Event::Client(front.to_vec()),
        Event::Client(back.to_vec()),
        client(&[c(TEXT, b"never")]),
        backend(&[b(TEXT, b"never")]),
    ];
    let (told, _) = run(TRANSPARENT, 9, &events);
    assert_eq!(told.backend, front, "neither more of the frame nor a Close inside of it");
    assert_eq!((code_of(&told.to_client()), told.over), (1007, true));
    told.ended(Party::Gateway, 1007);
}

/// An empty frame is complete with its head, so even a head that comes in pieces must wait for the verdict.
#[test]
fn an_empty_frame_never_completes_a_bad_text() {
    let told = play(TRANSPARENT, &[client(&[c(0x01, b"\xe2\x82"), c(0x80, b"")])]);
    let to_backend = told.to_backend();
    assert_eq!((to_backend.len(), code_of(&to_backend), told.failing), (2, 1001, true));
    told.ended(Party::Gateway, 1007);
    let told = play(TRANSPARENT, &[backend(&[b(0x01, b"\xe2\x82"), b(0x80, b"")])]);
    assert_eq!((told.to_client().len(), code_of(&told.to_client())), (2, 1011));
}

#[test]
fn the_text_of_both_sides_is_checked_only_on_wish() {
    let bad = [client(&[c(TEXT, b"\xff")]), backend(&[b(TEXT, b"\xff")])];
    let told = play(Policy { utf8: false, ..TRANSPARENT }, &bad);
    assert_eq!((told.to_client().len(), told.to_backend().len(), told.ending), (1, 1, None));
}

#[test]
fn too_many_messages_are_against_policy() {
    let good = [c(TEXT, b"1"), c(0x01, b"2"), c(0x00, b""), c(0x80, b"still 2"), c(PING, b"no message")];
    let bad = client(&[good.concat(), c(TEXT, b"3"), c(TEXT, b"4")]);
    let told = play_with(TRANSPARENT, 2, std::slice::from_ref(&bad));
    let to_backend = told.to_backend();
    assert_eq!((to_backend.len(), code_of(&to_backend), told.failing), (6, 1001, true));
    told.ended(Party::Gateway, 1008);
    assert_eq!(told.traffic[0], Traffic { frames: 4, bytes: 9 });
    let told = play_with(EDGE, 2, &[bad]);
    assert_eq!(
        (told.to_backend(), code_of(&told.to_client()), told.over),
        (vec![text("1"), text("2still 2")], 1008, true)
    );
}

#[test]
fn a_misdeed_of_the_backend_is_a_bad_gateway() {
    let bad = [
        (b(0xc1, b"rsv"), vec![0xc1, 3], 1002),
        (b(0x84, b""), vec![0x84, 0], 1002),
        (c(TEXT, b"masked"), vec![0x81, 0x86], 1002),
        (b(0x80, b"stray"), vec![0x80, 5], 1002),
        (vec![0x82, 126, 0, 9, 1, 2, 3], vec![0x82, 126, 0, 9], 1002),
        (vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        (b(CLOSE, b"x"), vec![0x88, 1], 1002),
        (b(CLOSE, &payload(1006, "")), vec![0x88, 2], 1002),
        (b(CLOSE, b"\x03\xe8\xc0"), vec![0x88, 3], 1007),
    ];
    for policy in [TRANSPARENT, EDGE] {
        // A careless backend's masks are taken off.
        let of_policy = |bad: &&(Vec<u8>, Vec<u8>, u16)| policy.edge.is_none() || bad.0[1] & 0x80 == 0;
        for (bytes, head, code) in bad.iter().filter(of_policy) {
            let events = [backend(&[b(TEXT, b"good"), bytes.clone(), b(TEXT, b"never")]), client(&[c(TEXT, b"late")])];
            let told = play(policy, &events);
            assert_eq!((told.to_client()[0].clone(), told.to_client().len()), (text("good"), 2));
            assert_eq!(code_of(&told.to_client()), 1011);
            assert_eq!(told.offence.as_ref().map(|offence| &offence.head), Some(head));
            assert!(!told.over);
            told.ended(Party::Backend, 1011);
            let to_backend = told.to_backend();
            if policy.edge.is_some() {
                assert_eq!(to_backend, [], "no Close, for it would be taken for a message");
            } else {
                assert_eq!((to_backend.len(), code_of(&to_backend)), (1, *code));
            }
            assert!(play(policy, &[backend(std::slice::from_ref(bytes)), client(&[c(CLOSE, b"")])]).over);
        }
    }
}

#[test]
fn a_bad_text_of_the_backend_is_cut_once_it_has_begun_to_pass() {
    let bad = b(TEXT, b"bad\xff text");
    let (told, _) = run(TRANSPARENT, 9, &[Event::Backend(bad.clone())]);
    assert_eq!((code_of(&told.to_client()), code_of(&told.to_backend()), told.over), (1011, 1007, false));
    let (told, _) =
        run(TRANSPARENT, 9, &[Event::Backend(bad[..4].to_vec()), Event::Backend(bad[4..].to_vec()), Event::Ping]);
    assert_eq!((told.client, told.over), (bad[..4].to_vec(), true));
    assert_eq!(code_of(&frames(&told.backend, Role::Client)), 1007);
    assert_eq!(told.offence.map(|offence| offence.head), Some(vec![0x81, 9]));
}

// The gateway's own word.

#[test]
fn an_order_closes_both_ends_at_a_boundary() {
    let told = play(TRANSPARENT, &[Event::Order(leaving()), Event::Order(Close::new(Code::RESTART, "")), Event::Ping]);
    assert_eq!((told.to_client(), told.to_backend()), (vec![close(1001, "drain")], vec![close(1001, "drain")]));
    assert!(!told.over);
    told.ended(Party::Gateway, 1001);
}

#[test]
fn nothing_follows_the_close_of_an_order() {
    let late = [
        client(&[c(TEXT, b"late"), c(PING, b"late"), c(0x01, b"late")]),
        backend(&[b(TEXT, b"late"), b(PING, b"late")]),
    ];
    for policy in [TRANSPARENT, EDGE] {
        let events =
            [&[Event::Order(leaving())], &late[..], &[client(&[c(0x80, b""), c(CLOSE, &payload(1001, ""))])]].concat();
        let told = play(policy, &events);
        assert_eq!(told.to_client(), [close(1001, "drain")]);
        assert_eq!(told.to_backend(), if policy.edge.is_some() { vec![] } else { vec![close(1001, "drain")] });
        assert!(told.over);
        told.ended(Party::Gateway, 1001);
    }
    // A misdeed after the Close ends it without another word.
    let told = play(TRANSPARENT, &[Event::Order(leaving()), client(&[c(0xc1, b"")])]);
    assert_eq!((told.to_client(), told.to_backend().len(), told.over), (vec![close(1001, "drain")], 1, true));
}

#[test]
fn what_a_client_says_before_it_sees_that_it_is_sent_home_still_passes() {
    let late = [client(&[c(TEXT, b"late"), c(PING, b"late")]), backend(&[b(TEXT, b"late"), b(PING, b"late")])];
    for policy in [TRANSPARENT, EDGE] {
        let is_edge = policy.edge.is_some();
        let home = [&[Event::Home(leaving())], &late[..]].concat();
        let told = play(policy, &home);
        let passed =
            if is_edge { vec![text("late")] } else { vec![text("late"), (true, Opcode::Ping, b"late".to_vec())] };
        assert_eq!(
            (told.to_client(), told.to_backend(), told.over),
            (vec![close(1001, "drain")], passed.clone(), false)
        );
        let left = if is_edge { passed } else { [passed, vec![close(1001, "drain")]].concat() };
        for end in [client(&[c(CLOSE, &payload(1001, ""))]), Event::End(Side::Client), Event::Deadline] {
            let told = play(policy, &[&home[..], &[end, client(&[c(TEXT, b"too late")])]].concat());
            assert_eq!((told.to_client(), told.to_backend()), (vec![close(1001, "drain")], left.clone()));
            assert!(told.over);
            told.ended(Party::Gateway, 1001);
        }
    }
}

#[test]
fn who_is_sent_home_inside_of_frames_gets_and_says_them_whole() {
    let (up, down) = (c(TEXT, b"going up"), b(TEXT, b"going down"));
    let begun = [Event::Client(up[..8].to_vec()), Event::Backend(down[..5].to_vec()), Event::Home(leaving())];
    let rest = [
        client(&[up[8..].to_vec(), c(TEXT, b"late")]),
        backend(&[down[5..].to_vec(), b(TEXT, b"late")]),
        client(&[c(CLOSE, b"")]),
    ];
    let told = play(TRANSPARENT, &[&begun[..], &rest].concat());
    assert_eq!(told.to_client(), [text("going down"), close(1001, "drain")]);
    assert_eq!(told.to_backend(), [text("going up"), text("late"), close(1001, "drain")]);
    assert!(told.over);
}

#[test]
fn an_order_inside_frames_waits_for_their_ends() {
    let (up, down) = (c(TEXT, b"going up"), b(TEXT, b"going down"));
    let begun = [Event::Client(up[..8].to_vec()), Event::Backend(down[..5].to_vec()), Event::Order(leaving())];
    let told = play(TRANSPARENT, &begun);
    assert_eq!((&told.backend[..], &told.client[..], told.over), (&up[..8], &down[..5], false));
    let rest = [
        client(&[up[8..].to_vec(), c(TEXT, b"late"), c(PING, b"late")]),
        backend(&[down[5..].to_vec(), b(TEXT, b"late"), b(PING, b"late")]),
        client(&[c(CLOSE, b"")]),
    ];
    let told = play(TRANSPARENT, &[&begun[..], &rest].concat());
    assert_eq!(told.to_client(), [text("going down"), close(1001, "drain")]);
    assert_eq!(told.to_backend(), [text("going up"), close(1001, "drain")]);
    assert!(told.over);
    told.ended(Party::Gateway, 1001);
    // The client's answer may come before the end of the backend's frame.
    let rest = [client(&[up[8..].to_vec(), c(CLOSE, b"")]), backend(&[down[5..].to_vec()])];
    let told = play(TRANSPARENT, &[&begun[..], &rest].concat());
    assert_eq!((told.to_client(), told.over), (vec![text("going down"), close(1001, "drain")], true));
    assert_eq!(told.to_backend(), [text("going up"), close(1001, "drain")]);
    // And should the frames never end, nothing is put inside of them.
    let told = play(TRANSPARENT, &[&begun[..], &[Event::Deadline, client(&[up[8..].to_vec()])]].concat());
    assert_eq!((&told.backend[..], &told.client[..], told.over), (&up[..8], &down[..5], true));
    let told = play(TRANSPARENT, &[&begun[..], &[Event::End(Side::Backend)]].concat());
    assert_eq!((&told.client[..], told.over), (&down[..5], true));
}

#[test]
fn an_order_may_stand_between_fragments() {
    let told = play(TRANSPARENT, &[client(&[c(0x01, b"a")]), backend(&[b(0x01, b"a")]), Event::Order(leaving())]);
    assert_eq!((code_of(&told.to_client()), code_of(&told.to_backend())), (1001, 1001));
}

#[test]
fn pongs_for_another_gateway_behind_this_one_pass() {
    // Both ping alike; the client answers each.
    let events = [backend(&[b(PING, OWN_PING)]), Event::Ping, client(&[c(PONG, OWN_PING), c(PONG, OWN_PING)])];
    let told = play(TRANSPARENT, &events);
    assert_eq!(told.to_client().len(), 2);
    assert_eq!(told.to_backend(), [(true, Opcode::Pong, OWN_PING.to_vec())]);
    let told = play(TRANSPARENT, &[backend(&[b(PING, OWN_PING)]), client(&[c(PONG, OWN_PING)])]);
    assert_eq!(told.to_backend(), [(true, Opcode::Pong, OWN_PING.to_vec())]);
}

#[test]
fn own_pings_stand_between_frames_and_their_pongs_stay() {
    let own = (true, Opcode::Ping, OWN_PING.to_vec());
    let told = play(TRANSPARENT, &[Event::Ping, client(&[c(PONG, OWN_PING), c(PONG, b"foreign"), c(PONG, b"")])]);
    assert_eq!(told.to_client(), std::slice::from_ref(&own));
    assert_eq!(told.to_backend(), [(true, Opcode::Pong, b"foreign".to_vec()), (true, Opcode::Pong, vec![])]);
    let frame = b(TEXT, b"a frame");
    let told = play(
        TRANSPARENT,
        &[
            Event::Backend(frame[..5].to_vec()),
            Event::Ping,
            Event::Ping,
            backend(&[frame[5..].to_vec(), b(TEXT, b"next")]),
        ],
    );
    assert_eq!(told.to_client(), [text("a frame"), own.clone(), text("next")]);
    // A head that has begun was not sent, so there is room before it.
    let told = play(TRANSPARENT, &[Event::Backend(frame[..1].to_vec()), Event::Ping, backend(&[frame[1..].to_vec()])]);
    assert_eq!(told.to_client(), [own, text("a frame")]);
}

#[test]
fn pings_between_others_pass_in_order_with_own_ones_held() {
    let frame = b(0x01, b"a fragment");
    let events = [
        Event::Backend(frame[..5].to_vec()),
        Event::Ping,
        Event::Order(leaving()),
        backend(&[frame[5..].to_vec(), b(0x80, b"never")]),
    ];
    let kinds: Vec<_> = play(TRANSPARENT, &events).to_client().into_iter().map(|frame| frame.1).collect();
    assert_eq!(kinds, [Opcode::Text, Opcode::Ping, Opcode::Close]);
}

#[test]
fn whole_messages_are_noted_with_their_size_and_own_pings_when_they_leave_and_are_answered() {
    let from = |side, sizes: &[u64]| sizes.iter().map(|size| Note::Message(side, *size)).collect::<Vec<_>>();
    let events = [
        client(&[
            c(TEXT, b"whole"),
            c(0x01, b"in "),
            c(PING, b"x"),
            c(0x00, b"three "),
            c(0x80, b"parts"),
            c(TEXT, b""),
        ]),
        client(&[c(0x82, &[7; 300]), c(0x02, b"never"), c(0x00, b"ended")]),
        backend(&[b(0x82, &[7; 200]), b(0x01, b"of "), b(PONG, b"x"), b(0x80, b"two"), b(0x01, b"not yet")]),
    ];
    let noted = [from(Side::Client, &[5, 14, 0, 300]), from(Side::Backend, &[200, 6])].concat();
    assert_eq!(play(TRANSPARENT, &events).notes, noted);
    assert_eq!(play(EDGE, &events).notes, noted);
    // Nothing of a message that breaks the law, nor of what comes behind it.
    let bad = [client(&[c(TEXT, b"good"), c(0x83, b"bad"), c(TEXT, b"never")])];
    assert_eq!(play(TRANSPARENT, &bad).notes, from(Side::Client, &[4]));
    assert_eq!(play(EDGE, &bad).notes, from(Side::Client, &[4]));
    let frame = b(TEXT, b"a frame");
    let pings = [
        Event::Backend(frame[..5].to_vec()),
        Event::Ping,
        client(&[c(PONG, b"foreign")]),
        backend(&[frame[5..].to_vec()]),
        client(&[c(PONG, OWN_PING)]),
    ];
    let notes = [Note::Message(Side::Backend, 7), Note::Pinged, Note::Ponged];
    assert_eq!(play(TRANSPARENT, &pings).notes, notes);
    // At the edge frames are whole, and nothing has to wait.
    assert_eq!(play(EDGE, &pings).notes, [Note::Pinged, Note::Message(Side::Backend, 7), Note::Ponged]);
}

// The edge.

#[test]
fn at_the_edge_a_message_is_one_frame_in_one_piece() {
    let fragments = [
        c(0x01, b""),
        c(PING, b"p"),
        c(0x00, &[b'x'; 100]),
        c(0x00, b"\xe2"),
        c(0x80, &[b"\x82\xac".to_vec(), vec![b'y'; 50]].concat()),
    ];
    let message = [&[b'x'; 100][..], "€".as_bytes(), &[b'y'; 50]].concat();
    let events = [client(&[c(TEXT, b"first"), fragments.concat(), c(0x82, b"")])];
    let told = play(EDGE, &events);
    let expected = [text("first"), (true, Opcode::Text, message), (true, Opcode::Binary, vec![])];
    assert_eq!(told.to_backend(), expected);
    assert_eq!(told.to_client(), [(true, Opcode::Pong, b"p".to_vec())]);
    let (_, sends) = run(EDGE, 9, &cut(&events, 0));
    let pieces =
        sends.iter().filter(|send| send.0 == Side::Backend).map(|send| super::tests::frames(&send.1, Role::Client));
    assert_eq!(pieces.collect::<Vec<_>>(), expected.map(|frame| vec![frame]), "each in one piece");
}

#[test]
fn at_the_edge_pings_pongs_and_closes_end() {
    let events = [
        client(&[c(PONG, b"x"), c(PING, b"a"), c(PING, b""), c(TEXT, b"m")]),
        backend(&[b(PONG, b"x"), b(PING, b"b"), b(TEXT, b"n")]),
        client(&[c(CLOSE, &payload(3000, "bye")), c(TEXT, b"never")]),
        backend(&[b(TEXT, b"never")]),
    ];
    let told = play(EDGE, &events);
    let pong = |payload: &[u8]| (true, Opcode::Pong, payload.to_vec());
    assert_eq!(told.to_client(), [pong(b"a"), pong(b""), text("n"), close(3000, "bye")]);
    assert_eq!(told.to_backend(), [text("m"), pong(b"b")]);
    assert!(told.over);
    told.ended(Party::Client, 3000);
}

#[test]
fn at_the_edge_answers_wait_for_nothing() {
    let frame = b(TEXT, b"a frame");
    let events = [
        Event::Backend(frame[..4].to_vec()),
        client(&[c(PING, b"1"), c(PING, b"2"), c(CLOSE, b"")]),
        backend(&[frame[4..].to_vec(), b(TEXT, b"never")]),
    ];
    let told = play(EDGE, &events);
    let pong = |payload: &[u8]| (true, Opcode::Pong, payload.to_vec());
    let expected = [pong(b"1"), pong(b"2"), (true, Opcode::Close, vec![])];
    assert_eq!((told.to_client(), told.over), (expected.to_vec(), true));
}

#[test]
fn at_the_edge_a_misdeed_is_answered_at_once_and_nothing_of_it_passes() {
    let long = [
        (c(TEXT, b"bad\xff"), 1007),
        ([c(0x01, b"bad"), c(0x80, b"\xff")].concat(), 1007),
        ([c(0x02, &[0; 600]), c(0x80, &[0; 401])].concat(), 1009),
    ];
    for (bad, code) in misdeeds().into_iter().chain(long) {
        let told = play(EDGE, &[client(&[c(TEXT, b"good"), bad]), client(&[c(TEXT, b"never")])]);
        assert_eq!((told.to_backend(), code_of(&told.to_client()), told.over), (vec![text("good")], code, true));
        told.ended(Party::Gateway, code);
    }
}

#[test]
fn at_the_edge_a_backend_may_close() {
    let told = play(EDGE, &[backend(&[b(CLOSE, &payload(1000, "bye"))]), client(&[c(CLOSE, &payload(1000, ""))])]);
    assert_eq!((told.to_client(), told.backend.len(), told.over), (vec![close(1000, "bye")], 0, true));
    told.ended(Party::Backend, 1000);
}
