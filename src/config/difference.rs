//! What changed between two configurations, and what of it a running gateway cannot take up.

mod parts;

use std::collections::BTreeMap;

use super::{Admin, Config, Listen, Pool, Route, Target, ToHttps};

/// One key, table or list that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As the file writes it: `limits.pending`, `route "/chat"`, `pool.php`.
    pub key: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// The keys in it that are not what they were; empty where it was added or removed, or is one key.
    pub parts: Vec<&'static str>,
    /// Whether the change waits for a restart.
    pub restart: bool,
    /// What it is about.
    pub(crate) subject: Subject,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is there no more.
    Removed,
    /// It is another.
    Altered,
}

impl ChangeKind {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Altered => "altered",
        }
    }
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The gateway as a whole.
    Gateway,
    /// The route of this host and path.
    Route(String),
    /// The pool of this name.
    Pool(String),
}

impl Change {
    fn of_gateway(key: &str, restart: bool) -> Self {
        let (kind, parts, subject) = (ChangeKind::Altered, Vec::new(), Subject::Gateway);
        Self { key: key.to_owned(), kind, parts, restart, subject }
    }
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
        otlp,
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
        // Its thread has its queue, for the workers that there are.
        ("otlp", *otlp != new.otlp, true),
    ];
    let mut changes: Vec<Change> = fixed
        .into_iter()
        .filter(|(_, changed, _)| *changed)
        .map(|(key, _, restart)| Change::of_gateway(key, restart))
        .collect();
    let route = |name: &str| (format!("route \"{name}\""), Subject::Route(name.to_owned()));
    changes.extend(named(&by_place(routes), &by_place(&new.routes), route, parts::of_route));
    let pool = |name: &str| (format!("pool.{name}"), Subject::Pool(name.to_owned()));
    changes.extend(named(&by_name(pools), &by_name(&new.pools), pool, parts::of_pool));
    changes
}

impl Config {
    /// Where histories are kept stays as it is in `old`, for the rooms of a hub go on: what would have changed.
    pub(crate) fn keep_histories(&mut self, old: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let before = by_place(&old.routes);
        for route in &mut self.routes {
            let name = route.name();
            if let (Target::Hub(hub), Some(Target::Hub(known))) =
                (&mut route.target, before.get(&name).map(|route| &route.target))
                && hub.history_store != known.history_store
            {
                hub.history_store.clone_from(&known.history_store);
                changes.push(Change::of_gateway(&format!("route \"{name}\".hub.history_store"), true));
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
fn named<T: PartialEq>(
    old: &BTreeMap<String, &T>,
    new: &BTreeMap<String, &T>,
    name: impl Fn(&str) -> (String, Subject),
    parts: impl Fn(&T, &T) -> Vec<&'static str>,
) -> Vec<Change> {
    let change = |name: (String, Subject), kind, parts| {
        let (key, subject) = name;
        Change { key, kind, parts, restart: false, subject }
    };
    let gone_or_altered = old.iter().filter_map(|(key, value)| match new.get(key) {
        None => Some(change(name(key), ChangeKind::Removed, Vec::new())),
        Some(now) if now != value => Some(change(name(key), ChangeKind::Altered, parts(value, now))),
        Some(_) => None,
    });
    let added = new.keys().filter(|key| !old.contains_key(*key));
    gone_or_altered.chain(added.map(|key| change(name(key), ChangeKind::Added, Vec::new()))).collect()
}

/// A route is the same route while its host and path are.
fn by_place(routes: &[Route]) -> BTreeMap<String, &Route> {
    routes.iter().map(|route| (route.name(), route)).collect()
}

fn by_name(pools: &BTreeMap<String, Pool>) -> BTreeMap<String, &Pool> {
    pools.iter().map(|(name, pool)| (name.clone(), pool)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const OLD: &str = "workers = 1\n[tls]\nself_signed = [\"a\"]\n[limits]\npending = 7\n\
        [[route]]\npath = \"/a\"\necho = {}\n[[route]]\npath = \"/b\"\nproxy = { pool = \"p\" }\n\
        [pool.p]\nbackends = [\"ws://h\"]\n";

    fn changes(replace: &[(&str, &str)]) -> Vec<(String, bool)> {
        changed(replace).into_iter().map(|change| (change.key, change.restart)).collect()
    }

    fn changed(replace: &[(&str, &str)]) -> Vec<Change> {
        let config = |text: &str| Config::parse(text, "t", Path::new("")).expect("valid");
        let new = replace.iter().fold(OLD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        difference(&config(OLD), &config(&new))
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

    #[test]
    fn what_is_another_is_named_by_its_keys() {
        let found = changed(&[
            ("echo = {}", "hub = {}\norigins = [\"*\"]"),
            ("\"ws://h\"", "\"ws://h\", \"ws://i\""),
            ("path = \"/b\"", "path = \"/c\""),
            ("self_signed", "hsts = \"1s\"\nself_signed"),
        ]);
        let told: Vec<_> = found.iter().map(|change| (&*change.key, change.kind.word(), &*change.parts)).collect();
        let none: &[&str] = &[];
        assert_eq!(
            told,
            [
                ("tls", "altered", none),
                ("route \"/a\"", "altered", &["origins", "hub"]),
                ("route \"/b\"", "removed", none),
                ("route \"/c\"", "added", none),
                ("pool.p", "altered", &["backends"]),
            ]
        );
    }
}
