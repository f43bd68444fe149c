//! The configuration that is proposed, as text to paste: only what differs from the profile's own. No I/O.

use std::fmt::{self, Write as _};

use super::profile::Proposal;
use crate::config::{BINARY, Profile, SourceAddress, Subprotocol};

/// The backend that the block is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backend<'a> {
    /// As a pool names it.
    pub(super) url: &'a str,
    /// Path and query that were asked for.
    pub(super) target: &'a str,
    /// The file of the authorities that vouch for it.
    pub(super) ca: Option<&'a str>,
}

/// The block for this backend.
pub(super) fn block(proposal: &Proposal, backend: Backend<'_>) -> String {
    let Proposal { profile, wanted, message_limit, .. } = proposal;
    let (path, profile) = (path(backend.target), word(&Profile::ALL, *profile));
    let legacy = legacy(proposal);
    let mut text = format!("[[route]]\npath = {path:?}\n");
    let _ = match legacy.is_empty() {
        true => writeln!(text, "proxy = {{ pool = \"php\", profile = {profile:?} }}"),
        false => write!(text, "[route.proxy]\npool = \"php\"\nprofile = {profile:?}\n\n[route.proxy.legacy]\n{legacy}"),
    };
    if let Some(size) = message_limit {
        let _ = write!(text, "\n[route.limits]\nmessage_size = {size}\n");
    }
    let _ = write!(text, "\n[pool.php]\nbackends = [{:?}]\n", backend.url);
    let usual = proposal.profile.treatment().habits;
    let mut said = Lines(&mut text);
    let source = wanted.habits.source_address;
    said.word("source_address", &SourceAddress::ALL, (source, usual.source_address));
    said.value("connections_per_backend", (wanted.habits.cap, usual.cap));
    if let Some(ca) = backend.ca {
        let _ = writeln!(text, "ca = {ca:?}");
    }
    text
}

/// The lines of `[route.proxy.legacy]`; none when the profile says it all.
fn legacy(proposal: &Proposal) -> String {
    let (usual, wanted) = (proposal.profile.treatment(), proposal.wanted);
    let mut text = String::new();
    let mut said = Lines(&mut text);
    if let (Some(usual), Some(wanted)) = (usual.legacy, wanted.legacy) {
        said.value("message_size", (wanted.message_size, usual.message_size));
        said.value("one_frame_per_read", (wanted.one_frame_per_read, usual.one_frame_per_read));
        said.word("binary", &BINARY, (wanted.binary, usual.binary));
        said.value("quickack", (wanted.quickack, usual.quickack));
    }
    if let Some(budget) = wanted.head_budget.filter(|_| wanted.head_budget != usual.head_budget) {
        said.line("head_budget", budget);
    }
    said.word("subprotocol", &Subprotocol::ALL, (wanted.subprotocol, usual.subprotocol));
    text
}

/// Keys whose value is wanted otherwise than usual.
struct Lines<'t>(&'t mut String);

impl Lines<'_> {
    fn value<T: PartialEq + fmt::Display>(&mut self, key: &str, (wanted, usual): (T, T)) {
        if wanted != usual {
            self.line(key, wanted);
        }
    }

    fn word<T: Copy + PartialEq>(&mut self, key: &str, words: &[(&'static str, T)], (wanted, usual): (T, T)) {
        if wanted != usual {
            self.line(key, format_args!("{:?}", word(words, wanted)));
        }
    }

    fn line(&mut self, key: &str, value: impl fmt::Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }
}

/// By which name a configuration knows it.
pub(super) fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], meant: T) -> &'static str {
    words.iter().find(|(_, value)| *value == meant).map_or("", |(word, _)| word)
}

