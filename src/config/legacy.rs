//! What the relay does for servers that do not keep RFC 6455 themselves. Plain data.

use std::time::Duration;

pub(crate) use crate::wire::tunnel::{BadText, Binary};

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

/// By their names in a configuration.
pub(crate) const BINARY: [(&str, Binary); 2] = [("pass", Binary::Pass), ("reject", Binary::Reject)];

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
