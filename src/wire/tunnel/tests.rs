//! Tunnels tried with scripts of bytes and events.
