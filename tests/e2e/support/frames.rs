//! Frames as bytes, written and read without the library under test.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("text")
    }

    /// A close frame's code; 1005 for an empty one.
    pub fn code(&self) -> u16 {
        assert_eq!(self.opcode, 8, "not a close: {self:?}");
        self.payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]))
    }

    pub fn reason(&self) -> String {
        String::from_utf8_lossy(self.payload.get(2..).unwrap_or_default()).into_owned()
    }
}

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame, masked; `first` is the whole first byte (FIN, RSV, opcode).
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = head(first, payload.len(), 0x80);
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    out
}

/// A server's frame, not masked.
pub fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = head(first, payload.len(), 0);
    out.extend_from_slice(payload);
    out
}

/// A whole client message.
pub fn client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked(0x80 | opcode, payload)
}

/// A whole server message.
pub fn server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    plain(0x80 | opcode, payload)
}

/// A close payload.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

fn head(first: u8, length: usize, mask: u8) -> Vec<u8> {
    match length {
        0..=125 => vec![first, mask | length as u8],
        126..=0xffff => [&[first, mask | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// Reads one frame, whoever sent it.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut start = [0; 2];
    stream.read_exact(&mut start).await?;
    let length = match start[1] & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    let masked = start[1] & 0x80 != 0;
    let mut key = [0; 4];
    if masked {
        stream.read_exact(&mut key).await?;
    }
    let mut payload = vec![0; usize::try_from(length).expect("a size that fits")];
    stream.read_exact(&mut payload).await?;
    payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= key[at % 4]);
    Ok(Frame { fin: start[0] & 0x80 != 0, rsv: (start[0] >> 4) & 7, opcode: start[0] & 0x0f, masked, payload })
}
