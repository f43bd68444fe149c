//! Every way to be turned away before the 101, and what each is answered with.

mod beside;

use std::num::NonZeroU64;

use http::header::{ALLOW, CONNECTION, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use self::beside::{Beside, headers_of};
use super::body::BodyFault;
use super::credentials::TokenFault;
use super::origin::OriginRefused;
use crate::wire::close::Code;
use crate::wire::offer::Malformed;
use crate::wire::request_head::HeadError;

/// Seconds after which one of an address's own WebSockets may have ended.
const RETRY_CAP: u64 = 10;

/// Seconds after which there may be room, or another gateway.
const RETRY_FULL: u64 = 5;

/// Why a request did not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request head is over its size (RFC 6585 §5).
    HeadTooLarge,
    /// The request head did not come in time (RFC 9110 §15.5.9).
    HeadTooSlow,
    /// The request head is not sound HTTP/1.1.
    Head(HeadError),
    /// Nothing lives at this host and path (RFC 9110 §15.5.5).
    NoRoute,
    /// No sound upgrade request.
    Malformed(Malformed),
    /// The request's body cannot be passed on.
    Body(BodyFault),
    /// A method that no backend gets (RFC 9110 §9.3.8: an answer would show what is meant for the backend alone).
    Trace,
    /// The page's origin may not come in.
    Origin(OriginRefused),
    /// The address sends upgrade requests too fast (RFC 6585 §4).
    AddressRate {
        /// Seconds after which it may send the next one.
        retry_after: NonZeroU64,
    },
    /// The address has as many WebSockets as it may (RFC 6585 §4).
    AddressCap,
    /// The gateway has as many WebSockets as it may (RFC 9110 §15.6.4).
    GatewayFull,
    /// The route has as many WebSockets as it may (RFC 9110 §15.6.4).
    RouteFull,
    /// The operator sends the route's clients elsewhere (RFC 9110 §15.6.4).
    RouteDrained,
    /// The room is not for this client (RFC 9110 §15.5.4).
    Room,
    /// A hub where nobody may be called as the token says.
    Name,
    /// A moderator has banned the client from the hub for a time.
    Banned,
    /// The gateway is about to stop (RFC 9110 §15.6.4).
    Draining,
    /// The client has shown no certificate, and the route wants one (RFC 9110 §15.5.4).
    NoCertificate,
    /// The token does not open this route (RFC 6750 §3).
    Token(TokenFault),
    /// The server that was asked refused with this status, which is not passed on as it is.
    AuthStatus(u16),
    /// As many clients wait for the server that knows who may come in as may wait (RFC 9110 §15.6.4).
    AuthBusy,
    /// That server could not be asked, or its answer says neither yes nor no (RFC 9110 §15.6.4).
    AuthFailed,
    /// That server did not answer in time (RFC 9110 §15.6.4).
    AuthTimeout,
    /// The request does not fit into the head that the backend can read (RFC 6585 §5).
    BackendHead {
        /// Bytes by which it is too long.
        over: usize,
    },
    /// All backends have as many connections as they may (RFC 9110 §15.6.4).
    BackendsFull,
    /// The same, and none became free while the client waited for it (RFC 9110 §15.6.4).
    QueueTimeout,
    /// All backends are out of service (RFC 9110 §15.6.4).
    NoBackend,
    /// The backend refused with this status, which is not passed on as it is.
    BackendStatus(u16),
    /// The backend could not be reached (RFC 9110 §15.6.3).
    BackendRefused,
    /// The backend's answer was no answer to an upgrade (RFC 9110 §15.6.3).
    BackendNonsense,
    /// The backend's answer to an ordinary request is none (RFC 9110 §15.6.3).
    BackendBroken,
    /// The backend did not answer in time (RFC 9110 §15.6.5).
    BackendTimeout,
}

impl Refusal {
    /// The status it is answered with.
    #[must_use]
    pub(crate) fn status(self) -> StatusCode {
        self.answer().0
    }

