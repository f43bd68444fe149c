//! How a WebSocket ends: close codes (RFC 6455 §7.4), the misdeeds that lead to them, and who ended it.

use std::borrow::Cow;
use std::fmt;

/// A close code that may stand in a Close frame (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(u16);

impl Code {
    /// The purpose was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint is going away: a drain, an idle or a lifetime limit.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of data that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A rule of the house was broken.
    pub const POLICY: Self = Self(1008);
    /// A message over the size.
    pub const TOO_BIG: Self = Self(1009);
    /// Something failed on this side; here: the backend did.
    pub const INTERNAL: Self = Self(1011);
    /// The service restarts.
    pub const RESTART: Self = Self(1012);
    /// Overloaded; try again later.
    pub const TRY_LATER: Self = Self(1013);
    /// The credentials are over: the private code that is read as HTTP's 401.
    pub const EXPIRED: Self = Self(4401);
    /// A chat member is kicked or banned: the private code that is read as HTTP's 403.
    pub const PUT_OUT: Self = Self(4403);
    /// A chat member has come by another connection: the private code that is read as HTTP's 409.
    pub const SUPERSEDED: Self = Self(4409);

    /// The code, if an endpoint may send it (RFC 6455 §7.4.1, §7.4.2 and the IANA registry).
    #[must_use]
    pub const fn from_wire(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// Whether who gets it is sent home by no fault of its own, and may come back at once: what it says until it has seen
    /// it still counts.
    #[must_use]
    pub const fn invites_back(self) -> bool {
        matches!(self, Self::GOING_AWAY | Self::RESTART)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The content of a Close frame: nothing, or a code with a reason of at most 123 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Absent when the frame was empty.
    pub code: Option<Code>,
    /// Empty when there is none.
    pub reason: Cow<'static, str>,
}

/// Bytes of a Close frame's reason at most: a control frame holds 125, two of them the code (RFC 6455 §5.5).
pub const REASON_MAX: usize = 123;

impl Close {
    /// A Close with this code and reason; a longer reason is cut at a character.
    #[must_use]
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > REASON_MAX {
            let end = (0..=REASON_MAX).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
            reason.to_mut().truncate(end);
        }
        Self { code: Some(code), reason }
    }

    /// Reads the payload of a Close frame (RFC 6455 §5.5.1).
    ///
    /// # Errors
    /// One byte, a code that must not be sent, or a reason that is not UTF-8.
    pub fn parse(payload: &[u8]) -> Result<Self, Violation> {
        match payload {
            [] => Ok(Self { code: None, reason: Cow::Borrowed("") }),
            [_] => Err(Violation::ClosePayload),
            [high, low, reason @ ..] => {
                let number = u16::from_be_bytes([*high, *low]);
                let code = Code::from_wire(number).ok_or(Violation::CloseCode(number))?;
                let reason = std::str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
                Ok(Self { code: Some(code), reason: Cow::Owned(reason.to_owned()) })
            }
        }
    }

    /// The payload of the frame.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let Some(code) = self.code else { return Vec::new() };
        let mut payload = Vec::with_capacity(2 + self.reason.len());
        payload.extend_from_slice(&code.get().to_be_bytes());
        payload.extend_from_slice(self.reason.as_bytes());
        payload
    }

    /// The code as logs and counters know it: 1005 stands for "no code" (RFC 6455 §7.1.5).
    #[must_use]
    pub fn number(&self) -> u16 {
        self.code.map_or(1005, Code::get)
    }
}

