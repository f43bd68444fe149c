//! The configuration read again through the admin door and by `wsgate reload`: what is told, who stays, and who goes.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};
use tempfile::TempDir;
use wsgate::{Config, Problems};

use crate::desk::{ask, get, raw, with_routes};
use crate::support::backend::{Backend, switch};
use crate::support::peer::upgrade_request;
use crate::support::process::{Ended, Program, configure, run};
use crate::support::{Peer, Running, within};

/// A gateway with a desk, whose configuration a test changes by its routes.
struct Owned {
    gateway: Running,
    /// What is said at the top, and the routes.
    text: Arc<Mutex<(String, String)>>,
    _folder: TempDir,
}

fn owned(routes: &str) -> Owned {
    let (gateway, folder) = with_routes("", routes);
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}/token\"\n", folder.path().display());
    let text = Arc::new(Mutex::new((String::new(), routes.to_owned())));
    let written = Arc::clone(&text);
    gateway.handle.read_with(move || {
        let (top, routes) = written.lock().expect("text").clone();
        read(&format!("workers = 2\n{top}{admin}{routes}"))
    });
    Owned { gateway, text, _folder: folder }
}

fn read(text: &str) -> Result<Config, Problems> {
    // Where the gateway listens is not what is read: port 0 is 0 in both.
    Config::parse(&format!("listen = [\"127.0.0.1:0\"]\n{text}"), "wsgate.toml", Path::new("."))
}

impl Owned {
    fn write(&self, routes: &str) {
        routes.clone_into(&mut self.text.lock().expect("text").1);
    }

    fn top(&self, top: &str) {
        top.clone_into(&mut self.text.lock().expect("text").0);
    }

    async fn reload(&self, query: &str) -> Value {
        let (status, value) = ask(&self.gateway, &format!("POST /reload{query}"), None).await;
        assert_eq!(status, 200, "{value}");
        value
    }

    /// What would come of it, as told by all who are there: on a busy machine some may not answer in time.
    async fn rehearsed(&self) -> Value {
        within("all to answer", async {
            loop {
                let told = self.reload("?dry-run").await;
                if told["missing"] == 0 {
                    return told;
                }
            }
        })
        .await
    }

    async fn status(&self, path: &str) -> u16 {
        self.gateway.ask(&upgrade_request(path, &[])).await.status
    }
}

fn echo(path: &str) -> String {
    format!("[[route]]\npath = \"{path}\"\necho = {{}}\n")
}

fn proxy(urls: &[&str]) -> String {
    format!(
        "[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"app\" }}\n\
         [pool.app]\nbalance = \"round_robin\"\nbackends = {urls:?}\n"
    )
}

async fn talking(gateway: &Running, path: &str) -> Peer {
    let mut peer = gateway.open(path).await;
    echoes(&mut peer).await;
    peer
}

async fn echoes(peer: &mut Peer) {
    peer.say("hello").await;
    assert_eq!(peer.message().await.text(), "hello");
}

async fn is_sent_home(mut peer: Peer) {
    let close = peer.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1012, "service restart"));
    peer.agree(&close).await;
}

fn change<'v>(value: &'v Value, key: &str) -> &'v Value {
    let changes = value["changes"].as_array().expect("changes");
    changes.iter().find(|change| change["key"] == key).unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Which part of those who are there it closes.
fn closes(value: &Value, key: &str) -> (u64, u64) {
    let change = change(value, key);
    (change["closed"].as_u64().expect("closed"), change["websockets"].as_u64().expect("websockets"))
}

