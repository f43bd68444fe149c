//! One room from inside: who gets letters, what is said in it, and what comes twice.

use super::*;
use crate::config;
use crate::hub::mailbox::{Content, Letter, Mailbox, Said};
use crate::hub::order::Alone;
use crate::hub::record::Draft;
use crate::hub::store::Memory;

const WANTED: Wanted = Wanted { since: None, before: None, most: 100, budget: 100_000 };

fn room(rules: impl FnOnce(&mut Rules)) -> Arc<Room> {
    let mut own = Rules::new(&config::Hub::default(), None);
    rules(&mut own);
    let mailboxes = (0..2).map(|_| Arc::new(Mailbox::default())).collect();
    let ground = Arc::new(Ground::new(mailboxes, Box::new(Alone), Box::new(Memory)));
    Arc::new(Room::new("lobby", own, &ground))
}

fn draft(from: u64, text: &str, reference: Option<&str>) -> Draft {
    let name = Arc::from(format!("member {from}"));
    Draft { from: MemberId(from), user: from, name, text: text.into(), reference: reference.map(Arc::from) }
}

fn speech() -> Speech {
    Speech { now: Instant::now(), queue: 1 << 18, moderates: false }
}

fn arrive(room: &Arc<Room>, from: u64, worker: usize) -> Welcome {
    let name = Name::chosen(&format!("member {from}"), 32).expect("name");
    room.expect(None, None).expect("seat");
    let guest = Guest { id: MemberId(from), user: from, worker, name: &name };
    room.arrive(&guest, &WANTED).expect("arrives")
}

fn arrive_plain(room: &Arc<Room>, user: u64, worker: usize) -> (u64, Vec<Bytes>) {
    room.expect(None, None).expect("seat");
    let id = MemberId::without_session(&room.ground.keys, user);
    room.arrive_plain(&Guest { id, user, worker, name: &Name::of_user(user) }, 1 << 17)
}

/// What is in a worker's mailbox: `plain`, `v1`, `ack` for what was said, and the type of an event.
fn letters(room: &Room, worker: usize) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(letter) = room.ground.mailboxes[worker].take() {
        found.push(match letter {
            Letter::Room { content: Content::Said(Said { plain, v1, ack, .. }), .. } => {
                let parts = [("plain", plain), ("v1", v1), ("ack", ack)];
                parts.iter().filter(|(_, frame)| frame.is_some()).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
            }
            Letter::Room { content: Content::Event { frame, .. }, .. } => {
                let text = String::from_utf8_lossy(&frame).into_owned();
                text.split('"').nth(3).unwrap_or_default().to_owned()
            }
            Letter::Room { content: Content::Out(out), .. } => out.line(),
            Letter::Member { .. } => "word".to_owned(),
        });
    }
    found
}

fn texts(room: &Room) -> Vec<String> {
    room.find(&WANTED).records.iter().map(|record| record.text.to_string()).collect()
}

#[test]
fn only_workers_with_members_get_letters_in_the_languages_they_speak() {
    let room = room(|_| {});
    arrive_plain(&room, 1, 1);
    room.submit_plain(1, "x", speech()).expect("said");
    assert_eq!((letters(&room, 0), letters(&room, 1)), (vec![], vec!["plain".to_owned()]));
    arrive(&room, 2, 0);
    room.submit(draft(2, "y", Some("1")), speech()).expect("said");
    assert_eq!((letters(&room, 0), letters(&room, 1)), (vec!["v1 ack".to_owned()], vec!["plain ack".to_owned()]));
    assert_eq!(texts(&room), ["x", "y"]);
}

#[test]
fn newcomers_of_both_languages_find_what_was_said() {
    let room = room(|rules| rules.history = (3, 1000));
    (0..5).for_each(|at| room.submit_plain(7, &at.to_string(), speech()).expect("said"));
    let (_, frames) = arrive_plain(&room, 8, 0);
    assert_eq!(
        frames.iter().map(|frame| &frame[2..]).collect::<Vec<_>>(),
        [b"User #7: 2", b"User #7: 3", b"User #7: 4"]
    );
    let welcome = arrive(&room, 9, 0);
    assert_eq!((welcome.members, welcome.history, welcome.found.records.len()), (2, 3, 3));
    assert_eq!(welcome.last, welcome.found.records.last().map(|record| record.id));
}

