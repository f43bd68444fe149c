//! Rooms that several gateways share, where they begin and end: spoken into before anybody is there, forgotten while Redis
//! is away, left and entered in one moment.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chat::{Member, texts};
use crate::cluster::event;
use crate::desk::{ask, with_routes};
use crate::support::redis::Redis;
use crate::support::{Running, within};

/// A gateway at this Redis whose rooms may be spoken into over HTTP.
fn gate(redis: &Redis, hub: &str) -> (Running, TempDir) {
    let cluster = format!("[cluster]\nredis = \"{}\"\nreconnect = \"100ms\"\n", redis.address());
    with_routes(&cluster, &format!("[[route]]\npath = \"/chat\"\nhub = {{ {hub} }}\n"))
}

async fn post(gateway: &Running, room: &str, text: &str) -> u16 {
    ask(gateway, &format!("POST /rooms/{room}/messages"), Some(&json!({ "text": text }))).await.0
}

/// Texts that somebody finds in a room or hears in it, up to the last of them.
async fn hears(gateway: &Running, room: &str, last: &str) -> Vec<String> {
    let mut member = Member::come(gateway, "/chat").await;
    let (_, history, _) = member.join(&json!({ "type": "join", "room": room })).await;
    let mut all: Vec<String> = texts(&history).into_iter().map(str::to_owned).collect();
    let text = |said: Value| said["text"].as_str().expect("text").to_owned();
    while !all.iter().any(|text| text == last) {
        all.push(text(event(&mut member, "say").await));
    }
    all
}

#[tokio::test]
async fn a_room_that_is_spoken_into_first_opens_all_the_same() {
    let redis = Redis::start().await;
    let ((one, _token), (two, _other)) = (gate(&redis, ""), gate(&redis, ""));
    for gateway in [&one, &two] {
        gateway.until_metric("wsgate_cluster_up", 1.0).await;
    }
    for at in 0..5 {
        assert!([201, 202].contains(&post(&one, "fresh", &at.to_string()).await));
    }
    for gateway in [&one, &two] {
        assert_eq!(hears(gateway, "fresh", "4").await, ["0", "1", "2", "3", "4"]);
    }
}

#[tokio::test]
async fn a_fixed_room_that_is_spoken_into_before_redis_is_there_opens_all_the_same() {
    let mut redis = Redis::start().await;
    redis.kill();
    let (one, _token) = gate(&redis, "fixed = [{ name = \"board\" }]");
    assert!([201, 202].contains(&post(&one, "board", "early").await));
    assert_eq!(hears(&one, "board", "early").await, ["early"]);
    redis.again().await;
    let (two, _other) = gate(&redis, "");
    assert_eq!(hears(&two, "board", "early").await, ["early"]);
}

#[tokio::test]
async fn what_is_owed_outlives_its_room() {
    let mut redis = Redis::start().await;
    // One room at most: each one that is entered makes an empty one go.
    let (one, _token) = gate(&redis, "rooms = 1, room = \"brief\"");
    let mut ann = Member::come(&one, "/chat").await;
    ann.join(&json!({ "type": "join", "room": "brief" })).await;
    redis.kill();
    event(&mut ann, "notice").await;
    ann.send(&json!({ "type": "say", "room": "brief", "text": "owed" })).await;
    event(&mut ann, "say").await;
    for room in ["other", "brief", "other"] {
        ann.send(&json!({ "type": "leave" })).await;
        ann.send(&json!({ "type": "leave", "room": "other" })).await;
        ann.send(&json!({ "type": "join", "room": room })).await;
        while event(&mut ann, "joined").await["room"] != room {}
        let history = event(&mut ann, "history").await;
        let expected: &[&str] = if room == "brief" { &["owed"] } else { &[] };
        let late = || texts(history["messages"].as_array().expect("messages")) == expected;
        // Another one of its name knows what was said: by now, or in a moment.
        if !late() {
            assert_eq!(event(&mut ann, "say").await["text"], expected[0]);
        }
    }
    redis.again().await;
    let length = async || redis.ask(&["XLEN", "wsgate:room:brief"]).await;
    within("all of it in Redis", async { while length().await != ":1\r\n" {} }).await;
}

