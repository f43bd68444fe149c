//! What moderators do and what members see of it: kicked, muted, banned, slowed down, their messages forgotten.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::auth::{jwt, now, token};
use crate::chat::Member;
use crate::desk::{self, ask, get};
use crate::support::frames::{PING, PONG, client};
use crate::support::peer::upgrade_request;
use crate::support::{Running, gateway, logged, parse};

type Bearer = fn(&str, bool) -> String;

/// A chat where tokens say who one is, and who moderates.
pub fn chat(hub: &str) -> (Running, TempDir, Bearer) {
    let (folder, auth) = jwt("");
    let gateway = gateway(&format!("workers = 2\n[[route]]\npath = \"/chat\"\n{auth}hub = {{ {hub} }}\n"));
    (gateway, folder, bearer)
}

fn bearer(name: &str, moderates: bool) -> String {
    let claims = json!({ "exp": now() + 600, "name": name, "moderator": moderates });
    format!("Authorization: Bearer {}", token(&claims))
}

async fn come(gateway: &Running, name: &str, moderates: bool) -> Member {
    let mut member = Member::come_with(gateway, "/chat", &[&bearer(name, moderates)]).await;
    member.join(&json!({ "type": "join" })).await;
    member
}

async fn code(member: &mut Member, request: &Value) -> Value {
    member.ask(request).await["code"].clone()
}

#[tokio::test]
async fn only_moderators_moderate() {
    let (gateway, _folder, _) = chat("");
    let mut ann = come(&gateway, "Ann", false).await;
    for kind in ["kick", "mute", "ban", "unban", "slow", "delete"] {
        let request = json!({ "type": kind, "name": "Ann", "seconds": 1, "id": "0123456789abcdef" });
        assert_eq!(code(&mut ann, &request).await, "forbidden", "{kind}");
    }
    let mut boss = come(&gateway, "Boss", true).await;
    for (kind, field) in [("kick", "name"), ("mute", "for"), ("slow", "seconds"), ("delete", "id"), ("ban", "member")] {
        let mut request = json!({ "type": kind, "name": "Ann" });
        match field {
            "name" => request = json!({ "type": kind }),
            "for" => request["for"] = json!(400 * 24 * 3600),
            "seconds" => request["seconds"] = json!(6 * 3600 + 1),
            "member" => request["member"] = json!("0123456789abcdef"),
            _ => {}
        }
        assert_eq!(code(&mut boss, &request).await, "bad_field", "{kind}");
    }
    assert_eq!(code(&mut boss, &json!({ "type": "kick", "name": "Nobody" })).await, "no_such_member");
    assert_eq!(code(&mut boss, &json!({ "type": "kick", "room": "nowhere", "name": "Ann" })).await, "no_such_room");
}

#[tokio::test]
async fn who_is_kicked_may_come_back() {
    let (gateway, _folder, _) = chat("");
    let (mut boss, mut ann) = (come(&gateway, "Boss", true).await, come(&gateway, "Ann", false).await);
    boss.expect("join").await;
    let _lines = crate::support::log();
    boss.send(&json!({ "type": "kick", "member": ann.hello["id"], "reason": "be kind", "ref": "k" })).await;
    assert_eq!(boss.expect("ack").await, json!({ "type": "ack", "ref": "k", "room": "lobby" }));
    let left = json!({ "type": "left", "room": "lobby", "why": "kicked", "text": "be kind" });
    assert_eq!(ann.expect("left").await, left);
    assert_eq!(boss.expect("leave").await["name"], "Ann");
    assert_eq!(code(&mut ann, &json!({ "type": "say", "text": "x" })).await, "not_joined");
    ann.join(&json!({ "type": "join" })).await;
    let line = logged(&["moderated", "action=\"kick\"", "be kind"]).await;
    assert!(line.contains("by=\"Boss (") && line.contains("room=\"lobby\""), "{line}");
}

