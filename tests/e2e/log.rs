//! The log: one line for each connection with all that is known of it, no secrets, and nothing that a client could
//! make into a line of its own.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use crate::auth::{jwt, now, token};
use crate::support::backend::Backend;
use crate::support::frames::{self, CLOSE, TEXT};
use crate::support::peer::Peer;
use crate::support::process::{Program, command, configure};
use crate::support::{trust, within};

const ROUTES: &str = "[tls]\nself_signed = [\"localhost\"]\n[[route]]\npath = \"/echo\"\necho = {}\n\
    [[route]]\npath = \"/chat\"\nhub = {}\n";

/// A line of a log in JSON.
pub fn object(line: &str) -> Map<String, Value> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

async fn start(folder: &TempDir, config: &str, format: &str, level: &str) -> Program {
    configure(folder.path(), config);
    Program::start(folder.path(), &["--log-format", format, "--log", level]).await
}

/// A session with one message each way over TLS, closed by the client with this code and reason.
async fn session(program: &Program, path: &str, code: u16, reason: &str) {
    let client = trust::anybody(trust::ANY, |_| ());
    let mut peer = program.open_tls(path, client).await;
    peer.say("hello").await;
    peer.message().await;
    peer.send(&frames::client(CLOSE, &frames::close(code, reason))).await;
    assert_eq!(peer.message().await.code(), code);
    peer.end().await;
}

#[tokio::test]
async fn a_session_leaves_one_line_of_text_with_everything() {
    let folder = folder();
    let mut program = start(&folder, ROUTES, "text", "info").await;
    session(&program, "/echo", 4711, "enough of it").await;
    let line = program.said(&["websocket ended"]).await;
    for piece in [
        "INFO wsgate::connection: ",
        " address=127.0.0.1 ",
        " host=\"test.example\" ",
        " route=\"/echo\" ",
        " backend=\"\" ",
        " tls=\"TLSv1.3\" ",
        " seconds=",
        " frames_in=1 ",
        " frames_out=1 ",
        " bytes_in=5 ",
        " bytes_out=5 ",
        " ended_by=\"client\" ",
        " code=4711 ",
        " reason=\"enough of it\"",
    ] {
        assert!(line.contains(piece), "{piece:?}: {line}");
    }
    let ended = program.stop().await;
    assert_eq!(ended.err.matches("wsgate::connection").count(), 1, "{}", ended.err);
}

#[tokio::test]
async fn a_session_leaves_one_object_of_json_with_everything() {
    let backend = Backend::bind().await.echo();
    let folder = folder();
    let proxy =
        format!("[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{backend}\"]\n");
    let mut program = start(&folder, &format!("{ROUTES}{proxy}"), "json", "info").await;
    session(&program, "/ws", 1000, "bye").await;
    let line = object(&program.said(&["websocket ended"]).await);
    for (key, value) in [
        ("level", Value::from("INFO")),
        ("target", Value::from("wsgate::connection")),
        ("message", Value::from("websocket ended")),
        ("address", Value::from("127.0.0.1")),
        ("host", Value::from("test.example")),
        ("route", Value::from("/ws")),
        ("backend", Value::from(backend)),
        ("tls", Value::from("TLSv1.3")),
        ("frames_in", Value::from(1)),
        ("frames_out", Value::from(1)),
        ("bytes_in", Value::from(5)),
        ("bytes_out", Value::from(5)),
        ("ended_by", Value::from("client")),
        ("code", Value::from(1000)),
        ("reason", Value::from("bye")),
    ] {
        assert_eq!(line.get(key), Some(&value), "{key}: {line:?}");
    }
    assert!(line["seconds"].as_f64().is_some_and(|seconds| (0.0..20.0).contains(&seconds)), "{line:?}");
    assert!(line["timestamp"].is_string() && line["id"].is_u64(), "{line:?}");
}

