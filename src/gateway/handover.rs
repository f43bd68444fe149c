//! How a gateway leaves its listeners to the next one, and how it is known that it is alive.

use std::io;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::oneshot;

use super::listeners::Inherited;
use super::worker::Worker;
use super::{Handle, Shared};
use crate::config::{Config, HistoryStore, Target};
use crate::lifecycle::{Phase, clock};

/// How often it is looked whether those at the door have come in.
const LOOK: Duration = Duration::from_millis(20);

/// When the next program may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// While the one before sends its connections home.
    Together,
    /// When the one before has ended: what they have can belong to one alone.
    After,
}

impl Turn {
    /// What this configuration asks for: a chat history in a file is open in one process, and other gateways know a node
    /// by its name.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let keeps = |target: &Target| matches!(target, Target::Hub(hub) if hub.history_store != HistoryStore::Memory);
        let is_named = config.cluster.as_ref().is_some_and(|cluster| cluster.node.is_some());
        if is_named || config.routes.iter().any(|route| keeps(&route.target)) { Self::After } else { Self::Together }
    }
}

impl Handle {
    /// A second descriptor of each listener, for a gateway that is to take them over. All go on being served here.
    ///
    /// # Errors
    /// When there are no descriptors left, or a listener has been closed: a gateway that drains has none.
    pub fn listeners(&self) -> io::Result<Vec<Inherited>> {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "a listener has been closed");
        self.doors.iter().map(|door| door.upgrade().ok_or_else(gone)?.pass_on()).collect()
    }

    /// Somebody else serves the listeners from now on. Those of these places in [`Handle::listeners`] have been taken over:
    /// the files of their sockets stay; the others are closed for good. Whoever was accepted before is let in, for as long
    /// as a handshake may take; then the drain begins.
    pub fn hand_over(&self, taken: &[usize]) {
        let left = self.doors.iter().enumerate().filter(|(place, _)| taken.contains(place));
        left.filter_map(|(_, door)| door.upgrade()).for_each(|bound| bound.leave());
        self.shared.life.enter(Phase::Leaving);
    }

    /// Waits until every worker has answered: for ever where one hangs, is gone, or there is none yet. Cancel safe.
    pub async fn answered(&self) {
        let crew = self.shared.crew.get().and_then(Weak::upgrade);
        let asked: Vec<_> = crew.iter().flat_map(|crew| crew.iter()).map(Worker::pulse).collect();
        // Not held while it waits: a worker ends with its last owner.
        drop(crew);
        all_alive(asked).await;
    }

    /// How long the next program may take to be ready, by the configuration in force.
    #[must_use]
    pub fn upgrade_timeout(&self) -> Duration {
        self.shared.snapshot.load().config.upgrade_timeout
    }
}

async fn all_alive(asked: Vec<oneshot::Receiver<()>>) {
    let mut is_alive = !asked.is_empty();
    for answer in asked {
        is_alive &= answer.await.is_ok();
    }
    if !is_alive {
        std::future::pending().await
    }
}

/// Waits for the drain. It begins by itself after [`Handle::hand_over`], as soon as nobody stands at the door any more.
pub(super) async fn last_in(shared: &Shared) {
    shared.life.reached(Phase::Leaving).await;
    let patience = shared.snapshot.load().config.handshake_timeout;
    let all_in = async {
        while shared.snapshot.load().gate.pending() > 0 {
            clock::sleep(LOOK).await;
        }
    };
    tokio::select! {
        _ = clock::timeout(patience, all_in) => {}
        () = shared.life.reached(Phase::Draining) => {}
    }
    shared.life.enter(Phase::Draining);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_worker_that_hangs_or_is_gone_is_no_sign_of_life() {
        let long = Duration::from_secs(3600);
        let answered = |answers: Vec<oneshot::Receiver<()>>| clock::timeout(long, all_alive(answers));
        let ask = || oneshot::channel::<()>();
        let ((one, first), (other, second), (gone, third)) = (ask(), ask(), ask());
        one.send(()).expect("waited for");
        answered(vec![first]).await.expect("all have answered");
        drop(gone);
        answered(vec![third]).await.expect_err("nobody answers any more");
        let ((one, first), third) = (ask(), ask().1);
        one.send(()).expect("waited for");
        answered(vec![first, third]).await.expect_err("one is gone");
        let (one, first) = ask();
        one.send(()).expect("waited for");
        answered(vec![first, second]).await.expect_err("one hangs");
        drop(other);
        answered(Vec::new()).await.expect_err("nobody is there");
    }
}
