//! Bugs that were found and mended, each with the test that would have caught it.

use crate::support::backend::Backend;
use crate::support::frames::{self, CLOSE, PING, PONG, TEXT};
use crate::support::gateway;
use crate::support::peer::upgrade_request;

/// One member's long message used to be more than any member could have queued: all of them were sent home with 1013.
#[tokio::test]
async fn a_message_over_the_send_queue_closes_its_sender_alone() {
    let gateway = gateway(
        "[[route]]\npath = \"/chat\"\nhub = { history = 0, say = { rate = \"0/s\" }, text = \"1MiB\" }\n[limits]\nsend_queue = \"32KiB\"\n",
    );
    let (mut loud, mut quiet) = (gateway.open("/chat").await, gateway.open("/chat").await);
    loud.send(&frames::client(TEXT, "\"".repeat(10_000).as_bytes())).await;
    assert_eq!(loud.message().await.code(), 1009);
    quiet.say("still here").await;
    // Which of the two came to the room first is up to the workers.
    assert!(quiet.message().await.text().ends_with(": still here"));
}

/// Pongs used to count as data, so that a relayed session whose client answered pings was never idle.
#[tokio::test]
async fn answers_to_pings_do_not_keep_a_relayed_session_from_being_idle() {
    let url = Backend::bind().await.echo();
    let gateway = gateway(&format!(
        "[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{url}\"]\n\
         [limits]\nidle_timeout = \"2s\"\nping_interval = \"600ms\"\n"
    ));
    let mut peer = gateway.open("/").await;
    let mut pings = 0;
    let close = loop {
        let frame = peer.frame().await;
        match frame.opcode {
            PING => {
                pings += 1;
                assert!(pings < 20, "never idle");
                peer.send(&frames::client(PONG, &frame.payload)).await;
            }
            CLOSE => break frame,
            _ => panic!("{frame:?}"),
        }
    };
    assert_eq!((close.code(), close.reason().as_str()), (1001, "idle for too long"));
    assert!(pings > 1);
}

/// A PROXY header's client used to have its own X-Forwarded-For and -Proto believed.
#[tokio::test]
async fn a_client_behind_a_proxy_header_cannot_forge_its_address() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!(
        "trusted_proxies = [\"127.0.0.1\"]\n[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{}\"]\n",
        backend.url()
    ));
    let mut peer = gateway.connect().await;
    let request = upgrade_request("/", &["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher"]);
    peer.send(format!("PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n{request}").as_bytes()).await;
    let (_session, head) = backend.upgrade(&[]).await;
    assert!(head.contains("\r\nX-Forwarded-For: 203.0.113.9\r\n"), "{head}");
    assert!(head.contains("\r\nX-Forwarded-Proto: http\r\n"), "{head}");
    assert!(!head.contains("6.6.6.6"), "{head}");
}

/// A refused version used to lose `Connection: Upgrade` to `Connection: close`; RFC 9110 §7.8 wants the former.
#[tokio::test]
async fn a_refused_version_says_both_upgrade_and_close() {
    let gateway = gateway("[[route]]\npath = \"/echo\"\necho = {}\n");
    let request = upgrade_request("/echo", &[]).replace("Version: 13", "Version: 8");
    let answer = gateway.ask(&request).await;
    let connection: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .map(|(_, value)| &**value)
        .collect();
    assert_eq!((answer.status, connection.join(", ").to_lowercase().as_str()), (426, "close, upgrade"));
}

/// Only the first X-Forwarded-For line used to be passed on: the client's own, where the proxy adds one behind it.
#[tokio::test]
async fn all_lines_of_a_forwarded_chain_reach_the_backend() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!(
        "trusted_proxies = [\"127.0.0.1\"]\n[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{}\"]\n",
        backend.url()
    ));
    let mut peer = gateway.connect().await;
    let request = upgrade_request("/", &["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.7"]);
    peer.send(request.as_bytes()).await;
    let (_session, head) = backend.upgrade(&[]).await;
    assert!(head.contains("\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.7, 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("\r\nX-Real-IP: 203.0.113.7\r\n"), "{head}");
}

/// A target in absolute-form used to be routed by its own host, and to reach the backend under another.
#[tokio::test]
async fn a_target_and_a_host_that_disagree_are_400() {
    let gateway = gateway("[[route]]\npath = \"/echo\"\necho = {}\n");
    let sound = upgrade_request("/echo", &[]);
    let other = gateway.ask(&sound.replace("GET /echo", "GET http://other.example/echo")).await;
    assert_eq!(other.status, 400, "{other:?}");
    let same = gateway.ask(&sound.replace("GET /echo", "GET http://TEST.example/echo")).await;
    assert_eq!(same.status, 101, "{same:?}");
}

/// A burst used to be handed out in one go, before any member could flush: all were taken for slow and sent home.
#[tokio::test]
async fn a_burst_of_long_messages_does_not_make_readers_slow() {
    let gateway = gateway(
        "workers = 1\n[[route]]\npath = \"/chat\"\nhub = { history = 0, say = { rate = \"0/s\" }, text = \"1MiB\" }\n",
    );
    let mut members = Vec::new();
    for _ in 0..5 {
        let mut member = gateway.open("/chat").await;
        member.send(&frames::client(PING, b"there?")).await;
        assert_eq!(member.message().await.opcode, PONG);
        members.push(member);
    }
    let burst: Vec<u8> = (0..64).flat_map(|_| frames::client(TEXT, &[b'x'; 15_000])).collect();
    let mut speaker = members.pop().expect("a member");
    let reading = members.into_iter().map(|mut member| {
        tokio::spawn(async move {
            for _ in 0..64 {
                let frame = member.message().await;
                assert_eq!((frame.opcode, frame.payload.len()), (TEXT, "User #5: ".len() + 15_000));
            }
        })
    });
    let reading: Vec<_> = reading.collect();
    speaker.send(&burst).await;
    for _ in 0..64 {
        assert_eq!(speaker.message().await.opcode, TEXT);
    }
    for member in reading {
        member.await.expect("heard everything");
    }
}

/// The ping that waits for the end of a backend's frame used to be held against the client, who never saw it.
#[tokio::test]
async fn a_ping_that_waits_for_a_frames_end_is_not_an_unanswered_one() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!(
        "[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\n[[route]]\npath = \"/echo\"\necho = {{}}\n\
         [pool.p]\nbackends = [\"{}\"]\n[limits]\nping_interval = \"600ms\"\n",
        backend.url()
    ));
    let mut clock = gateway.open("/echo").await;
    let (mut peer, (mut far, _)) =
        tokio::join!(async { gateway.open("/").await }, async { backend.upgrade(&[]).await });
    let frame = frames::server(TEXT, b"a frame that takes its time");
    far.send(&frame[..9]).await;
    // Another client's pings tell the time: far more than two intervals.
    for _ in 0..4 {
        let ping = clock.frame().await;
        assert_eq!(ping.opcode, PING);
        clock.send(&frames::client(PONG, &ping.payload)).await;
    }
    far.send(&frame[9..]).await;
    assert_eq!(peer.message().await.text(), "a frame that takes its time");
}
