//! wsgate
pub mod wire;
