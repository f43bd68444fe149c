//! Which backend a client gets, what happens where there is none, and when a place at one is free again.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

use crate::support::backend::{Backend, relay, switch, upgrade};
use crate::support::frames::{CLOSE, TEXT, client, close, server};
use crate::support::peer::upgrade_request;
use crate::support::process::Program;
use crate::support::{Answer, Peer, Running, gateway, parse, within};

const ADMIN: &str = "admin = { listen = \"127.0.0.1:0\" }\n";
const WAITING: &str = "wsgate_pool_waiting{pool=\"transparent\"}";

/// A backend that says its number to everybody, and closes when it is asked to.
async fn numbered(number: usize) -> String {
    number_from(Backend::bind().await, number)
}

fn number_from(backend: Backend, number: usize) -> String {
    let url = backend.url();
    tokio::spawn(async move {
        loop {
            let far = backend.wait().await;
            tokio::spawn(async move {
                let (mut far, _) = upgrade(far, &[]).await;
                far.send(&server(TEXT, number.to_string().as_bytes())).await;
                while let Ok(frame) = far.try_frame().await {
                    if frame.opcode == CLOSE {
                        let _ = far.try_send(&server(CLOSE, &frame.payload)).await;
                        return;
                    }
                }
            });
        }
    });
    url
}

/// A gateway with so many backends that say their numbers.
async fn house(backends: usize, more: &str) -> Running {
    let mut urls = Vec::new();
    for number in 0..backends {
        urls.push(numbered(number).await);
    }
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    gateway(&format!("admin = {{ listen = \"127.0.0.1:0\" }}\n{}", relay("transparent", &urls, more)))
}

/// A WebSocket, and the number of the backend behind it.
async fn open(gateway: &Running) -> (Peer, usize) {
    let mut peer = gateway.open("/ws").await;
    let number = peer.frame().await.text().parse().expect("number");
    (peer, number)
}

/// The number of the backend that a request with these header lines leads to; the WebSocket is left again.
async fn number_of(gateway: &Running, more: &[&str]) -> usize {
    let mut peer = gateway.connect().await;
    assert_eq!(peer.upgrade("/ws", more).await.status, 101);
    let number = peer.frame().await.text().parse().expect("number");
    leave(peer).await;
    number
}

/// A line of a metric by backend.
fn of_backend(metric: &str, url: &str) -> String {
    format!("wsgate_backend_{metric}{{pool=\"transparent\",backend=\"{url}\"}}")
}

/// A client whose request is on its way.
async fn asking(gateway: &Running) -> Peer {
    let mut peer = gateway.connect().await;
    peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
    peer
}

/// A backend that takes every connection and ends it without a word.
async fn dumb() -> String {
    let backend = Backend::bind().await;
    let url = backend.url();
    tokio::spawn(async move {
        loop {
            backend.wait().await.head().await;
        }
    });
    url
}

async fn leave(mut peer: Peer) {
    peer.send(&client(CLOSE, &close(1000, ""))).await;
    assert_eq!(peer.frame().await.code(), 1000);
    peer.end().await;
}

async fn refused(gateway: &Running) -> Answer {
    let answer = gateway.ask(&upgrade_request("/ws", &[])).await;
    assert_eq!(answer.header("Connection"), Some("close"));
    answer
}

/// An address that refuses every connection and that nobody else gets: bound, but not listening.
fn refusing() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let url = format!("ws://{}", socket.local_addr().expect("address"));
    (socket, url)
}

#[tokio::test]
async fn round_robin_takes_turns_whatever_is_open() {
    let gateway = house(3, "balance = \"round_robin\"").await;
    let mut stay = Vec::new();
    for turn in 0..9 {
        let (peer, number) = open(&gateway).await;
        assert_eq!(number, turn % 3);
        if turn % 3 == 0 {
            stay.push(peer);
        } else {
            leave(peer).await;
        }
    }
}