/// What a member of a room gets is payload, as it is everywhere else.
#[tokio::test]
async fn bytes_are_payload_in_the_hub_too() {
    let folder = folder();
    let mut program = start(&folder, ROUTES, "json", "info").await;
    session(&program, "/chat", 1000, "").await;
    let line = object(&program.said(&["websocket ended"]).await);
    let counted = ["frames_in", "bytes_in", "frames_out", "bytes_out"].map(|key| line[key].as_u64());
    assert_eq!(counted, [1, 5, 1, "User #1: hello".len() as u64].map(Some), "{line:?}");
}

#[tokio::test]
async fn tls_versions_and_plain_are_told_apart() {
    let folder = folder();
    let mut program = start(&folder, ROUTES, "json", "info").await;
    let old = trust::anybody(trust::TLS12, |_| ());
    drop(program.open_tls("/echo", old).await);
    program.said(&["websocket ended", "TLSv1.2"]).await;
    let plain = self::folder();
    let mut program = start(&plain, "[[route]]\npath = \"/echo\"\necho = {}\n", "json", "info").await;
    drop(program.open("/echo").await);
    let line = object(&program.said(&["websocket ended"]).await);
    assert_eq!((&line["tls"], &line["ended_by"], &line["code"]), (&"-".into(), &"client".into(), &1006.into()));
}

#[tokio::test]
async fn a_refusal_leaves_one_line_with_its_reason() {
    let folder = folder();
    let mut program = start(&folder, ROUTES, "json", "info").await;
    let client = trust::anybody(trust::ANY, |_| ());
    let mut peer = program.connect_tls(client).await;
    assert_eq!(peer.upgrade("/echo", &["Origin: https://evil.example"]).await.status, 403);
    drop(peer);
    let line = object(&program.said(&["connection ended"]).await);
    assert_eq!((&line["status"], &line["requests"], &line["address"]), (&403.into(), &1.into(), &"127.0.0.1".into()));
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("Origin")), "{line:?}");
    assert_eq!(line["host"], "test.example");
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let (refusing, serving) = (Backend::bind().await, Backend::bind().await);
    let folder = folder();
    let route = |path: &str, pool: &str| format!("[[route]]\npath = \"{path}\"\nproxy = {{ pool = \"{pool}\" }}\n");
    let pools = format!(
        "[pool.a]\nbackends = [\"{}\"]\n[pool.b]\nbackends = [\"{}\"]\n[pool.down]\nbackends = [\"ws://127.0.0.1:1\"]\n",
        refusing.url(),
        serving.url()
    );
    let config = format!("{ROUTES}{}{}{}{pools}", route("/a", "a"), route("/b", "b"), route("/down", "down"));
    let mut program = start(&folder, &config, "text", "trace").await;
    let client = trust::anybody(trust::ANY, |_| ());
    let secrets = [
        "Cookie: session=s3cret-cookie",
        "Authorization: Bearer s3cret-token",
        "Sec-WebSocket-Protocol: s3cret-protocol",
        "X-Api-Key: s3cret-key",
    ];
    for (path, status) in [("/echo", 101), ("/down", 502), ("/nowhere", 404)] {
        let mut peer = program.connect_tls(client.clone()).await;
        let answer = peer.upgrade(&format!("{path}?token=s3cret-query"), &secrets).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 101 {
            peer.say("s3cret-message").await;
            assert_eq!(peer.message().await.text(), "s3cret-message");
        }
    }
    let mut peer = program.connect_tls(client.clone()).await;
    let refuse = async {
        let mut behind = refusing.accept().await;
        assert!(behind.head().await.contains("s3cret-cookie"), "the backend gets it");
        behind
            .send(b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: x=s3cret-set\r\nContent-Length: 12\r\n\r\ns3cret-body\n")
            .await;
    };
    let (answer, ()) = tokio::join!(peer.upgrade("/a?token=s3cret-query", &secrets), refuse);
    assert_eq!(answer.status, 403);
    let mut peer = program.connect_tls(client).await;
    let (answer, (mut behind, _)) =
        tokio::join!(peer.upgrade("/b?token=s3cret-query", &secrets), serving.upgrade(&["Set-Cookie: x=s3cret-set"]));
    assert_eq!(answer.status, 101);
    behind.send(&frames::server(TEXT, b"s3cret-answer")).await;
    assert_eq!(peer.message().await.text(), "s3cret-answer");
    // A frame that breaks the law is shown by its head alone.
    behind.send(&frames::plain(0xb3, b"s3cret-offence")).await;
    assert_eq!(peer.message().await.code(), 1011);
    drop((peer, behind));
    program.said(&["a backend broke the protocol"]).await;
    program.said(&["websocket ended", "/b"]).await;
    let ended = program.stop().await;
    let told = ended.err.lines().find(|line| line.contains("s3cret"));
    assert_eq!(told, None);
}

