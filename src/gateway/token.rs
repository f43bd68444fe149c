//! The token of the admin door: read from where the owner keeps it, and compared so that time tells nothing of it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::config::{AdminToken, Config, Problem, Problems};

/// Bytes of a token: fewer can be guessed.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=1024;
const ALLOWED: &str = "a first line of 16 to 1024 bytes without spaces at its ends";

/// A token, of which only the digest is kept.
pub(super) struct Token(Digest);

impl Token {
    /// Reads it.
    ///
    /// # Errors
    /// A file or a variable that is not there, or holds no token.
    pub(super) fn read(place: &AdminToken) -> Result<Self, Problems> {
        text_of(place).map(|text| Self::of(&text))
    }

    fn of(text: &str) -> Self {
        Self(digest(&SHA256, text.as_bytes()))
    }

    /// Whether this is it. Takes as long for any text.
    #[must_use]
    pub(super) fn is(&self, shown: &str) -> bool {
        verify_slices_are_equal(self.0.as_ref(), digest(&SHA256, shown.as_bytes()).as_ref()).is_ok()
    }
}

/// The token of a configuration's admin door, for whoever is to ask there; `None`: nobody can.
///
/// # Errors
/// A file or a variable that is not there, or holds no token.
pub fn admin_token(config: &Config) -> Result<Option<String>, Problems> {
    config.admin.as_ref().and_then(|admin| admin.token.as_ref()).map(text_of).transpose()
}

fn text_of(place: &AdminToken) -> Result<String, Problems> {
    let (name, key, text) = match place {
        AdminToken::File(path) => (path.display().to_string(), "admin.token_file", read_file(path)),
        AdminToken::Variable(name) => {
            let text = std::env::var(name).map_err(|error| error.to_string());
            (name.clone(), "admin.token_env", text)
        }
    };
    let read = text.and_then(|text| parse(&text).map(str::to_owned));
    read.map_err(|wrong| Problems::new(vec![Problem::new(name, key, wrong).allowing(ALLOWED)]))
}

fn parse(text: &str) -> Result<&str, String> {
    let line = text.lines().next().unwrap_or_default();
    match LENGTH.contains(&line.len()) && line.trim() == line {
        true => Ok(line),
        false => Err("there is no token in it".to_owned()),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let most = *LENGTH.end() as u64 + 2;
    let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| format!("cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_first_line_and_only_that() {
        let token = Token::of(parse("0123456789abcdef\nmore\n").expect("token"));
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is(""));
        for text in ["", "short", "0123456789abcde", " 0123456789abcdef", &"x".repeat(1025)] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
