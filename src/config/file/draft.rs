//! A configuration as read, with the places that are needed to check its parts against one another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::document::{Place, Placed, Table};
use super::gateway::{TlsDraft, ToHttpsDraft};
use super::route::{self, Draft as RouteDraft};
use super::{cluster, gateway, limits, pool};
use crate::config::{Admin, Config, Listen, Problem, SessionLimits, Target};

/// The configuration so far; its `listen` and `admin` are filled at the end.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) listen: Vec<Placed<Listen>>,
    pub(super) tls: Option<Placed<TlsDraft>>,
    to_https: Option<Placed<ToHttpsDraft>>,
    pub(super) routes: Vec<RouteDraft>,
    /// Whether there is a list of routes, be it one that was refused.
    routes_said: bool,
    admin: Option<Placed<Admin>>,
    plaintext: bool,
    /// What a session gets where its route says nothing.
    pub(super) session: SessionLimits,
}

impl Draft {
    /// Walks the whole document; what is wrong is reported to it.
    pub(super) fn read(root: Table<'_>, base: &Path) -> Self {
        let (limits, session) = limits::read_gateway(root.table("limits"));
        let routes = root.get("route");
        let routes_said = routes.is_some();
        let routes = routes.and_then(|value| value.items("one [[route]] for each")).unwrap_or_default();
        let routes = routes.iter().filter_map(|item| item.table());
        let draft = Self {
            listen: gateway::read_listeners(&root, base).unwrap_or_else(default_listen),
            tls: gateway::read_tls(&root, base),
            to_https: gateway::read_to_https(&root, base),
            routes: routes.map(|table| route::read_route(table, &limits, session, base)).collect(),
            routes_said,
            admin: gateway::read_admin(&root, base),
            plaintext: root.flag("plaintext").unwrap_or(false),
            session,
            config: Config {
                listen: Vec::new(),
                workers: gateway::read_workers(&root),
                trusted_proxies: gateway::read_trusted(&root),
                handshake_timeout: gateway::read_handshake_timeout(&root),
                drain_timeout: gateway::read_drain_timeout(&root),
                drain_pace: gateway::read_drain_pace(&root),
                upgrade_timeout: gateway::read_upgrade_timeout(&root),
                tls: None,
                to_https: None,
                admin: None,
                limits,
                routes: Vec::new(),
                pools: pool::read_pools(root.table("pool"), base),
                cluster: cluster::read_cluster(root.table("cluster"), base),
                log: gateway::read_log(&root),
            },
        };
        root.finish();
        draft
    }

    /// What can only be seen when everything is there, the command line included.
    pub(super) fn check(&self, name: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_listeners(&mut problems);
        self.check_plaintext(&mut problems);
        self.check_certificates(&mut problems);
        self.check_clients(&mut problems);
        self.check_paths(&mut problems);
        self.check_pools(&mut problems);
        self.check_redirects(&mut problems);
        self.check_histories(&mut problems);
        if self.routes.is_empty() && !self.routes_said {
            problems.push(Problem::new(name, "route", "no route").allowing("at least one [[route]]"));
        }
        problems
    }

    /// Under which prefix each hub shares its rooms, by route.
    fn prefixes(&self, problems: &mut Vec<Problem>) -> Vec<Option<String>> {
        let hubs: Vec<_> = self.routes.iter().map(|draft| draft.hub.as_ref().map(|hub| &hub.shared)).collect();
        cluster::prefixes(self.config.cluster.as_ref(), &hubs, problems)
    }

    /// The finished configuration; only for a draft without problems.
    pub(super) fn into_config(mut self) -> Config {
        let prefixes = self.prefixes(&mut Vec::new());
        for (draft, prefix) in self.routes.iter_mut().zip(prefixes) {
            if let Target::Hub(hub) = &mut draft.route.target {
                hub.shared = prefix;
            }
        }
        Config {
            listen: self.listen.into_iter().map(|listen| listen.value).collect(),
            tls: self.tls.map(|tls| tls.value.tls),
            to_https: self.to_https.map(|plain| plain.value.finished()),
            admin: self.admin.map(|admin| admin.value),
            routes: self.routes.into_iter().map(|draft| draft.route).collect(),
            ..self.config
        }
    }

    /// The kernel would refuse the second one at start, with less to say about it.
    fn check_listeners(&self, problems: &mut Vec<Problem>) {
        let mut seen: HashMap<&Listen, &Place> = HashMap::new();
        let listen = self.listen.iter().map(|listen| (&listen.value, &listen.place));
        let admin = self.admin.iter().map(|admin| (&admin.value.listen, &admin.place));
        let plain = self.to_https.iter().flat_map(|plain| &plain.value.listen);
        let plain = plain.map(|listen| (&listen.value, &listen.place));
        for (listen, place) in listen.chain(plain).chain(admin) {
            // Port 0 is another port each time.
            if matches!(listen, Listen::Tcp(address) if address.port() == 0) {
                continue;
            }
            match seen.get(listen) {
                Some(first) => problems.push(place.problem(taken("listened on", first), "each address once")),
                None => drop(seen.insert(listen, place)),
            }
        }
    }

