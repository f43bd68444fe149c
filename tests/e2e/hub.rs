//! The chat hub: one order for all, rooms of their own, history, and members that are slow, silent or gone.

use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::support::frames::{BINARY, CLOSE, PING, PONG, TEXT, client, close};
use crate::support::peer::upgrade_request;
use crate::support::{Peer, Running, gateway, within};
use wsgate::Phase;

/// A hub whose members may say what they like; `tests/e2e/chat.rs` sees to what they may not.
fn house(top: &str, hub: &str) -> Running {
    let free = "say = { rate = \"0/s\" }, text = \"1MiB\"";
    let more = if hub.is_empty() { String::new() } else { format!(", {hub}") };
    gateway(&format!("{top}\n[[route]]\npath = \"/chat\"\nhub = {{ {free}{more} }}\n"))
}

/// The user's number and the text of the next message.
async fn heard(peer: &mut Peer) -> (u64, String) {
    let frame = peer.message().await;
    assert_eq!((frame.opcode, frame.fin, frame.rsv, frame.masked), (TEXT, true, 0, false));
    let said = frame.text().strip_prefix("User #").and_then(|rest| rest.split_once(": "));
    let (user, text) = said.unwrap_or_else(|| panic!("{frame:?}"));
    (user.parse().expect("number"), text.to_owned())
}

async fn text(peer: &mut Peer) -> String {
    heard(peer).await.1
}

#[tokio::test]
async fn members_see_who_said_what_and_have_numbers_of_their_own() {
    let gateway = house("", "");
    let (mut one, mut two) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    one.say("hello").await;
    two.send(&[client(TEXT, "grüß dich".as_bytes()), client(TEXT, b"")].concat()).await;
    one.say("bye").await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let (of_one, of_two) = (heard(&mut one).await, heard(&mut two).await);
        assert_eq!(of_one, of_two);
        all.push(of_one);
    }
    let hello = all.iter().find(|said| said.1 == "hello").expect("hello").0;
    let other = all.iter().find(|said| said.1 == "grüß dich").expect("answer").0;
    assert_eq!((hello, other), (1, 2));
    assert!(all.contains(&(hello, "bye".to_owned())));
}

#[tokio::test]
async fn fragments_are_one_message() {
    use crate::support::frames::masked;
    let gateway = house("", "");
    let mut peer = gateway.enter("/chat").await;
    peer.send(&[masked(TEXT, b"a\xc3"), client(PING, b"p"), masked(0x80, b"\xa4b")].concat()).await;
    assert_eq!(peer.frame().await.opcode, PONG);
    assert_eq!(text(&mut peer).await, "aäb");
}

#[tokio::test]
async fn all_members_on_all_workers_see_one_order() {
    const EACH: usize = 300;
    let gateway = house("workers = 2", "history = 0");
    let mut listeners = Vec::new();
    for _ in 0..4 {
        listeners.push(gateway.enter("/chat").await);
    }
    let speak = |peer: Peer, name: &'static str| async move {
        let (mut from, mut to) = peer.split();
        let talk = async {
            for at in 0..EACH {
                to.say(&format!("{name}{at}")).await;
            }
        };
        tokio::join!(talk, all(&mut from, 2 * EACH)).1
    };
    let (a, b) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    let listen = async {
        let mut seen = Vec::new();
        for listener in &mut listeners {
            seen.push(all(listener, 2 * EACH).await);
        }
        seen
    };
    let (of_a, of_b, seen) = tokio::join!(speak(a, "a"), speak(b, "b"), listen);
    assert!(of_a == of_b && seen.iter().all(|other| *other == of_a), "more than one order");
    for name in ["a", "b"] {
        let own: Vec<&String> = of_a.iter().filter(|said| said.starts_with(name)).collect();
        assert!(own.iter().enumerate().all(|(at, said)| **said == format!("{name}{at}")), "{own:?}");
    }
}

async fn all(peer: &mut Peer, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(text(peer).await);
    }
    seen
}

#[tokio::test]
async fn rooms_are_apart_by_their_paths() {
    let gateway = house("", "room_names = '[a-zA-Z/]+'");
    let rooms = ["/chat", "/chat/a", "/chat/b", "/chat/a/b", "/chat/A"];
    let mut peers = Vec::new();
    for room in rooms {
        peers.push(gateway.enter(room).await);
    }
    for (peer, room) in peers.iter_mut().zip(rooms) {
        peer.say(room).await;
    }
    for (peer, room) in peers.iter_mut().zip(rooms) {
        assert_eq!(text(peer).await, room);
        peer.say("last").await;
        assert_eq!(text(peer).await, "last", "{room}");
    }
    // The same room by another spelling, and with a query.
    let mut same = gateway.open("/chat/%61?x=y").await;
    assert_eq!(text(&mut same).await, "/chat/a");
    for spelling in ["/chat/", "/chat/lobby"] {
        assert_eq!(text(&mut gateway.open(spelling).await).await, "/chat", "{spelling}");
    }
}