/// A token in each place where it may be.
async fn show_token(program: &Program, backend: &Backend, (token, status): (&str, u16)) {
    let query = format!("/jwt?t={token}&password=s3cret-query");
    for (path, line) in [
        ("/jwt", format!("Authorization: Bearer {token}")),
        ("/jwt", format!("Cookie: session=s3cret-cookie; id={token}")),
        (query.as_str(), "X-Api-Key: s3cret-key".to_owned()),
        ("/jwt", format!("Sec-WebSocket-Protocol: bearer, {token}")),
    ] {
        let mut peer = Peer::connect(program.address()).await;
        let lines = [line.as_str()];
        let answer = match status {
            101 => tokio::join!(peer.upgrade(path, &lines), backend.upgrade(&[])).0,
            _ => peer.upgrade(path, &lines).await,
        };
        assert_eq!(answer.status, status, "{path} {line}");
    }
}

/// All kinds of doors, and what is behind them.
fn guarded(admin: &Path, auth: &str, asked: &Backend, backend: &Backend) -> String {
    format!(
        "[limits]\nhandshakes_per_address = \"0/s\"\n[admin]\nlisten = \"unix:{}\"\ntoken_file = \"admin.token\"\n\
         [[route]]\npath = \"/jwt\"\n{auth}proxy = {{ pool = \"p\" }}\n\
         [[route]]\npath = \"/asked\"\nauth = {{ kind = \"request\", url = \"http://{}/auth?key=s3cret-url\" }}\n\
         proxy = {{ pool = \"p\" }}\n\
         [[route]]\npath = \"/chat\"\nhub = {{ fixed = [{{ name = \"a\", secret = \"s3cret-room\" }}] }}\n\
         [[route]]\npath = \"/site\"\nhttp = {{ pool = \"down\" }}\n\
         [pool.p]\nbackends = [\"{}\"]\n[pool.down]\nbackends = [\"ws://127.0.0.1:1\"]\n",
        admin.display(),
        asked.url().trim_start_matches("ws://"),
        backend.url(),
    )
}

