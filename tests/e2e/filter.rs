//! A service that is asked before something is said: what it sees, what its answers do, and what is done without one.

use serde_json::{Value, json};

use crate::chat::{Member, hub};
use crate::moderation;
use crate::support::backend::Backend;
use crate::support::frames::{TEXT, client};
use crate::support::peer::STUCK;
use crate::support::{Peer, Running, gateway, log, logged, parse};

fn wish(service: &Backend, more: &str) -> String {
    format!("filter = {{ url = \"http://{}/judge?a=b\", timeout = \"30s\", {more} }}", service.address)
}

/// A hub whose questions have connections of their own.
fn filtered(service: &Backend, more: &str) -> Running {
    hub(&wish(service, &format!("idle_connections = 0, {more}")))
}

/// With an admin door, and connections that are kept.
fn counted(service: &Backend, more: &str) -> Running {
    gateway(&config(&wish(service, more)))
}

fn config(filter: &str) -> String {
    let top = "workers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    format!("{top}[[route]]\npath = \"/chat\"\nhub = {{ say = {{ rate = \"0/s\" }}, {filter} }}\n")
}

/// The next question: who waits for its answer, the head, and the JSON.
async fn asked(service: &Backend) -> (Peer, String, Value) {
    let mut peer = service.accept().await;
    let (head, question) = next(&mut peer).await;
    (peer, head, question)
}

/// The next question on this connection.
async fn next(peer: &mut Peer) -> (String, Value) {
    let head = peer.head().await;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("length");
    let body = peer.read_exact(length.parse().expect("number")).await;
    (head, serde_json::from_slice(&body).expect("JSON"))
}

async fn answer(peer: &mut Peer, status: &str, body: &str) {
    peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
}

/// What was said so passes, and has its place.
async fn said(member: &mut Member, text: &str) {
    assert_eq!(member.expect("say").await["text"], text);
    assert_eq!(member.expect("ack").await["ref"], text);
}

fn say(text: &str) -> Value {
    json!({ "type": "say", "text": text, "ref": text })
}

#[tokio::test]
async fn a_message_passes_is_changed_or_refused() {
    let service = Backend::bind().await;
    let gateway = filtered(&service, "");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    ann.send(&say("one")).await;
    let (mut waits, head, question) = asked(&service).await;
    assert!(head.starts_with("POST /judge?a=b HTTP/1.1\r\n"), "{head}");
    for line in [&*format!("Host: {}", service.address), "Content-Type: application/json", "Connection: close"] {
        assert!(head.contains(&format!("{line}\r\n")), "{head}");
    }
    assert_eq!(question, json!({ "room": "lobby", "member": ann.hello["id"], "name": "Ann", "text": "one" }));
    answer(&mut waits, "200 OK", "").await;
    assert_eq!(ann.expect("say").await["text"], "one");
    assert_eq!(ann.expect("ack").await["ref"], "one");
    for (status, body, text) in [
        ("200 OK", r#"{"text":"***"}"#, Some("***")),
        ("204 No Content", "", Some("two")),
        ("200 OK", "{}", Some("two")),
    ] {
        ann.send(&json!({ "type": "say", "text": "two" })).await;
        let (mut waits, ..) = asked(&service).await;
        if status.starts_with("204") {
            waits.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        } else {
            answer(&mut waits, status, body).await;
        }
        assert_eq!(ann.expect("say").await["text"].as_str(), text, "{status} {body}");
    }
    for (status, body, text) in [
        ("403 Forbidden", r#"{"reason":"no links"}"#, "no links"),
        ("422 Unprocessable", "nonsense", "this may not be said here"),
    ] {
        ann.send(&say("three")).await;
        answer(&mut asked(&service).await.0, status, body).await;
        let error = json!({ "type": "error", "code": "filtered", "text": text, "room": "lobby", "ref": "three" });
        assert_eq!(ann.expect("error").await, error);
    }
    // In plain text it is left out, and nobody is sent away for it.
    let mut plain = gateway.open("/chat/plain").await;
    plain.say("bad").await;
    answer(&mut asked(&service).await.0, "403 Forbidden", "").await;
    plain.say("good").await;
    let (mut waits, _, question) = asked(&service).await;
    assert_eq!((&question["text"], &question["name"]), (&json!("good"), &json!("User #2")));
    answer(&mut waits, "200 OK", "").await;
    assert_eq!(plain.message().await.text(), "User #2: good");
}

#[tokio::test]
async fn one_member_is_asked_about_in_turn_and_nobody_waits_for_another() {
    let service = Backend::bind().await;
    let gateway = filtered(&service, "");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut bob = Member::joined(&gateway, "/chat", "Bob").await;
    ann.expect("join").await;
    let frames: Vec<u8> =
        ["1", "2", "3"].iter().flat_map(|text| client(TEXT, say(text).to_string().as_bytes())).collect();
    ann.send_bytes(&frames).await;
    let (mut first, _, question) = asked(&service).await;
    assert_eq!(question["text"], "1");
    // The next question is another member's, whose message is said meanwhile.
    bob.send(&say("b")).await;
    let (mut waits, _, question) = asked(&service).await;
    assert_eq!(question["text"], "b");
    answer(&mut waits, "200 OK", "").await;
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.expect("say").await["text"], "b");
    }
    answer(&mut first, "200 OK", "").await;
    for text in ["2", "3"] {
        let (mut waits, _, question) = asked(&service).await;
        assert_eq!(question["text"], text);
        answer(&mut waits, "200 OK", "").await;
    }
    for text in ["1", "2", "3"] {
        assert_eq!(ann.expect("say").await["text"], text);
        assert_eq!(ann.expect("ack").await["ref"], text);
    }
    // And it is heard again.
    ann.send(&say("4")).await;
    answer(&mut asked(&service).await.0, "200 OK", "").await;
    assert_eq!(ann.expect("say").await["text"], "4");
}

