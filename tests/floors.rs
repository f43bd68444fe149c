//! The house law, read from the source: no import runs up or sideways, each outside crate stays in its rooms, files
//! stay small and say what they are for. CONTRIBUTING.md has the law in words; the tables here are what holds.

#![allow(clippy::expect_used)] // what cannot be read cannot be lawful

#[path = "floors/source.rs"]
mod source;
#[path = "floors/trials.rs"]
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::{Kind, Mention, Source, Token};

// ---- The tables --------------------------------------------------------------------------------

/// The rooms by floor. A room knows the floors below its own, and nobody beside it.
const FLOORS: &[(u8, &[&str])] = &[
    (
        8,
        &[
            "main.rs",
            "arguments.rs",
            "descriptors.rs",
            "door.rs",
            "health.rs",
            "inherited.rs",
            "journal.rs",
            "logging.rs",
            "manual.rs",
            "notify.rs",
            "outlet.rs",
            "output.rs",
            "panics.rs",
            "passing.rs",
            "predecessor.rs",
            "serve.rs",
            "signals.rs",
            "successor.rs",
            "probing.rs",
            "reloading.rs",
            "top",
        ],
    ),
    (7, &["lib.rs"]),
    (6, &["gateway"]),
    (5, &["relay", "courier"]),
    (4, &["pool", "probe", "auth", "filter", "otlp", "acme"]),
    (3, &["admission", "tls", "hub", "echo", "client"]),
    (2, &["config", "socket", "admin"]),
    (1, &["wire", "route", "limits", "telemetry", "lifecycle"]),
];

