//! What one member of `stay` remembers while its connections come and go: what it has said, who has heard it, and what
//! it has heard of everybody. No clock, no connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::plan::Micros;

/// One member, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// The number of the next new message.
    pub(crate) next: u64,
    /// Messages that are not answered yet, oldest first. What is left when a connection ends is said again on the next.
    pub(crate) unanswered: VecDeque<u64>,
    /// Since when it has no connection on which it could say anything, if it had one before.
    pub(crate) away: Option<Micros>,
    pub(crate) chat: Chat,
    heard: BTreeMap<u32, Once>,
}

/// What a member of a hub needs to come back.
#[derive(Debug, Default)]
pub(crate) struct Chat {
    /// Its secret, from the first `hello`.
    pub(crate) session: Option<String>,
    /// The room, as the hub calls it.
    pub(crate) room: Option<String>,
    /// The id of the last message that has come from there.
    pub(crate) last: Option<String>,
    /// The id of the newest one that there was when it came in; whether it comes as well is the hub's choice.
    pub(crate) newest: Option<String>,
}

/// What came of a message that was to come exactly once, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    InOrder,
    /// Once, but not in its sender's order.
    Disordered,
    /// It had come before.
    Again,
}

/// Messages of one sender: which have come.
#[derive(Debug, Default)]
struct Once {
    /// All below it have.
    next: u64,
    /// And these.
    ahead: BTreeSet<u64>,
}

impl Once {
    fn take(&mut self, number: u64) -> Came {
        if number < self.next || self.ahead.contains(&number) {
            return Came::Again;
        }
        if number > self.next {
            self.ahead.insert(number);
            return Came::Disordered;
        }
        self.next += 1;
        let fills_a_hole = !self.ahead.is_empty();
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        if fills_a_hole { Came::Disordered } else { Came::InOrder }
    }
}

impl Member {
    /// A message of this sender has come.
    pub(crate) fn hears(&mut self, sender: u32, number: u64) -> Came {
        self.heard.entry(sender).or_default().take(number)
    }

    /// A message of the hub with this id has come: whether it stands behind all before it.
    pub(crate) fn follows(&mut self, id: &str) -> bool {
        let follows = self.chat.last.as_deref().is_none_or(|last| last < id);
        if follows {
            self.chat.last = Some(id.to_owned());
        }
        follows
    }

    /// An answer to this message has come. `said` is how many of the unanswered were said on this connection; of those
    /// are so many less afterwards. Answers in order leave none behind: those before it get none any more.
    pub(crate) fn is_answered(&mut self, number: u64, said: &mut usize, in_order: bool) {
        let Some(at) = self.unanswered.iter().take(*said).position(|waits| *waits == number) else { return };
        if in_order {
            self.unanswered.drain(..=at);
            *said -= at + 1;
        } else {
            self.unanswered.remove(at);
            *said -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_comes_once_and_in_order_or_it_is_said() {
        let mut member = Member::default();
        let came = [0, 1, 1, 3, 3, 2, 2, 4].map(|number| member.hears(7, number));
        let expected = [
            Came::InOrder,
            Came::InOrder,
            Came::Again,
            Came::Disordered,
            Came::Again,
            Came::Disordered,
            Came::Again,
            Came::InOrder,
        ];
        assert_eq!(came, expected);
        assert_eq!(member.hears(8, 0), Came::InOrder, "each sender counts for itself");
    }

    #[test]
    fn ids_rise() {
        let mut member = Member::default();
        let ids = ["0a", "0b", "0b", "0a", "0c"];
        assert_eq!(ids.map(|id| member.follows(id)), [true, true, false, false, true]);
        assert_eq!(member.chat.last.as_deref(), Some("0c"));
    }

    #[test]
    fn what_an_answer_has_overtaken_is_not_said_again() {
        let talking = || Member { unanswered: [3, 4, 5, 6].into(), ..Member::default() };
        let (mut echo, mut said) = (talking(), 3);
        echo.is_answered(4, &mut said, true);
        assert_eq!((&echo.unanswered, said), (&[5, 6].into(), 1), "3 is lost");
        echo.is_answered(6, &mut said, true);
        assert_eq!((&echo.unanswered, said), (&[5, 6].into(), 1), "6 was not said here");
        let (mut chat, mut said) = (talking(), 3);
        chat.is_answered(4, &mut said, false);
        assert_eq!((&chat.unanswered, said), (&[3, 5, 6].into(), 2));
    }
}
