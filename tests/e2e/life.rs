//! The gateway's life: drain, signals, reload.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;
use wsgate::Phase;

use crate::desk::{get, with_routes};
use crate::support::backend::{Backend, switch};
use crate::support::frames::{self, BINARY, CLOSE, CONTINUATION, PING, TEXT};
use crate::support::peer::{Peer, upgrade_request};
use crate::support::process::{Program, configure};
use crate::support::{Running, gateway, parse, trust, within};

const ECHO: &str = "[[route]]\npath = \"/echo\"\necho = {}\n";
const HUB: &str = "[[route]]\npath = \"/chat\"\nhub = {}\n";
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
/// Far longer than a test may take: who waits for it has failed.
const PATIENT: &str = "drain_timeout = \"10m\"\nhandshake_timeout = \"10m\"\nlimits = { close_timeout = \"10m\" }\n";

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

fn relay(backend: &str) -> String {
    format!("[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{backend}\"]\n")
}

/// It gets the drain's Close, and nothing behind it; then it is gone itself.
async fn is_sent_home(mut peer: Peer) {
    let close = peer.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1001, "the gateway is going away"));
    peer.agree(&close).await;
}

async fn until_closed(address: &str) {
    within("the listener to be closed", async { while TcpStream::connect(address).await.is_ok() {} }).await;
}

async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

/// Drains in another thread, so that the test can go on talking.
fn stopping(gateway: Running) -> tokio::task::JoinHandle<wsgate::Totals> {
    tokio::task::spawn_blocking(move || gateway.stop())
}

// Drain

#[tokio::test]
async fn sigterm_sends_everybody_home_and_exits_0() {
    let folder = folder();
    let backend = Backend::bind().await;
    let mut program =
        Program::configured(folder.path(), &format!("{PATIENT}{ECHO}{HUB}{}", relay(&backend.url()))).await;
    let (mut echo, hub) = (program.open("/echo").await, program.open("/chat").await);
    let (relayed, (mut behind, _)) = tokio::join!(program.open("/ws"), backend.upgrade(&[]));
    echoes(&mut echo, "here").await;
    program.signal("TERM").await;
    program.said(&["draining"]).await;
    // Nobody new, though three are still here.
    until_closed(program.address()).await;
    is_sent_home(echo).await;
    is_sent_home(hub).await;
    is_sent_home(relayed).await;
    let close = behind.frame().await;
    assert_eq!((close.opcode, close.code(), close.masked), (CLOSE, 1001, true));
    behind.send(&frames::server(CLOSE, &close.payload)).await;
    behind.end().await;
    drop(behind);
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    let drained = ended.err.lines().find(|line| line.contains("drained")).expect("a summary");
    assert!(drained.contains("connections=3") && drained.contains("cut=0"), "{drained}");
    let gone: Vec<_> = ended.err.lines().filter(|line| line.contains("websocket ended")).collect();
    assert_eq!(gone.len(), 3, "{}", ended.err);
    assert!(gone.iter().all(|line| line.contains("ended_by=\"gateway\"") && line.contains("code=1001")), "{gone:?}");
}

#[tokio::test]
async fn sigint_drains_too_and_an_empty_gateway_is_gone_at_once() {
    let folder = folder();
    let program = Program::configured(folder.path(), &format!("{PATIENT}{ECHO}")).await;
    program.signal("INT").await;
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("connections=0"), "{}", ended.err);
}

#[tokio::test]
async fn a_client_that_ignores_its_close_is_cut_at_the_drain_timeout_and_the_exit_is_2() {
    let folder = folder();
    let config = format!("drain_timeout = \"1500ms\"\nlimits = {{ close_timeout = \"10m\" }}\n{ECHO}");
    let program = Program::configured(folder.path(), &config).await;
    let mut deaf = program.open("/echo").await;
    program.signal("TERM").await;
    assert_eq!(deaf.message().await.code(), 1001);
    deaf.end().await;
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let drained = ended.err.lines().find(|line| line.contains("drained")).expect("a summary");
    assert!(drained.contains("connections=1") && drained.contains("cut=1"), "{drained}");
}

