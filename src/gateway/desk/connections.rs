//! Open WebSockets at the desk: listed, told of one by one, and sent home.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::time::Duration;

use http::{Method, StatusCode, request};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::query::{self, Page, seconds};
use super::wrong::{Wrong, reply, shown};
use super::{Office, rest_of};
use crate::admin::Reply;
use crate::config;
use crate::gateway::exodus;
use crate::telemetry::report::Report;
use crate::telemetry::roster::{Census, Order};
use crate::wire::close::{Code, REASON_MAX};

const METHODS: &[Method] = &[Method::GET, Method::DELETE];

/// Answers. Cancel safe: what was ordered is done.
pub(super) async fn serve(office: &Office, head: &request::Parts) -> Result<Reply, Wrong> {
    let number = match rest_of(head) {
        "" => None,
        text => Some(text.parse().map_err(|_| Wrong::Path)?),
    };
    let asked = head.uri.query();
    match (&head.method, number) {
        (&Method::GET, None) => list(office, asked).await,
        (&Method::GET, Some(number)) => show(office, number, asked).await,
        (&Method::DELETE, None) => send_home(office, asked).await,
        (&Method::DELETE, Some(number)) => close(office, number, asked).await,
        _ => Err(Wrong::Method(METHODS)),
    }
}

async fn list(office: &Office, asked: Option<&str>) -> Result<Reply, Wrong> {
    let (mut wanted, mut page, mut sorting) = (Wanted::default(), Page::default(), Sorting::default());
    query::read(asked, |key, value| {
        Ok(page.take(key, value)? || sorting.take(key, value)? || wanted.take(key, value)?)
    })?;
    let Census { mut sessions, missing } = office.survey(None).await?;
    sessions.retain(|report| wanted.is(report));
    sorting.sort(&mut sessions);
    let shown_now: Vec<Value> = sessions.iter().skip(page.offset).take(page.limit).map(told).collect();
    let more = sessions.len() > page.offset.saturating_add(shown_now.len());
    Ok(shown(&json!({ "count": sessions.len(), "missing": missing, "more": more, "connections": shown_now })))
}

async fn show(office: &Office, number: u64, asked: Option<&str>) -> Result<Reply, Wrong> {
    query::none(asked)?;
    let Census { sessions, missing } = office.survey(Some(number)).await?;
    match sessions.first() {
        Some(report) => Ok(shown(&told(report))),
        None if missing > 0 => Err(Wrong::NoAnswer),
        None => Err(Wrong::NoSuchConnection),
    }
}

/// One that does not answer may still listen.
async fn close(office: &Office, number: u64, asked: Option<&str>) -> Result<Reply, Wrong> {
    let mut farewell = Farewell::default();
    query::read(asked, |key, value| farewell.take(key, value))?;
    let Census { sessions, missing } = office.survey(Some(number)).await?;
    if sessions.is_empty() && missing == 0 {
        return Err(Wrong::NoSuchConnection);
    }
    let order = farewell.order();
    tracing::info!(id = number, code = order.code, reason = &*order.reason, "the operator closes a WebSocket");
    exodus::dismiss(&office.workers, &HashSet::from([number]), &order);
    Ok(gone((1, 0), 0.0))
}

async fn send_home(office: &Office, asked: Option<&str>) -> Result<Reply, Wrong> {
    let (mut wanted, mut farewell) = (Wanted::default(), Farewell::default());
    query::read(asked, |key, value| Ok(wanted.take(key, value)? || farewell.take(key, value)?))?;
    if wanted == Wanted::default() {
        return Err(Wrong::Which);
    }
    let Census { mut sessions, missing } = office.survey(None).await?;
    sessions.retain(|report| wanted.is(report) && !report.state.is_ending);
    let (count, order) = (sessions.len(), farewell.order());
    tracing::info!(websockets = count, code = order.code, reason = &*order.reason, "the operator closes WebSockets");
    let time = office.send_home(sessions, order)?;
    Ok(gone((count, missing), time))
}

fn gone((concerned, missing): (usize, usize), time: f64) -> Reply {
    reply(StatusCode::ACCEPTED, &json!({ "concerned": concerned, "missing": missing, "seconds": time }))
}

