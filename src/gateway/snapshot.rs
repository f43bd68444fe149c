//! A configuration made live: the gate, the certificates, and what each route leads to.

mod departed;
mod live;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderValue;

use self::departed::{Departed, departed};
use self::live::live;
pub(super) use self::live::{LivePages, LiveProxy};
use super::token::Token;
use crate::acme::Keeper;
use crate::admission::Gate;
use crate::auth::Guard;
use crate::client::Trust;
use crate::config::{self, Config, Habits, Problem, Problems, SessionLimits};
use crate::filter::Service;
use crate::hub::filter::Filter;
use crate::hub::{self, Hub, Site};
use crate::pool::Pool;
use crate::telemetry::metrics::{Facts, HistoryFacts, HubFacts, Route};
use crate::tls;

/// One configuration in force. A connection keeps the one it came in with.
pub(super) struct Snapshot {
    pub(super) config: Config,
    pub(super) gate: Gate,
    pub(super) tls: Option<Arc<tls::Acceptor>>,
    /// Who sees to a certificate that a CA makes by itself.
    pub(super) acme: Option<Arc<Keeper>>,
    /// RFC 6797 §6.1: what answers over TLS say, if anything.
    pub(super) hsts: Option<HeaderValue>,
    /// In the order of [`Config::routes`].
    pub(super) routes: Vec<LiveRoute>,
    /// What opens the admin door beyond health and metrics.
    pub(super) token: Option<Token>,
    pools: BTreeMap<String, Arc<Pool>>,
    departed: Vec<Departed>,
}

/// One route, live.
#[derive(Clone)]
pub(super) struct LiveRoute {
    /// Host and path, as logs and counters name it. The very same before and after a reload while it leads to the same
    /// place.
    pub(super) route: Arc<Route>,
    pub(super) limits: Arc<SessionLimits>,
    /// Who judges clients, if anybody does.
    pub(super) guard: Option<Arc<Guard>>,
    /// Who is asked before something is said in its hub, if anybody is.
    filter: Option<Arc<Service>>,
    pub(super) target: LiveTarget,
    /// Whether the operator lets nobody in; the same before and after a reload.
    pub(super) drained: Arc<AtomicBool>,
    /// Where its ordinary requests go.
    pub(super) pages: Option<Arc<LivePages>>,
}

/// Where a route leads, live.
#[derive(Clone)]
pub(super) enum LiveTarget {
    Hub(Arc<Hub>),
    Echo,
    Proxy(Arc<LiveProxy>),
    Redirect(String),
    Pages,
}

impl Snapshot {
    /// Everything that the configuration names is read and made; what `before` has and is still wanted lives on.
    pub(super) fn build(config: Config, site: &Site, before: Option<&Self>) -> Result<(Self, Vec<Problem>), Problems> {
        let mut problems = Vec::new();
        let pools = build_pools(&config, before, &mut problems);
        let guards = build_guards(&config, before, &mut problems);
        let filters = build_filters(&config, before, &mut problems);
        let hubs = build_hubs(&config, site, &filters, before, &mut problems);
        let token = config.admin.as_ref().and_then(|admin| admin.token.as_ref()).map(Token::read);
        let token = token.transpose().map_err(|found| problems.extend(found.0)).ok().flatten();
        let acme = config.tls.as_ref().and_then(|tls| tls.acme.as_ref());
        let acme = acme.map(|wishes| Keeper::new(wishes, before.and_then(|before| before.acme.as_ref())));
        let acme = acme.transpose().map_err(|found| problems.extend(found.0)).ok().flatten();
        // With problems so far nothing is swapped, nor where all is only looked at: the certificates are read to tell what is
        // wrong with them too.
        let tls = build_tls(&config, before.filter(|_| problems.is_empty() && site.archives.is_some()));
        let (tls, warnings) = match tls {
            Ok(made) if problems.is_empty() => made,
            Ok(_) => return Err(Problems::new(problems)),
            Err(more) => {
                problems.extend(more.0);
                return Err(Problems::new(problems));
            }
        };
        let gate = Gate::new(&config, before.map(|before| &before.gate));
        let routes = config.routes.iter().zip(guards.into_iter().zip(filters).zip(hubs));
        let routes = routes.map(|(route, (judges, hub))| live(route, (judges, hub), &pools, before));
        let routes: Vec<LiveRoute> = routes.collect();
        let departed = departed(before, &routes, &pools);
        let hsts = config.tls.as_ref().and_then(|tls| tls.hsts);
        let hsts = hsts.and_then(|time| HeaderValue::from_str(&format!("max-age={}", time.as_secs())).ok());
        Ok((Self { config, gate, tls, acme, hsts, routes, token, pools, departed }, warnings))
    }

