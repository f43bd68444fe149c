//! `wsgate probe` in front of servers that are weak in one way each: what it says of them, and what it proposes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use wsgate::wire::offer::accept_for;
use wsgate::{Boldness, Config, End, Report, Wishes};

use crate::support::frames::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, read, server};
use crate::support::process::run;
use crate::support::{gateway, tls};

// ---- Weak servers ------------------------------------------------------------------------------

/// What a server gets wrong; the default is right in everything.
#[derive(Clone, Default)]
struct Faults {
    /// It decodes the first frame of each read of so many bytes, and loses the rest.
    reads_once: Option<usize>,
    /// It finds the key by its name to the letter, or else…
    key: Key,
    /// A longer message stops it for everybody until its sender says more, or leaves.
    freezes_over: Option<usize>,
    /// More connections of one address are closed; who leaves by reset is never counted out.
    cap: Option<usize>,
    /// Every frame is a message.
    no_fragments: bool,
    /// Pings and pongs are messages.
    no_pings: bool,
    /// A close means nothing.
    no_close: bool,
    /// Subprotocols are refused.
    no_protocols: bool,
    /// Messages go to everybody but their sender.
    to_others: bool,
    /// How long it thinks about each message.
    thinks: Duration,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Key {
    #[default]
    AnyCase,
    /// … closes.
    OrClosed,
    /// … dies.
    OrDead,
    /// … dies, and is started again at once.
    OrReborn,
}

struct World {
    faults: Faults,
    /// Whoever works holds it: there is one thread in these servers.
    hand: tokio::sync::Mutex<()>,
    counts: Mutex<HashMap<IpAddr, usize>>,
    members: Mutex<Vec<(SocketAddr, mpsc::UnboundedSender<Vec<u8>>)>>,
    dead: watch::Sender<bool>,
    /// Who has come in an earlier life is cut off.
    lives: watch::Sender<usize>,
}

/// Starts it; it lives as long as the test, or dies of its faults.
async fn start(faults: Faults) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}", listener.local_addr().expect("address"));
    let world = World {
        faults,
        hand: tokio::sync::Mutex::default(),
        counts: Mutex::default(),
        members: Mutex::default(),
        dead: watch::Sender::new(false),
        lives: watch::Sender::new(0),
    };
    tokio::spawn(accept(listener, Arc::new(world)));
    url
}

async fn accept(listener: TcpListener, world: Arc<World>) {
    let mut dead = world.dead.subscribe();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted.expect("accept"),
            _ = dead.wait_for(|dead| *dead) => return,
        };
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let (mut dead, mut lives) = (world.dead.subscribe(), world.lives.subscribe());
            tokio::select! {
                () = serve(stream, peer, &world) => {}
                _ = dead.wait_for(|dead| *dead) => {}
                _ = lives.changed() => {}
            }
        });
    }
}

async fn serve(mut stream: TcpStream, peer: SocketAddr, world: &World) {
    stream.set_nodelay(true).expect("nodelay");
    if let Some(cap) = world.faults.cap {
        let mut counts = world.counts.lock().expect("counts");
        let count = counts.entry(peer.ip()).or_default();
        if *count >= cap {
            return;
        }
        *count += 1;
    }
    let orderly = talk(&mut stream, peer, world).await;
    world.members.lock().expect("members").retain(|(member, _)| *member != peer);
    if orderly && let Some(count) = world.counts.lock().expect("counts").get_mut(&peer.ip()) {
        *count -= 1;
    }
}

/// Whether it ended by FIN.
async fn talk(stream: &mut TcpStream, peer: SocketAddr, world: &World) -> bool {
    let mut room = vec![0; world.faults.reads_once.unwrap_or(65_536)];
    let mut bytes = Vec::new();
    let (mut open, mut message) = (false, Vec::new());
    let (sender, mut mail) = mpsc::unbounded_channel::<Vec<u8>>();
    loop {
        let count = tokio::select! {
            read = stream.read(&mut room) => match read {
                Ok(count) => count,
                Err(_) => return false,
            },
            Some(frame) = mail.recv() => {
                let _ = stream.write_all(&frame).await;
                continue;
            }
        };
        if count == 0 {
            return true;
        }
        let _hand = world.hand.lock().await;
        bytes.extend_from_slice(&room[..count]);
        if !open {
            let Some(answer) = greet(&mut bytes, world) else { continue };
            let _ = stream.write_all(&answer).await;
            if !answer.starts_with(b"HTTP/1.1 101") {
                return true;
            }
            open = true;
            world.members.lock().expect("members").push((peer, sender.clone()));
            // Whoever reads once throws away what comes behind the request.
            if world.faults.reads_once.is_some() {
                bytes.clear();
            }
        }
        while let Some(frame) = next(&mut bytes, world).await {
            if world.faults.freezes_over.is_some_and(|most| frame.payload.len() > most) {
                let _ = stream.read(&mut room).await;
                continue;
            }
            if !answer(stream, peer, world, frame, &mut message).await {
                return true;
            }
        }
    }
}

