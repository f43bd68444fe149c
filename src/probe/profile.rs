//! From findings to the profile that fits and what has to differ from it: the table of profiles stands here. No I/O.

use super::findings::{Audience, Control, Findings, Fragments, Passage, Protocol};
use super::sizes::costs;

/// How a backend is treated under a profile. Absent: no bound, or not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// Whether each frame waits until the one before was read.
    pub(super) one_frame_per_read: bool,
    /// Bytes of a message, put together.
    pub(super) message_size: Option<usize>,
    /// Bytes of the request head.
    pub(super) head_budget: Option<usize>,
    /// Whether each client gets a loopback address of its own.
    pub(super) source_address: bool,
    /// `answer`: in the backend's name; `strip`: also not passed on; `pass`: as it is.
    pub(super) subprotocol: &'static str,
    /// `pass` or `reject`.
    pub(super) binary: &'static str,
    /// Whether acknowledgements leave at once.
    pub(super) quickack: bool,
    /// Connections to each backend.
    pub(super) connections: Option<usize>,
}

/// A profile by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    /// The one that comes nearest to it, for a configuration that does not know it.
    nearest: &'static str,
    pub(super) manner: Manner,
}

const fn profile(name: &'static str, nearest: &'static str, manner: Manner) -> Profile {
    Profile { name, nearest, manner }
}

const SOUND: Manner = Manner {
    one_frame_per_read: false,
    message_size: Some(1 << 20),
    head_budget: Some(16_000),
    source_address: false,
    subprotocol: "answer",
    binary: "pass",
    quickack: false,
    connections: Some(900),
};

const ARTICLE: Manner = Manner {
    one_frame_per_read: true,
    message_size: Some(992),
    head_budget: Some(1000),
    source_address: true,
    ..SOUND
};

/// The profiles, with the values that were measured in front of the servers that they are named after.
pub(super) const PROFILES: [Profile; 6] = [
    profile("legacy", "legacy", ARTICLE),
    profile("php-2048", "legacy", Manner { message_size: Some(2040), head_budget: Some(2000), ..ARTICLE }),
    profile("ratchet", "transparent", Manner { head_budget: Some(4000), subprotocol: "strip", ..SOUND }),
    profile("workerman", "legacy", SOUND),
    profile("swoole", "transparent", Manner { connections: Some(10_000), ..SOUND }),
    profile(
        "transparent",
        "transparent",
        Manner { message_size: None, head_budget: None, subprotocol: "pass", connections: None, ..SOUND },
    ),
];

/// What is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    /// The profile, and its values.
    pub(super) profile: Profile,
    /// What this server needs.
    pub(super) wanted: Manner,
    /// Why, in one sentence.
    pub(super) why: String,
}

/// The profile that fits, among those that the configuration knows.
pub(super) fn propose(findings: &Findings, known: &[&str]) -> Proposal {
    let (name, why) = choose(findings);
    let best = named(name);
    let profile = if known.contains(&best.name) { best } else { named(best.nearest) };
    Proposal { profile, wanted: wanted(findings, best.manner), why }
}

fn named(name: &str) -> Profile {
    PROFILES.into_iter().find(|profile| profile.name == name).unwrap_or(PROFILES[0])
}

fn choose(findings: &Findings) -> (&'static str, String) {
    let calls_itself =
        |name: &str| findings.software.as_ref().is_some_and(|software| software.to_ascii_lowercase().contains(name));
    if !findings.is_sound() {
        let roomy = findings.message.is_some_and(|bound| bound.works >= 2000);
        let name = if findings.reads_once() == Some(true) && roomy { "php-2048" } else { "legacy" };
        return (name, format!("written by hand: {}", faults(findings)));
    }
    if calls_itself("workerman") || findings.interrupted.is_some_and(|whole| whole != Fragments::Whole) {
        let why = "it keeps RFC 6455, but for a ping between fragments, so messages go to it whole";
        return ("workerman", why.to_owned());
    }
    if calls_itself("ratchet") || findings.protocol == Some(Protocol::Refused) {
        let why = "it keeps RFC 6455; a client that offers a subprotocol is refused by it";
        return ("ratchet", why.to_owned());
    }
    if calls_itself("swoole") || findings.bad_text.is_some_and(|text| text != Passage::Closed) {
        return ("swoole", "it keeps RFC 6455, but for text that is not UTF-8, which wsgate stops".to_owned());
    }
    ("transparent", "it keeps RFC 6455 in all that was tried".to_owned())
}

