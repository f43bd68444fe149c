//! The TLS side of the front door: which certificate for which name, which versions, tickets that outlive a reload.

mod certs;
mod chain;
mod challenge;
mod client;
mod expiry;
mod finding;
mod folder;
mod issue;
mod issued;
mod names;
mod pem;
mod public_key;
mod sni;
mod trust;
mod watch;

pub(crate) use certs::read_roots;
pub(crate) use challenge::{Challenges, Hello, Told};
pub(crate) use client::Identity;
pub(crate) use expiry::Expiry;
pub use folder::{Made, make_certificate};
pub use issue::IssueError;
pub(crate) use issue::self_signed;
pub(crate) use issued::{Issued, Leaf, examine, flaw, request, told};
pub(crate) use public_key::{KeyKind, read_public_key};
pub(crate) use watch::{Refreshed, Watch};

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
use client::Clients;
use finding::{Findings, Place};
use sni::{Resolver, Table};
use watch::Seen;

use crate::config::{Problem, Problems, Tls, TlsVersion};
use crate::socket::TlsFacts;

/// What a listener needs to speak TLS, and how it is exchanged while connections are made.
pub(crate) struct Acceptor {
    live: ArcSwap<Live>,
    resolver: Arc<Resolver>,
    pairs: Mutex<Pairs>,
    challenges: Arc<Challenges>,
}

/// What one connection is made with, from its first byte to the last question about it.
pub(crate) struct Live {
    config: Arc<ServerConfig>,
    tickets: Arc<dyn ProducesTickets>,
    /// Absent: clients are not asked who they are.
    clients: Option<Clients>,
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

/// Everything served.
#[derive(Clone, Default)]
struct Pairs {
    files: Vec<Pair>,
    /// What a CA has made by itself.
    issued: Option<Pair>,
    /// Names for which a CA is to make one by itself.
    awaited: Vec<String>,
    /// What was made here, with its names as the configuration wrote them.
    made: Option<(Vec<String>, Pair)>,
    /// The files that they came from.
    seen: Seen,
}

impl Pairs {
    /// In the order of the configuration; what was made here comes last, and stands in for what is awaited.
    fn all(&self) -> Vec<Pair> {
        let made = self.made.as_ref().map(|(_, pair)| pair);
        self.files.iter().chain(&self.issued).chain(made).cloned().collect()
    }
}

impl Acceptor {
    /// Opens and checks every certificate; what the gateway can live with comes back as warnings.
    ///
    /// # Errors
    /// Every problem of every file at once.
    pub(crate) fn build(tls: &Tls, now: SystemTime) -> Result<(Self, Vec<Problem>), Problems> {
        let (pairs, clients, warnings) = load(tls, now, &Pairs::default())?;
        let resolver = Arc::new(Resolver::new(Table::new(&pairs.all(), &pairs.awaited)));
        let live = ArcSwap::from_pointee(Live::new(tls, &resolver, clients, None)?);
        let challenges = Challenges::new().map_err(unusable)?;
        Ok((Self { live, resolver, pairs: Mutex::new(pairs), challenges }, warnings))
    }

    /// Serves other certificates from the next handshake on. Tickets given out before stay good, as long as the same
    /// certificates of clients are: who was let in by another rule has to show its certificate again.
    ///
    /// All or nothing: after an error everything is as before. A certificate that was made here is kept while its names
    /// are the same, so that a browser's exception for it stays good too.
    ///
    /// # Errors
    /// Every problem of every file at once.
    pub(crate) fn swap(&self, tls: &Tls, now: SystemTime) -> Result<Vec<Problem>, Problems> {
        let mut current = self.pairs.lock();
        let (pairs, clients, warnings) = load(tls, now, &current)?;
        let live = Live::new(tls, &self.resolver, clients, Some(&self.live.load()))?;
        self.resolver.swap(Table::new(&pairs.all(), &pairs.awaited));
        self.live.store(Arc::new(live));
        *current = pairs;
        Ok(warnings)
    }

    /// What a new connection is made with. Ask for each one: a swap may have changed it.
    #[must_use]
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// The same for tests of handshakes alone.
    #[cfg(test)]
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.live().config()
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
        self.pairs.lock().all().iter().map(served).collect()
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
        for name in self.pairs.lock().all().into_iter().flat_map(|pair| pair.names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl Live {
    fn new(
        tls: &Tls,
        resolver: &Arc<Resolver>,
        clients: Option<Clients>,
        before: Option<&Self>,
    ) -> Result<Self, Problems> {
        let is_like = |before: &&Self| match (&before.clients, &clients) {
            (None, None) => true,
            (Some(old), Some(new)) => old.is_like(new),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let tickets = match before.filter(is_like) {
            Some(before) => Arc::clone(&before.tickets),
            None => Ticketer::new().map_err(unusable)?,
        };
        let config = Arc::new(server_config(tls.min_version, resolver, &tickets, clients.as_ref())?);
        Ok(Self { config, tickets, clients })
    }

    /// For the handshake.
    #[must_use]
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Who the client of a handshake is; nobody where clients are not asked, or need not say.
    ///
    /// # Errors
    /// It has resumed a session with a certificate that is not good any more, or without one where one is needed.
    pub(crate) fn identify(&self, facts: &TlsFacts, now: SystemTime) -> std::io::Result<Option<Identity>> {
        let Some(clients) = &self.clients else { return Ok(None) };
        clients.identify(&facts.certificates, facts.resumed, now)
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("served", &self.served()).finish_non_exhaustive()
    }
}

fn load(tls: &Tls, now: SystemTime, before: &Pairs) -> Result<(Pairs, Option<Clients>, Vec<Problem>), Problems> {
    let mut findings = Findings::default();
    let seconds = seconds(now);
    let mut pairs = Pairs { seen: Seen::of(tls), ..Pairs::default() };
    for (at, files) in tls.certificates.iter().enumerate() {
        pairs.files.extend(certs::load(files, &format!("tls.certificates[{at}]"), seconds, &mut findings));
    }
    if let Some(acme) = &tls.acme {
        pairs.issued = issued::kept(acme, now, before, &mut findings.warnings);
        pairs.awaited.clone_from(&acme.names);
    }
    if !tls.self_signed.is_empty() {
        match made(&tls.self_signed, now, before) {
            Ok(pair) => pairs.made = Some((tls.self_signed.clone(), pair)),
            Err(error) => findings.problems.push(error.problem("tls.self_signed")),
        }
    } else if tls.certificates.is_empty() && tls.acme.is_none() {
        let place = Place { path: Path::new("configuration"), key: "tls.certificates" };
        findings.problems.push(place.whole("there is no certificate", "at least one { chain = …, key = … }"));
    }
    let clients = tls.clients.as_ref().and_then(|wishes| Clients::read(wishes, &mut findings));
    if !findings.problems.is_empty() {
        return Err(Problems(findings.problems));
    }
    // What stands in for a certificate that is awaited is not there in vain.
    let shown = if tls.acme.is_some() { pairs.files.clone() } else { pairs.all() };
    for pair in sni::shadowed(&shown) {
        let place = Place { path: Path::new(&pair.source), key: "tls.certificates" };
        let wrong = "no client ever gets this certificate: earlier ones have all its names and the same kind of key";
        findings.warnings.push(place.whole(wrong, "one certificate for each name and kind of key"));
    }
    Ok((pairs, clients, findings.warnings))
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
    clients: Option<&Clients>,
) -> Result<ServerConfig, Problems> {
    let versions: &[&SupportedProtocolVersion] = match oldest {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).map_err(unusable)?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver.clone());
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