    /// It has been put into force: what pools and hubs share with those before goes by their new wishes.
    pub(super) fn take_over(&self) {
        self.pools().for_each(|pool| pool.take_over());
        self.hubs().for_each(Hub::take_over);
    }

    /// The next one has been put into force. Sessions may hold on to parts of this one for long: what nobody asks any more
    /// keeps no connections.
    pub(super) fn retire(&self, next: &Self) {
        let goes_on = |filter: &Service| next.filters().any(|other| std::ptr::eq(other, filter));
        self.filters().filter(|filter| !goes_on(filter)).for_each(Service::retire);
    }

    /// What metrics tell of pools and hubs.
    pub(super) fn facts(&self) -> Facts {
        let hub = |(live, hub): (&LiveRoute, &Hub)| {
            let rooms = hub.house().all();
            HubFacts {
                route: live.route.route.clone(),
                moderated: hub.house().ground().moderation.counts(),
                filter: live.filter.as_ref().map(|filter| filter.tally()),
                rooms: rooms.len(),
                members: rooms.iter().map(|room| room.facts().members).sum(),
            }
        };
        Facts {
            pools: self.pools().map(|pool| pool.facts()).collect(),
            hubs: self.hub_routes().map(hub).collect(),
            certificates: self.tls.as_ref().map(|tls| tls.ends()).unwrap_or_default(),
        }
    }

    /// All pools.
    pub(super) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }

    /// The pool of this name.
    pub(super) fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.get(name)
    }

    fn route(&self, name: &Route) -> Option<&LiveRoute> {
        self.routes.iter().find(|known| *known.route == *name)
    }

    /// All that judge clients.
    pub(super) fn guards(&self) -> impl Iterator<Item = &Guard> {
        self.routes.iter().filter_map(|route| route.guard.as_deref())
    }

    /// All that are asked before something is said.
    pub(super) fn filters(&self) -> impl Iterator<Item = &Service> {
        self.routes.iter().filter_map(|route| route.filter.as_deref())
    }

    /// How the histories are that are in files.
    pub(super) fn histories(&self) -> Vec<HistoryFacts> {
        let hubs = self.routes.iter().filter_map(|route| match &route.target {
            LiveTarget::Hub(hub) => Some((route, hub.history()?)),
            _ => None,
        });
        let told = hubs.map(|(route, facts)| {
            let hub::ArchiveFacts { condition, kept, dropped, errors, file_bytes, queue } = facts;
            let is_failing = condition == hub::Condition::Failing;
            HistoryFacts { route: route.route.route.clone(), is_failing, kept, dropped, errors, file_bytes, queue }
        });
        told.collect()
    }

    /// All hubs.
    pub(super) fn hubs(&self) -> impl Iterator<Item = &Hub> {
        self.hub_routes().map(|(_, hub)| hub)
    }

    /// All hubs with their routes.
    pub(super) fn hub_routes(&self) -> impl Iterator<Item = (&LiveRoute, &Hub)> {
        self.routes.iter().filter_map(|route| match &route.target {
            LiveTarget::Hub(hub) => Some((route, &**hub)),
            _ => None,
        })
    }
}

type BuiltTls = (Option<Arc<tls::Acceptor>>, Vec<Problem>);

/// Certificates are swapped in the acceptor that is there, so that tickets go on working.
fn build_tls(config: &Config, before: Option<&Snapshot>) -> Result<BuiltTls, Problems> {
    let Some(wishes) = &config.tls else { return Ok((None, Vec::new())) };
    if let Some(acceptor) = before.and_then(|before| before.tls.as_ref()) {
        let warnings = acceptor.swap(wishes, super::now())?;
        return Ok((Some(Arc::clone(acceptor)), warnings));
    }
    let (acceptor, warnings) = tls::Acceptor::build(wishes, super::now())?;
    Ok((Some(Arc::new(acceptor)), warnings))
}

