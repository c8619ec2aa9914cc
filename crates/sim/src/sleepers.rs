// SPDX-License-Identifier: EUPL-1.2
//! A table of what wants to be woken. Who was not touched is not asked again when: a step of the clock costs what is due
//! in it, however many sleep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What has a deadline of its own.
pub(crate) trait Sleeper {
    /// When it wants to be woken, as far as that is known `now`.
    fn wakes_at(&self, now: Instant) -> Option<Instant>;
}

/// What sleeps, by its name.
#[derive(Debug)]
pub(crate) struct Sleepers<K, V> {
    all: BTreeMap<K, V>,
    /// Those whose deadline may have changed. One may stand there twice.
    touched: Vec<K>,
    /// Everyone else's.
    deadlines: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
}

impl<K: Copy + Ord, V: Sleeper> Sleepers<K, V> {
    pub(crate) fn new() -> Sleepers<K, V> {
        Sleepers {
            all: BTreeMap::new(),
            touched: Vec::new(),
            deadlines: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    pub(crate) fn insert(&mut self, key: K, sleeper: V) {
        self.all.insert(key, sleeper);
        self.touch(key);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let gone = self.all.remove(key);
        self.set(*key, None);
        gone
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.all.get(key)
    }

    /// One of them, to be changed: it is asked anew when it wants to be woken.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.touch(*key);
        self.all.get_mut(key)
    }

    /// One of them, to be changed in what decides no deadline; if it does, see [`Sleepers::touch`].
    pub(crate) fn get_unmoved(&mut self, key: &K) -> Option<&mut V> {
        self.all.get_mut(key)
    }

    /// One of them has another deadline now.
    pub(crate) fn touch(&mut self, key: K) {
        if self.touched.last() != Some(&key) {
            self.touched.push(key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.all.keys().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> + '_ {
        self.all.iter().map(|(key, sleeper)| (*key, sleeper))
    }

    /// All of them, to be changed in what decides no deadline.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> + '_ {
        self.all.iter_mut().map(|(key, sleeper)| (*key, sleeper))
    }

    /// When the first of them wants to be woken.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        self.refresh(now);
        self.order.first().map(|(at, _)| *at)
    }

    /// Whose time has come, in the order of their names.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<K> {
        self.refresh(now);
        let due = self.order.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<K> = due.map(|(_, key)| *key).collect();
        due.sort_unstable();
        due
    }

    fn refresh(&mut self, now: Instant) {
        while let Some(key) = self.touched.pop() {
            let at = self.all.get(&key).and_then(|sleeper| sleeper.wakes_at(now));
            self.set(key, at);
        }
    }

    fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.deadlines.insert(key, at),
            None => self.deadlines.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key));
        }
        if let Some(at) = at {
            self.order.insert((at, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    struct Alarm {
        at: Option<Instant>,
        asked: Cell<u32>,
    }

    impl Sleeper for Alarm {
        fn wakes_at(&self, _: Instant) -> Option<Instant> {
            self.asked.set(self.asked.get() + 1);
            self.at
        }
    }

    #[test]
    fn only_those_who_were_touched_are_asked_again_and_all_are_due_in_order_of_their_names() {
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        let mut sleepers = Sleepers::new();
        for (name, ms) in [(3, 10), (1, 20), (2, 10), (4, 30)] {
            sleepers.insert(name, Alarm { at: at(ms), asked: Cell::new(0) });
        }
        assert_eq!(sleepers.next(start), at(10));
        assert_eq!(sleepers.due(start + Duration::from_millis(20)), [1, 2, 3]);
        sleepers.get_mut(&2).unwrap().at = at(40);
        sleepers.get_mut(&3).unwrap().at = None;
        assert_eq!(sleepers.next(start), at(20));
        sleepers.remove(&1);
        assert_eq!(sleepers.next(start), at(30));
        assert_eq!(sleepers.due(start + Duration::from_millis(60)), [2, 4]);
        let asked: Vec<u32> = sleepers.iter().map(|(_, alarm)| alarm.asked.get()).collect();
        assert_eq!(asked, [2, 2, 1], "2 and 3 were touched once, 4 never");
        assert_eq!((sleepers.len(), sleepers.order.len()), (3, 2));
    }
}
