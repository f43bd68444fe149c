//! What a member may be called, and when two names are the same.

use std::sync::Arc;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, VariationSelector};
use icu_properties::{CodePointMapData, CodePointSetData};

use super::fault::Fault;

/// How names begin that are given and not chosen.
const FORM: &str = "User #";

/// A member's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// As it is shown.
    pub(crate) text: Arc<str>,
    /// Whether a token says so: then it is not the member's to choose, and several of its connections may have it.
    pub(crate) vouched: bool,
}

impl Name {
    /// The name of whoever has chosen none.
    #[must_use]
    pub(crate) fn of_user(user: u64) -> Self {
        // By hand: it is made for each message of the plain language.
        let mut text = String::with_capacity(FORM.len() + 20);
        text.push_str(FORM);
        push_digits(&mut text, user);
        Self { text: text.into(), vouched: false }
    }

    /// A name that somebody chooses, without the spaces at its ends; `most` is in characters. Selectors, which tell only how
    /// the character before them is drawn, come from any keyboard that has hearts: they are left out.
    ///
    /// # Errors
    /// Empty, too long, partly invisible, or one that is given and not chosen.
    pub(crate) fn chosen(text: &str, most: usize) -> Result<Self, Fault> {
        let drawn: String = text.chars().filter(|&letter| !is_selector(letter)).collect();
        let name = Self::sound(&drawn, most)?;
        let dense = |text: &str| fold(text).replace(' ', "");
        if dense(&name).starts_with(&dense(FORM)) {
            return Err(Fault::BadName);
        }
        Ok(Self { text: name.into(), vouched: false })
    }

    /// A name that a token gives: what cannot be shown is left out, and what is too long is cut. Nothing when nothing is
    /// left.
    #[must_use]
    pub(crate) fn vouched(text: &str, most: usize) -> Option<Self> {
        let seen = text.trim_start().chars().filter(|&letter| !is_hidden(letter));
        let name = Self::chosen(&seen.take(most).collect::<String>(), most).ok()?;
        Some(Self { vouched: true, ..name })
    }

    /// A name that another gateway tells.
    #[must_use]
    pub(crate) fn elsewhere(text: &str, most: usize) -> Option<Self> {
        Some(Self { text: Self::sound(text, most).ok()?.into(), vouched: false })
    }

    /// The same for equal names; see [`fold`].
    #[must_use]
    pub(crate) fn key(&self) -> Box<str> {
        fold(&self.text).into()
    }

    fn sound(text: &str, most: usize) -> Result<String, Fault> {
        let name = text.trim();
        let count = name.chars().count();
        if count == 0 || count > most || name.chars().any(is_hidden) {
            return Err(Fault::BadName);
        }
        Ok(name.to_owned())
    }
}

fn push_digits(text: &mut String, number: u64) {
    if number > 9 {
        push_digits(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// The same for names that people take for the same: whatever the case, the width and the way of writing an accent, however
/// many spaces of whatever kind there are between two words, and without what is not seen. What is folded stays as it is
/// when it is folded again.
#[must_use]
pub(super) fn fold(name: &str) -> String {
    const COMPOSER: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
    let alike = COMPOSER.normalize(name);
    let seen = alike.chars().filter(|&letter| !is_hidden(letter));
    // There and back: what has several small forms, or large ones of several letters, is one then.
    let large = seen.flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    let small: String = large.flat_map(char::to_lowercase).collect();
    let words: Vec<&str> = small.split_whitespace().collect();
    COMPOSER.normalize(&words.join(" ")).into_owned()
}

/// Characters that are not seen, or turn what stands around them: the categories Cc, Cf, Zl and Zp, what Unicode calls
/// default ignorable, and two that are drawn as nothing.
fn is_hidden(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_control();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(letter);
    matches!(
        category,
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    ) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter)
        || matches!(letter, '\u{2800}' | '\u{1d159}')
}

fn is_selector(letter: char) -> bool {
    CodePointSetData::new::<VariationSelector>().contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_seen_and_short() {
        assert_eq!(&*Name::chosen("  Ann Lee ", 32).expect("name").text, "Ann Lee");
        assert_eq!(&*Name::chosen("日本", 2).expect("name").text, "日本");
        let long = "x".repeat(33);
        for text in ["", "   ", &long, "a\nb", "User #1", "uSER #x", " user #"] {
            assert_eq!(Name::chosen(text, 32), Err(Fault::BadName), "{text:?}");
        }
        for hidden in "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180e}\u{200b}\u{202e}\u{2028}\u{2060}\
            \u{2065}\u{2800}\u{3164}\u{feff}\u{ffa0}\u{fff0}\u{1d159}\u{e0001}\u{e0fff}"
            .chars()
        {
            let text = format!("a{hidden}b");
            assert_eq!(Name::chosen(&text, 32), Err(Fault::BadName), "{text:?}");
            assert_eq!(fold(&text), "ab", "{text:?}");
        }
        for selector in ['\u{180b}', '\u{fe00}', '\u{fe0f}', '\u{e0100}', '\u{e01ef}'] {
            let name = Name::chosen(&format!("a{selector}"), 1).expect("name");
            assert_eq!((&*name.text, fold(&format!("a{selector}"))), ("a", "a".to_owned()));
            assert_eq!(Name::chosen(&selector.to_string(), 32), Err(Fault::BadName), "{selector:?}");
        }
    }

    #[test]
    fn what_looks_given_is_not_chosen() {
        for space in ["", "  ", "\u{a0}", "\u{2003}", "\u{3000}", "\u{1680}", "\u{fe0f} "] {
            let text = format!("User{space}#7");
            assert_eq!(Name::chosen(&text, 32), Err(Fault::BadName), "{text:?}");
        }
        for text in ["\u{ff35}ser #7", "User \u{ff03}7", "U\u{17f}er #7"] {
            assert_eq!(Name::chosen(text, 32), Err(Fault::BadName), "{text:?}");
        }
    }

    #[test]
    fn who_has_chosen_none_is_a_number() {
        for user in [0, 7, 10, 1234, u64::MAX] {
            assert_eq!(*Name::of_user(user).text, *format!("User #{user}"));
        }
    }

    #[test]
    fn case_spaces_and_spelling_make_no_other_name() {
        let key = |text: &str| Name::chosen(text, 32).expect("name").key();
        assert_eq!(key(" ÄNNE "), key("änne"));
        assert_ne!(key("a b"), key("ab"));
        for (one, other) in [
            ("Ann\u{a0}Lee", "ann  lee"),
            ("A\u{308}nne", "änne"),
            ("\u{ff21}nn", "ann"),
            ("ΣΑΣ", "σας"),
            ("\u{fb01}n", "FIN"),
            ("Groß", "GROẞ"),
        ] {
            assert_eq!(key(one), key(other));
        }
        assert_ne!(key("Änne"), key("Anne"));
    }

    #[test]
    fn what_is_folded_stays() {
        for letter in ('\0'..='\u{1ffff}').chain('\u{e0000}'..='\u{e0fff}') {
            let once = fold(&format!("a{letter}b"));
            assert_eq!(fold(&once), once, "{letter:?}");
        }
    }

    #[test]
    fn what_a_token_says_is_made_to_fit() {
        let name = |text: &str| Name::vouched(text, 5).map(|name| name.text.to_string());
        assert_eq!(name("A\u{200b}nna Lee").as_deref(), Some("Anna"));
        assert_eq!((name("\n"), name("User #3")), (None, Some("User".to_owned())));
    }
}
