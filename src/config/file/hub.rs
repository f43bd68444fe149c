//! Reads `hub = { … }`: the chat hub's rooms and what its members may do.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cluster::read_shared;
use super::document::{Placed, Table, Value};
use super::limits::SHORT;
use super::pool::read_file_path;
use crate::config::address::read_auth_url;
use crate::config::auth::AuthRequest;
use crate::config::cluster::Shared;
use crate::config::error::Wrong;
use crate::config::{Filter, FixedRoom, HistoryStore, Hub, NamePattern, RoomSecret, SayRate, Secret, Unfiltered};

const ON_ERROR: [(&str, Unfiltered); 2] = [("pass", Unfiltered::Pass), ("refuse", Unfiltered::Refuse)];
const URL: &str = r#""http://host:port/path", "https://host/path" or "unix:/socket:/path""#;
const KIB: usize = 1 << 10;

/// Members and rooms: more than one machine has ever held.
const MANY: RangeInclusive<usize> = 1..=1_000_000;
const HISTORY: RangeInclusive<usize> = 0..=10_000;
const FORGET: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);
/// From a minute to a hundred years.
const AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(36_500 * 24 * 3600);
/// Whether in a file.
const STORES: [(&str, bool); 2] = [("memory", false), ("file", true)];
const SLOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(6 * 3600);
const FIXED: &str = r#"a list of tables such as { name = "news", read_only = true }"#;
const PATTERN: &str = r"a regular expression for the whole name, such as '^[\w .-]+$'";
const SECRET: &str = "text of 1 to 256 bytes";

/// What a hub says that has to fit what other hubs say.
pub(super) struct Beside {
    /// Where it keeps its history.
    pub(super) history: Option<Placed<PathBuf>>,
    /// What it says of other gateways.
    pub(super) shared: Placed<Shared>,
}

/// Reads the hub of a route, the file of its history, which must be its own, and what it says of other gateways; paths in it
/// start at `base`.
pub(super) fn read_hub(value: &Value<'_>, base: &Path) -> (Hub, Beside) {
    let default = Hub::default();
    let alone = || Placed::new(Shared::Default, value.place());
    let Some(table) = value.table() else {
        return (default, Beside { history: None, shared: alone() });
    };
    let history = read_store(&table, base);
    let shared = read_shared(&table).unwrap_or_else(alone);
    let room_names = table.text("room_names", read_pattern).unwrap_or_default();
    let room = |text: &str| read_room_name(text, &room_names);
    let hub = Hub {
        history: table.count("history", HISTORY).unwrap_or(default.history),
        history_size: table.size("history_size", KIB..=64 << 20).unwrap_or(default.history_size),
        history_age: table.optional_duration("history_age", AGE).unwrap_or(default.history_age),
        history_store: history.as_ref().map_or(HistoryStore::Memory, |file| HistoryStore::File(file.value.clone())),
        page: table.flag("page").unwrap_or(default.page),
        to_sender: table.flag("to_sender").unwrap_or(default.to_sender),
        escape: table.flag("escape").unwrap_or(default.escape),
        rooms: table.count("rooms", MANY).unwrap_or(default.rooms),
        room: read_lobby(&table, room, default.room),
        create: table.flag("create").unwrap_or(default.create),
        members: table.count("members", MANY).unwrap_or(default.members),
        rooms_per_member: table.count("rooms_per_member", 1..=1000).unwrap_or(default.rooms_per_member),
        presence: table.count("presence", 0..=10_000).unwrap_or(default.presence),
        name_length: table.count("name_length", 1..=64).unwrap_or(default.name_length),
        text: table.size("text", 1..=1 << 20).unwrap_or(default.text),
        say: read_say(&table, default.say),
        forget_empty: table.duration("forget_empty", FORGET).unwrap_or(default.forget_empty),
        mailbox: table.count("mailbox", 16..=1_000_000).unwrap_or(default.mailbox),
        mailbox_size: table.size("mailbox_size", 64 * KIB..=1 << 30).unwrap_or(default.mailbox_size),
        bans: table.count("bans", MANY).unwrap_or(default.bans),
        mutes: table.count("mutes", MANY).unwrap_or(default.mutes),
        rooms_claim: table.text("rooms_claim", read_claim).unwrap_or(default.rooms_claim),
        name_claim: table.text("name_claim", read_claim).unwrap_or(default.name_claim),
        moderator_claim: table.text("moderator_claim", read_claim).unwrap_or(default.moderator_claim),
        filter: read_filter(&table, base),
        // Once it is known whether there is a [cluster]: see the draft.
        shared: None,
        fixed: read_fixed(&table, &room_names, base),
        room_names,
    };
    if hub.fixed.len() > hub.rooms {
        table.problem("has more fixed rooms than rooms", "as many rooms as there are fixed ones, or more");
    }
    if hub.fixed.is_empty() && !hub.create {
        table.incomplete("has no rooms and makes none", "rooms in `fixed`, or create = true");
    }
    table.finish();
    (hub, Beside { history, shared })
}

