//! A TOML document whose every value knows its line and full key, and which gathers problems instead of stopping.

use std::cell::RefCell;

use toml::de::{DeTable, DeValue};

use super::syntax;
use crate::config::Problem;

/// The document and what was found wrong with it so far.
pub(super) struct Document<'d> {
    name: &'d str,
    text: &'d str,
    /// The lines of syntax errors; where there are any, parts that do not match may only be misread.
    broken_lines: Vec<usize>,
    /// Whether a broken line hides a key: then what is missing may be there after all.
    keys_lost: bool,
    problems: RefCell<Vec<Problem>>,
}

/// One table; remembers which names were asked for, so that it can tell what nobody knows.
pub(super) struct Table<'d> {
    document: &'d Document<'d>,
    key: String,
    /// The line of its header; the root has none.
    line: Option<usize>,
    entries: &'d DeTable<'d>,
    asked: RefCell<Vec<&'static str>>,
}

/// One value and where it stands.
pub(super) struct Value<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) key: String,
    offset: usize,
    pub(super) raw: &'d DeValue<'d>,
}

/// Where something was said, kept for checks that must wait until everything is read.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: Option<usize>,
    pub(super) key: String,
    pub(super) text: Option<String>,
}

/// A value together with its place.
#[derive(Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<'d> Document<'d> {
    /// Parses the text; its syntax errors are the first problems.
    ///
    /// # Errors
    /// The problems up to a syntax error behind which nothing is where it belongs.
    pub(super) fn parse(name: &'d str, text: &'d str) -> Result<(Self, DeTable<'d>), Vec<Problem>> {
        let (root, mut errors) = DeTable::parse_recoverable(text);
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        let keys_lost = errors.iter().any(syntax::loses_its_key);
        let mut document = Self { name, text, broken_lines: Vec::new(), keys_lost, problems: RefCell::default() };
        for error in &errors {
            let line = document.line(syntax::start(error));
            document.report(syntax::problem(name, line, text, error));
            document.broken_lines.push(line);
            if syntax::hides_what_follows(text, error) {
                return Err(document.into_problems());
            }
        }
        Ok((document, root.into_inner()))
    }

    /// The table of the whole document.
    pub(super) fn root(&'d self, entries: &'d DeTable<'d>) -> Table<'d> {
        Table { document: self, key: String::new(), line: None, entries, asked: RefCell::default() }
    }

    pub(super) fn is_broken(&self) -> bool {
        !self.broken_lines.is_empty()
    }

    /// Whatever else is found on the line of a syntax error follows from it, and is left out.
    pub(super) fn report(&self, problem: Problem) {
        if !problem.line.is_some_and(|line| self.broken_lines.contains(&line)) {
            self.problems.borrow_mut().push(problem);
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

impl<'d> Table<'d> {
    /// The value of a name, if it is there; from now on the name is known.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'d>> {
        if !self.asked.borrow().contains(&name) {
            self.asked.borrow_mut().push(name);
        }
        let (_, value) = self.entries.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Value {
            document: self.document,
            key: self.key_of(name),
            offset: value.span().start,
            raw: value.get_ref(),
        })
    }

    /// The same, and a problem when it is absent.
    pub(super) fn require(&self, name: &'static str, allowed: &str) -> Option<Value<'d>> {
        let value = self.get(name);
        if value.is_none() {
            self.missing(name, allowed);
        }
        value
    }

    /// Every entry, for tables whose names are the owner's own.
    pub(super) fn entries(&self) -> Vec<(&'d str, Value<'d>)> {
        let value = |key: &'d str, value: &'d toml::Spanned<DeValue<'d>>| {
            let place = (self.key_of(key), value.span().start);
            (key, Value { document: self.document, key: place.0, offset: place.1, raw: value.get_ref() })
        };
        self.entries.iter().map(|(key, entry)| value(key.get_ref(), entry)).collect()
    }

    /// Reports what is there but was never asked for, with the nearest name that was.
    pub(super) fn finish(self) {
        for problem in self.unknown("unknown key") {
            self.document.report(problem);
        }
    }

    /// A problem of the table as a whole.
    pub(super) fn problem(&self, wrong: &str, allowed: &str) {
        let problem = Problem::new(self.document.name, self.key.as_str(), wrong).allowing(allowed);
        self.document.report(Problem { line: self.line, ..problem });
    }

    /// The same, where it could be that a broken line hides what is not there.
    pub(super) fn incomplete(&self, wrong: &str, allowed: &str) {
        if !self.document.keys_lost {
            self.problem(wrong, allowed);
        }
    }

    fn missing(&self, name: &str, allowed: &str) {
        if !self.document.keys_lost {
            let problem = Problem::new(self.document.name, self.key_of(name), "missing").allowing(allowed);
            self.document.report(Problem { line: self.line, ..problem });
        }
    }

    /// The value of an unknown key is not shown: it may be a secret that the owner believes we take.
    fn unknown(&self, wrong: &str) -> Vec<Problem> {
        let asked = self.asked.borrow();
        let strangers = self.entries.keys().filter(|key| !asked.contains(&key.get_ref().as_ref()));
        let problem = |key: &toml::Spanned<std::borrow::Cow<'_, str>>| {
            let line = self.document.line(key.span().start);
            match nearest(key.get_ref(), &asked) {
                Some(near) => Problem::new(self.document.name, self.key_of(key.get_ref()), "unknown key")
                    .at_line(line)
                    .allowing(format!("{near} (the nearest known name)")),
                None => Problem::new(self.document.name, self.key_of(key.get_ref()), wrong).at_line(line).allowing(
                    match asked.as_slice() {
                        [] => "nothing".to_owned(),
                        asked => asked.join(", "),
                    },
                ),
            }
        };
        strangers.map(problem).collect()
    }

    fn key_of(&self, name: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name = if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") };
        if self.key.is_empty() { name } else { format!("{}.{name}", self.key) }
    }
}

