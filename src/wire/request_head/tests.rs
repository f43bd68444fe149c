//! The raw check, by table and by property.

use proptest::prelude::*;

use super::*;

const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\r\n";

fn error_of(head: &[u8]) -> Option<HeadError> {
    check(head).err()
}

/// A head with these lines behind a sound request line.
fn with(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

#[test]
fn a_sound_head_is_summed_up() {
    let summary = check(GOOD.as_bytes()).unwrap();
    assert_eq!(summary, Summary { upgrade: true, body: None, version: http::Version::HTTP_11 });
    assert!(!check(&with("Host: a\r\n")).unwrap().upgrade);
    let body = |lines: &str| check(&with(&format!("Host: a\r\n{lines}"))).unwrap().body;
    assert_eq!(body("Content-Length: 3\r\n"), Some(Framing::Length(3)));
    assert_eq!(body("Content-Length: 0\r\n"), None);
    assert_eq!(body("Transfer-Encoding: Chunked\r\n"), Some(Framing::chunked()));
    assert_eq!(check(b"GET / HTTP/1.0\r\n\r\n").unwrap().version, http::Version::HTTP_10);
}

#[test]
fn rfc9112_2_2_one_empty_line_before_the_request_line_is_ignored() {
    assert!(check(format!("\r\n{GOOD}").as_bytes()).is_ok());
    assert_eq!(error_of(format!("\r\n\r\n{GOOD}").as_bytes()), Some(HeadError::NotHttp));
}

#[test]
fn every_misdeed_has_its_name() {
    let table: &[(&[u8], HeadError)] = &[
        (b"", HeadError::NotHttp),
        (b"\r\n\r\n", HeadError::NotHttp),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", HeadError::NotHttp),
        (b"GET\r\n\r\n", HeadError::NotHttp),
        (b"GET /\r\n\r\n", HeadError::NotHttp),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::NotHttp),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore", HeadError::NotHttp),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", HeadError::NotHttp),
        (b"PRI * HTTP/2.0\r\n\r\n", HeadError::Http2),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HeadError::Version),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", HeadError::Version),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\r\n", HeadError::Version),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", HeadError::BareCr),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", HeadError::BareCr),
        (b"GET / HTTP/1.1\nHost: a\n\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", HeadError::Nul),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", HeadError::ObsFold),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", HeadError::ObsFold),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadError::SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 1\r\n\r\n", HeadError::SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", HeadError::BadField),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", HeadError::BadField),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", HeadError::BadField),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", HeadError::BadField),
        (b"GET / HTTP/1.1\r\n\r\n", HeadError::NoHost),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", HeadError::TwoHosts),
        (b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", HeadError::TwoHosts),
    ];
    for (head, error) in table {
        assert_eq!(error_of(head), Some(*error), "{:?}", head.escape_ascii().to_string());
    }
}

#[test]
fn rfc9112_6_1_the_length_has_one_opinion() {
    for (lines, error) in [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", HeadError::TwoLengths),
        ("Content-Length: 1\r\ncontent-length: 2\r\n", HeadError::TwoLengths),
        ("Content-Length: 1, 1\r\n", HeadError::TwoLengths),
        ("Content-Length: +1\r\n", HeadError::BadLength),
        ("Content-Length: 0x1\r\n", HeadError::BadLength),
        ("Content-Length:\r\n", HeadError::BadLength),
        ("Content-Length: 99999999999999999999\r\n", HeadError::BadLength),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HeadError::LengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", HeadError::LengthAndCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", HeadError::UnknownCoding),
        ("Transfer-Encoding: identity\r\n", HeadError::UnknownCoding),
        ("Transfer-Encoding: \x0bchunked\r\n", HeadError::BadField),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadError::UnknownCoding),
        ("Transfer-Encoding:\r\n", HeadError::UnknownCoding),
    ] {
        assert_eq!(error_of(&with(&format!("Host: a\r\n{lines}"))), Some(error), "{lines:?}");
    }
    assert_eq!(error_of(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(HeadError::UnknownCoding));
}

#[test]
fn rfc9110_7_2_the_host_is_a_host() {
    for host in
        ["a", "example.com", "EXAMPLE.com:8443", "a.:443", "a:", "127.0.0.1:80", "[::1]", "[::1]:65535", "my_php"]
    {
        assert!(check(&with(&format!("Host: {host}\r\n"))).is_ok(), "{host}");
    }
    for host in [
        "", ":80", "a b", "a,b", "a/b", "a@b", "a:65536", "a:8x", "a:+8", "[::1", "[::g]", "[::1]x", "::1", "ä",
        "a:1:2",
    ] {
        assert_eq!(error_of(&with(&format!("Host: {host}\r\n"))), Some(HeadError::BadHost), "{host}");
    }
}

#[test]
fn a_hundred_headers_and_no_more() {
    let lines = |count: usize| format!("Host: a\r\n{}", "X: y\r\n".repeat(count - 1));
    assert!(check(&with(&lines(MAX_HEADERS))).is_ok());
    assert_eq!(error_of(&with(&lines(MAX_HEADERS + 1))), Some(HeadError::TooManyHeaders));
}

#[test]
fn the_first_bytes_tell() {
    for (first, verdict) in [
        (&b""[..], Sniff::Undecided),
        (b"G", Sniff::Undecided),
        (b"GET", Sniff::Undecided),
        (b"GET ", Sniff::Http),
        (b"\r", Sniff::Undecided),
        (b"\r\nGET ", Sniff::Http),
        (b"\r\n\r\n\0\r\nQUIT\n", Sniff::NotHttp),
        (b" GET", Sniff::NotHttp),
        (b"\x16\x03\x01", Sniff::NotHttp),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Sniff::NotHttp),
    ] {
        assert_eq!(sniff(first), verdict, "{first:?}");
    }
}

#[test]
fn the_end_is_behind_the_empty_line() {
    assert_eq!(find_end(GOOD.as_bytes(), 0), Some(GOOD.len()));
    assert_eq!(find_end(format!("{GOOD}frames").as_bytes(), 0), Some(GOOD.len()));
    assert_eq!(find_end(b"GET / HTTP/1.1\nHost: a\n\nx", 0), Some(24));
    assert_eq!(find_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r", 0), None);
    assert_eq!(find_end(b"", 0), None);
    assert_eq!(find_end(b"ab", 9), None);
}

fn junk() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b": ".to_vec()),
        Just(b"Content-Length: 1\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_panics(head in junk()) {
        let _ = sniff(&head);
        if let Ok(summary) = check(&head) {
            prop_assert_eq!(sniff(&head), Sniff::Http);
            prop_assert_eq!(find_end(&head, 0), Some(head.len()));
            prop_assert!(summary.version == http::Version::HTTP_10 || head.windows(5).any(|w| w.eq_ignore_ascii_case(b"host:")));
        }
    }

    #[test]
    fn splitting_does_not_matter(head in junk(), steps in proptest::collection::vec(1usize..5, 0..64)) {
        let (mut seen, mut found) = (0, None);
        for step in steps.into_iter().chain([head.len()]) {
            let now = (seen + step).min(head.len());
            found = find_end(&head[..now], seen);
            if found.is_some() || now == head.len() { break; }
            seen = now;
        }
        prop_assert_eq!(found, find_end(&head, 0));
    }

    #[test]
    fn a_sniff_never_changes_its_mind(head in junk()) {
        let last = sniff(&head);
        for end in 0..head.len() {
            let early = sniff(&head[..end]);
            prop_assert!(early == Sniff::Undecided || early == last);
        }
    }
}