#[test]
fn what_comes_twice_is_said_once() {
    let room = room(|_| {});
    arrive(&room, 1, 0);
    let said = |reference| room.submit(draft(1, "x", Some(reference)), speech()).expect("said");
    assert_eq!(said("a"), None);
    let first = room.welcome(&WANTED).last;
    assert_eq!((said("a"), said("b")), (first, None));
    assert_eq!(room.submit(draft(2, "x", Some("a")), speech()), Ok(None), "somebody else's word is another");
    assert_eq!(texts(&room).len(), 3);
    // It has its place twice, as when two gateways were told: the second is old news, though its speaker hears of it.
    letters(&room, 0);
    room.commit(draft(1, "x", Some("a")), None);
    assert_eq!((texts(&room).len(), letters(&room, 0)), (3, vec!["ack".to_owned()]));
}

#[test]
fn an_order_from_elsewhere_is_kept_and_old_news_is_none() {
    let room = room(|_| {});
    arrive(&room, 1, 0);
    let later = MessageId::at(id::now() + 60_000);
    room.commit(draft(5, "from elsewhere", None), Some(later));
    room.commit(draft(5, "again", None), Some(later));
    room.commit(draft(5, "older", None), Some(MessageId(later.0 - 1)));
    assert_eq!((texts(&room), letters(&room, 0)), (vec!["from elsewhere".to_owned()], vec!["v1".to_owned()]));
    room.submit(draft(1, "after", None), speech()).expect("said");
    assert_eq!(room.welcome(&WANTED).last, Some(MessageId(later.0 + 1)));
}

#[test]
fn a_slow_room_makes_each_member_wait() {
    let room = room(|rules| rules.slow = Duration::from_secs(10));
    let begin = Instant::now();
    let say = |from, after: u64, moderates| {
        let now = begin + Duration::from_secs(after);
        room.submit(draft(from, "x", None), Speech { now, moderates, ..speech() }).map(drop)
    };
    assert_eq!((say(1, 0, false), say(2, 1, false)), (Ok(()), Ok(())));
    assert_eq!(say(1, 4, false), Err(Fault::SlowMode(Duration::from_secs(6))));
    assert_eq!((say(1, 4, true), say(1, 10, false), say(2, 10, false).is_err()), (Ok(()), Ok(()), true));
}

#[test]
fn what_may_not_be_said_is_not() {
    let room = room(|rules| (rules.read_only, rules.text) = (true, 5));
    let say = |text: &str, moderates| room.submit(draft(1, text, None), Speech { moderates, ..speech() }).map(drop);
    assert_eq!(
        (say("x", false), say("x", true), say("123456", true)),
        (Err(Fault::ReadOnly), Ok(()), Err(Fault::TooLong(5)))
    );
}

#[test]
fn what_no_member_could_have_queued_is_too_long() {
    let room = room(|rules| rules.text = 1 << 20);
    let say = |text: String| room.submit(draft(1, &text, None), Speech { queue: 32 << 10, ..speech() }).map(drop);
    assert_eq!(say("x".repeat(30_000)), Ok(()));
    assert_eq!(say("x".repeat(33_000)), Err(Fault::TooLong(32 << 10)));
    assert_eq!(say("<".repeat(10_000)), Err(Fault::TooLong(32 << 10)));
    assert_eq!(say("\n".repeat(20_000)), Ok(()), "where nobody speaks the newer language");
    arrive(&room, 2, 0);
    assert_eq!(say("\n".repeat(20_000)), Err(Fault::TooLong(32 << 10)));
}

#[test]
fn who_comes_and_goes_is_told_in_small_rooms() {
    let room = room(|rules| rules.presence = 2);
    arrive(&room, 1, 0);
    assert_eq!(letters(&room, 0), Vec::<String>::new(), "there is nobody to tell");
    arrive_plain(&room, 2, 1);
    assert_eq!((letters(&room, 0), letters(&room, 1)), (vec!["join".to_owned()], vec![]));
    arrive(&room, 3, 1);
    assert_eq!(letters(&room, 0), Vec::<String>::new(), "the room is too large");
    room.depart(MemberId(3), 3, 1, Language::V1);
    assert_eq!(letters(&room, 0), ["leave"]);
    assert_eq!(room.who(1).0, 2);
    assert_eq!(room.who(9).1.len(), 2);
}

