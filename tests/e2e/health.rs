//! Health checks: what a backend sees of them, what takes it out of service and back, and what a reload does to them.

use crate::support::backend::{Backend, relay, switch};
use crate::support::frames::{CLOSE, PING, PONG, TEXT, close, server};
use crate::support::peer::upgrade_request;
use crate::support::{Peer, Running, gateway, parse, within};

const ADMIN: &str = "admin = { listen = \"127.0.0.1:0\" }\n";

fn usable(pool: &str, url: &str) -> String {
    format!("wsgate_backend_usable{{pool=\"{pool}\",backend=\"{url}\"}}")
}

fn checked(profile: &str, urls: &[&str], more: &str) -> Running {
    let more = format!("health = \"handshake\"\n{more}");
    gateway(&format!("{ADMIN}{}", relay(profile, urls, &more)))
}

async fn status(gateway: &Running) -> u16 {
    gateway.ask(&upgrade_request("/ws", &[])).await.status
}

/// Answers every check, and pings, for as long as the test runs.
fn well(backend: Backend) {
    tokio::spawn(async move {
        loop {
            let mut far = backend.wait().await;
            tokio::spawn(async move {
                // A check that was given up before anybody listened has nothing to say any more.
                if let Ok(head) = far.try_head().await {
                    let _ = far.try_send(&switch(&head, &[])).await;
                    answer_pings(far).await;
                }
            });
        }
    });
}

async fn answer_pings(mut far: Peer) {
    while let Ok(frame) = far.try_frame().await {
        if frame.opcode == PING {
            let _ = far.try_send(&server(PONG, &frame.payload)).await;
        }
    }
}

#[tokio::test]
async fn a_handshake_is_a_whole_websocket_to_the_letter() {
    let backend = Backend::bind().await;
    let _gateway = checked("transparent", &[&backend.url()], "health_path = \"/chat?check=1\"");
    let mut far = backend.accept().await;
    let head = far.head().await;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("key");
    let expected = format!(
        "GET /chat?check=1 HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        backend.address
    );
    assert_eq!(head, expected);
    // A greeting behind the 101, and more before the pong.
    far.send(&[switch(&head, &[]), server(TEXT, b"welcome")].concat()).await;
    let ping = far.frame().await;
    assert!(ping.opcode == PING && ping.masked, "{ping:?}");
    far.send(&[server(TEXT, &[b'x'; 5000]), server(PONG, &ping.payload)].concat()).await;
    let goodbye = far.frame().await;
    assert_eq!((goodbye.opcode, goodbye.code(), goodbye.masked), (CLOSE, 1000, true));
    far.send(&server(CLOSE, &close(1000, ""))).await;
    far.clean_end().await;
}

#[tokio::test]
async fn servers_that_publish_control_frames_get_none_and_are_left_by_fin() {
    let backend = Backend::bind().await;
    let _gateway = checked("legacy", &[&backend.url()], "");
    let mut far = backend.accept().await;
    let head = far.head().await;
    far.send(&[switch(&head, &[]), server(TEXT, b"welcome")].concat()).await;
    far.clean_end().await;
}

#[tokio::test]
async fn what_a_backend_still_says_after_the_fin_is_read_and_its_turn_is_over() {
    let backend = Backend::bind().await;
    let gateway = checked("legacy", &[&backend.url()], "handshakes_at_once = 1");
    let (mut far, _) = backend.upgrade(&[]).await;
    far.clean_end().await;
    // A socket that is closed for good answers the first of these with a reset, and the second one fails.
    for _ in 0..3 {
        far.try_send(&server(TEXT, b"welcome")).await.expect("somebody reads it");
    }
    // The check is not over yet, but its handshake is: a client's may come.
    let (_peer, _far) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
}

#[tokio::test]
async fn a_ping_may_be_asked_for_or_left_out() {
    for (profile, ping) in [("transparent", false), ("legacy", true)] {
        let backend = Backend::bind().await;
        let _gateway = checked(profile, &[&backend.url()], &format!("health_ping = {ping}"));
        let (mut far, _) = backend.upgrade(&[]).await;
        if ping {
            let frame = far.frame().await;
            assert_eq!(frame.opcode, PING);
            far.send(&server(PONG, &frame.payload)).await;
            far.clean_end().await;
        } else {
            assert_eq!(far.frame().await.opcode, CLOSE);
        }
    }
}

#[tokio::test]
async fn who_accepts_and_never_answers_is_taken_out_and_comes_back_when_it_does() {
    let (sick, good) = (Backend::bind().await, Backend::bind().await);
    let (url, other) = (sick.url(), good.url());
    well(good);
    let more = "health_interval = \"20ms\"\nhealth_timeout = \"1s\"\nhealth_fall = 2\nhealth_rise = 2";
    let gateway = checked("transparent", &[&url, &other], more);
    let mut checks = Vec::new();
    for _ in 0..2 {
        // Taken, and never answered.
        checks.push(sick.accept().await);
    }
    gateway.until_metric(&usable("transparent", &url), 0.0).await;
    gateway.until_metric(&usable("transparent", &other), 1.0).await;
    for _ in 0..3 {
        assert_eq!(status(&gateway).await, 101, "from the other one");
    }
    // Out of service for clients, and not for checks.
    well(sick);
    gateway.until_metric(&usable("transparent", &url), 1.0).await;
}