/// What speaks against passing frames on as they are, the gravest first.
fn faults(findings: &Findings) -> String {
    let mut faults = Vec::new();
    if findings.reads_once() == Some(true) {
        faults.push("it takes each read for one frame");
    }
    match findings.ping {
        Some(Control::Message) => faults.push("pings become messages"),
        Some(Control::Nothing) => faults.push("pings are not answered"),
        Some(Control::WrongPong | Control::Closed) => faults.push("pings are answered wrongly"),
        Some(Control::Lawful) | None => {}
    }
    if findings.pong == Some(Control::Message) {
        faults.push("pongs become messages");
    }
    if findings.fragments.is_some_and(|fragments| fragments != Fragments::Whole) {
        faults.push("fragments are not put together");
    }
    if findings.close != Some(super::findings::Closing::Answered) {
        faults.push("closes are not answered");
    }
    if findings.message.is_some_and(|bound| bound.harms) {
        faults.push("a long message stops it for everybody");
    }
    faults.join(", ")
}

/// What this server needs, where it is known to differ from its profile.
fn wanted(findings: &Findings, best: Manner) -> Manner {
    let heard = findings.audience.is_some_and(|audience| audience != Audience::Nobody);
    let measured = |bound: Option<super::ladder::Bound>, usual: Option<usize>| match bound {
        Some(bound) if bound.fails.is_some() && bound.works > 0 => Some(bound.works),
        // No failure was seen, perhaps because nothing larger was tried.
        Some(bound) => usual.map(|usual| usual.max(bound.works)),
        None => usual,
    };
    // Elsewhere there are no addresses to spread over, and nothing to be said of them.
    let counts = findings.spread == Some(true) || findings.reset == Some(false);
    let source_address = match findings.loopback {
        true => (best.source_address || counts) && findings.elsewhere != Some(false),
        false => best.source_address,
    };
    let is_spread = source_address && findings.loopback;
    Manner {
        one_frame_per_read: findings.reads_once().filter(|_| heard).unwrap_or(best.one_frame_per_read),
        message_size: measured(findings.message, best.message_size),
        head_budget: measured(findings.head, best.head_budget).map(budget),
        source_address,
        subprotocol: match findings.protocol {
            Some(Protocol::Refused) => "strip",
            Some(Protocol::Chosen) => "pass",
            Some(Protocol::Ignored) | None => best.subprotocol,
        },
        binary: match findings.binary {
            Some(Passage::Dropped | Passage::Closed) => "reject",
            Some(Passage::Same | Passage::AsText) | None => best.binary,
        },
        quickack: findings.trips.is_some_and(|(delayed, at_once)| costs(delayed, at_once)),
        connections: match findings.cap {
            // The cap of one address is the backend's own where all clients come from one.
            Some(cap) if !is_spread => Some(cap),
            Some(_) | None => best.connections,
        },
    }
}

/// A round number below what works: some servers swallow the rest of a head that is a little too long, and what that
/// does depends on its bytes.
fn budget(works: usize) -> usize {
    [16_000, 10_000, 8000, 4000, 2000, 1000].into_iter().find(|round| *round <= works).unwrap_or(works)
}

#[cfg(test)]
mod tests {
    use super::super::findings::Closing;
    use super::super::ladder::Bound;
    use super::*;
    use std::time::Duration;

    const ALL: [&str; 6] = ["legacy", "php-2048", "ratchet", "workerman", "swoole", "transparent"];

    fn sound() -> Findings {
        Findings {
            audience: Some(Audience::Others),
            glued: Some(true),
            split: Some(true),
            fragments: Some(Fragments::Whole),
            interrupted: Some(Fragments::Whole),
            ping: Some(Control::Lawful),
            pong: Some(Control::Lawful),
            close: Some(Closing::Answered),
            loopback: true,
            ..Findings::default()
        }
    }

    fn hand_written() -> Findings {
        Findings { glued: Some(false), ping: Some(Control::Message), close: Some(Closing::Ignored), ..sound() }
    }

