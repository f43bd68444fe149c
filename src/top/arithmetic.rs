//! From counters to rates, and from histograms to quantiles; a gateway that was started anew counts from nothing.

use std::time::Duration;

/// How much a counter has grown. One that is smaller than it was has begun anew, as Prometheus takes it too.
#[must_use]
pub(crate) fn increase(before: f64, after: f64) -> f64 {
    let grown = if after >= before { after - before } else { after };
    if grown.is_finite() { grown.max(0.0) } else { 0.0 }
}

/// How much in a second; none where no time has passed.
#[must_use]
pub(crate) fn per_second(count: f64, time: Duration) -> Option<f64> {
    let rate = count / time.as_secs_f64();
    rate.is_finite().then_some(rate)
}

/// Cumulative buckets by their upper bounds, the last of which is infinite.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram(Vec<(f64, f64)>);

/// Below which so many of the values are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quantile {
    /// About here, within its bucket.
    About(f64),
    /// Beyond the last bound that is finite.
    Beyond(f64),
}

impl Histogram {
    /// Of buckets in any order.
    pub(crate) fn of(buckets: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut buckets: Vec<(f64, f64)> = buckets.into_iter().filter(|(bound, _)| !bound.is_nan()).collect();
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Self(buckets)
    }

    /// How many values there are.
    #[must_use]
    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// What came since then. Where a bucket has less than it had, or is another one, all of it did.
    #[must_use]
    pub(crate) fn since(&self, before: &Self) -> Self {
        let same = self.0.len() == before.0.len()
            && self.0.iter().zip(&before.0).all(|(now, then)| now.0 == then.0 && now.1 >= then.1);
        if !same {
            return self.clone();
        }
        Self(self.0.iter().zip(&before.0).map(|(now, then)| (now.0, now.1 - then.1)).collect())
    }

    /// The value below which this part of all (0 to 1) are, as Prometheus' `histogram_quantile` has it: within a bucket
    /// they are taken to lie evenly. None where there is no value.
    #[must_use]
    pub(crate) fn quantile(&self, part: f64) -> Option<Quantile> {
        let count = self.count();
        // Counts that are no number have no quantile either.
        if !(count > 0.0 && count.is_finite()) {
            return None;
        }
        let rank = part.clamp(0.0, 1.0) * count;
        let (mut from, mut below) = (0.0, 0.0);
        for &(bound, upto) in &self.0 {
            if upto >= rank && upto > below {
                return Some(match bound.is_finite() {
                    true => Quantile::About(from + (bound - from) * ((rank - below) / (upto - below)).max(0.0)),
                    false => Quantile::Beyond(from),
                });
            }
            (from, below) = (if bound.is_finite() { bound } else { from }, upto.max(below));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn a_counter_that_began_anew_has_grown_by_what_it_is() {
        assert_eq!((increase(10.0, 15.0), increase(10.0, 10.0), increase(10.0, 4.0)), (5.0, 0.0, 4.0));
        assert_eq!((increase(f64::NAN, 3.0), increase(0.0, INF), increase(1.0, f64::NAN)), (3.0, 0.0, 0.0));
    }

    #[test]
    fn a_rate_needs_time() {
        assert_eq!(per_second(5.0, Duration::from_millis(500)), Some(10.0));
        assert_eq!((per_second(5.0, Duration::ZERO), per_second(0.0, Duration::ZERO)), (None, None));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let histogram = Histogram::of([(INF, 10.0), (0.1, 4.0), (0.2, 8.0), (0.4, 10.0)]);
        let about = |part| match histogram.quantile(part) {
            Some(Quantile::About(value)) => (value * 1000.0).round() / 1000.0,
            other => panic!("{other:?}"),
        };
        assert_eq!((about(0.2), about(0.4), about(0.5), about(0.9), about(1.0)), (0.05, 0.1, 0.125, 0.3, 0.4));
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(Histogram::of([(0.1, 0.0), (INF, 0.0)]).quantile(0.5), None);
        assert_eq!(Histogram::of([(0.1, 0.0), (INF, f64::NAN)]).quantile(0.5), None);
    }

    #[test]
    fn beyond_the_last_bound_nothing_is_made_up() {
        let histogram = Histogram::of([(0.1, 1.0), (10.0, 1.0), (INF, 4.0)]);
        assert_eq!(histogram.quantile(0.99), Some(Quantile::Beyond(10.0)));
        assert_eq!(Histogram::of([(INF, 4.0)]).quantile(0.5), Some(Quantile::Beyond(0.0)));
    }

    #[test]
    fn a_window_is_a_difference_and_a_restart_ends_it() {
        let before = Histogram::of([(0.1, 5.0), (INF, 6.0)]);
        let after = Histogram::of([(0.1, 5.0), (INF, 9.0)]);
        assert_eq!(after.since(&before), Histogram::of([(0.1, 0.0), (INF, 3.0)]));
        let anew = Histogram::of([(0.1, 1.0), (INF, 7.0)]);
        assert_eq!(anew.since(&before), anew);
        let others = Histogram::of([(0.2, 5.0), (INF, 9.0)]);
        assert_eq!(others.since(&before), others);
        assert_eq!(after.since(&Histogram::default()), after);
    }

    proptest! {
        #[test]
        fn a_larger_part_is_never_below_a_smaller(
            counts in proptest::collection::vec(0u32..1000, 1..12), one in 0.0..=1.0f64, other in 0.0..=1.0f64,
        ) {
            let mut sum = 0.0;
            let last = counts.len() - 1;
            let buckets = counts.iter().enumerate().map(|(at, count)| {
                sum += f64::from(*count);
                (if at == last { INF } else { f64::from(at as u32 + 1) }, sum)
            });
            let histogram = Histogram::of(buckets);
            let value = |part| histogram.quantile(part).map(|quantile| match quantile {
                Quantile::About(value) => value,
                Quantile::Beyond(bound) => bound,
            });
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(value(low) <= value(high), "{histogram:?}");
            prop_assert_eq!(value(low).is_some(), sum > 0.0);
        }
    }
}
