//! The upgrade request, row by row.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const GOOD: &[(&str, &str)] = &[
    ("host", "example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-version", "13"),
];

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// The good request with every line of `name` replaced by these.
fn with(name: &str, values: &[&str]) -> HeaderMap {
    let mut lines: Vec<_> = GOOD.iter().copied().filter(|(other, _)| *other != name).collect();
    lines.extend(values.iter().map(|value| (name, *value)));
    map(&lines)
}

fn check(headers: &HeaderMap) -> Result<Offer, Malformed> {
    Offer::check(&Method::GET, Version::HTTP_11, headers)
}

#[test]
fn rfc6455_1_3_the_accept_key() {
    assert_eq!(accept_for("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let offer = check(&map(GOOD)).unwrap();
    assert_eq!(offer.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((offer.protocols.len(), offer.extensions.as_str()), (0, ""));
}

#[test]
fn upgrade_absent_comes_before_the_method() {
    assert_eq!(check(&with("upgrade", &[])), Err(Malformed::NotUpgrade));
    let post = Offer::check(&Method::POST, Version::HTTP_10, &with("upgrade", &[]));
    assert_eq!(post, Err(Malformed::NotUpgrade));
}

#[test]
fn method_then_version_of_http() {
    let all_wrong = with("upgrade", &["h2c"]);
    assert_eq!(Offer::check(&Method::HEAD, Version::HTTP_10, &all_wrong), Err(Malformed::Method));
    assert_eq!(Offer::check(&Method::GET, Version::HTTP_10, &all_wrong), Err(Malformed::OldHttp));
}

#[test]
fn lists_are_read_as_lists() {
    for good in [&["WebSocket"][..], &["h2c, websocket"], &["h2c", "websocket"], &[", ,websocket,"]] {
        assert!(check(&with("upgrade", good)).is_ok(), "{good:?}");
    }
    for bad in [&[""][..], &["websockets"], &["h2c websocket"], &["websocket/13"], &["\"websocket\""]] {
        assert_eq!(check(&with("upgrade", bad)), Err(Malformed::UpgradeToken), "{bad:?}");
    }
    for good in [&["keep-alive, Upgrade"][..], &["keep-alive", "upgrade"], &["UPGRADE"]] {
        assert!(check(&with("connection", good)).is_ok(), "{good:?}");
    }
    for bad in [&[][..], &["close"], &["no-upgrade"], &["upgrade-insecure"]] {
        assert_eq!(check(&with("connection", bad)), Err(Malformed::ConnectionToken), "{bad:?}");
    }
}

#[test]
fn the_key_is_16_bytes_of_canonical_base64() {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    for (values, error) in [
        (&[][..], Malformed::KeyAbsent),
        (&[key, key], Malformed::KeyTwice),
        (&["dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="], Malformed::KeyInvalid),
        (&[""], Malformed::KeyInvalid),
        (&["dGhlIHNhbXBsZSBub25jZQ"], Malformed::KeyInvalid),
        (&["dGhlIHNhbXBsZSBub25jZR=="], Malformed::KeyInvalid),
        (&["dGhlIHNhbXBsZSBub25jZTE="], Malformed::KeyInvalid),
        (&["dGhlIHNhbXBsZSBub25j"], Malformed::KeyInvalid),
        (&["dGhlIHNhbXBsZSBub25jZ_=="], Malformed::KeyInvalid),
        (&["dGhlIHNhbXBsZSBub25jZö=="], Malformed::KeyInvalid),
    ] {
        assert_eq!(check(&with("sec-websocket-key", values)), Err(error), "{values:?}");
    }
}

#[test]
fn version_13_and_only_once() {
    for bad in [&[][..], &["8"], &["13, 8"], &["13", "13"], &["013"], &[""]] {
        assert_eq!(check(&with("sec-websocket-version", bad)), Err(Malformed::Version), "{bad:?}");
    }
}

#[test]
fn rfc6455_4_1_subprotocols_are_unique_tokens() {
    let offer = check(&with("sec-websocket-protocol", &["chat, superchat", "v1.json"])).unwrap();
    assert_eq!(offer.protocols, ["chat", "superchat", "v1.json"]);
    assert!(check(&with("sec-websocket-protocol", &["chat, Chat"])).is_ok());
    assert!(check(&with("sec-websocket-protocol", &[""])).unwrap().protocols.is_empty());
    for (values, error) in [
        (&["chat, chat"][..], Malformed::ProtocolTwice),
        (&["chat", "chat"], Malformed::ProtocolTwice),
        (&["a b"], Malformed::ProtocolToken),
        (&["\"chat\""], Malformed::ProtocolToken),
        (&["ä"], Malformed::ProtocolToken),
        (&["a;q=1"], Malformed::ProtocolToken),
    ] {
        assert_eq!(check(&with("sec-websocket-protocol", values)), Err(error), "{values:?}");
    }
}

#[test]
fn extensions_are_handed_on_as_text() {
    let offer = check(&with("sec-websocket-extensions", &["permessage-deflate; x", "foo"])).unwrap();
    assert_eq!(offer.extensions, "permessage-deflate; x, foo");
    assert_eq!(check(&with("sec-websocket-extensions", &["ä"])), Err(Malformed::Extensions));
}

#[test]
fn no_content_before_the_frames() {
    assert!(check(&with("content-length", &["0"])).is_ok());
    assert_eq!(check(&with("content-length", &["1"])), Err(Malformed::Body));
    assert_eq!(check(&with("transfer-encoding", &["chunked"])), Err(Malformed::Body));
}

#[test]
fn the_first_wrong_thing_is_named() {
    let mut lines: Vec<(&str, &str)> = vec![];
    let steps = [
        (("upgrade", "h2c"), Malformed::UpgradeToken),
        (("upgrade", "websocket"), Malformed::ConnectionToken),
        (("connection", "upgrade"), Malformed::KeyAbsent),
        (("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), Malformed::Version),
    ];
    for (line, error) in steps {
        lines.push(line);
        assert_eq!(check(&map(&lines)), Err(error));
    }
}

proptest! {
    #[test]
    fn every_16_bytes_make_a_good_key(bytes in any::<[u8; 16]>()) {
        let key = STANDARD.encode(bytes);
        let offer = check(&with("sec-websocket-key", &[&key])).unwrap();
        prop_assert_eq!(offer.accept.len(), 28);
    }

    #[test]
    fn no_text_panics(text in "[ -~\u{e4}]{0,40}") {
        for name in ["upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"] {
            let _ = check(&with(name, &[&text]));
        }
    }
}
