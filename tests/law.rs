//! Properties of the law in `wsgate::wire`, named after the paragraphs of RFC 6455 that they keep.
//!
//! Frames are written and read here by code of this file's own, so that a mistake in `wire` cannot hide itself.

#![allow(clippy::expect_used)] // what does not hold here ends the test, as it should

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::Index;
use wsgate::wire::close::{Close, Code, Ending, Party};
use wsgate::wire::head::{Answer, Ask, Expected, Forwarded, Head, OverBudget, Rules, answer, canonical, request};
use wsgate::wire::tunnel::{BadText, Binary, Edge, Out, Policy, Side, Tunnel};

const LIMIT: usize = 300;
const OWN_PING: &[u8] = b"wsgate:";

/// A frame as it is meant: its first byte, and its payload in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

impl Frame {
    fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    fn is_close(&self) -> bool {
        self.opcode() == 8
    }

    fn is_control(&self) -> bool {
        self.opcode() >= 8
    }

    /// Its bytes, masked with `key` if there is one, its length in `width` bytes or the fewest.
    fn bytes(&self, key: Option<[u8; 4]>, width: Option<usize>) -> Vec<u8> {
        let size = self.payload.len();
        let width = width.unwrap_or(if size < 126 {
            0
        } else if size < 0x10000 {
            2
        } else {
            8
        });
        let short = match width {
            0 => size as u8,
            2 => 126,
            _ => 127,
        };
        let mask = if key.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![self.first, mask | short];
        bytes.extend_from_slice(&(size as u64).to_be_bytes()[8 - width..]);
        bytes.extend(key.iter().flatten());
        let key = key.unwrap_or_default();
        bytes.extend(self.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        bytes
    }
}

/// What one end was given, read under the law; panics where it is broken.
#[derive(Debug, Default)]
struct Given {
    frames: Vec<Frame>,
    /// Messages, their fragments put together: text or not, and the payload.
    messages: Vec<(bool, Vec<u8>)>,
    /// Bytes of a frame that is not complete.
    tail: Vec<u8>,
}

fn read_given(mut bytes: &[u8], masked: bool) -> Given {
    let mut given = Given::default();
    let mut message: Option<(bool, Vec<u8>)> = None;
    while let Some((frame, size)) = read_frame(bytes, masked) {
        assert!(given.frames.last().is_none_or(|last| !last.is_close()), "bytes after a close");
        let fin = frame.first & 0x80 != 0;
        match (frame.opcode(), &mut message) {
            (0, Some((_, payload))) => payload.extend_from_slice(&frame.payload),
            (1 | 2, None) => message = Some((frame.opcode() == 1, frame.payload.clone())),
            (8, _) => assert_lawful_close(&frame.payload),
            (9 | 10, _) => {}
            other => panic!("{other:?} out of place"),
        }
        if fin && !frame.is_control() {
            given.messages.extend(message.take());
        }
        given.frames.push(frame);
        bytes = &bytes[size..];
    }
    given.tail = bytes.to_vec();
    assert!(given.tail.is_empty() || given.frames.last().is_none_or(|last| !last.is_close()), "bytes after a close");
    given
}

/// A whole frame and its size; `None` when more bytes are needed for one.
fn read_frame(bytes: &[u8], masked: bool) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0x70, 0, "reserved bits");
    assert!(matches!(first & 0x0f, 0..=2 | 8..=10), "opcode of {first:x}");
    assert_eq!(second & 0x80 != 0, masked, "mask");
    let width = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if first & 0x08 != 0 {
        assert!(first & 0x80 != 0 && width == 0, "control frame {first:x} {second:x}");
    }
    let length = match width {
        0 => u64::from(second & 0x7f),
        _ => bytes.get(2..2 + width)?.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
    };
    assert!(width != 2 || length > 125, "length not minimal");
    assert!(width != 8 || (length > 0xffff && length >> 63 == 0), "length not minimal");
    let start = 2 + width + if masked { 4 } else { 0 };
    let key = if masked { bytes.get(start - 4..start)? } else { &[0; 4] };
    let end = start.checked_add(length as usize)?;
    let payload = bytes.get(start..end)?.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some((Frame { first, payload }, end))
}

fn assert_lawful_close(payload: &[u8]) {
    let Some((code, reason)) = payload.split_at_checked(2) else {
        return assert!(payload.is_empty(), "close of one byte");
    };
    let code = u16::from_be_bytes([code[0], code[1]]);
    assert!(matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), "code {code}");
    assert!(std::str::from_utf8(reason).is_ok(), "reason");
}

