//! A gateway that has no descriptors left: it waits for an end, says so once, and then goes on.

use std::time::{Duration, Instant};

use crate::command::limited;
use crate::support::peer::upgrade_request;
use crate::support::process::{Program, configure};
use crate::support::{Peer, together, within};

const DESCRIPTORS: usize = 256;
const CLIENTS: usize = 300;
/// So many of them find a place: the gateway has less than a hundred descriptors for itself.
const SERVED: usize = DESCRIPTORS - 100;
/// Two seconds and more of being full.
const FULL: Duration = Duration::from_millis(2500);
const CONFIG: &str = "workers = 2\nadmin = { listen = \"unix:admin.sock\" }\n\
    limits = { connections_per_address = 1000, handshakes_per_address = \"0/s\" }\n[[route]]\npath = \"/echo\"\necho = {}\n";

/// What a process has had of the processors, in hundredths of a second (proc_pid_stat(5)).
fn processor_time(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields = stat.rsplit(')').next().expect("its name").split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum()
}

async fn metrics(folder: &std::path::Path) -> String {
    let door = tokio::net::UnixStream::connect(folder.join("admin.sock")).await.expect("the door");
    let mut peer = Peer::new(door);
    peer.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    peer.answer().await.body
}

/// Connected, and its request sent: whether anybody has accepted it or not.
async fn asking(address: String) -> Peer {
    let mut peer = Peer::connect(&address).await;
    peer.send(upgrade_request("/echo", &[]).as_bytes()).await;
    peer
}

#[tokio::test]
async fn without_descriptors_it_waits_for_an_end_and_costs_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    configure(folder.path(), CONFIG);
    let mut program = Program::spawn(limited(folder.path(), &format!("-n {DESCRIPTORS}"))).await;
    // One after the other, so that those who came first are served first.
    let mut peers = Vec::new();
    for _ in 0..CLIENTS {
        peers.push(asking(program.address().to_owned()).await);
    }
    let waiting = peers.split_off(SERVED);
    let mut served = together(peers.into_iter().map(async |mut peer| {
        assert_eq!(peer.answer().await.status, 101);
        peer
    }))
    .await;
    program.said(&["WARN", "cannot be accepted", "os error 24"]).await;

    // Who waits is neither served nor sent away, and nobody runs in circles for it.
    let (mut waiting, mut last) = (waiting, None);
    let since = Instant::now();
    let before = processor_time(program.id());
    if let Some(mut peer) = waiting.pop() {
        assert!(tokio::time::timeout(FULL, peer.some(1)).await.is_err(), "served without a descriptor");
        last = Some(peer);
    }
    let (busy, seconds) = (processor_time(program.id()) - before, since.elapsed().as_secs_f64());
    assert!(busy < 30.0 * seconds, "{busy} hundredths of a second in {seconds} s");
    // Those who have a place have all of it.
    served[0].say("hello").await;
    assert_eq!(served[0].message().await.text(), "hello");

    // When some leave, others come in: those who waited, and new ones.
    drop(served);
    let mut last = last.expect("somebody waits");
    assert_eq!(last.answer().await.status, 101);
    let mut new = program.open("/echo").await;
    new.say("hello").await;
    assert_eq!(new.message().await.text(), "hello");
    drop((waiting, last, new));
    let text = within("the admin door", metrics(folder.path())).await;
    let failures = "wsgate_tcp_accept_failures_total{reason=\"descriptors\"} ";
    let failures = text.lines().find_map(|line| line.strip_prefix(failures)?.parse::<u64>().ok());
    assert!(failures.is_some_and(|count| (1..1000).contains(&count)), "{failures:?}\n{text}");
    let log = program.log();
    assert_eq!(log.lines().filter(|line| line.contains("cannot be accepted")).count(), 1, "{log}");
    assert_eq!(program.stop().await.code, Some(0));
}
