//! One record for each connection, written exactly once, when it is dropped: a panic, a refusal and a good end all
//! leave one line.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::metrics::{Metrics, Route, label};

/// What is known of one connection; filled in as it goes, logged when dropped (target `wsgate::connection`).
#[derive(Debug)]
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    since: Instant,
    /// The client's address: the peer's until a trusted proxy has said better.
    pub address: Option<IpAddr>,
    /// The Host that was asked for.
    pub host: String,
    /// `TLSv1.2`, `TLSv1.3` or `-`.
    pub tls: &'static str,
    /// Requests that were read.
    pub requests: u32,
    /// The status of the last answer.
    pub status: u16,
    /// Why it was refused, if it was.
    pub refused: Option<Cow<'static, str>>,
    session: Option<Session>,
    pending: bool,
}

#[derive(Debug)]
struct Session {
    route: String,
    since: Instant,
    backend: String,
    end: Option<End>,
    frames: (u64, u64),
    bytes: (u64, u64),
}

/// How a session ended, in plain words and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// `client`, `backend` or `gateway`.
    pub by: &'static str,
    /// The close code.
    pub code: u16,
    /// The reason.
    pub reason: Cow<'static, str>,
    /// Data frames from the client and to it.
    pub frames: (u64, u64),
    /// Their payload.
    pub bytes: (u64, u64),
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
            host: String::new(),
            tls: "-",
            requests: 0,
            status: 0,
            refused: None,
            session: None,
            pending: true,
        }
    }

    /// The counters that this record adds to.
    #[must_use]
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// A request was refused: counted by `label`, and shown with the line it was answered.
    pub(crate) fn refuse(&mut self, status: u16, reason: &str, line: impl Into<Cow<'static, str>>) {
        self.status = status;
        self.refused = Some(line.into());
        self.metrics.refused.get_or_create(&label("reason", reason)).inc();
    }

    /// A plain request was answered.
    pub(crate) fn answer(&mut self, status: u16) {
        self.status = status;
        self.metrics.answered.get_or_create(&label("status", status.to_string())).inc();
    }

    /// It has become a WebSocket on this route; `backend` is empty where there is none.
    pub(crate) fn upgraded(&mut self, route: &str, backend: &str) {
        self.settle();
        self.status = 101;
        self.refused = None;
        let route = Route { route: route.to_owned() };
        self.metrics.open.get_or_create(&route).inc();
        self.metrics.opened.get_or_create(&route).inc();
        let (route, backend) = (route.route, backend.to_owned());
        self.session =
            Some(Session { route, since: Instant::now(), backend, end: None, frames: (0, 0), bytes: (0, 0) });
    }

    /// The WebSocket has ended.
    pub(crate) fn ended(&mut self, end: End) {
        if let Some(session) = &mut self.session {
            (session.frames, session.bytes) = (end.frames, end.bytes);
            session.end = Some(end);
        }
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.metrics.pending.dec();
        }
    }

    fn count(&self, session: &Session, end: &End) {
        let metrics = &self.metrics;
        metrics.open.get_or_create(&Route { route: session.route.clone() }).dec();
        let labels = vec![("by", end.by.to_owned()), ("code", code_label(end.code))];
        metrics.ended.get_or_create(&labels).inc();
        for (direction, frames, bytes) in
            [("in", session.frames.0, session.bytes.0), ("out", session.frames.1, session.bytes.1)]
        {
            metrics.frames.get_or_create(&label("direction", direction)).inc_by(frames);
            metrics.bytes.get_or_create(&label("direction", direction)).inc_by(bytes);
        }
    }

    fn write_session(&self, session: &Session, end: &End) {
        tracing::info!(
            target: "wsgate::connection",
            address = self.address.map(tracing::field::display),
            host = self.host,
            route = session.route,
            backend = session.backend,
            tls = self.tls,
            seconds = (session.since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            frames_in = session.frames.0,
            frames_out = session.frames.1,
            bytes_in = session.bytes.0,
            bytes_out = session.bytes.1,
            ended_by = end.by,
            code = end.code,
            reason = &*end.reason,
            "websocket ended"
        );
    }

    fn write_plain(&self) {
        tracing::info!(
            target: "wsgate::connection",
            address = self.address.map(tracing::field::display),
            host = self.host,
            tls = self.tls,
            seconds = (self.since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            requests = self.requests,
            status = self.status,
            reason = self.refused.as_deref().unwrap_or("").trim_end(),
            "connection ended"
        );
    }
}

/// Codes of an application's own are many and chosen by clients: they share one label.
fn code_label(code: u16) -> String {
    match code {
        1000..=1015 => code.to_string(),
        3000..=3999 => "3xxx".to_owned(),
        4000..=4999 => "4xxx".to_owned(),
        _ => "other".to_owned(),
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.settle();
        let Some(session) = self.session.take() else {
            return self.write_plain();
        };
        let cut = End { by: "gateway", code: 1006, reason: "cut".into(), frames: (0, 0), bytes: (0, 0) };
        let end = session.end.as_ref().unwrap_or(&cut);
        self.count(&session, end);
        self.write_session(&session, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_is_counted_once_however_it_ends() {
        let metrics = Arc::new(Metrics::default());
        let mut record = Record::open(&metrics, None);
        record.upgraded("/chat", "");
        record.ended(End { by: "client", code: 4711, reason: "bye".into(), frames: (2, 3), bytes: (20, 30) });
        drop(record);
        let mut panicked = Record::open(&metrics, None);
        panicked.upgraded("/chat", "");
        drop(panicked);
        let text = metrics.text();
        for line in [
            "wsgate_websockets_ended_total{by=\"client\",code=\"4xxx\"} 1",
            "wsgate_websockets_ended_total{by=\"gateway\",code=\"1006\"} 1",
            "wsgate_websockets_open{route=\"/chat\"} 0",
            "wsgate_tcp_connections_pending 0",
            "wsgate_data_bytes_total{direction=\"out\"} 30",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
