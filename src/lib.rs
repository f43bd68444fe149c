//! wsgate: a TLS-terminating WebSocket reverse proxy and gateway.
//!
//! # Life of a connection
//!
//! 1. `gateway::accept` takes it from a listener, counts it at the door, and hands it to the worker with the least to
//!    do. From here on one task on one thread serves it.
//! 2. `gateway::connection` reads a PROXY header (from trusted proxies) and runs the TLS handshake under a deadline.
//! 3. `gateway::front` collects the request head, within its size and time, and refuses what is not sound HTTP/1.1;
//!    hyper parses it.
//! 4. `gateway::answer` asks `admission` for a decision: route, offer, origin, caps. A [`wire::offer::Offer`] that may
//!    come in has a permit, which travels with it to its end.
//!    Where the route wants more, `auth` judges a token or asks a server.
//! 5. The place is taken before the 101: a seat in a `hub` room, the `echo`, or a leg of the `relay` to a backend that
//!    `pool` has dialled and that has answered with a right 101 of its own.
//! 6. With the 101 HTTP is taken apart; bytes that were read too far go back into the `socket`. The session reads
//!    pieces in place, the law of RFC 6455 ([`wire`]) judges them, and frames go out through a bounded queue.
//! 7. Exactly one [`wire::close::Ending`] closes the connection's record: one line in the log, and the counters.
//!
//! A request for no WebSocket, where its route passes those on, is carried to a backend and back by `courier` instead, and
//! the connection waits for the next head.
//!
//! Beside it stands `probe`, which tries a backend out before there is a route to it.
//!
//! The floors: `gateway` knows all; below it `relay` and `courier`, then `pool`, `probe`, `auth` and `filter`, then `admission`, `tls`, `hub`,
//! `echo` and [`client`], then `config`, `socket` and `admin`, and at the ground [`wire`], `route`, `limits`, `telemetry`
//! and `lifecycle`, which know nobody. No import runs up: `tests/floors.rs` sees to it.

mod admin;
mod admission;
mod auth;
pub mod client;
mod config;
mod courier;
mod echo;
mod filter;
mod gateway;
mod hub;
mod lifecycle;
mod limits;
mod pool;
mod probe;
mod relay;
mod route;
mod socket;
mod telemetry;
mod tls;
pub mod wire;

pub use config::{BUILT_IN, Change, Config, Listen, LogFormat, Overrides, Problem, Problems, Target};
pub use gateway::{Gateway, Handle, Inherited, Listeners, StartError, Totals, Turn, check};
#[cfg(feature = "fuzzing")]
pub use hub::try_requests;
pub use lifecycle::Phase;
pub use probe::{Boldness, End, Report, Step, Wishes, dangers, probe};
pub use tls::{IssueError, Made, make_certificate};
