//! Reads Rust source as far as the house law needs it: words without comments, paths that are named, and which of it
//! is there for tests alone.

use std::collections::HashSet;
use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier, a keyword or a number.
    Word,
    /// Punctuation: one character, or `::`.
    Mark,
    /// The inside of a string.
    Text,
}

/// A piece of source that is neither a comment nor white.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'t> {
    pub kind: Kind,
    pub text: &'t str,
    pub line: usize,
}

/// A path as it is written, and where.
#[derive(Debug)]
pub(crate) struct Mention {
    pub line: usize,
    /// The inline modules around it.
    pub module: Vec<String>,
    pub segments: Vec<String>,
    /// Whether it stands in a `use`.
    pub imported: bool,
    /// Whether only tests see it.
    pub test: bool,
}

/// One file, read.
#[derive(Debug, Default)]
pub(crate) struct Source<'t> {
    pub tokens: Vec<Token<'t>>,
    pub mentions: Vec<Mention>,
    /// Modules that are declared here, inline or not, with the inline modules around each.
    pub modules: HashSet<(Vec<String>, String)>,
    /// The modules among them that are files of their own and only there for tests.
    pub test_files: Vec<String>,
    /// Names that a `use` brings in.
    pub names: HashSet<String>,
    /// Lines that are not there for tests alone.
    pub lines: usize,
}

impl<'t> Source<'t> {
    pub(crate) fn read(text: &'t str) -> Self {
        let tokens = tokens(text);
        let tests = test_ranges(&tokens);
        let test_lines: HashSet<usize> =
            tests.iter().flat_map(|range| tokens[range.start].line..=tokens[range.end - 1].line).collect();
        let mut source = Self { lines: text.lines().count() - test_lines.len(), ..Self::default() };
        Walk { tokens: &tokens, tests: &tests, scopes: Vec::new(), source: &mut source }.run();
        source.tokens = tokens;
        source
    }
}

/// The tokens of a text; comments are none.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while let Some(first) = text[at..].chars().next() {
        let (length, found) = next(&text[at..], first);
        if let Some((kind, inside)) = found {
            tokens.push(Token { kind, text: &text[at..][inside], line });
        }
        line += text[at..at + length].matches('\n').count();
        at += length;
    }
    tokens
}

type Found = Option<(Kind, Range<usize>)>;

/// How long the piece at the start of `rest` is, and the token that it holds.
fn next(rest: &str, first: char) -> (usize, Found) {
    if first.is_whitespace() {
        return (first.len_utf8(), None);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some(string) = string(rest) {
        return string;
    }
    if first == '\'' {
        return (quote(rest), None);
    }
    if is_word(first) {
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        return (length, Some((Kind::Word, 0..length)));
    }
    let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
    (length, Some((Kind::Mark, 0..length)))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
            None => return rest.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// A string of any sort (`"…"`, `b"…"`, `c"…"`, `r#"…"#`); a raw identifier is none.
fn string(rest: &str) -> Option<(usize, Found)> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|rest| {
            rest.starts_with('"') || (prefix.ends_with('r') && rest.trim_start_matches('#').starts_with('"'))
        })
    })?;
    let hashes = rest[prefix.len()..].find('"')?;
    let start = prefix.len() + hashes + 1;
    let length = if prefix.ends_with('r') {
        rest[start..].find(&format!("\"{}", "#".repeat(hashes)))
    } else {
        unescaped_quote(&rest[start..])
    };
    let end = start + length.unwrap_or(rest.len() - start);
    Some(((end + 1 + hashes).min(rest.len()), Some((Kind::Text, start..end))))
}

