//! Ways that are gone while somebody who came by them is still there: when one comes back, who was not told yet may stay.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::{LiveRoute, Snapshot};
use crate::config::Target;
use crate::pool::Pool;
use crate::telemetry::metrics::Route;

type Pools = BTreeMap<String, Arc<Pool>>;

/// A route as it was.
pub(super) struct Departed {
    /// Held by those who came by it, and by nobody else.
    route: Weak<Route>,
    target: Target,
}

/// Those that are not among the routes any more, as long as anybody holds them. A hub that is gone is another one when it
/// comes back, with other rooms; and so is a pool, which counts nobody who is at the old one.
pub(super) fn departed(before: Option<&Snapshot>, routes: &[LiveRoute], pools: &Pools) -> Vec<Departed> {
    let Some(before) = before else { return Vec::new() };
    let goes_on = |route: &Arc<Route>| routes.iter().any(|next| Arc::ptr_eq(&next.route, route));
    let gone = before.routes.iter().zip(&before.config.routes).filter(|(live, _)| !goes_on(&live.route));
    let gone = gone.map(|(live, wishes)| (Arc::downgrade(&live.route), &wishes.target));
    let earlier = before.departed.iter().map(|departed| (Weak::clone(&departed.route), &departed.target));
    let here = earlier.filter(|(route, _)| route.upgrade().is_some_and(|route| !goes_on(&route)));
    let is_there = |target: &Target| match target {
        Target::Echo => true,
        Target::Proxy(proxy) => pools.contains_key(&proxy.pool),
        Target::Hub(_) | Target::Redirect(_) | Target::Pages => false,
    };
    here.chain(gone)
        .filter(|(_, target)| is_there(target))
        .map(|(route, target)| Departed { route, target: target.clone() })
        .collect()
}

impl Snapshot {
    /// The route of this name, if one led to this place, be it some time ago: who came by it is still where it leads.
    pub(super) fn same_place(&self, name: &Route, target: &Target) -> Option<Arc<Route>> {
        let now = self.routes.iter().zip(&self.config.routes).map(|(live, wishes)| (&live.route, &wishes.target));
        let now = now.filter(|(route, _)| ***route == *name).map(|(route, target)| (Arc::clone(route), target));
        let before = self.departed.iter().filter_map(|one| Some((one.route.upgrade()?, &one.target)));
        let before = before.filter(|(route, _)| **route == *name);
        now.chain(before).find(|(_, known)| known.is_same_place(target)).map(|(route, _)| route)
    }
}