/// Tokens, good and bad ones, in each place where they may be; what a server that is asked, a hub, the admin door and a
/// site get to know.
async fn show_credentials(level: &str, format: &str) {
    let [backend, asked] = [Backend::bind().await, Backend::bind().await];
    let (folder, auth) = jwt("token = [\"header\", \"cookie:id\", \"query:t\", \"subprotocol\"]");
    let admin = folder.path().join("admin");
    std::fs::write(folder.path().join("admin.token"), "s3cret-admin-0123456789\n").expect("write");
    let config = guarded(&admin, &auth, &asked, &backend);
    configure(folder.path(), &config);
    let program = Program::start(folder.path(), &["--log", level, "--log-format", format]).await;
    let connect = async || Peer::connect(program.address()).await;
    let good = token(&json!({ "sub": "anna", "exp": now() + 600 }));
    let late = token(&json!({ "sub": "anna", "exp": now() - 600 }));
    let forged = format!("{}A", &good[..good.len() - 2]);
    for (token, status) in [(&good, 101), (&late, 401), (&forged, 401)] {
        show_token(&program, &backend, (token, status)).await;
    }
    let lines = ["Cookie: session=s3cret-cookie", "Authorization: Basic czNjcmV0LXBhc3N3b3Jk"];
    for (answer, status) in
        [("HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\ns3cret", 403), ("nonsense s3cret\r\n\r\n", 503)]
    {
        let mut peer = connect().await;
        let (refused, ()) = tokio::join!(peer.upgrade("/asked?password=s3cret-query", &lines), async {
            let mut server = asked.accept().await;
            assert!(server.head().await.contains("s3cret-cookie"), "the server gets it");
            server.send(answer.as_bytes()).await;
        });
        assert_eq!(refused.status, status);
    }
    let mut member = connect().await;
    assert_eq!(member.upgrade("/chat", &["Sec-WebSocket-Protocol: wsgate.chat.v1"]).await.status, 101);
    for (secret, told) in [("s3cret-wrong", "wrong_secret"), ("s3cret-room", "\"joined\"")] {
        member.say(&json!({ "type": "join", "room": "a", "secret": secret }).to_string()).await;
        while !member.message().await.text().contains(told) {}
    }
    for (secret, status) in [("s3cret-admin-wrong", 401), ("s3cret-admin-0123456789", 200)] {
        let mut door = Peer::new(UnixStream::connect(&admin).await.expect("connect"));
        let line = format!("GET /connections HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n\r\n");
        door.send(line.as_bytes()).await;
        assert_eq!(door.answer().await.status, status);
    }
    let mut page = connect().await;
    let head = format!("GET /site?password=s3cret-query HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", lines.join("\r\n"));
    page.send(head.as_bytes()).await;
    assert_eq!(page.answer().await.status, 502);
    drop((member, page));
    let log = program.stop().await.err;
    assert!(["error", "warn"].contains(&level) || log.contains("drained"), "{log}");
    let parts = [&good, &late, &forged].into_iter().flat_map(|token| token.split('.').skip(1));
    for secret in parts.chain(["s3cret", "czNjcmV0"]) {
        let told = log.lines().find(|line| line.contains(secret));
        assert_eq!(told, None, "{level} {format}: {secret}");
    }
}

#[tokio::test]
async fn no_credential_is_logged_at_any_level() {
    for level in ["error", "warn", "info", "debug", "trace"] {
        show_credentials(level, "text").await;
    }
    show_credentials("trace", "json").await;
}

#[tokio::test]
async fn a_reason_cannot_forge_a_line() {
    let reason = "bye\n2030-01-01T00:00:00Z  INFO wsgate::connection: forged\r\x1b[2J\u{9b}\u{2028}\0";
    for format in ["text", "json"] {
        let folder = folder();
        let mut program = start(&folder, ROUTES, format, "info").await;
        session(&program, "/echo", 1000, reason).await;
        let line = program.said(&["websocket ended"]).await;
        assert!(line.contains("forged"), "on the one line: {line}");
        let ended = program.stop().await;
        // JSON need not escape more than the lower control characters (RFC 8259 §7); text is for terminals.
        let is_stray = |char: char| match format {
            "json" => char.is_ascii_control(),
            _ => char.is_control() || char == '\u{2028}',
        };
        let stray = ended.err.chars().find(|char| is_stray(*char) && *char != '\n');
        assert_eq!(stray, None, "{}", ended.err);
        assert!(!ended.err.lines().any(|line| line.starts_with("2030")), "{}", ended.err);
        if format == "json" {
            assert!(object(&line)["reason"].as_str().is_some_and(|reason| reason.contains("forged")));
        }
    }
}

#[tokio::test]
async fn a_backends_reason_and_a_host_cannot_forge_a_line_either() {
    let backend = Backend::bind().await;
    let folder = folder();
    let proxy =
        format!("[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{}\"]\n", backend.url());
    let mut program = start(&folder, &proxy, "text", "trace").await;
    let (_peer, (mut behind, _)) = tokio::join!(program.open("/"), backend.upgrade(&[]));
    behind.send(&frames::server(CLOSE, &frames::close(1000, "a\nforged\x1b[0m"))).await;
    let mut peer = Peer::connect(program.address()).await;
    peer.send("GET / HTTP/1.1\r\nHost: a\u{9b}\u{85}\" forged=\"1\r\n\r\n".as_bytes()).await;
    assert!(peer.answer().await.status >= 400);
    drop((peer, _peer, behind));
    program.said(&["websocket ended"]).await;
    program.said(&["connection ended"]).await;
    let ended = program.stop().await;
    let stray = ended.err.chars().find(|char| char.is_control() && *char != '\n');
    assert_eq!(stray, None, "{}", ended.err);
    assert!(!ended.err.lines().any(|line| line.starts_with("forged")), "{}", ended.err);
}

