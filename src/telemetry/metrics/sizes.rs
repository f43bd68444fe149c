//! Sizes of messages: counted by whoever passes them on, for a few instructions each, and shown as a histogram.

use std::array;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::Labels;

/// The least bound that is shown, as a power of two: 16 bytes. Each of the next is four times the one before.
const LEAST: u32 = 4;
/// How many bounds there are: up to 4 MiB.
const BOUNDS: usize = 10;
/// Powers of two that a size can have.
const POWERS: usize = 64;

/// One thread's messages that nobody has added up yet: no lock, no atomic, no branch.
#[derive(Debug)]
pub(crate) struct Sizes {
    /// By the power of two that a message has at most; an empty one has the last.
    counts: [Cell<u64>; POWERS],
    bytes: Cell<u64>,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { counts: [const { Cell::new(0) }; POWERS], bytes: Cell::new(0) }
    }
}

impl Sizes {
    /// A message of so many bytes has passed.
    #[inline]
    pub(crate) fn note(&self, size: u64) {
        let count = &self.counts[(size.wrapping_sub(1) | 1).ilog2() as usize];
        count.set(count.get().wrapping_add(1));
        self.bytes.set(self.bytes.get().wrapping_add(size));
    }
}

/// A histogram that whole [`Sizes`] are added to; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SizeHistogram(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    /// The last is what is over all bounds.
    counts: [AtomicU64; BOUNDS + 1],
    bytes: AtomicU64,
}

impl SizeHistogram {
    /// Adds what was counted; there is nothing of it any more.
    pub(crate) fn take(&self, sizes: &Sizes) {
        if sizes.counts.iter().all(|count| count.get() == 0) {
            return;
        }
        for (power, count) in sizes.counts.iter().enumerate().filter(|(_, count)| count.get() > 0) {
            self.0.counts[bucket(power)].fetch_add(count.take(), Ordering::Relaxed);
        }
        self.0.bytes.fetch_add(sizes.bytes.take(), Ordering::Relaxed);
    }
}

/// Where those are shown that have more than `1 << power` bytes, and at most twice that.
const fn bucket(power: usize) -> usize {
    const NOTHING: usize = POWERS - 1;
    let over = (power + 1).saturating_sub(LEAST as usize);
    match power {
        NOTHING => 0,
        _ if over.div_ceil(2) > BOUNDS => BOUNDS,
        _ => over.div_ceil(2),
    }
}

fn bound(at: usize) -> f64 {
    if at < BOUNDS { (1_u64 << (LEAST as usize + 2 * at)) as f64 } else { f64::INFINITY }
}

impl EncodeMetric for SizeHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        let bucket = |at: usize| (bound(at), self.0.counts[at].load(Ordering::Relaxed));
        let buckets: [(f64, u64); BOUNDS + 1] = array::from_fn(bucket);
        let all = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<Labels>(bytes as f64, all, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for SizeHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound of the bucket that a message of this size is shown in.
    fn shown(size: u64) -> f64 {
        let (sizes, histogram) = (Sizes::default(), SizeHistogram::default());
        sizes.note(size);
        histogram.take(&sizes);
        histogram.take(&sizes);
        let counts = histogram.0.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert_eq!((counts.iter().sum(), histogram.0.bytes.load(Ordering::Relaxed)), (1_u64, size));
        bound(counts.iter().position(|count| *count == 1).expect("counted"))
    }

    #[test]
    fn each_size_is_shown_at_the_least_bound_that_it_keeps() {
        let bounds: Vec<u64> = (0..BOUNDS).map(|at| bound(at) as u64).collect();
        assert_eq!((bounds[0], bounds[1], bounds[BOUNDS - 1]), (16, 64, 4 << 20));
        let near = bounds.iter().flat_map(|bound| [bound / 2, bound - 1, *bound, bound + 1]);
        for size in near.chain([0, 1, 2, 3, 5, 1 << 40, 1 << 63]) {
            let least = bounds.iter().find(|bound| size <= **bound).map_or(f64::INFINITY, |bound| *bound as f64);
            assert!((shown(size) - least).abs() < 0.5 || (shown(size).is_infinite() && least.is_infinite()), "{size}");
        }
    }
}
