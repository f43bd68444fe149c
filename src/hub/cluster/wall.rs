//! A room as the cluster sees it, and the cluster as a room's order: between the two, ids and names change their shape.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Context;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::decree::{somebody, written};
use super::entry::Fields;
use super::{Chapter, Cluster, Decree, Hall, Latch, Matter, Note, Others, Said, Show, is_local, micros, now};
use crate::config;
use crate::hub::ground::Ground;
use crate::hub::house::House;
use crate::hub::id::{MemberId, MessageId};
use crate::hub::language::v1::event::{Event, Person};
use crate::hub::mailbox::Word;
use crate::hub::name::Name;
use crate::hub::order::{Decision, Order};
use crate::hub::record::{Draft, Record};
use crate::hub::room::{Origin, Room};
use crate::hub::sentence::Who;

/// Characters of a name from elsewhere at most, whatever is allowed here.
const NAME: usize = 128;
/// Bytes of a reason from elsewhere.
const REASON: usize = 1024;
/// Slow rooms that are remembered at most.
const SLOW: usize = 100_000;

/// Messages get their places from Redis.
#[derive(Debug)]
pub(crate) struct Together {
    cluster: Cluster,
    chapter: Arc<Chapter>,
    house: Arc<OnceLock<Weak<House>>>,
    /// Rooms that are slow, or not, because a moderator wishes so; whether they are here or not.
    slow: Arc<Mutex<HashMap<Box<str>, Duration>>>,
}

impl Together {
    /// The order of one hub; `chapter` is what it is in the cluster.
    pub(crate) fn new(cluster: &Cluster, chapter: Chapter) -> Self {
        let house: Arc<OnceLock<Weak<House>>> = Arc::default();
        let slow: Arc<Mutex<HashMap<Box<str>, Duration>>> = Arc::default();
        let (members, rooms, rules) = (Arc::clone(&house), Arc::clone(&house), Arc::clone(&slow));
        let chapter = chapter.hearing(move |fields| {
            let house = members.get().and_then(Weak::upgrade);
            house.is_none_or(|house| whisper(house.ground(), &fields))
        });
        let chapter = chapter.obeying(move |decree| {
            note_slow(&rules, &decree.matter);
            if let Some(house) = rooms.get().and_then(Weak::upgrade) {
                house.obey(&decree);
            }
        });
        Self { cluster: cluster.clone(), chapter: Arc::new(chapter), house, slow }
    }

    fn hall(room: &Arc<Room>) -> Arc<dyn Hall> {
        Arc::new(Wall { name: room.name().into(), room: Arc::downgrade(room) })
    }
}

impl Order for Together {
    fn begin(&self, house: &Arc<House>) {
        if self.house.set(Arc::downgrade(house)).is_ok() {
            self.cluster.post(Note::Begin(Arc::clone(&self.chapter)));
        }
    }

    fn go_by(&self, wishes: &config::Hub) {
        self.chapter.go_by(wishes.history_age.unwrap_or_default(), [wishes.mutes, wishes.bans, wishes.rooms]);
        let longest = wishes.fixed.iter().filter_map(|fixed| fixed.history).fold(wishes.history, usize::max);
        let bounds = (longest, wishes.text);
        let wishes = wishes.clone();
        self.chapter.bound(bounds, move |room| {
            let is_fixed = wishes.fixed.iter().any(|fixed| fixed.name == room);
            is_fixed || (wishes.create && wishes.room_names.allows(room))
        });
    }

    fn decree(&self, decision: Decision) {
        let Decision { part_of, until, by, reason, matters } = decision;
        let now = now();
        let (at, key) = part_of.unwrap_or_else(|| (self.chapter.decide(micros()), self.cluster.next_key().into()));
        for matter in matters {
            note_slow(&self.slow, &matter);
            let until = until.unwrap_or_else(|| match &matter {
                Matter::Delete { .. } => self.chapter.forgotten(now),
                Matter::Sentence { .. } | Matter::Slow { .. } => self.chapter.longest(now),
            });
            let (key, by, reason) = (Arc::clone(&key), Arc::clone(&by), reason.clone());
            let decree = Decree { at, key, until, by, reason, matter };
            self.cluster.post(Note::Decree(Arc::clone(&self.chapter), decree));
        }
    }

