//! Text that may be shown in a terminal, whoever wrote it: nothing in it moves the cursor, changes a colour, or is unseen.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};

/// Characters that are shown of one text.
const LONGEST: usize = 256;
/// Stands for what is not shown.
const HIDDEN: char = '\u{fffd}';

/// What came from elsewhere, with each character that is neither printable ASCII nor a letter or digit of some script
/// replaced: control characters, escapes, marks that turn the direction of writing, blanks of no width.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Plain(Box<str>);

impl Plain {
    /// Of this text, 256 characters at most.
    #[must_use]
    pub(crate) fn of(text: &str) -> Self {
        let shown = text.chars().take(LONGEST).map(|one| if is_harmless(one) { one } else { HIDDEN });
        Self(shown.collect())
    }

    /// As it may be shown.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_harmless(one: char) -> bool {
    matches!(one, ' '..='~' | 'µ' | '…' | '–') || (!one.is_ascii() && one.is_alphanumeric())
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from).map(|text| Self::of(&text))
    }
}

/// A name that has to be said again as it came, when something is asked about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Name(String);

impl Name {
    /// For requests, never for the screen.
    #[must_use]
    pub(crate) fn raw(&self) -> &str {
        &self.0
    }

    /// For the screen.
    #[must_use]
    pub(crate) fn shown(&self) -> Plain {
        Plain::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of Unicode's category Cf what turns or hides text; all of Cc is `char::is_control`.
    const UNSEEN: [char; 12] = [
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{202a}',
        '\u{202e}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{2028}',
        '\u{ad}',
        '\u{e0041}',
    ];

    #[test]
    fn escapes_and_marks_that_turn_text_are_not_shown() {
        assert_eq!(Plain::of("a\x1b[2J\x07b\u{9b}31m\r\n\t\x7f").as_str(), "a�[2J�b�31m����");
        let hidden: String = UNSEEN.iter().collect();
        assert_eq!(Plain::of(&hidden).as_str(), "�".repeat(UNSEEN.len()));
        assert_eq!(Plain::of("/chat/Küche 部屋 ~").as_str(), "/chat/Küche 部屋 ~");
        assert_eq!(Plain::of(&"x".repeat(1000)).as_str().len(), 256);
        let read: Plain = serde_json::from_str(r#""\u001b]0;owned\u0007""#).expect("text");
        assert_eq!(read.as_str(), "�]0;owned�");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_a_terminal_comes_through(text in any::<String>()) {
            let plain = Plain::of(&text);
            prop_assert!(!plain.as_str().chars().any(|one| one.is_control() || UNSEEN.contains(&one)));
        }
    }
}