    /// The headers that belong to the status; those of the body are the caller's.
    #[must_use]
    pub(crate) fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        match self.answer().1 {
            Beside::Nothing => Vec::new(),
            Beside::End => vec![(CONNECTION, HeaderValue::from_static("close"))],
            Beside::Methods => vec![(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))],
            Beside::Retry(seconds) => vec![(RETRY_AFTER, HeaderValue::from(seconds))],
            Beside::Challenge(challenge) => vec![(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))],
            Beside::Explained(malformed) => headers_of(malformed),
        }
    }

    fn answer(self) -> (StatusCode, Beside) {
        let passed_on = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        match self {
            // RFC 9112 §9.3: nobody knows where the next request would begin.
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Beside::End),
            Self::HeadTooSlow => (StatusCode::REQUEST_TIMEOUT, Beside::End),
            Self::Head(_) => (StatusCode::BAD_REQUEST, Beside::End),
            Self::NoRoute => (StatusCode::NOT_FOUND, Beside::Nothing),
            Self::Malformed(malformed) => (malformed.status(), Beside::Explained(malformed)),
            // RFC 9112 §9.3: what is left of the body is not read.
            Self::Body(fault) => (fault.status(), Beside::End),
            Self::Trace => (StatusCode::METHOD_NOT_ALLOWED, Beside::Methods),
            Self::Origin(_) | Self::Room | Self::Name | Self::Banned | Self::NoCertificate => {
                (StatusCode::FORBIDDEN, Beside::Nothing)
            }
            Self::AddressRate { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Beside::Retry(retry_after.get())),
            Self::AddressCap => (StatusCode::TOO_MANY_REQUESTS, Beside::Retry(RETRY_CAP)),
            Self::Token(fault) => (fault.status(), Beside::Challenge(fault.challenge())),
            Self::GatewayFull
            | Self::RouteFull
            | Self::RouteDrained
            | Self::Draining
            | Self::BackendsFull
            | Self::QueueTimeout
            | Self::NoBackend
            | Self::AuthBusy
            | Self::AuthFailed
            | Self::AuthTimeout => (StatusCode::SERVICE_UNAVAILABLE, Beside::Retry(RETRY_FULL)),
            Self::AuthStatus(status) | Self::BackendStatus(status) => (passed_on(status), Beside::Nothing),
            Self::BackendHead { .. } => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Beside::Nothing),
            Self::BackendRefused | Self::BackendNonsense | Self::BackendBroken => {
                (StatusCode::BAD_GATEWAY, Beside::Nothing)
            }
            Self::BackendTimeout => (StatusCode::GATEWAY_TIMEOUT, Beside::Nothing),
        }
    }

    /// The code of the Close that tells it, where a route wishes refusals to be told so (RFC 6455 §7.4.1). None for a
    /// request that is no sound upgrade, or has no route to wish anything.
    #[must_use]
    pub(crate) fn close(self) -> Option<Code> {
        match self {
            Self::HeadTooLarge | Self::HeadTooSlow | Self::Head(_) | Self::NoRoute | Self::Malformed(_) => None,
            // None of these is refused a WebSocket.
            Self::Body(_) | Self::Trace => None,
            Self::Origin(_)
            | Self::Room
            | Self::Name
            | Self::NoCertificate
            | Self::Token(_)
            | Self::AuthStatus(_)
            | Self::BackendHead { .. }
            | Self::BackendStatus(_) => Some(Code::POLICY),
            Self::AddressRate { .. }
            | Self::AddressCap
            | Self::GatewayFull
            | Self::RouteFull
            | Self::RouteDrained
            | Self::AuthBusy
            | Self::AuthFailed
            | Self::AuthTimeout
            | Self::BackendsFull
            | Self::QueueTimeout
            | Self::NoBackend
            | Self::BackendRefused
            | Self::BackendBroken
            | Self::BackendTimeout => Some(Code::TRY_LATER),
            Self::BackendNonsense => Some(Code::INTERNAL),
            Self::Draining => Some(Code::GOING_AWAY),
            Self::Banned => Some(Code::PUT_OUT),
        }
    }

    /// What was wrong, in one plain line with its line end. Nothing of it comes from the client.
    #[must_use]
    pub(crate) fn line(self) -> String {
        let text = match self {
            Self::HeadTooLarge => "the request head is too large",
            Self::HeadTooSlow => "the request head took too long",
            Self::Head(error) => error.line(),
            Self::NoRoute => "there is nothing at this host and path",
            Self::Malformed(malformed) => malformed.line(),
            Self::Body(fault) => fault.line(),
            Self::Trace => "this method is not passed on",
            Self::Origin(refused) => refused.line(),
            Self::AddressRate { .. } => "your address opens connections too fast",
            Self::AddressCap => "your address has too many open connections",
            Self::GatewayFull => "the gateway has no room for more connections",
            Self::RouteFull => "there is no room for more connections here",
            Self::RouteDrained => "nobody is let in here for a time",
            Self::Room => "you may not enter this room",
            Self::Name => "nobody may be called as your token says",
            Self::Banned => "you may not come in for a time",
            Self::NoCertificate => "a client certificate is required here",
            Self::Draining => "the gateway is about to stop",
            Self::BackendHead { over } => {
                return format!("the request head is {over} bytes over what the backend takes\n");
            }
            Self::BackendStatus(status) => return format!("the backend refused with status {status}\n"),
            Self::BackendsFull => "no backend has room for more connections",
            Self::QueueTimeout => "no backend had room in time",
            Self::NoBackend => "no backend is in service",
            Self::Token(fault) => fault.line(),
            Self::AuthStatus(_) => "the auth server refused",
            Self::AuthBusy => "too many wait to be let in",
            Self::AuthFailed => "it cannot be found out whether you may come in",
            Self::AuthTimeout => "it could not be found out in time whether you may come in",
            Self::BackendRefused => "the backend could not be reached",
            Self::BackendNonsense => "the backend did not answer as a WebSocket server",
            Self::BackendBroken => "the backend gave no sound answer",
            Self::BackendTimeout => "the backend did not answer in time",
        };
        format!("{text}\n")
    }

    /// The name under which it is counted; stable, and no two are the same.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTooSlow => "head_too_slow",
            Self::Head(error) => error.label(),
            Self::NoRoute => "no_route",
            Self::Malformed(malformed) => malformed.label(),
            Self::Body(fault) => fault.label(),
            Self::Trace => "trace",
            Self::Origin(refused) => refused.label(),
            Self::AddressRate { .. } => "address_rate",
            Self::AddressCap => "address_cap",
            Self::GatewayFull => "gateway_full",
            Self::RouteFull => "route_full",
            Self::RouteDrained => "route_drained",
            Self::Room => "room",
            Self::Name => "name",
            Self::Banned => "banned",
            Self::NoCertificate => "no_certificate",
            Self::Draining => "draining",
            Self::BackendHead { .. } => "backend_head_too_large",
            Self::BackendStatus(_) => "backend_status",
            Self::BackendsFull => "backends_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Token(fault) => fault.label(),
            Self::AuthStatus(_) => "auth_status",
            Self::AuthBusy => "auth_busy",
            Self::AuthFailed => "auth_failed",
            Self::AuthTimeout => "auth_timeout",
            Self::NoBackend => "no_backend",
            Self::BackendRefused => "backend_refused",
            Self::BackendNonsense => "backend_nonsense",
            Self::BackendBroken => "backend_broken",
            Self::BackendTimeout => "backend_timeout",
        }
    }
}

#[cfg(test)]
mod tests;
