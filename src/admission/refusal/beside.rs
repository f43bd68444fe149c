//! The headers that stand beside a refusal's status.

use http::HeaderValue;
use http::header::{ALLOW, CONNECTION, HeaderName, SEC_WEBSOCKET_VERSION, UPGRADE};

use crate::wire::offer::Malformed;

/// What belongs to a status.
pub(super) enum Beside {
    Nothing,
    /// Nothing more is read from this connection.
    End,
    /// The methods that there are (RFC 9110 §15.5.6).
    Methods,
    /// Seconds after which it may be tried again.
    Retry(u64),
    Challenge(&'static str),
    /// What the fault itself asks for.
    Explained(Malformed),
}

/// RFC 9110 §15.5.22: a 426 MUST carry an Upgrade; §7.8: and then `Connection: Upgrade` too. RFC 6455 §4.4: the version
/// that is spoken. RFC 9110 §15.5.6: a 405 MUST carry an Allow.
pub(super) fn headers_of(malformed: Malformed) -> Vec<(HeaderName, HeaderValue)> {
    let upgrade = || {
        let websocket = (UPGRADE, HeaderValue::from_static("websocket"));
        vec![websocket, (CONNECTION, HeaderValue::from_static("Upgrade"))]
    };
    match malformed {
        Malformed::NotUpgrade => upgrade(),
        Malformed::Version => {
            let mut headers = upgrade();
            headers.push((SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
            headers
        }
        Malformed::Method => vec![(ALLOW, HeaderValue::from_static("GET"))],
        // RFC 9110 §9.3.1: content nobody wanted is not read, so the connection cannot go on.
        Malformed::Body => vec![(CONNECTION, HeaderValue::from_static("close"))],
        Malformed::OldHttp
        | Malformed::UpgradeToken
        | Malformed::ConnectionToken
        | Malformed::KeyAbsent
        | Malformed::KeyTwice
        | Malformed::KeyInvalid
        | Malformed::KeyLookalike
        | Malformed::ProtocolToken
        | Malformed::ProtocolTwice
        | Malformed::Extensions => Vec::new(),
    }
}
