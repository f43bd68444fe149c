//! What one sees while it runs: on a terminal one block that refreshes, else a line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::html::figures;
use super::report::Second;

/// Where progress goes: standard error.
pub(crate) struct Live {
    terminal: bool,
    /// Nothing is shown.
    silent: bool,
    /// Lines of the block that is on the screen.
    shown: usize,
    last: Option<Instant>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), silent: false, shown: 0, last: None }
    }

    /// Nobody watches: the run is one of many.
    pub(crate) fn silent() -> Self {
        Self { silent: true, ..Self::new() }
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        if self.silent {
            return;
        }
        self.wipe();
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// How things stand; drawn if it is time again.
    pub(crate) fn show(&mut self, stage: &str, open: usize, wanted: usize, second: Option<&Second>) {
        let every = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(3) };
        if self.silent || self.last.is_some_and(|last| last.elapsed() < every) {
            return;
        }
        self.last = Some(Instant::now());
        let mut lines = vec![format!("{stage}: {open} of {wanted} connections open")];
        if let Some(second) = second {
            lines.push(format!(
                "  {:>4} s  {} in/s  {} out/s  p50 {}  p99 {}  max {}  errors {}  own CPU {:.0} %",
                second.at + 1,
                figures::count(second.received),
                figures::count(second.sent),
                figures::time(second.p50 as f64),
                figures::time(second.p99 as f64),
                figures::time(second.max as f64),
                second.errors,
                100.0 * second.own_cpu,
            ));
        }
        if !self.terminal {
            let _ = writeln!(std::io::stderr(), "{}", lines.join(" |"));
            return;
        }
        self.wipe();
        let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
        self.shown = lines.len();
    }

    /// Takes the block off the screen.
    pub(crate) fn wipe(&mut self) {
        if self.shown > 0 {
            let _ = write!(std::io::stderr(), "\x1b[{}A\x1b[J", self.shown);
            self.shown = 0;
        }
    }
}