// What may happen.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misdeed {
    ReservedBits,
    Opcode,
    Mask,
    ControlTooLong,
    ControlFragmented,
    /// A continuation without, or a beginning within a message.
    Sequence,
    Length,
    TopBit,
    ClosePayload,
    CloseCode,
    CloseReason,
    TooBig,
    NotUtf8,
}

/// Those of which nothing may pass, in whichever pieces they come; [`Misdeed::NotUtf8`] is left.
const MISDEEDS: [Misdeed; 12] = [
    Misdeed::Mask,
    Misdeed::ReservedBits,
    Misdeed::Opcode,
    Misdeed::ControlTooLong,
    Misdeed::ControlFragmented,
    Misdeed::Sequence,
    Misdeed::Length,
    Misdeed::TopBit,
    Misdeed::ClosePayload,
    Misdeed::CloseCode,
    Misdeed::CloseReason,
    Misdeed::TooBig,
];

impl Misdeed {
    fn code(self) -> u16 {
        match self {
            Self::CloseReason | Self::NotUtf8 => 1007,
            Self::TooBig => 1009,
            _ => 1002,
        }
    }

    /// Its bytes; `open` says whether a message is under way.
    fn bytes(self, key: Option<[u8; 4]>, open: bool) -> Vec<u8> {
        let frame = |first: u8, payload: &[u8]| Frame { first, payload: payload.to_vec() };
        let goes_on = if open { 0x80 } else { 0x82 };
        let other = if key.is_some() { None } else { Some([9, 8, 7, 6]) };
        match self {
            Self::ReservedBits => frame(goes_on | 0x40, b"bad").bytes(key, None),
            Self::Opcode => frame(0x83, b"bad").bytes(key, None),
            Self::Mask => frame(goes_on, b"bad").bytes(other, None),
            Self::ControlTooLong => frame(0x89, &[b'x'; 126]).bytes(key, None),
            Self::ControlFragmented => frame(0x0a, b"bad").bytes(key, None),
            Self::Sequence => frame(if open { 0x82 } else { 0x80 }, b"bad").bytes(key, None),
            Self::Length => frame(goes_on, b"bad").bytes(key, Some(8)),
            Self::TopBit => {
                let mut bytes = frame(goes_on, b"bad").bytes(key, Some(8));
                bytes[2] |= 0x80;
                bytes
            }
            Self::ClosePayload => frame(0x88, b"x").bytes(key, None),
            Self::CloseCode => frame(0x88, &1006u16.to_be_bytes()).bytes(key, None),
            Self::CloseReason => frame(0x88, b"\x03\xe8\xed\xa0\x80").bytes(key, None),
            Self::TooBig => frame(goes_on, &[b'x'; LIMIT + 1]).bytes(key, None),
            Self::NotUtf8 if open => {
                [frame(0x80, b"").bytes(key, None), frame(0x81, b"bad \xff").bytes(key, None)].concat()
            }
            Self::NotUtf8 => frame(0x81, b"bad \xff").bytes(key, None),
        }
    }
}

/// All that one side says.
#[derive(Clone, Debug)]
struct Stream {
    frames: Vec<Frame>,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Bytes(Side, Vec<u8>),
    End(Side),
    Deadline,
    Order,
    Home,
    Ping,
}

fn control() -> impl Strategy<Value = Frame> {
    (
        prop_oneof![Just(0x89u8), Just(0x8a)],
        prop_oneof![4 => prop::collection::vec(any::<u8>(), 0..8), 1 => Just(vec![7; 125])],
    )
        .prop_map(|(first, payload)| Frame { first, payload })
}

/// A message of at most `most` bytes in fragments, with control frames between them.
fn message(most: usize) -> impl Strategy<Value = Vec<Frame>> {
    let text = "[a-zé€😀]{0,30}".prop_map(|text| (1u8, text.into_bytes()));
    let size = prop_oneof![8 => 0..20usize, 2 => prop::sample::select(vec![125, 126, 127]), 1 => 0..=LIMIT * 2];
    let binary = (size, any::<u8>()).prop_map(|(size, byte)| (2u8, vec![byte; size]));
    let cuts = prop::collection::vec((any::<Index>(), prop::option::of(control())), 0..4);
    (prop_oneof![text, binary], cuts).prop_map(move |((opcode, mut payload), mut cuts)| {
        payload.truncate(if opcode == 2 { most } else { usize::MAX });
        cuts.sort_by_key(|(cut, _)| cut.index(payload.len() + 1));
        let mut frames = Vec::new();
        let mut start = 0;
        for (cut, between) in cuts {
            let end = cut.index(payload.len() + 1);
            frames.push(Frame { first: 0, payload: payload[start..end].to_vec() });
            frames.extend(between);
            start = end;
        }
        frames.push(Frame { first: 0x80, payload: payload[start..].to_vec() });
        frames[0].first |= opcode;
        frames
    })
}

