//! `--versus nginx,haproxy`: wsgate and its peers in front of the same backend, side by side, in interleaved rounds;
//! `--versus node,websockets`: wsgate's hub and chats on Node's `ws` and Python's `websockets`, in the same way;
//! `--versus profiles`: a wsgate for each
//! profile, beside one that is transparent.
//!
//! Every server is a process of its own with one worker, serves the same ECDSA P-256 certificate over TLS 1.3, and
//! relays to the same plain-ws echo on loopback, or is a chat itself. For each figure they take turns, in each round in another order, so
//! that whatever else the machine does meets all of them; a ratio is taken within a round, and the median over rounds
//! is shown. Peers are set up twice, with the buffers that cost them the least time and, for the memory of idle
//! connections, with those that hold the least; wsgate has one set-up for both.

mod drive;
mod measure;
mod program;
mod table;
mod target;
mod ward;

use std::io::{self, Write as _};
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use self::measure::{Figure, IDLE, Measured};
pub(crate) use self::program::{Job, Program};
use self::table::Row;
pub(crate) use self::table::{Comparison, ROUNDS};
pub(crate) use self::target::Scheme;
use self::target::{Certificate, Setup, Target};
use super::arguments::{Arguments, Profile};

/// What to compare, and how thoroughly.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Beside wsgate, or beside its transparent profile; at least one.
    pub(crate) peers: Vec<Program>,
    /// How often each figure is measured for each server.
    pub(crate) rounds: usize,
    /// For how long each time.
    pub(crate) time: Duration,
    /// A run of chats at a rate: how many members, which messages, how often, how long.
    pub(crate) chat: Arguments,
}

impl Options {
    /// What this command line asks for.
    ///
    /// # Errors
    /// Nobody of this name, or options that a comparison does not have.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, String> {
        if arguments.speech.is_used() || arguments.plain {
            return Err("--versus compares at wss, and chats at plain text in one room: without --plain, --rooms, \
                        --language, --join, --joined, --say"
                .to_owned());
        }
        let chat = Arguments {
            profile: Profile::Fanout,
            connections: arguments.connections.or(Some(MEMBERS)),
            size: arguments.size.or(Some(SIZE)),
            rate: arguments.rate.or(Some(RATE)),
            time: arguments.time.min(PER_CHAT),
            insecure: true,
            fail_if: Vec::new(),
            ..arguments.clone()
        };
        Ok(Self {
            peers: peers(&arguments.versus)?,
            rounds: arguments.rounds,
            time: arguments.time.min(PER_FIGURE),
            chat,
        })
    }

    /// What is measured at this job, in this order.
    fn figures(&self, job: Job) -> Vec<Figure> {
        match job {
            Job::Relay => measure::RELAYED.to_vec(),
            Job::Profiles => measure::PROFILED.to_vec(),
            Job::Chat => {
                let members = self.chat.connections.unwrap_or(MEMBERS);
                let paced = Figure::Fanout { members, size: self.chat.message_size(), rate: self.chat.message_rate() };
                vec![Figure::Delivery { members: MEMBERS, size: SIZE }, paced]
            }
        }
    }
}

/// How long each figure is measured in each round, at most.
const PER_FIGURE: Duration = Duration::from_secs(1);
/// The same of chats at a rate, where a second has few messages.
const PER_CHAT: Duration = Duration::from_secs(5);
/// Members of a chat, unless there are to be others; bytes of a message; messages a second.
const MEMBERS: usize = 1000;
const SIZE: usize = 100;
const RATE: f64 = 10.0;

/// Whom these words ask for: programs, profiles, or `profiles` for all of them.
///
/// # Errors
/// The first word that is none of them.
fn peers(words: &[String]) -> Result<Vec<Program>, String> {
    if words == [ALL_PROFILES] {
        Ok(Program::profiles().collect())
    } else {
        words.iter().map(|name| name.parse()).collect()
    }
}

/// Asks for every profile.
const ALL_PROFILES: &str = "profiles";

/// Starts all servers, measures every figure in every round and ends all servers, also when it is interrupted.
/// Progress goes to standard error.
///
/// # Errors
/// A peer is not installed (with the command that installs it), does not serve, refuses or fails; or a signal came.
pub(crate) fn run(options: &Options) -> io::Result<Comparison> {
    let job = job(&options.peers)?;
    let programs: Vec<Program> = [Program::base(job)].into_iter().chain(options.peers.iter().copied()).collect();
    let versions = programs.iter().map(|program| program.version()).collect::<io::Result<Vec<_>>>()?;
    make_room()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            rows = rounds(options, job, &programs) => rows,
            _ = tokio::signal::ctrl_c() => Err(io::Error::other("interrupted")),
            _ = terminated.recv() => Err(io::Error::other("terminated")),
        }
    });
    // A run that was interrupted may go on for a while: nobody waits for it.
    runtime.shutdown_background();
    let (rows, doubts) = found?;
    Ok(Comparison {
        job,
        options: if job == Job::Chat { given(&options.chat) } else { Vec::new() },
        doubts,
        peers: if options.peers.iter().copied().eq(Program::profiles()) {
            vec![ALL_PROFILES.to_owned()]
        } else {
            options.peers.iter().map(|peer| peer.name().to_owned()).collect()
        },
        programs: versions,
        cpus: available_parallelism().map_or(1, |cpus| cpus.get()),
        rounds: options.rounds,
        seconds: options.time.as_secs_f64(),
        paced: (job == Job::Chat).then_some(options.chat.time.as_secs_f64()),
        rows,
    })
}