    fn name(findings: &Findings, known: &[&str]) -> &'static str {
        propose(findings, known).profile.name
    }

    #[test]
    fn each_kind_of_server_gets_its_profile() {
        assert_eq!(name(&sound(), &ALL), "transparent");
        assert_eq!(name(&hand_written(), &ALL), "legacy");
        let roomy = Some(Bound { works: 2040, fails: Some(2060), harms: false });
        assert_eq!(name(&Findings { message: roomy, ..hand_written() }, &ALL), "php-2048");
        assert_eq!(name(&Findings { protocol: Some(Protocol::Refused), ..sound() }, &ALL), "ratchet");
        assert_eq!(name(&Findings { interrupted: Some(Fragments::Lost), ..sound() }, &ALL), "workerman");
        let software = Some("workerman/5.2.2".to_owned());
        assert_eq!(name(&Findings { software, ..sound() }, &ALL), "workerman");
        assert_eq!(name(&Findings { bad_text: Some(Passage::AsText), ..sound() }, &ALL), "swoole");
        assert_eq!(name(&Findings { bad_text: Some(Passage::Closed), ..sound() }, &ALL), "transparent");
        assert_eq!(name(&Findings::default(), &ALL), "legacy", "who is not known is treated as the weakest");
    }

    #[test]
    fn one_fault_is_enough_to_be_treated_as_written_by_hand() {
        let harms = Some(Bound { works: 992, fails: Some(1016), harms: true });
        for weak in [
            Findings { glued: Some(false), ..sound() },
            Findings { split: Some(false), ..sound() },
            Findings { busy: Some(false), ..sound() },
            Findings { fragments: Some(Fragments::First), ..sound() },
            Findings { ping: Some(Control::WrongPong), ..sound() },
            Findings { pong: Some(Control::Message), ..sound() },
            Findings { close: Some(Closing::Cut), ..sound() },
            Findings { message: harms, ..sound() },
        ] {
            let proposal = propose(&weak, &ALL);
            assert_eq!(proposal.profile.name, "legacy", "{weak:?}");
            assert!(proposal.why.len() > "written by hand: ".len(), "{weak:?}");
        }
    }

    #[test]
    fn a_profile_that_the_configuration_does_not_know_gives_way_to_the_nearest() {
        let known = ["legacy", "transparent"];
        let roomy = Some(Bound { works: 2040, fails: Some(2060), harms: false });
        let proposal = propose(&Findings { message: roomy, ..hand_written() }, &known);
        assert_eq!((proposal.profile.name, proposal.wanted.message_size), ("legacy", Some(2040)));
        assert_eq!(name(&Findings { protocol: Some(Protocol::Refused), ..sound() }, &known), "transparent");
        assert_eq!(name(&Findings { interrupted: Some(Fragments::Lost), ..sound() }, &known), "legacy");
        for profile in PROFILES {
            assert!(known.contains(&profile.nearest), "{}", profile.name);
        }
    }

    #[test]
    fn a_size_is_raised_by_what_works_and_lowered_by_what_fails_alone() {
        let size = |works, fails| {
            let message = Some(Bound { works, fails, harms: false });
            propose(&Findings { message, ..hand_written() }, &["legacy"]).wanted.message_size
        };
        assert_eq!([size(512, None), size(992, None), size(1 << 20, None)], [Some(992), Some(992), Some(1 << 20)]);
        assert_eq!([size(512, Some(900)), size(0, Some(125))], [Some(512), Some(992)]);
    }

    #[test]
    fn a_cap_by_address_is_met_with_addresses_where_there_are_any() {
        let wanted = |findings: Findings| {
            let wanted = propose(&findings, &ALL).wanted;
            (wanted.source_address, wanted.connections)
        };
        let capped = Findings { cap: Some(5), spread: Some(true), elsewhere: Some(true), ..sound() };
        assert_eq!(wanted(capped.clone()), (true, None));
        assert_eq!(
            wanted(Findings { spread: Some(false), elsewhere: Some(false), ..capped.clone() }),
            (false, Some(5))
        );
        assert_eq!(wanted(Findings { spread: None, elsewhere: None, loopback: false, ..capped }), (false, Some(5)));
        let weak = Findings { cap: Some(5), loopback: false, ..hand_written() };
        assert_eq!(wanted(weak), (true, Some(5)), "the profile's, without effect on a backend that is elsewhere");
        assert_eq!(wanted(Findings { elsewhere: Some(false), ..hand_written() }), (false, Some(900)));
        assert_eq!(wanted(Findings { reset: Some(false), ..sound() }), (true, None));
    }

    #[test]
    fn what_was_measured_is_wanted_and_what_was_not_is_the_profiles() {
        let findings = Findings {
            message: Some(Bound { works: 992, fails: None, harms: false }),
            head: Some(Bound { works: 2048, fails: Some(2100), harms: false }),
            cap: Some(5),
            binary: Some(Passage::Dropped),
            trips: Some((Duration::from_millis(44), Duration::from_millis(1))),
            ..hand_written()
        };
        let wanted = propose(&findings, &ALL).wanted;
        let expected = Manner {
            one_frame_per_read: true,
            message_size: Some(992),
            head_budget: Some(2000),
            source_address: true,
            subprotocol: "answer",
            binary: "reject",
            quickack: true,
            connections: Some(900),
        };
        assert_eq!(wanted, expected);
        assert_eq!(
            propose(&Findings { protocol: Some(Protocol::Refused), ..sound() }, &ALL).wanted.subprotocol,
            "strip"
        );
    }
}
