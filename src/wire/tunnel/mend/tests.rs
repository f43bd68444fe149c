//! What careless backends say, and what their clients get of it.

use proptest::prelude::*;

use super::super::{BadText, Binary, Edge, Lost, Policy};
use super::*;
use crate::wire::close::{Close, Code, Violation};
use crate::wire::frame::{Head, Role};
use crate::wire::inbound::{Inbound, Rules};
use crate::wire::message::Assembler;

const KEY: [u8; 4] = [0x0a, 0xb0, 0x0c, 0xd0];

fn policy(bad_text: BadText) -> Policy {
    Policy { message_size: 1000, utf8: true, edge: Some(Edge { binary: Binary::Pass, bad_text }) }
}

/// What the client got, each send by itself, and whether it may be left out as a whole.
#[derive(Default)]
struct Wire(Vec<(bool, Vec<u8>)>);

impl Out for Wire {
    fn send(&mut self, to: Side, bytes: &[u8]) {
        if to == Side::Client {
            self.0.push((false, bytes.to_vec()));
        }
    }

    fn message(&mut self, bytes: &[u8]) {
        self.0.push((true, bytes.to_vec()));
    }

    fn admit_message(&mut self) -> bool {
        true
    }
}

/// What came of these pieces, and of the tunnel.
fn play<'p>(policy: Policy, pieces: impl IntoIterator<Item = &'p [u8]>) -> (Wire, Tunnel) {
    let (mut tunnel, mut wire) = (Tunnel::new(policy, 1), Wire::default());
    for piece in pieces {
        tunnel.on_bytes(Side::Backend, piece, &mut wire);
        assert!(!tunnel.is_frame_open());
        tunnel.rest();
    }
    (wire, tunnel)
}

impl Wire {
    /// The messages; panics unless each send is one whole lawful frame of a server.
    fn messages(&self) -> Vec<(Opcode, Vec<u8>)> {
        let mut inbound = Inbound::new(Rules { from: Role::Server, message_size: u64::MAX, utf8: true });
        let (mut assembler, mut all) = (Assembler::default(), Vec::new());
        for (_, frame) in &self.0 {
            let mut at = 0;
            while at < frame.len() || !inbound.at_boundary() {
                let (used, turn) = inbound.next(&frame[at..]).expect("lawful");
                at += used;
                match turn {
                    Turn::Data { head, opens: true, .. } => assembler.open(head.opcode, None),
                    Turn::Payload { bytes, message_ends, .. } => {
                        assembler.push(bytes, None);
                        if message_ends {
                            all.push((assembler.opcode(), assembler.bytes().to_vec()));
                        }
                    }
                    _ => {}
                }
            }
        }
        all
    }
}

fn frame(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    frame::whole(opcode, payload, key)
}

fn pieces_of(opcode: Opcode, payload: &[u8], size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let count = payload.len().div_ceil(size);
    for (at, piece) in payload.chunks(size).enumerate() {
        let opcode = if at == 0 { opcode } else { Opcode::Continuation };
        Head { fin: at + 1 == count, opcode, key: None, length: piece.len() as u64 }.write(&mut all);
        all.extend_from_slice(piece);
    }
    all
}

#[test]
fn masks_of_a_backend_are_taken_off() {
    for size in [3, 200, 70_000] {
        let said = [
            frame(Opcode::Text, &vec![b'x'; size], Some(KEY)),
            frame(Opcode::Ping, b"?", Some(KEY)),
            frame(Opcode::Binary, &[0xff, 0], Some(KEY)),
        ];
        let (wire, tunnel) = play(policy(BadText::Drop), said.iter().map(Vec::as_slice));
        let expected = [(Opcode::Text, vec![b'x'; size]), (Opcode::Binary, vec![0xff, 0])];
        assert_eq!(wire.messages(), expected);
        assert!(tunnel.ending().is_none());
    }
    let strict = Policy { edge: None, ..policy(BadText::Drop) };
    let (_, tunnel) = play(strict, [&frame(Opcode::Text, b"x", Some(KEY))[..]]);
    assert_eq!(tunnel.offence().map(|offence| offence.violation), Some(Violation::Masked));
}

