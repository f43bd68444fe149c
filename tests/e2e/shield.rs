//! Servers that do not keep RFC 6455, and what the gateway does so that they and their clients do not notice.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

use crate::support::backend::{Backend, relay, switch};
use crate::support::frames::{self, BINARY, CLOSE, PING, PONG, TEXT, client, close, masked, plain, server};
use crate::support::{Peer, Running, gateway, within};

const ECHO: &str = "[[route]]\npath = \"/echo\"\necho = {}\n";

/// A gateway of one worker in front of one backend of this profile, with an echo that tells how far it has come.
fn front(profile: &str, url: &str, limits: &str) -> Running {
    let admin = "admin = { listen = \"127.0.0.1:0\" }\n";
    gateway(&format!("workers = 1\n{admin}limits = {{ {limits} }}\n{ECHO}{}", relay(profile, &[url], "")))
}

/// The worker has done everything that it could do before, and the kernel has carried it on.
async fn turns(echo: &mut Peer, count: usize) {
    for _ in 0..count {
        echo.say("turn").await;
        assert_eq!(echo.message().await.text(), "turn");
    }
}

/// The request's head, read to its end and no further, and answered with 101.
async fn open(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("text");
    stream.write_all(&switch(&head, &[])).await.expect("room");
}

/// The next connection to a backend that is read by hand, upgraded.
async fn upgraded(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = within("a connection", listener.accept()).await.expect("accept");
    open(&mut stream).await;
    stream
}

/// A gateway with this profile before a backend on this address that is read by hand, a client of it, and its far end.
async fn by_hand(profile: &str, address: &str) -> (Running, Peer, TcpStream) {
    let listener = TcpListener::bind(address).await.expect("bind");
    let gateway = front(profile, &format!("ws://{}", listener.local_addr().expect("address")), "");
    let (peer, far) = tokio::join!(gateway.open("/ws"), upgraded(&listener));
    (gateway, peer, far)
}

/// The text of the first frame of one read, as hand-written servers decode it: what follows it is lost.
fn first_of(read: &[u8]) -> String {
    let length = usize::from(read[1] & 0x7f);
    let key = &read[2..6];
    let text = read[6..6 + length].iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
    String::from_utf8(text).expect("text")
}

/// Reads once, is busy for as long as the gateway takes for several turns, and reads again.
async fn reads(stream: &mut (impl AsyncRead + Unpin), echo: &mut Peer, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    let mut room = [0; 2048];
    while heard.len() < count {
        turns(echo, 10).await;
        match within("a read", stream.read(&mut room)).await.expect("no error") {
            0 => break,
            size => heard.push(first_of(&room[..size])),
        }
    }
    heard
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("message {number}")).collect()
}

fn said(texts: &[String]) -> Vec<u8> {
    texts.iter().flat_map(|text| client(TEXT, text.as_bytes())).collect()
}

#[tokio::test]
async fn a_server_that_decodes_one_frame_of_each_read_hears_all_twenty() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (gateway, mut peer, mut far) = by_hand("legacy", address).await;
        let mut echo = gateway.open("/echo").await;
        peer.send(&said(&texts(20))).await;
        assert_eq!(reads(&mut far, &mut echo, 20).await, texts(20), "{address}");
        // Pings are answered meanwhile and afterwards, and what is said then comes at once.
        peer.send(&client(PING, b"?")).await;
        assert_eq!(peer.message().await.opcode, PONG);
    }
}

#[tokio::test]
async fn so_does_one_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bind");
    let gateway = front("php-2048", &format!("unix:{}", path.display()), "");
    let mut echo = gateway.open("/echo").await;
    let far = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        open(&mut stream).await;
        stream
    };
    let (mut peer, mut far) = tokio::join!(gateway.open("/ws"), far);
    peer.send(&said(&texts(20))).await;
    assert_eq!(reads(&mut far, &mut echo, 20).await, texts(20));
}

#[tokio::test]
async fn the_gateways_own_frames_wait_for_their_read_too() {
    let (gateway, mut peer, mut far) = by_hand("legacy", "127.0.0.1:0").await;
    let mut echo = gateway.open("/echo").await;
    peer.send(&said(&texts(2))).await;
    turns(&mut echo, 10).await;
    // The pong to it waits behind the message that is not read yet.
    far.write_all(&server(PING, b"are you there?")).await.expect("room");
    turns(&mut echo, 10).await;
    assert_eq!(reads(&mut far, &mut echo, 3).await, ["message 0", "message 1", "are you there?"]);
    drop(peer);
}

