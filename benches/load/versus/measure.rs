//! One figure of one server: load, and what the server's process tree spends on it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::client::Resumption;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::arguments::Arguments;
use super::super::live::Live;
use super::super::server::{Probe, bytes_per_connection};
use super::Options;
use super::drive::{self, Dialer, Message, Room, Tally, Times, Wire};
use super::target::{Certificate, Target};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    /// Processor time for a message and its echo.
    RoundTrip { connections: usize, size: usize },
    /// How long a message and its echo take, and their processor time.
    Latency { connections: usize, size: usize },
    /// Processor time for a gigabyte of large messages, both directions counted.
    Bulk,
    /// Processor time for a TLS handshake, an upgrade and a close.
    Handshake { resumed: bool },
    /// Memory of a connection that was upgraded and is at rest.
    Idle,
    /// Processor time for bringing one member's message to one member of a room.
    Delivery { members: usize, size: usize },
    /// How long deliveries take when messages come at a rate, and their processor time: a run of the whole harness.
    Fanout { members: usize, size: usize, rate: f64 },
}

/// What a figure came to.
pub(super) struct Measured {
    /// A value for each of its lines.
    pub(super) values: Vec<f64>,
    /// Why they might not be the server's.
    pub(super) doubt: Option<String>,
}

/// Of relays, in the order in which they are measured and shown.
pub(super) const RELAYED: [Figure; 8] = [
    Figure::RoundTrip { connections: 64, size: 32 },
    Figure::RoundTrip { connections: 64, size: 16 << 10 },
    Figure::RoundTrip { connections: 1000, size: 32 },
    Figure::RoundTrip { connections: 1000, size: 16 << 10 },
    Figure::Bulk,
    Figure::Handshake { resumed: false },
    Figure::Handshake { resumed: true },
    Figure::Idle,
];

/// Of profiles: one user alone, of whom nothing is ever under way when the next message comes, and a busy server.
pub(super) const PROFILED: [Figure; 4] = [
    Figure::Latency { connections: 1, size: 32 },
    Figure::Latency { connections: 1, size: 3 << 9 },
    Figure::Latency { connections: 64, size: 32 },
    Figure::Latency { connections: 64, size: 1 << 10 },
];

/// Connections and bytes of a message for `Bulk`.
const BULK: (usize, usize) = (8, 1 << 20);
/// The counts of connections between which memory is compared.
pub(super) const IDLE: (usize, usize) = (500, 2000);
/// Clients that come and go at once.
const COMERS: usize = 16;
/// How many connections are opened at once.
const OPENERS: usize = 32;
/// Before time is counted: caches, buffers and tickets are there.
const WARM_UP: Duration = Duration::from_millis(300);
/// Before memory is read: allocators have given back what they give back.
const REST: Duration = Duration::from_millis(2500);
/// Opening the connections of one figure takes no longer.
const OPENING: Duration = Duration::from_secs(60);

impl Figure {
    /// What its values say, for people, and in which unit each is counted.
    #[must_use]
    pub(super) fn lines(self) -> Vec<(String, &'static str)> {
        let one = |name: String, unit| vec![(name, unit)];
        match self {
            Self::RoundTrip { connections, size } => {
                one(format!("CPU a round trip, {}, {}", crowd(connections), bytes(size)), "µs")
            }
            Self::Latency { connections, size } => ["latency p50", "latency p99", "CPU a round trip"]
                .map(|name| (format!("{name}, {}, {}", crowd(connections), bytes(size)), "µs"))
                .into(),
            Self::Bulk => one("CPU a GB relayed, 1 MiB messages".to_owned(), "s"),
            Self::Handshake { resumed: false } => one("CPU a full handshake, upgrade, close".to_owned(), "µs"),
            Self::Handshake { resumed: true } => one("CPU a resumed handshake, upgrade, close".to_owned(), "µs"),
            Self::Idle => one("memory of an idle connection (PSS)".to_owned(), "B"),
            Self::Delivery { members, size } => {
                one(format!("CPU a delivery, {} members, {}, one by one", thousands(members), bytes(size)), "µs")
            }
            Self::Fanout { members, size, rate } => ["latency p50", "latency p99", "CPU a delivery"]
                .map(|name| (format!("{name}, {} members, {}, {rate}/s", thousands(members), bytes(size)), "µs"))
                .into(),
        }
    }

