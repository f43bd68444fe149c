//! What the TOML parser complains about, in words for an owner rather than for the author of a parser.

use toml::de::Error;

use crate::config::Problem;

const VALUE: &str = r#"text in "quotes", a number, true, false, a [list] or a {table}"#;

/// Where the error begins.
pub(super) fn start(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

/// Most errors spoil one line; an open bracket or a broken header puts all later lines where they do not belong, and
/// whatever were said of them would be wrong.
pub(super) fn hides_what_follows(text: &str, error: &Error) -> bool {
    let message = error.message();
    if is_duplicate(error) {
        return false;
    }
    let open = ["unclosed", "array", "table", "comma", "multi-line"].iter().any(|word| message.contains(word));
    open || line_before(text, start(error)).trim_ascii_start().starts_with(b"[")
}

/// A line whose value is broken still has its key; one whose key is broken is as good as not there.
pub(super) fn loses_its_key(error: &Error) -> bool {
    let words = ["key", "content", "assignment", "`=`", "missing"];
    !is_duplicate(error) && words.iter().any(|word| error.message().contains(word))
}

/// The error as a problem of this line.
pub(super) fn problem(name: &str, line: usize, text: &str, error: &Error) -> Problem {
    if is_duplicate(error) {
        let key = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        return Problem::new(name, key, "stands twice").at_line(line).allowing("each key of a table once");
    }
    let (wrong, allowed) = match error.message().split_once(", expected ") {
        _ if error.message().starts_with("string values must be quoted") => ("no value, or text without quotes", VALUE),
        Some((wrong, allowed)) => (wrong, allowed),
        None => (error.message(), ""),
    };
    let scope = if hides_what_follows(text, error) { "not TOML from here on" } else { "not TOML" };
    Problem::new(name, "", format!("{scope}: {wrong}")).at_line(line).allowing(allowed)
}

fn is_duplicate(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// From the start of the line to here.
fn line_before(text: &str, offset: usize) -> &[u8] {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &before[start..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeTable;

    fn first(text: &str) -> (String, bool) {
        let (_, errors) = DeTable::parse_recoverable(text);
        assert!(!errors.is_empty(), "{text}");
        (problem("t", 1, text, &errors[0]).to_string(), hides_what_follows(text, &errors[0]))
    }

    #[test]
    fn a_spoilt_line() {
        assert_eq!(
            first("a = 1\na = 2\n"),
            ("t:1: a: stands twice; allowed: each key of a table once".to_owned(), false)
        );
        assert_eq!(
            first("a = b\n"),
            (format!("t:1: not TOML: no value, or text without quotes; allowed: {VALUE}"), false)
        );
    }

    #[test]
    fn a_line_that_loses_its_key() {
        let loses = |text| DeTable::parse_recoverable(text).1.iter().any(loses_its_key);
        for text in ["a\n", "a b = 1\n", "= 1\n", "a.. = 1\n", "é = 1\n", "a = 1\na.b = 2\n"] {
            assert!(loses(text), "{text}");
        }
        for text in ["a = \n", "a = 10s\n", "a = \"x\n", "a = 1__0\n", "a = tru\n", "a = 1\na = 2\n"] {
            assert!(!loses(text), "{text}");
        }
    }

    #[test]
    fn a_spoilt_file() {
        for text in [
            "[a\nb = 1\n",
            "a = [1\nb = 2\n",
            "a = { b = 1\nc = 2\n",
            "a = \"\"\"x\n",
            "[[a]\nb = 1\n",
            "[a]]\nb = 1\n",
        ] {
            let (problem, hides) = first(text);
            assert!(hides, "{text}");
            assert!(problem.starts_with("t:1: not TOML from here on: "), "{problem}");
        }
    }
}
