//! Which lines of connections are written when there are more of them than anybody reads, and how many were left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::metrics::{Counter, Family, Labels, label};

/// What a line tells of. Each kind has a share of its own, so that none drowns the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An end as it should be.
    Ordinary,
    /// Somebody was not let in, or was no client at all.
    Refused,
    /// An end that should not have been.
    Abnormal,
}

/// How many lines of each kind are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// So many in each stretch of time.
    pub most: u32,
    /// How long such a stretch is.
    pub per: Duration,
    /// Beyond them each one of so many; 0: none.
    pub every: u32,
}

/// Decides about each line. Two atomic words are all that it costs.
#[derive(Debug)]
pub(crate) struct Sampler {
    since: Instant,
    /// Absent: all are written.
    rule: Option<Rule>,
    shares: [Share; 3],
    /// Those left out, by kind.
    left_out: Family<Labels, Counter>,
}

#[derive(Debug, Default)]
struct Share {
    /// The stretch of time in the upper half, the lines that wanted to be written in it in the lower.
    seen: AtomicU64,
    /// Since it was told last.
    left_out: AtomicU64,
}

impl Kind {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Ordinary, "ordinary"), (Self::Refused, "refused"), (Self::Abnormal, "abnormal")];

    /// How a WebSocket has ended. RFC 6455 §7.4.1: 1000 and 1001 are what they should be, 1005 is a Close that says
    /// nothing, and a client that has gone without one (1006) is what networks are like.
    #[must_use]
    pub(super) fn of_end(by: &str, code: u16) -> Self {
        match code {
            1000 | 1001 | 1005 => Self::Ordinary,
            1006 if by == "client" => Self::Ordinary,
            _ => Self::Abnormal,
        }
    }
}

impl Sampler {
    /// By this rule, and with this metric; without a rule everything is written.
    #[must_use]
    pub(super) fn new(rule: Option<Rule>, left_out: Family<Labels, Counter>) -> Self {
        Self { since: Instant::now(), rule, shares: Default::default(), left_out }
    }

    /// The same with another rule.
    #[must_use]
    pub(super) fn with(self, rule: Option<Rule>) -> Self {
        Self { rule, ..self }
    }

    /// Whether a line of this kind is written now.
    #[must_use]
    pub(crate) fn admits(&self, kind: Kind) -> bool {
        let Some(rule) = &self.rule else { return true };
        let stretch = self.since.elapsed().as_nanos() / rule.per.as_nanos().max(1);
        self.shares[kind as usize].admits(rule, u32::try_from(stretch).unwrap_or(u32::MAX))
    }

    /// Counts what was left out since the last time, and says it in a line, if there was anything.
    pub(crate) fn tell(&self) {
        let left_out = Kind::ALL.map(|(kind, name)| {
            let count = self.shares[kind as usize].left_out.swap(0, Ordering::Relaxed);
            if count > 0 {
                self.left_out.get_or_create(&label("kind", name)).inc_by(count);
            }
            count
        });
        if let [ordinary, refused, abnormal] = left_out
            && left_out != [0; 3]
        {
            tracing::info!(
                target: "wsgate::connection",
                ordinary,
                refused,
                abnormal,
                "lines were left out here: there are more than log.sample lets through"
            );
        }
    }
}

impl Share {
    fn admits(&self, rule: &Rule, now: u32) -> bool {
        let next = |seen: u64| {
            let (stretch, count) = ((seen >> 32) as u32, seen as u32);
            // A thread that was held up between clock and here must not begin an old stretch again.
            let (stretch, count) = if stretch < now { (now, 1) } else { (stretch, count.saturating_add(1)) };
            u64::from(stretch) << 32 | u64::from(count)
        };
        let seen = self.seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| Some(next(seen)));
        let beyond = (next(seen.unwrap_or_else(|seen| seen)) as u32).saturating_sub(rule.most);
        let is_written = beyond == 0 || (rule.every > 0 && beyond.is_multiple_of(rule.every));
        if !is_written {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        is_written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { most: 3, per: Duration::from_secs(1), every: 0 };

    fn written(share: &Share, rule: &Rule, now: u32, lines: usize) -> Vec<usize> {
        (1..=lines).filter(|_| share.admits(rule, now)).collect()
    }

    #[test]
    fn so_many_in_each_stretch_and_none_beyond() {
        let share = Share::default();
        assert_eq!(written(&share, &RULE, 0, 9), [1, 2, 3]);
        assert_eq!(written(&share, &RULE, 7, 2), [1, 2]);
        assert_eq!(written(&share, &RULE, 7, 2), [1]);
        // One who was late belongs to the stretch that is now.
        assert_eq!(written(&share, &RULE, 6, 2), [0; 0]);
        assert_eq!(share.left_out.load(Ordering::Relaxed), 6 + 1 + 2);
        assert_eq!(written(&share, &RULE, u32::MAX, 4), [1, 2, 3]);
    }

    #[test]
    fn beyond_them_every_so_many() {
        let share = Share::default();
        assert_eq!(written(&share, &Rule { every: 4, ..RULE }, 0, 12), [1, 2, 3, 7, 11]);
        assert_eq!(share.left_out.load(Ordering::Relaxed), 7);
        let all = Share::default();
        assert_eq!(written(&all, &Rule { every: 1, ..RULE }, 0, 5).len(), 5);
    }

    #[test]
    fn no_kind_takes_anothers_share_and_without_a_rule_all_are_written() {
        let left_out = Family::default();
        let rule = Rule { most: 1, per: Duration::from_secs(3600), every: 0 };
        let sampler = Sampler::new(Some(rule), left_out.clone());
        for (kind, _) in Kind::ALL {
            assert_eq!([sampler.admits(kind), sampler.admits(kind)], [true, false]);
        }
        sampler.tell();
        sampler.tell();
        for (_, name) in Kind::ALL {
            assert_eq!(left_out.get_or_create(&label("kind", name)).get(), 1);
        }
        let open = Sampler::new(None, Family::default());
        assert!((0..100).all(|_| open.admits(Kind::Refused)));
    }

    #[test]
    fn what_is_as_it_should_be() {
        for (by, code) in [("client", 1000), ("backend", 1001), ("gateway", 1005), ("client", 1006)] {
            assert_eq!(Kind::of_end(by, code), Kind::Ordinary, "{by} {code}");
        }
        for (by, code) in [("gateway", 1006), ("backend", 1006), ("client", 1002), ("gateway", 1011), ("client", 4000)]
        {
            assert_eq!(Kind::of_end(by, code), Kind::Abnormal, "{by} {code}");
        }
    }
}
