//! wsgate
pub mod config;
pub mod lifecycle;
pub mod socket;
pub mod telemetry;
pub mod wire;
