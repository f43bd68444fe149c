//! Which of several backends gets the next connection. Pure: what it remembers and its chance are handed in.

use crate::config::Balance;

/// A weight of 1 at its full share; slow starts are parts of it.
pub(super) const WHOLE: i64 = 100;

/// A backend that could be taken, and what speaks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// What it is known by, whatever stands beside it.
    pub(super) id: u64,
    /// Its open connections.
    pub(super) open: usize,
    /// Its weight in [`WHOLE`]s, at least 1.
    pub(super) weight: i64,
    /// How long it has waited for its turn; written by [`pick`].
    pub(super) turn: i64,
}

/// A row of numbers that nobody can guess from outside, though it is always the same from the same seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below this one, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product: even enough for any number of backends (Lemire 2019).
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

/// The best of the candidates for a client with this key (which only [`Balance::Hash`] asks for).
pub(super) fn pick(balance: Balance, candidates: &mut [Candidate], key: u64, chance: &mut Chance) -> Option<usize> {
    match balance {
        Balance::RoundRobin => take_turn(candidates, |_| true),
        Balance::LeastConnections => {
            let least =
                candidates.iter().copied().reduce(|best, other| if less(&other, &best) { other } else { best })?;
            take_turn(candidates, |candidate| !less(&least, candidate))
        }
        Balance::RandomTwo => random_two(candidates, chance),
        Balance::Hash => rendezvous(candidates, key),
    }
}

/// Whether one has fewer open connections for its weight than the other; the one to come is counted with both.
fn less(one: &Candidate, other: &Candidate) -> bool {
    let load = |open: usize, weight: i64| (open as u128 + 1) * u128::from(weight.unsigned_abs());
    load(one.open, other.weight) < load(other.open, one.weight)
}

/// Whoever has waited longest for its weight: each takes as many turns as it weighs, and they are spread evenly.
fn take_turn(candidates: &mut [Candidate], may: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<usize> = None;
    for at in 0..candidates.len() {
        if !may(&candidates[at]) {
            continue;
        }
        candidates[at].turn += candidates[at].weight;
        total += candidates[at].weight;
        if best.is_none_or(|best| candidates[at].turn > candidates[best].turn) {
            best = Some(at);
        }
    }
    candidates[best?].turn -= total;
    best
}

/// Two by chance, by their weights, and the less busy of them (Mitzenmacher 2001): nearly as even as looking at all,
/// and gateways that do not know of each other do not all run to the same one.
fn random_two(candidates: &[Candidate], chance: &mut Chance) -> Option<usize> {
    let first = weighted(candidates, None, chance)?;
    let Some(second) = weighted(candidates, Some(first), chance) else { return Some(first) };
    // Weights speak here as well: by the choice of the two alone, connections that last would end up even.
    Some(if less(&candidates[second], &candidates[first]) { second } else { first })
}

fn weighted(candidates: &[Candidate], without: Option<usize>, chance: &mut Chance) -> Option<usize> {
    let there = || candidates.iter().enumerate().filter(|(at, _)| Some(*at) != without);
    let total: u64 = there().map(|(_, candidate)| candidate.weight.unsigned_abs()).sum();
    let mut left = if total == 0 { return None } else { chance.below(total) };
    for (at, candidate) in there() {
        let weight = candidate.weight.unsigned_abs();
        if left < weight {
            return Some(at);
        }
        left -= weight;
    }
    None
}

