//! Something that many wait for, and that has happened once and for all.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Closed at first; once it is open, it stays so.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    is_open: AtomicBool,
    opened: Notify,
}

impl Latch {
    /// Nobody has to wait any more.
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    /// Waits until it is open. Cancel safe.
    pub(in crate::hub) async fn wait(&self) {
        loop {
            let opened = self.opened.notified();
            if self.is_open.load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_opened_once_for_all() {
        let latch = Latch::default();
        let both = futures_pair(&latch);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(60), both).await.is_ok());
        latch.wait().await;
    }

    async fn futures_pair(latch: &Latch) {
        tokio::join!(latch.wait(), latch.wait(), async { latch.open() });
    }
}
