//! Who may open a WebSocket on a route: a token that is checked here, or the word of a server that is asked.

use std::path::PathBuf;
use std::time::Duration;

use super::Transport;

/// How a client shows that it may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By a signed token (RFC 7519).
    Jwt(Jwt),
    /// By the answer of a server that sees the client's credentials.
    Request(AuthRequest),
}

/// A token's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// What a token may be signed with; at least one, and either all by a secret or all by key pairs.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub keys: Keys,
    /// Who may have issued it; empty: anyone who has the key.
    pub issuer: Vec<String>,
    /// For whom it may be; empty: a token that names somebody is for somebody else (RFC 7519 §4.1.3).
    pub audience: Vec<String>,
    /// How far the clocks may be apart.
    pub leeway: Duration,
    /// Claims that must be there, beyond `exp`.
    pub require: Vec<String>,
    /// Where it is looked for, in this order; at least one.
    pub token: Vec<TokenPlace>,
    /// Whether the backend does not get to see it.
    pub strip: bool,
    /// Headers for the backend and the claim that each is made of, in the order of their names.
    pub claims: Vec<(String, String)>,
}

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the registry's
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// All, by the name that a token has for each.
    pub const ALL: [(&'static str, Self); 12] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// Bytes that a shared secret must have (RFC 7518 §3.2); `None` where keys come in pairs.
    #[must_use]
    pub fn secret_size(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => None,
            Self::Es256 | Self::Es384 | Self::EdDsa => None,
        }
    }
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A shared secret: the bytes of this file.
    Secret(PathBuf),
    /// One public key: a PEM file.
    Public(PathBuf),
    /// Public keys by their `kid`: a JWK set (RFC 7517 §5).
    Set(PathBuf),
}

/// Where a token stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// `Authorization: Bearer TOKEN` (RFC 6750 §2.1).
    Header,
    /// The cookie of this name.
    Cookie(String),
    /// The query parameter of this name (RFC 6750 §2.3).
    Query(String),
    /// `Sec-WebSocket-Protocol: bearer, TOKEN`: the only place that a browser's script can put it into.
    Subprotocol,
}

/// A server that is asked before a WebSocket is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// As the owner wrote it; how logs name it.
    pub url: String,
    /// How it is reached.
    pub transport: Transport,
    /// The Host it is asked for.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// PEM file of the CAs that an `https://` server is checked against; absent: the public roots.
    pub ca: Option<PathBuf>,
    /// From connecting to its whole answer.
    pub timeout: Duration,
    /// Headers of its answer that the backend gets.
    pub headers: Vec<String>,
    /// How long an answer is remembered; `None`: not at all.
    pub cache: Option<Duration>,
    /// Answers that are remembered at most.
    pub cache_entries: usize,
    /// Whether refusals are remembered as well.
    pub cache_refusals: bool,
    /// Questions at once.
    pub at_once: usize,
    /// Connections that wait for the next question at most; 0: each question has its own.
    pub idle_connections: usize,
    /// What becomes of a client when the server does not answer as it should.
    pub on_error: OnError,
}

/// What becomes of a client when nobody can say whether it may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is refused with 503.
    Refuse,
    /// It comes in, without the headers that the server would have given.
    Allow,
}
