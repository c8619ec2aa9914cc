// SPDX-License-Identifier: EUPL-1.2
//! What is under way, in the order in which it arrives. A heap of small entries says what is next; what is under way lies
//! still in a slot of its own, whose place is used again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Things by their time and, at one time, by the number under which they were noted.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    start: Instant,
    /// Nanoseconds since the start, the number, and the slot: small, as they are compared again and again.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Agenda<T> {
    /// Nothing is noted; all times are after `start`.
    pub(crate) fn new(start: Instant) -> Agenda<T> {
        Agenda { start, heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new() }
    }

    /// Notes something for a time. No two have one number.
    pub(crate) fn insert(&mut self, at: Instant, number: u64, what: T) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() as u32 - 1
            }
        };
        self.slots[slot as usize] = Some(what);
        self.heap.push(Reverse((self.nanos(at), number, slot)));
    }

    /// When the next thing is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| self.start + Duration::from_nanos(*at))
    }

    /// Takes the next thing that is due by `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let now = self.nanos(now);
        self.heap.peek().filter(|Reverse((at, ..))| *at <= now)?;
        let Reverse((_, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot as usize].take()
    }

    fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_by_its_time_and_then_by_its_number() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut agenda = Agenda::new(start);
        for (ms, number, what) in [(20, 3, "c"), (10, 5, "b"), (10, 2, "a"), (30, 1, "d")] {
            agenda.insert(at(ms), number, what);
        }
        assert_eq!(agenda.next(), Some(at(10)));
        let due = |agenda: &mut Agenda<&'static str>, ms| {
            std::iter::from_fn(|| agenda.pop_due(at(ms))).collect::<Vec<_>>()
        };
        assert_eq!(due(&mut agenda, 9), [""; 0]);
        assert_eq!(due(&mut agenda, 20), ["a", "b", "c"]);
        agenda.insert(at(25), 6, "e");
        assert_eq!(due(&mut agenda, 30), ["e", "d"]);
        assert_eq!(agenda.next(), None);
        assert_eq!(agenda.slots.len(), 4, "places are used again");
    }
}