fn lawful_frames(most: usize) -> impl Strategy<Value = Vec<Frame>> {
    let item = prop_oneof![3 => message(most), 1 => control().prop_map(|frame| vec![frame])];
    prop::collection::vec(item, 0..6).prop_map(|items| items.concat())
}

fn close_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![Just(vec![]), Just(vec![0x03, 0xe8]), Just(b"\x0f\xa0bye".to_vec())]
        .prop_map(|payload| Frame { first: 0x88, payload })
}

fn key(side: Side) -> Option<[u8; 4]> {
    matches!(side, Side::Client).then_some([0x11, 0xa2, 0x03, 0xff])
}

fn written(side: Side, frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.bytes(key(side), None)).collect()
}

/// Lawful frames, then sometimes a Close or a misdeed, and then anything.
fn stream(side: Side, most: usize, misdeeds: &'static [Misdeed]) -> impl Strategy<Value = Stream> {
    let bad = (prop::sample::select(misdeeds), any::<Index>()).prop_map(Some);
    let end = (prop::option::of(close_frame()), prop_oneof![Just(None), bad]);
    (lawful_frames(most), end, prop::collection::vec(any::<u8>(), 0..12)).prop_map(
        move |(mut frames, (close, bad), junk)| {
            let mut bytes;
            if let Some((bad, place)) = bad {
                frames.truncate(place.index(frames.len() + 1));
                bytes = written(side, &frames);
                bytes.extend(bad.bytes(key(side), is_open(&frames)));
                bytes.extend(junk);
            } else {
                let closes = close.is_some();
                frames.extend(close);
                bytes = written(side, &frames);
                bytes.extend(junk.into_iter().take(if closes { 12 } else { 0 }));
            }
            Stream { frames, bytes }
        },
    )
}

fn is_open(frames: &[Frame]) -> bool {
    frames.iter().rev().find(|frame| !frame.is_control()).is_some_and(|frame| frame.first & 0x80 == 0)
}

/// What each side says, in turns, with things that happen between.
fn script(misdeeds: &'static [Misdeed]) -> impl Strategy<Value = (Stream, Stream, Vec<Step>)> {
    let turn = (0..25u8, 1..40usize);
    (
        stream(Side::Client, LIMIT, misdeeds),
        // At the edge a backend may mask, and no message of it is too big.
        stream(Side::Backend, 2 * LIMIT, &MISDEEDS[1..11]),
        prop::collection::vec(turn, 0..20),
    )
        .prop_map(|(client, backend, turns)| {
            let mut steps = Vec::new();
            let mut left = (&client.bytes[..], &backend.bytes[..]);
            for (kind, count) in turns {
                steps.push(match kind {
                    0 => Step::Order,
                    1 => Step::End(Side::Client),
                    2 => Step::End(Side::Backend),
                    3 => Step::Deadline,
                    4..=7 => Step::Ping,
                    24 => Step::Home,
                    8..=15 => Step::Bytes(Side::Client, take(&mut left.0, count)),
                    _ => Step::Bytes(Side::Backend, take(&mut left.1, count)),
                });
            }
            steps.push(Step::Bytes(Side::Client, left.0.to_vec()));
            steps.push(Step::Bytes(Side::Backend, left.1.to_vec()));
            (client, backend, steps)
        })
}

fn take(left: &mut &[u8], count: usize) -> Vec<u8> {
    let (front, back) = left.split_at(count.min(left.len()));
    *left = back;
    front.to_vec()
}

fn policy() -> impl Strategy<Value = Policy> {
    any::<bool>().prop_map(|edge| if edge { EDGE } else { TRANSPARENT })
}

/// Cuts the bytes of each step into pieces of these sizes, in turns.
fn cut(steps: &[Step], sizes: &[usize]) -> Vec<Step> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut pieces = Vec::new();
    for step in steps {
        let Step::Bytes(side, bytes) = step else {
            pieces.push(step.clone());
            continue;
        };
        let mut left = &bytes[..];
        while !left.is_empty() {
            pieces.push(Step::Bytes(*side, take(&mut left, sizes.next().unwrap_or(1))));
        }
    }
    pieces
}

// What comes of it.

#[derive(Debug, Default)]
struct Wire {
    client: Vec<u8>,
    backend: Vec<u8>,
    over: bool,
}

impl Out for Wire {
    fn send(&mut self, to: Side, bytes: &[u8]) {
        assert!(!self.over, "something passed after the end");
        match to {
            Side::Client => self.client.extend_from_slice(bytes),
            Side::Backend => self.backend.extend_from_slice(bytes),
        }
    }

