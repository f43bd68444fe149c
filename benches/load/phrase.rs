//! Texts with gaps, such as `{"type":"say","room":"{room}","text":"{text}"}`: how a chat of whatever language is spoken.

/// Something that differs from member to member, or from message to message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// `{room}`: the number of the room.
    Room,
    /// `{member}`: the number of the member.
    Member,
    /// `{text}`: what is said.
    Text,
    /// `{ref}`: another one for each message, by which its acknowledgement is known.
    Ref,
}

const GAPS: [(&str, Gap); 4] =
    [("{room}", Gap::Room), ("{member}", Gap::Member), ("{text}", Gap::Text), ("{ref}", Gap::Ref)];

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Words(String),
    Gap(Gap),
}

/// A text with gaps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phrase(Vec<Piece>);

/// What goes into the gaps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filling<'a> {
    pub(crate) room: usize,
    pub(crate) member: usize,
    pub(crate) text: &'a [u8],
    pub(crate) reference: &'a [u8],
}

impl Phrase {
    /// Reads it. Braces that are no gap are words, as JSON has them.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((at, name, gap)) = first_gap(rest) {
            if at > 0 {
                pieces.push(Piece::Words(rest[..at].to_owned()));
            }
            pieces.push(Piece::Gap(gap));
            rest = &rest[at + name.len()..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Words(rest.to_owned()));
        }
        Self(pieces)
    }

    /// Whether it has such a gap.
    pub(crate) fn has(&self, gap: Gap) -> bool {
        self.0.contains(&Piece::Gap(gap))
    }

    /// Appends it with its gaps filled.
    pub(crate) fn fill(&self, filling: &Filling<'_>, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Words(words) => out.extend_from_slice(words.as_bytes()),
                Piece::Gap(Gap::Room) => out.extend_from_slice(filling.room.to_string().as_bytes()),
                Piece::Gap(Gap::Member) => out.extend_from_slice(filling.member.to_string().as_bytes()),
                Piece::Gap(Gap::Text) => out.extend_from_slice(filling.text),
                Piece::Gap(Gap::Ref) => out.extend_from_slice(filling.reference),
            }
        }
    }

    /// The same where it is text, as a URL is.
    pub(crate) fn to_text(&self, filling: &Filling<'_>) -> String {
        let mut out = Vec::new();
        self.fill(filling, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn first_gap(text: &str) -> Option<(usize, &'static str, Gap)> {
    GAPS.iter().filter_map(|&(name, gap)| Some((text.find(name)?, name, gap))).min_by_key(|&(at, ..)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_other_braces_stay() {
        let phrase = Phrase::parse(r#"{"a":{"room":"{room}","by":"{member}{member}"},"text":"{text}","ref":"{ref}"}"#);
        let filling = Filling { room: 7, member: 42, text: b"{room}", reference: b"r1" };
        assert_eq!(phrase.to_text(&filling), r#"{"a":{"room":"7","by":"4242"},"text":"{room}","ref":"r1"}"#);
        assert!(phrase.has(Gap::Ref) && phrase.has(Gap::Text) && !Phrase::parse("{rooms} {}").has(Gap::Room));
        assert_eq!(Phrase::parse("").to_text(&filling), "");
        assert_eq!(Phrase::parse("{text}").to_text(&filling), "{room}");
    }
}
