//! The relay from both ends: what the backend is asked, what passes and how, and how either end's end reaches the other.

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

use crate::support::backend::{Backend, relay, switch};
use crate::support::frames::{
    self, BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client, close, masked, plain, server,
};
use crate::support::peer::{ACCEPT, upgrade_request};
use crate::support::tls::{acceptor, localhost};
use crate::support::{Peer, Running, gateway, within};

/// A client and a backend with a gateway between them.
async fn tunnel(profile: &str, limits: &str) -> (Running, Peer, Peer) {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("limits = {{ {limits} }}\n{}", relay(profile, &[&backend.url()], "")));
    let (peer, (far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    (gateway, peer, far)
}

/// What the backend is asked when a client asks this.
async fn asked(config: &str, request: &str) -> String {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("{config}{}", relay("transparent", &[&backend.url()], "")));
    let mut peer = gateway.connect().await;
    peer.send(request.as_bytes()).await;
    let (_far, head) = backend.upgrade(&[]).await;
    assert_eq!(peer.answer().await.status, 101);
    head
}

fn key(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key in canonical case")
}

#[tokio::test]
async fn the_backend_sees_a_request_of_the_gateways_own() {
    let request = "GET /ws/room?a=b&c=%20d HTTP/1.1\r\nhost: chat.example\r\nupgrade: WebSocket\r\n\
        connection: keep-alive, Upgrade, X-Hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
        sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\
        sec-websocket-protocol: chat\r\nsec-websocket-protocol: superchat\r\n\
        cookie: a=1\r\ncookie: b=2; c=3\r\nauthorization: Bearer x\r\nuser-agent: test/1\r\naccept-language: de\r\n\
        origin: http://chat.example\r\naccept: */*\r\ncache-control: no-cache\r\nx-other: y\r\n\
        x-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil.example\r\n\
        x-real-ip: 6.6.6.6\r\nforwarded: for=6.6.6.6;proto=https\r\nx-forwarded-port: 1\r\n\r\n";
    let head = asked("", request).await;
    let key = key(&head);
    assert!(key.len() == 24 && key != "dGhlIHNhbXBsZSBub25jZQ==", "{key}");
    let expected = format!(
        "GET /ws/room?a=b&c=%20d HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nOrigin: http://chat.example\r\n\
         Cookie: a=1; b=2; c=3\r\nSec-WebSocket-Protocol: chat, superchat\r\nX-Forwarded-For: 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: chat.example\r\nX-Real-IP: 127.0.0.1\r\n\
         Forwarded: for=127.0.0.1;host=\"chat.example\";proto=http\r\nAuthorization: Bearer x\r\n\
         User-Agent: test/1\r\nAccept-Language: de\r\n\r\n"
    );
    assert_eq!(head, expected);
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_the_client_is_carried_on() {
    let lines = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Real-IP: 6.6.6.6"];
    let head = asked("trusted_proxies = [\"loopback\"]\n", &upgrade_request("/ws", &lines)).await;
    let (_, said) = head.split_once("X-Forwarded-For: ").expect("what is said of the client");
    let expected = "203.0.113.7, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: test.example\r\nX-Real-IP: 203.0.113.7\r\n\
        Forwarded: for=203.0.113.7;host=\"test.example\";proto=https\r\n\r\n";
    assert_eq!(said, expected);
}

#[tokio::test]
async fn an_ipv6_client_stands_in_brackets() {
    let lines = ["X-Forwarded-For: 2001:db8::7"];
    let head = asked("trusted_proxies = [\"loopback\"]\n", &upgrade_request("/ws", &lines)).await;
    assert!(head.contains("\r\nX-Forwarded-For: 2001:db8::7, 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("\r\nX-Real-IP: 2001:db8::7\r\nForwarded: for=\"[2001:db8::7]\";host="), "{head}");
}

#[tokio::test]
async fn every_tunnel_has_a_key_of_its_own() {
    let backend = Backend::bind().await;
    let gateway = gateway(&relay("transparent", &[&backend.url()], ""));
    let (_one, (_, first)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    let (_two, (_, second)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    assert_ne!(key(&first), key(&second));
}

#[tokio::test]
async fn the_backend_chooses_the_subprotocol() {
    let backend = Backend::bind().await;
    let gateway = gateway(&relay("transparent", &[&backend.url()], ""));
    for chosen in [Some("superchat"), Some("chat"), None] {
        let line = chosen.map(|chosen| format!("Sec-WebSocket-Protocol: {chosen}"));
        let lines: Vec<&str> = line.iter().map(String::as_str).collect();
        let mut peer = gateway.connect().await;
        let offer = ["Sec-WebSocket-Protocol: chat, superchat"];
        let (answer, _) = tokio::join!(peer.upgrade("/ws", &offer), backend.upgrade(&lines));
        assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, chosen));
        assert_eq!(answer.header("Sec-WebSocket-Accept"), Some(ACCEPT));
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
    }
}

#[tokio::test]
async fn a_greeting_glued_to_the_101_arrives() {
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let gateway = gateway(&relay(profile, &[&backend.url()], ""));
        let greet = async {
            let mut far = backend.accept().await;
            let head = far.head().await;
            let half = &server(TEXT, b"and more")[..4];
            far.send(&[&switch(&head, &[])[..], &server(TEXT, b"welcome"), half].concat()).await;
            far
        };
        let (mut peer, mut far) = tokio::join!(gateway.open("/ws"), greet);
        assert_eq!(peer.frame().await.text(), "welcome", "{profile}");
        far.send(&server(TEXT, b"and more")[4..]).await;
        assert_eq!(peer.frame().await.text(), "and more", "{profile}");
    }
}

