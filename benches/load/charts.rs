//! Which plots a run gets, and what each of them shows.

use super::super::report::{Run, Second, Summary};
use super::figures;
use super::plot::{Axis, LOOKS, Line, Plot};

/// Points in a plot over time: more than that no screen tells apart.
const MOST_POINTS: usize = 600;

/// All of them, in the order of the page.
pub(super) fn all(run: &Run) -> Vec<Plot<'static>> {
    let seconds = thinned(&run.series);
    let time = OverTime {
        last: run.series.iter().map(|second| second.at).max().unwrap_or(0),
        covers: run.series.len().div_ceil(MOST_POINTS).max(1),
        marks: run.stages.iter().zip(1..).map(|(stage, number)| (f64::from(stage.at), number.to_string())).collect(),
        seconds: &seconds,
    };
    let main = super::main_latency(run).map_or("", |(name, _)| name);
    let (own, others): (Vec<_>, Vec<_>) =
        figures::in_order(run.latencies.iter()).into_iter().partition(|(name, _)| *name == main);
    let making: Vec<_> = others.into_iter().filter(|(name, of)| *name != "close" && of.count > 1).take(LOOKS).collect();
    let moved = seconds.iter().any(|second| second.sent > 0 || second.received > 0);
    let mut plots = Vec::new();
    if !own.is_empty() || making.is_empty() {
        plots.push(percentiles("curve", "Latency by percentile", &own));
    }
    if !making.is_empty() {
        plots.push(percentiles("making", "Connecting, by percentile", &making));
    }
    if moved || seconds.is_empty() {
        plots.push(time.throughput());
    }
    if moved && run.totals.megabytes_per_second >= 1.0 {
        plots.push(time.payload());
    }
    // Those of `connect` come and go many times a second.
    let held = run.totals.handshakes_per_second.is_none();
    if held && seconds.iter().any(|second| second.open != seconds[0].open) {
        plots.push(time.connections());
    }
    if let (1, Some(first)) = (plots.len() % 2, plots.first_mut()) {
        first.room = "full";
    }
    if !own.is_empty() || seconds.is_empty() || seconds.iter().any(|second| second.max > 0) {
        plots.insert(0, time.latency(run));
    }
    plots.extend([time.lag(), time.cpu()]);
    plots
}

fn percentiles(id: &'static str, title: &'static str, kinds: &[(&str, &Summary)]) -> Plot<'static> {
    let values = kinds.iter().flat_map(|(_, of)| &of.curve).map(|(_, us)| *us as f64);
    let most = kinds.iter().map(|(_, of)| of.count).max().unwrap_or(0);
    let y = Axis::fitting(values, figures::time);
    let mut at: Vec<f64> = kinds.iter().flat_map(|(_, of)| &of.curve).map(|(at, _)| *at).collect();
    at.sort_by(f64::total_cmp);
    at.dedup();
    let line = |(place, (name, of)): (usize, &(&str, &Summary))| {
        let of_curve = |at: &f64| of.curve.iter().find(|(percentile, _)| percentile == at).map(|(_, us)| *us as f64);
        Line { name: figures::kind(name), look: place, values: at.iter().map(of_curve).collect() }
    };
    Plot {
        id,
        title,
        note: format!("How long it took at most, for so many percent of the cases. {}", scale(&y)),
        x: Axis::nines(most),
        y,
        lines: kinds.iter().enumerate().map(line).collect(),
        points: at.iter().map(|at| (*at, figures::percent(*at))).collect(),
        marks: Vec::new(),
        unit: figures::time,
        room: "",
    }
}

/// How the side is divided, in words.
fn scale(axis: &Axis) -> &'static str {
    if axis.is_log() { "Logarithmic scale." } else { "" }
}

/// What plots over time have in common.
struct OverTime<'a> {
    last: u32,
    covers: usize,
    marks: Vec<(f64, String)>,
    seconds: &'a [Second],
}

