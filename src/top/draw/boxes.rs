//! The boxes of the overview: what flows, what is counted, and what there is.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, RenderDirection, Sparkline};

use super::{ROOMY, frame_of, inside, pair};
use crate::top::figures::{Counted, Figures, Own};
use crate::top::history::{History, Line as Series};
use crate::top::palette::{Palette, Tone};
use crate::top::units::{age, byte_rate, bytes, count, latency, rate};

/// Days before the end of a certificate from which on it is worth a look, and from which on it is urgent.
const DAYS: (f64, f64) = (21.0, 7.0);
const DAY: f64 = 86_400.0;

/// One line that is drawn, and what it is called.
struct Meter {
    label: &'static str,
    value: String,
    series: Series,
    tone: Tone,
}

/// What flows: WebSockets, messages, bytes.
pub(super) fn flow(
    frame: &mut Frame<'_>,
    [first, second, third]: [Rect; 3],
    (figures, history): (&Figures, &History),
    palette: Palette,
) {
    let meter = |label, value, series, tone| Meter { label, value, series, tone };
    let Figures { open, opened, refused, messages, bytes, .. } = figures;
    let sockets = [
        meter("opened", rate(opened.rate), Series::Opened, Tone::Good),
        meter("refused", rate(refused.rate), Series::Refused, Tone::Bad),
    ];
    let said = [
        meter("in", rate(messages.into), Series::MessagesIn, Tone::Into),
        meter("out", rate(messages.out), Series::MessagesOut, Tone::Out),
    ];
    let payload = [
        meter("in", byte_rate(bytes.into), Series::BytesIn, Tone::Into),
        meter("out", byte_rate(bytes.out), Series::BytesOut, Tone::Out),
    ];
    let title = format!("{} open", count(*open));
    for (area, block, meters) in [
        (first, frame_of("WebSockets", title, palette), sockets),
        (second, frame_of("Messages", String::new(), palette), said),
        (third, frame_of("Bytes", String::new(), palette), payload),
    ] {
        let inner = inside(&block, area);
        frame.render_widget(block, area);
        let halves: [Rect; 2] = Layout::vertical([Constraint::Fill(1); 2]).areas(inner);
        for (half, meter) in halves.into_iter().zip(meters) {
            draw_meter(frame, half, (&meter, history), palette);
        }
    }
}

/// On one line the curve stands beside the words, on more below them.
fn draw_meter(frame: &mut Frame<'_>, area: Rect, (meter, history): (&Meter, &History), palette: Palette) {
    let words = 19.min(area.width);
    let label = (meter.label.to_owned(), Tone::Quiet);
    let value = (meter.value.clone(), Tone::Plain);
    let (text, curve) = if area.height < 2 {
        let [text, _, curve] =
            Layout::horizontal([Constraint::Length(words), Constraint::Length(1), Constraint::Min(0)]).areas(area);
        (text, curve)
    } else {
        let [text, curve] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        (text, curve)
    };
    frame.render_widget(pair(label, value, text.width, palette), text);
    let points: Vec<u64> = history.line(meter.series, usize::from(curve.width)).map(height).collect();
    let line = Sparkline::default().data(points.into_iter().rev()).direction(RenderDirection::RightToLeft);
    frame.render_widget(line.style(palette.of(meter.tone)), curve);
}

/// In thousandths, so that what happens less than once a second is seen, too.
fn height(rate: f64) -> u64 {
    // Never beyond what a u64 holds: the cast saturates.
    (rate * 1000.0) as u64
}

/// What is counted: refusals, latencies, closes.
pub(super) fn counts(frame: &mut Frame<'_>, [first, second, third]: [Rect; 3], figures: &Figures, palette: Palette) {
    let tally = |name: &str, counted: &Counted, width, tone| {
        let is_busy = counted.rate.is_some_and(|rate| rate >= 0.05);
        let tone = if is_busy { tone } else { Tone::Plain };
        let value = (speed(*counted, width) + &format!("{:>6}", count(counted.total)), tone);
        pair((name.to_owned(), Tone::Plain), value, width, palette)
    };
    let refused = frame_of("Refused", count(figures.refusals.iter().map(|(_, refused)| refused.total).sum()), palette);
    list(frame, first, refused, |width| {
        let lines = figures.refusals.iter().map(|(name, counted)| tally(name, counted, width, Tone::Odd));
        or_word(lines.collect(), "nobody yet", palette)
    });
    let title = if second.width < ROOMY { "Latency" } else { "Latency, last minute" };
    let block = frame_of(title, "p50    p99".to_owned(), palette);
    list(frame, second, block, |width| {
        let line = |one: &crate::top::history::Latency| {
            let value = format!("{:>7}{:>7}", latency(one.p50), latency(one.p99));
            let tone = if one.is_recent { Tone::Plain } else { Tone::Quiet };
            pair((one.name.to_owned(), tone), (value, tone), width, palette)
        };
        figures.latencies.iter().map(line).collect()
    });
    let closed = frame_of("Closed", count(figures.closes.iter().map(|(_, closed)| closed.total).sum()), palette);
    list(frame, third, closed, |width| {
        let tone =
            |name: &str| if name.starts_with("1000") || name.starts_with("1001") { Tone::Good } else { Tone::Odd };
        let lines = figures.closes.iter().map(|(name, counted)| tally(name, counted, width, tone(name)));
        or_word(lines.collect(), "nobody yet", palette)
    });
}

