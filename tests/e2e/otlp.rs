//! Spans at a collector of the test's own: what they say, and what becomes of them when it does not answer.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::log::{metric, visit};
use crate::support::frames::{self, CLOSE};
use crate::support::peer::Peer;
use crate::support::process::{Program, command, configure};
use crate::support::{gateway, within};

const TRACE: u128 = 0x4bf92f3577b34da6a3ce929d0e0e4736;
const SPAN: u64 = 0x00f067aa0ba902b7;

/// Takes spans over HTTP.
struct Collector(TcpListener);

impl Collector {
    async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("bind"))
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("address").to_string()
    }

    /// The next request: its head, and its body, which is protobuf.
    async fn next(&self) -> (String, Vec<u8>) {
        within("spans", async {
            let (mut stream, _) = self.0.accept().await.expect("accept");
            let mut bytes = Vec::new();
            let (head, length) = loop {
                assert!(stream.read_buf(&mut bytes).await.expect("read") > 0, "cut");
                let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let head = String::from_utf8(bytes.drain(..end + 4).collect()).expect("text").to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                break (head.clone(), length.expect("a length").parse::<usize>().expect("a number"));
            };
            while bytes.len() < length {
                assert!(stream.read_buf(&mut bytes).await.expect("read") > 0, "cut");
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("answered");
            (head, bytes)
        })
        .await
    }
}

/// A program that sends its spans there, with more keys, and its admin door.
async fn sending(endpoint: &str, more: &str) -> (TempDir, Program, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let admin = folder.path().join("admin");
    let config = format!(
        "[admin]\nlisten = \"unix:{}\"\n[otlp]\nendpoint = \"{endpoint}\"\n{more}\n\
         [[route]]\npath = \"/echo\"\necho = {{}}\n",
        admin.display()
    );
    configure(folder.path(), &config);
    let mut command = command(folder.path(), &[]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven").env("OTEL_RESOURCE_ATTRIBUTES", "site=north");
    let program = Program::spawn(command).await;
    (folder, program, admin)
}

fn has(body: &[u8], piece: &[u8]) -> bool {
    body.windows(piece.len()).any(|window| window == piece)
}

async fn until(admin: &Path, name: &str, count: usize) {
    within(name, async { while metric(admin, name).await < count {} }).await;
}

#[tokio::test]
async fn a_session_is_a_span_at_the_collector() {
    let collector = Collector::bind().await;
    let url = format!("http://{}", collector.address());
    let (_folder, program, admin) = sending(&url, "service_name = \"gate-7\"").await;
    let mut peer = Peer::connect(program.address()).await;
    let parent = format!("traceparent: 00-{TRACE:032x}-{SPAN:016x}-01");
    assert_eq!(peer.upgrade("/echo", &[&parent]).await.status, 101);
    peer.say("hello").await;
    peer.message().await;
    peer.send(&frames::client(CLOSE, &frames::close(4711, "enough"))).await;
    peer.message().await;
    peer.end().await;
    let (head, body) = collector.next().await;
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/x-protobuf\r\n",
        "x-tenant: seven\r\n",
        &format!("host: {}\r\n", collector.address()),
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let texts = [
        "gate-7",
        "site",
        "north",
        "websocket /echo",
        "client.address",
        "127.0.0.1",
        "http.route",
        "test.example",
        "wsgate.bytes_in",
        "wsgate.close_code",
        "4711 by client: enough",
    ];
    for piece in texts.map(str::as_bytes).into_iter().chain([&TRACE.to_be_bytes()[..], &SPAN.to_be_bytes()]) {
        assert!(has(&body, piece), "{}", String::from_utf8_lossy(piece));
    }
    until(&admin, "wsgate_spans_exported_total", 1).await;
    // One that nobody wants recorded, one that was refused, and one that is there until the end.
    let mut silent = Peer::connect(program.address()).await;
    assert_eq!(silent.upgrade("/echo", &[&parent.replace("-01", "-00").replace("4bf9", "5bf9")]).await.status, 101);
    let mut refused = Peer::connect(program.address()).await;
    assert_eq!(refused.upgrade("/nowhere", &[]).await.status, 404);
    drop((silent, refused));
    let mut last = program.open("/echo").await;
    program.signal("TERM").await;
    let close = last.message().await;
    last.agree(&close).await;
    let collect = async {
        let mut all = Vec::new();
        while !has(&all, b"websocket /echo") || !has(&all, b"connection") {
            all.extend(collector.next().await.1);
        }
        all
    };
    let (ended, all) = tokio::join!(program.ended(), collect);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!has(&all, &(TRACE | 1 << 124).to_be_bytes()), "a client's wish not to be recorded");
}

#[tokio::test]
async fn a_collector_that_says_nothing_costs_spans_and_nothing_else() {
    // Connections are taken by the kernel, and by nobody else.
    let collector = Collector::bind().await;
    let url = format!("http://{}", collector.address());
    let (_folder, mut program, admin) = sending(&url, "timeout = \"50ms\"").await;
    visit(&program).await;
    until(&admin, "wsgate_spans_dropped_total{reason=\"export\"}", 1).await;
    program.said(&["WARN wsgate::otlp: spans cannot be exported", "error=no answer in time"]).await;
    visit(&program).await;
    assert_eq!(program.stop().await.code, Some(0));
    let (_folder, program, admin) = sending(&url, "timeout = \"10m\"\nqueue = 1").await;
    let name = "wsgate_spans_dropped_total{reason=\"queue\"}";
    within(name, async {
        while metric(&admin, name).await < 2 {
            visit(&program).await;
        }
    })
    .await;
    assert_eq!(metric(&admin, "wsgate_spans_exported_total").await, 0);
}

#[tokio::test]
async fn a_collectors_certificate_is_checked_against_its_ca() {
    let folder = tempfile::tempdir().expect("folder");
    let made = wsgate::make_certificate(folder.path(), &["127.0.0.1".to_owned()]).expect("certificate");
    let certificates = format!("certificates = [{{ chain = {:?}, key = {:?} }}]", made.chain, made.key);
    // Whoever answers at all is trusted: another gateway's echo takes no spans.
    let server = gateway(&format!("[tls]\n{certificates}\n[[route]]\npath = \"/\"\necho = {{}}\n"));
    let url = format!("https://{}", server.address());
    for (more, told) in [
        (String::new(), "invalid peer certificate"),
        (format!("ca = {:?}", made.authority), "failed with status code: 4"),
    ] {
        let (_folder, mut program, _) = sending(&url, &more).await;
        visit(&program).await;
        program.said(&["spans cannot be exported", told]).await;
    }
}
