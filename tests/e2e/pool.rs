//! Which backend a client gets, what happens where there is none, and when a place at one is free again.

use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use crate::support::backend::{Backend, relay, switch};
use crate::support::frames::{CLOSE, TEXT, client, close, server};
use crate::support::peer::upgrade_request;
use crate::support::{Answer, Peer, Running, gateway, within};

/// A backend that says its number to everybody, and closes when it is asked to.
async fn numbered(number: usize) -> String {
    let backend = Backend::bind().await;
    let url = backend.url();
    tokio::spawn(async move {
        loop {
            let (mut far, _) = backend.upgrade(&[]).await;
            far.send(&server(TEXT, number.to_string().as_bytes())).await;
            tokio::spawn(async move {
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
    let times = "connect_timeout = \"50ms\"\nbalance = \"round_robin\"";
    let alone = gateway(&relay("transparent", &[&url], times));
    let answer = refused(&alone).await;
    assert_eq!((answer.status, answer.body.as_str()), (504, "the backend did not answer in time\n"));
    let both = gateway(&relay("transparent", &[&url, &good], times));
    assert_eq!(open(&both).await.1, 3);
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_504_and_let_go() {
    let backend = Backend::bind().await;
    let more = "answer_timeout = \"300ms\"\nconnections_per_backend = 1";
    let gateway = gateway(&relay("transparent", &[&backend.url()], more));
    for half in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"] {
        let mute = async {
            let mut far = backend.accept().await;
            far.head().await;
            far.send(half.as_bytes()).await;
            far.clean_end().await;
        };
        let (answer, ()) = tokio::join!(refused(&gateway), mute);
        assert_eq!(answer.status, 504);
    }
    // Its only place is free again.
    let (_peer, _far) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
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
    let gateway = gateway(&relay("transparent", &[&backend.url()], "connections_per_backend = 1"));
    for _ in 0..3 {
        let mut peer = gateway.connect().await;
        peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
        let mut far = backend.accept().await;
        far.head().await;
        drop(peer);
        far.clean_end().await;
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
