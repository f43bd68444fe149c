//! Answers as they are written: a line of text, the page, a redirect, the 101.

use std::borrow::Cow;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Bytes;

use crate::courier::Passed;
use crate::hub::page;

/// Of one piece, or as it comes from a backend.
pub(super) type Answer = Response<Either<Full<Bytes>, Box<Passed>>>;

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

pub(super) fn redirect(to: &str) -> Answer {
    let mut answer = text(StatusCode::FOUND, format!("see {to}\n"));
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(header::LOCATION, to);
    }
    answer
}

pub(super) fn show(asset: page::Asset) -> Answer {
    let body = match asset.body {
        Cow::Borrowed(body) => Bytes::from_static(body.as_bytes()),
        Cow::Owned(body) => Bytes::from(body),
    };
    let mut answer = text(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // The page is part of the binary: another version must not meet this one's script.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// RFC 6455 §4.2.2.
pub(super) fn switch(accept: &str, protocol: Option<&str>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for (name, value) in [(header::SEC_WEBSOCKET_ACCEPT, Some(accept)), (header::SEC_WEBSOCKET_PROTOCOL, protocol)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    answer
}

/// RFC 9110 §7.8: an answer with an Upgrade has to name it in Connection, whatever else stands there.
pub(super) fn close_after(answer: &mut Answer) {
    let upgrade = answer.headers().contains_key(header::UPGRADE);
    let options = HeaderValue::from_static(if upgrade { "close, Upgrade" } else { "close" });
    answer.headers_mut().insert(header::CONNECTION, options);
}
