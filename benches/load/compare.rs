//! Two runs side by side: every figure of both, and how many times the first the second is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::html::figures;
use super::report::{Run, Server, Summary};

/// The table, warnings first.
#[must_use]
pub(crate) fn table(a: &Run, b: &Run) -> String {
    let mut out = String::new();
    for (name, run) in [("A", a), ("B", b)] {
        let meta = &run.meta;
        let at = figures::moment(meta.started_unix);
        let _ = writeln!(out, "{name}: {} {}, {at}, {}", plain(&meta.profile), plain(&meta.url), plain(&meta.tool));
    }
    for warning in warnings(a, b) {
        let _ = writeln!(out, "WARNING: {warning}");
    }
    let mut rows = Rows { a, b, rows: Vec::new() };
    totals(&mut rows);
    latencies(&mut rows);
    counts(&mut rows);
    spent(&mut rows);
    rows.write(&mut out);
    out
}

/// Why the two may not be comparable.
fn warnings(a: &Run, b: &Run) -> Vec<String> {
    let mut found = Vec::new();
    for (name, run) in [("A", a), ("B", b)] {
        if !run.generator.valid {
            let why: Vec<String> = run.generator.why.iter().map(|why| plain(why)).collect();
            let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
            found
                .push(format!("{name} is INVALID: the generator was the limit{why}; its figures are not the server's"));
        }
    }
    let mut differ = |what: &str, a: &str, b: &str| {
        if a != b {
            found.push(format!("{what} differs: A has {}, B has {}", plain(a), plain(b)));
        }
    };
    differ("the profile", &a.meta.profile, &b.meta.profile);
    let options: BTreeSet<&String> = a.meta.options.keys().chain(b.meta.options.keys()).collect();
    for name in options {
        let of = |run: &Run| run.meta.options.get(name).cloned().unwrap_or_else(|| "none".to_owned());
        differ(&format!("option {}", plain(name)), &of(a), &of(b));
    }
    differ("the number of processors", &a.meta.cpus.to_string(), &b.meta.cpus.to_string());
    differ("the tool", &a.meta.tool, &b.meta.tool);
    found
}

type Unit = fn(f64) -> String;

/// The table as it grows: a heading, or a name with both values and the ratio.
struct Rows<'a> {
    a: &'a Run,
    b: &'a Run,
    rows: Vec<[String; 4]>,
}

