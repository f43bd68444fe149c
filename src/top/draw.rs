//! The screen: a line above, what is looked at, and a line below that says which keys there are.

mod boxes;
mod connections;
mod pages;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Margin, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph};

use super::palette::{Palette, Tone};
use super::plain::Plain;
use super::state::{Page, State};
use super::units::age;

/// The smallest screen on which all of it has its place.
pub(crate) const SMALLEST: (u16, u16) = (80, 24);

/// From here on there is room for all keys.
const WIDE: u16 = 100;

/// Columns from which on a box has room for everything; below, what is nothing is left out.
const ROOMY: u16 = 34;

/// Of the table.
const KEYS: [(&str, &str); 10] = [
    ("↑↓", "select"),
    ("Enter", "look"),
    ("k", "kick"),
    ("s", "sort"),
    ("r", "turn"),
    ("/", "filter"),
    ("Tab", "table"),
    ("b", "backends"),
    ("?", "help"),
    ("q", "quit"),
];

/// Draws it, as large as the frame is.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, palette: Palette) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let told = format!("this takes {}x{}; there is {}x{}", SMALLEST.0, SMALLEST.1, area.width, area.height);
        frame.render_widget(Paragraph::new(told).wrap(ratatui::widgets::Wrap { trim: true }), area);
        return;
    }
    let [above, middle, below] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    head(frame, above, state, palette);
    match state.page {
        Page::Overview => overview(frame, middle, state, palette),
        Page::Connections => connections::table(frame, middle, state, palette),
        Page::Connection => pages::connection(frame, middle, state, palette),
        Page::Backends => pages::backends(frame, middle, state, palette),
        Page::Help => pages::help(frame, middle, palette),
    }
    foot(frame, below, state, palette);
    if let Some(dialog) = &state.dialog {
        pages::dialog(frame, middle, dialog, palette);
    }
}

fn overview(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    // Boxes grow with the screen; what they do not take is the table's.
    let heights = match area.height {
        ..32 => [4, 6, 4],
        32..44 => [8, 7, 6],
        44.. => [10, 10, 8],
    };
    let [flow, counts, parts] = heights.map(Constraint::Length);
    let [flow, counts, parts, table] = Layout::vertical([flow, counts, parts, Constraint::Min(0)]).areas(area);
    let thirds = |row: Rect| -> [Rect; 3] { Layout::horizontal([Constraint::Fill(1); 3]).areas(row) };
    if let Some(figures) = &state.figures {
        boxes::flow(frame, thirds(flow), (figures, &state.history), palette);
        boxes::counts(frame, thirds(counts), figures, palette);
        boxes::parts(frame, thirds(parts), figures, palette);
    }
    connections::table(frame, table, state, palette);
}

fn head(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    let (address, every) = &state.about;
    let mut spans = vec![Span::styled(" wsgate", palette.of(Tone::Title))];
    if let Some(figures) = &state.figures {
        spans.push(Span::raw(format!(" {}  ", figures.version)));
        if state.gone.is_none() {
            spans.extend(phase(&figures.phase, palette));
            let uptime = figures.uptime.map_or_else(String::new, |time| format!("   up {}", age(time)));
            spans.push(Span::raw(uptime));
        }
        if figures.own.draining > 0.0 {
            spans.push(Span::styled(format!("   {:.0} to be told", figures.own.draining), palette.of(Tone::Odd)));
        }
    }
    match &state.gone {
        Some((why, since)) => {
            let told = format!("  ✖ gone for {}: {why}; trying again", age(since.elapsed()));
            spans.push(Span::styled(told, palette.of(Tone::Bad)));
        }
        None if state.figures.is_none() => spans.push(Span::raw("  asking …")),
        None => {}
    }
    frame.render_widget(Line::from(spans), area);
    let right = Line::styled(format!("{address}  every {every} "), palette.of(Tone::Quiet));
    let width = u16::try_from(right.width()).unwrap_or(u16::MAX);
    // The address makes way for what is wrong.
    if state.gone.is_none() && width < area.width / 2 {
        let [_, place] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(area);
        frame.render_widget(right, place);
    }
}

fn phase(phase: &Plain, palette: Palette) -> [Span<'static>; 2] {
    let (mark, tone) = if phase.as_str() == "running" { ("● ", Tone::Good) } else { ("▲ ", Tone::Odd) };
    [Span::styled(mark, palette.of(tone)), Span::styled(phase.to_string(), palette.of(tone))]
}

fn foot(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    if let Some(note) = &state.note {
        let (told, tone) = match note {
            Ok(told) => (format!(" ✔ {told}"), Tone::Good),
            Err(why) => (format!(" ✖ {why}"), Tone::Bad),
        };
        frame.render_widget(Line::styled(told, palette.of(tone)), area);
        return;
    }
    let keys: &[(&str, &str)] = match (state.page, state.is_filtering) {
        _ if state.dialog.is_some() => &[],
        (_, true) => &[("Enter", "keep the filter"), ("Esc", "no filter")],
        (Page::Overview | Page::Connections, false) => &KEYS,
        (Page::Connection, _) => &[("k", "kick"), ("Esc", "back")],
        (Page::Backends, _) => &[("↑↓", "select"), ("d", "drain, or end it"), ("Esc", "back")],
        (Page::Help, _) => &[("any key", "back")],
    };
    let mut spans = vec![Span::raw(" ")];
    let is_wide = area.width >= WIDE;
    for (key, what) in keys.iter().filter(|(key, _)| is_wide || !["r", "Tab"].contains(key)) {
        spans.push(Span::styled(format!("{key} "), palette.of(Tone::Title)));
        spans.push(Span::styled(format!("{what}  "), palette.of(Tone::Quiet)));
    }
    frame.render_widget(Line::from(spans), area);
}

/// A box with a heading, and perhaps a word at its right.
fn frame_of(title: &str, right: String, palette: Palette) -> Block<'static> {
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(palette.of(Tone::Quiet));
    let block = block.title(Line::styled(format!(" {title} "), palette.of(Tone::Title)));
    if right.is_empty() {
        return block;
    }
    block.title(Line::styled(format!(" {right} "), palette.of(Tone::Plain)).alignment(Alignment::Right))
}

/// What is within a box; where there is room, not right at its edge.
fn inside(block: &Block<'_>, area: Rect) -> Rect {
    let margin = u16::from(area.width >= ROOMY + 4);
    block.inner(area).inner(Margin::new(margin, 0))
}

/// A label at the left and a value at the right of one line; the label makes way.
fn pair(label: (String, Tone), value: (String, Tone), width: u16, palette: Palette) -> Line<'static> {
    let width = usize::from(width);
    let long = Span::raw(value.0.as_str()).width();
    let label_room = width.saturating_sub(long + 1);
    let shown = shortened(&label.0, label_room);
    let gap = width.saturating_sub(Span::raw(shown.as_str()).width() + long);
    Line::from(vec![
        Span::styled(shown, palette.of(label.1)),
        Span::raw(" ".repeat(gap)),
        Span::styled(value.0, palette.of(value.1)),
    ])
}

/// As much of it as has room, with a sign that there is more.
fn shortened(text: &str, room: usize) -> String {
    if Span::raw(text).width() <= room {
        return text.to_owned();
    }
    let mut shown = String::new();
    for one in text.chars() {
        shown.push(one);
        if Span::raw(shown.as_str()).width() + 1 > room {
            shown.pop();
            break;
        }
    }
    if room > 0 { shown + "…" } else { shown }
}
