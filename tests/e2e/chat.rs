//! The chat language `wsgate.chat.v1`: every type of it as raw bytes, every error code, and what outlives a connection.

use serde_json::{Value, json};

use crate::hub::narrow;
use crate::support::frames::{CLOSE, TEXT, client};
use crate::support::{Peer, Running, gateway};

const CHAT: &str = "Sec-WebSocket-Protocol: wsgate.chat.v1";

pub fn hub(hub: &str) -> Running {
    house("workers = 2\n", hub)
}

fn house(top: &str, hub: &str) -> Running {
    gateway(&format!("{top}[[route]]\npath = \"/chat\"\nhub = {{ {hub} }}\n"))
}

/// A member, and what it was told first.
pub struct Member {
    peer: Peer,
    pub hello: Value,
}

impl Member {
    pub async fn come(gateway: &Running, path: &str) -> Self {
        Self::come_with(gateway, path, &[]).await
    }

    /// One whose kernel takes little for it.
    pub async fn come_narrow(gateway: &Running, path: &str) -> Self {
        Self::upgrade(narrow(gateway).await, path, &[]).await
    }

    pub async fn come_with(gateway: &Running, path: &str, more: &[&str]) -> Self {
        Self::upgrade(gateway.connect().await, path, more).await
    }

    async fn upgrade(mut peer: Peer, path: &str, more: &[&str]) -> Self {
        let answer = peer.upgrade(path, &[&[CHAT], more].concat()).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("wsgate.chat.v1")));
        let mut member = Self { peer, hello: Value::Null };
        member.hello = member.next().await;
        assert_eq!(member.hello["type"], "hello", "{}", member.hello);
        member
    }

    /// Somebody who is in the room of its path, and called so.
    pub async fn joined(gateway: &Running, path: &str, name: &str) -> Self {
        let mut member = Self::come(gateway, path).await;
        assert_eq!(member.ask(&json!({ "type": "name", "name": name })).await["name"], name);
        member.join(&json!({ "type": "join" })).await;
        member
    }

    pub async fn send(&mut self, request: &Value) {
        self.peer.say(&request.to_string()).await;
    }

    pub async fn next(&mut self) -> Value {
        let frame = self.peer.message().await;
        assert_eq!((frame.opcode, frame.fin, frame.rsv, frame.masked), (TEXT, true, 0, false), "{frame:?}");
        serde_json::from_str(frame.text()).expect("JSON")
    }

    /// What comes next must be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let event = self.next().await;
        assert_eq!(event["type"], kind, "{event}");
        event
    }

    pub async fn ask(&mut self, request: &Value) -> Value {
        self.send(request).await;
        self.next().await
    }

    /// The code of the error that this request gets.
    async fn fails(&mut self, request: &Value) -> String {
        let error = self.ask(request).await;
        assert_eq!(error["type"], "error", "{error}");
        assert!(error["text"].as_str().is_some_and(|text| text.len() > 5), "{error}");
        error["code"].as_str().expect("code").to_owned()
    }

    /// Joins, and gives the answer, what was said before, and the gap if there is one.
    pub async fn join(&mut self, request: &Value) -> (Value, Vec<Value>, Option<Value>) {
        self.send(request).await;
        let joined = self.expect("joined").await;
        let mut next = self.next().await;
        let gap = (next["type"] == "gap").then(|| next.clone());
        if gap.is_some() {
            next = self.next().await;
        }
        assert_eq!(next["type"], "history", "{next}");
        (joined, next["messages"].as_array().expect("messages").clone(), gap)
    }

    pub async fn say(&mut self, text: &str) -> Value {
        self.send(&json!({ "type": "say", "text": text })).await;
        self.expect("say").await
    }

    pub async fn send_raw(&mut self, text: &str) {
        self.peer.say(text).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.peer.send(bytes).await;
    }

    /// What comes next, or the Close.
    pub async fn next_or_close(&mut self) -> Result<Value, (u16, String)> {
        let frame = self.peer.message().await;
        match frame.opcode {
            CLOSE => Err((frame.code(), frame.reason())),
            _ => Ok(serde_json::from_str(frame.text()).expect("JSON")),
        }
    }

    /// The two directions of its WebSocket.
    pub fn split(self) -> (Peer, Peer) {
        self.peer.split()
    }

    pub async fn closed(&mut self) -> (u16, String) {
        let frame = self.peer.message().await;
        assert_eq!(frame.opcode, CLOSE, "{frame:?}");
        (frame.code(), frame.reason())
    }

    fn id(&self) -> &Value {
        &self.hello["id"]
    }
}

