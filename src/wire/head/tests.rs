//! The request as bytes, to the letter.

use http::HeaderValue;
use http::header::HeaderName;

use super::*;

const NO_RULES: Rules<'_> = Rules { budget: None, cookies: &[], pass: &[], subprotocols: true };

fn forwarded() -> Forwarded<'static> {
    let client = IpAddr::from([203, 0, 113, 7]);
    Forwarded { client, chain: None, peer: client, secure: true, host: "chat.example" }
}

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::try_from(*name).expect("name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("value"));
    }
    headers
}

fn written(client: &HeaderMap, forwarded: Forwarded<'_>, rules: Rules<'_>) -> Result<String, OverBudget> {
    let head = request(&Ask { target: "/ws?a=b", key: "KEY", client, forwarded, rules })?;
    Ok(String::from_utf8(head.bytes).expect("text"))
}

const START: &str = "GET /ws?a=b HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY\r\n";
const SAID: &str = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: chat.example\r\n\
    X-Real-IP: 203.0.113.7\r\nForwarded: for=203.0.113.7;host=\"chat.example\";proto=https\r\n";

#[test]
fn names_are_written_in_canonical_case_and_the_key_comes_early() {
    let client = map(&[
        ("user-agent", "test/1"),
        ("origin", "https://chat.example"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-sec-websocket-key", "spoof"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-protocol", "chat"),
        ("x-forwarded-for", "6.6.6.6"),
        ("accept-language", ""),
        ("x-other", "y"),
    ]);
    let expected = format!(
        "{START}Origin: https://chat.example\r\nCookie: a=1; b=2\r\nSec-WebSocket-Protocol: chat\r\n{SAID}\
         User-Agent: test/1\r\n\r\n"
    );
    assert_eq!(written(&client, forwarded(), NO_RULES), Ok(expected.clone()));
    let rules = Rules { subprotocols: false, ..NO_RULES };
    let without = expected.replace("Sec-WebSocket-Protocol: chat\r\n", "");
    assert_eq!(written(&client, forwarded(), rules), Ok(without));
}

#[test]
fn the_owners_own_headers_are_passed_once_and_none_that_must_not_be() {
    let client = map(&[
        ("x-other", "y"),
        ("x-other", "z"),
        ("user-agent", "test/1"),
        ("upgrade", "websocket"),
        ("origin", "null"),
    ]);
    let pass =
        ["x-other", "user-agent", "upgrade", "sec-websocket-key", "x-absent", "origin", "x-other"].map(str::to_owned);
    let expected = format!("{START}Origin: null\r\n{SAID}User-Agent: test/1\r\nX-Other: y, z\r\n\r\n");
    assert_eq!(written(&client, forwarded(), Rules { pass: &pass, ..NO_RULES }), Ok(expected));
}

#[test]
fn a_trusted_chain_is_carried_on() {
    let mut said = forwarded();
    said.chain = Some("203.0.113.7, 10.0.0.2");
    said.peer = IpAddr::from([10, 0, 0, 1]);
    let head = written(&HeaderMap::new(), said, NO_RULES).expect("fits");
    assert!(head.contains("X-Forwarded-For: 203.0.113.7, 10.0.0.2, 10.0.0.1\r\n"), "{head}");
}

#[test]
fn what_does_not_fit_is_left_out_in_order_and_then_refused() {
    let client = map(&[
        ("origin", "https://chat.example"),
        ("user-agent", &"u".repeat(100)),
        ("cookie", &format!("PHPSESSID=s3cret; _ga={}", "g".repeat(100))),
    ]);
    let keep = ["PHPSESSID".to_owned()];
    let with = |budget| written(&client, forwarded(), Rules { budget: Some(budget), cookies: &keep, ..NO_RULES });
    let whole = written(&client, forwarded(), NO_RULES).expect("fits");
    assert_eq!(with(whole.len()), Ok(whole.clone()));
    let agentless = whole.replace(&format!("User-Agent: {}\r\n", "u".repeat(100)), "");
    assert_eq!(with(whole.len() - 1), Ok(agentless.clone()));
    assert_eq!(with(agentless.len()), Ok(agentless));
    let least = format!(
        "{START}Origin: https://chat.example\r\nCookie: PHPSESSID=s3cret\r\nX-Forwarded-For: 203.0.113.7\r\n\
         X-Forwarded-Proto: https\r\nX-Real-IP: 203.0.113.7\r\n\r\n"
    );
    assert_eq!(with(least.len()), Ok(least.clone()));
    assert_eq!(with(least.len() - 7), Err(OverBudget { over: 7 }));
    let head = request(&Ask {
        target: "/ws?a=b",
        key: "KEY",
        client: &client,
        forwarded: forwarded(),
        rules: Rules { budget: Some(least.len()), cookies: &keep, ..NO_RULES },
    });
    let head = head.expect("fits");
    assert_eq!(String::from_utf8(head.with_key("OTHER")), Ok(least.replace("Key: KEY", "Key: OTHER")));
    let dropped = head.dropped;
    assert_eq!(dropped, ["User-Agent", "Forwarded", "X-Forwarded-Host", "Cookie: _ga"]);
}
