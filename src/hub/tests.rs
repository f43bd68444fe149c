//! A hub from inside: rooms that are made, bounded, forgotten, and carried over a reload.

use std::time::Duration;

use super::*;
use crate::config::FixedRoom;

fn build(wishes: &config::Hub, before: Option<&Hub>) -> Arc<Hub> {
    let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([Arc::new(Mailbox::default())]);
    let site = Site { mailboxes, archives: None, cluster: None };
    Arc::new(Hub::build(wishes, &site, "hub", before).expect("hub"))
}

fn hub(rooms: usize) -> Arc<Hub> {
    build(&config::Hub { rooms, ..config::Hub::default() }, None)
}

fn enter(hub: &Arc<Hub>, name: &str) -> Result<Seat, Refused> {
    hub.enter(name, Language::Plain, Credentials::default())
}

fn fixed(name: &str) -> FixedRoom {
    let (history, members, secret) = (None, None, None);
    FixedRoom { name: name.to_owned(), history, members, secret, read_only: false, slow: Duration::ZERO }
}

#[test]
fn rooms_are_bounded_and_empty_ones_make_way() {
    let hub = hub(2);
    let (a, b) = (enter(&hub, "a"), enter(&hub, "b"));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(enter(&hub, "c").err(), Some(Refused::Full));
    drop(a);
    assert!(enter(&hub, "c").is_ok());
    assert_eq!(hub.house().rooms(), 2);
}

#[test]
fn empty_rooms_are_forgotten_after_a_time() {
    let hub = hub(10);
    let seat = enter(&hub, "a");
    drop(enter(&hub, "b"));
    hub.sweep(Instant::now());
    assert_eq!(hub.house().rooms(), 2);
    hub.sweep(Instant::now() + hub.wishes().forget_empty);
    assert_eq!(hub.house().rooms(), 1);
    drop(seat);
}

#[test]
fn names_are_bounded_in_every_language() {
    for language in [Language::Plain, Language::V1] {
        let refused = hub(2).enter(&"x".repeat(65), language, Credentials::default());
        assert_eq!(refused.err(), Some(Refused::NoRoom), "{language:?}");
    }
}

#[test]
fn fixed_rooms_are_there_and_stay() {
    let wishes = config::Hub { create: false, rooms: 2, fixed: vec![fixed("a")], ..config::Hub::default() };
    let hub = build(&wishes, None);
    assert_eq!(hub.house().rooms(), 1);
    hub.sweep(Instant::now() + 2 * hub.wishes().forget_empty);
    assert!(enter(&hub, "a").is_ok());
    assert_eq!(enter(&hub, "").err(), Some(Refused::NoRoom));
    // They do not make way for others either.
    let hub = build(&config::Hub { create: true, rooms: 1, ..wishes }, None);
    assert_eq!(enter(&hub, "b").err(), Some(Refused::Full));
}

#[test]
fn a_full_room_is_full_and_a_secret_one_is_not_for_plain_text() {
    let secret = Some(config::RoomSecret::Text(config::Secret::new("x")));
    let rooms = vec![FixedRoom { members: Some(1), ..fixed("small") }, FixedRoom { secret, ..fixed("secret") }];
    let hub = build(&config::Hub { fixed: rooms, ..config::Hub::default() }, None);
    let seat = enter(&hub, "small");
    assert!(seat.is_ok());
    assert_eq!(enter(&hub, "small").err(), Some(Refused::Full));
    drop(seat);
    assert!(enter(&hub, "small").is_ok());
    assert_eq!(enter(&hub, "secret").err(), Some(Refused::Forbidden));
}

#[test]
fn a_token_names_rooms() {
    let hub = hub(10);
    let only = || Credentials { rooms: Some(vec!["a".to_owned()]), ..Credentials::default() };
    assert!(hub.enter("a", Language::Plain, only()).is_ok());
    assert_eq!(hub.enter("b", Language::Plain, only()).err(), Some(Refused::Forbidden));
}

