//! wsgate
pub mod admission;
pub mod config;
pub mod lifecycle;
pub mod route;
pub mod socket;
pub mod telemetry;
pub mod tls;
pub mod wire;
