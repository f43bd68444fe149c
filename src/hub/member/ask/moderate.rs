//! Requests of moderators: about a room of theirs, and never about more than that.

use std::time::{Duration, Instant};

use super::{Desk, Done, Failure, Reference};
use crate::hub::fault::Fault;
use crate::hub::id::MemberId;
use crate::hub::language::v1::event::Event;
use crate::hub::language::v1::request::{Moderate, Wish};
use crate::hub::moderation::{Grounds, LONGEST, Measure, SLOWEST, USUAL};
use crate::hub::sentence::Who;

impl Desk<'_> {
    pub(super) fn moderate(&self, wish: Wish, about: Moderate, reference: Reference<'_>, out: &mut Vec<u8>) -> Done {
        let room = self.named(about.room.clone());
        let done = self.carry_out(wish, about, room.clone());
        done.map_err(|fault| Failure(fault, Some(room.clone())))?;
        Event::Done { reference, room: &room }.append(out);
        Ok(())
    }

    fn carry_out(&self, wish: Wish, about: Moderate, room: String) -> Result<(), Fault> {
        let credentials = &self.talker.arrival.credentials;
        if !credentials.moderator || !credentials.admits(&room) {
            return Err(Fault::Forbidden);
        }
        let by = {
            let state = self.talker.state.borrow();
            format!("{} ({})", state.name.text, state.id)
        };
        let measure = measure(wish, &about, room)?;
        let grounds = Grounds { by: &by, reason: about.reason.as_deref() };
        self.talker.hub().house().moderate(&measure, grounds, Instant::now()).map(drop)
    }
}

fn measure(wish: Wish, about: &Moderate, room: String) -> Result<Measure, Fault> {
    let here = Some(room.clone());
    Ok(match wish {
        Wish::Kick => Measure::Kick { room, who: who(about)? },
        Wish::Mute if about.r#for == Some(0) => Measure::Unmute { room: here, who: who(about)? },
        Wish::Mute => Measure::Mute { room: here, who: who(about)?, time: time(about)? },
        Wish::Ban => Measure::Ban { room: here, who: who(about)?, time: time(about)? },
        Wish::Unban => Measure::Unban { room: here, who: who(about)? },
        Wish::Slow => {
            let every = about.seconds.map(Duration::from_secs).filter(|every| *every <= SLOWEST);
            Measure::Slow { room, every: every.ok_or(Fault::BadField("seconds"))? }
        }
        Wish::Delete => Measure::Delete { room, id: about.id.ok_or(Fault::BadField("id"))? },
    })
}

fn who(about: &Moderate) -> Result<Who, Fault> {
    match (&about.member, &about.name) {
        (Some(id), None) => MemberId::parse(id).map(Who::Member).ok_or(Fault::BadField("member")),
        (None, Some(name)) => Who::called(name).ok_or(Fault::BadField("name")),
        _ => Err(Fault::BadField("member or name")),
    }
}

fn time(about: &Moderate) -> Result<Duration, Fault> {
    let time = about.r#for.map_or(USUAL, Duration::from_secs);
    if time.is_zero() || time > LONGEST { Err(Fault::BadField("for")) } else { Ok(time) }
}
