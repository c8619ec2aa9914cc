// SPDX-License-Identifier: EUPL-1.2
//! A map from incoming to outgoing numbers that closes the places of what isn't forwarded and keeps the places of
//! what is merely late.

use std::collections::VecDeque;

/// Ranges remembered: with spatial layers cut at 30 frames per second one begins per frame, so 128 are 4 s.
const MAX_RANGES: usize = 128;

/// Incoming numbers from `start` on leave as `number - offset`, until the next range starts. What was excluded lies
/// at the end of the range before: the next offset is larger by as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u64,
    offset: u64,
}

/// The map. Numbers are unwrapped (64 bits).
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    ranges: VecDeque<Range>,
    /// The lowest incoming number not yet decided on.
    next: u64,
}

impl Ranges {
    pub(crate) fn new() -> Ranges {
        Ranges { ranges: VecDeque::with_capacity(MAX_RANGES), next: 0 }
    }

    /// Forgets all: the next number is `start`, and it leaves as `out`.
    pub(crate) fn restart(&mut self, start: u64, out: u64) {
        self.ranges.clear();
        self.ranges.push_back(Range { start, offset: start.wrapping_sub(out) });
        self.next = start;
    }

    /// Whether `number` lies beyond all that was decided.
    pub(crate) fn is_new(&self, number: u64) -> bool {
        number >= self.next
    }

    /// Takes a new number; the ones skipped keep their places. Returns what it leaves as.
    pub(crate) fn take(&mut self, number: u64) -> u64 {
        debug_assert!(self.is_new(number));
        self.next = number + 1;
        number.wrapping_sub(self.offset())
    }

    /// Closes the place of a new number; the ones skipped keep theirs.
    pub(crate) fn exclude(&mut self, number: u64) {
        debug_assert!(self.is_new(number));
        self.next = number + 1;
        let offset = self.offset().wrapping_add(1);
        match self.ranges.back_mut() {
            Some(last) if last.start == number => *last = Range { start: number + 1, offset },
            _ => {
                if self.ranges.len() == MAX_RANGES {
                    self.ranges.pop_front();
                }
                self.ranges.push_back(Range { start: number + 1, offset });
            }
        }
    }

    /// Puts something of ours after all that was decided, and returns what it leaves as. Late numbers lose their places.
    pub(crate) fn append(&mut self) -> u64 {
        let out = self.next_out();
        self.restart(self.next, out + 1);
        out
    }

    /// What a late number leaves as: `None` when its place was closed or is forgotten.
    pub(crate) fn late(&self, number: u64) -> Option<u64> {
        if self.is_new(number) {
            return None;
        }
        let at = self.ranges.iter().rposition(|range| range.start <= number)?;
        let range = self.ranges[at];
        if let Some(after) = self.ranges.get(at + 1) {
            let excluded = after.offset.wrapping_sub(range.offset);
            if number >= after.start - excluded {
                return None;
            }
        }
        Some(number.wrapping_sub(range.offset))
    }

    /// Which number leaves, or would leave, as `out`, if its place was kept.
    pub(crate) fn source(&self, out: u64) -> Option<u64> {
        let at = self.ranges.iter().rposition(|range| range.start.wrapping_sub(range.offset) <= out)?;
        let number = out.wrapping_add(self.ranges[at].offset);
        (self.late(number) == Some(out)).then_some(number)
    }

    /// What the next number would leave as, were it taken.
    pub(crate) fn next_out(&self) -> u64 {
        self.next.wrapping_sub(self.offset())
    }

    fn offset(&self) -> u64 {
        self.ranges.back().map_or(0, |range| range.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn excluded_numbers_close_up_and_late_ones_find_their_place() {
        let mut ranges = Ranges::new();
        ranges.restart(100, 1);
        assert_eq!(ranges.take(100), 1);
        ranges.exclude(102); // 101 is late
        ranges.exclude(103);
        assert_eq!(ranges.take(104), 3);
        assert_eq!(ranges.late(101), Some(2));
        assert_eq!(ranges.late(102), None);
        assert_eq!(ranges.late(103), None);
        assert_eq!(ranges.late(99), None);
        assert_eq!(ranges.next_out(), 4);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|out| ranges.source(out)),
            [None, Some(100), Some(101), Some(104), None]
        );
        assert_eq!(ranges.append(), 4);
        assert_eq!((ranges.take(105), ranges.late(101)), (5, None));
    }

    proptest! {
        /// Whatever is excluded, lost and late: what leaves is distinct, in the order of what came in, and its only
        /// gaps are places of what was lost.
        #[test]
        fn order_is_kept_and_gaps_are_only_real_losses(fate in prop::collection::vec(0u8..4, 1..300)) {
            let mut ranges = Ranges::new();
            ranges.restart(1000, 7);
            let mut out = Vec::new();
            for (at, fate) in fate.iter().enumerate() {
                let number = 1000 + at as u64;
                match fate {
                    0 | 1 => out.push((number, ranges.take(number))),
                    2 => ranges.exclude(number),
                    _ => {}
                }
            }
            let mut lost = 0u64;
            for (at, fate) in fate.iter().enumerate() {
                let number = 1000 + at as u64;
                if *fate == 3 && !ranges.is_new(number) {
                    if let Some(place) = ranges.late(number) { out.push((number, place)); }
                    lost += 1;
                }
            }
            let _ = lost;
            out.sort_unstable();
            for pair in out.windows(2) {
                prop_assert!(pair[0].1 < pair[1].1);
            }
            // With at most MAX_RANGES ranges in play nothing is forgotten, so the late ones fill every gap.
            if fate.iter().filter(|fate| **fate == 2).count() < MAX_RANGES {
                for (index, (_, place)) in out.iter().enumerate() {
                    prop_assert_eq!(*place, 7 + index as u64);
                }
            }
        }
    }
}
