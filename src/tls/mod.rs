//! The TLS side of the front door: which certificate for which name, which versions, tickets that outlive a reload.

mod certs;
mod chain;
mod finding;
mod folder;
mod issue;
mod names;
mod pem;
mod public_key;
mod sni;
mod trust;

pub(crate) use certs::read_roots;
pub use folder::{Made, make_certificate};
pub use issue::IssueError;
pub(crate) use issue::self_signed;
pub(crate) use public_key::{KeyKind, read_public_key};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use certs::Pair;
use finding::{Findings, Place};
use sni::{Resolver, Table};

use crate::config::{Problem, Problems, Tls, TlsVersion};

/// What a listener needs to speak TLS, and how it is exchanged while connections are made.
pub(crate) struct Acceptor {
    config: ArcSwap<ServerConfig>,
    resolver: Arc<Resolver>,
    tickets: Arc<dyn ProducesTickets>,
    pairs: Mutex<Pairs>,
}

/// A certificate that is being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Its file, or `self-signed`.
    pub source: String,
    /// DNS names (also `*.…`) and addresses, lower case.
    pub names: Vec<String>,
    /// When clients begin to refuse it.
    pub not_after: SystemTime,
}

/// Everything served, in the order of the configuration; what was made here comes last.
#[derive(Clone, Default)]
struct Pairs {
    all: Vec<Pair>,
    /// The last of `all`, with the names it was made for as the configuration wrote them.
    made: Option<(Vec<String>, Pair)>,
}

impl Acceptor {
    /// Opens and checks every certificate; what the gateway can live with comes back as warnings.
    ///
    /// # Errors
    /// Every problem of every file at once.
    pub(crate) fn build(tls: &Tls, now: SystemTime) -> Result<(Self, Vec<Problem>), Problems> {
        let (pairs, warnings) = load(tls, now, &Pairs::default())?;
        let resolver = Arc::new(Resolver::new(Table::new(&pairs.all)));
        let tickets = Ticketer::new().map_err(unusable)?;
        let config = server_config(tls.min_version, &resolver, &tickets)?;
        let config = ArcSwap::from_pointee(config);
        Ok((Self { config, resolver, tickets, pairs: Mutex::new(pairs) }, warnings))
    }

    /// Serves other certificates from the next handshake on; tickets given out before stay good.
    ///
    /// All or nothing: after an error everything is as before. A certificate that was made here is kept while its names
    /// are the same, so that a browser's exception for it stays good too.
    ///
    /// # Errors
    /// Every problem of every file at once.
    pub(crate) fn swap(&self, tls: &Tls, now: SystemTime) -> Result<Vec<Problem>, Problems> {
        let mut current = self.pairs.lock();
        let (pairs, warnings) = load(tls, now, &current)?;
        let config = server_config(tls.min_version, &self.resolver, &self.tickets)?;
        self.resolver.swap(Table::new(&pairs.all));
        self.config.store(Arc::new(config));
        *current = pairs;
        Ok(warnings)
    }

    /// What a new connection is made with. Ask for each one: a swap may have changed it.
    #[must_use]
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// The certificates being served, the default first.
    #[must_use]
    pub(crate) fn served(&self) -> Vec<Served> {
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let served = |pair: &Pair| Served {
            source: pair.source.clone(),
            names: pair.names.clone(),
            not_after: time(pair.not_after),
        };
        self.pairs.lock().all.iter().map(served).collect()
    }

    /// The first name of each certificate, and when it ends, in seconds since 1970; of several for one name, the one that
    /// ends first.
    #[must_use]
    pub(crate) fn ends(&self) -> BTreeMap<String, u64> {
        let mut ends = BTreeMap::new();
        for Served { source, names, not_after } in self.served() {
            let end = not_after.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let first = ends.entry(names.into_iter().next().unwrap_or(source)).or_insert(end);
            *first = end.min(*first);
        }
        ends
    }

    /// Every name that a certificate is there for, each once.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.pairs.lock().all.iter().flat_map(|pair| &pair.names) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("served", &self.served()).finish_non_exhaustive()
    }
}

fn load(tls: &Tls, now: SystemTime, before: &Pairs) -> Result<(Pairs, Vec<Problem>), Problems> {
    let mut findings = Findings::default();
    let seconds = seconds(now);
    let mut pairs = Pairs::default();
    for (at, files) in tls.certificates.iter().enumerate() {
        pairs.all.extend(certs::load(files, &format!("tls.certificates[{at}]"), seconds, &mut findings));
    }
    if !tls.self_signed.is_empty() {
        match made(&tls.self_signed, now, before) {
            Ok(pair) => {
                pairs.all.push(pair.clone());
                pairs.made = Some((tls.self_signed.clone(), pair));
            }
            Err(error) => findings.problems.push(error.problem("tls.self_signed")),
        }
    } else if tls.certificates.is_empty() {
        let place = Place { path: Path::new("configuration"), key: "tls.certificates" };
        findings.problems.push(place.whole("there is no certificate", "at least one { chain = …, key = … }"));
    }
    if !findings.problems.is_empty() {
        return Err(Problems(findings.problems));
    }
    for pair in sni::shadowed(&pairs.all) {
        let place = Place { path: Path::new(&pair.source), key: "tls.certificates" };
        let wrong = "no client ever gets this certificate: earlier ones have all its names and the same kind of key";
        findings.warnings.push(place.whole(wrong, "one certificate for each name and kind of key"));
    }
    Ok((pairs, findings.warnings))
}

/// A certificate for these names: the one made before, when it is for the same and not yet in its last third.
fn made(names: &[String], now: SystemTime, before: &Pairs) -> Result<Pair, IssueError> {
    if let Some((same, pair)) = &before.made
        && same == names
        && pair.not_after - seconds(now) > issue::SELF_SIGNED_DAYS * 24 * 60 * 60 / 3
    {
        return Ok(pair.clone());
    }
    let (chain, key) = self_signed(names, now)?;
    let leaf = chain::Certificate::parse(&chain[0], 1, 1).map_err(IssueError::Unreadable)?;
    let key =
        default_provider().key_provider.load_private_key(key).map_err(|e| IssueError::Unreadable(e.to_string()))?;
    let certified = Arc::new(CertifiedKey::new(chain, key));
    Ok(Pair { certified, names: leaf.names, not_after: leaf.not_after, source: "self-signed".to_owned() })
}

/// Everything about TLS that is not a certificate. What is not said here is rustls' default on purpose: the client's
/// order decides the cipher suite (it knows whether it has AES in hardware), the post-quantum hybrid comes first.
fn server_config(
    oldest: TlsVersion,
    resolver: &Arc<Resolver>,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, Problems> {
    let versions: &[&SupportedProtocolVersion] = match oldest {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).map_err(unusable)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets carry the session, so nothing is stored here and a table of sessions cannot overflow.
    config.ticketer = tickets.clone();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    // Early data can be replayed (RFC 8446 §8), and an upgrade request must not be.
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok(config)
}

fn unusable(error: rustls::Error) -> Problems {
    let place = Place { path: Path::new("configuration"), key: "tls" };
    Problems(vec![place.whole(format!("TLS cannot be set up: {error}"), "a working source of random numbers")])
}

/// Seconds since 1970, the way certificates count.
fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