#[tokio::test]
async fn who_is_muted_is_not_heard_for_a_time() {
    let (gateway, _folder, bearer) = chat("");
    let (mut boss, mut ann) = (come(&gateway, "Boss", true).await, come(&gateway, "Ann", false).await);
    boss.expect("join").await;
    boss.send(&json!({ "type": "mute", "name": " ANN ", "for": 60 })).await;
    boss.expect("ack").await;
    let notice = ann.expect("notice").await;
    assert_eq!((&notice["code"], &notice["room"], &notice["seconds"]), (&json!("muted"), &json!("lobby"), &json!(60)));
    for request in
        [json!({ "type": "say", "text": "x" }), json!({ "type": "to", "member": boss.hello["id"], "text": "x" })]
    {
        let error = ann.ask(&request).await;
        assert_eq!(error["code"], "muted", "{error}");
        assert!(error["retry"].as_u64().is_some_and(|retry| (50_000..=60_000).contains(&retry)), "{error}");
    }
    ann.join(&json!({ "type": "join", "room": "other" })).await;
    ann.send(&json!({ "type": "say", "room": "other", "text": "x" })).await;
    assert_eq!(ann.expect("say").await["room"], "other");
    // In plain text one is not heard, and not sent away either.
    let mut plain = gateway.connect().await;
    assert_eq!(plain.upgrade("/chat", &[&bearer("Ann", false)]).await.status, 101);
    for member in [&mut boss, &mut ann] {
        member.expect("join").await;
    }
    plain.say("not heard").await;
    plain.send(&client(PING, b"")).await;
    assert_eq!(plain.frame().await.opcode, PONG, "it was looked at");
    boss.send(&json!({ "type": "mute", "name": "Ann", "for": 0 })).await;
    boss.expect("ack").await;
    assert_eq!(ann.expect("notice").await["code"], "unmuted");
    ann.send(&json!({ "type": "say", "text": "heard" })).await;
    assert_eq!(boss.expect("say").await["text"], "heard");
    assert_eq!(plain.message().await.text(), "Ann: heard");
}

#[tokio::test]
async fn a_mute_by_name_is_not_shed_with_the_name() {
    let (gateway, _folder) = desk::desk("", "");
    let mute = json!({ "name": "Ann", "for": 60 });
    assert_eq!(ask(&gateway, "POST /mutes", Some(&mute)).await.0, 200);
    // One that comes by this name, and one that takes it for a moment.
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    assert_eq!(code(&mut ann, &json!({ "type": "say", "text": "x" })).await, "muted");
    assert_eq!(ann.ask(&json!({ "type": "name", "name": "Bob" })).await["type"], "name");
    let mut zoe = Member::joined(&gateway, "/chat/zoe", "Zoe").await;
    assert_eq!(zoe.say("heard").await["text"], "heard");
    for name in ["ANN", "Zoe"] {
        assert_eq!(zoe.ask(&json!({ "type": "name", "name": name })).await["type"], "name");
    }
    for member in [&mut ann, &mut zoe] {
        assert_eq!(code(member, &json!({ "type": "say", "text": "x" })).await, "muted");
    }
    assert_eq!(ask(&gateway, "DELETE /mutes?name=Ann", None).await.0, 200);
    for member in [&mut ann, &mut zoe] {
        assert_eq!(member.say("heard").await["text"], "heard");
    }
}

#[tokio::test]
async fn nobody_is_sentenced_where_nobody_could_be() {
    let (gateway, _folder, _) = chat("");
    let mut boss = come(&gateway, "Boss", true).await;
    for kind in ["mute", "ban"] {
        let long = "x".repeat(65);
        assert_eq!(code(&mut boss, &json!({ "type": kind, "name": "Ann", "room": long })).await, "bad_room");
        assert_eq!(code(&mut boss, &json!({ "type": kind, "name": long })).await, "bad_field");
        assert_eq!(code(&mut boss, &json!({ "type": kind, "name": "\u{200b}" })).await, "bad_field");
    }
}

#[tokio::test]
async fn who_is_banned_stays_out_by_name_and_by_session() {
    let (gateway, _folder, bearer) = chat("");
    let (mut boss, mut ann) = (come(&gateway, "Boss", true).await, come(&gateway, "Ann", false).await);
    boss.expect("join").await;
    boss.send(&json!({ "type": "ban", "member": ann.hello["id"], "for": 3600 })).await;
    boss.expect("ack").await;
    assert_eq!(ann.expect("left").await["why"], "banned");
    boss.expect("leave").await;
    let error = ann.ask(&json!({ "type": "join" })).await;
    assert_eq!((&error["code"], &error["room"]), (&json!("banned"), &json!("lobby")));
    assert!(error["retry"].as_u64().is_some_and(|retry| retry > 3_500_000), "{error}");
    // Another connection is the same person, and another room is another.
    let mut again = Member::come_with(&gateway, "/chat", &[&bearer("Ann", false)]).await;
    assert_eq!(code(&mut again, &json!({ "type": "join" })).await, "banned");
    again.join(&json!({ "type": "join", "room": "other" })).await;
    let mut plain = gateway.connect().await;
    assert_eq!(plain.upgrade("/chat", &[&bearer("Ann", false)]).await.status, 403);
    boss.send(&json!({ "type": "unban", "member": ann.hello["id"] })).await;
    boss.expect("ack").await;
    again.join(&json!({ "type": "join" })).await;
    // By one's name one is free as well.
    boss.expect("join").await;
    boss.send(&json!({ "type": "ban", "member": again.hello["id"] })).await;
    let (first, second) = (boss.next().await, boss.next().await);
    assert!([&first, &second].iter().any(|event| event["type"] == "ack"), "{first} {second}");
    assert_eq!(again.expect("left").await["why"], "banned");
    boss.send(&json!({ "type": "unban", "name": "ann" })).await;
    boss.expect("ack").await;
    again.join(&json!({ "type": "join" })).await;
}

