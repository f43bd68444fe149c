//! Several gateways around a Redis that is really there: one order for all, breaks, deaths, and scripts that speak.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::chat::{Member, texts};
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::{Running, gateway, within};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// A gateway with one worker at this Redis; `more` are further keys of `[cluster]`.
fn gate(redis: &str, more: &str) -> Running {
    gateway(&config(redis, more, ""))
}

fn config(redis: &str, more: &str, hub: &str) -> String {
    format!(
        "workers = 1\n{ADMIN}[cluster]\nredis = \"{redis}\"\nreconnect = \"100ms\"\n{more}\n\
         [[route]]\npath = \"/chat\"\nhub = {{ say = {{ rate = \"0/s\" }}, {hub} }}\n"
    )
}

/// Somebody in the lobby.
async fn ann(gateway: &Running) -> Member {
    Member::joined(gateway, "/chat", "ann").await
}

async fn bob(gateway: &Running) -> Member {
    Member::joined(gateway, "/chat", "bob").await
}

/// The next event of this type; others are passed over.
async fn event(member: &mut Member, kind: &str) -> Value {
    within(&format!("a {kind}"), async {
        loop {
            let event = member.next().await;
            if event["type"] == kind {
                return event;
            }
        }
    })
    .await
}

async fn notice(member: &mut Member, code: &str) {
    assert_eq!(event(member, "notice").await["code"], code);
}

/// What is said until this text has come, each with its id.
async fn until(member: &mut Member, text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        let said = event(member, "say").await;
        let of = |name: &str| said[name].as_str().expect("text").to_owned();
        all.push((of("id"), of("text")));
        if said["text"] == text {
            return all;
        }
    }
}

async fn say(member: &mut Member, text: &str) {
    member.send(&json!({ "type": "say", "text": text })).await;
}

fn rises(said: &[(String, String)]) {
    assert!(said.windows(2).all(|pair| pair[0].0 < pair[1].0), "{said:?}");
}

fn set(said: &[(String, String)]) -> BTreeSet<&str> {
    let all: BTreeSet<&str> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(all.len(), said.len(), "doubled: {said:?}");
    all
}

