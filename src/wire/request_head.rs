//! The raw check of a client's HTTP/1 request head, before any parser that forgives more gets to see it.

mod error;

pub use self::error::HeadError;

use std::net::Ipv6Addr;
use std::str::FromStr;

use httparse::{Header, Status};
use memchr::{memchr, memchr_iter};

use super::chunked::Framing;
use super::offer::is_tchar;

/// Header lines that one head may have.
pub const MAX_HEADERS: usize = 100;

/// Bytes that a method may have; the longest registered one (`UPDATEREDIRECTREF`) has 17.
const MAX_METHOD: usize = 24;

/// What the first bytes of a connection look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// A method and the space behind it (RFC 9112 §3).
    Http,
    /// Something else, such as a TLS ClientHello on a plain port.
    NotHttp,
    /// Too few bytes to tell.
    Undecided,
}

/// What a sound head says that matters before it is parsed in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whether there is an `Upgrade` header, for whatever protocol (RFC 9110 §7.8).
    pub upgrade: bool,
    /// How the content is framed that follows: a `Content-Length` above 0 or a `Transfer-Encoding` (RFC 9112 §6.3).
    pub body: Option<Framing>,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: http::Version,
}

/// Finds the end of the head: the index behind its empty line. The first `from` bytes are those an earlier call has
/// already searched in vain.
///
/// RFC 9112 §2.1 ends a head with CRLF CRLF. A lenient parser behind us would also take bare line feeds; they end the
/// head here too, so that [`check`] can refuse them at once instead of letting the client wait for its deadline.
#[must_use]
pub fn find_end(buf: &[u8], from: usize) -> Option<usize> {
    let start = from.saturating_sub(2);
    memchr_iter(b'\n', buf.get(start..)?).find_map(|at| {
        let next = start + at + 1;
        match buf.get(next..)? {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

/// Tells from a connection's first bytes whether it can become an HTTP/1 request (RFC 9112 §3: `method SP`).
#[must_use]
pub fn sniff(first: &[u8]) -> Sniff {
    let rest = if first == b"\r" { &[] } else { behind_empty_line(first) };
    let end = rest.iter().position(|byte| !is_tchar(*byte)).unwrap_or(rest.len());
    match rest.get(end) {
        Some(b' ') if (1..=MAX_METHOD).contains(&end) => Sniff::Http,
        None if end <= MAX_METHOD => Sniff::Undecided,
        Some(_) | None => Sniff::NotHttp,
    }
}

/// Checks a whole head, its empty line included.
///
/// # Errors
/// The first thing that is wrong with it. What smuggles requests past one of two parsers is refused, never repaired
/// (RFC 9112 §11.2).
pub fn check(head: &[u8]) -> Result<Summary, HeadError> {
    if sniff(head) != Sniff::Http {
        return Err(HeadError::NotHttp);
    }
    let head = behind_empty_line(head);
    if head.starts_with(b"PRI * HTTP/2.0\r\n") {
        return Err(HeadError::Http2);
    }
    check_bytes(head)?;
    check_lines(head)?;
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut slots);
    match request.parse(head) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(Status::Complete(_) | Status::Partial) => return Err(HeadError::NotHttp),
        Err(error) => return Err(from_parser(error)),
    }
    let version = if request.version == Some(1) { http::Version::HTTP_11 } else { http::Version::HTTP_10 };
    check_host(request.headers, version)?;
    let body = check_length(request.headers, version)?;
    Ok(Summary { upgrade: values(request.headers, "upgrade").next().is_some(), body, version })
}

/// RFC 9112 §2.2: a server should ignore an empty line before the request line; one, as some old clients send it.
fn behind_empty_line(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\r\n").unwrap_or(head)
}

/// RFC 9110 §5.5: CR, LF and NUL inside a field are dangerous; RFC 9112 §2.2: a bare CR is invalid.
fn check_bytes(head: &[u8]) -> Result<(), HeadError> {
    if memchr(0, head).is_some() {
        return Err(HeadError::Nul);
    }
    if memchr_iter(b'\r', head).any(|at| head.get(at + 1) != Some(&b'\n')) {
        return Err(HeadError::BareCr);
    }
    if memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r') {
        return Err(HeadError::BareLf);
    }
    Ok(())
}

/// What is named here, a forgiving parser would repair in silence, or report without its name.
fn check_lines(head: &[u8]) -> Result<(), HeadError> {
    let lines = head.split(|byte| *byte == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for (count, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        // RFC 9112 §5.2: obs-fold outside message/http is answered with 400.
        if matches!(line[0], b' ' | b'\t') {
            return Err(HeadError::ObsFold);
        }
        if count >= MAX_HEADERS {
            return Err(HeadError::TooManyHeaders);
        }
        let colon = memchr(b':', line).ok_or(HeadError::BadField)?;
        // RFC 9112 §5.1: white space between name and colon MUST be answered with 400.
        if matches!(line[..colon], [.., b' ' | b'\t']) {
            return Err(HeadError::SpaceBeforeColon);
        }
    }
    Ok(())
}

fn from_parser(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HeadError::BadField,
        httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
        httparse::Error::Version => HeadError::Version,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => HeadError::NotHttp,
    }
}

fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
}

