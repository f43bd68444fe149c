//! A client's upgrade request, checked from its method to its subprotocols (RFC 6455 §4.2.1).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode, Version};
use sha1::{Digest as _, Sha1};

use super::head::is_key_lookalike;

/// RFC 6455 §1.3: what every server appends to the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// RFC 6455 §4.1 item 7: 16 bytes are 24 characters of base64.
const KEY_CHARACTERS: usize = 24;

/// A sound request to upgrade to WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The value that `Sec-WebSocket-Accept` has to have (RFC 6455 §4.2.2 item 5.4).
    pub accept: String,
    /// The subprotocols in the client's order, each a token and no two the same (RFC 6455 §4.1 item 10).
    pub protocols: Vec<String>,
    /// All `Sec-WebSocket-Extensions` in one line, empty when there is none (RFC 6455 §9.1). Not parsed.
    pub extensions: String,
}

/// What is wrong with an upgrade request, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No `Upgrade` header at all (RFC 9110 §15.5.22).
    NotUpgrade,
    /// A method other than GET (RFC 6455 §4.2.1 item 1).
    Method,
    /// A version before HTTP/1.1 (RFC 6455 §4.2.1 item 1).
    OldHttp,
    /// An `Upgrade` without `websocket` (RFC 6455 §4.2.1 item 3).
    UpgradeToken,
    /// A `Connection` without `upgrade` (RFC 6455 §4.2.1 item 4).
    ConnectionToken,
    /// No `Sec-WebSocket-Key` (RFC 6455 §4.2.1 item 5).
    KeyAbsent,
    /// More than one `Sec-WebSocket-Key` (RFC 6455 §11.3.1).
    KeyTwice,
    /// A key that is not 16 bytes in base64 (RFC 6455 §4.2.1 item 5).
    KeyInvalid,
    /// A header whose name ends in `Sec-WebSocket-Key`, which some servers would take for the key.
    KeyLookalike,
    /// A version that is absent, not 13, or more than one (RFC 6455 §4.4).
    Version,
    /// A subprotocol that is no token (RFC 6455 §4.1 item 10).
    ProtocolToken,
    /// A subprotocol named twice (RFC 6455 §4.1 item 10).
    ProtocolTwice,
    /// Extensions with bytes beyond visible ASCII (RFC 6455 §9.1).
    Extensions,
    /// Content before the frames, which two parties could count differently (RFC 9110 §9.3.1).
    Body,
}

impl Malformed {
    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::OldHttp
            | Self::UpgradeToken
            | Self::ConnectionToken
            | Self::KeyAbsent
            | Self::KeyTwice
            | Self::KeyInvalid
            | Self::KeyLookalike
            | Self::ProtocolToken
            | Self::ProtocolTwice
            | Self::Extensions
            | Self::Body => StatusCode::BAD_REQUEST,
        }
    }

    /// What was wrong, in one plain line without its line end.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::NotUpgrade => "only WebSocket is spoken here: the request has no Upgrade header",
            Self::Method => "a WebSocket is opened with GET",
            Self::OldHttp => "a WebSocket needs HTTP/1.1",
            Self::UpgradeToken => "the Upgrade header does not name websocket",
            Self::ConnectionToken => "the Connection header does not name upgrade",
            Self::KeyAbsent => "the request has no Sec-WebSocket-Key",
            Self::KeyTwice => "the request has more than one Sec-WebSocket-Key",
            Self::KeyInvalid => "the Sec-WebSocket-Key is not 16 bytes in base64",
            Self::KeyLookalike => "the request has a header that only ends in Sec-WebSocket-Key",
            Self::Version => "the Sec-WebSocket-Version must be 13",
            Self::ProtocolToken => "the Sec-WebSocket-Protocol has a name that is not a token",
            Self::ProtocolTwice => "the Sec-WebSocket-Protocol names the same protocol twice",
            Self::Extensions => "the Sec-WebSocket-Extensions is not plain text",
            Self::Body => "a WebSocket upgrade has no body",
        }
    }

    /// The name under which it is counted; stable.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotUpgrade => "not_upgrade",
            Self::Method => "method_not_get",
            Self::OldHttp => "old_http",
            Self::UpgradeToken => "upgrade_token",
            Self::ConnectionToken => "connection_token",
            Self::KeyAbsent => "key_absent",
            Self::KeyTwice => "key_twice",
            Self::KeyInvalid => "key_invalid",
            Self::KeyLookalike => "key_lookalike",
            Self::Version => "version_not_13",
            Self::ProtocolToken => "protocol_token",
            Self::ProtocolTwice => "protocol_twice",
            Self::Extensions => "extensions_malformed",
            Self::Body => "upgrade_body",
        }
    }
}