#[tokio::test]
async fn frames_glued_to_the_clients_request_wait_for_the_backend() {
    for profile in ["transparent", "legacy"] {
        let backend = Backend::bind().await;
        let gateway = gateway(&relay(profile, &[&backend.url()], ""));
        let mut peer = gateway.connect().await;
        let early = client(TEXT, &[b'e'; 20_000]);
        peer.send(&[upgrade_request("/ws", &[]).as_bytes(), &early].concat()).await;
        let (mut far, _) = backend.upgrade(&[]).await;
        assert_eq!(peer.answer().await.status, 101, "{profile}");
        assert_eq!(far.frame().await.payload, [b'e'; 20_000], "{profile}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_101_to_this_request_never_becomes_a_tunnel() {
    let backend = Backend::bind().await;
    let gateway = gateway(&relay("transparent", &[&backend.url()], ""));
    let base = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let accept = "Sec-WebSocket-Accept: ACCEPT\r\n";
    for answer in [
        format!("{base}Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"),
        format!("{base}\r\n"),
        format!("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n{accept}\r\n"),
        format!("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n{accept}\r\n"),
        format!("HTTP/1.1 101 x\r\nConnection: Upgrade\r\n{accept}\r\n"),
        format!("HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n{accept}\r\n"),
        format!("{base}{accept}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        format!("{base}{accept}Sec-WebSocket-Protocol: soap\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}Content-Length: 0\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
        "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n".to_owned(),
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.0\r\n".to_owned(),
        String::new(),
    ] {
        let mut peer = gateway.connect().await;
        peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
        let mut far = backend.accept().await;
        let head = far.head().await;
        let accept = wsgate::wire::offer::accept_for(key(&head));
        far.send(answer.replace("ACCEPT", &accept).as_bytes()).await;
        // A hand-written server that is done with its answer closes.
        far.finish().await;
        let got = peer.answer().await;
        assert_eq!((got.status, got.header("Location")), (502, None), "{answer}");
        assert_eq!(got.header("Connection"), Some("close"), "{answer}");
        peer.end().await;
    }
}

#[tokio::test]
async fn a_backends_own_refusal_is_passed_on() {
    let backend = Backend::bind().await;
    let gateway = gateway(&relay("transparent", &[&backend.url()], ""));
    let mut peer = gateway.connect().await;
    peer.send(upgrade_request("/ws", &[]).as_bytes()).await;
    let mut far = backend.accept().await;
    far.head().await;
    let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/x-own\r\nWWW-Authenticate: Basic\r\n\
        Set-Cookie: a=b\r\nContent-Length: 6\r\n\r\nwho?\r\n";
    far.send(answer.as_bytes()).await;
    let got = peer.answer().await;
    assert_eq!((got.status, got.body.as_str()), (401, "who?\r\n"));
    assert_eq!((got.header("WWW-Authenticate"), got.header("Content-Type")), (Some("Basic"), Some("text/x-own")));
    assert_eq!(got.header("Set-Cookie"), None);
    peer.end().await;
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    let payload: Vec<u8> = (0..4u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let text = "grüße ".repeat(100_000);
    for profile in ["transparent", "legacy"] {
        let (_gateway, mut peer, mut far) = tunnel(profile, "message_size = \"8MiB\"").await;
        for (opcode, payload) in [(BINARY, &payload[..]), (TEXT, text.as_bytes())] {
            let (up, down) = (client(opcode, payload), server(opcode, payload));
            let (_, heard) = tokio::join!(peer.send(&up), far.read_exact(up.len()));
            assert!(heard == up, "{profile}: up");
            // What is too long to be held whole arrives in fragments where frames are made anew.
            let (_, heard) = tokio::join!(far.send(&down), peer.whole());
            assert!((heard.opcode, &heard.payload[..]) == (opcode, payload), "{profile}: down");
        }
    }
}

#[tokio::test]
async fn both_directions_at_once_do_not_wait_for_each_other() {
    let payload = vec![b'x'; 4 << 20];
    for profile in ["transparent", "legacy"] {
        let (_gateway, peer, far) = tunnel(profile, "message_size = \"8MiB\"").await;
        let ((mut peer_in, mut peer_out), (mut far_in, mut far_out)) = (peer.split(), far.split());
        let (up, down) = (client(BINARY, &payload), server(BINARY, &payload));
        let (_, _, heard_up, heard_down) = within("both messages", async {
            tokio::join!(peer_out.send(&up), far_out.send(&down), far_in.read_exact(up.len()), peer_in.whole())
        })
        .await;
        assert!(heard_up == up && heard_down.payload == payload, "{profile}");
    }
}

/// A message in three fragments with a ping between them, as bytes.
fn fragments() -> Vec<u8> {
    [masked(TEXT, b"ab"), masked(CONTINUATION, b""), client(PING, b"p"), masked(0x80, &[b'c'; 200])].concat()
}

#[tokio::test]
async fn fragments_pass_unchanged_where_the_relay_is_transparent() {
    let bytes = fragments();
    let (_gateway, mut peer, mut far) = tunnel("transparent", "").await;
    // Once in one piece, once byte by byte. Only the ping gets a key of the gateway's own.
    for size in [bytes.len(), 1] {
        for piece in bytes.chunks(size) {
            peer.send(piece).await;
        }
        assert_eq!(far.read_exact(masked(TEXT, b"ab").len()).await, masked(TEXT, b"ab"));
        assert_eq!(far.read_exact(masked(CONTINUATION, b"").len()).await, masked(CONTINUATION, b""));
        let ping = far.frame().await;
        assert_eq!((ping.opcode, ping.masked, ping.payload.as_slice()), (PING, true, &b"p"[..]));
        let last = masked(0x80, &[b'c'; 200]);
        assert_eq!(far.read_exact(last.len()).await, last);
    }
    let down = [plain(BINARY, b"1"), server(PONG, b"p"), plain(CONTINUATION, b""), plain(0x80, b"2")].concat();
    for size in [down.len(), 1] {
        for piece in down.chunks(size) {
            far.send(piece).await;
        }
        assert_eq!(peer.read_exact(down.len()).await, down);
    }
}

#[tokio::test]
async fn fragments_arrive_as_one_masked_minimal_frame_where_the_edge_answers() {
    let bytes = fragments();
    let whole = client(TEXT, &[&b"ab"[..], &[b'c'; 200]].concat());
    let (_gateway, mut peer, mut far) = tunnel("legacy", "").await;
    for size in [bytes.len(), 1] {
        for piece in bytes.chunks(size) {
            peer.send(piece).await;
        }
        assert_eq!(far.read_exact(whole.len()).await, whole);
        assert_eq!(peer.frame().await.opcode, PONG);
    }
}

#[tokio::test]
async fn pings_and_pongs_pass_where_the_relay_is_transparent() {
    let (_gateway, mut peer, mut far) = tunnel("transparent", "").await;
    peer.send(&[client(PING, b"one"), client(PONG, b"two"), client(PING, b"")].concat()).await;
    for (opcode, payload) in [(PING, &b"one"[..]), (PONG, b"two"), (PING, b"")] {
        let frame = far.frame().await;
        assert_eq!((frame.opcode, frame.masked, frame.payload.as_slice()), (opcode, true, payload));
    }
    let down = [server(PONG, b"one"), server(PING, b"three"), server(PONG, b"")].concat();
    far.send(&down).await;
    assert_eq!(peer.read_exact(down.len()).await, down);
}

#[tokio::test]
async fn pings_are_answered_at_the_edge_for_a_legacy_backend() {
    let (_gateway, mut peer, mut far) = tunnel("legacy", "").await;
    peer.send(&[client(PING, b"one"), client(PONG, b"two"), client(TEXT, b"after")].concat()).await;
    assert_eq!(peer.frame().await, frames::Frame { masked: false, ..pong(b"one") });
    assert_eq!(far.frame().await.text(), "after");
    // The backend's own pings are answered as well, and its pongs go nowhere.
    far.send(&[server(PING, b"three"), server(PONG, b"four"), server(TEXT, b"after")].concat()).await;
    assert_eq!(far.frame().await, pong(b"three"));
    assert_eq!(peer.frame().await.text(), "after");
}

fn pong(payload: &[u8]) -> frames::Frame {
    frames::Frame { fin: true, rsv: 0, opcode: PONG, masked: true, payload: payload.to_vec() }
}

#[tokio::test]
async fn pongs_to_the_gateways_own_pings_are_not_forwarded() {
    let pongs = async |profile: &str| {
        let (_gateway, mut peer, mut far) = tunnel(profile, "ping_interval = \"600ms\"").await;
        for _ in 0..2 {
            let ping = peer.frame().await;
            assert_eq!(ping.opcode, PING, "{profile}");
            peer.send(&client(PONG, &ping.payload)).await;
        }
        peer.say("after").await;
        assert_eq!(far.frame().await.text(), "after", "{profile}");
    };
    tokio::join!(pongs("transparent"), pongs("legacy"));
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone_after_two_intervals() {
    for profile in ["transparent", "legacy"] {
        let (_gateway, mut peer, mut far) = tunnel(profile, "ping_interval = \"50ms\"").await;
        let mut pings = 0;
        // It hears no Close: there is nobody to hear it.
        while let Ok(frame) = peer.try_frame().await {
            assert_eq!(frame.opcode, PING, "{profile}");
            pings += 1;
        }
        assert!(pings >= 1, "{profile}");
        far.clean_end().await;
    }
}

#[tokio::test]
async fn pings_are_no_traffic_that_keeps_an_idle_session_open() {
    let idle = async |profile: &str| {
        let (_gateway, mut peer, far) = tunnel(profile, "ping_interval = \"600ms\", idle_timeout = \"2s\"").await;
        let close = loop {
            let frame = peer.frame().await;
            if frame.opcode != PING {
                break frame;
            }
            peer.send(&client(PONG, &frame.payload)).await;
        };
        assert_eq!((close.code(), close.reason().as_str()), (1001, "idle for too long"), "{profile}");
        drop((peer, far));
    };
    tokio::join!(idle("transparent"), idle("legacy"));
}

#[tokio::test]
async fn a_session_that_is_too_old_is_1001() {
    let (_gateway, mut peer, mut far) = tunnel("transparent", "max_lifetime = \"100ms\"").await;
    let close = peer.frame().await;
    assert_eq!((close.code(), close.reason().as_str()), (1001, "open for too long"));
    assert_eq!(far.frame().await.code(), 1001);
    peer.agree(&close).await;
}

#[tokio::test]
async fn a_legacy_backend_sees_a_clean_end_and_no_close() {
    let (_gateway, mut peer, mut far) = tunnel("legacy", "").await;
    peer.send(&[client(TEXT, b"last"), client(CLOSE, &close(1000, "bye"))].concat()).await;
    assert_eq!(peer.frame().await.reason(), "bye");
    peer.end().await;
    assert_eq!(far.frame().await.text(), "last");
    far.clean_end().await;
}

#[tokio::test]
async fn a_drain_tells_a_transparent_backend_and_ends_a_legacy_one() {
    for profile in ["transparent", "legacy"] {
        let (gateway, mut peer, mut far) = tunnel(profile, "").await;
        gateway.handle.drain();
        let close = peer.frame().await;
        assert_eq!(close.code(), 1001, "{profile}");
        peer.agree(&close).await;
        if profile == "transparent" {
            assert_eq!(far.frame().await.code(), 1001);
        }
        far.clean_end().await;
    }
}

/// A connection that resets when it is dropped.
async fn abrupt(address: &str) -> Peer {
    let stream = TcpStream::connect(address).await.expect("connect");
    stream.set_zero_linger().expect("linger");
    Peer::new(stream)
}

#[tokio::test]
async fn a_client_that_resets_or_ends_without_a_close_ends_the_backend_cleanly() {
    for profile in ["transparent", "legacy"] {
        for is_reset in [true, false] {
            let backend = Backend::bind().await;
            let gateway = gateway(&relay(profile, &[&backend.url()], ""));
            let mut peer = abrupt(&gateway.address()).await;
            let (answer, (mut far, _)) = tokio::join!(peer.upgrade("/ws", &[]), backend.upgrade(&[]));
            assert_eq!(answer.status, 101);
            peer.say("last").await;
            assert_eq!(far.frame().await.text(), "last");
            if is_reset {
                drop(peer);
            } else {
                peer.finish().await;
                peer.end().await;
            }
            far.clean_end().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_ends_inside_a_frame_ends_the_backend_cleanly() {
    for (profile, passes) in [("transparent", 30), ("legacy", 0)] {
        let (_gateway, mut peer, mut far) = tunnel(profile, "").await;
        let frame = client(TEXT, &[b'x'; 100]);
        peer.send(&frame[..30]).await;
        peer.finish().await;
        assert_eq!(far.read_exact(passes).await, frame[..passes], "{profile}");
        far.clean_end().await;
    }
}

/// A tunnel whose backend resets when it is dropped.
async fn tunnel_to_a_resetter(profile: &str) -> (Running, Peer, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}", listener.local_addr().expect("address"));
    let gateway = gateway(&relay(profile, &[&url], ""));
    let far = async {
        let (stream, _) = within("the gateway", listener.accept()).await.expect("accept");
        stream.set_zero_linger().expect("linger");
        let mut far = Peer::new(stream);
        let head = far.head().await;
        far.send(&switch(&head, &[])).await;
        far
    };
    let (peer, far) = tokio::join!(gateway.open("/ws"), far);
    (gateway, peer, far)
}

#[tokio::test]
async fn a_backend_that_resets_inside_a_frame_ends_the_client() {
    for profile in ["transparent", "legacy"] {
        let (_gateway, mut peer, mut far) = tunnel_to_a_resetter(profile).await;
        let frame = server(TEXT, &[b'x'; 100]);
        far.send(&frame[..30]).await;
        if profile == "transparent" {
            assert_eq!(peer.read_exact(30).await, frame[..30]);
            drop(far);
        } else {
            // Half a message is never begun, so there is room for a close.
            drop(far);
            let close = peer.frame().await;
            assert_eq!(close.code(), 1012);
            peer.agree(&close).await;
        }
        peer.end().await;
    }
}

#[tokio::test]
async fn a_backend_that_resets_between_frames_is_a_bad_gateway() {
    for (profile, code) in [("transparent", 1011), ("legacy", 1012)] {
        let (_gateway, mut peer, far) = tunnel_to_a_resetter(profile).await;
        drop(far);
        let close = peer.frame().await;
        assert_eq!(close.code(), code, "{profile}");
        assert!(close.reason().starts_with("bad gateway"), "{profile}");
        peer.agree(&close).await;
    }
}

#[tokio::test]
async fn a_backend_that_ends_its_direction_is_1011_and_sees_the_end() {
    for profile in ["transparent", "legacy"] {
        // It lives on, and goes on listening.
        let backend = Backend::bind().await;
        let gateway = gateway(&relay(profile, &[&backend.url()], ""));
        let (mut peer, (mut far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
        far.finish().await;
        let close = peer.frame().await;
        assert_eq!(close.code(), 1011, "{profile}");
        peer.agree(&close).await;
        far.end().await;
    }
}

/// A connection whose receive buffer is small, so that the peer's kernel does not take much.
async fn narrow(address: &str) -> Peer {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(16 << 10).expect("buffer");
    Peer::new(socket.connect(address.parse().expect("address")).await.expect("connect"))
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_backend_and_nobody_else() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("workers = 1\n{}", relay("transparent", &[&backend.url()], "")));
    let mut peer = narrow(&gateway.address()).await;
    let (_, (mut far, _)) = tokio::join!(peer.upgrade("/ws", &[]), backend.upgrade(&[]));
    let frame = server(BINARY, &[b'x'; 60_000]);
    let sent = far.flood(&frame).await;
    let (mut other, (mut other_far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    for _ in 0..20 {
        other.say("ping").await;
        assert_eq!(other_far.frame().await.text(), "ping");
        other_far.send(&server(TEXT, b"pong")).await;
        assert_eq!(other.frame().await.text(), "pong");
    }
    // Nothing was lost.
    for _ in 0..sent / frame.len() {
        assert!(peer.read_exact(frame.len()).await == frame);
    }
}

#[tokio::test]
async fn a_backend_that_does_not_read_stops_its_client_and_nobody_else() {
    for profile in ["transparent", "legacy"] {
        let (gateway, mut peer, mut far) = tunnel(profile, "").await;
        let frame = client(BINARY, &[b'x'; 60_000]);
        let sent = peer.flood(&frame).await;
        // What the backend says still arrives.
        far.send(&server(TEXT, b"busy")).await;
        assert_eq!(peer.frame().await.text(), "busy", "{profile}");
        for _ in 0..sent / frame.len() {
            assert!(far.read_exact(frame.len()).await == frame, "{profile}");
        }
        drop(gateway);
    }
}

#[tokio::test]
async fn a_client_whose_backend_does_not_read_is_not_taken_for_dead() {
    let (_gateway, peer, mut far) = tunnel("transparent", "ping_interval = \"600ms\"").await;
    let (mut from, mut to) = peer.split();
    let frame = client(BINARY, &[b'x'; 60_000]);
    // Its pongs are stuck behind what the backend does not take.
    let sent = to.flood(&frame).await;
    for _ in 0..4 {
        assert_eq!(from.frame().await.opcode, PING);
    }
    for _ in 0..sent / frame.len() {
        assert!(far.read_exact(frame.len()).await == frame);
    }
    far.send(&server(TEXT, b"still here")).await;
    assert_eq!(from.message().await.text(), "still here");
}

#[tokio::test]
async fn replies_to_what_came_before_a_violation_arrive_before_the_close() {
    // As Autobahn's case 4.1.3 has it.
    let url = Backend::bind().await.echo();
    let gateway = gateway(&relay("transparent", &[&url], ""));
    let texts = ["one", "two", "three", "four", "five"];
    let valid = texts.map(|text| client(TEXT, text.as_bytes())).concat();
    let mut heard = Vec::new();
    // The backend's last words are not waited for long, and on a busy machine they may be late: not each time.
    for _ in 0..5 {
        let mut peer = gateway.open("/ws").await;
        peer.send(&[&valid[..], &client(5, b""), &client(TEXT, b"ignored"), &client(PING, b"")].concat()).await;
        heard.clear();
        let close = loop {
            let frame = peer.frame().await;
            if frame.opcode == CLOSE {
                break frame;
            }
            heard.push(frame.text().to_owned());
        };
        assert_eq!(close.code(), 1002);
        peer.end().await;
        if heard == texts {
            return;
        }
    }
    panic!("heard no more than {heard:?}");
}

#[tokio::test]
async fn what_came_before_a_violation_reaches_a_legacy_backend_and_nothing_behind_it() {
    let (_gateway, mut peer, mut far) = tunnel("legacy", "").await;
    peer.send(
        &[client(TEXT, b"good"), masked(TEXT, b"begun"), client(TEXT, b"bad"), client(TEXT, b"ignored")].concat(),
    )
    .await;
    assert_eq!(peer.frame().await.code(), 1002);
    assert_eq!(far.frame().await.text(), "good");
    far.clean_end().await;
}

#[tokio::test]
async fn of_bad_text_in_the_middle_of_a_frame_nothing_more_passes() {
    let (_gateway, mut peer, mut far) = tunnel("transparent", "").await;
    let frame = client(TEXT, &[&[b'x'; 90][..], b"\xff", &[b'y'; 90]].concat());
    peer.send(&frame[..50]).await;
    assert_eq!(far.read_exact(50).await, frame[..50]);
    peer.send(&frame[50..120]).await;
    assert_eq!(peer.frame().await.code(), 1007);
    peer.end().await;
    // There is no place for a Close inside a frame.
    far.clean_end().await;
}

#[tokio::test]
async fn text_passes_unchecked_where_the_owner_wants_it() {
    for profile in ["transparent", "legacy"] {
        let (_gateway, mut peer, mut far) = tunnel(profile, "utf8 = false").await;
        let (up, down) = (client(TEXT, b"\xff\xfe"), server(TEXT, b"\xc3("));
        peer.send(&up).await;
        assert_eq!(far.read_exact(up.len()).await, up, "{profile}");
        far.send(&down).await;
        assert_eq!(peer.read_exact(down.len()).await, down, "{profile}");
    }
}

#[tokio::test]
async fn a_backend_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("backend.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let gateway = gateway(&relay("transparent", &[&format!("unix:{}", path.display())], ""));
    let far = async {
        let (stream, _) = within("the gateway", listener.accept()).await.expect("accept");
        let mut far = Peer::new(stream);
        let head = far.head().await;
        assert!(head.contains("\r\nHost: test.example\r\n"), "{head}");
        far.send(&switch(&head, &[])).await;
        far
    };
    let (mut peer, mut far) = tokio::join!(gateway.open("/ws"), far);
    peer.say("hello").await;
    assert_eq!(far.frame().await.text(), "hello");
    far.send(&server(CLOSE, &close(1000, ""))).await;
    let close = peer.frame().await;
    peer.agree(&close).await;
    assert_eq!(far.frame().await.code(), 1000);
    far.clean_end().await;
}

#[tokio::test]
async fn a_backend_over_tls_is_checked_against_the_pools_authority() {
    let folder = tempfile::tempdir().expect("folder");
    let (made, other) = (localhost(), localhost());
    let acceptor = acceptor(&made.leaf);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("wss://{}", listener.local_addr().expect("address"));
    for (name, made, status) in [("right", made, 101), ("wrong", other, 502)] {
        let file = folder.path().join(format!("{name}.pem"));
        std::fs::write(&file, made.authority.pem).expect("write");
        let gateway = gateway(&relay("legacy", &[&url], &format!("ca = {file:?}")));
        let mut peer = gateway.connect().await;
        let far = async {
            let (stream, _) = within("the gateway", listener.accept()).await.expect("accept");
            let mut far = Peer::new(acceptor.accept(stream).await.ok()?);
            let head = far.head().await;
            far.send(&[&switch(&head, &[])[..], &server(TEXT, b"secret")].concat()).await;
            Some(far)
        };
        let (answer, far) = tokio::join!(peer.upgrade("/ws", &[]), far);
        assert_eq!((answer.status, far.is_some()), (status, status == 101), "{name}");
        let Some(mut far) = far else { continue };
        assert_eq!(peer.frame().await.text(), "secret");
        let large = client(BINARY, &vec![7; 500_000]);
        let (_, heard) = tokio::join!(peer.send(&large), far.read_exact(large.len()));
        assert!(heard == large);
        peer.send(&client(CLOSE, b"")).await;
        assert_eq!(peer.frame().await.code(), 1005);
        // With its TLS goodbye: an end without one would be an error.
        far.clean_end().await;
    }
}

#[tokio::test]
async fn the_public_authorities_do_not_vouch_for_a_home_made_certificate() {
    let acceptor = acceptor(&localhost().leaf);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("wss://{}", listener.local_addr().expect("address"));
    let gateway = gateway(&relay("transparent", &[&url], ""));
    let mut peer = gateway.connect().await;
    let far = async {
        let (stream, _) = within("the gateway", listener.accept()).await.expect("accept");
        assert!(acceptor.accept(stream).await.is_err());
    };
    let (answer, ()) = tokio::join!(peer.upgrade("/ws", &[]), far);
    assert_eq!(answer.status, 502);
}
