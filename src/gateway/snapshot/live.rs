//! One route of a configuration, live.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{LiveRoute, LiveTarget, Snapshot, name_of};
use crate::admission::count::Gauge;
use crate::auth::Guard;
use crate::config::{self, BackendHead, Hold, Legacy, Pages};
use crate::filter::Service;
use crate::hub::Hub;
use crate::pool::Pool;

/// Ordinary HTTP on one route, live.
pub(in crate::gateway) struct LivePages {
    pub(in crate::gateway) pool: Arc<Pool>,
    pub(in crate::gateway) wishes: Pages,
    /// Requests under way; the same before and after a reload.
    pub(in crate::gateway) open: Gauge,
}

/// A way to backends, live.
pub(in crate::gateway) struct LiveProxy {
    pub(in crate::gateway) pool: Arc<Pool>,
    pub(in crate::gateway) legacy: Option<Legacy>,
    pub(in crate::gateway) head: BackendHead,
    pub(in crate::gateway) hold: Option<Hold>,
}

/// Who judges its clients, and what they say.
type Judges = (Option<Arc<Guard>>, Option<Arc<Service>>);

/// One route with all that was made for it; what goes on from `before` is shared with it.
pub(super) fn live(
    route: &config::Route,
    ((guard, filter), hub): (Judges, Option<Arc<Hub>>),
    pools: &BTreeMap<String, Arc<Pool>>,
    before: Option<&Snapshot>,
) -> LiveRoute {
    let target = match (&route.target, hub) {
        (config::Target::Hub(_), Some(hub)) => LiveTarget::Hub(hub),
        // A hub that could not be built is a problem, and with problems there is nothing live.
        (config::Target::Hub(_), None) => LiveTarget::Redirect("/".to_owned()),
        (config::Target::Echo, _) => LiveTarget::Echo,
        (config::Target::Redirect(to), _) => LiveTarget::Redirect(to.clone()),
        (config::Target::Pages, _) => LiveTarget::Pages,
        (config::Target::Proxy(proxy), _) => match pools.get(&proxy.pool) {
            Some(pool) => {
                let config::Proxy { legacy, hold, .. } = *proxy;
                LiveTarget::Proxy(Arc::new(LiveProxy {
                    pool: Arc::clone(pool),
                    legacy,
                    head: proxy.head.clone(),
                    hold,
                }))
            }
            // The configuration's reader has refused this already; without a pool there is nothing but 404s to give.
            None => LiveTarget::Redirect("/".to_owned()),
        },
    };
    let name = name_of(route);
    let pages = route.pages.as_ref().and_then(|wishes| {
        let known = before.and_then(|before| before.route(&name)?.pages.as_ref());
        let open = known.map(|known| known.open.clone()).unwrap_or_default();
        Some(Arc::new(LivePages { pool: Arc::clone(pools.get(&wishes.pool)?), wishes: wishes.clone(), open }))
    });
    let same = before.and_then(|before| before.same_place(&name, &route.target));
    let drained = before.and_then(|before| before.route(&name)).map(|known| Arc::clone(&known.drained));
    let (limits, drained) = (Arc::new(route.limits), drained.unwrap_or_default());
    LiveRoute { route: same.unwrap_or_else(|| Arc::new(name)), limits, guard, filter, target, drained, pages }
}

impl LiveRoute {
    /// Whether it leads to this backend, among others.
    pub(in crate::gateway) fn has(&self, backend: &str) -> bool {
        matches!(&self.target, LiveTarget::Proxy(proxy) if proxy.pool.is_drained(backend).is_some())
    }
}
