//! What each setting of a chat hub does, as its members see it.

use serde_json::{Value, json};

use crate::auth::{jwt, now, token};
use crate::chat::{Member, hub, texts};
use crate::support::peer::upgrade_request;
use crate::support::{Peer, Running, gateway};

async fn status(gateway: &Running, path: &str) -> u16 {
    gateway.ask(&upgrade_request(path, &[])).await.status
}

async fn code(member: &mut Member, request: &Value) -> Value {
    let event = member.ask(request).await;
    if event["type"] == "error" { event["code"].clone() } else { event["type"].clone() }
}

#[tokio::test]
async fn the_hubs_own_path_is_a_room() {
    let gateway = hub("room = \"hall\"");
    for path in ["/chat", "/chat/", "/chat/hall"] {
        assert_eq!(Member::come(&gateway, path).await.hello["room"], "hall", "{path}");
    }
    let mut plain = gateway.open("/chat/hall").await;
    Member::joined(&gateway, "/chat", "Ann").await.say("x").await;
    assert_eq!(plain.message().await.text(), "Ann: x");
}

#[tokio::test]
async fn rooms_may_be_called_so_and_not_otherwise() {
    let gateway = hub("room = \"x\", room_names = '[a-z]'");
    assert_eq!((status(&gateway, "/chat/a").await, status(&gateway, "/chat/aa").await), (101, 404));
    let mut member = Member::come(&gateway, "/chat").await;
    assert_eq!(code(&mut member, &json!({ "type": "join", "room": "aa" })).await, "bad_room");
    assert_eq!(code(&mut member, &json!({ "type": "join", "room": "a" })).await, "joined");
}

#[tokio::test]
async fn no_room_is_made_where_the_owner_makes_them() {
    let gateway = hub("create = false, fixed = [{ name = \"a\" }]");
    assert_eq!((status(&gateway, "/chat/a").await, status(&gateway, "/chat/b").await), (101, 404));
    let mut member = Member::come(&gateway, "/chat").await;
    assert_eq!(code(&mut member, &json!({ "type": "join" })).await, "no_such_room");
    assert_eq!(code(&mut member, &json!({ "type": "join", "room": "a" })).await, "joined");
}

#[tokio::test]
async fn a_room_has_so_many_members() {
    let gateway = hub("members = 2");
    let (_plain, _ann) = (gateway.open("/chat").await, Member::joined(&gateway, "/chat", "Ann").await);
    assert_eq!(status(&gateway, "/chat").await, 503);
    let mut member = Member::come(&gateway, "/chat").await;
    assert_eq!(code(&mut member, &json!({ "type": "join" })).await, "room_full");
    assert_eq!(code(&mut member, &json!({ "type": "join", "room": "other" })).await, "joined");
}

#[tokio::test]
async fn a_member_is_in_so_many_rooms() {
    let gateway = hub("rooms_per_member = 2");
    let mut member = Member::come(&gateway, "/chat").await;
    for room in ["a", "b"] {
        member.join(&json!({ "type": "join", "room": room })).await;
    }
    assert_eq!(code(&mut member, &json!({ "type": "join", "room": "c" })).await, "too_many_rooms");
    assert_eq!(code(&mut member, &json!({ "type": "leave", "room": "a" })).await, "left");
    assert_eq!(code(&mut member, &json!({ "type": "join", "room": "c" })).await, "joined");
}

#[tokio::test]
async fn names_are_so_long() {
    let gateway = hub("name_length = 3");
    let mut member = Member::come(&gateway, "/chat").await;
    assert_eq!(code(&mut member, &json!({ "type": "name", "name": "Anna" })).await, "bad_name");
    assert_eq!(code(&mut member, &json!({ "type": "name", "name": "Änn" })).await, "name");
}

#[tokio::test]
async fn what_is_said_is_so_long() {
    let gateway = hub("text = 5");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    assert_eq!(code(&mut ann, &json!({ "type": "say", "text": "123456" })).await, "too_long");
    assert_eq!(ann.say("12345").await["text"], "12345");
    let mut plain = gateway.open("/chat").await;
    assert_eq!(plain.message().await.text(), "Ann: 12345");
    plain.say("123456").await;
    let close = plain.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1009, "text over 5 bytes"));
}

