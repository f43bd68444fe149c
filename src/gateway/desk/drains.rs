//! Drains at the desk: a route or a backend gets nobody any more, and those who are there are sent home few at a time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, request};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::query::{self, seconds};
use super::wrong::{Wrong, reply, shown};
use super::{Office, rest_of};
use crate::admin::Reply;
use crate::config::Config;
use crate::gateway::exodus;
use crate::gateway::snapshot::{LiveTarget, Snapshot};
use crate::lifecycle::{Phase, clock};
use crate::telemetry::report::Report;
use crate::telemetry::roster::{Census, Order};

const METHODS: &[Method] = &[Method::GET, Method::POST, Method::DELETE];
/// How often those are looked for who were still being let in when a drain began.
const LOOK: Duration = Duration::from_secs(1);

/// The drains in force. There are no more of them than routes and backends.
#[derive(Default)]
pub(super) struct Drains(RefCell<Vec<Rc<Drain>>>);

/// One that is in force until it is taken back.
struct Drain {
    what: What,
    since: Instant,
    /// Those who have not been told to go, once they have been counted.
    left: Cell<Option<usize>>,
    /// When the last of them will be.
    until: Cell<Instant>,
    stop: Notify,
}

/// What is drained.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Route(String),
    Backend { pool: String, backend: String },
}

/// What is to be drained.
enum Wish {
    Gateway,
    Part(What),
}

/// A drain as it is asked for, in a body or in a query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    route: Option<String>,
    pool: Option<String>,
    backend: Option<String>,
    #[serde(default)]
    gateway: bool,
}

impl Asked {
    fn wish(self) -> Result<Wish, Wrong> {
        match self {
            Self { gateway: true, route: None, pool: None, backend: None } => Ok(Wish::Gateway),
            Self { gateway: false, route: Some(route), pool: None, backend: None } => {
                Ok(Wish::Part(What::Route(route)))
            }
            Self { gateway: false, route: None, pool: Some(pool), backend: Some(backend) } => {
                Ok(Wish::Part(What::Backend { pool, backend }))
            }
            _ => Err(Wrong::Field("route, or pool and backend, or gateway")),
        }
    }

    fn take(&mut self, key: &str, value: &str) -> bool {
        let value = Some(value.to_owned());
        match key {
            "route" => self.route = value,
            "pool" => self.pool = value,
            "backend" => self.backend = value,
            "gateway" => self.gateway = true,
            _ => return false,
        }
        true
    }
}

/// Answers. Cancel safe: what was ordered is done.
pub(super) async fn serve(office: &Rc<Office>, head: &request::Parts, body: &[u8]) -> Result<Reply, Wrong> {
    if !rest_of(head).is_empty() {
        return Err(Wrong::Path);
    }
    match head.method {
        Method::GET => {
            query::none(head.uri.query())?;
            list(office).await
        }
        Method::POST => {
            query::none(head.uri.query())?;
            begin(office, query::json::<Asked>(body)?.wish()?)
        }
        Method::DELETE => {
            let mut asked = Asked::default();
            query::read(head.uri.query(), |key, value| Ok(asked.take(key, value)))?;
            end(office, &asked.wish()?)
        }
        _ => Err(Wrong::Method(METHODS)),
    }
}

async fn list(office: &Office) -> Result<Reply, Wrong> {
    let drains = office.drains.in_force(&office.shared.snapshot.load());
    // Nobody is asked for a list that is empty.
    let Census { sessions, missing } = if drains.is_empty() { Census::default() } else { office.survey(None).await? };
    let snapshot = office.shared.snapshot.load();
    let open = |drain: &Rc<Drain>| sessions.iter().filter(|report| drain.what.has(&snapshot, report)).count();
    let drains: Vec<Value> = drains.iter().map(|drain| drain.told(Some(open(drain)))).collect();
    let gateway = (office.shared.life.phase() >= Phase::Draining).then(|| {
        let (left, wait) = office.shared.metrics.drain.get();
        json!({ "left": left, "seconds_left": seconds(wait) })
    });
    Ok(shown(&json!({ "gateway": gateway, "drains": drains, "missing": missing })))
}

fn begin(office: &Rc<Office>, wish: Wish) -> Result<Reply, Wrong> {
    let what = match wish {
        Wish::Part(what) => what,
        Wish::Gateway => {
            tracing::info!("draining, as the operator has asked at the admin door");
            // Entered once: what is said twice does not cut those who are left.
            office.shared.life.enter(Phase::Draining);
            return Ok(reply(StatusCode::ACCEPTED, &json!({ "gateway": true })));
        }
    };
    let snapshot = office.shared.snapshot.load();
    let known = office.drains.in_force(&snapshot).into_iter().find(|drain| drain.what == what);
    if let Some(drain) = known {
        return Ok(shown(&drain.told(None)));
    }
    what.set(&snapshot, true)?;
    let now = Instant::now();
    let drain = Rc::new(Drain { what, since: now, left: Cell::new(None), until: Cell::new(now), stop: Notify::new() });
    tracing::info!(what = %drain.what.told(), "the operator drains a part of the gateway");
    office.drains.0.borrow_mut().push(Rc::clone(&drain));
    let (office, told) = (Rc::clone(office), drain.told(None));
    office.clone().tasks.spawn(async move {
        tokio::select! {
            () = drain.send_home(&office) => {}
            () = drain.stop.notified() => {}
        }
    });
    Ok(reply(StatusCode::ACCEPTED, &told))
}