#[tokio::test]
async fn a_legacy_session_tells_what_its_frames_wait_for() {
    for (profile, word) in [("legacy", "queue"), ("ratchet", "nothing")] {
        let folder = folder();
        let url = Backend::bind().await.echo();
        let config = format!("{}{}", ROUTES, crate::support::backend::relay(profile, &[&url], ""));
        let mut program = start(&folder, &config, "text", "debug").await;
        session(&program, "/ws", 1000, "").await;
        let (url, word) = (format!("backend=\"{url}\""), format!("waits_for=\"{word}\""));
        program.said(&["a shielded session begins", &url, &word]).await;
    }
}

// More lines than anybody reads

/// What the admin door behind this socket says of a metric; 0 as long as it says nothing.
pub async fn metric(admin: &Path, name: &str) -> usize {
    let mut door = Peer::new(UnixStream::connect(admin).await.expect("connect"));
    door.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let text = door.answer().await.body;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// A program that samples so, and its admin door.
async fn sampling(folder: &TempDir, rule: &str) -> (Program, PathBuf) {
    let admin = folder.path().join("admin");
    let config = format!(
        "[admin]\nlisten = \"unix:{}\"\n[log]\n{rule}\n[[route]]\npath = \"/echo\"\necho = {{}}\n",
        admin.display()
    );
    (Program::configured(folder.path(), &config).await, admin)
}

#[tokio::test]
async fn lines_beyond_the_share_of_their_kind_are_left_out_and_counted() {
    let folder = folder();
    let (program, admin) = sampling(&folder, "sample = \"2/h\"").await;
    for (code, count) in [(1000, 5), (4711, 3)] {
        for _ in 0..count {
            leave(program.open("/echo").await, code).await;
        }
    }
    for _ in 0..4 {
        let mut peer = Peer::connect(program.address()).await;
        assert_eq!(peer.upgrade("/nowhere", &[]).await.status, 404);
    }
    for (kind, count) in [("ordinary", 3), ("abnormal", 1), ("refused", 2)] {
        let name = format!("wsgate_log_lines_left_out_total{{kind=\"{kind}\"}}");
        within(&name, async { while metric(&admin, &name).await < count {} }).await;
        assert_eq!(metric(&admin, &name).await, count, "{kind}");
    }
    let log = program.stop().await.err;
    for piece in [" code=1000 ", " code=4711 ", "connection ended"] {
        assert_eq!(log.matches(piece).count(), 2, "{piece}: {log}");
    }
    // Told second by second.
    let told = log.lines().filter(|line| line.contains("INFO wsgate::connection: lines were left out here: "));
    let sums = told.fold([0; 3], |sums, line| {
        let of = |name: &str| line.split(' ').find_map(|part| part.strip_prefix(name)?.parse::<usize>().ok());
        let [Some(ordinary), Some(refused), Some(abnormal)] = ["ordinary=", "refused=", "abnormal="].map(of) else {
            panic!("{line}")
        };
        [sums[0] + ordinary, sums[1] + refused, sums[2] + abnormal]
    });
    assert_eq!(sums, [3, 2, 1], "{log}");
}

#[tokio::test]
async fn beyond_the_share_each_one_of_so_many_is_written() {
    let folder = folder();
    let (program, _) = sampling(&folder, "sample = \"1/h\"\nsample_every = 2").await;
    for _ in 0..6 {
        leave(program.open("/echo").await, 1000).await;
    }
    let log = program.stop().await.err;
    assert_eq!(log.matches("websocket ended").count(), 3, "{log}");
}

#[tokio::test]
async fn without_sampling_all_lines_are_written() {
    let folder = folder();
    let (program, _) = sampling(&folder, "sample = \"0/s\"").await;
    for _ in 0..6 {
        leave(program.open("/echo").await, 1000).await;
    }
    let log = program.stop().await.err;
    assert_eq!((log.matches("websocket ended").count(), log.matches("left out").count()), (6, 0), "{log}");
}

// A reader that does not read

/// A program that serves plain `ws`, whose standard error is full from the start; and its reader.
async fn stalled(folder: &TempDir, config: &str) -> (Program, UnixStream) {
    let (reader, mut writer) = std::os::unix::net::UnixStream::pair().expect("a pair");
    writer.set_nonblocking(true).expect("switched");
    for size in [4096, 1] {
        while writer.write(&vec![b'\n'; size]).is_ok() {}
    }
    writer.set_nonblocking(false).expect("switched");
    reader.set_nonblocking(true).expect("switched");
    // Nothing to warn of: its lines are counted.
    let limits = "[limits]\nconnections = 200\nhandshakes_per_address = \"0/s\"\n";
    let text = format!("{config}{limits}[[route]]\npath = \"/echo\"\necho = {{}}\n");
    configure(folder.path(), &text);
    let mut command = command(folder.path(), &[]);
    command.stderr(Stdio::from(OwnedFd::from(writer)));
    (Program::spawn(command).await, UnixStream::from_std(reader).expect("reader"))
}

/// A session that leaves one line.
pub async fn visit(program: &Program) {
    leave(program.open("/echo").await, 1000).await;
}

/// One message each way, and the end.
async fn leave(mut peer: Peer, code: u16) {
    peer.say("hello").await;
    peer.message().await;
    peer.send(&frames::client(CLOSE, &frames::close(code, "bye"))).await;
    peer.message().await;
    peer.end().await;
}

/// What is to be read until a line has this in it, beyond the empty lines that it was full of.
pub async fn read_until(reader: &mut UnixStream, piece: &str) -> String {
    let mut bytes = Vec::new();
    within(piece, async {
        while !String::from_utf8_lossy(&bytes).contains(piece) {
            assert!(reader.read_buf(&mut bytes).await.expect("read") > 0, "{}", String::from_utf8_lossy(&bytes));
        }
    })
    .await;
    String::from_utf8(bytes).expect("text").trim_start().to_owned()
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody_and_says_what_is_missing() {
    let folder = folder();
    let admin = folder.path().join("admin");
    let config = format!("workers = 2\n[admin]\nlisten = \"unix:{}\"\n[log]\nbuffer = 5\n", admin.display());
    let (program, mut reader) = stalled(&folder, &config).await;
    for _ in 0..20 {
        visit(&program).await;
    }
    // With the first in hand, five wait; lines of the last session may still be on their way.
    let lost = async || metric(&admin, "wsgate_log_lines_lost_total").await;
    within("the last line to be lost", async { while lost().await < 15 {} }).await;
    let text = read_until(&mut reader, "log lines were lost here: they were not read in time").await;
    let (before, missing) = text.split_once(" WARN ").expect("a warning");
    let missing: usize = missing.trim_end().rsplit_once("lines=").expect("how many").1.parse().expect("a number");
    assert_eq!((before.matches("ready ").count(), before.matches("websocket ended").count()), (1, 5), "{text}");
    assert_eq!((missing, lost().await), (15, 15), "{text}");
    visit(&program).await;
    read_until(&mut reader, "websocket ended").await;
    program.signal("TERM").await;
    read_until(&mut reader, " drained ").await;
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_last_lines_are_written_before_the_end() {
    let folder = folder();
    let (program, mut reader) = stalled(&folder, "").await;
    let mut peers = Vec::new();
    for _ in 0..100 {
        peers.push(program.open("/echo").await);
    }
    program.signal("TERM").await;
    for mut peer in peers {
        let close = peer.message().await;
        peer.agree(&close).await;
    }
    // Only now, when there is nobody left to serve.
    let text = read_until(&mut reader, " drained ").await;
    assert_eq!(text.matches("websocket ended").count(), 100, "{text}");
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_end_does_not_wait_for_who_never_reads() {
    let folder = folder();
    let (program, _reader) = stalled(&folder, "").await;
    visit(&program).await;
    assert_eq!(program.stop().await.code, Some(0));
}