/// The outside crates, and the rooms that may name each: files and folders of src/. The same stands in CONTRIBUTING.md.
const CRATES: &[(&str, &[&str])] = &[
    ("arc-swap", &["gateway/shared.rs", "tls/"]),
    ("aws-lc-rs", &["auth/", "gateway/token.rs", "hub/", "tls/"]),
    ("base64", &["acme/account.rs", "auth/jwt/", "client.rs", "wire/offer.rs"]),
    ("bytes", &["acme/exchange.rs", "auth/", "client/lines.rs", "filter.rs", "gateway/", "hub/", "otlp.rs", "socket/"]),
    ("clap", &["arguments.rs", "main.rs", "manual.rs"]),
    ("clap_complete", &["arguments.rs", "manual.rs"]),
    ("clap_mangen", &["manual.rs"]),
    ("fastwebsockets", &["client.rs"]),
    ("governor", &["admission/rate.rs", "socket/rate.rs"]),
    (
        "http",
        &[
            "acme/exchange.rs",
            "admin.rs",
            "admission/",
            "auth/",
            "client/lines.rs",
            "courier/",
            "filter.rs",
            "gateway/",
            "otlp.rs",
            "pool/",
            "probe/",
            "wire/",
        ],
    ),
    (
        "http-body-util",
        &["acme/exchange.rs", "admin.rs", "auth/", "client/lines.rs", "filter.rs", "gateway/", "otlp.rs"],
    ),
    ("httparse", &["wire/"]),
    ("httpdate", &["acme/exchange.rs"]),
    (
        "hyper",
        &["acme/exchange.rs", "admin.rs", "auth/", "client/lines.rs", "courier/", "filter.rs", "gateway/", "otlp.rs"],
    ),
    ("hyper-util", &["admin.rs", "client/lines.rs", "courier/", "gateway/"]),
    ("icu_normalizer", &["hub/name.rs"]),
    ("icu_properties", &["hub/name.rs"]),
    ("instant-acme", &["acme/"]),
    ("ipnet", &["admission/", "config/", "gateway/desk/"]),
    ("jsonwebtoken", &["auth/"]),
    ("listenfd", &["inherited.rs"]),
    ("memchr", &["admission/proxy_header.rs", "wire/"]),
    ("netlink-packet-core", &["socket/far_end/"]),
    ("netlink-packet-sock-diag", &["socket/far_end/"]),
    ("opentelemetry", &["otlp.rs"]),
    ("opentelemetry-http", &["otlp.rs"]),
    ("opentelemetry-otlp", &["otlp.rs"]),
    ("opentelemetry_sdk", &["otlp.rs"]),
    (
        "parking_lot",
        &[
            "acme/exchange.rs",
            "admission/",
            "auth/",
            "client/lines.rs",
            "gateway/worker.rs",
            "hub/",
            "journal.rs",
            "pool/",
            "telemetry/spans.rs",
            "tls/",
        ],
    ),
    ("ppp", &["admission/proxy_header.rs", "client/way.rs"]),
    ("prometheus-client", &["telemetry/metrics.rs", "telemetry/metrics/", "telemetry/spans.rs"]),
    ("ratatui", &["top/"]),
    ("rcgen", &["tls/"]),
    ("redis", &["hub/cluster/"]),
    ("regex", &["config/hub.rs"]),
    ("rusqlite", &["hub/store/"]),
    (
        "rustix",
        &["acme/storage.rs", "descriptors.rs", "notify.rs", "passing.rs", "socket/far_end/", "socket/transport.rs"],
    ),
    ("rustls", &["client/", "socket/", "tls/"]),
    ("rustls-pemfile", &["tls/pem.rs"]),
    ("serde", &["gateway/desk/", "hub/language/", "top/"]),
    (
        "serde_json",
        &[
            "acme/",
            "auth/",
            "filter.rs",
            "gateway/desk/",
            "hub/cluster/",
            "hub/language/",
            "probe/",
            "reloading.rs",
            "top/",
        ],
    ),
    ("sha1", &["wire/offer.rs"]),
    ("simdutf8", &["wire/utf8.rs"]),
    ("slab", &["hub/shard.rs", "telemetry/roster.rs"]),
    ("socket2", &["client/way.rs", "door.rs", "gateway/bound.rs", "gateway/listeners.rs", "top/"]),
    ("strsim", &["config/file/"]),
    ("tikv-jemallocator", &["main.rs"]),
    ("time", &["tls/"]),
    (
        "tokio",
        &[
            "admin.rs",
            "auth/",
            "client/",
            "courier/",
            "filter.rs",
            "gateway/",
            "hub/",
            "lifecycle.rs",
            "lifecycle/",
            "notify.rs",
            "otlp.rs",
            "pool/",
            "predecessor.rs",
            "probe/",
            "probing.rs",
            "relay/",
            "serve.rs",
            "signals.rs",
            "socket/",
            "successor.rs",
            "top/",
        ],
    ),
    ("tokio-rustls", &["client/", "socket/"]),
    ("toml", &["config/file/"]),
    (
        "tracing",
        &[
            "acme/",
            "admin.rs",
            "auth/request.rs",
            "courier/",
            "descriptors.rs",
            "filter.rs",
            "gateway/",
            "hub/cluster/",
            "hub/moderation.rs",
            "hub/store/",
            "inherited.rs",
            "logging.rs",
            "notify.rs",
            "otlp.rs",
            "panics.rs",
            "pool/",
            "reloading.rs",
            "serve.rs",
            "signals.rs",
            "successor.rs",
            "telemetry/record.rs",
            "telemetry/sample.rs",
        ],
    ),
    ("tracing-subscriber", &["logging.rs"]),
    ("url", &["auth/token.rs", "client/", "gateway/desk/", "tls/names.rs", "top/", "wire/origin.rs"]),
    ("webpki-roots", &["client/"]),
    ("x509-parser", &["tls/"]),
    // For benches alone, and for tests alone, in whatever room.
    ("criterion", &["benches"]),
    ("hdrhistogram", &["tests"]),
    ("proptest", &["tests"]),
    ("tempfile", &["tests"]),
    ("tokio-tungstenite", &["tests"]),
];

/// Where tokio must never be granted: rooms that are pure, or plain data.
const WITHOUT_TOKIO: &[&str] = &["wire/", "route.rs", "limits.rs", "config/", "admission/", "telemetry/"];

/// Words that bring input, output, a clock or chance into a room that is pure.
const PURE: &[&str] = &["wire", "route", "limits"];
const IMPURE_WORDS: &[&str] = &["Instant", "SystemTime", "RandomState", "rand", "getrandom", "thread_rng"];
const IMPURE_STD: &[&str] = &["fs", "io", "process", "thread", "env", "os"];

/// The longest file, without its tests.
const LINES: usize = 300;

/// Files that are longer, and how long they may be: to be split; none may grow, and what has shrunk leaves this list.
const LONG_FILES: &[(&str, usize)] = &[];

// ---- What is read ------------------------------------------------------------------------------

