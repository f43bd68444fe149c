//! Why a gateway could not start, or a configuration was not read again.

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

/// Why a configuration was not put into force; nothing has changed.
#[derive(Debug)]
pub enum ReloadError {
    /// Nobody has said where configurations are read: [`super::Handle::read_with`].
    NoReader,
    /// It cannot be used.
    Config(Problems),
    /// There is no thread to read it on.
    Thread(std::io::Error),
    /// The reading has ended in a panic.
    Broken,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoReader => "this gateway was not told where its configuration is",
            Self::Config(problems) => return problems.fmt(f),
            Self::Thread(_) => "cannot start a thread to read the configuration on",
            Self::Broken => "reading the configuration has failed by a fault of wsgate's own",
        })
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::NoReader | Self::Config(_) | Self::Broken => None,
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