#[tokio::test]
async fn without_an_answer_it_is_said_or_not() {
    for (on_error, said) in [("pass", "say"), ("refuse", "error")] {
        let service = Backend::bind().await;
        let gateway = filtered(&service, &format!("on_error = \"{on_error}\""));
        let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
        for broken in [
            "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n",
            "nonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{",
        ] {
            ann.send(&json!({ "type": "say", "text": "x" })).await;
            asked(&service).await.0.send(broken.as_bytes()).await;
            let event = ann.expect(said).await;
            assert!(said == "say" || event["code"] == "filter_down", "{event}");
        }
    }
}

#[tokio::test]
async fn a_late_answer_is_none() {
    let service = Backend::bind().await;
    let gateway = hub(&wish(&service, "").replace("30s", "1s"));
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    ann.send(&say("a")).await;
    let _held = asked(&service).await;
    assert_eq!(ann.expect("error").await["code"], "filter_down");
}

#[tokio::test]
async fn who_is_put_out_meanwhile_has_said_nothing() {
    let service = Backend::bind().await;
    let filter = format!("filter = {{ url = \"http://{}/\", timeout = \"30s\" }}", service.address);
    let (gateway, _folder, bearer) = moderation::chat(&filter);
    let mut boss = Member::come_with(&gateway, "/chat", &[&bearer("Boss", true)]).await;
    boss.join(&json!({ "type": "join" })).await;
    for (name, measure, code) in [("Ann", "kick", "not_joined"), ("Eve", "ban", "not_joined")] {
        let mut member = Member::come_with(&gateway, "/chat", &[&bearer(name, false)]).await;
        member.join(&json!({ "type": "join" })).await;
        boss.expect("join").await;
        let frames: Vec<u8> =
            ["1", "2"].iter().flat_map(|text| client(TEXT, say(text).to_string().as_bytes())).collect();
        member.send_bytes(&frames).await;
        let (mut waits, _, question) = asked(&service).await;
        assert_eq!(question["text"], "1");
        boss.send(&json!({ "type": measure, "name": name })).await;
        boss.expect("ack").await;
        boss.expect("leave").await;
        assert_eq!(member.expect("left").await["room"], "lobby");
        answer(&mut waits, "200 OK", "").await;
        for reference in ["1", "2"] {
            let error = member.expect("error").await;
            assert_eq!((&error["code"], &error["ref"]), (&json!(code), &json!(reference)));
        }
    }
    let mut plain = gateway.connect().await;
    assert_eq!(plain.upgrade("/chat", &[&bearer("Joe", false)]).await.status, 101);
    boss.expect("join").await;
    plain.say("1").await;
    let (mut waits, ..) = asked(&service).await;
    boss.send(&json!({ "type": "kick", "name": "Joe" })).await;
    boss.expect("ack").await;
    assert_eq!(plain.message().await.code(), 4403);
    answer(&mut waits, "200 OK", "").await;
    plain.end().await;
    boss.expect("leave").await;
    // None of it was said, and nobody was asked about the rest.
    boss.send(&json!({ "type": "say", "text": "x" })).await;
    let (mut waits, _, question) = asked(&service).await;
    assert_eq!(question["text"], "x");
    answer(&mut waits, "200 OK", "").await;
    assert_eq!(boss.expect("say").await["text"], "x");
}