impl<'d> Value<'d> {
    /// Its text; numbers and tables have none.
    pub(super) fn as_text(&self) -> Option<&'d str> {
        self.raw.as_str()
    }

    /// Its entries, when it is a table.
    pub(super) fn as_table(&self) -> Option<Table<'d>> {
        let entries = self.raw.as_table()?;
        let line = Some(self.document.line(self.offset));
        Some(Table { document: self.document, key: self.key.clone(), line, entries, asked: RefCell::default() })
    }

    /// Its elements, when it is a list.
    pub(super) fn as_items(&self) -> Option<Vec<Value<'d>>> {
        let items = self.raw.as_array()?.iter().enumerate();
        let item = |(index, item): (usize, &'d toml::Spanned<DeValue<'d>>)| Value {
            document: self.document,
            key: format!("{}[{index}]", self.key),
            offset: item.span().start,
            raw: item.get_ref(),
        };
        Some(items.map(item).collect())
    }

    /// Reports what is wrong with it.
    pub(super) fn refuse(&self, wrong: &str, allowed: &str) {
        let problem = Problem::new(self.document.name, self.key.as_str(), wrong)
            .at_line(self.document.line(self.offset))
            .allowing(allowed);
        self.document.report(match self.raw {
            DeValue::String(text) => problem.with_text(text),
            DeValue::Integer(number) => problem.with_value(number),
            DeValue::Float(number) => problem.with_value(number),
            DeValue::Boolean(flag) => problem.with_value(flag),
            DeValue::Datetime(time) => problem.with_value(time),
            DeValue::Array(items) if items.is_empty() => problem.with_value("[]"),
            DeValue::Array(_) => problem.with_value("[…]"),
            DeValue::Table(_) => problem.with_value("{…}"),
        });
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        Place {
            file: self.document.name.to_owned(),
            line: Some(self.document.line(self.offset)),
            key: self.key.clone(),
            text: self.as_text().map(str::to_owned),
        }
    }
}

impl Place {
    /// A problem at this place.
    pub(super) fn problem(&self, wrong: impl Into<String>, allowed: impl Into<String>) -> Problem {
        let problem = Problem::new(self.file.as_str(), self.key.as_str(), wrong).allowing(allowed);
        let problem = Problem { line: self.line, ..problem };
        match &self.text {
            Some(text) => problem.with_text(text),
            None => problem,
        }
    }
}

impl<T> Placed<T> {
    pub(super) fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// A name close enough that the owner probably meant it.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let scored = known.iter().map(|near| (strsim::normalized_damerau_levenshtein(name, near), *near));
    let (score, near) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score >= 0.6).then_some(near)
}
