//! One connection's life: it comes, talks, goes and comes again, as long as the conductor wants it.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;
use wsgate::client::{self, Socket};

use super::super::member::Member;
use super::super::plan::Micros;
use super::super::policy::{Again, Expect};
use super::super::talk::{End, Talk};
use super::super::tally::Kind;
use super::{Seat, Worker};

impl Worker {
    pub(super) async fn live(self: Rc<Self>, seat: Seat) {
        let _leaves = Leaves(Rc::clone(&self));
        let (mut generation, mut tries, mut member) = (0, 0, Member::default());
        while self.is_wanted(seat).await {
            self.take_turn(generation).await;
            if !self.is_wanted_now(seat) {
                continue;
            }
            let now = self.control.generation();
            if member.away.is_some() {
                self.tally.borrow_mut().stayed.tries.push(self.pacer.now());
            }
            tries += 1;
            let has_gone = match timeout(self.aim.patience, self.open(seat)).await {
                Ok(Some(socket)) => {
                    self.note_open(generation, now);
                    self.control.opened();
                    let end = self.talk(socket, seat, now, &mut member).await;
                    self.control.closed();
                    (generation, tries) = (now, 0);
                    self.note(&end, seat)
                }
                Ok(None) => Gone::Failed,
                Err(_) => {
                    self.tally.borrow_mut().error("timed out while opening");
                    Gone::Failed
                }
            };
            let wait = self.wait_before_next(has_gone, tries);
            self.tally.borrow_mut().stayed.refused += u64::from(has_gone == Gone::Failed);
            match wait {
                Some(wait) => self.pacer.until(self.pacer.now() + wait).await,
                None => return self.control.gave_up(),
            }
        }
    }

    /// How long to wait before the next connection is opened, after so many tries that failed; `None`: there is none.
    fn wait_before_next(&self, gone: Gone, tries: u32) -> Option<Micros> {
        const MOMENT: Micros = 100_000;
        let jitter = self.policy.jitter;
        match (gone, self.policy.again) {
            (Gone::Wanted, _) => Some(0),
            (_, Again::Never) => None,
            (_, Again::Soon) => Some(MOMENT),
            (Gone::Failed, Again::AtOnce) => Some(MOMENT << tries.min(5)),
            (Gone::Unwanted, Again::AtOnce) if jitter == 0 => Some(0),
            (Gone::Unwanted, Again::AtOnce) => Some(u64::from_le_bytes(client::random()) % jitter),
        }
    }

    fn note_open(&self, before: usize, now: usize) {
        let mut tally = self.tally.borrow_mut();
        tally.connections += 1;
        if self.control.measuring() {
            tally.handshakes += 1;
        }
        if now > before && now == self.control.generation() {
            let since = self.pacer.now().saturating_sub(self.control.cut_at());
            tally.record(Kind::Reconnect, since);
        }
    }

    async fn talk(&self, socket: Socket, seat: Seat, generation: usize, member: &mut Member) -> End {
        let mut socket = socket;
        let mut talk = Talk::new(self, (seat, member), generation);
        let end = std::future::poll_fn(|cx| talk.poll(cx, &mut socket)).await;
        let (heard, said) = (talk.heard(), talk.said());
        self.tally.borrow_mut().heard.push((seat.index, heard));
        if self.policy.expect == Expect::Once && end.is_the_servers() {
            member.away.get_or_insert(self.pacer.now());
            let stayed = &mut self.tally.borrow_mut().stayed;
            stayed.closed += 1;
            stayed.in_flight += said as u64;
        }
        if matches!(end, End::Closed { .. }) {
            // The server is to end first: else the ports here are the ones that wait.
            let linger = std::future::poll_fn(|cx| socket.poll_pieces(cx, &mut |_, _| true).map_ok(|_| ()));
            let _ = timeout(Duration::from_secs(1), linger).await;
            let _ = timeout(Duration::from_millis(100), std::future::poll_fn(|cx| socket.poll_close(cx))).await;
        }
        end
    }

    /// Counts how a connection ended.
    fn note(&self, end: &End, seat: Seat) -> Gone {
        let mut tally = self.tally.borrow_mut();
        if seat.index >= self.policy.readers {
            *tally.never_read.entry(end.of_one_who_never_read()).or_default() += 1;
            return Gone::Unwanted;
        }
        match end {
            End::Cut => Gone::Wanted,
            End::Closed { code, ours, took } => {
                *tally.closes.entry(*code).or_default() += 1;
                if let Some(took) = took {
                    tally.record(Kind::Close, *took);
                }
                if *ours { Gone::Wanted } else { Gone::Unwanted }
            }
            End::Lost(why) => {
                *tally.closes.entry(1006).or_default() += 1;
                tally.error(why);
                Gone::Unwanted
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// As the conductor wished.
    Wanted,
    /// By the server's wish, or its line was lost.
    Unwanted,
    /// It never came about.
    Failed,
}

/// Counts a task's end, however it ends.
struct Leaves(Rc<Worker>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.living.set(self.0.living.get() - 1);
    }
}
