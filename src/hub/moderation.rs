//! What moderators do, whether they are members or stand at the admin door: each measure once, logged and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::house::House;
use super::id::{MemberId, MessageId};
use super::language::v1::event::Event;
use super::mailbox::{Out, Word};
use super::room::Room;
use super::sentence::{Sentence, Sentences, Who};
use crate::wire::close::{Close, Code};

/// How long somebody is muted or banned where nothing is said of it.
pub(crate) const USUAL: Duration = Duration::from_secs(3600);
/// And at most.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Between two messages of one member in a slow room, at most.
pub(crate) const SLOWEST: Duration = Duration::from_secs(6 * 3600);
/// Characters of a reason that are told and logged.
const REASON: usize = 200;

/// What is done. Without a room: in all of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Out of a room; whoever likes may come back.
    Kick { room: String, who: Who },
    /// Not heard for so long.
    Mute { room: Option<String>, who: Who, time: Duration },
    /// Heard again.
    Unmute { room: Option<String>, who: Who },
    /// Out, and not in again for so long.
    Ban { room: Option<String>, who: Who, time: Duration },
    /// In again.
    Unban { room: Option<String>, who: Who },
    /// So long between two messages of one member; zero: no wait.
    Slow { room: String, every: Duration },
    /// A message is forgotten.
    Delete { room: String, id: MessageId },
}

impl Measure {
    /// Its name among the counters and in the log.
    pub(crate) const NAMES: [&str; 7] = ["kick", "mute", "unmute", "ban", "unban", "slow", "delete"];

    const fn at(&self) -> usize {
        match self {
            Self::Kick { .. } => 0,
            Self::Mute { .. } => 1,
            Self::Unmute { .. } => 2,
            Self::Ban { .. } => 3,
            Self::Unban { .. } => 4,
            Self::Slow { .. } => 5,
            Self::Delete { .. } => 6,
        }
    }

    fn room(&self) -> Option<&str> {
        match self {
            Self::Kick { room, .. } | Self::Slow { room, .. } | Self::Delete { room, .. } => Some(room),
            Self::Mute { room, .. } | Self::Unmute { room, .. } => room.as_deref(),
            Self::Ban { room, .. } | Self::Unban { room, .. } => room.as_deref(),
        }
    }

    /// Whom or what it is about, for the log.
    fn about(&self) -> String {
        match self {
            Self::Kick { who, .. } | Self::Unmute { who, .. } | Self::Unban { who, .. } => who.to_string(),
            Self::Mute { who, time, .. } | Self::Ban { who, time, .. } => format!("{who} for {} s", time.as_secs()),
            Self::Slow { every, .. } => format!("{} s between two messages", every.as_secs()),
            Self::Delete { id, .. } => format!("message {id}"),
        }
    }
}

/// Who does it, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grounds<'a> {
    pub(crate) by: &'a str,
    pub(crate) reason: Option<&'a str>,
}

/// Who is muted and banned in a hub, and how often moderators did what. It outlives reloads.
#[derive(Debug, Default)]
pub(crate) struct Moderation {
    pub(crate) mutes: Sentences,
    pub(crate) bans: Sentences,
    done: [AtomicU64; Measure::NAMES.len()],
}

impl Moderation {
    /// How often each was done.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.done.iter().map(|count| count.load(Ordering::Relaxed));
        Measure::NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Whether somebody may come in here.
    ///
    /// # Errors
    /// Banned, and for how long.
    pub(crate) fn admits(&self, room: Option<&str>, whom: &[Who], now: Instant) -> Result<(), Fault> {
        self.bans.left(room, whom, now).map_or(Ok(()), |left| Err(Fault::Banned(left)))
    }

    /// Whether somebody may say something here.
    ///
    /// # Errors
    /// Muted, and for how long.
    pub(crate) fn hears(&self, room: &str, from: MemberId, name: &str, now: Instant) -> Result<(), Fault> {
        let whom = || [Who::Member(from), Who::named(name)];
        let left = if self.mutes.is_empty() { None } else { self.mutes.left(Some(room), &whom(), now) };
        left.map_or(Ok(()), |left| Err(Fault::Muted(left)))
    }
}

