//! One thread of the generator: one task for each connection, and one loop whose policy is a value.

mod living;
mod opening;
mod spent;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::runtime::{Builder, LocalOptions};
use wsgate::client::dial::{Place, Tls};

use self::spent::Spent;
use super::control::Control;
use super::pacer::Pacer;
use super::plan::Micros;
use super::policy::Policy;
use super::tally::{Tally, Tick};
use super::template::{Speaker, Template};

/// Whom to measure.
pub(crate) struct Aim {
    /// The URL: that of each room, or the one of all.
    pub(crate) places: Vec<Place>,
    pub(crate) address: SocketAddr,
    /// TLS, and the name that is asked for; absent: plain.
    pub(crate) tls: Option<(Handshakes, ServerName<'static>)>,
    pub(crate) headers: Vec<String>,
    pub(crate) subprotocols: Vec<String>,
    /// Local addresses, used in turn; empty: the kernel chooses.
    pub(crate) sources: Vec<IpAddr>,
    /// The longest that opening one connection may take.
    pub(crate) patience: Duration,
}

/// TLS with full handshakes and TLS that resumes.
pub(crate) struct Handshakes {
    pub(crate) full: Tls,
    /// Several, each with its own tickets, used in turn: a store of tickets keeps only a few, and each is used once.
    pub(crate) resumed: Vec<Tls>,
}

/// The state of one thread.
pub(crate) struct Worker {
    pub(crate) pacer: Rc<Pacer>,
    pub(crate) control: Arc<Control>,
    pub(crate) policy: Policy,
    pub(crate) tally: RefCell<Tally>,
    pub(crate) template: RefCell<Template>,
    aim: Arc<Aim>,
    wakers: RefCell<Vec<Option<Waker>>>,
    next_open: Cell<Micros>,
    living: Cell<usize>,
}

/// One connection's place: its slot in the thread and its index in the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) slot: usize,
    pub(crate) index: usize,
}

/// What a thread needs to begin.
pub(crate) struct Begin {
    pub(crate) epoch: Instant,
    pub(crate) control: Arc<Control>,
    pub(crate) policy: Policy,
    pub(crate) aim: Arc<Aim>,
    /// The indices of its connections.
    pub(crate) indices: Vec<usize>,
    pub(crate) ticks: Sender<Tick>,
}

/// Runs a thread's connections until the conductor has sent everybody home.
pub(crate) fn run(begin: Begin) -> io::Result<Tally> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let worker = runtime.block_on(async move {
        let worker = Rc::new(Worker {
            pacer: Pacer::new(begin.epoch)?,
            control: begin.control,
            tally: RefCell::new(Tally::new()),
            template: RefCell::new(Template::new(&begin.policy)),
            policy: begin.policy,
            aim: begin.aim,
            wakers: RefCell::new(vec![None; begin.indices.len()]),
            next_open: Cell::new(0),
            living: Cell::new(begin.indices.len()),
        });
        tokio::task::spawn_local(Rc::clone(&worker.pacer).run());
        tokio::task::spawn_local(Rc::clone(&worker).pass_on_news());
        for (slot, index) in begin.indices.into_iter().enumerate() {
            tokio::task::spawn_local(Rc::clone(&worker).live(Seat { slot, index }));
        }
        Rc::clone(&worker).keep_time(begin.ticks).await;
        io::Result::Ok(worker)
    })?;
    drop(runtime);
    Ok(worker.tally.replace(Tally::new()))
}

impl Worker {
    /// Remembers whom to wake when orders change.
    pub(crate) fn register(&self, seat: Seat, cx: &Context<'_>) {
        let mut wakers = self.wakers.borrow_mut();
        if !wakers[seat.slot].as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            wakers[seat.slot] = Some(cx.waker().clone());
        }
    }

    async fn pass_on_news(self: Rc<Self>) {
        let mut news = self.control.news();
        while news.changed().await.is_ok() {
            for waker in self.wakers.borrow().iter().flatten() {
                waker.wake_by_ref();
            }
        }
    }

    /// Every 10 ms: how late are we? Every second: what was counted goes to the conductor. Returns when all
    /// connections have gone home.
    async fn keep_time(self: Rc<Self>, ticks: Sender<Tick>) {
        const BEAT: Micros = 10_000;
        let (mut due, mut measuring, mut spent) = (self.pacer.now() + BEAT, false, Spent::now());
        loop {
            self.pacer.until(due).await;
            let now = self.pacer.now();
            let lag = now - due;
            due = now.max(due + BEAT);
            let mut tally = self.tally.borrow_mut();
            if self.control.measuring() {
                if !measuring {
                    measuring = true;
                    spent = Spent::now();
                    tally.second = Tick::new(0);
                }
                tally.lag.saturating_record(lag.max(1));
                tally.second.lag_max = tally.second.lag_max.max(lag);
            }
            let at = (now.saturating_sub(self.control.since()) / 1_000_000) as u32;
            if measuring && (at > tally.second.at || !self.control.measuring()) {
                let next = Spent::now();
                tally.cpu_seconds += next.cpu - spent.cpu;
                tally.waited_seconds += next.waited - spent.waited;
                tally.second.cpu = next.cpu - spent.cpu;
                spent = next;
                let _ = ticks.send(std::mem::replace(&mut tally.second, Tick::new(at)));
                measuring = self.control.measuring();
            }
            if self.control.quit() && self.living.get() == 0 {
                return;
            }
        }
    }

    /// Who this connection is in a chat.
    pub(crate) fn speaker(&self, seat: Seat) -> Speaker {
        Speaker { room: seat.index % self.policy.rooms, member: seat.index }
    }

    pub(crate) fn is_wanted_now(&self, seat: Seat) -> bool {
        seat.index < self.control.target() && !self.control.quit()
    }

    /// Waits until this connection is to be open; `false`: it never will be again.
    async fn is_wanted(&self, seat: Seat) -> bool {
        std::future::poll_fn(|cx| {
            if self.control.quit() {
                return std::task::Poll::Ready(false);
            }
            if self.is_wanted_now(seat) {
                return std::task::Poll::Ready(true);
            }
            self.register(seat, cx);
            std::task::Poll::Pending
        })
        .await
    }
}
