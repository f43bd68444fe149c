//! How the CA is spoken with: each question on a connection of its own, with bounds for the answer's size and time.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;

use crate::client::lines::{self, Lines};
use crate::client::{self, Trust};
use crate::config::Transport;
use crate::lifecycle::clock::timeout;

/// How long a CA may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer: a chain of a few certificates, or a directory.
const ANSWER: usize = 256 * 1024;

/// Speaks with one CA.
#[derive(Clone)]
pub(super) struct Http(Arc<Inner>);

struct Inner {
    trust: Trust,
    /// What a CA that was asked too often wanted (RFC 8555 §6.6).
    wait: Mutex<Option<Duration>>,
}

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// Why an answer is none.
#[derive(Debug)]
enum Unanswered {
    Url(String),
    Connect(String, io::Error),
    Http(hyper::Error),
    Unread(Box<dyn std::error::Error + Send + Sync>),
    Status(StatusCode),
    Late,
}

impl Http {
    pub(super) fn new(trust: Trust) -> Self {
        Self(Arc::new(Inner { trust, wait: Mutex::default() }))
    }

    /// How long the CA wants to be left alone, if it has said so.
    pub(super) fn said_when(&self) -> Option<Duration> {
        *self.0.wait.lock()
    }
}

impl HttpClient for Http {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let asked = timeout(PATIENCE, inner.ask(request)).await.unwrap_or(Err(Unanswered::Late));
            Ok(asked.map_err(|why| Error::Other(Box::new(why)))?.into())
        })
    }
}

impl Inner {
    async fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, Unanswered> {
        let (mut head, body) = request.into_parts();
        let (host, port) = place(&head.uri)?;
        let authority = head.uri.authority().map_or("", |authority| authority.as_str());
        let authority = HeaderValue::from_str(authority).map_err(|_| Unanswered::Url(head.uri.to_string()))?;
        head.headers.insert(HOST, authority);
        // What is asked here changes something: nobody could tell whether it may be asked again on another connection.
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        head.uri = head.uri.path_and_query().and_then(|target| target.as_str().parse().ok()).unwrap_or_default();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let connect = async || {
            let transport = Transport::Wss(host.clone(), port);
            client::connect(&transport, &self.trust).await.map_err(|error| Unanswered::Connect(host.clone(), error))
        };
        let read = async |answer: Response<hyper::body::Incoming>| {
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER).collect().await.map_err(Unanswered::Unread)?.to_bytes();
            Ok(((head, body), None))
        };
        let question = Request::from_parts(head, Full::from(body));
        let (head, body) = Lines::new(0).put(question, PATIENCE, connect, read).await?;
        self.judge(head.status, &head.headers)?;
        Ok(Response::from_parts(head, Full::from(body)))
    }

    /// RFC 8555 §6.7: what is no success has to be a problem document. It is not said that a CA may send anybody elsewhere.
    fn judge(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Unanswered> {
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            *self.wait.lock() = retry_after(headers, SystemTime::now());
        }
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        match status.is_success() || kind.starts_with(b"application/problem+json") {
            true => Ok(()),
            false => Err(Unanswered::Status(status)),
        }
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let until = || httpdate::parse_http_date(text).ok()?.duration_since(now).ok();
    text.parse().ok().map(Duration::from_secs).or_else(until)
}

/// RFC 8555 §6.1: nothing but https.
fn place(url: &Uri) -> Result<(String, u16), Unanswered> {
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(host)) => Ok((host.trim_matches(['[', ']']).to_owned(), url.port_u16().unwrap_or(443))),
        _ => Err(Unanswered::Url(url.to_string())),
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url:?} is no place to ask"),
            Self::Connect(host, error) => write!(f, "{host} cannot be connected to: {error}"),
            Self::Http(error) => write!(f, "no answer that can be understood: {error}"),
            Self::Unread(error) => write!(f, "its answer cannot be read: {error}"),
            Self::Status(status) => write!(f, "status {} without a reason", status.as_u16()),
            Self::Late => f.write_str("no answer in time"),
        }
    }
}

impl std::error::Error for Unanswered {}

impl From<hyper::Error> for Unanswered {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl lines::Failure for Unanswered {
    /// Nothing is asked twice.
    fn is_no_answer(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_that_wants_patience_says_so_in_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let of = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]), now)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        for text in ["", "soon", "-1", "Sun, 06 Nov 1994 08:49:36 GMT"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_asked_in_the_clear() {
        assert_eq!(place(&Uri::from_static("https://[::1]:14000/dir")).expect("https"), ("::1".to_owned(), 14000));
        assert_eq!(place(&Uri::from_static("https://ca.example/")).expect("https"), ("ca.example".to_owned(), 443));
        for url in ["http://ca.example/", "/dir", "ca.example:443"] {
            assert!(place(&Uri::from_static(url)).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_no_problem_document_is_told_by_its_status() {
        let http = Http::new(Trust::public());
        let problem = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/problem+json; charset=utf-8")),
            (RETRY_AFTER, HeaderValue::from_static("7")),
        ]);
        http.0.judge(StatusCode::FORBIDDEN, &problem).expect("a problem");
        assert_eq!(http.said_when(), None);
        http.0.judge(StatusCode::TOO_MANY_REQUESTS, &problem).expect("a problem");
        assert_eq!(http.said_when(), Some(Duration::from_secs(7)));
        for status in [StatusCode::BAD_GATEWAY, StatusCode::FOUND] {
            http.0.judge(status, &HeaderMap::new()).expect_err("no reason");
        }
    }
}
