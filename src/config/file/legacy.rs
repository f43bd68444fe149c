//! Reads `[route.proxy.legacy]`: what of a profile a route wants otherwise.

use super::document::Table;
use super::limits::SHORT;
use crate::config::{BINARY, BadText, Hold, Legacy, Profile};

const BAD_TEXT: [(&str, BadText); 3] =
    [("drop", BadText::Drop), ("replace", BadText::Replace), ("close", BadText::Close)];

const KEYS: [&str; 11] = [
    "one_frame_per_read",
    "pace_reply",
    "message_size",
    "binary",
    "bad_text",
    "quickack",
    "hold",
    "hold_queue",
    "hold_any_end",
    "replay_messages",
    "replay_size",
];

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

/// Whether and how clients are held; what is set beside a `hold` that is off is checked all the same.
pub(super) fn read_hold(table: &Table<'_>) -> Option<Hold> {
    let time = table.optional_duration("hold", SHORT).flatten();
    let hold = Hold {
        time: time.unwrap_or_default(),
        replay_messages: table.count("replay_messages", 0..=1000).unwrap_or(0),
        replay_size: table.size("replay_size", 64..=16 << 20).unwrap_or(16 << 10),
        queue: table.size("hold_queue", 1 << 10..=64 << 20).unwrap_or(64 << 10),
        any_end: table.flag("hold_any_end").unwrap_or(false),
    };
    time.map(|_| hold)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Binary, Config, Proxy, Target};

    fn read(proxy: &str) -> Result<Option<Legacy>, String> {
        read_proxy(proxy).map(|proxy| proxy.legacy)
    }

    fn read_proxy(proxy: &str) -> Result<Proxy, String> {
        let text = format!(
            "[[route]]\npath = \"/\"\n[route.proxy]\npool = \"p\"\n{proxy}\n[pool.p]\nbackends = [\"ws://h\"]\n"
        );
        let config = Config::parse(&text, "t", Path::new("")).map_err(|problems| problems.to_string())?;
        match &config.routes[0].target {
            Target::Proxy(proxy) => Ok(proxy.clone()),
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
    fn nobody_is_held_unless_the_owner_says_so() {
        let hold = |keys: &str| {
            let proxy = format!("profile = \"legacy\"\n[route.proxy.legacy]\n{keys}");
            read_proxy(&proxy).map(|proxy| proxy.hold)
        };
        assert_eq!(hold(""), Ok(None));
        assert_eq!(hold("hold = \"0s\"\nreplay_messages = 3\nreplay_size = \"1KiB\""), Ok(None));
        let time = std::time::Duration::from_secs(30);
        let default = Hold { time, replay_messages: 0, replay_size: 16 << 10, queue: 64 << 10, any_end: false };
        assert_eq!(hold("hold = \"30s\""), Ok(Some(default)));
        let all = "hold = \"30s\"\nreplay_messages = 2\nreplay_size = 100\nhold_queue = 2048\nhold_any_end = true";
        let set = Hold { replay_messages: 2, replay_size: 100, queue: 2048, any_end: true, ..default };
        assert_eq!(hold(all), Ok(Some(set)));
        let problem = hold("replay_messages = 1001").expect_err("refused");
        assert!(problem.contains("too large"), "{problem}");
    }

    #[test]
    fn transparent_has_no_parts() {
        let refused = read("[route.proxy.legacy]\nmessage_size = 7").expect_err("refused");
        assert!(refused.contains("route[0].proxy.legacy.message_size = 7: has no meaning"), "{refused}");
        for key in
            ["hold = \"30s\"", "replay_messages = 1", "replay_size = 100", "hold_queue = 2048", "hold_any_end = true"]
        {
            let refused = read(&format!("[route.proxy.legacy]\n{key}")).expect_err("refused");
            assert!(refused.contains(&format!("route[0].proxy.legacy.{key}: has no meaning")), "{refused}");
        }
    }
}
