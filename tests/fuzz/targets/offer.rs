//! Any method, version and headers: an offer that is accepted keeps what its type promises.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use wsgate::wire::offer::Offer;

/// Names that matter; the others are as they come.
const NAMES: [&str; 8] = [
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "content-length",
    "transfer-encoding",
];

#[derive(Arbitrary, Debug)]
struct Request {
    method: Vec<u8>,
    is_get: bool,
    is_old: bool,
    /// Start from a sound request, or from nothing.
    is_sound: bool,
    headers: Vec<(u8, Vec<u8>)>,
}

fn headers(request: &Request) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if request.is_sound {
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        headers.insert("connection", HeaderValue::from_static("Upgrade"));
        headers.insert("sec-websocket-key", HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    }
    for (name, value) in &request.headers {
        let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    headers
}

fuzz_target!(|request: Request| {
    let method = if request.is_get { Method::GET } else { Method::from_bytes(&request.method).unwrap_or(Method::POST) };
    let version = if request.is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    match Offer::check(&method, version, &headers(&request)) {
        Ok(offer) => {
            assert!(method == Method::GET && !request.is_old);
            assert_eq!(offer.accept.len(), 28);
            for (at, protocol) in offer.protocols.iter().enumerate() {
                assert!(!protocol.is_empty() && protocol.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
                assert!(!offer.protocols[..at].contains(protocol));
            }
            assert!(offer.extensions.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)));
        }
        Err(malformed) => assert!(malformed.status().is_client_error() && !malformed.line().is_empty()),
    }
});
