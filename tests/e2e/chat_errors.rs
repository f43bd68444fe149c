//! Every error code of the chat language, each provoked once; and what ends the session of a client that goes on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::chat::{Member, hub};
use crate::support::Running;
use crate::support::backend::Backend;
use crate::support::frames::{BINARY, TEXT, client};

/// The codes as the source has them: lines such as `Self::BadJson => "bad_json",`.
fn codes_of_the_source() -> BTreeSet<String> {
    let source = include_str!("../../src/hub/fault.rs");
    let body = source.split("fn code(self)").nth(1).and_then(|rest| rest.split("\n    }").next()).expect("fn code");
    body.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// The codes as the manual has them: the first column of its table.
fn codes_of_the_manual() -> BTreeSet<String> {
    let manual = include_str!("../../README.md");
    let table = manual.split("| code | when |\n|---|---|\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    table.expect("table").lines().filter_map(|line| line.split('`').nth(1)).map(str::to_owned).collect()
}

async fn joined(hub_settings: &str) -> (Running, Member) {
    let gateway = hub(hub_settings);
    let mut member = Member::come(&gateway, "/chat").await;
    member.join(&json!({ "type": "join" })).await;
    (gateway, member)
}

async fn said(member: &mut Member, request: &Value) -> Value {
    member.send(request).await;
    loop {
        let event = member.next().await;
        if event["type"] == "error" {
            return event;
        }
    }
}

/// The error that a client gets who does what this code is for; its `ref` must come back wherever it can be read.
#[allow(clippy::too_many_lines)] // as many as there are codes
async fn provoke(code: &str) -> Value {
    let join = |room: &str| json!({ "type": "join", "room": room, "ref": "r" });
    let say = || json!({ "type": "say", "text": "123456", "ref": "r" });
    match code {
        "bad_json" => {
            let (_gateway, mut member) = joined("").await;
            member.send_raw("{\"type\":\"say\",\"ref\":\"r\",}").await;
            member.next().await
        }
        "unknown_type" => said(&mut joined("").await.1, &json!({ "type": "dance", "ref": "r" })).await,
        "bad_field" => said(&mut joined("").await.1, &json!({ "type": "say", "text": 5, "ref": "r" })).await,
        "too_long" => said(&mut joined("text = 5").await.1, &say()).await,
        "not_joined" => {
            let gateway = hub("");
            said(&mut Member::come(&gateway, "/chat").await, &say()).await
        }
        "no_such_room" => {
            let (_gateway, mut member) = joined("create = false, fixed = [{ name = \"lobby\" }]").await;
            said(&mut member, &join("other")).await
        }
        "bad_room" => said(&mut joined("").await.1, &join("a/b")).await,
        "room_full" => {
            let gateway = hub("members = 1");
            let _other = Member::joined(&gateway, "/chat/a", "Ann").await;
            said(&mut Member::come(&gateway, "/chat").await, &join("a")).await
        }
        "rooms_full" => said(&mut joined("rooms = 1").await.1, &join("other")).await,
        "too_many_rooms" => said(&mut joined("rooms_per_member = 1").await.1, &join("other")).await,
        "wrong_secret" => said(&mut joined("fixed = [{ name = \"a\", secret = \"x\" }]").await.1, &join("a")).await,
        "read_only" => said(&mut joined("fixed = [{ name = \"lobby\", read_only = true }]").await.1, &say()).await,
        "bad_name" => said(&mut joined("").await.1, &json!({ "type": "name", "name": "User #1", "ref": "r" })).await,
        "name_taken" => {
            let (gateway, mut member) = joined("").await;
            let _ann = Member::joined(&gateway, "/chat", "Ann").await;
            said(&mut member, &json!({ "type": "name", "name": "ANN", "ref": "r" })).await
        }
        "no_such_member" => {
            let to = json!({ "type": "to", "member": "0123456789abcdef", "text": "x", "ref": "r" });
            said(&mut joined("").await.1, &to).await
        }
        "rate_limited" => {
            let (_gateway, mut member) = joined("say = { rate = \"1/h\", burst = 1 }").await;
            member.say("x").await;
            said(&mut member, &say()).await
        }
        "slow_mode" => {
            let (_gateway, mut member) = joined("fixed = [{ name = \"lobby\", slow = \"1h\" }]").await;
            member.say("x").await;
            said(&mut member, &say()).await
        }
        "too_late" => {
            let (_gateway, mut member) = joined("").await;
            let session = member.hello["session"].clone();
            said(&mut member, &json!({ "type": "resume", "session": session, "ref": "r" })).await
        }
        "forbidden" => forbidden().await,
        "filter_down" => {
            let nobody = tempfile::tempdir().expect("folder").path().join("gone.sock");
            said(&mut joined(&format!("filter = {{ url = \"unix:{}:/\" }}", nobody.display())).await.1, &say()).await
        }
        "filtered" => {
            let service = Backend::bind().await;
            let (_chat, mut member) = joined(&format!("filter = {{ url = \"http://{}\" }}", service.address)).await;
            member.send(&say()).await;
            let mut peer = service.accept().await;
            peer.head().await;
            peer.send(b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n").await;
            member.expect("error").await
        }
        "no_such_message" => {
            let (chat, _folder, bearer) = crate::moderation::chat("");
            let mut boss = Member::come_with(&chat, "/chat", &[&bearer("Boss", true)]).await;
            boss.join(&json!({ "type": "join" })).await;
            said(&mut boss, &json!({ "type": "delete", "id": "0123456789abcdef", "ref": "r" })).await
        }
        "muted" | "banned" => {
            let (chat, _folder, bearer) = crate::moderation::chat("");
            let mut boss = Member::come_with(&chat, "/chat", &[&bearer("Boss", true)]).await;
            let mut ann = Member::come_with(&chat, "/chat", &[&bearer("Ann", false)]).await;
            ann.join(&json!({ "type": "join" })).await;
            let kind = if code == "muted" { "mute" } else { "ban" };
            assert_eq!(boss.ask(&json!({ "type": kind, "name": "ann" })).await["type"], "ack");
            // She hears of it first.
            ann.next().await;
            said(&mut ann, &if code == "muted" { say() } else { join("lobby") }).await
        }
        _ => panic!("there is no case for {code}: write one"),
    }
}

async fn forbidden() -> Value {
    use crate::auth::{jwt, now, token};
    let (_folder, auth) = jwt("");
    let gateway = crate::support::gateway(&format!("[[route]]\npath = \"/chat\"\n{auth}hub = {{}}\n"));
    let bearer = format!("Authorization: Bearer {}", token(&json!({ "exp": now() + 600, "rooms": ["a"] })));
    let mut member = Member::come_with(&gateway, "/chat", &[&bearer]).await;
    said(&mut member, &json!({ "type": "join", "room": "b", "ref": "r" })).await
}

#[tokio::test]
async fn every_code_is_in_the_manual_and_has_its_case() {
    let codes = codes_of_the_source();
    assert!(codes.len() >= 19, "{codes:?}");
    assert_eq!(codes, codes_of_the_manual(), "left: src/hub/fault.rs; right: README.md");
    for code in codes {
        let error = provoke(&code).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{error}");
        assert!(error["text"].as_str().is_some_and(|text| text.len() > 5), "{error}");
        let reference = if code == "bad_json" { Value::Null } else { json!("r") };
        assert_eq!(error["ref"], reference, "{error}");
        let retry = matches!(code.as_str(), "rate_limited" | "slow_mode" | "muted" | "banned");
        assert_eq!(error["retry"].is_u64(), retry, "{error}");
    }
}

#[tokio::test]
async fn nonsense_ends_at_the_tenth() {
    let (_gateway, mut member) = joined("").await;
    for at in 0..10 {
        member.send_raw("nonsense").await;
        assert_eq!(member.next().await["code"], "bad_json", "{at}");
    }
    assert_eq!(member.closed().await, (1008, "too many bad requests".to_owned()));
}

#[tokio::test]
async fn what_is_no_text_ends_the_session() {
    for (frame, code) in [(client(BINARY, b"{}"), 1003), (client(TEXT, b"\xff"), 1007)] {
        let (_gateway, mut member) = joined("").await;
        member.send_bytes(&frame).await;
        assert_eq!(member.closed().await.0, code);
    }
}

#[tokio::test]
async fn who_asks_without_end_is_told_and_sent_away() {
    let (_gateway, mut member) = joined("say = { rate = \"1/h\", burst = 5 }").await;
    let frame = client(TEXT, b"{\"type\":\"who\"}");
    let (mut answers, mut errors) = (0, 0);
    let close = 'all: loop {
        member.send_bytes(&frame.repeat(20)).await;
        for _ in 0..20 {
            match member.next_or_close().await {
                Ok(event) if event["type"] == "who" => answers += 1,
                Ok(event) => {
                    assert_eq!(event["code"], "rate_limited");
                    errors += 1;
                }
                Err(close) => break 'all close,
            }
        }
    };
    assert_eq!(close, (1008, "too many messages".to_owned()));
    assert!(answers >= 90 && errors == 6, "{answers} answers, {errors} errors");
}