#[tokio::test]
async fn what_would_come_of_it_is_told_and_then_it_does() {
    let (one, two) = (Backend::bind().await.echo(), Backend::bind().await.echo());
    let owned = owned(&format!("{}{}{}", echo("/gone"), echo("/stays"), proxy(&[&one, &two])));
    let gateway = &owned.gateway;
    let gone = [talking(gateway, "/gone").await, talking(gateway, "/gone").await];
    let mut stays = talking(gateway, "/stays").await;
    // In turn: one at each.
    let mut behind = [talking(gateway, "/ws").await, talking(gateway, "/ws").await];
    assert_eq!(owned.reload("?dry-run").await["changes"], json!([]));
    let limited = format!("{}limits = {{ message_size = \"1KiB\" }}\norigins = [\"*\"]\n", echo("/stays"));
    owned.write(&format!("{limited}{}{}", echo("/new"), proxy(&[&two])));
    let told = owned.rehearsed().await;
    for (key, kind, keys, counts) in [
        ("route \"/gone\"", "removed", json!([]), (2, 2)),
        ("route \"/stays\"", "altered", json!(["origins", "limits"]), (0, 1)),
        ("route \"/new\"", "added", json!([]), (0, 0)),
        ("pool.app", "altered", json!(["backends"]), (1, 2)),
    ] {
        assert_eq!((&change(&told, key)["change"], &change(&told, key)["keys"]), (&json!(kind), &keys), "{told}");
        assert_eq!(closes(&told, key), counts, "{told}");
        assert!(change(&told, key)["effect"].as_str().is_some_and(|text| text.len() > 10), "{told}");
    }
    assert_eq!((&told["dry_run"], &told["websockets"], &told["closed"]), (&json!(true), &json!(5), &json!(3)));
    assert!(told["seconds"].as_f64().is_some_and(|time| time > 0.0), "{told}");
    // And nothing was done.
    assert_eq!((owned.status("/gone").await, owned.status("/new").await), (101, 404));
    for peer in &mut behind {
        echoes(peer).await;
    }
    within("who has only looked in to be gone", async { while get(gateway, "/connections").await["count"] != 5 {} })
        .await;
    let done = owned.reload("").await;
    assert_eq!(done["dry_run"], false);
    if done["missing"] == 0 {
        assert_eq!((&done["closed"], &done["changes"]), (&json!(3), &told["changes"]));
    }
    for peer in gone {
        is_sent_home(peer).await;
    }
    echoes(&mut stays).await;
    let [first, mut second] = behind;
    is_sent_home(first).await;
    echoes(&mut second).await;
    assert_eq!((owned.status("/gone").await, owned.status("/new").await), (404, 101));
    within("the others to be left alone", async {
        loop {
            let list = get(gateway, "/connections").await;
            let list = list["connections"].as_array().expect("list");
            let routes: Vec<_> = list.iter().map(|one| one["route"].as_str().expect("route")).collect();
            if routes.iter().filter(|route| **route != "/new").count() == 2 {
                return;
            }
        }
    })
    .await;
    assert_eq!(owned.reload("").await["changes"], json!([]));
    gateway.until_metric("wsgate_config_reloads_total{result=\"ok\"}", 2.0).await;
}

#[tokio::test]
async fn who_was_led_elsewhere_goes_and_who_is_treated_otherwise_stays() {
    let (one, two) = (Backend::bind().await.echo(), Backend::bind().await.echo());
    let pools = format!("[pool.a]\nbackends = [\"{one}\"]\n[pool.b]\nbackends = [\"{two}\"]\n");
    let route = |path: &str, target: &str| format!("[[route]]\npath = \"{path}\"\n{target}\n");
    let to = |pool: &str| format!("proxy = {{ pool = \"{pool}\" }}");
    let owned = owned(&format!(
        "{}{}{}{pools}",
        route("/moved", &to("a")),
        route("/turned", "echo = {}"),
        route("/kept", &to("a"))
    ));
    let gateway = &owned.gateway;
    let (moved, turned) = (talking(gateway, "/moved").await, talking(gateway, "/turned").await);
    let mut kept = talking(gateway, "/kept").await;
    let stricter = "require_origin = true\nclient_certificate = false\nlimits = { connections = 1 }\n\
        proxy = { pool = \"a\", profile = \"swoole\" }";
    owned.write(&format!(
        "{}{}{}{pools}",
        route("/moved", &to("b")),
        route("/turned", "hub = {}"),
        route("/kept", stricter)
    ));
    let told = owned.rehearsed().await;
    for (key, counts) in [("route \"/moved\"", (1, 1)), ("route \"/turned\"", (1, 1)), ("route \"/kept\"", (0, 1))] {
        assert_eq!(closes(&told, key), counts, "{told}");
    }
    owned.reload("").await;
    is_sent_home(moved).await;
    is_sent_home(turned).await;
    echoes(&mut kept).await;
    // It stays through others as well, and goes with its route.
    owned.write(&format!("{}{pools}", route("/kept", &to("a"))));
    owned.reload("").await;
    echoes(&mut kept).await;
    owned.write(&format!("{}{pools}", route("/moved", &to("b"))));
    assert_eq!(closes(&owned.rehearsed().await, "route \"/kept\""), (1, 1));
    owned.reload("").await;
    is_sent_home(kept).await;
}

