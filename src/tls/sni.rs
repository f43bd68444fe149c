//! The certificate for a name: exact, then wildcard, then the default; and of several, the one the client can check.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::certs::Pair;

/// Pairs for the same name, the cheapest signature first; never empty.
type Group = Vec<Arc<CertifiedKey>>;

/// Which certificate is for whom.
#[derive(Debug)]
pub(super) struct Table {
    exact: HashMap<String, Group>,
    /// By what stands behind `*.`.
    wildcard: HashMap<String, Group>,
    /// No other name's certificate is for these.
    awaited: HashSet<String>,
    default: Group,
}

impl Table {
    /// The first pair is the default, together with those that can stand in for it with another kind of key.
    ///
    /// Awaited names have a certificate of their own or none, never the default.
    pub(super) fn new(pairs: &[Pair], awaited: &[String]) -> Self {
        let (exact, wildcard, awaited) = (HashMap::new(), HashMap::new(), awaited.iter().cloned().collect());
        let mut table = Self { exact, wildcard, awaited, default: Group::new() };
        for pair in by_cost(pairs) {
            for name in &pair.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent),
                    None => (&mut table.exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(pair.certified.clone());
            }
            if pairs.first().is_some_and(|first| stands_in(pair, first)) {
                table.default.push(pair.certified.clone());
            }
        }
        table
    }

    /// The pair for a client that asks for `name` and can check these signatures.
    ///
    /// When it can check none of them, it still gets one: rustls then ends the handshake with the alert that says so.
    pub(super) fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let group = match name {
            Some(name) => match self.group(&name) {
                Some(group) => group,
                None if self.awaited.contains(&name) => return None,
                None => &self.default,
            },
            None => &self.default,
        };
        let usable = group.iter().find(|pair| pair.key.choose_scheme(schemes).is_some());
        usable.or(group.first()).cloned()
    }

    fn group(&self, name: &str) -> Option<&Group> {
        // RFC 6125 §6.4.3: a wildcard stands for one label, the leftmost.
        let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name).or_else(parent)
    }
}

/// An ECDSA signature costs a tenth of an RSA one, so it is offered first to whoever can check it.
fn by_cost(pairs: &[Pair]) -> Vec<&Pair> {
    let cost = |pair: &&Pair| match pair.algorithm() {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        _ => 2,
    };
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by_key(cost);
    pairs
}

fn stands_in(pair: &Pair, first: &Pair) -> bool {
    if Arc::ptr_eq(&pair.certified, &first.certified) {
        return true;
    }
    let same_names = !first.names.is_empty() && first.names.iter().all(|name| pair.names.contains(name));
    same_names && pair.algorithm() != first.algorithm()
}

/// Pairs that no client ever gets, because earlier ones with the same kind of key have all their names.
pub(super) fn shadowed(pairs: &[Pair]) -> Vec<&Pair> {
    let taken = |earlier: &[Pair], pair: &Pair, name: &String| {
        earlier.iter().any(|other| other.algorithm() == pair.algorithm() && other.names.contains(name))
    };
    let is_shadowed = |at: usize| pairs[at].names.iter().all(|name| taken(&pairs[..at], &pairs[at], name));
    (1..pairs.len()).filter(|&at| is_shadowed(at)).map(|at| &pairs[at]).collect()
}

/// What rustls asks for a certificate; its table can be swapped while connections are made.
#[derive(Debug)]
pub(super) struct Resolver {
    table: ArcSwap<Table>,
}

impl Resolver {
    pub(super) fn new(table: Table) -> Self {
        Self { table: ArcSwap::from_pointee(table) }
    }

    /// Handshakes from now on use this table.
    pub(super) fn swap(&self, table: Table) {
        self.table.store(Arc::new(table));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.table.load().choose(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm as Kind};
    use rustls::SignatureScheme as Scheme;

    use super::super::fixture::{Folder, examine, make_with, params};
    use super::*;

    const EC: &Kind = &PKCS_ECDSA_P256_SHA256;
    const RSA: &Kind = &PKCS_RSA_SHA256;
    const MODERN: &[Scheme] = &[Scheme::ECDSA_NISTP256_SHA256, Scheme::RSA_PSS_SHA256];
    const OLD: &[Scheme] = &[Scheme::RSA_PSS_SHA256, Scheme::RSA_PKCS1_SHA256];

    fn pair(kind: &'static Kind, names: &[&str]) -> Pair {
        let made = make_with(params("test", names), None, kind);
        let (pair, findings) = examine(&Folder::new().made("a", &made));
        pair.unwrap_or_else(|| panic!("{findings:?}"))
    }

    /// Which of the pairs is chosen.
    fn chosen(pairs: &[Pair], name: Option<&str>, schemes: &[Scheme]) -> Option<usize> {
        let chosen = Table::new(pairs, &[]).choose(name, schemes)?;
        pairs.iter().position(|pair| Arc::ptr_eq(&pair.certified, &chosen))
    }

    #[test]
    fn exact_before_wildcard_before_default() {
        let pairs = [pair(EC, &["default.example"]), pair(EC, &["*.example.com"]), pair(EC, &["chat.example.com"])];
        for (name, expected) in [
            ("chat.example.com", 2),
            ("CHAT.Example.Com", 2),
            ("chat.example.com.", 2),
            ("other.example.com", 1),
            ("a.b.example.com", 0),
            ("example.com", 0),
            ("default.example", 0),
            ("*.example.com", 1),
            ("", 0),
        ] {
            assert_eq!(chosen(&pairs, Some(name), MODERN), Some(expected), "{name:?}");
        }
        assert_eq!(chosen(&pairs, None, MODERN), Some(0));
    }

    #[test]
    fn the_kind_of_key_follows_the_client() {
        let pairs =
            [pair(RSA, &["a.example", "127.0.0.1"]), pair(EC, &["a.example", "127.0.0.1"]), pair(RSA, &["b.example"])];
        assert_eq!(chosen(&pairs, Some("a.example"), MODERN), Some(1), "the cheaper one, though it is listed later");
        assert_eq!(chosen(&pairs, Some("a.example"), OLD), Some(0));
        assert_eq!(chosen(&pairs, None, MODERN), Some(1), "it stands in for the default");
        assert_eq!(chosen(&pairs, None, OLD), Some(0));
        assert_eq!(chosen(&pairs, Some("b.example"), MODERN), Some(2));
        assert_eq!(chosen(&pairs, Some("b.example"), &[Scheme::ED25519]), Some(2), "rustls says why it ends");
    }

    #[test]
    fn only_a_pair_with_all_its_names_stands_in_for_the_default() {
        let pairs = [pair(RSA, &["a.example", "b.example"]), pair(EC, &["a.example"])];
        assert_eq!(chosen(&pairs, None, MODERN), Some(0));
        let nameless = [pair(RSA, &[]), pair(EC, &["a.example"])];
        assert_eq!(chosen(&nameless, None, MODERN), Some(0));
    }

    #[test]
    fn of_two_alike_the_first_is_served() {
        let pairs = [pair(EC, &["a.example"]), pair(EC, &["a.example"]), pair(EC, &["a.example", "b.example"])];
        assert_eq!(chosen(&pairs, Some("a.example"), MODERN), Some(0));
        let same = |pair: &Pair| pairs.iter().position(|other| Arc::ptr_eq(&other.certified, &pair.certified));
        assert_eq!(shadowed(&pairs).into_iter().map(same).collect::<Vec<_>>(), [Some(1)]);
    }
}