#[tokio::test]
async fn least_connections_goes_where_the_fewest_are() {
    let gateway = house(3, "balance = \"least_connections\"").await;
    let mut peers: Vec<(Peer, usize)> = Vec::new();
    for _ in 0..6 {
        peers.push(open(&gateway).await);
    }
    let on = |peers: &[(Peer, usize)], number| peers.iter().filter(|peer| peer.1 == number).count();
    assert_eq!([0, 1, 2].map(|number| on(&peers, number)), [2, 2, 2]);
    // Two leave backend 1, and the next two go there.
    let (leaving, mut staying): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| peer.1 == 1);
    for (peer, _) in leaving {
        leave(peer).await;
    }
    gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 4.0).await;
    for _ in 0..2 {
        staying.push(open(&gateway).await);
    }
    assert_eq!(on(&staying, 1), 2);
}

#[tokio::test]
async fn a_backend_that_refuses_the_connection_gives_way_to_the_next() {
    let (_socket, refusing) = refusing();
    let good = numbered(7).await;
    for balance in ["round_robin", "least_connections"] {
        let more = format!("balance = \"{balance}\"");
        let gateway = gateway(&relay("transparent", &[&refusing, &good], &more));
        for _ in 0..4 {
            assert_eq!(open(&gateway).await.1, 7, "{balance}");
        }
    }
}

#[tokio::test]
async fn where_all_backends_refuse_the_client_gets_502() {
    let (_first, one) = refusing();
    let (_second, two) = refusing();
    let gateway = gateway(&relay("transparent", &[&one, &two], ""));
    let answer = refused(&gateway).await;
    assert_eq!((answer.status, answer.body.as_str()), (502, "the backend could not be reached\n"));
}

#[tokio::test]
async fn a_backend_that_answered_is_not_tried_again_elsewhere() {
    let bad = Backend::bind().await;
    let good = numbered(1).await;
    let gateway = gateway(&relay("transparent", &[&bad.url(), &good], "balance = \"round_robin\""));
    let answer = async {
        let mut far = bad.accept().await;
        far.head().await;
        far.send(b"HTTP/1.1 500 Oops\r\n\r\n").await;
    };
    let (answer, ()) = tokio::join!(refused(&gateway), answer);
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn full_backends_are_passed_over_and_when_all_are_full_it_is_503() {
    let gateway = house(2, "connections_per_backend = 1\nbalance = \"round_robin\"").await;
    let (one, first) = open(&gateway).await;
    let (_two, second) = open(&gateway).await;
    assert_eq!((first, second), (0, 1));
    let answer = refused(&gateway).await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "no backend has room for more connections\n"));
    assert!(answer.header("Retry-After").is_some());
    // It is round robin's turn of the other one, which is full: the free one is found all the same.
    leave(one).await;
    gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 1.0).await;
    assert_eq!(open(&gateway).await.1, 0);
}

