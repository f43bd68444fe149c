//! What each connection does, as a value: made from the command line, obeyed by every thread.

use std::sync::Arc;

use super::arguments::{Arguments, Profile};
use super::plan::{Micros, Schedule};
use super::speech::Speech;

/// What each connection does.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) sending: Sending,
    pub(crate) expect: Expect,
    pub(crate) life: Life,
    pub(crate) again: Again,
    /// The longest random wait before a connection that was lost is opened again, where it is at once.
    pub(crate) jitter: Micros,
    /// Connections with this index or above never read.
    pub(crate) readers: usize,
    /// Connection i is in room i modulo this.
    pub(crate) rooms: usize,
    /// Bytes of a message, or of the text in it.
    pub(crate) size: usize,
    pub(crate) binary: bool,
    /// Marks this run's messages.
    pub(crate) run: u16,
    pub(crate) speech: Arc<Speech>,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sending {
    /// Never.
    Nothing,
    /// A closed loop: so many are under way at once; each reply brings the next.
    OnReply(usize),
    /// An open model: the last `senders` of the first `of` connections together send at this rate, whatever comes back.
    Scheduled { rate: f64, senders: usize, of: usize },
}

/// Which messages count as the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The sender's own.
    Replies,
    /// Those of any sender of this run.
    Deliveries,
    /// Each of one's room exactly once, over all of one's connections; a room may be oneself.
    Once,
}

/// How long a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// While the conductor wants it.
    Held,
    /// It is closed as soon as it is open, and opened again.
    Brief,
}

/// Whether a connection that failed or was lost is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    Soon,
    /// Or after a random time, and after longer and longer ones when it fails.
    AtOnce,
}

impl Policy {
    /// The policy of a profile, for connections that speak like this.
    ///
    /// # Errors
    /// Stages that are none, options that are for other profiles.
    pub(crate) fn new(arguments: &Arguments, speech: Speech) -> Result<Self, String> {
        use Profile::{Bulk, Connect, Echo, Fanout, Idle, Ramp, Rate, Slow, Stay, Storm};
        let count = arguments.count()?;
        let rate = arguments.message_rate();
        let never_read = if arguments.profile == Slow { arguments.stopped.unwrap_or(count.div_ceil(10)) } else { 0 };
        let readers = count.saturating_sub(never_read).max(1);
        let sending = match arguments.profile {
            Connect | Idle | Storm => Sending::Nothing,
            Echo | Bulk => Sending::OnReply(arguments.window.max(1)),
            Ramp if arguments.rate.is_none() => Sending::OnReply(arguments.window.max(1)),
            Rate | Ramp | Stay => Sending::Scheduled { rate, senders: count, of: count },
            Fanout | Slow => {
                Sending::Scheduled { rate, senders: arguments.sender_count().clamp(1, readers), of: readers }
            }
        };
        let is_fanout = matches!(arguments.profile, Fanout | Slow);
        if !is_fanout && !arguments.is_chat() && arguments.speech.is_used() {
            return Err("--rooms, --language, --join, --joined and --say are for the profiles fanout and slow".into());
        }
        if arguments.profile == Stay && (arguments.binary || arguments.speech.is_of_ones_own()) {
            return Err("stay speaks with an echo, or wsgate.chat.v1 as it is".into());
        }
        let alone = if arguments.profile == Stay && !arguments.is_chat() { count } else { 1 };
        Ok(Self {
            sending,
            expect: match arguments.profile {
                Fanout | Slow => Expect::Deliveries,
                Stay => Expect::Once,
                _ => Expect::Replies,
            },
            life: if arguments.profile == Connect { Life::Brief } else { Life::Held },
            again: match arguments.profile {
                Connect | Storm => Again::Soon,
                Stay => Again::AtOnce,
                _ => Again::Never,
            },
            jitter: arguments.jitter().as_micros() as Micros,
            readers,
            rooms: arguments.speech.rooms.unwrap_or(alone).max(1),
            size: arguments.message_size(),
            binary: arguments.binary,
            run: u16::from_le_bytes(wsgate::client::random()) & 0xfff,
            speech: Arc::new(speech),
        })
    }

