//! The metrics of a running gateway: sound as a page, documented, and named rightly by the dashboard and the alerts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::desk::{ask, get, with_routes};
use crate::support::backend::{Backend, relay};
use crate::support::frames::{BINARY, CONTINUATION, PING, PONG, TEXT, client, masked};
use crate::support::tls::localhost;
use crate::support::{Peer, Running, gateway, within};

/// Everything that has metrics, with a Redis that is not there.
fn whole(folder: &std::path::Path, backend: &str) -> Running {
    let (file, tls) = (folder.join("chat.history"), localhost());
    gateway(&format!(
        "workers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n{}[cluster]\nredis = \"redis://127.0.0.1:1\"\n\
         [[route]]\npath = \"/echo\"\necho = {{}}\n\
         [[route]]\npath = \"/chat\"\nhub = {{ history_store = \"file\", history_file = {file:?}, cluster = false }}\n{}",
        tls.config,
        relay("transparent", &[backend], ""),
    ))
}

/// What the admin door answers to whoever accepts this: the type, and the page.
async fn page(gateway: &Running, accept: &str) -> (String, String) {
    let admin = gateway.admin.as_ref().expect("an admin door");
    let mut peer = Peer::connect(admin.rsplit("//").next().expect("address")).await;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}Connection: close\r\n\r\n");
    peer.send(request.as_bytes()).await;
    let answer = peer.answer().await;
    (answer.header("content-type").expect("type").to_owned(), answer.body)
}

const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";

/// A family of the page: its type and unit, and its samples with their labels.
#[derive(Default)]
struct Family {
    kind: String,
    unit: Option<String>,
    samples: Vec<(String, String, f64)>,
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    first.is_some_and(|first| first.is_ascii_lowercase()) && name.chars().all(is_part) && !name.contains("__")
}

/// Reads an OpenMetrics page, and finds everything that must not be in one.
fn read(page: &str) -> BTreeMap<String, Family> {
    let (mut families, mut current) = (BTreeMap::<String, Family>::new(), String::new());
    let lines = page.strip_suffix("# EOF\n").expect("ends with # EOF");
    for line in lines.lines() {
        match line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) {
            Some(("HELP", rest)) => {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(is_name(name) && !help.is_empty(), "{line}");
                assert!(families.insert(name.to_owned(), Family::default()).is_none(), "twice: {line}");
                name.clone_into(&mut current);
            }
            Some(("TYPE", rest)) => {
                let kind = rest.strip_prefix(&format!("{current} ")).unwrap_or_else(|| panic!("{line}"));
                assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
                let family = families.get_mut(&current).expect("HELP comes first");
                assert!(std::mem::replace(&mut family.kind, kind.to_owned()).is_empty(), "twice: {line}");
            }
            Some(("UNIT", rest)) => {
                let unit = rest.strip_prefix(&format!("{current} ")).unwrap_or_else(|| panic!("{line}"));
                assert!(current.ends_with(&format!("_{unit}")), "{line}");
                families.get_mut(&current).expect("HELP comes first").unit = Some(unit.to_owned());
            }
            _ => {
                let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
                let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
                assert!(name.starts_with(&*current) && labels.ends_with('}'), "out of its family: {line}");
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                let family = families.get_mut(&current).expect("HELP comes first");
                assert!(family.samples.iter().all(|(had, of, _)| (&**had, &**of) != (name, labels)), "twice: {line}");
                family.samples.push((name.to_owned(), labels.to_owned(), value));
            }
        }
    }
    families.iter().for_each(|(name, family)| sound(name, family));
    families
}

/// Names of samples by their type, base units, and buckets that add up.
fn sound(name: &str, family: &Family) {
    let of = |wanted: &[&str]| {
        let is_one = |sample: &String| wanted.iter().any(|end| *sample == format!("{name}{end}"));
        assert!(family.samples.iter().all(|(sample, ..)| is_one(sample)), "{name}: {:?}", family.samples);
    };
    match &*family.kind {
        "counter" => of(&["_total"]),
        "gauge" => of(&[""]),
        "info" => of(&["_info"]),
        _ => {
            of(&["_bucket", "_sum", "_count"]);
            cumulative(name, family);
        }
    }
    assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}: that is added to samples");
    for unit in ["milliseconds", "millis", "ms", "kib", "kb", "percent"] {
        assert!(!name.split('_').any(|part| part == unit), "{name}: not a base unit");
    }
    for unit in ["seconds", "bytes"] {
        let is_right = !name.ends_with(&format!("_{unit}")) || family.unit.as_deref() == Some(unit);
        assert!(is_right || name == "wsgate_cluster_lag_seconds" || name == "wsgate_history_file_bytes", "{name}");
    }
}

