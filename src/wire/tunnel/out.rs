//! What a tunnel needs of whoever has it: where its bytes go, and who counts.

#[cfg(doc)]
use super::Edge;
use super::Side;

/// Where a tunnel's bytes go, and who may say that a client talks too much.
pub trait Out {
    /// Takes bytes for one end; all of them, in this order. With an [`Edge`] they are one whole frame.
    fn send(&mut self, to: Side, bytes: &[u8]);

    /// Takes one whole message for the client, in one frame, that could be left out as a whole. Only with an [`Edge`].
    fn message(&mut self, bytes: &[u8]) {
        self.send(Side::Client, bytes);
    }

    /// Whether the client may send one more message now.
    fn admit_message(&mut self) -> bool;

    /// Learns what has happened, if it wants to know.
    #[inline]
    fn note(&mut self, _: Note) {}
}

/// What has happened, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A message of this end has passed, with so many bytes of payload.
    Message(Side, u64),
    /// The client is sent a ping of the gateway's own.
    Pinged,
    /// The client has answered one.
    Ponged,
}