#[tokio::test]
async fn members_of_a_hub_stay_and_are_sent_home_with_it() {
    let hub = |settings: &str| format!("[[route]]\npath = \"/chat\"\nhub = {{ {settings} }}\n");
    let owned = owned(&(hub("") + &echo("/echo")));
    let mut anna = owned.gateway.enter("/chat").await;
    owned.write(&(hub("history = 3") + &echo("/echo")));
    let told = owned.rehearsed().await;
    assert_eq!(closes(&told, "route \"/chat\""), (0, 1));
    assert!(change(&told, "route \"/chat\"")["effect"].as_str().is_some_and(|text| text.contains("rooms")), "{told}");
    owned.reload("").await;
    anna.say("still here").await;
    assert_eq!(anna.message().await.text(), "User #1: still here");
    owned.write(&echo("/echo"));
    owned.reload("").await;
    is_sent_home(anna).await;
}

#[tokio::test]
async fn who_was_being_let_in_goes_too() {
    let backend = Backend::bind().await;
    let owned = owned(&(proxy(&[&backend.url()]) + &echo("/echo")));
    let mut late = owned.gateway.connect().await;
    late.send(upgrade_request("/ws", &[]).as_bytes()).await;
    let mut behind = backend.accept().await;
    let head = behind.head().await;
    owned.write(&echo("/echo"));
    assert_eq!(owned.reload("").await["websockets"], 0);
    behind.send(&switch(&head, &[])).await;
    assert_eq!(late.answer().await.status, 101);
    is_sent_home(late).await;
}

#[tokio::test]
async fn who_was_not_told_yet_stays_when_its_way_comes_back() {
    let owned = owned(&(echo("/back") + &echo("/other")));
    let gateway = &owned.gateway;
    let mut crowd = Vec::new();
    for _ in 0..8 {
        crowd.push(talking(gateway, "/back").await);
    }
    let other = talking(gateway, "/other").await;
    // One an hour: the first is told at some time in the first hour, the others later.
    owned.write(&echo("/other"));
    owned.top("drain_pace = \"1/h\"\ndrain_timeout = \"24h\"\n");
    owned.reload("").await;
    assert_eq!(owned.status("/back").await, 404);
    // All at once, and with it comes the way back; the one of another goes.
    owned.write(&echo("/back"));
    owned.top("drain_pace = \"0/s\"\n");
    owned.reload("").await;
    is_sent_home(other).await;
    let mut told = 0;
    for peer in &mut crowd {
        peer.say("hello").await;
        told += usize::from(peer.message().await.payload != b"hello");
    }
    assert!(told <= 1, "{told} of them were told");
}

#[tokio::test]
async fn a_bad_configuration_is_told_whole_and_changes_nothing() {
    let owned = owned(&echo("/echo"));
    let mut peer = talking(&owned.gateway, "/echo").await;
    owned.write(&format!("{}[limits]\nmesage_size = 1\nping_interval = \"30\"\n", echo("/other")));
    for query in ["?dry-run", "?dry-run=true", ""] {
        let (status, told) = ask(&owned.gateway, &format!("POST /reload{query}"), None).await;
        assert_eq!((status, &told["code"]), (422, &json!("bad_config")), "{told}");
        let problems = told["problems"].as_array().expect("problems");
        assert_eq!(problems.len(), 2, "{told}");
        let second = &problems[1];
        assert_eq!((&second["key"], &second["value"]), (&json!("limits.ping_interval"), &json!("\"30\"")));
        assert_eq!((&second["file"], &second["wrong"]), (&json!("wsgate.toml"), &json!("not a duration")));
        assert!(second["line"].is_u64() && second["allowed"].as_str().is_some_and(|text| text.contains("10s")));
        assert!(second["text"].as_str().is_some_and(|text| text.starts_with("wsgate.toml:")), "{told}");
    }
    // Good to read, and wrong all the same: a certificate authority that is not there.
    owned.write(&format!("{}[pool.p]\nbackends = [\"wss://localhost\"]\nca = \"nobody.pem\"\n", echo("/other")));
    for query in ["?dry-run", ""] {
        let (status, told) = ask(&owned.gateway, &format!("POST /reload{query}"), None).await;
        assert_eq!((status, &told["problems"][0]["key"]), (422, &json!("pool.p.ca")), "{told}");
    }
    echoes(&mut peer).await;
    assert_eq!((owned.status("/echo").await, owned.status("/other").await), (101, 404));
    owned.gateway.until_metric("wsgate_config_reloads_total{result=\"refused\"}", 2.0).await;
}