#[tokio::test]
async fn a_backend_that_cannot_be_connected_to_in_time_is_504() {
    // The kernel takes the connection, nobody speaks TLS on it.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("wss://{}", listener.local_addr().expect("address"));
    let good = numbered(3).await;
    let times = "connect_timeout = \"500ms\"\nbalance = \"round_robin\"";
    let alone = gateway(&relay("transparent", &[&url], times));
    let answer = refused(&alone).await;
    assert_eq!((answer.status, answer.body.as_str()), (504, "the backend did not answer in time\n"));
    let both = gateway(&relay("transparent", &[&url, &good], times));
    assert_eq!(open(&both).await.1, 3);
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_504_and_let_go() {
    let never = async |half: &str| {
        let backend = Backend::bind().await;
        let more = "answer_timeout = \"1500ms\"\nconnections_per_backend = 1";
        let gateway = gateway(&relay("transparent", &[&backend.url()], more));
        let mute = async {
            let mut far = backend.accept().await;
            far.head().await;
            far.send(half.as_bytes()).await;
            far.clean_end().await;
        };
        let (answer, ()) = tokio::join!(refused(&gateway), mute);
        assert_eq!(answer.status, 504);
        // Its only place is free again.
        let (_peer, _far) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    };
    tokio::join!(never(""), never("HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"));
}

#[tokio::test]
async fn a_place_is_given_back_when_the_session_ends() {
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let config = relay(profile, &[&backend.url()], "connections_per_backend = 1");
        let gateway = gateway(&format!("admin = {{ listen = \"127.0.0.1:0\" }}\n{config}"));
        for _ in 0..3 {
            let (mut peer, (far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
            assert_eq!(refused(&gateway).await.status, 503);
            drop(far);
            let close = peer.frame().await;
            peer.agree(&close).await;
            drop(peer);
            gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 0.0).await;
        }
    }
}

#[tokio::test]
async fn a_place_is_given_back_when_the_client_vanishes_while_dialling() {
    let backend = Backend::bind().await;
    let config = relay("transparent", &[&backend.url()], "connections_per_backend = 1");
    let gateway = gateway(&format!("{ADMIN}{config}"));
    for _ in 0..3 {
        let mut peer = gateway.connect().await;
        peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
        let mut far = backend.accept().await;
        far.head().await;
        drop(peer);
        far.clean_end().await;
        // Never before the connection has ended: a backend's cap may be all that it can bear.
        gateway.until_metric(&of_backend("connections", &backend.url()), 0.0).await;
    }
    let (mut peer, (mut far, head)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    assert!(!switch(&head, &[]).is_empty());
    peer.say("hello").await;
    assert_eq!(far.frame().await.text(), "hello");
}

#[tokio::test]
async fn a_slow_dial_holds_nobody_else_up() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("workers = 1\n{}", relay("transparent", &[&backend.url()], "")));
    let mut waiting = gateway.connect().await;
    waiting.send(upgrade_request("/ws", &[]).as_bytes()).await;
    let mut slow = backend.accept().await;
    let head = slow.head().await;
    let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    peer.say("hello").await;
    assert_eq!(far.frame().await.text(), "hello");
    slow.send(&switch(&head, &[])).await;
    assert_eq!(within("the slow one", waiting.answer()).await.status, 101);
}

#[tokio::test]
async fn the_lease_of_a_backend_that_lingers_ends_with_its_deadline() {
    let backend = Backend::bind().await;
    let config = relay("legacy", &[&backend.url()], "connections_per_backend = 1");
    let config = format!("admin = {{ listen = \"127.0.0.1:0\" }}\nlimits = {{ close_timeout = \"50ms\" }}\n{config}");
    let gateway = gateway(&config);
    let (mut peer, (_far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    peer.send(&client(CLOSE, b"")).await;
    assert_eq!(peer.frame().await.code(), 1005);
    // The backend has seen the end and does not end its own direction.
    let freed = gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 0.0);
    tokio::time::timeout(Duration::from_secs(5), freed).await.expect("the deadline");
}

// ---- Full, and who waits

#[tokio::test]
async fn who_waits_gets_a_place_in_the_order_of_arrival() {
    let backend = Backend::bind().await;
    let more = "connections_per_backend = 1\nqueue = 2\nqueue_timeout = \"10m\"";
    let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&backend.url()], more)));
    let (peer, (far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    let mut first = asking(&gateway).await;
    gateway.until_metric(WAITING, 1.0).await;
    let mut second = asking(&gateway).await;
    gateway.until_metric(WAITING, 2.0).await;
    let answer = refused(&gateway).await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "no backend has room for more connections\n"));
    drop((peer, far));
    let (mut far, _) = backend.upgrade(&[]).await;
    assert_eq!(first.answer().await.status, 101);
    first.say("first").await;
    assert_eq!(far.frame().await.text(), "first");
    gateway.until_metric(WAITING, 1.0).await;
    drop((first, far));
    let (mut far, _) = backend.upgrade(&[]).await;
    assert_eq!(second.answer().await.status, 101);
    second.say("second").await;
    assert_eq!(far.frame().await.text(), "second");
    assert!((gateway.metric("wsgate_pool_refused_total{pool=\"transparent\"}").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn who_leaves_while_waiting_gives_its_turn_to_the_next() {
    let backend = Backend::bind().await;
    let more = "connections_per_backend = 1\nqueue = 2\nqueue_timeout = \"10m\"";
    let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&backend.url()], more)));
    let (peer, (far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    let first = asking(&gateway).await;
    gateway.until_metric(WAITING, 1.0).await;
    let mut second = asking(&gateway).await;
    gateway.until_metric(WAITING, 2.0).await;
    drop(first);
    gateway.until_metric(WAITING, 1.0).await;
    drop((peer, far));
    let (_far, _) = backend.upgrade(&[]).await;
    assert_eq!(second.answer().await.status, 101);
}

#[tokio::test]
async fn who_waits_for_too_long_gets_503_and_its_own_reason() {
    let gateway = house(1, "connections_per_backend = 1\nqueue = 5\nqueue_timeout = \"50ms\"").await;
    let (_peer, _) = open(&gateway).await;
    let answer = refused(&gateway).await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "no backend had room in time\n"));
    assert_eq!(answer.header("Retry-After"), Some("5"));
    gateway.until_metric("wsgate_requests_refused_total{reason=\"queue_timeout\"}", 1.0).await;
}