/// The answer to a head; `None` as long as it is not complete.
fn greet(bytes: &mut Vec<u8>, world: &World) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let end = text.find("\r\n\r\n");
    if world.faults.key == Key::AnyCase {
        end?;
    }
    let lines = || text.lines().filter_map(|line| line.split_once(':'));
    let key = match world.faults.key {
        Key::AnyCase => lines().find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Key")),
        Key::OrClosed | Key::OrDead | Key::OrReborn => {
            lines().find(|(name, value)| *name == "Sec-WebSocket-Key" && value.starts_with(' '))
        }
    };
    if key.is_none() && world.faults.key == Key::OrDead {
        world.dead.send_replace(true);
    }
    if key.is_none() && world.faults.key == Key::OrReborn {
        world.lives.send_modify(|lives| *lives += 1);
    }
    bytes.drain(..end.map_or(bytes.len(), |end| end + 4));
    let offers = lines().any(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"));
    Some(match key {
        None => Vec::new(),
        Some(_) if offers && world.faults.no_protocols => b"HTTP/1.1 426 No\r\n\r\n".to_vec(),
        Some((_, key)) => format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_for(key.trim())
        )
        .into_bytes(),
    })
}

/// The next whole frame; whoever reads once has lost all that is not the first one.
async fn next(bytes: &mut Vec<u8>, world: &World) -> Option<Frame> {
    let mut left = &bytes[..];
    // What is announced and has not come is not waited for in memory.
    let is_endless = bytes.get(1).is_some_and(|second| second & 0x7f == 127) && bytes.get(2..6) != Some(&[0; 4]);
    let frame = if is_endless { None } else { read(&mut left).await.ok() };
    let used = bytes.len() - left.len();
    match (&frame, world.faults.reads_once) {
        (_, Some(_)) => bytes.clear(),
        (Some(_), None) => drop(bytes.drain(..used)),
        (None, None) => {}
    }
    frame
}

/// Does what it does with a frame; `false`: the connection ends.
async fn answer(stream: &mut TcpStream, peer: SocketAddr, world: &World, frame: Frame, message: &mut Vec<u8>) -> bool {
    let faults = &world.faults;
    let said = match frame.opcode {
        CLOSE if faults.no_close => return true,
        CLOSE => {
            let _ = stream.write_all(&server(CLOSE, &frame.payload)).await;
            return false;
        }
        PING | PONG if faults.no_pings => frame.payload,
        PING => {
            let _ = stream.write_all(&server(PONG, &frame.payload)).await;
            return true;
        }
        PONG => return true,
        TEXT | BINARY | CONTINUATION if faults.no_fragments => frame.payload,
        _ => {
            message.extend_from_slice(&frame.payload);
            if !frame.fin {
                return true;
            }
            std::mem::take(message)
        }
    };
    if !faults.thinks.is_zero() {
        // Thinking is all that it does: nothing is waited for.
        let _ = tokio::time::timeout(faults.thinks, std::future::pending::<()>()).await;
    }
    let reply = server(TEXT, &said);
    if faults.to_others {
        let members = world.members.lock().expect("members");
        members.iter().filter(|(member, _)| *member != peer).for_each(|(_, to)| drop(to.send(reply.clone())));
    } else {
        let _ = stream.write_all(&reply).await;
    }
    true
}

// ---- The probe ---------------------------------------------------------------------------------

fn wishes(url: &str, boldness: Boldness) -> Wishes {
    let limit = Duration::from_secs(6);
    Wishes { url: url.to_owned(), host: None, origin: None, ca: None, limit, boldness }
}

async fn probe(faults: Faults, boldness: Boldness) -> Report {
    let url = start(faults).await;
    let wishes = wishes(&url, boldness);
    let report = within_two_minutes(wsgate::probe(&wishes, &mut |_| ())).await.expect("sound wishes");
    if !report.configuration.is_empty() {
        Config::parse(&report.configuration, "proposed", Path::new(".")).expect("a configuration");
    }
    report
}