/// What there is: routes, backends, the process itself.
pub(super) fn parts(frame: &mut Frame<'_>, [first, second, third]: [Rect; 3], figures: &Figures, palette: Palette) {
    list(frame, first, frame_of("Routes", String::new(), palette), |width| {
        let line = |route: &crate::top::figures::Route| {
            let rooms = route.hub.filter(|_| width >= ROOMY).map(|(rooms, _)| format!("{} rooms ", count(rooms)));
            let value = speed(route.opened, width) + &format!("{:>6}", count(route.open));
            let value = (rooms.unwrap_or_default() + &value, Tone::Plain);
            pair((route.name.to_string(), Tone::Plain), value, width, palette)
        };
        or_word(figures.routes.iter().map(line).collect(), "none used yet", palette)
    });
    let down = figures.backends.iter().filter(|backend| !backend.is_usable).count();
    let title = if down > 0 { format!("{down} down") } else { String::new() };
    list(frame, second, frame_of("Backends", title, palette), |width| {
        let line = |backend: &crate::top::figures::Stand| {
            let (mark, tone) = if backend.is_usable { ("● ", Tone::Plain) } else { ("✖ ", Tone::Bad) };
            let value = match (backend.is_usable, width >= ROOMY, backend.most) {
                (true, _, Some(most)) => format!("{}/{}", count(backend.open), count(most)),
                (false, true, _) => backend.state.clone(),
                _ => count(backend.open),
            };
            pair((format!("{mark}{}", backend.name), tone), (value, tone), width, palette)
        };
        let mut backends: Vec<_> = figures.backends.iter().collect();
        // What is down must not be below the edge.
        backends.sort_by_key(|backend| backend.is_usable);
        or_word(backends.into_iter().map(line).collect(), "none: all is served here", palette)
    });
    let right = figures.own.memory.map(bytes).unwrap_or_default();
    list(frame, third, frame_of("Gateway", right, palette), |width| own(&figures.own, width, palette));
}

/// What is wrong first, then what runs out.
fn own(own: &Own, width: u16, palette: Palette) -> Vec<Line<'static>> {
    let mut told: Vec<(String, String, Tone)> = Vec::new();
    let mut tell = |label: &str, value: String, tone| told.push((label.to_owned(), value, tone));
    if own.panics > 0.0 {
        tell("panics", count(own.panics), Tone::Bad);
    }
    if own.cluster == Some(false) {
        tell("Redis", "gone".to_owned(), Tone::Bad);
    }
    if let Some((open, most)) = own.descriptors {
        let tone = if open > most * 0.8 { Tone::Bad } else { Tone::Plain };
        tell("descriptors", format!("{}/{}", count(open), count(most)), tone);
    }
    for (name, left) in &own.certificates {
        let days = left / DAY;
        let tone = match days {
            ..0.0 => Tone::Bad,
            _ if days < DAYS.1 => Tone::Bad,
            _ if days < DAYS.0 => Tone::Odd,
            _ => Tone::Plain,
        };
        let left = std::time::Duration::try_from_secs_f64(*left).map_or_else(|_| "has ended".to_owned(), age);
        tell(&format!("cert {name}"), left, tone);
    }
    if let Some(cpu) = own.cpu {
        tell("processor", format!("{:.0} %", cpu * 100.0), Tone::Plain);
    }
    tell("waits for clients", bytes(own.queued), Tone::Plain);
    if own.held > 0.0 {
        tell("held", count(own.held), Tone::Odd);
    }
    if own.lost_lines > 0.0 {
        tell("lost log lines", count(own.lost_lines), Tone::Odd);
    }
    let line = |(label, value, tone)| pair((label, Tone::Quiet), (value, tone), width, palette);
    told.into_iter().map(line).collect()
}

/// As many lines as there is room for; the last says how many more there are.
fn list(frame: &mut Frame<'_>, area: Rect, block: Block<'static>, lines: impl FnOnce(u16) -> Vec<Line<'static>>) {
    let inner = inside(&block, area);
    frame.render_widget(block, area);
    let mut lines = lines(inner.width);
    let room = usize::from(inner.height);
    if lines.len() > room && room > 3 {
        let more = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(Line::from(format!("… and {more} more")));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

/// How fast it grows, where that is worth the room.
fn speed(counted: Counted, width: u16) -> String {
    let is_still = counted.rate.is_none_or(|rate| rate < 0.05);
    if is_still && width < ROOMY { String::new() } else { format!("{:>7}", rate(counted.rate)) }
}

fn or_word(lines: Vec<Line<'static>>, word: &'static str, palette: Palette) -> Vec<Line<'static>> {
    if lines.is_empty() { vec![Line::styled(word, palette.of(Tone::Quiet))] } else { lines }
}