    fn admit_message(&mut self) -> bool {
        true
    }
}

struct Outcome {
    client: Vec<u8>,
    backend: Vec<u8>,
    ending: Option<Ending>,
    over: bool,
}

impl Outcome {
    fn to_client(&self) -> Given {
        read_given(&self.client, false)
    }

    fn to_backend(&self) -> Given {
        read_given(&self.backend, true)
    }
}

/// Plays the steps and checks after each what must always hold.
fn play(policy: Policy, steps: &[Step]) -> Outcome {
    let mut tunnel = Tunnel::new(policy, 3);
    let mut wire = Wire::default();
    let mut ending: Option<Ending> = None;
    for step in steps {
        match step {
            Step::Bytes(side, bytes) => tunnel.on_bytes(*side, bytes, &mut wire),
            Step::End(side) => tunnel.on_end(*side, "gone", &mut wire),
            Step::Deadline => tunnel.on_deadline(&mut wire),
            Step::Order => tunnel.order(Close::new(Code::GOING_AWAY, "drain"), &mut wire),
            Step::Home => tunnel.send_home(Close::new(Code::RESTART, "drain"), &mut wire),
            Step::Ping => tunnel.ping(&mut wire),
        }
        tunnel.rest();
        assert!(!wire.over || tunnel.is_over(), "over, and then not");
        wire.over = tunnel.is_over();
        assert!(!wire.over || tunnel.is_ending(), "over without an ending");
        assert_eq!(tunnel.is_ending(), tunnel.ending().is_some());
        if ending.is_some() {
            assert_eq!(tunnel.ending(), ending.as_ref(), "a second ending");
        }
        ending = tunnel.ending().cloned();
    }
    let over = tunnel.is_over();
    Outcome { client: wire.client, backend: wire.backend, ending, over }
}

/// Frames that came from the other end: without a Close at the end, which may be the gateway's, and its own pings.
fn foreign(given: &Given) -> Vec<Frame> {
    let is_foreign = |frame: &&Frame| !frame.is_close() && frame.payload != OWN_PING;
    given.frames.iter().filter(is_foreign).cloned().collect()
}

fn messages(frames: &[Frame]) -> Vec<(bool, Vec<u8>)> {
    read_given(&written(Side::Backend, frames), false).messages
}

/// Checks what each end was given against what the other one said.
fn check(policy: Policy, (client, backend): (&Stream, &Stream), outcome: &Outcome) {
    let (to_client, to_backend) = (outcome.to_client(), outcome.to_backend());
    assert!(messages(&client.frames).starts_with(&to_backend.messages), "messages of the client");
    assert!(messages(&backend.frames).starts_with(&to_client.messages), "messages of the backend");
    if policy.edge.is_some() {
        assert!(to_backend.tail.is_empty(), "half a frame");
        assert!(
            to_backend.frames.iter().all(|frame| frame.first & 0x80 != 0 && frame.opcode() != 9),
            "fragment or ping"
        );
        assert!(to_client.tail.is_empty() && to_client.frames.iter().all(|frame| frame.first & 0x80 != 0), "fragment");
    } else {
        assert!(client.frames.starts_with(&foreign(&to_backend)), "frames of the client");
        assert!(backend.frames.starts_with(&foreign(&to_client)), "frames of the backend");
    }
}

/// The same after no end at all: then everything has arrived.
fn check_all_arrived(policy: Policy, (client, backend): (&Stream, &Stream), outcome: &Outcome) {
    assert_eq!(outcome.to_backend().messages, messages(&client.frames));
    assert_eq!(outcome.to_client().messages, messages(&backend.frames));
    if policy.edge.is_none() {
        assert_eq!(foreign(&outcome.to_backend()), client.frames);
        assert_eq!(foreign(&outcome.to_client()), backend.frames);
    }
}

fn only(side: Side, bytes: &[u8]) -> Vec<Step> {
    vec![Step::Bytes(side, bytes.to_vec())]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), prop::collection::vec(1..30usize, 1..6)]
}

const TRANSPARENT: Policy = Policy { message_size: LIMIT as u64, utf8: true, edge: None };
const EDGE: Policy = Policy { edge: Some(Edge { binary: Binary::Pass, bad_text: BadText::Close }), ..TRANSPARENT };

/// A client that says lawful frames and then one misdeed, with nobody else speaking.
fn offend(policy: Policy, frames: &[Frame], bad: Misdeed, sizes: &[usize]) -> Outcome {
    let bytes = [written(Side::Client, frames), bad.bytes(key(Side::Client), is_open(frames)), vec![0xff; 20]].concat();
    let mut steps = cut(&only(Side::Client, &bytes), sizes);
    steps.extend([Step::Deadline, Step::Deadline]);
    play(policy, &steps)
}

