//! The admin door's desk: rooms seen, spoken in and moderated over HTTP, as raw bytes, by whoever has the token.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chat::Member;
use crate::support::peer::Answer;
use crate::support::{Peer, Running, gateway};

const TOKEN: &str = "0123456789abcdef";

/// A gateway with a desk, and one hub at `/chat`.
pub fn desk(admin: &str, hub: &str) -> (Running, TempDir) {
    with_routes(admin, &format!("[[route]]\npath = \"/chat\"\nhub = {{ {hub} }}\n"))
}

pub fn with_routes(admin: &str, routes: &str) -> (Running, TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("write");
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n{admin}\n", file.display());
    (gateway(&format!("workers = 2\n{admin}{routes}")), folder)
}

pub async fn raw(gateway: &Running, request: &str) -> Answer {
    let admin = gateway.admin.as_ref().expect("admin").strip_prefix("http://").expect("address");
    let mut peer = Peer::connect(admin).await;
    peer.send(request.as_bytes()).await;
    peer.answer().await
}

/// Asks with the token; the status and the JSON of the answer.
pub async fn ask(gateway: &Running, line: &str, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(|body| {
        let text = body.to_string();
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    });
    let rest = body.unwrap_or_else(|| "\r\n".to_owned());
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n{rest}");
    let answer = raw(gateway, &request).await;
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

pub async fn get(gateway: &Running, path: &str) -> Value {
    let (status, value) = ask(gateway, &format!("GET {path}"), None).await;
    assert_eq!(status, 200, "{value}");
    value
}

#[tokio::test]
async fn a_token_opens_the_desk() {
    let (gateway, folder) = desk("", "");
    assert_eq!(ask(&gateway, "GET /rooms", None).await, (200, json!({ "count": 0, "rooms": [], "more": false })));
    for header in ["", "Authorization: Bearer 0123456789abcdeF\r\n", "Authorization: Basic 0123456789abcdef\r\n"] {
        let answer = raw(&gateway, &format!("GET /rooms HTTP/1.1\r\nHost: a\r\n{header}\r\n")).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{header}");
        assert!(answer.body.contains("\"code\":\"unauthorized\""), "{answer:?}");
    }
    let plain = raw(&gateway, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((plain.status, plain.body.as_str()), (200, "ok\n"));
    // Another token is taken up by a reload.
    let file = folder.path().join("token");
    std::fs::write(&file, "another token than before").expect("write");
    let text = format!(
        "workers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n[[route]]\npath = \"/chat\"\nhub = {{}}\n",
        file.display()
    );
    gateway.handle.reload(crate::support::parse(&text)).expect("reload");
    assert_eq!(ask(&gateway, "GET /rooms", None).await.0, 401);
}

#[tokio::test]
async fn without_a_token_it_is_closed_and_says_why() {
    let gateway = gateway("[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/chat\"\nhub = {}\n");
    for line in ["GET /hubs", "GET /rooms", "POST /bans", "GET /mutes", "DELETE /rooms/a/messages/1"] {
        let (status, value) = ask(&gateway, line, None).await;
        assert_eq!((status, &value["code"]), (403, &json!("no_token")), "{line}");
        assert!(value["text"].as_str().is_some_and(|text| text.contains("token_file")), "{value}");
    }
}

#[tokio::test]
async fn the_page_is_for_everybody_and_brings_nothing_with_it() {
    let (open, _folder) = desk("", "");
    let shut = gateway("[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/chat\"\nhub = {}\n");
    for (gateway, token) in [(&open, "data-token=\"yes\""), (&shut, "data-token=\"no\"")] {
        let page = raw(gateway, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.body.contains(token), "{}", page.body);
        let policy = page.header("content-security-policy").expect("a policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "trusted-types 'none'"] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
        }
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(page.header(name), Some(value), "{name}");
        }
        let script = raw(gateway, "GET /?asset=admin.js HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    }
    assert_eq!(raw(&open, "GET /?asset=token HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 404);
    assert_eq!(raw(&open, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await.status, 405);
    // A page elsewhere, whose browser asks whether it may send the token, is not told that it may.
    let asked = "OPTIONS /connections HTTP/1.1\r\nHost: a\r\nOrigin: https://elsewhere.example\r\n\
                 Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n\r\n";
    let answer = raw(&open, asked).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, None));
}

#[tokio::test]
async fn a_token_may_be_in_the_environment() {
    let folder = tempfile::tempdir().expect("folder");
    let text = "[admin]\nlisten = \"127.0.0.1:0\"\ntoken_env = \"WSGATE_TEST_NO_SUCH_TOKEN\"\n\
        [[route]]\npath = \"/chat\"\nhub = {}\n";
    let file = folder.path().join("wsgate.toml");
    std::fs::write(&file, text).expect("write");
    let check = |token: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wsgate"));
        command.arg("check").arg("--config").arg(&file).env_remove("WSGATE_TEST_NO_SUCH_TOKEN");
        command.envs(token.map(|token| ("WSGATE_TEST_NO_SUCH_TOKEN", token)));
        let output = command.output().expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(check(Some(TOKEN)).0, "{:?}", check(Some(TOKEN)));
    for token in [None, Some("short")] {
        let (fine, text) = check(token);
        assert!(!fine && text.contains("admin.token_env"), "{text}");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let (gateway, _folder) = desk("body = \"1KiB\"", "");
    let long = json!({ "text": "x".repeat(1024) });
    let text = json!({ "text": "x" });
    for (line, body, status, code) in [
        ("GET /rooms/a/b", None, 404, "no_such_path"),
        ("GET /rooms/%zz", None, 404, "no_such_path"),
        ("GET /rooms/nowhere", None, 404, "no_such_room"),
        ("GET /rooms?hub=/other", None, 404, "no_such_hub"),
        ("DELETE /rooms", None, 405, "bad_method"),
        ("PUT /rooms/a", Some(&text), 405, "bad_method"),
        ("POST /rooms/a/messages", None, 415, "not_json"),
        ("POST /rooms/a/messages", Some(&long), 413, "too_large"),
        ("POST /rooms/a/messages", Some(&json!([])), 400, "bad_json"),
        ("POST /rooms/a/messages", Some(&json!({ "text": 1 })), 422, "bad_field"),
        ("POST /rooms/a/messages", Some(&json!({ "text": "" })), 422, "bad_field"),
        ("POST /rooms/a/messages", Some(&json!({ "text": "x", "name": "" })), 422, "bad_field"),
        ("POST /rooms/a%2Fb/messages", Some(&text), 422, "bad_room"),
        ("GET /rooms?limit=0", None, 422, "bad_field"),
        ("GET /rooms?limits=1", None, 400, "bad_query"),
        ("POST /bans", Some(&json!({ "address": "1.2.3" })), 422, "bad_field"),
        ("POST /bans", Some(&json!({ "name": "a", "for": 0 })), 422, "bad_field"),
        ("POST /bans", Some(&json!({ "name": "a", "fro": 9 })), 422, "bad_field"),
        ("POST /mutes", Some(&json!({ "address": "192.0.2.1" })), 422, "bad_field"),
        ("DELETE /bans?name=a", None, 404, "no_such_member"),
        ("DELETE /rooms/a/members/1", None, 422, "bad_field"),
    ] {
        let (have, value) = ask(&gateway, line, body).await;
        assert_eq!((have, &value["code"]), (status, &json!(code)), "{line} {value}");
        assert!(value["text"].as_str().is_some_and(|text| text.len() > 5), "{value}");
    }
    let head = format!("DELETE /rooms HTTP/1.1\r\nHost: a\r\nAuthorization: bearer {TOKEN}\r\n\r\n");
    assert_eq!(raw(&gateway, &head).await.header("allow"), Some("GET"));
    let half = format!(
        "POST /bans HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: 3\r\n\r\n{{x}}"
    );
    assert_eq!(raw(&gateway, &half).await.status, 400);
}

#[tokio::test]
async fn the_server_says_something_in_both_languages() {
    let (gateway, _folder) = desk("", "");
    let post =
        async |room: &str, post: Value| ask(&gateway, &format!("POST /rooms/{room}/messages"), Some(&post)).await;
    let (status, said) = post("K%C3%BCche", json!({ "text": "early" })).await;
    assert_eq!((status, &said["room"]), (201, &json!("Küche")));
    let mut ann = Member::come(&gateway, "/chat").await;
    let (_, history, _) = ann.join(&json!({ "type": "join", "room": "Küche" })).await;
    assert_eq!((&history[0]["text"], &history[0]["id"]), (&json!("early"), &said["id"]));
    assert_eq!(history[0]["from"], json!({ "id": "0000000000000000", "name": "Server" }));
    ann.join(&json!({ "type": "join" })).await;
    let mut plain = gateway.open("/chat").await;
    ann.expect("join").await;
    let again = json!({ "text": "<again>", "name": "News", "ref": "1" });
    let (status, said) = post("lobby", again.clone()).await;
    assert_eq!((status, post("lobby", again).await), (201, (201, said.clone())));
    assert_eq!(ann.expect("say").await["id"], said["id"]);
    assert_eq!(plain.message().await.text(), "News: &lt;again&gt;");
    post("lobby", json!({ "text": "last" })).await;
    assert_eq!(plain.message().await.text(), "Server: last");
    let list = get(&gateway, "/rooms/lobby/messages?limit=1").await;
    assert_eq!((&list["messages"][0]["text"], &list["more"]), (&json!("last"), &json!(true)));
}

#[tokio::test]
async fn hubs_rooms_and_members_are_listed_by_the_page() {
    let route = |path: &str, hub: &str| format!("[[route]]\npath = \"{path}\"\nhub = {{ {hub} }}\n");
    let fixed = "fixed = [{ name = \"news\", read_only = true, slow = \"5s\" }]";
    let (gateway, _folder) = with_routes("", &(route("/chat", fixed) + &route("/b", "")));
    let mut ann = Member::joined(&gateway, "/chat/cats", "Ann").await;
    ann.say("x").await;
    let plain = gateway.open("/chat/cats").await;
    ann.expect("join").await;
    let expected =
        json!({ "hubs": [{ "hub": "/chat", "rooms": 2, "members": 2 }, { "hub": "/b", "rooms": 0, "members": 0 }] });
    assert_eq!(get(&gateway, "/hubs").await, expected);
    assert_eq!(ask(&gateway, "GET /rooms", None).await.1["code"], "which_hub");
    let rooms = get(&gateway, "/rooms?hub=/chat&limit=1").await;
    assert_eq!(
        (&rooms["count"], &rooms["more"], &rooms["rooms"][0]["room"]),
        (&json!(2), &json!(true), &json!("cats"))
    );
    assert_eq!((&rooms["rooms"][0]["members"], &rooms["rooms"][0]["messages"]), (&json!(2), &json!(1)));
    let rooms = get(&gateway, "/rooms?hub=/chat&after=cats").await;
    let news = json!({ "room": "news", "members": 0, "messages": 0, "last": null, "read_only": true, "slow": 5, "fixed": true });
    assert_eq!((&rooms["more"], &rooms["rooms"]), (&json!(false), &json!([news])));
    let first = get(&gateway, "/rooms/cats/members?hub=/chat&limit=1").await;
    let after = first["members"][0]["id"].as_str().expect("id");
    let second = get(&gateway, &format!("/rooms/cats/members?hub=/chat&after={after}")).await;
    let name = |page: &Value| page["members"][0]["name"].as_str().expect("name").to_owned();
    let mut names = [name(&first), name(&second)];
    names.sort();
    assert_eq!(
        (names, &first["more"], &second["more"]),
        (["Ann".to_owned(), "User #2".to_owned()], &json!(true), &json!(false))
    );
    drop(plain);
}

#[tokio::test]
async fn somebody_is_put_out_and_a_message_is_forgotten() {
    let (gateway, _folder) = desk("", "");
    let mut ann = Member::joined(&gateway, "/chat", "Ann").await;
    let mut plain = gateway.open("/chat").await;
    let number = ann.expect("join").await["id"].as_str().expect("id").to_owned();
    let id = ann.say("bad").await["id"].as_str().expect("id").to_owned();
    plain.message().await;
    let delete = format!("DELETE /rooms/lobby/messages/{id}");
    assert_eq!(ask(&gateway, &delete, None).await.0, 200);
    assert_eq!(ann.expect("delete").await, json!({ "type": "delete", "room": "lobby", "id": id }));
    assert_eq!(ask(&gateway, &delete, None).await.1["code"], "no_such_message");
    let history = ann.ask(&json!({ "type": "history" })).await;
    assert_eq!(history["messages"], json!([]));
    // One by a Close, the other out of this room alone.
    let kick = format!("DELETE /rooms/lobby/members/{number}?reason=be%20nice");
    assert_eq!(ask(&gateway, &kick, None).await, (200, json!({ "concerned": 1 })));
    let close = plain.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (4403, "kicked: be nice"));
    plain.agree(&close).await;
    drop(plain);
    ann.expect("leave").await;
    assert_eq!(ask(&gateway, &kick, None).await.1["code"], "no_such_member");
    ann.join(&json!({ "type": "join", "room": "other" })).await;
    let own = ann.hello["id"].as_str().expect("id").to_owned();
    assert_eq!(ask(&gateway, &format!("DELETE /rooms/lobby/members/{own}"), None).await.0, 200);
    assert_eq!(ann.expect("left").await, json!({ "type": "left", "room": "lobby", "why": "kicked" }));
    ann.send(&json!({ "type": "say", "room": "other", "text": "still here" })).await;
    assert_eq!(ann.expect("say").await["text"], "still here");
    assert_eq!(get(&gateway, "/rooms/lobby/members").await["count"], 0);
    let count = "wsgate_hub_moderated_total{route=\"/chat\",action=\"kick\"}";
    gateway.until_metric(count, 2.0).await;
}