    /// When this connection says something, from then on; nobody but the senders ever does.
    pub(crate) fn schedule(&self, index: usize, from: Micros) -> Option<Schedule> {
        let Sending::Scheduled { rate, senders, of } = self.sending else { return None };
        let is_sender = index < of && index + senders >= of;
        is_sender.then(|| Schedule::new(from, rate, index + senders - of, senders))
    }

    /// How many messages are to be sent in this time, where there is a plan.
    pub(crate) fn planned(&self, span: Span) -> Option<u64> {
        let Sending::Scheduled { senders, of, .. } = self.sending else { return None };
        Some((of - senders..of).map(|index| self.sends(index, span)).sum())
    }

    fn sends(&self, index: usize, span: Span) -> u64 {
        self.schedule(index, span.from).map_or(0, |schedule| schedule.count_before(span.until))
    }

    /// What each of the readers is to hear of what is sent in this time. `hears_itself`: a sender gets its own as well.
    pub(crate) fn due(&self, span: Span, hears_itself: bool) -> Vec<u64> {
        let mut of_room = vec![0; self.rooms];
        for index in 0..self.readers {
            of_room[index % self.rooms] += self.sends(index, span);
        }
        let own = |index| if hears_itself { 0 } else { self.sends(index, span) };
        (0..self.readers).map(|index| of_room[index % self.rooms] - own(index)).collect()
    }
}

/// A time in which messages are due: from the first moment to before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Micros,
    pub(crate) until: Micros,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn policy(line: &str) -> Result<Policy, String> {
        let line: Vec<&str> = ["load"].into_iter().chain(line.split(' ')).collect();
        Policy::new(&Arguments::try_parse_from(line).expect("arguments"), Speech::default())
    }

    const SECOND: Span = Span { from: 7, until: 1_000_007 };

    #[test]
    fn members_hear_their_own_room_and_nobody_waits_for_those_who_never_read() {
        let policy = policy("--profile slow -c 8 --stopped 1 --rooms 3 --rate 30").expect("a policy");
        // Rooms: 0 3 6, 1 4, 2 5; the seventh never reads; the last three readers send, one in each room.
        assert_eq!((policy.readers, policy.rooms), (7, 3));
        let senders: Vec<usize> = (0..8).filter(|&index| policy.schedule(index, 7).is_some()).collect();
        assert_eq!((senders, policy.planned(SECOND)), (vec![4, 5, 6], Some(30)));
        assert_eq!(policy.due(SECOND, true), [10; 7]);
        assert_eq!(policy.due(SECOND, false), [10, 10, 10, 10, 0, 0, 0]);
    }

    #[test]
    fn in_one_room_everybody_hears_everybody() {
        let policy = policy("--profile fanout -c 4 --senders 2 --rate 5").expect("a policy");
        assert_eq!(policy.due(SECOND, true), [5; 4]);
        assert_eq!(policy.due(SECOND, false), [5, 5, 2, 3]);
    }

    #[test]
    fn who_stays_before_an_echo_is_in_a_room_of_its_own() {
        let policy = policy("--profile stay -c 3").expect("a policy");
        assert_eq!((policy.due(SECOND, true), policy.planned(SECOND)), (vec![1; 3], Some(3)));
        let among = super::tests::policy("--profile stay -c 4 --rooms 2 --rate 8 --language wsgate.chat.v1");
        assert_eq!(among.expect("a policy").due(SECOND, true), [4; 4]);
    }

    #[test]
    fn a_language_is_of_chats_alone() {
        for line in ["--profile echo --rooms 2", "--profile stay --rooms 2"] {
            let why = policy(line).expect_err("no chat");
            assert!(why.contains("for the profiles fanout and slow"), "{why}");
        }
        let why = policy("--profile stay --language wsgate.chat.v1 --say {text}").expect_err("another language");
        assert!(why.contains("as it is"), "{why}");
    }
}