#[tokio::test]
async fn the_sender_does_not_hear_itself_where_the_owner_wants_it() {
    let gateway = house("workers = 2", "to_sender = false, history = 0");
    let (mut one, mut two) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    one.say("from one").await;
    assert_eq!(text(&mut two).await, "from one");
    two.say("from two").await;
    assert_eq!(text(&mut one).await, "from two");
}

#[tokio::test]
async fn markup_is_escaped_unless_the_owner_says_otherwise() {
    let said = "<script>alert(\"a\" + 'b')</script> & more";
    for (hub, expected) in [
        ("", "&lt;script&gt;alert(&quot;a&quot; + &#39;b&#39;)&lt;/script&gt; &amp; more"),
        ("escape = true", "&lt;script&gt;alert(&quot;a&quot; + &#39;b&#39;)&lt;/script&gt; &amp; more"),
        ("escape = false", said),
    ] {
        let gateway = house("", hub);
        let mut peer = gateway.enter("/chat").await;
        peer.say(said).await;
        assert_eq!(text(&mut peer).await, expected);
        assert_eq!(text(&mut gateway.open("/chat").await).await, expected, "the history");
    }
}

#[tokio::test]
async fn a_newcomer_gets_the_last_messages_once() {
    let gateway = house("workers = 2", "history = 3");
    let mut one = gateway.enter("/chat").await;
    for said in ["a", "b", "c", "d", "e"] {
        one.say(said).await;
        assert_eq!(text(&mut one).await, said);
    }
    let mut two = gateway.open("/chat").await;
    assert_eq!(all(&mut two, 3).await, ["c", "d", "e"]);
    one.say("f").await;
    assert_eq!(text(&mut two).await, "f");
    assert_eq!(text(&mut one).await, "f");
    // It outlives its speakers.
    drop((one, two));
    assert_eq!(all(&mut gateway.open("/chat").await, 3).await, ["d", "e", "f"]);
}

#[tokio::test]
async fn history_is_bounded_in_bytes() {
    let gateway = house("", "history_size = \"1KiB\"");
    let mut one = gateway.enter("/chat").await;
    let messages: Vec<String> = ["a", "b", "c", "d", "e"].iter().map(|letter| letter.repeat(300)).collect();
    for said in &messages {
        one.say(said).await;
        assert_eq!(text(&mut one).await, *said);
    }
    // One that is larger than all of it is not remembered, and drives nobody out.
    one.say(&"x".repeat(2000)).await;
    text(&mut one).await;
    assert_eq!(all(&mut gateway.open("/chat").await, 3).await, messages[2..]);
    let mut last = gateway.open("/chat").await;
    all(&mut last, 3).await;
    last.settled().await;
}

#[tokio::test]
async fn no_history_is_no_history() {
    let gateway = house("", "history = 0");
    let mut one = gateway.enter("/chat").await;
    one.say("a").await;
    text(&mut one).await;
    gateway.enter("/chat").await;
}

#[tokio::test]
async fn a_newcomer_in_the_middle_of_a_talk_misses_nothing_and_hears_nothing_twice() {
    const SAID: usize = 400;
    let gateway = house("workers = 2\nlimits = { handshakes_per_address = \"0/s\" }", "history = 10000");
    let (mut from, mut to) = gateway.enter("/chat").await.split();
    let talk = async {
        for at in 0..SAID {
            to.say(&at.to_string()).await;
        }
    };
    let join = async {
        for _ in 0..20 {
            let mut newcomer = gateway.open("/chat").await;
            for at in 0..SAID {
                assert_eq!(text(&mut newcomer).await, at.to_string());
            }
        }
    };
    tokio::join!(talk, join, all(&mut from, SAID));
}

#[tokio::test]
async fn binary_is_1003() {
    let gateway = house("", "");
    let mut peer = gateway.enter("/chat").await;
    peer.send(&client(BINARY, b"x")).await;
    let close = peer.frame().await;
    assert_eq!((close.code(), close.reason().as_str()), (1003, "the chat takes text only"));
    peer.end().await;
}

#[tokio::test]
async fn bad_text_is_1007_even_where_text_is_not_checked() {
    let gateway = house("limits = { utf8 = false }", "");
    let (mut bad, mut other) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    bad.send(&client(TEXT, b"\xff")).await;
    assert_eq!(bad.frame().await.code(), 1007);
    bad.end().await;
    other.say("next").await;
    assert_eq!(text(&mut other).await, "next");
}

