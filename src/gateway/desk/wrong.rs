//! What the desk answers: JSON, and what was wrong with a code that stays.

use std::borrow::Cow;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::admin::{Reply, Unread};
use crate::config::{Problem, Problems};
use crate::gateway::ReloadError;
use crate::hub::Fault;

/// Why something is not done.
#[derive(Debug)]
pub(super) enum Wrong {
    /// No token is configured: nobody may ask.
    Closed,
    Token,
    Path,
    Method(&'static [Method]),
    ContentType,
    Unread(Unread),
    /// A word of the query that nobody knows.
    Query(String),
    /// No JSON.
    Json(String),
    /// Not the JSON that was asked for.
    Shape(String),
    /// A field that is missing or is not what it should be.
    Field(&'static str),
    NoSuchHub,
    WhichHub,
    Fault(Fault),
    /// There is no such connection, or none any more.
    NoSuchConnection,
    /// It did not answer, though it is there.
    NoAnswer,
    /// It is not said which connections are meant.
    Which,
    NoSuchRoute,
    NoSuchBackend,
    NotDrained,
    /// What has begun cannot be taken back.
    TooLate,
    /// The configuration was not read again.
    Reload(ReloadError),
    /// Too many things are under way.
    Busy,
    /// There was no answer in time.
    Late,
}

impl Wrong {
    fn status(&self) -> StatusCode {
        match self {
            Self::Closed => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Path
            | Self::NoSuchHub
            | Self::NoSuchConnection
            | Self::NoSuchRoute
            | Self::NoSuchBackend
            | Self::NotDrained => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unread(Unread::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread(Unread::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Unread(Unread::Broken) | Self::Json(_) | Self::Query(_) | Self::Which => StatusCode::BAD_REQUEST,
            Self::Shape(_) | Self::Field(_) | Self::WhichHub => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Fault(Fault::NoSuchRoom | Fault::NoSuchMember | Fault::NoSuchMessage) => StatusCode::NOT_FOUND,
            Self::Reload(ReloadError::Config(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Reload(ReloadError::Thread(_) | ReloadError::Broken) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLate | Self::Reload(ReloadError::NoReader) => StatusCode::CONFLICT,
            Self::Fault(Fault::RoomsFull) | Self::NoAnswer | Self::Busy | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fault(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Closed => "no_token",
            Self::Token => "unauthorized",
            Self::Path => "no_such_path",
            Self::Method(_) => "bad_method",
            Self::ContentType => "not_json",
            Self::Unread(Unread::TooLarge) => "too_large",
            Self::Unread(Unread::TooSlow) => "too_slow",
            Self::Unread(Unread::Broken) => "broken",
            Self::Query(_) => "bad_query",
            Self::Json(_) => "bad_json",
            Self::Shape(_) | Self::Field(_) => "bad_field",
            Self::NoSuchHub => "no_such_hub",
            Self::WhichHub => "which_hub",
            Self::Fault(fault) => fault.code(),
            Self::NoSuchConnection => "no_such_connection",
            Self::NoAnswer => "no_answer",
            Self::Which => "which_connections",
            Self::NoSuchRoute => "no_such_route",
            Self::NoSuchBackend => "no_such_backend",
            Self::NotDrained => "not_drained",
            Self::TooLate => "too_late",
            Self::Reload(ReloadError::NoReader) => "no_file",
            Self::Reload(ReloadError::Config(_)) => "bad_config",
            Self::Reload(ReloadError::Thread(_) | ReloadError::Broken) => "not_read",
            Self::Busy => "busy",
            Self::Late => "late",
        }
    }

    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Closed => "this is not served without a token: [admin] has neither token_file nor token_env".into(),
            Self::Token => "this needs the header Authorization: Bearer TOKEN, with the token of [admin]".into(),
            Self::Path => "there is nothing at this path".into(),
            Self::Method(_) => "this path does not know the method".into(),
            Self::ContentType => "the body has to come as application/json".into(),
            Self::Unread(Unread::TooLarge) => "the body has more bytes than [admin] body allows".into(),
            Self::Unread(Unread::TooSlow) => "the body did not come in time".into(),
            Self::Unread(Unread::Broken) => "the body ended before its end".into(),
            Self::Query(word) => format!("the query has a word that nobody knows, or has it twice: {word:?}").into(),
            Self::Json(wrong) => format!("this is not JSON: {wrong}").into(),
            Self::Shape(wrong) => wrong.clone().into(),
            Self::Field(name) => format!("\"{name}\" is missing or not what it should be").into(),
            Self::NoSuchHub => "there is no such hub".into(),
            Self::WhichHub => "there are several hubs: name one of /hubs by ?hub=".into(),
            Self::Fault(fault) => fault.text().into(),
            Self::NoSuchConnection => "there is no such connection, or none any more".into(),
            Self::NoAnswer => "this connection is there and did not answer in time: ask again".into(),
            Self::Which => {
                "which connections? name at least one of route, address, backend, older_than, younger_than, min_bytes"
                    .into()
            }
            Self::NoSuchRoute => "there is no such route: it is named by host and path, as in logs".into(),
            Self::NoSuchBackend => "there is no such backend in a pool of this name".into(),
            Self::NotDrained => "this is not being drained".into(),
            Self::TooLate => "the gateway is about to stop, which cannot be taken back".into(),
            Self::Reload(ReloadError::Config(_)) => "the configuration cannot be used, and nothing has changed".into(),
            Self::Reload(error) => error.to_string().into(),
            Self::Busy => "too much is under way: ask again".into(),
            Self::Late => "there was no answer in time: ask again".into(),
        }
    }

    pub(super) fn reply(self) -> Reply {
        let mut value = json!({ "code": self.code(), "text": self.text() });
        if let Self::Reload(ReloadError::Config(Problems(problems))) = &self {
            value["problems"] = problems.iter().map(problem).collect();
        }
        let mut reply = reply(self.status(), &value);
        match &self {
            // RFC 9110 §15.5.2 and §15.5.6: what these statuses must come with.
            Self::Token => reply.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::Method(methods) => {
                let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
                let value = HeaderValue::from_str(&names.join(", "));
                reply.headers.extend(value.ok().map(|value| (header::ALLOW, value)));
            }
            _ => {}
        }
        reply
    }
}

/// In its parts, and as one line.
pub(super) fn problem(problem: &Problem) -> Value {
    let Problem { file, line, key, value, wrong, allowed } = problem;
    json!({
        "file": file, "line": line, "key": key, "value": value, "wrong": wrong, "allowed": allowed,
        "text": problem.to_string()
    })
}

/// An answer of this value.
pub(super) fn reply(status: StatusCode, value: &Value) -> Reply {
    let mut body = value.to_string().into_bytes();
    body.push(b'\n');
    Reply { status, headers: Vec::new(), body }
}

/// The same, where all is well.
pub(super) fn shown(value: &Value) -> Reply {
    reply(StatusCode::OK, value)
}
