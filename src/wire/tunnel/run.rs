//! Bytes that pass without a copy: collected while they are judged, sent in one go.

use super::{Note, Out, Side};

/// Whoever counts learns of a message of this end, once its last piece has passed: of how many bytes it was.
#[inline]
pub(super) fn note_end(from: Side, (has_ended, size): (bool, u64), out: &mut impl Out) {
    if has_ended {
        out.note(Note::Message(from, size));
    }
}

/// The stretch of the bytes at hand that passes as it stands.
pub(super) struct Run<'a> {
    bytes: &'a [u8],
    to: Side,
    /// Up to here the bytes are judged.
    pub(super) at: usize,
    start: usize,
    end: usize,
    /// Where the current frame's head began, if it began in these bytes.
    frame: Option<usize>,
}

impl<'a> Run<'a> {
    pub(super) const fn new(bytes: &'a [u8], to: Side) -> Self {
        Self { bytes, to, at: 0, start: 0, end: 0, frame: None }
    }

    /// The bytes that are not judged yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next bytes, a whole frame, pass.
    pub(super) fn frame(&mut self, size: usize, out: &mut impl Out) {
        self.begin(self.at, out);
        self.at += size;
        self.end = self.at;
    }

    /// A head that was read passes: as it stands, or from where it was held if it came in pieces.
    pub(super) fn head(&mut self, before: usize, carried: usize, head: &[u8], out: &mut impl Out) {
        if carried == 0 {
            self.begin(before, out);
            self.frame = Some(before);
        } else {
            self.flush(out);
            out.send(self.to, head);
            self.start = self.at;
            self.frame = None;
        }
        self.end = self.at;
    }

    /// What passes next begins here.
    fn begin(&mut self, start: usize, out: &mut impl Out) {
        if self.end != start {
            self.flush(out);
            self.start = start;
        }
    }

    /// Payload passes.
    pub(super) fn extend(&mut self) {
        self.end = self.at;
    }

    pub(super) fn flush(&mut self, out: &mut impl Out) {
        if self.start < self.end {
            out.send(self.to, &self.bytes[self.start..self.end]);
        }
        self.start = self.at;
        self.end = self.at;
    }

    /// Takes back the frame whose payload turned out bad, unless a part of it has passed already; says whether it did.
    pub(super) fn retract(&mut self) -> bool {
        match self.frame {
            Some(frame) if frame >= self.start => {
                self.end = frame;
                true
            }
            _ => false,
        }
    }
}