fn check_offence(policy: Policy, frames: &[Frame], bad: Misdeed, sizes: &[usize]) {
    let outcome = offend(policy, frames, bad, sizes);
    let Some(ending) = &outcome.ending else { panic!("{bad:?} passes") };
    assert_eq!((ending.by, ending.code, outcome.over), (Party::Gateway, bad.code(), true));
    let to_client = outcome.to_client();
    let Some(last) = to_client.frames.last() else { panic!("the client is told nothing") };
    assert!(last.is_close() && last.payload.starts_with(&bad.code().to_be_bytes()), "{last:?}");
    let to_backend = outcome.to_backend();
    assert!(to_backend.tail.is_empty(), "a part of {bad:?} has passed");
    assert_eq!(to_backend.messages, messages(frames));
    if policy.edge.is_none() {
        assert_eq!(foreign(&to_backend), frames);
        assert!(to_backend.frames.last().is_some_and(Frame::is_close), "the backend is told nothing");
    }
}

/// At least a thousand cases each: about a second in all. `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(1000), ..default }
}

macro_rules! misdeeds_are_refused {
    ($($name:ident: $($misdeed:ident)|+;)*) => {
        proptest! {
            #![proptest_config(config())]
            $(
                #[test]
                fn $name(policy in policy(), frames in lawful_frames(20), bad in prop::sample::select(vec![$(Misdeed::$misdeed),+]), sizes in sizes()) {
                    // The first eight of them: often the beginning of a message.
                    let frames: Vec<Frame> = frames.into_iter().take(8).collect();
                    check_offence(policy, &frames, bad, &sizes);
                }
            )*
        }
    };
}

