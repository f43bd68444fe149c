//! The admin door's desk: open WebSockets listed, found, and sent home.

use serde_json::{Value, json};

use crate::desk::{ask, get, raw, with_routes};
use crate::support::backend::Backend;
use crate::support::{Peer, Running, logged, within};

const ECHO: &str = "[[route]]\npath = \"/echo\"\necho = {}\n[[route]]\npath = \"/other\"\necho = {}\n";

/// One whose session has begun, and has had one message of five bytes both ways.
async fn talking(gateway: &Running, path: &str) -> Peer {
    let mut peer = gateway.open(path).await;
    peer.say("hello").await;
    assert_eq!(peer.message().await.text(), "hello");
    peer
}

fn ids(list: &Value) -> Vec<u64> {
    let list = list["connections"].as_array().expect("list");
    list.iter().map(|one| one["id"].as_u64().expect("id")).collect()
}

async fn until_gone(gateway: &Running, id: u64) {
    within("the connection to be gone", async {
        while ask(gateway, &format!("GET /connections/{id}"), None).await.0 != 404 {}
    })
    .await;
}

#[tokio::test]
async fn each_is_told_of_as_it_is() {
    let backend = Backend::bind().await;
    let relay = format!(
        "[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\nbackends = [\"{}\"]\n",
        backend.url()
    );
    let (gateway, _folder) = with_routes("", &format!("{ECHO}{relay}"));
    assert_eq!(
        get(&gateway, "/connections").await,
        json!({ "count": 0, "missing": 0, "more": false, "connections": [] })
    );
    let _one = talking(&gateway, "/echo").await;
    let list = get(&gateway, "/connections").await;
    let one = list["connections"][0].clone();
    for (field, value) in [
        ("route", json!("/echo")),
        ("address", json!("127.0.0.1")),
        ("tls", Value::Null),
        ("backend", Value::Null),
        ("frames_in", json!(1)),
        ("frames_out", json!(1)),
        ("bytes_in", json!(5)),
        ("bytes_out", json!(5)),
        ("queued_bytes", json!(0)),
        ("ending", json!(false)),
        ("held", json!(false)),
        ("ping_seconds", Value::Null),
    ] {
        assert_eq!(one[field], value, "{field}: {one}");
    }
    assert!(one["age_seconds"].as_f64() >= one["idle_seconds"].as_f64() && one["age_seconds"].is_f64(), "{one}");
    assert_eq!(one.as_object().map(serde_json::Map::len), Some(16), "{one}");
    let same = get(&gateway, &format!("/connections/{}", one["id"])).await;
    assert_eq!((&same["id"], &same["host"]), (&one["id"], &one["host"]));
    let (_far, _behind) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 1.0).await;
    let list = get(&gateway, "/connections?route=/ws").await;
    assert_eq!(list["connections"][0]["backend"], json!(backend.url()), "{list}");
}

#[tokio::test]
async fn a_query_narrows_the_list_and_turns_its_pages() {
    let (gateway, _folder) = with_routes("", ECHO);
    let (_first, _second) = (talking(&gateway, "/echo").await, talking(&gateway, "/echo").await);
    let _third = talking(&gateway, "/other").await;
    for (query, count) in [
        ("", 3),
        ("route=/echo", 2),
        ("route=/echo&address=127.0.0.1", 2),
        ("address=127.0.0.0/8", 3),
        ("address=192.0.2.0/24", 0),
        ("backend=ws://h", 0),
        ("older_than=1h", 0),
        ("younger_than=1h", 3),
        ("min_bytes=10", 3),
        ("min_bytes=1KiB", 0),
    ] {
        let list = get(&gateway, &format!("/connections?{query}")).await;
        assert_eq!((&list["count"], ids(&list).len()), (&json!(count), count), "{query} {list}");
    }
    let all = ids(&get(&gateway, "/connections").await);
    assert!(all.is_sorted_by(|one, other| one < other), "{all:?}");
    let page = async |offset: usize| get(&gateway, &format!("/connections?limit=2&offset={offset}")).await;
    let (first, second, third) = (page(0).await, page(2).await, page(9).await);
    assert_eq!((ids(&first), &first["more"], &first["count"]), (all[..2].to_vec(), &json!(true), &json!(3)));
    assert_eq!((ids(&second), &second["more"]), (all[2..].to_vec(), &json!(false)));
    assert_eq!((ids(&third), &third["more"]), (Vec::new(), &json!(false)));
}

