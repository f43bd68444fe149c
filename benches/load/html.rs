//! A run as one page that needs nothing else: the verdict first, then key figures, plots and tables. Every plot is
//! there without the script, which only reads out what the pointer is at.

use std::fmt::Write as _;

use super::report::{Run, Summary};

#[path = "charts.rs"]
mod charts;
#[path = "figures.rs"]
pub(crate) mod figures;
#[path = "parts.rs"]
pub(crate) mod parts;
#[path = "plot.rs"]
mod plot;
#[path = "tables.rs"]
mod tables;

use plot::escape;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' \
                    height='32' rx='9' fill='%230f6b62'/%3E%3Cpath d='M7 24V8m0 16h18M11 19l5-5 4 3 5-7' fill='none' \
                    stroke='%23fff' stroke-width='3' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

/// The whole page.
#[must_use]
pub(crate) fn page(run: &Run) -> String {
    let (profile, url) = (escape(&run.meta.profile), escape(&run.meta.url));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{profile}: {url}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"{ICON}\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    header(run, &mut out);
    out.push_str("<main>\n");
    verdict(run, &mut out);
    key_figures(run, &mut out);
    out.push_str("<section class=\"plots\">\n<h2>Plots</h2>\n");
    for plot in charts::all(run) {
        out.push_str(&plot.html());
    }
    out.push_str("</section>\n");
    tables::all(run, &mut out);
    let _ =
        write!(out, "</main>\n<footer><p>{}</p></footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n", by(run));
    out
}

fn header(run: &Run, out: &mut String) {
    let meta = &run.meta;
    let _ = writeln!(
        out,
        "<header><p class=\"what\">Load report</p>\n<h1><span>{}</span> <bdi>{}</bdi></h1>\n<p>{}, {} measured</p></header>",
        escape(&meta.profile),
        escape(&meta.url).replace('/', "/<wbr>"),
        figures::moment(meta.started_unix),
        figures::time(meta.seconds * 1e6)
    );
}

/// Who made the page.
fn by(run: &Run) -> String {
    let tool = if run.meta.tool.is_empty() { "an unnamed tool" } else { &run.meta.tool };
    let cores = if run.meta.cpus == 1 { "processor" } else { "processors" };
    format!("Measured with {} on a machine with {} {cores}.", escape(tool), run.meta.cpus)
}

/// Whether the figures may be believed, and whether they are what was asked for.
fn verdict(run: &Run, out: &mut String) {
    let generator = &run.generator;
    let (look, head, text) = if generator.valid {
        ("good", "Valid", "The generator kept up, so these figures are the server’s.")
    } else {
        (
            "bad",
            "INVALID: the generator was the limit",
            "These figures say what the measuring machine could do, not what the server can. Do not rely on them.",
        )
    };
    let _ = write!(
        out,
        "<section class=\"verdict\" aria-label=\"Verdict\">\n<div class=\"{look}\"><h2>{head}</h2><p>{text}</p>"
    );
    if !generator.why.is_empty() {
        let why: String = generator.why.iter().map(|why| format!("<li>{}</li>", escape(why))).collect();
        let _ = write!(out, "<ul>{why}</ul>");
    }
    out.push_str("</div>\n");
    let (asked, missed) = (run.thresholds.len(), run.thresholds.iter().filter(|asked| !asked.passed).count());
    if asked > 0 {
        let (look, head) = match missed {
            0 => ("good", "PASSED: every threshold kept".to_owned()),
            _ => ("bad", format!("FAILED: {missed} of {asked} thresholds not kept")),
        };
        let _ = write!(out, "<div class=\"{look}\"><h2>{head}</h2><ul>");
        for asked in &run.thresholds {
            let word = if asked.passed { "passed" } else { "failed" };
            let value = tables::measured(&asked.expression, asked.value).replace(' ', "&nbsp;");
            let _ =
                write!(out, "<li><b>{word}</b>: fail if <code>{}</code>, was {value}</li>", escape(&asked.expression));
        }
        out.push_str("</ul></div>\n");
    }
    out.push_str("</section>\n");
}

/// What making and ending a connection takes, which every profile measures.
const CONNECTING: [&str; 6] = ["tcp", "tls", "tls_resumed", "upgrade", "first_message", "close"];

