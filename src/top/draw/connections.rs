//! The table of connections, with as many columns as the screen is wide.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Padding, Paragraph, Row, Table, TableState};

use super::{WIDE, frame_of};
use crate::top::desk::Connection;
use crate::top::palette::{Palette, Tone};
use crate::top::plain::Plain;
use crate::top::state::State;
use crate::top::table::Sort;
use crate::top::units::{age, byte_rate, bytes, count};

/// A column: its heading, its width, the screen from which on it is there, what it is sorted by, and its cells.
struct Column {
    heading: &'static str,
    width: Constraint,
    from: u16,
    sort: Option<Sort>,
    is_number: bool,
    cell: fn(&Connection) -> String,
}

const COLUMNS: [Column; 13] = [
    left("id", Constraint::Length(7), 0, |one| one.id.to_string()),
    left("address", Constraint::Length(0), 0, |one| or_none(one.address.as_ref())).by(Sort::Address),
    left("route", Constraint::Fill(1), 0, |one| one.route.to_string()),
    right("age", 7, 0, |one| time(one.age_seconds)).by(Sort::Age),
    right("idle", 7, 100, |one| time(one.idle_seconds)).by(Sort::Idle),
    right("messages", 9, 0, |one| count(one.messages() as f64)).by(Sort::Messages),
    right("bytes", 9, 0, |one| bytes(one.bytes() as f64)).by(Sort::Bytes),
    right("in", 9, 140, |one| bytes(one.bytes_in as f64)),
    right("out", 9, 140, |one| bytes(one.bytes_out as f64)),
    right("bytes/s", 11, 0, |one| byte_rate(one.pace)).by(Sort::Pace),
    left("state", Constraint::Length(6), 0, |one| one.state().to_owned()),
    left("backend", Constraint::Fill(2), 110, |one| or_none(one.backend.as_ref())),
    left("host", Constraint::Fill(1), 150, |one| one.host.to_string()),
];

const fn left(heading: &'static str, width: Constraint, from: u16, cell: fn(&Connection) -> String) -> Column {
    Column { heading, width, from, sort: None, is_number: false, cell }
}

const fn right(heading: &'static str, width: u16, from: u16, cell: fn(&Connection) -> String) -> Column {
    Column { heading, width: Constraint::Length(width), from, sort: None, is_number: true, cell }
}

impl Column {
    const fn by(mut self, sort: Sort) -> Self {
        self.sort = Some(sort);
        self
    }

    fn text(&self, text: String) -> Text<'static> {
        Text::from(text).alignment(if self.is_number { Alignment::Right } else { Alignment::Left })
    }
}

fn or_none(text: Option<&Plain>) -> String {
    text.map_or_else(|| "–".to_owned(), Plain::to_string)
}

fn time(seconds: f64) -> String {
    std::time::Duration::try_from_secs_f64(seconds).map_or_else(|_| "–".to_owned(), age)
}

/// Draws it; the selected row is in view.
pub(super) fn table(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    let rows = state.rows();
    let block = frame_of("Connections", told(state, rows.len()), palette);
    let block = block.padding(Padding::horizontal(u16::from(area.width >= WIDE)));
    if let Some(why) = &state.closed {
        let text = Text::from(vec![Line::from("not told without a token:"), Line::from(why.to_string())]);
        frame.render_widget(Paragraph::new(text).style(palette.of(Tone::Quiet)).block(block), area);
        return;
    }
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| column.from <= area.width).collect();
    let heading = columns.iter().map(|column| {
        let is_sorted = column.sort == Some(state.sort);
        let arrow = if is_sorted { if state.is_reversed { "▲" } else { "▼" } } else { "" };
        let tone = if is_sorted { Tone::Title } else { Tone::Quiet };
        column.text(format!("{}{arrow}", column.heading)).style(palette.of(tone))
    });
    let heading = Row::new(heading.collect::<Vec<_>>());
    let selected = state.selected.and_then(|id| rows.iter().position(|row| row.id == id));
    // Only what is in view is made: there may be ten thousand.
    let room = usize::from(area.height.saturating_sub(3)).max(1);
    let first = selected.map_or(0, |at| (at + room / 2 + 1).saturating_sub(room)).min(rows.len().saturating_sub(room));
    let in_view = || rows.iter().skip(first).take(room);
    let longest = in_view().filter_map(|one| one.address.as_ref()).map(|address| address.as_str().len()).max();
    let shown = in_view().map(|one| {
        let style = if one.state().is_empty() { palette.of(Tone::Plain) } else { palette.of(Tone::Odd) };
        Row::new(columns.iter().map(|column| column.text((column.cell)(one))).collect::<Vec<_>>()).style(style)
    });
    // Addresses are seldom as long as they can be.
    let address = Constraint::Length(u16::try_from(longest.unwrap_or_default().clamp(9, 39)).unwrap_or(39));
    let widths = columns.iter().map(|column| if column.heading == "address" { address } else { column.width });
    let table = Table::new(shown, widths).header(heading).block(block).row_highlight_style(palette.selected());
    let mut place = TableState::new().with_selected(selected.map(|at| at - first));
    frame.render_stateful_widget(table, area, &mut place);
}

/// How many are shown, of how many, and why those.
fn told(state: &State, shown: usize) -> String {
    let all = state.census.as_ref().map_or(0, |census| census.count);
    let mut told = match shown == all {
        true => count(all as f64),
        false => format!("{} of {}", count(shown as f64), count(all as f64)),
    };
    told += &format!(" by {}", state.sort.word());
    if state.is_filtering {
        told += &format!("  /{}█", state.filter);
    } else if !state.filter.is_empty() {
        told += &format!("  /{}", state.filter);
    }
    // Where there are very many they are told a thousand at a time.
    let old = state.census.as_ref().map(|census| census.began.elapsed()).filter(|old| old.as_secs() > 5);
    old.map_or(told.clone(), |old| format!("{told}  as of {} ago", age(old)))
}
