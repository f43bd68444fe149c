//! What a CA asks to see whether a name leads here, in a TLS handshake (RFC 8737) or by a page (RFC 8555 §8.3), and what
//! it is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{CustomExtension, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::issue::{IssueError, params};

/// RFC 8737 §6.2: what a CA that asks offers to speak, and nothing besides.
const PROTOCOL: &[u8] = b"acme-tls/1";
/// Bytes of a handshake that are looked at; CAs need less than two thousand.
const HELLO_MAX: usize = 16 * 1024;
/// How long a certificate that is only shown to a CA lives.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be told to a CA at the moment; cheap to look at while there is nothing.
#[derive(Debug)]
pub(crate) struct Challenges {
    shown: Arc<Shown>,
    /// By token.
    pages: ArcSwap<HashMap<String, String>>,
    config: Arc<ServerConfig>,
}

/// Certificates that are shown to nobody but a CA, by name.
#[derive(Debug, Default)]
struct Shown(ArcSwap<HashMap<String, Arc<CertifiedKey>>>);

/// An answer that is given as long as this lives.
pub(crate) struct Told {
    challenges: Arc<Challenges>,
    what: What,
}

enum What {
    Name(String),
    Token(String),
}

/// What the first bytes of a connection are.
pub(crate) enum Hello {
    /// More are needed to tell.
    Partial,
    /// A client's, or nothing sound.
    Client,
    /// A CA's question, to be answered with this.
    Question(Arc<ServerConfig>),
}

impl Challenges {
    /// Nobody is told anything yet.
    pub(super) fn new() -> Result<Arc<Self>, rustls::Error> {
        let shown = Arc::<Shown>::default();
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Arc::new(Self { shown, pages: ArcSwap::default(), config: Arc::new(config) }))
    }

    /// Shows, to a CA that asks for this name, a certificate with this digest (RFC 8737 §3).
    ///
    /// # Errors
    /// No such certificate can be made.
    pub(crate) fn show(self: &Arc<Self>, name: &str, digest: &[u8], now: SystemTime) -> Result<Told, IssueError> {
        let certified = Arc::new(certificate(name, digest, now)?);
        change(&self.shown.0, |shown| shown.insert(name.to_owned(), Arc::clone(&certified)));
        Ok(Told { challenges: Arc::clone(self), what: What::Name(name.to_owned()) })
    }

    /// Says this to a CA that asks for the page of this token.
    pub(crate) fn say(self: &Arc<Self>, token: &str, said: &str) -> Told {
        change(&self.pages, |pages| pages.insert(token.to_owned(), said.to_owned()));
        Told { challenges: Arc::clone(self), what: What::Token(token.to_owned()) }
    }

    /// What there is to say for a token.
    pub(crate) fn page(&self, token: &str) -> Option<String> {
        self.pages.load().get(token).cloned()
    }

    /// Whether a CA may be about to ask in a handshake; only then is it worth looking at one.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.shown.0.load().is_empty()
    }

    /// Whether a connection that begins with these bytes is a CA's question.
    pub(crate) fn hello(&self, bytes: &[u8]) -> Hello {
        let mut acceptor = rustls::server::Acceptor::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            if !matches!(acceptor.read_tls(&mut rest), Ok(count) if count > 0) {
                return Hello::Client;
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let mut offered = accepted.client_hello().alpn().into_iter().flatten();
                    // RFC 8737 §3: this name alone.
                    let is_question = offered.next() == Some(PROTOCOL) && offered.next().is_none();
                    return if is_question { Hello::Question(Arc::clone(&self.config)) } else { Hello::Client };
                }
                Ok(None) => {}
                // Whoever speaks with it says what is wrong.
                Err(_) => return Hello::Client,
            }
        }
        if bytes.len() < HELLO_MAX { Hello::Partial } else { Hello::Client }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        match &self.what {
            What::Name(name) => change(&self.challenges.shown.0, |shown| shown.remove(name)),
            What::Token(token) => change(&self.challenges.pages, |pages| pages.remove(token)),
        }
    }
}

