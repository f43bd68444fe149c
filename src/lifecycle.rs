//! The gateway's life as named phases, and who is still here. The only place that spawns tasks.

pub(crate) mod clock;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::sync::{Notify, watch};

/// Where the gateway stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Listeners are bound, nobody is served yet.
    Starting,
    /// Serving.
    Running,
    /// Somebody else has the listeners and serves whoever comes; those who have come are still let in.
    Leaving,
    /// No new connections; the open ones are sent home.
    Draining,
    /// Nobody is here any more.
    Stopped,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        })
    }
}

/// The phase, for all who watch it.
#[derive(Clone, Debug)]
pub(crate) struct Life(watch::Sender<Phase>);

impl Default for Life {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }
}

impl Life {
    /// Where it stands now.
    #[must_use]
    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Steps forward; a step back is no step.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let forward = (phase as u8) > (*now as u8);
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// Waits until this phase or a later one. Cancel safe.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut watch = self.0.subscribe();
        // The sender is alive in `self`, so the wait can only end with the phase.
        let _ = watch.wait_for(|now| (*now as u8) >= (phase as u8)).await;
    }
}

/// The tasks of one worker: all are spawned here, so that a drain can wait for the last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Rc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: Cell<usize>,
    idle: Notify,
}

struct Ticket(Rc<Count>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        if self.0.running.get() == 0 {
            self.0.idle.notify_waiters();
        }
    }
}

/// A task, and that it is counted: until everything that it held is dropped, be it by a panic.
struct Counted<F> {
    task: F,
    _ticket: Ticket,
}

impl<F: Future<Output = ()> + Unpin> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().task).poll(cx)
    }
}

impl Tasks {
    /// Starts a task on this thread. A panic in it ends that task alone.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.run(Box::pin(task));
    }

    /// The same for a future that may be moved: it becomes the task as it is, with no box and no layer around it.
    #[allow(clippy::disallowed_methods)] // the one place
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Unpin + 'static) {
        self.0.running.set(self.0.running.get() + 1);
        tokio::task::spawn_local(Counted { task, _ticket: Ticket(Rc::clone(&self.0)) });
    }

    /// Tasks that have not ended.
    #[must_use]
    pub(crate) fn running(&self) -> usize {
        self.0.running.get()
    }

    /// Waits until no task runs. Cancel safe.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.0.idle.notified();
            if self.running() == 0 {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let life = Life::default();
        life.enter(Phase::Draining);
        life.enter(Phase::Running);
        assert_eq!(life.phase(), Phase::Draining);
    }

    #[tokio::test]
    async fn a_task_that_hands_on_to_another_leaves_no_moment_without_any() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let (tasks, end) = (Tasks::default(), Rc::new(Cell::new(0)));
                let (next, marked) = (tasks.clone(), Rc::clone(&end));
                tasks.spawn(async move {
                    next.run(Box::pin(async move {
                        tokio::task::yield_now().await;
                        marked.set(marked.get() + 1);
                    }));
                });
                tasks.idle().await;
                assert_eq!(end.get(), 1);
            })
            .await;
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_task_alone_and_what_it_held_is_given_back() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let (tasks, permit) = (Tasks::default(), Rc::new(()));
                let (ask, mut asked) = tokio::sync::mpsc::channel(1);
                let (answer, mut answers) = tokio::sync::mpsc::channel(1);
                tasks.spawn(async move {
                    while let Some(question) = asked.recv().await {
                        answer.send(question).await.expect("waited for");
                    }
                });
                for round in 0..3 {
                    let (first, second) = (Rc::clone(&permit), Rc::clone(&permit));
                    tasks.spawn(async move {
                        let _held = first;
                        tokio::task::yield_now().await;
                        panic!("on purpose");
                    });
                    tasks.run(Box::pin(async move {
                        let _held = second;
                        panic!("on purpose");
                    }));
                    while tasks.running() > 1 {
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(Rc::strong_count(&permit), 1);
                    ask.send(round).await.expect("there");
                    assert_eq!(answers.recv().await, Some(round));
                }
            })
            .await;
    }

    #[tokio::test]
    async fn idle_waits_for_the_last_task_even_after_a_panic() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let tasks = Tasks::default();
                let (done, wait) = tokio::sync::oneshot::channel::<()>();
                tasks.spawn(async move {
                    let _ = wait.await;
                });
                tasks.spawn(async { panic!("on purpose") });
                drop(done);
                tasks.idle().await;
                assert_eq!(tasks.running(), 0);
            })
            .await;
    }
}
