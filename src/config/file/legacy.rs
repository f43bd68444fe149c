//! Reads `[route.proxy.legacy]`: what of a profile a route wants otherwise.

use super::document::Table;
use super::limits::SHORT;
use crate::config::{BINARY, BadText, Legacy, Profile};

const BAD_TEXT: [(&str, BadText); 3] =
    [("drop", BadText::Drop), ("replace", BadText::Replace), ("close", BadText::Close)];

const KEYS: [&str; 6] = ["one_frame_per_read", "pace_reply", "message_size", "binary", "bad_text", "quickack"];

/// The profile's parts with what the table, if there is one, says instead; none for a profile that has no parts. Others
/// read more from the same table, and whoever has it finishes it.
pub(super) fn read_legacy(table: Option<&Table<'_>>, profile: Profile) -> Option<Legacy> {
    let default = profile.treatment().legacy;
    let Some(table) = table else { return default };
    if default.is_none() {
        for value in KEYS.into_iter().filter_map(|name| table.get(name)) {
            value.refuse("has no meaning with the profile \"transparent\"", "nothing, or another profile");
        }
    }
    default.map(|default| Legacy {
        one_frame_per_read: table.flag("one_frame_per_read").unwrap_or(default.one_frame_per_read),
        pace_reply: table.duration("pace_reply", SHORT).unwrap_or(default.pace_reply),
        message_size: table.size("message_size", 1..=1 << 30).unwrap_or(default.message_size),
        binary: table.choice("binary", &BINARY, &[]).unwrap_or(default.binary),
        bad_text: table.choice("bad_text", &BAD_TEXT, &[]).unwrap_or(default.bad_text),
        quickack: table.flag("quickack").unwrap_or(default.quickack),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Binary, Config, Target};

    fn read(proxy: &str) -> Result<Option<Legacy>, String> {
        let text = format!(
            "[[route]]\npath = \"/\"\n[route.proxy]\npool = \"p\"\n{proxy}\n[pool.p]\nbackends = [\"ws://h\"]\n"
        );
        let config = Config::parse(&text, "t", Path::new("")).map_err(|problems| problems.to_string())?;
        match &config.routes[0].target {
            Target::Proxy(proxy) => Ok(proxy.legacy),
            _ => Err("no proxy".to_owned()),
        }
    }

    #[test]
    fn a_profile_is_its_parts_and_each_can_be_set() {
        assert_eq!(read(""), Ok(None));
        for (name, profile) in Profile::ALL {
            assert_eq!(read(&format!("profile = \"{name}\"")), Ok(profile.treatment().legacy), "{name}");
        }
        let default = Profile::Ratchet.treatment().legacy.expect("parts");
        let set = |key: &str| {
            read(&format!("profile = \"ratchet\"\n[route.proxy.legacy]\n{key}")).map(|all| all.expect("parts"))
        };
        let second = std::time::Duration::from_secs(2);
        assert_eq!(set("one_frame_per_read = true"), Ok(Legacy { one_frame_per_read: true, ..default }));
        assert_eq!(set("pace_reply = \"2s\""), Ok(Legacy { pace_reply: second, ..default }));
        assert_eq!(set("quickack = true"), Ok(Legacy { quickack: true, ..default }));
        assert_eq!(set("message_size = 7"), Ok(Legacy { message_size: 7, ..default }));
        assert_eq!(set("binary = \"reject\""), Ok(Legacy { binary: Binary::Reject, ..default }));
        assert_eq!(set("bad_text = \"close\""), Ok(Legacy { bad_text: BadText::Close, ..default }));
    }

    #[test]
    fn transparent_has_no_parts() {
        let refused = read("[route.proxy.legacy]\nmessage_size = 7").expect_err("refused");
        assert!(refused.contains("route[0].proxy.legacy.message_size = 7: has no meaning"), "{refused}");
    }
}
