//! Who may open a WebSocket on a route, for backends that cannot ask: a token is judged, or somebody is asked.

mod cache;
mod failure;
mod flights;
mod jwt;
mod keys;
mod request;
mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use self::jwt::Judge;
pub(crate) use self::request::No;
use self::request::{Server, Word};
use crate::admission::credentials::TokenFault;
use crate::admission::refusal::Refusal;
use crate::config::auth::{Auth, TokenPlace};
use crate::config::{Problem, Problems};
use crate::wire::head::Forwarded;

/// Who stands before one route.
pub(crate) struct Guard(Kind);

enum Kind {
    Jwt(Judge),
    /// Which a client waits for so long at most until it is asked.
    Request(Arc<Server>, Duration),
}

/// A request that asks to be let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Path and query.
    pub target: &'a str,
    /// What is said of the client.
    pub forwarded: Forwarded<'a>,
}

/// What comes of being let in.
#[derive(Debug)]
pub(crate) struct Pass {
    /// The headers that the backend may see.
    pub headers: HeaderMap,
    /// Path and query that the backend may see.
    pub target: String,
    /// What the backend is told of the client, by name and value.
    pub vouched: Vec<(String, HeaderValue)>,
    /// Offered subprotocols that are none, and must not be chosen.
    pub unchosen: Vec<String>,
    /// The subprotocol to answer with when no other is chosen: who offers some expects one (RFC 6455 §4.1).
    pub protocol: Option<&'static str>,
    /// When the credentials are over.
    pub until: Option<Instant>,
    /// What the token claims; nothing where there is none.
    claims: Map<String, Value>,
}

/// What comes of not being let in.
#[derive(Debug)]
pub(crate) enum Denied {
    /// Refused by this gateway.
    Refused(Refusal),
    /// Refused by the server that was asked.
    Answered(No),
}

impl Guard {
    /// What these wishes ask for; files are read. A client waits for `patience` at most until a server is asked. One
    /// that is asked as `before` goes on with what is remembered of it, and with its connections.
    ///
    /// # Errors
    /// What is wrong with the files; the key of these problems begins with `key`.
    pub(crate) fn build(wishes: &Auth, patience: Duration, key: &str, before: Option<&Self>) -> Result<Self, Problems> {
        let known = before.and_then(|before| match &before.0 {
            Kind::Request(server, _) => Some(server),
            Kind::Jwt(_) => None,
        });
        let named = |problem: Problem| Problem { key: format!("{key}.{}", problem.key), ..problem };
        let built = match wishes {
            Auth::Jwt(wishes) => Judge::new(wishes).map(Kind::Jwt),
            Auth::Request(wishes) => Server::new(wishes, known).map(|server| Kind::Request(server, patience)),
        };
        built.map(Self).map_err(|problems| Problems(problems.0.into_iter().map(named).collect()))
    }

    /// Ends connections to a server that were not needed for long.
    pub(crate) fn sweep(&self, now: Instant) {
        match &self.0 {
            Kind::Jwt(_) => {}
            Kind::Request(server, _) => server.sweep(now),
        }
    }

    /// Decides about one visit. Cancel safe: a dropped future gives its place back.
    ///
    /// # Errors
    /// Why it may not come in.
    pub(crate) async fn check(&self, visit: &Visit<'_>) -> Result<Pass, Denied> {
        match &self.0 {
            Kind::Jwt(judge) => judge_token(judge, visit).map_err(|fault| Denied::Refused(Refusal::Token(fault))),
            Kind::Request(server, patience) => match server.decide(visit, *patience).await {
                Ok(Word::Yes(vouched)) => Ok(vouched_for(server, visit, vouched)),
                Ok(Word::No(no)) => Err(Denied::Answered(no)),
                Err(refusal) => Err(Denied::Refused(refusal)),
            },
        }
    }
}

fn judge_token(judge: &Judge, visit: &Visit<'_>) -> Result<Pass, TokenFault> {
    let wishes = judge.wishes();
    let (place, good) = judge.judge(visit.headers, visit.target)?;
    let vouched = judge.headers(&good)?;
    let mut headers = visit.headers.clone();
    // What stands elsewhere was not judged: the backend must not take it for what was.
    let hidden = wishes.token.iter().filter(|other| wishes.strip || *other != place);
    let hidden: Vec<TokenPlace> = hidden.cloned().collect();
    let unchosen = token::unchosen(&wishes.token, &headers, hidden.contains(&TokenPlace::Subprotocol));
    let target = token::strip(&hidden, &mut headers, visit.target);
    // Whether or not the token has the claim: a client's own word must not be taken for it.
    drop_all(&mut headers, wishes.claims.iter().map(|(name, _)| name));
    // A token that never ends, as far as this clock can tell, is left to its session's own limits.
    let until = Instant::now().checked_add(good.left);
    let protocol = (!unchosen.is_empty()).then_some(token::BEARER);
    Ok(Pass { headers, target, vouched, unchosen, protocol, until, claims: good.into_claims() })
}

fn vouched_for(server: &Server, visit: &Visit<'_>, vouched: Vec<(String, HeaderValue)>) -> Pass {
    let mut headers = visit.headers.clone();
    drop_all(&mut headers, server.headers().iter());
    let target = visit.target.to_owned();
    Pass { headers, target, vouched, unchosen: Vec::new(), protocol: None, until: None, claims: Map::new() }
}

fn drop_all<'a>(headers: &mut HeaderMap, names: impl Iterator<Item = &'a String>) {
    for name in names {
        headers.remove(name.as_str());
    }
}

impl Pass {
    /// How long the credentials are still good; `None` when they have no end.
    #[must_use]
    pub(crate) fn left(&self) -> Option<Duration> {
        Some(self.until?.saturating_duration_since(Instant::now()))
    }

    /// The text of a claim; an empty one when it is there and is no text.
    #[must_use]
    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).map(|claim| claim.as_str().unwrap_or_default())
    }

    /// The texts of a claim that is a list of them, or one; what is no text is left out. Nothing when there is no such
    /// claim, and an empty list when it is something else.
    #[must_use]
    pub(crate) fn texts(&self, claim: &str) -> Option<Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let claim = self.claims.get(claim)?;
        Some(
            claim
                .as_array()
                .map_or_else(|| text(claim).into_iter().collect(), |all| all.iter().filter_map(text).collect()),
        )
    }

    /// Whether a claim is `true`.
    #[must_use]
    pub(crate) fn is_true(&self, claim: &str) -> bool {
        self.claims.get(claim) == Some(&Value::Bool(true))
    }
}
