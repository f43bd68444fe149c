//! The page's tables: every figure of a run, also those that no plot shows.

use std::fmt::{Display, Write as _};

use super::super::report::{Run, Summary};
use super::super::stayed::Stayed;
use super::figures;
use super::parts;
use super::plot::escape;

/// All of them.
pub(super) fn all(run: &Run, out: &mut String) {
    out.push_str("<section class=\"tables\">\n<h2>Tables</h2>\n");
    latencies(run, out);
    parts(run, out);
    out.push_str("<div class=\"small\">\n");
    two_columns("Connections that ended, by close code", ["Code", "Times"], closes(run), out);
    two_columns("Upgrades refused", ["Answer", "Times"], counted(run.refusals.iter()), out);
    if !run.never_read.is_empty() {
        two_columns("Those that never read", ["End", "Times"], counted(run.never_read.iter()), out);
    }
    let stayed = Stayed::rows(run, figures::count, figures::time);
    if !stayed.is_empty() {
        two_columns("Those who stay", ["What", "Figure"], stayed, out);
    }
    two_columns("Errors", ["Kind", "Times"], counted(run.errors.iter()), out);
    two_columns("In all", ["What", "Figure"], totals(run), out);
    two_columns("Server", ["What", "Figure"], server(run), out);
    two_columns("Generator", ["What", "Figure"], generator(run), out);
    two_columns("Stages", ["Began", "Stage"], stages(run), out);
    two_columns("Options", ["Option", "Value"], options(run), out);
    out.push_str("</div>\n");
    seconds(run, out);
    out.push_str("</section>\n");
}

/// A threshold's measured value, as time when the expression speaks of time; below nought nothing was measured.
pub(super) fn measured(expression: &str, value: f64) -> String {
    let limit = expression.rsplit(['<', '>', '=']).next().unwrap_or("").trim();
    let unit = limit.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.').trim();
    match unit {
        _ if value < 0.0 => "not measured".to_owned(),
        "us" | "µs" | "ms" | "s" | "m" | "h" => figures::time(value),
        "%" => figures::percent(value),
        _ => figures::number(value),
    }
}

type Rows = Vec<(String, String)>;

fn closes(run: &Run) -> Rows {
    let meaning = |code: u16| match code {
        1000 => "normal",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unacceptable data",
        1005 => "no code given",
        1006 => "no Close came",
        1007 => "not UTF-8",
        1008 => "policy",
        1009 => "too big",
        1010 => "extension missing",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        _ => "",
    };
    let row = |(code, times): (&u16, &u64)| (format!("{code} {}", meaning(*code)), figures::count(*times));
    run.closes.iter().map(row).collect()
}

fn counted<'a>(of: impl Iterator<Item = (&'a String, &'a u64)>) -> Rows {
    of.map(|(name, times)| (name.clone(), figures::count(*times))).collect()
}

fn totals(run: &Run) -> Rows {
    let totals = &run.totals;
    let mut rows: Rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row("Connections", figures::count(totals.connections));
    row("Messages sent", figures::count(totals.sent));
    row("Messages received", figures::count(totals.received));
    row("Received in a second", figures::rate(totals.messages_per_second));
    row("Payload sent", figures::bytes(totals.bytes_out as f64));
    row("Payload received", figures::bytes(totals.bytes_in as f64));
    row("Payload received in a second", format!("{} MB/s", figures::number(totals.megabytes_per_second)));
    for (name, rate) in [
        ("Handshakes in a second", totals.handshakes_per_second),
        ("Full handshakes in a second", totals.full_handshakes_per_second),
        ("Resumed handshakes in a second", totals.resumed_handshakes_per_second),
    ] {
        if let Some(rate) = rate {
            row(name, figures::rate(rate));
        }
    }
    if let (Some(came), Some(due)) = (totals.deliveries, totals.due) {
        row("Deliveries due", figures::count(due));
        row("Deliveries", figures::count(came));
    }
    if let Some(due) = totals.acks_due {
        row("Acknowledgements due", figures::count(due));
        row("Acknowledgements", figures::count(run.latencies.get("ack").map_or(0, |ack| ack.count)));
    }
    if let Some(share) = totals.completeness {
        row("Delivered of what was due", figures::percent(share));
    }
    rows
}

fn server(run: &Run) -> Rows {
    let Some(server) = &run.server else { return Rows::new() };
    let mut rows: Rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    let pids: Vec<String> = server.pids.iter().map(u32::to_string).collect();
    row("Processes", if pids.len() > 3 { format!("{} and {} more", pids[0], pids.len() - 1) } else { pids.join(", ") });
    row("CPU time", figures::time(server.cpu_seconds * 1e6));
    if let Some(us) = server.cpu_us_per_message {
        row("CPU for a message", figures::time(us));
    }
    if let Some(us) = server.cpu_us_per_delivery {
        row("CPU for a delivery", figures::time(us));
    }
    row("Memory before", figures::bytes(server.pss_before as f64));
    row("Memory with all connections", figures::bytes(server.pss_after as f64));
    if let Some(bytes) = server.bytes_per_connection {
        row("Memory for one connection more", figures::bytes(bytes));
    }
    rows
}