#[test]
fn bad_text_is_dropped_replaced_or_the_end() {
    let said = [&b"good"[..], b"b\xffd", b"better"].map(|text| frame(Opcode::Text, text, None)).concat();
    for (bad_text, expected, count) in [
        (BadText::Drop, vec!["good", "better"], 1),
        (BadText::Replace, vec!["good", "b\u{fffd}d", "better"], 1),
        (BadText::Close, vec!["good"], 0),
    ] {
        for size in [1, 7, 1000] {
            let (wire, tunnel) = play(policy(bad_text), said.chunks(size));
            let texts: Vec<_> = wire.messages().into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>(), "{bad_text:?} {size}");
            assert_eq!(tunnel.bad_texts(), count);
            assert_eq!(tunnel.ending().map(|end| end.code), (bad_text == BadText::Close).then_some(1011));
        }
    }
}

#[test]
fn text_is_not_looked_at_where_the_owner_does_not_want_it() {
    let unchecked = Policy { utf8: false, ..policy(BadText::Drop) };
    let bad = frame(Opcode::Text, b"\xff", None);
    let (wire, tunnel) = play(unchecked, [&bad[..]]);
    assert_eq!((wire.0, tunnel.bad_texts()), (vec![(true, bad)], 0));
}

#[test]
fn messages_that_come_in_parts_go_out_whole() {
    let text = "grüße ".repeat(500);
    for said in [frame(Opcode::Text, text.as_bytes(), None), pieces_of(Opcode::Text, text.as_bytes(), 100)] {
        for size in [1, 50, 1024, 10_000] {
            let (wire, _) = play(policy(BadText::Drop), said.chunks(size));
            assert_eq!(wire.0, [(true, frame(Opcode::Text, text.as_bytes(), None))]);
        }
    }
}

#[test]
fn messages_too_long_to_be_held_pass_in_fragments_at_whole_characters() {
    let text = "ü☺😀".repeat(40_000);
    let said = [frame(Opcode::Text, text.as_bytes(), None), frame(Opcode::Text, b"next", None)].concat();
    for size in [1021, 4096, 33_001] {
        let (wire, tunnel) = play(policy(BadText::Drop), said.chunks(size));
        assert_eq!(wire.messages(), [(Opcode::Text, text.clone().into_bytes()), (Opcode::Text, b"next".to_vec())]);
        assert!(wire.0.iter().all(|(_, frame)| frame.len() <= HOLD + size + 14));
        // What has begun cannot be left out any more.
        let whole: Vec<bool> = wire.0.iter().map(|(whole, _)| *whole).collect();
        assert!(whole.len() > 4 && whole.iter().rev().skip(1).all(|whole| !whole) && whole[whole.len() - 1]);
        assert_eq!(tunnel.bad_texts(), 0);
    }
}

#[test]
fn bad_text_too_long_to_be_dropped_is_mended() {
    let mut text = "ü".repeat(100_000).into_bytes();
    for at in [150_001, 180_000] {
        text[at] = 0xff;
    }
    let said = frame(Opcode::Text, &text, None);
    let expected = String::from_utf8_lossy(&text).into_owned();
    for bad_text in [BadText::Drop, BadText::Replace] {
        let (wire, tunnel) = play(policy(bad_text), said.chunks(4096));
        assert_eq!(wire.messages(), [(Opcode::Text, expected.clone().into_bytes())]);
        assert_eq!(tunnel.bad_texts(), 1);
    }
}

#[test]
fn an_end_between_fragments_is_told() {
    let (mut tunnel, mut wire) = (Tunnel::new(policy(BadText::Drop), 1), Wire::default());
    tunnel.on_bytes(Side::Backend, &frame(Opcode::Binary, &vec![7; 200_000], None)[..100_000], &mut wire);
    tunnel.on_end(Side::Backend, "gone", &mut wire);
    let (_, last) = wire.0.last().expect("a close");
    assert_eq!(last[..4], [0x88, last[1], 3, 243], "{}", Code::INTERNAL);
}

#[test]
fn binary_is_refused_before_the_backend_sees_it() {
    for size in [5, 500] {
        let edge = Edge { binary: Binary::Reject, bad_text: BadText::Drop };
        let mut tunnel = Tunnel::new(Policy { edge: Some(edge), ..policy(BadText::Drop) }, 1);
        let mut wire = Wire::default();
        tunnel.on_bytes(Side::Client, &frame(Opcode::Text, b"text", Some(KEY)), &mut wire);
        assert!(tunnel.ending().is_none());
        tunnel.on_bytes(Side::Client, &frame(Opcode::Binary, &vec![1; size], Some(KEY)), &mut wire);
        assert_eq!(tunnel.ending().map(|end| end.code), Some(1003));
        assert_eq!(tunnel.traffic(Side::Client).frames, 1);
    }
}

