//! `wsgate top --once`: the same figures as plain text, for scripts and pipes.

use std::fmt::{self, Write as _};

use super::desk::Connection;
use super::figures::{Counted, Figures, Own};
use super::plain::Plain;
use super::state::State;
use super::units::{age, byte_rate, bytes, count, latency, rate};

/// Connections that are written down.
const ROWS: usize = 50;

/// All of it, in lines.
#[must_use]
pub(crate) fn text(state: &State, figures: &Figures) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = head(&mut text, state, figures).and_then(|()| lists(&mut text, figures));
    let _ = own(&mut text, &figures.own).and_then(|()| connections(&mut text, state));
    text
}

fn head(text: &mut String, state: &State, figures: &Figures) -> fmt::Result {
    let Figures { version, phase, uptime, open, pending, messages, bytes, opened, refused, .. } = figures;
    let uptime = uptime.map_or_else(String::new, |time| format!("  up {}", age(time)));
    writeln!(text, "wsgate {version}  {phase}{uptime}  {}  rates over {}", state.about.0, state.about.1)?;
    writeln!(text, "websockets  {} open  {} pending", count(*open), count(*pending))?;
    writeln!(text, "opened      {}", counted(*opened))?;
    writeln!(text, "refused     {}", counted(*refused))?;
    writeln!(text, "messages    {} in  {} out", rate(messages.into), rate(messages.out))?;
    writeln!(text, "bytes       {} in  {} out", byte_rate(bytes.into), byte_rate(bytes.out))
}

fn counted(counted: Counted) -> String {
    format!("{}  {}", rate(counted.rate), count(counted.total))
}

fn lists(text: &mut String, figures: &Figures) -> fmt::Result {
    writeln!(text, "\nlatency     p50  p99  count")?;
    for one in &figures.latencies {
        writeln!(text, "  {}  {}  {}  {}", one.name, latency(one.p50), latency(one.p99), count(one.count))?;
    }
    writeln!(text, "\nroutes      open  opened")?;
    for route in &figures.routes {
        let hub = route.hub.map(|(rooms, members)| format!("  {} rooms  {} members", count(rooms), count(members)));
        let hub = hub.unwrap_or_default();
        writeln!(text, "  {}  {}  {}{hub}", route.name, count(route.open), counted(route.opened))?;
    }
    writeln!(text, "\nrefusals    rate  total")?;
    for (name, refused) in &figures.refusals {
        writeln!(text, "  {name}  {}", counted(*refused))?;
    }
    writeln!(text, "\ncloses      rate  total")?;
    for (name, closed) in &figures.closes {
        writeln!(text, "  {name}  {}", counted(*closed))?;
    }
    writeln!(text, "\nbackends    state  open")?;
    for backend in &figures.backends {
        let most = backend.most.map(|most| format!("/{}", count(most))).unwrap_or_default();
        writeln!(text, "  {} {}  {}  {}{most}", backend.pool, backend.name, backend.state, count(backend.open))?;
    }
    Ok(())
}

fn own(text: &mut String, own: &Own) -> fmt::Result {
    writeln!(text, "\ngateway")?;
    if let Some((open, most)) = own.descriptors {
        writeln!(text, "  descriptors  {} of {}", count(open), count(most))?;
    }
    if let Some(memory) = own.memory {
        writeln!(text, "  memory  {}", bytes(memory))?;
    }
    if let Some(cpu) = own.cpu {
        writeln!(text, "  processor  {:.0} %", cpu * 100.0)?;
    }
    writeln!(text, "  waits for clients  {}", bytes(own.queued))?;
    for (name, left) in &own.certificates {
        let left = std::time::Duration::try_from_secs_f64(*left).map_or_else(|_| "has ended".to_owned(), age);
        writeln!(text, "  certificate {name}  {left}")?;
    }
    if let Some(is_there) = own.cluster {
        writeln!(text, "  Redis  {}", if is_there { "there" } else { "gone" })?;
    }
    for (what, number) in [("held", own.held), ("panics", own.panics), ("lost log lines", own.lost_lines)] {
        writeln!(text, "  {what}  {}", count(number))?;
    }
    Ok(())
}

fn connections(text: &mut String, state: &State) -> fmt::Result {
    if let Some(why) = &state.closed {
        return writeln!(text, "\nconnections are not told: {why}");
    }
    let rows = state.rows();
    let all = state.census.as_ref().map_or(0, |census| census.count);
    writeln!(text, "\nconnections {}", count(all as f64))?;
    writeln!(text, "  id  address  route  age  idle  messages  bytes  bytes/s  tls  backend  host  state")?;
    for one in rows.iter().take(ROWS) {
        writeln!(text, "  {}", row(one))?;
    }
    if all > ROWS.min(rows.len()) {
        writeln!(text, "  and {} more", all - ROWS.min(rows.len()))?;
    }
    Ok(())
}

fn row(one: &Connection) -> String {
    let or_none = |text: Option<&Plain>| text.map_or_else(|| "–".to_owned(), Plain::to_string);
    let time = |seconds| std::time::Duration::try_from_secs_f64(seconds).map_or_else(|_| "–".to_owned(), age);
    let state = if one.state().is_empty() { "open" } else { one.state() };
    let cells = [
        one.id.to_string(),
        or_none(one.address.as_ref()),
        one.route.to_string(),
        time(one.age_seconds),
        time(one.idle_seconds),
        count(one.messages() as f64),
        bytes(one.bytes() as f64),
        byte_rate(one.pace),
        or_none(one.tls.as_ref()),
        or_none(one.backend.as_ref()),
        one.host.to_string(),
        state.to_owned(),
    ];
    cells.join("  ")
}