/// What a peer did that RFC 6455 or a limit forbids; each has its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// §5.2: reserved bits without an extension.
    ReservedBits,
    /// §5.2: an opcode that is not defined.
    Opcode(u8),
    /// §5.1: a client must mask.
    NotMasked,
    /// §5.1: a server must not mask.
    Masked,
    /// §5.5: a control frame of more than 125 bytes.
    ControlTooLong,
    /// §5.5: a fragmented control frame.
    ControlFragmented,
    /// §5.2: a length not in its shortest form.
    LengthNotMinimal,
    /// §5.2: the top bit of a 64-bit length is set.
    LengthTopBit,
    /// §5.4: a continuation without a beginning.
    StrayContinuation,
    /// §5.4: a new message inside a fragmented one.
    InterruptedMessage,
    /// §5.5.1: a Close payload of one byte.
    ClosePayload,
    /// §7.4: a code that must not be sent.
    CloseCode(u16),
    /// §5.5.1: a Close reason that is not UTF-8.
    CloseReason,
    /// §8.1: text that is not UTF-8.
    NotUtf8,
    /// A message over the limit, in bytes.
    TooBig(u64),
    /// More messages than allowed.
    TooMany,
    /// A binary message where only text is taken.
    Binary,
}

impl Violation {
    /// The close code that answers it.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::ReservedBits
            | Self::Opcode(_)
            | Self::NotMasked
            | Self::Masked
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::StrayContinuation
            | Self::InterruptedMessage
            | Self::ClosePayload
            | Self::CloseCode(_) => Code::PROTOCOL,
            Self::CloseReason | Self::NotUtf8 => Code::INVALID_PAYLOAD,
            Self::TooBig(_) => Code::TOO_BIG,
            Self::TooMany => Code::POLICY,
            Self::Binary => Code::UNSUPPORTED,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bits are set"),
            Self::Opcode(code) => write!(f, "unknown opcode {code:#x}"),
            Self::NotMasked => f.write_str("client frame is not masked"),
            Self::Masked => f.write_str("server frame is masked"),
            Self::ControlTooLong => f.write_str("control frame over 125 bytes"),
            Self::ControlFragmented => f.write_str("control frame is fragmented"),
            Self::LengthNotMinimal => f.write_str("length is not in its shortest form"),
            Self::LengthTopBit => f.write_str("length has its top bit set"),
            Self::StrayContinuation => f.write_str("continuation without a message"),
            Self::InterruptedMessage => f.write_str("new message inside a fragmented one"),
            Self::ClosePayload => f.write_str("close payload of one byte"),
            Self::CloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::CloseReason => f.write_str("close reason is not UTF-8"),
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
            Self::TooBig(limit) => write!(f, "message over {limit} bytes"),
            Self::TooMany => f.write_str("too many messages"),
            Self::Binary => f.write_str("only text is taken here"),
        }
    }
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The client.
    Client,
    /// The backend behind the gateway.
    Backend,
    /// The gateway itself.
    Gateway,
}

impl Party {
    /// One lower-case word, for logs and counters.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Gateway => "gateway",
        }
    }
}

/// How a session ended: exactly one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Who ended it first.
    pub by: Party,
    /// The close code; 1005 for a Close without one, 1006 for an end without a Close.
    pub code: u16,
    /// The reason in the Close frame, or what happened instead.
    pub reason: Cow<'static, str>,
}

impl Ending {
    /// An end with a Close frame.
    #[must_use]
    pub fn closed(by: Party, close: &Close) -> Self {
        Self { by, code: close.number(), reason: close.reason.clone() }
    }

    /// An end without one (RFC 6455 §7.1.5: 1006).
    #[must_use]
    pub fn lost(by: Party, why: impl Into<Cow<'static, str>>) -> Self {
        Self { by, code: 1006, reason: why.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_7_4_codes_that_may_be_sent() {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(Code::from_wire(code).is_some(), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(Code::from_wire(code).is_none(), "{code}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let close = Close::new(Code::NORMAL, "é".repeat(100));
        assert_eq!(close.reason.len(), 122);
        assert_eq!(Close::parse(&close.payload()), Ok(close));
    }

    #[test]
    fn rfc6455_5_5_1_close_payload() {
        assert_eq!(Close::parse(&[]).map(|close| close.number()), Ok(1005));
        assert_eq!(Close::parse(&[3]), Err(Violation::ClosePayload));
        assert_eq!(Close::parse(&1005u16.to_be_bytes()), Err(Violation::CloseCode(1005)));
        assert_eq!(Close::parse(&[0x03, 0xe8, 0xff]), Err(Violation::CloseReason));
    }
}