#[tokio::test]
async fn a_drain_sends_those_home_who_wait() {
    let gateway = house(1, "connections_per_backend = 1\nqueue = 5\nqueue_timeout = \"10m\"").await;
    let (_peer, _) = open(&gateway).await;
    let mut waiting = asking(&gateway).await;
    gateway.until_metric(WAITING, 1.0).await;
    gateway.handle.drain();
    let answer = waiting.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "the gateway is about to stop\n"));
}

#[tokio::test]
async fn a_nearly_full_backend_is_told_of_once_until_it_has_emptied() {
    let url = numbered(0).await;
    let folder = tempfile::tempdir().expect("folder");
    let hasty = "limits = { close_timeout = \"500ms\" }\n";
    let config = format!("{hasty}{ADMIN}{}", relay("transparent", &[&url], "connections_per_backend = 10"));
    let mut program = Program::configured(TempDir::path(&folder), &config).await;
    let open = async |program: &Program, count: usize| {
        let mut peers = Vec::new();
        for _ in 0..count {
            let mut peer = program.open("/ws").await;
            peer.frame().await;
            peers.push(peer);
        }
        peers
    };
    let told = |log: &str| log.matches("a backend is nearly full").count();
    let mut peers = open(&program, 8).await;
    assert_eq!(told(&program.log()), 0);
    peers.extend(open(&program, 1).await);
    program.said(&["WARN", "a backend is nearly full", "open=9", "cap=10", &url]).await;
    // One more, and one less that is not below eight tenths: nothing new.
    leave(peers.pop().expect("peer")).await;
    peers.extend(open(&program, 2).await);
    for peer in peers {
        leave(peer).await;
    }
    // A session's end is told when its place is free.
    while program.log().matches("websocket ended").count() < 10 {
        tokio::task::yield_now().await;
    }
    let _peers = open(&program, 10).await;
    let log = program.stop().await.err;
    assert_eq!(told(&log), 2, "{log}");
}

#[tokio::test]
async fn connections_and_caps_are_shown_by_backend() {
    let url = numbered(0).await;
    let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&url], "connections_per_backend = 7")));
    let (peer, _) = open(&gateway).await;
    gateway.until_metric(&of_backend("connections", &url), 1.0).await;
    gateway.until_metric(&of_backend("connections_max", &url), 7.0).await;
    gateway.until_metric(&of_backend("usable", &url), 1.0).await;
    leave(peer).await;
    gateway.until_metric(&of_backend("connections", &url), 0.0).await;
    gateway.handle.reload(parse("[[route]]\npath = \"/\"\necho = {}\n")).expect("reload");
    gateway.until_metric(&of_backend("connections_max", &url), 0.0).await;
}

// ---- Balances

