//! Reads `[cluster]`, and what a hub says about it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::document::{Placed, Table, Value};
use super::pool::read_file_path;
use crate::config::address::{read_authority, read_unix};
use crate::config::cluster::{Cluster, Password, Redis, RedisKind, Shared};
use crate::config::error::{Problem, Wrong};

const REDIS: &str = r#""redis://host:6379", "rediss://host:6379/0", "unix:/run/redis.sock", "redis+sentinel://host:26379,other:26379/master" or "redis+cluster://host:6379""#;
const PREFIX: &str = "1 to 64 letters, digits, hyphens, underscores or dots";
const SHARED: &str = r#"true, false, or a prefix such as "wsgate-lobby""#;

/// Where the password of the Sentinels is.
const SENTINEL: [&str; 2] = ["sentinel_password_file", "sentinel_password_env"];

/// To connect, and for an answer: beyond a minute nobody waits.
const SHORT: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const EXPIRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// What the hubs of several gateways have in common, if anything.
pub(super) fn read_cluster(table: Option<Table<'_>>, base: &Path) -> Option<Cluster> {
    let table = table?;
    let redis = table.require("redis", REDIS).and_then(|value| read_redis(&value, base));
    let cluster = Cluster {
        redis: Redis { hosts: Vec::new(), socket: None, tls: false, kind: RedisKind::Single, database: 0 },
        username: table.text("username", read_word),
        password: read_password(&table, ["password_file", "password_env"], base),
        sentinel_username: table.text("sentinel_username", read_word),
        sentinel_password: read_password(&table, SENTINEL, base),
        ca: table.text("ca", |text| read_file_path(text, base)),
        prefix: table.text("prefix", read_prefix).unwrap_or_else(|| "wsgate".to_owned()),
        node: table.text("node", read_prefix),
        timeout: table.duration("timeout", SHORT).unwrap_or(Duration::from_secs(2)),
        reconnect: table.duration("reconnect", SHORT).unwrap_or(Duration::from_secs(5)),
        presence_expiry: table.duration("presence_expiry", EXPIRY).unwrap_or(Duration::from_secs(15)),
        queue: table.count("queue", 16..=1_000_000).unwrap_or(4096),
    };
    if let Some(value) = table.get("ca").filter(|_| redis.as_ref().is_some_and(|redis| !redis.tls)) {
        value.refuse("has no meaning without TLS", r#"an address that begins with "rediss""#);
    }
    let is_elsewhere = redis.as_ref().is_some_and(|redis| !matches!(redis.kind, RedisKind::Sentinel(_)));
    for key in ["sentinel_username"].into_iter().chain(SENTINEL).filter(|_| is_elsewhere) {
        if let Some(value) = table.get(key) {
            value.refuse("has no meaning without Sentinels", r#"an address that begins with "redis+sentinel""#);
        }
    }
    table.finish();
    // One that was refused has a stand-in, so that hubs are not told that there is none.
    Some(Cluster { redis: redis.unwrap_or(cluster.redis), ..cluster })
}

/// Whether a hub shares its rooms.
pub(super) fn read_shared(table: &Table<'_>) -> Option<Placed<Shared>> {
    let value = table.get("cluster")?;
    let read = |text: &str| read_prefix(text).map_err(|wrong| Wrong::new(wrong.what, SHARED));
    let shared = match value.raw.as_bool() {
        Some(flag) => Shared::Flag(flag),
        None => value.text(read).map_or(Shared::Flag(false), Shared::Prefix),
    };
    Some(Placed::new(shared, value.place()))
}

/// The prefix of each hub that shares its rooms, in the order of `hubs`; two with one prefix would be one hub with two
/// minds.
pub(super) fn prefixes(
    cluster: Option<&Cluster>,
    hubs: &[Option<&Placed<Shared>>],
    problems: &mut Vec<Problem>,
) -> Vec<Option<String>> {
    let mut seen: HashMap<String, &Placed<Shared>> = HashMap::new();
    let mut prefixes = Vec::with_capacity(hubs.len());
    for shared in hubs {
        let Some(shared) = shared else {
            prefixes.push(None);
            continue;
        };
        prefixes.push(prefix_of(shared, cluster, problems));
        let Some(Some(prefix)) = prefixes.last() else { continue };
        if let Some(first) = seen.insert(prefix.clone(), shared) {
            let line = first.place.line.map_or_else(String::new, |line| format!(" at line {line}"));
            let wrong = format!("{prefix} is the prefix of {}{line} already", first.place.key);
            problems.push(shared.place.problem(wrong, "cluster = \"another-prefix\", or false"));
        }
    }
    prefixes
}

fn prefix_of(shared: &Placed<Shared>, cluster: Option<&Cluster>, problems: &mut Vec<Problem>) -> Option<String> {
    match (&shared.value, cluster) {
        (Shared::Flag(false), _) | (Shared::Default, None) => None,
        (Shared::Flag(true) | Shared::Prefix(_), None) => {
            problems.push(shared.place.problem("there is nothing to share it through", "a [cluster] table, or false"));
            None
        }
        (Shared::Flag(true) | Shared::Default, Some(cluster)) => Some(cluster.prefix.clone()),
        (Shared::Prefix(prefix), Some(_)) => Some(prefix.clone()),
    }
}

/// One address, or several of one kind.
fn read_redis(value: &Value<'_>, base: &Path) -> Option<Redis> {
    if value.as_text().is_some() {
        return value.text(|text| read_address(text, base));
    }
    let items = value.items(REDIS)?;
    let mut all: Option<Redis> = None;
    for item in &items {
        let one = item.text(|text| read_address(text, base))?;
        let Some(all) = &mut all else {
            all = Some(one);
            continue;
        };
        let alike = (all.tls, all.database, &all.kind) == (one.tls, one.database, &one.kind);
        if !alike || one.kind == RedisKind::Single {
            item.refuse("does not go with the first address", "several sentinels, or several nodes of one cluster");
            return None;
        }
        all.hosts.extend(one.hosts);
    }
    if items.is_empty() {
        value.refuse("empty", REDIS);
    }
    all
}

fn read_address(text: &str, base: &Path) -> Result<Redis, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        let socket = Some(read_unix(path, base, REDIS)?);
        return Ok(Redis { hosts: Vec::new(), socket, tls: false, kind: RedisKind::Single, database: 0 });
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| Wrong::new("not the address of a Redis", REDIS))?;
    let (tls, kind) = match scheme {
        "redis" => (false, None),
        "rediss" => (true, None),
        "redis+sentinel" => (false, Some(true)),
        "rediss+sentinel" => (true, Some(true)),
        "redis+cluster" => (false, Some(false)),
        "rediss+cluster" => (true, Some(false)),
        _ => return Err(Wrong::new("not the address of a Redis", REDIS)),
    };
    // A password would be in every copy of the file, and in every log that shows it.
    if rest.contains('@') {
        return Err(Wrong::new("has a user part", "username, and password_file or password_env, beside it"));
    }
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = if kind == Some(true) { 26379 } else { 6379 };
    let hosts: Vec<(String, u16)> = hosts.split(',').map(|host| read_host(host, port)).collect::<Result<_, _>>()?;
    if kind.is_none() && hosts.len() > 1 {
        return Err(Wrong::new("has several hosts", "several sentinels, or several nodes of one cluster"));
    }
    let (kind, database) = match (kind, path.split_once('/').unwrap_or((path, ""))) {
        (None, (database, "")) => (RedisKind::Single, read_database(database)?),
        (Some(true), (master, database)) if !master.is_empty() => {
            (RedisKind::Sentinel(read_word(master)?), read_database(database)?)
        }
        (Some(true), _) => return Err(Wrong::new("names no master", r#""redis+sentinel://host:26379/mymaster""#)),
        (Some(false), ("", "")) => (RedisKind::Cluster, 0),
        _ => return Err(Wrong::new("has a path", REDIS)),
    };
    Ok(Redis { hosts, socket: None, tls, kind, database })
}

fn read_host(text: &str, port: u16) -> Result<(String, u16), Wrong> {
    read_authority(text, port).map_err(|wrong| Wrong::new(wrong.what, REDIS))
}

fn read_database(text: &str) -> Result<i64, Wrong> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse::<u16>().map(i64::from).map_err(|_| Wrong::new("not the number of a database", REDIS))
}

/// In a file or in a variable, by the names of their keys.
fn read_password(table: &Table<'_>, [file_key, variable_key]: [&'static str; 2], base: &Path) -> Option<Password> {
    let file = table.text(file_key, |text| {
        read_file_path(text, base).map_err(|wrong| Wrong::new(wrong.what, "the path of a file"))
    });
    let variable = table.text(variable_key, |text| match text {
        "" => Err(Wrong::new("empty", "the name of a variable")),
        _ if text.contains(['=', '\0']) => Err(Wrong::new("not a name", "the name of a variable")),
        _ => Ok(text.to_owned()),
    });
    match (file, variable) {
        (Some(_), Some(_)) => {
            let wrong = if file_key == SENTINEL[0] { "has two passwords for Sentinels" } else { "has two passwords" };
            table.problem(wrong, &format!("{file_key} or {variable_key}"));
            None
        }
        (Some(path), None) => Some(Password::File(path)),
        (None, Some(name)) => Some(Password::Environment(name)),
        (None, None) => None,
    }
}