fn is_hex(value: &Value, digits: usize) -> bool {
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    value.as_str().is_some_and(|text| text.len() == digits && hex(text))
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("milliseconds")
}

pub fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["text"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn hello_says_who_one_is_and_what_one_may() {
    let gateway = hub("say = { rate = \"90/m\", burst = 3 }, text = \"1KiB\", rooms_per_member = 5");
    let member = Member::come(&gateway, "/chat/garden").await;
    let hello = &member.hello;
    assert!(is_hex(&hello["id"], 16) && is_hex(&hello["session"], 32), "{hello}");
    assert_eq!(
        (&hello["name"], &hello["room"], &hello["moderator"]),
        (&json!("User #1"), &json!("garden"), &json!(false))
    );
    assert_eq!(hello["limits"], json!({ "text": 1024, "rooms": 5, "rate": 1.5, "burst": 3 }));
    assert!(hello["time"].as_u64().is_some_and(|time| time.abs_diff(now()) < 60_000));
    let other = Member::come(&gateway, "/chat").await;
    assert_eq!((&other.hello["room"], &other.hello["name"]), (&json!("lobby"), &json!("User #2")));
    assert!(other.hello["id"] != hello["id"] && other.hello["session"] != hello["session"]);
}

#[tokio::test]
async fn a_subprotocol_that_nobody_knows_is_left_unanswered() {
    let gateway = hub("history = 0");
    for (offer, answered) in
        [("wsgate.chat.v2", None), ("WSGATE.CHAT.V1", None), ("chat, wsgate.chat.v1", Some("wsgate.chat.v1"))]
    {
        let mut peer = gateway.connect().await;
        let answer = peer.upgrade("/chat", &[&format!("Sec-WebSocket-Protocol: {offer}")]).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, answered), "{offer}");
        if answered.is_none() {
            peer.say(offer).await;
            assert!(peer.message().await.text().ends_with(offer), "plain text");
        }
    }
}

#[tokio::test]
async fn what_is_said_has_its_place_and_reaches_both_languages() {
    let gateway = hub("");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut plain = gateway.open("/chat").await;
    assert_eq!(ann.expect("join").await["name"], "User #2");
    ann.send(&json!({ "type": "say", "text": "<b>\"hi\"</b>", "ref": "r1" })).await;
    let (say, ack) = (ann.expect("say").await, ann.expect("ack").await);
    assert!(is_hex(&say["id"], 16));
    let time = u64::from_str_radix(say["id"].as_str().expect("id"), 16).expect("hex") >> 16;
    let from = json!({ "id": ann.id(), "name": "Ann" });
    let expected =
        json!({ "type": "say", "room": "lobby", "id": say["id"], "time": time, "from": from, "text": "<b>\"hi\"</b>" });
    assert_eq!(say, expected);
    assert_eq!(ack, json!({ "type": "ack", "ref": "r1", "id": say["id"], "time": time, "room": "lobby" }));
    assert_eq!(plain.message().await.text(), "Ann: &lt;b&gt;&quot;hi&quot;&lt;/b&gt;");
    plain.say("hello").await;
    assert_eq!(plain.message().await.text(), "User #2: hello");
    let heard = ann.expect("say").await;
    assert_eq!((&heard["text"], &heard["from"]["name"]), (&json!("hello"), &json!("User #2")));
    assert!(heard["id"].as_str() > say["id"].as_str() && is_hex(&heard["from"]["id"], 16));
}