/// Highest random weight (Thaler and Ravishankar 1998), with weights after Schindelhauer and Schomaker 2005: each
/// backend draws a lot for the client, always the same one. Who goes takes only its own clients along, who comes back
/// gets just those again.
fn rendezvous(candidates: &[Candidate], key: u64) -> Option<usize> {
    let lot = |candidate: &Candidate| {
        // 53 bits, which a double holds exactly, and never 0 or 1.
        let drawn = ((mixed(candidate.id ^ key.rotate_left(32)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        candidate.weight as f64 / -drawn.ln()
    };
    (0..candidates.len()).max_by(|&one, &other| lot(&candidates[one]).total_cmp(&lot(&candidates[other])))
}

/// A number that stands for these bytes, the same in every process (FNV-1a, and a last mix).
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mixed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// Spreads what differs in one bit over all of them (the end of SplitMix64).
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(weights: &[i64]) -> Vec<Candidate> {
        let one = |(at, weight): (usize, &i64)| Candidate {
            id: hash(format!("ws://10.0.0.{at}:80").as_bytes()),
            open: 0,
            weight: weight * WHOLE,
            turn: 0,
        };
        weights.iter().enumerate().map(one).collect()
    }

    /// How many of so many connections each gets; all of them stay open.
    fn shares(balance: Balance, weights: &[i64], count: u64) -> Vec<usize> {
        let (mut house, mut chance) = (house(weights), Chance::new(7));
        for key in 0..count {
            let at = pick(balance, &mut house, hash(&key.to_le_bytes()), &mut chance).expect("somebody");
            house[at].open += 1;
        }
        house.iter().map(|candidate| candidate.open).collect()
    }

    #[test]
    fn nobody_is_taken_where_nobody_is() {
        for balance in [Balance::RoundRobin, Balance::LeastConnections, Balance::RandomTwo, Balance::Hash] {
            assert_eq!(pick(balance, &mut [], 1, &mut Chance::new(1)), None);
            assert_eq!(pick(balance, &mut house(&[1]), 1, &mut Chance::new(1)), Some(0));
        }
    }

    #[test]
    fn round_robin_takes_turns_by_weight_and_spreads_them() {
        let (mut house, mut chance) = (house(&[3, 1, 1]), Chance::new(1));
        house[0].open = 900;
        let turns: Vec<usize> = (0..10).filter_map(|_| pick(Balance::RoundRobin, &mut house, 0, &mut chance)).collect();
        assert_eq!(turns, [0, 1, 0, 2, 0, 0, 1, 0, 2, 0]);
    }

    #[test]
    fn a_turn_that_was_missed_is_not_made_up_for_twice() {
        let (mut house, mut chance) = (house(&[1, 1, 1]), Chance::new(1));
        assert_eq!(pick(Balance::RoundRobin, &mut house, 0, &mut chance), Some(0));
        // The second one is not there for a while.
        for _ in 0..100 {
            let mut left = [house[0], house[2]];
            pick(Balance::RoundRobin, &mut left, 0, &mut chance);
            (house[0], house[2]) = (left[0], left[1]);
        }
        let turns: Vec<usize> = (0..6).filter_map(|_| pick(Balance::RoundRobin, &mut house, 0, &mut chance)).collect();
        assert!((0..3).all(|at| turns.iter().filter(|turn| **turn == at).count() == 2), "{turns:?}");
    }

    #[test]
    fn least_connections_takes_the_least_for_its_weight_and_equals_in_turn() {
        let (mut house, mut chance) = (house(&[1, 1, 1]), Chance::new(1));
        for (at, open) in [3, 1, 2].into_iter().enumerate() {
            house[at].open = open;
        }
        assert_eq!(pick(Balance::LeastConnections, &mut house, 0, &mut chance), Some(1));
        house[1].open = 2;
        let turns: Vec<_> =
            (0..4).filter_map(|_| pick(Balance::LeastConnections, &mut house, 0, &mut chance)).collect();
        assert!([1, 2].iter().all(|at| turns.iter().filter(|turn| *turn == at).count() == 2), "{turns:?}");
        assert_eq!(shares(Balance::LeastConnections, &[1, 1, 1], 900), [300, 300, 300]);
        assert_eq!(shares(Balance::LeastConnections, &[6, 3, 1], 1000), [600, 300, 100]);
    }

    #[test]
    fn random_two_is_nearly_even_and_keeps_weights() {
        let even = shares(Balance::RandomTwo, &[1; 10], 10_000);
        // By one choice alone the difference would be about 100.
        let spread = even.iter().max().expect("ten") - even.iter().min().expect("ten");
        assert!(spread <= 10, "{even:?}");
        let weighted = shares(Balance::RandomTwo, &[6, 3, 1], 10_000);
        for (share, expected) in weighted.iter().zip([6_000usize, 3_000, 1_000]) {
            assert!(share.abs_diff(expected) < 100, "{weighted:?}");
        }
        let (mut house, mut chance) = (house(&[1, 1]), Chance::new(3));
        house[0].open = 1;
        assert!((0..100).all(|_| pick(Balance::RandomTwo, &mut house, 0, &mut chance) == Some(1)));
    }

    #[test]
    fn hash_spreads_by_weight() {
        let even = shares(Balance::Hash, &[1; 8], 80_000);
        assert!(even.iter().all(|share| (9_600..10_400).contains(share)), "{even:?}");
        let weighted = shares(Balance::Hash, &[5, 3, 2], 100_000);
        for (share, expected) in weighted.iter().zip([50_000usize, 30_000, 20_000]) {
            assert!(share.abs_diff(expected) < 1_000, "{weighted:?}");
        }
    }

    #[test]
    fn hash_moves_only_those_of_who_is_gone() {
        let (mut all, mut chance) = (house(&[1, 2, 1, 3, 1]), Chance::new(1));
        let mut left: Vec<Candidate> = all.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, one)| *one).collect();
        let mut heirs = [0; 5];
        for client in 0..20_000u64 {
            let key = hash(&client.to_be_bytes());
            let before = pick(Balance::Hash, &mut all, key, &mut chance).expect("somebody");
            let after = pick(Balance::Hash, &mut left, key, &mut chance).expect("somebody");
            let after = after + usize::from(after >= 2);
            if before == 2 {
                heirs[after] += 1;
            } else {
                assert_eq!(before, after, "client {client}");
            }
            assert_eq!(pick(Balance::Hash, &mut all, key, &mut chance), Some(before), "and comes back");
        }
        // An eighth of them was there, and is shared among the others by their weights.
        let moved: usize = heirs.iter().sum();
        assert!((2_300..2_700).contains(&moved), "{heirs:?}");
        assert!((moved * 3 / 7).abs_diff(heirs[3]) < 150, "{heirs:?}");
    }

    #[test]
    fn a_growing_weight_only_draws_clients_to_it() {
        let (mut small, mut large, mut chance) = (house(&[1, 1]), house(&[1, 1]), Chance::new(1));
        small[1].weight = WHOLE / 10;
        large[1].weight = WHOLE / 2;
        for client in 0..5_000u64 {
            let key = hash(&client.to_be_bytes());
            let before = pick(Balance::Hash, &mut small, key, &mut chance);
            let after = pick(Balance::Hash, &mut large, key, &mut chance);
            assert!(before == after || after == Some(1), "client {client}");
        }
    }
}
