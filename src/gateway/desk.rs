//! The desk behind the admin door: what may be seen and done over HTTP by whoever has the token.

mod backends;
mod config;
mod connections;
mod drains;
mod query;
mod reload;
mod rooms;
mod wrong;

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Method, header, request};
use tokio::sync::Semaphore;

use self::drains::Drains;
use self::wrong::Wrong;
use super::exodus::{self, Pace};
use super::worker::{self, Worker};
use super::{Shared, drain};
use crate::admin::{self, Reply, Served, Unread};
use crate::lifecycle::Tasks;
use crate::telemetry::report::Report;
use crate::telemetry::roster::{Census, Order};

/// Crowds that are sent home at the same time.
const CROWDS: usize = 16;

/// The desk.
pub(super) struct Desk {
    office: Rc<Office>,
}

/// What is behind all that is answered at the desk.
struct Office {
    shared: Arc<Shared>,
    workers: Arc<[Worker]>,
    /// One at a time: what comes of a survey takes room for each session.
    surveys: Semaphore,
    crowds: Arc<Semaphore>,
    drains: Drains,
    tasks: Tasks,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, workers: Arc<[Worker]>) -> Self {
        let (surveys, crowds) = (Semaphore::new(1), Arc::new(Semaphore::new(CROWDS)));
        let office =
            Office { shared, workers, surveys, crowds, drains: Drains::default(), tasks: worker::service_tasks() };
        Self { office: Rc::new(office) }
    }

    async fn answer(&self, head: &request::Parts, body: &[u8]) -> Result<Reply, Wrong> {
        let body = if takes_body(&head.method) { body } else { &[] };
        match first_part(head) {
            "connections" => connections::serve(&self.office, head).await,
            "backends" => backends::serve(&self.office.shared.snapshot.load(), head),
            "drain" => drains::serve(&self.office, head, body).await,
            "config" => config::serve(&self.office.shared.snapshot.load().config, head),
            "reload" => reload::serve(&self.office, head, body).await,
            _ => rooms::serve(&self.office.shared.snapshot.load(), head, body),
        }
    }
}

impl admin::Desk for Desk {
    fn has(&self, path: &str) -> bool {
        let first = path.split('/').nth(1).unwrap_or_default();
        ["connections", "backends", "drain", "reload", "config"].contains(&first) || rooms::PATHS.contains(&first)
    }

    fn is_open(&self) -> bool {
        self.office.shared.snapshot.load().token.is_some()
    }

    fn admit(&self, head: &request::Parts) -> Result<usize, Reply> {
        let snapshot = self.office.shared.snapshot.load();
        let token = snapshot.token.as_ref().ok_or(Wrong::Closed).map_err(Wrong::reply)?;
        let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // RFC 9110 §11.1: the scheme's name has no case.
        let shown =
            shown.and_then(|value| value.split_once(' ')).filter(|(name, _)| name.eq_ignore_ascii_case("bearer"));
        if !shown.is_some_and(|(_, shown)| token.is(shown.trim())) {
            return Err(Wrong::Token.reply());
        }
        if takes_body(&head.method) && !is_json(head) && !has_no_body(head) {
            return Err(Wrong::ContentType.reply());
        }
        Ok(snapshot.config.admin.as_ref().map_or(0, |admin| admin.body))
    }

    fn serve<'a>(&'a self, head: &'a request::Parts, body: &'a [u8]) -> Served<'a> {
        Box::pin(async move { self.answer(head, body).await.unwrap_or_else(Wrong::reply) })
    }

    fn unread(&self, why: Unread) -> Reply {
        Wrong::Unread(why).reply()
    }

    fn late(&self) -> Reply {
        Wrong::Late.reply()
    }
}

fn first_part(head: &request::Parts) -> &str {
    head.uri.path().split('/').nth(1).unwrap_or_default()
}

/// What stands behind the first part of the path.
fn rest_of(head: &request::Parts) -> &str {
    let rest = head.uri.path().get(1 + first_part(head).len()..).unwrap_or_default();
    rest.strip_prefix('/').unwrap_or(rest)
}

fn takes_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// What is said there all stands in the query.
fn has_no_body(head: &request::Parts) -> bool {
    first_part(head) == "reload"
}

/// RFC 8259 §11: JSON has no parameter that would change it.
fn is_json(head: &request::Parts) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

impl Office {
    /// What all open WebSockets tell of themselves, or the one of this number. Cancel safe.
    async fn survey(&self, only: Option<u64>) -> Result<Census, Wrong> {
        let _turn = self.surveys.acquire().await.map_err(|_| Wrong::Busy)?;
        Ok(exodus::survey(&self.workers, only).await)
    }

    fn pace(&self) -> Pace {
        drain::pace(&self.shared.snapshot.load())
    }

    /// Sends them home in a task of its own, spread as a drain does it; the seconds that it takes.
    fn send_home(&self, sessions: Vec<Report>, order: Order) -> Result<f64, Wrong> {
        let place = Arc::clone(&self.crowds).try_acquire_owned().map_err(|_| Wrong::Busy)?;
        let (workers, pace) = (Arc::clone(&self.workers), self.pace());
        let time = pace.time(sessions.len());
        self.tasks.spawn(async move {
            exodus::leave(&workers, sessions, (pace, &order), |_, _| {}).await;
            drop(place);
        });
        Ok(query::seconds(time))
    }
}
