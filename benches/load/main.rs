//! `cargo bench --bench load -- wss://host/path [options]`: measures any ws or wss server; without a URL a gateway of
//! its own. Ends with 0; with 4 when the generator was the limit, so that the figures are not the server's; with 3 when
//! a threshold was not kept or the cross-check failed; with 1 when there is nothing to report.

#![allow(clippy::disallowed_methods)] // the harness has no drain: its tasks end with their thread
#![allow(unused_imports, dead_code)] // its unit tests are compiled here too, and run from tests/e2e/load.rs
#![allow(unreachable_pub)] // a binary of its own: `pub` means "for the other modules"
#![allow(clippy::print_stderr, clippy::print_stdout)] // the report is what it is for

mod arguments;
pub(crate) mod compare;
mod conductor;
mod control;
mod cross;
pub(crate) mod html;
mod judge;
mod live;
mod member;
mod own;
mod pacer;
mod phrase;
mod plan;
mod policy;
mod preflight;
pub(crate) mod report;
mod server;
mod speech;
pub(crate) mod stayed;
pub(crate) mod table;
mod talk;
mod tally;
mod template;
mod versus;
mod worker;

use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use rustls::pki_types::ServerName;
use wsgate::client::dial::{Manner, Place, Resume, Tls, Verify, Versions};

use self::arguments::{Arguments, Profile, TlsVersion};
use self::conductor::Conductor;
use self::judge::Question;
use self::live::Live;
use self::own::Own;
use self::phrase::{Filling, Gap, Phrase};
use self::report::Run;
use self::versus::{Apart, Job, Scheme};
use self::worker::{Aim, Handshakes};

/// What a threshold that was not kept makes of the exit code.
const NOT_KEPT: u8 = 3;
/// What a run whose figures are not the server's makes of it, whatever was asked of them.
const INVALID: u8 = 4;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // `cargo test --all-targets` runs every bench without arguments: nothing is asked then.
    let is_asked = arguments.url.is_some() || arguments.apart.is_some();
    let is_asked = is_asked || !arguments.compare.is_empty() || !arguments.versus.is_empty();
    if !is_asked && !arguments.bench {
        return ExitCode::SUCCESS;
    }
    let done = if !arguments.compare.is_empty() {
        compare_files(&arguments.compare)
    } else if !arguments.versus.is_empty() {
        versus(&arguments)
    } else {
        measure(&arguments)
    };
    done.unwrap_or_else(|why| {
        eprintln!("load: {why}");
        ExitCode::FAILURE
    })
}

fn compare_files(files: &[std::path::PathBuf]) -> Result<ExitCode, String> {
    let read = |path: &Path| -> Result<Run, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let [a, b] = files {
        println!("{}", compare::table(&read(a)?, &read(b)?));
    }
    Ok(ExitCode::SUCCESS)
}

fn versus(arguments: &Arguments) -> Result<ExitCode, String> {
    let comparison = compared(arguments)?;
    println!("{}\n{}", comparison.text(), comparison.markdown());
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&comparison).map_err(|error| error.to_string())?;
        write(path, &text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One comparison with this command line, its table not printed.
///
/// # Errors
/// Why there is none.
pub(crate) fn side_by_side<'a>(line: impl IntoIterator<Item = &'a str>) -> Result<versus::Comparison, String> {
    compared(&Arguments::try_parse_from(line).map_err(|error| error.to_string())?)
}

fn compared(arguments: &Arguments) -> Result<versus::Comparison, String> {
    versus::run(&versus::Options::new(arguments)?).map_err(|error| error.to_string())
}

/// A report, and the exit code that it makes.
pub(crate) type Outcome = Result<(Run, u8), String>;

