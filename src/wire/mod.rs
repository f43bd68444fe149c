//! The law of RFC 6455, without I/O, clock or randomness: bytes and events in, ranges, frames and verdicts out.

pub mod chunked;
pub mod close;
pub mod frame;
pub mod head;
pub mod inbound;
pub mod mask;
pub mod message;
pub mod offer;
pub mod origin;
pub mod passing;
pub mod request_head;
pub mod trace;
pub mod tunnel;
pub mod utf8;