misdeeds_are_refused! {
    rfc6455_5_1_client_frames_are_masked: Mask;
    rfc6455_5_2_reserved_bits_and_opcodes_are_refused: ReservedBits | Opcode;
    rfc6455_5_2_lengths_are_in_their_shortest_form: Length | TopBit;
    rfc6455_5_4_fragments_are_in_sequence: Sequence;
    rfc6455_5_5_control_frames_are_short_and_whole: ControlTooLong | ControlFragmented;
    rfc6455_5_5_1_a_close_has_a_lawful_payload: ClosePayload | CloseCode | CloseReason;
    rfc6455_10_4_a_message_over_the_size_does_not_pass: TooBig;
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rfc6455_5_1_server_frames_are_not_masked(policy in policy(), frames in lawful_frames(LIMIT), bad in prop::sample::select(&MISDEEDS[..11]), sizes in sizes()) {
        // A careless backend's masks are taken off.
        let policy = if matches!(bad, Misdeed::Mask) { TRANSPARENT } else { policy };
        let bytes = [written(Side::Backend, &frames), bad.bytes(None, is_open(&frames)), vec![0x81, 0]].concat();
        let outcome = play(policy, &cut(&only(Side::Backend, &bytes), &sizes));
        let to_client = outcome.to_client();
        prop_assert!(to_client.tail.is_empty() && to_client.frames.last().is_some_and(|last| last.payload.starts_with(&1011u16.to_be_bytes())));
        prop_assert_eq!(to_client.messages, messages(&frames));
        prop_assert_eq!(outcome.ending.as_ref().map(|ending| (ending.by, ending.code)), Some((Party::Backend, 1011)));
        prop_assert_eq!(outcome.to_backend().frames.last().is_some_and(Frame::is_close), policy.edge.is_none());
    }

    #[test]
    fn rfc6455_5_4_what_is_sent_is_what_arrives(policy in policy(), client in lawful_frames(LIMIT), backend in lawful_frames(2 * LIMIT), sizes in sizes()) {
        let stream = |side, frames: Vec<Frame>| Stream { bytes: written(side, &frames), frames };
        let (client, backend) = (stream(Side::Client, client), stream(Side::Backend, backend));
        let steps = [only(Side::Client, &client.bytes), only(Side::Backend, &backend.bytes)].concat();
        let outcome = play(policy, &cut(&steps, &sizes));
        prop_assert!(outcome.ending.is_none() && !outcome.over);
        check_all_arrived(policy, (&client, &backend), &outcome);
    }

    #[test]
    fn rfc6455_5_5_1_nothing_follows_a_close_and_all_that_passes_is_lawful((client, backend, steps) in script(&MISDEEDS), policy in policy(), sizes in sizes()) {
        let outcome = play(policy, &cut(&steps, &sizes));
        check(policy, (&client, &backend), &outcome);
    }

    #[test]
    fn rfc6455_5_2_cuts_change_nothing((_, _, steps) in script(&MISDEEDS), policy in policy(), sizes in sizes(), others in sizes()) {
        let (one, other) = (play(policy, &cut(&steps, &sizes)), play(policy, &cut(&steps, &others)));
        prop_assert_eq!(one.client, other.client);
        prop_assert_eq!(one.backend, other.backend);
        prop_assert_eq!((one.ending, one.over), (other.ending, other.over));
    }

    #[test]
    fn rfc6455_7_1_each_end_comes_to_an_end((_, _, steps) in script(&MISDEEDS), policy in policy(), how in 0..4u8) {
        let how = [Step::Order, Step::Home, Step::End(Side::Client), Step::End(Side::Backend)][usize::from(how)].clone();
        let outcome = play(policy, &[&steps[..], &[how, Step::Deadline, Step::Deadline]].concat());
        prop_assert!(outcome.over && outcome.ending.is_some());
    }

    #[test]
    fn rfc6455_5_5_1_what_a_client_says_before_it_sees_its_close_arrives(client in lawful_frames(LIMIT), at in any::<Index>(), policy in policy(), sizes in sizes()) {
        let bytes = written(Side::Client, &[&client[..], &[Frame { first: 0x88, payload: vec![] }]].concat());
        let (before, after) = bytes.split_at(at.index(bytes.len()));
        let steps = [only(Side::Client, before), vec![Step::Home], only(Side::Client, after)].concat();
        let outcome = play(policy, &cut(&steps, &sizes));
        prop_assert_eq!(outcome.to_backend().messages, messages(&client));
        prop_assert!(outcome.over);
    }

    #[test]
    fn rfc6455_7_1_6_both_ends_learn_how_it_ended(client in lawful_frames(LIMIT), close in close_frame(), backend in lawful_frames(LIMIT), sizes in sizes()) {
        for (first, second) in [(Side::Client, Side::Backend), (Side::Backend, Side::Client)] {
            let said = |side| [written(side, if matches!(side, Side::Client) { &client } else { &backend }), written(side, std::slice::from_ref(&close))].concat();
            let steps = [only(first, &said(first)), only(second, &said(second))].concat();
            let outcome = play(TRANSPARENT, &cut(&steps, &sizes));
            let by = if matches!(first, Side::Client) { Party::Client } else { Party::Backend };
            prop_assert_eq!(outcome.to_client().frames, [&backend[..], std::slice::from_ref(&close)].concat());
            prop_assert_eq!(outcome.to_backend().frames, [&client[..], std::slice::from_ref(&close)].concat());
            prop_assert!(outcome.over);
            prop_assert_eq!(outcome.ending.map(|ending| ending.by), Some(by));
        }
    }

    #[test]
    fn rfc6455_8_1_no_message_passes_whole_that_is_not_utf8((client, backend, steps) in script(&[Misdeed::NotUtf8]), policy in policy(), sizes in sizes()) {
        let outcome = play(policy, &cut(&steps, &sizes));
        let (to_client, to_backend) = (outcome.to_client(), outcome.to_backend());
        for (text, payload) in to_client.messages.iter().chain(&to_backend.messages) {
            prop_assert!(!text || std::str::from_utf8(payload).is_ok());
        }
        prop_assert!(messages(&backend.frames).starts_with(&to_client.messages));
        let closed = [&client.frames[..], &[Frame { first: 0x80, payload: vec![] }]].concat();
        let sent = if is_open(&client.frames) { messages(&closed) } else { messages(&client.frames) };
        prop_assert!(sent.starts_with(&to_backend.messages));
    }

    #[test]
    fn rfc6455_8_1_bad_text_ends_it_with_1007(policy in policy(), frames in lawful_frames(20), sizes in sizes()) {
        let frames: Vec<Frame> = if is_open(&frames) { vec![] } else { frames };
        let outcome = offend(policy, &frames, Misdeed::NotUtf8, &sizes);
        prop_assert_eq!(outcome.ending.as_ref().map(|ending| (ending.by, ending.code)), Some((Party::Gateway, 1007)));
        prop_assert_eq!(outcome.to_backend().messages, messages(&frames));
        prop_assert!(outcome.to_client().frames.last().is_some_and(|last| last.payload.starts_with(&1007u16.to_be_bytes())));
    }

    #[test]
    fn rfc6455_10_4_no_message_over_the_size_passes_whole(policy in policy(), frames in lawful_frames(2 * LIMIT), sizes in sizes()) {
        let outcome = play(policy, &cut(&only(Side::Client, &written(Side::Client, &frames)), &sizes));
        let fits = |message: &(bool, Vec<u8>)| message.1.len() <= LIMIT;
        let sent: Vec<_> = messages(&frames).into_iter().take_while(fits).collect();
        prop_assert_eq!(outcome.to_backend().messages, sent);
        let code = outcome.ending.map(|ending| ending.code);
        prop_assert_eq!(code, messages(&frames).iter().any(|message| !fits(message)).then_some(1009));
    }

    #[test]
    fn rfc6455_10_7_any_bytes_at_all_leave_lawful_ones(policy in policy(), pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..30)), 0..12)) {
        let step = |(up, bytes)| Step::Bytes(if up { Side::Client } else { Side::Backend }, bytes);
        let outcome = play(policy, &pieces.into_iter().map(step).collect::<Vec<_>>());
        let (to_client, to_backend) = (outcome.to_client(), outcome.to_backend());
        prop_assert!(to_client.messages.iter().chain(&to_backend.messages).all(|message| !message.0 || std::str::from_utf8(&message.1).is_ok()));
    }
}

