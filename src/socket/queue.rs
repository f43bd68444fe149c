//! What could not be sent yet, in order; whole messages in it may be left out as long as none of them has left.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use crate::limits::SlowClient;

/// Pieces that wait; there only while it is needed.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// A whole message, of which nothing has left.
    is_message: bool,
}

impl Queue {
    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, bytes: Bytes, is_message: bool) {
        self.bytes += bytes.len();
        self.pieces.push_back(Piece { bytes, is_message });
    }

    /// What goes next.
    pub(super) fn front(&self) -> Option<&Bytes> {
        self.pieces.front().map(|piece| &piece.bytes)
    }

    /// So many bytes of what goes next have left.
    pub(super) fn advance(&mut self, sent: usize) {
        let Some(front) = self.pieces.front_mut() else { return };
        self.bytes -= sent;
        front.bytes.advance(sent);
        front.is_message = false;
        if front.bytes.is_empty() {
            self.pieces.pop_front();
        }
    }

    /// Drops everything but the first piece, which may have begun to leave.
    pub(super) fn drop_all_but_first(&mut self) {
        self.pieces.truncate(1);
        self.bytes = self.pieces.front().map_or(0, |piece| piece.bytes.len());
    }

    /// Drops what `slow` says until there are at most `most` bytes, if that is enough; says how many messages it were.
    pub(super) fn thin(&mut self, most: usize, slow: SlowClient) -> u64 {
        let mut dropped = 0;
        let mut excess = match slow {
            SlowClient::Close => 0,
            SlowClient::DropOldest => self.bytes.saturating_sub(most),
            SlowClient::Latest => usize::MAX,
        };
        self.pieces.retain(|piece| {
            let stays = excess == 0 || !piece.is_message;
            if !stays {
                excess = excess.saturating_sub(piece.bytes.len());
                dropped += 1;
            }
            stays
        });
        self.bytes = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        dropped
    }
}

/// The bytes of a whole message, in one frame.
#[derive(Clone, Copy)]
pub(crate) enum Message<'a> {
    /// Copied if it has to wait.
    Own(&'a [u8]),
    /// Many sockets share it.
    Shared(&'a Bytes),
}

impl<'a> Message<'a> {
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        let mut queue = Queue::default();
        queue.push(Bytes::from_static(b"begun"), true);
        queue.push(Bytes::from_static(b"one"), true);
        queue.push(Bytes::from_static(b"pong"), false);
        queue.push(Bytes::from_static(b"two"), true);
        queue.push(Bytes::from_static(b"three"), true);
        queue.advance(2);
        queue
    }

    fn left(mut queue: Queue, most: usize, slow: SlowClient) -> (Vec<u8>, u64) {
        let dropped = queue.thin(most, slow);
        let all = queue.pieces.iter().flat_map(|piece| piece.bytes.to_vec()).collect::<Vec<_>>();
        assert_eq!(queue.bytes(), all.len());
        (all, dropped)
    }

    #[test]
    fn what_has_begun_and_what_is_no_message_stays() {
        assert_eq!(left(queue(), 0, SlowClient::DropOldest), (b"gunpong".to_vec(), 3));
        assert_eq!(left(queue(), 0, SlowClient::Latest), (b"gunpong".to_vec(), 3));
        assert_eq!(left(queue(), 0, SlowClient::Close), (b"gunonepongtwothree".to_vec(), 0));
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_need_be() {
        assert_eq!(left(queue(), 18, SlowClient::DropOldest), (b"gunonepongtwothree".to_vec(), 0));
        assert_eq!(left(queue(), 17, SlowClient::DropOldest), (b"gunpongtwothree".to_vec(), 1));
        assert_eq!(left(queue(), 14, SlowClient::DropOldest), (b"gunpongthree".to_vec(), 2));
    }

    #[test]
    fn of_all_the_first_piece_stays() {
        let mut queue = queue();
        queue.drop_all_but_first();
        assert_eq!((queue.front().map(|front| &front[..]), queue.bytes()), (Some(&b"gun"[..]), 3));
        queue.advance(3);
        assert_eq!((queue.front(), queue.bytes()), (None, 0));
    }
}