    /// Measures it once.
    ///
    /// # Errors
    /// The server refuses, fails or lies.
    pub(super) async fn measure(self, target: &Target, made: &Certificate, options: &Options) -> io::Result<Measured> {
        let time = options.time;
        let one = |value| vec![value];
        let mut doubt = None;
        let result = match self {
            Self::RoundTrip { connections, size } => {
                Ok(one(round_trips(target, made, time, (connections, size)).await?.cpu * 1e6))
            }
            Self::Latency { connections, size } => {
                let trips = round_trips(target, made, time, (connections, size)).await?;
                Ok([trips.p50.as_secs_f64(), trips.p99.as_secs_f64(), trips.cpu].map(|seconds| seconds * 1e6).into())
            }
            Self::Bulk => Ok(one(round_trips(target, made, time, BULK).await?.cpu / (2 * BULK.1) as f64 * 1e9)),
            Self::Handshake { resumed } => handshakes(target, made, time, resumed).await.map(one),
            Self::Idle => idle(target, made).await.map(one),
            Self::Delivery { members, size } => Ok(one(deliveries(target, made, time, (members, size)).await? * 1e6)),
            Self::Fanout { .. } => fanout(target, &options.chat).await.map(|found| {
                doubt = found.doubt;
                found.values
            }),
        };
        // The next one does not pay for the end of these connections.
        sleep(Duration::from_millis(200)).await;
        result.map(|values| Measured { values, doubt })
    }
}

/// A whole run of the harness: messages at a rate, whatever comes back.
async fn fanout(target: &Target, chat: &Arguments) -> io::Result<Measured> {
    let arguments = Arguments { url: Some(target.url()), server_pid: Some(target.ward.pid()), ..chat.clone() };
    let found = tokio::task::spawn_blocking(move || super::super::find(&arguments, &mut Live::silent()));
    let (run, _) = found.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
    let (Some(latency), Some(server)) = (run.latencies.get("delivery"), &run.server) else {
        return Err(io::Error::other("nothing came back"));
    };
    if run.totals.completeness < Some(100.0) || !run.errors.is_empty() || !run.refusals.is_empty() {
        let wrong = (run.totals.completeness, &run.errors, &run.refusals);
        return Err(io::Error::other(format!("not all came: {wrong:?} ({})", target.ward.complaint())));
    }
    let cpu = server.cpu_us_per_delivery.ok_or_else(|| io::Error::other("its processor time is not known"))?;
    let doubt = (!run.generator.valid).then(|| run.generator.why.join("; "));
    Ok(Measured { values: vec![latency.p50 as f64, latency.p99 as f64, cpu], doubt })
}

/// One connection is nobody's crowd.
fn crowd(connections: usize) -> String {
    if connections == 1 { "alone".to_owned() } else { format!("{} connections", thousands(connections)) }
}

/// `32 B`, `1.5 KiB`.
fn bytes(size: usize) -> String {
    if size < 1024 { format!("{size} B") } else { format!("{} KiB", size as f64 / 1024.0) }
}

/// `1,000`.
fn thousands(count: usize) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", count / 1000, count % 1000) }
}

/// What round trips take.
struct Trips {
    /// Processor seconds for one.
    cpu: f64,
    p50: Duration,
    p99: Duration,
}

async fn round_trips(target: &Target, made: &Certificate, time: Duration, load: (usize, usize)) -> io::Result<Trips> {
    let (connections, size) = load;
    let dialer = Dialer::new(target.address, &made.authority, Resumption::disabled())?;
    let (message, tally, times) = (Message::of(size), Tally::default(), Times::new()?);
    let mut tasks = JoinSet::new();
    for wire in open(&dialer, connections).await? {
        tasks.spawn(drive::echo(wire, message.clone(), Tally::clone(&tally), times.clone()));
    }
    sleep(WARM_UP).await;
    times.reset();
    let cpu = spent(target, time, &mut tasks, &tally).await?;
    Ok(Trips { cpu, p50: times.percentile(50.0), p99: times.percentile(99.0) })
}