struct File<'t> {
    /// Below src/, as `wire/frame.rs`.
    path: &'t str,
    text: &'t str,
    source: Source<'t>,
    /// Its module, as `["wire", "frame"]`; the roots have none.
    module: Vec<String>,
    /// Whether the whole file is there for tests.
    test: bool,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// A module or an item of ours, from the crate's root.
    Ours(Vec<String>),
    /// An outside crate.
    Outside(String),
    /// The standard library, or something that the file itself declares.
    Local,
}

fn read<'t>(files: &'t [(String, String)]) -> Vec<File<'t>> {
    let mut read: Vec<File<'t>> = files.iter().map(|(path, text)| File::new(path, text)).collect();
    let tests: Vec<Vec<String>> = read
        .iter()
        .flat_map(|file| {
            file.source.test_files.iter().map(|name| [&file.module[..], std::slice::from_ref(name)].concat())
        })
        .collect();
    for file in &mut read {
        file.test = tests.iter().any(|test| file.module.starts_with(test));
    }
    read
}

impl<'t> File<'t> {
    fn new(path: &'t str, text: &'t str) -> Self {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let root = ["main", "lib"].contains(&stem);
        let module = if root { Vec::new() } else { stem.split('/').map(str::to_owned).collect() };
        Self { path, text, source: Source::read(text), module, test: false }
    }

    /// The room: a file of the binary, lib.rs, or a module below the library's root.
    fn room(&self) -> &str {
        if floor(self.path).is_some() { self.path } else { self.module.first().map_or(self.path, String::as_str) }
    }

    fn is_binary(&self) -> bool {
        floor(self.room()) == Some(8)
    }

