//! The configuration that is proposed, as text to paste: only what the configuration's reader knows. No I/O.

use std::fmt::Write as _;

use super::profile::Proposal;

/// The profiles that the configuration knows.
pub(super) const PROFILES_READ: &[&str] = &["transparent", "legacy"];

/// The keys of `[route.proxy.legacy]` and `[pool.NAME]` that the configuration knows, of those that may be proposed.
pub(super) const KEYS_READ: &[(Table, &str)] =
    &[(Table::Pool, "connections_per_backend"), (Table::Pool, "source_address")];

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// `[route.proxy.legacy]`.
    Legacy,
    /// `[pool.php]`.
    Pool,
}

/// The smallest `message_size` of `[route.limits]`.
const LIMIT_MIN: usize = 1024;

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

/// The block for this backend, with those keys that are known.
pub(super) fn block(proposal: &Proposal, backend: Backend<'_>, known: &[(Table, &str)]) -> String {
    let settings = settings(proposal);
    let keys =
        |table: Table| settings.iter().filter(move |setting| setting.0 == table && known.contains(&(table, setting.1)));
    let mut text = format!(
        "[[route]]\npath = {:?}\nproxy = {{ pool = \"php\", profile = {:?} }}\n",
        path(backend.target),
        proposal.profile.name
    );
    if keys(Table::Legacy).next().is_some() {
        text = text.replace("proxy = { pool = \"php\", profile", "[route.proxy]\npool = \"php\"\nprofile");
        text = text.replace(" }\n", "\n");
        text.push_str("\n[route.proxy.legacy]\n");
        keys(Table::Legacy).for_each(|(_, key, value)| push(&mut text, key, value));
    }
    if let Some(size) = message_limit(proposal, known) {
        let _ = write!(text, "\n[route.limits]\nmessage_size = {size}\n");
    }
    let _ = write!(text, "\n[pool.php]\nbackends = [{:?}]\n", backend.url);
    keys(Table::Pool).for_each(|(_, key, value)| push(&mut text, key, value));
    if let Some(ca) = backend.ca {
        let _ = writeln!(text, "ca = {ca:?}");
    }
    text
}

fn push(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

/// What differs from the profile, as keys and values.
fn settings(proposal: &Proposal) -> Vec<(Table, &'static str, String)> {
    let (usual, wanted) = (proposal.profile.manner, proposal.wanted);
    let mut settings = Vec::new();
    let mut differ = |table, key, differs: bool, value: String| {
        if differs {
            settings.push((table, key, value));
        }
    };
    let number = |number: Option<usize>| number.unwrap_or_default().to_string();
    let is_more = |wanted: Option<usize>, usual| wanted.is_some() && wanted != usual;
    let (message, head) = (wanted.message_size, wanted.head_budget);
    if proposal.profile.name != "transparent" {
        let legacy = Table::Legacy;
        differ(legacy, "message_size", is_more(message, usual.message_size), number(message));
        differ(legacy, "head_budget", is_more(head, usual.head_budget), number(head));
        let reads = wanted.one_frame_per_read;
        differ(legacy, "one_frame_per_read", reads != usual.one_frame_per_read, reads.to_string());
        let protocol = wanted.subprotocol;
        differ(legacy, "subprotocol", protocol != usual.subprotocol, format!("{protocol:?}"));
        differ(legacy, "binary", wanted.binary != usual.binary, format!("{:?}", wanted.binary));
        differ(legacy, "quickack", wanted.quickack != usual.quickack, wanted.quickack.to_string());
    }
    let source = if wanted.source_address { "spread" } else { "off" };
    let differs = wanted.source_address != usual.source_address;
    differ(Table::Pool, "source_address", differs, format!("{source:?}"));
    let connections = wanted.connections;
    differ(Table::Pool, "connections_per_backend", is_more(connections, usual.connections), number(connections));
    settings
}

/// The route's own limit, where the profile has no key for it and the limit may be so small.
fn message_limit(proposal: &Proposal, known: &[(Table, &str)]) -> Option<usize> {
    let has_key = proposal.profile.name != "transparent" && known.contains(&(Table::Legacy, "message_size"));
    let size = proposal.wanted.message_size.filter(|size| (LIMIT_MIN..1 << 20).contains(size))?;
    (!has_key).then_some(size)
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
    use crate::config::{Config, Profile, Target};
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
    fn a_weak_server_gets_its_limits_as_far_as_they_can_be_said() {
        let message = Some(Bound { works: 2040, fails: Some(2060), harms: false });
        let capped = Findings { message, cap: Some(5), elsewhere: Some(false), ..weak() };
        let proposal = propose(&capped, PROFILES_READ);
        let expected = "[[route]]\npath = \"/\"\nproxy = { pool = \"php\", profile = \"legacy\" }\n\n[route.limits]\n\
             message_size = 2040\n\n[pool.php]\nbackends = [\"ws://127.0.0.1:8000\"]\nsource_address = \"off\"\nconnections_per_backend = 5\n";
        assert_eq!(block(&proposal, HERE, KEYS_READ), expected);
    }

    #[test]
    fn keys_of_the_profile_are_said_once_the_configuration_knows_them() {
        let message = Some(Bound { works: 2040, fails: Some(2060), harms: false });
        let findings = Findings { message, cap: Some(5), binary: Some(Passage::Dropped), ..weak() };
        let known = [(Table::Legacy, "message_size"), (Table::Legacy, "binary")];
        let text = block(&propose(&findings, PROFILES_READ), HERE, &known);
        let expected = "[[route]]\npath = \"/\"\n[route.proxy]\npool = \"php\"\nprofile = \"legacy\"\n\n\
             [route.proxy.legacy]\nmessage_size = 2040\nbinary = \"reject\"\n\n[pool.php]\n\
             backends = [\"ws://127.0.0.1:8000\"]\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn every_profile_that_is_read_is_read() {
        for name in PROFILES_READ {
            let findings = if *name == "transparent" { sound() } else { weak() };
            let config = parsed(&block(&propose(&findings, PROFILES_READ), HERE, KEYS_READ));
            let Target::Proxy(proxy) = &config.routes[0].target else { panic!("a proxy") };
            let expected = if *name == "transparent" { Profile::Transparent } else { Profile::Legacy };
            assert_eq!(proxy.profile, expected);
        }
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
        let any = (0usize..2_000_000, any::<Option<u16>>(), any::<bool>());
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
            let proposal = propose(&findings, PROFILES_READ);
            let backend = Backend { url: "wss://example.com:8000", target: &target, ca: Some("some \"ca\".pem") };
            let config = parsed(&block(&proposal, backend, KEYS_READ));
            prop_assert_eq!(config.pools["php"].backends.len(), 1);
        }
    }
}