fn end(office: &Office, wish: &Wish) -> Result<Reply, Wrong> {
    let Wish::Part(what) = wish else { return Err(Wrong::TooLate) };
    let snapshot = office.shared.snapshot.load();
    let drains = office.drains.in_force(&snapshot);
    let drain = drains.iter().find(|drain| drain.what == *what).ok_or(Wrong::NotDrained)?;
    what.set(&snapshot, false)?;
    drain.stop.notify_one();
    office.drains.in_force(&snapshot);
    tracing::info!(what = %what.told(), "the operator has ended a drain");
    Ok(shown(&drain.told(None)))
}

impl Drains {
    /// Those that hold; what a reload has done away with is drained no more.
    fn in_force(&self, snapshot: &Snapshot) -> Vec<Rc<Drain>> {
        let mut drains = self.0.borrow_mut();
        drains.retain(|drain| {
            let is_in_force = drain.what.is_drained(snapshot) == Some(true);
            if !is_in_force {
                drain.stop.notify_one();
            }
            is_in_force
        });
        drains.clone()
    }
}

impl What {
    fn set(&self, snapshot: &Snapshot, is_drained: bool) -> Result<(), Wrong> {
        match self {
            Self::Route(name) => {
                let route = snapshot.routes.iter().find(|route| route.route.route == *name);
                route.ok_or(Wrong::NoSuchRoute)?.drained.store(is_drained, Ordering::Relaxed);
                Ok(())
            }
            Self::Backend { pool, backend } => {
                let pool = snapshot.pool(pool).ok_or(Wrong::NoSuchBackend)?;
                pool.drain(backend, is_drained).ok_or(Wrong::NoSuchBackend)
            }
        }
    }

    /// `None`: it is not there.
    fn is_drained(&self, snapshot: &Snapshot) -> Option<bool> {
        match self {
            Self::Route(name) => {
                let route = snapshot.routes.iter().find(|route| route.route.route == *name)?;
                Some(route.drained.load(Ordering::Relaxed))
            }
            Self::Backend { pool, backend } => snapshot.pool(pool)?.is_drained(backend),
        }
    }

    /// Whether a session is one of those. A backend can be in several pools: the session's route says in which.
    fn has(&self, snapshot: &Snapshot, report: &Report) -> bool {
        match self {
            Self::Route(name) => report.route.route == *name,
            Self::Backend { pool, backend } => {
                let route = snapshot.routes.iter().find(|route| route.route == report.route);
                let is_of_another = route.is_some_and(
                    |route| matches!(&route.target, LiveTarget::Proxy(proxy) if proxy.pool.name() != pool),
                );
                report.backend == *backend && !is_of_another
            }
        }
    }

    fn told(&self) -> Value {
        match self {
            Self::Route(route) => json!({ "route": route }),
            Self::Backend { pool, backend } => json!({ "pool": pool, "backend": backend }),
        }
    }
}

impl Drain {
    /// As it is shown; `open`: how many are still there, where that is known.
    fn told(&self, open: Option<usize>) -> Value {
        let mut told = self.what.told();
        told["seconds"] = seconds(self.since.elapsed()).into();
        told["left"] = self.left.get().into();
        told["seconds_left"] = seconds(self.until.get().saturating_duration_since(Instant::now())).into();
        if let Some(open) = open {
            told["open"] = open.into();
        }
        told
    }

    /// Until nobody is found any more, and nobody can come who was being let in when it began. Cancel safe: who was told
    /// was told.
    async fn send_home(&self, office: &Office) {
        let order = Order { code: 1012, reason: "service restart".into() };
        let late = longest_way_in(&office.shared.snapshot.load().config);
        loop {
            let was_late = self.since.elapsed() >= late;
            let Ok(Census { mut sessions, missing }) = office.survey(None).await else { return };
            {
                let snapshot = office.shared.snapshot.load();
                // A reload can have done away with it, and the next one have brought another of this name.
                if self.what.is_drained(&snapshot) != Some(true) {
                    return;
                }
                sessions.retain(|report| self.what.has(&snapshot, report) && !report.state.is_ending);
            }
            if sessions.is_empty() && missing == 0 && was_late {
                return;
            }
            let tell = |left: usize, wait: Duration| {
                self.left.set(Some(left));
                self.until.set(Instant::now() + wait);
            };
            exodus::leave(&office.workers, sessions, (office.pace(), &order), tell).await;
            clock::sleep(LOOK).await;
        }
    }
}

/// From a request to its session, at most: it waits to be judged, for a place, and for a backend.
fn longest_way_in(config: &Config) -> Duration {
    let pools = config.pools.values().map(|pool| pool.queue_timeout + pool.connect_timeout + pool.answer_timeout);
    config.handshake_timeout + pools.max().unwrap_or_default()
}
