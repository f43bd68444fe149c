//! The law of a sequence, tried with bytes cut in every way.

use super::super::close::Close;
use super::text::SCRATCH;
use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const BOTH: [Role; 2] = [Role::Client, Role::Server];
/// Bytes of a message at most, where a test does not say otherwise.
const LIMIT: u64 = 1000;

/// A frame with any first byte, masked when a client sends it, its length in the shortest form.
fn frame(from: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..=125 => vec![short as u8],
        middle @ 126..=0xffff => [&[126], &(middle as u16).to_be_bytes()[..]].concat(),
        long => [&[127], &(long as u64).to_be_bytes()[..]].concat(),
    };
    head(from, first, &length).into_iter().chain(masked(from, payload)).collect()
}

/// A head alone: `length` as it stands on the wire, without the mask bit.
fn head(from: Role, first: u8, length: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend_from_slice(length);
    if from == Role::Client {
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&KEY);
    }
    bytes
}

fn masked(from: Role, payload: &[u8]) -> Vec<u8> {
    let key = if from == Role::Client { KEY } else { [0; 4] };
    payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

/// What was given out, the pieces of each frame's payload put together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Head {
        opcode: Opcode,
        fin: bool,
        opens: bool,
        length: u64,
    },
    /// A frame's payload so far, and whether frame and message end with it.
    Payload(Vec<u8>, bool, bool),
    Control(Opcode, Vec<u8>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    events: Vec<Event>,
    /// The offence, how many bytes had come then, and the head that the log would show.
    offence: Option<(Violation, usize, Vec<u8>)>,
}

impl Seen {
    fn payload(&mut self, clear: &[u8], frame_ends: bool, message_ends: bool) {
        match self.events.last_mut() {
            Some(Event::Payload(bytes, frame, message)) if !*frame => {
                bytes.extend_from_slice(clear);
                (*frame, *message) = (frame_ends, message_ends);
            }
            _ => self.events.push(Event::Payload(clear.to_vec(), frame_ends, message_ends)),
        }
    }
}

fn rules(from: Role) -> Rules {
    Rules { from, message_size: LIMIT, utf8: true }
}

fn read<'a>(rules: Rules, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut inbound = Inbound::new(rules);
    let mut seen = Seen::default();
    let mut before = 0;
    for piece in pieces {
        let mut at = 0;
        loop {
            let (used, turn) = match inbound.next(&piece[at..]) {
                Ok(next) => next,
                Err(violation) => {
                    seen.offence = Some((violation, before + piece.len(), inbound.head_bytes().to_vec()));
                    return seen;
                }
            };
            at += used;
            assert!(at <= piece.len(), "a byte was used twice");
            match turn {
                Turn::More if at == piece.len() => break,
                Turn::More => assert!(used > 0, "no progress"),
                Turn::Data { head, carried, opens } => {
                    assert_eq!(inbound.head_bytes().len(), used + carried);
                    assert!(!inbound.at_boundary());
                    let Head { fin, opcode, length, .. } = head;
                    seen.events.push(Event::Head { opcode, fin, opens, length });
                }
                Turn::Payload { bytes, mask, frame_ends, message_ends, .. } => {
                    assert_eq!(bytes.len(), used);
                    assert_eq!(inbound.at_boundary(), frame_ends);
                    let mut clear = bytes.to_vec();
                    if let Some(mut mask) = mask {
                        mask.apply(&mut clear);
                    }
                    seen.payload(&clear, frame_ends, message_ends);
                }
                Turn::Control(opcode) => {
                    assert!(inbound.at_boundary());
                    seen.events.push(Event::Control(opcode, inbound.control().to_vec()));
                    // Giving back what is not needed must never lose what is.
                    inbound.rest();
                }
            }
        }
        inbound.rest();
        before += piece.len();
    }
    seen
}

fn bytewise(rules: Rules, bytes: &[u8]) -> Seen {
    read(rules, bytes.chunks(1))
}

