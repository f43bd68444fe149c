//! A CA of one's own (RFC 8555): it looks at the gateway as a real one does, and errs when it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, SanType};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::{CertificateSigningRequestDer, ServerName};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::tls::{Folder, Made, acceptor, authority, leaf};
use super::{Peer, trust};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The CA, which ends with its test's runtime.
pub struct Ca {
    /// Its directory.
    pub directory: String,
    /// Who has signed its own certificate, for `ca`.
    pub trust: String,
    /// Who signs what it makes.
    pub issuer: Arc<Made>,
    inner: Arc<Inner>,
    _folder: Folder,
}

struct Inner {
    origin: String,
    issuer: Arc<Made>,
    state: Mutex<State>,
    /// Addresses at which it looks, once there are some.
    places: watch::Sender<Vec<String>>,
}

#[derive(Default)]
struct State {
    /// What was asked, with what came of a JWS: path, header and payload.
    asked: Vec<(String, Value, Value)>,
    /// What is answered next below a path, instead of what would be right.
    scripted: VecDeque<(String, Vec<u8>)>,
    orders: Vec<Order>,
    /// Of the account's key, as RFC 7638 has it.
    thumbprint: String,
    wrong: Option<Wrong>,
    renewal: Option<(SystemTime, SystemTime)>,
}

/// What it makes other than it was asked to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is for another name.
    Name,
    /// It is for another key.
    Key,
}

struct Order {
    names: Vec<String>,
    replaces: Option<String>,
    /// By name: whether it was looked, and what was found.
    looks: Vec<Option<Result<(), String>>>,
    chain: Option<String>,
}

/// Status, Location, Content-Type and body.
type Said = (u16, Option<String>, &'static str, String);

impl Ca {
    pub async fn start() -> Self {
        let (folder, root, issuer) = (Folder::new(), authority("the CA's own", None), authority("issuer", None));
        let (own, issuer) = (acceptor(&leaf(&["localhost"], Some(&root))), Arc::new(issuer));
        let trust = folder.write("ca.pem", &root.pem).display().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
        let (state, places) = (Mutex::default(), watch::Sender::default());
        let inner = Arc::new(Inner { origin: origin.clone(), issuer: Arc::clone(&issuer), state, places });
        let serving = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (own, serving) = (own.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    if let Ok(stream) = own.accept(stream).await {
                        serving.serve(Peer::new(stream)).await;
                    }
                });
            }
        });
        Self { directory: format!("{origin}/dir"), trust, issuer, inner, _folder: folder }
    }

    /// `[tls.acme]` with this storage and these names.
    pub fn wishes(&self, storage: &std::path::Path, names: &[&str], more: &str) -> String {
        format!(
            "[tls.acme]\nnames = {names:?}\nterms_agreed = true\ndirectory = {:?}\nca = {:?}\nstorage = {:?}\n{more}\n",
            self.directory,
            self.trust,
            storage.display().to_string(),
        )
    }

    /// From now on it looks there; until then it keeps whoever says that it may.
    pub fn look_at(&self, places: &[String]) {
        self.inner.places.send_replace(places.to_vec());
    }

    /// Answers the next request below this path with these bytes, which have to be a whole answer, or nothing for none.
    pub fn answer_next(&self, path: &str, answer: &str) {
        self.inner.state.lock().expect("state").scripted.push_back((path.to_owned(), answer.as_bytes().to_vec()));
    }

    pub fn err(&self, wrong: Option<Wrong>) {
        self.inner.state.lock().expect("state").wrong = wrong;
    }

    /// When it wants certificates to be renewed; before it is told that, it has no opinion.
    pub fn suggest(&self, from: SystemTime, to: SystemTime) {
        self.inner.state.lock().expect("state").renewal = Some((from, to));
    }

    /// How often something below this path was asked.
    pub fn count(&self, path: &str) -> usize {
        self.inner.state.lock().expect("state").asked.iter().filter(|(asked, ..)| asked.starts_with(path)).count()
    }

    /// What the last request below this path had in it: header and payload of its JWS.
    pub fn last(&self, path: &str) -> (Value, Value) {
        let state = self.inner.state.lock().expect("state");
        let found = state.asked.iter().rev().find(|(asked, ..)| asked.starts_with(path));
        found.map(|(_, header, payload)| (header.clone(), payload.clone())).expect("it was asked")
    }
}

/// A certificate of this CA's with its key, one after the other, good between these.
pub fn made(issuer: &Made, names: &[&str], (from, to): (SystemTime, SystemTime)) -> String {
    let mut params = super::tls::params(names);
    (params.not_before, params.not_after) = (from.into(), to.into());
    params.use_authority_key_identifier_extension = true;
    let leaf = super::tls::make(params, &rcgen::PKCS_ECDSA_P256_SHA256, Some(issuer));
    format!("{}{}", leaf.key.serialize_pem(), leaf.pem)
}

/// A whole answer that says what is wrong, with these header lines.
pub fn problem(status: u16, kind: &str, detail: &str, more: &str) -> String {
    let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail }).to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} No\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    )
}

