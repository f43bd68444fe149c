//! The gateway from outside, in one binary: raw bytes as the client, backends good and bad, port 0, no sleeps.

#![allow(unreachable_pub)] // a binary of its own: `pub` means "for the other modules"
#![allow(clippy::expect_used, clippy::unwrap_used)] // what does not hold here ends the test, as it should
#![allow(clippy::disallowed_methods)] // a test's own tasks end with its runtime, nobody drains them

mod support;

mod acme;
mod across;
mod admission;
mod auth;
mod certificates;
mod chat;
mod chat_errors;
mod chat_keys;
mod chat_life;
mod cluster;
mod cluster_rooms;
mod command;
mod connections;
mod descriptors;
mod desk;
mod drains;
mod filter;
mod frames;
mod head;
mod health;
mod histories;
mod hold;
mod hub;
mod keys;
mod life;
mod load;
mod load_chat;
mod load_stay;
mod log;
mod log_file;
mod meters;
mod moderation;
mod mtls;
#[cfg(feature = "otel")]
mod otlp;
mod pages;
mod plain;
mod pool;
mod probe;
mod records;
mod refuse;
mod regressions;
mod relay;
mod reload;
mod requests;
mod scale;
mod shield;
mod systemd;
mod tls;
mod top;
mod traces;
mod transparent;
mod upgrade;
