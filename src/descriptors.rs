//! Enough descriptors for the configuration: the soft limit goes up to the hard one, and a warning says what would do.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wsgate::{Config, Target};

/// What is held besides connections: listeners, each worker's reactor and sockets, health checks, files being read.
const OWN: u64 = 64;
/// What each worker has open for itself, at most.
const OF_A_WORKER: u64 = 8;

/// Raises the soft limit, which is 1024 on many systems, to the hard one, and warns where that is not enough.
pub(crate) fn provide(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the limit stays what it was, and what follows tells of that one.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let needed = needed(config);
    if let Some(have) = getrlimit(Resource::Nofile).current
        && have < needed
    {
        tracing::warn!(
            descriptors = have,
            needed,
            connections = config.limits.connections,
            "too few descriptors for limits.connections and limits.pending: run `ulimit -n {needed}` as root before the \
             start, put `LimitNOFILE={needed}` into the [Service] of its unit, or lower these limits"
        );
    }
}

/// How many descriptors are open when every limit is reached: two for a relayed connection, one for any other.
fn needed(config: &Config) -> u64 {
    let is_relay = config.routes.iter().any(|route| matches!(route.target, Target::Proxy(_)));
    let each = if is_relay { 2 } else { 1 };
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        told => told,
    };
    let connections = (config.limits.connections as u64).saturating_mul(each);
    connections.saturating_add(config.limits.pending as u64).saturating_add(OWN + OF_A_WORKER * workers as u64)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn needed_for(routes: &str) -> u64 {
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\nplaintext = true\nworkers = 2\nlimits = {{ connections = 1000, pending = 100 }}\n{routes}"
        );
        needed(&Config::parse(&text, "test.toml", Path::new(".")).expect("valid"))
    }

    #[test]
    fn a_relayed_connection_takes_two_and_any_other_one() {
        let echo = "[[route]]\npath = \"/echo\"\necho = {}\n";
        let proxy = "[[route]]\npath = \"/\"\nproxy = { pool = \"a\" }\n[pool.a]\nbackends = [\"ws://127.0.0.1:1\"]\n";
        assert_eq!(needed_for(echo), 1000 + 100 + 64 + 16);
        assert_eq!(needed_for(&format!("{echo}{proxy}")), 2000 + 100 + 64 + 16);
    }
}
