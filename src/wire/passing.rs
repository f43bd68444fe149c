//! What of an ordinary request goes on to a backend, and what of its answer to the client (RFC 9110 §7.6).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::head::{Forwarded, check_passed};
use super::offer::elements;

/// Names that mean one hop alone, whether Connection names them or not (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
];

/// The headers of a request on their way to a backend: the client's own, but for those of one hop, those that the
/// gateway writes itself, and those whose names servers could take for one of them. What is `vouched` for takes the
/// place of a client's lines of that name.
///
/// There is no Via (RFC 9110 §7.6.3): servers that see one compress nothing.
#[must_use]
pub fn request(client: &HeaderMap, forwarded: &Forwarded<'_>, vouched: &[(String, HeaderValue)]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(client.len() + 6 + vouched.len());
    let host = client.get(header::HOST).cloned();
    // RFC 9112 §3.2: one without a value, where nothing is known of it.
    headers.insert(header::HOST, host.unwrap_or_else(|| HeaderValue::from_static("")));
    let named: Vec<&[u8]> = elements(client, &header::CONNECTION).collect();
    let is_named = |name: &str| named.iter().any(|element| element.eq_ignore_ascii_case(name.as_bytes()));
    for (name, value) in client {
        if goes_on(name.as_str()) && !is_named(name.as_str()) && !is_vouched(name.as_str(), vouched) {
            headers.append(name, value.clone());
        }
    }
    // The gate has seen that there is one of the two at most, and only once.
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        if let Some(value) = client.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let told = forwarded.lines();
    let told = told.iter().filter_map(|(name, value)| Some((*name, HeaderValue::from_str(value).ok()?)));
    let vouched = vouched.iter().map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in told.chain(vouched) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.insert(name, value);
        }
    }
    headers
}

/// What CGI makes a variable of another's name must not pass: `Proxy` becomes HTTP_PROXY, which programs take for
/// the proxy that they are to use.
fn goes_on(name: &str) -> bool {
    check_passed(name).is_ok() && !name.eq_ignore_ascii_case("proxy")
}

/// Underscores count as dashes, as they do for servers that turn names into variables.
fn is_vouched(name: &str, vouched: &[(String, HeaderValue)]) -> bool {
    let alike = |one: u8, other: u8| {
        let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        dashed(one) == dashed(other)
    };
    let is_like = |other: &str| other.len() == name.len() && other.bytes().zip(name.bytes()).all(|(a, b)| alike(a, b));
    vouched.iter().any(|(other, _)| is_like(other))
}

/// Why an answer cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// Its body is in a transfer coding other than `chunked` (RFC 9112 §7).
    Coding,
}

/// Takes from an answer's headers what means one hop alone.
///
/// # Errors
/// It cannot be passed on without them.
pub fn answer(headers: &mut HeaderMap) -> Result<(), Unsound> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let codings: Vec<&[u8]> = elements(headers, &header::TRANSFER_ENCODING).collect();
        if !matches!(codings[..], [one] if one.eq_ignore_ascii_case(b"chunked")) {
            return Err(Unsound::Coding);
        }
        // RFC 9112 §6.3: the coding overrides the length, which then must not go on.
        headers.remove(header::CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> =
        elements(headers, &header::CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    // RFC 9110 §8.6: several equal ones are read as one, and written so.
    if let Some(length) = headers.get(header::CONTENT_LENGTH).cloned() {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn text(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    fn passed(lines: &[(&'static str, &'static str)], vouched: &[(String, HeaderValue)]) -> Vec<String> {
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        let forwarded = Forwarded { client, chain: None, peer: client, secure: true, host: "a.example" };
        let mut passed = text(&request(&headers(lines), &forwarded, vouched));
        passed.retain(|line| !line.starts_with("x-forwarded") && !line.starts_with("forwarded"));
        passed
    }

    #[test]
    fn rfc9110_7_6_1_what_means_one_hop_stays() {
        let client = [
            ("host", "a.example"),
            ("connection", "keep-alive, X-Mine"),
            ("connection", "cookie2"),
            ("x-mine", "1"),
            ("cookie2", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("trailer", "X-Sum"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("expect", "100-continue"),
            ("accept", "a"),
            ("accept", "b"),
            ("cookie", "a=b"),
            ("content-length", "3"),
        ];
        assert_eq!(
            passed(&client, &[]),
            ["host: a.example", "accept: a", "accept: b", "cookie: a=b", "content-length: 3", "x-real-ip: 192.0.2.7"]
        );
    }

    #[test]
    fn nobody_speaks_for_the_gateway() {
        let client = [
            ("host", "a.example"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded-port", "1"),
            ("x_real_ip", "6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("proxy", "http://evil.example"),
            ("x_user", "root"),
            ("x-user", "root"),
            ("content_length", "7"),
        ];
        let vouched = [("X-User".to_owned(), HeaderValue::from_static("anna"))];
        assert_eq!(passed(&client, &vouched), ["host: a.example", "x-real-ip: 192.0.2.7", "x-user: anna"]);
        assert_eq!(passed(&[], &[])[0], "host: ");
    }

    #[test]
    fn an_answer_loses_its_hop_too() {
        let mut good = headers(&[
            ("connection", "close, x-own"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("set-cookie", "a=b"),
            ("set-cookie", "c=d"),
            ("content-length", "3"),
            ("content-length", "3"),
        ]);
        assert_eq!(answer(&mut good), Ok(()));
        assert_eq!(text(&good), ["set-cookie: a=b", "set-cookie: c=d", "content-length: 3"]);
        let mut both = headers(&[("transfer-encoding", "Chunked"), ("content-length", "3")]);
        assert_eq!((answer(&mut both), both.len()), (Ok(()), 0));
        for coding in ["gzip, chunked", "gzip", "chunked, chunked"] {
            assert_eq!(answer(&mut headers(&[("transfer-encoding", coding)])), Err(Unsound::Coding), "{coding}");
        }
    }
}
