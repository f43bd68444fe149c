//! What stands in the overview's place, or over it: one connection, the backends, the help, and questions.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Row, Table, TableState, Wrap};
use serde_json::Value;

use super::{WIDE, frame_of, shortened};
use crate::top::desk::{Backend, Connection, Pool};
use crate::top::dialog::{Dialog, Kick};
use crate::top::figures::Stand;
use crate::top::palette::{Palette, Tone};
use crate::top::plain::Plain;
use crate::top::state::State;
use crate::top::units::{age, byte_rate, bytes, count};

const HELP: [(&str, &str); 14] = [
    ("↑ ↓ PgUp PgDn Home End", "select a connection; it stays selected wherever it goes"),
    ("Enter", "show all that is known of it"),
    ("k", "kick it: close it with a code and a reason, after a question"),
    ("s", "sort by the next of bytes/s, age, bytes, messages, idle, address"),
    ("r", "turn the order round"),
    ("/", "filter: every word has to be in route, address, host, backend, TLS or state"),
    ("Tab", "the table alone, or the overview again"),
    ("b", "backends; there d drains one or ends that, after a question"),
    ("Esc", "back; no filter; in the overview it leaves"),
    ("q, Ctrl-C", "leave"),
    ("", ""),
    ("rates", "are those of the last five looks; curves have one column for each look"),
    ("latencies", "are those of the last minute; pale: since the start, nothing was new"),
    ("", "handshake: from accept to 101; connect, answer: of backends"),
];

/// Columns of the backends, the least important last.
const BACKENDS: [(&str, Constraint); 9] = [
    ("pool", Constraint::Max(16)),
    ("backend", Constraint::Fill(2)),
    ("state", Constraint::Length(16)),
    ("open", Constraint::Length(6)),
    ("max", Constraint::Length(6)),
    ("failures", Constraint::Length(8)),
    ("ejections", Constraint::Length(9)),
    ("handshakes", Constraint::Length(10)),
    ("queue", Constraint::Length(9)),
];

/// All that is known of the connection that was selected.
pub(super) fn connection(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    let title = state.selected.map_or_else(|| "Connection".to_owned(), |id| format!("Connection {id}"));
    let block = frame_of(&title, String::new(), palette);
    let lines = match &state.focus {
        Some(Ok(one)) => facts(one, palette),
        Some(Err(why)) => vec![Line::styled(why.to_string(), palette.of(Tone::Bad))],
        None => vec![Line::from("asking …")],
    };
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

fn facts(one: &Connection, palette: Palette) -> Vec<Line<'static>> {
    let or_none = |text: Option<&Plain>| text.map_or_else(|| "none".to_owned(), Plain::to_string);
    let time = |seconds| std::time::Duration::try_from_secs_f64(seconds).map(age).unwrap_or_default();
    let state = if one.state().is_empty() { "open" } else { one.state() };
    let ways = |into: String, out: String| format!("{into} in, {out} out");
    let mut facts = vec![
        ("id".to_owned(), one.id.to_string()),
        ("route".to_owned(), one.route.to_string()),
        ("address".to_owned(), or_none(one.address.as_ref())),
        ("host".to_owned(), one.host.to_string()),
        ("tls".to_owned(), or_none(one.tls.as_ref())),
        ("backend".to_owned(), or_none(one.backend.as_ref())),
        ("open for".to_owned(), time(one.age_seconds)),
        ("idle for".to_owned(), time(one.idle_seconds)),
        ("messages".to_owned(), ways(count(one.frames_in as f64), count(one.frames_out as f64))),
        ("bytes".to_owned(), ways(bytes(one.bytes_in as f64), bytes(one.bytes_out as f64))),
        ("bytes/s".to_owned(), byte_rate(one.pace)),
        ("waits for it".to_owned(), bytes(one.queued_bytes as f64)),
        ("state".to_owned(), state.to_owned()),
    ];
    // What only a newer gateway tells is shown as it tells it.
    facts.extend(one.more.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| Value::to_string(value), str::to_owned);
        (Plain::of(name).to_string(), Plain::of(&text).to_string())
    }));
    facts.into_iter().map(|(name, value)| fact(&name, value, palette)).collect()
}

fn fact(name: &str, value: String, palette: Palette) -> Line<'static> {
    Line::from(vec![Span::styled(format!(" {name:<14}"), palette.of(Tone::Quiet)), Span::raw(value)])
}

