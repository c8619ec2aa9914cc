// SPDX-License-Identifier: EUPL-1.2
//! Whose turn it is within a room: a deadline for each place of a slab. Deadlines move with almost every packet, so the
//! heap keeps at most one live entry per place, never searches, and lets outdated entries fall out at the top.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// One place's deadline.
#[derive(Debug, Clone, Copy, Default)]
struct Deadline {
    /// When it wants to be woken.
    wanted: Option<Instant>,
    /// Its earliest entry in the heap.
    queued: Option<Instant>,
}

/// The deadlines of all places.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    places: Vec<Deadline>,
}

impl Deadlines {
    /// Sets or clears a place's deadline. A place that is given up must be cleared.
    pub(super) fn set(&mut self, place: usize, wanted: Option<Instant>) {
        if self.places.len() <= place {
            self.places.resize(place + 1, Deadline::default());
        }
        let deadline = &mut self.places[place];
        deadline.wanted = wanted;
        if let Some(at) = wanted
            && deadline.queued.is_none_or(|queued| at < queued)
        {
            deadline.queued = Some(at);
            self.heap.push(Reverse((at, place)));
        }
    }

    /// Brings a place's deadline forward to `at`.
    pub(super) fn no_later_than(&mut self, place: usize, at: Option<Instant>) {
        let Some(at) = at else { return };
        let wanted = self.places.get(place).and_then(|deadline| deadline.wanted);
        if wanted.is_none_or(|wanted| at < wanted) {
            self.set(place, Some(at));
        }
    }

    /// Puts the places whose deadline is not after `now` into `due`, lowest first, and clears their deadlines.
    pub(super) fn take_due(&mut self, now: Instant, due: &mut Vec<usize>) {
        due.clear();
        while let Some(&Reverse((at, place))) = self.heap.peek()
            && at <= now
        {
            self.heap.pop();
            let deadline = &mut self.places[place];
            if deadline.queued != Some(at) {
                continue; // Replaced by an earlier entry, which has already left.
            }
            deadline.queued = None;
            match deadline.wanted {
                Some(wanted) if wanted <= now => {
                    deadline.wanted = None;
                    due.push(place);
                }
                wanted => self.set(place, wanted), // It moved back meanwhile.
            }
        }
        due.sort_unstable();
    }

    /// A time before which nothing is due. It may be early by an outdated entry, never late.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_once_in_order_of_place_and_at_its_last_time() {
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        let mut deadlines = Deadlines::default();
        let mut due = Vec::new();
        let mut take = |deadlines: &mut Deadlines, ms| {
            deadlines.take_due(start + Duration::from_millis(ms), &mut due);
            due.clone()
        };
        deadlines.set(7, at(10));
        deadlines.set(2, at(12));
        deadlines.set(5, at(11));
        deadlines.set(5, at(50));
        deadlines.no_later_than(3, at(40));
        deadlines.no_later_than(3, at(13));
        deadlines.no_later_than(3, at(30));
        deadlines.no_later_than(3, None);
        deadlines.set(9, at(14));
        deadlines.set(9, None);
        assert_eq!(deadlines.next(), at(10));
        assert_eq!(take(&mut deadlines, 9), []);
        assert_eq!(take(&mut deadlines, 20), [2, 3, 7], "5 moved back, 9 was given up");
        assert_eq!(take(&mut deadlines, 49), [], "3 came once");
        assert_eq!(take(&mut deadlines, 50), [5]);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_place_that_keeps_moving_back_holds_one_entry() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        for step in 0..1000 {
            deadlines.set(4, Some(start + Duration::from_millis(step)));
        }
        assert_eq!(deadlines.heap.len(), 1);
    }
}
