//! Sets the log up: where its lines go, and what they look like there.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, fmt};
use tracing_subscriber::registry::LookupSpan;
use wsgate::{Config, LogFormat};

use crate::journal::{Journal, News};
use crate::outlet::{Outlet, is_journal};
use crate::panics;

/// From now on everything that is logged is left in this journal, panics too.
///
/// # Errors
/// In words: the file cannot be opened, or there can be no more threads.
pub(crate) fn start(config: &Config) -> Result<Arc<Journal>, String> {
    let log = &config.log;
    let outlet = match &log.file {
        Some(path) => Outlet::file(path).map_err(|error| format!("log.file: {}: {error}", path.display()))?,
        None => Outlet::standard_error(),
    };
    let journal = Journal::start(outlet, log.buffer, tell).map_err(|error| error.to_string())?;
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(Arc::clone(&journal));
    let is_open = log.file.is_none();
    match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
        LogFormat::Text if is_open && is_journal() => {
            lines.with_ansi(false).without_time().map_event_format(Prioritised).init();
        }
        LogFormat::Text => lines.with_ansi(is_open && io::stderr().is_terminal()).init(),
    }
    panics::tell_in(&journal);
    Ok(journal)
}

fn tell(news: News) {
    match news {
        News::Lost(lines) => tracing::warn!(lines, "log lines were lost here: they were not read in time"),
        News::Unwritten(lines, error) => {
            tracing::error!(lines, %error, "log lines were lost here: they could not be written");
        }
        News::Reopened => tracing::info!("the log's file was opened again"),
        News::NoFile => tracing::info!("there is no log.file to be opened again"),
        News::NotReopened(error) => {
            tracing::error!(%error, "the log's file cannot be opened again: the old one goes on");
        }
    }
}

/// Lines for systemd's journal, which has a time of its own and reads their priority from their beginning
/// (sd-daemon(3)).
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(line, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, line, event)
    }
}

/// syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