#[tokio::test]
async fn an_ack_alone_comes_back_where_senders_do_not_hear_themselves() {
    let gateway = hub("to_sender = false");
    let (mut ann, mut bob) =
        (Member::joined(&gateway, "/chat", "Ann").await, Member::joined(&gateway, "/chat", "Bob").await);
    assert_eq!(ann.expect("join").await["name"], "Bob");
    let ack = ann.ask(&json!({ "type": "say", "text": "x", "ref": "1" })).await;
    assert_eq!((&ack["type"], &ack["ref"]), (&json!("ack"), &json!("1")));
    assert_eq!(bob.expect("say").await["id"], ack["id"]);
}

#[tokio::test]
async fn the_same_word_twice_is_said_once() {
    let gateway = hub("");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let say = json!({ "type": "say", "text": "x", "ref": "again" });
    assert_eq!(ann.ask(&say).await["type"], "say");
    let ack = ann.expect("ack").await;
    assert_eq!(ann.ask(&say).await, ack);
    let history = ann.ask(&json!({ "type": "history" })).await;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_newcomer_finds_the_history_and_the_room() {
    let gateway = hub("history = 3");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut said = Vec::new();
    for text in ["a", "b", "c", "d"] {
        let mut say = ann.say(text).await;
        say.as_object_mut().expect("object").retain(|key, _| key != "type" && key != "room");
        said.push(say);
    }
    let mut bob = Member::come(&gateway, "/chat").await;
    let (joined, history, gap) = bob.join(&json!({ "type": "join", "ref": "j" })).await;
    let expected = json!({
        "type": "joined", "ref": "j", "room": "lobby", "members": 2, "last": said[3]["id"], "read_only": false,
        "slow": 0, "history": 3
    });
    assert_eq!((joined, history, gap), (expected, said[1..].to_vec(), None));
    // Once more is no second time, and asks for less.
    let (again, history, _) = bob.join(&json!({ "type": "join", "history": 1 })).await;
    assert_eq!((&again["members"], texts(&history)), (&json!(2), vec!["d"]));
    let mut empty = Member::come(&gateway, "/chat/empty").await;
    let (joined, history, _) = empty.join(&json!({ "type": "join" })).await;
    assert_eq!((&joined["last"], history.len()), (&Value::Null, 0));
}

#[tokio::test]
async fn history_is_told_by_the_page() {
    let gateway = hub("");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut ids = Vec::new();
    for at in 0..7 {
        ids.push(ann.say(&at.to_string()).await["id"].clone());
    }
    let page = ann.ask(&json!({ "type": "history", "limit": 3, "ref": "h" })).await;
    assert_eq!((texts(page["messages"].as_array().expect("list")), &page["more"]), (vec!["4", "5", "6"], &json!(true)));
    assert_eq!((&page["ref"], &page["room"]), (&json!("h"), &json!("lobby")));
    let page = ann.ask(&json!({ "type": "history", "before": ids[4], "since": ids[0] })).await;
    assert_eq!(
        (texts(page["messages"].as_array().expect("list")), &page["more"]),
        (vec!["1", "2", "3"], &json!(false))
    );
}

#[tokio::test]
async fn one_socket_is_in_several_rooms() {
    let gateway = hub("");
    let (mut ann, mut bob) =
        (Member::joined(&gateway, "/chat", "Ann").await, Member::joined(&gateway, "/chat/b", "Bob").await);
    ann.join(&json!({ "type": "join", "room": "b" })).await;
    assert_eq!(bob.expect("join").await["room"], "b");
    ann.send(&json!({ "type": "say", "room": "b", "text": "to b" })).await;
    for member in [&mut ann, &mut bob] {
        let say = member.expect("say").await;
        assert_eq!((&say["room"], &say["text"]), (&json!("b"), &json!("to b")));
    }
    assert_eq!(ann.say("to lobby").await["room"], "lobby");
    assert_eq!(
        ann.ask(&json!({ "type": "leave", "room": "b", "ref": "l" })).await,
        json!({ "type": "left", "ref": "l", "room": "b" })
    );
    assert_eq!(bob.expect("leave").await["name"], "Ann");
    bob.say("alone").await;
    assert_eq!(ann.say("next").await["text"], "next", "nothing of the other room");
}

#[tokio::test]
async fn who_comes_goes_and_is_called_otherwise_is_told() {
    let gateway = hub("");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut bob = Member::come(&gateway, "/chat").await;
    bob.join(&json!({ "type": "join" })).await;
    let join = ann.expect("join").await;
    assert_eq!((&join["id"], &join["name"], &join["room"]), (bob.id(), &json!("User #2"), &json!("lobby")));
    assert!(join["time"].as_u64().is_some());
    let renamed = bob.ask(&json!({ "type": "name", "name": " Bob ", "ref": "n" })).await;
    let event = json!({ "type": "name", "id": bob.id(), "name": "Bob", "was": "User #2", "room": "lobby" });
    assert_eq!(ann.expect("name").await, event);
    assert_eq!((&renamed["ref"], &renamed["name"], &renamed["was"]), (&json!("n"), &json!("Bob"), &json!("User #2")));
    let who = bob.ask(&json!({ "type": "who", "ref": "w" })).await;
    assert_eq!(
        (&who["ref"], &who["count"], &who["more"], &who["room"]),
        (&json!("w"), &json!(2), &json!(false), &json!("lobby"))
    );
    for (id, name) in [(ann.id(), "Ann"), (bob.id(), "Bob")] {
        assert!(who["members"].as_array().expect("list").contains(&json!({ "id": id, "name": name })), "{who}");
    }
    assert_eq!(bob.say("as Bob").await["from"]["name"], "Bob");
    assert_eq!(ann.expect("say").await["from"]["name"], "Bob");
    let id = bob.id().clone();
    drop(bob);
    let leave = ann.expect("leave").await;
    assert_eq!((&leave["id"], &leave["name"], &leave["room"]), (&id, &json!("Bob"), &json!("lobby")));
}

#[tokio::test]
async fn a_large_room_is_not_told_who_comes() {
    let gateway = hub("presence = 1");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let bob = Member::joined(&gateway, "/chat", "Bob").await;
    assert_eq!(ann.say("x").await["text"], "x");
    drop(bob);
}

#[tokio::test]
async fn somebody_writes_at_most_once_a_second() {
    let gateway = hub("");
    let (mut ann, mut bob) =
        (Member::joined(&gateway, "/chat", "Ann").await, Member::joined(&gateway, "/chat", "Bob").await);
    ann.expect("join").await;
    // In one write, so that they are within a second.
    bob.send_bytes(&client(TEXT, b"{\"type\":\"typing\"}").repeat(3)).await;
    bob.send(&json!({ "type": "say", "text": "done" })).await;
    let typing = ann.expect("typing").await;
    assert_eq!(typing, json!({ "type": "typing", "room": "lobby", "from": { "id": bob.id(), "name": "Bob" } }));
    assert_eq!(ann.expect("say").await["text"], "done");
    assert_eq!(bob.expect("say").await["text"], "done", "one does not hear oneself write");
}

#[tokio::test]
async fn a_private_message_reaches_one_and_is_not_kept() {
    let gateway = hub("");
    let (mut ann, mut bob) =
        (Member::joined(&gateway, "/chat", "Ann").await, Member::joined(&gateway, "/chat", "Bob").await);
    let mut eve = Member::joined(&gateway, "/chat", "Eve").await;
    for member in [&mut ann, &mut bob] {
        member.expect("join").await;
    }
    ann.expect("join").await;
    let ack = ann.ask(&json!({ "type": "to", "member": bob.id(), "text": "psst", "ref": "t" })).await;
    let to = bob.expect("to").await;
    let from = json!({ "id": ann.id(), "name": "Ann" });
    let expected = json!({ "type": "to", "id": ack["id"], "time": ack["time"], "from": from, "to": { "id": bob.id(), "name": "Bob" }, "text": "psst" });
    assert_eq!((to, &ack["ref"], ack.get("room")), (expected, &json!("t"), None));
    assert_eq!(eve.say("x").await["text"], "x");
    assert_eq!(eve.ask(&json!({ "type": "history" })).await["messages"].as_array().map(Vec::len), Some(1));
    // Whoever shares no room with somebody does not find them.
    let mut stranger = Member::joined(&gateway, "/chat/elsewhere", "Zoe").await;
    assert_eq!(stranger.fails(&json!({ "type": "to", "member": bob.id(), "text": "psst" })).await, "no_such_member");
}

#[tokio::test]
async fn who_comes_back_is_who_it_was_and_misses_nothing() {
    let gateway = hub("history = 4");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut bob = Member::joined(&gateway, "/chat", "Bob").await;
    ann.expect("join").await;
    let last = ann.say("heard").await["id"].clone();
    bob.expect("say").await;
    let (session, id) = (bob.hello["session"].clone(), bob.id().clone());
    drop(bob);
    ann.expect("leave").await;
    for text in ["1", "2", "3"] {
        ann.say(text).await;
    }
    let mut bob = Member::come(&gateway, "/chat").await;
    assert_ne!(*bob.id(), id);
    let rooms = json!([{ "room": "lobby", "since": last }]);
    let resume = json!({ "type": "resume", "session": session, "name": "Bob", "rooms": rooms, "ref": "r" });
    let resumed = bob.ask(&resume).await;
    assert_eq!(resumed, json!({ "type": "resumed", "ref": "r", "id": id, "name": "Bob" }));
    assert_eq!(
        (bob.expect("joined").await["room"].clone(), ann.expect("join").await["id"].clone()),
        (json!("lobby"), id.clone())
    );
    assert_eq!(texts(bob.expect("history").await["messages"].as_array().expect("list")), ["1", "2", "3"]);
    assert_eq!(bob.say("back").await["from"]["id"], id);
    ann.expect("say").await;
    // What is gone is told, with what is left behind it.
    let mut late = Member::come(&gateway, "/chat").await;
    let (_, history, gap) = late.join(&json!({ "type": "join", "since": last })).await;
    assert_eq!((texts(&history), gap), (vec!["1", "2", "3", "back"], None));
    let first = history[0]["id"].clone();
    ann.expect("join").await;
    ann.say("one more").await;
    let mut later = Member::come(&gateway, "/chat").await;
    let (_, history, gap) = later.join(&json!({ "type": "join", "since": last })).await;
    assert_eq!(texts(&history), ["2", "3", "back", "one more"]);
    assert_eq!(gap, Some(json!({ "type": "gap", "room": "lobby", "after": last, "before": history[0]["id"] })));
    assert_ne!(first, history[0]["id"]);
}

#[tokio::test]
async fn a_live_connection_makes_way_for_the_one_that_resumes() {
    let gateway = hub("");
    let (mut ann, mut bob) =
        (Member::joined(&gateway, "/chat", "Ann").await, Member::joined(&gateway, "/chat", "Bob").await);
    ann.expect("join").await;
    let mut again = Member::come(&gateway, "/chat").await;
    let rooms = json!([{ "room": "lobby" }]);
    let resume = json!({ "type": "resume", "session": bob.hello["session"], "name": "Bob", "rooms": rooms });
    assert_eq!(again.ask(&resume).await["id"], *bob.id());
    again.expect("joined").await;
    assert_eq!(bob.closed().await, (4409, "resumed elsewhere".to_owned()));
    again.expect("history").await;
    drop(bob);
    // Nobody has come or gone.
    ann.say("x").await;
    assert_eq!(again.expect("say").await["text"], "x");
    assert_eq!(again.ask(&json!({ "type": "who" })).await["count"], 2);
}