/// Silences add up, so this has more patience than other tests.
async fn within_two_minutes<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("in time")
}

fn verdict<'r>(report: &'r Report, name: &str) -> &'r str {
    let step = report.steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("{name}: {report:?}"));
    step.verdict.as_deref().unwrap_or("left out")
}

fn says(report: &Report, expected: &[(&str, &str)]) {
    for (name, words) in expected {
        let verdict = verdict(report, name);
        assert!(verdict.starts_with(words), "{name}: {verdict:?} is not {words:?}");
    }
}

fn profile(report: &Report) -> &'static str {
    report.profile.as_ref().expect("a profile").0
}

#[tokio::test]
async fn a_sound_echo_is_proposed_as_transparent_and_the_dangerous_is_left_out() {
    let report = probe(Faults::default(), Boldness::Gentle).await;
    says(
        &report,
        &[
            ("reach", "connected in "),
            ("upgrade", "101 with the right accept value"),
            ("audience", "echo: "),
            ("subprotocol", "accepted, but not named"),
            ("extension", "ignored"),
            ("host", "accepted"),
            ("path", "accepted"),
            ("origin", "accepted"),
            ("early_frame", "it arrives"),
            ("two_frames", "2 of 2 arrive"),
            ("five_frames", "5 of 5 arrive"),
            ("busy_frames", "5 of 5 arrive"),
            ("split_frame", "it arrives"),
            ("fragments", "put together"),
            ("fragments_ping", "put together"),
            ("ping", "answered by a pong"),
            ("pong", "ignored"),
            ("close", "answered with 1000"),
            ("message_size", "a message of 992 bytes works"),
            ("head_size", "a request head of 1000 bytes works"),
            ("one_address", "10 connections"),
            ("other_addresses", "three other addresses"),
            ("reset", "6 times; there is still room"),
            ("lower_case", "left out"),
            ("plain_get", "left out"),
        ],
    );
    assert_eq!((profile(&report), &report.end), ("transparent", &End::Complete));
    let left_out = report.steps.iter().filter(|step| step.verdict.is_none());
    assert!(left_out.clone().all(|step| step.danger.is_some()) && left_out.count() == wsgate::dangers().count());
}

#[tokio::test]
async fn a_server_that_reads_once_loses_all_but_the_first_frame() {
    let faults =
        Faults { reads_once: Some(2048), no_fragments: true, no_pings: true, no_close: true, ..Faults::default() };
    let report = probe(faults, Boldness::Harsh).await;
    says(
        &report,
        &[
            ("early_frame", "lost"),
            ("two_frames", "1 of 2 arrive: it decodes one frame for each read"),
            ("five_frames", "1 of 5 arrive"),
            ("split_frame", "lost"),
            ("fragments", "each piece is taken for a message"),
            ("ping", "taken for a message"),
            ("pong", "taken for a message"),
            ("close", "not answered"),
            ("large_messages", "a message of 2040 bytes works, one of "),
        ],
    );
    // Whose message size is that of this server.
    assert_eq!(profile(&report), "php-2048");
    assert!(!report.configuration.contains("message_size"), "{}", report.configuration);
}

#[tokio::test]
async fn a_server_that_dies_of_header_names_is_told_so_and_still_gets_a_proposal() {
    let faults = || Faults { key: Key::OrDead, no_pings: true, ..Faults::default() };
    let url = start(faults()).await;
    let here = tempfile::tempdir().expect("folder");
    // Nobody is there to be asked, so nothing is done that could harm it.
    let unasked = within_two_minutes(run_slowly(here.path(), &["probe", &url])).await;
    assert_eq!((unasked.0, unasked.2.as_str()), (Some(0), ""), "{}", unasked.1);
    assert!(unasked.1.contains("Left out, because some servers do not survive it: bad_text, title_case, lower_case,"));
    assert!(
        unasked.1.contains("\nProfile: legacy (written by hand: pings become messages, pongs become messages)"),
        "{}",
        unasked.1
    );
    let harsh = within_two_minutes(run_slowly(here.path(), &["probe", &url, "--harsh", "--json"])).await;
    assert_eq!((harsh.0, harsh.1.lines().count()), (Some(3), 1), "{}", harsh.1);
    let value: Value = serde_json::from_str(&harsh.1).expect("JSON");
    assert_eq!((&value["end"], &value["harmed_by"]), (&"harmed".into(), &"title_case".into()), "{value}");
    let last = value["steps"].as_array().expect("steps").last().expect("steps");
    assert_eq!(last["name"], "title_case", "nothing more is tried");
    assert!(last["harm"].as_str().expect("harm").starts_with("the server has stopped answering"), "{last}");
    assert_eq!(value["profile"], "legacy");
    assert!(value["configuration"].as_str().expect("text").contains("profile = \"legacy\""), "{value}");
}