#[tokio::test]
async fn a_room_that_is_left_and_entered_in_one_moment_hears_the_others() {
    let redis = Redis::start().await;
    let ((one, _token), (two, _other)) = (gate(&redis, "rooms = 1, room = \"r0\""), gate(&redis, "room = \"r0\""));
    let mut bob = Member::come(&two, "/chat").await;
    bob.join(&json!({ "type": "join", "room": "r0" })).await;
    // One room at most: each one that is entered makes an empty one go.
    for at in 0..20 {
        let mut ann = Member::come(&one, "/chat").await;
        ann.join(&json!({ "type": "join", "room": "r0" })).await;
        let text = at.to_string();
        bob.send(&json!({ "type": "say", "room": "r0", "text": text })).await;
        while event(&mut ann, "say").await["text"] != text {}
        ann.send(&json!({ "type": "leave", "room": "r0" })).await;
        event(&mut ann, "left").await;
        ann.join(&json!({ "type": "join", "room": "other" })).await;
        ann.send(&json!({ "type": "leave", "room": "other" })).await;
        event(&mut ann, "left").await;
    }
}

#[tokio::test]
async fn what_one_gateway_allows_is_shown_on_all() {
    let redis = Redis::start().await;
    let ((one, _token), (two, _other)) = (gate(&redis, "text = \"16KiB\""), gate(&redis, "text = \"1KiB\""));
    let (mut ann, mut bob) = (Member::come(&one, "/chat").await, Member::come(&two, "/chat").await);
    ann.join(&json!({ "type": "join" })).await;
    bob.join(&json!({ "type": "join" })).await;
    let long = "x".repeat(10_000);
    ann.send(&json!({ "type": "say", "text": long, "ref": "r" })).await;
    assert_eq!(event(&mut bob, "say").await["text"], long);
    assert_eq!(event(&mut ann, "ack").await["ref"], "r");
    // Whoever comes now finds it in the stream.
    let mut late = Member::come(&two, "/chat").await;
    assert_eq!(texts(&late.join(&json!({ "type": "join" })).await.1), [long.as_str()]);
}

#[tokio::test]
async fn what_cannot_be_added_stops_nothing_else() {
    let redis = Redis::start().await;
    let (one, _token) = gate(&redis, "");
    let mut ann = Member::come(&one, "/chat").await;
    ann.join(&json!({ "type": "join" })).await;
    redis.ask(&["SET", "wsgate:room:broken", "1"]).await;
    redis.ask(&["XADD", "wsgate:in", "*", "room", "broken", "text", "never"]).await;
    redis.ask(&["XADD", "wsgate:in", "*", "room", "lobby", "text", "kept"]).await;
    // The very next that she hears: her room was never apart.
    assert_eq!(ann.expect("say").await["text"], "kept");
    within("an empty stream", async { while redis.ask(&["XLEN", "wsgate:in"]).await != ":0\r\n" {} }).await;
    assert!((one.metric("wsgate_cluster_bad_total").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_nothing() {
    let mut redis = Redis::start().await;
    let ((one, _token), (two, _other)) = (gate(&redis, ""), gate(&redis, ""));
    let mut ann = Member::come(&one, "/chat").await;
    ann.join(&json!({ "type": "join" })).await;
    let _bob = Member::joined(&two, "/chat", "bob").await;
    let id = event(&mut ann, "join").await["id"].clone();
    ann.send(&json!({ "type": "to", "member": id, "text": "psst", "ref": "r" })).await;
    assert_eq!(event(&mut ann, "ack").await["ref"], "r");
    redis.kill();
    event(&mut ann, "notice").await;
    ann.send(&json!({ "type": "to", "member": id, "text": "psst", "ref": "s" })).await;
    let error = event(&mut ann, "error").await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("no_such_member"), &json!("s")));
}
