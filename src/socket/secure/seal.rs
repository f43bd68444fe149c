//! Records into the outbox: plaintext sealed, and what rustls itself has to say.

use std::io;

use rustls::server::ServerConnectionData;
use rustls::unbuffered::{EncodeError, WriteTraffic};

use crate::socket::buffer::Bay;

/// What a record takes on the wire beyond its plaintext, at most: header, explicit nonce, content type, tag.
/// Room for a key update or two of 27 bytes in front is in it.
pub(super) const OVERHEAD: usize = 128;

/// What is to be written, and the room for its record.
pub(super) struct Write<'a> {
    pub(super) what: What<'a>,
    pub(super) room: &'a mut [u8],
    /// Bytes of the room that the record has taken.
    pub(super) filled: usize,
}

/// Plaintext of at most one record, or goodbye.
pub(super) enum What<'a> {
    Plain(&'a [u8]),
    CloseNotify,
}

impl Write<'_> {
    pub(super) fn seal(&mut self, mut traffic: WriteTraffic<'_, ServerConnectionData>) -> io::Result<()> {
        let count = match self.what {
            What::Plain(plain) => traffic.encrypt(plain, self.room),
            What::CloseNotify => traffic.queue_close_notify(self.room),
        };
        self.filled = count.map_err(io::Error::other)?;
        Ok(())
    }
}

/// Handshake records come in one piece of any size: room is made for it.
pub(super) fn encode(
    outbox: &mut Bay,
    write: &mut dyn FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> io::Result<()> {
    let mut wanted = 1024;
    loop {
        match write(outbox.room_for(wanted)) {
            Ok(count) => {
                outbox.fill(count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(error)) if wanted < error.required_size => wanted = error.required_size,
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

pub(super) fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
