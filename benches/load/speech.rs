//! How the members of a chat speak: in plain text, in the hub's own language, or as templates say.

use clap::{Args, ValueEnum};

use super::phrase::{Gap, Phrase};

/// The options of fanout, slow and stay that say what a chat's language is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SpeechOptions {
    /// Rooms: connection i is in room i modulo N, which stands for {room} in the URL, in --join and in --say (fanout,
    /// slow).
    #[arg(long, value_name = "N")]
    pub(crate) rooms: Option<usize>,
    /// A language that is known here: subprotocol, --join, --joined and --say (fanout, slow).
    #[arg(long, value_enum, default_value_t = Language::Plain)]
    pub(crate) language: Language,
    /// What each member sends first, with the gaps {room} and {member}; may be given several times (fanout, slow).
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) join: Vec<String>,
    /// A member is in the room when a message with this in it has come; without it, as soon as --join was sent.
    #[arg(long, value_name = "TEXT")]
    pub(crate) joined: Option<String>,
    /// What a sender sends, with the gaps {text}, which is needed, {room}, {member}, and {ref}: something else for each
    /// message, by which its acknowledgement is known. Without it: the text alone (fanout, slow).
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) say: Option<String>,
}

/// A language that is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// A message is a text, and what comes back has it somewhere.
    #[default]
    Plain,
    /// The JSON of wsgate's hub, each message with a ref.
    #[value(name = "wsgate.chat.v1")]
    V1,
}

/// The subprotocol of [`Language::V1`].
pub(crate) const V1: &str = "wsgate.chat.v1";

/// How members speak.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Speech {
    /// What each sends first.
    pub(crate) join: Vec<Phrase>,
    /// What stands in the message that tells a member that it is in.
    pub(crate) joined: Option<Vec<u8>>,
    /// Absent: the text alone.
    pub(crate) say: Option<Phrase>,
}

impl SpeechOptions {
    /// What they come to, for this URL.
    ///
    /// # Errors
    /// They do not fit together, or rooms have no place to be named in.
    pub(crate) fn speech(&self, url: &str) -> Result<Speech, String> {
        let is_in_url = Phrase::parse(url).has(Gap::Room);
        let (mut join, mut joined, mut say) = (self.join.clone(), self.joined.clone(), self.say.clone());
        if self.language == Language::V1 {
            let room = if self.rooms.is_some() && !is_in_url { r#","room":"{room}""# } else { "" };
            if join.is_empty() {
                join.push(format!(r#"{{"type":"join"{room}}}"#));
            }
            joined.get_or_insert_with(|| r#""type":"joined""#.to_owned());
            say.get_or_insert_with(|| format!(r#"{{"type":"say"{room},"text":"{{text}}","ref":"{{ref}}"}}"#));
        }
        let speech = Speech {
            join: join.iter().map(|text| Phrase::parse(text)).collect(),
            joined: joined.map(String::into_bytes),
            say: say.as_deref().map(Phrase::parse),
        };
        if speech.say.as_ref().is_some_and(|say| !say.has(Gap::Text)) {
            return Err("--say has no {text} in it, by which a message would be known again".to_owned());
        }
        if speech.join.iter().any(|join| join.has(Gap::Text) || join.has(Gap::Ref)) {
            return Err("--join says nothing: {text} and {ref} are for --say".to_owned());
        }
        let is_named = is_in_url || speech.join.iter().chain(&speech.say).any(|phrase| phrase.has(Gap::Room));
        match self.rooms {
            Some(0) => Err("--rooms 0: there is at least one".to_owned()),
            Some(_) if !is_named => Err("--rooms needs {room} in the URL, in --join or in --say".to_owned()),
            _ => Ok(speech),
        }
    }

    /// Those that were given, by name.
    pub(crate) fn shape<T>(&self, put: &mut dyn FnMut(&str, String) -> T) {
        if let Some(rooms) = self.rooms {
            put("rooms", rooms.to_string());
        }
        if self.language == Language::V1 {
            put("language", V1.to_owned());
        }
        if let Some(say) = &self.say {
            // A report is shared, and what stands in there may be a token.
            put("say", format!("template of {} bytes", say.len()));
        }
    }

    /// Whether any of them was given.
    pub(crate) fn is_used(&self) -> bool {
        let Self { rooms, language, join, joined, say } = self;
        rooms.is_some() || *language != Language::Plain || !join.is_empty() || joined.is_some() || say.is_some()
    }
}

impl SpeechOptions {
    /// Whether any of them is a template.
    pub(crate) fn is_of_ones_own(&self) -> bool {
        !self.join.is_empty() || self.joined.is_some() || self.say.is_some()
    }
}

impl Speech {
    /// Whether what is said is to be acknowledged.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.say.as_ref().is_some_and(|say| say.has(Gap::Ref))
    }
}

#[cfg(test)]
mod tests {
    use super::super::phrase::Filling;
    use super::*;

    fn said(options: &SpeechOptions, url: &str) -> Result<Vec<String>, String> {
        let speech = options.speech(url)?;
        let filling = Filling { room: 3, member: 9, text: b"t", reference: b"r" };
        Ok(speech.join.iter().chain(&speech.say).map(|phrase| phrase.to_text(&filling)).collect())
    }

    #[test]
    fn the_hubs_language_names_the_room_where_the_path_does_not() {
        let v1 = SpeechOptions { language: Language::V1, ..SpeechOptions::default() };
        assert_eq!(
            said(&v1, "ws://h/chat"),
            Ok([r#"{"type":"join"}"#, r#"{"type":"say","text":"t","ref":"r"}"#].map(str::to_owned).to_vec())
        );
        let rooms = SpeechOptions { rooms: Some(5), ..v1 };
        assert_eq!(
            said(&rooms, "ws://h/chat/{room}"),
            said(&SpeechOptions { rooms: None, ..rooms.clone() }, "ws://h/chat")
        );
        let named = [r#"{"type":"join","room":"3"}"#, r#"{"type":"say","room":"3","text":"t","ref":"r"}"#];
        assert_eq!(said(&rooms, "ws://h/chat"), Ok(named.map(str::to_owned).to_vec()));
        assert!(rooms.speech("ws://h/").expect("a speech").is_acknowledged());
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let plain = SpeechOptions::default();
        let why = |options: SpeechOptions| options.speech("ws://h/").expect_err("refused");
        assert!(why(SpeechOptions { say: Some("hi".into()), ..plain.clone() }).contains("no {text}"));
        assert!(why(SpeechOptions { join: vec!["{ref}".into()], ..plain.clone() }).contains("are for --say"));
        assert!(why(SpeechOptions { rooms: Some(2), ..plain.clone() }).contains("needs {room}"));
        assert!(why(SpeechOptions { rooms: Some(0), ..plain.clone() }).contains("at least one"));
        assert!(!plain.is_used() && SpeechOptions { joined: Some("x".into()), ..plain }.is_used());
    }
}