#[tokio::test]
async fn weights_share_the_turns_and_backups_wait_for_theirs() {
    let (one, two, backup) = (numbered(1).await, numbered(2).await, numbered(3).await);
    let backends = format!("[{{ url = \"{one}\", weight = 3 }}, \"{two}\", {{ url = \"{backup}\", backup = true }}]");
    let config = relay("transparent", &[], "balance = \"round_robin\"\nconnections_per_backend = 6");
    let gateway = gateway(&format!("{ADMIN}{}", config.replace("backends = []", &format!("backends = {backends}"))));
    let mut peers = Vec::new();
    let mut counts = [0; 4];
    for _ in 0..8 {
        let (peer, number) = open(&gateway).await;
        counts[number] += 1;
        peers.push(peer);
    }
    assert_eq!(counts, [0, 6, 2, 0]);
    for _ in 0..5 {
        let (peer, number) = open(&gateway).await;
        counts[number] += 1;
        peers.push(peer);
    }
    assert_eq!(counts, [0, 6, 6, 1], "the first is full, then the second, and then there is the backup");
}

#[tokio::test]
async fn random_two_takes_the_less_busy() {
    let gateway = house(2, "balance = \"random_two\"").await;
    let mut peers = Vec::new();
    let mut counts = [0usize; 2];
    for _ in 0..20 {
        let (peer, number) = open(&gateway).await;
        counts[number] += 1;
        // Of two, two are always drawn.
        assert!(counts[0].abs_diff(counts[1]) <= 1, "{counts:?}");
        peers.push(peer);
    }
}

#[tokio::test]
async fn hash_keeps_clients_where_they_are_when_others_go_and_come_back() {
    let urls = [numbered(0).await, numbered(1).await, numbered(2).await];
    let config = |urls: &[&str]| {
        let more = "balance = \"hash\"\nhash = \"cookie:id\"";
        format!("limits = {{ handshakes_per_address = \"0/s\" }}\n{}", relay("transparent", urls, more))
    };
    let [zero, one, two] = urls.each_ref().map(String::as_str);
    let gateway = gateway(&config(&[zero, one, two]));
    let all = async || {
        let mut numbers = Vec::new();
        for client in 0..24 {
            numbers.push(number_of(&gateway, &[&format!("Cookie: a=b; id={client}")]).await);
        }
        numbers
    };
    let before = all().await;
    assert!((0..3).all(|number| before.contains(&number)), "{before:?}");
    // In another order, and without one of them.
    gateway.handle.reload(parse(&config(&[two, zero]))).expect("reload");
    let without = all().await;
    for (client, (before, without)) in before.iter().zip(&without).enumerate() {
        assert!(if *before == 1 { *without != 1 } else { without == before }, "client {client}");
    }
    gateway.handle.reload(parse(&config(&[zero, one, two]))).expect("reload");
    assert_eq!(all().await, before);
}

// ---- Another backend instead

#[tokio::test]
async fn a_backend_that_ends_without_a_word_gives_way_to_the_next() {
    let (dumb, good) = (dumb().await, numbered(5).await);
    for (more, status) in [("", 101), ("retries = 0", 502), ("retry_budget = 0", 502)] {
        let more = format!("balance = \"round_robin\"\neject_after = 0\n{more}");
        let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&dumb, &good], &more)));
        assert_eq!(gateway.connect().await.upgrade("/ws", &[]).await.status, status, "{more}");
        let retried = if status == 101 { 1.0 } else { 0.0 };
        gateway.until_metric("wsgate_pool_retries_total{pool=\"transparent\"}", retried).await;
        let denied = if more.contains("budget") { 1.0 } else { 0.0 };
        gateway.until_metric("wsgate_pool_retries_refused_total{pool=\"transparent\"}", denied).await;
    }
}

#[tokio::test]
async fn a_backend_that_says_nothing_in_time_gives_way_to_the_next() {
    let (mute, good) = (Backend::bind().await, numbered(5).await);
    let more = "balance = \"round_robin\"\nanswer_timeout = \"1500ms\"";
    let gateway = gateway(&relay("transparent", &[&mute.url(), &good], more));
    assert_eq!(open(&gateway).await.1, 5);
    let mut far = mute.accept().await;
    far.head().await;
    far.clean_end().await;
}

