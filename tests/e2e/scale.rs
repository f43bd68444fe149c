//! Many at once: a thousand open WebSockets, and a drain that tells each of them.

use std::time::{Duration, Instant};

use crate::support::frames::{self, CLOSE};
use crate::support::{Peer, gateway, together, within};

const MANY: usize = 1000;
/// Connections that are opened side by side: fewer than the kernel's backlog holds.
const ABREAST: usize = 100;
const CONFIG: &str = "drain_timeout = \"1m\"\ndrain_pace = \"0/s\"\n\
    limits = { connections_per_address = 2000, handshakes_per_address = \"0/s\" }\n\
    [[route]]\npath = \"/echo\"\necho = {}\n[[route]]\npath = \"/chat\"\nhub = {}\n";

/// Whether this process may open so many files (Linux; elsewhere it is tried).
fn may_open(files: usize) -> bool {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok()).is_none_or(|soft| soft >= files)
}

#[tokio::test]
async fn a_thousand_websockets_are_all_told_and_the_drain_is_clean() {
    // Both ends of each connection are in this process, beside those of the other tests.
    let count = if may_open(3 * MANY) { MANY } else { MANY / 5 };
    let gateway = gateway(CONFIG);
    let mut peers: Vec<Peer> = Vec::with_capacity(count);
    while peers.len() < count {
        let open = |at| open(gateway.address(), if at % 2 == 0 { "/echo" } else { "/chat" });
        peers.extend(together((0..ABREAST).map(open)).await);
    }
    let started = Instant::now();
    let stopping = tokio::task::spawn_blocking(move || gateway.stop());
    let codes = together(peers.into_iter().map(async |mut peer| {
        let close = peer.message().await;
        peer.send(&frames::client(CLOSE, &close.payload)).await;
        peer.end().await;
        close.code()
    }))
    .await;
    let totals = within("the drain", stopping).await.expect("drain");
    assert_eq!((totals.open, totals.cut), (count, 0));
    assert_eq!(codes, vec![1001; count]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

async fn open(address: String, path: &'static str) -> Peer {
    let mut peer = Peer::connect(&address).await;
    assert_eq!(peer.upgrade(path, &[]).await.status, 101);
    peer
}
