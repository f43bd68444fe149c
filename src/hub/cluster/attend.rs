//! Who is in a room: as one gateway writes it down in Redis, and what comes of all that the others have written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::hall::Others;
use super::id;

/// Members of one gateway that are named; beyond it they are counted.
pub(super) const NAMED: usize = 500;
/// Bytes of one gateway's list: names of the longest kind, and some.
const SIZE: usize = NAMED * 600 + 1024;
/// Bytes of a name at most.
const NAME: usize = 512;

/// What this gateway writes down; empty when nobody is here.
pub(super) fn written((count, members): (usize, Vec<(String, String)>)) -> String {
    if count == 0 {
        return String::new();
    }
    let members: Vec<Value> = members.into_iter().map(|(id, name)| json!([id, name])).collect();
    json!({ "count": count, "members": members }).to_string()
}

/// What all others have written, put together; what is not sound in it is left out.
pub(super) fn read(others: &[(String, String)]) -> Others {
    let mut count = 0;
    let mut members: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (node, text) in others.iter().filter(|(_, text)| text.len() <= SIZE) {
        let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
        let named = value.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let before = members.len();
        for (member, name) in named.iter().take(NAMED).filter_map(read_member) {
            members.entry(member.to_owned()).or_insert_with(|| (name.to_owned(), node.clone()));
        }
        let counted = value.get("count").and_then(Value::as_u64).unwrap_or(0).min(1_000_000);
        // Who is on two gateways is one; of those without a name in the list, nobody knows.
        let unnamed = usize::try_from(counted).unwrap_or(0).saturating_sub(named.len());
        count += members.len() - before + unnamed;
    }
    let members = members.into_iter().map(|(member, (name, node))| (member, name, node)).collect();
    Others { count, members }
}

fn read_member(value: &Value) -> Option<(&str, &str)> {
    let [member, name] = value.as_array()?.as_slice() else { return None };
    let (member, name) = (member.as_str()?, name.as_str()?);
    let sound = id::of_hex(member).is_some() && !name.is_empty() && name.len() <= NAME;
    (sound && !name.chars().any(char::is_control)).then_some((member, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(node: &str, text: &str) -> (String, String) {
        (node.to_owned(), text.to_owned())
    }

    #[test]
    fn what_is_written_is_read() {
        let (a, b) = ("00000000000000aa".to_owned(), "00000000000000bb".to_owned());
        let one = written((3, vec![(a.clone(), "ann \"x\"".to_owned()), (b.clone(), "bob".to_owned())]));
        let two = written((1, vec![(b.clone(), "bob".to_owned())]));
        let others = read(&[of("n1", &one), of("n2", &two)]);
        assert_eq!(others.count, 3);
        let expected = [(a, "ann \"x\"".to_owned(), "n1".to_owned()), (b, "bob".to_owned(), "n1".to_owned())];
        assert_eq!(others.members, expected);
        assert_eq!(written((0, Vec::new())), "");
    }

    #[test]
    fn what_is_not_sound_is_left_out() {
        let bad =
            r#"{"count":99999999999,"members":[["x","y"],["00000000000000aa"],["00000000000000aa","a\u0000"],7]}"#;
        assert_eq!(read(&[of("n", "junk"), of("n", "[]"), of("n", bad)]), Others { count: 999_996, members: vec![] });
    }
}
