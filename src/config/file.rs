//! From the owner's TOML to a checked [`Config`]: the whole file is walked and every problem in it told at once.

mod acme;
mod auth;
mod backend_head;
mod cluster;
mod document;
mod draft;
mod gateway;
mod hub;
mod legacy;
mod limits;
mod otlp;
mod overrides;
mod pages;
mod pool;
mod route;
mod setting;
mod syntax;

pub use overrides::Overrides;

use std::path::Path;

use self::document::Document;
use self::draft::Draft;
use super::{Config, Problem, Problems};

/// What serves when there is no file: for a first look, from this machine alone.
pub const BUILT_IN: &str = r#"listen = ["127.0.0.1:8443"]

[tls]
self_signed = ["localhost", "127.0.0.1", "::1"]

[[route]]
path = "/"
redirect = "/chat"

[[route]]
path = "/chat"
hub = { history = 50, page = true }

[[route]]
path = "/echo"
echo = {}
"#;

/// Reads the file; relative paths in it start at its own folder.
pub(super) fn load(path: &Path, overrides: &Overrides) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Problem::new(&name, "", format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        Problem::new(&name, "", "not UTF-8").at_line(line)
    })?;
    parse(&text, &name, path.parent().unwrap_or(Path::new("")), overrides)
}

/// Reads a text; `name` stands for the file in problems, `base` is where relative paths start.
pub(super) fn parse(text: &str, name: &str, base: &Path, overrides: &Overrides) -> Result<Config, Problems> {
    let (document, root) = Document::parse(name, text).map_err(Problems::new)?;
    let mut draft = Draft::read(document.root(&root), base);
    for problem in overrides.apply(&mut draft) {
        document.report(problem);
    }
    if !document.is_broken() {
        for problem in draft.check(name) {
            document.report(problem);
        }
    }
    match document.into_problems() {
        problems if problems.is_empty() => Ok(draft.into_config()),
        problems => Err(Problems::new(problems)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Listen, Target, TlsVersion};

    fn problems(text: &str) -> String {
        Config::parse(text, "t", Path::new("")).expect_err("refused").to_string()
    }

    #[test]
    fn the_built_in_default_is_valid() {
        let config = Config::built_in(&Overrides::default()).expect("valid");
        assert_eq!(config.listen, [Listen::Tcp(([127, 0, 0, 1], 8443).into())]);
        let tls = config.tls.expect("tls");
        assert_eq!((tls.self_signed.len(), tls.certificates.len(), tls.min_version), (3, 0, TlsVersion::Tls12));
        assert_eq!(config.routes[0].target, Target::Redirect("/chat".to_owned()));
        assert_eq!(config.routes[2].target, Target::Echo);
        assert!(config.workers > 0);
    }

    #[test]
    fn a_file_that_is_not_there() {
        let problems = Config::load(Path::new("/nowhere/wsgate.toml")).expect_err("refused");
        assert!(problems.to_string().starts_with("/nowhere/wsgate.toml: cannot be read: "), "{problems}");
    }

    #[test]
    fn a_file_that_is_not_text() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("wsgate.toml");
        std::fs::write(&path, b"workers = 1\nlisten = \"\xff\"\n").expect("write");
        let problems = Config::load(&path).expect_err("refused");
        assert!(problems.to_string().ends_with("wsgate.toml:2: not UTF-8"), "{problems}");
    }

    #[test]
    fn an_open_bracket_is_the_only_problem_told() {
        let text = "[limits\nutf8 = 3\n[[route]]\npath = 7\n";
        assert_eq!(problems(text), "t:1: not TOML from here on: unclosed table; allowed: `]`");
    }

    #[test]
    fn a_broken_line_hides_itself_alone() {
        let text = "workers = many\nworkers = 2\n[limits]\nutf8 = 3\n";
        let expected = "t:1: not TOML: no value, or text without quotes; allowed: text in \"quotes\", a number, true, false, a [list] or a {table}\n\
            t:2: workers: stands twice; allowed: each key of a table once\n\
            t:4: limits.utf8 = 3: not a switch; allowed: true or false";
        assert_eq!(problems(text), expected);
    }
}
