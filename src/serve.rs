//! `wsgate` and `wsgate check`: find the configuration, start logging, run the gateway, turn signals into orders.

use std::path::PathBuf;

use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use wsgate::{Config, Gateway, Handle, LogFormat, Overrides, Phase, Problem, Problems, StartError, Totals};

use crate::arguments::Arguments;
use crate::journal::{Journal, Last};
use crate::logging;
use crate::output::{FAILED, complain, print, say};

/// The configuration, or something that it names, is wrong (EX_CONFIG of sysexits.h).
const BAD_CONFIG: u8 = 78;
/// The drain was cut by its deadline or by a second signal.
const CUT: u8 = 2;

/// Where a configuration is looked for when none is named.
const PLACES: [&str; 2] = ["wsgate.toml", "/etc/wsgate/gateway.toml"];

/// Where the configuration comes from, so that it can be read again.
pub(crate) struct Source {
    file: Option<PathBuf>,
    overrides: Overrides,
}

impl Source {
    /// What the command line names, else what is found.
    pub(crate) fn of(arguments: &Arguments) -> Self {
        let found = || PLACES.iter().map(PathBuf::from).find(|path| path.exists());
        Self { file: arguments.config.clone().or_else(found), overrides: arguments.overrides() }
    }

    /// Reads and checks it; what it names is not looked at.
    pub(crate) fn read(&self) -> Result<Config, Problems> {
        match &self.file {
            Some(file) => Config::load_with(file, &self.overrides),
            None => Config::built_in(&self.overrides),
        }
    }

    fn name(&self) -> String {
        self.file.as_deref().map_or_else(|| "the built-in default".to_owned(), |file| file.display().to_string())
    }
}

/// `wsgate check`: every problem at once, on standard error; a good word on standard output.
pub(crate) fn check(arguments: &Arguments) -> u8 {
    let source = Source::of(arguments);
    match source.read().and_then(wsgate::check) {
        Ok(warnings) => {
            warnings.iter().for_each(warn);
            say(format!("{}: all is well\n", source.name()))
        }
        Err(problems) => tell_problems(&problems),
    }
}

/// `wsgate`: serves until it is told to stop.
pub(crate) fn serve(arguments: &Arguments) -> u8 {
    let source = Source::of(arguments);
    let config = match source.read() {
        Ok(config) => config,
        Err(problems) => return tell_problems(&problems),
    };
    let in_file = config.log.file.is_some();
    let journal = match logging::start(&config) {
        Ok(journal) => journal,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let journal = Last(journal);
    serve_logged(config, &source, &journal.0).unwrap_or_else(|failed| {
        journal.0.leave(failed.told.as_bytes());
        // Whoever has started it looks there, and nobody has written anything else to it.
        if in_file {
            complain(&failed.told);
        }
        failed.code
    })
}

/// Nothing is written to standard error from here on but through the journal: nobody may have to wait for its reader.
fn serve_logged(config: Config, source: &Source, journal: &Journal) -> Result<u8, Failed> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.map_err(|error| Failed::because(&format!("cannot start: {error}")))?;
    crate::descriptors::provide(&config);
    let format = config.log.format;
    let code = runtime.block_on(async {
        let gateway = Gateway::bind(config).map_err(|error| match error {
            StartError::Config(problems) => Failed::of(&problems),
            error => Failed::because(&with_causes(&error)),
        })?;
        run(gateway, source, (journal, format)).await
    });
    // Names that are still being resolved are not waited for.
    runtime.shutdown_background();
    code
}

async fn run(gateway: Gateway, source: &Source, log: (&Journal, LogFormat)) -> Result<u8, Failed> {
    log.0.report_to(gateway.handle());
    gateway.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    // Before anybody is told that it runs: from then on a signal must not end the process by itself.
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(term), Ok(int), Ok(hup)] = signals else {
        return Err(Failed::because("cannot listen for signals"));
    };
    let Ok(usr1) = signal(SignalKind::user_defined1()) else {
        return Err(Failed::because("cannot listen for signals"));
    };
    let handle = gateway.handle();
    let addresses = gateway.addresses();
    let admin = gateway.admin_address();
    let announce = async {
        handle.reached(Phase::Running).await;
        announce(&addresses, admin.as_deref(), source, log);
        std::future::pending::<u8>().await
    };
    tokio::select! {
        totals = gateway.run() => match totals {
            Ok(totals) => Ok(conclude(&totals)),
            Err(error) => Err(Failed::because(&with_causes(&error))),
        },
        code = obey(&handle, source, [term, int, hup]) => Ok(code),
        code = announce => Ok(code),
        code = reopen(usr1, log.0) => Ok(code),
    }
}

