//! Why there is no certificate, in one line, with what the CA has said.

use std::fmt;
use std::time::Duration;

use instant_acme::{AuthorizationStatus, Error, Problem};

use super::storage::Broken;
use crate::config::Problems;
use crate::tls::IssueError;

/// Letters of a CA's words that are told.
const TOLD: usize = 1000;

#[derive(Debug)]
pub(super) enum Failure {
    /// The folder.
    Storage(Broken),
    /// The CA, or the way to it.
    Ca(Error),
    /// The same, and the CA wants so much patience.
    Patience(Box<Failure>, Duration),
    /// The CA has looked, and was not convinced; its reasons.
    Refused(Vec<String>),
    /// The CA does not ask for this name in the way that is wished.
    NotOffered(String, &'static str),
    /// A name's authorization is neither open nor good.
    Authorization(String, AuthorizationStatus),
    /// What the CA has made cannot be served.
    Certificate(Problems),
    /// It is not for this name.
    Lacks(String),
    /// What was to be shown to the CA could not be made.
    Own(IssueError),
    /// It took too long.
    Late,
}

impl Failure {
    /// How long the CA wants to be left alone.
    pub(super) fn at_least(&self) -> Option<Duration> {
        match self {
            Self::Patience(_, wait) => Some(*wait),
            _ => None,
        }
    }

    pub(super) fn not_before(self, wait: Option<Duration>) -> Self {
        match wait {
            Some(wait) => Self::Patience(Box::new(self), wait),
            None => self,
        }
    }

    /// RFC 8555 §6.7: the account is gone at the CA.
    pub(super) fn is_unknown_account(&self) -> bool {
        let kind = match self {
            Self::Ca(Error::Api(problem)) => problem.r#type.as_deref(),
            _ => None,
        };
        kind == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(Broken { path, error }) => write!(f, "{} cannot be used: {error}", path.display()),
            Self::Ca(Error::Api(problem)) => write!(f, "the CA says: {}", words(problem)),
            Self::Ca(error) => write!(f, "the CA cannot be asked: {}", plain(&error.to_string())),
            Self::Patience(failure, wait) => write!(f, "{failure}; it wants to be left alone for {} s", wait.as_secs()),
            Self::Refused(reasons) if reasons.is_empty() => {
                f.write_str("the CA refuses the order, and does not say why")
            }
            Self::Refused(reasons) => write!(f, "the CA says: {}", plain(&reasons.join("; "))),
            Self::NotOffered(name, kind) => write!(f, "the CA does not offer {kind} for {}", plain(name)),
            Self::Authorization(name, status) => write!(f, "the CA holds {} to be {status:?}", plain(name)),
            Self::Certificate(problems) => {
                let wrong: Vec<&str> = problems.0.iter().map(|problem| &*problem.wrong).collect();
                write!(f, "what the CA has made cannot be served: {}", wrong.join("; "))
            }
            Self::Lacks(name) => write!(f, "what the CA has made is not for {name}"),
            Self::Own(error) => error.fmt(f),
            Self::Late => f.write_str("it took too long"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ca(error)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Storage(broken)
    }
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        Self::Own(error)
    }
}

/// What a CA says is wrong (RFC 7807), and with which name.
pub(super) fn words(problem: &Problem) -> String {
    let said = |detail: &Option<String>, kind: &Option<String>| {
        let kind = kind.as_deref().unwrap_or("about:blank");
        let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
        match detail {
            Some(detail) => format!("{detail} ({kind})"),
            None => kind.to_owned(),
        }
    };
    let mut told = said(&problem.detail, &problem.r#type);
    for one in &problem.subproblems {
        let name = one.identifier.as_ref().map(|name| format!("{}: ", name.authorized(false)));
        told += &format!("; {}{}", name.unwrap_or_default(), said(&one.detail, &one.r#type));
    }
    plain(&told)
}

/// Somebody else's words, fit for one line of a log.
fn plain(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().take(TOLD).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_ca_says_is_one_line_of_bounded_length() {
        let problem = json!({
            "type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "no\nnot these", "subproblems": [
                { "type": "urn:ietf:params:acme:error:caa", "detail": "CAA", "identifier": { "type": "dns", "value": "a.example" } },
            ],
        });
        let problem: Problem = serde_json::from_value(problem).expect("a problem");
        let told = Failure::Ca(Error::Api(problem)).not_before(Some(Duration::from_secs(9))).to_string();
        let expected =
            "the CA says: no not these (rejectedIdentifier); a.example: CAA (caa); it wants to be left alone for 9 s";
        assert_eq!(told, expected);
        assert_eq!(Failure::Refused(vec!["é".repeat(5000)]).to_string().chars().count(), TOLD + 13);
    }
}