impl House {
    /// Does it; how many members were concerned at once.
    ///
    /// # Errors
    /// No such room, member or message.
    pub(crate) fn moderate(&self, measure: &Measure, grounds: Grounds<'_>, now: Instant) -> Result<usize, Fault> {
        let short: Option<String> = grounds.reason.map(|reason| reason.chars().take(REASON).collect());
        let concerned = self.carry_out(measure, Grounds { reason: short.as_deref(), ..grounds }, now)?;
        self.ground().moderation.done[measure.at()].fetch_add(1, Ordering::Relaxed);
        let (action, room) = (Measure::NAMES[measure.at()], measure.room().unwrap_or("*"));
        tracing::info!(action, room, about = measure.about(), by = grounds.by, reason = short, concerned, "moderated");
        Ok(concerned)
    }

    fn carry_out(&self, measure: &Measure, grounds: Grounds<'_>, now: Instant) -> Result<usize, Fault> {
        match measure {
            Measure::Kick { room, who } => match self.known(room)?.put_out(who, &out("kicked", grounds, false)) {
                0 => Err(Fault::NoSuchMember),
                count => Ok(count),
            },
            Measure::Mute { room, who, time } => {
                let members = self.pronounce(room.as_deref(), who, grounds, (now, *time));
                self.notice(room.as_deref(), &members, Some(time.as_secs()));
                Ok(members.len())
            }
            Measure::Unmute { room, who } => {
                let lifted = self.ground().moderation.mutes.lift(room.as_deref(), who, now);
                let members = self.members_like(room.as_deref(), who);
                self.notice(room.as_deref(), &members, None);
                if lifted { Ok(members.len()) } else { Err(Fault::NoSuchMember) }
            }
            Measure::Ban { room, who, time } => Ok(self.ban(room.as_deref(), who, grounds, (now, *time))),
            Measure::Unban { room, who } => {
                let lifted = self.ground().moderation.bans.lift(room.as_deref(), who, now);
                if lifted { Ok(0) } else { Err(Fault::NoSuchMember) }
            }
            Measure::Slow { room, every } => Ok(self.known(room)?.slow_down(*every)),
            Measure::Delete { room, id } => self.known(room)?.erase(*id),
        }
    }

    fn ban(&self, room: Option<&str>, who: &Who, grounds: Grounds<'_>, (now, time): (Instant, Duration)) -> usize {
        let members = self.sentence(&self.ground().moderation.bans, (room, who), grounds, (now, time));
        let out = out("banned", grounds, room.is_none());
        for room in self.concerned(room) {
            room.put_out(who, &out);
        }
        if room.is_none()
            && let Who::Member(id) = who
        {
            // Also one that is in no room.
            self.ground().tell(*id, Word::Close(Close::new(Code::PUT_OUT, out.line())));
        }
        members.len()
    }

    fn pronounce(
        &self,
        room: Option<&str>,
        who: &Who,
        grounds: Grounds<'_>,
        times: (Instant, Duration),
    ) -> Vec<MemberId> {
        self.sentence(&self.ground().moderation.mutes, (room, who), grounds, times)
    }

    /// Whoever is meant is so by name and by id: another name, or another connection, is no way out of it.
    fn sentence(
        &self,
        table: &Sentences,
        (room, who): (Option<&str>, &Who),
        grounds: Grounds<'_>,
        (now, time): (Instant, Duration),
    ) -> Vec<MemberId> {
        let (by, reason) = (Arc::from(grounds.by), grounds.reason.map(Arc::from));
        let sentence = Sentence { until: now + time.min(LONGEST), by, reason, asked: who.clone() };
        table.pronounce(room, who.clone(), sentence.clone(), now);
        let people: Vec<_> = self.concerned(room).iter().flat_map(|room| room.like(who)).collect();
        for (id, name) in &people {
            table.pronounce(room, Who::Member(*id), sentence.clone(), now);
            // A number is the next one's, too.
            if !name.starts_with("User #") {
                table.pronounce(room, Who::named(name), sentence.clone(), now);
            }
        }
        people.into_iter().map(|(id, _)| id).collect()
    }

    fn members_like(&self, room: Option<&str>, who: &Who) -> Vec<MemberId> {
        self.concerned(room).iter().flat_map(|room| room.like(who)).map(|(id, _)| id).collect()
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

    /// The room, or all.
    fn concerned(&self, room: Option<&str>) -> Vec<Arc<Room>> {
        match room {
            Some(name) => self.find(name).into_iter().collect(),
            None => self.all(),
        }
    }

    fn known(&self, room: &str) -> Result<Arc<Room>, Fault> {
        self.find(room).ok_or(Fault::NoSuchRoom)
    }
}

fn out(why: &'static str, grounds: Grounds<'_>, close: bool) -> Out {
    Out { ids: Arc::default(), why, reason: grounds.reason.map(Arc::from), close }
}