#[tokio::test]
async fn who_says_too_much_is_told_and_sent_away() {
    let gateway = hub("say = { rate = \"1/h\", burst = 2 }");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    for _ in 0..2 {
        ann.say("x").await;
    }
    let error = ann.ask(&json!({ "type": "say", "text": "x" })).await;
    assert_eq!(error["code"], "rate_limited");
    assert!(error["retry"].as_u64().is_some_and(|retry| (3_500_000..=3_600_000).contains(&retry)), "{error}");
    // Another burst, and it is over.
    for _ in 0..2 {
        assert_eq!(code(&mut ann, &json!({ "type": "say", "text": "x" })).await, "rate_limited");
    }
    assert_eq!(ann.closed().await, (1008, "too many messages".to_owned()));
    let mut plain = gateway.open("/chat/plain").await;
    for _ in 0..2 {
        plain.say("x").await;
        assert_eq!(plain.message().await.text(), "User #2: x");
    }
    plain.say("x").await;
    let close = plain.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1008, "not so fast"));
}

/// Ends after this time: what a route without messages is for.
async fn pass(gateway: &Running) {
    let mut clock = gateway.open("/clock").await;
    assert_eq!(clock.message().await.code(), 1001);
}

#[tokio::test]
async fn an_empty_room_is_forgotten_in_time() {
    for (forget, left) in [("1s", 0), ("1h", 1)] {
        let gateway = gateway(&format!(
            "[[route]]\npath = \"/chat\"\nhub = {{ forget_empty = \"{forget}\" }}\n\
             [[route]]\npath = \"/clock\"\necho = {{}}\nlimits = {{ idle_timeout = \"1200ms\" }}\n"
        ));
        let mut stays = Member::joined(&gateway, "/chat/stays", "Ann").await;
        stays.say("x").await;
        let mut leaves = Member::joined(&gateway, "/chat/leaves", "Bob").await;
        leaves.say("x").await;
        let mut tries = 0;
        let history = loop {
            assert_eq!(code(&mut leaves, &json!({ "type": "leave" })).await, "left");
            pass(&gateway).await;
            let (_, history, _) = leaves.join(&json!({ "type": "join" })).await;
            // Whoever sweeps may be late on a busy machine.
            tries += 1;
            if history.len() == left || tries == 4 {
                break history;
            }
        };
        assert_eq!(history.len(), left, "{forget}");
        let (_, history, _) = leaves.join(&json!({ "type": "join", "room": "stays" })).await;
        assert_eq!(texts(&history), ["x"], "somebody is there");
    }
}

