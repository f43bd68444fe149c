//! TLS on the worst of ways: records cut anywhere and glued to anything, keys renewed at any time, ends of every kind,
//! and garbage. The client is rustls by hand, so that each byte goes when the test says.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error};

use crate::support::backend::{Backend, relay};
use crate::support::frames::{BINARY, CLOSE, Frame, PING, TEXT, client, close, masked, server};
use crate::support::peer::upgrade_request;
use crate::support::process::Program;
use crate::support::records::{KEY_UPDATE, Records};
use crate::support::tls::{Localhost, client_with, localhost};
use crate::support::{Running, gateway};

/// One worker, echo and hub, and whatever else.
fn config(top: &str, more: &str, tls: &Localhost) -> String {
    format!(
        "workers = 1\n{top}[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/echo\"\necho = {{}}\n\
         [[route]]\npath = \"/chat\"\nhub = {{ history = 0, say = {{ rate = \"0/s\" }}, text = \"1MiB\" }}\n{more}{}",
        tls.config
    )
}

/// A gateway with these routes over TLS, and a client that trusts it.
fn secured(limits: &str, more: &str) -> (Running, Arc<ClientConfig>) {
    let tls = localhost();
    (gateway(&config(&format!("limits = {{ {limits} }}\n"), more, &tls)), Arc::new(tls.client()))
}

/// The limits of a gateway to which one client comes again and again.
const MANY: &str = "connections_per_address = 100000, handshakes_per_address = \"0/s\"";

