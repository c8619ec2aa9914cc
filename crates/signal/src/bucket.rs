// SPDX-License-Identifier: EUPL-1.2
//! A token bucket in the form of the generic cell rate algorithm: one instant of state, no drift, no float.

use std::time::{Duration, Instant};

use crate::Rate;

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Time that one token takes to come back.
    interval: Duration,
    /// How far ahead of now the bucket may be booked.
    depth: Duration,
    /// Up to when it is booked.
    booked_until: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Bucket {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Bucket { interval, depth: interval * rate.burst, booked_until: now }
    }

    /// Takes `cost` tokens, or none when there are not as many.
    pub(crate) fn take(&mut self, now: Instant, cost: u32) -> bool {
        let booked = self.booked_until.max(now) + self.interval * cost;
        let fits = booked.saturating_duration_since(now) <= self.depth;
        if fits {
            self.booked_until = booked;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_29_a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { burst: 10, per_second: 100 }, start);
        assert_eq!((0..50).filter(|_| bucket.take(start, 1)).count(), 10);
        let later = start + Duration::from_millis(35);
        assert_eq!((0..50).filter(|_| bucket.take(later, 1)).count(), 3);
        let much_later = start + Duration::from_secs(60);
        assert!(bucket.take(much_later, 10));
        assert!(!bucket.take(much_later, 1));
    }
}
