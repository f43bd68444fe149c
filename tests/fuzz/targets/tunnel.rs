//! Any story of a tunnel: what goes out is lawful, there is one ending, and cuts change nothing.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use wsgate::wire::close::{Close, Code, Ending, Violation};
use wsgate::wire::frame::{Opcode, Role};
use wsgate::wire::inbound::{Inbound, Rules, Turn};
use wsgate::wire::tunnel::{BadText, Binary, Edge, Out, Policy, Side, Tunnel};

const MESSAGE_SIZE: u64 = 4096;
const CLIENT_KEY: Option<[u8; 4]> = Some([7, 0x80, 0, 0xff]);

#[derive(Arbitrary, Debug)]
enum Said {
    Raw(Vec<u8>),
    /// A frame whose head is lawful where its kind is: a first byte, a payload, and the mask of whoever sends it.
    Frame(u8, Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Event {
    Client(Vec<Said>),
    Backend(Vec<Said>),
    ClientEnds,
    BackendEnds,
    Deadline,
    Order,
    Ping,
}

#[derive(Arbitrary, Debug)]
struct Story {
    edge: Option<(bool, u8)>,
    utf8: bool,
    allowance: u8,
    events: Vec<Event>,
}

fn bytes(said: &[Said], key: Option<[u8; 4]>) -> Vec<u8> {
    let each = |said: &Said| match said {
        Said::Raw(bytes) => bytes.clone(),
        Said::Frame(first, payload) => {
            let mut frame = wsgate::wire::frame::whole(Opcode::Binary, payload, key);
            frame[0] = *first;
            frame
        }
    };
    said.iter().flat_map(each).collect()
}

struct Wire {
    client: Vec<u8>,
    backend: Vec<u8>,
    allowance: u8,
}

impl Out for Wire {
    fn send(&mut self, to: Side, bytes: &[u8]) {
        match to {
            Side::Client => self.client.extend_from_slice(bytes),
            Side::Backend => self.backend.extend_from_slice(bytes),
        }
    }

    fn admit_message(&mut self) -> bool {
        self.allowance.checked_sub(1).map(|left| self.allowance = left).is_some()
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    client: Vec<u8>,
    backend: Vec<u8>,
    over: bool,
    ending: Option<Ending>,
}

fn play(story: &Story, size: usize) -> Outcome {
    let edge = story.edge.map(|(takes_binary, bad_text)| Edge {
        binary: if takes_binary { Binary::Pass } else { Binary::Reject },
        bad_text: [BadText::Close, BadText::Drop, BadText::Replace][usize::from(bad_text) % 3],
    });
    let policy = Policy { message_size: MESSAGE_SIZE, utf8: story.utf8, edge };
    let mut tunnel = Tunnel::new(policy, 1);
    let mut wire = Wire { client: Vec::new(), backend: Vec::new(), allowance: story.allowance };
    let mut ending = None;
    for event in &story.events {
        let before = (tunnel.is_over(), wire.client.len() + wire.backend.len());
        match event {
            Event::Client(said) => {
                bytes(said, CLIENT_KEY).chunks(size).for_each(|piece| tunnel.on_bytes(Side::Client, piece, &mut wire));
            }
            Event::Backend(said) => {
                bytes(said, None).chunks(size).for_each(|piece| tunnel.on_bytes(Side::Backend, piece, &mut wire));
            }
            Event::ClientEnds => tunnel.on_end(Side::Client, "gone", &mut wire),
            Event::BackendEnds => tunnel.on_end(Side::Backend, "gone", &mut wire),
            Event::Deadline => tunnel.on_deadline(&mut wire),
            Event::Order => tunnel.order(Close::new(Code::GOING_AWAY, "drain"), &mut wire),
            Event::Ping => tunnel.ping(&mut wire),
        }
        tunnel.rest();
        assert!(!before.0 || (tunnel.is_over() && before.1 == wire.client.len() + wire.backend.len()));
        assert!(!tunnel.is_over() || tunnel.is_ending());
        assert!(ending.is_none() || ending.as_ref() == tunnel.ending());
        ending = tunnel.ending().cloned();
    }
    Outcome { client: wire.client, backend: wire.backend, over: tunnel.is_over(), ending }
}

/// Panics if the bytes are not what an end of this role may send; a message over the size is none of them.
fn assert_lawful(from: Role, bytes: &[u8], story: &Story) {
    let message_size = if from == Role::Client { MESSAGE_SIZE } else { u64::MAX };
    // Text that was found bad after its frame had begun to pass was lawful up to there.
    let mut inbound = Inbound::new(Rules { from, message_size, utf8: story.utf8 });
    let (mut at, mut closed) = (0, false);
    loop {
        match inbound.next(&bytes[at..]) {
            Ok((used, Turn::More)) if at + used == bytes.len() => break,
            Ok((used, turn)) => {
                assert!(!closed, "something follows a close");
                at += used;
                if turn == Turn::Control(Opcode::Close) {
                    closed = true;
                    assert!(Close::parse(inbound.control()).is_ok());
                }
            }
            Err(violation) => panic!("{from:?} sends what it must not: {violation}"),
        }
    }
    assert!(!closed || at == bytes.len(), "something follows a close");
}

/// Whether either side's bytes have text that is not UTF-8 before anything else that is wrong.
fn has_bad_text(story: &Story) -> bool {
    let has = |from: Role, bytes: Vec<u8>| {
        let mut inbound = Inbound::new(Rules { from, message_size: u64::MAX, utf8: story.utf8 });
        let mut at = 0;
        loop {
            match inbound.next(&bytes[at..]) {
                Ok((used, Turn::More)) if at + used == bytes.len() => return false,
                Ok((used, _)) => at += used,
                Err(violation) => return violation == Violation::NotUtf8,
            }
        }
    };
    let all = |event: &Event, side: Side| match (event, side) {
        (Event::Client(said), Side::Client) => bytes(said, CLIENT_KEY),
        (Event::Backend(said), Side::Backend) => bytes(said, None),
        _ => Vec::new(),
    };
    let of = |side: Side| story.events.iter().flat_map(|event| all(event, side)).collect();
    has(Role::Client, of(Side::Client)) || has(Role::Server, of(Side::Backend))
}

fuzz_target!(|story: Story| {
    let (whole, single) = (play(&story, usize::MAX), play(&story, 1));
    for outcome in [&whole, &single] {
        assert_lawful(Role::Server, &outcome.client, &story);
        assert_lawful(Role::Client, &outcome.backend, &story);
    }
    if has_bad_text(&story) {
        // Less of a bad text passes when it comes whole, and so more may be said after it.
        assert_eq!(whole.ending, single.ending);
    } else {
        assert_eq!(whole, single);
    }
});
