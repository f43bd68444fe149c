//! Reads `[pool.NAME]`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::document::{Table, Value};
use super::limits::SHORT;
use crate::config::address::read_backend;
use crate::config::error::Wrong;
use crate::config::{Backend, Balance, Pool};

const BACKENDS: &str = r#"a list such as ["ws://127.0.0.1:8080"]"#;
const BALANCES: [(&str, Balance); 2] =
    [("least_connections", Balance::LeastConnections), ("round_robin", Balance::RoundRobin)];

/// A pool of these backends with everything else as it is when nothing is said.
pub(super) fn pool_of(backends: Vec<Backend>) -> Pool {
    Pool {
        backends,
        balance: Balance::LeastConnections,
        connections_per_backend: None,
        connect_timeout: Duration::from_secs(3),
        answer_timeout: Duration::from_secs(10),
        ca: None,
    }
}

/// Every pool that the file names, even where parts of it were refused: a route that names it is not at fault.
pub(super) fn read_pools(table: Option<Table<'_>>, base: &Path) -> BTreeMap<String, Pool> {
    let Some(table) = table else {
        return BTreeMap::new();
    };
    table.entries().iter().map(|(name, value)| ((*name).to_owned(), read_pool(value, base))).collect()
}

/// A file's path as the owner writes it: not empty, and relative to the configuration file's folder.
pub(super) fn read_file_path(text: &str, base: &Path) -> Result<std::path::PathBuf, Wrong> {
    if text.is_empty() || text.contains('\0') {
        return Err(Wrong::new("not a path", "the path of a PEM file"));
    }
    if text.contains("-----BEGIN") {
        return Err(Wrong::new("PEM text, not a path", "the path of a PEM file"));
    }
    Ok(base.join(text))
}

fn read_pool(value: &Value<'_>, base: &Path) -> Pool {
    let default = pool_of(Vec::new());
    let Some(table) = value.table() else {
        return default;
    };
    let unlimited_or = |count| if count == 0 { usize::MAX } else { count };
    let pool = Pool {
        backends: table.require("backends", BACKENDS).map(|value| read_backends(&value, base)).unwrap_or_default(),
        balance: table.choice("balance", &BALANCES, &["random_two", "hash"]).unwrap_or(default.balance),
        connections_per_backend: table.count("connections_per_backend", 0..=1_000_000).map(unlimited_or),
        connect_timeout: table.duration("connect_timeout", SHORT).unwrap_or(default.connect_timeout),
        answer_timeout: table.duration("answer_timeout", SHORT).unwrap_or(default.answer_timeout),
        ca: table.text("ca", |text| read_file_path(text, base)),
    };
    table.finish();
    pool
}

fn read_backends(value: &Value<'_>, base: &Path) -> Vec<Backend> {
    let Some(items) = value.items(BACKENDS) else {
        return Vec::new();
    };
    if items.is_empty() {
        value.refuse("empty", BACKENDS);
    }
    let mut backends: Vec<Backend> = Vec::new();
    for item in items {
        let Some(backend) = item.text(|text| read_backend(text, base)) else {
            continue;
        };
        // Twice in the list would get twice the connections it is allowed.
        if backends.iter().any(|other| other.transport == backend.transport) {
            item.refuse("named twice", "each backend once");
        }
        backends.push(backend);
    }
    backends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Transport};

    #[test]
    fn a_pool_and_its_defaults() {
        let text = "[[route]]\npath = \"/\"\nproxy = { pool = \"a\" }\n\
                    [pool.a]\nbackends = [\"ws://h:1\", \"unix:s\"]\nconnections_per_backend = 0\nca = \"ca.pem\"\n\
                    [pool.unused]\nbackends = [\"wss://h\"]\nbalance = \"round_robin\"\n";
        let config = Config::parse(text, "test.toml", Path::new("/etc")).expect("valid");
        let pool = &config.pools["a"];
        assert_eq!(
            pool.backends[0],
            Backend { url: "ws://h:1".to_owned(), transport: Transport::Ws("h".to_owned(), 1) }
        );
        assert_eq!(pool.backends[1].transport, Transport::Unix("/etc/s".into()));
        assert_eq!(pool.connections_per_backend, Some(usize::MAX));
        assert_eq!(pool.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(pool.connect_timeout, Duration::from_secs(3));
        let unused = &config.pools["unused"];
        assert_eq!((unused.balance, unused.connections_per_backend), (Balance::RoundRobin, None));
    }

    #[test]
    fn key_material_is_no_path() {
        let wrong = read_file_path("-----BEGIN PRIVATE KEY-----", Path::new("")).expect_err("refused");
        assert_eq!(wrong.what, "PEM text, not a path");
    }
}