#[tokio::test]
async fn a_name_that_is_banned_cannot_be_taken() {
    let (gateway, _folder) = desk::desk("", "");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    for (at, room, other) in [(1, json!("lobby"), "name"), (2, Value::Null, "banned")] {
        let ban = json!({ "name": "Eve", "room": room, "for": 60, "reason": "spam" });
        assert_eq!(ask(&gateway, "POST /bans", Some(&ban)).await.0, 200);
        assert_eq!(code(&mut ann, &json!({ "type": "name", "name": "EVE" })).await, "banned");
        let mut elsewhere = Member::joined(&gateway, &format!("/chat/{at}"), "Zoe").await;
        let event = elsewhere.ask(&json!({ "type": "name", "name": "eve" })).await;
        let said = if event["type"] == "error" { &event["code"] } else { &event["type"] };
        assert_eq!(said, other);
        // A ban counts whoever is there by then.
        assert_eq!(elsewhere.ask(&json!({ "type": "leave" })).await["type"], "left");
    }
    let list = get(&gateway, "/bans?limit=1").await;
    assert_eq!((&list["count"], list["list"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    let first = &list["list"][0];
    assert_eq!((&first["name"], &first["by"], &first["reason"]), (&json!("eve"), &json!("admin door"), &json!("spam")));
    for path in ["/bans?name=Eve", "/bans?name=Eve&room=lobby"] {
        assert_eq!(ask(&gateway, &format!("DELETE {path}"), None).await.0, 200);
    }
    assert_eq!(ann.ask(&json!({ "type": "name", "name": "Eve" })).await["type"], "name");
}

#[tokio::test]
async fn a_ban_holds_however_a_token_writes_the_name() {
    let (gateway, _folder, bearer) = chat("name_length = 8");
    let mut boss = come(&gateway, "Boss", true).await;
    boss.send(&json!({ "type": "ban", "name": "ann  lee-" })).await;
    boss.expect("ack").await;
    for name in ["Ann Lee-Carter", " ANN\u{a0}LEE-", "Ann\u{200b} Lee-Carter", "\u{ff21}nn Lee-", "Ann Lee-\u{fe0f}"] {
        let mut plain = gateway.connect().await;
        assert_eq!(plain.upgrade("/chat", &[&bearer(name, false)]).await.status, 403, "{name:?}");
        let mut ann = Member::come_with(&gateway, "/chat", &[&bearer(name, false)]).await;
        assert_eq!(code(&mut ann, &json!({ "type": "join" })).await, "banned", "{name:?}");
    }
}

#[tokio::test]
async fn an_address_is_banned_before_the_101() {
    let route = |refuse: &str| format!("[[route]]\npath = \"/chat\"\nrefuse = \"{refuse}\"\nhub = {{}}\n");
    let (gateway, folder) = desk::with_routes("", &route("http"));
    let member = Member::joined(&gateway, "/chat", "Ann").await;
    let ban = json!({ "address": "127.0.0.1", "for": 3600 });
    assert_eq!(ask(&gateway, "POST /bans", Some(&ban)).await.0, 200);
    let refused = gateway.ask(&upgrade_request("/chat", &[])).await;
    assert_eq!((refused.status, refused.body.as_str()), (403, "you may not come in for a time\n"));
    // It survives a reload; and is told where pages are to see it.
    let file = folder.path().join("token");
    let top = format!("workers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n", file.display());
    gateway.handle.reload(parse(&format!("{top}{}", route("close")))).expect("reload");
    let mut told = gateway.open("/chat").await;
    let close = told.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (4403, "you may not come in for a time"));
    assert_eq!(ask(&gateway, "DELETE /bans?address=127.0.0.1", None).await.0, 200);
    gateway.open("/chat").await.say("x").await;
    drop(member);
}

#[tokio::test]
async fn who_is_banned_from_the_hub_is_sent_away() {
    let (gateway, _folder) = desk::desk("", "");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut plain = gateway.open("/chat").await;
    let number = ann.expect("join").await["id"].clone();
    let ban = async |who: Value| ask(&gateway, "POST /bans", Some(&who)).await;
    assert_eq!(ban(json!({ "member": number })).await, (200, json!({ "concerned": 1 })));
    let close = plain.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (4403, "banned"));
    plain.agree(&close).await;
    drop(plain);
    ann.expect("leave").await;
    assert_eq!(ban(json!({ "name": "Ann", "reason": "spam" })).await, (200, json!({ "concerned": 1 })));
    assert_eq!(ann.closed().await, (4403, "banned: spam".to_owned()));
    // One that is in no room.
    let mut bob = Member::come(&gateway, "/chat").await;
    assert_eq!(ban(json!({ "member": bob.hello["id"] })).await.0, 200);
    assert_eq!(bob.closed().await, (4403, "banned".to_owned()));
}

#[tokio::test]
async fn a_room_is_slowed_down_and_stays_so_over_a_reload() {
    let (gateway, folder, _) = chat("");
    let (mut boss, mut ann) = (come(&gateway, "Boss", true).await, come(&gateway, "Ann", false).await);
    boss.expect("join").await;
    boss.send(&json!({ "type": "slow", "seconds": 3600 })).await;
    for member in [&mut boss, &mut ann] {
        let mut notice = member.next().await;
        if notice["type"] == "ack" {
            notice = member.next().await;
        }
        assert_eq!((&notice["code"], &notice["seconds"]), (&json!("slow"), &json!(3600)), "{notice}");
    }
    ann.say("x").await;
    boss.expect("say").await;
    let error = ann.ask(&json!({ "type": "say", "text": "x" })).await;
    assert_eq!(error["code"], "slow_mode");
    assert!(error["retry"].as_u64().is_some_and(|retry| retry > 3_500_000), "{error}");
    boss.say("not so for moderators").await;
    ann.expect("say").await;
    let secret = folder.path().join("secret");
    let auth = format!("auth = {{ kind = \"jwt\", algorithms = [\"HS256\"], secret_file = {secret:?} }}\n");
    let text = format!("workers = 2\n[[route]]\npath = \"/chat\"\n{auth}hub = {{ history = 7 }}\n");
    gateway.handle.reload(parse(&text)).expect("reload");
    let (joined, _, _) = ann.join(&json!({ "type": "join" })).await;
    assert_eq!((&joined["slow"], &joined["history"]), (&json!(3600), &json!(7)));
}

#[tokio::test]
async fn a_moderator_makes_all_forget_a_message() {
    let (gateway, _folder, _) = chat("");
    let (mut boss, mut ann) = (come(&gateway, "Boss", true).await, come(&gateway, "Ann", false).await);
    boss.expect("join").await;
    let id = ann.say("bad").await["id"].clone();
    boss.expect("say").await;
    boss.send(&json!({ "type": "delete", "id": id, "ref": "d" })).await;
    assert_eq!(ann.expect("delete").await["id"], id);
    let (first, second) = (boss.next().await, boss.next().await);
    assert!(
        [&first, &second].iter().any(|event| event["type"] == "ack")
            && [&first, &second].iter().any(|event| event["type"] == "delete")
    );
    assert_eq!(ann.ask(&json!({ "type": "history" })).await["messages"], json!([]));
}

#[tokio::test]
async fn bans_and_mutes_are_bounded() {
    let (gateway, _folder) = desk::desk("", "bans = 2, mutes = 1");
    for table in ["bans", "mutes"] {
        for (name, seconds) in [("a", 100), ("b", 300), ("c", 200)] {
            let about = json!({ "name": name, "for": seconds });
            assert_eq!(ask(&gateway, &format!("POST /{table}"), Some(&about)).await.0, 200);
        }
    }
    let names = |list: &Value| {
        let list = list["list"].as_array().expect("list").iter();
        list.map(|one| one["name"].as_str().expect("name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&get(&gateway, "/bans").await), ["c", "b"], "those that end first make way");
    assert_eq!(names(&get(&gateway, "/mutes").await), ["c"]);
    assert_eq!(names(&get(&gateway, "/bans?offset=1").await), ["b"]);
}
