//! Why a gateway could not start.

use std::fmt;

use crate::config::Problems;

/// Why a gateway could not start.
#[derive(Debug)]
pub enum StartError {
    /// Something that the configuration names is not usable: certificates, authorities.
    Config(Problems),
    /// A listener could not be bound.
    Listen(String, std::io::Error),
    /// Sockets that were passed to the process and cannot be used, one in each line.
    Inherited(Vec<String>),
    /// A worker could not be started.
    Worker(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problems) => problems.fmt(f),
            Self::Listen(address, _) => write!(f, "cannot listen on {address}"),
            Self::Inherited(sockets) => f.write_str(&sockets.join("; ")),
            Self::Worker(_) => f.write_str("cannot start a worker"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(_) | Self::Inherited(_) => None,
            Self::Listen(_, error) | Self::Worker(error) => Some(error),
        }
    }
}
