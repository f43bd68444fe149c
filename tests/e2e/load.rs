//! The load harness: its own unit tests, by being compiled here, and the whole of it against a gateway.

#[path = "../../benches/load/main.rs"]
pub(super) mod harness;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::support::backend::{Backend, echo, switch};
use super::support::tls::{acceptor, localhost};
use super::support::{self, Peer, within};

/// A run of the harness against the path of a gateway, as the command line would start it.
pub(super) fn run(path: &str, options: &[&str]) -> harness::Outcome {
    let gateway = support::gateway(
        "[tls]\nself_signed = [\"localhost\", \"127.0.0.1\"]\n[[route]]\npath = \"/echo\"\necho = {}\n\
         [[route]]\npath = \"/chat\"\nhub = { history = 0, say = { rate = \"0/s\" }, text = \"1MiB\" }\n",
    );
    let url = format!("{}{path}", gateway.addresses[0]);
    let outcome = harness::run([&["load", &url, "--insecure", "--threads", "1"], options].concat());
    gateway.stop();
    outcome
}

/// The first of a few runs that is as it should be, or the last: on a machine that is busy with other things one of them
/// may be over before it has done what it was to do.
pub(super) fn undisturbed(
    path: &str,
    options: &[&str],
    is_right: impl Fn(&harness::report::Run) -> bool,
) -> harness::Outcome {
    for _ in 0..9 {
        let (found, code) = run(path, options)?;
        if is_right(&found) {
            return Ok((found, code));
        }
    }
    run(path, options)
}

/// A run against a server in the test's own hands.
pub(super) fn against(url: &str, options: &[&str]) -> JoinHandle<harness::Outcome> {
    let line: Vec<String> =
        ["load", url, "--threads", "1", "--for", "100ms"].iter().chain(options).map(|&word| word.to_owned()).collect();
    tokio::task::spawn_blocking(move || harness::run(line.iter().map(String::as_str)))
}

/// What a run ends with when it was asked for nothing that was not so: on a machine that is busy with other tests the
/// generator may well be the limit.
pub(super) fn code_of(found: &harness::report::Run, otherwise: u8) -> u8 {
    if found.generator.valid { otherwise } else { 4 }
}

#[test]
fn echo_measures_round_trips_and_both_clients_agree() {
    let options = ["--for", "300ms", "--connections", "4", "--cross-check", "--fail-if", "min<1us"];
    let (found, code) = run("/echo", &options).expect("a report");
    assert_eq!(code, code_of(&found, 0), "{found:?}");
    let trips = &found.latencies["round_trip"];
    assert!(trips.count > 0 && trips.min > 0 && trips.min <= trips.p50 && trips.p50 <= trips.max, "{trips:?}");
    assert_eq!([found.latencies["tls"].count, found.latencies["upgrade"].count], [4, 4]);
    assert_eq!(found.closes, [(1000, 4)].into());
    assert!(found.errors.is_empty() && found.refusals.is_empty(), "{found:?}");
}

#[test]
fn an_open_model_sends_what_its_plan_says() {
    let options = ["--profile", "rate", "--rate", "200", "--for", "500ms", "-c", "5"];
    let (found, _) = undisturbed("/echo", &options, |found| found.totals.sent == 100).expect("a report");
    assert_eq!([found.totals.sent, found.latencies["round_trip"].count], [100, 100]);
    assert!(found.series.iter().all(|second| second.open == 5), "all are open to the end: {:?}", found.series);
}

#[test]
fn handshakes_are_counted_by_kind_and_runs_differ_in_no_option() {
    let options = ["--profile", "connect", "--for", "600ms", "-c", "2", "--fail-if", "resumed_handshakes_per_second<1"];
    let has_both = |found: &harness::report::Run| {
        let rates = [found.totals.full_handshakes_per_second, found.totals.resumed_handshakes_per_second];
        rates.iter().all(|rate| rate.is_some_and(|rate| rate > 0.0))
    };
    let runs = [0; 2].map(|_| undisturbed("/echo", &options, has_both).expect("a report"));
    for (found, code) in &runs {
        let totals = &found.totals;
        let [all, full, resumed] =
            [totals.handshakes_per_second, totals.full_handshakes_per_second, totals.resumed_handshakes_per_second]
                .map(|rate| rate.unwrap_or_default());
        assert!(full > 0.0 && resumed > 0.0 && all > 0.0 && all < full + resumed, "{totals:?}");
        assert_eq!(*code, code_of(found, 0), "{found:?}");
    }
    let [a, b] = runs.map(|(run, _)| run);
    let compared = harness::compare::table(&a, &b);
    assert!(!compared.contains("option "), "{compared}");
    assert!(compared.contains("full ones in a second") && compared.contains("resumed ones in a second"), "{compared}");
}

