//! What a frame gets: one test for each row of the contract's table, at the echo, in the hub and through both relays.

use crate::support::backend::{Backend, relay};
use crate::support::frames::{
    self, BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, client, close, masked, server,
};
use crate::support::{Peer, Running, gateway, log, logged, within};
use wsgate::Phase;

/// The fourth is the relay that answers at the edge.
const PLACES: [&str; 4] = ["/echo", "/chat", "/ws", "/legacy"];

/// A gateway with all places; behind the relays stands a backend that echoes.
async fn house(limits: &str) -> Running {
    let url = Backend::bind().await.echo();
    gateway(&format!(
        "limits = {{ {limits} }}\n[[route]]\npath = \"/echo\"\necho = {{}}\n\
         [[route]]\npath = \"/chat\"\nhub = {{ history = 0, say = {{ rate = \"0/s\" }}, text = \"1MiB\" }}\n\
         [[route]]\npath = \"/legacy\"\n\
         proxy = {{ pool = \"transparent\", profile = \"legacy\", legacy = {{ message_size = \"1GiB\" }} }}\n{}",
        relay("transparent", &[&url], "")
    ))
}

/// Everything up to a Close, and the Close.
async fn until_close(peer: &mut Peer) -> (Vec<Frame>, Frame) {
    let mut before = Vec::new();
    loop {
        match peer.frame().await {
            close if close.opcode == CLOSE => return (before, close),
            frame => before.push(frame),
        }
    }
}

/// What a client gets that sends these bytes after a good message: nothing but a Close, and the end of the stream.
async fn verdict(gateway: &Running, place: &str, bytes: &[u8]) -> (u16, String) {
    let mut peer = gateway.open(place).await;
    peer.say("good").await;
    assert!(peer.frame().await.text().ends_with("good"), "{place}");
    peer.send(bytes).await;
    let (before, close) = until_close(&mut peer).await;
    // A first fragment may have passed, and have been echoed.
    assert!(before.iter().all(|frame| place == "/ws" && !frame.fin), "{place}: {before:?}");
    peer.end().await;
    (close.code(), close.reason())
}

/// A WebSocket that has been opened, and whose session has begun: behind the 101 alone it could still be about to.
async fn present(gateway: &Running, path: &str) -> Peer {
    let mut peer = gateway.open(path).await;
    peer.send(&client(PING, b"here")).await;
    assert_eq!(peer.frame().await.opcode, PONG);
    peer
}

/// The text that comes back for these bytes, and the Close behind it. In the hub another member listens: whoever is
/// sent away need not hear itself any more.
async fn said_before_close(gateway: &Running, place: &str, bytes: &[u8]) -> (Vec<String>, Frame) {
    let mut peer = gateway.open(place).await;
    let mut witness = if place == "/chat" { Some(present(gateway, place).await) } else { None };
    peer.send(bytes).await;
    let (mut before, close) = until_close(&mut peer).await;
    peer.end().await;
    if let Some(witness) = &mut witness {
        before.clear();
        witness.say("end").await;
        loop {
            match witness.frame().await {
                end if end.text().ends_with("end") => break,
                frame => before.push(frame),
            }
        }
    }
    let said = before.iter().filter(|frame| frame.opcode < CLOSE).map(Frame::text);
    (said.map(|text| text.rsplit(' ').next().unwrap_or_default().to_owned()).collect(), close)
}

/// All places give this verdict on each of these bytes.
async fn refused(cases: &[&[u8]], code: u16, reason: &str) {
    let gateway = house("message_size = \"1KiB\", handshakes_per_address = \"0/s\"").await;
    for place in PLACES {
        for bytes in cases {
            let got = verdict(&gateway, place, bytes).await;
            assert_eq!(got, (code, reason.to_owned()), "{place} on {bytes:02x?}");
        }
    }
}

/// The head of a client's frame with this second byte (mask bit apart) and these bytes of length, and a key.
fn head(first: u8, second: u8, length: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | second], length, &[1, 2, 3, 4]].concat()
}

