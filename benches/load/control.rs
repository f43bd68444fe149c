//! What the conductor tells the threads, and what they tell it at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::watch;

use super::plan::Micros;

/// Orders that hold for all threads. After a change [`Control::announce`] wakes everybody.
pub(crate) struct Control {
    /// Connections with an index below it are to be open.
    target: AtomicUsize,
    /// Connections that were opened under an earlier count are cut.
    generation: AtomicUsize,
    cut_at: AtomicU64,
    /// Random wait before a connection is opened again, at most.
    jitter: AtomicU64,
    /// Between two openings of one thread; 0: as fast as it can.
    pace: AtomicU64,
    /// Messages are sent that are due from the first to before the second.
    from: AtomicU64,
    until: AtomicU64,
    /// When measuring began.
    since: AtomicU64,
    /// Messages that are due from here on are of the second part.
    parted: AtomicU64,
    measuring: AtomicBool,
    resume: AtomicBool,
    quit: AtomicBool,
    open: AtomicUsize,
    ever: AtomicUsize,
    joined: AtomicUsize,
    delivered: AtomicUsize,
    failed: AtomicUsize,
    news: watch::Sender<u64>,
}

macro_rules! order {
    ($($(#[$doc:meta])* $name:ident, $set:ident: $kind:ty;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name(&self) -> $kind {
                self.$name.load(Relaxed)
            }

            /// Changes it.
            pub(crate) fn $set(&self, value: $kind) {
                self.$name.store(value, Relaxed);
            }
        )*
    };
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            target: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            cut_at: AtomicU64::new(0),
            jitter: AtomicU64::new(0),
            pace: AtomicU64::new(0),
            from: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(u64::MAX),
            since: AtomicU64::new(0),
            parted: AtomicU64::new(u64::MAX),
            measuring: AtomicBool::new(false),
            resume: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            ever: AtomicUsize::new(0),
            joined: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            news: watch::Sender::new(0),
        }
    }

    order! {
        /// How many connections are to be open.
        target, set_target: usize;
        /// How often everybody was cut.
        generation, set_generation: usize;
        /// When everybody was cut last.
        cut_at, set_cut_at: Micros;
        /// The longest random wait before a connection is opened again.
        jitter, set_jitter: Micros;
        /// Between two openings of one thread.
        pace, set_pace: Micros;
        /// Messages are sent from here on.
        from, set_from: Micros;
        /// Messages that are due from here on are not sent.
        until, set_until: Micros;
        /// When measuring began.
        since, set_since: Micros;
        /// What is due from here on is of the second part.
        parted, set_parted: Micros;
        /// Whether what happens counts.
        measuring, set_measuring: bool;
        /// Whether TLS sessions are resumed.
        resume, set_resume: bool;
        /// Whether everybody goes home.
        quit, set_quit: bool;
    }

    /// Wakes every connection, so that it looks at its orders.
    pub(crate) fn announce(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// For the threads: tells when orders have changed.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Connections that are members by now.
    pub(crate) fn joined(&self) -> usize {
        self.joined.load(Relaxed)
    }

    /// One more is.
    pub(crate) fn join(&self) {
        self.joined.fetch_add(1, Relaxed);
    }

    /// Messages of this run that came.
    pub(crate) fn delivered(&self) -> usize {
        self.delivered.load(Relaxed)
    }

    /// One more came.
    pub(crate) fn deliver(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    /// Connections that were ever opened.
    pub(crate) fn ever(&self) -> usize {
        self.ever.load(Relaxed)
    }

    /// Connections that could not be opened, or were lost, and are not tried again.
    pub(crate) fn failed(&self) -> usize {
        self.failed.load(Relaxed)
    }

    /// One more is open.
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
        self.ever.fetch_add(1, Relaxed);
    }

    /// One less is open.
    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// One more has failed for good.
    pub(crate) fn gave_up(&self) {
        self.failed.fetch_add(1, Relaxed);
    }
}
