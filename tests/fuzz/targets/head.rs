//! Any answer of a backend: what its head says does not depend on what follows, and only a right 101 switches.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgate::wire::head::{ANSWER_MAX, Answer, BODY_MAX, Expected, answer};

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const SOUND: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn check(bytes: &[u8]) {
    let offered = ["chat".to_owned()];
    let answer = |bytes: &[u8]| answer(bytes, &Expected { accept: ACCEPT, offered: Some(&offered) });
    match answer(bytes) {
        Ok(Some((verdict, size))) => {
            assert!(size <= bytes.len());
            assert_eq!(answer(&bytes[..size]), Ok(Some((verdict.clone(), size))));
            match verdict {
                Answer::Switched { protocol } => {
                    assert!(protocol.is_none_or(|protocol| offered.contains(&protocol)));
                    assert!(bytes[..size].windows(ACCEPT.len()).any(|part| part == ACCEPT.as_bytes()));
                }
                Answer::Refused(refused) => assert!((400..500).contains(&refused.status) && refused.body <= BODY_MAX),
            }
        }
        // A head that may go on has begun no other way: each shorter piece of it may go on, too.
        Ok(None) => {
            assert!(bytes.len() < ANSWER_MAX && answer(&bytes[..bytes.len() / 2]) == Ok(None))
        }
        Err(nonsense) => assert!(!nonsense.to_string().is_empty()),
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&[SOUND.as_bytes(), bytes].concat());
});