#[tokio::test]
async fn an_unmasked_client_frame_is_1002() {
    refused(&[&server(TEXT, b"x"), &server(PING, b""), &[0x82, 0x05]], 1002, "client frame is not masked").await;
}

#[tokio::test]
async fn reserved_bits_are_1002() {
    let bytes = [0xc1, 0xa1, 0x91, 0xc9, 0x98].map(|first| masked(first, b"x"));
    refused(&bytes.each_ref().map(Vec::as_slice), 1002, "reserved bits are set").await;
}

#[tokio::test]
async fn an_unknown_opcode_is_1002() {
    for opcode in [0x3, 0x7, 0xb, 0xf] {
        refused(&[&client(opcode, b""), &client(opcode, b"x")], 1002, &format!("unknown opcode {opcode:#x}")).await;
    }
}

#[tokio::test]
async fn a_control_frame_over_125_bytes_is_1002_from_its_head() {
    let heads = [0x88, 0x89, 0x8a].map(|first| head(first, 126, &[0, 126]));
    refused(&heads.each_ref().map(Vec::as_slice), 1002, "control frame over 125 bytes").await;
    refused(&[&[0x89, 0xff]], 1002, "control frame over 125 bytes").await;
}

#[tokio::test]
async fn a_control_frame_of_125_bytes_is_welcome() {
    let gateway = house("").await;
    for place in PLACES {
        let mut peer = gateway.open(place).await;
        peer.send(&client(PING, &[b'p'; 125])).await;
        assert_eq!(peer.frame().await.payload, [b'p'; 125], "{place}");
        peer.send(&client(CLOSE, &close(1000, &"r".repeat(123)))).await;
        assert_eq!(peer.frame().await.reason(), "r".repeat(123), "{place}");
    }
}

#[tokio::test]
async fn a_fragmented_control_frame_is_1002() {
    let bytes = [0x08, 0x09, 0x0a].map(|first| masked(first, b""));
    refused(&bytes.each_ref().map(Vec::as_slice), 1002, "control frame is fragmented").await;
}

#[tokio::test]
async fn a_stray_continuation_is_1002() {
    let after = [masked(0x01, b"a"), masked(0x80, b"b"), masked(0x80, b"c")].concat();
    let cases: [&[u8]; 2] = [&masked(0x80, b"x"), &masked(CONTINUATION, b"x")];
    refused(&cases, 1002, "continuation without a message").await;
    let gateway = house("").await;
    for place in PLACES {
        let (said, close) = said_before_close(&gateway, place, &after).await;
        assert_eq!(said.concat(), if place == "/legacy" { "" } else { "ab" }, "{place}");
        assert_eq!((close.code(), close.reason().as_str()), (1002, "continuation without a message"), "{place}");
    }
}

#[tokio::test]
async fn an_interrupted_message_is_1002() {
    let text = [masked(0x01, b"a"), masked(0x81, b"b")].concat();
    let binary = [masked(0x02, b"a"), masked(0x02, b"b")].concat();
    refused(&[&text, &binary], 1002, "new message inside a fragmented one").await;
}

#[tokio::test]
async fn a_length_that_is_not_minimal_is_1002() {
    let sixteen = head(0x81, 126, &125u16.to_be_bytes());
    let sixty_four = head(0x82, 127, &0xffffu64.to_be_bytes());
    refused(&[&sixteen, &sixty_four], 1002, "length is not in its shortest form").await;
}

#[tokio::test]
async fn a_length_with_its_top_bit_is_1002() {
    let heads = [1 << 63, u64::MAX].map(|length: u64| head(0x82, 127, &length.to_be_bytes()));
    refused(&heads.each_ref().map(Vec::as_slice), 1002, "length has its top bit set").await;
}

#[tokio::test]
async fn a_bad_close_payload_or_code_is_1002() {
    refused(&[&client(CLOSE, &[3])], 1002, "close payload of one byte").await;
    let gateway = house("handshakes_per_address = \"0/s\"").await;
    for place in PLACES {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            let got = verdict(&gateway, place, &client(CLOSE, &close(code, ""))).await;
            assert_eq!(got, (1002, format!("close code {code} must not be sent")), "{place}");
        }
    }
}