#[tokio::test]
async fn who_has_gone_is_not_judged() {
    let service = Backend::bind().await;
    let limits = "[limits]\nclose_timeout = \"50ms\"\n";
    let filter = format!("filter = {{ url = \"http://{}/\", timeout = \"10m\" }}", service.address);
    let gateway = gateway(&format!("{limits}[[route]]\npath = \"/chat\"\nhub = {{ {filter} }}\n"));
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let frames: Vec<u8> =
        ["1", "2", "3"].iter().flat_map(|text| client(TEXT, say(text).to_string().as_bytes())).collect();
    ann.send_bytes(&frames).await;
    let (mut waits, _, question) = asked(&service).await;
    assert_eq!(question["text"], "1");
    let mut again = Member::come(&gateway, "/chat").await;
    let session = &ann.hello["session"];
    again.send(&json!({ "type": "resume", "session": session, "rooms": [{ "room": "lobby" }] })).await;
    again.expect("resumed").await;
    assert_eq!(ann.closed().await.0, 4409);
    waits.end().await;
    again.expect("joined").await;
    again.expect("history").await;
    again.send(&say("4")).await;
    let (mut waits, _, question) = asked(&service).await;
    assert_eq!(question["text"], "4");
    answer(&mut waits, "200 OK", "").await;
    assert_eq!(again.expect("say").await["text"], "4");
}

#[tokio::test]
async fn questions_at_once_are_bounded_and_the_next_wait() {
    let service = Backend::bind().await;
    let gateway = filtered(&service, "at_once = 1");
    let mut ann = Member::joined(&gateway, "/chat/a", "Ann").await;
    let mut bob = Member::joined(&gateway, "/chat/b", "Bob").await;
    ann.send(&say("a")).await;
    let (mut first, ..) = asked(&service).await;
    bob.send(&say("b")).await;
    assert!(tokio::time::timeout(STUCK, service.accept()).await.is_err(), "a second question at once");
    answer(&mut first, "200 OK", "").await;
    let (mut second, _, question) = asked(&service).await;
    assert_eq!(question["text"], "b");
    answer(&mut second, "200 OK", "").await;
    assert_eq!(bob.expect("say").await["text"], "b");
    assert_eq!(ann.expect("say").await["text"], "a");
}

#[tokio::test]
async fn a_services_certificate_is_checked_against_its_ca() {
    let folder = tempfile::tempdir().expect("folder");
    let made = wsgate::make_certificate(folder.path(), &["127.0.0.1".to_owned()]).expect("certificate");
    let certificates = format!("certificates = [{{ chain = {:?}, key = {:?} }}]", made.chain, made.key);
    let _lines = log();
    // Whoever answers at all is trusted: another gateway's echo knows no POST.
    let server = gateway(&format!("[tls]\n{certificates}\n[[route]]\npath = \"/\"\necho = {{}}\n"));
    for (more, told) in
        [(String::new(), "cannot be connected to"), (format!("ca = {:?}", made.authority), "says neither yes nor no")]
    {
        let chat = hub(&format!("filter = {{ url = \"https://{}/\", timeout = \"30s\", {more} }}", server.address()));
        let mut ann = Member::joined(&chat, "/chat", "Ann").await;
        ann.send(&say("x")).await;
        assert_eq!(ann.expect("error").await["code"], "filter_down");
        logged(&["nobody can say whether it may be said", &server.address(), told]).await;
    }
}

