//! What is wrong with a configuration: every problem at once, each with its place, its value and what would be right.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// Longer values are cut here, so that a problem stays one readable line.
const SHOWN: usize = 80;

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to us, or `command line`.
    pub file: String,
    /// Counted from 1; absent when the problem is not on one line.
    pub line: Option<usize>,
    /// Dotted, such as `route[2].limits.utf8` (lists count from 0), or a flag such as `--to`; may be empty.
    pub key: String,
    /// The value as it may be shown: text is quoted, secrets are masked. Absent where showing it helps nobody.
    pub value: Option<String>,
    /// What is wrong with it, lower case.
    pub wrong: String,
    /// What would be accepted; may be empty.
    pub allowed: String,
}

impl Problem {
    /// A problem with a file and key; the rest is added by the methods below.
    pub fn new(file: impl Into<String>, key: impl Into<String>, wrong: impl Into<String>) -> Self {
        let (file, key, wrong) = (file.into(), key.into(), wrong.into());
        Self { file, line: None, key, value: None, wrong, allowed: String::new() }
    }

    /// On this line, counted from 1.
    #[must_use]
    pub fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// With the text that stands there, quoted; passwords in URLs and key material are masked.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.value = Some(quoted(text));
        self
    }

    /// With a value that is no text, shown as it is.
    #[must_use]
    pub fn with_value(mut self, value: impl fmt::Display) -> Self {
        self.value = Some(value.to_string());
        self
    }

    /// With what would have been accepted.
    #[must_use]
    pub fn allowing(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = allowed.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.wrong)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        Ok(())
    }
}

impl Error for Problem {}

/// Everything that is wrong with a configuration; never empty when it is returned as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// In the order of their lines; what has no line comes last.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line.is_none(), problem.line));
        Self(problems)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for Problems {}

/// Why a piece of text was refused, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: Cow<'static, str>,
    pub(super) allowed: Cow<'static, str>,
}

impl Wrong {
    pub(super) fn new(what: impl Into<Cow<'static, str>>, allowed: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), allowed: allowed.into() }
    }
}

/// Text as a problem may show it: problems end in logs and tickets, where no password or key may follow.
fn quoted(text: &str) -> String {
    let masked = masked(text);
    match masked.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}", format!("{}…", &masked[..cut])),
        None => format!("{masked:?}"),
    }
}

/// Hides what may be a secret: PEM, the user part of a URL (to the last `@`, which no password can outrun), a query.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    if text.contains("-----BEGIN") {
        return Cow::Borrowed("…");
    }
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, host)) => ("…@", host),
        None => ("", rest),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) if !query.is_empty() => (rest, "?…"),
        _ => (rest, ""),
    };
    if user.is_empty() && query.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{scheme}{user}{rest}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line() {
        let problem = Problem::new("wsgate.toml", "limits.message_size", "not a size")
            .at_line(12)
            .with_text("lots")
            .allowing("bytes as a number or \"64KiB\", 1KiB to 1GiB");
        assert_eq!(
            problem.to_string(),
            "wsgate.toml:12: limits.message_size = \"lots\": not a size; allowed: bytes as a number or \"64KiB\", 1KiB to 1GiB"
        );
        assert_eq!(Problem::new("a.toml", "", "cannot be read").to_string(), "a.toml: cannot be read");
    }

    #[test]
    fn problems_stand_in_line_order() {
        let at = |line| Problem::new("a", "k", "w").at_line(line);
        let problems = Problems::new(vec![Problem::new("a", "k", "w"), at(7), at(2)]);
        assert_eq!(problems.to_string(), "a:2: k: w\na:7: k: w\na: k: w");
    }

    #[test]
    fn secrets_are_masked() {
        for (text, shown) in [
            ("ws://user:s3cret@10.0.0.1:80", "\"ws://…@10.0.0.1:80\""),
            ("ws://user:p@s/s3cret@h", "\"ws://…@h\""),
            ("user:s3cret@h", "\"…@h\""),
            ("ws://h/?token=s3cret", "\"ws://h/?…\""),
            ("/chat?", "\"/chat?\""),
            ("-----BEGIN PRIVATE KEY-----\ns3cret", "\"…\""),
            ("line\nbreak \"x\"", "\"line\\nbreak \\\"x\\\"\""),
        ] {
            assert_eq!(quoted(text), shown);
        }
    }

    #[test]
    fn long_values_are_cut() {
        let shown = quoted(&"é".repeat(200));
        assert_eq!(shown.chars().count(), SHOWN + 3);
        assert!(shown.ends_with("…\""));
    }
}