/// As `run`, without its patience: silences add up. Exit code, standard output and error.
async fn run_slowly(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = crate::support::process::command(folder, arguments).output().await.expect("run");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_server_that_closes_on_strange_names_lives_on() {
    let report = probe(Faults { key: Key::OrClosed, ..Faults::default() }, Boldness::Harsh).await;
    says(
        &report,
        &[
            ("title_case", "closed without an answer: the request must be written to the letter"),
            ("lower_case", "closed without an answer"),
            ("no_space", "closed without an answer"),
            ("split_head", "closed without an answer"),
            ("plain_get", "closed without an answer"),
            ("large_messages", "a message of 1048576 bytes works"),
            ("delayed_ack", ""),
            ("endless_frame", "it waits for the rest; others are served"),
        ],
    );
    assert_eq!(report.end, End::Complete);
}

#[tokio::test]
async fn a_server_that_is_started_again_has_died_all_the_same() {
    let report = probe(Faults { key: Key::OrReborn, ..Faults::default() }, Boldness::Harsh).await;
    assert_eq!((profile(&report), &report.end), ("swoole", &End::Harmed("title_case")));
    let harm = report.steps.last().expect("steps").harm.as_deref();
    assert_eq!(harm, Some("everybody was cut off; the server was started again"));
}

#[tokio::test]
async fn a_server_that_freezes_on_long_messages_is_left_at_the_first() {
    let faults = Faults { freezes_over: Some(992), ..Faults::default() };
    let report = probe(faults, Boldness::Harsh).await;
    let told = "a message of 992 bytes works; one of 1016 stops the server for everybody, so nothing larger was tried";
    says(
        &report,
        &[("large_messages", told), ("ping", "answered by a pong"), ("plain_get", "closed without an answer")],
    );
    // It lives again when the sender has left.
    assert_eq!((profile(&report), &report.end), ("legacy", &End::Complete));
    assert!(report.profile.expect("a profile").1.contains("a long message stops it for everybody"));
    // Where quick acknowledgements gain nothing they stay as the profile has them.
    assert!(!report.configuration.contains("quickack"), "{}", report.configuration);
}

#[tokio::test]
async fn a_cap_by_address_is_counted_and_leaks_are_seen() {
    let report = probe(Faults { cap: Some(5), ..Faults::default() }, Boldness::Gentle).await;
    let told = "5 connections from one address are served, the next one is not (closed without an answer), while other \
                addresses get in; after they leave by FIN there is room again";
    says(&report, &[("one_address", told), ("reset", "5 times; then the address is shut out")]);
    // Who comes from an address of its own is not concerned by the cap of another.
    assert!(report.configuration.ends_with("]\nsource_address = \"spread\"\n"), "{}", report.configuration);
    assert_eq!(report.end, End::Complete, "the probe's own address is not shut out");
}

#[tokio::test]
async fn one_fault_alone_is_found_where_it_is() {
    let fragments = probe(Faults { no_fragments: true, to_others: true, ..Faults::default() }, Boldness::Gentle).await;
    says(&fragments, &[("audience", "broadcast to everybody but the sender"), ("two_frames", "2 of 2 arrive")]);
    says(&fragments, &[("fragments", "each piece is taken for a message"), ("ping", "answered by a pong")]);
    assert_eq!(profile(&fragments), "legacy");
    let close = probe(Faults { no_close: true, ..Faults::default() }, Boldness::Gentle).await;
    says(&close, &[("close", "not answered: the connection stays"), ("fragments", "put together")]);
    assert_eq!(profile(&close), "legacy");
    let protocols = probe(Faults { no_protocols: true, ..Faults::default() }, Boldness::Gentle).await;
    says(&protocols, &[("subprotocol", "refused with 426")]);
    assert_eq!(profile(&protocols), "ratchet");
    // The profile answers for it, and a client that offers some would give up if nobody did.
    assert!(!protocols.configuration.contains("[route.proxy.legacy]"), "{}", protocols.configuration);
}

#[tokio::test]
async fn a_slow_server_is_no_broken_one() {
    let report = probe(Faults { thinks: Duration::from_millis(150), ..Faults::default() }, Boldness::Gentle).await;
    says(&report, &[("audience", "echo: "), ("five_frames", "5 of 5 arrive"), ("fragments", "put together")]);
    says(&report, &[("pong", "ignored"), ("message_size", "a message of 992 bytes works")]);
    assert_eq!((profile(&report), report.end), ("transparent", End::Complete));
}

#[tokio::test]
async fn where_there_is_no_websocket_server_it_says_what_there_is() {
    let here = tempfile::tempdir().expect("folder");
    let held = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}", held.local_addr().expect("address"));
    drop(held);
    let nobody = run(here.path(), &["probe", &url]).await;
    assert_eq!((nobody.code, nobody.err.as_str()), (Some(1), ""));
    assert!(nobody.out.contains(&format!("There is no WebSocket server at {url}: no connection: ")), "{}", nobody.out);
    assert!(!nobody.out.contains("[[route]]"), "{}", nobody.out);
    let page = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}/chat", page.local_addr().expect("address"));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = page.accept().await.expect("accept");
            let mut room = [0; 1024];
            if stream.read(&mut room).await.is_ok_and(|count| count > 0) {
                assert!(room.starts_with(b"GET /chat HTTP/1.1\r\nHost: other.example\r\n"));
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    });
    let other = run(here.path(), &["probe", &url, "--host", "other.example", "--time-limit", "15s"]).await;
    assert_eq!(other.code, Some(1));
    assert!(
        other.out.contains(": refused with 404 (some answer to one path, --host or --origin alone)."),
        "{}",
        other.out
    );
}