impl ResolvesServerCert for Shown {
    /// RFC 8737 §3: nothing is shown for a name that is not asked about at the moment.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

fn change<V: Clone, R>(table: &ArcSwap<HashMap<String, V>>, change: impl Fn(&mut HashMap<String, V>) -> R) {
    table.rcu(|before| {
        let mut after = HashMap::clone(before);
        change(&mut after);
        after
    });
}

/// RFC 8737 §3: signed by itself, with this one name and a critical extension that has the digest.
fn certificate(name: &str, digest: &[u8], now: SystemTime) -> Result<CertifiedKey, IssueError> {
    let key = KeyPair::generate()?;
    let mut params = params(now, now + LIFE)?;
    params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = default_provider().key_provider.load_private_key(key);
    Ok(CertifiedKey::new(chain, key.map_err(|error| IssueError::Unreadable(error.to_string()))?))
}

#[cfg(test)]
mod tests {
    use rustls::ClientConnection;
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer;

    use super::super::fixture::{client, handshake};
    use super::*;
    use rustls::version::{TLS12, TLS13};

    fn hello(offers: &[&[u8]], name: &'static str) -> Vec<u8> {
        let mut config = client(&[], &[&TLS13, &TLS12]);
        config.alpn_protocols = offers.iter().map(|offer| offer.to_vec()).collect();
        let name = name.try_into().expect("name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("client");
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).expect("hello");
        bytes
    }

    #[test]
    fn a_question_is_known_by_what_it_offers_alone_and_however_it_is_cut() {
        let challenges = Challenges::new().expect("made");
        let question = hello(&[b"acme-tls/1"], "a.example");
        assert!(matches!(challenges.hello(&question), Hello::Question(_)));
        for cut in [0, 1, 5, 6, 100, question.len() - 1] {
            assert!(matches!(challenges.hello(&question[..cut]), Hello::Partial), "{cut}");
        }
        let (http, acme) = (&b"http/1.1"[..], &b"acme-tls/1"[..]);
        for offers in [&[][..], &[http], &[acme, http], &[http, acme]] {
            assert!(matches!(challenges.hello(&hello(offers, "a.example")), Hello::Client), "{offers:?}");
        }
        for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 4, 2, 0, 0, 0], &[0x16; 20000]] {
            assert!(matches!(challenges.hello(junk), Hello::Client));
        }
    }

    #[test]
    fn what_is_shown_is_for_the_name_that_is_asked_about_and_for_as_long() {
        let (challenges, digest) = (Challenges::new().expect("made"), [7; 32]);
        assert!(!challenges.is_awaited());
        let told = challenges.show("a.example", &digest, SystemTime::now()).expect("made");
        assert!(challenges.is_awaited());
        let certified = Arc::clone(&challenges.shown.0.load()["a.example"]);
        let (_, leaf) = X509Certificate::from_der(&certified.cert[0]).expect("certificate");
        let names = leaf.subject_alternative_name().expect("sound").expect("there");
        assert_eq!(names.value.general_names.len(), 1);
        // RFC 8737 §6.1: id-pe-acmeIdentifier.
        let id = leaf.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").expect("there");
        assert!(id.critical && id.value == [&[4, 32][..], &digest].concat());
        let mut offers = client(&[], &[&TLS13]);
        offers.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let error = handshake(Arc::clone(&challenges.config), Arc::new(offers), "b.example").expect_err("another");
        assert!(error.to_string().contains("no server certificate"), "{error}");
        drop(told);
        assert!(!challenges.is_awaited());
    }

    #[test]
    fn a_page_is_there_as_long_as_it_is_told() {
        let challenges = Challenges::new().expect("made");
        let (one, other) = (challenges.say("t", "t.thumb"), challenges.say("u", "u.thumb"));
        assert_eq!(challenges.page("t").as_deref(), Some("t.thumb"));
        drop(one);
        assert_eq!((challenges.page("t"), challenges.page("u").as_deref()), (None, Some("u.thumb")));
        drop(other);
    }
}
