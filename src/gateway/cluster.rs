//! The cluster of gateways, as the configuration wishes it: its secrets are read, and it gets its thread.

use std::path::Path;

use crate::config::cluster::{Cluster as Wish, Password, RedisKind};
use crate::config::{Problem, Problems};
use crate::hub::{Cluster, ClusterWishes, Login, Way};
use crate::tls;

/// What is needed to run it.
pub(super) type Prepared = (Cluster, Way);

/// Reads what `[cluster]` names.
///
/// # Errors
/// A password or authorities that cannot be read.
pub(super) fn prepare(wish: Option<&Wish>) -> Result<Option<Prepared>, Problems> {
    let Some(wish) = wish else { return Ok(None) };
    let mut problems = Vec::new();
    let mut read = |place: Option<&Password>, keys| {
        let password = place.map(|place| read_password(place, keys)).transpose();
        password.map_err(|found| problems.extend(found.0)).ok().flatten()
    };
    let password = read(wish.password.as_ref(), ["cluster.password_file", "cluster.password_env"]);
    let sentinel = ["cluster.sentinel_password_file", "cluster.sentinel_password_env"];
    let sentinel_password = read(wish.sentinel_password.as_ref(), sentinel);
    let ca = wish.ca.as_ref().and_then(|path| read_ca(path, &mut problems));
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    let wishes = ClusterWishes {
        place: place(wish),
        node: wish.node.clone(),
        expiry: wish.presence_expiry,
        reconnect: wish.reconnect,
        queue: wish.queue,
    };
    let sentinel = Login { username: wish.sentinel_username.clone(), password: sentinel_password };
    let login = Login { username: wish.username.clone(), password };
    let way = Way { redis: wish.redis.clone(), login, sentinel, ca, timeout: wish.timeout };
    Ok(Some((Cluster::new(wishes), way)))
}

/// What came of building a configuration, with what is wrong with its cluster beside it.
pub(super) fn both<T>(built: Result<T, Problems>, cluster: Option<&Problems>) -> Result<T, Problems> {
    let Some(cluster) = cluster else { return built };
    let mut problems = built.err().map_or_else(Vec::new, |problems| problems.0);
    problems.extend(cluster.0.iter().cloned());
    Err(Problems::new(problems))
}

/// The first line of a file, or a variable; by the keys of the two.
fn read_password(place: &Password, [file, variable]: [&str; 2]) -> Result<String, Problems> {
    let (key, name, text) = match place {
        Password::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
            (file, path.display().to_string(), text)
        }
        Password::Environment(name) => {
            let text = std::env::var(name).map_err(|_| "is not set, or is not text".to_owned());
            (variable, name.clone(), text)
        }
    };
    let line = text.map_err(|wrong| Problem::new(name.as_str(), key, wrong))?;
    match line.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Problem::new(name.as_str(), key, "is empty").into()),
    }
}

fn read_ca(path: &Path, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let named = |problem: Problem| Problem { key: "cluster.ca".to_owned(), ..problem };
    if let Err(found) = tls::read_roots(path) {
        problems.extend(found.0.into_iter().map(named));
        return None;
    }
    match std::fs::read(path) {
        Ok(pem) => Some(pem),
        Err(error) => {
            let name = path.display().to_string();
            problems.push(Problem::new(name.as_str(), "cluster.ca", format!("cannot be read: {error}")));
            None
        }
    }
}

/// How logs name it.
fn place(wish: &Wish) -> String {
    let redis = &wish.redis;
    if let Some(socket) = &redis.socket {
        return format!("unix:{}", socket.display());
    }
    let hosts: Vec<String> = redis.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
    match &redis.kind {
        RedisKind::Single => hosts.join(","),
        RedisKind::Sentinel(master) => format!("{master} by sentinels {}", hosts.join(",")),
        RedisKind::Cluster => format!("cluster {}", hosts.join(",")),
    }
}
