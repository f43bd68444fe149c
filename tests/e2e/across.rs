//! Moderation that crosses gateways: what is decided on one holds on all, also for those that were apart or start later.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::auth::{jwt, now, token};
use crate::chat::{Member, texts};
use crate::cluster::event;
use crate::desk::{ask, get, with_routes};
use crate::support::redis::Redis;
use crate::support::{Running, within};

/// A gateway at this Redis, with a desk and a chat where tokens say who one is, and who moderates.
struct Gate {
    gateway: Running,
    _folders: (TempDir, TempDir),
}

impl Gate {
    fn at(redis: &Redis) -> Self {
        Self::with(redis, "")
    }

    fn with(redis: &Redis, hub: &str) -> Self {
        let (secret, auth) = jwt("");
        let cluster = format!("[cluster]\nredis = \"{}\"\nreconnect = \"100ms\"\n", redis.address());
        let route = format!("[[route]]\npath = \"/chat\"\n{auth}hub = {{ say = {{ rate = \"0/s\" }}, {hub} }}\n");
        // Some wait by knocking until they hear what they wait for.
        let limits = "[limits]\nhandshakes_per_address = \"0/s\"\nconnections_per_address = 1000\n";
        let (gateway, folder) = with_routes("", &format!("{cluster}{limits}{route}"));
        Self { gateway, _folders: (secret, folder) }
    }

    async fn come(&self, name: &str) -> Member {
        let mut member = self.arrive(name).await;
        member.join(&json!({ "type": "join" })).await;
        member
    }

    /// Somebody who is in no room yet.
    async fn arrive(&self, name: &str) -> Member {
        Member::come_with(&self.gateway, "/chat", &[&bearer(name)]).await
    }

    async fn ask(&self, line: &str, body: Value) -> u16 {
        let (status, value) = ask(&self.gateway, line, Some(&body).filter(|body| !body.is_null())).await;
        assert!(status == 200 || value["code"].is_string(), "{value}");
        status
    }

    /// The status that an upgrade gets.
    async fn knock(&self, path: &str, name: &str) -> u16 {
        self.gateway.connect().await.upgrade(path, &[&bearer(name)]).await.status
    }

