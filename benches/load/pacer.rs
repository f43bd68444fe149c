//! Wakes tasks at the microsecond: one kernel timer for each thread, where the runtime's own knows only milliseconds.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::plan::Micros;

/// Time since the run's epoch, and alarms.
pub(crate) struct Pacer {
    epoch: Instant,
    timer: AsyncFd<OwnedFd>,
    alarms: RefCell<Alarms>,
}

#[derive(Default)]
struct Alarms {
    due: BinaryHeap<Reverse<(Micros, u64)>>,
    wakers: std::collections::HashMap<u64, Waker>,
    last: u64,
}

impl Pacer {
    /// A clock with its alarms; [`Pacer::run`] must run beside those who wait.
    pub(crate) fn new(epoch: Instant) -> io::Result<Rc<Self>> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // Deprecated for types whose descriptor may change while it is registered; that of an OwnedFd does not.
        #[allow(deprecated)]
        let timer = AsyncFd::new(timer)?;
        Ok(Rc::new(Self { epoch, timer, alarms: RefCell::default() }))
    }

    /// Now.
    pub(crate) fn now(&self) -> Micros {
        self.epoch.elapsed().as_micros() as Micros
    }

    /// An instant on this clock.
    pub(crate) fn at(&self, instant: Instant) -> Micros {
        instant.saturating_duration_since(self.epoch).as_micros() as Micros
    }

    /// Wakes at this time, once.
    pub(crate) fn wake_at(&self, due: Micros, waker: Waker) {
        let mut alarms = self.alarms.borrow_mut();
        alarms.last += 1;
        let id = alarms.last;
        let earliest = alarms.due.peek().is_none_or(|Reverse((first, _))| due < *first);
        alarms.due.push(Reverse((due, id)));
        alarms.wakers.insert(id, waker);
        if earliest {
            self.arm(due);
        }
    }

    /// Waits until this time. Cancel safe.
    pub(crate) async fn until(&self, due: Micros) {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            if self.now() >= due {
                return Poll::Ready(());
            }
            if !asked {
                asked = true;
                self.wake_at(due, cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Wakes those whose time has come, for ever.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            if let Ok(mut ready) = self.timer.readable().await {
                ready.clear_ready();
            }
            let now = self.now();
            let mut alarms = self.alarms.borrow_mut();
            while let Some(Reverse((due, id))) = alarms.due.peek().copied() {
                if due > now {
                    self.arm(due);
                    break;
                }
                alarms.due.pop();
                if let Some(waker) = alarms.wakers.remove(&id) {
                    waker.wake();
                }
            }
        }
    }

    /// Setting the timer also takes back that it is readable, so that nothing need be read from it.
    fn arm(&self, due: Micros) {
        let left = due.saturating_sub(self.now()).max(1);
        let value = Timespec { tv_sec: (left / 1_000_000) as i64, tv_nsec: ((left % 1_000_000) * 1000) as _ };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let _ = timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once);
    }
}