/// The route's path: what was asked for, where a route may have it.
fn path(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or("/");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    let segments = path.get(1..).unwrap_or_default().split('/');
    let sound = segments.clone().all(|segment| !matches!(segment, "" | "." | ".."));
    if path.starts_with('/') && sound && path.bytes().all(plain) { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::super::findings::{Audience, Closing, Control, Findings, Fragments, Passage, Protocol};
    use super::super::ladder::Bound;
    use super::super::profile::propose;
    use super::*;
    use crate::config::{Config, Target};
    use proptest::prelude::*;
    use std::path::Path;

    const HERE: Backend<'_> = Backend { url: "ws://127.0.0.1:8000", target: "/", ca: None };

    fn parsed(text: &str) -> Config {
        Config::parse(text, "proposed", Path::new(".")).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    fn weak() -> Findings {
        Findings {
            audience: Some(Audience::Sender),
            glued: Some(false),
            ping: Some(Control::Message),
            close: Some(Closing::Ignored),
            loopback: true,
            ..Findings::default()
        }
    }

    #[test]
    fn a_server_that_is_as_its_profile_says_gets_that_alone() {
        for (name, profile) in Profile::ALL {
            let why = String::new();
            let proposal = Proposal { profile, wanted: profile.treatment(), message_limit: None, why };
            let expected = format!(
                "[[route]]\npath = \"/\"\nproxy = {{ pool = \"php\", profile = \"{name}\" }}\n\n\
                 [pool.php]\nbackends = [\"ws://127.0.0.1:8000\"]\n"
            );
            let text = block(&proposal, HERE);
            assert_eq!(text, expected);
            let Target::Proxy(proxy) = &parsed(&text).routes[0].target else { panic!("a proxy") };
            assert_eq!(proxy.profile, profile);
        }
        assert!(block(&propose(&weak()), HERE).contains("profile = \"legacy\" }\n\n[pool.php]\nbackends = "));
    }

    #[test]
    fn what_differs_is_said() {
        let message = Some(Bound { works: 1016, fails: Some(1040), harms: false });
        let head = Some(Bound { works: 2048, fails: Some(2049), harms: false });
        let (protocol, binary) = (Some(Protocol::Chosen), Some(Passage::Dropped));
        let capped = Findings { message, head, protocol, binary, cap: Some(5), elsewhere: Some(false), ..weak() };
        let expected = "[[route]]\npath = \"/\"\n[route.proxy]\npool = \"php\"\nprofile = \"legacy\"\n\n\
             [route.proxy.legacy]\nmessage_size = 1016\nbinary = \"reject\"\nhead_budget = 2000\nsubprotocol = \"pass\"\n\n\
             [pool.php]\nbackends = [\"ws://127.0.0.1:8000\"]\nsource_address = \"off\"\nconnections_per_backend = 5\n";
        assert_eq!(block(&propose(&capped), HERE), expected);
    }

    #[test]
    fn a_sound_server_is_told_its_bounds_where_the_configuration_has_them() {
        let message = Some(Bound { works: 2040, fails: Some(2060), harms: false });
        let head = Some(Bound { works: 4096, fails: Some(4097), harms: false });
        let expected = "[[route]]\npath = \"/\"\n[route.proxy]\npool = \"php\"\nprofile = \"transparent\"\n\n\
             [route.proxy.legacy]\nhead_budget = 4000\n\n[route.limits]\nmessage_size = 2040\n\n\
             [pool.php]\nbackends = [\"ws://127.0.0.1:8000\"]\n";
        assert_eq!(block(&propose(&Findings { message, head, ..sound() }), HERE), expected);
    }

    fn sound() -> Findings {
        Findings { ping: Some(Control::Lawful), close: Some(Closing::Answered), ..Findings::default() }
    }

    #[test]
    fn a_path_that_a_route_cannot_have_becomes_the_root() {
        for (target, expected) in
            [("/", "/"), ("/chat?a=b", "/chat"), ("/a/", "/"), ("/%20", "/"), ("/a/../b", "/"), ("/a/b", "/a/b")]
        {
            assert_eq!(path(target), expected, "{target}");
        }
    }

    fn bound() -> impl Strategy<Value = Option<Bound>> {
        let works = prop_oneof![0usize..3000, 0usize..2_000_000];
        let any = (works, any::<Option<u16>>(), any::<bool>());
        prop::option::of(any.prop_map(|(works, more, harms)| {
            let fails = more.map(|more| works + 1 + usize::from(more));
            Bound { works, fails, harms }
        }))
    }

    prop_compose! {
        fn any_findings()(
            message in bound(),
            head in bound(),
            glued: Option<bool>,
            cap in prop::option::of(1usize..10),
            (loopback, lawful, whole, spread, reset) in any::<(bool, bool, bool, Option<bool>, Option<bool>)>(),
            protocol in prop::option::of(prop::sample::select(vec![Protocol::Chosen, Protocol::Ignored, Protocol::Refused])),
            binary in prop::option::of(prop::sample::select(vec![Passage::Same, Passage::AsText, Passage::Closed])),
        ) -> Findings {
            let (ping, close) = if lawful { (Control::Lawful, Closing::Answered) } else { (Control::Message, Closing::Cut) };
            let interrupted = Some(if whole { Fragments::Whole } else { Fragments::Lost });
            let (audience, ping, close) = (Some(Audience::Sender), Some(ping), Some(close));
            Findings {
                message, head, glued, cap, loopback, spread, reset, protocol, binary, interrupted, audience, ping, close,
                ..Findings::default()
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_found_the_block_is_a_configuration(findings in any_findings(), target in "/[a-z/?%.]{0,12}") {
            let proposal = propose(&findings);
            let backend = Backend { url: "wss://example.com:8000", target: &target, ca: Some("some \"ca\".pem") };
            let config = parsed(&block(&proposal, backend));
            let Target::Proxy(proxy) = &config.routes[0].target else { panic!("a proxy") };
            let (pool, wanted, usual) = (&config.pools["php"], proposal.wanted, proposal.profile.treatment());
            prop_assert_eq!((proxy.profile, proxy.legacy), (proposal.profile, wanted.legacy));
            prop_assert_eq!((proxy.head.budget, proxy.head.subprotocol), (wanted.head_budget, wanted.subprotocol));
            // What is the profile's is left to it.
            let differs = wanted.habits.cap != usual.habits.cap;
            prop_assert_eq!(pool.connections_per_backend, differs.then_some(wanted.habits.cap));
            let differs = wanted.habits.source_address != usual.habits.source_address;
            prop_assert_eq!(pool.source_address, differs.then_some(wanted.habits.source_address));
            prop_assert_eq!(pool.backends.len(), 1);
        }
    }
}