#[tokio::test]
async fn a_client_that_ignores_its_close_is_cut_at_its_close_timeout_if_that_is_sooner() {
    let gateway = gateway(&format!("drain_timeout = \"10m\"\nlimits = {{ close_timeout = \"100ms\" }}\n{ECHO}"));
    let mut deaf = gateway.open("/echo").await;
    let stopping = stopping(gateway);
    assert_eq!(deaf.message().await.code(), 1001);
    deaf.end().await;
    let totals = within("the drain", stopping).await.expect("drain");
    assert_eq!((totals.open, totals.cut), (1, 0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_exit_is_2() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let folder = folder();
        let program = Program::configured(folder.path(), &format!("{PATIENT}{ECHO}")).await;
        let mut deaf = program.open("/echo").await;
        program.signal(first).await;
        assert_eq!(deaf.message().await.code(), 1001);
        program.signal(second).await;
        deaf.end().await;
        let ended = program.ended().await;
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(ended.err.contains("cut=1") && ended.err.contains("ending at once"), "{}", ended.err);
    }
}

#[tokio::test]
async fn a_session_that_is_cut_leaves_its_line_too() {
    let (folder, backend) = (folder(), Backend::bind().await);
    let program = Program::configured(folder.path(), &format!("{PATIENT}{HUB}{}", relay(&backend.url()))).await;
    let mut member = program.open("/chat").await;
    let (mut deaf, _behind) = tokio::join!(program.open("/ws"), backend.upgrade(&[]));
    program.signal("TERM").await;
    assert_eq!((deaf.message().await.code(), member.message().await.code()), (1001, 1001));
    program.signal("TERM").await;
    let ended = program.ended().await;
    let gone: Vec<_> = ended.err.lines().filter(|line| line.contains("websocket ended")).collect();
    let relayed = format!("route=\"/ws\" backend=\"{}\"", backend.url());
    for place in ["route=\"/chat\" backend=\"\"", &*relayed] {
        let line = gone.iter().find(|line| line.contains(place)).expect(place);
        assert!(line.contains("ended_by=\"gateway\" code=1006 reason=\"cut\""), "{line}");
    }
    assert_eq!(gone.len(), 2, "{}", ended.err);
}

#[tokio::test]
async fn a_close_waits_for_the_end_of_a_frame_that_is_passing() {
    let backend = Backend::bind().await;
    let (gateway, _folder) = with_routes("", &relay(&backend.url()));
    let (mut peer, (mut behind, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    let frame = frames::server(BINARY, &[7; 1000]);
    behind.send(&frame[..500]).await;
    let begun = peer.read_exact(500).await;
    gateway.handle.drain();
    within("its order to go", async {
        while get(&gateway, "/connections").await["connections"][0]["ending"] != true {}
    })
    .await;
    behind.send(&frame[500..]).await;
    assert_eq!([begun, peer.read_exact(frame.len() - 500).await].concat(), frame);
    is_sent_home(peer).await;
    assert_eq!(behind.frame().await.code(), 1001);
    behind.send(&frames::server(CLOSE, &frames::close(1001, ""))).await;
    behind.end().await;
    drop(behind);
    within("the drain", gateway.handle.reached(Phase::Stopped)).await;
    let totals = gateway.stop();
    assert_eq!((totals.open, totals.cut), (1, 0));
}

#[tokio::test]
async fn a_close_stands_between_the_frames_of_a_message() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("{PATIENT}{}", relay(&backend.url())));
    let (mut peer, (mut behind, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    behind.send(&frames::plain(TEXT, b"first ")).await;
    assert_eq!(peer.frame().await.text(), "first ");
    let stopping = stopping(gateway);
    is_sent_home(peer).await;
    // What the backend says after its Close goes nowhere, and harms nobody.
    let _ = behind.try_send(&frames::plain(0x80 | CONTINUATION, b"second")).await;
    drop(behind);
    assert_eq!(within("the drain", stopping).await.expect("drain").cut, 0);
}

#[tokio::test]
async fn a_frame_on_its_way_to_the_backend_arrives_whole_before_the_close() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("{PATIENT}{}", relay(&backend.url())));
    let (mut peer, (mut behind, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    let frame = frames::client(BINARY, &[9; 1000]);
    peer.send(&frame[..500]).await;
    let begun = behind.read_exact(500).await;
    let stopping = stopping(gateway);
    let close = peer.frame().await;
    assert_eq!(close.code(), 1001);
    peer.send(&frame[500..]).await;
    peer.agree(&close).await;
    drop(peer);
    assert_eq!([begun, behind.read_exact(frame.len() - 500).await].concat(), frame);
    assert_eq!(behind.frame().await.code(), 1001);
    drop(behind);
    assert_eq!(within("the drain", stopping).await.expect("drain").cut, 0);
}

/// RFC 6455 §5.5.1: nothing follows a Close.
#[tokio::test]
async fn nothing_follows_the_close_though_the_client_goes_on_talking() {
    for path in ["/echo", "/chat"] {
        let gateway = gateway(&format!("{PATIENT}{ECHO}{HUB}"));
        let mut peer = gateway.open(path).await;
        let stopping = stopping(gateway);
        let close = peer.message().await;
        assert_eq!(close.code(), 1001);
        let late = [frames::client(TEXT, b"too late"), frames::client(PING, b"still there?")].concat();
        peer.send(&late).await;
        peer.agree(&close).await;
        drop(peer);
        assert_eq!(within("the drain", stopping).await.expect("drain").cut, 0);
    }
}

#[tokio::test]
async fn connections_that_are_no_websocket_yet_do_not_hold_the_drain() {
    let gateway = gateway(&format!("{PATIENT}[tls]\nself_signed = [\"localhost\"]\n{ADMIN}{ECHO}"));
    let mut silent = gateway.connect().await;
    let mut shaking = gateway.connect().await;
    // The first bytes of a ClientHello of 512 bytes.
    shaking.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
    let client = trust::anybody(trust::ANY, |_| ());
    let tls = async || Peer::connect_tls(&gateway.address(), "localhost", client.clone()).await.expect("TLS");
    let mut asking = tls().await;
    let mut kept = tls().await;
    kept.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(kept.answer().await.status, 404);
    gateway.until_metric("wsgate_tcp_connections_pending", 4.0).await;
    assert_eq!(within("the drain", stopping(gateway)).await.expect("drain").cut, 0);
    // What had been read of its head is refused; where that was nothing yet, it is just closed.
    let told = String::from_utf8(asking.rest().await).expect("text");
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 503 "), "{told}");
    for peer in [&mut silent, &mut shaking, &mut asking, &mut kept] {
        peer.end().await;
    }
}

#[tokio::test]
async fn a_request_head_that_has_begun_still_gets_its_answer() {
    let gateway = gateway(&format!("{PATIENT}{ECHO}"));
    let mut peer = gateway.connect().await;
    let upgrade = upgrade_request("/echo", &[]);
    let (begin, rest) = upgrade.split_at(40);
    // In one segment with a request whose answer shows that it was read.
    peer.send(format!("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n{begin}").as_bytes()).await;
    assert_eq!(peer.answer().await.status, 404);
    let handle = gateway.handle.clone();
    let stopping = stopping(gateway);
    handle.reached(Phase::Draining).await;
    peer.send(rest.as_bytes()).await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{answer:?}");
    drop(peer);
    assert_eq!(within("the drain", stopping).await.expect("drain").cut, 0);
}

#[tokio::test]
async fn a_websocket_that_is_born_in_the_drain_is_sent_home() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("{PATIENT}{}", relay(&backend.url())));
    let mut peer = gateway.connect().await;
    peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
    let mut behind = backend.accept().await;
    let head = behind.head().await;
    let handle = gateway.handle.clone();
    let stopping = stopping(gateway);
    handle.reached(Phase::Draining).await;
    behind.send(&switch(&head, &[])).await;
    let answer = peer.answer().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    is_sent_home(peer).await;
    drop(behind);
    assert_eq!(within("the drain", stopping).await.expect("drain").cut, 0);
}

#[tokio::test]
async fn a_drain_sends_the_idle_home_first_and_few_at_a_time() {
    let pace = "drain_timeout = \"10m\"\ndrain_pace = \"30/m\"\n";
    let gateway = gateway(&format!("{pace}{ECHO}"));
    let mut crowd = [gateway.open("/echo").await, gateway.open("/echo").await, gateway.open("/echo").await];
    // Idle times are told apart to a tenth of a second.
    for busy in 0..3 {
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(250) {
            for peer in &mut crowd[busy..] {
                echoes(peer, "busy").await;
            }
        }
    }
    let handle = gateway.handle.clone();
    let stopping = stopping(gateway);
    let [first, mut second, mut last] = crowd;
    is_sent_home(first).await;
    // Each has two seconds: the last is told in four at the earliest.
    echoes(&mut last, "still here").await;
    assert_eq!(second.message().await.code(), 1001);
    handle.drain();
    assert_eq!(within("the drain", stopping).await.expect("drain").open, 3);
}

#[tokio::test]
async fn the_admin_door_tells_of_the_drain() {
    let gateway = gateway(&format!("{PATIENT}{ADMIN}{ECHO}"));
    let door = gateway.admin.clone().expect("admin").rsplit("//").next().expect("address").to_owned();
    let ask = async |path: &str| {
        let mut peer = Peer::connect(&door).await;
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        let answer = peer.answer().await;
        (answer.status, answer.body)
    };
    assert_eq!(ask("/readyz").await, (200, "running\n".to_owned()));
    let peer = gateway.open("/echo").await;
    let handle = gateway.handle.clone();
    let stopping = stopping(gateway);
    handle.reached(Phase::Draining).await;
    assert_eq!(ask("/readyz").await, (503, "draining\n".to_owned()));
    assert_eq!(ask("/healthz").await, (200, "ok\n".to_owned()));
    is_sent_home(peer).await;
    within("the drain", stopping).await.expect("drain");
    assert_eq!(handle.phase(), Phase::Stopped);
}

// Reload

fn certificate(folder: &Path, name: &str) -> String {
    let made = wsgate::make_certificate(&folder.join(name), &["localhost".to_owned()]).expect("certificate");
    let (chain, key) = (made.chain.display().to_string(), made.key.display().to_string());
    format!("[tls]\ncertificates = [{{ chain = \"{chain}\", key = \"{key}\" }}]\n")
}

#[tokio::test]
async fn sighup_brings_a_new_route_and_keeps_who_is_there() {
    let folder = folder();
    let mut program = Program::configured(folder.path(), ECHO).await;
    let mut old = program.open("/echo").await;
    configure(folder.path(), &format!("{ECHO}[[route]]\npath = \"/new\"\necho = {{}}\n"));
    program.signal("HUP").await;
    program.said(&["reloaded", "route \\\"/new\\\"", "in force for new connections"]).await;
    echoes(&mut program.open("/new").await, "new").await;
    echoes(&mut old, "still here").await;
    // And away again: who came by it is sent home, and nobody else.
    let mut new = program.open("/new").await;
    configure(folder.path(), ECHO);
    program.signal("HUP").await;
    let close = new.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1012, "service restart"));
    new.agree(&close).await;
    program.said(&["sent home, for the way that they came by is gone", "websockets=1"]).await;
    assert_eq!(Peer::connect(program.address()).await.upgrade("/new", &[]).await.status, 404);
    echoes(&mut old, "and still here").await;
}

