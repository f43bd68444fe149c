//! What a member may be called, and when two names are the same.

use std::sync::Arc;

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

    /// A name that somebody chooses, without the spaces at its ends; `most` is in characters.
    ///
    /// # Errors
    /// Empty, too long, invisible, or one that is given and not chosen.
    pub(crate) fn chosen(text: &str, most: usize) -> Result<Self, Fault> {
        let name = Self::sound(text, most)?;
        if fold(&name).starts_with(&fold(FORM)) {
            return Err(Fault::BadName);
        }
        Ok(Self { text: name.into(), vouched: false })
    }

    /// A name that a token gives: what cannot be shown is left out, and what is too long is cut. Nothing when nothing is
    /// left.
    #[must_use]
    pub(crate) fn vouched(text: &str, most: usize) -> Option<Self> {
        let seen: String = text.chars().filter(|&letter| !is_hidden(letter)).take(most).collect();
        let name = Self::chosen(&seen, most).ok()?;
        Some(Self { vouched: true, ..name })
    }

    /// A name that another gateway tells.
    #[must_use]
    pub(crate) fn elsewhere(text: &str, most: usize) -> Option<Self> {
        Some(Self { text: Self::sound(text, most).ok()?.into(), vouched: false })
    }

    /// The same for equal names: in lower case.
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

/// The same for names that are the same: in lower case.
#[must_use]
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// Characters that are not seen, or turn what stands around them: the categories Cc, Cf, Zl and Zp of Unicode 16.
const fn is_hidden(letter: char) -> bool {
    matches!(
        letter as u32,
        0..=0x1f
            | 0x7f..=0x9f
            | 0xad
            | 0x600..=0x605
            | 0x61c
            | 0x6dd
            | 0x70f
            | 0x890..=0x891
            | 0x8e2
            | 0x180e
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x2064
            | 0x2066..=0x206f
            | 0xfeff
            | 0xfff9..=0xfffb
            | 0x110bd
            | 0x110cd
            | 0x13430..=0x1343f
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0001
            | 0xe0020..=0xe007f
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_seen_and_short() {
        assert_eq!(&*Name::chosen("  Ann Lee ", 32).expect("name").text, "Ann Lee");
        assert_eq!(&*Name::chosen("日本", 2).expect("name").text, "日本");
        let long = "x".repeat(33);
        for text in ["", "   ", &long, "a\nb", "a\u{202e}b", "\u{200b}", "a\u{2028}b", "User #1", "uSER #x", " user #"]
        {
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
    fn case_and_spaces_make_no_other_name() {
        let key = |text: &str| Name::chosen(text, 32).expect("name").key();
        assert_eq!(key(" ÄNNE "), key("änne"));
        assert_ne!(key("a b"), key("ab"));
    }

    #[test]
    fn what_a_token_says_is_made_to_fit() {
        let name = |text: &str| Name::vouched(text, 5).map(|name| name.text.to_string());
        assert_eq!(name("A\u{200b}nna Lee").as_deref(), Some("Anna"));
        assert_eq!((name("\n"), name("User #3")), (None, Some("User".to_owned())));
    }
}