#[tokio::test]
async fn what_is_asked_wrongly_of_a_reload_is_told() {
    let (gateway, _folder) = with_routes("", &echo("/echo"));
    for (line, body, status, code) in [
        ("GET /reload", None, 405, "bad_method"),
        ("POST /reload/x", None, 404, "no_such_path"),
        ("POST /reload?dry", None, 400, "bad_query"),
        ("POST /reload?dry-run=no", None, 422, "bad_field"),
        ("POST /reload", Some(json!({})), 422, "bad_field"),
        // Nobody has told this one where its configuration is.
        ("POST /reload", None, 409, "no_file"),
        ("POST /reload?dry-run", None, 409, "no_file"),
    ] {
        let (have, value) = ask(&gateway, line, body.as_ref()).await;
        assert_eq!((have, &value["code"]), (status, &json!(code)), "{line} {value}");
    }
    assert_eq!(raw(&gateway, "POST /reload HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 401);
}

#[tokio::test]
async fn those_who_ask_at_once_wait_for_one_another() {
    let (gateway, folder) = with_routes("", &echo("/echo"));
    let (inside, most, reads) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, counted) = (Arc::clone(&most), Arc::clone(&reads));
    let text = format!(
        "workers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}/token\"\n{}",
        folder.path().display(),
        echo("/echo")
    );
    gateway.handle.read_with(move || {
        seen.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        counted.fetch_add(1, Ordering::SeqCst);
        let config = read(&text);
        inside.fetch_sub(1, Ordering::SeqCst);
        config
    });
    let asked = || ask(&gateway, "POST /reload", None);
    let (one, two, three, by_signal) = tokio::join!(asked(), asked(), asked(), gateway.handle.reread());
    assert_eq!([one.0, two.0, three.0], [200; 3]);
    assert!(by_signal.expect("reloaded").changes.is_empty());
    assert_eq!((most.load(Ordering::SeqCst), reads.load(Ordering::SeqCst)), (1, 4));
}

#[tokio::test]
async fn a_file_that_does_not_open_stops_nobody() {
    let (gateway, _folder) = with_routes("", &echo("/echo"));
    let (open, opened) = mpsc::channel();
    let (opened, (begin, begun)) = (Mutex::new(opened), mpsc::channel());
    gateway.handle.read_with(move || {
        begin.send(()).expect("test is there");
        opened.lock().expect("alone").recv().expect("opened");
        read("nonsense = 1\n")
    });
    let asked = tokio::spawn({
        let handle = gateway.handle.clone();
        async move { handle.reread().await }
    });
    within("the reading to begin", async {
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    talking(&gateway, "/echo").await;
    assert_eq!(raw(&gateway, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    open.send(()).expect("waited for");
    assert!(within("the end", asked).await.expect("no panic").is_err());
}

// The command

const TOKEN: &str = "0123456789abcdef";

/// A gateway whose door is a socket in its folder.
fn with_door(folder: &Path, routes: &str) {
    std::fs::write(folder.join("token"), TOKEN).expect("write");
    configure(folder, &format!("admin = {{ listen = \"unix:admin.sock\", token_file = \"token\" }}\n{routes}"));
}

/// What it tells, once all who are there have answered in time.
async fn rehearse(folder: &Path, more: &[&str]) -> Ended {
    let arguments = [&["reload", "--dry-run"], more].concat();
    within("all to answer", async {
        loop {
            let ended = run(folder, &arguments).await;
            if !ended.out.contains("not answered in time") && !ended.out.contains("\"missing\":1") {
                return ended;
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_command_tells_in_plain_words_and_does_what_it_tells() {
    let folder = tempfile::tempdir().expect("folder");
    with_door(folder.path(), &(echo("/echo") + &echo("/old")));
    let program = Program::start(folder.path(), &[]).await;
    let (mut stays, goes) = (program.open("/echo").await.settled().await, program.open("/old").await.settled().await);
    let ended = rehearse(folder.path(), &[]).await;
    let nothing = "wsgate.toml: nothing would change but certificates\n2 WebSockets are open: none is closed\n";
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(0), nothing, ""));
    with_door(folder.path(), &format!("workers = 9\n{}", echo("/echo")));
    let ended = rehearse(folder.path(), &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for piece in [
        "wsgate.toml: a reload would bring 2 changes, and nothing has been done:\n",
        "  workers: altered; needs a restart: until then it is as it was\n",
        "  route \"/old\": removed; those who came by it are sent home with 1012 [1 of 1 WebSocket]\n",
        "2 WebSockets are open: 1 would be closed with 1012, spread over 0.0 s\n",
    ] {
        assert!(ended.out.contains(piece), "{piece}\n{}", ended.out);
    }
    let ended = rehearse(folder.path(), &["--json"]).await;
    let told: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!((ended.code, &told["closed"], &told["dry_run"]), (Some(0), &json!(1), &json!(true)));
    echoes(&mut program.open("/old").await).await;
    let ended = run(folder.path(), &["reload"]).await;
    assert!(ended.code == Some(0) && ended.out.starts_with("wsgate.toml: reloaded with 2 changes:\n"), "{ended:?}");
    is_sent_home(goes).await;
    echoes(&mut stays).await;
}

#[tokio::test]
async fn the_command_tells_what_is_wrong() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    let good = echo("/echo");
    with_door(path, &good);
    let ended = run(path, &["reload"]).await;
    assert!(ended.code == Some(1) && ended.err.contains("the admin door does not answer"), "{ended:?}");
    let mut program = Program::start(path, &[]).await;
    let code = Some(78);
    with_door(path, &format!("{good}[limits]\nping_interval = \"30\"\n"));
    let ended = run(path, &["reload", "--dry-run"]).await;
    let told = "wsgate.toml:7: limits.ping_interval = \"30\": not a duration; allowed: ";
    assert!(ended.code == code && ended.err.contains(told), "{ended:?}");
    // What only the gateway looks at.
    with_door(path, &format!("{good}[pool.p]\nbackends = [\"wss://localhost\"]\nca = \"nobody.pem\"\n"));
    for arguments in [&["reload", "--dry-run"][..], &["reload"]] {
        let ended = run(path, arguments).await;
        assert!(ended.code == code && ended.out.is_empty(), "{ended:?}");
        assert!(ended.err.contains("nothing has changed:\n") && ended.err.contains("pool.p.ca"), "{ended:?}");
    }
    program.said(&["ERROR", "not reloaded, nothing has changed"]).await;
    echoes(&mut program.open("/echo").await).await;
    with_door(path, &good);
    std::fs::write(path.join("token"), "another token than before").expect("write");
    let ended = run(path, &["reload"]).await;
    assert!(ended.code == Some(1) && ended.err.contains("another token"), "{ended:?}");
    configure(path, &format!("admin = {{ listen = \"unix:admin.sock\" }}\n{good}"));
    let ended = run(path, &["reload"]).await;
    assert!(ended.code == Some(1) && ended.err.contains("admin.token_file"), "{ended:?}");
    configure(path, &good);
    let ended = run(path, &["reload"]).await;
    assert!(ended.code == Some(1) && ended.err.contains("[admin] listen"), "{ended:?}");
}

// What is in force

#[tokio::test]
async fn the_configuration_in_force_is_shown_without_its_secrets() {
    let hub = "[[route]]\npath = \"/chat\"\nhub = { fixed = [{ name = \"a\", secret = \"hunter2 hunter2\" }] }\n";
    let owned = owned(hub);
    let shown = get(&owned.gateway, "/config").await;
    assert_eq!(shown["route"][0]["hub"]["fixed"][0]["secret"], "(hidden)");
    assert_eq!((&shown["workers"], &shown["handshake_timeout"]), (&json!(2), &json!("10s")));
    assert!(!shown.to_string().contains("hunter2") && !shown.to_string().contains(TOKEN), "{shown}");
    // What is in force, not what is written.
    owned.write(&echo("/echo"));
    assert_eq!(get(&owned.gateway, "/config").await, shown);
    owned.reload("").await;
    assert_eq!(get(&owned.gateway, "/config").await["route"][0]["echo"], json!({}));
    for (line, status) in [("GET /config?x", 400), ("GET /config/x", 404), ("DELETE /config", 405)] {
        assert_eq!(ask(&owned.gateway, line, None).await.0, status, "{line}");
    }
    assert_eq!(raw(&owned.gateway, "GET /config HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 401);
}