#[tokio::test]
async fn a_token_says_where_one_may_go_and_who_one_is() {
    let (_folder, auth) = jwt("");
    let claims = "rooms_claim = \"where\", name_claim = \"who\", moderator_claim = \"boss\"";
    let fixed = "fixed = [{ name = \"news\", read_only = true }]";
    let gateway = gateway(&format!("[[route]]\npath = \"/chat\"\n{auth}hub = {{ {claims}, {fixed} }}\n"));
    let bearer = |claims: Value| {
        let mut all = json!({ "exp": now() + 600 });
        all.as_object_mut().expect("object").extend(claims.as_object().expect("object").clone());
        format!("Authorization: Bearer {}", token(&all))
    };
    let ann = bearer(json!({ "where": ["lobby", "news"], "who": "Ann", "boss": true }));
    let mut boss = Member::come_with(&gateway, "/chat", &[&ann]).await;
    assert_eq!((&boss.hello["name"], &boss.hello["moderator"]), (&json!("Ann"), &json!(true)));
    assert_eq!(code(&mut boss, &json!({ "type": "name", "name": "Bob" })).await, "forbidden");
    assert_eq!(code(&mut boss, &json!({ "type": "join", "room": "other" })).await, "forbidden");
    for room in ["lobby", "news"] {
        boss.join(&json!({ "type": "join", "room": room })).await;
    }
    assert_eq!(code(&mut boss, &json!({ "type": "say", "room": "news", "text": "x" })).await, "say");
    // Another tab of the same person; in plain text, too.
    let mut tab = Member::come_with(&gateway, "/chat", &[&ann]).await;
    tab.join(&json!({ "type": "join" })).await;
    let mut plain = gateway.connect().await;
    assert_eq!(plain.upgrade("/chat", &[&ann]).await.status, 101);
    plain.say("hello").await;
    assert_eq!(plain.message().await.text(), "Ann: hello");
    let mut refused: Peer = gateway.connect().await;
    assert_eq!(refused.upgrade("/chat/other", &[&ann]).await.status, 403);
    // A name that cannot be shown leaves nobody free to choose another.
    for name in [json!("User #5"), json!("\u{200b}"), json!(42), json!("")] {
        for language in ["Accept: any", "Sec-WebSocket-Protocol: wsgate.chat.v1"] {
            let mut refused = gateway.connect().await;
            let answer = refused.upgrade("/chat", &[&bearer(json!({ "who": name })), language]).await;
            assert_eq!((answer.status, answer.body.as_str()), (403, "nobody may be called as your token says\n"));
        }
    }
    // Without the claims one is anybody.
    let mut other = Member::come_with(&gateway, "/chat", &[&bearer(json!({ "boss": "yes" }))]).await;
    assert_eq!(other.hello["moderator"], false);
    assert_eq!(code(&mut other, &json!({ "type": "name", "name": "Bob" })).await, "name");
    other.join(&json!({ "type": "join", "room": "news" })).await;
    assert_eq!(code(&mut other, &json!({ "type": "say", "room": "news", "text": "x" })).await, "read_only");
}

#[tokio::test]
async fn a_name_is_its_bearers_whoever_has_chosen_it() {
    let (_folder, auth) = jwt("");
    let gateway = gateway(&format!("workers = 2\n[[route]]\npath = \"/chat\"\n{auth}hub = {{}}\n"));
    let bearer = |claims: Value| {
        let mut all = json!({ "exp": now() + 600 });
        all.as_object_mut().expect("object").extend(claims.as_object().expect("object").clone());
        format!("Authorization: Bearer {}", token(&all))
    };
    let mut bob = Member::come_with(&gateway, "/chat", &[&bearer(json!({ "name": "Bob" }))]).await;
    bob.join(&json!({ "type": "join" })).await;
    for (user, language) in [(2, "wsgate.chat.v1"), (4, "")] {
        let mut guest = Member::come_with(&gateway, "/chat", &[&bearer(json!({}))]).await;
        guest.ask(&json!({ "type": "name", "name": "ANN" })).await;
        for room in ["lobby", "other"] {
            guest.join(&json!({ "type": "join", "room": room })).await;
        }
        bob.expect("join").await;
        let ann = bearer(json!({ "name": "Ann" }));
        let (mut v1, mut plain) = (None, gateway.connect().await);
        if language.is_empty() {
            assert_eq!(plain.upgrade("/chat", &[&ann]).await.status, 101);
        } else {
            let mut member = Member::come_with(&gateway, "/chat", &[&ann]).await;
            member.join(&json!({ "type": "join" })).await;
            v1 = Some(member);
        }
        let number = format!("User #{user}");
        let renamed = bob.expect("name").await;
        assert_eq!(
            (&renamed["name"], &renamed["was"], &renamed["id"]),
            (&json!(number), &json!("ANN"), &guest.hello["id"])
        );
        assert_eq!(bob.expect("join").await["name"], "Ann");
        let mut told = Vec::new();
        for _ in 0..2 {
            let event = guest.expect("name").await;
            assert_eq!((&event["name"], &event["was"]), (&json!(number), &json!("ANN")));
            told.push(event["room"].clone());
        }
        guest.expect("join").await;
        assert_eq!(told, ["lobby", "other"]);
        assert_eq!(code(&mut guest, &json!({ "type": "name", "name": "Ann" })).await, "name_taken");
        assert_eq!(guest.say("x").await["from"]["name"], number);
        assert_eq!(bob.expect("say").await["from"]["name"], number);
        drop((guest, v1, plain));
        for _ in 0..2 {
            bob.expect("leave").await;
        }
    }
}