fn cumulative(name: &str, family: &Family) {
    let mut last = BTreeMap::<String, (f64, f64)>::new();
    for (sample, labels, value) in &family.samples {
        let Some((_, rest)) = labels.split_once("le=\"") else {
            // The count stands before the buckets: the last of them is compared at the end.
            assert!(!sample.ends_with("_bucket"), "{name}: {labels}");
            continue;
        };
        let (bound, rest) = rest.split_once('"').expect("a label's end");
        let bound: f64 = bound.replace("+Inf", "inf").parse().expect("a number");
        let key = rest.trim_matches([',', '}']).to_owned();
        if let Some((below, count)) = last.insert(key, (bound, *value)) {
            assert!(bound > below && *value >= count, "{name}: {labels} {value}");
        }
    }
    for (sample, labels, value) in family.samples.iter().filter(|(sample, ..)| sample.ends_with("_count")) {
        let (bound, most) = last[labels.trim_matches([',', '}'])];
        assert!(bound.is_infinite() && (most - value).abs() < 0.5, "{sample}{labels}: {most}, {value}");
    }
}

/// What a query may name of these families.
fn names(families: &BTreeMap<String, Family>) -> BTreeSet<String> {
    let ends = |kind: &str| -> &[&str] {
        match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "gauge" => &[""],
            _ => &["_bucket", "_sum", "_count"],
        }
    };
    families.iter().flat_map(|(name, one)| ends(&one.kind).iter().map(move |end| format!("{name}{end}"))).collect()
}

/// Every word of a text that is a metric of ours, or of any process.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("wsgate_") || word.starts_with("process_")).map(str::to_owned).collect()
}