#[tokio::test]
async fn sighup_shows_a_new_certificate_to_new_connections_alone() {
    let folder = folder();
    let old = certificate(folder.path(), "old");
    let new = certificate(folder.path(), "new");
    let mut program = Program::configured(folder.path(), &format!("{old}{ECHO}")).await;
    let trusts = |name: &str| trust::only(&folder.path().join(name).join("wsgate-ca.pem"));
    let mut peer = program.open_tls("/echo", trusts("old")).await;
    configure(folder.path(), &format!("{new}{ECHO}"));
    program.signal("HUP").await;
    program.said(&["reloaded", "key=\"tls\"", "in force"]).await;
    echoes(&mut program.open_tls("/echo", trusts("new")).await, "new").await;
    assert!(Peer::connect_tls(program.address(), "localhost", trusts("old")).await.is_err());
    echoes(&mut peer, "old").await;
}

#[tokio::test]
async fn sighup_reads_a_renewed_certificate_of_the_same_name() {
    let folder = folder();
    let config = format!("{}{ECHO}", certificate(folder.path(), "a"));
    let mut program = Program::configured(folder.path(), &config).await;
    certificate(folder.path(), "b");
    for name in ["localhost.pem", "localhost.key"] {
        std::fs::rename(folder.path().join("b").join(name), folder.path().join("a").join(name)).expect("renew");
    }
    program.signal("HUP").await;
    program.said(&["nothing has changed but certificates"]).await;
    let renewed = trust::only(&folder.path().join("b").join("wsgate-ca.pem"));
    echoes(&mut program.open_tls("/echo", renewed).await, "renewed").await;
}