fn told(report: &Report) -> Value {
    let Report { number, route, address, host, tls, age, backend, frames, bytes, state, round_trip } = report;
    json!({
        "id": number,
        "route": route.route,
        "address": address.map(|address| address.to_string()),
        "host": host,
        "tls": (*tls != "-").then_some(tls),
        "age_seconds": seconds(*age),
        "idle_seconds": seconds(state.idle),
        "backend": (!backend.is_empty()).then_some(backend),
        "frames_in": frames.0,
        "frames_out": frames.1,
        "bytes_in": bytes.0,
        "bytes_out": bytes.1,
        "queued_bytes": state.queued,
        "ending": state.is_ending,
        "held": state.is_held,
        "ping_seconds": round_trip.map(|time| time.as_secs_f64())
    })
}

/// Which are meant: those that are all of this.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    route: Option<String>,
    /// In one of them.
    networks: Vec<IpNet>,
    backend: Option<String>,
    older_than: Option<Duration>,
    younger_than: Option<Duration>,
    /// Payload, both ways together.
    min_bytes: Option<u64>,
}

impl Wanted {
    /// Takes a word that is about this; whether it is one.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, Wrong> {
        let time = |name| config::read_duration(value).map(Some).ok_or(Wrong::Field(name));
        match key {
            "route" => self.route = Some(value.to_owned()),
            "address" => self.networks = config::read_networks(value).ok_or(Wrong::Field("address"))?,
            "backend" => self.backend = Some(value.to_owned()),
            "older_than" => self.older_than = time("older_than")?,
            "younger_than" => self.younger_than = time("younger_than")?,
            "min_bytes" => {
                let bytes = config::read_size(value).ok_or(Wrong::Field("min_bytes"))?;
                self.min_bytes = Some(bytes as u64);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn is(&self, report: &Report) -> bool {
        let address = report.address.map(|address| address.to_canonical());
        let is_near = || address.is_some_and(|address| self.networks.iter().any(|network| network.contains(&address)));
        self.route.as_ref().is_none_or(|route| report.route.route == *route)
            && (self.networks.is_empty() || is_near())
            && self.backend.as_ref().is_none_or(|backend| report.backend == *backend)
            && self.older_than.is_none_or(|time| report.age > time)
            && self.younger_than.is_none_or(|time| report.age < time)
            && self.min_bytes.is_none_or(|bytes| report.bytes.0.saturating_add(report.bytes.1) >= bytes)
    }
}

/// In which order they are shown: by one of the fields that are told of each.
#[derive(Default)]
struct Sorting {
    by: Option<fn(&Report, &Report) -> Ordering>,
    is_reversed: bool,
}

impl Sorting {
    /// Takes a word that is about this; whether it is one.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, Wrong> {
        if key != "sort" {
            return Ok(false);
        }
        let name = value.strip_prefix('-');
        self.is_reversed = name.is_some();
        self.by = Some(match name.unwrap_or(value) {
            "id" => |a, b| a.number.cmp(&b.number),
            "route" => |a, b| a.route.route.cmp(&b.route.route),
            "address" => |a, b| a.address.cmp(&b.address),
            "host" => |a, b| a.host.cmp(&b.host),
            "tls" => |a, b| a.tls.cmp(b.tls),
            "backend" => |a, b| a.backend.cmp(&b.backend),
            "age_seconds" => |a, b| a.age.cmp(&b.age),
            "idle_seconds" => |a, b| a.state.idle.cmp(&b.state.idle),
            "frames_in" => |a, b| a.frames.0.cmp(&b.frames.0),
            "frames_out" => |a, b| a.frames.1.cmp(&b.frames.1),
            "bytes_in" => |a, b| a.bytes.0.cmp(&b.bytes.0),
            "bytes_out" => |a, b| a.bytes.1.cmp(&b.bytes.1),
            "queued_bytes" => |a, b| a.state.queued.cmp(&b.state.queued),
            "ending" => |a, b| a.state.is_ending.cmp(&b.state.is_ending),
            "held" => |a, b| a.state.is_held.cmp(&b.state.is_held),
            _ => return Err(Wrong::Field("sort")),
        });
        Ok(true)
    }

    fn sort(&self, sessions: &mut [Report]) {
        // Numbers only grow: what comes while somebody turns pages comes behind what was shown.
        sessions.sort_unstable_by_key(|report| report.number);
        if let Some(by) = self.by {
            sessions.sort_by(|a, b| if self.is_reversed { by(b, a) } else { by(a, b) });
        }
    }
}

/// What they are told.
#[derive(Debug, Default)]
struct Farewell {
    code: Option<Code>,
    reason: Option<String>,
}

impl Farewell {
    /// Takes a word that is about this; whether it is one.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, Wrong> {
        match key {
            "code" => {
                let code = value.parse().ok().and_then(Code::from_wire);
                self.code = Some(code.ok_or(Wrong::Field("code"))?);
            }
            "reason" if value.len() > REASON_MAX => return Err(Wrong::Field("reason")),
            "reason" => self.reason = Some(value.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn order(self) -> Order {
        let reason = self.reason.map_or(Cow::Borrowed("closed by the operator"), Cow::Owned);
        Order { code: self.code.unwrap_or(Code::POLICY).get(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn wanted(text: &str) -> Result<Wanted, Wrong> {
        let mut wanted = Wanted::default();
        query::read(Some(text), |key, value| wanted.take(key, value)).map(|()| wanted)
    }

    #[test]
    fn each_word_narrows() {
        let minute = Duration::from_secs(60);
        let address = "::ffff:192.0.2.7".parse::<IpAddr>().expect("address");
        let backend = "ws://h:1".to_owned();
        let report = Report { age: minute, address: Some(address), backend, bytes: (3, 4), ..Report::of_nobody() };
        for (text, is_meant) in [
            ("", true),
            ("address=192.0.2.0/24&backend=ws://h:1&route=&older_than=59s&younger_than=61s&min_bytes=7", true),
            ("address=192.0.2.7", true),
            ("address=192.0.2.8", false),
            ("address=loopback", false),
            ("backend=ws://h:2", false),
            ("route=/", false),
            ("older_than=1m", false),
            ("younger_than=1m", false),
            ("min_bytes=8", false),
        ] {
            assert_eq!(wanted(text).expect(text).is(&report), is_meant, "{text}");
        }
        let nowhere = Report::of_nobody();
        assert!(!wanted("address=0.0.0.0/0").expect("network").is(&nowhere));
        for text in ["address=192.0.2.7/24", "older_than=5", "min_bytes=-1", "rout=/", "route=/&route=/b", "limit=1"] {
            assert!(wanted(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_has_the_order_that_is_asked_for() {
        let sessions = |text: &str| {
            let mut sorting = Sorting::default();
            query::read(Some(text), |key, value| sorting.take(key, value)).map(|()| {
                let facts = [(3, 9, (1, 8)), (1, 5, (4, 4)), (2, 5, (0, 1))];
                let made = facts.map(|(number, age, bytes)| Report {
                    number,
                    age: Duration::from_secs(age),
                    bytes,
                    ..Report::of_nobody()
                });
                let mut made = made.to_vec();
                sorting.sort(&mut made);
                made.iter().map(|report| report.number).collect::<Vec<_>>()
            })
        };
        for (text, order) in [
            ("", [1, 2, 3]),
            ("sort=-id", [3, 2, 1]),
            // Those that are alike stand by number, both ways.
            ("sort=age_seconds", [1, 2, 3]),
            ("sort=-age_seconds", [3, 1, 2]),
            ("sort=bytes_in", [2, 3, 1]),
            ("sort=-bytes_out", [3, 1, 2]),
        ] {
            assert_eq!(sessions(text).expect(text), order, "{text}");
        }
        for text in ["sort=", "sort=-", "sort=name", "sort=held&sort=id"] {
            assert!(sessions(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_farewell_is_what_an_endpoint_may_send() {
        let farewell = |text: &str| {
            let mut farewell = Farewell::default();
            query::read(Some(text), |key, value| farewell.take(key, value)).map(|()| farewell.order())
        };
        let said = |code, reason: &'static str| Order { code, reason: reason.into() };
        assert_eq!(farewell("").ok(), Some(said(1008, "closed by the operator")));
        assert_eq!(farewell("code=4999&reason=").ok(), Some(said(4999, "")));
        assert!(farewell(&format!("reason={}", "x".repeat(123))).is_ok());
        assert!(farewell(&format!("reason={}", "%C3%BC".repeat(62))).is_err());
        for code in ["1004", "1005", "1006", "1015", "999", "2999", "5000", "x", ""] {
            assert!(farewell(&format!("code={code}")).is_err(), "{code}");
        }
    }
}
