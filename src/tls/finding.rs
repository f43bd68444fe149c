//! What is wrong with certificate files, collected: what stops the gateway, and what it can live with.

use std::path::Path;

use crate::config::Problem;

/// Everything found so far; nothing is reported before everything was looked at.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The gateway does not start with these.
    pub(super) problems: Vec<Problem>,
    /// It does, and says so.
    pub(super) warnings: Vec<Problem>,
}

/// One file, and the key of the configuration that names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) key: &'a str,
}

impl Place<'_> {
    /// A finding about the file as a whole.
    pub(super) fn whole(&self, wrong: impl Into<String>, allowed: impl Into<String>) -> Problem {
        self.finding(None, wrong.into(), allowed.into())
    }

    /// A finding about the object or line that begins there.
    pub(super) fn at(&self, line: usize, wrong: impl Into<String>, allowed: impl Into<String>) -> Problem {
        self.finding(Some(line), wrong.into(), allowed.into())
    }

    fn finding(&self, line: Option<usize>, wrong: String, allowed: String) -> Problem {
        Problem { file: self.path.display().to_string(), line, key: self.key.to_owned(), value: None, wrong, allowed }
    }
}
