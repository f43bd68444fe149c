//! Every example of a configuration is loaded: what is shipped, what must be accepted, and what must be refused.
//!
//! A valid case states in `#= ` lines what its configuration must hold (pieces of its `Debug` form); an invalid one
//! states in `#! ` lines every problem it must give, word for word and in order. The file's name there is its own.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wsgate::{BUILT_IN, Config, Listen, Overrides};

/// The `*.toml` files of a folder, counted so that a case that is not found is missed.
fn files(folder: &str, at_least: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    assert!(files.len() >= at_least, "{folder}: {} files", files.len());
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn marked<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.strip_prefix(mark)).collect()
}

#[test]
fn valid_cases_are_accepted() {
    for path in files("tests/configs/valid", 10) {
        let text = read(&path);
        let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let shown = format!("{config:?}");
        let expected = marked(&text, "#= ");
        assert!(!expected.is_empty(), "{}: states nothing", path.display());
        for piece in expected {
            assert!(shown.contains(piece), "{}: no {piece}\nin {shown}", path.display());
        }
    }
}

#[test]
fn invalid_cases_tell_every_problem() {
    for path in files("tests/configs/invalid", 70) {
        let text = read(&path);
        let name = path.file_name().expect("name").to_string_lossy();
        let problems = Config::parse(&text, &name, Path::new("tests/configs/invalid")).expect_err(&name);
        assert_eq!(problems.to_string().lines().collect::<Vec<_>>(), marked(&text, "#! "), "{name}");
        assert_eq!(problems.0.len(), marked(&text, "#! ").len(), "{name}: one line for each problem");
    }
}

#[test]
fn nothing_that_may_be_secret_is_told() {
    for path in files("tests/configs/invalid", 70) {
        let text = read(&path);
        for problem in marked(&text, "#! ") {
            for secret in ["secret", "do not show me", "BEGIN"] {
                // The name of a key may be told, and a file's.
                let keys = ["both secret and secret_file", "secret_file", ".secret: not a secret"];
                let told = keys.iter().fold(problem.to_owned(), |told, key| told.replace(key, ""));
                assert!(!told.contains(secret), "{}: {problem}", path.display());
            }
        }
    }
}

#[test]
fn shipped_configurations_are_valid() {
    for path in files("config", 5) {
        let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let tls = config.tls.expect("tls");
        assert_eq!(tls.certificates[0].chain, Path::new("config/../certs-example/localhost.pem"));
        assert_eq!(tls.certificates[0].key, Path::new("config/../certs-example/localhost.key"));
    }
}

/// The value of a key in the unit of the package.
fn of_unit(key: &str) -> u64 {
    let unit = read(Path::new("packaging/debian/wsgate.service"));
    let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number {key}"))
}

#[test]
fn packaged_configurations_are_valid_and_fit_what_stops_them() {
    let [docker, package] = ["packaging/docker.toml", "packaging/gateway.toml"]
        .map(|path| Config::load(Path::new(path)).unwrap_or_else(|problems| panic!("{problems}")));
    for config in [&docker, &package] {
        assert!(config.admin.is_some(), "nobody for `wsgate health` to ask");
        let limits = &config.limits;
        let needed = 2 * limits.connections + limits.pending;
        assert!(of_unit("LimitNOFILE") as usize > needed, "LimitNOFILE for {needed}");
    }
    assert!(docker.drain_timeout.as_secs() < 10, "docker stop kills after 10 s");
    assert!(package.drain_timeout.as_secs() < of_unit("TimeoutStopSec"), "systemd kills a drain");
    let Listen::Tcp(address) = package.listen[0] else { panic!("{:?}", package.listen) };
    assert!(address.ip().is_loopback(), "a package that has just been installed is for this machine alone");
}

#[test]
fn the_full_configuration_says_the_defaults() {
    let bare = r#"
        tls = { certificates = [{ chain = "../certs-example/localhost.pem", key = "../certs-example/localhost.key" }] }
        route = [
            { path = "/", redirect = "/chat" },
            { path = "/chat", hub = {} },
            { path = "/echo", echo = {} },
            { path = "/ws", proxy = { pool = "backend" } },
            { path = "/site", http = { pool = "backend" } },
            { path = "/php", proxy = { pool = "php", profile = "legacy" } },
        ]
        pool.backend.backends = ["ws://127.0.0.1:8080"]
        pool.php.backends = ["ws://127.0.0.1:8081"]
    "#;
    let bare = Config::parse(bare, "bare", Path::new("config")).expect("valid");
    assert_eq!(Config::load(Path::new("config/gateway.toml")).expect("valid"), bare);
}

