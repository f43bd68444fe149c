//! How often hubs' filters were asked, what came of it, and how long it took.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::{Labels, label};

/// Seconds: from a service beside the gateway to the longest timeout that anybody should wish.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What came of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It may be said.
    Passed,
    /// In other words.
    Changed,
    /// It may not.
    Refused,
    /// Nobody can say, for this reason.
    Failed(Unjudged),
}

/// Why nobody can say whether something may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unjudged {
    /// There was no answer in time.
    Late,
    /// It cannot be connected to.
    Connect,
    /// The connection ended, or what came is no HTTP.
    Http,
    /// A status that is neither yes nor no.
    Status,
    /// An answer whose body cannot be made sense of.
    Answer,
}

impl Judged {
    const ANSWERS: [&str; 3] = ["pass", "change", "refuse"];
}

impl Unjudged {
    const KINDS: [&str; 5] = ["timeout", "connect", "http", "status", "answer"];
}

/// One filter's counters, which outlive reloads.
#[derive(Debug)]
pub(crate) struct FilterTally {
    asked: Counter,
    /// In the order of [`Judged::ANSWERS`].
    answers: [Counter; Judged::ANSWERS.len()],
    /// In the order of [`Unjudged::KINDS`].
    failures: [Counter; Unjudged::KINDS.len()],
    times: Histogram,
}

impl Default for FilterTally {
    fn default() -> Self {
        let times = Histogram::new(BUCKETS);
        Self { asked: Counter::default(), answers: Default::default(), failures: Default::default(), times }
    }
}

impl FilterTally {
    /// A message is put to it.
    pub(crate) fn ask(&self) {
        self.asked.inc();
    }

    /// This came of it, after so long.
    pub(crate) fn note(&self, judged: Judged, time: Duration) {
        let counter = match judged {
            Judged::Passed => &self.answers[0],
            Judged::Changed => &self.answers[1],
            Judged::Refused => &self.answers[2],
            Judged::Failed(why) => &self.failures[why as usize],
        };
        counter.inc();
        self.times.observe(time.as_secs_f64());
    }
}

/// Tells of each filter, by its hub's route.
pub(super) fn encode(filters: &[(&str, Arc<FilterTally>)], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let by_name = |route: &str, name: &'static str, names: &[&str], counters: &[Counter]| -> Vec<(Labels, u64)> {
        let labels = |word: &str| vec![("route", route.to_owned()), (name, word.to_owned())];
        let values = names.iter().zip(counters).map(|(word, counter)| (labels(word), counter.get()));
        values.filter(|(_, value)| *value > 0).collect()
    };
    let asked = filters.iter().map(|(route, tally)| (label("route", *route), tally.asked.get())).collect();
    let answers = filters.iter().flat_map(|(route, tally)| by_name(route, "answer", &Judged::ANSWERS, &tally.answers));
    let failures = filters.iter().flat_map(|(route, tally)| by_name(route, "kind", &Unjudged::KINDS, &tally.failures));
    for (name, help, values) in [
        ("filter_asked", "Messages that were put to a filter", asked),
        ("filter_answers", "What filters have answered", answers.collect()),
        ("filter_failures", "Messages about which a filter gave no answer", failures.collect::<Vec<_>>()),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_counter::<Labels, _, u64>(&value, None)?;
        }
    }
    let (help, unit) = ("From a filter's question to its answer, or to the end of the wait for it", Unit::Seconds);
    let mut family = encoder.encode_descriptor("filter_duration", help, Some(&unit), MetricType::Histogram)?;
    for (route, tally) in filters {
        tally.times.encode(family.encode_family(&label("route", *route))?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Facts, HubFacts, Metrics};
    use super::*;

    #[test]
    fn what_came_of_questions_is_told_by_route() {
        let tally = Arc::new(FilterTally::default());
        let millis = Duration::from_millis;
        for judged in [Judged::Passed, Judged::Passed, Judged::Changed, Judged::Refused] {
            tally.ask();
            tally.note(judged, millis(3));
        }
        let all = [Unjudged::Late, Unjudged::Connect, Unjudged::Http, Unjudged::Status, Unjudged::Answer];
        for (at, why) in all.into_iter().enumerate() {
            tally.ask();
            (0..=at).for_each(|_| tally.note(Judged::Failed(why), millis(20_000)));
        }
        let (moderated, filter) = (Vec::new(), Some(tally));
        let hub = HubFacts { route: "/chat".into(), moderated, filter, rooms: 2, members: 3 };
        let bare = HubFacts { route: "/bare".into(), filter: None, ..hub.clone() };
        let facts = Facts { hubs: vec![hub, bare], ..Facts::default() };
        let text = Metrics::with_facts(move || facts.clone()).text();
        for line in [
            "wsgate_filter_asked_total{route=\"/chat\"} 9",
            "wsgate_filter_answers_total{route=\"/chat\",answer=\"pass\"} 2",
            "wsgate_filter_answers_total{route=\"/chat\",answer=\"change\"} 1",
            "wsgate_filter_answers_total{route=\"/chat\",answer=\"refuse\"} 1",
            "wsgate_filter_failures_total{route=\"/chat\",kind=\"timeout\"} 1",
            "wsgate_filter_failures_total{route=\"/chat\",kind=\"connect\"} 2",
            "wsgate_filter_failures_total{route=\"/chat\",kind=\"http\"} 3",
            "wsgate_filter_failures_total{route=\"/chat\",kind=\"status\"} 4",
            "wsgate_filter_failures_total{route=\"/chat\",kind=\"answer\"} 5",
            "# TYPE wsgate_filter_duration_seconds histogram",
            "wsgate_filter_duration_seconds_bucket{le=\"0.0025\",route=\"/chat\"} 0",
            "wsgate_filter_duration_seconds_bucket{le=\"0.005\",route=\"/chat\"} 4",
            "wsgate_filter_duration_seconds_bucket{le=\"10.0\",route=\"/chat\"} 4",
            "wsgate_filter_duration_seconds_bucket{le=\"+Inf\",route=\"/chat\"} 19",
            "wsgate_filter_duration_seconds_count{route=\"/chat\"} 19",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(!text.lines().any(|line| line.contains("filter") && line.contains("/bare")), "{text}");
        assert!(text.contains("\nwsgate_hub_members{route=\"/chat\"} 3\n"), "{text}");
    }
}
