// SPDX-License-Identifier: EUPL-1.2
//! Which packets of an incoming layer are missing, and when to ask for them (RFC 4585 section 6.2.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A lost request or answer is worth another after a round trip; these bound what round trip is believed.
const MIN_SPACING: Duration = Duration::from_millis(20);
const MAX_SPACING: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
struct Missing {
    number: u64,
    due: Instant,
    tries: u8,
}

/// Tracks the gaps of one layer.
#[derive(Debug)]
pub(crate) struct NackGenerator {
    missing: VecDeque<Missing>,
    limit: usize,
    max_tries: u8,
    delay: Duration,
}

impl NackGenerator {
    pub(crate) fn new(limit: usize, max_tries: u8, delay: Duration) -> NackGenerator {
        NackGenerator { missing: VecDeque::new(), limit, max_tries, delay }
    }

    /// Numbers from `from` up to but not including `to` were jumped over. `false` when they are too many: nothing
    /// before `to` is asked for any more.
    pub(crate) fn on_gap(&mut self, now: Instant, from: u64, to: u64) -> bool {
        let gap = to.saturating_sub(from);
        if gap as usize > self.limit || self.missing.len() + gap as usize > self.limit {
            self.missing.clear();
            return false;
        }
        let due = now + self.delay;
        self.missing.extend((from..to).map(|number| Missing { number, due, tries: 0 }));
        true
    }

    /// A late packet came; whether it had been asked for.
    pub(crate) fn on_late(&mut self, number: u64) {
        if let Ok(at) = self.missing.binary_search_by_key(&number, |missing| missing.number) {
            self.missing.remove(at);
        }
    }

    /// Somebody noticed that `number` is missing: it is asked for at once, if it wasn't yet. Whether it will be sent on when
    /// it comes.
    pub(crate) fn hurry(&mut self, now: Instant, number: u64) -> bool {
        let found = self.missing.binary_search_by_key(&number, |missing| missing.number);
        let Some(missing) = found.ok().and_then(|at| self.missing.get_mut(at)) else { return false };
        if missing.tries == 0 {
            missing.due = missing.due.min(now);
        }
        true
    }

    /// A key frame begins at `number`: what came before it is no longer worth asking for.
    pub(crate) fn on_key_frame(&mut self, number: u64) {
        while self.missing.front().is_some_and(|missing| missing.number < number) {
            self.missing.pop_front();
        }
    }

    /// Puts the numbers that are due into `due`, lowest first.
    pub(crate) fn collect(&mut self, now: Instant, round_trip: Duration, due: &mut Vec<u16>) {
        let again = now + round_trip.clamp(MIN_SPACING, MAX_SPACING);
        let max_tries = self.max_tries;
        self.missing.retain_mut(|missing| {
            if missing.due > now {
                return true;
            }
            if missing.tries >= max_tries {
                return false;
            }
            missing.tries += 1;
            missing.due = again;
            due.push(missing.number as u16);
            true
        });
    }

    pub(crate) fn clear(&mut self) {
        self.missing.clear();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_asked_for_after_the_reorder_delay_then_once_a_round_trip_until_tries_end() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut nack = NackGenerator::new(64, 3, Duration::from_millis(10));
        assert!(nack.on_gap(start, 5, 8));
        let mut due = Vec::new();
        nack.collect(ms(9), Duration::from_millis(50), &mut due);
        assert!(due.is_empty());
        nack.on_late(6);
        nack.collect(ms(10), Duration::from_millis(50), &mut due);
        assert_eq!(due, [5, 7]);
        nack.collect(ms(59), Duration::from_millis(50), &mut due);
        assert_eq!(due.len(), 2);
        nack.collect(ms(60), Duration::from_millis(50), &mut due);
        nack.collect(ms(110), Duration::from_millis(50), &mut due);
        assert_eq!(due.len(), 6);
        nack.collect(ms(160), Duration::from_millis(50), &mut due);
        assert_eq!(due.len(), 6);
        assert_eq!(nack.poll_timeout(), None);
    }

    #[test]
    fn a_key_frame_and_a_huge_gap_end_the_asking() {
        let start = Instant::now();
        let mut nack = NackGenerator::new(64, 3, Duration::ZERO);
        nack.on_gap(start, 5, 8);
        nack.on_key_frame(7);
        let mut due = Vec::new();
        nack.collect(start, Duration::ZERO, &mut due);
        assert_eq!(due, [7]);
        assert!(!nack.on_gap(start, 9, 90));
        assert_eq!(nack.poll_timeout(), None);
    }
}
