//! That each law is felt: small sources that break one of them, and the line where it is found.

use super::*;

/// What a law finds in files given as path and text.
fn tried(law: impl Fn(&File<'_>) -> Vec<String>, files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    read(&files).iter().flat_map(law).collect()
}

fn finds(law: impl Fn(&File<'_>) -> Vec<String>, path: &str, text: &str, expected: &[&str]) {
    let found = tried(law, &[(path, text)]);
    assert_eq!(found.len(), expected.len(), "{text:?}: {found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{text:?}: {found:?}");
    }
}

#[test]
fn an_import_up_sideways_or_through_the_root_is_found() {
    finds(
        imports,
        "wire/head.rs",
        "//! x\nuse crate::socket::Socket;",
        &["src/wire/head.rs:2: wire (floor 1) names socket"],
    );
    finds(
        imports,
        "socket/mod.rs",
        "use crate::{wire::frame,\n config::Rate};",
        &["mod.rs:2: socket names config beside"],
    );
    finds(imports, "echo.rs", "fn f() { crate::hub::page::asset(None) }", &["echo names hub beside it"]);
    finds(imports, "echo.rs", "use super::gateway::Shared;", &["(floor 6) above it"]);
    finds(
        imports,
        "config/file/pool.rs",
        "use super::super::super::tls::Pair;",
        &["config (floor 2) names tls (floor 3)"],
    );
    finds(imports, "pool/mod.rs", "use crate::Config;", &["through the crate's root"]);
    finds(imports, "pool/mod.rs", "use crate::*;", &["through the crate's root"]);
    finds(imports, "echo.rs", "use super::*;", &["through the crate's root"]);
    finds(imports, "pool/mod.rs", "use crate::{Config, wire::frame};", &["through the crate's root"]);
    finds(
        imports,
        "hub/room.rs",
        "#[cfg(test)]\nmod tests {\n use crate::echo;\n}",
        &["room.rs:3: hub names echo beside"],
    );
    finds(imports, "telemetry/roster.rs", "use crate::wire::close::Code;", &["telemetry names wire beside it"]);
    finds(imports, "admin.rs", "use crate::config as c;", &["admin names config beside it"]);
    finds(imports, "wire/a.rs", "pub(in crate::hub) fn f() {}", &["(floor 3) above it"]);
    finds(imports, "serve.rs", "use crate::FAILED;", &["through the crate's root"]);
    finds(imports, "cellar.rs", "//! x", &["has no floor"]);
}

#[test]
fn an_import_down_or_within_a_room_is_lawful() {
    finds(
        imports,
        "lib.rs",
        "mod config;\nmod gateway;\npub use config::Config;\npub use gateway::{Gateway, check};",
        &[],
    );
    finds(imports, "relay/mod.rs", "mod wires;\nuse self::wires::pump;\nuse crate::pool::{self, Lease};", &[]);
    finds(imports, "config/file/pool.rs", "use super::limits::SHORT;\nuse crate::config::Pool;", &[]);
    finds(imports, "tls/issue.rs", "mod tests { use super::super::chain; use super::*; }", &[]);
    finds(imports, "wire/a.rs", "// use crate::hub;\n/* crate::hub */ const A: &str = \"crate::hub::x\";", &[]);
    finds(imports, "wire/a.rs", "/// See [`crate::hub`].\nfn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }", &[]);
    finds(imports, "wire/a.rs", "const A: &[&str] = &[r#\"\" crate::hub::a \"#, b\"\\\" crate::hub::b\"];", &[]);
    finds(imports, "serve.rs", "use crate::arguments::Arguments;\nuse wsgate::{Config, Gateway};", &[]);
    finds(imports, "main.rs", "mod serve;\nuse self::serve::fail;", &[]);
    finds(
        imports,
        "wire/close.rs",
        "fn f(v: Violation) { use Violation::*; Self::g(v); <u8 as crate::wire::A>::b() }",
        &[],
    );
}

#[test]
fn a_crate_outside_its_rooms_is_found() {
    finds(crates, "echo.rs", "use tokio::time::sleep;", &["src/echo.rs:1: tokio stays in admin.rs"]);
    finds(crates, "wire/mask.rs", "\nasync fn f() { tokio::task::yield_now().await }", &["mask.rs:2: tokio stays in"]);
    finds(crates, "config/mod.rs", "#[tokio::test]\nasync fn f() {}", &["tokio stays in"]);
    finds(crates, "hub/mod.rs", "use { rustls::ServerConfig, std::io };", &["rustls stays in"]);
    finds(crates, "tls/certs.rs", "use rustls_pemfile::Item;", &["rustls_pemfile stays in tls/pem.rs"]);
    finds(crates, "tls/certs.rs", "use ::toml as t;", &["toml stays in config/file/"]);
    finds(crates, "hub/mod.rs", "use memchr::memchr;\nfn f() { memchr(a, b) }", &["memchr stays in"]);
    finds(crates, "gateway/mod.rs", "#[derive(clap::Parser)]\nstruct A;", &["clap stays in"]);
    finds(crates, "wire/a.rs", "use proptest::prelude::*;", &["proptest is for tests alone"]);
    finds(crates, "wire/a.rs", "#[cfg(test)]\nuse criterion::Criterion;", &["criterion is for benches alone"]);
    finds(crates, "wire/a.rs", "use rand::Rng;", &["rand has no rooms"]);
    finds(crates, "hub/mod.rs", "use wsgate::Config;", &["wsgate has no rooms"]);
}

#[test]
fn a_crate_in_its_room_or_a_name_like_it_is_lawful() {
    finds(crates, "socket/secure.rs", "use rustls::unbuffered::WriteTraffic;", &[]);
    finds(crates, "config/file.rs", "mod syntax;\nuse toml::de::Error;\nuse syntax::told;", &[]);
    finds(crates, "config/mod.rs", "use std::time;\nfn f() -> time::Duration { std::time::Duration::ZERO }", &[]);
    finds(crates, "wire/a.rs", "#[cfg(test)]\nmod tests {\n use proptest::prelude::*;\n}", &[]);
    finds(crates, "route.rs", "#[cfg(test)]\nuse proptest::prelude::*;", &[]);
    let files = [("wire/a.rs", "#[cfg(test)]\nmod tests;"), ("wire/a/tests.rs", "use proptest::prelude::*;")];
    assert_eq!(tried(crates, &files), Vec::<String>::new());
}

#[test]
fn the_archived_crate_is_called_once() {
    let called = |text: &str| {
        let files = vec![("tls/pem.rs".to_owned(), text.to_owned())];
        pemfile_calls(&read(&files)).len()
    };
    assert_eq!(called("use rustls_pemfile::{Error, Item};\nfn f() { rustls_pemfile::read_one(b) }"), 0);
    assert_eq!(called("fn f() { rustls_pemfile::read_one(b); rustls_pemfile::certs(b) }"), 2);
    assert_eq!(called("use rustls_pemfile::certs;\nfn f() { rustls_pemfile::read_one(b) }"), 2);
}

#[test]
fn a_clock_chance_or_input_in_a_pure_room_is_found() {
    finds(purity, "wire/tunnel.rs", "fn f() { let now = std::time::Instant::now(); }", &["Instant in a pure room"]);
    finds(purity, "wire/mask.rs", "use rand::random;", &["rand in a pure room"]);
    finds(purity, "route.rs", "use std::{fs, fmt};", &["std::fs in a pure room"]);
    finds(purity, "wire/mask.rs", "// Instant\nuse std::net::IpAddr;", &[]);
    finds(purity, "hub/mod.rs", "use std::time::Instant;", &[]);
}

#[test]
fn a_timer_without_a_clock_is_found() {
    let wrong = ["timers are made by lifecycle::clock"];
    finds(timers, "pool/dial.rs", "async fn f() { tokio::time::sleep(wait).await; }", &wrong);
    finds(timers, "hub/mod.rs", "use tokio::time::{Instant, timeout};", &wrong);
    finds(timers, "pool/clock.rs", "use tokio::time::Instant;", &[]);
    finds(timers, "lifecycle/clock.rs", "use tokio::time::sleep;", &[]);
    finds(timers, "pool/dial.rs", "#[cfg(test)]\nmod tests { use tokio::time::advance; }", &[]);
}

#[test]
fn bad_manners_are_found() {
    finds(manners, "hub/a.rs", "use std::fmt;", &["does not open with a sentence"]);
    finds(manners, "hub/string_utils.rs", "//! x", &["string_utils says nothing"]);
    finds(manners, "hub/a.rs", "//! x\nmod common;", &["common says nothing"]);
    finds(manners, "hub/a.rs", "//! x\nfn f() {\n unsafe { g() }\n}", &["a.rs:3: unsafe"]);
    finds(manners, "hub/a.rs", "//! x\n#[path = \"b.rs\"]\nmod c;", &["a.rs:2: path"]);
    finds(manners, "hub/a.rs", "//! unsafe\nfn f(path: &str) { g(path, \"unsafe\") }", &[]);
    finds(no_logic, "lib.rs", "//! x\nmod wire;\nfn f() {}", &["lib.rs:3"]);
}

#[test]
fn tests_do_not_count_as_lines_and_long_files_do_not_grow() {
    let code = "//! x\n".to_owned() + &"const A: u8 = 1;\n".repeat(299);
    let long = format!("{code}const B: u8 = 2;\n");
    let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{}}}\n", "const C: char = '}';\n".repeat(50));
    let law = |list: &'static [(&'static str, usize)]| move |file: &File<'_>| size(file, list);
    finds(law(&[]), "hub/a.rs", &code, &[]);
    finds(law(&[]), "hub/a.rs", &tests, &[]);
    finds(law(&[]), "hub/a.rs", &long, &["301 lines without tests"]);
    finds(law(&[("hub/a.rs", 301)]), "hub/a.rs", &long, &[]);
    finds(law(&[("hub/a.rs", 300)]), "hub/a.rs", &long, &["has grown to 301"]);
    finds(law(&[("hub/a.rs", 400)]), "hub/a.rs", &code, &["no longer long"]);
}