    /// Passwords and cookies must not cross a network in the clear unless the owner says so.
    fn check_plaintext(&self, problems: &mut Vec<Problem>) {
        if self.tls.is_some() || self.plaintext {
            return;
        }
        for listen in self.listen.iter().filter(|listen| !is_local(&listen.value)) {
            let allowed = "a loopback or unix address, a [tls] table, or plaintext = true";
            problems.push(listen.place.problem("plain ws beyond this machine", allowed));
        }
    }

    fn check_certificates(&self, problems: &mut Vec<Problem>) {
        if let Some(plain) = self.to_https.as_ref().filter(|_| self.tls.is_none()) {
            problems.push(plain.place.problem("there is no https to send anybody to", "a [tls] table"));
        }
        if let Some(tls) = self.tls.as_ref().filter(|tls| !tls.value.named) {
            problems.push(tls.place.problem("has no certificate", "certificates, self_signed, or both"));
        }
    }

    /// A route that nobody can enter is a mistake.
    fn check_clients(&self, problems: &mut Vec<Problem>) {
        if self.tls.as_ref().is_some_and(|tls| tls.value.tls.clients.is_some()) {
            return;
        }
        for place in self.routes.iter().filter_map(|draft| draft.certificate.as_ref()) {
            problems.push(place.problem("clients are not asked for certificates", "client_ca in [tls] beside it"));
        }
    }

    fn check_paths(&self, problems: &mut Vec<Problem>) {
        let mut seen: HashMap<(Option<&str>, &str), &Placed<String>> = HashMap::new();
        for draft in &self.routes {
            let Some(path) = &draft.path else {
                continue;
            };
            let key = (draft.route.host.as_deref(), path.value.as_str());
            match seen.get(&key) {
                Some(first) => {
                    problems.push(path.place.problem(taken("routed", &first.place), "each path of a host once"));
                }
                None => drop(seen.insert(key, path)),
            }
        }
    }

    fn check_pools(&self, problems: &mut Vec<Problem>) {
        let names: Vec<&str> = self.config.pools.keys().map(String::as_str).collect();
        let allowed = if names.is_empty() { "a [pool.NAME] of that name".to_owned() } else { names.join(", ") };
        let named = self.routes.iter().flat_map(|draft| draft.pool.iter().chain(&draft.pages_pool));
        for pool in named.filter(|pool| !self.config.pools.contains_key(&pool.value)) {
            problems.push(pool.place.problem("no such pool", allowed.as_str()));
        }
    }

    /// Rooms of one name on two hubs would be one room in the file.
    fn check_histories(&self, problems: &mut Vec<Problem>) {
        let mut seen: HashMap<&Path, &Placed<PathBuf>> = HashMap::new();
        let prefixes = self.prefixes(problems);
        for (draft, prefix) in self.routes.iter().zip(prefixes) {
            let Some(history) = draft.hub.as_ref().and_then(|hub| hub.history.as_ref()) else { continue };
            if prefix.is_some() {
                let wrong = "has no use where rooms are shared: their history is in Redis";
                problems.push(history.place.problem(wrong, "history_store = \"memory\", or cluster = false"));
            }
            match seen.get(&*history.value) {
                Some(first) => problems.push(history.place.problem(taken("used", &first.place), "a file for each hub")),
                None => drop(seen.insert(&history.value, history)),
            }
        }
    }

    /// A redirect to itself is an endless loop in every browser.
    fn check_redirects(&self, problems: &mut Vec<Problem>) {
        for draft in &self.routes {
            let (Some(path), Some(redirect)) = (&draft.path, &draft.redirect) else {
                continue;
            };
            if redirect.value.split(['?', '#']).next() == Some(path.value.as_str()) {
                problems.push(redirect.place.problem("leads to itself", "another path"));
            }
        }
    }
}

/// `already listened on at line 3`, or without the line when the command line said it.
fn taken(verb: &str, first: &Place) -> String {
    match first.line {
        Some(line) => format!("already {verb} by {} at line {line}", first.key),
        None => format!("already {verb} by {}", first.key),
    }
}

fn is_local(listen: &Listen) -> bool {
    match listen {
        Listen::Tcp(address) => address.ip().to_canonical().is_loopback(),
        Listen::Unix(_) => true,
    }
}

fn default_listen() -> Vec<Placed<Listen>> {
    let address = SocketAddr::from(([127, 0, 0, 1], 8443));
    let place = Place { file: String::new(), line: None, key: "listen".to_owned(), text: None };
    vec![Placed::new(Listen::Tcp(address), place)]
}