#[test]
fn a_reload_keeps_the_rooms_and_changes_what_holds_in_them() {
    let before = hub(10);
    let seat = enter(&before, "a").expect("seat");
    let after = build(&config::Hub { members: 1, fixed: vec![fixed("b")], ..config::Hub::default() }, Some(&before));
    assert!(enter(&before, "a").is_ok(), "nothing holds that is not in force");
    after.take_over();
    assert_eq!(enter(&after, "a").err(), Some(Refused::Full));
    assert_eq!((after.house().rooms(), before.house().rooms()), (2, 2));
    drop(seat);
    assert!(enter(&after, "a").is_ok());
}

#[test]
fn a_secret_that_cannot_be_read_is_a_problem_with_its_key() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("secret");
    let secret = Some(config::RoomSecret::File(path.clone()));
    let wishes = config::Hub { fixed: vec![fixed("a"), FixedRoom { secret, ..fixed("b") }], ..config::Hub::default() };
    let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([]);
    let site = Site { mailboxes, archives: None, cluster: None };
    let read = || Hub::build(&wishes, &site, "route \"/chat\".hub", None).map(|hub| hub.fixed[1].secret.clone());
    assert_eq!(read().expect_err("no file").0[0].key, "route \"/chat\".hub.fixed[1].secret_file");
    for (content, wrong) in [("\nx", "there is no secret in it"), (&"x".repeat(257)[..], "the secret is too long")] {
        std::fs::write(&path, content).expect("file");
        assert_eq!(read().expect_err("no secret").0[0].wrong, wrong);
    }
    std::fs::write(&path, "open sesame\n").expect("file");
    assert_eq!(read().expect("secret"), Some(config::Secret::new("open sesame")));
}

#[test]
fn mailboxes_are_as_large_as_the_owner_wishes() {
    let text = "[[route]]\npath = \"/\"\nhub = { mailbox = 20, mailbox_size = \"64KiB\" }\n";
    let config = config::Config::parse(text, "t", std::path::Path::new("")).expect("valid");
    let config::Target::Hub(wishes) = &config.routes[0].target else { panic!("{config:?}") };
    let hub = build(wishes, None);
    let chair = hub.house().enter("a", None, None).expect("seat");
    let (room, mailbox) = (chair.room(), &hub.house().ground().mailboxes[0]);
    let (name, mut cx) = (name::Name::of_user(1), std::task::Context::from_waker(std::task::Waker::noop()));
    room.arrive_plain(&room::Guest { id: id::MemberId(1), user: 1, worker: 0, name: &name }, 0);
    let mut fill = |text: &str| {
        while mailbox.take().is_some() {}
        let mut count = 0;
        while mailbox.has_room(&mut cx, room.bounds()) {
            let speech = room::Speech { now: Instant::now(), queue: 1 << 18, moderates: false };
            room.submit_plain(1, text, speech).expect("said");
            count += 1;
        }
        count
    };
    assert_eq!((fill("x"), fill(&"x".repeat(4000))), (20, 17));
}

/// As [`build`], with everything that a hub may stand on.
fn start(wishes: &config::Hub, cluster: Option<Cluster>, before: Option<&Hub>) -> Arc<Hub> {
    let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([Arc::new(Mailbox::default())]);
    let site = Site { mailboxes, archives: Some(Arc::default()), cluster };
    let hub = Arc::new(Hub::build(wishes, &site, "hub", before).expect("hub"));
    hub.take_over();
    hub
}

fn come(hub: &Hub, room: &str, secret: Option<&str>) -> Result<house::Chair, Fault> {
    hub.house().enter(room, secret, None)
}

fn say(hub: &Hub, room: &str, text: &str) {
    hub.post(room, ("Ann", text), None, 1 << 18).expect("said");
}

fn secret_room(name: &str) -> FixedRoom {
    FixedRoom { secret: Some(config::RoomSecret::Text(config::Secret::new("x"))), ..fixed(name) }
}