#[test]
fn a_threshold_that_is_not_kept_sets_the_exit_code() {
    let (found, code) = run("/echo", &["--for", "100ms", "-c", "1", "--fail-if", "p50>1us"]).expect("a report");
    assert_eq!((code, found.thresholds[0].passed), (code_of(&found, 3), false));
}

#[tokio::test]
async fn headers_origin_and_subprotocols_reach_the_server() {
    let backend = Backend::bind().await;
    let options = ["-c", "1", "-H", "Cookie: a=b", "--header", "X-Key: 7", "--origin", "https://pages.example"];
    let options = [&options[..], &["--subprotocol", "chat.v2", "--subprotocol", "chat.v1"]].concat();
    let running = against(&backend.url(), &options);
    let (mut peer, head) = backend.upgrade(&["Sec-WebSocket-Protocol: chat.v1"]).await;
    for line in ["Cookie: a=b", "X-Key: 7", "Origin: https://pages.example", "Sec-WebSocket-Protocol: chat.v2, chat.v1"]
    {
        assert_eq!(head.lines().filter(|have| *have == line).count(), 1, "{line}: {head}");
    }
    // A round trip, and the server has seen enough.
    let frame = peer.frame().await;
    peer.send(&support::frames::server(frame.opcode, &frame.payload)).await;
    drop(peer);
    let (found, _) = within("the run", running).await.expect("a run").expect("a report");
    assert_eq!(found.latencies["round_trip"].count, 1, "{found:?}");
}

#[tokio::test]
async fn a_subprotocol_that_was_not_offered_is_an_error() {
    let backend = Backend::bind().await;
    let running = against(&backend.url(), &["-c", "1", "--subprotocol", "chat.v2"]);
    backend.upgrade(&["Sec-WebSocket-Protocol: other"]).await;
    let why = within("the run", running).await.expect("a run").expect_err("no connection");
    assert!(why.starts_with("no connection came about: upgrade: "), "{why}");
}

#[tokio::test]
async fn the_server_name_is_the_hosts_or_as_asked_and_certificates_are_checked_unless_told_not_to() {
    let acceptor = acceptor(&localhost().leaf);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    for (host, options, name) in [
        ("localhost", &["--insecure"][..], Some("localhost")),
        ("127.0.0.1", &["--insecure"], None), // RFC 6066 §3: an address is no server name
        ("127.0.0.1", &["--insecure", "--sni", "chat.example"], Some("chat.example")),
    ] {
        let running = against(&format!("wss://{host}:{port}/"), &[options, &["-c", "1"]].concat());
        let (stream, _) = within("the harness", listener.accept()).await.expect("accept");
        let stream = within("TLS", acceptor.accept(stream)).await.expect("TLS");
        assert_eq!(stream.get_ref().1.server_name(), name, "{options:?}");
        let mut peer = Peer::new(stream);
        let head = peer.head().await;
        assert!(head.contains(&format!("\r\nHost: {host}:{port}\r\n")), "{head}");
        peer.send(&switch(&head, &[])).await;
        tokio::spawn(echo(peer));
        within("the run", running).await.expect("a run").expect("a report");
    }
    let running = against(&format!("wss://localhost:{port}/"), &["-c", "1"]);
    let (stream, _) = within("the harness", listener.accept()).await.expect("accept");
    assert!(within("TLS", acceptor.accept(stream)).await.is_err());
    let why = within("the run", running).await.expect("a run").expect_err("no connection");
    assert!(why.contains("TLS: ") && why.contains("UnknownIssuer"), "{why}");
}

