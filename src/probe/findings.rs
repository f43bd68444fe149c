//! What the probe has found out, as data: what was not tried, or could not be seen, is absent.

use std::time::Duration;

use super::ladder::Bound;

/// Who hears a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Its sender alone.
    Sender,
    /// Everybody, its sender too.
    Everyone,
    /// Everybody but its sender.
    Others,
    /// Nobody, as far as can be seen.
    Nobody,
}

/// What an offer of a subprotocol leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// It is named in the 101.
    Chosen,
    /// The 101 says nothing of it, so that browsers give up.
    Ignored,
    /// There is no 101.
    Refused,
}

/// What becomes of a message in fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragments {
    /// It is put together.
    Whole,
    /// Each piece is taken for a message.
    Pieces,
    /// The first piece is taken for a message, the rest is lost.
    First,
    /// Nothing of it arrives.
    Lost,
}

/// What a ping or a pong leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// What RFC 6455 says: a pong with the same payload, or nothing for a pong.
    Lawful,
    /// A pong with another payload.
    WrongPong,
    /// It is taken for a message.
    Message,
    /// Nothing, where an answer is due.
    Nothing,
    /// The end of the connection.
    Closed,
}

/// What a close leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// A Close in return.
    Answered,
    /// The end of the connection, without a Close.
    Cut,
    /// Nothing: the connection stays.
    Ignored,
}

/// What becomes of a message of a kind that not every server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It arrives as it is.
    Same,
    /// It arrives as text.
    AsText,
    /// It is lost.
    Dropped,
    /// Its sender's connection ends.
    Closed,
}

/// Everything that decides how a gateway has to treat the server.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// What the server calls itself.
    pub(super) software: Option<String>,
    /// Whether it speaks first.
    pub(super) greets: bool,
    /// Whether it is on this machine's loopback.
    pub(super) loopback: bool,
    /// Who hears a message.
    pub(super) audience: Option<Audience>,
    /// An offered subprotocol.
    pub(super) protocol: Option<Protocol>,
    /// Whether a frame behind the request, in the same write, arrives.
    pub(super) early: Option<bool>,
    /// Whether all frames of one segment arrive.
    pub(super) glued: Option<bool>,
    /// Whether a frame in two segments arrives.
    pub(super) split: Option<bool>,
    /// Whether frames arrive that come while the server has something else to do.
    pub(super) busy: Option<bool>,
    /// A message in fragments.
    pub(super) fragments: Option<Fragments>,
    /// A message in fragments with a ping in between.
    pub(super) interrupted: Option<Fragments>,
    /// A ping.
    pub(super) ping: Option<Control>,
    /// A pong that nobody asked for.
    pub(super) pong: Option<Control>,
    /// A close.
    pub(super) close: Option<Closing>,
    /// A binary message.
    pub(super) binary: Option<Passage>,
    /// Text that is not UTF-8.
    pub(super) bad_text: Option<Passage>,
    /// Bytes of a message.
    pub(super) message: Option<Bound>,
    /// Bytes of a request head.
    pub(super) head: Option<Bound>,
    /// Connections of one address, where there is a cap.
    pub(super) cap: Option<usize>,
    /// Whether other loopback addresses get in at all.
    pub(super) elsewhere: Option<bool>,
    /// Whether another loopback address gets in where one is at its cap.
    pub(super) spread: Option<bool>,
    /// Whether the place of one who left by RST is free again.
    pub(super) reset: Option<bool>,
    /// Round trips of 1,100 bytes: with delayed acknowledgements, and with immediate ones.
    pub(super) trips: Option<(Duration, Duration)>,
}

impl Findings {
    /// Whether the server loses what does not come as one frame in one read.
    pub(super) fn reads_once(&self) -> Option<bool> {
        let seen = [self.glued, self.split, self.busy];
        match seen.contains(&Some(false)) {
            true => Some(true),
            false => seen.iter().any(Option::is_some).then_some(false),
        }
    }

    /// Whether it keeps RFC 6455 as far as a gateway that passes frames on depends on it: nothing that was tried
    /// speaks against it, and pings and closes for it.
    pub(super) fn is_sound(&self) -> bool {
        let whole = |fragments: Option<Fragments>| fragments.is_none_or(|fragments| fragments == Fragments::Whole);
        self.ping == Some(Control::Lawful)
            && self.pong.is_none_or(|pong| pong == Control::Lawful)
            && self.close == Some(Closing::Answered)
            && self.reads_once() != Some(true)
            && whole(self.fragments)
            && self.message.is_none_or(|bound| !bound.harms)
    }
}