/// The name of a user or of a master.
fn read_word(text: &str) -> Result<String, Wrong> {
    match text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        true => Err(Wrong::new("not a name", "a name without spaces")),
        false => Ok(text.to_owned()),
    }
}

/// Short, and without what has a meaning in keys, channels and patterns of Redis (`*`, `?`, `[`, `{`, `:`).
fn read_prefix(text: &str) -> Result<String, Wrong> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a name", PREFIX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Redis, String> {
        read_address(text, Path::new("/etc")).map_err(|wrong| wrong.what.into_owned())
    }

    #[test]
    fn addresses_of_every_kind() {
        let of = |text: &str| address(text).expect("an address");
        assert_eq!(of("redis://h").hosts, [("h".to_owned(), 6379)]);
        assert_eq!((of("rediss://[::1]:7/3").tls, of("rediss://[::1]:7/3").database), (true, 3));
        assert_eq!(of("unix:r.sock").socket, Some("/etc/r.sock".into()));
        let sentinels = of("redis+sentinel://a,b:9/mine/2");
        assert_eq!(sentinels.hosts, [("a".to_owned(), 26379), ("b".to_owned(), 9)]);
        assert_eq!((sentinels.kind, sentinels.database), (RedisKind::Sentinel("mine".to_owned()), 2));
        assert_eq!(of("rediss+cluster://a:1,b:2").kind, RedisKind::Cluster);
    }

    #[test]
    fn addresses_that_are_none() {
        for text in [
            "",
            "h:1",
            "http://h",
            "redis://",
            "redis://u:p@h",
            "redis://a,b",
            "redis://h/x",
            "redis://h/1/2",
            "redis+sentinel://h",
            "redis+sentinel://h/",
            "redis+cluster://h/1",
            "redis://h:0",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
