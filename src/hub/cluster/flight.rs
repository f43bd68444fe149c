//! What is asked of Redis, one question at a time, each in a task of its own.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value, cmd};

use super::chapter::Chapter;
use super::connect::Line;
use super::decree::{Book, Decree, Matter};
use super::entry::Said;
use super::id;
use super::ledger::Ask;
use super::now;
use super::page::{Newest, Page, sound};
use super::script::Scripts;

/// What moderators have decided, by kind: how often, and each as JSON.
pub(super) type Statutes = [(u64, Vec<Vec<u8>>); Book::ALL.len()];

/// A room, by its hub's prefix and its name.
pub(super) type Address = (Arc<str>, Arc<str>);

/// One question.
#[derive(Debug)]
pub(super) enum Job {
    /// Listen to a room's channels, then look through the newest of its stream, and who is there.
    Open(Arc<Chapter>, Address),
    /// Look at what comes after a place.
    Look(Arc<Chapter>, Address, u64),
    /// Add a message.
    Add(Arc<Chapter>, Address, Ask),
    /// Write down who is here; whether others are to be told.
    Attend(Arc<Chapter>, Address, String, bool),
    /// Listen to a room no more, and nobody is there.
    Leave(Arc<Chapter>, Address),
    /// Write down what a moderator has decided.
    Decree(Arc<Chapter>, Decree),
    /// Listen to what moderators decide, and read what they have decided, unless it is what is known: then it was written
    /// down so often.
    Law(Arc<Chapter>, Option<[u64; Book::ALL.len()]>),
    /// Tell a channel something.
    Publish(String, String),
    /// Take the lead among the gateways of a hub, or keep it.
    Lead(Arc<Chapter>),
    /// Listen to what concerns a hub.
    Begin(Arc<Chapter>),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The newest of its stream, and who is there on other gateways.
    Opened(Address, Newest, Vec<(String, String)>),
    Looked(Address, Page),
    /// The message with this key has this place.
    Added(Address, Arc<str>, Option<u64>),
    /// What other gateways have written down.
    Attended(Address, Vec<(String, String)>),
    Led(Arc<str>, bool),
    /// The room's channels are not listened to any more.
    Left(Address),
    /// The decision is written down, or a later one.
    Decreed(Arc<str>, Decree),
    /// How often anything was decided, by kind; and all of it, unless nothing is new.
    Law(Arc<str>, Option<Statutes>),
    Done,
}

/// Whom a question concerns, when it fails.
#[derive(Debug)]
pub(super) enum Concern {
    Room(Address),
    /// A room that is not there any more.
    Leaving(Address),
    /// What moderators of this hub decide.
    Law(Arc<str>),
    Nobody,
}

/// What all questions need.
#[derive(Clone)]
pub(super) struct Gear {
    pub(super) line: Line,
    pub(super) listener: MultiplexedConnection,
    pub(super) scripts: Rc<Scripts>,
    pub(super) node: Arc<str>,
    /// For how long others may believe what is written down of this gateway.
    pub(super) expiry: Duration,
}

impl Job {
    pub(super) fn concern(&self) -> Concern {
        match self {
            Self::Open(_, room) | Self::Look(_, room, _) | Self::Add(_, room, _) | Self::Attend(_, room, ..) => {
                Concern::Room(room.clone())
            }
            Self::Leave(_, room) => Concern::Leaving(room.clone()),
            Self::Decree(chapter, _) | Self::Law(chapter, _) => Concern::Law(Arc::clone(chapter.prefix())),
            Self::Publish(..) | Self::Lead(_) | Self::Begin(_) => Concern::Nobody,
        }
    }
}

impl Gear {
    /// Asks. Each question has the connection's own timeout. Not cancel safe: whether it was heard is not known.
    pub(super) async fn fly(mut self, job: Job) -> RedisResult<Outcome> {
        match job {
            Job::Open(chapter, room) => {
                self.listener.subscribe(&[chapter.said(&room.1), chapter.tell(&room.1)]).await?;
                let newest = self.newest(&chapter, &room.1).await?;
                let others = self.attend(&chapter, &room.1, ("", false)).await?;
                Ok(Outcome::Opened(room, newest, others))
            }
            Job::Look(chapter, room, after) => {
                let page = self.look(&chapter, &room.1, after).await?;
                Ok(Outcome::Looked(room, page))
            }
            Job::Add(chapter, room, ask) => {
                let place = self.add(&chapter, &room.1, &ask).await?;
                Ok(Outcome::Added(room, Arc::clone(&ask.said.key), place))
            }
            Job::Attend(chapter, room, people, tell) => {
                let others = self.attend(&chapter, &room.1, (&people, tell)).await?;
                Ok(Outcome::Attended(room, others))
            }
            Job::Leave(chapter, room) => {
                self.attend(&chapter, &room.1, ("", true)).await?;
                self.listener.unsubscribe(&[chapter.said(&room.1), chapter.tell(&room.1)]).await?;
                Ok(Outcome::Left(room))
            }
            Job::Decree(chapter, decree) => {
                self.decree(&chapter, &decree).await?;
                Ok(Outcome::Decreed(Arc::clone(chapter.prefix()), decree))
            }
            Job::Law(chapter, known) => {
                let statutes = self.statutes(&chapter, known).await?;
                Ok(Outcome::Law(Arc::clone(chapter.prefix()), statutes))
            }
            Job::Publish(channel, text) => {
                let _: i64 = cmd("PUBLISH").arg(channel).arg(text).query_async(&mut self.line).await?;
                Ok(Outcome::Done)
            }
            Job::Lead(chapter) => {
                let mut ask = self.scripts.lead.key(chapter.lease());
                let leads: i64 = ask.arg(&*self.node).arg(millis(self.expiry)).invoke_async(&mut self.line).await?;
                Ok(Outcome::Led(Arc::clone(chapter.prefix()), leads == 1))
            }
            Job::Begin(chapter) => {
                self.listener.subscribe(chapter.node(&self.node)).await?;
                self.listener.psubscribe(format!("{}*", chapter.say())).await?;
                Ok(Outcome::Done)
            }
        }
    }