/// A member whose kernel takes little for it.
pub async fn narrow(gateway: &Running) -> Peer {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(16 << 10).expect("buffer");
    Peer::new(socket.connect(gateway.address().parse().expect("address")).await.expect("connect"))
}

#[tokio::test]
async fn a_slow_member_is_sent_away_and_nobody_waits_for_it() {
    // It reads its Close when all has been said, however long that takes.
    let limits = "workers = 1\nlimits = { send_queue = \"32KiB\", close_timeout = \"10m\" }";
    let gateway = house(limits, "history = 0");
    let mut slow = narrow(&gateway).await;
    assert_eq!(slow.upgrade("/chat", &[]).await.status, 101);
    let mut slow = slow.settled().await;
    let mut quick = gateway.enter("/chat").await;
    let pad = "x".repeat(16_000);
    // More than the kernel takes for one who does not read.
    for at in 0..600 {
        let said = format!("{at} {pad}");
        quick.say(&said).await;
        assert!(text(&mut quick).await == said, "{at}");
    }
    let mut next = 0;
    let close = loop {
        let frame = slow.frame().await;
        if frame.opcode == CLOSE {
            break frame;
        }
        let at = frame.text().split(' ').nth(2).and_then(|at| at.parse::<usize>().ok());
        assert_eq!(at, Some(next));
        next += 1;
    };
    assert!(next < 600);
    assert_eq!((close.code(), close.reason().as_str()), (1013, "too slow: the send queue is full"));
    slow.agree(&close).await;
    quick.say("after").await;
    assert_eq!(text(&mut quick).await, "after");
}

#[tokio::test]
async fn a_message_that_just_fits_into_the_send_queue_reaches_all() {
    let gateway = house("workers = 2\nlimits = { send_queue = \"32KiB\" }", "history = 0");
    let (mut one, mut two) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    // With "User #N: " and the frame's head of four bytes in front.
    let long = "x".repeat((32 << 10) - 13);
    one.say(&long).await;
    assert!(text(&mut one).await == long && text(&mut two).await == long);
    two.say(&format!("{long}x")).await;
    assert_eq!(two.frame().await.code(), 1009);
    two.end().await;
    one.say("after").await;
    assert_eq!(text(&mut one).await, "after");
}

#[tokio::test]
async fn whoever_has_left_is_told_nothing_more() {
    let gateway = house("workers = 1", "history = 0");
    let (mut stays, mut leaves) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    leaves.send(&client(CLOSE, &close(1000, "bye"))).await;
    assert_eq!(leaves.frame().await.reason(), "bye");
    stays.say("are you there").await;
    assert_eq!(text(&mut stays).await, "are you there");
    leaves.end().await;
}

#[tokio::test]
async fn a_member_that_vanishes_leaves_the_room_usable() {
    let gateway = house("workers = 2", "history = 0");
    let mut stays = gateway.enter("/chat").await;
    for _ in 0..5 {
        drop(gateway.enter("/chat").await);
        stays.say("still here").await;
        assert_eq!(text(&mut stays).await, "still here");
    }
}

#[tokio::test]
async fn as_many_rooms_as_there_may_be() {
    let gateway = house("admin = { listen = \"127.0.0.1:0\" }", "rooms = 2");
    let _one = gateway.enter("/chat/1").await;
    let two = gateway.enter("/chat/2").await;
    let answer = gateway.ask(&upgrade_request("/chat/3", &[])).await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "there is no room for more connections here\n"));
    let _again = gateway.enter("/chat/1").await;
    // An empty room makes way.
    drop(two);
    gateway.until_metric("wsgate_websockets_open{route=\"/chat\"}", 2.0).await;
    gateway.enter("/chat/3").await;
}

