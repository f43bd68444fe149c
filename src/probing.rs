//! `wsgate probe`: asks before anything dangerous is done, tells each finding as it comes, and ends with the proposal.

use std::io::IsTerminal as _;

use tokio::runtime::Builder;
use wsgate::{Boldness, End, Report, Step, Wishes};

use crate::arguments::Probe;
use crate::output::{complain, say};
use crate::serve::fail;

/// The server has stopped answering while it was probed.
const HARMED: u8 = 3;
/// There is no WebSocket server.
const NO_SERVER: u8 = 1;
/// The command line makes no sense (EX_USAGE of sysexits.h).
const BAD_USAGE: u8 = 64;

/// Probes, and gives the exit code.
pub(crate) fn probe(asked: &Probe, origin: Option<&String>) -> u8 {
    let wishes = Wishes {
        url: asked.url.clone(),
        host: asked.host.clone(),
        origin: origin.cloned(),
        ca: asked.ca.clone(),
        limit: asked.time_limit,
        boldness: boldness(asked),
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let mut tell = |step: &Step| {
        if !asked.json && (step.verdict.is_some() || step.harm.is_some()) {
            // Whether anybody reads is told by the last line.
            say(format!("{step}\n"));
        }
    };
    match runtime.block_on(wsgate::probe(&wishes, &mut tell)) {
        Err(why) => {
            fail(&why);
            BAD_USAGE
        }
        Ok(report) => conclude(&report, asked.json),
    }
}

fn conclude(report: &Report, json: bool) -> u8 {
    let said = say(if json { report.json() + "\n" } else { format!("\n{}\n", report.to_string().trim_end()) });
    match report.end {
        End::Complete => said,
        End::NoServer(_) => NO_SERVER,
        End::Harmed(_) => HARMED,
    }
}

/// Nothing that is known to have taken a server down happens unasked: a yes is given at the terminal, or by `--harsh`.
fn boldness(asked: &Probe) -> Boldness {
    if asked.harsh {
        return Boldness::Harsh;
    }
    if asked.gentle || asked.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Boldness::Gentle;
    }
    complain("Some servers do not survive some of the experiments:\n");
    for (name, title, danger) in wsgate::dangers() {
        complain(&format!("  {name:<16} {title}: {danger}\n"));
    }
    complain("Try them too, at the end? Only on a copy, or when nobody uses the server. [y/N] ");
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Boldness::Harsh,
        _ => Boldness::Gentle,
    }
}