#[tokio::test]
async fn a_connection_serves_one_question_after_the_other() {
    let service = Backend::bind().await;
    let gateway = counted(&service, "");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut line = None;
    for (text, answer, heard) in [
        ("1", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "say"),
        ("2", "HTTP/1.1 204 No Content\r\n\r\n", "say"),
        ("3", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "say"),
        ("4", "HTTP/1.1 403 No\r\nContent-Length: 17\r\n\r\n{\"reason\":\"rude\"}", "error"),
        ("5", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "say"),
    ] {
        ann.send(&json!({ "type": "say", "text": text })).await;
        if line.is_none() {
            line = Some(service.accept().await);
        }
        let line = line.as_mut().expect("a connection");
        let (head, question) = next(line).await;
        assert!(question["text"] == text && !head.contains("Connection: "), "{head}{question}");
        line.send(answer.as_bytes()).await;
        ann.expect(heard).await;
    }
    line.expect("a connection").end().await;
    // That one was the last on its connection.
    ann.send(&say("6")).await;
    let (mut line, _, question) = asked(&service).await;
    assert_eq!(question["text"], "6");
    answer(&mut line, "200 OK", "").await;
    said(&mut ann, "6").await;
    // A reload of the same goes on with it; another filter begins anew, and leaves nothing of the one before open.
    gateway.handle.reload(parse(&config(&wish(&service, "")))).expect("reloaded");
    ann.send(&say("7")).await;
    assert_eq!(next(&mut line).await.1["text"], "7");
    answer(&mut line, "200 OK", "").await;
    said(&mut ann, "7").await;
    gateway.handle.reload(parse(&config(&wish(&service, "at_once = 9")))).expect("reloaded");
    line.end().await;
    ann.send(&say("8")).await;
    answer(&mut asked(&service).await.0, "200 OK", "").await;
    said(&mut ann, "8").await;
    gateway.until_metric("wsgate_filter_asked_total{route=\"/chat\"}", 8.0).await;
}

#[tokio::test]
async fn a_question_on_a_connection_that_has_ended_is_asked_again() {
    let service = Backend::bind().await;
    let gateway = counted(&service, "");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    ann.send(&say("1")).await;
    let (mut line, ..) = asked(&service).await;
    answer(&mut line, "200 OK", "").await;
    said(&mut ann, "1").await;
    // Ended on account of the question, as far as can be seen.
    ann.send(&say("2")).await;
    assert_eq!(next(&mut line).await.1["text"], "2");
    drop(line);
    let (mut line, _, question) = asked(&service).await;
    assert_eq!(question["text"], "2");
    answer(&mut line, "200 OK", "").await;
    said(&mut ann, "2").await;
    // 408 is said of the connection, and not of the question.
    ann.send(&say("408")).await;
    next(&mut line).await;
    answer(&mut line, "408 Idle", "").await;
    let (mut line, _, question) = asked(&service).await;
    assert_eq!(question["text"], "408");
    answer(&mut line, "200 OK", "").await;
    said(&mut ann, "408").await;
    // A new one that ends without an answer is none: it is not asked a third time.
    drop(line);
    ann.send(&say("3")).await;
    drop(asked(&service).await);
    assert_eq!(ann.expect("error").await["code"], "filter_down");
}

