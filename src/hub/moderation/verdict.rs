//! Somebody is muted or banned, or is so no more: by all names and ids at once, and felt by those who are here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Grounds, LONGEST, out};
use crate::hub::cluster::{Kind, Matter};
use crate::hub::fault::Fault;
use crate::hub::house::House;
use crate::hub::id::{self, MemberId};
use crate::hub::language::v1::event::Event;
use crate::hub::mailbox::{Out, Word};
use crate::hub::sentence::{Sentence, Who};
use crate::wire::close::{Close, Code};

/// For how long it is remembered at least that a sentence was lifted: so long a gateway may be apart and know it still.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Somebody, what becomes of them, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'a> {
    pub(super) kind: Kind,
    pub(super) room: Option<&'a str>,
    pub(super) who: &'a Who,
    pub(super) grounds: Grounds<'a>,
    pub(super) now: Instant,
}

impl Verdict<'_> {
    pub(super) fn matter(&self, who: &Who, asked: &Who, lifted: bool) -> Matter {
        let (kind, room) = (self.kind, self.room.map(Box::from));
        Matter::Sentence { kind, room, who: who.clone(), asked: asked.clone(), lifted }
    }

    pub(super) fn sentence(&self, until: Instant, asked: &Who) -> Sentence {
        let (by, reason) = (Arc::from(self.grounds.by), self.grounds.reason.map(Arc::from));
        Sentence { until, by, reason, asked: asked.clone() }
    }
}

impl House {
    /// Somebody is sentenced, here and on all gateways; how many members here are concerned.
    pub(super) fn begin(&self, verdict: &Verdict<'_>, time: Duration) -> usize {
        let until = verdict.now + time.min(LONGEST);
        let (members, others) = self.sentence(verdict, until);
        let asked = verdict.who;
        let matters = std::iter::once(asked).chain(&others).map(|who| verdict.matter(who, asked, false)).collect();
        let decision = verdict.grounds.decision(matters, Some(moment(until, verdict.now)));
        self.ground().order.decree(decision);
        members
    }

    /// A sentence ends before its time, here and on all gateways.
    pub(super) fn end(&self, verdict: &Verdict<'_>) -> Result<usize, Fault> {
        let (members, lifted) = self.lift(verdict);
        let (until, asked) = lifted.ok_or(Fault::NoSuchMember)?;
        let until = until.max(verdict.now + REMEMBERED);
        let mut matters = vec![verdict.matter(&asked, &asked, true)];
        if asked != *verdict.who {
            matters.push(verdict.matter(verdict.who, verdict.who, true));
        }
        let decision = verdict.grounds.decision(matters, Some(moment(until, verdict.now)));
        self.ground().order.decree(decision);
        Ok(members)
    }

    /// Whoever is meant is so by name and by id: another name, or another connection, is no way out of it. How many members
    /// are concerned, and what else they are called.
    pub(super) fn sentence(&self, verdict: &Verdict<'_>, until: Instant) -> (usize, Vec<Who>) {
        let Verdict { room, who, now, .. } = *verdict;
        let sentence = verdict.sentence(until, who);
        let table = self.ground().moderation.table(verdict.kind);
        table.pronounce(room, who.clone(), sentence.clone(), now);
        let people: Vec<_> = self.concerned(room).iter().flat_map(|room| room.like(who)).collect();
        let ids = people.iter().map(|(id, _)| Who::Member(*id));
        // A number is the next one's, too.
        let names = people.iter().filter(|(_, name)| !name.starts_with("User #")).map(|(_, name)| Who::named(name));
        let mut others: Vec<Who> = Vec::new();
        for other in ids.chain(names).filter(|other| other != who) {
            if !others.contains(&other) {
                table.pronounce(room, other.clone(), sentence.clone(), now);
                others.push(other);
            }
        }
        self.make_felt(verdict, Some(until));
        (people.len(), others)
    }

    /// Those who are here see what they are sentenced to, and until when; without an end: that it is over.
    pub(super) fn make_felt(&self, verdict: &Verdict<'_>, until: Option<Instant>) -> usize {
        let Verdict { kind, room, who, grounds, now } = *verdict;
        let members: Vec<MemberId> =
            self.concerned(room).iter().flat_map(|room| room.like(who)).map(|(id, _)| id).collect();
        match (kind, until) {
            (Kind::Mute, until) => {
                // A gateway elsewhere has counted down for a moment.
                let left = until.map(|until| until.saturating_duration_since(now) + Duration::from_millis(500));
                self.notice(room, &members, left.map(|left| left.as_secs()));
            }
            (Kind::Ban, Some(_)) => self.expel(room, who, &out("banned", grounds, room.is_none())),
            (Kind::Ban, None) => {}
        }
        members.len()
    }

    fn expel(&self, room: Option<&str>, who: &Who, out: &Out) {
        for room in self.concerned(room) {
            room.put_out(who, out);
        }
        if room.is_none()
            && let Who::Member(id) = who
        {
            // Also one that is in no room.
            self.ground().tell(*id, Word::Close(Close::new(Code::PUT_OUT, out.line())));
        }
    }

    /// Ends what was said about somebody; how many members hear of it; and if there was anything, when it would have ended
    /// and whom it was asked for.
    pub(super) fn lift(&self, verdict: &Verdict<'_>) -> (usize, Option<(Instant, Who)>) {
        let lifted = self.ground().moderation.table(verdict.kind).lift(verdict.room, verdict.who, verdict.now);
        let felt = if lifted.is_some() { self.make_felt(verdict, None) } else { 0 };
        (if verdict.kind == Kind::Mute { felt } else { 0 }, lifted)
    }

    /// Tells members that they are muted for so many seconds, or no more.
    fn notice(&self, room: Option<&str>, members: &[MemberId], seconds: Option<u64>) {
        let (code, text) = match seconds {
            Some(_) => ("muted", "you are not heard for a time"),
            None => ("unmuted", "you are heard again"),
        };
        let frame = Event::Notice { room, code, text, seconds }.frame();
        for id in members {
            self.ground().tell(*id, Word::Frame(frame.clone()));
        }
    }
}

/// In milliseconds since 1970.
pub(super) fn moment(until: Instant, now: Instant) -> u64 {
    let left = until.saturating_duration_since(now).as_millis();
    id::now().saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
}
