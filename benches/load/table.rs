//! A run as text for people.

use std::fmt::Write as _;

use super::html::{figures, parts};
use super::report::{Run, Summary};
use super::stayed::Stayed;

/// The whole report.
pub(crate) fn text(run: &Run) -> String {
    let mut out = String::new();
    let options: Vec<String> = run.meta.options.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let _ =
        writeln!(out, "{} of {}, {:.1} s: {}", run.meta.profile, run.meta.url, run.meta.seconds, options.join(", "));
    if !run.generator.valid {
        let _ = writeln!(out, "\nINVALID: the generator was the limit: {}", run.generator.why.join("; "));
    }
    latencies(run, &mut out);
    totals(run, &mut out);
    side_by_side(run, &mut out);
    for (name, figure) in Stayed::rows(run, figures::count, figures::time) {
        let _ = writeln!(out, "{name}: {figure}");
    }
    counts("never read, in the end", run.never_read.iter(), &mut out);
    counts("close codes", run.closes.iter(), &mut out);
    counts("refused with", run.refusals.iter(), &mut out);
    counts("errors", run.errors.iter(), &mut out);
    for stage in &run.stages {
        let _ = writeln!(out, "at {:>4} s  {}", stage.at, stage.name);
    }
    server(run, &mut out);
    let own = &run.generator;
    let _ = writeln!(
        out,
        "generator: CPU {:.2} s ({:.0} % of its processors), clock late by {} (p99), {} (max): {}",
        own.cpu_seconds,
        100.0 * own.cpu_share,
        figures::time(own.lag_p99 as f64),
        figures::time(own.lag_max as f64),
        if own.valid { "valid" } else { "INVALID" },
    );
    for threshold in &run.thresholds {
        let verdict = if threshold.passed { "passed" } else { "FAILED" };
        let _ = writeln!(out, "{verdict}: fail if {} (measured {})", threshold.expression, threshold.value);
    }
    out
}

fn latencies(run: &Run, out: &mut String) {
    let _ = write!(out, "\n{:<16}{:>12}", "latency", "count");
    for name in ["min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"] {
        let _ = write!(out, "{name:>10}");
    }
    out.push('\n');
    for (name, summary) in figures::in_order(run.latencies.iter()) {
        let Summary { count, min, mean, p50, p90, p99, p999, p9999, max, .. } = summary;
        let _ = write!(out, "{:<16}{:>12}", name.replace('_', " "), figures::count(*count));
        for value in
            [*min as f64, *mean, *p50 as f64, *p90 as f64, *p99 as f64, *p999 as f64, *p9999 as f64, *max as f64]
        {
            let _ = write!(out, "{:>10}", figures::time(value));
        }
        out.push('\n');
    }
}

fn totals(run: &Run, out: &mut String) {
    let totals = &run.totals;
    let _ = writeln!(
        out,
        "\n{} connections, {} messages sent, {} received: {}/s, {:.2} MB/s",
        figures::count(totals.connections),
        figures::count(totals.sent),
        figures::count(totals.received),
        figures::count(totals.messages_per_second as u64),
        totals.megabytes_per_second,
    );
    if let Some(rate) = totals.handshakes_per_second {
        let _ = write!(out, "{rate:.0} handshakes a second");
        if let (Some(full), Some(resumed)) = (totals.full_handshakes_per_second, totals.resumed_handshakes_per_second) {
            let _ = write!(out, ": {full:.0} while they were full, {resumed:.0} while sessions were resumed");
        }
        out.push('\n');
    }
    if let (Some(share), Some(came), Some(due)) = (totals.completeness, totals.deliveries, totals.due) {
        let (share, came, due) = (figures::percent(share), figures::count(came), figures::count(due));
        let _ = writeln!(out, "{share} of the deliveries that were due came: {came} of {due}");
    }
    if let Some(due) = totals.acks_due {
        let came = figures::count(run.latencies.get("ack").map_or(0, |ack| ack.count));
        let _ = writeln!(out, "{came} of {} messages were acknowledged", figures::count(due));
    }
}

/// A run in parts: one column for each.
fn side_by_side(run: &Run, out: &mut String) {
    let Some((heads, rows)) = parts::side_by_side(run) else { return };
    let width = |text: &str| text.chars().count();
    let first = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut line = |name: &str, cells: &[String]| {
        let _ = write!(out, "{name:<first$}");
        for (cell, head) in cells.iter().zip(&heads) {
            let _ = write!(out, "  {cell:>to$}", to = width(head).max(12));
        }
        out.push('\n');
    };
    line("", &heads);
    rows.iter().for_each(|(name, cells)| line(name, cells));
}

fn counts<K: std::fmt::Display>(
    name: &str,
    counts: impl Iterator<Item = (K, impl std::fmt::Display)>,
    out: &mut String,
) {
    let counts: Vec<String> = counts.map(|(key, count)| format!("{key} × {count}")).collect();
    if !counts.is_empty() {
        let _ = writeln!(out, "{name}: {}", counts.join(", "));
    }
}

fn server(run: &Run, out: &mut String) {
    let Some(server) = &run.server else { return };
    let processes = if server.pids.len() == 1 { "process" } else { "processes" };
    let _ = write!(out, "server ({} {processes}): CPU {:.2} s", server.pids.len(), server.cpu_seconds);
    if let Some(each) = server.cpu_us_per_message {
        let _ = write!(out, ", {each:.2} µs a message");
    }
    if let Some(each) = server.cpu_us_per_delivery {
        let _ = write!(out, ", {each:.2} µs a delivery");
    }
    let (before, after) = (server.pss_before as f64, server.pss_after as f64);
    let _ = write!(out, ", memory {} → {}", figures::bytes(before), figures::bytes(after));
    if let Some(each) = server.bytes_per_connection {
        let _ = write!(out, ", {each:.0} B a connection");
    }
    out.push('\n');
}
