//! From findings to the profile that fits, and what has to differ from it. No I/O.

use super::findings::{Audience, Control, Findings, Fragments, Passage, Protocol};
use super::ladder::Bound;
use super::sizes::costs;
use crate::config::{Binary, Habits, Legacy, Profile, SourceAddress, Subprotocol, Treatment};

/// The least that a configuration may have for `head_budget`.
const HEAD_LEAST: usize = 512;
/// What `[route.limits]` may have for `message_size` below its own default.
const MESSAGE_LIMITS: std::ops::Range<usize> = 1024..1 << 20;

/// What is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    /// The profile that comes nearest.
    pub(super) profile: Profile,
    /// What this server needs, be it the profile's or not.
    pub(super) wanted: Treatment,
    /// The route's own limit to messages, where the profile has none and the server has one.
    pub(super) message_limit: Option<usize>,
    /// Why, in one sentence.
    pub(super) why: String,
}

/// The profile that fits, and what has to differ from it.
pub(super) fn propose(findings: &Findings) -> Proposal {
    let (profile, why) = choose(findings);
    let wanted = wanted(findings, profile.treatment());
    let measured = fitting(findings.message, usize::MAX);
    let message_limit = (wanted.legacy.is_none() && MESSAGE_LIMITS.contains(&measured)).then_some(measured);
    Proposal { profile, wanted, message_limit, why }
}