impl Offer {
    /// Checks an upgrade request as RFC 6455 §4.2.1 lists it.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of [`Malformed`].
    pub fn check(method: &Method, version: Version, headers: &HeaderMap) -> Result<Self, Malformed> {
        ensure(headers.contains_key(UPGRADE), Malformed::NotUpgrade)?;
        ensure(method == Method::GET, Malformed::Method)?;
        ensure(version >= Version::HTTP_11, Malformed::OldHttp)?;
        ensure(names(headers, &UPGRADE, "websocket"), Malformed::UpgradeToken)?;
        ensure(names(headers, &CONNECTION, "upgrade"), Malformed::ConnectionToken)?;
        let key = read_key(headers)?;
        ensure(!headers.keys().any(|name| is_key_lookalike(name.as_str())), Malformed::KeyLookalike)?;
        ensure(is_version_13(headers), Malformed::Version)?;
        let protocols = read_protocols(headers)?;
        let extensions = read_extensions(headers)?;
        ensure(!has_body(headers), Malformed::Body)?;
        Ok(Self { accept: accept_for(key), protocols, extensions })
    }
}

/// RFC 6455 §4.2.2 item 5.4: the key, the GUID behind it, SHA-1, base64.
#[must_use]
pub fn accept_for(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// The elements of a `#element` list over all lines of this name, empty ones left out (RFC 9110 §5.6.1.2).
///
/// For lists of tokens: a comma inside a quoted string would be taken for a separator.
pub fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    let pieces = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    pieces.map(<[u8]>::trim_ascii).filter(|piece| !piece.is_empty())
}

/// Whether this is a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_tchar)
}

/// RFC 9110 §5.6.2: a character of a token.
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn ensure(good: bool, otherwise: Malformed) -> Result<(), Malformed> {
    if good { Ok(()) } else { Err(otherwise) }
}

/// RFC 6455 §4.2.1 items 3 and 4: an ASCII case-insensitive match of one token in the list.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// RFC 6455 §4.2.1 item 5: a value that, when base64-decoded, is 16 bytes in length. Only the canonical form (RFC 4648
/// §3.5) is taken, so that every party decodes the same bytes.
fn read_key(headers: &HeaderMap) -> Result<&str, Malformed> {
    let mut lines = headers.get_all(SEC_WEBSOCKET_KEY).into_iter();
    let line = lines.next().ok_or(Malformed::KeyAbsent)?;
    ensure(lines.next().is_none(), Malformed::KeyTwice)?;
    let key = line.to_str().map_err(|_| Malformed::KeyInvalid)?.trim_ascii();
    let good = key.len() == KEY_CHARACTERS && STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    if good { Ok(key) } else { Err(Malformed::KeyInvalid) }
}

/// RFC 6455 §4.2.1 item 6: the value 13. §11.3.5: it appears once in a request, and is no list there.
fn is_version_13(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(SEC_WEBSOCKET_VERSION).into_iter();
    matches!((lines.next(), lines.next()), (Some(line), None) if line.as_bytes().trim_ascii() == b"13")
}

/// RFC 6455 §4.1 item 10: non-empty tokens, all unique, in order of preference. §11.3.4: over several lines if need be.
fn read_protocols(headers: &HeaderMap) -> Result<Vec<String>, Malformed> {
    let mut seen = HashSet::new();
    let mut protocols = Vec::new();
    for element in elements(headers, &SEC_WEBSOCKET_PROTOCOL) {
        ensure(is_token(element), Malformed::ProtocolToken)?;
        ensure(seen.insert(element), Malformed::ProtocolTwice)?;
        protocols.push(String::from_utf8_lossy(element).into_owned());
    }
    Ok(protocols)
}

/// RFC 6455 §9.1: several lines are the same as one with commas.
fn read_extensions(headers: &HeaderMap) -> Result<String, Malformed> {
    let lines: Result<Vec<&str>, _> =
        headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter().map(http::HeaderValue::to_str).collect();
    lines.map(|lines| lines.join(", ")).map_err(|_| Malformed::Extensions)
}

/// RFC 9112 §6.3: content is announced by one of these two; a length of 0 announces none.
#[must_use]
pub fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get_all(CONTENT_LENGTH).into_iter().any(|line| line.as_bytes().trim_ascii() != b"0");
    length || headers.contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests;
