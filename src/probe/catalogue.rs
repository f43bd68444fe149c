//! The experiments in their order, from the harmless to the deadly: names, titles, and what each may do to a server.

use super::answer::Answered;
use super::bench::Bench;
use super::findings::Findings;
use super::request::Request;
use super::{controls, crowd, heads, messages, sizes};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Experiment {
    Reach,
    Upgrade,
    Audience,
    Subprotocol,
    Extension,
    Host,
    Path,
    Origin,
    EarlyFrame,
    TwoFrames,
    FiveFrames,
    SplitFrame,
    BusyFrames,
    Fragments,
    FragmentsPing,
    Ping,
    Pong,
    Close,
    Binary,
    LongLength,
    MessageSize,
    HeadSize,
    OneAddress,
    OtherAddresses,
    Reset,
    BadText,
    TitleCase,
    LowerCase,
    NoSpace,
    SplitHead,
    LargeHeads,
    LargeMessages,
    DelayedAck,
    Unmasked,
    PlainGet,
    EndlessFrame,
}

/// One line of the catalogue.
pub(super) struct Card {
    pub(super) experiment: Experiment,
    /// Stable; for machines and for those who look it up.
    pub(super) name: &'static str,
    /// What it does, for people.
    pub(super) title: &'static str,
    /// What it is known to do to some servers; absent: browsers and proxies do the same every day.
    pub(super) danger: Option<&'static str>,
    /// Whether it can only be judged by what arrives.
    pub(super) needs_ears: bool,
}

const fn safe(experiment: Experiment, name: &'static str, title: &'static str) -> Card {
    Card { experiment, name, title, danger: None, needs_ears: false }
}

const fn heard(experiment: Experiment, name: &'static str, title: &'static str) -> Card {
    Card { experiment, name, title, danger: None, needs_ears: true }
}

const fn risky(experiment: Experiment, name: &'static str, title: &'static str, danger: &'static str) -> Card {
    Card { experiment, name, title, danger: Some(danger), needs_ears: false }
}

/// A risky one that can only be judged by what arrives.
const fn blind(card: Card) -> Card {
    Card { needs_ears: true, ..card }
}

/// All of them, in their order.
pub(super) const CARDS: &[Card] = &[
    safe(Experiment::Reach, "reach", "connecting"),
    safe(Experiment::Upgrade, "upgrade", "an upgrade as wsgate writes it"),
    safe(Experiment::Audience, "audience", "who hears a message"),
    safe(Experiment::Subprotocol, "subprotocol", "a subprotocol is offered"),
    safe(Experiment::Extension, "extension", "compression is offered"),
    safe(Experiment::Host, "host", "another Host"),
    safe(Experiment::Path, "path", "another path"),
    safe(Experiment::Origin, "origin", "no Origin"),
    heard(Experiment::EarlyFrame, "early_frame", "a message in one write with the request"),
    heard(Experiment::TwoFrames, "two_frames", "two messages in one segment"),
    heard(Experiment::FiveFrames, "five_frames", "five messages in one segment"),
    heard(Experiment::SplitFrame, "split_frame", "a message in two segments"),
    heard(Experiment::BusyFrames, "busy_frames", "five messages, five writes, while the server is busy"),
    heard(Experiment::Fragments, "fragments", "a message in two fragments"),
    heard(Experiment::FragmentsPing, "fragments_ping", "the same with a ping in between"),
    safe(Experiment::Ping, "ping", "a ping"),
    safe(Experiment::Pong, "pong", "a pong that nobody asked for"),
    safe(Experiment::Close, "close", "a close"),
    heard(Experiment::Binary, "binary", "a binary message"),
    heard(Experiment::LongLength, "long_length", "a length that is not in its shortest form"),
    heard(Experiment::MessageSize, "message_size", "messages of up to 992 bytes"),
    safe(Experiment::HeadSize, "head_size", "request heads of up to 1000 bytes"),
    safe(Experiment::OneAddress, "one_address", "ten connections from one address"),
    safe(Experiment::OtherAddresses, "other_addresses", "connections from other addresses"),
    safe(Experiment::Reset, "reset", "clients that vanish by RST"),
    blind(risky(
        Experiment::BadText,
        "bad_text",
        "text that is not UTF-8",
        "it may throw every browser out of the room",
    )),
    risky(Experiment::TitleCase, "title_case", "header names as Sec-Websocket-Key", "some servers die of it"),
    risky(Experiment::LowerCase, "lower_case", "header names in lower case", "some servers die of it"),
    risky(Experiment::NoSpace, "no_space", "no space behind colons", "some servers die of it"),
    risky(Experiment::SplitHead, "split_head", "a request in two segments", "some servers die of it"),
    risky(
        Experiment::LargeHeads,
        "large_heads",
        "request heads of up to 16 KiB",
        "some servers freeze or broadcast junk",
    ),
    blind(risky(
        Experiment::LargeMessages,
        "large_messages",
        "messages of up to 1 MiB",
        "some servers freeze, or spin, for everybody",
    )),
    blind(risky(
        Experiment::DelayedAck,
        "delayed_ack",
        "round trips of 1,100 bytes",
        "no more than large_messages has shown",
    )),
    blind(risky(Experiment::Unmasked, "unmasked", "a frame without a mask", "it may broadcast junk to everybody")),
    risky(Experiment::PlainGet, "plain_get", "a plain GET, as of a health check", "some servers die of it"),
    risky(Experiment::EndlessFrame, "endless_frame", "a frame that claims 2^40 bytes", "some servers spin for ever"),
];