#[tokio::test]
async fn a_bad_reload_changes_nothing_and_is_told() {
    let folder = folder();
    let good = format!("{}{ECHO}", certificate(folder.path(), "a"));
    // A new client each time: one that resumes a session does not look at the certificate again.
    let client = || trust::only(&folder.path().join("a").join("wsgate-ca.pem"));
    let mut program = Program::configured(folder.path(), &good).await;
    let mut peer = program.open_tls("/echo", client()).await;
    let bad_limit = format!("{good}[limits]\nmessage_size = \"lots\"\n");
    let no_file = good.replace("localhost.pem", "nowhere.pem").replace("/echo", "/other");
    // The new certificate is good, and must not be shown: something else is not.
    let renewed = good.replace("/a/", "/b/");
    certificate(folder.path(), "b");
    let no_authority = format!("{renewed}[pool.p]\nbackends = [\"wss://localhost\"]\nca = \"nobody.pem\"\n");
    let cases = [(bad_limit, "limits.message_size = \"lots\""), (no_file, "nowhere.pem"), (no_authority, "nobody.pem")];
    for (config, told) in cases {
        configure(folder.path(), &config);
        program.signal("HUP").await;
        program.said(&["ERROR", "not reloaded, nothing has changed"]).await;
        program.said(&["ERROR", told]).await;
        echoes(&mut peer, "still here").await;
        echoes(&mut program.open_tls("/echo", client()).await, "as before").await;
        let mut other = program.connect_tls(client()).await;
        assert_eq!(other.upgrade("/other", &[]).await.status, 404);
    }
    std::fs::remove_file(folder.path().join("wsgate.toml")).expect("remove");
    program.signal("HUP").await;
    program.said(&["ERROR", "wsgate.toml: cannot be read"]).await;
    echoes(&mut peer, "after all that").await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_in_force() {
    let folder = folder();
    let mut program = Program::configured(folder.path(), &format!("workers = 1\n{ECHO}")).await;
    let address = program.address().to_owned();
    let config = "listen = [\"127.0.0.1:1\"]\nworkers = 2\nhandshake_timeout = \"9s\"\n[admin]\nlisten = \"127.0.0.1:2\"\n\
        [log]\nlevel = \"debug\"\n[[route]]\npath = \"/new\"\necho = {}\n";
    configure(folder.path(), config);
    program.signal("HUP").await;
    for key in ["listen", "workers", "admin.listen", "log"] {
        program.said(&["reloaded", &format!("key=\"{key}\""), "needs a restart"]).await;
    }
    program.said(&["key=\"handshake_timeout\"", "in force"]).await;
    program.said(&["route \\\"/echo\\\"", "in force"]).await;
    assert_eq!(program.address(), address);
    echoes(&mut program.open("/new").await, "in force").await;
}

#[tokio::test]
async fn sighup_with_the_built_in_default_kills_nobody() {
    let mut program = Program::start(folder().path(), &["--listen", "127.0.0.1:0"]).await;
    let client = trust::anybody(trust::ANY, |_| ());
    let mut peer = program.open_tls("/echo", client.clone()).await;
    program.signal("HUP").await;
    program.said(&["nothing has changed"]).await;
    echoes(&mut peer, "before").await;
    echoes(&mut program.open_tls("/echo", client).await, "after").await;
}

#[tokio::test]
async fn a_reload_in_a_drain_does_not_undo_it() {
    let folder = folder();
    let mut program = Program::configured(folder.path(), &format!("{PATIENT}{ECHO}")).await;
    let mut peer = program.open("/echo").await;
    program.signal("TERM").await;
    let close = peer.message().await;
    program.signal("HUP").await;
    program.said(&["reloaded, nothing has changed"]).await;
    until_closed(program.address()).await;
    peer.agree(&close).await;
    drop(peer);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[tokio::test]
async fn caps_count_on_after_a_reload() {
    let limits = |more: &str| format!("limits = {{ {more} }}\n{ADMIN}{ECHO}{HUB}");
    let gateway = gateway(&limits("connections_per_address = 1"));
    let first = gateway.open("/echo").await;
    gateway.handle.reload(parse(&limits("connections_per_address = 1, pending = 7"))).expect("reload");
    assert_eq!(gateway.connect().await.upgrade("/chat", &[]).await.status, 429);
    gateway.handle.reload(parse(&limits("connections_per_address = 2"))).expect("reload");
    let third = gateway.open("/chat").await;
    assert_eq!(gateway.connect().await.upgrade("/chat", &[]).await.status, 429);
    drop((first, third));
    gateway.until_metric("wsgate_websockets_open{route=\"/echo\"}", 0.0).await;
    gateway.until_metric("wsgate_websockets_open{route=\"/chat\"}", 0.0).await;
    gateway.open("/chat").await;
}

#[tokio::test]
async fn members_and_history_of_a_hub_live_through_a_reload() {
    let gateway = gateway(&format!("{ECHO}{HUB}"));
    let mut anna = gateway.open("/chat/garden").await;
    anna.say("before").await;
    assert_eq!(anna.message().await.text(), "User #1: before");
    let changes = gateway.handle.reload(parse(HUB)).expect("reload");
    let told: Vec<_> = changes.iter().map(|change| (&*change.key, change.kind.word(), change.restart)).collect();
    assert_eq!(told, [("route \"/echo\"", "removed", false)]);
    let mut bert = gateway.open("/chat/garden").await;
    assert_eq!(bert.message().await.text(), "User #1: before");
    bert.say("after").await;
    for peer in [&mut anna, &mut bert] {
        assert_eq!(peer.message().await.text(), "User #2: after");
    }
}

#[tokio::test]
async fn a_pool_goes_on_counting_after_a_reload() {
    let backend = Backend::bind().await;
    let config = format!("{}connections_per_backend = 1\n", relay(&backend.url()));
    let gateway = gateway(&config);
    let (_peer, _behind) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    gateway.handle.reload(parse(&format!("{config}connect_timeout = \"2s\"\n"))).expect("reload");
    assert_eq!(gateway.connect().await.upgrade("/ws", &[]).await.status, 503);
}

#[tokio::test]
async fn a_new_limit_holds_for_new_sessions() {
    let gateway = gateway(ECHO);
    let mut old = gateway.open("/echo").await;
    gateway.handle.reload(parse(&format!("limits = {{ message_size = \"1KiB\" }}\n{ECHO}"))).expect("reload");
    let mut new = gateway.open("/echo").await;
    let large = "x".repeat(2000);
    echoes(&mut old, &large).await;
    new.say(&large).await;
    assert_eq!(new.message().await.code(), 1009);
}

#[tokio::test]
async fn a_reload_that_hangs_stops_no_deadline() {
    let folder = folder();
    let config = format!("handshake_timeout = \"1500ms\"\n{ECHO}");
    let program = Program::configured(folder.path(), &config).await;
    let mut slow = Peer::connect(program.address()).await;
    slow.send(b"GET /echo HTTP/1.1\r\n").await;
    // Connections are taken in their order: the slow one is in by now.
    let _later = program.open("/echo").await;
    // A file that never opens.
    let file = folder.path().join("wsgate.toml");
    std::fs::remove_file(&file).expect("there");
    assert!(std::process::Command::new("mkfifo").arg(&file).status().expect("mkfifo").success());
    program.signal("HUP").await;
    assert_eq!(slow.answer().await.status, 408);
}