#[test]
fn a_sleep_or_a_fixed_port_is_found() {
    let found = |text: &str| patience("tests/e2e/a.rs", text).len();
    assert_eq!(found("async fn f() { tokio::time::sleep(WAIT).await }"), 1);
    assert_eq!(found("const A: &str = \"listen = [\\\"127.0.0.1:8443\\\"]\";"), 1);
    assert_eq!(found("const A: &str = \"127.0.0.1:0\"; const B: &str = \"ws://127.0.0.1:1\"; // no sleep() here"), 0);
}

#[test]
fn crates_are_read_from_the_manifest_and_the_manual() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# why = \"1\"\na = \"1.2\"\nb-c = { version = \"3\", x = [\"y\"] }\n\
                    [target.'cfg(unix)'.dependencies]\nd = \"4\"\n[dev-dependencies]\ne = \"5\"\n[lints.rust]\nf = \"6\"\n";
    let expected = BTreeMap::from([("a", "1.2"), ("b-c", "3"), ("d", "4"), ("e", "5")]);
    assert_eq!(dependencies(manifest), expected);
    let table =
        "| crate | version | licence | upkeep | why | rooms |\n|---|\n| `a` | 1.2 | MIT | x | y | `wire/`, `hub/` |\n";
    assert_eq!(rows(table), BTreeMap::from([("a", ("1.2", vec!["wire/", "hub/"]))]));
}