    fn target(&self, mention: &Mention) -> Target {
        let first = mention.segments[0].as_str();
        let module = || [&self.module[..], &mention.module].concat();
        let declared = self.source.modules.contains(&(mention.module.clone(), first.to_owned()));
        match first {
            "crate" => Target::Ours(mention.segments[1..].to_vec()),
            "self" => Target::Ours([&module(), &mention.segments[1..]].concat()),
            "super" => {
                let steps = mention.segments.iter().take_while(|segment| *segment == "super").count();
                let module = module();
                let left = module.len().saturating_sub(steps);
                Target::Ours([&module[..left], &mention.segments[steps..]].concat())
            }
            _ if declared => Target::Ours([&module(), &mention.segments[..]].concat()),
            "std" | "core" | "alloc" => Target::Local,
            _ if mention.imported && is_dependency(first) => Target::Outside(first.to_owned()),
            _ if first.starts_with(char::is_uppercase) || self.source.names.contains(first) => Target::Local,
            _ if mention.imported || is_dependency(first) => Target::Outside(first.to_owned()),
            _ => Target::Local,
        }
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

/// The rooms of a crate, by its name in code.
fn rooms_of(name: &str) -> Option<&'static [&'static str]> {
    CRATES.iter().find(|(known, _)| known.replace('-', "_") == name).map(|(_, rooms)| *rooms)
}

fn is_dependency(name: &str) -> bool {
    rooms_of(name).is_some() || name == "wsgate"
}

/// Whether a grant of a file or a folder covers this file.
fn covers(grant: &str, path: &str) -> bool {
    let folder = grant.strip_suffix('/');
    path == grant || folder.is_some_and(|folder| path.starts_with(grant) || path.strip_suffix(".rs") == Some(folder))
}

// ---- The law -----------------------------------------------------------------------------------

/// No arrow up, none sideways, none through the crate's root.
fn imports(file: &File<'_>) -> Vec<String> {
    let Some(own) = floor(file.room()) else {
        return vec![file.at(1, "has no floor: name its room in tests/floors.rs")];
    };
    let mut found = Vec::new();
    for mention in &file.source.mentions {
        let Target::Ours(path) = file.target(mention) else { continue };
        let known = |room: &&String| if file.is_binary() { is_binary_part(room) } else { floor(room).is_some() };
        let Some(room) = path.first().filter(known) else {
            if !(file.module.is_empty() && mention.segments[0] != "crate") {
                found.push(file.at(mention.line, "imports through the crate's root"));
            }
            continue;
        };
        if file.is_binary() || room == file.room() {
            continue;
        }
        match floor(room) {
            Some(other) if other < own => {}
            Some(other) if other == own => found.push(
                file.at(mention.line, &format!("{} names {room} beside it: both are on floor {own}", file.room())),
            ),
            other => found.push(file.at(
                mention.line,
                &format!("{} (floor {own}) names {room} (floor {}) above it", file.room(), other.unwrap_or(8)),
            )),
        }
    }
    found
}

fn is_binary_part(room: &str) -> bool {
    (floor(&format!("{room}.rs")) == Some(8) && room != "main") || floor(room) == Some(8)
}

/// Outside crates stay in their rooms.
fn crates(file: &File<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for mention in &file.source.mentions {
        let Target::Outside(name) = file.target(mention) else { continue };
        match rooms_of(&name) {
            None if name == "wsgate" && file.is_binary() => {}
            None => found.push(file.at(mention.line, &format!("{name} has no rooms in tests/floors.rs"))),
            Some(["tests"]) if file.test || mention.test => {}
            Some([folder @ ("tests" | "benches")]) => {
                found.push(file.at(mention.line, &format!("{name} is for {folder} alone")));
            }
            Some(rooms) if rooms.iter().any(|room| covers(room, file.path)) => {}
            Some(rooms) => {
                found.push(file.at(mention.line, &format!("{name} stays in {}", rooms.join(", "))));
            }
        }
    }
    found
}

/// Pure rooms have no input, no output, no clock and no chance; not even in their tests.
fn purity(file: &File<'_>) -> Vec<String> {
    if !PURE.contains(&file.room()) {
        return Vec::new();
    }
    let words = file.source.tokens.iter().filter(|token| is_word_of(token, IMPURE_WORDS));
    let mut found: Vec<String> =
        words.map(|word| file.at(word.line, &format!("{} in a pure room", word.text))).collect();
    for mention in &file.source.mentions {
        if let [first, second, ..] = &mention.segments[..]
            && first == "std"
            && IMPURE_STD.contains(&second.as_str())
        {
            found.push(file.at(mention.line, &format!("std::{second} in a pure room")));
        }
    }
    found
}

/// Workers have no clock of their own, and tokio's timers panic there: they are made where one is lent.
fn timers(file: &File<'_>) -> Vec<String> {
    let mentions = file.source.mentions.iter().filter(|mention| !(mention.test || file.test));
    let made = mentions.filter(|mention| {
        let made = mention.segments.get(2).is_some_and(|name| name.starts_with(char::is_lowercase));
        mention.segments.starts_with(&["tokio".to_owned(), "time".to_owned()]) && made
    });
    // The binary's own code runs where there is a clock, on the thread that runs the gateway.
    if file.path == "lifecycle/clock.rs" || file.is_binary() {
        return Vec::new();
    }
    made.map(|mention| file.at(mention.line, "timers are made by lifecycle::clock")).collect()
}

fn is_word_of(token: &Token<'_>, words: &[&str]) -> bool {
    token.kind == Kind::Word && words.contains(&token.text)
}

/// Every file says what it is for, has a name that says it too, and nothing unsafe or hidden in it.
fn manners(file: &File<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if !file.text.starts_with("//! ") {
        found.push(file.at(1, "does not open with a sentence that says what it is for (//!)"));
    }
    let names = file.source.modules.iter().map(|(_, name)| name).chain(&file.module);
    for name in names {
        let vague = ["helper", "helpers", "util", "utils", "common", "misc"];
        if name.split('_').any(|word| vague.contains(&word)) {
            found.push(file.at(1, &format!("{name} says nothing: name it after what it does")));
        }
    }
    for token in file.source.tokens.iter().filter(|token| is_word_of(token, &["unsafe", "extern", "include", "path"])) {
        let hidden = token.text != "path" || is_path_attribute(file, token);
        if hidden {
            found.push(file.at(token.line, &format!("{} has no place in this house", token.text)));
        }
    }
    found
}

/// `#[path = …]` would put a module where this test does not look.
fn is_path_attribute(file: &File<'_>, token: &Token<'_>) -> bool {
    let tokens = &file.source.tokens;
    let at = tokens.iter().position(|other| std::ptr::eq(other, token)).unwrap_or_default();
    let texts = |range: std::ops::Range<usize>| tokens.get(range).unwrap_or_default().iter().map(|token| token.text);
    at >= 2 && texts(at - 2..at + 2).eq(["#", "[", "path", "="])
}

/// Files stay small: the ones that do not are listed, and do not grow.
fn size(file: &File<'_>, long: &[(&str, usize)]) -> Vec<String> {
    let lines = file.source.lines;
    let listed = long.iter().find(|(path, _)| *path == file.path).map(|(_, most)| *most);
    match listed {
        _ if file.test => Vec::new(),
        None if lines > LINES => vec![file.at(1, &format!("{lines} lines without tests, {LINES} at most"))],
        Some(most) if lines > most => vec![file.at(1, &format!("has grown to {lines} lines, from {most}"))],
        Some(_) if lines <= LINES => vec![file.at(1, "is no longer long: take it off the list in tests/floors.rs")],
        _ => Vec::new(),
    }
}

/// lib.rs has a tour, modules and what is public; no logic.
fn no_logic(file: &File<'_>) -> Vec<String> {
    let logic = file.source.tokens.iter().filter(|token| is_word_of(token, &["fn", "struct", "enum", "impl", "const"]));
    if file.path == "lib.rs" {
        logic.map(|token| file.at(token.line, "the library's root has no logic")).collect()
    } else {
        Vec::new()
    }
}

/// The archived crate is called once, so that it can be replaced in one place.
fn pemfile_calls(files: &[File<'_>]) -> Vec<String> {
    let mut calls = Vec::new();
    for file in files {
        let calling = |mention: &&Mention| {
            let last = mention.segments.last().is_some_and(|last| last.starts_with(char::is_lowercase));
            mention.segments[0] == "rustls_pemfile" && last && mention.segments.len() > 1
        };
        calls
            .extend(file.source.mentions.iter().filter(calling).map(|call| file.at(call.line, "calls rustls-pemfile")));
    }
    if calls.len() == 1 { Vec::new() } else { calls }
}

/// Every grant in the table is made use of: what nobody needs is taken back.
fn idle_grants(files: &[File<'_>]) -> Vec<String> {
    let benches = rust_files("benches");
    let tests = [rust_files("tests"), benches.clone()].concat();
    let in_folder = |name: &str, folder: &str| {
        let files = if folder == "tests" { &tests } else { &benches };
        files.iter().any(|(_, text)| text.contains(&format!("{}::", name.replace('-', "_"))))
    };
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    for file in files {
        for mention in &file.source.mentions {
            let Target::Outside(name) = file.target(mention) else { continue };
            let entry = CRATES.iter().find(|(known, _)| known.replace('-', "_") == name);
            let grants = entry.into_iter().flat_map(|(known, rooms)| rooms.iter().map(move |room| (*known, *room)));
            used.extend(grants.filter(|(_, room)| *room == "tests" || covers(room, file.path)));
        }
    }
    let all = CRATES.iter().flat_map(|(name, rooms)| rooms.iter().map(move |room| (*name, *room)));
    let is_folder = |room: &str| ["tests", "benches"].contains(&room);
    let is_used = |&(name, room): &(_, _)| used.contains(&(name, room)) || is_folder(room) && in_folder(name, room);
    all.filter(|grant| !is_used(grant)).map(|(name, room)| format!("{name} is no longer named in {room}")).collect()
}

/// End-to-end tests wait for what happens, not for time, and take the port that they are given.
fn patience(path: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let called = source.tokens.get(at + 1).is_some_and(|next| next.text == "(");
        if called && is_word_of(token, &["sleep"]) {
            found.push(format!("{path}:{}: sleeps: wait for what is to happen", token.line));
        }
        if token.kind == Kind::Text && has_fixed_port(token.text) {
            found.push(format!("{path}:{}: a fixed port: bind port 0 and ask", token.line));
        }
    }
    found
}

/// Ports below 1024 are nobody's by chance: tests name them where nothing must listen.
fn has_fixed_port(text: &str) -> bool {
    ["127.0.0.1:", "localhost:", "0.0.0.0:", "[::1]:", "[::]:"].iter().any(|host| {
        text.match_indices(host).any(|(at, _)| {
            let port: String = text[at + host.len()..].chars().take_while(char::is_ascii_digit).collect();
            port.parse::<u32>().is_ok_and(|port| port >= 1024)
        })
    })
}

// ---- The files ---------------------------------------------------------------------------------

/// The Rust files below a folder of the repository, by their path in it.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(&root).expect("is below").to_string_lossy().replace('\\', "/");
                files.push((name, std::fs::read_to_string(&path).expect("can be read")));
            }
        }
    }
    files.sort();
    files
}