#[tokio::test]
async fn a_rooms_name_that_is_too_long_leads_nowhere() {
    let gateway = house("", "");
    gateway.enter(&format!("/chat/{}", "x".repeat(64))).await;
    let answer = gateway.ask(&upgrade_request(&format!("/chat/{}", "x".repeat(65)), &[])).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_drain_sends_every_member_home_with_1001() {
    let gateway = house("workers = 2", "");
    let mut peers = Vec::new();
    for at in 0..6 {
        peers.push(gateway.enter(&format!("/chat/{}", at % 2)).await);
    }
    gateway.handle.drain();
    for peer in &mut peers {
        let close = peer.frame().await;
        assert_eq!((close.code(), close.reason().as_str()), (1001, "the gateway is going away"));
        peer.agree(&close).await;
    }
    drop(peers);
    within("the end of the drain", gateway.handle.reached(Phase::Stopped)).await;
    let totals = gateway.stop();
    assert_eq!((totals.open, totals.cut), (6, 0));
}

#[tokio::test]
async fn a_member_that_answers_no_ping_is_reaped_and_one_that_does_is_not() {
    let top = "admin = { listen = \"127.0.0.1:0\" }\nlimits = { ping_interval = \"600ms\" }";
    let gateway = house(top, "");
    let (mut silent, mut lively) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    let answers = async {
        loop {
            let ping = lively.frame().await;
            assert_eq!(ping.opcode, PING, "{ping:?}");
            lively.send(&client(PONG, &ping.payload)).await;
        }
    };
    let reaped = async {
        let mut pings = 0;
        while let Ok(frame) = silent.try_frame().await {
            assert_eq!(frame.opcode, PING);
            pings += 1;
        }
        pings
    };
    let pings: u32 = tokio::select! { () = answers => 0, pings = reaped => pings };
    assert!(pings >= 1);
    gateway.until_metric("wsgate_websockets_ended_total{by=\"client\",code=\"1006\"}", 1.0).await;
    lively.say("still here").await;
    assert_eq!(text(&mut lively).await, "still here");
}

#[tokio::test]
async fn a_member_without_messages_is_idle_pings_or_not() {
    let gateway = house("limits = { idle_timeout = \"2s\", ping_interval = \"600ms\" }", "");
    let mut peer = gateway.enter("/chat").await;
    let close = loop {
        let frame = peer.frame().await;
        if frame.opcode != PING {
            break frame;
        }
        peer.send(&client(PONG, &frame.payload)).await;
    };
    assert_eq!((close.code(), close.reason().as_str()), (1001, "idle for too long"));
    peer.agree(&close).await;
}

#[tokio::test]
async fn a_member_may_stay_only_so_long() {
    let gateway = house("limits = { max_lifetime = \"1s\" }", "");
    let mut peer = gateway.enter("/chat").await;
    let close = loop {
        peer.say("busy").await;
        let frame = peer.frame().await;
        if frame.opcode == CLOSE {
            break frame;
        }
    };
    assert_eq!((close.code(), close.reason().as_str()), (1001, "open for too long"));
}

#[tokio::test]
async fn a_member_that_says_too_much_is_1008_and_the_others_heard_what_was_allowed() {
    let gateway = house("limits = { messages_per_connection = \"3/m\" }", "history = 0");
    let (mut loud, mut other) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    let said: Vec<u8> = (0..5).flat_map(|at| client(TEXT, at.to_string().as_bytes())).collect();
    loud.send(&said).await;
    assert_eq!(all(&mut other, 3).await, ["0", "1", "2"]);
    let close = loop {
        let frame = loud.frame().await;
        if frame.opcode == CLOSE {
            break frame;
        }
    };
    assert_eq!((close.code(), close.reason().as_str()), (1008, "too many messages"));
    other.say("next").await;
    assert_eq!(text(&mut other).await, "next");
}

#[tokio::test]
async fn who_listens_is_not_idle() {
    let gateway = house("limits = { idle_timeout = \"1s\" }", "");
    let (mut speaker, mut listener) = (gateway.enter("/chat").await, gateway.enter("/chat").await);
    let since = std::time::Instant::now();
    // The speaker's own echo paces it; only the listener never says a word.
    while since.elapsed() < Duration::from_millis(2200) {
        speaker.say("still here").await;
        for peer in [&mut speaker, &mut listener] {
            assert_eq!(peer.message().await.opcode, TEXT);
        }
        let _ = timeout(Duration::from_millis(50), listener.frame()).await;
    }
    assert_eq!(listener.message().await.code(), 1001);
}

#[tokio::test]
async fn rooms_of_any_letters_have_a_path() {
    let (gateway, _folder) = crate::desk::desk("", "");
    let mut plain = gateway.open("/chat/K%C3%BCche").await;
    let mut ann = crate::chat::Member::joined(&gateway, "/chat/%4b%c3%bcche", "Ann").await;
    ann.send(&serde_json::json!({ "type": "say", "room": "Küche", "text": "hi" })).await;
    assert_eq!(plain.message().await.text(), "Ann: hi");
    assert_eq!(crate::desk::get(&gateway, "/rooms/K%C3%BCche").await["room"], "Küche");
    let page = async |path: &str| {
        gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await.status
    };
    assert_eq!((page("/chat/K%C3%BCche").await, page("/chat/?asset=chat.js").await), (200, 200));
    // Encoded twice, not UTF-8, a slash, control characters, and what room_names does not allow.
    for path in [
        "K%25C3%25BCche",
        "K%C3",
        "%ff",
        "a%2Fb",
        "a%C2%85",
        "a%0A",
        "a%E2%80%AE",
        "%3Cb%3E",
        "100%25",
        "100%",
        "%%361",
    ] {
        let path = format!("/chat/{path}");
        assert_eq!(gateway.connect().await.upgrade(&path, &[]).await.status, 404, "{path}");
        assert_eq!(page(&path).await, 404, "{path}");
    }
}
