//! Histories in files, from outside: restarts, ends without a word, full disks, damage, and a second gateway.

use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tokio::process::Command;

use crate::chat::{Member, texts};
use crate::support::process::{self, Program};
use crate::support::{Peer, Running, gateway, within};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
/// Members here do not answer the Close of a drain.
const HASTY: &str = "limits = { close_timeout = \"1s\" }\n";
const ROUTE: &str = "[[route]]\npath = \"/chat\"\n";

/// A gateway in this process, whose history is in this folder.
fn hub(folder: &Path, more: &str) -> Running {
    let file = folder.join("chat.history");
    gateway(&format!("{HASTY}{ROUTE}hub = {{ history_store = \"file\", history_file = {file:?}{more} }}\n"))
}

/// The same for a process of its own.
fn config() -> String {
    let hub = "say = { rate = \"0/s\" }, history = 10000, history_size = \"4MiB\"";
    format!("{HASTY}{ADMIN}{ROUTE}hub = {{ {hub}, history_store = \"file\", history_file = \"chat.history\" }}\n")
}

/// What the file has, as another program reads it.
fn in_file(folder: &Path) -> Vec<String> {
    let file = Connection::open(folder.join("chat.history")).expect("opened");
    let mut texts = file.prepare("SELECT text FROM message ORDER BY room, id").expect("a table");
    let texts = texts.query_map([], |row| row.get(0)).expect("read");
    texts.collect::<Result<_, _>>().expect("text")
}

async fn metric(program: &mut Program, name: &str) -> u64 {
    let ready = program.said(&["ready", "admin"]).await;
    let admin = ready.split("http://").nth(1).expect("an address").trim_end_matches('"');
    let mut peer = Peer::connect(admin).await;
    peer.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let text = peer.answer().await.body;
    let line = format!("wsgate_history_{name}{{route=\"/chat\"}} ");
    let value = text.lines().find_map(|have| have.strip_prefix(&line)).unwrap_or_else(|| panic!("{line}: {text}"));
    value.parse().expect("a number")
}

#[tokio::test]
async fn newcomers_see_it_and_members_resume_over_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let first = hub(folder.path(), "");
    let mut ann = Member::joined(&first, "/chat", "Ann").await;
    let said = ann.ask(&json!({ "type": "say", "text": "1", "ref": "a" })).await;
    let ack = ann.next().await;
    let (said, ack) = if said["type"] == "ack" { (ack, said) } else { (said, ack) };
    ann.say("2").await;
    ann.say("<3>").await;
    let session = ann.hello["session"].clone();
    assert_eq!(first.stop().cut, 0);

    let second = hub(folder.path(), "");
    let mut newcomer = Member::come(&second, "/chat").await;
    let (joined, history, gap) = newcomer.join(&json!({ "type": "join" })).await;
    assert_eq!((texts(&history), gap), (vec!["1", "2", "<3>"], None));
    assert_eq!((&history[0]["id"], &history[0]["from"]["name"]), (&said["id"], &json!("Ann")));
    assert_eq!(joined["last"], history[2]["id"]);
    let mut plain = second.open("/chat").await;
    assert_eq!(plain.message().await.text(), "Ann: 1");

    let mut ann = Member::come(&second, "/chat").await;
    let rooms = json!([{ "room": "lobby", "since": said["id"] }]);
    let resume = json!({ "type": "resume", "session": session, "name": "Ann", "rooms": rooms });
    assert_eq!(ann.ask(&resume).await["id"], said["from"]["id"]);
    ann.expect("joined").await;
    let missed = ann.expect("history").await;
    assert_eq!(texts(missed["messages"].as_array().expect("a list")), ["2", "<3>"]);
    // What was said before the restart is not said twice.
    let again = ann.ask(&json!({ "type": "say", "text": "1", "ref": "a" })).await;
    assert_eq!((&again["type"], &again["id"]), (&json!("ack"), &ack["id"]));
    let next = ann.say("4").await;
    assert!(next["id"].as_str() > history[2]["id"].as_str(), "{next}");
}

#[tokio::test]
async fn what_is_too_old_is_gone() {
    let folder = tempfile::tempdir().expect("folder");
    let first = hub(folder.path(), ", history_age = \"1d\"");
    let mut ann = Member::joined(&first, "/chat", "Ann").await;
    ann.say("old").await;
    ann.say("new").await;
    first.stop();
    let file = Connection::open(folder.path().join("chat.history")).expect("opened");
    let two_hours = (2 * 3_600_000_i64) << 16;
    let aged = file.execute("UPDATE message SET id = id - ? WHERE text = 'old'", [two_hours]).expect("written");
    assert_eq!(aged, 1);
    drop(file);
    for (age, expected) in [("3h", &["old", "new"][..]), ("0s", &["old", "new"]), ("1h", &["new"])] {
        let gateway = hub(folder.path(), &format!(", history_age = \"{age}\""));
        let (_, history, _) = Member::come(&gateway, "/chat").await.join(&json!({ "type": "join" })).await;
        assert_eq!(texts(&history), expected, "{age}");
        gateway.stop();
    }
}

