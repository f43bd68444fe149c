//! What changed between two configurations, and what of it a running gateway cannot take up.

use std::collections::BTreeMap;

use super::{Admin, Config, Listen, Pool, Route, Target, ToHttps};

/// One key, table or list that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As the file writes it: `limits.pending`, `route "/chat"`, `pool.php`.
    pub key: String,
    /// Whether the change waits for a restart.
    pub restart: bool,
}

/// Every difference between two configurations, in the order of the file; empty when they are the same.
#[must_use]
pub(crate) fn difference(old: &Config, new: &Config) -> Vec<Change> {
    // Named one by one, so that a new key does not compile until it has its place below.
    let Config {
        listen,
        workers,
        trusted_proxies,
        handshake_timeout,
        drain_timeout,
        drain_pace,
        upgrade_timeout,
        tls,
        to_https,
        admin,
        limits,
        routes,
        pools,
        cluster,
        log,
    } = old;
    let fixed = [
        ("listen", *listen != new.listen, true),
        ("workers", *workers != new.workers, true),
        ("trusted_proxies", *trusted_proxies != new.trusted_proxies, false),
        ("handshake_timeout", *handshake_timeout != new.handshake_timeout, false),
        ("drain_timeout", *drain_timeout != new.drain_timeout, false),
        ("drain_pace", *drain_pace != new.drain_pace, false),
        ("upgrade_timeout", *upgrade_timeout != new.upgrade_timeout, false),
        // Other certificates are taken up while running; clients of a plain listener cannot be made to speak TLS.
        ("tls", *tls != new.tls, tls.is_some() != new.tls.is_some()),
        ("to_https.listen", plain(to_https) != plain(&new.to_https), true),
        ("to_https", *to_https != new.to_https && plain(to_https) == plain(&new.to_https), false),
        ("admin.listen", listens(admin) != listens(&new.admin), true),
        ("admin", *admin != new.admin && listens(admin) == listens(&new.admin), false),
        ("limits", *limits != new.limits, false),
        // Other gateways know this one by its connection.
        ("cluster", *cluster != new.cluster, true),
        // The log is opened once, by the program, before there is a gateway.
        ("log", *log != new.log, true),
    ];
    let mut changes: Vec<Change> = fixed
        .into_iter()
        .filter(|(_, changed, _)| *changed)
        .map(|(key, _, restart)| Change { key: key.to_owned(), restart })
        .collect();
    changes.extend(named(&by_place(routes), &by_place(&new.routes)));
    changes.extend(named(&by_name(pools), &by_name(&new.pools)));
    changes
}

impl Config {
    /// Where histories are kept stays as it is in `old`, for the rooms of a hub go on: what would have changed.
    pub(crate) fn keep_histories(&mut self, old: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let before = by_place(&old.routes);
        for route in &mut self.routes {
            let key = place_of(route);
            if let (Target::Hub(hub), Some(Target::Hub(known))) =
                (&mut route.target, before.get(&key).map(|route| &route.target))
                && hub.history_store != known.history_store
            {
                hub.history_store.clone_from(&known.history_store);
                changes.push(Change { key: format!("{key}.hub.history_store"), restart: true });
            }
        }
        changes
    }
}

fn plain(to_https: &Option<ToHttps>) -> Option<&[Listen]> {
    to_https.as_ref().map(|plain| &*plain.listen)
}

fn listens(admin: &Option<Admin>) -> Option<&Listen> {
    admin.as_ref().map(|admin| &admin.listen)
}

/// Added, removed and altered entries of two maps, none of which needs a restart.
fn named<T: PartialEq>(old: &BTreeMap<String, &T>, new: &BTreeMap<String, &T>) -> Vec<Change> {
    let gone_or_altered = old.iter().filter(|(key, value)| new.get(*key) != Some(*value));
    let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
    gone_or_altered.chain(added).map(|(key, _)| Change { key: key.clone(), restart: false }).collect()
}

/// A route is the same route while its host and path are.
fn by_place(routes: &[Route]) -> BTreeMap<String, &Route> {
    routes.iter().map(|route| (place_of(route), route)).collect()
}

fn place_of(route: &Route) -> String {
    format!("route \"{}{}\"", route.host.as_deref().unwrap_or(""), route.path)
}

fn by_name(pools: &BTreeMap<String, Pool>) -> BTreeMap<String, &Pool> {
    pools.iter().map(|(name, pool)| (format!("pool.{name}"), pool)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const OLD: &str = "workers = 1\n[tls]\nself_signed = [\"a\"]\n[limits]\npending = 7\n\
        [[route]]\npath = \"/a\"\necho = {}\n[[route]]\npath = \"/b\"\nproxy = { pool = \"p\" }\n\
        [pool.p]\nbackends = [\"ws://h\"]\n";

    fn changes(replace: &[(&str, &str)]) -> Vec<(String, bool)> {
        let config = |text: &str| Config::parse(text, "t", Path::new("")).expect("valid");
        let new = replace.iter().fold(OLD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        difference(&config(OLD), &config(&new)).into_iter().map(|change| (change.key, change.restart)).collect()
    }

    #[test]
    fn nothing_changed() {
        assert_eq!(changes(&[]), []);
    }

    #[test]
    fn some_changes_wait_for_a_restart() {
        let expect = |keys: &[&str], restart| keys.iter().map(|key| ((*key).to_owned(), restart)).collect::<Vec<_>>();
        assert_eq!(changes(&[("workers = 1", "workers = 2")]), expect(&["workers"], true));
        assert_eq!(changes(&[("workers = 1", "workers = 1\nlisten = [\"127.0.0.1:1\"]")]), expect(&["listen"], true));
        assert_eq!(
            changes(&[("[limits]", "[admin]\nlisten = \"127.0.0.1:2\"\n[limits]")]),
            expect(&["admin.listen"], true)
        );
        assert_eq!(changes(&[("[tls]\nself_signed = [\"a\"]\n", "")]), expect(&["tls"], true));
        assert_eq!(changes(&[("[\"a\"]", "[\"b\"]")]), expect(&["tls"], false));
        assert_eq!(changes(&[("pending = 7", "pending = 8")]), expect(&["limits"], false));
        assert_eq!(changes(&[("ws://h", "ws://i")]), expect(&["pool.p"], false));
    }

    #[test]
    fn routes_and_pools_by_name() {
        let route = |path: &str| (format!("route \"{path}\""), false);
        assert_eq!(changes(&[("\"/a\"", "\"/c\"")]), [route("/a"), route("/c")]);
        assert_eq!(changes(&[("\"/a\"\n", "\"/a\"\nlimits = { utf8 = false }\n")]), [route("/a")]);
        // A session's limit in `[limits]` is seen where it takes effect.
        assert_eq!(changes(&[("pending = 7", "pending = 7\nutf8 = false")]), [route("/a"), route("/b")]);
    }
}