fn build_pools(config: &Config, before: Option<&Snapshot>, problems: &mut Vec<Problem>) -> BTreeMap<String, Arc<Pool>> {
    let mut pools = BTreeMap::new();
    for (name, wishes) in &config.pools {
        match trust(name, wishes) {
            Ok(trust) => {
                let known = before.and_then(|before| before.pools.get(name)).map(|pool| &**pool);
                let pool = Pool::new(name, wishes, habits(config, name), trust, known);
                pools.insert(name.clone(), Arc::new(pool));
            }
            Err(found) => problems.extend(found),
        }
    }
    pools
}

/// In the order of the routes. What they read is read anew at each reload.
fn build_guards(config: &Config, before: Option<&Snapshot>, problems: &mut Vec<Problem>) -> Vec<Option<Arc<Guard>>> {
    let mut build = |route: &config::Route| {
        let name = name_of(route);
        let known = before.and_then(|before| before.route(&name)?.guard.as_deref());
        let key = format!("route \"{}\".auth", name.route);
        let built = Guard::build(route.auth.as_ref()?, config.handshake_timeout, &key, known);
        built.map(Arc::new).map_err(|found| problems.extend(found.0)).ok()
    };
    config.routes.iter().map(&mut build).collect()
}

fn name_of(route: &config::Route) -> Route {
    Route { route: route.name() }
}

fn trust(name: &str, wishes: &config::Pool) -> Result<Trust, Vec<Problem>> {
    let Some(path) = &wishes.ca else { return Ok(Trust::public()) };
    let named = |problem: Problem| Problem { key: format!("pool.{name}.ca"), ..problem };
    match tls::read_roots(path) {
        Ok(authorities) => Ok(Trust::only(authorities)),
        Err(problems) => Err(problems.0.into_iter().map(named).collect()),
    }
}

/// In the order of the routes.
fn build_filters(config: &Config, before: Option<&Snapshot>, problems: &mut Vec<Problem>) -> Vec<Option<Arc<Service>>> {
    let mut build = |route: &config::Route| {
        let config::Target::Hub(hub) = &route.target else { return None };
        let name = name_of(route);
        let known = before.and_then(|before| before.route(&name)?.filter.as_ref());
        let key = format!("route \"{}\".hub", name.route);
        let built = Service::new(hub.filter.as_ref()?, &key, known);
        built.map_err(|found| problems.extend(found.0)).ok()
    };
    config.routes.iter().map(&mut build).collect()
}

/// In the order of the routes. A hub stays the same while its route's host and path do; its members stay, whatever else
/// is wished.
fn build_hubs(
    config: &Config,
    site: &Site,
    filters: &[Option<Arc<Service>>],
    before: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> Vec<Option<Arc<Hub>>> {
    let mut build = |(route, filter): (&config::Route, &Option<Arc<Service>>)| {
        let config::Target::Hub(wishes) = &route.target else { return None };
        let name = name_of(route);
        let known = before.and_then(|before| before.routes.iter().find(|known| *known.route == name));
        let known = known.and_then(|known| match &known.target {
            LiveTarget::Hub(hub) => Some(&**hub),
            _ => None,
        });
        let key = format!("route \"{}\".hub", name.route);
        let built = Hub::build(wishes, site, &key, known);
        let filter = filter.clone().map(|filter| -> Arc<dyn Filter> { filter });
        built.map(|hub| Arc::new(hub.filtered_by(filter))).map_err(|found| problems.extend(found.0)).ok()
    };
    config.routes.iter().zip(filters).map(&mut build).collect()
}

/// A server that needs care on one route is the same server on the others.
fn habits(config: &Config, name: &str) -> Habits {
    let profile = |route: &config::Route| match &route.target {
        config::Target::Proxy(proxy) if proxy.pool == name => Some(proxy.profile.treatment().habits),
        _ => None,
    };
    config.routes.iter().filter_map(profile).fold(Habits::TRANSPARENT, Habits::and)
}