#[tokio::test]
async fn as_many_connections_are_kept_as_the_owner_says() {
    let service = Backend::bind().await;
    let gateway = counted(&service, "idle_connections = 1");
    let (mut members, mut lines) = (Vec::new(), Vec::new());
    for at in 0..3 {
        let mut member = Member::joined(&gateway, &format!("/chat/{at}"), &format!("Ann {at}")).await;
        member.send(&say("a")).await;
        lines.push(asked(&service).await.0);
        members.push(member);
    }
    for (member, line) in members.iter_mut().zip(&mut lines) {
        answer(line, "200 OK", "").await;
        said(member, "a").await;
    }
    lines[1].end().await;
    lines[2].end().await;
    members[2].send(&say("b")).await;
    assert_eq!(next(&mut lines[0]).await.1["text"], "b");
    answer(&mut lines[0], "200 OK", "").await;
    said(&mut members[2], "b").await;
}

#[tokio::test]
async fn what_comes_of_questions_is_counted() {
    let service = Backend::bind().await;
    let gateway = counted(&service, "idle_connections = 0");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    for (told, said) in [
        ("200 OK\r\nContent-Length: 0", "say"),
        ("200 OK\r\nContent-Length: 12\r\n\r\n{\"text\":\"x\"}", "say"),
        ("200 OK\r\nContent-Length: 12\r\n\r\n{\"text\":\"y\"}", "say"),
        ("403 No\r\nContent-Length: 0", "error"),
        ("500 Oh\r\nContent-Length: 0", "error"),
        ("200 OK\r\nContent-Length: 1\r\n\r\n{", "error"),
        ("neither", "error"),
    ] {
        ann.send(&json!({ "type": "say", "text": "x" })).await;
        asked(&service).await.0.send(format!("HTTP/1.1 {told}\r\n\r\n").as_bytes()).await;
        ann.expect(said).await;
    }
    let only = |name: &str, labels: &str| format!("wsgate_filter_{name}{{route=\"/chat\"{labels}}}");
    for (line, value) in [
        (only("asked_total", ""), 7.0),
        (only("answers_total", ",answer=\"pass\""), 2.0),
        (only("answers_total", ",answer=\"change\""), 1.0),
        (only("answers_total", ",answer=\"refuse\""), 1.0),
        (only("failures_total", ",kind=\"status\""), 1.0),
        (only("failures_total", ",kind=\"answer\""), 1.0),
        (only("failures_total", ",kind=\"http\""), 1.0),
        (only("duration_seconds_count", ""), 7.0),
    ] {
        assert!((gateway.metric(&line).await - value).abs() < f64::EPSILON, "{line} is not {value}");
    }
    // One waits for its answer, and the other for a place.
    let impatient = config(&wish(&service, "idle_connections = 0, at_once = 1").replace("30s", "1s"));
    gateway.handle.reload(parse(&impatient)).expect("reloaded");
    let mut bob = Member::joined(&gateway, "/chat/b", "Bob").await;
    ann.send(&say("a")).await;
    let _held = asked(&service).await;
    bob.send(&say("b")).await;
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.expect("error").await["code"], "filter_down");
    }
    let dead = Backend::bind().await;
    let gone = config(&wish(&dead, ""));
    drop(dead);
    gateway.handle.reload(parse(&gone)).expect("reloaded");
    ann.send(&say("c")).await;
    assert_eq!(ann.expect("error").await["code"], "filter_down");
    for (kind, value) in [("timeout", 2.0), ("connect", 1.0)] {
        gateway.until_metric(&only("failures_total", &format!(",kind=\"{kind}\"")), value).await;
    }
    assert!((gateway.metric(&only("asked_total", "")).await - 10.0).abs() < f64::EPSILON, "counts outlive reloads");
}

#[tokio::test]
async fn a_connection_that_has_died_without_a_word_costs_half_of_the_time() {
    let service = Backend::bind().await;
    let gateway = hub(&wish(&service, "").replace("30s", "2s"));
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    ann.send(&say("1")).await;
    let (mut silent, ..) = asked(&service).await;
    answer(&mut silent, "200 OK", "").await;
    said(&mut ann, "1").await;
    ann.send(&say("2")).await;
    assert_eq!(next(&mut silent).await.1["text"], "2");
    let (mut line, _, question) = asked(&service).await;
    assert_eq!(question["text"], "2");
    answer(&mut line, "200 OK", "").await;
    said(&mut ann, "2").await;
}