#[test]
fn a_room_that_was_not_for_everybody_is_closed_until_it_is_gone() {
    for room in [secret_room("board"), FixedRoom { read_only: true, ..fixed("board") }] {
        let listed = config::Hub { fixed: vec![room.clone()], ..config::Hub::default() };
        let first = start(&listed, None, None);
        let chair = come(&first, "board", Some("x")).expect("seat");
        say(&first, "board", "between us");
        let after = start(&config::Hub::default(), None, Some(&first));
        for shown in [None, Some("x")] {
            assert_eq!(come(&after, "board", shown).err(), Some(Fault::NoSuchRoom), "{room:?}");
        }
        // Whoever is in stays, and the rules do.
        say(&after, "board", "still");
        assert_eq!((chair.room().facts().messages, chair.room().facts().read_only), (2, room.read_only));
        // A second reload does not open it either, and one that lists it again makes it what it was.
        let again = start(&config::Hub { members: 5, ..config::Hub::default() }, None, Some(&after));
        assert_eq!(come(&again, "board", None).err(), Some(Fault::NoSuchRoom));
        let back = start(&listed, None, Some(&again));
        assert_eq!(come(&back, "board", Some("x")).map(|chair| chair.room().facts().messages), Ok(2));
        let last = start(&config::Hub::default(), None, Some(&back));
        drop(chair);
        assert_eq!(come(&last, "board", None).map(|chair| chair.room().facts().messages), Ok(0), "another room");
    }
}

#[test]
fn a_file_remembers_who_a_room_was_for() {
    let folder = tempfile::tempdir().expect("folder");
    let history_store = config::HistoryStore::File(folder.path().join("chat.history"));
    let wishes =
        |fixed: Vec<FixedRoom>| config::Hub { history_store: history_store.clone(), fixed, ..config::Hub::default() };
    let end = |hub: Arc<Hub>| {
        assert!(hub.archive.as_ref().is_some_and(|archive| archive.settle(Duration::from_secs(60))));
    };
    let listed = wishes(vec![secret_room("board"), secret_room("quiet"), fixed("open")]);
    let first = start(&listed, None, None);
    ["board", "open"].iter().for_each(|room| say(&first, room, "x"));
    // By a reload, though nobody was there,
    let after = start(&wishes(Vec::new()), None, Some(&first));
    let messages = |hub: &Hub, room, secret| come(hub, room, secret).map(|chair| chair.room().facts().messages);
    assert_eq!(messages(&after, "board", Some("x")).err(), Some(Fault::NoSuchRoom));
    assert_eq!((messages(&after, "open", None), messages(&after, "quiet", None)), (Ok(1), Ok(0)));
    // what was said in it is not lost by it,
    let back = start(&listed, None, Some(&after));
    assert_eq!(messages(&back, "board", Some("x")), Ok(1));
    drop(first);
    drop(after);
    end(back);
    // and while the gateway was not there.
    let next = start(&wishes(Vec::new()), None, None);
    assert_eq!(messages(&next, "board", None).err(), Some(Fault::NoSuchRoom));
    say(&next, "quiet", "x");
    assert_eq!(messages(&next, "quiet", None), Ok(1), "there was nothing in it that is not for everybody");
    end(next);
    // Who fixes it without a secret wishes it to be open, and so it stays.
    let open = start(&wishes(vec![fixed("board")]), None, None);
    assert_eq!(messages(&open, "board", None), Ok(1));
    end(open);
    let open = start(&wishes(Vec::new()), None, None);
    assert_eq!((messages(&open, "board", None), messages(&open, "quiet", None)), (Ok(1), Ok(1)));
    end(open);
}

#[test]
fn a_shared_room_that_was_not_for_everybody_stays_closed_while_others_know_it() {
    let times = (Duration::from_secs(15), Duration::from_secs(1));
    let wishes = ClusterWishes { place: String::new(), node: None, expiry: times.0, reconnect: times.1, queue: 100 };
    let cluster = || Some(Cluster::new(wishes.clone()));
    let shared = |fixed| config::Hub { shared: Some("t".to_owned()), fixed, ..config::Hub::default() };
    let first = start(&shared(vec![secret_room("board")]), cluster(), None);
    let after = start(&shared(Vec::new()), cluster(), Some(&first));
    assert_eq!(come(&after, "board", None).err(), Some(Fault::NoSuchRoom));
    assert!(come(&after, "other", None).is_ok());
    after.sweep(Instant::now() + Duration::from_secs(3600));
    assert_eq!((come(&after, "board", None).err(), after.house().rooms()), (Some(Fault::NoSuchRoom), 0));
    let back = start(&shared(vec![secret_room("board")]), cluster(), Some(&after));
    assert!(come(&back, "board", Some("x")).is_ok());
}

