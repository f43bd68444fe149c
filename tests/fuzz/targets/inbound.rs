//! Any bytes from either side: the same verdict whole and byte by byte, and never more out than in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgate::wire::close::Violation;
use wsgate::wire::frame::{Opcode, Role};
use wsgate::wire::inbound::{Inbound, Rules, Turn};

const MESSAGE_SIZE: u64 = 4096;

/// What came out: heads and control frames in order, bytes of payload, and the offence if there was one.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    kinds: Vec<(Opcode, u64)>,
    payload: Vec<u8>,
    offence: Option<(Violation, Vec<u8>)>,
}

fn read(from: Role, bytes: &[u8], size: usize) -> Seen {
    let mut inbound = Inbound::new(Rules { from, message_size: MESSAGE_SIZE, utf8: true });
    let mut seen = Seen::default();
    for piece in bytes.chunks(size) {
        let mut at = 0;
        loop {
            match inbound.next(&piece[at..]) {
                Ok((used, Turn::More)) if at + used == piece.len() => break,
                Ok((used, turn)) => {
                    at += used;
                    take(&mut seen, turn, inbound.control());
                }
                Err(violation) => {
                    seen.offence = Some((violation, inbound.head_bytes().to_vec()));
                    return seen;
                }
            }
        }
        inbound.rest();
    }
    seen
}

fn take(seen: &mut Seen, turn: Turn<'_>, control: &[u8]) {
    match turn {
        Turn::More => {}
        Turn::Data { head, .. } => {
            assert!(head.length <= MESSAGE_SIZE);
            seen.kinds.push((head.opcode, head.length));
        }
        Turn::Payload { bytes, .. } => seen.payload.extend_from_slice(bytes),
        Turn::Control(opcode) => {
            assert!(control.len() <= 125);
            seen.kinds.push((opcode, control.len() as u64));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    for from in [Role::Client, Role::Server] {
        let (whole, mut single) = (read(from, bytes, bytes.len().max(1)), read(from, bytes, 1));
        assert!(whole.payload.len() <= bytes.len());
        if matches!(whole.offence, Some((Violation::NotUtf8, _))) {
            // The piece with the bad byte is not given out, so that the whole gives out less than the bytes do.
            assert!(single.payload.starts_with(&whole.payload));
            single.payload.truncate(whole.payload.len());
        }
        assert_eq!(whole, single);
    }
});
