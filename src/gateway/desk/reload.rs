//! The configuration read again from the desk: what has changed or would, and what becomes of those who are there.

use http::{Method, request};
use serde_json::{Value, json};

use super::query::{self, seconds};
use super::wrong::{Wrong, problem, shown};
use super::{Office, rest_of};
use crate::admin::Reply;
use crate::config::{Change, ChangeKind, Subject};
use crate::gateway::drain;
use crate::gateway::reload::{self, Fate, Fates, Purpose, Reloaded};
use crate::telemetry::report::Report;
use crate::telemetry::roster::Census;

/// Answers. Cancel safe: a reload that has begun is brought to its end.
pub(super) async fn serve(office: &Office, head: &request::Parts, body: &[u8]) -> Result<Reply, Wrong> {
    if !rest_of(head).is_empty() {
        return Err(Wrong::Path);
    }
    if head.method != Method::POST {
        return Err(Wrong::Method(&[Method::POST]));
    }
    if !body.is_empty() {
        return Err(Wrong::Shape("there is nothing to be said in a body here".to_owned()));
    }
    let mut purpose = Purpose::InForce;
    query::read(head.uri.query(), |key, value| {
        if key == "dry-run" && !matches!(value, "" | "true") {
            return Err(Wrong::Field("dry-run"));
        }
        purpose = Purpose::Rehearse;
        Ok(key == "dry-run")
    })?;
    // Before it: afterwards some are on their way already.
    let Census { mut sessions, missing } = office.survey(None).await?;
    sessions.retain(|report| !report.state.is_ending);
    let reloaded = reload::reread(&office.shared, purpose).await.map_err(Wrong::Reload)?;
    Ok(shown(&told(office, &reloaded, (purpose, &sessions, missing))))
}

fn told(office: &Office, reloaded: &Reloaded, around: (Purpose, &[Report], usize)) -> Value {
    let Reloaded { changes, warnings, fates } = reloaded;
    let (purpose, sessions, missing) = around;
    let closed = sessions.iter().filter(|report| fates.of(report) != Fate::Stays).count();
    let time = drain::pace(&office.shared.snapshot.load()).time(closed);
    let changes: Vec<Value> = changes.iter().map(|change| change_told(change, fates, sessions)).collect();
    let warnings: Vec<Value> = warnings.iter().map(problem).collect();
    json!({
        "dry_run": purpose == Purpose::Rehearse,
        "changes": changes,
        "websockets": sessions.len(),
        "closed": closed,
        "seconds": seconds(time),
        "missing": missing,
        "warnings": warnings
    })
}

fn change_told(change: &Change, fates: &Fates, sessions: &[Report]) -> Value {
    let Change { key, kind, parts, restart, subject } = change;
    let is_meant = |report: &&Report| match subject {
        Subject::Gateway => true,
        Subject::Route(name) => report.route.route == *name,
        Subject::Pool(name) => fates.is_in_pool(report, name),
    };
    let goes = |report: &&Report| match subject {
        Subject::Gateway => false,
        Subject::Route(_) => fates.of(report) == Fate::WayGone,
        Subject::Pool(_) => fates.of(report) == Fate::BackendGone,
    };
    let meant = || sessions.iter().filter(is_meant);
    // What waits for a restart concerns nobody now.
    let (count, closed) = if *restart { (0, 0) } else { (meant().count(), meant().filter(goes).count()) };
    json!({
        "key": key,
        "change": kind.word(),
        "keys": parts,
        "restart": restart,
        "websockets": count,
        "closed": closed,
        "effect": effect(change, count, closed)
    })
}

/// In plain words.
fn effect(change: &Change, count: usize, closed: usize) -> &'static str {
    match (&change.subject, change.kind) {
        _ if change.restart => "needs a restart: until then it is as it was",
        (_, ChangeKind::Added) => "for those who come from now on",
        (Subject::Route(_), ChangeKind::Removed) if count > 0 => "those who came by it are sent home with 1012",
        (Subject::Route(_), _) if closed > 0 => "it leads elsewhere now: those who came by it are sent home with 1012",
        (Subject::Route(_), ChangeKind::Altered) if change.parts.contains(&"hub") && count > 0 => {
            "its rooms go by it at once; those who are there stay, each by the limits that it came with"
        }
        (Subject::Pool(_), _) if closed > 0 && closed < count => {
            "those on a backend that is gone are sent home with 1012; the others stay as they are"
        }
        (Subject::Pool(_), _) if closed > 0 => "their backend is gone: they are sent home with 1012",
        _ if count > 0 => "for those who come from now on; those who are there stay as they are",
        _ => "for those who come from now on",
    }
}
