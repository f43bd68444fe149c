//! What can be wrong with the body of a request that is passed on.

use http::StatusCode;

/// Why a request's body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It is longer than it may be (RFC 9110 §15.5.14).
    TooLarge,
    /// Nothing of it has come for too long (RFC 9110 §15.5.9).
    TooSlow,
    /// Its framing is unsound (RFC 9112 §7.1), or it ends too early.
    Unsound,
}

impl BodyFault {
    /// The status it is answered with.
    #[must_use]
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unsound => StatusCode::BAD_REQUEST,
        }
    }

    /// What was wrong, in one plain line without its line end.
    #[must_use]
    pub(crate) const fn line(self) -> &'static str {
        match self {
            Self::TooLarge => "the request body is too large",
            Self::TooSlow => "the request body took too long",
            Self::Unsound => "the request body is not sound",
        }
    }

    /// The name under which it is counted; stable.
    #[must_use]
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "body_too_large",
            Self::TooSlow => "body_too_slow",
            Self::Unsound => "body_unsound",
        }
    }
}
