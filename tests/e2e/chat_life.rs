//! What a hub lives through: a reload with members in it, a thousand rooms at once, and members that do not read.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::chat::{Member, hub, texts};
use crate::support::{gateway, parse};

fn config(hub: &str) -> String {
    format!("workers = 2\n[[route]]\npath = \"/chat\"\nhub = {{ {hub} }}\n")
}

#[tokio::test]
async fn a_reload_changes_what_holds_and_sends_nobody_away() {
    let gateway = gateway(&config("history = 5"));
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut plain = gateway.open("/chat").await;
    assert_eq!(ann.expect("join").await["name"], "User #2");
    for text in ["1", "2", "3"] {
        ann.say(text).await;
        assert_eq!(plain.message().await.text(), format!("Ann: {text}"));
    }
    let changes = "history = 2, text = 3, escape = false, rooms_per_member = 1, fixed = [{ name = \"news\" }]";
    gateway.handle.reload(parse(&config(changes))).expect("reloaded");
    // Those who were here hear one another, and go by what holds now.
    plain.say("<b>").await;
    assert_eq!(plain.message().await.text(), "User #2: <b>");
    assert_eq!(ann.expect("say").await["text"], "<b>");
    assert_eq!(ann.ask(&json!({ "type": "say", "text": "long" })).await["code"], "too_long");
    assert_eq!(texts(ann.ask(&json!({ "type": "history" })).await["messages"].as_array().expect("list")), ["3", "<b>"]);
    // Newcomers find the same room, and have the new limits.
    let mut bob = Member::come(&gateway, "/chat").await;
    assert_eq!(bob.hello["limits"]["rooms"], 1);
    let (joined, history, _) = bob.join(&json!({ "type": "join" })).await;
    assert_eq!((&joined["members"], &joined["history"], texts(&history)), (&json!(3), &json!(2), vec!["3", "<b>"]));
    assert_eq!(ann.expect("join").await["name"], "User #3");
    assert_eq!(ann.join(&json!({ "type": "join", "room": "news" })).await.0["members"], 1, "as many as when she came");
    let mut late = gateway.open("/chat").await;
    assert_eq!([late.message().await.text(), late.message().await.text()], ["Ann: 3", "User #2: <b>"]);
}

#[tokio::test]
async fn a_secret_room_that_is_taken_out_of_the_list_is_not_opened_by_it() {
    let gateway = gateway(&config("fixed = [{ name = \"board\", secret = \"x\" }]"));
    let join = json!({ "type": "join", "room": "board", "secret": "x" });
    let mut ann = Member::come(&gateway, "/chat").await;
    ann.join(&join).await;
    let say = |text: &str| json!({ "type": "say", "room": "board", "text": text });
    assert_eq!(ann.ask(&say("between us")).await["text"], "between us");
    gateway.handle.reload(parse(&config("create = true"))).expect("reloaded");
    let mut bob = Member::come(&gateway, "/chat").await;
    for request in [&json!({ "type": "join", "room": "board" }), &join] {
        assert_eq!(bob.ask(request).await["code"], "no_such_room");
    }
    assert_eq!(gateway.connect().await.upgrade("/chat/board", &[]).await.status, 404);
    assert_eq!(ann.ask(&say("still here")).await["text"], "still here");
    assert_eq!(ann.ask(&json!({ "type": "leave", "room": "board" })).await["type"], "left");
    let (joined, history, _) = bob.join(&json!({ "type": "join", "room": "board" })).await;
    assert_eq!((&joined["members"], history.len()), (&json!(1), 0), "another room of that name");
}