/// RFC 9112 §3.2: 400 for an HTTP/1.1 request without Host, and for any request with two or an invalid one.
fn check_host(headers: &[Header<'_>], version: http::Version) -> Result<(), HeadError> {
    let mut hosts = values(headers, "host");
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(HeadError::TwoHosts),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(HeadError::BadHost),
        (None, None) if version == http::Version::HTTP_11 => Err(HeadError::NoHost),
        (None, None) => Ok(()),
    }
}

/// RFC 9110 §7.2: `uri-host [ ":" port ]`. Of RFC 3986's reg-name only what names on the network have is let through.
fn is_host(value: &[u8]) -> bool {
    let Ok(value) = str::from_utf8(value) else { return false };
    let (name_is_good, port) = match value.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, port)) => (Ipv6Addr::from_str(address).is_ok(), port),
        None => {
            let (name, port) = value.split_at(value.find(':').unwrap_or(value.len()));
            (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)), port)
        }
    };
    name_is_good && is_port(port)
}

/// Nothing, or a colon and a port; RFC 3986 §3.2.3 allows the port behind the colon to be empty.
fn is_port(port: &str) -> bool {
    match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    }
}

/// RFC 9112 §6.1 and §6.3: whether content follows, and that there is one opinion only about its length.
fn check_length(headers: &[Header<'_>], version: http::Version) -> Result<Option<Framing>, HeadError> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut lengths = values(headers, "content-length");
    let mut codings = values(headers, "transfer-encoding");
    match (lengths.next(), lengths.next(), codings.next(), codings.next()) {
        (_, Some(_), _, _) => Err(HeadError::TwoLengths),
        (Some(_), None, Some(_), _) => Err(HeadError::LengthAndCoding),
        (None, None, Some(coding), None) if version == http::Version::HTTP_11 && is_chunked(coding) => {
            Ok(Some(Framing::chunked()))
        }
        (None, None, Some(_), _) | (None, None, None, Some(_)) => Err(HeadError::UnknownCoding),
        (Some(length), None, None, _) => {
            Ok(Some(Framing::Length(parse_length(length)?)).filter(|body| !body.is_over()))
        }
        (None, None, None, None) => Ok(None),
    }
}

/// RFC 9110 §8.6: `1*DIGIT`; a list, even of equal numbers, counts as two lengths.
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    if value.contains(&b',') {
        return Err(HeadError::TwoLengths);
    }
    let digits = value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok()).ok_or(HeadError::BadLength)
}

#[cfg(test)]
mod tests;
