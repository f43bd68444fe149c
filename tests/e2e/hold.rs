//! Backends that die and come back, and clients that are held meanwhile: nothing of it is seen but a pause.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::time::timeout;

use crate::support::backend::{Backend, switch};
use crate::support::frames::{CLOSE, PING, PONG, TEXT, client, close, server};
use crate::support::peer::upgrade_request;
use crate::support::{Peer, Running, gateway, parse, within};

const ADMIN: &str = "workers = 1\nadmin = { listen = \"127.0.0.1:0\" }\n";

/// A configuration whose route to this backend has these keys in its `legacy` table, and these limits.
fn config(url: &str, keys: &str, limits: &str) -> String {
    format!(
        "{ADMIN}limits = {{ {limits} }}\n[[route]]\npath = \"/ws\"\n\
         proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ {keys} }} }}\n[pool.p]\nbackends = [\"{url}\"]\n"
    )
}

fn front(url: &str, keys: &str, limits: &str) -> Running {
    gateway(&config(url, keys, limits))
}

/// A backend on an address of this test's own, so that nobody else gets its port while it is gone.
async fn bind(host: &str) -> Backend {
    Backend::of(TcpListener::bind(format!("{host}:0")).await.expect("bind"))
}

async fn bind_again(address: SocketAddr) -> Backend {
    Backend::of(TcpListener::bind(address).await.expect("bind again"))
}

/// A client, and the backend that it has reached, alone on its host.
struct Scene {
    gateway: Running,
    peer: Peer,
    far: Peer,
    head: String,
    backend: Backend,
}

async fn scene(host: &str, keys: &str, limits: &str) -> Scene {
    let backend = bind(host).await;
    let gateway = front(&backend.url(), keys, limits);
    let (peer, (far, head)) = tokio::join!(gateway.open("/ws?room=1"), backend.upgrade(&[]));
    Scene { gateway, peer, far, head, backend }
}

impl Scene {
    /// The backend's process is killed; its client is held.
    async fn die(self) -> Held {
        let Self { gateway, peer, far, head, backend } = self;
        let address = backend.address;
        drop((backend, far));
        let held = Held { gateway, peer, head, address };
        held.gateway.until_metric(BEGUN, 1.0).await;
        held
    }
}

/// A client that is held, and where its backend was.
struct Held {
    gateway: Running,
    peer: Peer,
    head: String,
    address: SocketAddr,
}

impl Held {
    /// The backend is started again and takes the client back.
    async fn back(self) -> Scene {
        let Self { gateway, peer, address, .. } = self;
        let backend = bind_again(address).await;
        let (far, head) = backend.upgrade(&[]).await;
        Scene { gateway, peer, far, head, backend }
    }

    /// How many connections to the backend the gateway counts.
    fn connections(&self) -> String {
        format!("wsgate_backend_connections{{pool=\"p\",backend=\"ws://{}\"}}", self.address)
    }
}

const BEGUN: &str = "wsgate_holds_total{pool=\"p\"}";

fn ended(how: &str) -> String {
    format!("wsgate_holds_ended_total{{pool=\"p\",how=\"{how}\"}}")
}

/// The client is told to come back, for this reason.
async fn told(peer: &mut Peer, reason: &str) {
    let close = peer.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1012, reason));
    peer.agree(&close).await;
}

async fn hears(far: &mut Peer, texts: &[&str]) {
    for text in texts {
        assert_eq!(far.frame().await.text(), *text);
    }
}

/// The key of a request head, and the head without it.
fn key_of(head: &str) -> (&str, String) {
    let line = head.lines().find(|line| line.starts_with("Sec-WebSocket-Key: ")).expect("a key");
    (line, head.replace(line, ""))
}

