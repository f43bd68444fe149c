//! Standard output and standard error: one who has stopped reading ends no command with a panic, and no gateway at all.

use std::io::{self, ErrorKind, Write as _};

/// Could not start, or could not do what was asked.
pub(crate) const FAILED: u8 = 1;

/// Writes to standard output, to the last byte.
///
/// # Errors
/// Those of the write: the reader has gone, the disk is full.
pub(crate) fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush())
}

/// A command's result, on standard output; gives the exit code.
pub(crate) fn say(text: impl AsRef<[u8]>) -> u8 {
    code(print(text.as_ref()))
}

/// The exit code of what was written. Whoever reads may have read enough and gone: nobody is left to be told of that.
pub(crate) fn code(written: io::Result<()>) -> u8 {
    match written {
        Ok(()) => 0,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => FAILED,
        Err(error) => {
            complain(&format!("wsgate: cannot write: {error}\n"));
            FAILED
        }
    }
}

/// Writes to standard error. Where that fails there is no other place to tell it.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
