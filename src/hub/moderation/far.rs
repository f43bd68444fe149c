//! What moderators on other gateways have decided, carried out here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::verdict::Verdict;
use super::{Grounds, LONGEST};
use crate::hub::cluster::{Decree, Matter};
use crate::hub::house::House;
use crate::hub::id;
use crate::hub::order::Decision;
use crate::hub::room::Room;
use crate::hub::sentence::Who;

impl House {
    /// Carries out what was decided elsewhere, or what has turned out to be the later decision. Nobody waits; what members
    /// here are called besides is told to the others as a part of it.
    pub(crate) fn obey(&self, decree: &Decree) {
        match &decree.matter {
            Matter::Sentence { kind, room, who, asked, lifted } => {
                let (now, room) = (Instant::now(), room.as_deref());
                let grounds = Grounds { by: &decree.by, reason: decree.reason.as_deref() };
                let verdict = Verdict { kind: *kind, room, who, grounds, now };
                let left = Duration::from_millis(decree.until.saturating_sub(id::now()));
                let until = now + left.min(LONGEST);
                if *lifted {
                    self.lift(&verdict);
                } else if who == asked {
                    let (_, others) = self.sentence(&verdict, until);
                    self.pass_on(decree, &verdict, &others);
                } else {
                    let table = self.ground().moderation.table(*kind);
                    table.pronounce(room, who.clone(), verdict.sentence(until, asked), now);
                    self.make_felt(&verdict, Some(until));
                }
            }
            Matter::Slow { room, every } => {
                if let Some(room) = self.find(room) {
                    room.slow_down(*every);
                }
            }
            Matter::Delete { room, place } => {
                if let Some(room) = self.find(room) {
                    room.erase_place(*place);
                }
            }
        }
    }

    /// Somebody who is meant is here, and has other names: they are meant everywhere.
    fn pass_on(&self, decree: &Decree, verdict: &Verdict<'_>, others: &[Who]) {
        if !others.is_empty() {
            let matters = others.iter().map(|who| verdict.matter(who, verdict.who, false)).collect();
            let (part_of, until) = (Some((decree.at, Arc::clone(&decree.key))), Some(decree.until));
            let (by, reason) = (Arc::clone(&decree.by), decree.reason.clone());
            self.ground().order.decree(Decision { part_of, until, by, reason, matters });
        }
    }
}

impl Room {
    /// A moderator elsewhere puts somebody out.
    pub(crate) fn kicked_elsewhere(self: &Arc<Self>, who: &Who, reason: Option<&str>) {
        self.put_out(who, &super::out("kicked", Grounds { by: "", reason }, false));
    }
}