#[tokio::test]
async fn a_page_brings_its_token_beside_the_language() {
    let (_folder, auth) = jwt("token = \"subprotocol\"");
    let gateway = gateway(&format!("[[route]]\npath = \"/chat\"\n{auth}hub = {{}}\n"));
    let token = token(&json!({ "exp": now() + 600, "name": "Ann", "rooms": ["team-*"] }));
    for (offer, answered) in [("wsgate.chat.v1, bearer, ", "wsgate.chat.v1"), ("bearer, ", "bearer")] {
        let mut peer = gateway.connect().await;
        let offer = format!("Sec-WebSocket-Protocol: {offer}{token}");
        let answer = peer.upgrade("/chat/team-1", &[&offer]).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some(answered)));
        if answered == "bearer" {
            peer.say("x").await;
            assert_eq!(peer.message().await.text(), "Ann: x");
        } else {
            let hello: Value = serde_json::from_str(peer.message().await.text()).expect("JSON");
            assert_eq!(hello["name"], "Ann");
        }
    }
}

#[tokio::test]
async fn a_fixed_room_has_its_own_bounds() {
    let gateway = hub("history = 9, members = 9, fixed = [{ name = \"a\", history = 1, members = 1 }]");
    let mut ann = Member::joined(&gateway, "/chat/a", "Ann").await;
    for text in ["1", "2"] {
        ann.say(text).await;
    }
    let (joined, history, _) = ann.join(&json!({ "type": "join" })).await;
    assert_eq!((&joined["history"], texts(&history)), (&json!(1), vec!["2"]));
    assert_eq!(status(&gateway, "/chat/a").await, 503);
}

#[tokio::test]
async fn a_secret_opens_a_room() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "from a file\n").expect("write");
    let rooms =
        format!("{{ name = \"a\", secret = \"sesame\" }}, {{ name = \"b\", secret_file = \"{}\" }}", file.display());
    let gateway = hub(&format!("fixed = [{rooms}]"));
    assert_eq!(status(&gateway, "/chat/a").await, 403);
    let mut member = Member::come(&gateway, "/chat/a").await;
    for (room, secret) in [("a", "sesame"), ("b", "from a file")] {
        assert_eq!(code(&mut member, &json!({ "type": "join", "room": room })).await, "wrong_secret");
        assert_eq!(code(&mut member, &json!({ "type": "join", "room": room, "secret": "x" })).await, "wrong_secret");
        member.join(&json!({ "type": "join", "room": room, "secret": secret })).await;
    }
    // Who tries and tries is sent away.
    let mut member = Member::come(&gateway, "/chat/a").await;
    for _ in 0..10 {
        assert_eq!(code(&mut member, &json!({ "type": "join", "secret": "x" })).await, "wrong_secret");
    }
    assert_eq!(member.closed().await, (1008, "too many bad requests".to_owned()));
}

#[tokio::test]
async fn a_room_is_for_reading_or_slow() {
    let gateway = hub("fixed = [{ name = \"news\", read_only = true }, { name = \"slow\", slow = \"1h\" }]");
    let mut ann = Member::come(&gateway, "/chat/news").await;
    assert_eq!(ann.join(&json!({ "type": "join" })).await.0["read_only"], true);
    assert_eq!(ann.join(&json!({ "type": "join", "room": "slow" })).await.0["slow"], 3600);
    assert_eq!(code(&mut ann, &json!({ "type": "say", "text": "x" })).await, "read_only");
    assert_eq!(code(&mut ann, &json!({ "type": "say", "room": "slow", "text": "x" })).await, "say");
    let error = ann.ask(&json!({ "type": "say", "room": "slow", "text": "x" })).await;
    assert_eq!((&error["code"], &error["room"]), (&json!("slow_mode"), &json!("slow")));
    assert!(error["retry"].as_u64().is_some_and(|retry| retry > 3_000_000), "{error}");
    let mut plain = gateway.open("/chat/news").await;
    plain.say("x").await;
    let close = plain.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1008, "this room is only for reading"));
}
