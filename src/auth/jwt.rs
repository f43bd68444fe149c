//! A signed token (RFC 7519): which key it may be signed with, whether it is good now, and for how long.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Validation, decode};
use serde_json::{Map, Value};

use super::keys::{self, Key};
use super::token;
use crate::admission::credentials::TokenFault;
use crate::config::Problems;
use crate::config::auth::{Jwt, Keys, TokenPlace};

/// What tokens are judged by on one route.
pub(super) struct Judge {
    wishes: Jwt,
    keys: Vec<Key>,
}

/// A token that is good.
#[derive(Debug)]
pub(super) struct Good {
    claims: Map<String, Value>,
    /// For how long from now, the leeway included.
    pub(super) left: Duration,
}

impl Good {
    /// All that it claims.
    pub(super) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }
}

impl Judge {
    /// Reads the keys.
    ///
    /// # Errors
    /// What is wrong with their file.
    pub(super) fn new(wishes: &Jwt) -> Result<Self, Problems> {
        Ok(Self { wishes: wishes.clone(), keys: keys::read(wishes)? })
    }

    /// The rules it judges by.
    pub(super) const fn wishes(&self) -> &Jwt {
        &self.wishes
    }

    /// Looks for a request's token and judges it; tells where it stood.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(super) fn judge<'a>(
        &'a self,
        headers: &'a HeaderMap,
        target: &'a str,
    ) -> Result<(&'a TokenPlace, Good), TokenFault> {
        let (place, token) = token::find(&self.wishes.token, headers, target)?;
        Ok((place, self.check(&token)?))
    }

    fn check(&self, token: &str) -> Result<Good, TokenFault> {
        let head = head(token)?;
        let algorithm = head.get("alg").and_then(Value::as_str).ok_or(TokenFault::Malformed)?;
        let known = self.keys.iter().flat_map(|key| &key.algorithms).find(|known| name(**known) == algorithm);
        let algorithm = *known.ok_or(TokenFault::Algorithm)?;
        // RFC 7515 §4.1.11: what must be understood and is not makes the token invalid.
        if head.contains_key("crit") {
            return Err(TokenFault::Critical);
        }
        let key = self.key(algorithm, head.get("kid"))?;
        let read = decode::<Map<String, Value>>(token, &key.key, &self.validation(algorithm)).map_err(fault)?;
        let claims = read.claims;
        let required = |name: &String| claims.get(name).is_some_and(|claim| !claim.is_null());
        if !self.wishes.require.iter().all(required) {
            return Err(TokenFault::Claim);
        }
        let left = left(&claims, self.wishes.leeway)?;
        Ok(Good { claims, left })
    }

    /// In a set the token's `kid` chooses; a token without one is for a set that leaves no choice.
    fn key(&self, algorithm: Algorithm, kid: Option<&Value>) -> Result<&Key, TokenFault> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithms.contains(&algorithm));
        match (&self.wishes.keys, kid) {
            (Keys::Secret(_) | Keys::Public(_), _) => fitting.next().ok_or(TokenFault::Key),
            (Keys::Set(_), Some(kid)) => fitting.find(|key| key.kid.as_deref() == kid.as_str()).ok_or(TokenFault::Key),
            (Keys::Set(_), None) => match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                _ => Err(TokenFault::Key),
            },
        }
    }

    /// Whatever is wished for must be there as well: the crate would let a claim pass that is absent, or no text.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let Jwt { issuer, audience, leeway, .. } = &self.wishes;
        let mut validation = Validation::new(algorithm);
        // In whole seconds; what `exp` is worth is looked at more closely by `left`.
        validation.leeway = leeway.as_secs() + u64::from(leeway.subsec_nanos() > 0);
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if !issuer.is_empty() {
            validation.set_issuer(issuer);
            required.push("iss");
        }
        if !audience.is_empty() {
            validation.set_audience(audience);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// The headers that the chosen claims become; a claim that is not there becomes none.
    ///
    /// # Errors
    /// A claim that does not fit.
    pub(super) fn headers(&self, good: &Good) -> Result<Vec<(String, HeaderValue)>, TokenFault> {
        let mut headers = Vec::new();
        for (name, claim) in &self.wishes.claims {
            if let Some(value) = good.claims.get(claim).filter(|value| !value.is_null()) {
                headers.push((name.clone(), header(value).ok_or(TokenFault::Unsafe)?));
            }
        }
        Ok(headers)
    }
}

/// A token's own header. Only a lookup is made of it: nothing in it is believed.
fn head(token: &str) -> Result<Map<String, Value>, TokenFault> {
    let mut parts = token.split('.');
    let (Some(head), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(TokenFault::Malformed);
    };
    let bytes = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenFault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenFault::Malformed)
}

fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

/// RFC 7519 §4.1.4: on or after `exp` the token must not be accepted, but for the leeway.
fn left(claims: &Map<String, Value>, leeway: Duration) -> Result<Duration, TokenFault> {
    let expires = claims.get("exp").and_then(Value::as_f64).ok_or(TokenFault::Claim)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| TokenFault::Expired)?;
    let left = expires + leeway.as_secs_f64() - now.as_secs_f64();
    if left > 0.0 { Ok(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX)) } else { Err(TokenFault::Expired) }
}

fn fault(error: Error) -> TokenFault {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => TokenFault::Algorithm,
        ErrorKind::ExpiredSignature => TokenFault::Expired,
        ErrorKind::ImmatureSignature => TokenFault::NotYet,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => TokenFault::Claim,
        _ => TokenFault::Malformed,
    }
}

/// A claim as a header's value: text, a number, a switch, or a list of these.
///
/// Nothing that ends the line (RFC 9110 §5.5), no space at either end, which readers take away, and no comma in a list's
/// elements: another value than the token's could come of it.
fn header(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::Array(items) => {
            let items: Option<Vec<_>> =
                items.iter().map(|item| plain(item).filter(|item| !item.is_empty() && !item.contains(','))).collect();
            Cow::Owned(items?.join(","))
        }
        value => plain(value)?,
    };
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

fn plain(value: &Value) -> Option<Cow<'_, str>> {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Bool(flag) => Cow::Owned(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.trim() == text && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests;