#[tokio::test]
async fn half_an_answer_is_an_answer() {
    for (ends, expected, patience) in [(true, 502, "10m"), (false, 504, "1500ms")] {
        let (bad, good) = (Backend::bind().await, numbered(5).await);
        let more = format!("balance = \"round_robin\"\nanswer_timeout = \"{patience}\"");
        let gateway = gateway(&relay("transparent", &[&bad.url(), &good], &more));
        let half = async {
            let mut far = bad.accept().await;
            far.head().await;
            far.send(b"HTTP/1.1 101 Swi").await;
            if !ends {
                far.clean_end().await;
            }
        };
        let (answer, ()) = tokio::join!(refused(&gateway), half);
        assert_eq!(answer.status, expected);
        assert_eq!(open(&gateway).await.1, 5, "its turn");
    }
}

#[tokio::test]
async fn a_storm_is_not_multiplied_beyond_the_budget() {
    let (dumb, dumber) = (dumb().await, dumb().await);
    let config = relay("transparent", &[&dumb, &dumber], "eject_after = 0\nretry_budget = 10");
    let gateway = gateway(&format!("limits = {{ handshakes_per_address = \"0/s\" }}\n{ADMIN}{config}"));
    let since = Instant::now();
    for _ in 0..40 {
        assert_eq!(refused(&gateway).await.status, 502);
    }
    // Ten in any span of ten seconds, and these may have been two, or more where the machine is busy.
    let most = 10.0 * (2.0 + (since.elapsed().as_secs_f64() / 10.0).floor());
    let retries = gateway.metric("wsgate_pool_retries_total{pool=\"transparent\"}").await;
    assert!((10.0..=most).contains(&retries), "{retries}");
    gateway.until_metric("wsgate_pool_retries_refused_total{pool=\"transparent\"}", 40.0 - retries).await;
}

// ---- Left alone

#[tokio::test]
async fn a_backend_that_keeps_failing_is_left_alone() {
    let (dumb, good) = (dumb().await, numbered(5).await);
    let more = "balance = \"round_robin\"\neject_after = 2\neject_time = \"1h\"\neject_max = \"1h\"";
    let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&dumb, &good], more)));
    for _ in 0..12 {
        assert_eq!(number_of(&gateway, &[]).await, 5);
    }
    gateway.until_metric("wsgate_pool_retries_total{pool=\"transparent\"}", 2.0).await;
    gateway.until_metric(&of_backend("ejections_total", &dumb), 1.0).await;
    gateway.until_metric(&of_backend("usable", &dumb), 0.0).await;
    gateway.until_metric(&of_backend("usable", &good), 1.0).await;
    // A reload that leaves it in the pool does not forgive it.
    let config = relay("transparent", &[&good, &dumb], &format!("{more}\nretries = 0"));
    gateway.handle.reload(parse(&format!("{ADMIN}{config}"))).expect("reload");
    for _ in 0..4 {
        assert_eq!(number_of(&gateway, &[]).await, 5);
    }
}

#[tokio::test]
async fn a_backend_comes_back_and_is_out_for_longer_when_it_fails_again() {
    let (socket, url) = refusing();
    let good = numbered(5).await;
    let more =
        "balance = \"round_robin\"\neject_after = 1\neject_time = \"50ms\"\neject_max = \"1h\"\nretry_budget = 100";
    let config = relay("transparent", &[&url, &good], more);
    let gateway = gateway(&format!("limits = {{ handshakes_per_address = \"0/s\" }}\n{ADMIN}{config}"));
    for times in 1..=3 {
        while gateway.metric(&of_backend("ejections_total", &url)).await < f64::from(times) {
            assert_eq!(number_of(&gateway, &[]).await, 5);
        }
    }
    // It has learned to listen, and comes back by itself.
    let listener = socket.listen(16).expect("listen");
    number_from(Backend::of(listener), 9);
    within("the return", async { while number_of(&gateway, &[]).await != 9 {} }).await;
    gateway.until_metric(&of_backend("usable", &url), 1.0).await;
}

#[tokio::test]
async fn the_time_for_which_one_is_left_alone_has_an_end_to_its_growth() {
    let (_socket, url) = refusing();
    let good = numbered(5).await;
    let more =
        "balance = \"round_robin\"\neject_after = 1\neject_time = \"10ms\"\neject_max = \"20ms\"\nretry_budget = 100";
    let config = relay("transparent", &[&url, &good], more);
    let gateway = gateway(&format!("limits = {{ handshakes_per_address = \"0/s\" }}\n{ADMIN}{config}"));
    // Doubled each time, the fourteenth would be a minute and a half after the thirteenth.
    let ejections = async {
        while gateway.metric(&of_backend("ejections_total", &url)).await < 14.0 {
            assert_eq!(number_of(&gateway, &[]).await, 5);
        }
    };
    within("fourteen ejections", ejections).await;
}