fn top(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("can be read")
}

fn assert_lawful(found: &[String]) {
    assert!(found.is_empty(), "{} found\n{}\n", found.len(), found.join("\n"));
}

/// The crates of Cargo.toml with the version that each asks for.
fn dependencies(manifest: &str) -> BTreeMap<&str, &str> {
    let (mut inside, mut found) = (false, BTreeMap::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        } else if let Some((name, wish)) = line.split_once(" = ").filter(|_| inside && !line.starts_with('#')) {
            let version = wish.split('"').nth(1).unwrap_or_default();
            found.insert(name.trim(), version);
        }
    }
    found
}

/// The rows of CONTRIBUTING.md's table of crates: name, version and rooms.
fn rows(contributing: &str) -> BTreeMap<&str, (&str, Vec<&str>)> {
    let mut found = BTreeMap::new();
    for line in contributing.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [name, version, _, _, _, rooms] = cells[..] {
            let rooms = rooms.split(", ").map(|room| room.trim_matches('`')).collect();
            found.insert(name.trim_matches('`'), (version, rooms));
        }
    }
    found
}

#[test]
fn no_import_runs_up_or_sideways() {
    let files = rust_files("src");
    assert!(files.len() > 50, "{} files", files.len());
    assert_lawful(&read(&files).iter().flat_map(imports).collect::<Vec<_>>());
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let files = rust_files("src");
    let read = read(&files);
    let mut found: Vec<String> = read.iter().flat_map(crates).collect();
    found.extend(pemfile_calls(&read));
    found.extend(idle_grants(&read));
    assert_lawful(&found);
    let tokio = rooms_of("tokio").expect("has rooms");
    for pure in WITHOUT_TOKIO {
        assert!(!tokio.iter().any(|room| covers(pure, room)), "tokio in {pure}");
    }
}

