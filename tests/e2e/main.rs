//! The gateway from outside, in one binary: raw bytes as the client, backends good and bad, port 0, no sleeps.

#![allow(unreachable_pub)] // a binary of its own: `pub` means "for the other modules"

mod support;

mod command;
mod keys;
mod life;
mod log;
mod regressions;
mod requests;
mod scale;