/// Processor seconds a delivery: one member speaks, and speaks again when all have heard it.
async fn deliveries(target: &Target, made: &Certificate, time: Duration, room: (usize, usize)) -> io::Result<f64> {
    let (members, size) = room;
    let dialer = Dialer::new(target.address, &made.authority, Resumption::disabled())?;
    let (message, tally, all_heard) = (Message::of(size), Tally::default(), Arc::new(Notify::new()));
    let mut tasks = JoinSet::new();
    for (at, wire) in open(&dialer, members).await?.into_iter().enumerate() {
        let (from, to) = tokio::io::split(wire);
        let room = Room { members: members as u64, tally: Tally::clone(&tally), all_heard: Arc::clone(&all_heard) };
        if at == 0 {
            tasks.spawn(drive::speak(to, message.clone(), Arc::clone(&all_heard)));
        } else {
            // Held until the measurement ends: a half that is dropped does not end the connection.
            drop(to);
        }
        tasks.spawn(drive::listen(from, message.clone(), room));
    }
    sleep(WARM_UP).await;
    spent(target, time, &mut tasks, &tally).await
}

async fn handshakes(target: &Target, made: &Certificate, time: Duration, resumed: bool) -> io::Result<f64> {
    let (tally, seen) = (Tally::default(), Tally::default());
    let mut tasks = JoinSet::new();
    for _ in 0..COMERS {
        let resumption = if resumed { Resumption::in_memory_sessions(16) } else { Resumption::disabled() };
        let dialer = Dialer::new(target.address, &made.authority, resumption)?;
        tasks.spawn(drive::come_and_go(dialer, Tally::clone(&tally), Tally::clone(&seen)));
    }
    sleep(WARM_UP).await;
    let seconds = spent(target, time, &mut tasks, &tally).await?;
    // Each client's first handshake is full.
    let (all, seen) = (tally.load(Ordering::Relaxed), seen.load(Ordering::Relaxed));
    if resumed && seen + (2 * COMERS as u64) < all {
        return Err(io::Error::other(format!("only {seen} of {all} sessions were resumed")));
    }
    Ok(seconds * 1e6)
}

/// Processor seconds for each count of the tally; the tasks are then stopped.
async fn spent(target: &Target, time: Duration, tasks: &mut JoinSet<io::Result<()>>, tally: &Tally) -> io::Result<f64> {
    let probe = Probe::start(target.ward.pid())?;
    let before = (probe.cpu()?, tally.load(Ordering::Relaxed));
    sleep(time).await;
    let after = (probe.cpu()?, tally.load(Ordering::Relaxed));
    // These tasks only end when they fail.
    if let Some(Ok(Err(error))) = tasks.try_join_next() {
        return Err(io::Error::other(format!("{error} ({})", target.ward.complaint())));
    }
    tasks.shutdown().await;
    if after.1 == before.1 {
        return Err(io::Error::other("nothing came back"));
    }
    Ok(after.0.since(&before.0) / (after.1 - before.1) as f64)
}

async fn idle(target: &Target, made: &Certificate) -> io::Result<f64> {
    let dialer = Dialer::new(target.address, &made.authority, Resumption::disabled())?;
    let probe = Probe::start(target.ward.pid())?;
    let mut wires = open(&dialer, IDLE.0).await?;
    sleep(REST).await;
    let few = (wires.len(), probe.sample()?.pss_bytes);
    wires.extend(open(&dialer, IDLE.1 - IDLE.0).await?);
    sleep(REST).await;
    let many = (wires.len(), probe.sample()?.pss_bytes);
    bytes_per_connection(few, many).ok_or_else(|| io::Error::other("two counts of connections are needed"))
}

/// Opens so many connections, some at once.
async fn open(dialer: &Dialer, count: usize) -> io::Result<Vec<Wire>> {
    let mut openers = JoinSet::new();
    for at in 0..OPENERS.min(count) {
        let share = count / OPENERS.min(count) + usize::from(at < count % OPENERS.min(count));
        let dialer = dialer.clone();
        openers.spawn(async move {
            let mut wires = Vec::with_capacity(share);
            for _ in 0..share {
                wires.push(dialer.open().await?);
            }
            io::Result::Ok(wires)
        });
    }
    let all = async {
        let mut wires = Vec::with_capacity(count);
        while let Some(opened) = openers.join_next().await {
            wires.extend(opened.map_err(io::Error::other)??);
        }
        Ok(wires)
    };
    tokio::time::timeout(OPENING, all).await.map_err(|_| io::Error::other("connections do not open in time"))?
}