#[tokio::test]
async fn a_close_reason_that_is_not_utf8_is_1007() {
    refused(&[&client(CLOSE, b"\x03\xe8\xff")], 1007, "close reason is not UTF-8").await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_1007() {
    let late = [&[b'x'; 200][..], b"\xc3\x28"].concat();
    let cases: [&[u8]; 4] =
        [&client(TEXT, b"\xff"), &client(TEXT, b"\xed\xa0\x80"), &client(TEXT, b"\xc3"), &client(TEXT, &late)];
    refused(&cases, 1007, "text is not UTF-8").await;
}

#[tokio::test]
async fn bad_utf8_is_found_across_fragments_at_the_first_bad_byte() {
    // é in two fragments is good, and the first byte of a third that cannot follow is bad: its frame and the message
    // are not complete when the Close comes.
    let frame = masked(CONTINUATION, &[b'x'; 100]);
    let mut half = [masked(0x01, b"\xc3"), masked(CONTINUATION, b"\xa9\xe2"), frame].concat();
    half.truncate(half.len() - 99);
    refused(&[&half], 1007, "text is not UTF-8").await;
    // The end of the message inside a character, told by an empty frame.
    refused(&[&[masked(0x01, b"\xe2\x82"), masked(0x80, b"")].concat()], 1007, "text is not UTF-8").await;
}

#[tokio::test]
async fn bad_utf8_in_the_middle_of_a_frame_that_has_begun_to_pass_is_1007() {
    let gateway = house("").await;
    let frame = client(TEXT, &[&[b'x'; 300][..], b"\xff", &[b'x'; 300]].concat());
    for place in PLACES {
        let mut peer = gateway.open(place).await;
        // The answer to the ping shows that the head and what came with it were judged alone.
        peer.send(&[&client(PING, b""), &frame[..200]].concat()).await;
        assert_eq!(peer.frame().await.opcode, PONG, "{place}");
        peer.send(&frame[200..400]).await;
        let (before, close) = until_close(&mut peer).await;
        assert_eq!((close.code(), before.len()), (1007, 0), "{place}");
        peer.end().await;
    }
}

#[tokio::test]
async fn binary_is_not_judged_as_text() {
    let gateway = house("").await;
    for place in ["/echo", "/ws", "/legacy"] {
        let mut peer = gateway.open(place).await;
        peer.send(&client(BINARY, b"\xff\xfe")).await;
        assert_eq!(peer.frame().await.payload, b"\xff\xfe", "{place}");
    }
}

#[tokio::test]
async fn a_message_over_the_size_is_1009_from_its_head() {
    let one = head(0x82, 126, &1025u16.to_be_bytes());
    let huge = head(0x81, 127, &(u64::MAX >> 1).to_be_bytes());
    let fragments = [&masked(0x01, &[b'a'; 1000])[..], &masked(0x00, b""), &head(0x80, 25, &[])].concat();
    refused(&[&one, &huge, &fragments], 1009, "message over 1024 bytes").await;
}

#[tokio::test]
async fn a_message_of_exactly_the_size_passes() {
    let gateway = house("message_size = \"1KiB\"").await;
    for place in PLACES {
        let mut peer = gateway.open(place).await;
        for bytes in [client(TEXT, &[b'a'; 1024]), [masked(0x01, &[b'a'; 1000]), masked(0x80, &[b'a'; 24])].concat()] {
            peer.send(&bytes).await;
            let mut back = peer.frame().await;
            while !back.fin {
                let more = peer.frame().await;
                back = Frame { payload: [back.payload, more.payload].concat(), ..more };
            }
            assert!(back.text().ends_with(&"a".repeat(1024)), "{place}");
        }
    }
}

#[tokio::test]
async fn a_rate_over_the_limit_is_1008() {
    let gateway = house("messages_per_connection = \"3/m\"").await;
    for place in PLACES {
        // Fragments are one message, and control frames are none.
        let fragments = [masked(0x01, b""), masked(0x00, b""), masked(0x80, b"last")].concat();
        let pings = client(PING, b"").repeat(5);
        let bytes = [client(TEXT, b"a"), client(TEXT, b"b"), pings, fragments, client(TEXT, b"too many")].concat();
        let (said, close) = said_before_close(&gateway, place, &bytes).await;
        // Answering at the edge, there is no Close of the backend to wait for.
        assert!(if place == "/legacy" { said.len() < 4 } else { said.concat() == "ablast" }, "{place}: {said:?}");
        assert_eq!((close.code(), close.reason().as_str()), (1008, "too many messages"), "{place}");
    }
}

#[tokio::test]
async fn draining_is_1001() {
    let gateway = house("").await;
    let mut peers = Vec::new();
    for place in PLACES {
        peers.push((place, gateway.open(place).await));
    }
    gateway.handle.drain();
    for (place, peer) in &mut peers {
        let close = peer.frame().await;
        assert_eq!((close.code(), close.reason().as_str()), (1001, "the gateway is going away"), "{place}");
        peer.agree(&close).await;
    }
    drop(peers);
    within("the end of the drain", gateway.handle.reached(Phase::Stopped)).await;
    let totals = gateway.stop();
    assert_eq!((totals.open, totals.cut), (PLACES.len(), 0));
}

#[tokio::test]
async fn a_backend_gone_without_a_close_is_1011_bad_gateway() {
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let gateway = gateway(&relay(profile, &[&backend.url()], ""));
        let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
        far.send(&server(TEXT, b"last words")).await;
        drop(far);
        assert_eq!(peer.frame().await.text(), "last words", "{profile}");
        let close = peer.frame().await;
        let reason = "bad gateway: the backend ended without a close";
        assert_eq!((close.code(), close.reason().as_str()), (1011, reason), "{profile}");
        peer.agree(&close).await;
    }
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_in_kind() {
    let gateway = house("").await;
    for place in PLACES {
        for payload in [close(1000, "bye"), close(1000, ""), close(4711, "so long"), Vec::new()] {
            let mut peer = gateway.open(place).await;
            peer.send(&client(CLOSE, &payload)).await;
            assert_eq!(peer.frame().await.payload, payload, "{place}");
            peer.end().await;
        }
    }
}

#[tokio::test]
async fn a_close_of_the_client_reaches_the_backend_as_it_is() {
    let backend = Backend::bind().await;
    let gateway = gateway(&relay("transparent", &[&backend.url()], ""));
    for (said, answer) in [
        (close(1000, "bye"), close(1000, "bye")),
        (close(4711, "so long"), close(4712, "farewell")),
        (Vec::new(), Vec::new()),
    ] {
        let mut tries = 0;
        loop {
            let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
            peer.send(&client(CLOSE, &said)).await;
            let heard = far.frame().await;
            assert_eq!((heard.opcode, heard.masked, &heard.payload), (CLOSE, true, &said));
            // What the backend says before its own Close still arrives.
            far.send(&[server(TEXT, b"wait"), server(CLOSE, &answer)].concat()).await;
            let first = peer.frame().await;
            tries += 1;
            // Its last words are not waited for long, and on a busy machine they may be late: not each time.
            if first.opcode == CLOSE && tries < 5 {
                continue;
            }
            assert_eq!((first.opcode, first.text()), (TEXT, "wait"));
            assert_eq!(peer.frame().await.payload, answer);
            peer.end().await;
            far.clean_end().await;
            break;
        }
    }
}

#[tokio::test]
async fn a_close_of_the_backend_reaches_the_client_as_it_is() {
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let gateway = gateway(&relay(profile, &[&backend.url()], ""));
        for said in [close(1000, "bye"), close(4711, "so long"), close(1012, ""), Vec::new()] {
            let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
            far.send(&server(CLOSE, &said)).await;
            let heard = peer.frame().await;
            assert_eq!((heard.opcode, heard.masked, &heard.payload), (CLOSE, false, &said), "{profile}");
            peer.agree(&heard).await;
            if profile == "transparent" {
                assert_eq!(far.frame().await.payload, said);
            }
            far.clean_end().await;
        }
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_a_close_holds_nobody_up() {
    let backend = Backend::bind().await;
    let gateway =
        gateway(&format!("limits = {{ close_timeout = \"50ms\" }}\n{}", relay("transparent", &[&backend.url()], "")));
    let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    peer.send(&client(CLOSE, &close(1000, "bye"))).await;
    assert_eq!(far.frame().await.reason(), "bye");
    let back = peer.frame().await;
    assert_eq!((back.code(), back.reason().as_str()), (1000, "bye"));
    peer.end().await;
    far.clean_end().await;
}

/// What a backend sends: first what passes, then the frames that must not, of whose bytes, but for some that are skipped,
/// so many are shown in the log, what is said of it, and the code that the backend is left with.
struct Offence {
    passes: Vec<u8>,
    bad: Vec<u8>,
    skipped: usize,
    shown: usize,
    said: &'static str,
    code: u16,
}

fn offence(bad: Vec<u8>, shown: usize, said: &'static str) -> Offence {
    Offence { passes: server(TEXT, b"good"), bad, skipped: 0, shown, said, code: 1002 }
}

/// Each offence ends its session with 1011, is told of in the log and counted, and nothing of its frame passes.
async fn offended(row: &str, offences: &[Offence]) {
    offended_with(&["transparent", "legacy"], row, offences).await;
}

/// The same with these profiles alone, where others mend it, or hold a message until it is whole.
async fn offended_with(profiles: &[&str], row: &str, offences: &[Offence]) {
    log();
    for &profile in profiles {
        let backend = Backend::bind().await;
        let pool = format!("{row}_{profile}");
        let config = relay(profile, &[&backend.url()], "")
            .replace(&format!("pool = \"{profile}\""), &format!("pool = \"{pool}\""));
        let config = config.replace(&format!("[pool.{profile}]"), &format!("[pool.{pool}]"));
        let gateway = gateway(&format!("admin = {{ listen = \"127.0.0.1:0\" }}\n{config}"));
        for offence in offences {
            offend(&gateway, &backend, offence, profile).await;
            let head: Vec<String> =
                offence.bad[offence.skipped..][..offence.shown].iter().map(|byte| format!("{byte:02x}")).collect();
            let head = format!("head=\"{}\"", head.join(" "));
            let pool = format!("pool=\"{pool}\"");
            logged(&["a backend broke the protocol", &pool, &backend.url(), offence.said, &head]).await;
        }
        let counter = format!("wsgate_backend_offences_total{{pool=\"{pool}\"}}");
        gateway.until_metric(&counter, offences.len() as f64).await;
    }
}

async fn offend(gateway: &Running, backend: &Backend, offence: &Offence, profile: &str) {
    let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    far.send(&[&offence.passes[..], &offence.bad].concat()).await;
    assert_eq!(peer.read_exact(offence.passes.len()).await, offence.passes, "{}", offence.said);
    let close = peer.frame().await;
    let reason = "bad gateway: the backend broke the protocol";
    assert_eq!((close.code(), close.reason().as_str()), (1011, reason), "{profile}: {}", offence.said);
    peer.agree(&close).await;
    if profile == "transparent" {
        let told = far.frame().await;
        assert_eq!((told.masked, told.code(), told.reason().as_str()), (true, offence.code, offence.said));
    }
    far.clean_end().await;
}

#[tokio::test]
async fn a_masked_backend_frame_is_an_offence() {
    let said = "server frame is masked";
    offended_with(
        &["transparent"],
        "masked",
        &[offence(client(TEXT, b"x"), 2, said), offence(client(PING, b""), 2, said)],
    )
    .await;
}

#[tokio::test]
async fn reserved_bits_and_unknown_opcodes_of_a_backend_are_offences() {
    let cases = [
        offence(frames::plain(0xc1, b"x"), 2, "reserved bits are set"),
        offence(frames::plain(0x98, b""), 2, "reserved bits are set"),
        offence(server(0x3, b"x"), 2, "unknown opcode 0x3"),
        offence(server(0xf, b""), 2, "unknown opcode 0xf"),
    ];
    offended("bits", &cases).await;
}

#[tokio::test]
async fn bad_control_frames_of_a_backend_are_offences() {
    let cases = [
        offence(vec![0x89, 126, 0, 126], 2, "control frame over 125 bytes"),
        offence(frames::plain(0x09, b""), 2, "control frame is fragmented"),
        offence(server(CLOSE, &[3]), 2, "close payload of one byte"),
        offence(server(CLOSE, &close(1006, "")), 2, "close code 1006 must not be sent"),
        Offence { code: 1007, ..offence(server(CLOSE, b"\x03\xe8\xff"), 2, "close reason is not UTF-8") },
    ];
    offended("control", &cases).await;
}

#[tokio::test]
async fn a_backends_bad_fragments_are_offences() {
    let stray = [0x80, 0x00].map(|first| offence(frames::plain(first, b"x"), 2, "continuation without a message"));
    offended("stray", &stray).await;
    let passes = frames::plain(0x01, b"a");
    let interrupted = Offence { passes, ..offence(server(TEXT, b"b"), 2, "new message inside a fragmented one") };
    offended_with(&["transparent"], "interrupted", &[interrupted]).await;
    let held = [frames::plain(0x01, b"a"), server(TEXT, b"b")].concat();
    let whole = Offence { skipped: 3, ..offence(held, 2, "new message inside a fragmented one") };
    offended_with(&["legacy"], "interrupted", &[whole]).await;
}

#[tokio::test]
async fn bad_lengths_of_a_backend_are_offences() {
    let sixteen = [&[0x81, 126, 0, 125][..], &[b'x'; 125]].concat();
    let sixty_four = [&[0x82, 127][..], &0xffffu64.to_be_bytes()].concat();
    let top = [&[0x82, 127][..], &(1u64 << 63).to_be_bytes()].concat();
    let cases = [
        offence(sixteen, 4, "length is not in its shortest form"),
        offence(sixty_four, 10, "length is not in its shortest form"),
        offence(top, 10, "length has its top bit set"),
    ];
    offended("length", &cases).await;
}

#[tokio::test]
async fn bad_text_of_a_backend_is_an_offence() {
    let bad = |passes: Vec<u8>, bad: Vec<u8>| Offence { passes, code: 1007, ..offence(bad, 2, "text is not UTF-8") };
    let cases = [
        bad(server(TEXT, b"good"), server(TEXT, b"\xff")),
        bad(server(TEXT, b"good"), frames::plain(0x01, b"\xed\xa0\x80")),
        bad(frames::plain(0x01, b"\xe2"), frames::plain(0x00, b"\x82x")),
        bad(frames::plain(0x01, b"\xe2\x82"), frames::plain(0x80, b"")),
    ];
    offended_with(&["transparent"], "text", &cases).await;
}

#[tokio::test]
async fn a_frame_of_a_backend_that_turns_bad_after_a_part_has_passed_is_cut_off() {
    log();
    let backend = Backend::bind().await;
    let gateway = gateway(&relay("transparent", &[&backend.url()], ""));
    let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    let frame = server(TEXT, &[&[b'x'; 90][..], b"\xff"].concat());
    far.send(&frame[..50]).await;
    assert_eq!(peer.read_exact(50).await, frame[..50]);
    far.send(&frame[50..]).await;
    // There is no place for a Close inside a frame.
    peer.end().await;
    assert_eq!(far.frame().await.code(), 1007);
    far.clean_end().await;
    drop((peer, far));
    logged(&["a backend broke the protocol", &backend.url(), "text is not UTF-8", "head=\"81 5b\""]).await;
}