#[tokio::test]
async fn who_leaves_is_heard_to_the_end() {
    let (gateway, mut peer, mut far) = by_hand("legacy", "127.0.0.1:0").await;
    let mut echo = gateway.open("/echo").await;
    peer.send(&[said(&texts(20)), client(CLOSE, &close(1000, "bye"))].concat()).await;
    let (close, heard) = tokio::join!(peer.message(), reads(&mut far, &mut echo, 21));
    assert_eq!(close.reason(), "bye");
    // The end of the stream comes behind them.
    assert_eq!(heard, texts(20));
}

#[tokio::test]
async fn where_one_frame_for_one_read_is_off_nothing_waits() {
    let (_gateway, mut peer, mut far) = tunnel("ratchet", "").await;
    peer.send(&said(&texts(20))).await;
    for text in texts(20) {
        assert_eq!(far.frame().await.text(), text);
    }
}

/// A gateway before a backend of whose queue the kernel does not tell, with this `pace_reply`, a client, and the far end.
/// What the gateway asks names no interface, so that sockets that are bound to one (socket(7), `SO_BINDTODEVICE`) are
/// not found: as those of other machines.
async fn unseen(pace_reply: &str) -> (Running, Peer, TcpStream) {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind_device(Some(b"lo")).expect("Linux 5.7 or newer");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let listener = socket.listen(16).expect("listen");
    let gateway = gateway(&format!(
        "workers = 1\n{ECHO}[[route]]\npath = \"/ws\"\n\
         proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ pace_reply = \"{pace_reply}\" }} }}\n\
         [pool.p]\nbackends = [\"ws://{}\"]\n",
        listener.local_addr().expect("address")
    ));
    let (peer, far) = tokio::join!(gateway.open("/ws"), upgraded(&listener));
    (gateway, peer, far)
}

#[tokio::test]
async fn where_the_queue_cannot_be_seen_each_reply_brings_one_frame() {
    let (gateway, mut peer, mut far) = unseen("10m").await;
    let mut echo = gateway.open("/echo").await;
    peer.send(&said(&texts(5))).await;
    let mut room = [0; 2048];
    for text in texts(5) {
        let size = within("a frame", far.read(&mut room)).await.expect("no error");
        // It and nothing behind it, and nothing follows because it was read.
        assert_eq!(room[..size], client(TEXT, text.as_bytes())[..], "{text}");
        turns(&mut echo, 10).await;
        assert_eq!(far.try_read(&mut room).expect_err("nothing yet").kind(), ErrorKind::WouldBlock, "{text}");
        let reply = format!("re: {text}");
        far.write_all(&server(TEXT, reply.as_bytes())).await.expect("room");
        assert_eq!(peer.message().await.text(), reply);
    }
    // Whatever is said is a reply, also before there is something to reply to: this one need not wait.
    peer.say("at once").await;
    let size = within("a frame", far.read(&mut room)).await.expect("no error");
    assert_eq!(room[..size], client(TEXT, b"at once")[..]);
}

#[tokio::test]
async fn a_backend_that_says_nothing_gets_the_next_frame_after_pace_reply() {
    let (_gateway, mut peer, mut far) = unseen("400ms").await;
    let since = Instant::now();
    peer.send(&said(&texts(3))).await;
    let mut room = [0; 2048];
    for (waits, text) in (0..).zip(texts(3)) {
        let size = within("a frame", far.read(&mut room)).await.expect("no error");
        assert_eq!(room[..size], client(TEXT, text.as_bytes())[..]);
        let took = since.elapsed();
        assert!(took >= waits * Duration::from_millis(400), "{text} after {took:?}");
        assert!(took < waits * Duration::from_millis(400) + Duration::from_secs(5), "{text} after {took:?}");
    }
}

