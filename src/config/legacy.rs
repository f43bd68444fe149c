//! What a profile is made of: how much the relay does for servers that do not keep RFC 6455 themselves. Plain data.

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
    /// Bytes of one message from the client, put together; 1009 beyond. The session's own limit may be stricter.
    pub message_size: usize,
    /// Whether the client's binary messages reach it.
    pub binary: Binary,
    /// What becomes of its text that is not UTF-8.
    pub bad_text: BadText,
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
        Some(Legacy { message_size: row.message_size, binary: Binary::Pass, bad_text: BadText::Drop })
    }

    /// Open connections to each backend, where the pool does not say.
    #[must_use]
    pub fn connections(self) -> usize {
        self.row().map_or(usize::MAX, |row| row.connections)
    }

    /// The table of profiles: what tried servers of each kind can bear.
    ///
    /// - `message_size`: `fread($client, 1000)` takes 992 bytes and a head, and one byte more freezes the server for
    ///   everybody; `socket_recv($client, $buffer, 2048)` takes 2040; the frameworks take more than anyone should send.
    /// - `connections`: `select()` ends at 1024 descriptors, and most servers die there; Swoole does not use it.
    fn row(self) -> Option<Row> {
        let row = |message_size, connections| Some(Row { message_size, connections });
        match self {
            Self::Transparent => None,
            Self::Legacy => row(992, 900),
            Self::Php2048 => row(2040, 900),
            Self::Ratchet | Self::Workerman => row(1 << 20, 900),
            Self::Swoole => row(1 << 20, 10_000),
        }
    }
}

/// One line of the table.
struct Row {
    message_size: usize,
    connections: usize,
}
