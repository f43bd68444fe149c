//! One record for each connection, written exactly once, when it is dropped: a panic, a refusal and a good end all
//! leave one line.

mod parts;
#[cfg(feature = "otel")]
mod span;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::parts::End;
use self::parts::{Names, Tls, code_label, seconds, trace_id};
use super::metrics::{Metrics, Route, label};
use super::report::{Report, State};
use super::sample::Kind;

/// What the lines of connections are filtered by.
const TARGET: &str = "wsgate::connection";

/// What is known of one connection that is no WebSocket; filled in as it goes, logged when dropped (target
/// `wsgate::connection`).
#[derive(Debug)]
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    since: Instant,
    /// The client's address: the peer's until a trusted proxy has said better.
    pub address: Option<IpAddr>,
    /// What the client's certificate calls it.
    pub subject: Option<Box<str>>,
    /// The Host that was asked for.
    pub host: String,
    /// `TLSv1.2`, `TLSv1.3` or `-`.
    pub tls: &'static str,
    /// Requests that were read.
    pub requests: u32,
    /// The status of the last answer.
    pub status: u16,
    /// The trace that it belongs to, as hexadecimal numbers with dashes between them; the trace's own comes first.
    pub trace: Option<Box<str>>,
    /// Why it was refused, if it was.
    pub refused: Option<Cow<'static, str>>,
    /// A [`Stay`] tells of it from now on.
    handed_on: bool,
}

/// What is known of an open WebSocket: no more than its line in the log needs, since there are so many. Written when
/// dropped, as cut unless it was told how it ended.
#[derive(Debug)]
pub(crate) struct Stay {
    metrics: Arc<Metrics>,
    route: Arc<Route>,
    /// The Host, the certificate's subject and the trace, each of them that is there on a line of its own; none of them can
    /// have a line end in it.
    names: Box<str>,
    since: Instant,
    address: Option<IpAddr>,
    tls: Tls,
    end: Option<Box<End>>,
}

impl Record {
    /// A connection that was just accepted.
    #[must_use]
    pub(crate) fn open(metrics: &Arc<Metrics>, address: Option<IpAddr>) -> Self {
        metrics.pending.inc();
        Self {
            metrics: Arc::clone(metrics),
            since: Instant::now(),
            address,
            subject: None,
            host: String::new(),
            tls: "-",
            requests: 0,
            status: 0,
            trace: None,
            refused: None,
            handed_on: false,
        }
    }

    /// The counters that this record adds to.
    #[must_use]
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A request was refused: counted by `label`, and shown with the line it was answered.
    pub(crate) fn refuse(&mut self, status: u16, reason: &str, line: impl Into<Cow<'static, str>>) {
        self.status = status;
        self.refused = Some(line.into());
        self.metrics.refused.get_or_create(&label("reason", reason)).inc();
    }

    /// A plain request was answered; what was wrong with one before it is over.
    pub(crate) fn answer(&mut self, status: u16) {
        (self.status, self.refused) = (status, None);
        self.metrics.answered.get_or_create(&label("status", status.to_string())).inc();
    }

    /// It has become a WebSocket on this route; counted as open until what is returned is dropped.
    #[must_use]
    pub(crate) fn upgraded(mut self, route: &Arc<Route>) -> Stay {
        self.handed_on = true;
        self.metrics.open.get_or_create(route).inc();
        self.metrics.opened.get_or_create(route).inc();
        self.metrics.handshakes.opened(self.since.elapsed());
        Stay {
            metrics: Arc::clone(&self.metrics),
            route: Arc::clone(route),
            names: match (self.subject.take(), self.trace.take()) {
                (None, None) => std::mem::take(&mut self.host).into_boxed_str(),
                (Some(subject), None) => format!("{}\n{subject}", self.host).into_boxed_str(),
                (subject, Some(trace)) => {
                    format!("{}\n{}\n{trace}", self.host, subject.as_deref().unwrap_or("")).into_boxed_str()
                }
            },
            since: Instant::now(),
            address: self.address,
            tls: Tls::named(self.tls),
            end: None,
        }
    }

    fn write(&self) {
        let kind = if self.refused.is_some() { Kind::Refused } else { Kind::Ordinary };
        if !is_written(&self.metrics, kind) {
            return;
        }
        tracing::info!(
            target: TARGET,
            address = self.address.map(tracing::field::display),
            host = self.host,
            tls = self.tls,
            subject = self.subject.as_deref().map(tracing::field::display),
            trace_id = self.trace.as_deref().map(trace_id),
            seconds = seconds(self.since),
            requests = self.requests,
            status = self.status,
            reason = self.refused.as_deref().unwrap_or("").trim_end(),
            "connection ended"
        );
    }
}

