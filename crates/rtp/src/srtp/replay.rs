// SPDX-License-Identifier: EUPL-1.2
//! Which indices of a stream were used (RFC 3711 sections 3.3.1 and 3.3.2).

/// Indices remembered behind the highest. RFC 3711 asks for 64 at least; video at 10 Mbit/s has about 1,000 packets
/// a second, and a retransmission on the stream's own SSRC may be that late.
pub(super) const WINDOW: u64 = 1024;
/// The words that a window lies in, when it begins in the middle of one.
const WORDS: usize = (WINDOW / 64) as usize + 1;

/// A sliding window of used indices. What the next packet needs lies in one place: the word with the highest index is kept
/// apart from the others.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplayWindow {
    /// The highest index used; `None` before the first.
    highest: Option<u64>,
    /// The bits of its word.
    newest: u64,
    /// The words before that one, as a ring addressed by index.
    older: Box<[u64; WORDS]>,
}

/// What the window says of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fresh,
    Used,
    TooOld,
}

impl ReplayWindow {
    /// The index that a 16-bit sequence number stands for: the one nearest to the highest so far (RFC 3711 appendix
    /// A). `None` when that lies before the stream's beginning.
    pub(super) fn index_of(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else { return Some(sequence.into()) };
        // Wrapping to i16 is the nearest distance on the circle of 2^16.
        let distance = sequence.wrapping_sub(highest as u16) as i16;
        highest.checked_add_signed(distance.into())
    }

    pub(super) fn check(&self, index: u64) -> Verdict {
        match self.highest {
            Some(highest) if index <= highest => {
                if highest - index >= WINDOW {
                    return Verdict::TooOld;
                }
                let newest = word(index) == word(highest);
                let bits = if newest { self.newest } else { self.older[slot(word(index))] };
                if bits & bit(index) != 0 { Verdict::Used } else { Verdict::Fresh }
            }
            _ => Verdict::Fresh,
        }
    }

    /// Marks an index that [`ReplayWindow::check`] found fresh.
    pub(super) fn mark(&mut self, index: u64) {
        let before = self.highest.unwrap_or(index);
        if index >= before {
            let (from, to) = (word(before), word(index));
            if to > from {
                self.older[slot(from)] = self.newest;
                // In their places stand words of a window ago.
                for skipped in (from + 1..to).rev().take(WORDS) {
                    self.older[slot(skipped)] = 0;
                }
                self.newest = 0;
            }
            self.highest = Some(index);
            self.newest |= bit(index);
        } else if word(index) == word(before) {
            self.newest |= bit(index);
        } else {
            self.older[slot(word(index))] |= bit(index);
        }
    }
}

/// Which word an index is in.
fn word(index: u64) -> u64 {
    index / 64
}

/// Where that word lies in the ring.
fn slot(word: u64) -> usize {
    (word % WORDS as u64) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_fresh_used_and_too_old_apart() {
        let mut window = ReplayWindow::default();
        for index in [10, 12, 11, 2000] {
            assert_eq!(window.check(index), Verdict::Fresh, "{index}");
            window.mark(index);
            assert_eq!(window.check(index), Verdict::Used, "{index}");
        }
        assert_eq!(window.check(2000 - WINDOW), Verdict::TooOld);
        assert_eq!(window.check(2000 - WINDOW + 1), Verdict::Fresh);
        window.mark(2000 + WINDOW - 1);
        assert_eq!(window.check(2000), Verdict::Used, "the last index within the window is still known");
    }

    #[test]
    fn a_sequence_number_stands_for_the_nearest_index() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.index_of(65_000), Some(65_000));
        window.mark(65_000);
        assert_eq!(window.index_of(10), Some(65_536 + 10), "wrapped");
        assert_eq!(window.index_of(64_000), Some(64_000), "late");
        window.mark(65_536 + 10);
        assert_eq!(window.index_of(65_535), Some(65_535), "late, from before the wrap");
        let mut early = ReplayWindow::default();
        early.mark(3);
        assert_eq!(early.index_of(65_535), None, "before the stream's beginning");
    }

    #[test]
    fn any_order_of_indices_is_fresh_once() {
        // A model: a plain set, and the same rule for what is too old.
        use proptest::prelude::*;
        // Small steps forth, as packets come, some back, and now and then a leap.
        let step = prop_oneof![4 => 0i64..4, 1 => -1100i64..0, 1 => 0i64..1300];
        proptest!(|(steps in proptest::collection::vec(step, 1..600))| {
            let (mut at, start) = (0i64, 2_000i64);
            let steps = steps.into_iter().map(|step| {
                let index = (start + at + step).max(0) as u64;
                at = at.max(at + step);
                index
            });
            let mut window = ReplayWindow::default();
            let mut seen = std::collections::BTreeSet::new();
            for index in steps {
                let highest = seen.last().copied();
                let expected = match highest {
                    Some(highest) if index + WINDOW <= highest => Verdict::TooOld,
                    _ if seen.contains(&index) => Verdict::Used,
                    _ => Verdict::Fresh,
                };
                prop_assert_eq!(window.check(index), expected);
                if expected == Verdict::Fresh {
                    window.mark(index);
                    seen.insert(index);
                }
            }
        });
    }
}
