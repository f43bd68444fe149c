//! Plain HTTP where nothing but the way to https is told, and ACME's questions are answered.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, header, request};

use super::reply::{Answer, text};
use crate::admission::refusal::Refusal;
use crate::config::ToHttps;
use crate::route::bare_host;
use crate::tls::Challenges;
use crate::wire::request_head::HeadError;

/// RFC 8555 §8.3: where the answers to ACME's questions are looked for, always in plain HTTP at first.
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// Bytes of such an answer: a token and a thumbprint have less than 200.
const CHALLENGE_MAX: u64 = 4096;
/// RFC 8555 §8.3: tokens are base64url; more than so many characters nobody makes.
const TOKEN_MAX: usize = 128;

/// What a request on such a listener gets: the same place on https, be it a page or a WebSocket.
///
/// # Errors
/// It names no host, or a place that cannot be.
pub(super) fn answer(
    wishes: &ToHttps,
    head: &request::Parts,
    challenges: Option<&Challenges>,
) -> Result<Answer, Refusal> {
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if let (true, Some(token)) = (reads, token(head.uri.path())) {
        let own = challenges.and_then(|challenges| challenges.page(token));
        if let Some(said) = own {
            return Ok(text(StatusCode::OK, said));
        }
        if let Some(webroot) = &wishes.acme_webroot {
            return challenge(webroot, token).map(|said| text(StatusCode::OK, said)).ok_or(Refusal::NoRoute);
        }
    }
    if !target.starts_with('/') {
        return Err(Refusal::NoRoute);
    }
    // RFC 9112 §3.2.2: a target in absolute-form has the same Host.
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(bare_host);
    let host = host.filter(|host| !host.is_empty()).ok_or(Refusal::Head(HeadError::NoHost))?;
    let port = if wishes.port == 443 { String::new() } else { format!(":{}", wishes.port) };
    let to = format!("https://{host}{port}{target}");
    // RFC 9110 §15.4.9: with 308 the method stays. The older 301 is known to every client, and changes nothing of a GET.
    let status = if reads { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
    let mut answer = text(status, format!("see {to}\n"));
    let to = HeaderValue::from_str(&to).map_err(|_| Refusal::NoRoute)?;
    answer.headers_mut().insert(header::LOCATION, to);
    Ok(answer)
}

/// The token that is asked for: of letters that lead nowhere else.
fn token(path: &str) -> Option<&str> {
    let token = path.strip_prefix(CHALLENGES)?;
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    ((1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(is_base64url)).then_some(token)
}

/// What another ACME client has left for this token.
fn challenge(webroot: &Path, token: &str) -> Option<Vec<u8>> {
    let path = webroot.join(&CHALLENGES[1..]).join(token);
    let mut said = Vec::new();
    // A few hundred bytes, seldom asked for: not worth another thread.
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))?;
    file.take(CHALLENGE_MAX).read_to_end(&mut said).ok()?;
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_lead_nowhere_else() {
        assert_eq!(token("/.well-known/acme-challenge/aZ0-_"), Some("aZ0-_"));
        for path in ["", "..", "a/b", "a.b", "%61", "a\\b", &"a".repeat(129)] {
            assert_eq!(token(&format!("{CHALLENGES}{path}")), None, "{path}");
        }
        assert_eq!(token("/acme-challenge/a"), None);
    }
}
