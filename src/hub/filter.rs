//! Whoever is asked about each message before it is said: what is asked, what is answered, and who waits for it.

use std::fmt::Debug;
use std::pin::Pin;
use std::rc::Weak;
use std::sync::Arc;
use std::time::Instant;

use super::fault::Fault;
use super::id::MemberId;
use super::member::{Member, Talker};
use super::record::Draft;
use super::room::{Room, Speech};
use super::sentence::Who;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) room: Arc<str>,
    pub(crate) member: MemberId,
    pub(crate) name: Arc<str>,
    pub(crate) text: Arc<str>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may be said; in these words, if there are any.
    Pass(Option<Arc<str>>),
    /// It may not, for this reason, if there is one.
    Refuse(Option<String>),
    /// Nobody can say, and then it is not to be said.
    Down,
}

/// Judges messages. An answer is waited for without holding up anything but its speaker's later messages.
pub(crate) trait Filter: Debug + Send + Sync {
    /// Asks. The future must come to an end in bounded time.
    fn judge(self: Arc<Self>, question: Question) -> Pin<Box<dyn Future<Output = Verdict>>>;
}

/// A message that waits for its verdict.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) room: Arc<Room>,
    pub(super) draft: Draft,
    pub(super) speech: Speech,
    pub(super) speaker: Speaker,
}

/// Who hears what became of it, if it is still here.
#[derive(Clone, Debug)]
pub(super) enum Speaker {
    Plain(Weak<Member>),
    V1(Weak<Talker>),
}

impl Waiting {
    pub(super) fn question(&self) -> Question {
        let Draft { from, name, text, .. } = &self.draft;
        let room = self.room.name().into();
        Question { room, member: *from, name: Arc::clone(name), text: Arc::clone(text) }
    }

    /// Whether its speaker is still there to say it: a verdict may take its time.
    ///
    /// # Errors
    /// It has gone, was put out, or is banned.
    pub(super) fn stands(&self) -> Result<(), Fault> {
        if !self.speaker.is_in(&self.room) {
            return Err(Fault::NotJoined);
        }
        // Whoever was banned this moment may not have been told yet.
        let whom = [Who::Member(self.draft.from), Who::named(&self.draft.name)];
        self.room.ground().moderation.admits(Some(self.room.name()), &whom, Instant::now())
    }

    /// It is said, or its speaker is told why not; also without a verdict, for a reason that stood before.
    pub(super) fn conclude(mut self, verdict: Result<Verdict, Fault>) {
        let reference = self.draft.reference.clone();
        let (fault, reason) = match verdict.and_then(|verdict| self.stands().map(|()| verdict)) {
            Ok(Verdict::Pass(words)) => {
                self.draft.text = words.unwrap_or(self.draft.text);
                self.speech.now = Instant::now();
                match self.room.submit(self.draft, self.speech) {
                    Ok(None) => return,
                    Ok(Some(known)) => return self.speaker.acknowledge(&self.room, reference.as_deref(), known),
                    Err(fault) => (fault, None),
                }
            }
            Ok(Verdict::Refuse(reason)) => (Fault::Filtered, reason),
            Ok(Verdict::Down) => (Fault::FilterDown, None),
            Err(fault) => (fault, None),
        };
        self.speaker.fail(&self.room, reference.as_deref(), (fault, reason));
    }
}

impl Speaker {
    fn is_in(&self, room: &Arc<Room>) -> bool {
        match self {
            Self::Plain(member) => member.upgrade().is_some_and(|member| !member.is_ending()),
            Self::V1(talker) => talker.upgrade().is_some_and(|talker| talker.is_in(room)),
        }
    }

    fn acknowledge(&self, room: &Room, reference: Option<&str>, id: super::id::MessageId) {
        if let Self::V1(talker) = self
            && let Some(talker) = talker.upgrade()
        {
            talker.acknowledge(room, reference, id);
        }
    }

    fn fail(&self, room: &Room, reference: Option<&str>, (fault, reason): (Fault, Option<String>)) {
        match self {
            Self::Plain(member) => member.upgrade().into_iter().for_each(|member| member.refuse(fault)),
            Self::V1(talker) => {
                let talker = talker.upgrade();
                talker.into_iter().for_each(|talker| talker.refuse(room, reference, (fault, reason.as_deref())));
            }
        }
    }

    /// It is read on.
    pub(super) fn wake(&self) {
        match self {
            Self::Plain(member) => member.upgrade().into_iter().for_each(|member| member.wake()),
            Self::V1(talker) => talker.upgrade().into_iter().for_each(|talker| talker.place.wake()),
        }
    }
}