/// Reads the bytes whole, cut at each place, at each two places (if they are few), and byte by byte, and checks that
/// it makes no difference, except that an offence is found in the piece that has the byte which makes it one.
fn read_in_all_cuts(rules: Rules, bytes: &[u8], what: &str) -> Seen {
    let expected = bytewise(rules, bytes);
    let check = |cuts: &[usize]| {
        let ends = cuts.iter().copied().chain([bytes.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let pieces: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect();
        let seen = read(rules, pieces);
        match (&seen.offence, &expected.offence) {
            (None, None) => assert_eq!(seen, expected, "{what}, cut at {cuts:?}"),
            (Some(found), Some(first)) => {
                let piece_end = cuts.iter().copied().find(|&cut| cut >= first.1).unwrap_or(bytes.len());
                let wanted = (first.0, piece_end, first.2.clone());
                assert_eq!(*found, wanted, "{what}, cut at {cuts:?}");
                assert_given_out(&seen.events, &expected.events, first.0, what);
            }
            (found, wanted) => panic!("{what}, cut at {cuts:?}: {found:?} instead of {wanted:?}"),
        }
    };
    check(&[]);
    for cut in 0..=bytes.len() {
        check(&[cut]);
        if bytes.len() <= 40 {
            (cut..=bytes.len()).for_each(|second| check(&[cut, second]));
        }
    }
    expected
}

/// The piece with the bad byte of a text is not given out, so then less may have been given out than byte by byte.
fn assert_given_out(events: &[Event], expected: &[Event], violation: Violation, what: &str) {
    if violation != Violation::NotUtf8 {
        return assert_eq!(events, expected, "{what}");
    }
    let whole = |events: &[Event]| {
        let count = events.iter().rposition(|event| matches!(event, Event::Head { .. })).expect("a head");
        events[..=count].to_vec()
    };
    assert_eq!(whole(events), whole(expected), "{what}");
    if let Some(Event::Payload(some, frame_ends, _)) = events.last().filter(|_| events.len() > whole(events).len()) {
        let Some(Event::Payload(most, ..)) = expected.last() else { panic!("{what}: payload that is not there") };
        assert!(most.starts_with(some) && !frame_ends, "{what}");
    }
}

/// Bytes that offend with the byte at `at` (counted from 1), the rest of them being lawful or not even looked at.
struct Misdeed {
    what: &'static str,
    bytes: Vec<u8>,
    at: usize,
    violation: Violation,
}

fn misdeed(what: &'static str, violation: Violation, at: usize, bytes: impl Into<Vec<u8>>) -> Misdeed {
    Misdeed { what, bytes: bytes.into(), at, violation }
}

/// product.md, "What a frame gets": the rows that one frame alone is enough for.
fn misdeeds_of_a_frame(from: Role) -> Vec<Misdeed> {
    let (other, wrong_mask) = match from {
        Role::Client => (Role::Server, Violation::NotMasked),
        Role::Server | Role::Careless => (Role::Client, Violation::Masked),
    };
    let mut all = vec![
        misdeed("wrong side's mask, text", wrong_mask, 2, frame(other, 0x81, b"hello")),
        misdeed("wrong side's mask, ping", wrong_mask, 2, frame(other, 0x89, b"")),
        misdeed("close over 125", Violation::ControlTooLong, 2, frame(from, 0x88, &[b'a'; 126])),
        misdeed("ping over 125", Violation::ControlTooLong, 2, frame(from, 0x89, &[b'a'; 126])),
        misdeed("pong of 64 KiB", Violation::ControlTooLong, 2, head(from, 0x8a, &[127, 0, 0, 0, 0, 0, 1, 0, 0])),
        misdeed("close fragmented", Violation::ControlFragmented, 2, frame(from, 0x08, b"")),
        misdeed("ping fragmented", Violation::ControlFragmented, 2, frame(from, 0x09, b"x")),
        misdeed("pong fragmented", Violation::ControlFragmented, 2, frame(from, 0x0a, b"")),
        misdeed("stray continuation", Violation::StrayContinuation, 2, frame(from, 0x80, b"x")),
        misdeed("stray continuation, not the last", Violation::StrayContinuation, 2, frame(from, 0x00, b"")),
    ];
    for bits in 1..8u8 {
        let first = 0x81 | (bits << 4);
        all.push(misdeed("reserved bits", Violation::ReservedBits, 2, frame(from, first, b"hello")));
        let first = 0x89 | (bits << 4);
        all.push(misdeed("reserved bits of a ping", Violation::ReservedBits, 2, frame(from, first, b"")));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        all.push(misdeed("unknown opcode", Violation::Opcode(opcode), 2, frame(from, 0x80 | opcode, b"hello")));
        all.push(misdeed("unknown opcode, not the last", Violation::Opcode(opcode), 2, frame(from, opcode, b"")));
    }
    all
}

/// The rows about lengths: judged when the whole head is there, so that no payload is waited for.
fn misdeeds_of_a_length(from: Role) -> Vec<Misdeed> {
    use Violation::{LengthNotMinimal, LengthTopBit, TooBig};
    let cases: [(&str, &[u8], Violation); 10] = [
        ("125 in 16 bits", &[126, 0, 125], LengthNotMinimal),
        ("0 in 16 bits", &[126, 0, 0], LengthNotMinimal),
        ("125 in 64 bits", &[127, 0, 0, 0, 0, 0, 0, 0, 125], LengthNotMinimal),
        ("65535 in 64 bits", &[127, 0, 0, 0, 0, 0, 0, 255, 255], LengthNotMinimal),
        ("top bit", &[127, 128, 0, 0, 0, 0, 0, 0, 0], LengthTopBit),
        ("all bits", &[127, 255, 255, 255, 255, 255, 255, 255, 255], LengthTopBit),
        ("one over the size", &[126, 0x03, 0xe9], TooBig(LIMIT)),
        ("65535", &[126, 255, 255], TooBig(LIMIT)),
        ("65536", &[127, 0, 0, 0, 0, 0, 1, 0, 0], TooBig(LIMIT)),
        ("2^63 - 1", &[127, 127, 255, 255, 255, 255, 255, 255, 255], TooBig(LIMIT)),
    ];
    let mut all = Vec::new();
    for (what, length, violation) in cases {
        for first in [0x81, 0x82, 0x01, 0x02] {
            let head = head(from, first, length);
            let at = head.len();
            all.push(misdeed(what, violation, at, [head, vec![0; 9]].concat()));
        }
    }
    all
}

fn misdeeds_of_a_message(from: Role) -> Vec<Misdeed> {
    let key = if from == Role::Client { 4 } else { 0 };
    let (tiny, short) = (2 + key, 4 + key);
    let begun = |first: u8, payload: &[u8]| frame(from, first, payload);
    let mut all = Vec::new();
    for (what, first) in
        [("text", 0x81), ("binary", 0x82), ("text, not the last", 0x01), ("binary, not the last", 0x02)]
    {
        let bytes = [begun(0x01, b"a"), frame(from, 0x89, b"p"), begun(first, b"b")].concat();
        all.push(misdeed(what, Violation::InterruptedMessage, 2 * (tiny + 1) + 2, bytes));
    }
    let bytes = [begun(0x02, b""), begun(0x80, b""), begun(0x80, b"")].concat();
    all.push(misdeed("a continuation too many", Violation::StrayContinuation, 2 * tiny + 2, bytes));
    let bytes = [begun(0x02, &[7; 600]), begun(0x00, &[7; 400]), begun(0x80, b"x")].concat();
    let at = 600 + 400 + 2 * short + tiny;
    all.push(misdeed("fragments over the size", Violation::TooBig(LIMIT), at, bytes));
    let bytes = [begun(0x02, &[7; 600]), head(from, 0x80, &[126, 0x01, 0x91])].concat();
    all.push(misdeed("second fragment over the size", Violation::TooBig(LIMIT), 600 + 2 * short, bytes));
    let bytes = [begun(0x02, b"x"), head(from, 0x80, &[127, 127, 255, 255, 255, 255, 255, 255, 255])].concat();
    all.push(misdeed("fragments that overflow", Violation::TooBig(LIMIT), tiny + 1 + 10 + key, bytes));
    all
}

/// Text, the place of its first bad byte (counted from 1), or one past the end where it ends inside a character.
const BAD_TEXTS: &[(&[u8], usize)] = &[
    (b"\xff", 1),
    (b"\x80", 1),
    (b"abc\xc0\xaf", 4),
    (b"\xc1", 1),
    (b"\xe0\x9f\xbf", 2),
    (b"\xed\xa0\x80", 2),
    (b"\xf0\x8f\xbf\xbf", 2),
    (b"\xf4\x90\x80\x80", 2),
    (b"\xf5", 1),
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 13),
    (b"\xc3(", 2),
    (b"\xe2\x82(", 3),
    (b"\xf0\x9f\x98(", 4),
    (b"hello \xe2\x82", 9),
    (b"\xf0\x9f\x98", 4),
    (b"\xc3", 2),
];

#[test]
fn misdeeds_are_found_at_the_byte_that_makes_them() {
    for from in BOTH {
        let lengths = misdeeds_of_a_length(from);
        for Misdeed { what, bytes, at, violation } in
            misdeeds_of_a_frame(from).into_iter().chain(lengths).chain(misdeeds_of_a_message(from))
        {
            let seen = read_in_all_cuts(rules(from), &bytes, what);
            let (found, place, _) = seen.offence.unwrap_or_else(|| panic!("{what} from {from:?} passes"));
            assert_eq!((found, place), (violation, at), "{what} from {from:?}");
        }
    }
}

#[test]
fn a_misdeed_is_found_behind_lawful_frames_too() {
    for from in BOTH {
        let before = [frame(from, 0x81, "né".as_bytes()), frame(from, 0x8a, b"")].concat();
        for Misdeed { what, bytes, at, violation } in
            misdeeds_of_a_frame(from).into_iter().filter(|bad| bad.bytes.len() < 30)
        {
            let bytes = [before.clone(), bytes].concat();
            let seen = read_in_all_cuts(rules(from), &bytes, what);
            assert_eq!(seen.events.len(), 3, "{what} from {from:?}");
            let (found, place, _) = seen.offence.unwrap_or_else(|| panic!("{what} from {from:?} passes"));
            assert_eq!((found, place), (violation, before.len() + at), "{what} from {from:?}");
        }
    }
}

#[test]
fn the_head_of_an_offence_is_kept_for_the_log() {
    let client = |bytes: &[u8]| bytewise(rules(Role::Client), bytes).offence.expect("an offence").2;
    assert_eq!(client(&[0xc1, 0x85, 1, 2, 3, 4]), [0xc1, 0x85]);
    assert_eq!(client(&[0x82, 0xfe, 0, 1, 9, 9, 9, 9, 7, 7]), [0x82, 0xfe, 0, 1, 9, 9, 9, 9]);
    let text = frame(Role::Client, 0x81, b"ab\xff");
    assert_eq!(client(&text), text[..6]);
}

/// Nothing is reserved for what was announced: what is held for a frame is in the struct itself, or a control frame.
#[test]
fn a_huge_announcement_reserves_nothing() {
    for from in BOTH {
        let mut inbound = Inbound::new(Rules { message_size: u64::MAX, ..rules(from) });
        let head = head(from, 0x02, &[127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        let (used, turn) = inbound.next(&head).expect("lawful");
        assert!(matches!(turn, Turn::Data { .. }));
        assert_eq!((used, inbound.control.is_none()), (head.len(), true));
        let (_, turn) = inbound.next(&[0; 100]).expect("lawful");
        assert!(matches!(turn, Turn::Payload { frame_ends: false, message_ends: false, .. }));
    }
}

#[test]
fn rfc6455_8_1_text_is_refused_at_its_first_bad_byte() {
    for from in BOTH {
        let size = if from == Role::Client { 6 } else { 2 };
        for &(text, bad) in BAD_TEXTS {
            let seen = read_in_all_cuts(rules(from), &frame(from, 0x81, text), "one frame");
            let (violation, at, _) = seen.offence.unwrap_or_else(|| panic!("{text:x?} passes"));
            assert_eq!((violation, at), (Violation::NotUtf8, size + bad.min(text.len())), "{text:x?}");
            for cut in 0..=text.len() {
                let bytes = [frame(from, 0x01, &text[..cut]), frame(from, 0x89, b"?"), frame(from, 0x80, &text[cut..])]
                    .concat();
                let seen = read_in_all_cuts(rules(from), &bytes, "two fragments");
                let (violation, at, _) = seen.offence.unwrap_or_else(|| panic!("{text:x?} passes in fragments"));
                // A bad byte in the first fragment is found there; an end inside a character only at the end.
                let before = if bad <= cut { size } else { 3 * size + 1 };
                assert_eq!(
                    (violation, at),
                    (Violation::NotUtf8, before + bad.min(text.len())),
                    "{text:x?} cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn rfc6455_8_1_characters_may_be_cut_by_fragments_and_bytes() {
    let text = "κόσμε € 😀 \u{10ffff}\u{d7ff}\u{e000}\u{0}".as_bytes();
    for from in BOTH {
        for cut in 0..=text.len() {
            let bytes =
                [frame(from, 0x01, &text[..cut]), frame(from, 0x00, b""), frame(from, 0x80, &text[cut..])].concat();
            let seen = read(rules(from), [&bytes[..]]);
            assert_eq!((bytewise(rules(from), &bytes), &seen.offence), (seen.clone(), &None));
        }
        read_in_all_cuts(rules(from), &frame(from, 0x81, text), "many characters");
    }
}

/// Each length of text around the sizes of the scratch space, with a bad byte at each end of each of its fillings.
#[test]
fn long_text_is_checked_to_its_end() {
    let rules = |from| Rules { message_size: u64::MAX, ..rules(from) };
    for length in [1, CONTROL_MAX, CONTROL_MAX + 1, SCRATCH - 1, SCRATCH, SCRATCH + 1, 2 * SCRATCH + 3] {
        for from in BOTH {
            let text: Vec<u8> = "né€😀".bytes().cycle().take(length).collect();
            let good = String::from_utf8_lossy(&text).replace('\u{fffd}', "");
            assert_eq!(read(rules(from), [&frame(from, 0x81, good.as_bytes())[..]]).offence, None, "{length}");
            for bad in [0, SCRATCH - 1, SCRATCH, length - 1].into_iter().filter(|&bad| bad < good.len()) {
                let mut text = good.clone().into_bytes();
                text[bad] = 0xff;
                let seen = read(rules(from), [&frame(from, 0x81, &text)[..]]);
                assert_eq!(seen.offence.map(|offence| offence.0), Some(Violation::NotUtf8), "{bad} of {length}");
            }
        }
    }
}

#[test]
fn what_is_not_text_or_not_to_be_checked_may_be_any_bytes() {
    for from in BOTH {
        for &(bytes, _) in BAD_TEXTS {
            let binary = [frame(from, 0x02, bytes), frame(from, 0x80, bytes), frame(from, 0x81, b"then text")].concat();
            assert_eq!(read_in_all_cuts(rules(from), &binary, "binary").offence, None);
            let text = [frame(from, 0x01, bytes), frame(from, 0x80, bytes), frame(from, 0x89, bytes)].concat();
            assert_eq!(read_in_all_cuts(Rules { utf8: false, ..rules(from) }, &text, "unchecked").offence, None);
        }
    }
}

#[test]
fn rfc6455_5_4_controls_may_stand_between_fragments() {
    for from in BOTH {
        let bytes = [
            frame(from, 0x01, b""),
            frame(from, 0x89, b""),
            frame(from, 0x00, b"\xe2\x82"),
            frame(from, 0x8a, &[0xff; 125]),
            frame(from, 0x89, b"?"),
            frame(from, 0x80, b"\xac"),
            frame(from, 0x82, b""),
            frame(from, 0x88, &Close { code: None, reason: "".into() }.payload()),
        ];
        let head = |opcode, fin, opens, length| Event::Head { opcode, fin, opens, length };
        let expected = [
            head(Opcode::Text, false, true, 0),
            Event::Payload(vec![], true, false),
            Event::Control(Opcode::Ping, vec![]),
            head(Opcode::Continuation, false, false, 2),
            Event::Payload(b"\xe2\x82".to_vec(), true, false),
            Event::Control(Opcode::Pong, vec![0xff; 125]),
            Event::Control(Opcode::Ping, b"?".to_vec()),
            head(Opcode::Continuation, true, false, 1),
            Event::Payload(b"\xac".to_vec(), true, true),
            head(Opcode::Binary, true, true, 0),
            Event::Payload(vec![], true, true),
            Event::Control(Opcode::Close, vec![]),
        ];
        let seen = read_in_all_cuts(rules(from), &bytes.concat(), "a message with everything between");
        assert_eq!(seen, Seen { events: expected.to_vec(), offence: None });
    }
}

#[test]
fn a_message_of_exactly_the_size_passes() {
    for from in BOTH {
        for size in [0, 1, 125, 126, 127, 0xffff, 0x10000] {
            let rules = Rules { message_size: size as u64, ..rules(from) };
            let payload = vec![b'a'; size];
            let whole = frame(from, 0x81, &payload);
            let halves = [frame(from, 0x01, &payload[..size / 2]), frame(from, 0x80, &payload[size / 2..])].concat();
            for lawful in [&whole, &halves] {
                assert_eq!(read(rules, [&lawful[..]]).offence, None, "{size}");
                // A message that was counted is not counted again.
                assert_eq!(read(rules, [&lawful[..], &lawful[..]]).offence, None, "{size}");
            }
            let over = vec![b'a'; size + 1];
            let whole = frame(from, 0x81, &over);
            let halves = [frame(from, 0x01, &payload), frame(from, 0x80, b"a")].concat();
            for unlawful in [&whole, &halves] {
                let seen = read(rules, [&unlawful[..]]);
                assert_eq!(seen.offence.map(|offence| offence.0), Some(Violation::TooBig(size as u64)), "{size}");
            }
        }
    }
}

#[test]
fn every_length_of_a_control_frame_passes_whole() {
    for from in BOTH {
        for length in 0..=125 {
            let payload: Vec<u8> = (0..length).collect();
            let bytes = [frame(from, 0x89, &payload), frame(from, 0x8a, b"")].concat();
            let seen = read_in_all_cuts(rules(from), &bytes, "a ping");
            let expected = [Event::Control(Opcode::Ping, payload), Event::Control(Opcode::Pong, vec![])];
            assert_eq!(seen, Seen { events: expected.to_vec(), offence: None });
        }
    }
}

#[test]
fn nothing_is_nothing() {
    for from in BOTH {
        let mut inbound = Inbound::new(rules(from));
        assert_eq!(inbound.next(&[]), Ok((0, Turn::More)));
        assert_eq!(inbound.next(&[0x81]), Ok((1, Turn::More)));
        assert!(inbound.at_boundary(), "a head that has begun is held, not given out");
        assert_eq!(inbound.next(&[]), Ok((0, Turn::More)));
        assert_eq!(inbound.head_bytes(), [0x81]);
    }
}

/// The short way gives the same verdict as the long one, or none.
fn assert_short_way(rules: Rules, before: &[u8], bytes: &[u8]) {
    let at_bytes = || {
        let mut inbound = Inbound::new(rules);
        let mut at = 0;
        while let Ok((used, turn)) = inbound.next(&before[at..]) {
            at += used;
            if at == before.len() && turn == Turn::More {
                break;
            }
        }
        inbound
    };
    let mut long = at_bytes();
    let head = long.next(bytes);
    let whole = match head {
        Ok((used, Turn::Data { head, carried: 0, opens: true })) if head.fin && head.length <= 125 => {
            match long.next(&bytes[used..]) {
                Ok((size, Turn::Payload { message_ends: true, .. })) => Some((used + size, size)),
                _ => None,
            }
        }
        _ => None,
    };
    let mut short = at_bytes();
    assert_eq!(short.short_message(bytes), whole, "{before:x?} {bytes:x?}");
    assert_eq!((short.stage, short.left, short.message.is_some()), {
        let untouched = at_bytes();
        (untouched.stage, untouched.left, untouched.message.is_some())
    });
}

#[test]
fn the_short_way_is_the_long_way() {
    for from in BOTH {
        let wholes: Vec<_> =
            BAD_TEXTS.iter().map(|bad| bad.0).chain(["".as_bytes(), "né😀".as_bytes(), &[b'x'; 126]]).collect();
        let openings = [
            vec![],
            frame(from, 0x01, b"a"),
            frame(from, 0x81, b"a"),
            vec![0x81],
            frame(from, 0x82, b"abc")[..4].to_vec(),
        ];
        for before in &openings {
            for rules in [rules(from), Rules { utf8: false, ..rules(from) }, Rules { message_size: 3, ..rules(from) }] {
                for payload in &wholes {
                    for first in 0..=255 {
                        let bytes = frame(from, first, payload);
                        assert_short_way(rules, before, &bytes);
                        assert_short_way(rules, before, &bytes[..bytes.len() - 1]);
                        assert_short_way(rules, before, &[bytes, vec![0xff; 3]].concat());
                    }
                }
                for second in 0..=255 {
                    assert_short_way(rules, before, &[&[0x82, second][..], &[0; 130]].concat());
                    assert_short_way(rules, before, &[0x81, second]);
                }
            }
        }
    }
}
