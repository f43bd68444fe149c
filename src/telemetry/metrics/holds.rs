//! How many clients were kept while their backend restarted, and how that went.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::shown::show;
use super::{Labels, label};

/// Clients that are held while their backend restarts, by pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds {
    begun: Family<Labels, Counter>,
    ended: Family<Labels, Counter>,
    replayed: Family<Labels, Counter>,
}

impl Holds {
    /// One is held.
    pub(crate) fn begin(&self, pool: &str) {
        self.begun.get_or_create(&label("pool", pool)).inc();
    }

    /// One is held no longer; how that came, in one word.
    pub(crate) fn end(&self, pool: &str, how: &'static str) {
        self.ended.get_or_create(&vec![("pool", pool.to_owned()), ("how", how.to_owned())]).inc();
    }

    /// One of its first messages was sent again.
    pub(crate) fn replay(&self, pool: &str) {
        self.replayed.get_or_create(&label("pool", pool)).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Clients that were held because their backend had died, by pool";
        show(registry, "holds", help, &self.begun);
        show(registry, "holds_ended", "Clients that are held no longer, by pool and how", &self.ended);
        let help = "First messages of clients that a backend got again, by pool";
        show(registry, "replayed_messages", help, &self.replayed);
    }
}