#[tokio::test]
async fn what_is_no_sign_of_life_and_what_is() {
    for (answer, is_well) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", false),
        ("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n", false),
        ("", false),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", true),
    ] {
        let backend = Backend::bind().await;
        let more = "health_interval = \"10ms\"\nhealth_fall = 1\nhealth_rise = 1\neject_last = true";
        let gateway = checked("transparent", &[&backend.url()], more);
        for _ in 0..2 {
            let mut far = backend.accept().await;
            far.head().await;
            let _ = far.try_send(answer.as_bytes()).await;
            drop(far);
        }
        // The third check has begun when the second one has been judged.
        let _third = backend.accept().await;
        let shown = f64::from(u8::from(is_well));
        assert!(
            (gateway.metric(&usable("transparent", &backend.url())).await - shown).abs() < f64::EPSILON,
            "{answer}"
        );
        if !is_well {
            assert_eq!(status(&gateway).await, 503, "{answer}");
        }
    }
}

#[tokio::test]
async fn tcp_is_a_connection_and_nothing_else() {
    let backend = Backend::bind().await;
    let more = "health = \"tcp\"\nhealth_interval = \"10ms\"\nhealth_fall = 1";
    let gateway = gateway(&format!("{ADMIN}{}", relay("transparent", &[&backend.url()], more)));
    for _ in 0..3 {
        backend.accept().await.clean_end().await;
    }
    let url = backend.url();
    drop(backend);
    gateway.until_metric(&usable("transparent", &url), 0.0).await;
}

#[tokio::test]
async fn a_check_counts_among_the_connections_and_does_not_go_beyond_the_cap() {
    let backend = Backend::bind().await;
    let more = "connections_per_backend = 1\nqueue = 1\nqueue_timeout = \"10m\"\nhealth_interval = \"10ms\"";
    let gateway = checked("transparent", &[&backend.url()], more);
    let mut far = backend.accept().await;
    let head = far.head().await;
    let mut client = gateway.connect().await;
    client.send(upgrade_request("/ws", &[]).as_bytes()).await;
    gateway.until_metric("wsgate_pool_waiting{pool=\"transparent\"}", 1.0).await;
    far.send(&switch(&head, &[])).await;
    answer_pings(far).await;
    // The client's turn, before the next check's.
    let mut far = backend.accept().await;
    let head = far.head().await;
    assert!(head.contains("\r\nX-Real-IP: "), "{head}");
    far.send(&switch(&head, &[])).await;
    assert_eq!(client.answer().await.status, 101);
}

#[tokio::test]
async fn a_reload_ends_the_checks_of_a_pool_that_is_gone_and_keeps_what_is_known() {
    let (gone, sick, seen) = (Backend::bind().await, Backend::bind().await, Backend::bind().await);
    let more = "health_interval = \"10ms\"\nhealth_timeout = \"10s\"\nhealth_fall = 1\nhealth_rise = 1\n";
    let pool = |name: &str, urls: &[String], more: &str| {
        let kind = if more.contains("health = ") { "" } else { "health = \"handshake\"\n" };
        format!("[pool.{name}]\nbackends = {urls:?}\n{kind}{more}")
    };
    let route = "[[route]]\npath = \"/ws\"\nproxy = { pool = \"stays\" }\n";
    let (sick_url, seen_url) = (sick.url(), seen.url());
    let urls = [sick_url.clone(), seen_url];
    let both = format!("{ADMIN}{route}{}{}", pool("gone", &[gone.url()], more), pool("stays", &urls, more));
    let gateway = gateway(&both);
    drop(gone.accept().await);
    drop(sick);
    gateway.until_metric(&usable("stays", &sick_url), 0.0).await;
    // Found ill by checks that would now take an hour to find anything.
    let slow = more.replace("\"10ms\"", "\"1h\"");
    let stays = format!("{ADMIN}{route}{}", pool("stays", &urls, &slow));
    gateway.handle.reload(parse(&stays)).expect("reload");
    gateway.until_metric(&usable("gone", &gone.url()), 0.0).await;
    assert!(gateway.metric(&usable("stays", &sick_url)).await < 0.5);
    // Checks of the one that stays go on, at their old pace again; those of the one that is gone do not.
    gateway.handle.reload(parse(&format!("{ADMIN}{route}{}", pool("stays", &urls, more)))).expect("reload");
    for _ in 0..5 {
        let (far, _) = seen.upgrade(&[]).await;
        answer_pings(far).await;
    }
    // What had begun before the reload may still be there; then nobody comes.
    let last =
        async { while tokio::time::timeout(std::time::Duration::from_millis(100), gone.accept()).await.is_ok() {} };
    within("the end of the checks", last).await;
    // Nobody looks any more, so nobody says that it is ill.
    let off = pool("stays", &urls, &format!("health = \"off\"\n{more}"));
    gateway.handle.reload(parse(&format!("{ADMIN}{route}{off}"))).expect("reload");
    gateway.until_metric(&usable("stays", &sick_url), 1.0).await;
}