/// SIGUSR1: the log's file was moved away.
async fn reopen(mut usr1: Signal, journal: &Journal) -> u8 {
    while usr1.recv().await.is_some() {
        journal.reopen();
    }
    std::future::pending().await
}

/// Signals become orders, as long as the gateway runs.
async fn obey(handle: &Handle, source: &Source, [mut term, mut int, mut hup]: [Signal; 3]) -> u8 {
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {
                reload(handle, source);
                continue;
            }
        }
        if handle.phase() < Phase::Draining {
            tracing::info!("draining: no new connections, the open ones are sent home; a second signal ends at once");
        } else {
            tracing::info!("a second signal: ending at once");
        }
        handle.drain();
    }
}

fn reload(handle: &Handle, source: &Source) {
    match source.read().and_then(|config| handle.reload(config)) {
        Ok(changes) if changes.is_empty() => tracing::info!("reloaded, nothing has changed but certificates"),
        Ok(changes) => {
            for change in changes {
                let effect = if change.restart { "needs a restart" } else { "in force for new connections" };
                tracing::info!(key = change.key, effect, "reloaded");
            }
        }
        Err(problems) => {
            tracing::error!("not reloaded, nothing has changed:");
            problems.0.iter().for_each(|problem| tracing::error!("{problem}"));
        }
    }
}

/// One line for each listener on standard output: the contract, scripts wait for these lines. And where to look on
/// standard error.
fn announce(addresses: &[String], admin: Option<&str>, source: &Source, (journal, format): (&Journal, LogFormat)) {
    let listening: String = addresses.iter().map(|address| format!("listening {address}\n")).collect();
    if let Err(error) = print(listening.as_bytes()) {
        tracing::warn!(%error, "nobody is told on standard output that it runs");
    }
    let Some(first) = addresses.first() else { return };
    tracing::info!(configuration = source.name(), admin, "ready");
    // Machines that read JSON are not told in prose.
    if source.file.is_none() && format == LogFormat::Text && !first.contains("unix:") {
        let page = first.replacen("ws", "http", 1);
        let mut told = format!("chat page  {page}/chat\necho       {first}/echo\n");
        if !source.overrides.to.is_empty() {
            told += &format!("backend    {first}/  (to try it in a browser: {page}/chat?socket=/)\n");
        }
        if source.overrides.cert.is_none() {
            told += "The certificate was made just now, so browsers ask before they trust it. For a lasting one:\n  \
                     wsgate cert localhost && wsgate --cert localhost.pem --key localhost.key\n";
        }
        journal.leave(told.as_bytes());
    }
}

fn conclude(totals: &Totals) -> u8 {
    let Totals { open, cut, took } = *totals;
    tracing::info!(connections = open, cut, seconds = took.as_secs_f64(), "drained");
    if cut == 0 { 0 } else { CUT }
}

/// Why nothing is served, in whole lines, and the exit code.
struct Failed {
    code: u8,
    told: String,
}

impl Failed {
    fn because(why: &str) -> Self {
        Self { code: FAILED, told: format!("wsgate: {why}\n") }
    }

    fn of(problems: &Problems) -> Self {
        let lines: String = problems.0.iter().map(|problem| format!("  {problem}\n")).collect();
        Self { code: BAD_CONFIG, told: format!("wsgate: the configuration cannot be used:\n{lines}") }
    }

    fn tell(&self) -> u8 {
        complain(&self.told);
        self.code
    }
}

/// Every problem, on standard error, and the exit code.
pub(crate) fn tell_problems(problems: &Problems) -> u8 {
    Failed::of(problems).tell()
}

fn warn(warning: &Problem) {
    complain(&format!("warning: {warning}\n"));
}

/// An error and what it came from, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// Says why, on standard error, and gives the exit code.
pub(crate) fn fail(why: &str) -> u8 {
    Failed::because(why).tell()
}