#[tokio::test]
async fn a_client_whose_backend_restarts_notices_a_pause() {
    let mut scene = scene("127.81.0.1", "hold = \"20s\"", "").await;
    scene.peer.say("before").await;
    hears(&mut scene.far, &["before"]).await;
    // Half a message dies with its process.
    scene.far.send(&server(TEXT, b"never whole")[..5]).await;
    let mut held = scene.die().await;
    held.gateway.until_metric(&held.connections(), 0.0).await;
    // It is served as if nothing were.
    held.peer.send(&client(PING, b"still there?")).await;
    let pong = held.peer.frame().await;
    assert_eq!((pong.opcode, pong.text()), (PONG, "still there?"));
    for text in ["one", "two", "three"] {
        held.peer.say(text).await;
    }
    let (connections, head) = (held.connections(), held.head.clone());
    let mut back = held.back().await;
    // The same request, with a key of its own.
    let ((old_key, old), (new_key, new)) = (key_of(&head), key_of(&back.head));
    assert_eq!(old, new);
    assert_ne!(old_key, new_key);
    hears(&mut back.far, &["one", "two", "three"]).await;
    back.far.send(&server(TEXT, b"welcome")).await;
    assert_eq!(back.peer.message().await.text(), "welcome");
    back.peer.say("after").await;
    hears(&mut back.far, &["after"]).await;
    back.gateway.until_metric(&ended("back"), 1.0).await;
    assert!((back.gateway.metric(&connections).await - 1.0).abs() < f64::EPSILON);
    // The end is one like any other.
    back.peer.send(&client(CLOSE, &close(1000, "bye"))).await;
    assert_eq!(back.peer.message().await.reason(), "bye");
    back.far.clean_end().await;
}

#[tokio::test]
async fn its_first_messages_are_said_again_and_then_what_has_waited() {
    let keys = "hold = \"20s\", replay_messages = 2, one_frame_per_read = false";
    let mut scene = scene("127.81.0.2", keys, "").await;
    for text in ["I am Ann", "I join the garden", "hello"] {
        scene.peer.say(text).await;
        hears(&mut scene.far, &[text]).await;
    }
    let mut held = scene.die().await;
    held.peer.say("is anybody there?").await;
    let mut back = held.back().await;
    hears(&mut back.far, &["I am Ann", "I join the garden", "is anybody there?"]).await;
    back.peer.say("hello again").await;
    hears(&mut back.far, &["hello again"]).await;
    back.gateway.until_metric("wsgate_replayed_messages_total{pool=\"p\"}", 2.0).await;
}

/// The next connection, read by hand.
async fn by_hand(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = within("a connection", listener.accept()).await.expect("accept");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.expect("a head"));
    }
    stream.write_all(&switch(std::str::from_utf8(&head).expect("text"), &[])).await.expect("room");
    stream
}

/// The text of the first frame of one read; what follows it is lost.
async fn first_of_a_read(far: &mut TcpStream) -> String {
    let mut read = [0; 2048];
    within("a read", far.read(&mut read)).await.expect("no error");
    let length = usize::from(read[1] & 0x7f);
    let text = read[6..6 + length].iter().enumerate().map(|(at, byte)| byte ^ read[2 + at % 4]).collect();
    String::from_utf8(text).expect("text")
}

