//! The command line: arguments, logging, signals to orders, exit codes. Everything else is the library's.

mod arguments;
mod descriptors;
mod health;
mod inherited;
mod journal;
mod manual;
mod notify;
mod output;
mod panics;
mod passing;
mod predecessor;
mod probing;
mod serve;
mod signals;
mod successor;

use std::process::ExitCode;

use clap::Parser as _;

use self::arguments::{Arguments, Command};
use self::output::{code, say};
use self::serve::{fail, with_causes};

/// The heap for long-lived connections: it gives memory back, and loses little to holes.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The command line makes no sense (EX_USAGE of sysexits.h): clap's own 2 is what a drain that was cut says.
const BAD_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => {
            // What is wrong with it, or the help that was asked for.
            let printed = told.print();
            return ExitCode::from(if told.use_stderr() { BAD_USAGE } else { code(printed) });
        }
    };
    let code = match &arguments.command {
        None | Some(Command::Serve) => serve::serve(&arguments),
        Some(Command::Check) => serve::check(&arguments),
        Some(Command::Cert { out, names }) => certificate(out, names),
        Some(Command::Health) => health::health(&arguments),
        Some(Command::Man { of }) => manual::page(of.as_deref()),
        Some(Command::Completions { shell }) => manual::completions(*shell),
        Some(Command::Probe(wishes)) => probing::probe(wishes, arguments.origin.first()),
    };
    ExitCode::from(code)
}

fn certificate(out: &std::path::Path, names: &[String]) -> u8 {
    match wsgate::make_certificate(out, names) {
        Ok(made) => say(format!("{made}\n")),
        Err(error) => fail(&with_causes(&error)),
    }
}