#[test]
fn the_room_that_has_been_empty_longest_makes_way() {
    let hub = hub(3);
    let visit = |room: &str| drop(come(&hub, room, None).expect("seat"));
    ["b", "a", "c", "b"].into_iter().for_each(visit);
    let there = |room: &str| hub.house().find(room).is_some();
    visit("d");
    assert_eq!(["a", "b", "c", "d"].map(there), [false, true, true, true]);
    let stays = come(&hub, "c", None);
    visit("e");
    assert_eq!(["b", "c", "d", "e"].map(there), [false, true, true, true]);
    // However often one comes and goes, it is listed a few times at most.
    (0..10_000).for_each(|_| visit("e"));
    assert!(hub.house().ground().vacant.len() < 1100, "{}", hub.house().ground().vacant.len());
    visit("f");
    assert_eq!(["c", "d", "e", "f"].map(there), [true, false, true, true]);
    drop(stays);
    // One that was fixed makes way when it is not any more.
    let wishes = |fixed| config::Hub { rooms: 1, fixed, ..config::Hub::default() };
    let before = build(&wishes(vec![fixed("a")]), None);
    assert_eq!(come(&before, "b", None).err(), Some(Fault::RoomsFull));
    let after = build(&wishes(Vec::new()), Some(&before));
    after.take_over();
    assert!(come(&after, "b", None).is_ok() && after.house().find("a").is_none());
}

#[test]
fn what_is_too_old_goes_whether_anybody_comes_or_not() {
    let age = Some(Duration::from_secs(3600));
    let hub = build(&config::Hub { history_age: age, ..config::Hub::default() }, None);
    let old = MessageId::at(id::now() - 2 * 3_600_000);
    let draft = || Draft { from: MemberId(1), user: 0, name: "Ann".into(), text: "x".into(), reference: None };
    let chair = come(&hub, "a", None).expect("seat");
    chair.room().commit(draft(), Some(old));
    say(&hub, "a", "new");
    assert!(come(&hub, "b", None).is_ok());
    assert_eq!(chair.room().facts().messages, 2, "who enters one room does not wait for another");
    hub.sweep(Instant::now());
    assert_eq!(chair.room().facts().messages, 1);
    let other = come(&hub, "c", None).expect("seat");
    other.room().commit(draft(), Some(old));
    assert_eq!(come(&hub, "c", None).map(|chair| chair.room().facts().messages), Ok(0));
}

/// Gives nothing a place, and never tells a room what was said in it before.
#[derive(Debug)]
struct Silent;

impl Order for Silent {
    fn place(&self, _: &Arc<Room>, _: Draft) {}

    fn is_alone(&self) -> bool {
        false
    }
}

#[test]
fn who_waits_for_a_room_waits_no_longer_than_a_while() {
    let mailboxes: Arc<[Arc<Mailbox>]> = Arc::new([Arc::new(Mailbox::default())]);
    let ground = Ground::new(mailboxes, Box::new(Silent), Box::new(Memory));
    let fixed: Arc<[Fixed]> = Arc::new([]);
    let house = House::new(&Arc::default(), &fixed, ground);
    let chair = house.enter("a", None, None).expect("seat");
    let name = name::Name::of_user(1);
    let guest = room::Guest { id: MemberId(1), user: 1, worker: 0, name: &name };
    let join = || Box::new(language::v1::request::Join { room: None, secret: None, since: None, history: None });
    let again = || mailbox::Again { join: join(), reference: None, budget: 0 };
    assert!(!chair.room().is_ready(&guest, again));
    let waits = || house.ground().mailboxes[0].take().is_none();
    house.sweep(Instant::now());
    assert!(waits());
    house.sweep(Instant::now() + Duration::from_secs(10));
    assert!(!waits() && chair.room().is_ready(&guest, again));
}
