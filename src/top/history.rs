//! What was seen lately: enough for rates, for the quantiles of a minute, and for the lines of the last minutes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::arithmetic::{Histogram, Quantile, increase, per_second};
use super::metrics::Scrape;
use super::plain::Plain;
use super::watch::Sample;

/// Looks over which a rate is taken: what passes in open WebSockets is added once a second, in leaps.
const RATE: usize = 5;
/// Looks over which a quantile is taken.
const WINDOW: usize = 60;
/// Points of a line.
const POINTS: usize = 512;

/// Histograms whose quantiles are told, and what each is called.
pub(crate) const LATENCIES: [(&str, &str); 4] = [
    ("wsgate_tls_handshake_duration_seconds", "TLS"),
    ("wsgate_websocket_handshake_duration_seconds", "handshake"),
    ("wsgate_backend_connect_duration_seconds", "connect"),
    ("wsgate_backend_answer_duration_seconds", "answer"),
];

/// Counters of which a line is drawn, by name and the value of the label `direction`.
const LINES: [(&str, &str); 6] = [
    ("wsgate_data_frames_total", "in"),
    ("wsgate_data_frames_total", "out"),
    ("wsgate_data_bytes_total", "in"),
    ("wsgate_data_bytes_total", "out"),
    ("wsgate_websockets_opened_total", ""),
    ("wsgate_requests_refused_total", ""),
];

/// One of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    MessagesIn,
    MessagesOut,
    BytesIn,
    BytesOut,
    Opened,
    Refused,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct History {
    recent: VecDeque<Moment>,
    times: VecDeque<[Histogram; LATENCIES.len()]>,
    lines: [VecDeque<f64>; LINES.len()],
}

#[derive(Debug)]
struct Moment {
    at: Instant,
    /// By the gateway's clock, so that it is the same number for as long as it is the same process.
    started: Option<f64>,
    uptime: Option<Duration>,
    scrape: Scrape,
}

/// One latency, in the last minute; where nothing happened then, since the gateway's start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) name: &'static str,
    pub(crate) p50: Option<Quantile>,
    pub(crate) p99: Option<Quantile>,
    pub(crate) count: f64,
    pub(crate) is_recent: bool,
}

impl History {
    /// Takes in what was seen. What a gateway that was started anew has counted is set against nothing.
    pub(crate) fn add(&mut self, sample: &Sample) {
        let started = sample.scrape.value("process_start_time_seconds");
        let uptime = started.and_then(|started| Duration::try_from_secs_f64(sample.time - started).ok());
        let moment = Moment { at: sample.at, started, uptime, scrape: sample.scrape.clone() };
        if self.recent.back().is_some_and(|last| last.started != started) {
            self.times.clear();
        }
        for ((name, way), points) in LINES.iter().zip(&mut self.lines) {
            let rate = self.recent.back().and_then(|last| moment.rate(last, |scrape| total(scrape, name, way)));
            push(points, rate.unwrap_or_default(), POINTS);
        }
        push(&mut self.times, LATENCIES.map(|(name, _)| sample.scrape.histogram(name)), WINDOW + 1);
        push(&mut self.recent, moment, RATE + 1);
    }

    /// The last points of a line, the newest last: how much in a second.
    pub(crate) fn line(&self, line: Line, most: usize) -> impl Iterator<Item = f64> + '_ {
        let points = &self.lines[line as usize];
        points.iter().skip(points.len().saturating_sub(most)).copied()
    }

    /// How much a second of late; none where it was looked only once.
    #[must_use]
    pub(crate) fn rate(&self, line: Line) -> Option<f64> {
        let (name, way) = LINES[line as usize];
        self.rate_of(|scrape| total(scrape, name, way))
    }

    /// The same of any counter.
    #[must_use]
    pub(crate) fn rate_of(&self, counter: impl Fn(&Scrape) -> f64) -> Option<f64> {
        let last = self.recent.back()?;
        let first = self.recent.iter().find(|moment| moment.started == last.started).filter(|first| first.at < last.at);
        // A gateway that was seen but once since its start is compared with what was there before it.
        let first = first.or_else(|| self.recent.len().checked_sub(2).and_then(|at| self.recent.get(at)))?;
        last.rate(first, counter)
    }

    /// The counters of this name by these labels: how much they are, and how much a second.
    #[must_use]
    pub(crate) fn counters<const N: usize>(
        &self,
        name: &str,
        labels: [&str; N],
    ) -> BTreeMap<[Plain; N], (f64, Option<f64>)> {
        let Some(last) = self.recent.back() else { return BTreeMap::new() };
        let now = last.scrape.by(name, labels);
        let rate =
            |key: &[Plain; N]| self.rate_of(|scrape| scrape.by(name, labels).get(key).copied().unwrap_or_default());
        now.into_iter().map(|(key, value)| (key.clone(), (value, rate(&key)))).collect()
    }

    /// How long things took.
    #[must_use]
    pub(crate) fn latencies(&self) -> Vec<Latency> {
        let (Some(first), Some(last)) = (self.times.front(), self.times.back()) else { return Vec::new() };
        let named = LATENCIES.iter().zip(first.iter().zip(last));
        named
            .map(|((_, name), (first, last))| {
                let lately = if self.times.len() > 1 { last.since(first) } else { Histogram::default() };
                let is_recent = lately.count() > 0.0;
                let told = if is_recent { &lately } else { last };
                let (p50, p99) = (told.quantile(0.5), told.quantile(0.99));
                Latency { name, p50, p99, count: told.count(), is_recent }
            })
            .collect()
    }
}