/// The experiments that are known to have harmed some servers: name, and what may happen.
pub fn dangers() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    CARDS.iter().filter_map(|card| Some((card.name, card.title, card.danger?)))
}

impl Experiment {
    /// Tries it, and notes what is found. What it says is for people.
    ///
    /// # Errors
    /// The server did not let it in.
    pub(super) async fn attempt(self, bench: &mut Bench, findings: &mut Findings) -> Result<String, Answered> {
        match self {
            Self::Reach => heads::reach(bench, findings).await,
            Self::Upgrade => heads::upgrade(bench, findings).await,
            Self::Audience => messages::audience(bench, findings).await,
            Self::Subprotocol => heads::protocol(bench, findings).await,
            Self::Extension => heads::extension(bench).await,
            Self::Host => heads::other_host(bench).await,
            Self::Path => heads::other_path(bench).await,
            Self::Origin => heads::no_origin(bench).await,
            Self::EarlyFrame => heads::early(bench, findings).await,
            Self::TwoFrames => messages::glued(bench, findings, 2).await,
            Self::FiveFrames => messages::glued(bench, findings, 5).await,
            Self::SplitFrame => messages::split(bench, findings).await,
            Self::BusyFrames => messages::busy(bench, findings).await,
            Self::Fragments => messages::fragments(bench, findings, false).await,
            Self::FragmentsPing => messages::fragments(bench, findings, true).await,
            Self::Ping => controls::ping(bench, findings).await,
            Self::Pong => controls::pong(bench, findings).await,
            Self::Close => controls::close(bench, findings).await,
            Self::Binary => messages::binary(bench, findings).await,
            Self::LongLength => messages::long_length(bench).await,
            Self::MessageSize => sizes::messages(bench, findings, sizes::MESSAGE_GENTLE).await,
            Self::HeadSize => sizes::heads(bench, findings, sizes::HEAD_GENTLE).await,
            Self::OneAddress => crowd::one_address(bench, findings).await,
            Self::OtherAddresses => crowd::other_addresses(bench, findings).await,
            Self::Reset => crowd::reset(bench, findings).await,
            Self::BadText => messages::bad_text(bench, findings).await,
            Self::TitleCase => heads::variant(bench, Request::in_title_case).await,
            Self::LowerCase => heads::variant(bench, Request::in_lower_case).await,
            Self::NoSpace => heads::variant(bench, Request::without_spaces).await,
            Self::SplitHead => heads::variant(bench, Request::in_two).await,
            Self::LargeHeads => sizes::heads(bench, findings, sizes::HEAD_MAX).await,
            Self::LargeMessages => sizes::messages(bench, findings, sizes::MESSAGE_MAX).await,
            Self::DelayedAck => sizes::delayed(bench, findings).await,
            Self::Unmasked => messages::no_mask(bench).await,
            Self::PlainGet => heads::plain_get(bench).await,
            Self::EndlessFrame => messages::endless(bench).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_no_two_are_the_same() {
        for (at, card) in CARDS.iter().enumerate() {
            assert!(card.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", card.name);
            assert!(CARDS[..at].iter().all(|other| other.name != card.name), "{}", card.name);
            assert!(CARDS[..at].iter().all(|other| other.experiment != card.experiment), "{}", card.name);
        }
    }

    #[test]
    fn what_has_killed_servers_comes_last_and_is_left_out_by_the_gentle() {
        let first = CARDS.iter().position(|card| card.danger.is_some()).expect("dangers");
        assert!(CARDS[first..].iter().all(|card| card.danger.is_some()));
        let names: Vec<&str> = dangers().map(|(name, ..)| name).collect();
        for name in ["lower_case", "large_messages", "large_heads", "plain_get", "unmasked", "endless_frame"] {
            assert!(names.contains(&name), "{name}");
        }
    }
}
