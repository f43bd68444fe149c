//! The Redis that several gateways share, as the owner wishes it.

use std::path::PathBuf;
use std::time::Duration;

/// What the hubs of several gateways have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Where Redis is.
    pub redis: Redis,
    /// The user of its ACL; absent: the default one.
    pub username: Option<String>,
    /// Where the password is; absent: there is none.
    pub password: Option<Password>,
    /// The user of the Sentinels' ACL; absent: their default one.
    pub sentinel_username: Option<String>,
    /// Where the Sentinels' own password is; absent: they ask for none.
    pub sentinel_password: Option<Password>,
    /// PEM file of the authorities that a server with TLS is checked against; absent: the public ones.
    pub ca: Option<PathBuf>,
    /// What the names of all keys and channels begin with.
    pub prefix: String,
    /// This gateway's name among the others; absent: another one at each start.
    pub node: Option<String>,
    /// To connect, and for each answer.
    pub timeout: Duration,
    /// The longest time between two tries to reach Redis.
    pub reconnect: Duration,
    /// After which the members of a gateway that says nothing are gone.
    pub presence_expiry: Duration,
    /// Messages on their way to Redis; senders wait beyond it.
    pub queue: usize,
}

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Host (a name or an address without brackets) and port; at least one, unless there is a socket.
    pub hosts: Vec<(String, u16)>,
    /// A unix socket's path, in the place of hosts.
    pub socket: Option<PathBuf>,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Who is at these addresses.
    pub kind: RedisKind,
    /// The number of the database.
    pub database: i64,
}

/// Who is at the addresses of [`Redis`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisKind {
    /// One server.
    Single,
    /// Sentinels, who know where the master of this name is.
    Sentinel(String),
    /// Nodes of a Redis Cluster.
    Cluster,
}

/// Where a password is: never in the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// The first line of this file.
    File(PathBuf),
    /// This variable of the environment.
    Environment(String),
}

/// Whether a hub shares its rooms with other gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shared {
    /// It does where there is a `[cluster]`.
    #[default]
    Default,
    /// It must not, or must.
    Flag(bool),
    /// It does, under a prefix of its own.
    Prefix(String),
}
