// SPDX-License-Identifier: EUPL-1.2
//! What is under way, by its TSN. TSNs are given out one after the other and acknowledged from the front, so that a queue
//! holds them: nothing is searched, and nothing is allocated for a message.

use std::collections::VecDeque;

/// So many places are kept when nothing is under way any more: a busy chat's.
const KEPT: usize = 16;

/// Chunks with consecutive TSNs.
#[derive(Debug)]
pub(super) struct Flight<T> {
    /// The TSN of the first one, or of the next that comes.
    first: u64,
    chunks: VecDeque<T>,
}

impl<T> Flight<T> {
    /// Nothing is under way, and `next` is the first TSN.
    pub(super) fn new(next: u64) -> Flight<T> {
        Flight { first: next, chunks: VecDeque::new() }
    }

    /// One leaves, with the TSN behind the last one's.
    pub(super) fn push(&mut self, chunk: T) {
        self.chunks.push_back(chunk);
    }

    /// Takes the first one out if its TSN is `last` or before it.
    pub(super) fn pop_up_to(&mut self, last: u64) -> Option<(u64, T)> {
        if self.first > last {
            return None;
        }
        let popped = (self.first, self.chunks.pop_front()?);
        self.first += 1;
        if self.chunks.is_empty() && self.chunks.capacity() > KEPT {
            self.chunks.shrink_to(KEPT);
        }
        Some(popped)
    }

    pub(super) fn get(&self, tsn: u64) -> Option<&T> {
        self.chunks.get(usize::try_from(tsn.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, tsn: u64) -> Option<&mut T> {
        self.chunks.get_mut(usize::try_from(tsn.checked_sub(self.first)?).ok()?)
    }

    /// All of them, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        (self.first..).zip(&self.chunks)
    }

    /// The same from `tsn` on, to be changed.
    pub(super) fn iter_mut_from(&mut self, tsn: u64) -> impl Iterator<Item = (u64, &mut T)> {
        let skipped = tsn.saturating_sub(self.first).min(self.chunks.len() as u64);
        (self.first + skipped..).zip(self.chunks.range_mut(skipped as usize..))
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_is_found_by_its_number_until_it_is_acknowledged() {
        let mut flight = Flight::new(100);
        ['a', 'b', 'c', 'd'].into_iter().for_each(|chunk| flight.push(chunk));
        assert_eq!(
            (flight.get(99), flight.get(100), flight.get(103), flight.get(104)),
            (None, Some(&'a'), Some(&'d'), None)
        );
        assert_eq!(flight.pop_up_to(99), None);
        assert_eq!(
            [flight.pop_up_to(101), flight.pop_up_to(101), flight.pop_up_to(101)],
            [Some((100, 'a')), Some((101, 'b')), None]
        );
        assert_eq!(flight.get(101), None);
        assert_eq!(flight.get_mut(102), Some(&mut 'c'));
        assert_eq!(
            flight.iter_mut_from(103).map(|(tsn, chunk)| (tsn, *chunk)).collect::<Vec<_>>(),
            [(103, 'd')]
        );
        assert_eq!(flight.iter_mut_from(7).count(), 2);
        assert_eq!(flight.iter_mut_from(200).count(), 0);
        assert_eq!(flight.iter().map(|(tsn, _)| tsn).collect::<Vec<_>>(), [102, 103]);
        assert_eq!(flight.pop_up_to(u64::MAX), Some((102, 'c')));
        assert_eq!(flight.pop_up_to(u64::MAX), Some((103, 'd')));
        assert!(flight.pop_up_to(u64::MAX).is_none() && flight.is_empty());
        flight.push('e');
        assert_eq!((flight.get(104), flight.len()), (Some(&'e'), 1));
    }
}
