//! `wsgate health`: asks the admin door of a running gateway whether it is ready, for containers that have no curl.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use wsgate::Listen;

use crate::arguments::Arguments;
use crate::output::say;
use crate::serve::{Source, fail, tell_problems};

/// For connecting, and for each write and read.
const PATIENCE: Duration = Duration::from_secs(3);
/// The door's answer is a head and one word.
const LONGEST: u64 = 8 * 1024;

/// Asks, and gives the exit code: 0 when it is ready. Reads the configuration for the door's address alone.
pub(crate) fn health(arguments: &Arguments) -> u8 {
    let config = match Source::of(arguments).read() {
        Ok(config) => config,
        Err(problems) => return tell_problems(&problems),
    };
    let Some(admin) = config.admin else {
        return fail("the configuration has no [admin] listen that could be asked");
    };
    match ask(&admin.listen) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => say("ready\n"),
        Ok(answer) => fail(&format!("not ready: {}", answer.lines().last().unwrap_or("an empty answer"))),
        Err(error) => fail(&format!("the admin door does not answer: {error}")),
    }
}

fn ask(door: &Listen) -> io::Result<String> {
    match door {
        // An unspecified address (0.0.0.0, [::]) is this machine's own to whoever connects to it.
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            talk(stream)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            talk(stream)
        }
    }
}

fn talk(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(answer)
}