#[tokio::test]
async fn the_last_one_is_not_left_alone_unless_told() {
    for (last, status, body) in
        [(false, 502, "the backend could not be reached\n"), (true, 503, "no backend is in service\n")]
    {
        let (_socket, url) = refusing();
        let more = format!("eject_after = 1\neject_last = {last}\nretries = 0");
        let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&url], &more)));
        assert_eq!(refused(&gateway).await.status, 502);
        let answer = refused(&gateway).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
        gateway.until_metric(&of_backend("usable", &url), f64::from(u8::from(!last))).await;
    }
}

#[tokio::test]
async fn who_has_come_back_starts_slowly() {
    // A tenth beside a whole, as a tenth is the least; or two wholes.
    for (slow, share) in [("24h", 1..=5), ("0s", 18..=22)] {
        let (socket, url) = refusing();
        let good = numbered(5).await;
        let more = format!(
            "balance = \"round_robin\"\neject_after = 1\neject_time = \"10ms\"\neject_max = \"10ms\"\nslow_start = \"{slow}\""
        );
        let config = relay("transparent", &[&url, &good], &more);
        let gateway = gateway(&format!("limits = {{ handshakes_per_address = \"0/s\" }}\n{ADMIN}{config}"));
        assert_eq!(number_of(&gateway, &[]).await, 5);
        number_from(Backend::of(socket.listen(16).expect("listen")), 9);
        gateway.until_metric(&of_backend("usable", &url), 1.0).await;
        let mut count = 0;
        for _ in 0..40 {
            count += usize::from(number_of(&gateway, &[]).await == 9);
        }
        assert!(share.contains(&count), "{slow}: {count}");
    }
}

// ---- Handshakes

#[tokio::test]
async fn handshakes_with_one_backend_take_turns() {
    for (profile, more, at_once) in [("transparent", "handshakes_at_once = 1", 1), ("legacy", "", 4)] {
        let backend = Backend::bind().await;
        let gateway = gateway(&format!("{ADMIN}{}", relay(profile, &[&backend.url()], more)));
        let mut clients = Vec::new();
        for _ in 0..at_once + 2 {
            clients.push(asking(&gateway).await);
        }
        let open = format!("wsgate_backend_connections{{pool=\"{profile}\",backend=\"{}\"}}", backend.url());
        gateway.until_metric(&open, f64::from(at_once + 2)).await;
        let mut shaking = Vec::new();
        for _ in 0..at_once {
            let mut far = backend.accept().await;
            let head = far.head().await;
            shaking.push((far, head));
        }
        // The others have their places, and wait for their turn.
        assert!(timeout(Duration::from_millis(50), backend.accept()).await.is_err(), "{profile}");
        let mut done = Vec::new();
        for _ in 0..2 {
            let (mut far, head) = shaking.remove(0);
            far.send(&switch(&head, &[])).await;
            done.push(far);
            let mut far = backend.accept().await;
            let head = far.head().await;
            shaking.push((far, head));
        }
        for (mut far, head) in shaking {
            far.send(&switch(&head, &[])).await;
            done.push(far);
        }
        for mut client in clients {
            assert_eq!(client.answer().await.status, 101, "{profile}");
        }
    }
}

#[tokio::test]
async fn who_has_no_turn_in_time_gets_504_and_who_leaves_gives_its_turn_away() {
    let backend = Backend::bind().await;
    let more = "handshakes_at_once = 1\nconnect_timeout = \"5s\"\nanswer_timeout = \"1s\"\nretries = 0";
    let gateway = gateway(&relay("transparent", &[&backend.url()], more));
    let mut first = asking(&gateway).await;
    let mut far = backend.accept().await;
    far.head().await;
    let mut second = asking(&gateway).await;
    assert_eq!(first.answer().await.status, 504);
    far.clean_end().await;
    // The second one's turn has come with what was left of its time; it goes, and the third one's comes.
    let mut far = backend.accept().await;
    far.head().await;
    assert_eq!(second.answer().await.status, 504);
    let third = asking(&gateway).await;
    let mut far = backend.accept().await;
    far.head().await;
    drop(third);
    far.clean_end().await;
    let (_peer, _far) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
}