#[tokio::test]
async fn tls_and_unix_sockets_are_probed_like_tcp() {
    let tls = tls::localhost();
    let folder = tempfile::tempdir().expect("folder");
    let (ca, socket) = (folder.path().join("ca.pem"), folder.path().join("socket"));
    std::fs::write(&ca, &tls.authority.pem).expect("write");
    let echo = "[limits]\nhandshakes_per_address = \"0/s\"\n[[route]]\npath = \"/echo\"\norigins = \"*\"\necho = {}\n";
    let secure = gateway(&format!("{}{echo}", tls.config));
    let unix = gateway(&format!("listen = [\"unix:{}\"]\n{}", socket.display(), echo.replace("/echo", "/")));
    let host = secure.address().replace("127.0.0.1", "localhost");
    let here = Wishes { ca: Some(ca), ..wishes(&format!("wss://{host}/echo"), Boldness::Gentle) };
    let there = wishes(&format!("unix:{}", socket.display()), Boldness::Gentle);
    for wishes in [&here, &there] {
        let report = within_two_minutes(wsgate::probe(wishes, &mut |_| ())).await.expect("sound wishes");
        says(&report, &[("audience", "echo: "), ("fragments_ping", "put together"), ("close", "answered with 1000")]);
        assert_eq!((profile(&report), &report.end), ("transparent", &End::Complete), "{report:?}");
        let backend = wishes.url.replace("/echo", "");
        assert!(report.configuration.contains(&format!("backends = [{backend:?}]")), "{}", report.configuration);
    }
    let strangers = Wishes { ca: None, ..here };
    let report = within_two_minutes(wsgate::probe(&strangers, &mut |_| ())).await.expect("sound wishes");
    assert!(matches!(&report.end, End::NoServer(why) if why.contains("invalid peer certificate")), "{:?}", report.end);
    drop(unix);
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_64_and_say_what_is_allowed() {
    let here = tempfile::tempdir().expect("folder");
    for (arguments, words) in [
        (&["probe", "http://a"][..], "allowed: \"ws://host:port\""),
        (&["probe"], "<URL>"),
        (&["probe", "ws://a", "--gentle", "--harsh"], "cannot be used with"),
        (&["probe", "ws://a", "--time-limit", "5"], "allowed: 50ms to 60s"),
        (&["probe", "ws://a", "--time-limit", "1h"], "allowed: 50ms to 60s"),
        (&["probe", "ws://a", "--host", "a b"], "is no host"),
        (&["probe", "wss://a", "--ca", "absent.pem"], "absent.pem"),
    ] {
        let ended = run(here.path(), arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
    }
    let help = run(here.path(), &["probe", "--help"]).await;
    for option in ["--gentle", "--harsh", "--json", "--time-limit", "--host", "--ca", "3 the server has stopped"] {
        assert!(help.out.contains(option), "{option}: {}", help.out);
    }
}