impl Rows<'_> {
    fn heading(&mut self, name: &str) {
        self.rows.push([name.to_owned(), String::new(), String::new(), String::new()]);
    }

    /// A row, unless neither run knows the figure.
    fn row(&mut self, name: &str, unit: Unit, of: impl Fn(&Run) -> Option<f64>) {
        let (a, b) = (of(self.a), of(self.b));
        if a.is_some() || b.is_some() {
            let text = |value: Option<f64>| value.map_or(figures::NOTHING.to_owned(), unit);
            self.rows.push([format!("  {name}"), text(a), text(b), ratio(a, b)]);
        }
    }

    /// Names to the left, figures to the right, as wide as the widest.
    fn write(&self, out: &mut String) {
        let heads = ["figure", "A", "B", "B/A"].map(str::to_owned);
        let wide = |column: usize| {
            let cells = self.rows.iter().chain([&heads]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3].map(wide);
        for [name, a, b, ratio] in [&heads].into_iter().chain(&self.rows) {
            let [first, second, third, fourth] = widths;
            let line = format!("{name:<first$}  {a:>second$}  {b:>third$}  {ratio:>fourth$}");
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
}

/// How many times A B is.
fn ratio(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a.is_finite() && b.is_finite() && (a != 0.0 || b == 0.0) => {
            let ratio = if a == b { 1.0 } else { b / a };
            let places = if (0.1..100.0).contains(&ratio.abs()) { 2 } else { 4 };
            match ratio.abs() {
                1000.0.. => format!("{ratio:.3e}×"),
                100.0.. => format!("{ratio:.0}×"),
                _ => format!("{ratio:.places$}×"),
            }
        }
        _ => figures::NOTHING.to_owned(),
    }
}

fn totals(rows: &mut Rows<'_>) {
    rows.heading("in all");
    rows.row("measured", figures::time, |run| Some(run.meta.seconds * 1e6));
    rows.row("connections", figures::number, |run| Some(run.totals.connections as f64));
    rows.row("messages sent", figures::number, |run| Some(run.totals.sent as f64));
    rows.row("messages received", figures::number, |run| Some(run.totals.received as f64));
    rows.row("messages received in a second", figures::rate, |run| Some(run.totals.messages_per_second));
    rows.row("bytes sent", figures::bytes, |run| Some(run.totals.bytes_out as f64));
    rows.row("bytes received", figures::bytes, |run| Some(run.totals.bytes_in as f64));
    rows.row("MB received in a second", figures::rate, |run| Some(run.totals.megabytes_per_second));
    rows.row("handshakes in a second", figures::rate, |run| run.totals.handshakes_per_second);
    rows.row("full ones in a second", figures::rate, |run| run.totals.full_handshakes_per_second);
    rows.row("resumed ones in a second", figures::rate, |run| run.totals.resumed_handshakes_per_second);
    rows.row("deliveries", figures::number, |run| run.totals.deliveries.map(|came| came as f64));
    rows.row("delivered of what was due", figures::percent, |run| run.totals.completeness);
}

/// A name, and how a distribution yields it.
type Figure = (&'static str, fn(&Summary) -> f64);

fn latencies(rows: &mut Rows<'_>) {
    const FIGURES: [Figure; 8] = [
        ("min", |of| of.min as f64),
        ("mean", |of| of.mean),
        ("p50", |of| of.p50 as f64),
        ("p90", |of| of.p90 as f64),
        ("p99", |of| of.p99 as f64),
        ("p99.9", |of| of.p999 as f64),
        ("p99.99", |of| of.p9999 as f64),
        ("max", |of| of.max as f64),
    ];
    let kinds: BTreeSet<String> = rows.a.latencies.keys().chain(rows.b.latencies.keys()).cloned().collect();
    for (kind, ()) in figures::in_order(kinds.iter().map(|kind| (kind, ()))) {
        rows.heading(&plain(&figures::kind(kind)));
        rows.row("count", figures::number, |run| run.latencies.get(kind).map(|of| of.count as f64));
        for (name, figure) in FIGURES {
            rows.row(name, figures::time, |run| run.latencies.get(kind).map(figure));
        }
    }
}

/// Closes, refusals and errors: what one run does not have, happened there nought times.
fn counts(rows: &mut Rows<'_>) {
    let closes: BTreeSet<u16> = rows.a.closes.keys().chain(rows.b.closes.keys()).copied().collect();
    if !closes.is_empty() {
        rows.heading("ends, by close code");
    }
    for code in closes {
        let times = |run: &Run| Some(run.closes.get(&code).copied().unwrap_or(0) as f64);
        rows.row(&code.to_string(), figures::number, times);
    }
    named("upgrades refused", |run| &run.refusals, rows);
    named("errors", |run| &run.errors, rows);
}

type Counts = BTreeMap<String, u64>;

fn named(heading: &str, of: fn(&Run) -> &Counts, rows: &mut Rows<'_>) {
    let names: BTreeSet<String> = of(rows.a).keys().chain(of(rows.b).keys()).cloned().collect();
    if !names.is_empty() {
        rows.heading(heading);
    }
    for name in names {
        rows.row(&plain(&name), figures::number, |run| Some(of(run).get(&name).copied().unwrap_or(0) as f64));
    }
}

fn spent(rows: &mut Rows<'_>) {
    if rows.a.server.is_some() || rows.b.server.is_some() {
        rows.heading("server");
        let mut row = |name, unit: Unit, of: fn(&Server) -> Option<f64>| {
            rows.row(name, unit, |run| run.server.as_ref().and_then(of));
        };
        row("CPU time", figures::time, |server| Some(server.cpu_seconds * 1e6));
        row("CPU for a message", figures::time, |server| server.cpu_us_per_message);
        row("CPU for a delivery", figures::time, |server| server.cpu_us_per_delivery);
        row("memory before", figures::bytes, |server| Some(server.pss_before as f64));
        row("memory with all connections", figures::bytes, |server| Some(server.pss_after as f64));
        row("memory for one connection more", figures::bytes, |server| server.bytes_per_connection);
    }
    rows.heading("generator");
    rows.row("CPU time", figures::time, |run| Some(run.generator.cpu_seconds * 1e6));
    rows.row("CPU, share of its cores", figures::percent, |run| Some(run.generator.cpu_share * 100.0));
    rows.row("lag, p99", figures::time, |run| Some(run.generator.lag_p99 as f64));
    rows.row("lag, max", figures::time, |run| Some(run.generator.lag_max as f64));
}

/// Text from a file or a server, without what would steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let mut run = Run::default();
        run.meta.profile = "echo".to_owned();
        run.generator.valid = true;
        run.latencies.insert("round_trip".to_owned(), Summary { count: 10, p99: 2_000, ..Summary::default() });
        run
    }

    /// The cells of the row of that name.
    fn row(table: &str, name: &str) -> String {
        let found = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn two_empty_runs_compare() {
        let table = table(&Run::default(), &Run::default());
        assert!(table.contains("A is INVALID") && table.contains("B is INVALID"), "{table}");
        assert_eq!(row(&table, "messages received "), "messages received 0 0 1.00×");
    }

    #[test]
    fn ratios_are_of_the_second_to_the_first() {
        let (a, mut b) = (run(), run());
        b.latencies.insert("round_trip".to_owned(), Summary { count: 10, p99: 3_000, ..Summary::default() });
        b.errors.insert("reset".to_owned(), 7);
        let table = table(&a, &b);
        assert!(!table.contains("WARNING"), "{table}");
        assert_eq!(row(&table, "p99 "), "p99 2.00 ms 3.00 ms 1.50×");
        assert_eq!(row(&table, "reset"), "reset 0 7 –");
    }

    #[test]
    fn what_only_one_run_has_is_shown_without_a_ratio() {
        let (a, mut b) = (run(), run());
        b.server = Some(Server { pss_before: 5_000, ..Server::default() });
        b.latencies.insert("tls".to_owned(), Summary { count: 3, ..Summary::default() });
        let table = table(&a, &b);
        assert_eq!(row(&table, "memory before"), "memory before – 5,000 B –");
        let (tls, trip) = (table.find("TLS handshake"), table.find("Round trip"));
        assert!(tls.is_some() && tls < trip, "{table}");
    }

    #[test]
    fn differences_are_warned_of() {
        let (mut a, mut b) = (run(), run());
        b.meta.profile = "rate".to_owned();
        a.meta.options.insert("size".to_owned(), "32".to_owned());
        b.generator.valid = false;
        b.generator.why = vec!["lag 80 ms\x1b[2J".to_owned()];
        let table = table(&a, &b);
        assert!(table.contains("WARNING: the profile differs: A has echo, B has rate"), "{table}");
        assert!(table.contains("WARNING: option size differs: A has 32, B has none"), "{table}");
        assert!(table.contains("WARNING: B is INVALID: the generator was the limit (lag 80 ms\u{fffd}[2J)"), "{table}");
    }

    #[test]
    fn columns_line_up_whatever_the_values() {
        let (mut a, mut b) = (run(), run());
        a.totals.sent = u64::MAX;
        b.totals.messages_per_second = f64::NAN;
        a.totals.messages_per_second = 1.0;
        let table = table(&a, &b);
        let ends: BTreeSet<usize> =
            table.lines().filter(|line| line.ends_with('×')).map(|line| line.chars().count()).collect();
        assert_eq!(ends.len(), 1, "{table}");
        assert_eq!(row(&table, "messages received in"), "messages received in a second 1/s – –");
        assert_eq!(ratio(Some(1.0), Some(1e9)), "1.000e9×");
        assert_eq!(ratio(Some(1e9), Some(1e5)), "0.0001×");
    }
}
