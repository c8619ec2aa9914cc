// SPDX-License-Identifier: EUPL-1.2
//! Durations by the million, and their percentiles.

use std::time::Duration;

/// Steps within each doubling: a percentile is at most 1/64 (1.6 %) too large.
const STEPS: u64 = 64;
/// Doublings from 1 ns: the last bucket begins at 4.6 hours.
const DOUBLINGS: usize = 44;

/// Counts durations in buckets that grow with them. Adding one costs no more than a few instructions.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; DOUBLINGS * STEPS as usize], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, value: Duration) {
        let place = bucket(value.as_nanos().min(u128::from(u64::MAX)) as u64).min(self.buckets.len() - 1);
        self.buckets[place] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds all that another one counted.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(bucket, more)| *bucket += more);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The value that `share` (0 to 1) of all are not above; zero when there are none.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_edge(place)).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let doubling = u64::from(nanos.ilog2() - STEPS.ilog2());
    ((doubling + 1) * STEPS + (nanos >> doubling) - STEPS) as usize
}

/// The largest value in a bucket.
fn upper_edge(place: usize) -> u64 {
    let (doubling, step) = (place as u64 / STEPS, place as u64 % STEPS);
    match doubling.checked_sub(1) {
        None => step,
        Some(doubling) => ((STEPS + step + 1) << doubling) - 1,
    }
}

/// The value in the middle of `values`, and that which 95 of 100 are not above.
pub(crate) fn median_and_p95(values: &mut [f64]) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| values[((share * values.len() as f64).ceil() as usize).saturating_sub(1).min(last)];
    Some((at(0.5), at(0.95)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_never_below_and_at_most_a_sixty_fourth_above() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.add(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.0, 1.0), (0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let got = histogram.percentile(share).as_nanos() as f64 / 1e3;
            assert!(got >= micros && got <= micros * (1.0 + 1.0 / 64.0), "{share}: {got} for {micros}");
        }
        assert_eq!(histogram.percentile(1.0), Duration::from_millis(10));
        assert_eq!((histogram.count(), histogram.max()), (10_000, Duration::from_millis(10)));
        assert_eq!(Histogram::default().percentile(0.5), Duration::ZERO);
    }

    #[test]
    fn two_that_are_merged_are_as_one_that_counted_all() {
        let [mut one, mut other] = [Histogram::default(), Histogram::default()];
        one.add(Duration::from_millis(1));
        other.add(Duration::from_millis(5));
        other.add(Duration::from_millis(9));
        one.merge(&other);
        assert_eq!((one.count(), one.max()), (3, Duration::from_millis(9)));
        let median = one.percentile(0.5).as_secs_f64() * 1e3;
        assert!((5.0..5.1).contains(&median), "{median}");
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for nanos in (0..5_000).chain((0..40).map(|power| 1 << power)) {
            let place = bucket(nanos);
            assert!(upper_edge(place) >= nanos, "{nanos}");
            assert!(place == 0 || upper_edge(place - 1) < nanos, "{nanos}");
        }
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_secs(1 << 40));
        assert_eq!(histogram.count(), 1, "what is beyond all buckets counts in the last");
    }

    #[test]
    fn the_median_of_few_is_one_of_them() {
        assert_eq!(median_and_p95(&mut [3.0, 1.0, 2.0]), Some((2.0, 3.0)));
        assert_eq!(median_and_p95(&mut []), None);
    }
}