    async fn until_knock(&self, name: &str, status: u16) {
        within(&format!("{status} for {name}"), async {
            while self.knock("/chat", name).await != status {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Who is in this list, by whatever is told of them.
    async fn listed(&self, path: &str) -> BTreeSet<String> {
        let list = get(&self.gateway, path).await["list"].clone();
        let name =
            |one: &Value| ["name", "member", "address"].iter().find_map(|key| one[key].as_str().map(str::to_owned));
        list.as_array().expect("list").iter().filter_map(name).collect()
    }

    async fn until_listed(&self, path: &str, names: &[&str]) {
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        within(&format!("{path} to have {names:?}"), async {
            while !self.listed(path).await.is_superset(&names) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn bearer(name: &str) -> String {
    let claims = json!({ "exp": now() + 600, "name": name, "moderator": name == "Boss" });
    format!("Authorization: Bearer {}", token(&claims))
}

async fn notice(member: &mut Member, code: &str) -> Value {
    loop {
        let notice = event(member, "notice").await;
        if notice["code"] == code {
            return notice;
        }
    }
}

/// The moderator does it, and gets an ack.
async fn does(boss: &mut Member, request: Value) {
    let mut request = request;
    request["ref"] = json!("m");
    boss.send(&request).await;
    assert_eq!(event(boss, "ack").await["ref"], "m");
}

async fn says(member: &mut Member, text: &str) -> Value {
    member.send(&json!({ "type": "say", "text": text })).await;
    loop {
        let said = event(member, "say").await;
        if said["text"] == text {
            return said["id"].clone();
        }
    }
}

/// The code of the error that this gets.
async fn fails(member: &mut Member, request: Value) -> Value {
    member.send(&request).await;
    event(member, "error").await["code"].clone()
}

async fn history(gate: &Gate, name: &str) -> Vec<String> {
    let mut late = gate.arrive(name).await;
    late.send(&json!({ "type": "join" })).await;
    let history = event(&mut late, "history").await;
    texts(history["messages"].as_array().expect("messages")).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_a_moderator_does_on_one_gateway_is_felt_on_the_other() {
    let redis = Redis::start().await;
    let (one, two) = (Gate::at(&redis), Gate::at(&redis));
    let (mut boss, mut ann) = (one.come("Boss").await, two.come("Ann").await);
    while event(&mut boss, "join").await["name"] != "Ann" {}

    does(&mut boss, json!({ "type": "kick", "name": "ann", "reason": "be kind" })).await;
    let left = event(&mut ann, "left").await;
    assert_eq!((&left["why"], &left["text"]), (&json!("kicked"), &json!("be kind")));
    assert_eq!(event(&mut boss, "leave").await["name"], "Ann");
    ann.join(&json!({ "type": "join" })).await;
    event(&mut boss, "join").await;
    assert_eq!(fails(&mut boss, json!({ "type": "kick", "name": "nobody" })).await, "no_such_member");

    does(&mut boss, json!({ "type": "mute", "member": ann.hello["id"], "for": 60 })).await;
    let muted = notice(&mut ann, "muted").await;
    assert!(muted["seconds"].as_u64().is_some_and(|seconds| (59..=60).contains(&seconds)), "{muted}");
    assert_eq!(fails(&mut ann, json!({ "type": "say", "text": "x" })).await, "muted");
    does(&mut boss, json!({ "type": "mute", "member": ann.hello["id"], "for": 0 })).await;
    notice(&mut ann, "unmuted").await;

    let bad = says(&mut ann, "bad").await;
    assert_eq!(event(&mut boss, "say").await["id"], bad);
    let good = says(&mut ann, "good").await;
    does(&mut boss, json!({ "type": "delete", "id": bad })).await;
    assert_eq!(event(&mut ann, "delete").await["id"], bad);
    for gate in [&one, &two] {
        assert_eq!(history(gate, "Late").await, ["good"]);
    }
    assert_eq!(redis.ask(&["XLEN", "wsgate:room:lobby"]).await, ":1\r\n");
    let mut back = two.arrive("Back").await;
    let (_, missed, gap) = back.join(&json!({ "type": "join", "since": "0000000000010000" })).await;
    assert_eq!((texts(&missed), &missed[0]["id"], gap), (vec!["good"], &good, None));

    does(&mut boss, json!({ "type": "slow", "seconds": 3600 })).await;
    assert_eq!(notice(&mut ann, "slow").await["seconds"], 3600);
    says(&mut ann, "once").await;
    assert_eq!(fails(&mut ann, json!({ "type": "say", "text": "twice" })).await, "slow_mode");

    does(&mut boss, json!({ "type": "ban", "member": ann.hello["id"], "reason": "spam" })).await;
    let left = event(&mut ann, "left").await;
    assert_eq!((&left["why"], &left["text"]), (&json!("banned"), &json!("spam")));
    // By name as well as by id, and on either gateway: only the other one knew what she is called.
    assert_eq!(fails(&mut ann, json!({ "type": "join" })).await, "banned");
    one.until_listed("/bans", &["ann"]).await;
    assert_eq!((one.knock("/chat", "Ann").await, one.knock("/chat/other", "Ann").await), (403, 101));
    let mut again = one.arrive("Ann").await;
    assert_eq!(fails(&mut again, json!({ "type": "join" })).await, "banned");
    // By another name than the one that was asked for.
    does(&mut boss, json!({ "type": "unban", "name": "Ann" })).await;
    let mut free = two.arrive("Ann").await;
    within("the pardon", async {
        loop {
            free.send(&json!({ "type": "join" })).await;
            if free.next().await["type"] == "joined" {
                return;
            }
        }
    })
    .await;
    within("no bans", async {
        while !(two.listed("/bans").await.is_empty() && one.listed("/bans").await.is_empty()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let three = Gate::at(&redis);
    assert_eq!((three.knock("/chat", "Ann").await, three.listed("/bans").await.len()), (101, 0));
}

#[tokio::test]
async fn the_desk_of_one_gateway_moderates_the_rooms_of_the_other() {
    let redis = Redis::start().await;
    let (one, two) = (Gate::at(&redis), Gate::at(&redis));
    let mut ann = two.come("Ann").await;
    let bad = says(&mut ann, "bad").await;
    // Nobody is in that room on the gateway that is asked.
    let line = format!("DELETE /rooms/lobby/messages/{}", bad.as_str().expect("id"));
    assert_eq!(one.ask(&line, Value::Null).await, 200);
    assert_eq!(event(&mut ann, "delete").await["id"], bad);
    assert_eq!(one.ask("PATCH /rooms/K%C3%BCche", json!({ "slow": 60 })).await, 200);
    let mut joined = Value::Null;
    within("a slow room", async {
        while joined["slow"] != 60 {
            ann.send(&json!({ "type": "leave", "room": "Küche" })).await;
            ann.send(&json!({ "type": "join", "room": "Küche" })).await;
            joined = event(&mut ann, "joined").await;
        }
    })
    .await;
    assert_eq!(one.ask("POST /mutes", json!({ "name": "Ann", "for": 60 })).await, 200);
    notice(&mut ann, "muted").await;
    assert_eq!(two.ask("DELETE /mutes?name=Ann", Value::Null).await, 200);
    notice(&mut ann, "unmuted").await;
    let member = ann.hello["id"].as_str().expect("id").to_owned();
    assert_eq!(one.ask(&format!("DELETE /rooms/lobby/members/{member}?reason=enough"), Value::Null).await, 200);
    assert_eq!(event(&mut ann, "left").await["text"], "enough");
    ann.join(&json!({ "type": "join" })).await;
    // From the hub: the connection ends.
    assert_eq!(one.ask("POST /bans", json!({ "member": member, "for": 60, "reason": "spam" })).await, 200);
    let closed = within("a close", async {
        loop {
            if let Err(closed) = ann.next_or_close().await {
                return closed;
            }
        }
    });
    assert_eq!(closed.await, (4403, "banned: spam".to_owned()));
    two.until_listed("/bans", &[&member, "ann"]).await;
    one.until_listed("/bans", &["ann"]).await;
    one.until_knock("Ann", 403).await;
    assert_eq!(one.ask(&format!("DELETE /bans?member={member}"), Value::Null).await, 200);
    two.until_knock("Ann", 101).await;
    // An address, before the 101.
    assert_eq!(two.ask("POST /bans", json!({ "address": "127.0.0.1", "for": 3600 })).await, 200);
    one.until_knock("Bob", 403).await;
    let ban = get(&one.gateway, "/bans").await["list"][0].clone();
    assert!(ban["seconds"].as_u64().is_some_and(|seconds| (3590..=3600).contains(&seconds)), "{ban}");
    assert_eq!(one.ask("DELETE /bans?address=127.0.0.1", Value::Null).await, 200);
    two.until_knock("Bob", 101).await;
}

#[tokio::test]
async fn a_gateway_that_starts_later_knows_what_was_decided() {
    let redis = Redis::start().await;
    let one = Gate::with(&redis, "bans = 2");
    for (who, seconds) in [(json!({ "name": "Carl" }), 500), (json!({ "address": "127.0.0.1" }), 1000)] {
        let mut ban = who;
        ban["for"] = json!(seconds);
        assert_eq!(one.ask("POST /bans", ban).await, 200);
    }
    assert_eq!(one.ask("POST /mutes", json!({ "name": "Ann", "room": "lobby", "for": 300 })).await, 200);
    assert_eq!(one.ask("PATCH /rooms/lobby", json!({ "slow": 7 })).await, 200);
    within("all of it to be written", async {
        while redis.ask(&["HLEN", "wsgate:{moderation}:slow"]).await != ":1\r\n" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It ends in Redis when it ends.
    let left = redis.ask(&["PTTL", "wsgate:{moderation}:ban"]).await;
    let left: u64 = left.trim_start_matches(':').trim_end().parse().expect("a time");
    assert!((900_000..=1_001_000).contains(&left), "{left}");
    let two = Gate::with(&redis, "bans = 2");
    assert_eq!(two.knock("/chat", "Ann").await, 403, "as soon as it lets anybody in");
    assert_eq!(two.listed("/bans").await, BTreeSet::from(["127.0.0.1".to_owned(), "carl".to_owned()]));
    assert_eq!(two.ask("DELETE /bans?address=127.0.0.1", Value::Null).await, 200);
    let mut ann = two.arrive("Ann").await;
    let (joined, _, _) = ann.join(&json!({ "type": "join" })).await;
    assert_eq!(joined["slow"], 7);
    assert_eq!(fails(&mut ann, json!({ "type": "say", "text": "x" })).await, "muted");
    // What is written down is bounded: twice as many as may hold, for what is lifted is written down, too.
    for at in 0..9 {
        assert_eq!(one.ask("POST /bans", json!({ "name": format!("n{at}"), "for": 100 + at })).await, 200);
    }
    two.until_listed("/bans", &["n8"]).await;
    assert_eq!(redis.ask(&["HLEN", "wsgate:{moderation}:ban"]).await, ":4\r\n");
    assert_eq!(redis.ask(&["ZCARD", "wsgate:{moderation}:ban:ends"]).await, ":4\r\n");
}

#[tokio::test]
async fn gateways_that_were_apart_agree_on_what_was_decided_last() {
    let mut redis = Redis::start().await;
    let (one, two) = (Gate::at(&redis), Gate::at(&redis));
    let (mut boss, mut ann) = (one.come("Boss").await, two.come("Ann").await);
    let mut bob = one.come("Bob").await;
    let old = says(&mut ann, "said before").await;
    says(&mut bob, "kept").await;
    assert_eq!(one.ask("POST /bans", json!({ "name": "Carl", "for": 3600 })).await, 200);
    assert_eq!(one.ask("POST /bans", json!({ "name": "Dave", "for": 3600 })).await, 200);
    two.until_listed("/bans", &["carl", "dave"]).await;
    redis.kill();
    for member in [&mut boss, &mut ann, &mut bob] {
        notice(member, "apart").await;
    }
    // Apart, each goes on by itself.
    does(&mut boss, json!({ "type": "ban", "name": "Ann" })).await;
    does(&mut boss, json!({ "type": "delete", "id": old })).await;
    let rash = says(&mut bob, "rash").await;
    does(&mut boss, json!({ "type": "delete", "id": rash })).await;
    does(&mut boss, json!({ "type": "slow", "seconds": 30 })).await;
    assert_eq!(one.ask("POST /bans", json!({ "name": "Carl", "for": 7200 })).await, 200);
    assert_eq!(two.ask("POST /mutes", json!({ "name": "Bob", "for": 600 })).await, 200);
    assert_eq!(two.ask("DELETE /bans?name=Carl", Value::Null).await, 200);
    says(&mut ann, "still here").await;
    // Redis comes back, and remembers nothing.
    redis.again().await;
    assert_eq!(event(&mut ann, "left").await["why"], "banned");
    notice(&mut bob, "muted").await;
    event(&mut boss, "leave").await;
    two.until_listed("/bans", &["ann", "dave"]).await;
    one.until_listed("/mutes", &["bob"]).await;
    within("the pardon to hold on both", async {
        while one.listed("/bans").await.contains("carl") || two.listed("/bans").await.contains("carl") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let expected = BTreeSet::from(["kept".to_owned(), "still here".to_owned()]);
    for gate in [&one, &two] {
        within("one history", async {
            while history(gate, "Late").await.into_iter().collect::<BTreeSet<_>>() != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    // What was deleted on one gateway, and given back to Redis by the other, is gone from it as well.
    within("two messages in Redis", async {
        while redis.ask(&["XLEN", "wsgate:room:lobby"]).await != ":2\r\n" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What was decided before the break is given back to a Redis that has lost it.
    let three = Gate::at(&redis);
    three.until_knock("Late", 101).await;
    let bans = three.listed("/bans").await;
    assert!(["ann", "dave"].iter().all(|name| bans.contains(*name)) && !bans.contains("carl"), "{bans:?}");
    let mut late = three.arrive("Late").await;
    let (joined, _, _) = late.join(&json!({ "type": "join" })).await;
    assert_eq!(joined["slow"], 30);
}

#[tokio::test]
async fn what_is_unsound_is_counted_and_left() {
    let redis = Redis::start().await;
    let junk = [
        ("no JSON", "x"),
        ("no kind", r#"{"book":"bun","at":"1","key":"k","until":"9"}"#),
        ("another's", r#"{"book":"mute","at":"1","key":"k","until":"9","who":"nobody"}"#),
    ];
    for (field, text) in junk {
        redis.ask(&["HSET", "wsgate:{moderation}:ban", field, text]).await;
    }
    let one = Gate::at(&redis);
    let mut ann = one.come("Ann").await;
    redis.ask(&["PUBLISH", "wsgate:law", "x"]).await;
    redis.ask(&["PUBLISH", "wsgate:law", r#"{"count":"1","book":"ban","at":"99999999999999","key":"k"}"#]).await;
    redis.ask(&["PUBLISH", "wsgate:tell:lobby", r#"{"node":"x","kick":"nobody"}"#]).await;
    redis.ask(&["PUBLISH", "wsgate:tell:lobby", r#"{"node":"x","kick":"name:ann"}"#]).await;
    assert_eq!(event(&mut ann, "left").await["why"], "kicked");
    assert!((one.gateway.metric("wsgate_cluster_bad_total").await - 6.0).abs() < f64::EPSILON);
    // One about the same that makes no sense is written over.
    redis.ask(&["HSET", "wsgate:{moderation}:ban", "[null,\"name:eve\"]", "{\"at\":7}"]).await;
    assert_eq!(one.ask("POST /bans", json!({ "name": "Eve", "for": 60 })).await, 200);
    let two = Gate::at(&redis);
    within("a ban", async {
        while !two.listed("/bans").await.contains("eve") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What is heard until this text: each id and text, in its order.
async fn heard(member: &mut Member, last: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        let said = event(member, "say").await;
        let of = |name: &str| said[name].as_str().expect("text").to_owned();
        all.push((of("id"), of("text")));
        if said["text"] == last {
            return all;
        }
    }
}

#[tokio::test]
async fn redis_is_gone_for_ten_seconds_in_the_midst_of_a_chat() {
    let mut redis = Redis::start().await;
    let hub = "history = 1000, history_size = \"1MiB\"";
    let (one, two) = (Gate::with(&redis, hub), Gate::with(&redis, hub));
    let (mut ann, mut bob) = (one.come("Ann").await, two.come("Bob").await);
    let (mut of_ann, mut of_bob) = (Vec::new(), Vec::new());
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    // A second before it, ten without it, and one behind it.
    for at in 0..120 {
        beat.tick().await;
        match at {
            10 => redis.kill(),
            110 => redis.again().await,
            _ => {}
        }
        for (member, name) in [(&mut ann, "a"), (&mut bob, "b")] {
            member.send(&json!({ "type": "say", "text": format!("{name}{at}"), "ref": format!("{name}{at}") })).await;
        }
    }
    for (member, all, name) in [(&mut ann, &mut of_ann, "a"), (&mut bob, &mut of_bob, "b")] {
        let mut together = false;
        let mut own = 0;
        within("all of it", async {
            while !(together && own == 120) {
                let event = member.next().await;
                let of = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                together |= event["code"] == "together";
                if event["type"] == "say" {
                    own += usize::from(of("text").starts_with(name));
                    all.push((of("id"), of("text")));
                }
            }
        })
        .await;
    }
    ann.send(&json!({ "type": "say", "text": "end" })).await;
    of_ann.extend(heard(&mut ann, "end").await);
    of_bob.extend(heard(&mut bob, "end").await);
    let set = |all: &[(String, String)]| all.iter().map(|(_, text)| text.clone()).collect::<BTreeSet<_>>();
    let order = |all: &[(String, String)], by: &str| -> Vec<String> {
        all.iter().map(|(_, text)| text.clone()).filter(|text| text.starts_with(by)).collect()
    };
    for all in [&of_ann, &of_bob] {
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "ids rise: {all:?}");
        assert_eq!((all.len(), set(all).len()), (241, 241), "each once: {all:?}");
    }
    for by in ["a", "b"] {
        assert_eq!(order(&of_ann, by), order(&of_bob, by), "in the order in which each was said");
    }
    assert_eq!(of_ann.last(), of_bob.last(), "together there is one order, and one id");
    assert_eq!(redis.ask(&["XLEN", "wsgate:room:lobby"]).await, ":241\r\n");
    // Who comes now finds one order, whichever gateway knew of no break.
    let (three, four) = (Gate::with(&redis, hub), Gate::with(&redis, hub));
    let (third, fourth) = (history(&three, "Late").await, history(&four, "Late").await);
    assert_eq!((third.len(), third), (241, fourth));
}
