//! The profiles, and the one table of what each does for its backends. Plain data.

use std::time::Duration;

use super::{BadText, Binary, Legacy, SourceAddress, Subprotocol};

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

/// All that a profile says of a backend. A route or a pool may say otherwise of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Treatment {
    /// What the relay does for it; nothing: frames pass as they are.
    pub legacy: Option<Legacy>,
    /// Bytes of a request head; `None`: as long as it comes.
    pub head_budget: Option<usize>,
    /// Who answers an offer of subprotocols.
    pub subprotocol: Subprotocol,
    /// What its pool does.
    pub habits: Habits,
}

/// What a pool does where its own configuration says nothing: the profile's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Habits {
    /// Connections to each backend; `usize::MAX`: no cap.
    pub cap: usize,
    /// Upgrades in flight to each backend; `usize::MAX`: no limit.
    pub handshakes_at_once: usize,
    /// Whether pings and closes may be sent to backends, which some take for chat text.
    pub control_frames: bool,
    /// Where backends see their clients come from.
    pub source_address: SourceAddress,
}

const HAND_WRITTEN: Legacy = Legacy {
    one_frame_per_read: true,
    pace_reply: Duration::from_secs(1),
    message_size: 992,
    binary: Binary::Pass,
    bad_text: BadText::Drop,
    quickack: true,
};
const FRAMEWORK: Legacy = Legacy { one_frame_per_read: false, message_size: 1 << 20, quickack: false, ..HAND_WRITTEN };

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

    /// The table of profiles: what tried servers of each kind need, and can bear.
    ///
    /// - `one_frame_per_read`: servers that call `fread` or `socket_recv` and decode one frame of what they got.
    /// - `message_size`: `fread($client, 1000)` takes 992 bytes and a head, and one byte more freezes the server for
    ///   everybody; `socket_recv($client, $buffer, 2048)` takes 2040; the frameworks take more than anyone should send.
    /// - `quickack`: servers that write a message in parts of 1024 bytes.
    /// - `head_budget`: of all the servers we know, the smallest buffer for a request has 1024 bytes; others read it
    ///   into 2048, or refuse more than 4096; the frameworks take more than a browser sends.
    /// - `subprotocol`: none of these servers names one, so that browsers would give up. Ratchet refuses whoever offers
    ///   one: it must not see the offer, and the client must get an answer all the same.
    /// - `cap`: `select()` ends at 1024 descriptors, and most servers die there; Swoole does not use it.
    pub(crate) const fn treatment(self) -> Treatment {
        let (legacy, head_budget, habits) = match self {
            Self::Transparent => {
                let (subprotocol, habits) = (Subprotocol::Pass, Habits::TRANSPARENT);
                return Treatment { legacy: None, head_budget: None, subprotocol, habits };
            }
            Self::Legacy => (HAND_WRITTEN, 1000, Habits::LEGACY),
            Self::Php2048 => (Legacy { message_size: 2040, ..HAND_WRITTEN }, 2000, Habits::LEGACY),
            Self::Ratchet => (FRAMEWORK, 4000, Habits { cap: 900, ..Habits::TRANSPARENT }),
            Self::Workerman => (FRAMEWORK, 16_000, Habits { cap: 900, ..Habits::TRANSPARENT }),
            Self::Swoole => (FRAMEWORK, 16_000, Habits { cap: 10_000, ..Habits::TRANSPARENT }),
        };
        let subprotocol = Subprotocol::Answer;
        Treatment { legacy: Some(legacy), head_budget: Some(head_budget), subprotocol, habits }
    }
}

impl Habits {
    /// For backends that keep RFC 6455.
    pub(crate) const TRANSPARENT: Self = Self {
        cap: usize::MAX,
        handshakes_at_once: usize::MAX,
        control_frames: true,
        source_address: SourceAddress::Off,
    };
    /// For those written by hand: `select` stops at 1024 descriptors, and `listen` was told 5.
    /// Many count their clients by address, and would take all of them for one.
    pub(crate) const LEGACY: Self =
        Self { cap: 900, handshakes_at_once: 4, control_frames: false, source_address: SourceAddress::Spread };

    /// What suits both.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cap: self.cap.min(other.cap),
            handshakes_at_once: self.handshakes_at_once.min(other.handshakes_at_once),
            control_frames: self.control_frames && other.control_frames,
            source_address: if self.source_address == SourceAddress::Off {
                other.source_address
            } else {
                self.source_address
            },
        }
    }
}