#[tokio::test]
async fn members_of_two_gateways_see_one_order_and_the_same_ids() {
    let redis = Redis::start().await;
    let (one, two) = (gate(&redis.address(), ""), gate(&redis.address(), ""));
    let (mut ann, mut bob) = (ann(&one).await, bob(&two).await);
    for at in 0..50 {
        say(&mut ann, &format!("a{at}")).await;
        say(&mut bob, &format!("b{at}")).await;
    }
    let mut all = Vec::new();
    for member in [&mut ann, &mut bob] {
        let mut said = Vec::new();
        while said.len() < 100 {
            let event = event(member, "say").await;
            said.push((event["id"].as_str().expect("id").to_owned(), event["text"].as_str().expect("text").to_owned()));
        }
        rises(&said);
        all.push(said);
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(set(&all[0]).len(), 100);
    let mut late = Member::come(&two, "/chat").await;
    let (joined, history, _) = late.join(&json!({ "type": "join" })).await;
    assert_eq!(joined["members"], 3);
    assert_eq!(texts(&history), all[0][50..].iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>());
    assert!(one.metric("wsgate_cluster_published_total").await >= 50.0);
    assert!(two.metric("wsgate_cluster_received_total").await >= 100.0);
}

#[tokio::test]
async fn who_is_on_another_gateway_is_seen_named_and_told() {
    let redis = Redis::start().await;
    let (one, two) = (gate(&redis.address(), ""), gate(&redis.address(), ""));
    let mut ann = ann(&one).await;
    let mut bob = bob(&two).await;
    assert_eq!(event(&mut ann, "join").await["name"], "bob");
    ann.send(&json!({ "type": "who" })).await;
    let who = event(&mut ann, "who").await;
    assert_eq!((who["count"].as_u64(), who["members"].as_array().map(Vec::len)), (Some(2), Some(2)), "{who}");
    // A name is one member's, on whichever gateway it is.
    let taken = bob.ask(&json!({ "type": "name", "name": "Ann" })).await;
    assert_eq!(taken["code"], "name_taken", "{taken}");
    bob.send(&json!({ "type": "name", "name": "rob" })).await;
    let name = event(&mut ann, "name").await;
    assert_eq!((&name["name"], &name["was"]), (&json!("rob"), &json!("bob")));
    // Something for one alone.
    ann.send(&json!({ "type": "to", "member": name["id"], "text": "psst", "ref": "r" })).await;
    assert_eq!(event(&mut ann, "ack").await["ref"], "r");
    let to = event(&mut bob, "to").await;
    assert_eq!((&to["text"], &to["from"]["name"], &to["to"]["name"]), (&json!("psst"), &json!("ann"), &json!("rob")));
    ann.send(&json!({ "type": "typing" })).await;
    assert_eq!(event(&mut bob, "typing").await["from"]["name"], "ann");
    // An ack has the place that all gateways know.
    ann.send(&json!({ "type": "say", "text": "hi", "ref": "s" })).await;
    assert_eq!(event(&mut bob, "say").await["id"], event(&mut ann, "ack").await["id"]);
    drop(bob);
    assert_eq!(event(&mut ann, "leave").await["name"], "rob");
}

#[tokio::test]
async fn redis_dies_in_the_midst_of_it_comes_back_empty_and_nothing_is_lost_or_doubled() {
    let mut redis = Redis::start().await;
    let (one, two) = (gate(&redis.address(), ""), gate(&redis.address(), ""));
    let (mut ann, mut bob) = (ann(&one).await, bob(&two).await);
    for at in 0..10 {
        say(&mut ann, &format!("before a{at}")).await;
        say(&mut bob, &format!("before b{at}")).await;
    }
    redis.kill();
    for at in 0..10 {
        say(&mut ann, &format!("apart a{at}")).await;
        say(&mut bob, &format!("apart b{at}")).await;
    }
    let (mut of_ann, mut of_bob) = (until(&mut ann, "apart a9").await, until(&mut bob, "apart b9").await);
    redis.again().await;
    one.until_metric("wsgate_cluster_up", 1.0).await;
    two.until_metric("wsgate_cluster_up", 1.0).await;
    one.until_metric("wsgate_cluster_owed", 0.0).await;
    two.until_metric("wsgate_cluster_owed", 0.0).await;
    say(&mut ann, "end").await;
    of_ann.extend(until(&mut ann, "end").await);
    of_bob.extend(until(&mut bob, "end").await);
    rises(&of_ann);
    rises(&of_bob);
    assert_eq!(set(&of_ann), set(&of_bob));
    assert_eq!(of_ann.len(), 41);
    let stream = redis.ask(&["XLEN", "wsgate:room:lobby"]).await;
    assert_eq!(stream, ":41\r\n");
    // Whoever comes now finds all of it, wherever.
    let mut late = Member::come(&two, "/chat").await;
    let (_, history, _) = late.join(&json!({ "type": "join" })).await;
    assert_eq!(texts(&history).into_iter().collect::<BTreeSet<_>>(), set(&of_ann));
    assert!(one.metric("wsgate_cluster_reconnects_total").await >= 1.0);
}

#[tokio::test]
async fn a_room_says_once_that_it_is_apart_and_once_that_it_is_not() {
    let mut redis = Redis::start().await;
    let one = gate(&redis.address(), "");
    let mut ann = ann(&one).await;
    redis.kill();
    notice(&mut ann, "apart").await;
    // Whoever comes meanwhile hears of it, too.
    let mut bob = bob(&one).await;
    assert_eq!(bob.next().await["code"], "apart");
    assert_eq!(ann.next().await["type"], "join");
    assert_eq!(ann.say("alone").await["text"], "alone");
    redis.again().await;
    assert_eq!(ann.next().await["code"], "together");
    assert_eq!(ann.say("again").await["text"], "again");
}

#[tokio::test]
async fn a_redis_that_does_not_answer_in_time_is_gone() {
    let redis = Redis::start().await;
    let (one, two) = (gate(&redis.address(), "timeout = \"200ms\""), gate(&redis.address(), "timeout = \"200ms\""));
    let (mut ann, mut bob) = (ann(&one).await, bob(&two).await);
    redis.signal("STOP");
    say(&mut ann, "is anybody there").await;
    notice(&mut ann, "apart").await;
    // What it heard before it stopped, and answered too late, is not said twice.
    redis.signal("CONT");
    notice(&mut ann, "together").await;
    say(&mut ann, "end").await;
    let said = until(&mut bob, "end").await;
    assert_eq!(set(&said), BTreeSet::from(["is anybody there", "end"]));
    assert_eq!(redis.ask(&["XLEN", "wsgate:room:lobby"]).await, ":2\r\n");
}

#[tokio::test]
async fn a_gateway_that_starts_without_redis_starts_apart() {
    let mut redis = Redis::start().await;
    redis.kill();
    let one = gate(&redis.address(), "");
    let mut ann = ann(&one).await;
    assert_eq!(ann.next().await["code"], "apart");
    assert_eq!(ann.say("first").await["text"], "first");
    redis.again().await;
    notice(&mut ann, "together").await;
    let two = gate(&redis.address(), "");
    let mut late = Member::come(&two, "/chat").await;
    let (_, history, _) = late.join(&json!({ "type": "join" })).await;
    assert_eq!(texts(&history), ["first"]);
}

#[tokio::test]
async fn members_of_a_gateway_that_dies_are_gone_within_the_expiry() {
    let redis = Redis::start().await;
    let one = gate(&redis.address(), "presence_expiry = \"1s\"");
    let folder = tempfile::tempdir().expect("folder");
    let text = config(&redis.address(), "presence_expiry = \"1s\"\nnode = \"mortal\"", "");
    let other = Program::configured(folder.path(), &text).await;
    let mut ann = ann(&one).await;
    let mut peer = other.open("/chat").await;
    peer.say("I am here").await;
    assert!(event(&mut ann, "join").await["name"].as_str().is_some_and(|name| name.starts_with("User #")));
    assert_eq!(event(&mut ann, "say").await["text"], "I am here");
    assert!(redis.ask(&["HKEYS", "wsgate:who:lobby"]).await.contains("mortal"));
    other.signal("KILL").await;
    assert!(event(&mut ann, "leave").await["name"].as_str().is_some_and(|name| name.starts_with("User #")));
    ann.send(&json!({ "type": "who" })).await;
    assert_eq!(event(&mut ann, "who").await["count"], 1);
}

#[tokio::test]
async fn a_gateway_that_is_stopped_takes_leave_at_once() {
    let redis = Redis::start().await;
    let one = gate(&redis.address(), "presence_expiry = \"10m\"");
    let two = gate(&redis.address(), "presence_expiry = \"10m\"");
    let (mut ann, bob) = (ann(&one).await, bob(&two).await);
    assert_eq!(event(&mut ann, "join").await["name"], "bob");
    two.stop();
    assert_eq!(event(&mut ann, "leave").await["name"], "bob");
    drop(bob);
}

#[tokio::test]
async fn scripts_speak_into_rooms_once_and_what_is_unsound_is_counted() {
    let redis = Redis::start().await;
    let (one, two) = (gate(&redis.address(), ""), gate(&redis.address(), ""));
    let (mut ann, mut bob) = (ann(&one).await, bob(&two).await);
    redis.ask(&["PUBLISH", "wsgate:say:lobby", "no JSON"]).await;
    redis.ask(&["PUBLISH", "wsgate:say:lobby", "{\"text\":\"hi\",\"name\":\"a\\u0007\"}"]).await;
    redis.ask(&["PUBLISH", "wsgate:say:a/b", "{\"text\":\"hi\"}"]).await;
    redis.ask(&["PUBLISH", "wsgate:said:lobby", "{\"text\":\"forged\"}"]).await;
    redis.ask(&["XADD", "wsgate:in", "*", "text", "no room"]).await;
    redis.ask(&["XADD", "wsgate:in", "*", "room", "lobby", "text", &"x".repeat(5000)]).await;
    redis.ask(&["PUBLISH", "wsgate:say:lobby", "{\"text\":\"heard <b>\",\"name\":\"shop\"}"]).await;
    redis.ask(&["XADD", "wsgate:in", "*", "room", "lobby", "text", "kept"]).await;
    for member in [&mut ann, &mut bob] {
        let (heard, kept) = (event(member, "say").await, event(member, "say").await);
        let both: BTreeSet<_> = [&heard, &kept].map(|said| (said["text"].to_string(), said["from"]["name"].to_string())).into();
        let expected = [("\"heard <b>\"", "\"shop\""), ("\"kept\"", "\"server\"")];
        assert_eq!(both, expected.map(|(text, name)| (text.to_owned(), name.to_owned())).into());
    }
    let bad = one.metric("wsgate_cluster_bad_total").await + two.metric("wsgate_cluster_bad_total").await;
    // One leads and takes in what scripts say; both hear what is forged.
    assert!((bad - 7.0).abs() < f64::EPSILON, "{bad}");
    assert_eq!(redis.ask(&["XLEN", "wsgate:in"]).await, ":0\r\n");
}

/// The blocks of the manual, in their order.
fn manual() -> Vec<String> {
    let text = std::fs::read_to_string("README.md").expect("README.md");
    let chapter = text.split("### PHP speaks in rooms").nth(1).expect("the chapter");
    let blocks = chapter.split("```php\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.map(str::to_owned).collect()
}

async fn php(script: String) -> String {
    let run = || Command::new("php").args(["-d", "display_errors=1", "-r", script.strip_prefix("<?php").expect("PHP")]).output();
    let output = tokio::task::block_in_place(run).expect("php is needed: apt-get install php-cli php-redis");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripts_of_the_manual_speak_and_listen() {
    let redis = Redis::start().await;
    let one = gate(&redis.address(), "");
    let mut ann = ann(&one).await;
    ann.say("hello").await;
    let [with, listens, says] = <[String; 3]>::try_from(manual()).expect("three scripts");
    assert!([&with, &listens, &says].iter().all(|script| script.lines().count() <= 10));
    let socket = redis.socket().display().to_string();
    let plain = |script: String| script.replace("tcp://127.0.0.1:6379", &format!("unix://{socket}"));
    let out = php(plain(says)).await;
    assert_eq!(out, "said\n");
    assert_eq!(event(&mut ann, "say").await["text"], "open again");
    let out = php(with.replace("'127.0.0.1', 6379", &format!("'{socket}'"))).await;
    assert!(out.contains(" ann: hello\n") && out.contains(" shop: open again\n"), "{out}");
    let both = [event(&mut ann, "say").await, event(&mut ann, "say").await];
    let both: BTreeSet<_> = both.iter().map(|said| said["text"].as_str().expect("text")).collect();
    assert_eq!(both, BTreeSet::from(["open again", "sold out"]));
    // The one that listens does so for ever: here, for one message.
    let once = plain(listens).replace("$said[text]\\n\";", "$said[text]\\n\"; break;");
    let listening = tokio::spawn(php(once));
    while !redis.ask(&["PUBSUB", "NUMSUB", "wsgate:said:lobby"]).await.contains(":2") {
        tokio::task::yield_now().await;
    }
    say(&mut ann, "do you hear").await;
    let heard = within("the script", listening).await.expect("php");
    assert!(heard.ends_with(" ann: do you hear\n"), "{heard}");
}