/// A client and a backend with a gateway between them.
async fn tunnel(profile: &str, limits: &str) -> (Running, Peer, Peer) {
    let backend = Backend::bind().await;
    let gateway = front(profile, &backend.url(), limits);
    let (peer, (far, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    (gateway, peer, far)
}

/// A client with little room, which reads only when it is told to, and its backend.
async fn asleep(limits: &str) -> (Running, Peer, Peer) {
    let backend = Backend::bind().await;
    let gateway = front("legacy", &backend.url(), limits);
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(16 << 10).expect("buffer");
    let address: SocketAddr = gateway.address().parse().expect("address");
    let mut peer = Peer::new(socket.connect(address).await.expect("connect"));
    let (answer, (far, _)) = tokio::join!(peer.upgrade("/ws", &[]), backend.upgrade(&[]));
    assert_eq!(answer.status, 101);
    (gateway, peer, far)
}

/// More than the kernel's buffers on the way can hold, in numbered messages.
const FLOOD: usize = 2000;

fn numbered(number: usize) -> Vec<u8> {
    server(TEXT, format!("{number:<10000}").as_bytes())
}

/// The backend says all of it, and is answered a ping behind it: the gateway has read everything.
async fn flood(far: &mut Peer) {
    for number in 0..FLOOD {
        far.send(&numbered(number)).await;
    }
    far.send(&server(PING, b"all?")).await;
    assert_eq!(far.frame().await.payload, b"all?");
}

#[tokio::test]
async fn a_backend_is_always_read_and_its_slow_client_goes_with_1013() {
    let (gateway, mut peer, mut far) = asleep("send_queue = \"64KiB\", close_timeout = \"2s\"").await;
    for number in 0..FLOOD {
        far.send(&numbered(number)).await;
    }
    // It is left as any other: by the end of the stream.
    far.clean_end().await;
    let ended = "wsgate_websockets_ended_total{by=\"gateway\",code=\"1013\"}";
    gateway.until_metric(ended, 1.0).await;
    // What had left for it is whole.
    let rest = peer.rest().await;
    assert!(rest.starts_with(&numbered(0)) && rest.len() < FLOOD * 10_000);
}

#[tokio::test]
async fn a_slow_client_that_reads_again_gets_the_close_behind_what_had_begun() {
    let (_gateway, mut peer, mut far) = asleep("send_queue = \"64KiB\", close_timeout = \"10m\"").await;
    let sender = async {
        for number in 0..FLOOD {
            far.send(&numbered(number)).await;
        }
    };
    sender.await;
    let mut number = 0;
    let close = loop {
        let frame = peer.message().await;
        if frame.opcode == CLOSE {
            break frame;
        }
        assert_eq!(frame.text().trim_end(), number.to_string());
        number += 1;
    };
    assert_eq!((close.code(), close.reason().as_str()), (1013, "too slow: the send queue is full"));
    assert!(number < FLOOD);
}

#[tokio::test]
async fn a_message_longer_than_any_queue_arrives_and_what_follows_it_too() {
    let (_gateway, mut peer, mut far) = asleep("send_queue = \"32KiB\"").await;
    let long = vec![b'x'; 8 << 20];
    let sender = async {
        for _ in 0..3 {
            far.send(&[server(BINARY, &long), server(TEXT, b"behind it")].concat()).await;
        }
        far.send(&server(TEXT, b"the end")).await;
    };
    let reader = async {
        for _ in 0..3 {
            assert!(peer.whole().await.payload == long);
            assert_eq!(peer.message().await.text(), "behind it");
        }
        assert_eq!(peer.message().await.text(), "the end");
    };
    tokio::join!(sender, reader);
}

#[tokio::test]
async fn who_takes_nothing_of_a_long_message_goes_with_1013() {
    let (gateway, _peer, mut far) = asleep("send_queue = \"32KiB\", close_timeout = \"100ms\"").await;
    // It is more than the kernel's buffers hold, and is not read to its end before the client is given up.
    let _ = far.try_send(&server(BINARY, &vec![b'x'; 32 << 20])).await;
    gateway.until_metric("wsgate_websockets_ended_total{by=\"gateway\",code=\"1013\"}", 1.0).await;
}

/// The numbers that a client gets that has slept all the while.
async fn numbers(peer: &mut Peer) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(FLOOD - 1)) {
        let frame = peer.message().await;
        assert_eq!((frame.opcode, frame.fin, frame.payload.len()), (TEXT, true, 10_000));
        numbers.push(frame.text().trim_end().parse().expect("a number"));
    }
    numbers
}

#[tokio::test]
async fn drop_oldest_leaves_out_whole_messages_and_keeps_the_newest() {
    let (gateway, mut peer, mut far) = asleep("send_queue = \"64KiB\", slow_client = \"drop_oldest\"").await;
    flood(&mut far).await;
    let got = numbers(&mut peer).await;
    assert!(got.is_sorted_by(|one, next| one < next), "in order, none twice");
    // 64 KiB hold five of them behind what has begun to leave.
    assert!(got.ends_with(&[FLOOD - 5, FLOOD - 4, FLOOD - 3, FLOOD - 2, FLOOD - 1]), "{:?}", got.last());
    let dropped = FLOOD - got.len();
    assert!(dropped > 100, "{dropped}");
    gateway.until_metric("wsgate_backend_messages_dropped_total{pool=\"legacy\"}", dropped as f64).await;
    // It is as good as any other client from now on.
    far.send(&server(TEXT, b"welcome back")).await;
    assert_eq!(peer.message().await.text(), "welcome back");
}