#[test]
fn a_secret_opens_the_room() {
    let room = room(|rules| rules.secret = Some(config::Secret::new("sesame")));
    assert_eq!(room.expect(None, None), Err(Fault::WrongSecret));
    assert_eq!(room.expect(Some("Sesame"), None), Err(Fault::WrongSecret));
    assert_eq!(room.expect(Some("sesame"), None), Ok(()));
}

#[test]
fn who_is_here_already_finds_a_seat_in_a_full_room() {
    let room = room(|rules| rules.members = 1);
    arrive(&room, 1, 0);
    assert_eq!(room.expect(None, Some(MemberId(2))), Err(Fault::RoomFull));
    assert_eq!(room.expect(None, Some(MemberId(1))), Ok(()));
}

/// A room that other gateways share, with what they have said so far.
fn shared(history: usize, said: &[u64]) -> Arc<Room> {
    let room = room(|rules| rules.history = (history, 100_000));
    room.state.lock().far = Far::new(false);
    let record = |id: &u64| {
        let (name, text) = ("n".into(), "x".into());
        crate::hub::record::Record { id: MessageId(id << 16), from: MemberId(1), name, text, reference: None }
    };
    room.restore(said.iter().map(record).collect());
    room
}

#[test]
fn who_moves_from_one_gateway_to_another_is_one_and_neither_comes_nor_goes() {
    let room = shared(9, &[]);
    arrive(&room, 9, 0);
    let elsewhere = |name: &str| {
        let name = Name::chosen(name, 32).expect("a name");
        room.others(1, [(MemberId(1), (name, Arc::from("other")))].into());
        letters(&room, 0)
    };
    assert_eq!(elsewhere("member 1"), ["join"]);
    arrive(&room, 1, 1);
    assert_eq!((letters(&room, 0), room.who(9).0, room.who(9).1.len()), (vec![], 2, 2));
    room.others(0, HashMap::new());
    assert_eq!((letters(&room, 0), room.who(9).0), (vec![], 2));
    // And back: the other one hears of it first.
    assert_eq!((elsewhere("somebody else"), room.who(9).0), (vec![], 2));
    room.depart(MemberId(1), 1, 1, Language::V1);
    assert_eq!((letters(&room, 0), room.who(9).0), (vec!["name".to_owned()], 2));
    arrive(&room, 1, 1);
    assert_eq!((letters(&room, 0), room.who(9).0), (vec!["name".to_owned()], 2));
    room.depart(MemberId(1), 1, 1, Language::V1);
    assert_eq!(letters(&room, 0), ["name"]);
    room.others(0, HashMap::new());
    assert_eq!((letters(&room, 0), room.who(9).0), (vec!["leave".to_owned()], 1));
}

#[test]
fn a_room_that_was_apart_once_tells_gaps_as_ever() {
    let room = shared(3, &[10]);
    let since = |time: u64| {
        let found = room.find(&Wanted { since: Some(MessageId(time << 16)), ..WANTED });
        (found.records.len(), found.gap.map(|(after, before)| (after.0 >> 16, before.0 >> 16)))
    };
    // One message was shown apart, and has its place later.
    let own = MessageId(20 << 16 | 0x8000);
    room.remember(own, Origin { place: None, node: "a".into(), seen: None });
    room.commit(draft(1, "apart", None), Some(own));
    room.placed(own, MessageId(25 << 16));
    assert_eq!((since(10), since(25)), ((1, None), (0, None)));
    (30..33).for_each(|time| room.commit(draft(2, "later", None), Some(MessageId(time << 16))));
    assert_eq!((since(10), since(20)), ((3, Some((10, 30))), (3, Some((20, 30)))));
    assert_eq!((since(25), since(30)), ((3, None), (2, None)));
    assert!(room.state.lock().far.seen_plainly(MessageId(25 << 16)), "what is not kept is not remembered");
}

#[test]
fn a_shared_history_that_is_full_may_have_had_more() {
    let wanted = |time: u64| Wanted { since: Some(MessageId(time << 16)), ..WANTED };
    let gap = |history, time| shared(history, &[10, 11, 12]).find(&wanted(time)).gap.is_some();
    assert_eq!((gap(3, 5), gap(3, 10), gap(4, 5)), (true, false, false));
}
