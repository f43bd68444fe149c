//! The load harness as a chat's members: languages, rooms, what is missing or too much, and members that never read.

use super::load::{against, code_of, harness, run, undisturbed};
use super::support::backend::{Backend, echo};
use super::support::frames::{self, CLOSE, Frame};
use super::support::{Peer, within};

/// What a run against a chat in the test's own hands has found.
async fn found(running: tokio::task::JoinHandle<harness::Outcome>) -> harness::report::Run {
    let (found, code) = within("the run", running).await.expect("a run").expect("a report");
    assert_eq!(code, code_of(&found, 0), "{found:?}");
    found
}

#[test]
fn the_hub_delivers_everything_to_everybody() {
    let options = ["--profile", "fanout", "--rate", "20", "--senders", "2", "--for", "500ms", "-c", "6"];
    let (found, _) =
        undisturbed("/chat", &options, |found| found.totals.completeness == Some(100.0)).expect("a report");
    assert_eq!((found.totals.completeness, found.latencies["delivery"].count), (Some(100.0), 60));
}

/// Thirty messages a second, ten in each of three rooms.
const ROOMS: [&str; 10] = ["--profile", "fanout", "-c", "7", "--rooms", "3", "--rate", "30", "--for", "500ms"];

/// Rooms of three, two and two members, in each of whom one says five messages.
const DELIVERIES: u64 = 5 * (3 + 2 + 2);

#[test]
fn rooms_of_the_hub_are_those_of_the_path_in_plain_text() {
    let (found, _) = run("/chat/{room}", &ROOMS).expect("a report");
    assert_eq!((found.totals.completeness, found.totals.deliveries), (Some(100.0), Some(DELIVERIES)), "{found:?}");
    assert_eq!((found.totals.sent, found.totals.due, found.totals.acks_due), (15, Some(DELIVERIES), None));
    assert!(found.errors.is_empty() && found.closes == [(1000, 7)].into(), "{found:?}");
    assert_eq!((found.meta.options["rooms"].as_str(), found.meta.options["senders"].as_str()), ("3", "3"));
}

#[test]
fn the_hubs_language_is_spoken_and_acknowledged() {
    for path in ["/chat", "/chat/{room}"] {
        let options = [&ROOMS[..], &["--language", "wsgate.chat.v1"]].concat();
        let (found, _) = run(path, &options).expect("a report");
        assert_eq!((found.totals.completeness, found.totals.deliveries), (Some(100.0), Some(DELIVERIES)), "{found:?}");
        assert_eq!((found.latencies["ack"].count, found.totals.acks_due), (15, Some(15)));
        assert!(found.errors.is_empty() && found.closes == [(1000, 7)].into(), "{found:?}");
        let text = harness::table::text(&found);
        assert!(text.contains("100 % of the deliveries that were due came: 35 of 35\n"), "{text}");
        assert!(text.contains("15 of 15 messages were acknowledged\n"), "{text}");
        assert!(harness::html::page(&found).contains("<th scope=\"row\">Acknowledgements</th><td>15</td>"));
    }
}

#[test]
fn one_who_is_never_let_in_is_an_error() {
    let options = ["--profile", "fanout", "-c", "2", "--for", "50ms", "--patience", "200ms"];
    let line = |more: &[&str]| run("/chat", &[&options[..], more].concat());
    let why = line(&["--join", "hello", "--joined", "never said"]).expect_err("nobody is in");
    assert!(why.starts_with("nobody was let in"), "{why}");
    let why = line(&["--rooms", "2"]).expect_err("one path for all");
    assert_eq!(why, "--rooms needs {room} in the URL, in --join or in --say");
    let why = run("/echo", &["--say", "{text}"]).expect_err("no chat");
    assert!(why.contains("for the profiles fanout and slow"), "{why}");
}

/// What stands between the two words.
fn between<'t>(text: &'t str, before: &str, behind: &str) -> &'t str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(behind)).unwrap_or_else(|| panic!("{text}")).0
}