#[tokio::test]
async fn latest_keeps_the_newest_message_alone() {
    let mut before_the_last = Vec::new();
    // Before the last: what the kernel took, which takes a little more now and then while its buffers grow. Of a few
    // clients one is left alone by it to the end.
    for _ in 0..5 {
        let (gateway, mut peer, mut far) = asleep("send_queue = \"64KiB\", slow_client = \"latest\"").await;
        flood(&mut far).await;
        let got = numbers(&mut peer).await;
        assert!(got.is_sorted_by(|one, next| one < next), "in order, none twice");
        let [.., before, last] = got[..] else { panic!("{got:?}") };
        assert_eq!(last, FLOOD - 1);
        let dropped = FLOOD - got.len();
        gateway.until_metric("wsgate_backend_messages_dropped_total{pool=\"legacy\"}", dropped as f64).await;
        before_the_last.push(before);
        if last - before > 100 {
            return;
        }
    }
    panic!("the newest alone waits: {before_the_last:?} come before it");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_found_dead_whatever_is_dropped_for_it() {
    let limits = "send_queue = \"64KiB\", slow_client = \"latest\", ping_interval = \"200ms\"";
    let (gateway, _peer, mut far) = asleep(limits).await;
    let talker = async {
        for number in 0.. {
            if far.try_send(&numbered(number)).await.is_err() {
                break;
            }
        }
    };
    let dead = "wsgate_websockets_ended_total{by=\"client\",code=\"1006\"}";
    tokio::select! {
        () = talker => {}
        () = gateway.until_metric(dead, 1.0) => {}
    }
    gateway.until_metric(dead, 1.0).await;
}

#[tokio::test]
async fn masks_of_a_backend_are_taken_off() {
    let (_gateway, mut peer, mut far) = tunnel("legacy", "").await;
    far.send(&[masked(0x81, b"masked"), masked(0x01, b"in "), masked(0x80, b"two")].concat()).await;
    assert_eq!(peer.read_exact(8).await, server(TEXT, b"masked"));
    assert_eq!(peer.read_exact(8).await, server(TEXT, b"in two"));
}

#[tokio::test]
async fn a_backend_that_writes_byte_by_byte_is_understood() {
    let (_gateway, mut peer, mut far) = tunnel("legacy", "").await;
    for byte in [plain(0x02, b"one "), plain(0x80, b"two"), server(TEXT, b"three")].concat() {
        far.send(&[byte]).await;
    }
    assert_eq!(peer.read_exact(9).await, server(BINARY, b"one two"));
    assert_eq!(peer.message().await.text(), "three");
}

#[tokio::test]
async fn a_backend_that_has_died_is_1012_and_one_that_hangs_up_1011() {
    let died = (1012, "bad gateway: the backend has died");
    let hung_up = (1011, "bad gateway: the backend ended without a close");
    for (is_reset, lives, told) in
        [(true, true, died), (true, false, died), (false, true, hung_up), (false, false, died)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let gateway = front("legacy", &format!("ws://{}", listener.local_addr().expect("address")), "");
        let (mut peer, far) = tokio::join!(gateway.open("/ws"), upgraded(&listener));
        let _listener = lives.then_some(listener);
        if is_reset {
            far.set_zero_linger().expect("linger");
        }
        drop(far);
        let close = peer.message().await;
        assert_eq!((close.code(), close.reason().as_str()), told, "reset: {is_reset}, lives: {lives}");
        peer.agree(&close).await;
    }
}

/// Says much after its client has left, reads the end of the stream, and leaves; an error when it was reset.
async fn says_on(mut far: TcpStream) -> std::io::Result<usize> {
    let mut sent = 0;
    let message = server(BINARY, &[b'x'; 16_000]);
    let mut room = [0; 4096];
    // The client's last word, and the end: everything that it says here waits in the gateway's socket.
    while far.read(&mut room).await? > 0 {
        far.write_all(&message).await?;
    }
    for _ in 0..200 {
        far.write_all(&message).await?;
        sent += message.len();
    }
    far.shutdown().await?;
    match far.read(&mut room).await {
        Ok(0) => far.take_error()?.map_or(Ok(sent), Err),
        Ok(_) => Err(ErrorKind::InvalidData.into()),
        Err(error) => Err(error),
    }
}

#[tokio::test]
async fn a_backend_that_still_talks_is_never_reset() {
    for (profile, leaves_by) in [("legacy", "close"), ("legacy", "vanishing"), ("ratchet", "close")] {
        let (_gateway, mut peer, far) = by_hand(profile, "127.0.0.1:0").await;
        peer.say("last").await;
        if leaves_by == "close" {
            peer.send(&client(CLOSE, &close(1000, ""))).await;
        } else {
            drop(peer);
        }
        let said = within("the backend", says_on(far)).await;
        assert_eq!(said.ok(), Some(200 * frames::server(BINARY, &[b'x'; 16_000]).len()), "{profile} {leaves_by}");
    }
}