impl Inner {
    async fn serve(self: Arc<Self>, mut peer: Peer) {
        let head = peer.head().await;
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let body = peer.read_exact(length.unwrap_or(0)).await;
        let jws: Value = serde_json::from_slice(&body).unwrap_or_default();
        let part = |name: &str| -> Value {
            let bytes = URL_SAFE_NO_PAD.decode(jws[name].as_str().unwrap_or_default()).expect("base64url");
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        let (header, payload) = (part("protected"), part("payload"));
        let scripted = {
            let mut state = self.state.lock().expect("state");
            state.asked.push((path.clone(), header.clone(), payload.clone()));
            let at = state.scripted.iter().position(|(below, _)| path.starts_with(&**below));
            at.and_then(|at| state.scripted.remove(at))
        };
        if let Some((_, answer)) = scripted {
            // Whoever stops reading what is too long has said enough.
            let _ = peer.try_send(&answer).await;
            return;
        }
        let (status, location, kind, body) = self.answer(&path, &header, &payload);
        let (length, location) =
            (body.len(), location.map_or(String::new(), |to| format!("Location: {}{to}\r\n", self.origin)));
        let answer = format!(
            "HTTP/1.1 {status} Yes\r\nReplay-Nonce: bm9uY2U\r\n{location}Retry-After: 0\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let _ = peer.try_send(answer.as_bytes()).await;
    }

    fn answer(self: &Arc<Self>, path: &str, header: &Value, payload: &Value) -> Said {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let number = |at: usize| parts.get(at).and_then(|part| part.parse::<usize>().ok()).unwrap_or(usize::MAX);
        let json = |status, location, body: Value| (status, location, "application/json", body.to_string());
        match parts[0] {
            "dir" => json(200, None, self.directory()),
            "nonce" => (200, None, "text/plain", String::new()),
            "account" => {
                if let Some(key) = header.get("jwk") {
                    self.state.lock().expect("state").thumbprint = thumbprint(key);
                }
                json(201, Some("/account/1".to_owned()), json!({ "status": "valid" }))
            }
            "new-order" => {
                let at = self.open(payload);
                json(201, Some(format!("/order/{at}")), self.order(at))
            }
            "order" => json(200, None, self.order(number(1))),
            "authorization" => json(200, None, self.authorization(number(1), number(2))),
            "challenge" => {
                let told = self.challenge(number(1), number(2), parts[3]);
                let (ca, at, name, over_tls) = (Arc::clone(self), number(1), number(2), parts[3] == "tls");
                tokio::spawn(async move { ca.look(at, name, over_tls).await });
                json(200, None, told)
            }
            "finalize" => {
                self.issue(number(1), payload);
                json(200, None, self.order(number(1)))
            }
            "certificate" => {
                let chain = self.state.lock().expect("state").orders[number(1)].chain.clone();
                (200, None, "application/pem-certificate-chain", chain.expect("made"))
            }
            "renewal" => json(200, None, self.renewal()),
            _ => json(404, None, Value::Null),
        }
    }

    fn directory(&self) -> Value {
        let at = |path: &str| format!("{}/{path}", self.origin);
        let mut directory =
            json!({ "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("new-order") });
        if self.state.lock().expect("state").renewal.is_some() {
            directory["renewalInfo"] = at("renewal").into();
        }
        directory
    }

    fn renewal(&self) -> Value {
        let told = |time: SystemTime| {
            let format = &time::format_description::well_known::Rfc3339;
            time::OffsetDateTime::from(time).format(format).expect("a time")
        };
        let (from, to) = self.state.lock().expect("state").renewal.expect("an opinion");
        json!({ "suggestedWindow": { "start": told(from), "end": told(to) } })
    }

    fn open(&self, payload: &Value) -> usize {
        let names = payload["identifiers"].as_array().expect("identifiers").iter();
        let names: Vec<String> = names.map(|name| name["value"].as_str().expect("a name").to_owned()).collect();
        let (looks, replaces) = (names.iter().map(|_| None).collect(), payload["replaces"].as_str().map(str::to_owned));
        let mut state = self.state.lock().expect("state");
        state.orders.push(Order { names, replaces, looks, chain: None });
        state.orders.len() - 1
    }

    fn order(&self, at: usize) -> Value {
        let state = self.state.lock().expect("state");
        let order = &state.orders[at];
        let status = match () {
            () if order.chain.is_some() => "valid",
            () if order.looks.iter().any(|look| matches!(look, Some(Err(_)))) => "invalid",
            () if order.looks.iter().all(|look| matches!(look, Some(Ok(())))) => "ready",
            () => "pending",
        };
        let authorizations: Vec<String> =
            (0..order.names.len()).map(|name| format!("{}/authorization/{at}/{name}", self.origin)).collect();
        let mut told = json!({
            "status": status, "authorizations": authorizations, "finalize": format!("{}/finalize/{at}", self.origin),
            "certificate": format!("{}/certificate/{at}", self.origin),
        });
        if let Some(replaces) = &order.replaces {
            told["replaces"] = replaces.clone().into();
        }
        told
    }

    fn authorization(&self, at: usize, name: usize) -> Value {
        let challenges = ["tls", "http"].map(|kind| self.challenge(at, name, kind));
        let identifier = self.state.lock().expect("state").orders[at].names[name].clone();
        let status = challenges[0]["status"].clone();
        json!({ "status": status, "identifier": { "type": "dns", "value": identifier }, "challenges": challenges })
    }

    fn challenge(&self, at: usize, name: usize, kind: &str) -> Value {
        let state = self.state.lock().expect("state");
        let mut told = json!({
            "type": if kind == "tls" { "tls-alpn-01" } else { "http-01" },
            "url": format!("{}/challenge/{at}/{name}/{kind}", self.origin),
            "token": token(at, name), "status": "pending",
        });
        match &state.orders[at].looks[name] {
            None => {}
            Some(Ok(())) => told["status"] = "valid".into(),
            Some(Err(why)) => {
                told["status"] = "invalid".into();
                told["error"] = json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": why });
            }
        }
        told
    }

    /// Looks at every place until one of them is right.
    async fn look(&self, at: usize, name: usize, over_tls: bool) {
        let mut places = self.places.subscribe();
        let places = places.wait_for(|places| !places.is_empty()).await.expect("the CA is there").clone();
        let (thumbprint, host) = {
            let state = self.state.lock().expect("state");
            (state.thumbprint.clone(), state.orders[at].names[name].clone())
        };
        let expected = format!("{}.{thumbprint}", token(at, name));
        let mut found = Err("nowhere to look".to_owned());
        for place in places {
            found = if over_tls {
                asked_tls(&place, &host, &expected).await
            } else {
                asked_http(&place, &host, &expected).await
            };
            if found.is_ok() {
                break;
            }
        }
        self.state.lock().expect("state").orders[at].looks[name] = Some(found);
    }

    fn issue(&self, at: usize, payload: &Value) {
        let request = URL_SAFE_NO_PAD.decode(payload["csr"].as_str().expect("a request")).expect("base64url");
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request));
        let mut request = request.expect("a request");
        let mut state = self.state.lock().expect("state");
        let names =
            state.orders[at].names.iter().map(|name| SanType::DnsName(name.as_str().try_into().expect("a name")));
        assert_eq!(request.params.subject_alt_names, names.collect::<Vec<_>>(), "RFC 8555 §7.4: the order's names");
        (request.params.not_before, request.params.not_after) =
            ((SystemTime::now() - DAY).into(), (SystemTime::now() + 89 * DAY).into());
        request.params.use_authority_key_identifier_extension = true;
        let made = match state.wrong {
            None => request.signed_by(&self.issuer.issuer()),
            Some(Wrong::Name) => {
                request.params.subject_alt_names = vec![SanType::DnsName("other.example".try_into().expect("a name"))];
                request.signed_by(&self.issuer.issuer())
            }
            Some(Wrong::Key) => {
                let params: CertificateParams = request.params;
                params.signed_by(&KeyPair::generate().expect("a key"), &self.issuer.issuer())
            }
        };
        state.orders[at].chain = Some(made.expect("a certificate").pem());
    }
}

fn token(at: usize, name: usize) -> String {
    format!("token_{at}-{name}")
}

/// RFC 7638 §3.
fn thumbprint(key: &Value) -> String {
    let canonical = format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, key["crv"], key["kty"], key["x"], key["y"]);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

/// RFC 8737 §3: what a CA looks for in a handshake.
async fn asked_tls(place: &str, host: &str, expected: &str) -> Result<(), String> {
    let mut config = ClientConfig::clone(&trust::anybody(trust::ANY, |_| ()));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(place).await.map_err(|error| format!("{place}: {error}"))?;
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
    let connection = stream.get_ref().1;
    if connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("it does not speak acme-tls/1".to_owned());
    }
    let certificates = connection.peer_certificates().unwrap_or_default();
    let (_, leaf) = X509Certificate::from_der(&certificates[0]).map_err(|error| error.to_string())?;
    let names = leaf.subject_alternative_name().ok().flatten().map(|names| format!("{:?}", names.value.general_names));
    let id = leaf.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    let digest = digest(&SHA256, expected.as_bytes());
    match id {
        Some(id) if id.critical && id.value == [&[4, 32], digest.as_ref()].concat() => {}
        _ => return Err("no acmeIdentifier, or another".to_owned()),
    }
    let wanted = format!("[DNSName({host:?})]");
    if names.as_ref() == Some(&wanted) { Ok(()) } else { Err(format!("it is for {names:?}")) }
}

/// RFC 8555 §8.3: and by a page.
async fn asked_http(place: &str, host: &str, expected: &str) -> Result<(), String> {
    let mut peer = Peer::connect(place).await;
    let token = expected.split('.').next().expect("a token");
    let path = format!("/.well-known/acme-challenge/{token}");
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let answer = peer.answer().await;
    if (answer.status, answer.body.trim_end()) == (200, expected) { Ok(()) } else { Err(format!("{answer:?}")) }
}
