//! wsgate
pub mod admission;
pub mod client;
pub mod config;
pub mod echo;
pub mod hub;
pub mod lifecycle;
pub mod pool;
pub mod relay;
pub mod route;
pub mod socket;
pub mod telemetry;
pub mod tls;
pub mod wire;