// ---- The head for a backend, and its answer ----------------------------------------------------

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Names that matter for a head, some of them written oddly, and others.
fn header_name() -> impl Strategy<Value = String> {
    let known = [
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "connection",
        "cookie",
        "dnt",
        "forwarded",
        "host",
        "origin",
        "pragma",
        "referer",
        "sec-fetch-mode",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-key1",
        "sec-websocket-protocol",
        "sec_websocket_key",
        "upgrade",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "x-sec-websocket-key",
    ];
    prop_oneof![3 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z][a-z0-9_-]{0,20}"]
}

fn header_value() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[ -~]{0,40}",
        1 => "[ -~]{0,900}",
        1 => prop::collection::vec("(PHPSESSID|[a-z_]{1,8})=[a-z0-9]{0,80}", 0..12).prop_map(|list| list.join("; ")),
        1 => Just(format!("a Sec-WebSocket-Key: {KEY}")),
    ]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((header_name(), header_value()), 0..30).prop_map(|lines| {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(name).expect("name");
            map.append(name, HeaderValue::try_from(value).expect("value"));
        }
        map
    })
}

/// The place of a header in a head, by its group; everything else comes last.
fn rank(name: &str) -> usize {
    let order = [
        "Host",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
        "Origin",
        "Cookie",
        "Sec-WebSocket-Protocol",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Real-IP",
        "Forwarded",
    ];
    order.iter().position(|known| *known == name).unwrap_or(order.len())
}

/// What a backend gets, read line by line; panics where a line is not as hand-written servers want it.
fn read_head(bytes: &[u8], target: &str) -> Vec<(String, String)> {
    let text = std::str::from_utf8(bytes).expect("text");
    let body = text.strip_suffix("\r\n\r\n").expect("an empty line at its end");
    let mut lines = body.split("\r\n");
    assert_eq!(lines.next(), Some(format!("GET {target} HTTP/1.1").as_str()));
    let line = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a colon and a space");
        assert_eq!(name, canonical(name), "{line}");
        assert!(!value.is_empty() && value == value.trim(), "{line:?}");
        assert!(!value.contains(['\r', '\n']) && !name.contains(' '), "{line:?}");
        (name.to_owned(), value.to_owned())
    };
    lines.map(line).collect()
}

fn ask_for(client: &HeaderMap, target: &str, rules: Rules<'_>) -> Result<Head, OverBudget> {
    let address = std::net::IpAddr::from([203, 0, 113, 7]);
    let forwarded = Forwarded { client: address, chain: None, peer: address, secure: true, host: "chat.example" };
    request(&Ask { target, key: KEY, client, forwarded, vouched: &[], rules })
}

