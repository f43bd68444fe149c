//! `cargo bench --bench load -- wss://host/path`: measures any ws or wss server.

mod report;

fn main() {}
