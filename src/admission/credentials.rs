//! What can be wrong with a client's credentials, and what it is told of it (RFC 6750 §3).

use http::StatusCode;

/// Why a token does not open the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// There is none.
    Absent,
    /// There is more than one in one place.
    Several,
    /// It is no signed JWT (RFC 7519 §7.2).
    Malformed,
    /// It is signed in a way that is not on the route's list, or not signed at all.
    Algorithm,
    /// It names an extension that must be understood (RFC 7515 §4.1.11).
    Critical,
    /// No key of ours is the one it names.
    Key,
    /// The signature is not the key's.
    Signature,
    /// Its time is over (RFC 7519 §4.1.4).
    Expired,
    /// Its time has not come (RFC 7519 §4.1.5).
    NotYet,
    /// It is somebody else's (RFC 7519 §4.1.1).
    Issuer,
    /// It is for somebody else (RFC 7519 §4.1.3).
    Audience,
    /// A claim that must be there is not.
    Claim,
    /// A claim that is to be handed on does not fit into a header.
    Unsafe,
}

impl TokenFault {
    /// The status it is answered with.
    #[must_use]
    pub(crate) const fn status(self) -> StatusCode {
        self.answer().0
    }

    /// The `WWW-Authenticate`.
    #[must_use]
    pub(crate) const fn challenge(self) -> &'static str {
        self.answer().1
    }

    /// RFC 6750 §3.1: 400 for a request that makes no sense, 401 for the token itself; who has shown no credentials is
    /// told of no error.
    const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Absent => (StatusCode::UNAUTHORIZED, "Bearer"),
            Self::Several => (StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
            Self::Malformed
            | Self::Algorithm
            | Self::Critical
            | Self::Key
            | Self::Signature
            | Self::Expired
            | Self::NotYet
            | Self::Issuer
            | Self::Audience
            | Self::Claim
            | Self::Unsafe => (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""),
        }
    }

    /// What was wrong, in one plain line without its line end. Nothing of it comes from the token.
    #[must_use]
    pub(crate) const fn line(self) -> &'static str {
        match self {
            Self::Absent => "a token is required here",
            Self::Several => "the request has more than one token",
            Self::Malformed => "the token is not a signed JWT",
            Self::Algorithm => "the token is signed in a way that is not allowed here",
            Self::Critical => "the token needs an extension that is not known here",
            Self::Key => "the token's key is not known here",
            Self::Signature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Issuer => "the token is not from an issuer that is known here",
            Self::Audience => "the token is not for this place",
            Self::Claim => "the token lacks a claim that is required here",
            Self::Unsafe => "the token has a claim that cannot be handed on",
        }
    }

    /// The name under which it is counted; stable.
    #[must_use]
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Absent => "token_absent",
            Self::Several => "token_twice",
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Critical => "token_critical",
            Self::Key => "token_key",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Claim => "token_claim",
            Self::Unsafe => "token_unsafe",
        }
    }
}
