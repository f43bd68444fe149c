//! Several gateways around a Redis that is really there: one order for all, breaks, deaths, and scripts that speak.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::chat::{Member, texts};
use crate::support::process::Program;
use crate::support::redis::{Redis, free_port};
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
pub async fn event(member: &mut Member, kind: &str) -> Value {
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
    assert!(joined["members"].as_u64() >= Some(2), "{joined}");
    assert_eq!(texts(&history), all[0][50..].iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>());
    assert!(one.metric("wsgate_cluster_published_total").await >= 50.0);
    assert!(two.metric("wsgate_cluster_received_total").await >= 100.0);
}

#[tokio::test]
async fn who_comes_from_a_gateway_that_was_told_sooner_is_not_told_again() {
    let redis = Redis::start().await;
    let gate = gate(&redis.address(), "");
    let mut ann = ann(&gate).await;
    let begin = (crate::auth::now() + 1) * 1000;
    let id = |at: u64| format!("{:016x}", (begin + at) << 16);
    // What bob has heard up to the second of three messages, this gateway has still to be told.
    let mut bob = Member::come(&gate, "/chat").await;
    let (_, history, gap) = bob.join(&json!({ "type": "join", "since": id(2) })).await;
    assert_eq!((history, gap), (vec![], None));
    for at in 1..4 {
        let entry = json!({
            "id": id(at), "prev": "0000000000000000", "from": "00000000000000aa", "name": "eve",
            "text": at.to_string(), "key": format!("elsewhere/{at}"), "node": "elsewhere",
        });
        redis.ask(&["PUBLISH", "wsgate:said:lobby", &entry.to_string()]).await;
    }
    let all: Vec<_> = (1..4).map(|at: u64| (id(at), at.to_string())).collect();
    assert_eq!(until(&mut ann, "3").await, all);
    assert_eq!(until(&mut bob, "3").await, all[2..]);
}

#[tokio::test]
async fn who_is_on_another_gateway_is_seen_named_and_told() {
    let redis = Redis::start().await;
    let (one, two) = (gate(&redis.address(), ""), gate(&redis.address(), ""));
    let mut ann = ann(&one).await;
    let mut bob = bob(&two).await;
    bob.send(&json!({ "type": "who" })).await;
    assert_eq!(event(&mut ann, "join").await["name"], "bob");
    ann.send(&json!({ "type": "who" })).await;
    let who = event(&mut ann, "who").await;
    assert_eq!((who["count"].as_u64(), who["members"].as_array().map(Vec::len)), (Some(2), Some(2)), "{who}");
    // A name is one member's, on whichever gateway it is.
    while event(&mut bob, "who").await["count"] != 2 {
        bob.send(&json!({ "type": "who" })).await;
    }
    bob.send(&json!({ "type": "name", "name": "Ann" })).await;
    assert_eq!(event(&mut bob, "error").await["code"], "name_taken");
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

/// What is said until the room says that it is together again.
async fn until_together(member: &mut Member) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        let event = member.next().await;
        let of = |name: &str| event[name].as_str().expect("text").to_owned();
        match event["type"].as_str() {
            Some("say") => all.push((of("id"), of("text"))),
            Some("notice") if event["code"] == "together" => return all,
            _ => {}
        }
    }
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
    let (mut of_ann, mut of_bob) = (until(&mut ann, "before a9").await, until(&mut bob, "before b9").await);
    redis.kill();
    for at in 0..10 {
        say(&mut ann, &format!("apart a{at}")).await;
        say(&mut bob, &format!("apart b{at}")).await;
    }
    of_ann.extend(until(&mut ann, "apart a9").await);
    of_bob.extend(until(&mut bob, "apart b9").await);
    let (seen, last) = (of_ann.len(), of_ann[of_ann.len() - 1].0.clone());
    redis.again().await;
    of_ann.extend(until_together(&mut ann).await);
    of_bob.extend(until_together(&mut bob).await);
    say(&mut ann, "end").await;
    // On a busy machine a gateway may be apart once more meanwhile: then what the other has comes behind the end.
    for (member, said) in [(&mut ann, &mut of_ann), (&mut bob, &mut of_bob)] {
        while said.len() < 41 || !said.iter().any(|(_, text)| text == "end") {
            let event = event(member, "say").await;
            let of = |name: &str| event[name].as_str().expect("text").to_owned();
            said.push((of("id"), of("text")));
        }
    }
    rises(&of_ann);
    rises(&of_bob);
    assert_eq!(set(&of_ann), set(&of_bob));
    assert_eq!(of_ann.len(), 41);
    within("all of it in Redis", async { while redis.ask(&["XLEN", "wsgate:room:lobby"]).await != ":41\r\n" {} }).await;
    // Whoever comes now finds all of it, wherever.
    let mut late = Member::come(&two, "/chat").await;
    let (_, history, _) = late.join(&json!({ "type": "join" })).await;
    assert_eq!(texts(&history).into_iter().collect::<BTreeSet<_>>(), set(&of_ann));
    // And whoever was there when it was apart, what was missed: on either gateway the same.
    for gateway in [&one, &two] {
        let mut back = Member::come(gateway, "/chat").await;
        let (_, missed, gap) = back.join(&json!({ "type": "join", "since": last })).await;
        assert_eq!((texts(&missed).into_iter().collect::<BTreeSet<_>>(), gap), (set(&of_ann[seen..]), None));
    }
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
    let (one, two) = (gate(&redis.address(), "timeout = \"1s\""), gate(&redis.address(), "timeout = \"1s\""));
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