/// The latency that the profile is about, when that is not connecting.
fn main_latency(run: &Run) -> Option<(&str, &Summary)> {
    figures::in_order(run.latencies.iter()).into_iter().find(|(name, _)| !CONNECTING.contains(name))
}

fn key_figures(run: &Run, out: &mut String) {
    let totals = &run.totals;
    let mut tiles: Vec<(String, String)> = Vec::new();
    let mut tile = |name: &str, value: String| tiles.push((name.to_owned(), value));
    if let Some((name, latency)) = main_latency(run) {
        let name = figures::kind(name);
        tile(&format!("{name}, p50"), figures::time(latency.p50 as f64));
        tile(&format!("{name}, p99"), figures::time(latency.p99 as f64));
        tile(&format!("{name}, max"), figures::time(latency.max as f64));
    } else {
        for (name, latency) in figures::in_order(run.latencies.iter()).into_iter().filter(|(name, _)| *name != "close")
        {
            tile(&format!("{}, p99", figures::kind(name)), figures::time(latency.p99 as f64));
        }
    }
    match (totals.full_handshakes_per_second, totals.resumed_handshakes_per_second) {
        (Some(full), Some(resumed)) => {
            tile("Full handshakes", figures::rate(full));
            tile("Resumed handshakes", figures::rate(resumed));
        }
        _ => totals.handshakes_per_second.into_iter().for_each(|rate| tile("Handshakes", figures::rate(rate))),
    }
    if totals.received > 0 || totals.sent > 0 {
        tile("Messages received", figures::rate(totals.messages_per_second));
    }
    if totals.megabytes_per_second >= 1.0 {
        tile("Payload received", format!("{} MB/s", figures::number(totals.megabytes_per_second)));
    }
    if let Some(share) = totals.completeness {
        tile("Delivered", figures::percent(share));
    }
    tile("Connections", figures::count(totals.connections));
    tile("Errors and refusals", figures::count(failures(run)));
    if let Some(server) = &run.server {
        match (server.cpu_us_per_delivery, server.cpu_us_per_message) {
            (Some(us), _) => tile("Server CPU for a delivery", figures::time(us)),
            (None, Some(us)) => tile("Server CPU for a message", figures::time(us)),
            (None, None) => {}
        }
        if let Some(bytes) = server.bytes_per_connection {
            tile("Server memory for a connection", figures::bytes(bytes));
        }
    }
    out.push_str("<section>\n<h2>Key figures</h2>\n<dl class=\"tiles\">\n");
    for (name, value) in tiles {
        let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(&name), escape(&value));
    }
    out.push_str("</dl>\n</section>\n");
}