fn choose(findings: &Findings) -> (Profile, String) {
    let calls_itself =
        |name: &str| findings.software.as_ref().is_some_and(|software| software.to_ascii_lowercase().contains(name));
    if !findings.is_sound() {
        let roomy = findings.message.is_some_and(|bound| bound.works >= 2000);
        let reads_2048 = findings.reads_once() == Some(true) && roomy;
        let profile = if reads_2048 { Profile::Php2048 } else { Profile::Legacy };
        return (profile, format!("written by hand: {}", faults(findings)));
    }
    if calls_itself("workerman") || findings.interrupted.is_some_and(|whole| whole != Fragments::Whole) {
        let why = "it keeps RFC 6455, but for a ping between fragments, so messages go to it whole";
        return (Profile::Workerman, why.to_owned());
    }
    if calls_itself("ratchet") || findings.protocol == Some(Protocol::Refused) {
        let why = "it keeps RFC 6455; a client that offers a subprotocol is refused by it";
        return (Profile::Ratchet, why.to_owned());
    }
    if calls_itself("swoole") || findings.bad_text.is_some_and(|text| text != Passage::Closed) {
        return (Profile::Swoole, "it keeps RFC 6455, but for text that is not UTF-8, which wsgate stops".to_owned());
    }
    (Profile::Transparent, "it keeps RFC 6455 in all that was tried".to_owned())
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
fn wanted(findings: &Findings, usual: Treatment) -> Treatment {
    let habits = habits(findings, usual.habits);
    let legacy = usual.legacy.map(|legacy| shielded(findings, legacy));
    let head_budget = match fitting(findings.head, usual.head_budget.unwrap_or(usize::MAX)) {
        usize::MAX => None,
        works => Some(budget(works)),
    };
    let subprotocol = match findings.protocol {
        Some(Protocol::Chosen) => Subprotocol::Pass,
        Some(Protocol::Ignored | Protocol::Refused) | None => usual.subprotocol,
    };
    Treatment { legacy, head_budget, subprotocol, habits }
}

fn shielded(findings: &Findings, usual: Legacy) -> Legacy {
    let heard = findings.audience.is_some_and(|audience| audience != Audience::Nobody);
    Legacy {
        one_frame_per_read: findings.reads_once().filter(|_| heard).unwrap_or(usual.one_frame_per_read),
        message_size: fitting(findings.message, usual.message_size),
        binary: match findings.binary {
            Some(Passage::Dropped | Passage::Closed) => Binary::Reject,
            Some(Passage::Same | Passage::AsText) | None => usual.binary,
        },
        // Where it gains nothing it harms nobody.
        quickack: usual.quickack || findings.trips.is_some_and(|(delayed, at_once)| costs(delayed, at_once)),
        ..usual
    }
}

fn habits(findings: &Findings, usual: Habits) -> Habits {
    // Elsewhere there are no addresses to spread over, and nothing to be said of them.
    let counts = findings.spread == Some(true) || findings.reset == Some(false);
    let may_spread = usual.source_address == SourceAddress::Spread || counts;
    let source_address = match (findings.loopback, may_spread && findings.elsewhere != Some(false)) {
        (false, _) => usual.source_address,
        (true, true) => SourceAddress::Spread,
        (true, false) => SourceAddress::Off,
    };
    let is_spread = findings.loopback && source_address == SourceAddress::Spread;
    // The cap of one address is the backend's own where all clients come from one.
    let cap = findings.cap.filter(|_| !is_spread).unwrap_or(usual.cap);
    Habits { cap, source_address, ..usual }
}

/// What was measured, or the usual. Where no failure was seen, perhaps nothing larger was tried.
fn fitting(bound: Option<Bound>, usual: usize) -> usize {
    match bound {
        Some(Bound { works, fails: Some(_), .. }) if works > 0 => works,
        Some(Bound { works, .. }) => usual.max(works),
        None => usual,
    }
}

/// A round number below what works: some servers swallow the rest of a head that is a little too long, and what that
/// does depends on its bytes.
fn budget(works: usize) -> usize {
    [16_000, 10_000, 8000, 4000, 2000, 1000].into_iter().find(|round| *round <= works).unwrap_or(works.max(HEAD_LEAST))
}

#[cfg(test)]
mod tests {
    use super::super::findings::Closing;
    use super::*;
    use std::time::Duration;

    const HAND_WRITTEN: Legacy = match Profile::Legacy.treatment().legacy {
        Some(legacy) => legacy,
        None => panic!("it has a shield"),
    };

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

    fn chosen(findings: &Findings) -> Profile {
        propose(findings).profile
    }

    #[test]
    fn each_kind_of_server_gets_its_profile() {
        assert_eq!(chosen(&sound()), Profile::Transparent);
        assert_eq!(chosen(&hand_written()), Profile::Legacy);
        let roomy = Some(Bound { works: 2040, fails: Some(2060), harms: false });
        assert_eq!(chosen(&Findings { message: roomy, ..hand_written() }), Profile::Php2048);
        assert_eq!(chosen(&Findings { protocol: Some(Protocol::Refused), ..sound() }), Profile::Ratchet);
        assert_eq!(chosen(&Findings { interrupted: Some(Fragments::Lost), ..sound() }), Profile::Workerman);
        let software = Some("workerman/5.2.2".to_owned());
        assert_eq!(chosen(&Findings { software, ..sound() }), Profile::Workerman);
        assert_eq!(chosen(&Findings { bad_text: Some(Passage::AsText), ..sound() }), Profile::Swoole);
        assert_eq!(chosen(&Findings { bad_text: Some(Passage::Closed), ..sound() }), Profile::Transparent);
        assert_eq!(chosen(&Findings::default()), Profile::Legacy, "who is not known is treated as the weakest");
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
            let proposal = propose(&weak);
            assert_eq!(proposal.profile, Profile::Legacy, "{weak:?}");
            assert!(proposal.why.len() > "written by hand: ".len(), "{weak:?}");
        }
    }

    #[test]
    fn a_size_is_raised_by_what_works_and_lowered_by_what_fails_alone() {
        let size = |works, fails| {
            let message = Some(Bound { works, fails, harms: false });
            shielded(&Findings { message, ..hand_written() }, HAND_WRITTEN).message_size
        };
        assert_eq!([size(512, None), size(992, None), size(1 << 20, None)], [992, 992, 1 << 20]);
        assert_eq!([size(512, Some(900)), size(0, Some(125))], [512, 992]);
    }

    #[test]
    fn a_server_that_needs_nothing_else_can_have_bounds_all_the_same() {
        let limit = |works| {
            let message = Some(Bound { works, fails: Some(works + 1), harms: false });
            propose(&Findings { message, ..sound() }).message_limit
        };
        assert_eq!([limit(2040), limit(1 << 20), limit(1000)], [Some(2040), None, None]);
        let head = |works| {
            let head = Some(Bound { works, fails: Some(works + 1), harms: false });
            propose(&Findings { head, ..sound() }).wanted.head_budget
        };
        assert_eq!([head(4096), head(700), head(100)], [Some(4000), Some(700), Some(512)]);
        assert_eq!(propose(&sound()).wanted, Profile::Transparent.treatment());
    }

    #[test]
    fn a_cap_by_address_is_met_with_addresses_where_there_are_any() {
        let (spread, off, any) = (SourceAddress::Spread, SourceAddress::Off, usize::MAX);
        let wanted = |findings: Findings| {
            let habits = propose(&findings).wanted.habits;
            (habits.source_address, habits.cap)
        };
        let capped = Findings { cap: Some(5), spread: Some(true), elsewhere: Some(true), ..sound() };
        assert_eq!(wanted(capped.clone()), (spread, any));
        assert_eq!(wanted(Findings { spread: Some(false), elsewhere: Some(false), ..capped.clone() }), (off, 5));
        assert_eq!(wanted(Findings { spread: None, elsewhere: None, loopback: false, ..capped }), (off, 5));
        let weak = Findings { cap: Some(5), loopback: false, ..hand_written() };
        assert_eq!(wanted(weak), (spread, 5), "the profile's, without effect on a backend that is elsewhere");
        assert_eq!(wanted(Findings { elsewhere: Some(false), ..hand_written() }), (off, 900));
        assert_eq!(wanted(Findings { reset: Some(false), ..sound() }), (spread, any));
    }

    #[test]
    fn what_was_measured_is_wanted_and_what_was_not_is_the_profiles() {
        let findings = Findings {
            message: Some(Bound { works: 1016, fails: Some(1017), harms: false }),
            head: Some(Bound { works: 2048, fails: Some(2100), harms: false }),
            binary: Some(Passage::Dropped),
            ..hand_written()
        };
        let usual = Profile::Legacy.treatment();
        let legacy = Some(Legacy { message_size: 1016, binary: Binary::Reject, ..HAND_WRITTEN });
        let expected = Treatment { legacy, head_budget: Some(2000), ..usual };
        assert_eq!(propose(&findings).wanted, expected);
        assert_eq!(propose(&hand_written()).wanted, usual);
    }

    #[test]
    fn acknowledgements_that_cost_nothing_are_left_as_they_are() {
        let trips = |delayed| Some((Duration::from_millis(delayed), Duration::from_millis(1)));
        let quick = |findings, usual: Profile| wanted(&findings, usual.treatment()).legacy.expect("a shield").quickack;
        for (trips, legacy, ratchet) in [(None, true, false), (trips(1), true, false), (trips(44), true, true)] {
            assert!(quick(Findings { trips, ..hand_written() }, Profile::Legacy) == legacy, "{trips:?}");
            assert!(quick(Findings { trips, ..sound() }, Profile::Ratchet) == ratchet, "{trips:?}");
        }
    }

    #[test]
    fn who_answers_for_a_server_that_names_no_subprotocol() {
        for (protocol, expected) in [
            // Who is told of no choice gives up, so that nobody's answer would be none.
            (Protocol::Refused, (Profile::Ratchet, Subprotocol::Answer)),
            (Protocol::Ignored, (Profile::Transparent, Subprotocol::Pass)),
            (Protocol::Chosen, (Profile::Transparent, Subprotocol::Pass)),
        ] {
            let proposal = propose(&Findings { protocol: Some(protocol), ..sound() });
            assert_eq!((proposal.profile, proposal.wanted.subprotocol), expected);
        }
        let chosen = Findings { protocol: Some(Protocol::Chosen), ..hand_written() };
        assert_eq!(propose(&chosen).wanted.subprotocol, Subprotocol::Pass);
    }
}
