//! The frames that members send: one that is made once and only changes its mark, or one for each message from a phrase.

use wsgate::client;
use wsgate::wire::frame::{self, Opcode};

use super::phrase::{Filling, Phrase};
use super::plan::{MARK, Mark, Side};
use super::policy::Policy;

/// Makes masked frames. Their mask is the same each time: the server's work is the same, and nobody here needs
/// protection from caches in between.
pub(crate) struct Template {
    opcode: Opcode,
    frame: Vec<u8>,
    key: [u8; 4],
    /// Where the payload begins.
    start: usize,
    /// What is said, without its mark, where a phrase goes around it.
    text: Vec<u8>,
    payload: Vec<u8>,
    pub(crate) marked: bool,
}

/// Who says something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker {
    pub(crate) room: usize,
    pub(crate) member: usize,
}

impl Template {
    pub(crate) fn new(policy: &Policy) -> Self {
        let opcode = if policy.binary { Opcode::Binary } else { Opcode::Text };
        let text: Vec<u8> = (b'a'..=b'z').cycle().take(policy.size).collect();
        let key = client::random();
        let frame = frame::whole(opcode, &text, Some(key));
        let start = frame.len() - text.len();
        Self { opcode, frame, key, start, text, payload: Vec::new(), marked: policy.size >= MARK }
    }

    /// A message with this mark, and how many bytes of payload it has.
    pub(crate) fn message(&mut self, say: Option<&Phrase>, mark: Mark, by: Speaker) -> (&[u8], usize) {
        match say {
            Some(say) => {
                if self.marked {
                    self.text[..MARK].copy_from_slice(&mark.to_text(Side::Text));
                }
                let reference = mark.to_text(Side::Ref);
                let filling = Filling { room: by.room, member: by.member, text: &self.text, reference: &reference };
                self.payload.clear();
                say.fill(&filling, &mut self.payload);
                self.frame.clear();
                frame::append(&mut self.frame, self.opcode, &self.payload, Some(self.key));
                (&self.frame, self.payload.len())
            }
            None => {
                if self.marked {
                    for (at, byte) in mark.to_text(Side::Text).into_iter().enumerate() {
                        self.frame[self.start + at] = byte ^ self.key[at % 4];
                    }
                }
                (&self.frame, self.text.len())
            }
        }
    }

    /// What a member sends before all else, as frames.
    pub(crate) fn join(&self, phrases: &[Phrase], by: Speaker) -> Vec<u8> {
        let filling = Filling { room: by.room, member: by.member, ..Filling::default() };
        let mut out = Vec::new();
        for phrase in phrases {
            frame::append(&mut out, self.opcode, phrase.to_text(&filling).as_bytes(), Some(self.key));
        }
        out
    }
}
