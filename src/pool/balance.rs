//! In which order backends are tried. Pure, but for the turn it remembers.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Balance;

/// An order of preference, made anew for each connection.
#[derive(Debug)]
pub(super) struct Ranking {
    balance: Balance,
    turn: AtomicUsize,
}

impl Ranking {
    pub(super) const fn new(balance: Balance) -> Self {
        Self { balance, turn: AtomicUsize::new(0) }
    }

    /// All backends, the best first, by their open connections. Each call is the next one's turn, so that equals are
    /// chosen evenly.
    pub(super) fn order(&self, open: &[usize]) -> Vec<usize> {
        if open.is_empty() {
            return Vec::new();
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<usize> = (0..open.len()).map(|at| (turn + at) % open.len()).collect();
        if self.balance == Balance::LeastConnections {
            order.sort_by_key(|&at| open[at]);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_robin_takes_turns() {
        let ranking = Ranking::new(Balance::RoundRobin);
        let firsts: Vec<usize> = (0..6).map(|_| ranking.order(&[9, 0, 5])[0]).collect();
        assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
        assert_eq!(ranking.order(&[9, 0, 5]), [0, 1, 2]);
    }

    #[test]
    fn least_connections_takes_the_least_and_equals_in_turn() {
        let ranking = Ranking::new(Balance::LeastConnections);
        assert_eq!(ranking.order(&[3, 1, 2]), [1, 2, 0]);
        let firsts: Vec<usize> = (0..4).map(|_| ranking.order(&[7, 7])[0]).collect();
        assert_eq!(firsts, [1, 0, 1, 0]);
    }
}