/// Each backend in a row.
pub(super) fn backends(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    let backends = state.figures.as_ref().map_or(&[][..], |figures| &figures.backends);
    let right = state.closed.as_ref().map(|why| format!("no drains: {why}")).unwrap_or_default();
    let block = frame_of("Backends", shortened(&right, usize::from(area.width) / 2), palette);
    if backends.is_empty() {
        frame.render_widget(Paragraph::new("there are none").style(palette.of(Tone::Quiet)).block(block), area);
        return;
    }
    // What there is no room for is the least of it.
    let columns = if area.width < WIDE { 6 } else { BACKENDS.len() };
    let rows = backends.iter().map(|stand| {
        let tone = if stand.is_usable { Tone::Plain } else { Tone::Bad };
        Row::new(cells(stand).into_iter().take(columns)).style(palette.of(tone))
    });
    let (headings, widths): (Vec<&str>, Vec<Constraint>) = BACKENDS.into_iter().take(columns).unzip();
    let heading = Row::new(headings).style(palette.of(Tone::Quiet));
    let table = Table::new(rows, widths).header(heading).block(block).row_highlight_style(palette.selected());
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(Some(state.backend)));
}

fn cells(stand: &Stand) -> [String; 9] {
    let none = || "–".to_owned();
    let most = stand.most.map_or_else(none, count);
    let (pool, name, open) = (stand.pool.to_string(), stand.name.to_string(), count(stand.open));
    let Some((Pool { waiting, queue, .. }, backend)) = &stand.whole else {
        return [pool, name, stand.state.clone(), open, most, none(), none(), none(), none()];
    };
    let Backend { handshakes, failures, ejections, .. } = backend;
    let queue = format!("{waiting}/{queue}");
    let [handshakes, failures, ejections] = [handshakes, failures, ejections].map(|number| count(*number as f64));
    [pool, name, stand.state.clone(), open, most, failures, ejections, handshakes, queue]
}

/// The keys, and what the figures mean.
pub(super) fn help(frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let lines = HELP.map(|(key, what)| {
        Line::from(vec![Span::styled(format!(" {key:<24}"), palette.of(Tone::Title)), Span::raw(what)])
    });
    let block = frame_of("Help", String::new(), palette);
    frame.render_widget(Paragraph::new(lines.to_vec()).wrap(Wrap { trim: false }).block(block), area);
}

/// A question, in the middle of the screen.
pub(super) fn dialog(frame: &mut Frame<'_>, area: Rect, dialog: &Dialog, palette: Palette) {
    let [_, middle, _] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(9), Constraint::Fill(1)]).areas(area);
    let [_, middle, _] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Max(76), Constraint::Fill(1)]).areas(middle);
    let (title, lines) = match dialog {
        Dialog::Kick(kick) => (format!("Close connection {}?", kick.id), kick_lines(kick, middle.width, palette)),
        Dialog::Drain(drain) => {
            let [question, meaning] = drain.question();
            let lines = vec![Line::from(question), Line::from(meaning), Line::from(""), keys("y", "yes", "n", palette)];
            (if drain.is_drained { "End a drain?" } else { "Drain?" }.to_owned(), lines)
        }
    };
    let block = frame_of(&title, String::new(), palette).border_style(palette.of(Tone::Odd));
    frame.render_widget(Clear, middle);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), middle);
}

fn kick_lines(kick: &Kick, width: u16, palette: Palette) -> Vec<Line<'static>> {
    let field = |name: &str, value: &str, is_here: bool| {
        let style =
            if is_here { palette.selected() } else { palette.of(Tone::Plain).add_modifier(Modifier::UNDERLINED) };
        // The end of a long one is where the cursor is.
        let room = usize::from(width).saturating_sub(16);
        let skipped = value.chars().count().saturating_sub(room);
        let shown: String = value.chars().skip(skipped).collect();
        Line::from(vec![Span::styled(format!(" {name:<8}"), palette.of(Tone::Quiet)), Span::styled(shown + " ", style)])
    };
    let wrong = kick.wrong().map_or_else(String::new, |wrong| format!(" {wrong}"));
    vec![
        Line::from(format!(" {}", kick.who)),
        Line::from(""),
        field("code", &kick.code, !kick.is_at_reason),
        field("reason", &kick.reason, kick.is_at_reason),
        Line::styled(wrong, palette.of(Tone::Bad)),
        Line::from(""),
        keys("Enter", "close it    Tab  next field", "Esc", palette),
    ]
}

fn keys(yes: &str, what: &str, no: &str, palette: Palette) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!(" {yes} "), palette.of(Tone::Title)),
        Span::styled(format!("{what}    "), palette.of(Tone::Quiet)),
        Span::styled(format!("{no} "), palette.of(Tone::Title)),
        Span::styled("leave it", palette.of(Tone::Quiet)),
    ])
}