/// An answer's head in the manner of one server or another: line ends, blanks, version and reason of its own.
fn switching() -> impl Strategy<Value = String> {
    let end = prop::sample::select(vec!["\r\n", "\n"]);
    let first = ("HTTP/1\\.[01] {1,2}101( [ -~]{0,30})?", end.clone());
    let line = |text: &'static str| {
        let (name, value) = text.split_once(':').expect("colon");
        (prop::bool::ANY, " {0,2}", " {0,2}", prop::sample::select(vec!["\r\n", "\n"])).prop_map(
            move |(lower, before, behind, end)| {
                let name = if lower { name.to_lowercase() } else { name.to_owned() };
                format!("{name}:{before}{value}{behind}{end}")
            },
        )
    };
    let own = prop::collection::vec("(X-[a-z]{1,9}: ?[ -~]{0,20}|WebSocket-Origin: null|odd line)\r?\n", 0..4);
    let lines = (line("Upgrade:WebSocket"), line("Connection:Upgrade"), line("Sec-WebSocket-Accept:ACCEPT"));
    (first, own, lines, end).prop_map(|((first, end), own, (upgrade, connection, accept), last)| {
        let accept = accept.replace("ACCEPT", ACCEPT);
        format!("{first}{end}{upgrade}{}{connection}{accept}{last}", own.concat())
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rfc6455_4_1_any_headers_make_a_head_that_hand_written_servers_read(
        client in headers(),
        target in "/[a-z0-9/?=&%]{0,150}",
        pass in prop::collection::vec(header_name(), 0..6),
        (budget, subprotocols) in (prop::option::of(300..5000usize), any::<bool>()),
    ) {
        let cookies = ["PHPSESSID".to_owned()];
        let rules = Rules { budget, cookies: &cookies, pass: &pass, subprotocols };
        let whole = ask_for(&client, &target, Rules { budget: None, ..rules }).expect("no budget");
        prop_assert!(whole.dropped.is_empty());
        let head = match ask_for(&client, &target, rules) {
            Ok(head) => head,
            Err(OverBudget { over }) => {
                // It says by how much: with so many bytes more it fits, and with one less it does not.
                let budget = budget.expect("a budget");
                let more = Rules { budget: Some(budget + over), ..rules };
                prop_assert!(ask_for(&client, &target, more).is_ok());
                let less = Rules { budget: Some(budget + over - 1), ..rules };
                prop_assert_eq!(ask_for(&client, &target, less), Err(OverBudget { over: 1 }));
                return Ok(());
            }
        };
        let (lines, all) = (read_head(&head.bytes, &target), read_head(&whole.bytes, &target));
        prop_assert!(budget.is_none_or(|budget| head.bytes.len() <= budget), "{}", head.bytes.len());
        prop_assert!(head.dropped.is_empty() == (head.bytes == whole.bytes));
        if budget.is_some_and(|budget| whole.bytes.len() <= budget) {
            prop_assert_eq!(&head.bytes, &whole.bytes);
        }
        // The key is the only line that may be taken for one, and comes early.
        let keys: Vec<_> = lines.iter().filter(|(name, _)| name.to_lowercase().replace('_', "-").ends_with("sec-websocket-key")).collect();
        prop_assert_eq!(keys, [&("Sec-WebSocket-Key".to_owned(), KEY.to_owned())]);
        let line = format!("\r\nSec-WebSocket-Key: {KEY}\r\n");
        let at = head.bytes.windows(line.len()).position(|bytes| bytes == line.as_bytes()).expect("a key");
        prop_assert!(at + line.len() <= 400);
        // In order, each name once, and nothing that is one hop's or the gateway's own.
        prop_assert!(lines.windows(2).all(|pair| rank(&pair[0].0) <= rank(&pair[1].0)), "{lines:?}");
        let names: std::collections::BTreeSet<_> = lines.iter().map(|(name, _)| name.to_lowercase()).collect();
        prop_assert_eq!(names.len(), lines.len());
        prop_assert!(!names.contains("sec-websocket-extensions") && !names.contains("sec-websocket-key1"));
        prop_assert!(subprotocols || !names.contains("sec-websocket-protocol"));
        // What is kept is as it was; a Cookie may be shorter, but never loses what must stay.
        for (name, value) in &lines {
            let (_, before) = all.iter().find(|(other, _)| other == name).expect("a line of the whole head");
            if name != "Cookie" {
                prop_assert_eq!(value, before);
            }
        }
        let sessions = |lines: &[(String, String)]| {
            let cookie = lines.iter().find(|(name, _)| name == "Cookie").map_or("", |(_, value)| value);
            cookie.split(';').map(str::trim).filter(|cookie| cookie.starts_with("PHPSESSID=")).map(str::to_owned).collect::<Vec<_>>()
        };
        prop_assert_eq!(sessions(&lines), sessions(&all));
        prop_assert!(["Host", "Origin", "X-Forwarded-For"].iter().all(|name| rank(name) < 13 && names.contains(&name.to_lowercase()) == all.iter().any(|(have, _)| have == name)));
    }

    #[test]
    fn rfc6455_4_1_a_101_is_understood_in_every_manner_and_its_end_is_found(head in switching(), behind in prop::collection::vec(any::<u8>(), 0..20)) {
        let expected = Expected { accept: ACCEPT, offered: Some(&[]) };
        let bytes = [head.as_bytes(), &behind].concat();
        let switched = Answer::Switched { protocol: None };
        prop_assert_eq!(answer(&bytes, &expected), Ok(Some((switched, head.len()))), "{}", head);
        for cut in 0..head.len() {
            prop_assert_eq!(answer(&bytes[..cut], &expected), Ok(None), "{} of {}", cut, head);
        }
        let wrong = Expected { accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOoA", ..expected };
        prop_assert_eq!(answer(&bytes, &wrong), Err(wsgate::wire::head::Nonsense::Accept));
    }
}
