//! What happened: counters, one record for each connection, and the roster of the living.

pub mod metrics;
pub mod record;
pub mod roster;
