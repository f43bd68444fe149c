//! Which member of a pool a client gets, and who may be taken at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::balance::{self, Candidate, Chance};
use super::member::Member;
use super::places::Choice;
use super::{Pool, Seat};
use crate::lifecycle::clock::Instant;

impl Pool {
    /// The member for a client: one that is usable and has room, a backup only where no other is; `tried` are out.
    pub(super) fn choose(&self, cap: usize, key: u64, chance: &mut Chance, tried: &[Arc<Member>]) -> Choice {
        let now = Instant::now();
        // Where all look ill it may be our eyes: then each is as good as another, unless the owner says otherwise.
        let blind = !self.wishes.ejection.last && !self.members().any(|member| member.is_usable(now));
        let fits = |seat: &&Seat| {
            let member = &seat.member;
            // One that a reload or the operator has taken out is not ill; but those who wait may be of the pool after it.
            member.open() < cap
                && !member.is_withdrawn()
                && (blind || member.is_usable(now))
                && !tried.iter().any(|other| Arc::ptr_eq(other, member))
        };
        let among = |backup: bool| self.seats.iter().filter(|seat| seat.backup == backup).filter(fits).collect();
        let mut seats: Vec<&Seat> = among(false);
        if seats.is_empty() {
            seats = among(true);
        }
        let mut candidates: Vec<Candidate> = seats.iter().map(|seat| self.candidate(seat, now)).collect();
        let at = balance::pick(self.wishes.balance, &mut candidates, key, chance)?;
        for (seat, candidate) in seats.iter().zip(&candidates) {
            seat.member.turn.store(candidate.turn, Ordering::Relaxed);
        }
        Some(Arc::clone(&seats[at].member))
    }

    fn candidate(&self, seat: &Seat, now: Instant) -> Candidate {
        Candidate {
            id: seat.member.id,
            open: seat.member.open(),
            weight: seat.member.weight(seat.weight, now, self.wishes.slow_start),
            turn: seat.member.turn.load(Ordering::Relaxed),
        }
    }
}