    fn kick(&self, room: &Arc<Room>, who: &Who, reason: Option<&str>) {
        let reason = reason.map(|reason| format!(",\"reason\":{}", json!(reason))).unwrap_or_default();
        let fields = format!("\"kick\":{}{reason}", json!(written(who)));
        self.cluster.post(Note::Tell(Arc::clone(&self.chapter), Self::hall(room), fields));
    }

    fn erased(&self, room: &Arc<Room>, id: MessageId) {
        self.cluster.post(Note::Erase(Arc::clone(&self.chapter), Self::hall(room), id.0));
    }

    fn latch(&self) -> Option<&Latch> {
        Some(&self.chapter.latch)
    }

    fn place(&self, room: &Arc<Room>, draft: Draft) {
        let said = Said {
            key: self.cluster.next_key().into(),
            node: self.cluster.node().into(),
            from: draft.from.to_string().into(),
            name: draft.name,
            text: draft.text,
            reference: draft.reference,
        };
        self.cluster.post(Note::Say(Arc::clone(&self.chapter), Self::hall(room), Arc::new(said), draft.user));
    }

    fn opened(&self, room: &Arc<Room>) {
        if let Some(every) = self.slow.lock().get(room.name()) {
            room.begin_slow(*every);
        }
        self.cluster.post(Note::Open(Arc::clone(&self.chapter), Self::hall(room)));
    }

    fn people(&self, room: &Arc<Room>) {
        self.cluster.post(Note::People(Arc::clone(&self.chapter), Self::hall(room)));
    }

    fn typing(&self, room: &Arc<Room>, from: MemberId, name: &str) {
        let fields = format!("\"typing\":\"{from}\",\"name\":{}", json!(name));
        self.cluster.post(Note::Tell(Arc::clone(&self.chapter), Self::hall(room), fields));
    }

    fn whisper(&self, node: &str, (id, text): (MessageId, &str), from: Person<'_>, to: Person<'_>) {
        let (from_name, to_name, text) = (json!(from.name), json!(to.name), json!(text));
        let fields = format!(
            "\"whisper\":\"{id}\",\"from\":\"{}\",\"from_name\":{from_name},\"to\":\"{}\",\"to_name\":{to_name},\"text\":{text}",
            from.id, to.id
        );
        self.cluster.post(Note::Send(Arc::clone(&self.chapter), node.into(), fields));
    }

    fn has_room(&self, cx: &mut Context<'_>) -> bool {
        self.cluster.has_room(cx)
    }

    fn is_alone(&self) -> bool {
        false
    }
}

/// A room that is made later is slow, too.
fn note_slow(slow: &Mutex<HashMap<Box<str>, Duration>>, matter: &Matter) {
    if let Matter::Slow { room, every } = matter {
        let mut slow = slow.lock();
        if slow.len() < SLOW || slow.contains_key(room) {
            slow.insert(room.clone(), *every);
        }
    }
}

/// Somebody on another gateway says something to a member here alone; whether that is sound.
fn whisper(ground: &Ground, fields: &Fields) -> bool {
    let text = |name: &str| fields.get(name).map(String::as_str);
    let id = text("whisper").and_then(MessageId::parse);
    let (from, to) = (text("from").and_then(MemberId::parse), text("to").and_then(MemberId::parse));
    let names = (text("from_name").and_then(elsewhere), text("to_name").and_then(elsewhere));
    let (Some(id), Some(from), Some(to), (Some(from_name), Some(to_name)), Some(text)) =
        (id, from, to, names, text("text"))
    else {
        return false;
    };
    let (from, member) = (Person { id: from, name: &from_name.text }, Person { id: to, name: &to_name.text });
    let event = Event::To { id, time: id.time(), from, to: member, text };
    ground.tell(to, Word::Frame(event.frame()));
    true
}

