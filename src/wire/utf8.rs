//! UTF-8 checked as it arrives, in pieces cut anywhere, and refused at the first bad byte (RFC 6455 §8.1).

/// The check of one message's text; holds at most three undecided bytes between pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    held: [u8; 4],
    count: u8,
}

/// Bytes that can no longer become UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

/// Whether a text that is whole is UTF-8.
#[inline]
pub(super) fn is_text(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok()
}

impl Utf8 {
    /// A message of which nothing has come yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { held: [0; 4], count: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// As soon as no continuation could make the text valid.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.count > 0 {
            let Some((&first, rest)) = piece.split_first() else { return Ok(()) };
            self.held[usize::from(self.count)] = first;
            self.count += 1;
            piece = rest;
            match std::str::from_utf8(&self.held[..usize::from(self.count)]) {
                Ok(_) => self.count = 0,
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                Err(_) => {}
            }
        }
        if let Err(error) = simdutf8::compat::from_utf8(piece) {
            if error.error_len().is_some() {
                return Err(NotUtf8);
            }
            let rest = &piece[error.valid_up_to()..];
            self.held[..rest.len()].copy_from_slice(rest);
            self.count = rest.len() as u8;
        }
        Ok(())
    }

    /// Whether nothing is undecided.
    #[must_use]
    pub const fn is_between_characters(&self) -> bool {
        self.count == 0
    }

    /// The message is over.
    ///
    /// # Errors
    /// When it ends inside a character.
    pub fn finish(&mut self) -> Result<(), NotUtf8> {
        if std::mem::take(&mut self.count) == 0 { Ok(()) } else { Err(NotUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pieces: &[&[u8]]) -> Result<(), NotUtf8> {
        let mut utf8 = Utf8::default();
        for piece in pieces {
            utf8.push(piece)?;
        }
        utf8.finish()
    }

    #[test]
    fn rfc6455_8_1_refused_at_the_first_bad_byte() {
        for bad in [&b"\xed\xa0"[..], b"\xf4\x90", b"\xc0", b"\xe0\x80", b"\xff", b"\x80"] {
            let mut utf8 = Utf8::default();
            let verdict = bad.iter().try_for_each(|byte| utf8.push(&[*byte]));
            assert_eq!(verdict, Err(NotUtf8), "{bad:x?}");
        }
        assert_eq!(check(&[b"\xf0\x9f\x98"]), Err(NotUtf8));
        assert_eq!(check(&[b"\xf0\x9f", b"\x98", b"\x80 ok"]), Ok(()));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(bytes in prop::collection::vec(prop_oneof![Just(0xf0u8), Just(0x9f), Just(0x98), Just(0x80), Just(0xe2), any::<u8>()], 0..40), cut: prop::sample::Index, second: prop::sample::Index) {
            let whole = std::str::from_utf8(&bytes).is_ok();
            let (mut a, mut b) = (cut.index(bytes.len() + 1), second.index(bytes.len() + 1));
            if a > b { std::mem::swap(&mut a, &mut b); }
            prop_assert_eq!(check(&[&bytes[..a], &bytes[a..b], &bytes[b..]]).is_ok(), whole);
        }

        #[test]
        fn text_is_text(text: String, cut: prop::sample::Index) {
            let at = cut.index(text.len() + 1);
            let (front, back) = text.as_bytes().split_at(at);
            prop_assert_eq!(check(&[front, back]), Ok(()));
        }
    }
}
