//! The time without a backend: it is found out whether it has died, and where the client is held, another one is waited
//! for. Whatever the client does meanwhile goes its way.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Leg;
use super::hold::Return;
use crate::pool::{Dialled, NotBack};
use crate::wire::tunnel::{Lost, Side};

/// From the end of a backend's connection to whatever comes of it.
pub(super) struct Absence {
    /// How it ended, for the log.
    how: String,
    /// Whether it was reset.
    is_reset: bool,
    /// Whether the client is held.
    pub(super) holds: bool,
    wait: Wait,
}

/// What is waited for.
enum Wait {
    /// Whether the backend has died.
    Verdict(Pin<Box<dyn Future<Output = bool>>>),
    /// Another one.
    Return(Return),
}

/// What has come of it.
enum News {
    Verdict(bool),
    Return(u32, Result<Dialled, NotBack>),
}

impl Absence {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        match &mut self.wait {
            Wait::Verdict(verdict) => verdict.as_mut().poll(cx).map(News::Verdict),
            Wait::Return(back) => back.as_mut().poll(cx).map(|(attempts, back)| News::Return(attempts, back)),
        }
    }
}

impl Leg {
    /// The backend's connection is gone, without a Close from either side.
    pub(super) fn backend_lost(&mut self, cx: &mut Context<'_>, how: String, is_reset: bool) {
        let broken = self.take_broken();
        let is_reset = is_reset || broken == Some(ErrorKind::ConnectionReset);
        self.note_backend_ended(is_reset || broken.is_some());
        let Some(shield) = &mut self.shield else {
            return self.tell(cx, |tunnel, wires| tunnel.on_end(Side::Backend, how, wires));
        };
        let hold = shield.hold.as_ref().filter(|hold| !self.tunnel.is_ending() && hold.is_possible());
        let at_any_end = hold.is_some_and(|hold| hold.at_any_end());
        let holds = hold.is_some() && self.tunnel.forget_backend();
        let lease = self.lease.as_ref().filter(|_| !self.tunnel.is_ending());
        let (Some(lease), true) = (lease, holds || !is_reset) else {
            let lost = if is_reset { Lost::Died } else { Lost::Ended };
            return self.tell(cx, |tunnel, wires| tunnel.on_lost(lost, how, wires));
        };
        let verdict: Pin<Box<dyn Future<Output = bool>>> = match holds && at_any_end {
            true => Box::pin(std::future::ready(true)),
            false => Box::pin(lease.has_died(shield.listener())),
        };
        shield.absence = Some(Box::new(Absence { how, is_reset, holds, wait: Wait::Verdict(verdict) }));
        self.poll_absence(cx);
    }

    /// What has come of the absence, if there is one.
    pub(super) fn poll_absence(&mut self, cx: &mut Context<'_>) {
        while let Some(shield) = &mut self.shield
            && let Some(absence) = &mut shield.absence
        {
            if self.tunnel.is_ending() {
                return self.end_absence("left");
            }
            // Whether it has died comes first: who lives on is not to be called dead.
            let is_held = matches!(absence.wait, Wait::Return(_));
            if is_held && shield.hold.as_ref().is_some_and(|hold| hold.is_full()) {
                return self.give_up(cx, Lost::QueueFull, "queue", "more was said than may wait");
            }
            match absence.poll(cx) {
                Poll::Pending => return,
                Poll::Ready(News::Verdict(true)) if absence.holds => self.wait_for_return(cx),
                Poll::Ready(News::Verdict(has_died)) => {
                    let lost = if has_died || absence.is_reset { Lost::Died } else { Lost::Ended };
                    let how = std::mem::take(&mut absence.how);
                    self.end_absence("");
                    return self.tell(cx, |tunnel, wires| tunnel.on_lost(lost, how, wires));
                }
                Poll::Ready(News::Return(attempts, Ok(dialled))) => return self.rejoin(attempts, dialled),
                Poll::Ready(News::Return(_, Err(NotBack::InTime))) => {
                    return self.give_up(cx, Lost::NotBack, "time", "none was back in time");
                }
                Poll::Ready(News::Return(_, Err(NotBack::Refused(why)))) => {
                    return self.give_up(cx, Lost::Refused, "refused", &why);
                }
            }
        }
    }

    /// The backend has died: its place is free for whoever comes first, and the client waits for another.
    fn wait_for_return(&mut self, cx: &mut Context<'_>) {
        let Some(shield) = &mut self.shield else { return };
        let (Some(hold), Some(absence)) = (&mut shield.hold, &mut shield.absence) else { return };
        absence.wait = Wait::Return(hold.begin(self.lease.take().as_ref().map_or("", |lease| lease.backend())));
        // Our direction ends as well; there is nobody who could say more.
        let _ = self.backend.poll_linger(cx);
    }

    /// There is a backend again: it gets what the first one got, and then what has waited.
    fn rejoin(&mut self, attempts: u32, dialled: Dialled) {
        let Dialled { socket, lease, .. } = dialled;
        if let Some(shield) = &mut self.shield {
            shield.absence = None;
            shield.rejoin(attempts, (&socket, &lease));
        }
        (self.backend, self.lease, self.backend_ended) = (socket, Some(lease), false);
    }

    fn give_up(&mut self, cx: &mut Context<'_>, lost: Lost, word: &'static str, why: &str) {
        let absence = self.shield.as_ref().and_then(|shield| shield.absence.as_ref());
        let how = absence.map_or_else(String::new, |absence| format!("{}, and {why}", absence.how));
        self.end_absence(word);
        self.tell(cx, |tunnel, wires| tunnel.on_lost(lost, how, wires));
    }

    /// Nobody is waited for any more; `how` the wait has ended, in one word.
    pub(super) fn end_absence(&mut self, how: &'static str) {
        let Some(shield) = &mut self.shield else { return };
        let Some(absence) = shield.absence.take() else { return };
        let Some(hold) = &mut shield.hold else { return };
        if let Wait::Return(_) = absence.wait {
            hold.end(how);
        }
        hold.forget();
    }
}
