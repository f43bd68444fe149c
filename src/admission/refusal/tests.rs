//! What each refusal is answered with, and that no two are confused.

use std::collections::HashSet;

use super::*;

const SOON: NonZeroU64 = NonZeroU64::new(7).unwrap();

#[allow(clippy::too_many_lines)] // as many as there are refusals
fn all() -> Vec<Refusal> {
    use Malformed as M;
    use OriginRefused as O;
    use Refusal as R;
    let heads = [
        HeadError::NotHttp,
        HeadError::Http2,
        HeadError::Version,
        HeadError::BareCr,
        HeadError::BareLf,
        HeadError::Nul,
        HeadError::ObsFold,
        HeadError::SpaceBeforeColon,
        HeadError::BadField,
        HeadError::TooManyHeaders,
        HeadError::TwoLengths,
        HeadError::BadLength,
        HeadError::LengthAndCoding,
        HeadError::UnknownCoding,
        HeadError::NoHost,
        HeadError::TwoHosts,
        HeadError::BadHost,
    ];
    let malformed = [
        M::NotUpgrade,
        M::Method,
        M::OldHttp,
        M::UpgradeToken,
        M::ConnectionToken,
        M::KeyAbsent,
        M::KeyTwice,
        M::KeyInvalid,
        M::KeyLookalike,
        M::Version,
        M::ProtocolToken,
        M::ProtocolTwice,
        M::Extensions,
        M::Body,
    ];
    let origins = [O::Twice, O::Absent, O::Empty, O::Unreadable, O::NotAllowed];
    let rest = [
        R::AuthBusy,
        R::AuthFailed,
        R::AuthTimeout,
        R::HeadTooLarge,
        R::HeadTooSlow,
        R::NoRoute,
        R::Body(BodyFault::TooLarge),
        R::Body(BodyFault::TooSlow),
        R::Body(BodyFault::Unsound),
        R::Trace,
        R::BackendBroken,
        R::AddressRate { retry_after: SOON },
        R::AddressCap,
        R::GatewayFull,
        R::RouteFull,
        R::RouteDrained,
        R::Room,
        R::Name,
        R::Banned,
        R::NoCertificate,
        R::Draining,
        R::BackendHead { over: 7 },
        R::BackendsFull,
        R::QueueTimeout,
        R::NoBackend,
        R::BackendStatus(403),
        R::BackendRefused,
        R::BackendNonsense,
        R::BackendTimeout,
    ];
    let nested = heads.map(R::Head).into_iter().chain(malformed.map(R::Malformed)).chain(origins.map(R::Origin));
    nested.chain(all_tokens().map(R::Token)).chain(rest).collect()
}

fn all_tokens() -> [TokenFault; 13] {
    use TokenFault as T;
    [
        T::Absent,
        T::Several,
        T::Malformed,
        T::Algorithm,
        T::Critical,
        T::Key,
        T::Signature,
        T::Expired,
        T::NotYet,
        T::Issuer,
        T::Audience,
        T::Claim,
        T::Unsafe,
    ]
}