fn file(name: &str) -> String {
    std::fs::read_to_string(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The metrics of the manual's table.
fn documented() -> BTreeSet<String> {
    let manual = file("README.md");
    let chapter = manual.split("\n## Metrics\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a chapter");
    let rows = chapter.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|cell| cell.split('`'));
    cells.filter(|name| is_name(name)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_page_is_sound_and_the_manual_the_dashboard_and_the_alerts_name_what_is_on_it() {
    let folder = tempfile::tempdir().expect("folder");
    let gateway = whole(folder.path(), &Backend::bind().await.echo());
    let (kind, page) = page(&gateway, OPEN).await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let families = read(&page);
    let names = names(&families);
    let shown: BTreeSet<String> = names.iter().map(|name| strip(name).to_owned()).collect();
    let manual: BTreeSet<String> = documented();
    assert_eq!(shown.difference(&manual).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the manual");
    assert_eq!(manual.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new(), "not on the page");

    let dashboard: Value = serde_json::from_str(&file("config/grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut queries: Vec<String> = targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect();
    assert!(queries.len() > 50, "{}", queries.len());
    let alerts = file("config/alerts.yml");
    let expressions = alerts.split("- alert:").skip(1).map(|alert| {
        let after = alert.split("expr:").nth(1).unwrap_or_else(|| panic!("no expression: {alert}"));
        after.split("labels:").next().unwrap_or(after).to_owned()
    });
    queries.extend(expressions);
    for query in &queries {
        let used = mentioned(query);
        assert!(!used.is_empty(), "names no metric: {query}");
        for name in used {
            assert!(names.contains(&name), "{name}: not on the page, but in {query}");
        }
    }
}

/// The manual has one name for a histogram, and the one of the samples for all else.
fn strip(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[tokio::test]
async fn whoever_does_not_ask_for_openmetrics_gets_the_older_format() {
    let folder = tempfile::tempdir().expect("folder");
    let gateway = whole(folder.path(), &Backend::bind().await.echo());
    for accept in ["", "Accept: */*\r\n", "Accept: text/plain, application/openmetrics-text;q=0\r\n"] {
        let (kind, page) = page(&gateway, accept).await;
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8", "{accept}");
        for line in [
            "# TYPE wsgate_tcp_connections_accepted_total counter",
            "# TYPE wsgate_requests_refused_total counter",
            "# TYPE wsgate_build_info gauge",
            "# TYPE wsgate_websocket_handshake_duration_seconds histogram",
        ] {
            assert!(page.lines().any(|have| have == line), "{line}\n{page}");
        }
        assert!(!page.contains("# EOF") && !page.contains("# UNIT"), "{page}");
    }
}

#[tokio::test]
async fn what_passes_is_counted_while_the_websocket_is_open() {
    let url = Backend::bind().await.echo();
    let gateway = gateway(&format!(
        "workers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n[[route]]\npath = \"/echo\"\necho = {{}}\n\
         [[route]]\npath = \"/chat\"\nhub = {{ history = 0 }}\n{}",
        relay("transparent", &[&url], "")
    ));
    let (mut bytes, mut frames) = (0.0, 0.0);
    let mut open = Vec::new();
    for path in ["/echo", "/ws"] {
        let mut peer = gateway.open(path).await;
        peer.send(&client(TEXT, b"some words")).await;
        assert_eq!(peer.frame().await.text(), "some words");
        (bytes, frames) = (bytes + 10.0, frames + 1.0);
        for way in ["in", "out"] {
            gateway.until_metric(&format!("wsgate_data_bytes_total{{direction=\"{way}\"}}"), bytes).await;
            gateway.until_metric(&format!("wsgate_data_frames_total{{direction=\"{way}\"}}"), frames).await;
        }
        open.push(peer);
    }
    // Nothing is counted once more when they end.
    for mut peer in open {
        peer.finish().await;
    }
    gateway.until_metric("wsgate_websockets_open{route=\"/echo\"}", 0.0).await;
    gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 0.0).await;
    assert!((gateway.metric("wsgate_data_bytes_total{direction=\"in\"}").await - bytes).abs() < 0.5);
    let _guest = gateway.enter("/chat").await;
    gateway.until_metric("wsgate_hub_members{route=\"/chat\"}", 1.0).await;
    gateway.until_metric("wsgate_hub_rooms{route=\"/chat\"}", 1.0).await;
    assert!(gateway.metric("wsgate_backend_connect_duration_seconds_count{pool=\"transparent\"}").await > 0.5);
    assert!(gateway.metric("wsgate_backend_answer_duration_seconds_count{pool=\"transparent\"}").await > 0.5);
}

/// Routes of every kind: an echo, a hub, and two relays.
async fn every_kind(limits: &str, pools: &str) -> (Running, tempfile::TempDir) {
    let url = Backend::bind().await.echo();
    with_routes(
        "",
        &format!(
            "[limits]\n{limits}\n[[route]]\npath = \"/echo\"\necho = {{}}\n\
             [[route]]\npath = \"/chat\"\nhub = {{ history = 0, text = \"8KiB\" }}\n\
             [[route]]\npath = \"/ws\"\nproxy = {{ pool = \"p\" }}\n\
             [[route]]\npath = \"/php\"\nproxy = {{ pool = \"p\", profile = \"legacy\", \
             legacy = {{ message_size = \"64KiB\" }} }}\n\
             [pool.p]\nbackends = [\"{url}\"]\n{pools}"
        ),
    )
}

#[tokio::test]
async fn messages_are_told_by_size_way_and_route_however_they_are_cut() {
    let (gateway, _folder) = every_kind("", "").await;
    // In a hub `User #1: ` stands in front of what comes back.
    for (path, more) in [("/echo", 0), ("/ws", 0), ("/php", 0), ("/chat", 9)] {
        let mut peer = gateway.open(path).await;
        for size in [0, 5, 200, 5000] {
            // Nothing is said in a hub by saying nothing.
            if size > 0 || path != "/chat" {
                peer.send(&client(TEXT, "a".repeat(size).as_bytes())).await;
                assert_eq!(peer.whole().await.payload.len(), size + more, "{path}");
            }
        }
        // Thrice 30 bytes are one message of 90, with a ping in the middle that is none.
        peer.send(&masked(TEXT, &[b'b'; 30])).await;
        peer.send(&masked(CONTINUATION, &[b'b'; 30])).await;
        peer.send(&client(PING, b"")).await;
        peer.send(&client(CONTINUATION, &[b'b'; 30])).await;
        let mut got = 0;
        while got < 90 + more {
            let frame = peer.frame().await;
            got += if frame.opcode == PONG { 0 } else { frame.payload.len() };
        }
        let small = if path == "/chat" { 1.0 } else { 2.0 };
        for way in ["in", "out"] {
            let labels = format!("route=\"{path}\",direction=\"{way}\"");
            for (bound, count) in [("16.0", small), ("64.0", small), ("256.0", small + 2.0), ("4096.0", small + 2.0)] {
                let line = format!("wsgate_message_size_bytes_bucket{{le=\"{bound}\",{labels}}}");
                gateway.until_metric(&line, count).await;
            }
            let all = (small + 3.0, 5000.0 + 200.0 + 90.0 + 5.0);
            let added = if way == "out" { 4.0 * more as f64 } else { 0.0 };
            gateway.until_metric(&format!("wsgate_message_size_bytes_count{{{labels}}}"), all.0).await;
            gateway.until_metric(&format!("wsgate_message_size_bytes_sum{{{labels}}}"), all.1 + added).await;
        }
    }
    // One that is refused has not passed.
    let mut peer = gateway.open("/chat").await;
    peer.send(&client(BINARY, b"no")).await;
    assert_eq!(peer.message().await.code(), 1003);
}

#[tokio::test]
async fn pings_are_told_by_their_round_trip_and_of_each_connection_the_last() {
    let (gateway, _folder) = every_kind("ping_interval = \"500ms\"", "").await;
    for path in ["/echo", "/ws", "/php", "/chat"] {
        let mut peer = gateway.open(path).await;
        let ping = peer.frame().await;
        assert_eq!((ping.opcode, ping.payload.as_slice()), (PING, &b"wsgate:"[..]));
        let line = format!("wsgate_ping_round_trip_seconds_count{{route=\"{path}\"}}");
        assert!(gateway.metric(&line).await < 0.5, "{path}: told before it was answered");
        // A pong that nobody has asked for, and then an answer to this ping and all that follow.
        peer.send(&client(PONG, b"other")).await;
        peer.send(&client(PONG, &ping.payload)).await;
        let answering = tokio::spawn(async move {
            while let Ok(frame) = peer.try_frame().await {
                peer.send(&client(PONG, &frame.payload)).await;
            }
        });
        within("a round trip", async {
            while gateway.metric(&line).await < 0.5 {}
            let list = get(&gateway, &format!("/connections?route={path}")).await;
            let one = &list["connections"][0];
            assert!(one["ping_seconds"].as_f64().is_some_and(|time| time > 0.0 && time < 20.0), "{list}");
            let same = get(&gateway, &format!("/connections/{}", one["id"])).await;
            assert!(same["ping_seconds"].is_f64(), "{same}");
        })
        .await;
        answering.abort();
    }
}

#[tokio::test]
async fn each_connection_of_a_route_is_in_one_state() {
    let backend = Backend::of(tokio::net::TcpListener::bind("127.82.0.1:0").await.expect("bind"));
    let routes = format!(
        "[limits]\nclose_timeout = \"60s\"\n[[route]]\npath = \"/ws\"\n\
         proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ hold = \"60s\" }} }}\n\
         [pool.p]\nbackends = [\"{}\"]\nconnections_per_backend = 1\nqueue = 5\nqueue_timeout = \"60s\"\nanswer_timeout = \"60s\"\n",
        backend.url()
    );
    let (gateway, _folder) = with_routes("", &routes);
    let states = async |expected: &[(&str, f64)]| {
        for state in ["opening", "waiting", "dialling", "open", "held", "ending"] {
            let count = expected.iter().find(|(name, _)| *name == state).map_or(0.0, |(_, count)| *count);
            let line = format!("wsgate_route_connections{{route=\"/ws\",state=\"{state}\"}}");
            gateway.until_metric(&line, count).await;
        }
    };
    let asking = async || {
        let mut peer = gateway.connect().await;
        peer.send(crate::support::peer::upgrade_request("/ws", &[]).as_bytes()).await;
        peer
    };
    let mut first = asking().await;
    let far = backend.accept().await;
    states(&[("dialling", 1.0)]).await;
    let waits = asking().await;
    states(&[("dialling", 1.0), ("waiting", 1.0)]).await;
    let (far, _) = crate::support::backend::upgrade(far, &[]).await;
    assert_eq!(first.answer().await.status, 101);
    states(&[("open", 1.0), ("waiting", 1.0)]).await;
    drop(waits);
    states(&[("open", 1.0)]).await;
    // Its process is killed.
    drop((backend, far));
    states(&[("held", 1.0)]).await;
    let list = get(&gateway, "/connections").await;
    let id = &list["connections"][0]["id"];
    assert_eq!(ask(&gateway, &format!("DELETE /connections/{id}"), None).await.0, 202);
    let close = first.message().await;
    states(&[("ending", 1.0)]).await;
    first.agree(&close).await;
    states(&[]).await;
}