impl Stay {
    /// The counters that it adds to.
    #[must_use]
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What it tells of itself, with what its conversation knows.
    #[must_use]
    pub(crate) fn report(
        &self,
        number: u64,
        backend: &str,
        (frames, bytes): ((u64, u64), (u64, u64)),
        state: State,
    ) -> Report {
        Report {
            number,
            route: Arc::clone(&self.route),
            address: self.address,
            host: self.names().host.into(),
            tls: self.tls.name(),
            age: self.since.elapsed(),
            backend: backend.to_owned(),
            frames,
            bytes,
            state,
            round_trip: None,
        }
    }

    fn names(&self) -> Names<'_> {
        let mut lines = self.names.split('\n');
        let (host, subject, trace) = (lines.next().unwrap_or(""), lines.next(), lines.next());
        // Where there is a trace, there is a line for the subject in any case.
        Names { host, subject: subject.filter(|subject| trace.is_none() || !subject.is_empty()), trace }
    }

    /// The WebSocket has ended.
    pub(crate) fn ended(&mut self, end: End) {
        self.end = Some(Box::new(end));
    }

    /// Whether it was told how.
    #[must_use]
    pub(crate) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    fn count(&self, end: &End) {
        let metrics = &self.metrics;
        metrics.open.get_or_create(&self.route).dec();
        let labels = vec![("by", end.by.to_owned()), ("code", code_label(end.code))];
        metrics.ended.get_or_create(&labels).inc();
    }

    fn write(&self, end: &End) {
        if !is_written(&self.metrics, Kind::of_end(end.by, end.code)) {
            return;
        }
        let Names { host, subject, trace } = self.names();
        tracing::info!(
            target: TARGET,
            id = end.id,
            address = self.address.map(tracing::field::display),
            host,
            route = self.route.route,
            backend = end.backend,
            tls = self.tls.name(),
            subject = subject.map(tracing::field::display),
            trace_id = trace.map(trace_id),
            seconds = seconds(self.since),
            frames_in = end.frames.0,
            frames_out = end.frames.1,
            bytes_in = end.bytes.0,
            bytes_out = end.bytes.1,
            ended_by = end.by,
            code = end.code,
            reason = &*end.reason,
            "websocket ended"
        );
    }
}

/// Lines that nobody wants are not left out: they take no share of those that are wanted.
fn is_written(metrics: &Metrics, kind: Kind) -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO) && metrics.sampler.admits(kind)
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.pending.dec();
        if !self.handed_on {
            self.write();
            #[cfg(feature = "otel")]
            self.trace();
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| Box::new(End::cut("")));
        self.count(&end);
        self.write(&end);
        #[cfg(feature = "otel")]
        self.trace(&end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart() {
        let metrics = Arc::new(Metrics::default());
        let route = Arc::new(Route { route: "/chat".to_owned() });
        for (subject, trace) in
            [(None, None), (Some("CN=a"), None), (None, Some("4b-f0-01")), (Some("CN=a"), Some("4b"))]
        {
            let mut record = Record::open(&metrics, None);
            record.host = "a.example".to_owned();
            (record.subject, record.trace) = (subject.map(Into::into), trace.map(Into::into));
            let stay = record.upgraded(&route);
            let Names { host, subject: its, trace: own } = stay.names();
            assert_eq!((host, its, own), ("a.example", subject, trace));
        }
        assert_eq!((trace_id("4b-f0-01"), trace_id("4b")), ("4b", "4b"));
    }

    #[test]
    fn every_session_is_counted_once_however_it_ends() {
        let metrics = Arc::new(Metrics::default());
        let route = Arc::new(Route { route: "/chat".to_owned() });
        let mut stay = Record::open(&metrics, None).upgraded(&route);
        stay.ended(End {
            by: "client",
            code: 4711,
            reason: "bye".into(),
            frames: (2, 3),
            bytes: (20, 30),
            ..End::cut("")
        });
        assert!(stay.has_ended());
        drop(stay);
        drop(Record::open(&metrics, None).upgraded(&route));
        let text = metrics.text();
        for line in [
            "wsgate_websockets_ended_total{by=\"client\",code=\"4xxx\"} 1",
            "wsgate_websockets_ended_total{by=\"gateway\",code=\"1006\"} 1",
            "wsgate_websockets_open{route=\"/chat\"} 0",
            "wsgate_tcp_connections_pending 0",
            "wsgate_websocket_handshake_duration_seconds_count 2",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