#[test]
fn pure_rooms_are_pure() {
    assert_lawful(&read(&rust_files("src")).iter().flat_map(purity).collect::<Vec<_>>());
}

#[test]
fn timers_are_made_where_there_is_a_clock() {
    assert_lawful(&read(&rust_files("src")).iter().flat_map(timers).collect::<Vec<_>>());
}

#[test]
fn files_have_manners_and_stay_small() {
    let files = rust_files("src");
    let check = |file: &File<'_>| [manners(file), size(file, LONG_FILES), no_logic(file)].concat();
    let mut found: Vec<String> = read(&files).iter().flat_map(check).collect();
    for (path, _) in LONG_FILES {
        if !files.iter().any(|(name, _)| name == path) {
            found.push(format!("src/{path} is gone: take it off the list in tests/floors.rs"));
        }
    }
    assert_lawful(&found);
}

#[test]
fn tests_wait_for_events_and_take_any_port() {
    let files = rust_files("tests/e2e");
    assert!(!files.is_empty(), "no end-to-end tests");
    let check = |(path, text): &(String, String)| patience(&format!("tests/e2e/{path}"), text);
    assert_lawful(&files.iter().flat_map(check).collect::<Vec<_>>());
    for (path, text) in [rust_files("tests"), rust_files("benches")].concat() {
        assert!(text.starts_with("//! "), "{path} does not open with a sentence that says what it is for (//!)");
        let tokens = Source::read(&text).tokens;
        assert!(!tokens.iter().any(|token| is_word_of(token, &["unsafe"])), "{path}: unsafe");
    }
}

#[test]
fn every_crate_has_its_reason_and_its_rooms() {
    let (manifest, contributing) = (top("Cargo.toml"), top("CONTRIBUTING.md"));
    let (wanted, rows) = (dependencies(&manifest), rows(&contributing));
    assert!(wanted.len() > 30, "{wanted:?}");
    for (name, version) in &wanted {
        let Some((told, rooms)) = rows.get(name) else {
            panic!("CONTRIBUTING.md: no row for {name}");
        };
        assert_eq!(told, version, "CONTRIBUTING.md: the version of {name}");
        assert_eq!(rooms.as_slice(), rooms_of(&name.replace('-', "_")).unwrap_or_default(), "the rooms of {name}");
    }
    let gone: Vec<_> = rows.keys().filter(|name| !wanted.contains_key(*name)).collect();
    assert!(gone.is_empty(), "CONTRIBUTING.md speaks of crates that are gone: {gone:?}");
}
