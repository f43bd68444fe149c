//! Reads a route's `http`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::backend_head::read_prefix;
use super::document::{Placed, Value};
use super::limits::SHORT;
use super::route::read_pool_name;
use crate::config::{Pages, Target};

/// For bodies: they pass, and nothing of them is kept.
const BODY: RangeInclusive<usize> = 1 << 10..=1 << 40;

/// What a route passes on, and where it names its pool; `path` is the route's, empty when it was refused.
pub(super) fn read_pages(value: &Value<'_>, path: &str) -> Option<(Pages, Option<Placed<String>>)> {
    let table = value.table()?;
    let pool = read_pool_name(&table);
    let pages = Pages {
        pool: pool.as_ref().map(|pool| pool.value.clone()).unwrap_or_default(),
        strip_prefix: table.get("strip_prefix").and_then(|value| read_prefix(&value, path)),
        at_once: table.count("at_once", 1..=1_000_000).unwrap_or(1000),
        body: table.size("body", BODY).unwrap_or(16 << 20),
        body_timeout: table.duration("body_timeout", SHORT).unwrap_or(Duration::from_secs(60)),
        answer_timeout: table.duration("answer_timeout", SHORT).unwrap_or(Duration::from_secs(60)),
        answer_head: table.size("answer_head", 8 << 10..=1 << 20).unwrap_or(32 << 10),
        idle_connections: table.count("idle_connections", 0..=1000).unwrap_or(8),
    };
    table.finish();
    Some((pages, pool))
}

/// Whether both can live on one route.
pub(super) fn check_beside(value: &Value<'_>, target: &Target) {
    match target {
        Target::Redirect(_) => value.refuse("has no meaning on a redirect", "nothing"),
        Target::Hub(hub) if hub.page => {
            value.refuse("the hub's page is already there", "page = false in the hub, or another path");
        }
        Target::Hub(_) | Target::Echo | Target::Proxy(_) | Target::Pages => {}
    }
}
