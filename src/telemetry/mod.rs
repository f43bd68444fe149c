//! What happened: counters, one record for each connection, and the roster of the living.

pub(crate) mod metrics;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod roster;
pub(crate) mod sample;
#[cfg(feature = "otel")]
pub(crate) mod spans;
