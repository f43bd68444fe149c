//! A TLS-terminating WebSocket reverse proxy and gateway.

pub mod config;
pub mod wire;