/// Offers nothing that would make its hello long: where each byte gets a connection, they are to be few.
fn terse(tls: &Localhost, versions: &[&'static tokio_rustls::rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let provider = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let mut config = client_with(provider, &[&tls.authority], versions);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn says(frame: &Frame, text: &str) {
    // In the hub with its author in front.
    assert!(frame.text().ends_with(text), "{frame:?} for {text:?}");
}

async fn echoes(peer: &mut Records, text: &str) {
    let bytes = peer.seal(&client(TEXT, text.as_bytes()));
    peer.send(&bytes).await;
    says(&peer.message().await, text);
}

// Keys that are renewed (RFC 8446 §4.6.3).

#[tokio::test]
async fn a_clients_key_updates_in_mid_session_are_answered_before_the_next_message() {
    let backend = Backend::bind().await.echo();
    let (gateway, config) = secured("", &relay("transparent", &[&backend], ""));
    for path in ["/echo", "/chat", "/ws"] {
        let mut peer = Records::open(&gateway.address(), &config, path).await;
        for (in_a_row, apart) in [(1, true), (1, false), (5, true), (5, false)] {
            echoes(&mut peer, "before").await;
            let mut pieces: Vec<Vec<u8>> = (0..in_a_row).map(|_| peer.renew()).collect();
            pieces.push(peer.seal(&client(TEXT, b"behind")));
            if apart {
                peer.send_apart(pieces.iter().map(Vec::as_slice)).await;
            } else {
                peer.send(&pieces.concat()).await;
            }
            let (frame, records) = peer.frame().await;
            says(&frame, "behind");
            // One answer for all that had not been answered; then the message, under the new keys.
            assert!(records.len() == 2 && records[0] == KEY_UPDATE, "{path}, {in_a_row}: {records:?}");
        }
    }
}

#[tokio::test]
async fn a_key_update_amid_messages_of_one_segment() {
    let backend = Backend::bind().await.echo();
    let (gateway, config) = secured("", &relay("transparent", &[&backend], ""));
    for path in ["/echo", "/chat", "/ws"] {
        let mut peer = Records::open(&gateway.address(), &config, path).await;
        // rustls ends a connection after 32 KeyUpdates without a message: here is one between any two.
        let mut bytes = Vec::new();
        for at in 0..40 {
            bytes.extend(peer.seal(&client(TEXT, format!("message {at}").as_bytes())));
            bytes.extend(peer.renew());
        }
        // And one in the middle of a frame.
        let frame = client(TEXT, b"in two pieces");
        bytes.extend(peer.seal(&frame[..9]));
        bytes.extend(peer.renew());
        bytes.extend(peer.seal(&frame[9..]));
        peer.send(&bytes).await;
        for at in 0..40 {
            says(&peer.message().await, &format!("message {at}"));
        }
        says(&peer.message().await, "in two pieces");
    }
}

/// TLS wants the answer before the next message, and rustls gives it then: with whatever the gateway says first.
#[tokio::test]
async fn a_key_update_of_a_silent_client_is_answered_before_the_gateways_own_ping() {
    let backend = Backend::bind().await;
    let (gateway, config) = secured("ping_interval = \"1s\"", &relay("transparent", &[&backend.url()], ""));
    let address = gateway.address();
    let renewed = async |path: &str| {
        let open = Records::open(&address, &config, path);
        let mut far = None;
        let mut peer = if path == "/ws" {
            let (peer, (behind, _)) = tokio::join!(open, backend.upgrade(&[]));
            far = Some(behind);
            peer
        } else {
            open.await
        };
        let renewal = peer.renew();
        peer.send_apart([&renewal[..]]).await;
        let (first, mut records) = peer.frame().await;
        assert_eq!(first.opcode, PING, "{path}");
        if records[0] != KEY_UPDATE {
            // That one was on its way already.
            records = peer.frame().await.1;
        }
        assert_eq!(records[0], KEY_UPDATE, "{path}: {records:?}");
        if let Some(mut far) = far {
            far.send(&server(TEXT, b"from behind")).await;
            says(&peer.message().await, "from behind");
        } else {
            echoes(&mut peer, "and on").await;
        }
    };
    tokio::join!(renewed("/echo"), renewed("/chat"), renewed("/ws"));
}

#[tokio::test]
async fn a_key_update_while_the_client_does_not_read() {
    let backend = Backend::bind().await;
    let (gateway, config) = secured("", &relay("transparent", &[&backend.url()], ""));
    let mut peer = Records::narrow(&gateway.address(), &config).await;
    peer.shake(|flight| vec![flight]).await;
    let ((), (mut far, _)) = tokio::join!(peer.upgrade("/ws"), backend.upgrade(&[]));
    let frame = server(BINARY, &[b'x'; 60_000]);
    let sent = far.flood(&frame).await;
    let bytes = [peer.renew(), peer.seal(&client(TEXT, b"meanwhile")), peer.renew()].concat();
    peer.send(&bytes).await;
    let read = async {
        let mut answers = 0;
        for _ in 0..sent.div_ceil(frame.len()) {
            let (got, records) = peer.frame().await;
            assert!(got.payload.len() == 60_000);
            answers += records.into_iter().filter(|length| *length == KEY_UPDATE).count();
        }
        answers
    };
    let speak = async {
        far.send(&frame[sent % frame.len()..]).await;
        assert_eq!(far.frame().await.text(), "meanwhile");
        // The answers are due before this at the latest.
        far.send(&server(TEXT, b"the last of all")).await;
    };
    let (mut answers, ()) = tokio::join!(read, speak);
    let (last, records) = peer.frame().await;
    assert_eq!(last.text(), "the last of all");
    answers += records.into_iter().filter(|length| *length == KEY_UPDATE).count();
    assert!((1..=2).contains(&answers), "{answers}");
}

#[tokio::test]
async fn a_key_update_behind_echoes_that_nobody_reads() {
    let (gateway, config) = secured("", "");
    let mut peer = Records::narrow(&gateway.address(), &config).await;
    peer.shake(|flight| vec![flight]).await;
    peer.upgrade("/echo").await;
    let frame = client(BINARY, &[b'x'; 60_000]);
    let (mut sent, mut rest) = (0, Vec::new());
    while rest.is_empty() {
        assert!(sent < 3000, "nobody reads, and yet it was taken");
        rest = peer.seal(&frame);
        peer.press(&mut rest).await;
        sent += 1;
    }
    rest.extend(peer.renew());
    rest.extend(peer.seal(&client(TEXT, b"behind")));
    let mut answers = 0;
    for _ in 0..sent {
        peer.pour(&mut rest);
        let (got, records) = peer.frame().await;
        assert!(got.payload.len() == 60_000);
        answers += records.into_iter().filter(|length| *length == KEY_UPDATE).count();
    }
    peer.press(&mut rest).await;
    let (last, records) = peer.frame().await;
    assert_eq!(last.text(), "behind");
    answers += records.into_iter().filter(|length| *length == KEY_UPDATE).count();
    assert_eq!(answers, 1);
}

// Records in pieces.

/// The connections of a test that makes very many, some at a time; `one` is given a number each.
async fn for_each<F: Future<Output = ()> + Send + 'static>(count: usize, one: impl Fn(usize) -> F) {
    let mut tasks = JoinSet::new();
    for at in 0..count {
        if tasks.len() == 16 {
            tasks.join_next().await.expect("one of them").expect("a sound session");
        }
        tasks.spawn(one(at));
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_handshake_in_segments_of_one_byte_and_cut_at_every_byte() {
    let tls = localhost();
    let gateway = gateway(&config(&format!("limits = {{ {MANY} }}\n"), "", &tls));
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let config = terse(&tls, versions);
        let mut peer = Records::connect(&gateway.address(), &config).await;
        peer.shake(|flight| flight.chunks(1).collect()).await;
        peer.upgrade("/echo").await;
        echoes(&mut peer, "hello").await;
        let hello = Records::connect(&gateway.address(), &config).await.flight().len();
        assert!((100..400).contains(&hello), "{hello}");
        // The flights behind the hello are shorter, and cut at the same places.
        for_each(hello, |cut| {
            let (address, config) = (gateway.address(), Arc::clone(&config));
            async move {
                let mut peer = Records::connect(&address, &config).await;
                peer.shake(|flight| <[_; 2]>::from(flight.split_at(cut.min(flight.len()))).to_vec()).await;
                peer.upgrade("/echo").await;
                echoes(&mut peer, "hello").await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_and_a_frame_glued_to_the_clients_finished_and_cut_at_every_byte() {
    let tls = localhost();
    let backend = Backend::bind().await.echo();
    let more = relay("transparent", &[&backend], "");
    let gateway = gateway(&config(&format!("limits = {{ {MANY} }}\n"), &more, &tls));
    let config = terse(&tls, &[&TLS13]);
    for (path, step) in [("/echo", 1), ("/ws", 5), ("/chat", 7)] {
        let mut peer = Records::connect(&gateway.address(), &config).await;
        let whole = glued(&mut peer, path).await.len();
        assert!((250..400).contains(&whole), "{whole}");
        for_each(whole / step + 1, |at| {
            let (address, config) = (gateway.address(), Arc::clone(&config));
            async move {
                let mut peer = Records::connect(&address, &config).await;
                // In the hub a room each.
                let bytes = glued(&mut peer, &format!("{path}/{at}")).await;
                peer.send_apart(<[_; 2]>::from(bytes.split_at(at * step))).await;
                peer.switched().await;
                says(&peer.message().await, "behind");
                echoes(&mut peer, "later").await;
            }
        })
        .await;
    }
}

/// What a client says last in its handshake, an upgrade request and a frame.
async fn glued(peer: &mut Records, path: &str) -> Vec<u8> {
    let finished = peer.almost_shake().await;
    let request = peer.seal(upgrade_request(path, &[]).as_bytes());
    let frame = peer.seal(&client(TEXT, b"behind"));
    [finished, request, frame].concat()
}

#[tokio::test]
async fn a_frame_in_records_of_one_byte_each_in_a_segment_of_its_own() {
    let backend = Backend::bind().await.echo();
    let (gateway, config) = secured("", &relay("legacy", &[&backend], ""));
    for path in ["/echo", "/chat", "/ws"] {
        let mut peer = Records::open(&gateway.address(), &config, path).await;
        let frames = [client(TEXT, b"a byte at a time"), masked(TEXT, b"in two "), masked(0x80, b"pieces")].concat();
        let records: Vec<Vec<u8>> = frames.chunks(1).map(|byte| peer.seal(byte)).collect();
        peer.send_apart(records.iter().map(Vec::as_slice)).await;
        says(&peer.message().await, "a byte at a time");
        says(&peer.message().await, "in two pieces");
    }
}

#[tokio::test]
async fn many_records_in_one_segment_and_half_a_record_behind_them() {
    let backend = Backend::bind().await.echo();
    let (gateway, config) = secured("", &relay("transparent", &[&backend], ""));
    for path in ["/echo", "/chat", "/ws"] {
        let mut peer = Records::open(&gateway.address(), &config, path).await;
        let texts: Vec<String> = (0..60).map(|at| format!("{at} {}", "x".repeat(at))).collect();
        let mut bytes: Vec<u8> = texts.iter().flat_map(|text| peer.seal(&client(TEXT, text.as_bytes()))).collect();
        let half = bytes.len() - 30;
        let rest = bytes.split_off(half);
        peer.send(&bytes).await;
        for text in &texts[..59] {
            says(&peer.message().await, text);
        }
        peer.send(&rest).await;
        says(&peer.message().await, &texts[59]);
    }
}

#[tokio::test]
async fn the_largest_record_in_the_smallest_segments() {
    let backend = Backend::bind().await.echo();
    let (gateway, config) = secured("", &relay("transparent", &[&backend], ""));
    let text: String = (0..16_376_u32).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    for (path, apart) in [("/echo", 1), ("/echo", 97), ("/ws", 1), ("/chat", 1000)] {
        let mut peer = Records::open(&gateway.address(), &config, path).await;
        let record = peer.seal(&client(TEXT, text.as_bytes()));
        assert_eq!(record.len(), 5 + 16_384 + 1 + 16, "one record, and full");
        if apart == 1 {
            for byte in record.chunks(1) {
                peer.send(byte).await;
            }
        } else {
            peer.send_apart(record.chunks(apart)).await;
        }
        let message = peer.message().await;
        assert!(message.text().ends_with(&text), "{path}");
        echoes(&mut peer, "and a short one").await;
    }
}

#[tokio::test]
async fn tls_1_2_carries_long_messages_through_the_relay_both_ways() {
    let tls = localhost();
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let gateway = gateway(&config("", &relay(profile, &[&backend.url()], ""), &tls));
        let config = terse(&tls, &[&TLS12]);
        let address = gateway.address();
        let open = Records::open(&address, &config, "/ws");
        let (mut peer, (mut far, _)) = tokio::join!(open, backend.upgrade(&[]));
        assert_eq!(peer.tls.protocol_version(), Some(tokio_rustls::rustls::ProtocolVersion::TLSv1_2));
        for round in 0..3_u8 {
            let (up, down) = (vec![round; 64 << 10], vec![100 + round; 64 << 10]);
            let bytes = peer.seal(&client(BINARY, &up));
            let back = server(BINARY, &down);
            tokio::join!(peer.send(&bytes), far.send(&back));
            assert!(far.frame().await.payload == up, "{profile}");
            assert!(peer.message().await.payload == down, "{profile}");
        }
        let bytes = peer.seal(&client(CLOSE, &close(1000, "bye")));
        peer.send(&bytes).await;
        if profile == "transparent" {
            let told = far.frame().await;
            far.send(&server(CLOSE, &told.payload)).await;
        }
        assert_eq!(peer.message().await.code(), 1000, "{profile}");
        peer.clean_end().await;
    }
}

// Ends.

/// How a client ends without a Close.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// close_notify, and TCP stays open.
    Notify,
    /// close_notify, and the end of TCP.
    NotifyAndFin,
    /// The end of TCP, and no close_notify: what was cut off cannot be told from what was meant (RFC 8446 §6.1).
    Fin,
}

async fn leave(peer: &mut Records, how: Leave) {
    if !matches!(how, Leave::Fin) {
        let bytes = peer.farewell();
        peer.send(&bytes).await;
    }
    if !matches!(how, Leave::Notify) {
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_tls_without_a_close_has_gone_wherever_it_was() {
    let (gateway, config) = secured(MANY, "");
    let mut gone = 0.0;
    for path in ["/echo", "/chat"] {
        for how in [Leave::Notify, Leave::NotifyAndFin, Leave::Fin] {
            for begun in [0, 1, 2, 5, 9] {
                let mut peer = Records::open(&gateway.address(), &config, path).await;
                echoes(&mut peer, "hello").await;
                let bytes = peer.seal(&client(TEXT, b"never whole")[..begun]);
                peer.send(&bytes).await;
                leave(&mut peer, how).await;
                // RFC 8446 §6.1: the gateway says close_notify as well.
                peer.clean_end().await;
                gone += 1.0;
                gateway.until_metric("wsgate_websockets_ended_total{by=\"client\",code=\"1006\"}", gone).await;
            }
        }
        gateway.until_metric(&format!("wsgate_websockets_open{{route=\"{path}\"}}"), 0.0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_tls_without_a_close_ends_its_backend_cleanly() {
    for (profile, passes) in [("transparent", 30), ("legacy", 0)] {
        let backend = Backend::bind().await;
        let (gateway, config) = secured(MANY, &relay(profile, &[&backend.url()], ""));
        for how in [Leave::Notify, Leave::NotifyAndFin, Leave::Fin] {
            for begun in [0, 30] {
                let address = gateway.address();
                let open = Records::open(&address, &config, "/ws");
                let (mut peer, (mut far, _)) = tokio::join!(open, backend.upgrade(&[]));
                let frame = client(TEXT, &[b'x'; 100]);
                let bytes = peer.seal(&[&client(TEXT, b"whole")[..], &frame[..begun]].concat());
                peer.send(&bytes).await;
                assert_eq!(far.frame().await.text(), "whole", "{profile}");
                leave(&mut peer, how).await;
                let passes = passes.min(begun);
                assert_eq!(far.read_exact(passes).await, frame[..passes], "{profile}, {how:?}");
                far.clean_end().await;
                drop(far);
                peer.clean_end().await;
            }
        }
    }
}

// Garbage.

/// What a client sends instead of a sound record, and what it is told.
const GARBAGE: [(&str, AlertDescription); 6] = [
    ("a flipped bit", AlertDescription::BadRecordMac),
    ("nothing but zeros", AlertDescription::BadRecordMac),
    ("a record twice", AlertDescription::BadRecordMac),
    ("a type that is none", AlertDescription::DecodeError),
    ("a length that is too great", AlertDescription::DecodeError),
    ("a handshake in clear", AlertDescription::BadRecordMac),
];

fn garbage(kind: &str, sound: &[u8]) -> Vec<u8> {
    match kind {
        "a flipped bit" => {
            let mut record = sound.to_vec();
            *record.last_mut().expect("a byte") ^= 1;
            record
        }
        "a record twice" => sound.repeat(2),
        "nothing but zeros" => [&[0x17, 3, 3, 0, 40][..], &[0; 40]].concat(),
        "a type that is none" => [&[0x63, 3, 3, 0, 40][..], &[0; 40]].concat(),
        "a length that is too great" => vec![0x17, 3, 3, 0xff, 0xff, 1, 2, 3],
        _ => vec![0x16, 3, 3, 0, 4, 1, 0, 0, 0],
    }
}

#[tokio::test]
async fn a_record_of_garbage_gets_its_alert_and_a_line_and_others_live_on() {
    let (tls, folder) = (localhost(), tempfile::tempdir().expect("folder"));
    let backend = Backend::bind().await.echo();
    let text = config(&format!("limits = {{ {MANY} }}\n"), &relay("transparent", &[&backend], ""), &tls);
    let program = Program::configured(folder.path(), &text).await;
    let client_config = Arc::new(tls.client());
    let mut others = Vec::new();
    for path in ["/echo", "/chat", "/ws"] {
        others.push(Records::open(program.address(), &client_config, path).await);
    }
    let mut spoiled = 0;
    for (at, path) in ["/echo", "/chat/elsewhere", "/ws"].into_iter().enumerate() {
        for (kind, alert) in GARBAGE {
            for glued in [false, true] {
                let mut peer = Records::open(program.address(), &client_config, path).await;
                echoes(&mut peer, "sound").await;
                // Behind a message that has an answer: then it turns up on the way to the write.
                let mut bytes = if glued { peer.seal(&client(TEXT, b"behind this one")) } else { Vec::new() };
                bytes.extend(garbage(kind, &peer.seal(&client(TEXT, b"spoiled"))));
                peer.send(&bytes).await;
                let verdict = loop {
                    let record = peer.record().await.unwrap_or_else(|| panic!("{path}, {kind}, {glued}: no alert"));
                    if record.verdict.is_err() {
                        break record.verdict;
                    }
                };
                assert_eq!(verdict, Err(Error::AlertReceived(alert)), "{path}, {kind}, {glued}");
                spoiled += 1;
            }
        }
        echoes(&mut others[at], "still here").await;
    }
    drop(others);
    let ended = program.stop().await;
    let lines: Vec<&str> = ended.err.lines().filter(|line| line.contains("the client's connection failed")).collect();
    assert_eq!(lines.len(), spoiled, "{}", ended.err);
    let all = ended.err.matches("websocket ended").count();
    assert_eq!(all, spoiled + 3, "{}", ended.err);
    assert!(lines.iter().all(|line| line.contains("websocket ended") && line.contains("code=1006")), "{lines:#?}");
}
