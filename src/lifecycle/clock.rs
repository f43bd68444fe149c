//! Timers for threads whose own runtime has none: they run on the clock of another one. A thread that has borrowed none
//! makes them on its own runtime.
//!
//! A runtime with a clock reads the time and looks through its timers twice for each turn of its loop, which is a tenth
//! of what a relayed message costs. Workers need timers only until a WebSocket is open.

use std::cell::RefCell;
use std::time::Duration;

use tokio::runtime::Handle;
pub(crate) use tokio::time::Instant;
use tokio::time::{Sleep, Timeout};

thread_local! {
    static LENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// From now on the timers that this thread makes run on that runtime, which must outlive their use.
pub(crate) fn borrow(from: Handle) {
    LENT.set(Some(from));
}

/// Waits until then. Cancel safe.
pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
    on_clock(|| tokio::time::sleep_until(deadline))
}

/// Waits so long. Cancel safe.
pub(crate) fn sleep(wait: Duration) -> Sleep {
    on_clock(|| tokio::time::sleep(wait))
}

/// The work, or `Err` when it is not done after `wait`; it is dropped then. As cancel safe as the work is.
pub(crate) fn timeout<F: Future>(wait: Duration, work: F) -> Timeout<F> {
    on_clock(|| tokio::time::timeout(wait, work))
}

/// The same with a point in time.
pub(crate) fn timeout_at<F: Future>(deadline: Instant, work: F) -> Timeout<F> {
    on_clock(|| tokio::time::timeout_at(deadline, work))
}

/// A timer belongs to the runtime in whose context it is made, whoever waits for it.
fn on_clock<T>(make: impl FnOnce() -> T) -> T {
    LENT.with_borrow(|lent| {
        let _context = lent.as_ref().map(Handle::enter);
        make()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    #[test]
    #[allow(clippy::disallowed_methods)] // a thread of the test's own
    fn a_thread_without_a_clock_waits_on_a_borrowed_one() {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (lend, lent) = std::sync::mpsc::channel();
        let owner = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
            lend.send(runtime.handle().clone()).expect("asked for");
            runtime.block_on(async { stopped.await.expect("told to stop") });
        });
        borrow(lent.recv().expect("lent"));
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            sleep(Duration::from_millis(1)).await;
            sleep_until(Instant::now() + Duration::from_millis(1)).await;
            timeout(Duration::from_millis(1), std::future::pending::<()>()).await.expect_err("never");
            timeout_at(Instant::now(), std::future::pending::<()>()).await.expect_err("never");
            timeout(Duration::from_secs(600), std::future::ready(())).await.expect("at once");
        });
        stop.send(()).expect("waiting");
        owner.join().expect("no panic");
    }
}
