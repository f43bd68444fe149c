//! The framing of a request's body, followed byte by byte, so that the next head is found where the client put it (RFC
//! 9112 §6 and §7.1).

use std::fmt;

/// Digits of a chunk's size: 60 bits are more than anybody sends.
const DIGITS: u8 = 15;
/// Bytes of chunk extensions and trailers that one body may have.
const ASIDE: usize = 8 << 10;

/// How a body is told from what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunks),
}

/// Where in a chunked body one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    /// Bytes that the chunk still has, or its size as far as it is known.
    left: u64,
    /// Bytes of extensions and trailers so far.
    aside: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    LineStart,
    Trailer,
    TrailerLf,
    LastLf,
    Over,
}

/// What is wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadChunk {
    /// No size where one has to stand, or one that is too long (RFC 9112 §7.1).
    Size,
    /// A CR without its LF, a LF without its CR, or neither behind a chunk's data (RFC 9112 §2.2).
    LineEnd,
    /// A control character in an extension or a trailer (RFC 9110 §5.5).
    Control,
    /// Extensions and trailers that have no end (RFC 9112 §7.1.1).
    Aside,
}

impl fmt::Display for BadChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a chunk has no size that can be read",
            Self::LineEnd => "a chunk does not end as it has to",
            Self::Control => "there is a control character beside the chunks",
            Self::Aside => "there is too much beside the chunks",
        })
    }
}

impl std::error::Error for BadChunk {}

impl Framing {
    /// A chunked body that has not begun.
    #[must_use]
    pub const fn chunked() -> Self {
        Self::Chunked(Chunks { state: State::Size { digits: 0 }, left: 0, aside: 0 })
    }

    /// Whether all of the body has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks { state: State::Over, .. }))
    }

    /// How many of these bytes, which come next, belong to the body; fewer than all only when it is over.
    ///
    /// # Errors
    /// What is wrong with its chunks. What a forgiving parser would read in another way is refused (RFC 9112 §11.2).
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        match self {
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= count as u64;
                Ok(count)
            }
            Self::Chunked(chunks) => chunks.take(bytes),
        }
    }
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Over {
            if self.state == State::Data {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.left -= count as u64;
                at += count;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        match (self.state, byte) {
            (State::Size { digits }, _) if byte.is_ascii_hexdigit() => {
                if digits >= DIGITS {
                    return Err(BadChunk::Size);
                }
                self.left = self.left * 16 + u64::from(char::from(byte).to_digit(16).unwrap_or_default());
                Ok(State::Size { digits: digits + 1 })
            }
            // RFC 9112 §7.1: at least one digit, and nothing between it and what follows.
            (State::Size { digits: 1.. }, b'\r') => Ok(State::SizeLf),
            (State::Size { digits: 1.. }, b';') => Ok(State::Extension),
            (State::Size { .. }, _) => Err(BadChunk::Size),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, _) => self.pass(byte, State::Extension),
            (State::SizeLf, b'\n') if self.left == 0 => Ok(State::LineStart),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { digits: 0 }),
            (State::LineStart, b'\r') => Ok(State::LastLf),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::LineStart | State::Trailer, _) => self.pass(byte, State::Trailer),
            (State::TrailerLf, b'\n') => Ok(State::LineStart),
            (State::LastLf, b'\n') => Ok(State::Over),
            (State::SizeLf | State::DataCr | State::DataLf | State::TrailerLf | State::LastLf, _) => {
                Err(BadChunk::LineEnd)
            }
            // `take` walks over data itself, and stops at the end.
            (State::Data | State::Over, _) => Ok(self.state),
        }
    }

    /// One byte beside the chunks.
    fn pass(&mut self, byte: u8, next: State) -> Result<State, BadChunk> {
        self.aside += 1;
        match byte {
            b'\n' => Err(BadChunk::LineEnd),
            b'\t' | b' '..=b'~' | 0x80.. if self.aside <= ASIDE => Ok(next),
            b'\t' | b' '..=b'~' | 0x80.. => Err(BadChunk::Aside),
            _ => Err(BadChunk::Control),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(bytes: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut framing = Framing::chunked();
        framing.take(bytes).map(|count| (count, framing.is_over()))
    }

    #[test]
    fn rfc9112_7_1_the_body_ends_where_its_last_chunk_does() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "00A\r\n0123456789\r\n000\r\n\r\n",
            "1;name=value;other=\"a b\"\r\nx\r\n0;last\r\nX-Trailer: 1\r\nX-More: 2\r\n\r\n",
        ] {
            let behind = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(taken(behind.as_bytes()), Ok((body.len(), true)), "{body:?}");
            assert_eq!(taken(&body.as_bytes()[..body.len() - 1]), Ok((body.len() - 1, false)), "{body:?}");
        }
    }

    #[test]
    fn rfc9112_11_2_what_could_be_read_in_two_ways_is_refused() {
        for (body, wrong) in [
            ("\r\n", BadChunk::Size),
            ("x\r\n", BadChunk::Size),
            ("0x5\r\n", BadChunk::Size),
            ("+5\r\n", BadChunk::Size),
            ("-1\r\n", BadChunk::Size),
            (" 5\r\n", BadChunk::Size),
            ("5 \r\nabcde\r\n", BadChunk::Size),
            ("5\nabcde\r\n", BadChunk::Size),
            ("1000000000000000\r\n", BadChunk::Size),
            (";\r\n", BadChunk::Size),
            ("5\rabcde", BadChunk::LineEnd),
            ("5;a\nabcde", BadChunk::LineEnd),
            ("3\r\nabcd\r\n", BadChunk::LineEnd),
            ("3\r\nabc\n0\r\n", BadChunk::LineEnd),
            ("3\r\nabc0\r\n\r\n", BadChunk::LineEnd),
            ("0\r\nX: a\rb\r\n\r\n", BadChunk::LineEnd),
            ("0\r\nX: a\n\r\n", BadChunk::LineEnd),
            ("0\r\n\n", BadChunk::LineEnd),
            ("0\r\n\rx", BadChunk::LineEnd),
            ("0\r\nX: \0\r\n\r\n", BadChunk::Control),
            ("1;\x7f\r\n", BadChunk::Control),
        ] {
            assert_eq!(taken(body.as_bytes()), Err(wrong), "{body:?}");
        }
        let endless = format!("1;{}", "a".repeat(ASIDE + 1));
        assert_eq!(taken(endless.as_bytes()), Err(BadChunk::Aside));
    }

    #[test]
    fn a_length_is_counted_down() {
        let mut framing = Framing::Length(5);
        assert_eq!((framing.take(b"abc"), framing.is_over()), (Ok(3), false));
        assert_eq!((framing.take(b"deGET"), framing.is_over()), (Ok(2), true));
        assert_eq!(framing.take(b"GET"), Ok(0));
    }

    proptest! {
        #[test]
        fn however_it_comes_in_pieces_it_is_the_same(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5),
            cuts in proptest::collection::vec(1usize..20, 1..60),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            body.extend(b"0\r\n\r\n");
            let whole = body.len();
            body.extend(b"behind it");
            let (mut framing, mut at) = (Framing::chunked(), 0);
            for cut in cuts.into_iter().cycle() {
                let end = body.len().min(at + cut);
                let count = framing.take(&body[at..end]).unwrap();
                at += count;
                if framing.is_over() {
                    break;
                }
                prop_assert_eq!(at, end);
            }
            prop_assert_eq!(at, whole);
        }
    }
}
