//! What came of those who stay: messages that were lost or came twice, connections that the server ended, and how all
//! came back. Counted by each thread, and as it stands in a report.

use serde::{Deserialize, Serialize};

use super::plan::Micros;
use super::report::Run;

/// What one thread counts of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    pub(crate) doubled: u64,
    /// Those of them that came behind the rest, as if they were new.
    pub(crate) anew: u64,
    pub(crate) disordered: u64,
    /// Connections that the server has ended, with a Close or without.
    pub(crate) closed: u64,
    /// Messages without an answer when it did.
    pub(crate) in_flight: u64,
    /// Tries to open a connection of which nothing came.
    pub(crate) refused: u64,
    /// When somebody tried to come back.
    pub(crate) tries: Vec<Micros>,
    /// How many did.
    pub(crate) back: u64,
}

impl Count {
    /// Another thread's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.doubled += other.doubled;
        self.anew += other.anew;
        self.disordered += other.disordered;
        self.closed += other.closed;
        self.in_flight += other.in_flight;
        self.refused += other.refused;
        self.tries.extend_from_slice(&other.tries);
        self.back += other.back;
    }
}

/// A run of `stay`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stayed {
    /// Messages that were said, each counted once, however often it was sent.
    pub sent: u64,
    /// What members lack in the end of what each was to hear.
    pub lost: u64,
    /// What came to somebody a second time.
    pub doubled: u64,
    /// Those of them that came under an id behind all before it, as if they were new; the others were shown again.
    pub anew: u64,
    /// What came once, but before something that was said earlier, or behind something later.
    pub disordered: u64,
    /// Connections that the server has ended.
    pub closed: u64,
    /// Messages that had no answer when it did: sent again by the member, on its next connection.
    pub in_flight: u64,
    /// Tries to open a connection of which nothing came.
    pub refused: u64,
    /// Those who came back.
    pub back: u64,
    /// The most tries to come back within any one second.
    pub connects: u64,
    /// Times in which people came back.
    pub waves: Vec<Wave>,
}

/// People who come back, one soon after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// When the first tried, in seconds since the start.
    pub at: f64,
    /// From the first to the last.
    pub seconds: f64,
    /// So many tried.
    pub connects: u64,
    /// The most of them within any one second.
    pub most: u64,
}

/// So long without anybody ends a wave.
const LULL: Micros = 3_000_000;
/// More waves than that are one, the last.
const WAVES: usize = 20;
const SECOND: Micros = 1_000_000;

impl Stayed {
    /// From what all threads have counted; `start` is when measuring began.
    pub(crate) fn new(count: &Count, lost: u64, start: Micros) -> Self {
        let mut tries = count.tries.clone();
        tries.sort_unstable();
        Self {
            sent: count.sent,
            lost,
            doubled: count.doubled,
            anew: count.anew,
            disordered: count.disordered,
            closed: count.closed,
            in_flight: count.in_flight,
            refused: count.refused,
            back: count.back,
            connects: most(&tries),
            waves: waves(&tries, start),
        }
    }

    /// What is asked of a run by this name.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let figure = match name {
            "lost" => self.lost,
            "doubled" => self.doubled,
            "disordered" => self.disordered,
            "closed" => self.closed,
            "refused" => self.refused,
            "connects" => self.connects,
            _ => return None,
        };
        Some(figure as f64)
    }

    /// Names and figures, for a table.
    pub(crate) fn rows(run: &Run, number: fn(u64) -> String, time: fn(f64) -> String) -> Vec<(String, String)> {
        let Some(stayed) = &run.stayed else { return Vec::new() };
        let mut rows: Vec<_> = [
            ("messages said", stayed.sent),
            ("lost", stayed.lost),
            ("doubled", stayed.doubled),
            ("of these under a new id", stayed.anew),
            ("disordered", stayed.disordered),
            ("connections ended by the server", stayed.closed),
            ("messages without an answer then, said again", stayed.in_flight),
            ("came back", stayed.back),
            ("tries to connect that failed", stayed.refused),
            ("most tries to come back in a second", stayed.connects),
        ]
        .map(|(name, figure)| (name.to_owned(), number(figure)))
        .to_vec();
        rows.extend(stayed.waves.iter().map(|wave| {
            let Wave { at, seconds, connects, most } = wave;
            let (at, seconds) = (time(at * 1e6), time(seconds * 1e6));
            (format!("came back from {at} on"), format!("{connects} in {seconds}, at most {most} in a second"))
        }));
        rows
    }
}

/// The most of them within any one second.
fn most(tries: &[Micros]) -> u64 {
    let mut first = 0;
    let mut most = 0;
    for (at, when) in tries.iter().enumerate() {
        while tries[first] + SECOND <= *when {
            first += 1;
        }
        most = most.max(at + 1 - first);
    }
    most as u64
}

fn waves(tries: &[Micros], start: Micros) -> Vec<Wave> {
    let mut waves: Vec<&[Micros]> = tries.chunk_by(|a, b| b - a < LULL).collect();
    if waves.len() > WAVES {
        let before: usize = waves[..WAVES - 1].iter().map(|wave| wave.len()).sum();
        waves.truncate(WAVES - 1);
        waves.push(&tries[before..]);
    }
    let wave = |tries: &&[Micros]| {
        let (first, last) = (tries[0], tries[tries.len() - 1]);
        Wave {
            at: first.saturating_sub(start) as f64 / 1e6,
            seconds: (last - first) as f64 / 1e6,
            connects: tries.len() as u64,
            most: most(tries),
        }
    };
    waves.iter().map(wave).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_second_is_any_second() {
        assert_eq!(most(&[]), 0);
        assert_eq!(most(&[0, 900_000, 999_999, 1_000_000, 1_800_000, 1_900_001]), 4, "from 0.9 s to below 1.9 s");
    }

    #[test]
    fn a_lull_parts_waves_and_there_are_not_too_many() {
        let ten = |from: Micros| (0..10).map(move |at| from + at * 500_000);
        let found = waves(&ten(2_000_000).chain(ten(20_000_000)).collect::<Vec<_>>(), 1_000_000);
        let wave = |at| Wave { at, seconds: 4.5, connects: 10, most: 2 };
        assert_eq!(found, [wave(1.0), wave(19.0)]);
        let lonely: Vec<Micros> = (0..30).map(|at| at * LULL).collect();
        let found = waves(&lonely, 0);
        assert_eq!((found.len(), found.iter().map(|wave| wave.connects).sum::<u64>()), (WAVES, 30));
    }
}
