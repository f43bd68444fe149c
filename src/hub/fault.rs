//! What can be wrong with a request in the language `wsgate.chat.v1`; each fault has a code that stays.

use std::time::Duration;

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not a JSON object.
    BadJson,
    /// No type, or one that nobody knows.
    UnknownType,
    /// A field that is missing, or is not what it should be; says which.
    BadField(&'static str),
    /// The text has more than so many bytes.
    TooLong(usize),
    /// The member is not in this room.
    NotJoined,
    /// There is no such room, and none is made.
    NoSuchRoom,
    /// No room may be called so.
    BadRoom,
    /// The room has as many members as it may.
    RoomFull,
    /// There are as many rooms as there may be.
    RoomsFull,
    /// The member is in as many rooms as it may.
    TooManyRooms,
    /// The room has a secret, and this is not it.
    WrongSecret,
    /// Somebody else may do this.
    Forbidden,
    /// Nobody says anything in this room.
    ReadOnly,
    /// Nobody may be called so.
    BadName,
    /// Somebody else in the room is called so.
    NameTaken,
    /// Nobody here has this id.
    NoSuchMember,
    /// There is no such message, or not any more.
    NoSuchMessage,
    /// Too much at once; when it may go on.
    RateLimited(Duration),
    /// The room is slow; when the member may say something again.
    SlowMode(Duration),
    /// A moderator wishes not to hear the member; for how long.
    Muted(Duration),
    /// The member may not come in; for how long.
    Banned(Duration),
    /// A filter does not let it pass.
    Filtered,
    /// A filter should say whether it may pass, and does not.
    FilterDown,
    /// What had to come first did not.
    TooLate,
}

impl Fault {
    /// Its name, which does not change.
    #[must_use]
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::UnknownType => "unknown_type",
            Self::BadField(_) => "bad_field",
            Self::TooLong(_) => "too_long",
            Self::NotJoined => "not_joined",
            Self::NoSuchRoom => "no_such_room",
            Self::BadRoom => "bad_room",
            Self::RoomFull => "room_full",
            Self::RoomsFull => "rooms_full",
            Self::TooManyRooms => "too_many_rooms",
            Self::WrongSecret => "wrong_secret",
            Self::Forbidden => "forbidden",
            Self::ReadOnly => "read_only",
            Self::BadName => "bad_name",
            Self::NameTaken => "name_taken",
            Self::NoSuchMember => "no_such_member",
            Self::NoSuchMessage => "no_such_message",
            Self::RateLimited(_) => "rate_limited",
            Self::SlowMode(_) => "slow_mode",
            Self::Muted(_) => "muted",
            Self::Banned(_) => "banned",
            Self::Filtered => "filtered",
            Self::FilterDown => "filter_down",
            Self::TooLate => "too_late",
        }
    }

    /// The same for people, in a few words.
    #[must_use]
    pub(crate) fn text(self) -> String {
        let text = match self {
            Self::BadJson => "this is not a JSON object",
            Self::UnknownType => "there is no such request",
            Self::BadField(field) => return format!("the field \"{field}\" is missing or not what it should be"),
            Self::TooLong(most) => return format!("the text has more than {most} bytes"),
            Self::NotJoined => "you are not in this room",
            Self::NoSuchRoom => "there is no such room",
            Self::BadRoom => "no room may be called so",
            Self::RoomFull => "the room is full",
            Self::RoomsFull => "there are as many rooms as there may be",
            Self::TooManyRooms => "you are in as many rooms as you may",
            Self::WrongSecret => "this is not the room's secret",
            Self::Forbidden => "you may not do this",
            Self::ReadOnly => "this room is only for reading",
            Self::BadName => "nobody may be called so",
            Self::NameTaken => "somebody else is called so",
            Self::NoSuchMember => "there is no such member",
            Self::NoSuchMessage => "there is no such message",
            Self::RateLimited(_) => "not so fast",
            Self::SlowMode(_) => "this room is slow: wait a little",
            Self::Muted(_) => "you are not heard for a time",
            Self::Banned(_) => "you may not come in for a time",
            Self::Filtered => "this may not be said here",
            Self::FilterDown => "it cannot be found out whether this may be said",
            Self::TooLate => "this has to come first",
        };
        text.to_owned()
    }

    /// When the same request may be done.
    #[must_use]
    pub(crate) const fn retry(self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait) | Self::SlowMode(wait) | Self::Muted(wait) | Self::Banned(wait) => Some(wait),
            _ => None,
        }
    }

    /// Whether it is one of those that a sound client does not commit, or that somebody who guesses does: a few of them
    /// end the session.
    #[must_use]
    pub(crate) const fn is_misconduct(self) -> bool {
        matches!(
            self,
            Self::BadJson | Self::UnknownType | Self::BadField(_) | Self::BadRoom | Self::BadName | Self::WrongSecret
        )
    }
}