#[tokio::test]
async fn any_language_is_spoken_by_templates_and_what_comes_twice_is_told() {
    let backend = Backend::bind().await;
    let join = r#"{"do":"in","r":"{room}","m":{member}}"#;
    let say = r#"{"do":"say","t":"{text}","id":"{ref}"}"#;
    let options = ["--profile", "fanout", "-c", "1", "--rate", "20", "-s", "40"];
    let options = [&options[..], &["--join", join, "--join", "again", "--joined", "welcome", "--say", say]].concat();
    let running = against(&backend.url(), &options);
    let (mut peer, _) = backend.upgrade(&[]).await;
    assert_eq!(peer.frame().await.text(), r#"{"do":"in","r":"0","m":0}"#);
    assert_eq!(peer.frame().await.text(), "again");
    for told in ["hello", "you are welcome"] {
        peer.send(&frames::server(1, told.as_bytes())).await;
    }
    let mut said = Vec::new();
    for copies in [1, 2] {
        let frame = peer.frame().await;
        let (text, id) = (between(frame.text(), r#""t":""#, "\""), between(frame.text(), r#""id":""#, "\""));
        assert_eq!((text.len(), text[..1].to_owned(), id.len()), (40, "~".to_owned(), 20), "{}", frame.text());
        for _ in 0..copies {
            // Far from the beginning, in other words, and not as it was sent.
            let told = format!("{}<b>{text}</b>", " ".repeat(600));
            peer.send(&frames::server(1, told.as_bytes())).await;
        }
        peer.send(&frames::server(1, format!("got {id}").as_bytes())).await;
        said.push(id.to_owned());
    }
    assert_ne!(said[0], said[1]);
    let close = peer.frame().await;
    assert_eq!(close.opcode, CLOSE);
    peer.send(&frames::server(CLOSE, &close.payload)).await;
    drop(peer);
    let found = found(running).await;
    assert_eq!((found.totals.completeness, found.totals.deliveries, found.totals.due), (Some(100.0), Some(3), Some(2)));
    assert_eq!(found.errors, [("deliveries beyond those that were due".to_owned(), 1)].into());
    assert_eq!((found.latencies["ack"].count, found.totals.acks_due), (2, Some(2)));
}

/// Gives each message back twice to whom it comes from, and to nobody else.
async fn twice(mut peer: Peer) {
    loop {
        let Frame { opcode, payload, .. } = peer.frame().await;
        peer.send(&frames::server(opcode, &payload)).await;
        match opcode {
            CLOSE => return,
            _ => peer.send(&frames::server(opcode, &payload)).await,
        }
    }
}

#[tokio::test]
async fn what_one_member_gets_twice_does_not_make_up_for_what_another_one_lacks() {
    let backend = Backend::bind().await;
    let running = against(&backend.url(), &["--profile", "fanout", "-c", "2", "--rate", "20"]);
    for _ in 0..2 {
        tokio::spawn(twice(backend.upgrade(&[]).await.0));
    }
    let found = found(running).await;
    assert_eq!((found.totals.completeness, found.totals.deliveries), (Some(50.0), Some(4)), "{found:?}");
}

#[tokio::test]
async fn the_others_are_measured_without_and_with_those_that_never_read() {
    let backend = Backend::bind().await;
    let running = against(&backend.url(), &["--profile", "slow", "-c", "2", "--stopped", "1", "--rate", "40"]);
    let (mut reader, _) = backend.upgrade(&[]).await;
    for _ in 0..2 {
        let frame = reader.frame().await;
        reader.send(&frames::server(frame.opcode, &frame.payload)).await;
    }
    // The other one comes only now: what it is told it does not read until all is over.
    let (mut never_reads, _) = backend.upgrade(&[]).await;
    tokio::spawn(echo(reader));
    never_reads.send(&frames::server(CLOSE, &frames::close(1013, "too slow"))).await;
    drop(never_reads);
    let found = found(running).await;
    assert_eq!(found.never_read, [("closed with 1013".to_owned(), 1)].into());
    assert_eq!((&found.errors, &found.closes), (&[].into(), &[(1000, 1)].into()), "the others do not notice");
    let [without, with] = &found.parts[..] else { panic!("{:?}", found.parts) };
    assert_eq!([without.name.as_str(), with.name.as_str()], ["without them", "with 1 that never read"]);
    for part in [without, with] {
        assert_eq!((part.receivers, part.due, part.deliveries, part.completeness), (1, 2, 2, Some(100.0)), "{part:?}");
        assert_eq!(part.latency.count, 2);
    }
    let (text, page) = (harness::table::text(&found), harness::html::page(&found));
    for words in ["without them", "with 1 that never read", "delivered of what was due", "closed with 1013"] {
        assert!(text.contains(words) && page.contains(words), "{words}: {text}");
    }
}