fn generator(run: &Run) -> Rows {
    let of = &run.generator;
    let rows = [
        ("CPU time", figures::time(of.cpu_seconds * 1e6)),
        ("CPU, share of its cores", figures::percent(of.cpu_share * 100.0)),
        ("Lag, p99", figures::time(of.lag_p99 as f64)),
        ("Lag, max", figures::time(of.lag_max as f64)),
    ];
    rows.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn stages(run: &Run) -> Rows {
    let row = |(stage, number): (&super::super::report::StageMark, u32)| {
        (figures::clock(u64::from(stage.at)), format!("{number}: {}", stage.name))
    };
    run.stages.iter().zip(1..).map(row).collect()
}

fn options(run: &Run) -> Rows {
    run.meta.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A table of names and figures; what is empty is said in a line.
fn two_columns(caption: &str, heads: [&str; 2], rows: Rows, out: &mut String) {
    if rows.is_empty() {
        let _ = writeln!(out, "<p class=\"none\"><b>{}</b>: none.</p>", escape(caption));
        return;
    }
    let [name, value] = heads;
    let look = if matches!(value, "Figure" | "Times") { "figures" } else { "words" };
    let _ = write!(
        out,
        "<table class=\"{look}\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">{name}</th><th scope=\"col\">{value}</th></tr></thead>\n<tbody>\n",
        escape(caption)
    );
    for (name, value) in rows {
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(&name), escape(&value));
    }
    out.push_str("</tbody>\n</table>\n");
}

/// On a narrow screen each row becomes a block, and each cell says what it is; the roles keep it a table even so.
fn latencies(run: &Run, out: &mut String) {
    const HEADS: [&str; 9] = ["count", "min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];
    if run.latencies.is_empty() {
        out.push_str("<p class=\"none\"><b>Latencies</b>: none was measured.</p>\n");
        return;
    }
    out.push_str("<table class=\"wide\" role=\"table\">\n<caption>Latencies</caption>\n");
    out.push_str("<thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\" scope=\"col\">Kind</th>");
    for head in HEADS {
        let _ = write!(out, "<th role=\"columnheader\" scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody role=\"rowgroup\">\n");
    for (name, of) in figures::in_order(run.latencies.iter()) {
        let name = escape(&figures::kind(name));
        let _ = write!(out, "<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{name}</th>");
        for (head, value) in HEADS.iter().zip(cells(of)) {
            let _ = write!(out, "<td role=\"cell\" data-head=\"{head}\">{value}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
}

/// The parts of a run beside one another; one alone stands in the other tables.
fn parts(run: &Run, out: &mut String) {
    let Some((heads, rows)) = parts::side_by_side(run) else { return };
    out.push_str("<table class=\"figures\">\n<caption>Those who read</caption>\n<thead><tr><th scope=\"col\"></th>");
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escape(&head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (name, cells) in rows {
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(name));
    }
    out.push_str("</tbody>\n</table>\n");
}

fn cells(of: &Summary) -> Vec<String> {
    let times = [of.p50, of.p90, of.p99, of.p999, of.p9999, of.max].map(|us| figures::time(us as f64));
    let mut cells = vec![figures::count(of.count), figures::time(of.min as f64), figures::time(of.mean)];
    cells.extend(times);
    cells
}

/// What the plots over time show, in figures.
fn seconds(run: &Run, out: &mut String) {
    const HEADS: [&str; 11] =
        ["From", "Sent", "Received", "Bytes in", "Bytes out", "Errors", "Open", "p50", "p99", "Max", "Lag"];
    if run.series.is_empty() {
        return;
    }
    out.push_str("<details><summary>Second by second, in figures</summary>\n");
    out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Second by second\">\n<table>\n");
    out.push_str("<caption>What the plots over time show</caption>\n<thead><tr>");
    for head in HEADS {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for second in super::charts::thinned(&run.series) {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", figures::clock(u64::from(second.at)));
        cell(figures::count(second.sent), out);
        cell(figures::count(second.received), out);
        cell(figures::bytes(second.bytes_in as f64), out);
        cell(figures::bytes(second.bytes_out as f64), out);
        cell(figures::count(second.errors), out);
        cell(figures::count(second.open), out);
        for us in [second.p50, second.p99, second.max, second.lag_max] {
            cell(figures::time(us as f64), out);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n</details>\n");
}

fn cell(value: impl Display, out: &mut String) {
    let _ = write!(out, "<td>{value}</td>");
}