/// A name as another gateway tells it.
fn elsewhere(text: &str) -> Option<Name> {
    Name::elsewhere(text, NAME)
}

/// What a room has to know of a message that has more than one id.
fn remember(room: &Room, show: &Show) {
    if is_local(show.id) || show.seen.is_some() {
        let seen = show.seen.map(|seen| (MessageId(seen.id), MessageId(seen.after)));
        let origin = Origin { place: show.place.map(MessageId), node: Arc::clone(&show.said.node), seen };
        room.remember(MessageId(show.id), origin);
    }
}

/// A room, as long as it is there.
#[derive(Debug)]
struct Wall {
    name: Box<str>,
    room: Weak<Room>,
}

impl Hall for Wall {
    fn name(&self) -> &str {
        &self.name
    }

    fn show(&self, show: Show, user: u64) {
        let Some(room) = self.room.upgrade() else { return };
        remember(&room, &show);
        let Show { said, id, .. } = show;
        let from = MemberId::parse(&said.from).unwrap_or(MemberId(0));
        let (name, text) = (Arc::clone(&said.name), Arc::clone(&said.text));
        let draft = Draft { from, user, name, text, reference: said.reference.clone() };
        room.commit(draft, Some(MessageId(id)));
    }

    fn placed(&self, shown: u64, place: u64) {
        if let Some(room) = self.room.upgrade() {
            room.placed(MessageId(shown), MessageId(place));
        }
    }

    fn restore(&self, shows: Vec<Show>) {
        let Some(room) = self.room.upgrade() else { return };
        shows.iter().for_each(|show| remember(&room, show));
        let record = |show: Show| {
            let said = show.said;
            Record {
                id: MessageId(show.id),
                from: MemberId::parse(&said.from).unwrap_or(MemberId(0)),
                name: Arc::clone(&said.name),
                text: Arc::clone(&said.text),
                reference: said.reference.clone(),
            }
        };
        room.restore(shows.into_iter().map(record).collect());
    }

    fn part(&self, apart: bool) {
        if let Some(room) = self.room.upgrade() {
            room.part(apart);
        }
    }

    fn people(&self, most: usize) -> (usize, Vec<(String, String)>) {
        let Some(room) = self.room.upgrade() else { return (0, Vec::new()) };
        let (count, members) = room.near(most);
        (count, members.into_iter().map(|(id, name)| (id.to_string(), name.to_string())).collect())
    }

    fn others(&self, others: Others) {
        let Some(room) = self.room.upgrade() else { return };
        let mut nodes: HashMap<String, Arc<str>> = HashMap::new();
        let member = |(id, name, node): (String, String, String)| {
            let node = nodes.entry(node).or_insert_with_key(|node| node.as_str().into());
            Some((MemberId::parse(&id)?, (elsewhere(&name)?, Arc::clone(node))))
        };
        room.others(others.count, others.members.into_iter().filter_map(member).collect());
    }

    fn hear(&self, _: &str, fields: Fields) -> bool {
        let Some(room) = self.room.upgrade() else { return true };
        if let Some(who) = fields.get("kick") {
            let who = somebody(who);
            let reason = fields.get("reason").filter(|reason| reason.len() <= REASON).map(String::as_str);
            return who.map(|who| room.kicked_elsewhere(&who, reason)).is_some();
        }
        let id = fields.get("typing").and_then(|id| MemberId::parse(id));
        let typing = id.zip(fields.get("name").and_then(|name| elsewhere(name)));
        typing.map(|(id, name)| room.typing_elsewhere(id, &name.text)).is_some()
    }

    fn number(&self) -> usize {
        self.room.as_ptr().addr()
    }

    fn is_over(&self) -> bool {
        self.room.strong_count() == 0
    }
}