/// It has a seat meanwhile: a room that somebody waits for does not make way for another.
#[tokio::test]
async fn who_waits_for_a_room_is_let_in_when_redis_answers() {
    let redis = Redis::start().await;
    let one = gateway(&config(&redis.address(), "timeout = \"30s\"", "rooms = 2"));
    let _lobby = ann(&one).await;
    let mut late = Member::come(&one, "/chat").await;
    redis.signal("STOP");
    let rooms = json!([{ "room": "a" }, { "room": "b" }]);
    let resume = json!({ "type": "resume", "session": late.hello["session"], "rooms": rooms });
    assert_eq!(late.ask(&resume).await["type"], "resumed");
    let error = late.expect("error").await;
    assert_eq!((&error["code"], &error["room"]), (&json!("rooms_full"), &json!("b")));
    redis.signal("CONT");
    assert_eq!(late.expect("joined").await["room"], "a");
    late.expect("history").await;
    let said = late.ask(&json!({ "type": "say", "room": "a", "text": "here" })).await;
    assert_eq!(said["text"], "here");
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
    let one = gate(&redis.address(), "presence_expiry = \"2s\"");
    let folder = tempfile::tempdir().expect("folder");
    let text = config(&redis.address(), "presence_expiry = \"2s\"\nnode = \"mortal\"", "");
    let other = Program::configured(folder.path(), &text).await;
    let mut ann = ann(&one).await;
    let _peer = other.open("/chat").await;
    assert!(event(&mut ann, "join").await["name"].as_str().is_some_and(|name| name.starts_with("User #")));
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
    let hasty = "limits = { close_timeout = \"1s\" }\n";
    let two = gateway(&format!("{hasty}{}", config(&redis.address(), "presence_expiry = \"10m\"", "")));
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
        let both: BTreeSet<_> =
            [&heard, &kept].map(|said| (said["text"].to_string(), said["from"]["name"].to_string())).into();
        let expected = [("\"heard <b>\"", "\"shop\""), ("\"kept\"", "\"server\"")];
        assert_eq!(both, expected.map(|(text, name)| (text.to_owned(), name.to_owned())).into());
    }
    let bad = one.metric("wsgate_cluster_bad_total").await + two.metric("wsgate_cluster_bad_total").await;
    // One leads and takes in what scripts say; both hear what is forged.
    assert!((bad - 7.0).abs() < f64::EPSILON, "{bad}");
    // What was taken is taken out.
    within("an empty stream", async { while redis.ask(&["XLEN", "wsgate:in"]).await != ":0\r\n" {} }).await;
}