/// The file, where the history is kept in one.
fn read_store(table: &Table<'_>, base: &Path) -> Option<Placed<PathBuf>> {
    // Whether in a file; what was refused is a problem already, and says nothing about the other key.
    let said = table.get("history_store").map(|value| value.choice(&STORES, &[]));
    let file = table.get("history_file");
    match (said.unwrap_or(Some(false)), file) {
        (Some(true), None) => {
            table.incomplete("keeps its history in a file and does not say where", "history_file = the path of a file");
            None
        }
        (Some(false), Some(file)) => {
            file.refuse("has no meaning where the history is kept in memory", "history_store = \"file\" beside it");
            None
        }
        (_, file) => file.and_then(|file| {
            let path = file.text(|text| match text {
                "" => Err(Wrong::new("not a path", "the path of a file")),
                text if text.contains('\0') => Err(Wrong::new("not a path", "the path of a file")),
                text => Ok(base.join(text)),
            })?;
            Some(Placed::new(path, file.place()))
        }),
    }
}

/// A name that the owner wrote is checked against the pattern as well; so is the one that holds where none is written.
fn read_lobby(table: &Table<'_>, read: impl Fn(&str) -> Result<String, Wrong>, default: String) -> String {
    match table.get("room") {
        Some(value) => value.text(read).unwrap_or(default),
        None => {
            if read(&default).is_err() {
                table.incomplete("has a default room, \"lobby\", that room_names does not allow", "room = a name");
            }
            default
        }
    }
}

fn read_say(table: &Table<'_>, default: SayRate) -> SayRate {
    let Some(table) = table.table("say") else { return default };
    let rate = table.rate("rate").unwrap_or(default.rate);
    let burst = table.count("burst", 1..=100_000).map(|burst| u32::try_from(burst).unwrap_or(u32::MAX));
    table.finish();
    SayRate { rate, burst: burst.unwrap_or(default.burst) }
}

fn read_filter(table: &Table<'_>, base: &Path) -> Option<Box<Filter>> {
    let table = table.table("filter")?;
    let url = table.require("url", URL).and_then(|value| value.text(|text| read_auth_url(text, base)));
    let (ca, timeout) = (table.text("ca", |text| read_file_path(text, base)), table.duration("timeout", SHORT));
    let at_once = table.count("at_once", 1..=10_000).unwrap_or(64);
    let idle_connections = table.count("idle_connections", 0..=1000).unwrap_or(8);
    let on_error = table.choice("on_error", &ON_ERROR, &[]).unwrap_or(Unfiltered::Refuse);
    table.finish();
    let AuthRequest { url, transport, host, target, .. } = url?;
    let timeout = timeout.unwrap_or(Duration::from_secs(1));
    Some(Box::new(Filter { url, transport, host, target, ca, timeout, at_once, idle_connections, on_error }))
}

fn read_fixed(table: &Table<'_>, names: &NamePattern, base: &Path) -> Vec<FixedRoom> {
    let items = table.items("fixed", FIXED).unwrap_or_default();
    let mut rooms: Vec<FixedRoom> = Vec::new();
    for item in items {
        let Some(table) = item.table() else { continue };
        let name = table.require("name", "the room's name").and_then(|value| {
            let name = value.text(|text| read_room_name(text, names))?;
            if rooms.iter().any(|room| room.name == name) {
                value.refuse("named twice", "each room once");
            }
            Some(name)
        });
        let room = FixedRoom {
            name: name.unwrap_or_default(),
            history: table.count("history", HISTORY),
            members: table.count("members", MANY),
            secret: read_secret(&table, base),
            read_only: table.flag("read_only").unwrap_or(false),
            slow: table.optional_duration("slow", SLOW).flatten().unwrap_or_default(),
        };
        table.finish();
        rooms.push(room);
    }
    rooms
}

/// What is wrong with a secret is told without it.
fn read_secret(table: &Table<'_>, base: &Path) -> Option<RoomSecret> {
    let (text, file) = (table.get("secret"), table.text("secret_file", |text| read_file_path(text, base)));
    if text.is_some() && file.is_some() {
        table.problem("has both secret and secret_file", "one of them");
    }
    let text = text.and_then(|value| match value.as_text() {
        Some(text) if (1..=256).contains(&text.len()) => Some(RoomSecret::Text(Secret::new(text))),
        _ => {
            let place = super::document::Place { text: None, ..value.place() };
            value.document.report(place.problem("not a secret", SECRET));
            None
        }
    });
    text.or(file.map(RoomSecret::File))
}

fn read_pattern(text: &str) -> Result<NamePattern, Wrong> {
    match NamePattern::new(text) {
        Ok(pattern) if !text.is_empty() => Ok(pattern),
        Ok(_) => Err(Wrong::new("allows no name", PATTERN)),
        Err(wrong) => Err(Wrong::new(format!("no regular expression: {wrong}"), PATTERN)),
    }
}

fn read_room_name(text: &str, names: &NamePattern) -> Result<String, Wrong> {
    match names.allows(text) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a room's name", "a name that room_names allows")),
    }
}

fn read_claim(text: &str) -> Result<String, Wrong> {
    match text {
        "" => Err(Wrong::new("no name", "the name of a claim")),
        _ => Ok(text.to_owned()),
    }
}
