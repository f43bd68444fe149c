//! Signals become orders, as long as the gateway runs.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::process::Child;

use tokio::signal::unix::{Signal, SignalKind, signal};
use wsgate::{Handle, Phase, Turn};

use crate::journal::Journal;
use crate::notify::Notify;
use crate::reloading;
use crate::serve::Source;
use crate::successor::{Heir, Program};

/// The signals that are listened to; from then on none of them ends the process by itself.
pub(crate) struct Signals {
    others: Others,
    /// Waits for a gateway, and then for the reload before.
    hup: Signal,
}

/// Those that wait for nothing.
struct Others {
    term: Signal,
    int: Signal,
    usr1: Signal,
    usr2: Signal,
}

/// What a signal asks for that is not to wait for a reload.
enum Order {
    Leave,
    ReopenLog,
    Upgrade,
}

/// Whom orders are given to, and who is told of them.
pub(crate) struct Office<'a> {
    pub(crate) handle: Handle,
    pub(crate) source: &'a Source,
    journal: &'a Journal,
    pub(crate) notify: Notify,
    program: Program,
    /// The program that takes this one's place.
    pub(crate) heir: Cell<Option<Heir>>,
    child: RefCell<Option<Child>>,
    /// A signal has ended the service, and not an upgrade.
    is_told_to_leave: Cell<bool>,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn listen() -> io::Result<Self> {
        let [term, int, usr1, usr2, hup] = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::hangup(),
        ]
        .map(signal);
        Ok(Self { others: Others { term: term?, int: int?, usr1: usr1?, usr2: usr2? }, hup: hup? })
    }

    /// Waits until the process is to end; upgrades have to wait for a gateway. Cancel safe.
    pub(crate) async fn leave(&mut self, journal: &Journal) {
        loop {
            match self.others.next().await {
                Order::Leave => return,
                Order::ReopenLog => journal.reopen(),
                Order::Upgrade => {}
            }
        }
    }
}

impl Others {
    /// Cancel safe.
    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.term.recv() => Order::Leave,
            _ = self.int.recv() => Order::Leave,
            _ = self.usr1.recv() => Order::ReopenLog,
            _ = self.usr2.recv() => Order::Upgrade,
        }
    }
}

type Outcome = Result<(Heir, Option<Child>), String>;
type Upgrade<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

impl<'a> Office<'a> {
    pub(crate) fn new(handle: Handle, (source, journal): (&'a Source, &'a Journal), program: Program) -> Self {
        let (heir, child, is_told_to_leave) = (Cell::default(), RefCell::default(), Cell::default());
        Self { handle, source, journal, notify: Notify::from_env(), program, heir, child, is_told_to_leave }
    }

    /// The drain is over: whoever has waited for that is the service now. Whether there is somebody, or is to be nobody.
    pub(crate) fn leave_to_heir(&self) -> bool {
        let Some(heir) = self.heir.get() else { return true };
        let ended = self.child.borrow_mut().as_mut().and_then(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended.filter(|status| !status.success()) {
            if self.is_told_to_leave.get() {
                return true;
            }
            tracing::error!(pid = heir.pid, %status, "the new process has ended: nobody serves any more");
            return false;
        }
        self.notify.main_process(heir.pid);
        true
    }

    /// Never ends.
    pub(crate) async fn obey(&self, signals: Signals) -> u8 {
        let Signals { others, hup } = signals;
        tokio::select! {
            code = self.reload_at(hup) => code,
            code = self.obey_others(others) => code,
        }
    }

    async fn obey_others(&self, mut signals: Others) -> u8 {
        let mut upgrade: Option<Upgrade<'_>> = None;
        let mut is_told_to_leave = false;
        loop {
            let outcome = async {
                match &mut upgrade {
                    Some(upgrade) => upgrade.await,
                    None => pending().await,
                }
            };
            let order = tokio::select! {
                order = signals.next() => order,
                outcome = outcome => {
                    upgrade = None;
                    self.conclude(outcome);
                    continue;
                }
            };
            match order {
                Order::Leave => {
                    self.is_told_to_leave.set(true);
                    // One that has been started and does not serve yet ends with this.
                    upgrade = None;
                    self.leave(is_told_to_leave);
                    is_told_to_leave = true;
                }
                Order::ReopenLog => self.journal.reopen(),
                Order::Upgrade if upgrade.is_some() || self.handle.phase() != Phase::Running => {
                    tracing::warn!(phase = %self.handle.phase(), "upgrade: not now, one is under way or this one leaves");
                }
                Order::Upgrade => {
                    self.notify.status("upgrading");
                    upgrade = Some(Box::pin(self.program.start(&self.handle, |heir| self.tell_manager(heir))));
                }
            }
        }
    }

    fn leave(&self, again: bool) {
        if self.heir.get().is_some() && !again {
            // A service manager that stops the service tells all of its processes.
            tracing::info!("this one leaves already, another serves; a second signal ends at once");
            return;
        }
        if self.handle.phase() < Phase::Draining {
            tracing::info!("draining: no new connections, the open ones are sent home; a second signal ends at once");
        } else {
            tracing::info!("a second signal: ending at once");
        }
        self.handle.drain();
    }

    /// Each SIGHUP is a reload; those that come while one is under way are one more together. Never ends.
    async fn reload_at(&self, mut hup: Signal) -> u8 {
        loop {
            hup.recv().await;
            self.notify.reloading();
            let is_taken_up = reloading::reread(&self.handle).await;
            self.notify.ready(match (self.handle.phase(), is_taken_up) {
                (phase, _) if phase > Phase::Running => "draining",
                (_, true) => "serving",
                (_, false) => "serving; the last reload was refused, see the log",
            });
        }
    }

    /// The manager must know before the other one speaks.
    fn tell_manager(&self, heir: Heir) {
        self.heir.set(Some(heir));
        match heir.turn {
            Turn::Together => self.notify.main_process(heir.pid),
            Turn::After => self.notify.status("draining, before the upgraded one may begin"),
        }
    }

    fn conclude(&self, outcome: Outcome) {
        let outcome = outcome.map(|(heir, child)| {
            self.child.replace(child);
            heir
        });
        match outcome {
            Ok(Heir { pid, turn: Turn::Together }) => {
                tracing::info!(pid, "upgraded: the new process serves, this one sends its connections home and ends");
            }
            Ok(Heir { pid, turn: Turn::After }) => tracing::info!(
                pid,
                "upgraded: the new process begins when this one has sent its connections home and ended; whoever \
                 connects waits until then"
            ),
            Err(why) => {
                tracing::error!(why, "NOT UPGRADED: the new process could not start, this one goes on serving");
                self.notify.status("serving; the last upgrade failed, see the log");
            }
        }
    }
}
