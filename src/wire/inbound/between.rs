//! What can be asked of a direction, and done with it, while nothing is under way.

use super::{Inbound, Stage};

impl Inbound {
    /// Whether a message has begun and is not complete.
    #[must_use]
    pub const fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    /// The bytes from here on are those of another connection.
    pub fn restart(&mut self) {
        *self = Self::new(self.rules);
    }

    /// Gives back what control frames made it hold; called when nothing is under way.
    pub fn rest(&mut self) {
        if self.control.is_some() && !matches!(self.stage, Stage::Control(_)) {
            self.control = None;
        }
    }
}
