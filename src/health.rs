//! `wsgate health`: asks the admin door of a running gateway whether it is ready, for containers that have no curl.

use std::time::Duration;

use crate::arguments::Arguments;
use crate::door::{Question, ask};
use crate::output::say;
use crate::serve::{Source, fail, tell_problems};

/// From connecting to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The door's answer is a head and one word.
const LONGEST: usize = 8 * 1024;

/// Asks, and gives the exit code: 0 when it is ready. Reads the configuration for the door's address alone.
pub(crate) fn health(arguments: &Arguments) -> u8 {
    let config = match Source::of(arguments).read() {
        Ok(config) => config,
        Err(problems) => return tell_problems(&problems),
    };
    let Some(admin) = config.admin else {
        return fail("the configuration has no [admin] listen that could be asked");
    };
    // Into an empty buffer: one write, which waits for nobody.
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    match ask(&admin.listen, &Question { request, patience: PATIENCE, longest: LONGEST }) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => say("ready\n"),
        Ok(answer) => fail(&format!("not ready: {}", answer.lines().last().unwrap_or("an empty answer"))),
        Err(error) => fail(&format!("the admin door does not answer: {error}")),
    }
}
