//! `wsgate` and `wsgate check`: find the configuration, start logging, run the gateway.

use std::path::PathBuf;

use tokio::runtime::{Builder, LocalOptions};
use wsgate::{Config, Gateway, LogFormat, Overrides, Phase, Problem, Problems, StartError, Totals};

use crate::arguments::Arguments;
use crate::inherited::Inheritance;
use crate::journal::{Journal, Last};
use crate::logging;
use crate::output::{FAILED, complain, print, say};
use crate::reloading;
use crate::signals::{Office, Signals};
use crate::successor::Program;

/// The configuration, or something that it names, is wrong (EX_CONFIG of sysexits.h).
pub(crate) const BAD_CONFIG: u8 = 78;
/// The drain was cut by its deadline or by a second signal.
const CUT: u8 = 2;

/// Where a configuration is looked for when none is named.
const PLACES: [&str; 2] = ["wsgate.toml", "/etc/wsgate/gateway.toml"];

/// Where the configuration comes from, so that it can be read again.
#[derive(Clone)]
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

    /// As messages name it.
    pub(crate) fn name(&self) -> String {
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
    // The first of all: it has the process for itself.
    let mut inheritance = match Inheritance::take() {
        Ok(inheritance) => inheritance,
        // What the unit of the sockets passes and what can be listened on have to agree: no try helps.
        Err(error) => return Failed { code: BAD_CONFIG, ..Failed::because(&format!("cannot start: {error}")) }.tell(),
    };
    let source = Source::of(arguments);
    let started = source.read().map_err(|problems| Failed::of(&problems)).and_then(|config| {
        let journal = logging::start(&config);
        journal
            .map(|journal| (config, Last(journal)))
            .map_err(|error| Failed::because(&format!("cannot start: {error}")))
    });
    let (config, journal) = match started {
        Ok(started) => started,
        Err(failed) => {
            inheritance.failed(&failed.told);
            return failed.tell();
        }
    };
    let in_file = config.log.file.is_some();
    serve_logged(config, &source, &journal.0, &mut inheritance).unwrap_or_else(|failed| {
        inheritance.failed(&failed.told);
        journal.0.leave(failed.told.as_bytes());
        // Whoever has started it looks there, and nobody has written anything else to it.
        if in_file {
            complain(&failed.told);
        }
        failed.code
    })
}

/// Nothing is written to standard error from here on but through the journal: nobody may have to wait for its reader.
fn serve_logged(
    config: Config,
    source: &Source,
    journal: &Journal,
    inheritance: &mut Inheritance,
) -> Result<u8, Failed> {
    let program = Program::of_this_process();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.map_err(|error| Failed::because(&format!("cannot start: {error}")))?;
    crate::descriptors::provide(&config);
    let (format, in_file) = (config.log.format, config.log.file.is_some());
    let code = runtime.block_on(async {
        // Before anybody is told that it runs: from then on a signal must not end the process by itself.
        let mut signals = Signals::listen().map_err(|_| Failed::because("cannot listen for signals"))?;
        let gateway = tokio::select! {
            gateway = inheritance.open(config) => gateway?,
            () = signals.leave(journal) => return Err(Failed::because("told to end before it could serve")),
        };
        if in_file && inheritance.before.is_some() {
            // It can have been moved away while the one before drained, who was the one to be told.
            journal.reopen();
        }
        let office = Office::new(gateway.handle(), (source, journal), program);
        run((gateway, signals), &office, inheritance, (journal, format)).await
    });
    // Names that are still being resolved are not waited for.
    runtime.shutdown_background();
    code
}

async fn run(
    (gateway, signals): (Gateway, Signals),
    office: &Office<'_>,
    inheritance: &Inheritance,
    log: (&Journal, LogFormat),
) -> Result<u8, Failed> {
    let Office { handle, source, notify, .. } = office;
    log.0.report_to(handle.clone());
    gateway.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    reloading::provide(handle, source);
    let addresses = gateway.addresses();
    let admin = gateway.admin_address();
    let tell = async {
        handle.reached(Phase::Running).await;
        announce(&addresses, admin.as_deref(), source, log);
        if let Some(before) = &inheritance.before {
            before.serving().await;
            // Whoever asked for a reload meanwhile asked the one before.
            reloading::reread(handle).await;
        }
        notify.ready("serving");
        tokio::join!(notify.keep_alive(handle), async {
            handle.reached(Phase::Leaving).await;
            if office.heir.get().is_none() {
                notify.stopping();
            }
        });
    };
    let totals = tokio::select! {
        totals = gateway.run() => totals.map_err(|error| Failed::because(&with_causes(&error)))?,
        code = office.obey(signals) => return Ok(code),
        () = tell => return Ok(FAILED),
    };
    let code = conclude(&totals);
    Ok(if office.leave_to_heir() { code } else { FAILED })
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
pub(crate) struct Failed {
    code: u8,
    told: String,
}

impl Failed {
    pub(crate) fn because(why: &str) -> Self {
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

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(problems) => Self::of(&problems),
            // Nor here: the unit of the sockets and the configuration do not agree.
            StartError::Inherited(_) => Self { code: BAD_CONFIG, ..Self::because(&with_causes(&error)) },
            error => Self::because(&with_causes(&error)),
        }
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
