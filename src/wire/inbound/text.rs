//! Text judged as it comes: under its mask where that is enough, unmasked on the stack where it is not.

use super::Inbound;
use crate::wire::close::Violation;
use crate::wire::frame::CONTROL_MAX;
use crate::wire::mask::Mask;
use crate::wire::utf8;

/// Bytes that are unmasked on the stack at a time to be checked: enough for vector instructions to pay.
pub(super) const SCRATCH: usize = 2048;

impl Inbound {
    pub(super) fn check_text(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let Some(mut mask) = self.mask else {
            return self.utf8.push(bytes).map_err(|_| Violation::NotUtf8);
        };
        let mut scratch = [0; SCRATCH];
        for piece in bytes.chunks(SCRATCH) {
            if self.utf8.is_between_characters() && mask.is_ascii_under(piece) {
                mask = mask.advanced(piece.len());
                continue;
            }
            let clear = &mut scratch[..piece.len()];
            clear.copy_from_slice(piece);
            mask.apply(clear);
            self.utf8.push(clear).map_err(|_| Violation::NotUtf8)?;
        }
        Ok(())
    }
}

/// Whether the payload of a short frame is text.
pub(super) fn is_text(payload: &[u8], mut mask: Mask) -> bool {
    if mask.is_ascii_under(payload) {
        return true;
    }
    let mut scratch = [0; CONTROL_MAX];
    let clear = &mut scratch[..payload.len()];
    clear.copy_from_slice(payload);
    mask.apply(clear);
    utf8::is_text(clear)
}
