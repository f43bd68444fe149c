//! Reads `[pool.NAME]`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::document::{Table, Value};
use super::limits::SHORT;
use crate::config::address::read_member;
use crate::config::error::Wrong;
use crate::config::quantity::duration_text;
use crate::config::{Backend, Balance, Check, Ejection, HashBy, Health, Pool, ProxyProtocol, SourceAddress};

const BACKENDS: &str = r#"a list such as ["ws://127.0.0.1:8080"]"#;
const BACKEND: &str = r#"a URL, or a table such as { url = "ws://127.0.0.1:8080", weight = 2, backup = true }"#;
const BALANCES: [(&str, Balance); 4] = [
    ("least_connections", Balance::LeastConnections),
    ("round_robin", Balance::RoundRobin),
    ("random_two", Balance::RandomTwo),
    ("hash", Balance::Hash),
];
const HASH: &str = r#""address", "header:NAME" or "cookie:NAME""#;
const CHECKS: [(&str, Check); 3] = [("off", Check::Off), ("tcp", Check::Tcp), ("handshake", Check::Handshake)];
const PROXY_PROTOCOLS: [(&str, Option<ProxyProtocol>); 3] =
    [("off", None), ("v1", Some(ProxyProtocol::V1)), ("v2", Some(ProxyProtocol::V2))];
const HEALTH_PATH: &str = r#"a path such as "/chat", with a query if need be"#;

/// A PHP server needs a place of `select`'s 1024 for each; more than a million nobody has.
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
/// For times between two looks at a backend.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(24 * 3600);