/// The blocks of the manual, in their order.
fn manual() -> Vec<String> {
    let text = std::fs::read_to_string("README.md").expect("README.md");
    let chapter = text.split("### PHP speaks in rooms").nth(1).expect("the chapter");
    let blocks = chapter.split("```php\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.map(str::to_owned).collect()
}

async fn php(script: String) -> String {
    let run = || {
        Command::new("php").args(["-d", "display_errors=1", "-r", script.strip_prefix("<?php").expect("PHP")]).output()
    };
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
    let address = ["tcp://127.0.0.1:", "6379"].concat();
    let plain = |script: String| script.replace(&address, &format!("unix://{socket}"));
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

/// A gateway that has reached its Redis.
async fn reaches(redis: &str, more: &str) -> Running {
    let gateway = gate(redis, more);
    gateway.until_metric("wsgate_cluster_up", 1.0).await;
    // Another name on each gateway: whoever has left one may be there a moment longer for the other.
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let name = format!("try {}", TRIES.fetch_add(1, Ordering::Relaxed));
    let mut member = Member::joined(&gateway, "/chat", &name).await;
    assert_eq!(member.say("hi").await["text"], "hi");
    gateway
}

#[tokio::test]
async fn a_redis_with_users_and_passwords_lets_in_who_knows_them() {
    let user = ["--user", "wsgate", "on", ">hunter2", "~wsgate:*", "&wsgate:*", "+@all"];
    let redis = Redis::start_with(&[&["--port", "0", "--requirepass", "hunter1"][..], &user].concat()).await;
    let file = redis.folder().join("password");
    let key = format!("password_file = \"{}\"", file.display());
    std::fs::write(&file, "hunter1\n").expect("write");
    drop(reaches(&redis.address(), &key).await);
    std::fs::write(&file, "hunter2\n").expect("write");
    drop(reaches(&redis.address(), &format!("username = \"wsgate\"\n{key}")).await);
    // The wrong one, from the environment: rooms are apart, and the log does not tell it.
    let folder = tempfile::tempdir().expect("folder");
    crate::support::process::configure(folder.path(), &config(&redis.address(), "password_env = \"SECRET\"", ""));
    let mut command = crate::support::process::command(folder.path(), &[]);
    let mut program = Program::spawn({
        command.env("SECRET", "hunter3");
        command
    })
    .await;
    program.said(&["redis cannot be reached", "apart"]).await;
    assert!(!program.log().contains("hunter"), "{}", program.log());
}

#[tokio::test]
async fn tls_to_redis_is_checked_against_its_ca() {
    let folder = crate::support::tls::Folder::new();
    let authority = crate::support::tls::authority("ours", None);
    let other = crate::support::tls::authority("another", None);
    let leaf = crate::support::tls::leaf(&["localhost"], Some(&authority));
    let write = |name: &str, text: &str| folder.write(name, text).display().to_string();
    let (ca, wrong) = (write("ca.pem", &authority.pem), write("wrong.pem", &other.pem));
    let (chain, key) = (write("redis.pem", &leaf.pem), write("redis.key", &leaf.key.serialize_pem()));
    let port = free_port().to_string();
    let files = ["--tls-cert-file", &chain, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let settings = [&["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"][..], &files].concat();
    let _redis = Redis::start_with(&settings).await;
    let address = format!("rediss://localhost:{port}");
    drop(reaches(&address, &format!("ca = \"{ca}\"")).await);
    let apart = gate(&address, &format!("ca = \"{wrong}\""));
    let mut ann = ann(&apart).await;
    assert_eq!(ann.next().await["code"], "apart");
}

#[tokio::test]
async fn sentinels_say_where_the_master_is() {
    let (port, own) = (free_port(), free_port());
    let _master = Redis::start_with(&["--port", &port.to_string()]).await;
    let folder = tempfile::tempdir().expect("folder");
    let text = format!("port {own}\nsentinel monitor mymaster 127.0.0.1 {port} 1\n");
    std::fs::write(folder.path().join("sentinel.conf"), text).expect("write");
    let _sentinel = Redis::start_in(folder, &[]).await;
    drop(reaches(&format!("redis+sentinel://127.0.0.1:{own}/mymaster"), "").await);
}

#[tokio::test]
async fn sentinels_have_users_and_passwords_of_their_own() {
    let (port, own) = (free_port(), free_port());
    let _master = Redis::start_with(&["--port", &port.to_string(), "--requirepass", "hunter1"]).await;
    let folder = tempfile::tempdir().expect("folder");
    let text = format!(
        "port {own}\nuser default on >hunter2 ~* &* +@all\nuser wsgate on >hunter3 ~* &* +@all\n\
         sentinel monitor mymaster 127.0.0.1 {port} 1\nsentinel auth-pass mymaster hunter1\n"
    );
    std::fs::write(folder.path().join("sentinel.conf"), text).expect("write");
    let sentinel = Redis::start_in(folder, &[]).await;
    let file = |name: &str, text: &str| {
        let path = sentinel.folder().join(name);
        std::fs::write(&path, text).expect("write");
        path.display().to_string()
    };
    let (master, ours) = (file("master", "hunter1\n"), file("ours", "hunter2\n"));
    let address = format!("redis+sentinel://127.0.0.1:{own}/mymaster");
    let keys = format!("password_file = \"{master}\"\nsentinel_password_file = \"{ours}\"");
    drop(reaches(&address, &keys).await);
    let named = file("named", "hunter3\n");
    let keys =
        format!("password_file = \"{master}\"\nsentinel_username = \"wsgate\"\nsentinel_password_file = \"{named}\"");
    drop(reaches(&address, &keys).await);
    // The wrong one, from the environment: rooms are apart, and the log does not tell it.
    let keys = format!("password_file = \"{master}\"\nsentinel_password_env = \"SECRET\"");
    let folder = tempfile::tempdir().expect("folder");
    crate::support::process::configure(folder.path(), &config(&address, &keys, ""));
    let mut command = crate::support::process::command(folder.path(), &[]);
    command.env("SECRET", "hunter4");
    let mut program = Program::spawn(command).await;
    program.said(&["redis cannot be reached", "apart"]).await;
    assert!(!program.log().contains("hunter"), "{}", program.log());
}

#[tokio::test]
async fn what_is_too_old_is_neither_kept_nor_shown() {
    let redis = Redis::start().await;
    let hours = |age: u64| (crate::auth::now() - age * 3600) * 1000;
    let add = async |age: u64, text: &str| {
        let id = format!("{}-0", hours(age));
        let (from, key) = ("00000000000000aa", text);
        let fields = ["from", from, "name", "ann", "text", text, "key", key, "node", "n"];
        redis.ask(&[&["XADD", "wsgate:room:lobby", &id][..], &fields].concat()).await;
    };
    add(50, "two days").await;
    add(3, "three hours").await;
    let gate = |age: &str| gateway(&config(&redis.address(), "", &format!("history_age = \"{age}\"")));
    let found = async |gateway: &Running| {
        let mut late = Member::come(gateway, "/chat").await;
        let (_, history, _) = late.join(&json!({ "type": "join" })).await;
        texts(&history).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for (age, expected) in [("0s", &["two days", "three hours"][..]), ("1d", &["three hours"]), ("1h", &[])] {
        assert_eq!(found(&gate(age)).await, expected, "{age}");
    }
    assert_eq!(redis.ask(&["XLEN", "wsgate:room:lobby"]).await, ":2\r\n", "nothing was added yet");
    let day = gate("1d");
    let mut ann = ann(&day).await;
    say(&mut ann, "now").await;
    until(&mut ann, "now").await;
    assert_eq!(redis.ask(&["XLEN", "wsgate:room:lobby"]).await, ":2\r\n", "the oldest is gone");
    let left = async || {
        let left = redis.ask(&["PTTL", "wsgate:room:lobby"]).await;
        left.trim_start_matches(':').trim_end().parse::<i64>().expect("a time") / 3_600_000
    };
    assert!((24..=25).contains(&left().await), "{}", left().await);
    // A reload is enough.
    day.handle.reload(crate::support::parse(&config(&redis.address(), "", "history_age = \"0s\""))).expect("reload");
    say(&mut ann, "for ever").await;
    until(&mut ann, "for ever").await;
    assert_eq!(redis.ask(&["PTTL", "wsgate:room:lobby"]).await, ":-1\r\n");
}

#[tokio::test]
async fn a_redis_cluster_is_one_redis() {
    let (port, bus) = (free_port().to_string(), free_port().to_string());
    let redis = Redis::start_with(&[
        "--port",
        &port,
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-announce-ip",
        "127.0.0.1",
    ])
    .await;
    assert_eq!(redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await, "+OK\r\n");
    while !redis.ask(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {
        tokio::task::yield_now().await;
    }
    let address = format!("redis+cluster://127.0.0.1:{port}");
    let (one, two) = (reaches(&address, "").await, reaches(&address, "").await);
    let (mut ann, mut bob) = (ann(&one).await, bob(&two).await);
    say(&mut ann, "over the cluster").await;
    until(&mut bob, "over the cluster").await;
    redis.ask(&["XADD", "wsgate:in", "*", "room", "lobby", "text", "kept"]).await;
    until(&mut bob, "kept").await;
}

#[tokio::test]
async fn prefixes_keep_rooms_apart() {
    let redis = Redis::start().await;
    let hubs = |prefix: &str| {
        format!(
            "workers = 1\n{ADMIN}[cluster]\nredis = \"{}\"\nprefix = \"{prefix}\"\n\
             [[route]]\npath = \"/chat\"\nhub = {{}}\n\
             [[route]]\npath = \"/other\"\nhub = {{ cluster = \"one\" }}\n\
             [[route]]\npath = \"/alone\"\nhub = {{ cluster = false }}\n",
            redis.address()
        )
    };
    let (one, two) = (gateway(&hubs("a")), gateway(&hubs("b")));
    for gateway in [&one, &two] {
        for path in ["/chat", "/other", "/alone"] {
            let mut member = Member::come(gateway, path).await;
            member.join(&json!({ "type": "join" })).await;
            say(&mut member, "hi").await;
            until(&mut member, "hi").await;
        }
    }
    for (prefix, count) in [("a", 1), ("b", 1), ("one", 2)] {
        assert_eq!(redis.ask(&["XLEN", &format!("{prefix}:room:lobby")]).await, format!(":{count}\r\n"), "{prefix}");
    }
}

#[tokio::test]
async fn redis_is_tried_again_as_often_as_is_wished() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let redis = format!("redis://{}", listener.local_addr().expect("address"));
    let text = config(&redis, "", "").replace("reconnect = \"100ms\"", "reconnect = \"20ms\"");
    let _gateway = gateway(&text);
    // By itself the wait would be five seconds before long: that many tries would take minutes.
    within("many tries", async {
        for _ in 0..60 {
            drop(listener.accept().await.expect("a try"));
        }
    })
    .await;
}

#[tokio::test]
async fn what_redis_does_not_take_is_not_read_and_comes_in_its_order_later() {
    let redis = Redis::start().await;
    let one = gate(&redis.address(), "timeout = \"60s\"\npresence_expiry = \"10m\"\nqueue = 16");
    let mut ann = ann(&one).await;
    ann.say("first").await;
    redis.signal("STOP");
    let long = "x".repeat(3000);
    for at in 0..400 {
        say(&mut ann, &format!("{long}{at}")).await;
    }
    // 256 questions are under way, and 16 wait; notes of members wait until there are 16 of them, too.
    within("a full queue", async {
        while one.metric("wsgate_cluster_queue").await < 16.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(one.metric("wsgate_cluster_queue").await < 60.0);
    assert!(one.metric("wsgate_cluster_published_total").await < 300.0);
    redis.signal("CONT");
    for at in 0..400 {
        let event = ann.next().await;
        let text = event["text"].as_str().unwrap_or_default();
        assert_eq!(text.strip_prefix(&long), Some(&*at.to_string()), "not what was said next, or no message: {event}");
    }
}