#[tokio::test]
async fn what_was_not_read_is_said_once_and_one_frame_a_read() {
    let texts = ["one", "two", "three", "four", "five"];
    for (keys, read) in [("hold = \"20s\"", 0), ("hold = \"20s\"", 3), ("hold = \"20s\", replay_messages = 2", 1)] {
        let listener = TcpListener::bind("127.81.0.3:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let gateway = front(&format!("ws://{address}"), keys, "");
        let (mut peer, mut far) = tokio::join!(gateway.open("/ws"), by_hand(&listener));
        peer.send(&texts.map(|text| client(TEXT, text.as_bytes())).concat()).await;
        for text in &texts[..read] {
            assert_eq!(first_of_a_read(&mut far).await, *text);
        }
        // The next one has come, and is not read: its kernel ends this with a reset.
        within("the next one", far.peek(&mut [0])).await.expect("open");
        drop((listener, far));
        gateway.until_metric(BEGUN, 1.0).await;
        let listener = TcpListener::bind(address).await.expect("bind again");
        let mut far = by_hand(&listener).await;
        // One is among the first two, and said again.
        let expected = if keys.contains("replay") { &texts[..] } else { &texts[read..] };
        for text in expected {
            assert_eq!(first_of_a_read(&mut far).await, *text, "{keys}");
        }
        peer.say("after").await;
        assert_eq!(first_of_a_read(&mut far).await, "after", "{keys}");
    }
}

#[tokio::test]
async fn a_first_message_that_is_said_again_in_vain_is_said_once_by_the_next() {
    let listener = TcpListener::bind("127.81.0.23:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let gateway = front(&format!("ws://{address}"), "hold = \"20s\", replay_messages = 2", "");
    let (mut peer, mut far) = tokio::join!(gateway.open("/ws"), by_hand(&listener));
    for text in ["I am Ann", "I join the garden", "hello"] {
        peer.say(text).await;
        assert_eq!(first_of_a_read(&mut far).await, text);
    }
    drop((listener, far));
    gateway.until_metric(BEGUN, 1.0).await;
    let listener = TcpListener::bind(address).await.expect("bind again");
    let mut far = by_hand(&listener).await;
    assert_eq!(first_of_a_read(&mut far).await, "I am Ann");
    // The other one has come, and is not read. The client says something more, of which the pong tells.
    within("the other one", far.peek(&mut [0])).await.expect("open");
    peer.send(&[client(TEXT, b"is anybody there?"), client(PING, b"?")].concat()).await;
    assert_eq!(peer.message().await.opcode, PONG);
    drop((listener, far));
    gateway.until_metric(BEGUN, 2.0).await;
    let listener = TcpListener::bind(address).await.expect("bind again");
    let mut far = by_hand(&listener).await;
    peer.say("after").await;
    for text in ["I am Ann", "I join the garden", "is anybody there?", "after"] {
        assert_eq!(first_of_a_read(&mut far).await, text);
    }
}

#[tokio::test]
async fn a_backend_that_dies_before_it_has_got_everything_back_is_waited_for_again() {
    let mut scene = scene("127.81.0.4", "hold = \"20s\", replay_messages = 1", "").await;
    scene.peer.say("I am Ann").await;
    hears(&mut scene.far, &["I am Ann"]).await;
    let mut held = scene.die().await;
    for text in ["one", "two"] {
        held.peer.say(text).await;
    }
    let mut back = held.back().await;
    hears(&mut back.far, &["I am Ann"]).await;
    let Scene { gateway, peer, far, head, backend } = back;
    let address = backend.address;
    drop((backend, far));
    gateway.until_metric(BEGUN, 2.0).await;
    let mut held = Held { gateway, peer, head, address };
    held.peer.say("three").await;
    let mut back = held.back().await;
    hears(&mut back.far, &["I am Ann"]).await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "three") {
        heard.push(back.far.frame().await.text().to_owned());
    }
    // Nobody had read the two that waited.
    assert_eq!(heard, ["one", "two", "three"]);
}

#[tokio::test]
async fn who_says_more_than_may_wait_gets_1012() {
    let scene = scene("127.81.0.5", "hold = \"20s\", hold_queue = \"1KiB\"", "").await;
    let mut held = scene.die().await;
    held.peer.say(&"x".repeat(900)).await;
    held.peer.send(&client(PING, b"?")).await;
    assert_eq!(held.peer.message().await.opcode, PONG);
    held.peer.say(&"x".repeat(100)).await;
    told(&mut held.peer, "bad gateway: the backend has died, and too much waits for it").await;
    held.gateway.until_metric(&ended("queue"), 1.0).await;
}

#[tokio::test]
async fn of_a_backend_that_lives_on_nobody_says_that_it_has_died_however_much_waits() {
    let scene = scene("127.81.0.24", "hold = \"20s\", hold_queue = \"1KiB\"", "").await;
    let Scene { mut peer, far, backend: _lives, .. } = scene;
    drop(far);
    peer.send(&[client(TEXT, &[b'x'; 900]), client(TEXT, &[b'y'; 900])].concat()).await;
    let close = peer.message().await;
    let told = "bad gateway: the backend ended without a close";
    assert_eq!((close.code(), close.reason().as_str()), (1011, told));
}

#[tokio::test]
async fn when_the_time_is_over_it_is_1012() {
    let scene = scene("127.81.0.6", "hold = \"100ms\"", "").await;
    let mut held = scene.die().await;
    told(&mut held.peer, "bad gateway: the backend has died and is not back in time").await;
    held.gateway.until_metric(&ended("time"), 1.0).await;
}

#[tokio::test]
async fn who_leaves_while_it_is_held_is_gone_at_once() {
    let scene = scene("127.81.0.7", "hold = \"20s\"", "").await;
    let mut held = scene.die().await;
    held.peer.send(&client(CLOSE, &close(1000, "bye"))).await;
    assert_eq!(held.peer.message().await.reason(), "bye");
    held.peer.end().await;
    drop(held.peer);
    held.gateway.until_metric(&ended("left"), 1.0).await;
    held.gateway.until_metric("wsgate_websockets_ended_total{by=\"client\",code=\"1000\"}", 1.0).await;
    // Nobody comes to the backend any more.
    let backend = bind_again(held.address).await;
    assert!(timeout(Duration::from_millis(200), backend.accept()).await.is_err());
}

#[tokio::test]
async fn a_drain_sends_home_whoever_is_held() {
    let scene = scene("127.81.0.8", "hold = \"20s\"", "").await;
    let mut held = scene.die().await;
    held.gateway.handle.drain();
    let close = held.peer.message().await;
    assert_eq!(close.code(), 1001);
    held.peer.agree(&close).await;
}

#[tokio::test]
async fn limits_of_time_hold_for_whoever_is_held() {
    let scene = scene("127.81.0.9", "hold = \"20s\"", "idle_timeout = \"2s\", ping_interval = \"700ms\"").await;
    let mut held = scene.die().await;
    assert_eq!(held.peer.frame().await.opcode, PING);
    held.peer.send(&client(PONG, b"wsgate:")).await;
    let close = held.peer.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1001, "idle for too long"));
}

