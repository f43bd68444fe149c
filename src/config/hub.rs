//! The built-in chat hub on one route: its rooms, who may make and enter them, and what a member may do.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

use super::{Rate, Transport};

/// Characters of one room's name at most, whatever the pattern allows. It stands here and not in the pattern: a class of
/// Unicode's that is repeated so often takes megabytes.
const LONGEST: usize = 64;

/// What [`NamePattern`] allows where the owner says nothing.
const ROOM_NAMES: &str = r"^[\w .-]+$";

/// Bytes that a pattern may take; the one above takes a few thousand.
const PATTERN_SIZE: usize = 8 << 20;

/// The built-in chat hub on one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Messages that a new member gets to see; 0: none.
    pub history: usize,
    /// Bytes that one room's history may hold.
    pub history_size: usize,
    /// Whether a plain GET gets the chat page.
    pub page: bool,
    /// Whether the sender gets its own message back.
    pub to_sender: bool,
    /// Whether `& < > " '` go out as character references in the plain language, as a page that uses `innerHTML` needs.
    pub escape: bool,
    /// Rooms at once, the fixed ones among them.
    pub rooms: usize,
    /// The room at the hub's own path.
    pub room: String,
    /// What a room may be called.
    pub room_names: NamePattern,
    /// Whether a room is made when somebody enters it; otherwise there are only the fixed ones.
    pub create: bool,
    /// Members of one room.
    pub members: usize,
    /// Rooms that one member may be in at once.
    pub rooms_per_member: usize,
    /// Members of a room up to which it is told who comes and goes.
    pub presence: usize,
    /// Characters of a member's name.
    pub name_length: usize,
    /// Bytes of what is said at once.
    pub text: usize,
    /// How often one member may say something.
    pub say: SayRate,
    /// How long an empty room is remembered.
    pub forget_empty: Duration,
    /// Messages that may wait in a worker's mailbox before members are not read any more.
    pub mailbox: usize,
    /// The same in bytes.
    pub mailbox_size: usize,
    /// Bans that are remembered at once.
    pub bans: usize,
    /// And mutes.
    pub mutes: usize,
    /// The claim of a token that lists the rooms its bearer may enter.
    pub rooms_claim: String,
    /// The claim that is its bearer's name.
    pub name_claim: String,
    /// The claim that makes its bearer a moderator.
    pub moderator_claim: String,
    /// How old a message of a history may become; absent: any age.
    pub history_age: Option<Duration>,
    /// Where histories are, beside the rooms that are open.
    pub history_store: HistoryStore,
    /// Who is asked about each message; absent: nobody.
    pub filter: Option<Box<Filter>>,
    /// Rooms that are always there, by name.
    pub fixed: Vec<FixedRoom>,
    /// What keys and channels of its rooms begin with in Redis; absent: they are this gateway's alone.
    pub shared: Option<String>,
}

/// Where histories are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryStore {
    /// In memory: they end with their rooms.
    Memory,
    /// In this file, too: they outlive the process.
    File(PathBuf),
}

/// A service that is asked before something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// As the owner wrote it.
    pub url: String,
    /// How it is reached.
    pub transport: Transport,
    /// The Host it is asked for.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// PEM file of the CAs that an `https://` service is checked against; absent: the public roots.
    pub ca: Option<PathBuf>,
    /// From the wait for a place to its whole answer.
    pub timeout: Duration,
    /// Questions at once.
    pub at_once: usize,
    /// Connections that wait for the next question at most; 0: each question has its own.
    pub idle_connections: usize,
    /// What becomes of a message when there is no answer.
    pub on_error: Unfiltered,
}

/// What becomes of a message when nobody can say whether it may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfiltered {
    /// It is said.
    Pass,
    /// It is not.
    Refuse,
}

/// So many at once, and so many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SayRate {
    /// `None` is no limit.
    pub rate: Option<Rate>,
    /// How many at once, after a silence; at least 1.
    pub burst: u32,
}

/// A room that is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedRoom {
    /// Its name.
    pub name: String,
    /// Messages that it keeps; absent: as the hub's.
    pub history: Option<usize>,
    /// Its members at most; absent: as the hub's.
    pub members: Option<usize>,
    /// What one must know to enter it.
    pub secret: Option<RoomSecret>,
    /// Whether only moderators and the server say something there.
    pub read_only: bool,
    /// How long each member has to wait between two messages; zero: not at all.
    pub slow: Duration,
}

/// Where the secret of a room stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomSecret {
    /// In the configuration itself.
    Text(Secret),
    /// In this file: its first line.
    File(PathBuf),
}

/// A secret, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// What it is: to be compared in constant time, and never to be shown.
    #[must_use]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a room may be called: a regular expression that must match the whole name.
#[derive(Clone, Debug)]
pub struct NamePattern {
    text: String,
    regex: Option<Regex>,
}

impl NamePattern {
    /// Compiles the pattern.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_SIZE).build();
        let regex = built.map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())?;
        Ok(Self { text: text.to_owned(), regex: Some(regex) })
    }

    /// As the owner wrote it.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a room may be called so.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let sound = !name.is_empty() && name.chars().count() <= LONGEST && !name.chars().any(char::is_control);
        sound && self.regex.as_ref().is_some_and(|regex| regex.is_match(name))
    }
}

impl Default for NamePattern {
    fn default() -> Self {
        // A pattern of our own that does not compile would allow nothing; a test below sees that it does.
        Self::new(ROOM_NAMES).unwrap_or(Self { text: String::new(), regex: None })
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NamePattern {}

impl Default for SayRate {
    fn default() -> Self {
        let rate = std::num::NonZeroU32::new(5).map(|count| Rate { count, per: Duration::from_secs(1) });
        Self { rate, burst: 20 }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            history: 50,
            history_size: 256 << 10,
            page: true,
            to_sender: true,
            escape: true,
            rooms: 1000,
            room: "lobby".to_owned(),
            room_names: NamePattern::default(),
            create: true,
            members: 10_000,
            rooms_per_member: 16,
            presence: 200,
            name_length: 32,
            text: 4 << 10,
            say: SayRate::default(),
            forget_empty: Duration::from_secs(600),
            mailbox: 1024,
            mailbox_size: 4 << 20,
            bans: 10_000,
            mutes: 10_000,
            rooms_claim: "rooms".to_owned(),
            name_claim: "name".to_owned(),
            moderator_claim: "moderator".to_owned(),
            history_age: Some(Duration::from_secs(30 * 24 * 3600)),
            history_store: HistoryStore::Memory,
            filter: None,
            fixed: Vec::new(),
            shared: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        let pattern = NamePattern::default();
        for name in ["lobby", "a b", "Küche", "x.y-z_1", &"x".repeat(64)] {
            assert!(pattern.allows(name), "{name}");
        }
        for name in ["", "a/b", "a\nb", "lobby\n", "<b>", &"x".repeat(65)] {
            assert!(!pattern.allows(name), "{name}");
        }
        let either = NamePattern::new("a|b").expect("pattern");
        assert!(either.allows("a") && either.allows("b") && !either.allows("ab") && !either.allows("xa"));
        assert!(!NamePattern::new(".*").expect("pattern").allows(&"x".repeat(LONGEST + 1)));
        assert!(NamePattern::new("(").is_err() && NamePattern::new("x{1000000}{1000}").is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