/// A pool of these backends with everything else as it is when nothing is said.
pub(super) fn pool_of(backends: Vec<Backend>) -> Pool {
    Pool {
        backends,
        balance: Balance::LeastConnections,
        hash: HashBy::Address,
        connections_per_backend: None,
        queue: 0,
        queue_timeout: Duration::from_secs(5),
        handshakes_at_once: None,
        source_address: None,
        proxy_protocol: None,
        connect_timeout: Duration::from_secs(3),
        answer_timeout: Duration::from_secs(10),
        retries: 2,
        retry_budget: 20,
        ejection: Ejection { after: 3, time: Duration::from_secs(10), max: Duration::from_secs(300), last: false },
        slow_start: Duration::ZERO,
        health: Health {
            check: Check::Off,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            rise: 2,
            fall: 3,
            path: "/".to_owned(),
            ping: None,
        },
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
    let (balance, hash) = read_balance(&table, &default);
    let pool = Pool {
        backends: table.require("backends", BACKENDS).map(|value| read_backends(&value, base)).unwrap_or_default(),
        balance,
        hash,
        connections_per_backend: table.count("connections_per_backend", CONNECTIONS),
        queue: table.count("queue", 0..=10_000).unwrap_or(default.queue),
        queue_timeout: table.duration("queue_timeout", SHORT).unwrap_or(default.queue_timeout),
        handshakes_at_once: table.count("handshakes_at_once", 1..=10_000),
        source_address: table.choice("source_address", &SourceAddress::ALL, &[]),
        proxy_protocol: table.choice("proxy_protocol", &PROXY_PROTOCOLS, &[]).flatten(),
        connect_timeout: table.duration("connect_timeout", SHORT).unwrap_or(default.connect_timeout),
        answer_timeout: table.duration("answer_timeout", SHORT).unwrap_or(default.answer_timeout),
        retries: table.count("retries", 0..=10).unwrap_or(default.retries),
        retry_budget: table.count("retry_budget", 0..=100).unwrap_or(default.retry_budget),
        ejection: read_ejection(&table, default.ejection),
        slow_start: table.optional_duration("slow_start", PAUSE).flatten().unwrap_or(default.slow_start),
        health: read_health(&table, default.health),
        ca: table.text("ca", |text| read_file_path(text, base)),
    };
    table.finish();
    pool
}

fn read_balance(table: &Table<'_>, default: &Pool) -> (Balance, HashBy) {
    let named = table.get("balance").is_some();
    let balance = table.choice("balance", &BALANCES, &[]);
    let said = table.get("hash");
    let hash = said.as_ref().and_then(|value| value.text(read_hash));
    // Whoever says what to look at believes that it is looked at. A balance that was refused is a problem already.
    let refused = named && balance.is_none();
    if let Some(said) = said.filter(|_| balance != Some(Balance::Hash) && !refused)
        && hash.as_ref().is_some_and(|hash| *hash != HashBy::Address)
    {
        said.refuse("has no meaning with another balance", "nothing, or balance = \"hash\" too");
    }
    (balance.unwrap_or(default.balance), hash.unwrap_or_else(|| default.hash.clone()))
}

fn read_hash(text: &str) -> Result<HashBy, Wrong> {
    // RFC 9110 §5.6.2: names of headers are tokens, and so are those of cookies (RFC 6265 §4.1.1).
    let token = |name: &str| {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !name.is_empty() && name.bytes().all(is_token)
    };
    match text.split_once(':') {
        None if text == "address" => Ok(HashBy::Address),
        Some(("header", name)) if token(name) => Ok(HashBy::Header(name.to_ascii_lowercase())),
        Some(("cookie", name)) if token(name) => Ok(HashBy::Cookie(name.to_owned())),
        _ => Err(Wrong::new("nothing to know a client by", HASH)),
    }
}

fn read_ejection(table: &Table<'_>, default: Ejection) -> Ejection {
    let after = table.count("eject_after", 0..=1000);
    let (first, longest) = (table.get("eject_time"), table.get("eject_max"));
    let time = table.duration("eject_time", PAUSE);
    let max = table.duration("eject_max", PAUSE);
    match (time, max) {
        (time, Some(max)) if max < time.unwrap_or(default.time) => {
            if let Some(longest) = longest {
                longest.refuse("shorter than eject_time", "eject_time or longer");
            }
        }
        (Some(time), None) if time > default.max && longest.is_none() => {
            if let Some(first) = first {
                let wrong =
                    format!("longer than eject_max, which is {} unless you name it", duration_text(default.max));
                first.refuse(&wrong, "eject_max or shorter");
            }
        }
        _ => {}
    }
    Ejection {
        after: after.unwrap_or(default.after),
        time: time.unwrap_or(default.time),
        max: max.unwrap_or(default.max),
        last: table.flag("eject_last").unwrap_or(default.last),
    }
}

fn read_health(table: &Table<'_>, default: Health) -> Health {
    Health {
        check: table.choice("health", &CHECKS, &[]).unwrap_or(default.check),
        interval: table.duration("health_interval", PAUSE).unwrap_or(default.interval),
        timeout: table.duration("health_timeout", SHORT).unwrap_or(default.timeout),
        rise: table.count("health_rise", 1..=100).unwrap_or(default.rise),
        fall: table.count("health_fall", 1..=100).unwrap_or(default.fall),
        path: table.text("health_path", read_health_path).unwrap_or(default.path),
        ping: table.flag("health_ping"),
    }
}

/// It stands in a request line: nothing that could end it, nothing that needs encoding.
fn read_health_path(text: &str) -> Result<String, Wrong> {
    let sound = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if sound { Ok(text.to_owned()) } else { Err(Wrong::new("not a path", HEALTH_PATH)) }
}

fn read_backends(value: &Value<'_>, base: &Path) -> Vec<Backend> {
    let Some(items) = value.items(BACKENDS) else {
        return Vec::new();
    };
    if items.is_empty() {
        value.refuse("empty", BACKENDS);
    }
    let mut backends: Vec<Backend> = Vec::new();
    for item in &items {
        let Some(backend) = read_one(item, base) else {
            continue;
        };
        // Twice in the list would get twice the connections it is allowed.
        if backends.iter().any(|other| other.transport == backend.transport) {
            item.refuse("named twice", "each backend once");
        }
        backends.push(backend);
    }
    if !backends.is_empty() && backends.len() == items.len() && backends.iter().all(|backend| backend.backup) {
        value.refuse("every backend is a backup", "one that is not, at least");
    }
    backends
}

/// A URL, or a table with one.
fn read_one(item: &Value<'_>, base: &Path) -> Option<Backend> {
    let read = |text: &str| read_member(text, base);
    let Some(table) = item.as_table() else {
        return item.text(read);
    };
    let backend = table.require("url", BACKEND).and_then(|value| value.text(read));
    let weight = table.count("weight", 1..=100).and_then(|weight| u32::try_from(weight).ok());
    let backup = table.flag("backup").unwrap_or(false);
    table.finish();
    backend.map(|backend| Backend { weight: weight.unwrap_or(1), backup, ..backend })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Transport};

    #[test]
    fn a_pool_and_its_defaults() {
        let text = "[[route]]\npath = \"/\"\nproxy = { pool = \"a\" }\n\
                    [pool.a]\nbackends = [\"ws://h:1\", \"unix:s\"]\nconnections_per_backend = 7\nca = \"ca.pem\"\n\
                    [pool.unused]\nbackends = [\"wss://h\"]\nbalance = \"round_robin\"\n";
        let config = Config::parse(text, "test.toml", Path::new("/etc")).expect("valid");
        let pool = &config.pools["a"];
        let transport = Transport::Ws("h".to_owned(), 1);
        assert_eq!(pool.backends[0], Backend { url: "ws://h:1".to_owned(), transport, weight: 1, backup: false });
        assert_eq!(pool.backends[1].transport, Transport::Unix("/etc/s".into()));
        assert_eq!(pool.connections_per_backend, Some(7));
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

    #[test]
    fn what_a_client_is_known_by() {
        assert_eq!(read_hash("address"), Ok(HashBy::Address));
        assert_eq!(read_hash("header:X-User"), Ok(HashBy::Header("x-user".to_owned())));
        assert_eq!(read_hash("cookie:PHPSESSID"), Ok(HashBy::Cookie("PHPSESSID".to_owned())));
        for text in ["", "ip", "header", "header:", "cookie:a b", "cookie:a=b", "address:x", "Header:x"] {
            assert!(read_hash(text).is_err(), "{text}");
        }
    }
}
