//! What holds of whatever text a client sends in `wsgate.chat.v1`: for a fuzz target, and for the tests of every day.

use serde_json::Value;

use super::request::{Asked, Request, parse};

/// All that may be asked for.
const TYPES: [&str; 15] = [
    "join", "leave", "say", "to", "name", "who", "history", "typing", "resume", "kick", "mute", "ban", "unban", "slow",
    "delete",
];
/// All that can be wrong with a text by itself. These codes do not change.
const CODES: [&str; 3] = ["bad_json", "unknown_type", "bad_field"];

/// Reads these bytes as a client's text: as they are, and as the fields of each request that there is. For the fuzz target
/// `request` alone.
///
/// # Panics
/// Something does not hold.
#[cfg(feature = "fuzzing")]
pub fn try_requests(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert_lawful(&text);
    for kind in TYPES {
        assert_lawful(&format!("{{\"type\":\"{kind}\",{text}}}"));
    }
}

/// Either a request as the text has it, or a code that stays; never a panic of the parser's own.
pub(super) fn assert_lawful(text: &str) {
    let Asked { reference, request } = parse(text);
    // Another reader's word on it. It gives up on what is deep, which is none of ours.
    let value = serde_json::from_str::<Value>(text).ok();
    let object = value.as_ref().filter(|value| value.is_object());
    let field = |name: &str| object.and_then(|value| value[name].as_str());
    if let Some(word) = &reference {
        assert!((1..=64).contains(&word.len()), "{word:?}");
        assert!(object.is_none() || field("ref") == Some(word), "{word:?} is not what was said");
    }
    match request {
        Ok(request) => {
            assert!(text.trim_start().starts_with('{') && (value.is_none() || object.is_some()), "no object");
            assert!(object.is_none() || field("type").is_some_and(|kind| TYPES.contains(&kind)), "{request:?}");
            let said = match &request {
                Request::Say(say) => Some(&*say.text),
                Request::To(to) => Some(&*to.text),
                _ => None,
            };
            assert!(object.is_none() || said.is_none_or(|said| field("text") == Some(said)), "{said:?}");
        }
        Err(fault) => {
            assert!(CODES.contains(&fault.code()) && fault.is_misconduct() && fault.retry().is_none(), "{fault:?}");
            assert!(!fault.text().is_empty());
            assert!(object.is_none() || fault.code() != "bad_json", "it is a JSON object");
            let known = field("type").is_some_and(|kind| TYPES.contains(&kind));
            assert!(!known || fault.code() != "unknown_type", "it has a type that is known");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    const FIELDS: [&str; 16] = [
        "type", "ref", "room", "text", "member", "name", "secret", "since", "before", "history", "limit", "session",
        "rooms", "for", "seconds", "reason",
    ];

    /// Whatever a field may hold: what is right for some, and what is right for none.
    fn value() -> impl Strategy<Value = String> {
        let texts = ["lobby", "00000000000000ff", "é\\u00e9", "\\ud800", "\\n", ""].map(|text| format!("\"{text}\""));
        let texts = texts.into_iter().chain(TYPES.map(|kind| format!("\"{kind}\"")));
        let bare = ["null", "true", "0", "-1", "1.5", "1e999", "18446744073709551616", "{}", "[]", "", "nul"];
        let leaf = prop_oneof![
            select(texts.collect::<Vec<_>>()),
            select(bare.to_vec()).prop_map(str::to_owned),
            ".{0,70}".prop_map(|text| Value::from(text).to_string()),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let pairs = vec((select(FIELDS.to_vec()), inner.clone()), 0..3);
            prop_oneof![vec(inner, 0..3).prop_map(|all| format!("[{}]", all.join(","))), pairs.prop_map(object)]
        })
    }

    fn object(fields: Vec<(&str, String)>) -> String {
        let fields = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    /// Objects of known fields; every other one begins with a type that there is.
    fn request() -> impl Strategy<Value = String> {
        let fields = vec((select(FIELDS.to_vec()), value()), 0..6);
        (proptest::option::of(select(TYPES.to_vec())), fields).prop_map(|(kind, fields)| {
            let kind = kind.map(|kind| ("type", format!("\"{kind}\"")));
            object(kind.into_iter().chain(fields).collect())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_have_an_outcome(bytes in vec(any::<u8>(), 0..200)) {
            assert_lawful(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn any_object_has_an_outcome(text in request()) {
            assert_lawful(&text);
        }

        #[test]
        fn any_object_that_was_torn_has_one_too(text in request(), at: usize, bytes in vec(any::<u8>(), 0..4)) {
            let mut torn = text.into_bytes();
            let at = at % (torn.len() + 1);
            torn.splice(at..(at + bytes.len()).min(torn.len()), bytes);
            assert_lawful(&String::from_utf8_lossy(&torn));
            torn.truncate(at);
            assert_lawful(&String::from_utf8_lossy(&torn));
        }
    }

    #[test]
    fn every_request_there_is_can_be_asked_for() {
        for kind in TYPES {
            let text = format!(r#"{{"type":"{kind}","text":"x","member":"m","name":"n","session":"s"}}"#);
            assert!(parse(&text).request.is_ok(), "{kind}");
        }
    }
}
