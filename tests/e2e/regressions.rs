//! Bugs that were found and mended, each with the test that would have caught it.

use crate::support::backend::Backend;
use crate::support::frames::{self, CLOSE, PING, PONG, TEXT};
use crate::support::gateway;
use crate::support::peer::upgrade_request;

/// One member's long message used to be more than any member could have queued: all of them were sent home with 1013.
#[tokio::test]
async fn a_message_over_the_send_queue_closes_its_sender_alone() {
    let gateway = gateway("[[route]]\npath = \"/chat\"\nhub = { history = 0 }\n[limits]\nsend_queue = \"32KiB\"\n");
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
         [limits]\nidle_timeout = \"700ms\"\nping_interval = \"150ms\"\n"
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