#[tokio::test]
async fn who_had_to_wait_for_its_turn_does_not_blame_the_backend_for_the_time_it_lacks() {
    // The kernel takes the connections, nobody speaks TLS on them.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("wss://{}", listener.local_addr().expect("address"));
    // The second has less than all of its time as long as it comes within the difference of the two.
    let more = "handshakes_at_once = 1\nconnect_timeout = \"1s\"\nanswer_timeout = \"50ms\"\n\
        eject_after = 2\neject_time = \"5m\"\neject_last = true";
    let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&url], more)));
    let mut clients = [asking(&gateway).await, asking(&gateway).await];
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 504);
    }
    gateway.until_metric(&of_backend("usable", &url), 1.0).await;
    // With one that had all of its time it is two.
    assert_eq!(refused(&gateway).await.status, 504);
    gateway.until_metric(&of_backend("usable", &url), 0.0).await;
}

/// Where a backend with these pool settings sees a client of this address come from, and what it reads before the
/// request, of so many bytes.
async fn arrival(profile: &str, more: &str, client: &str, before: usize) -> (std::net::IpAddr, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{}", relay(profile, &[&url], more));
    let gateway = gateway(&config);
    let mut peer = gateway.connect().await;
    peer.send(upgrade_request("/ws", &[&format!("X-Forwarded-For: {client}")]).as_bytes()).await;
    let (stream, from) = within("a connection", listener.accept()).await.expect("accepted");
    let mut far = Peer::new(stream);
    let first = far.read_exact(before).await;
    let head = far.head().await;
    assert!(head.starts_with("GET /ws HTTP/1.1\r\n"), "{head}");
    far.send(&switch(&head, &[])).await;
    assert_eq!(peer.answer().await.status, 101);
    (from.ip(), first)
}

#[tokio::test]
async fn each_client_has_a_source_address_of_its_own() {
    let localhost = "127.0.0.1".parse::<std::net::IpAddr>().expect("an address");
    let of = async |client| arrival("legacy", "", client, 0).await.0;
    let (one, other) = (of("192.0.2.1").await, of("192.0.2.2").await);
    assert!(one != other && ![one, other].contains(&localhost), "{one} {other}");
    assert_eq!(of("192.0.2.1").await, one);
    assert_eq!(arrival("transparent", "source_address = \"spread\"", "192.0.2.1", 0).await.0, one);
    assert_eq!(arrival("legacy", "source_address = \"off\"", "192.0.2.1", 0).await.0, localhost);
    assert_eq!(arrival("transparent", "", "192.0.2.1", 0).await.0, localhost);
}

#[tokio::test]
async fn a_backend_is_told_of_the_client_by_the_proxy_protocol() {
    let text = async |client, before| {
        let (_, first) = arrival("transparent", "proxy_protocol = \"v1\"", client, before).await;
        String::from_utf8(first).expect("text")
    };
    // Ports on loopback have five digits here.
    let line = text("192.0.2.1", "PROXY TCP4 192.0.2.1 127.0.0.1 0 12345\r\n".len()).await;
    assert!(line.starts_with("PROXY TCP4 192.0.2.1 127.0.0.1 0 ") && line.ends_with("\r\n"), "{line}");
    let line = text("2001:db8::7", "PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 0 12345\r\n".len()).await;
    assert!(line.starts_with("PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 0 ") && line.ends_with("\r\n"), "{line}");
    let (_, header) = arrival("transparent", "proxy_protocol = \"v2\"", "192.0.2.1", 28).await;
    assert_eq!(header[..26], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\0\0");
    arrival("transparent", "proxy_protocol = \"off\"", "192.0.2.1", 0).await;
}
