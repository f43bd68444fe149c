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