#[tokio::test]
async fn another_backend_of_the_pool_takes_who_is_held() {
    let (dies, lives) = (bind("127.81.0.21").await, bind("127.81.0.22").await);
    let (first, second) = (dies.url(), lives.url());
    let gateway = gateway(&format!(
        "{ADMIN}[[route]]\npath = \"/ws\"\n\
         proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ hold = \"20s\" }} }}\n\
         [pool.p]\nbackends = [\"{first}\", {{ url = \"{second}\", backup = true }}]\n"
    ));
    let (mut peer, (far, _)) = tokio::join!(gateway.open("/ws"), dies.upgrade(&[]));
    drop((dies, far));
    let (mut far, _) = lives.upgrade(&[]).await;
    peer.say("hello").await;
    hears(&mut far, &["hello"]).await;
    // The place is with the other one.
    let open = format!("wsgate_backend_connections{{pool=\"p\",backend=\"{second}\"}}");
    assert!((gateway.metric(&open).await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_backend_that_has_moved_is_found_after_a_reload() {
    let mut held = scene("127.81.0.19", "hold = \"20s\"", "").await.die().await;
    let elsewhere = bind("127.81.0.20").await;
    let moved = parse(&config(&elsewhere.url(), "hold = \"20s\"", ""));
    held.gateway.handle.reload(moved).expect("sound");
    let (mut far, _) = elsewhere.upgrade(&[]).await;
    held.peer.say("there you are").await;
    hears(&mut far, &["there you are"]).await;
}

#[tokio::test]
async fn a_long_message_that_has_passed_in_part_cannot_be_completed() {
    let mut scene = scene("127.81.0.10", "hold = \"20s\"", "").await;
    scene.far.send(&server(TEXT, &[b'x'; 200_000])[..100_000]).await;
    let first = scene.peer.frame().await;
    assert!(!first.fin);
    let Scene { mut peer, gateway, far, backend, .. } = scene;
    drop((backend, far));
    let close = loop {
        let frame = peer.message().await;
        if frame.opcode == CLOSE {
            break frame;
        }
    };
    assert_eq!((close.code(), close.reason().as_str()), (1012, "bad gateway: the backend has died"));
    assert!(gateway.metric(BEGUN).await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_backend_that_hangs_up_and_lives_on_is_believed_unless_told_otherwise() {
    let scene = scene("127.81.0.11", "hold = \"20s\"", "").await;
    let Scene { mut peer, far, backend: _lives, .. } = scene;
    drop(far);
    let close = peer.message().await;
    let told = "bad gateway: the backend ended without a close";
    assert_eq!((close.code(), close.reason().as_str()), (1011, told));

    let mut scene = self::scene("127.81.0.12", "hold = \"20s\", hold_any_end = true", "").await;
    drop(scene.far);
    let (mut far, _) = scene.backend.upgrade(&[]).await;
    scene.peer.say("still here").await;
    hears(&mut far, &["still here"]).await;
}

#[tokio::test]
async fn a_backend_that_takes_clients_only_to_die_is_not_hammered() {
    let scene = scene("127.81.0.13", "hold = \"2s\", hold_any_end = true", "").await;
    let Scene { mut peer, far, backend, gateway, .. } = scene;
    drop(far);
    let dying = async {
        let mut taken = 0;
        loop {
            let mut far = backend.accept().await;
            // The one that comes when the time is over may be gone again.
            if let Ok(head) = far.try_head().await {
                let _ = far.try_send(&switch(&head, &[])).await;
            }
            drop(far);
            taken += 1;
            assert!(taken < 100, "hammered");
        }
    };
    tokio::select! {
        () = told(&mut peer, "bad gateway: the backend has died and is not back in time") => {}
        () = dying => {}
    }
    gateway.until_metric(&ended("time"), 1.0).await;
    let attempts = gateway.metric(&ended("back")).await;
    // The waits are 25, 50, 100, 200, 400, 800 and 1600 ms, each half as long at least.
    assert!((1.0..=9.0).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn a_backend_that_does_not_take_the_client_back_is_believed_and_one_that_starts_is_waited_for() {
    let held = scene("127.81.0.14", "hold = \"20s\"", "").await.die().await;
    let backend = bind_again(held.address).await;
    let (mut peer, gateway) = (held.peer, held.gateway);
    for status in ["503 Service Unavailable", "502 Bad Gateway", "429 Too Many Requests", "403 Forbidden"] {
        let mut far = backend.accept().await;
        far.head().await;
        far.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
    }
    told(&mut peer, "bad gateway: the backend has died and does not take the session back").await;
    gateway.until_metric(&ended("refused"), 1.0).await;
}

#[tokio::test]
async fn another_subprotocol_than_before_is_no_way_back() {
    let backend = bind("127.81.0.15").await;
    let gateway = front(&backend.url(), "hold = \"20s\", subprotocol = \"pass\"", "");
    let mut peer = gateway.connect().await;
    peer.send(upgrade_request("/ws", &["Sec-WebSocket-Protocol: one, two"]).as_bytes()).await;
    let (answer, (far, _)) = tokio::join!(peer.answer(), backend.upgrade(&["Sec-WebSocket-Protocol: one"]));
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), Some("one"));
    let address = backend.address;
    drop((backend, far));
    gateway.until_metric(BEGUN, 1.0).await;
    let backend = bind_again(address).await;
    let _far = backend.upgrade(&["Sec-WebSocket-Protocol: two"]).await;
    told(&mut peer, "bad gateway: the backend has died and does not take the session back").await;
}

#[tokio::test]
async fn first_messages_that_are_too_large_to_keep_are_no_way_back() {
    let keys = "hold = \"20s\", replay_messages = 1, replay_size = 100";
    let mut scene = scene("127.81.0.16", keys, "").await;
    let long = "x".repeat(200);
    scene.peer.say(&long).await;
    hears(&mut scene.far, &[&long]).await;
    let Scene { mut peer, far, backend, .. } = scene;
    drop((backend, far));
    told(&mut peer, "bad gateway: the backend has died").await;
}

#[tokio::test]
async fn a_crowd_comes_back_no_faster_than_handshakes_may() {
    let backend = bind("127.81.0.17").await;
    let url = backend.url();
    let gateway = gateway(&format!(
        "{ADMIN}[[route]]\npath = \"/ws\"\n\
         proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ hold = \"20s\" }} }}\n\
         [pool.p]\nbackends = [\"{url}\"]\nhandshakes_at_once = 2\n"
    ));
    let (mut peers, mut fars) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let (peer, (far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
        peers.push(peer);
        fars.push(far);
    }
    let address = backend.address;
    drop((backend, fars));
    gateway.until_metric(BEGUN, 10.0).await;
    let backend = bind_again(address).await;
    let mut shaking = Vec::new();
    for _ in 0..2 {
        let mut far = backend.accept().await;
        let head = far.head().await;
        shaking.push((far, head));
    }
    assert!(timeout(Duration::from_millis(300), backend.accept()).await.is_err(), "a third one");
    let mut back = Vec::new();
    while let Some((mut far, head)) = shaking.pop() {
        far.send(&switch(&head, &[])).await;
        back.push(far);
        if back.len() + shaking.len() < 10 {
            let mut far = backend.accept().await;
            let head = far.head().await;
            shaking.push((far, head));
        }
    }
    gateway.until_metric(&ended("back"), 10.0).await;
    for peer in &mut peers {
        peer.say("back").await;
    }
    for far in &mut back {
        hears(far, &["back"]).await;
    }
}

/// The next connection to a unix socket, upgraded.
async fn taken(listener: &UnixListener) -> Peer {
    let (stream, _) = within("a connection", listener.accept()).await.expect("accept");
    let mut far = Peer::new(stream);
    let head = far.head().await;
    far.send(&switch(&head, &[])).await;
    far
}

#[tokio::test]
async fn where_the_kernel_does_not_tell_a_refused_connection_does() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bind");
    let gateway = front(&format!("unix:{}", path.display()), "hold = \"20s\"", "");
    let (mut peer, far) = tokio::join!(gateway.open("/ws"), taken(&listener));
    drop((listener, far));
    gateway.until_metric(BEGUN, 1.0).await;
    peer.say("hello").await;
    std::fs::remove_file(&path).expect("removed");
    let listener = UnixListener::bind(&path).expect("bind");
    let mut far = taken(&listener).await;
    hears(&mut far, &["hello"]).await;
}

#[tokio::test]
async fn where_the_kernel_does_not_tell_the_living_are_asked_by_one_connection() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bind");
    let gateway = front(&format!("unix:{}", path.display()), "hold = \"20s\"", "");
    let (mut peers, mut fars) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (peer, far) = tokio::join!(gateway.open("/ws"), taken(&listener));
        peers.push(peer);
        fars.push(far);
    }
    drop(fars);
    let (mut asking, _) = within("a question", listener.accept()).await.expect("accept");
    assert_eq!(asking.read(&mut [0; 10]).await.expect("no reset"), 0);
    for peer in &mut peers {
        assert_eq!(peer.message().await.code(), 1011);
    }
    assert!(timeout(Duration::from_millis(100), listener.accept()).await.is_err(), "asked twice");
}

#[tokio::test]
async fn without_hold_everybody_is_told_at_once_that_it_has_died() {
    let backend = bind("127.81.0.18").await;
    let gateway = front(&backend.url(), "hold = \"0s\"", "");
    let (mut peers, mut fars) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let (peer, (far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
        peers.push(peer);
        fars.push(far);
    }
    drop((backend, fars));
    let all = async {
        for peer in &mut peers {
            told(peer, "bad gateway: the backend has died").await;
        }
    };
    timeout(Duration::from_secs(10), all).await.expect("in time");
}

/// One of several listeners on an address, as processes have them that share a port.
fn share(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("allowed");
    socket.bind(address).expect("bind");
    socket.listen(16).expect("listen")
}

#[tokio::test]
async fn of_processes_that_share_a_port_the_last_one_decides() {
    // Whichever of them the kernel names when it is asked for one.
    for (dies, host) in ["127.81.0.25:0", "127.81.0.26:0"].into_iter().enumerate() {
        let first = share(host.parse().expect("address"));
        let address = first.local_addr().expect("address");
        let mut both = vec![first, share(address)];
        let gateway = front(&format!("ws://{address}"), "hold = \"20s\"", "");
        let any = async {
            let [one, other] = &both[..] else { panic!("two") };
            tokio::select! { far = by_hand(one) => far, far = by_hand(other) => far }
        };
        let (mut leaves, far) = tokio::join!(gateway.open("/ws"), any);
        let any = async {
            let [one, other] = &both[..] else { panic!("two") };
            tokio::select! { far = by_hand(one) => far, far = by_hand(other) => far }
        };
        let (_held, last) = tokio::join!(gateway.open("/ws"), any);
        drop((both.remove(dies), far));
        assert_eq!(leaves.message().await.code(), 1011);
        drop((both, last));
        gateway.until_metric(BEGUN, 1.0).await;
    }
}