impl Moment {
    /// How much a second since then.
    fn rate(&self, before: &Self, counter: impl Fn(&Scrape) -> f64) -> Option<f64> {
        let time = self.at.saturating_duration_since(before.at);
        if self.started == before.started {
            return per_second(increase(counter(&before.scrape), counter(&self.scrape)), time);
        }
        // Another process: all that it has counted, in the time since its start, came since then.
        let time = self.uptime.map_or(time, |uptime| time.min(uptime));
        per_second(counter(&self.scrape), time.max(Duration::from_millis(100)))
    }
}

fn total(scrape: &Scrape, name: &str, way: &str) -> f64 {
    if way.is_empty() {
        return scrape.total(name);
    }
    scrape.by(name, ["direction"]).get(&[Plain::of(way)]).copied().unwrap_or_default()
}

fn push<T>(queue: &mut VecDeque<T>, one: T, most: usize) {
    queue.push_back(one);
    while queue.len() > most {
        queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::watch::Desk;

    /// At so many seconds, by a process that was started at `started`.
    fn seen(begin: Instant, seconds: f64, started: f64, text: &str) -> Sample {
        let text = format!("process_start_time_seconds {started}\n{text}");
        Sample {
            at: begin + Duration::from_secs_f64(seconds),
            time: 1000.0 + seconds,
            phase: Plain::of("running"),
            scrape: Scrape::read(&text).expect("sound"),
            desk: Desk::Closed(Plain::default()),
        }
    }

    fn frames(number: u64) -> String {
        format!(
            "wsgate_data_frames_total{{direction=\"in\"}} {number}\nwsgate_data_frames_total{{direction=\"out\"}} 7\n"
        )
    }

    #[test]
    fn a_rate_is_that_of_the_last_looks() {
        let (begin, mut history) = (Instant::now(), History::default());
        history.add(&seen(begin, 0.0, 10.0, &frames(100)));
        assert_eq!(history.rate(Line::MessagesIn), None);
        history.add(&seen(begin, 2.0, 10.0, &frames(120)));
        assert_eq!((history.rate(Line::MessagesIn), history.rate(Line::MessagesOut)), (Some(10.0), Some(0.0)));
        for second in 3..10u32 {
            history.add(&seen(begin, f64::from(second), 10.0, &frames(120)));
        }
        assert_eq!(history.rate(Line::MessagesIn), Some(0.0), "what was long ago is over");
        assert_eq!(history.line(Line::MessagesIn, 9).take(3).collect::<Vec<_>>(), [0.0, 10.0, 0.0]);
        assert_eq!(history.line(Line::MessagesIn, 2).count(), 2);
    }

    #[test]
    fn a_gateway_that_was_started_anew_counts_from_nothing() {
        let (begin, mut history) = (Instant::now(), History::default());
        history.add(&seen(begin, 0.0, 10.0, &frames(100)));
        // It has counted more than the one before had, in the second since its start.
        history.add(&seen(begin, 10.0, 1009.0, &frames(300)));
        assert_eq!(history.rate(Line::MessagesIn), Some(300.0));
        history.add(&seen(begin, 11.0, 1009.0, &frames(310)));
        assert_eq!(history.rate(Line::MessagesIn), Some(10.0));
        // A clock that was set back must not make rates of nothing.
        history.add(&seen(begin, 12.0, 5000.0, &frames(20)));
        assert_eq!(history.rate(Line::MessagesIn), Some(20.0));
    }

    #[test]
    fn counters_are_told_by_their_labels() {
        let (begin, mut history) = (Instant::now(), History::default());
        let text = |count| format!("wsgate_requests_refused_total{{reason=\"origin_not_allowed\"}} {count}\n");
        history.add(&seen(begin, 0.0, 10.0, ""));
        history.add(&seen(begin, 1.0, 10.0, &text(3)));
        let told = history.counters("wsgate_requests_refused_total", ["reason"]);
        assert_eq!(told.get(&[Plain::of("origin_not_allowed")]), Some(&(3.0, Some(3.0))));
        assert_eq!(history.rate(Line::Refused), Some(3.0));
    }

    #[test]
    fn latencies_are_those_of_the_window_else_of_all_time() {
        let (begin, mut history) = (Instant::now(), History::default());
        let text = |fast: u32, slow: u32| {
            let name = LATENCIES[0].0;
            let all = fast + slow;
            format!(
                "{name}_bucket{{le=\"0.001\"}} {fast}\n{name}_bucket{{le=\"1\"}} {all}\n{name}_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        history.add(&seen(begin, 0.0, 10.0, &text(10, 0)));
        let tls = |history: &History| history.latencies()[0].clone();
        assert_eq!((tls(&history).is_recent, tls(&history).count), (false, 10.0));
        history.add(&seen(begin, 1.0, 10.0, &text(10, 4)));
        let told = tls(&history);
        assert_eq!((told.is_recent, told.count), (true, 4.0));
        assert!(matches!(told.p50, Some(Quantile::About(value)) if value > 0.4), "{told:?}");
        // Another process: nothing of the one before counts.
        history.add(&seen(begin, 2.0, 1001.0, &text(10, 4)));
        assert_eq!((tls(&history).is_recent, tls(&history).count), (false, 14.0));
        assert_eq!(history.latencies()[1].p50, None);
    }
}
