//! What becomes of open WebSockets when one configuration takes the place of another: nothing, unless their way is gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Target};
use crate::telemetry::report::Report;

/// What becomes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Fate {
    /// It stays as it is, by the settings that it came with.
    Stays,
    /// Its route is gone, or leads elsewhere now: it is sent home.
    WayGone,
    /// Its route leads to the same pool, which has its backend no more: it is sent home.
    BackendGone,
}

/// What becomes of those on each route.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Fates(BTreeMap<String, Way>);

#[derive(Debug)]
struct Way {
    /// Absent: it leads to none.
    pool: Option<String>,
    /// Absent: the way is gone.
    goes_on: Option<Kept>,
}

/// The backends that a pool still has, of those that it had.
#[derive(Debug, Default)]
struct Kept {
    gone: BTreeSet<String>,
}

impl Fates {
    pub(in crate::gateway) fn between(old: &Config, new: &Config) -> Self {
        let mut ways = BTreeMap::new();
        let next: BTreeMap<String, &Target> = new.routes.iter().map(|route| (route.name(), &route.target)).collect();
        for route in &old.routes {
            let name = route.name();
            let pool = match &route.target {
                Target::Proxy(proxy) => Some(proxy.pool.clone()),
                _ => None,
            };
            let goes_on = next.get(&name).filter(|target| route.target.is_same_place(target));
            let goes_on = goes_on.map(|_| pool.as_deref().map(|pool| kept(pool, old, new)).unwrap_or_default());
            ways.insert(name, Way { pool, goes_on });
        }
        Self(ways)
    }

    /// What becomes of this one. One whose way was gone before is not concerned any more.
    pub(in crate::gateway) fn of(&self, report: &Report) -> Fate {
        let Some(way) = self.0.get(&report.route.route) else { return Fate::Stays };
        match &way.goes_on {
            None => Fate::WayGone,
            // It looks for a backend in the pool that is in force when it looks.
            Some(_) if report.state.is_held => Fate::Stays,
            Some(kept) if kept.gone.contains(&report.backend) => Fate::BackendGone,
            Some(_) => Fate::Stays,
        }
    }

    /// Whether this one's route led to this pool.
    pub(in crate::gateway) fn is_in_pool(&self, report: &Report, pool: &str) -> bool {
        self.0.get(&report.route.route).is_some_and(|way| way.pool.as_deref() == Some(pool))
    }
}

fn kept(pool: &str, old: &Config, new: &Config) -> Kept {
    let urls = |config: &Config| -> BTreeSet<String> {
        let pool = config.pools.get(pool).map(|pool| &*pool.backends);
        pool.unwrap_or_default().iter().map(|backend| backend.url.clone()).collect()
    };
    Kept { gone: urls(old).difference(&urls(new)).cloned().collect() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::telemetry::metrics::Route;
    use crate::telemetry::report::State;

    fn config(text: &str) -> Config {
        Config::parse(text, "t", Path::new("")).expect("valid")
    }

    fn on(route: &str, backend: &str, is_held: bool) -> Report {
        let route = Arc::new(Route { route: route.to_owned() });
        let state = State { is_held, ..State::default() };
        Report { route, backend: backend.to_owned(), state, ..Report::of_nobody() }
    }

    const PROXY: &str = "[[route]]\npath = \"/ws\"\nproxy = { pool = \"p\" }\n";
    const POOLS: &str =
        "[pool.p]\nbackends = [\"ws://a\", \"ws://b\"]\n[pool.q]\nbackends = [\"ws://a\", \"ws://b\"]\n";

    #[test]
    fn nobody_goes_unless_the_way_is_gone() {
        let routes = "[[route]]\npath = \"/e\"\necho = {}\n[[route]]\npath = \"/h\"\nhub = {}\n";
        let old = config(&format!("{PROXY}{routes}{POOLS}"));
        let fate = |new: &str, report: &Report| Fates::between(&old, &config(new)).of(report);
        let all = |to: &str| format!("{}{routes}{POOLS}", PROXY.replace("proxy = { pool = \"p\" }", to));
        let (on_a, on_b) = (on("/ws", "ws://a", false), on("/ws", "ws://b", false));
        // However it is treated, whoever may come in.
        let stricter = "origins = [\"https://a.test\"]\nlimits = { message_size = \"1KiB\", connections = 1 }\n\
            proxy = { pool = \"p\", profile = \"legacy\" }";
        for new in [all("proxy = { pool = \"p\" }"), all(stricter)] {
            for report in [&on_a, &on("/e", "", false), &on("/h", "", false)] {
                assert_eq!(fate(&new, report), Fate::Stays, "{new}");
            }
        }
        for elsewhere in
            ["proxy = { pool = \"q\" }", "hub = {}", "echo = {}", "redirect = \"/e\"", "http = { pool = \"p\" }"]
        {
            assert_eq!(fate(&all(elsewhere), &on_a), Fate::WayGone, "{elsewhere}");
        }
        let without = format!("{routes}{POOLS}");
        assert_eq!(fate(&without, &on_a), Fate::WayGone);
        assert_eq!(fate(&without, &on("/e", "", false)), Fate::Stays);
        let other = all("proxy = { pool = \"p\" }").replace("echo = {}", "hub = {}");
        assert_eq!(
            (fate(&other, &on("/e", "", false)), fate(&other, &on("/h", "", false))),
            (Fate::WayGone, Fate::Stays)
        );
        let one = all("proxy = { pool = \"p\" }").replacen("\"ws://a\", ", "", 1);
        assert_eq!((fate(&one, &on_a), fate(&one, &on_b)), (Fate::BackendGone, Fate::Stays));
        assert_eq!(fate(&one, &on("/ws", "ws://a", true)), Fate::Stays, "it is held, and looks for another");
        assert_eq!(fate(&without, &on("/ws", "ws://a", true)), Fate::WayGone, "and has nowhere to look");
        assert_eq!(fate(&one, &on("/gone", "ws://a", false)), Fate::Stays, "it was told before");
    }
}