/// The options that make a run of chats another one, as they would be given.
fn given(chat: &Arguments) -> Vec<String> {
    let mut given = Vec::new();
    if let Some(members) = chat.connections.filter(|members| *members != MEMBERS) {
        given.push(format!("-c {members}"));
    }
    if let Some(size) = chat.size.filter(|size| *size != SIZE) {
        given.push(format!("-s {size}"));
    }
    if let Some(rate) = chat.rate.filter(|rate| (rate - RATE).abs() > 1e-9) {
        given.push(format!("--rate {rate}"));
    }
    if let Some(senders) = chat.senders {
        given.push(format!("--senders {senders}"));
    }
    // A shorter time is that of all figures.
    if (PER_FIGURE..PER_CHAT).contains(&chat.time) {
        given.push(format!("--for {}s", chat.time.as_secs_f64()));
    }
    given
}

/// wsgate as a process of its own, and the echo behind it if it is a relay: they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Apart {
    target: Target,
    _backend: Option<Target>,
    _folder: TempDir,
}

impl Apart {
    /// Starts it with one worker, its defaults, and no limit that a single address would run into; when this returns
    /// it serves.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn start(job: Job, scheme: Scheme) -> io::Result<Self> {
        raise_descriptors()?;
        let folder = tempfile::tempdir()?;
        let made = Certificate::make(folder.path())?;
        let backend = (job == Job::Relay).then(Target::backend).transpose()?;
        let address = backend.as_ref().map(|backend| backend.address);
        let target = Target::start(Program::Wsgate, Setup::Fast, &made, address, scheme)?;
        Ok(Self { target, _backend: backend, _folder: folder })
    }

    /// Where it serves.
    #[must_use]
    pub(crate) fn url(&self) -> String {
        self.target.url()
    }

    /// Its process, without the echo's.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.target.ward.pid()
    }
}

/// What these are compared at.
fn job(peers: &[Program]) -> io::Result<Job> {
    let job = peers.first().map_or(Job::Relay, |peer| peer.job());
    match peers.iter().find(|peer| peer.job() != job) {
        Some(_) => Err(io::Error::other(
            "node and websockets are chats, nginx and haproxy are relays, profiles are wsgate's own: compare with them one by one",
        )),
        None => Ok(job),
    }
}

/// Rounds in which memory is measured: it hardly differs between them, and takes the most time.
const WEIGHED: usize = 2;

/// Every figure in every round. When the future is dropped the servers end with it.
async fn rounds(options: &Options, job: Job, programs: &[Program]) -> io::Result<(Vec<Row>, Vec<String>)> {
    let folder = tempfile::tempdir()?;
    let made = Certificate::make(folder.path())?;
    let backend = (job != Job::Chat).then(Target::backend).transpose()?;
    let address = backend.as_ref().map(|backend| backend.address);
    let start = |&program, setup| Target::start(program, setup, &made, address, Scheme::Wss);
    let targets = programs.iter().map(|program| start(program, Setup::Fast)).collect::<io::Result<Vec<_>>>()?;
    let (figures, mut doubts) = (options.figures(job), Vec::new());
    let mut samples = vec![vec![Vec::new(); programs.len()]; figures.len()];
    for round in 0..options.rounds {
        for (figure, samples) in figures.iter().zip(&mut samples) {
            if *figure == Figure::Idle && round >= WEIGHED {
                continue;
            }
            for turn in 0..programs.len() {
                let at = (round + turn) % programs.len();
                // Memory that was used before could be used again: this one starts afresh.
                let fresh = (*figure == Figure::Idle).then(|| start(&programs[at], Setup::Lean)).transpose()?;
                let target = fresh.as_ref().unwrap_or(&targets[at]);
                let measured = figure.measure(target, &made, options).await;
                let Measured { values, doubt } = measured.map_err(|error| named(target.program, *figure, &error))?;
                doubts.extend(doubt.map(|doubt| format!("{}, round {}: {doubt}", target.program, round + 1)));
                for ((name, _), value) in figure.lines().iter().zip(&values) {
                    tell(&format!("{}/{}  {name}  {}", round + 1, options.rounds, target.program), *value);
                }
                samples[at].push(values);
            }
        }
    }
    let rows = figures.iter().zip(&samples).flat_map(|(figure, samples)| rows_of(job, *figure, samples)).collect();
    Ok((rows, doubts))
}

/// A row for each of a figure's lines, from what each program's rounds have found of all of them.
fn rows_of(job: Job, figure: Figure, samples: &[Vec<Vec<f64>>]) -> Vec<Row> {
    let of_line = |at: usize| samples.iter().map(|rounds| rounds.iter().map(|values| values[at]).collect()).collect();
    let row = |(at, (name, unit)): (usize, (String, &str))| Row::of(job, name, unit, of_line(at));
    figure.lines().into_iter().enumerate().map(row).collect()
}

fn named(program: Program, figure: Figure, error: &io::Error) -> io::Error {
    let what = figure.lines().into_iter().next().map(|(name, _)| name).unwrap_or_default();
    io::Error::new(error.kind(), format!("{program}: {what}: {error}"))
}

/// Whoever watches may have gone; the measurement goes on.
fn tell(what: &str, value: f64) {
    let _ = writeln!(io::stderr(), "round {what}: {}", table::shown(value));
}

/// Lets this process and its children open as many descriptors as they may.
fn raise_descriptors() -> io::Result<Rlimit> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit)
}

/// Looks whether there is room for idle connections: a relayed one needs two descriptors.
fn make_room() -> io::Result<()> {
    let limit = raise_descriptors()?;
    let needed = 2 * IDLE.1 as u64 + 200;
    match limit.maximum {
        Some(most) if most < needed => Err(io::Error::other(format!(
            "{needed} open files are needed and {most} allowed: ulimit -Hn {needed} (as root), or LimitNOFILE= in systemd"
        ))),
        _ => Ok(()),
    }
}
