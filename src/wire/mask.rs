//! The mask of RFC 6455 §5.3, applied in words that the compiler turns into vector instructions.

/// A masking key, turned so that its first byte meets the next byte of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(u32);

impl Mask {
    /// The key as it stands in a frame's head.
    #[must_use]
    pub const fn new(key: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(key))
    }

    /// The key after `count` more bytes of payload.
    #[must_use]
    pub const fn advanced(self, count: usize) -> Self {
        Self(self.0.rotate_right(8 * (count % 4) as u32))
    }

    /// Whether bytes that are masked with it are ASCII: the top bits of bytes and key are the same.
    #[must_use]
    pub fn is_ascii_under(self, bytes: &[u8]) -> bool {
        let wide = u64::from(self.0) | (u64::from(self.0) << 32);
        let mut words = bytes.chunks_exact(8);
        let mut tops = 0;
        for word in &mut words {
            let mut value = [0; 8];
            value.copy_from_slice(word);
            tops |= u64::from_le_bytes(value) ^ wide;
        }
        let rest = words.remainder().iter().zip(wide.to_le_bytes()).fold(0, |tops, (byte, key)| tops | (byte ^ key));
        tops & 0x8080_8080_8080_8080 == 0 && rest & 0x80 == 0
    }

    /// Masks or unmasks in place, and turns the key for what follows.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let wide = u64::from(self.0) | (u64::from(self.0) << 32);
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            let mut value = [0; 8];
            value.copy_from_slice(word);
            word.copy_from_slice(&(u64::from_le_bytes(value) ^ wide).to_le_bytes());
        }
        for (byte, key) in words.into_remainder().iter_mut().zip(wide.to_le_bytes()) {
            *byte ^= key;
        }
        *self = self.advanced(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ascii_is_seen_under_any_mask(key: [u8; 4], mut bytes in prop::collection::vec(0..0x80u8, 0..40), at: prop::sample::Index) {
            let mask = Mask::new(key);
            mask.clone().apply(&mut bytes);
            prop_assert!(mask.is_ascii_under(&bytes));
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 0x80;
                prop_assert!(!mask.is_ascii_under(&bytes));
            }
        }

        #[test]
        fn rfc6455_5_3_each_byte_meets_its_key_byte(key: [u8; 4], bytes: Vec<u8>, cut: prop::sample::Index) {
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            let mut masked = bytes.clone();
            let at = if bytes.is_empty() { 0 } else { cut.index(bytes.len()) };
            let mut mask = Mask::new(key);
            let (front, back) = masked.split_at_mut(at);
            mask.apply(front);
            mask.apply(back);
            prop_assert_eq!(Mask::new(key).is_ascii_under(&masked), bytes.is_ascii());
            prop_assert_eq!(masked, expected);
        }
    }
}
