//! Records as spans, with the facts that their lines in the log have.

use std::time::SystemTime;

use super::{End, Names, Record, Stay};
use crate::telemetry::sample::Kind;
use crate::telemetry::spans::{Fact, Span};

/// A fact that is there.
type Known = (&'static str, Option<Fact>);

impl Record {
    /// Leaves a span of a connection that is over, where somebody collects them.
    pub(super) fn trace(&self) {
        let Some(outbox) = &self.metrics.spans else { return };
        let refused = self.refused.as_deref().map(str::trim_end);
        outbox.leave(Span {
            name: "connection".to_owned(),
            trace: self.trace.clone(),
            took: self.since.elapsed(),
            ended: SystemTime::now(),
            fault: refused.map(str::to_owned),
            facts: known([
                ("client.address", self.address.map(|address| Fact::Text(address.to_string()))),
                ("server.address", text(&self.host)),
                ("http.response.status_code", (self.status > 0).then(|| Fact::Number(self.status.into()))),
                ("wsgate.tls", text(self.tls)),
                ("wsgate.subject", self.subject.as_deref().and_then(text)),
                ("wsgate.requests", Some(Fact::Number(self.requests.into()))),
                ("wsgate.reason", refused.and_then(text)),
            ]),
        });
    }
}

impl Stay {
    /// Leaves a span of a WebSocket that has ended so, where somebody collects them.
    pub(super) fn trace(&self, end: &End) {
        let Some(outbox) = &self.metrics.spans else { return };
        let Names { host, subject, trace } = self.names();
        let is_faulty = Kind::of_end(end.by, end.code) == Kind::Abnormal;
        outbox.leave(Span {
            name: format!("websocket {}", self.route.route),
            trace: trace.map(Into::into),
            took: self.since.elapsed(),
            ended: SystemTime::now(),
            fault: is_faulty.then(|| format!("{} by {}: {}", end.code, end.by, end.reason)),
            facts: known([
                ("client.address", self.address.map(|address| Fact::Text(address.to_string()))),
                ("server.address", text(host)),
                ("http.route", text(&self.route.route)),
                ("wsgate.id", Some(Fact::Number(end.id))),
                ("wsgate.backend", text(&end.backend)),
                ("wsgate.tls", text(self.tls.name())),
                ("wsgate.subject", subject.and_then(text)),
                ("wsgate.frames_in", Some(Fact::Number(end.frames.0))),
                ("wsgate.frames_out", Some(Fact::Number(end.frames.1))),
                ("wsgate.bytes_in", Some(Fact::Number(end.bytes.0))),
                ("wsgate.bytes_out", Some(Fact::Number(end.bytes.1))),
                ("wsgate.ended_by", text(end.by)),
                ("wsgate.close_code", Some(Fact::Number(end.code.into()))),
                ("wsgate.reason", text(&end.reason)),
            ]),
        });
    }
}

fn known<const N: usize>(facts: [Known; N]) -> Vec<(&'static str, Fact)> {
    facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect()
}

fn text(text: &str) -> Option<Fact> {
    (!text.is_empty() && text != "-").then(|| Fact::Text(text.to_owned()))
}
