//! The conversation of one who stays: what has no answer yet is said again on the next connection, and everything that
//! was said is to come once, in order, whatever connections it comes by.

use std::task::Context;

use serde::Deserialize;
use wsgate::client::{self, Socket};
use wsgate::wire::frame::{self, Opcode};

use super::super::member::Came;
use super::super::plan::{Mark, Micros, Side};
use super::super::tally::{Kind, Tally};
use super::saying::BACKLOG;
use super::{Membership, Talk};

/// What a hub says, as far as it matters here.
#[derive(Deserialize)]
struct Heard {
    #[serde(rename = "type")]
    kind: String,
    session: Option<String>,
    room: Option<String>,
    id: Option<String>,
    last: Option<String>,
    text: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    code: Option<String>,
    #[serde(default)]
    messages: Vec<Said>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Said {
    id: String,
    text: String,
}

impl Talk<'_> {
    /// What brings a member of a hub back into its room, if it was there before.
    pub(super) fn resumption(&self) -> Option<Vec<u8>> {
        let chat = &self.member.chat;
        let (session, room) = (chat.session.as_ref()?, chat.room.as_ref()?);
        let mut room = serde_json::json!({ "room": room });
        // Where nothing had been said yet, everything is new.
        if let Some(since) = chat.last.as_ref().or(chat.newest.as_ref()) {
            room["since"] = since.as_str().into();
        }
        let words = serde_json::json!({ "type": "resume", "session": session, "rooms": [room] });
        Some(frame::whole(Opcode::Text, words.to_string().as_bytes(), Some(client::random())))
    }

    /// Says again what has no answer, then what is due by now.
    pub(super) fn say_all(&mut self, cx: &mut Context<'_>, socket: &mut Socket) {
        let worker = self.worker;
        if self.membership != Membership::In {
            return;
        }
        if let Some(since) = self.member.away.take() {
            let mut tally = worker.tally.borrow_mut();
            tally.record(Kind::Away, worker.pacer.now().saturating_sub(since));
            tally.stayed.back += 1;
        }
        let (from, until) = (worker.control.from(), worker.control.until());
        if from == Micros::MAX {
            return;
        }
        let Some(schedule) = worker.policy.schedule(self.seat.index, from) else { return };
        while socket.queued() <= BACKLOG {
            if let Some(number) = self.member.unanswered.get(self.said) {
                let due = schedule.due(*number);
                self.said += 1;
                self.send(cx, socket, due);
                continue;
            }
            let (due, now) = (schedule.due(self.member.next), worker.pacer.now());
            if due >= until {
                return;
            }
            if now < due {
                if self.armed != due {
                    self.armed = due;
                    worker.pacer.wake_at(due, cx.waker().clone());
                }
                return;
            }
            let mut tally = worker.tally.borrow_mut();
            if due >= self.member_since {
                // What was due while there was no connection is not late by fault of the generator.
                tally.late.saturating_record((now - due).max(1));
            }
            tally.stayed.sent += 1;
            self.member.unanswered.push_back(self.member.next);
            self.member.next += 1;
        }
    }

    /// A message has come to one who is to hear each exactly once.
    pub(super) fn heard_once(&mut self, (head, size): (&[u8], usize), now: Micros, tally: &mut Tally) {
        if self.worker.policy.speech.is_acknowledged() {
            return match serde_json::from_slice(head) {
                Ok(heard) => self.hub_says(heard, now, tally),
                Err(error) => tally.error(&format!("a message of the hub's is not understood: {error}")),
            };
        }
        if size != self.worker.policy.size {
            tally.error("a reply is not as long as the message");
        }
        if let Some((mark, true)) = self.hears(head, true, now, tally) {
            let number = self.number_of(mark);
            self.member.is_answered(number, &mut self.said, true);
        } else {
            tally.error("a message came that nobody has sent here");
        }
    }

    fn hub_says(&mut self, heard: Heard, now: Micros, tally: &mut Tally) {
        let Heard { kind, id, text, .. } = heard;
        match kind.as_str() {
            // A later one comes before the session is resumed, and is given up then.
            "hello" if self.member.chat.session.is_none() => self.member.chat.session = heard.session,
            "joined" => {
                self.member.chat.room = heard.room;
                self.member.chat.newest = heard.last;
            }
            "say" => self.room_says(id.as_deref(), text.as_deref().unwrap_or_default(), now, tally),
            "history" => {
                for Said { id, text } in &heard.messages {
                    self.room_says(Some(id), text, now, tally);
                }
                if heard.more {
                    tally.error("a history did not fit");
                }
            }
            "ack" => {
                let mark = heard.reference.and_then(|reference| self.marked(reference.as_bytes(), Side::Ref));
                if let Some((mark, true)) = mark {
                    tally.record(Kind::Ack, now.saturating_sub(mark.at));
                    let number = self.number_of(mark);
                    self.member.is_answered(number, &mut self.said, false);
                }
            }
            "gap" => tally.error("messages are gone that the member had not had"),
            "error" => tally.error(&format!("the hub says {}", heard.code.unwrap_or_default())),
            _ => {}
        }
    }

    fn room_says(&mut self, id: Option<&str>, text: &str, now: Micros, tally: &mut Tally) {
        let follows = id.is_none_or(|id| self.member.follows(id));
        let _ = self.hears(text.as_bytes(), follows, now, tally);
    }

    /// Takes note of a message of this run; whose it is, and whether it is one's own.
    fn hears(&mut self, text: &[u8], follows: bool, now: Micros, tally: &mut Tally) -> Option<(Mark, bool)> {
        let (mark, is_own) = self.marked(text, Side::Text)?;
        let came = self.member.hears(mark.sender, self.number_of(mark));
        if came == Came::Again {
            tally.stayed.doubled += 1;
            tally.stayed.anew += u64::from(follows);
            return Some((mark, is_own));
        }
        tally.stayed.disordered += u64::from(came == Came::Disordered || !follows);
        self.heard[0] += 1;
        self.worker.control.deliver();
        tally.deliver(0, now.saturating_sub(mark.at));
        Some((mark, is_own))
    }

    fn number_of(&self, mark: Mark) -> u64 {
        let from = self.worker.control.from();
        self.worker.policy.schedule(mark.sender as usize, from).map_or(0, |schedule| schedule.number_at(mark.at))
    }
}