#[tokio::test]
async fn a_thousand_rooms_of_nine_and_each_hears_its_own() {
    const ROOMS: usize = 1000;
    const MEMBERS: usize = 9;
    let gateway = hub(
        "rooms = 1001, rooms_per_member = 1000, presence = 0, room_names = 'r[0-9]+|lobby', say = { rate = \"0/s\" }",
    );
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(Member::come(&gateway, "/chat").await);
    }
    // All have joined all before anybody says anything.
    let mut tasks = JoinSet::new();
    for mut member in members {
        tasks.spawn(async move {
            for room in 0..ROOMS {
                member.join(&json!({ "type": "join", "room": format!("r{room}") })).await;
            }
            member
        });
    }
    let members = tasks.join_all().await;
    let mut tasks = JoinSet::new();
    for (at, member) in members.into_iter().enumerate() {
        tasks.spawn(talk(member, (at..ROOMS).step_by(MEMBERS).collect(), ROOMS));
    }
    let heard = tasks.join_all().await;
    for rooms in &heard {
        let mut sorted = rooms.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..ROOMS), "each room once");
    }
    assert_eq!(heard.len(), MEMBERS);
}

/// Says something in each of these rooms; the rooms of which something was heard.
async fn talk(member: Member, rooms: Vec<usize>, most: usize) -> Vec<usize> {
    let (mut from, mut to) = member.split();
    let says = async {
        for room in rooms {
            let say = json!({ "type": "say", "room": format!("r{room}"), "text": room.to_string() });
            to.say(&say.to_string()).await;
        }
    };
    let hears = async {
        let mut heard = Vec::with_capacity(most);
        while heard.len() < most {
            let say: Value = serde_json::from_str(from.message().await.text()).expect("JSON");
            assert_eq!(say["room"].as_str(), say["text"].as_str().map(|text| format!("r{text}")).as_deref(), "{say}");
            heard.push(say["text"].as_str().and_then(|text| text.parse().ok()).expect("number"));
        }
        heard
    };
    tokio::join!(says, hears).1
}

#[tokio::test]
async fn nothing_is_left_out_for_a_member_that_counts_on_ids() {
    // In plain text old messages would be dropped; here the member is sent away, and comes back for them.
    let limits = "limits = { send_queue = \"32KiB\", slow_client = \"drop_oldest\", close_timeout = \"10m\" }\n";
    // So many rooms for the sake of the requests that one may make at once.
    let settings = "say = { rate = \"0/s\" }, text = \"16KiB\", history = 10000, history_size = \"64MiB\", \
         rooms_per_member = 1000";
    let gateway = gateway(&format!("workers = 1\n{limits}[[route]]\npath = \"/chat\"\nhub = {{ {settings} }}\n"));
    let mut slow = Member::come_narrow(&gateway, "/chat").await;
    slow.join(&json!({ "type": "join" })).await;
    let session = slow.hello["session"].clone();
    let mut quick = Member::joined(&gateway, "/chat", "Ann").await;
    slow.expect("join").await;
    let pad = "x".repeat(15_000);
    for at in 0..600 {
        assert!(quick.say(&format!("{at} {pad}")).await["text"].as_str().is_some());
    }
    let number = |event: &Value| event["text"].as_str().and_then(|text| text.split(' ').next()?.parse::<usize>().ok());
    let (mut next, mut last) = (0, Value::Null);
    let close = loop {
        match slow.next_or_close().await {
            Ok(event) => {
                assert_eq!(number(&event), Some(next));
                (next, last) = (next + 1, event["id"].clone());
            }
            Err(close) => break close,
        }
    };
    assert_eq!(close, (1013, "too slow: the send queue is full".to_owned()));
    assert!((1..600).contains(&next), "{next}");
    drop(slow);
    let mut back = Member::come(&gateway, "/chat").await;
    back.ask(&json!({ "type": "resume", "session": session, "rooms": [] })).await;
    let (_, mut messages, gap) = back.join(&json!({ "type": "join", "since": last })).await;
    assert_eq!(gap, None);
    // Only so much fits into one answer: the rest is asked for from the newest to the oldest.
    loop {
        let first = messages[0]["id"].clone();
        let page = back.ask(&json!({ "type": "history", "since": last, "before": first, "limit": 9999 })).await;
        assert_eq!(page["type"], "history", "{page}");
        let mut older = page["messages"].as_array().expect("list").clone();
        older.extend(messages);
        messages = older;
        if page["more"] == false {
            break;
        }
    }
    let all: Vec<Option<usize>> = messages.iter().map(number).collect();
    assert_eq!(all, (next..600).map(Some).collect::<Vec<_>>());
}