proptest! {
    #[test]
    fn cuts_change_nothing_and_all_that_passes_is_text(
        payloads in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec(prop_oneof![Just(0xc3u8), Just(0xbc), b'a'..=b'z', any::<u8>()], 0..300)), 1..6),
        replace: bool,
        size in 1usize..400,
    ) {
        let policy = policy(if replace { BadText::Replace } else { BadText::Drop });
        let each = |(text, mask, payload): &(bool, bool, Vec<u8>)| {
            frame(if *text { Opcode::Text } else { Opcode::Binary }, payload, mask.then_some(KEY))
        };
        let said: Vec<u8> = payloads.iter().flat_map(each).collect();
        let (whole, tunnel) = play(policy, [&said[..]]);
        let (cut, _) = play(policy, said.chunks(size));
        prop_assert_eq!(&whole.0, &cut.0);
        let bad = |text: bool, payload: &[u8]| text && std::str::from_utf8(payload).is_err();
        let count = payloads.iter().filter(|(text, _, payload)| bad(*text, payload)).count();
        prop_assert_eq!(tunnel.bad_texts(), count as u64);
        let expected: Vec<_> = payloads
            .iter()
            .filter(|(text, _, payload)| replace || !bad(*text, payload))
            .map(|(text, _, payload)| if *text {
                (Opcode::Text, String::from_utf8_lossy(payload).into_owned().into_bytes())
            } else {
                (Opcode::Binary, payload.clone())
            })
            .collect();
        prop_assert_eq!(whole.messages(), expected);
    }

    #[test]
    fn a_cut_character_is_found(text: String, cut: prop::sample::Index) {
        let bytes = text.as_bytes();
        let at = cut.index(bytes.len() + 1);
        let end = whole_characters(&bytes[..at]);
        prop_assert!(text.is_char_boundary(end) && at - end < 4);
    }
}

#[test]
fn another_connection_begins_between_messages_whatever_the_one_before_had_begun() {
    let whole = frame::whole(Opcode::Text, b"whole", None);
    let begun = [&whole[..4], &frame::fragment(Opcode::Text, b"first part")[..], &[0x89, 5, b'p']];
    for piece in begun {
        let (wire, mut tunnel) = play(policy(BadText::Drop), [piece]);
        assert!(wire.0.is_empty() && tunnel.forget_backend());
        let mut wire = Wire::default();
        tunnel.on_bytes(Side::Backend, &whole, &mut wire);
        assert_eq!(wire.0, [(true, whole.clone())]);
    }
}

#[test]
fn a_message_that_has_passed_in_part_needs_its_own_connection() {
    let long = frame::whole(Opcode::Text, &[b'x'; 3 * HOLD], None);
    let (_, mut tunnel) = play(policy(BadText::Drop), [&long[..2 * HOLD]]);
    assert!(!tunnel.forget_backend());
    tunnel.on_bytes(Side::Backend, &long[2 * HOLD..], &mut Wire::default());
    assert!(tunnel.forget_backend(), "it is whole");
    let mut ending = tunnel;
    ending.order(Close::new(Code::GOING_AWAY, ""), &mut Wire::default());
    assert!(!ending.forget_backend());
    assert!(!Tunnel::new(Policy { edge: None, ..policy(BadText::Drop) }, 1).forget_backend());
}

#[test]
fn what_a_client_is_told_of_a_backend_that_is_gone() {
    let told = |lost| {
        let (_, mut tunnel) = play(policy(BadText::Drop), []);
        let mut wire = Wire::default();
        tunnel.on_lost(lost, "gone", &mut wire);
        let (_, bytes) = wire.0.first().cloned().expect("a close");
        let close = Close::parse(&bytes[2..]).expect("sound");
        assert_eq!(tunnel.ending().map(|ending| (ending.code, &*ending.reason)), Some((close.number(), "gone")));
        close.number()
    };
    let all = [Lost::Ended, Lost::Died, Lost::NotBack, Lost::QueueFull, Lost::Refused];
    assert_eq!(all.map(told), [1011, 1012, 1012, 1012, 1012]);
}
