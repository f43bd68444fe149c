//! The law of RFC 6455.

pub mod origin;