#[test]
fn the_settings_it_leaves_out_are_valid_too() {
    let text = read(Path::new("config/gateway.toml"));
    let left_out =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let count = text.lines().filter(|line| left_out(line)).count();
    assert_eq!(count, 83, "settings behind a #");
    let lines = text.lines().map(|line| if left_out(line) { &line[1..] } else { line });
    let config = Config::parse(&lines.collect::<Vec<_>>().join("\n"), "gateway.toml", Path::new("config"));
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.admin.is_some());
    assert!(config.routes.iter().any(|route| route.address.is_some()));
    assert_eq!(config.routes.iter().filter(|route| route.auth.is_some()).count(), 4);
}

/// The reader itself says which names it knows, when it is given one that it does not.
#[test]
fn the_full_configuration_has_every_key() {
    let every_table = r#"
        zzz = 0
        log = { zzz = 0 }
        tls = { zzz = 0, certificates = [{ zzz = 0 }] }
        admin = { zzz = 0 }
        limits = { zzz = 0 }
        cluster = { zzz = 0 }
        otlp = { zzz = 0 }
        route = [
            { zzz = 0, limits = { zzz = 0 }, hub = { zzz = 0, say = { zzz = 0 }, filter = { zzz = 0 }, fixed = [{ zzz = 0 }] }, auth = { kind = "jwt", zzz = 0 } },
            { proxy = { zzz = 0, profile = "legacy", legacy = { zzz = 0 } }, auth = { kind = "request", zzz = 0 } },
        ]
        pool.p = { zzz = 0, backends = [{ zzz = 0 }] }
    "#;
    let problems = Config::parse(every_table, "t", Path::new("")).expect_err("refused");
    let unknown = problems.0.iter().filter(|problem| problem.key.ends_with("zzz"));
    let known: Vec<&str> = unknown.clone().flat_map(|problem| problem.allowed.split(", ")).collect();
    assert_eq!(unknown.count(), 20);
    assert!(known.len() > 85, "{known:?}");
    let text = read(Path::new("config/gateway.toml"));
    for name in known {
        let said = [format!("{name} = "), format!("[{name}"), format!(".{name}]")];
        assert!(said.iter().any(|said| text.contains(said)), "gateway.toml does not speak of {name}");
    }
}

#[test]
fn the_built_in_default_reads_as_its_text() {
    let config = Config::built_in(&Overrides::default()).expect("valid");
    assert_eq!(Config::parse(BUILT_IN, "t", Path::new(".")).expect("valid"), config);
    let target = format!("{:?}", config.routes[1].target);
    assert!(["Hub(", "page: true", "history: 50,"].iter().all(|piece| target.contains(piece)), "{target}");
}

/// A block of the manual may be a part of a file: it is completed with a route when it has none.
#[test]
fn the_manual_shows_valid_configurations() {
    let Ok(text) = std::fs::read_to_string("README.md") else {
        return;
    };
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    for block in blocks {
        let route = if block.contains("[[route]]") { "" } else { "\n[[route]]\npath = \"/\"\necho = {}\n" };
        let completed = format!("{block}{route}");
        if let Err(problems) = Config::parse(&completed, "README.md block", Path::new("")) {
            panic!("{problems}\nin\n{block}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_is_too_broken_to_be_judged(text in "[\\[\\]{}=\",#'.a-c0-9 \n\\PC]{0,200}") {
        let _ = Config::parse(&text, "t", Path::new(""));
    }

    /// A piece cut out of a good file gives a good file or problems on its lines, never a crash or an empty refusal.
    #[test]
    fn no_cut_is_too_strange(start in 0usize..10_000, length in 1usize..200) {
        let text = read(Path::new("config/gateway.toml"));
        let kept = |(index, _): &(usize, char)| *index < start || *index >= start + length;
        let cut: String = text.char_indices().filter(kept).map(|(_, letter)| letter).collect();
        if let Err(problems) = Config::parse(&cut, "t", Path::new("")) {
            prop_assert!(!problems.0.is_empty());
            let lines = cut.lines().count() + 1;
            prop_assert!(problems.0.iter().all(|problem| problem.line.is_none_or(|line| (1..=lines).contains(&line))));
        }
    }
}
