//! What a backend gets to see of a client's request, and who answers its offer of subprotocols.

use std::borrow::Cow;

use super::{Profile, Treatment};
use crate::route::without_prefix;
use crate::wire::head::Rules;

/// The request head that goes to the backends of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendHead {
    /// Bytes of the whole head at most; `None`: as long as it comes. Beyond it headers and cookies are left out, and
    /// what still does not fit is refused with 431.
    pub budget: Option<usize>,
    /// Names of cookies that are never left out.
    pub cookies: Vec<String>,
    /// Client headers that are passed on besides those that every backend gets; in lower case.
    pub pass_headers: Vec<String>,
    /// The path that is taken off the front of the client's: the route's own, or one above it.
    pub strip_prefix: Option<String>,
    /// What it is told of the trace that a request belongs to.
    pub traceparent: TraceParent,
    /// Who answers an offer of subprotocols.
    pub subprotocol: Subprotocol,
    /// The subprotocols that may be named where the gateway answers; empty: any.
    pub subprotocols: Vec<String>,
}

/// What a backend is told of the trace that a request belongs to (W3C Trace Context).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceParent {
    /// What the client says, with the gateway between the two.
    Pass,
    /// The same, and where the client says nothing sound a trace begins here.
    Make,
    /// Nothing, unless the header is among those that pass.
    Off,
}

impl TraceParent {
    /// All, by their names in a configuration.
    pub(crate) const ALL: [(&'static str, Self); 3] = [("pass", Self::Pass), ("make", Self::Make), ("off", Self::Off)];

    /// Where the owner says nothing. A server that reads heads into a small buffer gets no line more.
    const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Transparent => Self::Pass,
            _ => Self::Off,
        }
    }
}

/// Who answers a client's offer of subprotocols (RFC 6455 §1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subprotocol {
    /// The gateway, with the first that will do; the backend does not see the offer.
    Answer,
    /// The backend, which may name none.
    Pass,
    /// Nobody; the backend does not see the offer.
    Strip,
}

impl Subprotocol {
    /// All, by their names in a configuration.
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("answer", Self::Answer), ("pass", Self::Pass), ("strip", Self::Strip)];
}

impl BackendHead {
    /// What this profile gets where the owner says nothing.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let Treatment { head_budget, subprotocol, .. } = profile.treatment();
        Self {
            budget: head_budget,
            cookies: vec!["PHPSESSID".to_owned()],
            pass_headers: Vec::new(),
            strip_prefix: None,
            traceparent: TraceParent::of(profile),
            subprotocol,
            subprotocols: Vec::new(),
        }
    }

    /// For whoever writes the head.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            budget: self.budget,
            cookies: &self.cookies,
            pass: &self.pass_headers,
            subprotocols: self.subprotocol == Subprotocol::Pass,
        }
    }

    /// Path and query as the backend gets them.
    pub(crate) fn target<'t>(&self, asked: &'t str) -> Cow<'t, str> {
        match &self.strip_prefix {
            Some(prefix) => without_prefix(prefix, asked),
            None => Cow::Borrowed(asked),
        }
    }

    /// The offer as far as the backend is to choose from it.
    pub(crate) fn offered<'o>(&self, offer: &'o [String]) -> Option<&'o [String]> {
        (self.subprotocol == Subprotocol::Pass).then_some(offer)
    }

    /// The subprotocol that the 101 names, given the one that the backend chose.
    pub(crate) fn named(&self, offer: &[String], chosen: Option<String>) -> Option<String> {
        let may = |name: &&String| self.subprotocols.is_empty() || self.subprotocols.contains(name);
        match self.subprotocol {
            Subprotocol::Answer => offer.iter().find(may).cloned(),
            Subprotocol::Pass => chosen,
            Subprotocol::Strip => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn who_names_the_subprotocol() {
        let offer = texts(&["a", "b", "c"]);
        let mut head = BackendHead::of(Profile::Legacy);
        assert_eq!((head.offered(&offer), head.named(&offer, None).as_deref()), (None, Some("a")));
        assert_eq!(head.named(&[], None), None);
        head.subprotocols = texts(&["c", "b"]);
        assert_eq!(head.named(&offer, None).as_deref(), Some("b"));
        head.subprotocols = texts(&["d"]);
        assert_eq!(head.named(&offer, None), None);
        head.subprotocol = Subprotocol::Strip;
        assert_eq!((head.offered(&offer), head.named(&offer, Some("a".to_owned()))), (None, None));
        head.subprotocol = Subprotocol::Pass;
        assert_eq!((head.offered(&offer), head.named(&offer, None)), (Some(&*offer), None));
        assert_eq!(head.named(&offer, Some("c".to_owned())).as_deref(), Some("c"));
    }
}
