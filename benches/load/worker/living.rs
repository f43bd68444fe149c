//! One connection's life: it comes, talks, goes and comes again, as long as the conductor wants it.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;
use wsgate::client::Socket;

use super::super::policy::Again;
use super::super::talk::{End, Talk};
use super::super::tally::Kind;
use super::{Seat, Worker};

impl Worker {
    pub(super) async fn live(self: Rc<Self>, seat: Seat) {
        let _leaves = Leaves(Rc::clone(&self));
        let mut generation = 0;
        while self.is_wanted(seat).await {
            self.take_turn(generation).await;
            if !self.is_wanted_now(seat) {
                continue;
            }
            let now = self.control.generation();
            let has_gone = match timeout(self.aim.patience, self.open(seat)).await {
                Ok(Some(socket)) => {
                    self.note_open(generation, now);
                    self.control.opened();
                    let end = self.talk(socket, seat, now).await;
                    self.control.closed();
                    generation = now;
                    self.note(&end, seat)
                }
                Ok(None) => Gone::Unwanted,
                Err(_) => {
                    self.tally.borrow_mut().error("timed out while opening");
                    Gone::Unwanted
                }
            };
            if has_gone == Gone::Unwanted {
                if self.policy.again == Again::Never {
                    self.control.gave_up();
                    return;
                }
                self.pacer.until(self.pacer.now() + 100_000).await;
            }
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

    async fn talk(&self, socket: Socket, seat: Seat, generation: usize) -> End {
        let mut socket = socket;
        let mut talk = Talk::new(self, seat, generation);
        let end = std::future::poll_fn(|cx| talk.poll(cx, &mut socket)).await;
        self.tally.borrow_mut().heard.push((seat.index, talk.heard()));
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
    /// By failure, or by the server's wish.
    Unwanted,
}

/// Counts a task's end, however it ends.
struct Leaves(Rc<Worker>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.living.set(self.0.living.get() - 1);
    }
}