/// Name and value of every header, in a form to compare.
fn headers(refusal: Refusal) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    refusal.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[test]
fn every_row_of_the_table_has_its_answer() {
    let close = &[("connection", "close")][..];
    let upgrade = &[("upgrade", "websocket"), ("connection", "Upgrade")][..];
    let version = &[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13")][..];
    for (refusal, status, expected) in [
        (Refusal::HeadTooLarge, 431, close),
        (Refusal::HeadTooSlow, 408, close),
        (Refusal::Head(HeadError::TwoHosts), 400, close),
        (Refusal::NoRoute, 404, &[]),
        (Refusal::Malformed(Malformed::NotUpgrade), 426, upgrade),
        (Refusal::Malformed(Malformed::Method), 405, &[("allow", "GET")]),
        (Refusal::Malformed(Malformed::OldHttp), 400, &[]),
        (Refusal::Malformed(Malformed::UpgradeToken), 400, &[]),
        (Refusal::Malformed(Malformed::ConnectionToken), 400, &[]),
        (Refusal::Malformed(Malformed::KeyInvalid), 400, &[]),
        (Refusal::Malformed(Malformed::Version), 426, version),
        (Refusal::Malformed(Malformed::Body), 400, close),
        (Refusal::Origin(OriginRefused::NotAllowed), 403, &[]),
        (Refusal::Token(TokenFault::Absent), 401, &[("www-authenticate", "Bearer")]),
        (Refusal::Token(TokenFault::Several), 400, &[("www-authenticate", "Bearer error=\"invalid_request\"")]),
        (Refusal::Token(TokenFault::Expired), 401, &[("www-authenticate", "Bearer error=\"invalid_token\"")]),
        (Refusal::AuthBusy, 503, &[("retry-after", "5")]),
        (Refusal::AuthFailed, 503, &[("retry-after", "5")]),
        (Refusal::AuthTimeout, 503, &[("retry-after", "5")]),
        (Refusal::AddressRate { retry_after: SOON }, 429, &[("retry-after", "7")]),
        (Refusal::AddressCap, 429, &[("retry-after", "10")]),
        (Refusal::GatewayFull, 503, &[("retry-after", "5")]),
        (Refusal::RouteFull, 503, &[("retry-after", "5")]),
        (Refusal::RouteDrained, 503, &[("retry-after", "5")]),
        (Refusal::Room, 403, &[]),
        (Refusal::Name, 403, &[]),
        (Refusal::Banned, 403, &[]),
        (Refusal::Draining, 503, &[("retry-after", "5")]),
        (Refusal::BackendHead { over: 1 }, 431, &[]),
        (Refusal::BackendsFull, 503, &[("retry-after", "5")]),
        (Refusal::QueueTimeout, 503, &[("retry-after", "5")]),
        (Refusal::NoBackend, 503, &[("retry-after", "5")]),
        (Refusal::AuthStatus(401), 401, &[]),
        (Refusal::BackendStatus(403), 403, &[]),
        (Refusal::BackendRefused, 502, &[]),
        (Refusal::BackendBroken, 502, &[]),
        (Refusal::NoCertificate, 403, &[]),
        (Refusal::Body(BodyFault::TooLarge), 413, close),
        (Refusal::Body(BodyFault::TooSlow), 408, close),
        (Refusal::Body(BodyFault::Unsound), 400, close),
        (Refusal::Trace, 405, &[("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")]),
        (Refusal::BackendNonsense, 502, &[]),
        (Refusal::BackendTimeout, 504, &[]),
    ] {
        assert_eq!(refusal.status().as_u16(), status, "{refusal:?}");
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(headers(refusal), expected, "{refusal:?}");
    }
}

#[test]
fn labels_are_snake_case_and_unique() {
    let labels: Vec<_> = all().into_iter().map(Refusal::label).collect();
    assert!(
        labels
            .iter()
            .all(|label| label.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte)))
    );
    assert_eq!(labels.iter().collect::<HashSet<_>>().len(), labels.len());
}

#[test]
fn lines_are_one_plain_line_and_unique() {
    let lines: Vec<_> = all().into_iter().map(Refusal::line).collect();
    for line in &lines {
        let text = line.strip_suffix('\n').unwrap();
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.ends_with('.'), "{line:?}");
        assert!((10..80).contains(&text.len()), "{line:?}");
    }
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len());
}

#[test]
fn what_can_be_told_in_a_close_has_a_code() {
    for refusal in all() {
        let expected = match refusal.status().as_u16() {
            _ if matches!(refusal, Refusal::Token(_) | Refusal::AuthStatus(_)) => Some(1008),
            403 if refusal == Refusal::Banned => Some(4403),
            403 => Some(1008),
            431 if refusal != Refusal::HeadTooLarge => Some(1008),
            429 | 504 => Some(1013),
            503 if refusal == Refusal::Draining => Some(1001),
            503 => Some(1013),
            502 if refusal == Refusal::BackendNonsense => Some(1011),
            502 => Some(1013),
            _ => None,
        };
        assert_eq!(refusal.close().map(Code::get), expected, "{refusal:?}");
    }
}