#[tokio::test]
async fn one_is_closed_and_its_line_in_the_log_has_its_id() {
    let _ = crate::support::log();
    let routes = "[[route]]\npath = \"/closed-by-its-id\"\necho = {}\n";
    let (gateway, _folder) = with_routes("", routes);
    let mut closed = talking(&gateway, "/closed-by-its-id").await;
    let [id] = ids(&get(&gateway, "/connections").await)[..] else { panic!("one") };
    let mut stays = talking(&gateway, "/closed-by-its-id").await;
    let gone = ask(&gateway, &format!("DELETE /connections/{id}?code=4000&reason=so%20long"), None).await;
    assert_eq!(gone, (202, json!({ "concerned": 1, "missing": 0, "seconds": 0.0 })));
    let frame = closed.message().await;
    assert_eq!((frame.code(), frame.reason().as_str()), (4000, "so long"));
    closed.agree(&frame).await;
    until_gone(&gateway, id).await;
    stays.say("still here").await;
    assert_eq!(stays.message().await.text(), "still here");
    let line = logged(&["websocket ended", "/closed-by-its-id"]).await;
    assert!(line.contains(&format!(" id={id} ")) && line.contains("ended_by=\"gateway\" code=4000"), "{line}");
    let [other] = ids(&get(&gateway, "/connections").await)[..] else { panic!("one") };
    ask(&gateway, &format!("DELETE /connections/{other}"), None).await;
    let frame = stays.message().await;
    assert_eq!((frame.code(), frame.reason().as_str()), (1008, "closed by the operator"));
}

#[tokio::test]
async fn a_crowd_is_closed_and_nobody_else() {
    let (gateway, _folder) = with_routes("", ECHO);
    let (one, two) = (talking(&gateway, "/echo").await, talking(&gateway, "/echo").await);
    let mut other = talking(&gateway, "/other").await;
    let (status, gone) = ask(&gateway, "DELETE /connections?route=/echo&code=1012&reason=new%20version", None).await;
    assert_eq!((status, &gone["concerned"], &gone["missing"]), (202, &json!(2), &json!(0)));
    // 100 in a second, as the default of `drain_pace` says.
    assert_eq!(gone["seconds"], json!(0.02));
    for mut peer in [one, two] {
        let close = peer.message().await;
        assert_eq!((close.code(), close.reason().as_str()), (1012, "new version"));
        peer.agree(&close).await;
    }
    other.say("still here").await;
    assert_eq!(other.message().await.text(), "still here");
}

#[tokio::test]
async fn what_is_asked_wrongly_of_connections_is_told() {
    let (gateway, _folder) = with_routes("", ECHO);
    let mut peer = talking(&gateway, "/echo").await;
    let long = format!("DELETE /connections/1?reason={}", "x".repeat(124));
    for (line, status, code) in [
        ("GET /connections?routes=/echo", 400, "bad_query"),
        ("GET /connections?route=/echo&route=/other", 400, "bad_query"),
        ("GET /connections?code=1000", 400, "bad_query"),
        ("GET /connections?limit=1001", 422, "bad_field"),
        ("GET /connections?limit=0", 422, "bad_field"),
        ("GET /connections?offset=x", 422, "bad_field"),
        ("GET /connections?address=nowhere", 422, "bad_field"),
        ("GET /connections?older_than=5", 422, "bad_field"),
        ("GET /connections?min_bytes=many", 422, "bad_field"),
        ("GET /connections/4711", 404, "no_such_connection"),
        ("GET /connections/x", 404, "no_such_path"),
        ("GET /connections/1/2", 404, "no_such_path"),
        ("GET /connections/1?x=1", 400, "bad_query"),
        ("DELETE /connections", 400, "which_connections"),
        ("DELETE /connections?code=1000", 400, "which_connections"),
        ("DELETE /connections?route=/echo&limit=1", 400, "bad_query"),
        ("DELETE /connections?route=/echo&code=1005", 422, "bad_field"),
        ("DELETE /connections/4711", 404, "no_such_connection"),
        ("DELETE /connections/1?code=2000", 422, "bad_field"),
        (&long, 422, "bad_field"),
        ("OPTIONS /connections", 405, "bad_method"),
    ] {
        let (have, value) = ask(&gateway, line, None).await;
        assert_eq!((have, &value["code"]), (status, &json!(code)), "{line} {value}");
    }
    let request = "OPTIONS /connections/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n";
    assert_eq!(raw(&gateway, request).await.header("allow"), Some("GET, DELETE"));
    assert_eq!(raw(&gateway, "GET /connections HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 401);
    peer.say("still here").await;
    assert_eq!(peer.message().await.text(), "still here");
}