fn unescaped_quote(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.as_bytes().get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The length of a character literal, or of a lifetime's quote.
fn quote(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            rest[from..].find('\'').map_or(rest.len(), |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The items under a `#[cfg(test)]`, attribute included. A `#![cfg(test)]` would mean the whole file; nobody writes it.
fn test_ranges(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for at in 0..tokens.len() {
        let inside = ranges.last().is_some_and(|range| range.contains(&at));
        if !inside && words(tokens, at, &["#", "[", "cfg", "("]) {
            let end = closing(tokens, at + 1);
            let asked = tokens[at..end].iter().map(|token| token.text);
            if asked.clone().any(|word| word == "test") && !asked.clone().any(|word| word == "not") {
                ranges.push(at..item_end(tokens, end));
            }
        }
    }
    ranges
}

fn words(tokens: &[Token<'_>], at: usize, expected: &[&str]) -> bool {
    tokens[at..].len() >= expected.len()
        && tokens[at..].iter().zip(expected).all(|(token, text)| token.kind != Kind::Text && token.text == *text)
}

/// Behind the bracket that closes the one at `at`.
fn closing(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0;
    for (behind, token) in tokens.iter().enumerate().skip(at) {
        match (token.kind, token.text) {
            (Kind::Mark, "(" | "[" | "{") => depth += 1,
            (Kind::Mark, ")" | "]" | "}") => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return behind + 1;
        }
    }
    tokens.len()
}

/// Behind the item that begins at `at`, at its `;` or its `}`.
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    while at < tokens.len() {
        match (tokens[at].kind, tokens[at].text) {
            (Kind::Mark, ";") => return at + 1,
            (Kind::Mark, "{") => {
                let behind = closing(tokens, at);
                return if words(tokens, behind.min(tokens.len()), &[";"]) { behind + 1 } else { behind };
            }
            (Kind::Mark, "(" | "[") => at = closing(tokens, at),
            (Kind::Mark, "}") => return at,
            _ => at += 1,
        }
    }
    at
}

/// One walk over the tokens, with the braces that are open.
struct Walk<'a, 't> {
    tokens: &'a [Token<'t>],
    tests: &'a [Range<usize>],
    /// The module's name, or nothing for any other brace.
    scopes: Vec<Option<String>>,
    source: &'a mut Source<'t>,
}

impl Walk<'_, '_> {
    fn run(mut self) {
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            at = match (token.kind, token.text) {
                (Kind::Mark, "{") => self.open(at, None),
                (Kind::Mark, "}") => {
                    self.scopes.pop();
                    at + 1
                }
                (Kind::Word, "mod") => self.module(at),
                (Kind::Word, "use") if !words(self.tokens, at + 1, &["<"]) => self.import(at),
                (Kind::Word, _) => self.path(at),
                _ => at + 1,
            };
        }
    }

    fn open(&mut self, at: usize, module: Option<String>) -> usize {
        self.scopes.push(module);
        at + 1
    }

    fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    fn inside(&self) -> Vec<String> {
        self.scopes.iter().flatten().cloned().collect()
    }

    fn module(&mut self, at: usize) -> usize {
        let Some(name) = self.tokens.get(at + 1).map(|token| token.text.to_owned()) else { return at + 1 };
        self.source.modules.insert((self.inside(), name.clone()));
        if words(self.tokens, at + 2, &["{"]) {
            return self.open(at + 2, Some(name));
        }
        if self.is_test(at) {
            self.source.test_files.push(name);
        }
        at + 2
    }

    fn import(&mut self, at: usize) -> usize {
        let mut at = at + 1;
        if words(self.tokens, at, &["::"]) {
            at += 1; // `use ::name`: certainly an outside crate, as is any name that is no module of ours
        }
        self.tree(at, &[])
    }

    /// A tree of a `use`: its leaves are mentions. Gives back where it ends.
    fn tree(&mut self, mut at: usize, before: &[String]) -> usize {
        let (mut path, line) = (before.to_vec(), self.tokens.get(at).map_or(0, |token| token.line));
        let mut name = None;
        while let Some(token) = self.tokens.get(at) {
            match (token.kind, token.text) {
                (Kind::Mark, "::") => at += 1,
                (Kind::Mark, "{") => return self.branches(at + 1, &path),
                (Kind::Word, "as") => {
                    name = self.tokens.get(at + 1).map(|token| token.text.to_owned());
                    at += 2;
                }
                (Kind::Word, "self") if !path.is_empty() => at += 1,
                (Kind::Word, _) | (Kind::Mark, "*") => {
                    path.push(token.text.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        if path.len() > 1 || name.is_some() {
            self.source.names.extend(name.or_else(|| path.last().cloned()));
        }
        self.mention(at - 1, line, path, true);
        at
    }

    fn branches(&mut self, mut at: usize, path: &[String]) -> usize {
        while at < self.tokens.len() && !words(self.tokens, at, &["}"]) {
            at = if words(self.tokens, at, &[","]) { at + 1 } else { self.tree(at, path) };
        }
        at + 1
    }

    /// A path in code or in an attribute; a name without `::` is none.
    fn path(&mut self, at: usize) -> usize {
        let mut path = vec![self.tokens[at].text.to_owned()];
        let mut end = at + 1;
        while words(self.tokens, end, &["::"]) && self.tokens.get(end + 1).is_some_and(|next| next.kind == Kind::Word) {
            path.push(self.tokens[end + 1].text.to_owned());
            end += 2;
        }
        // Behind a type in angle brackets (`<T as Trait>::name`) a path goes on, and does not begin.
        let goes_on = at >= 2 && words(self.tokens, at - 2, &[">", "::"]);
        if path.len() > 1 && !goes_on {
            self.mention(at, self.tokens[at].line, path, false);
        }
        end
    }

    fn mention(&mut self, at: usize, line: usize, segments: Vec<String>, imported: bool) {
        let (module, test) = (self.inside(), self.is_test(at));
        self.source.mentions.push(Mention { line, module, segments, imported, test });
    }
}
