//! What moderators do, whether they are members or stand at the admin door: each measure once, logged and counted.

mod far;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::verdict::Verdict;
use super::cluster::{Kind, Matter};
use super::fault::Fault;
use super::house::House;
use super::id::{MemberId, MessageId};
use super::mailbox::Out;
use super::name::Name;
use super::order::Decision;
use super::room::Room;
use super::sentence::{Sentence, Sentences, Who};

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

    const fn table(&self, kind: Kind) -> &Sentences {
        match kind {
            Kind::Mute => &self.mutes,
            Kind::Ban => &self.bans,
        }
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
        let order = &self.ground().order;
        if measure.room().is_some_and(|room| !self.could_be(room)) {
            return Err(Fault::BadRoom);
        }
        match measure {
            Measure::Kick { room, who } => {
                let room = self.reach(room)?;
                let near = room.put_out(who, &out("kicked", grounds, false));
                match room.elsewhere(who) {
                    Some(0) if near == 0 => Err(Fault::NoSuchMember),
                    far => {
                        order.kick(&room, who, grounds.reason);
                        Ok(near + far.unwrap_or(0))
                    }
                }
            }
            Measure::Mute { room, who, time } => {
                Ok(self.begin(&Verdict { kind: Kind::Mute, room: room.as_deref(), who, grounds, now }, *time))
            }
            Measure::Ban { room, who, time } => {
                Ok(self.begin(&Verdict { kind: Kind::Ban, room: room.as_deref(), who, grounds, now }, *time))
            }
            Measure::Unmute { room, who } => {
                self.end(&Verdict { kind: Kind::Mute, room: room.as_deref(), who, grounds, now })
            }
            Measure::Unban { room, who } => {
                self.end(&Verdict { kind: Kind::Ban, room: room.as_deref(), who, grounds, now })
            }
            Measure::Slow { room, every } => {
                let room = self.reach(room)?;
                order.decree(grounds.decision(vec![Matter::Slow { room: room.name().into(), every: *every }], None));
                Ok(room.slow_down(*every))
            }
            Measure::Delete { room, id } => {
                let room = self.reach(room)?;
                let (concerned, place) = room.erase(*id)?;
                if let Some(place) = place {
                    order.decree(grounds.decision(vec![Matter::Delete { room: room.name().into(), place }], None));
                }
                Ok(concerned)
            }
        }
    }

    /// Whoever comes to be called so in a room and is muted by this name is so by its id as well, from then on and on all
    /// gateways: another name is no way out of it.
    pub(crate) fn bind(&self, room: &str, id: MemberId, name: &Name, now: Instant) {
        let moderation = &self.ground().moderation;
        if moderation.mutes.is_empty() {
            return;
        }
        let (name, who) = (Who::Name(name.key()), Who::Member(id));
        for (room, Sentence { until, by, reason, asked }) in moderation.mutes.bind(room, &name, &who, now) {
            let matters = vec![Matter::Sentence { kind: Kind::Mute, room, who: who.clone(), asked, lifted: false }];
            let until = Some(verdict::moment(until, now));
            self.ground().order.decree(Decision { part_of: None, until, by, reason, matters });
        }
    }

    /// The room, or all.
    fn concerned(&self, room: Option<&str>) -> Vec<Arc<Room>> {
        match room {
            Some(name) => self.find(name).into_iter().collect(),
            None => self.all(),
        }
    }

    /// A room that is here, or may be on another gateway.
    fn reach(&self, room: &str) -> Result<Arc<Room>, Fault> {
        match self.find(room) {
            Some(room) => Ok(room),
            None if self.ground().order.is_alone() => Err(Fault::NoSuchRoom),
            None => self.open(room),
        }
    }
}

impl Grounds<'_> {
    fn decision(&self, matters: Vec<Matter>, until: Option<u64>) -> Decision {
        let (by, reason) = (self.by.into(), self.reason.map(Arc::from));
        Decision { part_of: None, until, by, reason, matters }
    }
}

fn out(why: &'static str, grounds: Grounds<'_>, close: bool) -> Out {
    Out { ids: Arc::default(), why, reason: grounds.reason.map(Arc::from), close }
}
