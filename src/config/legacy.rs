//! What a profile is made of: how much the relay does for servers that do not keep RFC 6455 themselves. Plain data.

use std::time::Duration;

pub(crate) use crate::wire::tunnel::{BadText, Binary};

/// How a backend is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A backend that keeps RFC 6455: frames pass as they are, control frames too.
    Transparent,
    /// Any hand-written server: what the most fragile of them needs.
    Legacy,
    /// Hand-written servers with `socket_recv(…, 2048)`.
    Php2048,
    /// Ratchet, on ReactPHP.
    Ratchet,
    /// Workerman.
    Workerman,
    /// Swoole.
    Swoole,
}

/// What the relay does on behalf of a backend, beyond answering pings and closes for it. A route may set each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// Whether the next frame waits until the backend has read the one before.
    pub one_frame_per_read: bool,
    /// How long it waits for any frame of the backend, where the backend's queue cannot be seen.
    pub pace_reply: Duration,
    /// Bytes of one message from the client, put together; 1009 beyond. The session's own limit may be stricter.
    pub message_size: usize,
    /// Whether the client's binary messages reach it.
    pub binary: Binary,
    /// What becomes of its text that is not UTF-8.
    pub bad_text: BadText,
    /// Whether what it sends is acknowledged at once.
    pub quickack: bool,
}

/// How a client is kept whose backend has died, until there is one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For so long.
    pub time: Duration,
    /// How many of the client's first messages the next backend gets again.
    pub replay_messages: usize,
    /// Bytes that these may have together, as frames; a client whose first messages have more is not held.
    pub replay_size: usize,
    /// Bytes of what the client says meanwhile, as frames, each with [`Hold::FRAME`] more.
    pub queue: usize,
    /// Whether a client is also held when its backend ends the connection and lives on.
    pub any_end: bool,
}

impl Hold {
    /// What a frame that waits costs beside its own bytes.
    pub const FRAME: usize = 16;
}

impl Profile {
    /// Every profile by its name in a configuration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("transparent", Self::Transparent),
        ("legacy", Self::Legacy),
        ("php-2048", Self::Php2048),
        ("ratchet", Self::Ratchet),
        ("workerman", Self::Workerman),
        ("swoole", Self::Swoole),
    ];

    /// What it does for its backend, unless the route says otherwise; nothing for `transparent`.
    #[must_use]
    pub fn legacy(self) -> Option<Legacy> {
        let row = self.row()?;
        let Row { one_frame_per_read, message_size, quickack, .. } = row;
        let (pace_reply, binary, bad_text) = (Duration::from_secs(1), Binary::Pass, BadText::Drop);
        Some(Legacy { one_frame_per_read, pace_reply, message_size, binary, bad_text, quickack })
    }

    /// Open connections to each backend, where the pool does not say.
    #[must_use]
    pub fn connections(self) -> usize {
        self.row().map_or(usize::MAX, |row| row.connections)
    }

    /// The table of profiles: what tried servers of each kind need, and can bear.
    ///
    /// - `one_frame_per_read`: servers that call `fread` or `socket_recv` and decode one frame of what they got.
    /// - `message_size`: `fread($client, 1000)` takes 992 bytes and a head, and one byte more freezes the server for
    ///   everybody; `socket_recv($client, $buffer, 2048)` takes 2040; the frameworks take more than anyone should send.
    /// - `quickack`: servers that write a message in parts of 1024 bytes.
    /// - `connections`: `select()` ends at 1024 descriptors, and most servers die there; Swoole does not use it.
    fn row(self) -> Option<Row> {
        let row = |one_frame_per_read, message_size, quickack, connections| {
            Some(Row { one_frame_per_read, message_size, quickack, connections })
        };
        match self {
            Self::Transparent => None,
            Self::Legacy => row(true, 992, true, 900),
            Self::Php2048 => row(true, 2040, true, 900),
            Self::Ratchet | Self::Workerman => row(false, 1 << 20, false, 900),
            Self::Swoole => row(false, 1 << 20, false, 10_000),
        }
    }
}

/// One line of the table.
struct Row {
    one_frame_per_read: bool,
    message_size: usize,
    quickack: bool,
    connections: usize,
}
