//! What one thread counts, and how the counts of all threads become one.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::report::{self, Run, Second, Summary};
use super::stayed;

/// A kind of latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP connect.
    Tcp,
    /// A full TLS handshake.
    Tls,
    /// A resumed one.
    TlsResumed,
    /// From the upgrade request to the 101.
    Upgrade,
    /// From the upgrade, or the first message sent, to the first message received.
    First,
    /// Round trips or deliveries.
    Main,
    /// From a message to its acknowledgement.
    Ack,
    /// From our Close to the peer's.
    Close,
    /// From the cut until the connection is open again.
    Reconnect,
    /// From the end of a connection by the server until its member can say something on another one.
    Away,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Tcp, "tcp"),
    (Kind::Tls, "tls"),
    (Kind::TlsResumed, "tls_resumed"),
    (Kind::Upgrade, "upgrade"),
    (Kind::First, "first_message"),
    (Kind::Main, "round_trip"),
    (Kind::Ack, "ack"),
    (Kind::Close, "close"),
    (Kind::Reconnect, "reconnect"),
    (Kind::Away, "away"),
];

/// All that one thread has counted.
pub(crate) struct Tally {
    latencies: Vec<Histogram<u64>>,
    pub(crate) closes: BTreeMap<u16, u64>,
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) connections: u64,
    pub(crate) resumed: u64,
    /// Connections opened, with all handshakes, while it was measured.
    pub(crate) handshakes: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Deliveries of the two parts of a run.
    pub(crate) parts: [Histogram<u64>; 2],
    /// How many messages of each part came to which connection, also after the end of sending.
    pub(crate) heard: Vec<(usize, [u64; 2])>,
    /// How those ended that never read.
    pub(crate) never_read: BTreeMap<String, u64>,
    /// Some sender has got its own message.
    pub(crate) hears_itself: bool,
    /// Of those who stay.
    pub(crate) stayed: stayed::Count,
    /// How late scheduled messages were sent by fault of the generator.
    pub(crate) late: Histogram<u64>,
    pub(crate) lag: Histogram<u64>,
    pub(crate) cpu_seconds: f64,
    /// Time in which the thread was ready to run, and another had its processor.
    pub(crate) waited_seconds: f64,
    pub(crate) second: Tick,
}

/// What one thread counted in one second.
pub(crate) struct Tick {
    pub(crate) at: u32,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) errors: u64,
    pub(crate) latency: Histogram<u64>,
    pub(crate) cpu: f64,
    pub(crate) lag_max: u64,
}

/// In microseconds: what took longer is a minute to the figures of one second.
const MINUTE: u64 = 60_000_000;

impl Tick {
    /// Nothing yet in this second.
    pub(crate) fn new(at: u32) -> Self {
        let latency =
            Histogram::new_with_bounds(1, MINUTE, 2).unwrap_or_else(|_| unreachable!("the bounds are lawful"));
        Self { at, sent: 0, received: 0, bytes_in: 0, bytes_out: 0, errors: 0, latency, cpu: 0.0, lag_max: 0 }
    }

    /// Another thread's count of the same second.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.errors += other.errors;
        self.cpu += other.cpu;
        self.lag_max = self.lag_max.max(other.lag_max);
        let _ = self.latency.add(&other.latency);
    }

    /// As it stands in the report.
    pub(crate) fn finish(&self, open: usize) -> Second {
        Second {
            at: self.at,
            sent: self.sent,
            received: self.received,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            errors: self.errors,
            open: open as u64,
            p50: self.latency.value_at_quantile(0.5),
            p99: self.latency.value_at_quantile(0.99),
            max: self.latency.max(),
            own_cpu: self.cpu,
            lag_max: self.lag_max,
        }
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            latencies: KINDS.iter().map(|_| report::histogram()).collect(),
            closes: BTreeMap::new(),
            refusals: BTreeMap::new(),
            errors: BTreeMap::new(),
            connections: 0,
            resumed: 0,
            handshakes: 0,
            sent: 0,
            received: 0,
            bytes_in: 0,
            bytes_out: 0,
            parts: [report::histogram(), report::histogram()],
            heard: Vec::new(),
            never_read: BTreeMap::new(),
            hears_itself: false,
            stayed: stayed::Count::default(),
            late: report::histogram(),
            lag: report::histogram(),
            cpu_seconds: 0.0,
            waited_seconds: 0.0,
            second: Tick::new(0),
        }
    }

    /// One latency more.
    pub(crate) fn record(&mut self, kind: Kind, micros: u64) {
        self.latencies[kind as usize].saturating_record(micros.max(1));
        if kind == Kind::Main {
            self.second.latency.saturating_record(micros.max(1));
        }
    }

    /// One delivery more, of the first part or the second.
    pub(crate) fn deliver(&mut self, part: usize, micros: u64) {
        self.record(Kind::Main, micros);
        self.parts[part].saturating_record(micros.max(1));
    }

    /// One failure more.
    pub(crate) fn error(&mut self, what: &str) {
        *self.errors.entry(what.to_owned()).or_default() += 1;
        self.second.errors += 1;
    }

    /// Another thread's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            let _ = mine.add(theirs);
        }
        let _ = self.late.add(&other.late);
        let _ = self.lag.add(&other.lag);
        sum(&mut self.closes, &other.closes);
        sum(&mut self.refusals, &other.refusals);
        sum(&mut self.errors, &other.errors);
        self.connections += other.connections;
        self.resumed += other.resumed;
        self.handshakes += other.handshakes;
        self.sent += other.sent;
        self.received += other.received;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        for (mine, theirs) in self.parts.iter_mut().zip(&other.parts) {
            let _ = mine.add(theirs);
        }
        self.heard.extend_from_slice(&other.heard);
        sum(&mut self.never_read, &other.never_read);
        self.hears_itself |= other.hears_itself;
        self.stayed.add(&other.stayed);
        self.cpu_seconds += other.cpu_seconds;
        self.waited_seconds += other.waited_seconds;
    }

    /// Puts the counts into a report, the main latency under its name; `seconds` is how long it measured.
    pub(crate) fn into_run(self, run: &mut Run, main: &str, seconds: f64) {
        for (kind, name) in KINDS {
            let name = if kind == Kind::Main { main } else { name };
            if let Some(summary) = Summary::of(&self.latencies[kind as usize]) {
                run.latencies.insert(name.to_owned(), summary);
            }
        }
        run.totals.connections = self.connections;
        run.totals.sent = self.sent;
        run.totals.received = self.received;
        run.totals.bytes_in = self.bytes_in;
        run.totals.bytes_out = self.bytes_out;
        if seconds > 0.0 {
            run.totals.messages_per_second = self.received as f64 / seconds;
            run.totals.megabytes_per_second = self.bytes_in as f64 / seconds / 1e6;
        }
        run.generator.cpu_seconds = self.cpu_seconds;
        run.generator.lag_p99 = self.lag.value_at_quantile(0.99);
        run.generator.lag_max = self.lag.max();
        run.never_read = self.never_read;
        run.closes = self.closes;
        run.refusals = self.refusals;
        run.errors.extend(self.errors);
    }
}

fn sum<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key.clone()).or_default() += count;
    }
}