/// Everything that went wrong, as one number.
fn failures(run: &Run) -> u64 {
    run.errors.values().chain(run.refusals.values()).fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::super::report::{Second, StageMark, Threshold};
    use super::*;

    fn second(at: u32) -> Second {
        Second {
            at,
            sent: 10,
            received: 9,
            p50: 100,
            p99: 900,
            max: 1_500,
            own_cpu: 0.25,
            lag_max: 40,
            ..Second::default()
        }
    }

    fn summary() -> Summary {
        let curve = vec![(0.0, 50), (50.0, 100), (99.0, 900), (100.0, 1_500)];
        Summary { count: 1_000, min: 50, p50: 100, p99: 900, max: 1_500, curve, ..Summary::default() }
    }

    /// Every tag that opens is closed in its turn, and no number is broken.
    fn lawful(page: &str) {
        const VOID: [&str; 4] = ["meta", "link", "!doctype", "wbr"];
        let (head, rest) = page.split_once("<style>").expect("a style");
        let body = rest.split_once("</style>").expect("its end").1.split_once("<script>").expect("a script").0;
        let whole = format!("{head}{body}");
        let mut open = Vec::new();
        for tag in whole.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("no end: {tag}"));
            let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or("");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "in {page}");
            } else if !tag.ends_with('/') && !VOID.contains(&name) {
                open.push(name);
            }
        }
        assert_eq!(open, ["html", "body"]);
        for broken in ["NaN", "inf%", "=\"inf", "-0%", "null"] {
            assert!(!body.contains(broken), "{broken} in {body}");
        }
    }

    #[test]
    fn an_empty_run_is_a_page_that_says_so() {
        let page = page(&Run::default());
        lawful(&page);
        assert!(page.contains("INVALID: the generator was the limit"));
        assert_eq!(page.matches("Nothing was measured.").count(), 5, "each plot says it");
        assert!(page.contains("<b>Latencies</b>: none was measured."));
    }

    #[test]
    fn one_second_is_drawn_as_dots() {
        let mut run = Run { series: vec![second(0)], ..Run::default() };
        run.generator.valid = true;
        run.latencies.insert("round_trip".to_owned(), summary());
        let page = page(&run);
        lawful(&page);
        assert!(page.contains("<h2>Valid</h2>") && !page.contains("INVALID"));
        assert_eq!(page.matches("<circle").count(), 3 + 2 + 1 + 1);
        assert!(page.contains("<dt>Round trip, p99</dt><dd>900 µs</dd>"));
    }

    #[test]
    fn huge_values_stay_within_the_plot() {
        let huge = Second {
            at: u32::MAX,
            sent: u64::MAX,
            received: u64::MAX,
            bytes_in: u64::MAX,
            errors: u64::MAX,
            open: u64::MAX,
            p50: u64::MAX,
            p99: u64::MAX,
            max: u64::MAX,
            own_cpu: f64::INFINITY,
            lag_max: u64::MAX,
            ..Second::default()
        };
        let mut run = Run { series: vec![second(0), huge.clone(), huge], ..Run::default() };
        run.series.extend((0..5_000).map(second));
        run.meta.seconds = f64::NAN;
        run.meta.started_unix = u64::MAX;
        run.totals.messages_per_second = f64::INFINITY;
        run.errors = [("a", u64::MAX), ("b", u64::MAX)].map(|(name, times)| (name.to_owned(), times)).into();
        let most = Summary { count: u64::MAX, max: u64::MAX, curve: vec![(0.0, 0), (100.0, u64::MAX)], ..summary() };
        run.latencies.insert("delivery".to_owned(), most);
        let page = page(&run);
        lawful(&page);
        assert!(page.contains("Each point covers 9 s."));
        assert!(page.contains("<dt>Errors and refusals</dt><dd>18,446,744,073,709,551,615</dd>"));
        assert!(page.len() < 400_000, "{} bytes", page.len());
    }

    #[test]
    fn text_from_outside_stays_text() {
        let evil = "</script><script>alert(1)</script>\"'&\u{1b}";
        let mut run = Run { series: vec![second(0), second(1)], ..Run::default() };
        let meta = &mut run.meta;
        (meta.url, meta.profile, meta.tool) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
        meta.options.insert(evil.to_owned(), evil.to_owned());
        run.generator.why.push(evil.to_owned());
        run.latencies.insert(evil.to_owned(), summary());
        run.refusals.insert(evil.to_owned(), 1);
        run.errors.insert(evil.to_owned(), 1);
        run.stages.push(StageMark { at: 0, name: evil.to_owned() });
        run.thresholds.push(Threshold { expression: evil.to_owned(), value: f64::NAN, passed: false });
        let page = page(&run);
        lawful(&page);
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(!page.contains("alert(1)</") && !page.contains('\u{1b}') && !page.contains("\"'&"));
    }

    #[test]
    fn thresholds_say_what_was_measured() {
        let asked = |expression: &str, value, passed| Threshold { expression: expression.to_owned(), value, passed };
        let thresholds = vec![
            asked("p99>20ms", 31_000.0, false),
            asked("errors<1000", 1_500.0, true),
            asked("tls.p50>5ms", -1.0, false),
        ];
        let page = page(&Run { thresholds, ..Run::default() });
        assert!(page.contains("FAILED: 2 of 3 thresholds not kept"));
        assert!(page.contains("<b>failed</b>: fail if <code>p99&gt;20ms</code>, was 31.0&nbsp;ms"));
        assert!(page.contains("<b>passed</b>: fail if <code>errors&lt;1000</code>, was 1,500"));
        assert!(page.contains("<code>tls.p50&gt;5ms</code>, was not&nbsp;measured"));
    }

    #[test]
    fn nothing_is_asked_of_the_network() {
        let page = page(&Run { series: vec![second(0), second(1)], ..Run::default() });
        for outside in ["src=", "url(", "@import", "fetch(", "https:", "//cdn"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"), "neither may end its own tag");
    }
}