    /// The newest entries, oldest first, as many as a stream is meant to keep, and none that is too old.
    async fn newest(&mut self, chapter: &Chapter, room: &str) -> RedisResult<Newest> {
        let (oldest, most) = (chapter.oldest(now()), chapter.length());
        let mut command = cmd("XREVRANGE");
        command.arg(chapter.stream(room)).arg("+").arg(id::to_stream(oldest)).arg("COUNT").arg(most);
        let mut raw = sound(command.query_async(&mut self.line).await?);
        raw.reverse();
        let first = raw.first().filter(|_| raw.len() >= most).and_then(|(name, _)| id::of_stream(name));
        let gone = oldest.max(first.unwrap_or(0));
        Ok(Newest { raw, gone })
    }

    /// The oldest entries behind a place, as many at once as a stream is meant to keep.
    async fn look(&mut self, chapter: &Chapter, room: &str, after: u64) -> RedisResult<Page> {
        let most = chapter.length();
        let after = after.max(chapter.oldest(now()).saturating_sub(1));
        let mut invocation = self.scripts.look.key(chapter.stream(room));
        let (last, entries): (String, Vec<Value>) =
            invocation.arg(format!("({}", id::to_stream(after))).arg(most).invoke_async(&mut self.line).await?;
        let is_last = entries.len() < most;
        let raw = sound(entries);
        let last = if is_last { Some(&last) } else { raw.last().map(|(name, _)| name) };
        let upto = last.and_then(|name| id::of_stream(name)).unwrap_or(after);
        Ok(Page { raw, upto, is_last })
    }

    /// Adds a message; where it stands now.
    pub(super) async fn add(&mut self, chapter: &Chapter, room: &str, ask: &Ask) -> RedisResult<Option<u64>> {
        let mut invocation = self.scripts.add.key(chapter.stream(room));
        invocation
            .arg(chapter.said(room))
            .arg(chapter.length())
            .arg(chapter.kept())
            .arg(ask.floor >> 16)
            .arg(ask.floor & 0xffff)
            .arg(u8::from(ask.again))
            .arg(&*ask.said.key);
        for (name, value) in ask.said.fields(ask.seen) {
            invocation.arg(name).arg(value);
        }
        let name: String = invocation.invoke_async(&mut self.line).await?;
        Ok(id::of_stream(&name))
    }

    /// Writes a decision down; what is deleted is gone from its room's stream.
    async fn decree(&mut self, chapter: &Chapter, decree: &Decree) -> RedisResult<()> {
        let book = decree.matter.book();
        let mut invocation = self.scripts.decree.prepare_invoke();
        for key in chapter.decided(book) {
            invocation.key(key);
        }
        invocation.arg(chapter.law()).arg(book.name()).arg(decree.matter.about()).arg(decree.at).arg(&*decree.key);
        invocation.arg(decree.until).arg(chapter.most(book)).arg(decree.text());
        let _: i64 = invocation.invoke_async(&mut self.line).await?;
        if let Matter::Delete { room, place } = &decree.matter {
            let mut command = cmd("XDEL");
            command.arg(chapter.stream(room)).arg(id::to_stream(place.0));
            let _: i64 = command.query_async(&mut self.line).await?;
        }
        Ok(())
    }

    /// What moderators have decided, unless it is `known`. The first time its channel is listened to before.
    async fn statutes(
        &mut self,
        chapter: &Chapter,
        known: Option<[u64; Book::ALL.len()]>,
    ) -> RedisResult<Option<Statutes>> {
        if known.is_none() {
            self.listener.subscribe(chapter.law()).await?;
        }
        let [_, _, count] = chapter.decided(Book::Ban);
        let counts: HashMap<String, u64> = cmd("HGETALL").arg(count).query_async(&mut self.line).await?;
        let counts = Book::ALL.map(|book| counts.get(book.name()).copied().unwrap_or(0));
        if known == Some(counts) {
            return Ok(None);
        }
        let mut all = Statutes::default();
        for (at, book) in Book::ALL.into_iter().enumerate() {
            let [key, ..] = chapter.decided(book);
            all[at] = (counts[at], cmd("HVALS").arg(key).query_async(&mut self.line).await?);
        }
        Ok(Some(all))
    }

    async fn attend(
        &mut self,
        chapter: &Chapter,
        room: &str,
        (people, tell): (&str, bool),
    ) -> RedisResult<Vec<(String, String)>> {
        let mut invocation = self.scripts.attend.key(chapter.who(room));
        invocation.arg(chapter.tell(room)).arg(&*self.node).arg(millis(self.expiry)).arg(people).arg(u8::from(tell));
        let flat: Vec<Vec<u8>> = invocation.invoke_async(&mut self.line).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(flat.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect())
    }
}

/// A message that a script says.
pub(super) fn of_script(key: String, node: &Arc<str>, (text, name): (String, String)) -> Ask {
    let said = Said {
        key: key.into(),
        node: Arc::clone(node),
        from: super::entry::SCRIPT.into(),
        name: name.into(),
        text: text.into(),
        reference: None,
    };
    Ask { said: Arc::new(said), floor: 0, again: true, seen: None }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
