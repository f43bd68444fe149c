//! Those who stay: the load harness counts what becomes of every message while the gateway under it is reloaded, and
//! sends people home.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::desk::{ask, get, with_routes};
use crate::load::harness;
use crate::support::backend::{Backend, upgrade};
use crate::support::{Running, frames, parse, within};

/// None that so many clients at one address run into.
const LIMITS: &str = "[limits]\nhandshakes_per_address = \"0/s\"\n";

/// Fifty who say four things a second each.
fn staying(gateway: &Running, path: &str, options: &[&str]) -> JoinHandle<harness::Outcome> {
    let url = format!("{}{path}", gateway.addresses[0]);
    let line = ["load", &url, "--threads", "1", "--profile", "stay", "-c", "50", "--rate", "200", "--for", "4s"];
    let line: Vec<String> = line.iter().chain(options).map(|&word| word.to_owned()).collect();
    tokio::task::spawn_blocking(move || harness::run(line.iter().map(String::as_str)))
}

/// A backend that echoes, and counts what all of them get.
async fn echo(heard: &Arc<AtomicUsize>) -> String {
    let (backend, heard) = (Backend::bind().await, Arc::clone(heard));
    let url = backend.url();
    tokio::spawn(async move {
        loop {
            let (peer, heard) = (backend.wait().await, Arc::clone(&heard));
            tokio::spawn(async move {
                let mut peer = upgrade(peer, &[]).await.0;
                while let Ok(frame) = peer.try_frame().await {
                    let is_text = frame.opcode == frames::TEXT;
                    heard.fetch_add(usize::from(is_text), Relaxed);
                    let opcode = if frame.opcode == frames::PING { frames::PONG } else { frame.opcode };
                    peer.send(&frames::server(opcode, &frame.payload)).await;
                }
            });
        }
    });
    url
}

/// Waits until backends have got more messages than were under way before, or none come any more.
async fn has_talked(heard: &AtomicUsize, run: &JoinHandle<harness::Outcome>) {
    let before = heard.load(Relaxed);
    while heard.load(Relaxed) < before + 20 && !run.is_finished() {
        tokio::task::yield_now().await;
    }
}

/// What must be so however slow the machine is.
fn lost_nothing(found: &harness::report::Run) -> harness::stayed::Stayed {
    let stayed = found.stayed.clone().expect("what became of those who stay");
    let counts = [stayed.lost, stayed.doubled, stayed.disordered, stayed.refused];
    assert_eq!((counts, found.totals.completeness), ([0; 4], Some(100.0)), "{stayed:?} {:?}", found.errors);
    assert_eq!((&found.errors, &found.refusals), (&BTreeMap::new(), &BTreeMap::new()));
    assert!(stayed.back <= stayed.closed && stayed.sent == 800, "{stayed:?}");
    stayed
}

async fn sent_home(gateway: &Running) -> u64 {
    let gone = get(gateway, "/drain").await;
    gone["drains"][0]["left"].as_u64().unwrap_or(u64::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_reloads_nor_a_drained_backend_lose_a_message() {
    // The run has an end of its own: on a busy machine it may be over before all is done.
    for _ in 0..5 {
        let heard = Arc::new(AtomicUsize::new(0));
        let (one, two) = (echo(&heard).await, echo(&heard).await);
        let proxy = "proxy = { pool = \"app\" }";
        let routes = |more: &str| {
            format!("[[route]]\npath = \"/ws\"\n{proxy}\n{more}\n[pool.app]\nbackends = [\"{one}\", \"{two}\"]\n")
        };
        let (gateway, folder) = with_routes("", &routes(LIMITS));
        let run = staying(&gateway, "/ws", &["--fail-if", "lost>0", "--fail-if", "closed>50"]);
        has_talked(&heard, &run).await;
        let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}/token\"\n", folder.path().display());
        for more in [
            "[route.limits]\nmessage_size = \"1KiB\"\nping_interval = \"1s\"\n",
            "[[route]]\npath = \"/more\"\necho = {}\n",
            "[[route]]\npath = \"/more\"\nhub = {}\n[route.limits]\nconnections = 60\n",
            "",
        ] {
            let file = format!("workers = 2\n{admin}{}", routes(&format!("{more}{LIMITS}")));
            gateway.handle.reload(parse(&file)).expect("reload");
            has_talked(&heard, &run).await;
        }
        let bad = routes("[[route]]\npath = \"/bad\"\nproxy = { pool = \"none\" }");
        let bad = wsgate::Config::parse(&bad, "bad.toml", folder.path());
        bad.and_then(|bad| gateway.handle.reload(bad)).expect_err("a pool that is not there");
        has_talked(&heard, &run).await;
        let there = get(&gateway, &format!("/connections?backend={one}&limit=1")).await["count"].as_u64();
        let body = json!({ "pool": "app", "backend": one });
        assert_eq!(ask(&gateway, "POST /drain", Some(&body)).await.0, 202);
        within("all to be told", async { while sent_home(&gateway).await > 0 {} }).await;
        let (found, _) = run.await.expect("a run").expect("a report");
        let stayed = lost_nothing(&found);
        assert!(there.is_some_and(|there| stayed.closed <= there), "{there:?} {stayed:?}");
        if stayed.closed > 0 && Some(stayed.closed) == there {
            return assert_eq!(found.closes.get(&1012).copied(), there, "{:?}", found.closes);
        }
    }
    panic!("never was all done before the run was over");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_who_are_sent_home_miss_nothing_and_hear_nothing_twice() {
    for _ in 0..5 {
        let hub = "[[route]]\npath = \"/chat\"\nhub = { say = { rate = \"0/s\" }, history = 1000 }\n";
        let (gateway, _folder) = with_routes("", &format!("{LIMITS}{hub}"));
        let run = staying(&gateway, "/chat", &["--language", "wsgate.chat.v1", "--rooms", "5"]);
        let open = "wsgate_websockets_open{route=\"/chat\"}";
        while gateway.metric(open).await < 50.0 && !run.is_finished() {}
        assert_eq!(ask(&gateway, "DELETE /connections?route=/chat&code=1012", None).await.0, 202);
        let (found, _) = run.await.expect("a run").expect("a report");
        let stayed = lost_nothing(&found);
        assert_eq!(found.totals.acks_due, Some(800));
        if stayed.closed == 50 {
            return assert_eq!(found.closes.get(&1012), Some(&50), "{:?}", found.closes);
        }
    }
    panic!("never were all sent home before the run was over");
}