impl OverTime<'_> {
    fn plot(&self, (id, title): (&'static str, &'static str), note: &str, unit: fn(f64) -> String) -> Plot<'static> {
        let stages = if self.marks.is_empty() { "" } else { " Numbers stand where a stage began." };
        let covers = if self.covers > 1 { format!(" Each point covers {} s.", self.covers) } else { String::new() };
        Plot {
            id,
            title,
            note: format!("{note}{stages}{covers}"),
            x: Axis::seconds(self.last),
            y: Axis::linear(1.0, unit),
            lines: Vec::new(),
            points: self.seconds.iter().map(|at| (f64::from(at.at), figures::clock(u64::from(at.at)))).collect(),
            marks: self.marks.clone(),
            unit,
            room: "",
        }
    }

    fn line(&self, name: &str, look: usize, value: impl Fn(&Second) -> Option<f64>) -> Line {
        Line { name: name.to_owned(), look, values: self.seconds.iter().map(value).collect() }
    }

    fn latency(&self, run: &Run) -> Plot<'static> {
        let measured = |second: &Second, us: u64| (second.max > 0).then_some(us as f64);
        let lines = vec![
            self.line("p50", 0, |second| measured(second, second.p50)),
            self.line("p99", 1, |second| measured(second, second.p99)),
            self.line("max", 2, |second| measured(second, second.max)),
        ];
        let y = Axis::fitting(lines.iter().flat_map(|line| line.values.iter().flatten().copied()), figures::time);
        let of = super::main_latency(run).map_or("What was measured".to_owned(), |(name, _)| figures::kind(name));
        let note = format!("{of}, second by second. {}", scale(&y));
        Plot { y, lines, room: "full", ..self.plot(("latency", "Latency over time"), note.trim_end(), figures::time) }
    }

    fn throughput(&self) -> Plot<'static> {
        let lines = vec![
            self.line("received", 0, |second| Some(second.received as f64)),
            self.line("sent", 1, |second| Some(second.sent as f64)),
        ];
        let most = self.seconds.iter().map(|second| second.sent.max(second.received)).max().unwrap_or(0);
        let y = Axis::linear(most as f64, figures::compact);
        Plot { y, lines, ..self.plot(("throughput", "Throughput"), "Messages in each second.", figures::rate) }
    }

    fn payload(&self) -> Plot<'static> {
        let lines = vec![
            self.line("received", 0, |second| Some(second.bytes_in as f64)),
            self.line("sent", 1, |second| Some(second.bytes_out as f64)),
        ];
        let most = self.seconds.iter().map(|second| second.bytes_in.max(second.bytes_out)).max().unwrap_or(0);
        let y = Axis::linear(most as f64, figures::bytes);
        Plot { y, lines, ..self.plot(("payload", "Payload"), "Bytes of messages in each second.", figures::bytes) }
    }

    fn connections(&self) -> Plot<'static> {
        let lines = vec![self.line("open", 0, |second| Some(second.open as f64))];
        let most = self.seconds.iter().map(|second| second.open).max().unwrap_or(0);
        let y = Axis::linear(most as f64, figures::compact);
        Plot { y, lines, ..self.plot(("open", "Connections"), "Open at the end of each second.", figures::number) }
    }

    fn lag(&self) -> Plot<'static> {
        let lines = vec![self.line("lag", 3, |second| Some(second.lag_max as f64))];
        let y = Axis::fitting(self.seconds.iter().map(|second| second.lag_max as f64), figures::time);
        let note = format!("How late its own clock was at worst. {}", scale(&y));
        Plot { y, lines, room: "strip", ..self.plot(("lag", "Generator: lag"), note.trim_end(), figures::time) }
    }

    fn cpu(&self) -> Plot<'static> {
        let share = |second: &Second| second.own_cpu.is_finite().then_some(second.own_cpu * 100.0);
        let lines = vec![self.line("CPU", 3, share)];
        let y = Axis::linear(self.seconds.iter().filter_map(share).fold(100.0, f64::max), figures::percent);
        let plot = self.plot(("cpu", "Generator: CPU"), "100 % is one core.", figures::percent);
        Plot { y, lines, room: "strip", ..plot }
    }
}

/// At most `MOST_POINTS` of them: neighbours become one that keeps the worst latency and the mean of the rest.
pub(super) fn thinned(series: &[Second]) -> Vec<Second> {
    series.chunks(series.len().div_ceil(MOST_POINTS).max(1)).map(together).collect()
}

fn together(chunk: &[Second]) -> Second {
    let count = chunk.len().max(1) as u64;
    let most = |of: fn(&Second) -> u64| chunk.iter().map(of).max().unwrap_or(0);
    let mean = |of: fn(&Second) -> u64| chunk.iter().map(|second| of(second) / count).fold(0, u64::saturating_add);
    let measured = || chunk.iter().filter(|second| second.max > 0);
    Second {
        at: chunk.first().map_or(0, |first| first.at),
        sent: mean(|second| second.sent),
        received: mean(|second| second.received),
        bytes_in: mean(|second| second.bytes_in),
        bytes_out: mean(|second| second.bytes_out),
        errors: chunk.iter().fold(0, |sum, second| second.errors.saturating_add(sum)),
        open: chunk.last().map_or(0, |last| last.open),
        p50: measured().fold(0.0, |sum, second| sum + second.p50 as f64 / measured().count() as f64) as u64,
        p99: most(|second| second.p99),
        max: most(|second| second.max),
        own_cpu: chunk.iter().map(|second| second.own_cpu / count as f64).sum(),
        lag_max: most(|second| second.lag_max),
    }
}