#[tokio::test]
async fn a_gateway_that_is_killed_has_what_it_wrote() {
    let folder = tempfile::tempdir().expect("folder");
    let mut last = 0;
    for _ in 0..3 {
        let mut program = Program::configured(folder.path(), &config()).await;
        let mut ann = Member::over(Peer::connect(program.address()).await, "/chat").await;
        ann.join(&json!({ "type": "join" })).await;
        let mut number = last;
        let committed = loop {
            number += 1;
            ann.say(&number.to_string()).await;
            if number % 50 == 0 {
                let committed = metric(&mut program, "messages_total").await;
                if committed > 50 {
                    break committed;
                }
            }
        };
        program.signal("KILL").await;
        assert_eq!(program.ended().await.code, None);
        let found = in_file(folder.path());
        assert_eq!(found, (1..=found.len()).map(|number| number.to_string()).collect::<Vec<_>>(), "no gap");
        assert!(found.len() as u64 >= last + committed, "{} {last} {committed}", found.len());
        last = found.len() as u64;
    }
    let mut program = Program::configured(folder.path(), &config()).await;
    let mut late = Member::over(Peer::connect(program.address()).await, "/chat").await;
    let (joined, history, _) = late.join(&json!({ "type": "join", "history": 1 })).await;
    assert_eq!((texts(&history), &joined["last"]), (vec![&*last.to_string()], &history[0]["id"]));
    assert_eq!(metric(&mut program, "errors_total").await, 0);
    assert!(!program.log().contains("damaged"), "{}", program.log());
}

/// A limit for the size of its files stands for a disk that is full.
fn limit(program: &Program, bytes: Option<u64>) {
    let id = Pid::from_raw(i32::try_from(program.id()).expect("an id"));
    let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
    prlimit(id, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).expect("a limit");
}

#[tokio::test]
async fn a_full_disk_does_not_stop_the_chat_and_nothing_is_lost_when_it_has_room_again() {
    let folder = tempfile::tempdir().expect("folder");
    process::configure(folder.path(), &config());
    let program = process::command(folder.path(), &[]);
    let mut command = Command::new("sh");
    // Without this the kernel ends a process that writes beyond its limit, instead of telling it.
    command.args(["-c", "trap '' XFSZ; exec \"$0\""]).arg(program.as_std().get_program());
    command.current_dir(folder.path()).env_remove("WSGATE_LOG").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = Program::spawn(command).await;
    let mut ann = Member::over(Peer::connect(program.address()).await, "/chat").await;
    ann.join(&json!({ "type": "join" })).await;
    ann.say("1").await;
    while metric(&mut program, "messages_total").await == 0 {}
    limit(&program, Some(1));
    ann.say("2").await;
    let notice = ann.expect("notice").await;
    assert_eq!((&notice["code"], &notice["room"]), (&json!("store"), &json!("lobby")), "{notice}");
    program.said(&["ERROR", "chat history: cannot write; the chat goes on"]).await;
    assert_eq!(metric(&mut program, "failing").await, 1);
    assert!(metric(&mut program, "errors_total").await > 0);
    ann.say("3").await;
    let mut bob = Member::over(Peer::connect(program.address()).await, "/chat").await;
    let (_, history, _) = bob.join(&json!({ "type": "join" })).await;
    assert_eq!(texts(&history), ["1", "2", "3"]);
    ann.expect("join").await;
    limit(&program, None);
    assert_eq!(ann.expect("notice").await["code"], "store");
    program.said(&["chat history: all is written again"]).await;
    assert_eq!(metric(&mut program, "failing").await, 0);
    within("an empty queue", async { while metric(&mut program, "queue").await > 0 {} }).await;
    assert!(metric(&mut program, "file_bytes").await > 0);
    program.signal("KILL").await;
    program.ended().await;
    assert_eq!(in_file(folder.path()), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_at_the_start_and_by_check() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    process::configure(path, &config().replace("\"chat.history\"", "\"no/chat.history\""));
    for arguments in [&["check"][..], &[]] {
        let ended = process::run(path, arguments).await;
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.err.contains("route \"/chat\".hub.history_file: there is no folder no;"), "{}", ended.err);
    }
    // Another gateway has it: a look does not need it, serving does.
    let program = Program::configured(path, &config()).await;
    assert_eq!(process::run(path, &["check"]).await.code, Some(0));
    let second = process::run(path, &[]).await;
    assert_eq!(second.code, Some(78), "{second:?}");
    assert!(second.err.contains("another process has it open: each gateway needs a file of its own"), "{}", second.err);
    assert_eq!(program.stop().await.code, Some(0));
    // Somebody else's file is neither overwritten nor moved.
    let file = path.join("chat.history");
    std::fs::write(&file, "a diary").expect("written");
    let ended = process::run(path, &[]).await;
    assert!(ended.err.contains("holds something else than a chat history, and is left alone"), "{}", ended.err);
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "a diary");
    // What a power cut may leave of ours is put aside.
    std::fs::write(&file, [0; 8192]).expect("written");
    let mut program = Program::configured(path, &config()).await;
    program.said(&["ERROR", "is damaged and was put aside", "chat.history.damaged-1"]).await;
    let mut ann = Member::over(Peer::connect(program.address()).await, "/chat").await;
    ann.join(&json!({ "type": "join" })).await;
    ann.say("goes on").await;
    assert_eq!(program.stop().await.code, Some(0));
    assert_eq!(in_file(path), ["goes on"]);
    assert_eq!(std::fs::read(path.join("chat.history.damaged-1")).expect("aside"), [0; 8192]);
}

#[tokio::test]
async fn another_place_waits_for_a_restart_and_the_rooms_go_on() {
    let folder = tempfile::tempdir().expect("folder");
    let mut program = Program::configured(folder.path(), &config()).await;
    let mut ann = Member::over(Peer::connect(program.address()).await, "/chat").await;
    ann.join(&json!({ "type": "join" })).await;
    ann.say("1").await;
    process::configure(folder.path(), &config().replace("\"chat.history\"", "\"other.history\""));
    program.signal("HUP").await;
    program.said(&["reloaded", "hub.history_store", "needs a restart"]).await;
    ann.say("2").await;
    assert_eq!(program.stop().await.code, Some(0));
    assert_eq!(in_file(folder.path()), ["1", "2"]);
    assert!(!folder.path().join("other.history").exists());
}