fn measure(arguments: &Arguments) -> Result<ExitCode, String> {
    let (run, code) = find(arguments, &mut Live::new())?;
    print!("{}", table::text(&run));
    if let Some(path) = &arguments.json {
        write(path, &serde_json::to_string_pretty(&run).map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = &arguments.html {
        write(path, &html::page(&run))?;
    }
    Ok(ExitCode::from(code))
}

/// One run with this command line, its report not printed.
///
/// # Errors
/// Why there is nothing to report.
pub(crate) fn run<'a>(line: impl IntoIterator<Item = &'a str>) -> Outcome {
    find(&Arguments::try_parse_from(line).map_err(|error| error.to_string())?, &mut Live::new())
}

fn find(arguments: &Arguments, live: &mut Live) -> Outcome {
    let questions = arguments.fail_if.iter().map(|text| Question::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let count = arguments.count()?;
    let scheme = if arguments.plain { Scheme::Ws } else { Scheme::Wss };
    let apart = arguments.apart.map(|job| Apart::start(job, scheme)).transpose().map_err(|error| error.to_string())?;
    let own = (arguments.url.is_none() && apart.is_none()).then(|| Own::start(scheme)).transpose()?;
    let arguments = &Arguments {
        server_pid: apart.as_ref().map(Apart::pid).or(arguments.server_pid),
        subprotocol: arguments.subprotocols(),
        ..arguments.clone()
    };
    let url = match (&apart, &own) {
        (Some(apart), _) => in_rooms(arguments, &apart.url()),
        (None, Some(own)) if arguments.is_chat() => in_rooms(arguments, &own.url("/chat/")),
        (None, Some(own)) => own.url("/echo"),
        (None, None) => arguments.url.clone().unwrap_or_default(),
    };
    let arguments = &Arguments { url: Some(url.clone()), ..arguments.clone() };
    let speech = arguments.speech.speech(&url)?;
    let aim = Arc::new(aim(arguments, &url, own.is_some() || apart.is_some())?);
    // A gateway in this process has the other end of each connection; a relay has two ends as well.
    let is_double = own.is_some() || arguments.apart == Some(Job::Relay);
    preflight::check(count, aim.address, arguments.source_addresses, is_double)?;
    let differ = if arguments.cross_check { cross_check(arguments, &aim, &url, live) } else { None };
    let differs = differ.is_some();
    let mut run = Conductor::start(arguments, speech, aim, live)?.run()?;
    // A report is shared: what stands in a query is often a token.
    run.meta.url = url.split('?').next().unwrap_or_default().to_owned();
    run.errors.extend(differ.map(|why| (format!("cross-check: {why}"), 1)));
    run.thresholds = questions.iter().map(|question| question.ask(&run)).collect();
    let kept = run.thresholds.iter().all(|threshold| threshold.passed) && !differs;
    let code = match (run.generator.valid, kept) {
        (false, _) => INVALID,
        (true, false) => NOT_KEPT,
        (true, true) => 0,
    };
    Ok((run, code))
}

/// The URL of a hub of ours with the room in its path, where the language does not name it in messages.
fn in_rooms(arguments: &Arguments, hub: &str) -> String {
    let is_named = arguments.speech.speech(hub).is_ok();
    if is_named { hub.to_owned() } else { format!("{hub}{{room}}") }
}

/// How the two clients differ, if they do.
fn cross_check(arguments: &Arguments, aim: &Arc<Aim>, url: &str, live: &mut Live) -> Option<String> {
    let checked = cross::check(aim, url, arguments.message_size());
    live.say(&match &checked {
        Ok(count) => format!("cross-check: both clients heard the same {count} messages"),
        Err(why) => format!("cross-check FAILED: {why}"),
    });
    checked.err()
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whom to measure, by arguments; our own gateway's certificate is nobody's.
fn aim(arguments: &Arguments, url: &str, own: bool) -> Result<Aim, String> {
    let (phrase, rooms) = (Phrase::parse(url), arguments.speech.rooms.unwrap_or(1));
    let of_room = |room| Place::parse(&phrase.to_text(&Filling { room, ..Filling::default() }));
    let rooms = if phrase.has(Gap::Room) { rooms } else { 1 };
    let places = (0..rooms.max(1)).map(of_room).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let place = &places[0];
    let found = (place.host.as_str(), place.port).to_socket_addrs();
    let address = found.ok().and_then(|mut found| found.next()).ok_or_else(|| format!("{}: no address", place.host))?;
    let tls = if place.secure { Some(tls(arguments, &place.host, own)?) } else { None };
    let mut headers = arguments.header.clone();
    headers.extend(arguments.origin.iter().map(|origin| format!("Origin: {origin}")));
    if !arguments.subprotocol.is_empty() {
        headers.push(format!("Sec-WebSocket-Protocol: {}", arguments.subprotocol.join(", ")));
    }
    Ok(Aim {
        places,
        address,
        tls,
        headers,
        subprotocols: arguments.subprotocol.clone(),
        sources: preflight::sources(arguments.source_addresses),
        patience: arguments.patience,
    })
}

/// Stores of tickets: as many connections can resume at the same time.
const STORES: usize = 64;

fn tls(arguments: &Arguments, host: &str, own: bool) -> Result<(Handshakes, ServerName<'static>), String> {
    let verify = if arguments.insecure || own { Verify::Nobody } else { Verify::PublicRoots };
    let versions = match arguments.tls {
        None => Versions::All,
        Some(TlsVersion::Tls12) => Versions::Only12,
        Some(TlsVersion::Tls13) => Versions::Only13,
    };
    let manner = |resume| Tls::new(Manner { verify, versions, resume }).map_err(|error| error.to_string());
    let name = arguments.sni.clone().unwrap_or_else(|| host.to_owned());
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let resumed = (0..STORES).map(|_| manner(Resume::Always)).collect::<Result<_, _>>()?;
    Ok((Handshakes { full: manner(Resume::Never)?, resumed }, name))
}
