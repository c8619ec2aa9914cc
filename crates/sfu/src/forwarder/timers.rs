// SPDX-License-Identifier: EUPL-1.2
//! Whose deadline is next. Deadlines move with almost every packet, so a heap keeps at most one live entry per
//! owner, never searches, and lets outdated entries fall out at the top: no allocation once it has its size.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::{PeerId, RoomId};

/// Who asked to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    /// A peer: ICE, DTLS, SCTP, an offer to be made.
    Peer(PeerId),
    /// A room's media: feedback, pacing, retries.
    Room(RoomId),
}

/// One owner's deadline.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    /// When it wants to be woken.
    wanted: Option<Instant>,
    /// Its earliest entry in the heap.
    queued: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Owner)>>,
    owners: FxHashMap<Owner, Deadline>,
}

impl Timers {
    /// Sets or clears an owner's deadline.
    pub(super) fn set(&mut self, owner: Owner, wanted: Option<Instant>) {
        let deadline = self.owners.entry(owner).or_insert(Deadline { wanted: None, queued: None });
        deadline.wanted = wanted;
        if let Some(at) = wanted
            && deadline.queued.is_none_or(|queued| at < queued)
        {
            deadline.queued = Some(at);
            self.heap.push(Reverse((at, owner)));
        }
    }

    /// Brings an owner's deadline forward to `at`.
    pub(super) fn no_later_than(&mut self, owner: Owner, at: Instant) {
        let wanted = self.owners.get(&owner).and_then(|deadline| deadline.wanted);
        self.set(owner, Some(wanted.map_or(at, |wanted| wanted.min(at))));
    }

    /// Forgets an owner.
    pub(super) fn remove(&mut self, owner: Owner) {
        self.owners.remove(&owner);
    }

    /// How many owners it knows.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// Takes one owner whose deadline is not after `now`; its deadline is cleared.
    pub(super) fn due(&mut self, now: Instant) -> Option<Owner> {
        loop {
            let Reverse((at, owner)) = *self.heap.peek()?;
            if at > now {
                return None;
            }
            self.heap.pop();
            let Some(deadline) = self.owners.get_mut(&owner) else { continue };
            if deadline.queued != Some(at) {
                continue; // replaced by an earlier entry, which has already left
            }
            deadline.queued = None;
            match deadline.wanted {
                Some(wanted) if wanted <= now => {
                    deadline.wanted = None;
                    return Some(owner);
                }
                wanted => self.set(owner, wanted), // it moved back meanwhile
            }
        }
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
    fn a_deadline_that_moved_fires_once_at_its_last_place() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (a, b) = (Owner::Peer(PeerId(1)), Owner::Room(RoomId(1)));
        let mut timers = Timers::default();
        timers.set(a, Some(at(10)));
        timers.set(a, Some(at(50)));
        timers.set(b, Some(at(30)));
        timers.set(b, Some(at(20)));
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.due(at(15)), None, "a moved to 50");
        assert_eq!(timers.due(at(25)), Some(b));
        assert_eq!(timers.due(at(40)), None, "b fires once");
        assert_eq!(timers.due(at(60)), Some(a));
        assert_eq!(timers.due(at(90)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_removed_owner_never_fires() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(Owner::Peer(PeerId(1)), Some(now));
        timers.remove(Owner::Peer(PeerId(1)));
        assert_eq!(timers.due(now), None);
    }

    #[test]
    fn an_owner_that_keeps_moving_back_holds_one_entry() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for step in 0..1000 {
            timers.set(Owner::Peer(PeerId(1)), Some(start + Duration::from_millis(step)));
        }
        assert_eq!(timers.heap.len(), 1);
    }
}