#[tokio::test]
async fn connections_are_spread_over_source_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}/", listener.local_addr().expect("address"));
    let running = against(&url, &["--profile", "idle", "-c", "7", "--source-addresses", "3"]);
    let mut from = BTreeMap::<IpAddr, usize>::new();
    for _ in 0..7 {
        let (stream, address) = within("the harness", listener.accept()).await.expect("accept");
        *from.entry(address.ip()).or_default() += 1;
        let mut peer = Peer::new(stream);
        let head = peer.head().await;
        peer.send(&switch(&head, &[])).await;
        tokio::spawn(echo(peer));
    }
    let counts: Vec<(String, usize)> = from.iter().map(|(address, count)| (address.to_string(), *count)).collect();
    assert_eq!(counts, [("127.0.0.2", 3), ("127.0.0.3", 2), ("127.0.0.4", 2)].map(|(at, n)| (at.to_owned(), n)));
    within("the run", running).await.expect("a run").expect("a report");
}

/// Threads that take all that they can get of the processor of whoever made them, until this is dropped.
struct Crowd(Arc<AtomicBool>);

impl Crowd {
    fn gather(count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..count {
            let over = Arc::clone(&over);
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {});
        }
        Self(over)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_generator_that_is_the_limit_says_so_wherever_it_reports() {
    // As `taskset -c N` with busy loops on the same processor would have it; the gateway has all of them.
    let gateway = support::gateway("[[route]]\npath = \"/echo\"\necho = {}\n");
    let url = format!("{}/echo", gateway.addresses[0]);
    let limited = std::thread::spawn(move || {
        let allowed = sched_getaffinity(None).expect("affinity");
        let first = (0..CpuSet::MAX_CPU).find(|at| allowed.is_set(*at)).expect("a processor");
        let mut one = CpuSet::new();
        one.set(first);
        sched_setaffinity(None, &one).expect("pinned");
        let _crowd = Crowd::gather(12);
        // Where others take the gateway's processors too, it may be the limit for a time: not each time. What is under
        // way at once keeps the generator busy.
        let run = || harness::run(["load", &url, "-c", "32", "--window", "8", "--for", "1s"]);
        let mut outcome = run();
        for _ in 0..5 {
            match &outcome {
                Ok((found, _)) if !found.generator.why.join("; ").contains("processor") => outcome = run(),
                _ => break,
            }
        }
        outcome
    });
    let (found, code) = limited.join().expect("a run").expect("a report");
    assert_eq!(code, 4, "{:?}", found.generator);
    let why = found.generator.why.join("; ");
    assert!(why.contains("processor"), "{why}");
    let text = harness::table::text(&found);
    assert!(text.contains(&format!("INVALID: the generator was the limit: {why}")), "{text}");
    let json = serde_json::to_value(&found).expect("plain data");
    assert_eq!(
        (&json["generator"]["valid"], json["generator"]["why"].as_array().map(Vec::is_empty)),
        (&false.into(), Some(false))
    );
    assert!(harness::html::page(&found).contains("INVALID: the generator was the limit"));
}

#[test]
fn a_generator_that_is_not_the_limit_is_not_said_to_be() {
    // It may be on a machine that is busy with other things: not each time.
    let mut seen = Vec::new();
    for _ in 0..20 {
        let options = ["--profile", "rate", "--rate", "20", "-c", "1", "--for", "200ms"];
        let (found, code) = run("/echo", &options).expect("a report");
        if found.generator.valid {
            assert_eq!((code, found.generator.why.len()), (0, 0));
            assert!(
                !harness::table::text(&found).contains("INVALID") && !harness::html::page(&found).contains("INVALID")
            );
            return;
        }
        seen.push(found.generator);
    }
    panic!("never valid: {seen:#?}");
}

#[test]
fn a_wsgate_apart_is_measured_with_what_it_spends() {
    let fanout = ["--profile", "fanout", "-c", "3", "--rate", "20"];
    for (apart, scheme, options) in [
        ("relay", "wss://", &["-c", "3"][..]),
        ("chat", "wss://", &fanout),
        ("chat", "ws://", &[&fanout[..], &["--plain"]].concat()),
    ] {
        let line = [&["load", "--apart", apart, "--for", "300ms", "--threads", "1"], options].concat();
        let (found, code) = harness::run(line).expect("a report");
        assert_eq!(code, code_of(&found, 0), "{found:?}");
        assert_eq!(found.meta.options["apart"], apart);
        assert!(found.meta.url.starts_with(scheme), "{}", found.meta.url);
        assert_eq!(found.latencies.contains_key("tls"), scheme == "wss://");
        assert!(found.errors.is_empty() && found.refusals.is_empty() && found.totals.received > 0, "{found:?}");
        let server = found.server.as_ref().expect("what it spent");
        assert!(server.cpu_seconds > 0.0 && server.pss_after > 1 << 20, "{server:?}");
        assert_eq!(server.cpu_us_per_delivery.is_some_and(|each| each > 0.0), apart == "chat", "{server:?}");
        assert!(!server.pids.contains(&std::process::id()), "{server:?}");
    }
}

#[test]
fn profiles_are_measured_side_by_side_and_compared_with_transparent() {
    let line = ["load", "--versus", "legacy", "--rounds", "2", "--for", "50ms"];
    // In so short a time nothing may come back where the machine is busy with other things: not each time.
    let found = (0..5).find_map(|_| harness::side_by_side(line).ok());
    let found = found.unwrap_or_else(|| harness::side_by_side(line).expect("a comparison"));
    assert_eq!((&found.programs[..], found.rounds), (&["transparent", "legacy"].map(str::to_owned)[..], 2));
    let names: Vec<&str> = found.rows.iter().map(|row| row.figure.as_str()).collect();
    assert_eq!(names.len(), 12);
    for load in ["alone, 32 B", "alone, 1.5 KiB", "64 connections, 32 B", "64 connections, 1 KiB"] {
        let row = |what: &str| {
            let name = format!("{what}, {load}");
            found.rows.iter().find(|row| row.figure == name).unwrap_or_else(|| panic!("no {name:?} in {names:?}"))
        };
        let [p50, p99, cpu] = ["latency p50", "latency p99", "CPU a round trip"].map(row);
        for row in [p50, p99, cpu] {
            assert_eq!((row.unit.as_str(), row.samples.iter().map(Vec::len).collect::<Vec<_>>()), ("µs", vec![2, 2]));
            assert!(row.samples.iter().flatten().all(|value| *value > 0.0), "{row:?}");
            let [ratio] = &row.ratios[..] else { panic!("{row:?}") };
            assert_eq!((ratio.of, ratio.to), (1, 0));
            let of_round = |round: usize| row.samples[1][round] / row.samples[0][round];
            assert!((ratio.median - f64::midpoint(of_round(0), of_round(1))).abs() < 1e-9, "{row:?}");
        }
        for (p50, p99) in p50.samples.iter().flatten().zip(p99.samples.iter().flatten()) {
            assert!(p50 <= p99, "{p50} and {p99} with {load}");
        }
        // One connection's server rests while the client and the backend work; its time is in the round trip's.
        assert!(!load.starts_with("alone") || cpu.medians.iter().zip(&p99.medians).all(|(cpu, p99)| cpu < p99));
    }
    assert!(found.text().contains("latency p99, alone, 1.5 KiB"), "{}", found.text());
}

#[test]
fn what_cannot_be_compared_is_said_before_anything_starts() {
    let why = |asked: &str| harness::side_by_side(["load", "--versus", asked]).expect_err("nothing to compare");
    assert!(why("lagacy").contains("profiles, or of these legacy, php-2048,"), "{}", why("lagacy"));
    for mixed in ["nginx,legacy", "legacy,node", "websockets,haproxy"] {
        assert!(why(mixed).contains("compare with them one by one"), "{}", why(mixed));
    }
    let rooms = harness::side_by_side(["load", "--versus", "node", "--rooms", "2"]).expect_err("one room");
    assert!(rooms.contains("without --plain, --rooms"), "{rooms}");
}

#[test]
fn refusals_are_told_by_status() {
    let why = run("/nowhere", &["--for", "100ms", "-c", "2"]).expect_err("no connection");
    assert_eq!(why, "no connection came about: refused with 404");
}
