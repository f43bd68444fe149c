//! Trace context: what a backend is told of the trace that a request belongs to, and what the log knows of it.

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::log::object;
use crate::support::backend::Backend;
use crate::support::peer::Peer;
use crate::support::process::Program;
#[cfg(not(feature = "otel"))]
use crate::support::process::{configure, run};
use crate::support::within;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const GOOD: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A gateway before this backend, with these keys beside `pool`, and a hub; its log is for machines.
async fn site(backend: &Backend, proxy: &str) -> (TempDir, Program) {
    let folder = tempfile::tempdir().expect("folder");
    let config = format!(
        "[log]\nformat = \"json\"\n[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"p\"{proxy} }}\n\
         [[route]]\npath = \"/chat\"\nhub = {{}}\n[pool.p]\nbackends = [\"{}\"]\n",
        backend.url()
    );
    let program = Program::configured(folder.path(), &config).await;
    (folder, program)
}

/// What the backend gets when a client asks with these lines, and what the log says of that.
async fn asked(proxy: &str, lines: &[&str]) -> (Vec<String>, Map<String, Value>) {
    let backend = Backend::bind().await;
    let (_folder, mut program) = site(&backend, proxy).await;
    let mut peer = Peer::connect(program.address()).await;
    let (answer, (far, head)) = tokio::join!(peer.upgrade("/ws", lines), backend.upgrade(&[]));
    assert_eq!(answer.status, 101, "{answer:?}");
    drop((peer, far));
    let line = object(&program.said(&["websocket ended"]).await);
    let traced = |line: &&str| line.to_ascii_lowercase().starts_with("trace");
    (head.lines().filter(traced).map(str::to_owned).collect(), line)
}

/// A backend's line in its parts: the trace, the span, the flags.
fn parts(line: &str) -> (String, String, String) {
    let parts: Vec<&str> = line.strip_prefix("traceparent: 00-").expect(line).split('-').collect();
    let [trace, span, flags] = parts[..] else { panic!("{line}") };
    assert!(trace.len() == 32 && span.len() == 16 && flags.len() == 2, "{line}");
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}

#[tokio::test]
async fn a_clients_trace_goes_on_with_the_gateway_in_it() {
    let lines = [GOOD, "Tracestate: a=1", "tracestate:b@c=2 , "];
    for proxy in
        ["", ", traceparent = \"pass\"", ", traceparent = \"make\"", ", profile = \"legacy\", traceparent = \"pass\""]
    {
        let (told, line) = asked(proxy, &lines).await;
        let [parent, state] = &told[..] else { panic!("{proxy}: {told:?}") };
        let (trace, span, flags) = parts(parent);
        assert_eq!((trace.as_str(), flags.as_str(), state.as_str()), (TRACE, "01", "tracestate: a=1,b@c=2"), "{proxy}");
        assert_ne!(span, "00f067aa0ba902b7");
        assert_eq!(line["trace_id"], TRACE, "{proxy}");
    }
}

#[tokio::test]
async fn where_a_client_names_none_that_is_sound_there_is_none_or_a_new_one() {
    let bad = GOOD.replace("4bf", "4BF");
    let twice = [GOOD, GOOD];
    for lines in [&[][..], &["tracestate: a=1"], &[&bad, "tracestate: a=1"], &twice] {
        let (told, line) = asked("", lines).await;
        assert_eq!((&told[..], line.get("trace_id")), (&[][..], None), "{lines:?}");
        let (told, line) = asked(", traceparent = \"make\"", lines).await;
        let [parent] = &told[..] else { panic!("{told:?}") };
        let (trace, _, flags) = parts(parent);
        assert!(line["trace_id"] == *trace && trace != TRACE && flags == "01", "{parent} {line:?}");
    }
}

#[tokio::test]
async fn no_two_requests_have_the_same_span_or_a_new_trace_in_common() {
    let backend = Backend::bind().await;
    let (_folder, program) = site(&backend, ", traceparent = \"make\"").await;
    let mut spans = Vec::new();
    for lines in [&[GOOD][..], &[GOOD], &[], &[]] {
        let mut peer = Peer::connect(program.address()).await;
        let (_, (_far, head)) = tokio::join!(peer.upgrade("/ws", lines), backend.upgrade(&[]));
        spans.push(parts(head.lines().find(|line| line.starts_with("traceparent")).expect("a line")));
    }
    assert!(spans[2].0 != spans[3].0 && spans[0].0 == spans[1].0, "{spans:?}");
    spans.sort_by(|a, b| a.1.cmp(&b.1));
    spans.dedup_by(|a, b| a.1 == b.1);
    assert_eq!(spans.len(), 4, "{spans:?}");
}

#[tokio::test]
async fn nothing_is_added_for_small_buffers_and_what_is_named_passes_as_it_stands() {
    for proxy in [", profile = \"legacy\"", ", profile = \"swoole\"", ", traceparent = \"off\""] {
        let (told, line) = asked(proxy, &[GOOD, "tracestate: a=1"]).await;
        assert_eq!((&told[..], line.get("trace_id")), (&[][..], None), "{proxy}");
    }
    let (told, line) = asked(", pass_headers = [\"traceparent\"]", &[GOOD, "tracestate: a=1"]).await;
    assert_eq!((told, line.get("trace_id")), (vec![GOOD.replacen('t', "T", 1)], None));
    // Where the budget is small, there is no room for it.
    let agent = format!("User-Agent: {}", "u".repeat(200));
    let cookie = format!("Cookie: PHPSESSID={}", "c".repeat(290));
    let with = ", profile = \"legacy\", traceparent = \"make\", legacy = { head_budget = 640 }";
    let (told, line) = asked(with, &[&agent, &cookie]).await;
    assert!(told.is_empty() && line["trace_id"].is_string(), "{told:?} {line:?}");
}

#[cfg(not(feature = "otel"))]
#[tokio::test]
async fn a_program_that_was_not_built_for_it_refuses_to_send_spans() {
    let folder = tempfile::tempdir().expect("folder");
    let config = "[otlp]\nendpoint = \"http://collector.example\"\n[[route]]\npath = \"/\"\necho = {}\n";
    configure(folder.path(), config);
    for arguments in [&["check"][..], &[]] {
        let ended = run(folder.path(), arguments).await;
        let told = "otlp: this wsgate was built without otel; allowed: nothing, or a build with --features otel";
        assert!(ended.code == Some(78) && ended.err.contains(told), "{ended:?}");
    }
}

#[tokio::test]
async fn the_log_knows_a_trace_that_led_to_no_backend_too() {
    let backend = Backend::bind().await;
    let (_folder, mut program) = site(&backend, "").await;
    let mut peer = Peer::connect(program.address()).await;
    assert_eq!(peer.upgrade("/chat", &[GOOD]).await.status, 101);
    drop(peer);
    let line = object(&program.said(&["websocket ended"]).await);
    assert_eq!(line["trace_id"], TRACE);
    let mut peer = Peer::connect(program.address()).await;
    let refuse = async {
        let mut far = backend.accept().await;
        far.head().await;
        far.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    };
    let (answer, ()) = within("a refusal", async { tokio::join!(peer.upgrade("/ws", &[GOOD]), refuse) }).await;
    assert_eq!(answer.status, 403);
    drop(peer);
    let line = object(&program.said(&["connection ended"]).await);
    assert_eq!(line["trace_id"], TRACE);
}
