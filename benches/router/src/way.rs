// SPDX-License-Identifier: EUPL-1.2
//! One direction: a link, the packets that are on their way, and what was counted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use parvis_sim::{Link, LinkModel, LinkStats};
use serde::Serialize;

/// What may be on its way: 1 Gbit/s of 1,500-byte packets for half a second are 42,000.
const HELD_AT_MOST: usize = 50_000;

/// One direction of the link.
pub(crate) struct Way {
    link: Link,
    held: BinaryHeap<Reverse<Held>>,
    /// Buffers of packets that have left.
    spare: Vec<Vec<u8>>,
    number: u64,
    counts: Counts,
    /// The link's own, when counting began anew.
    before: LinkStats,
}

/// What was counted since the beginning, or since counting began anew.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    /// Packets read from the device, and their bytes, IP header and all.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Lost by chance, or for want of a place in the queue.
    pub(crate) lost: u64,
    pub(crate) overflowed: u64,
    /// Written into the other device, and their bytes.
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    /// Dropped because the router or the device couldn't hold them: with any of these, don't trust the measurement.
    pub(crate) dropped: u64,
    /// Delivered a millisecond or more after their time, and the latest of all in microseconds: nor with many of these.
    pub(crate) late: u64,
    pub(crate) latest_us: u64,
}

/// Ordered by time, and for the same time as they came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    at: Instant,
    number: u64,
    packet: Vec<u8>,
}

impl Way {
    pub(crate) fn new(seed: u64) -> Way {
        Way {
            link: Link::new(LinkModel { delay: std::time::Duration::ZERO, ..LinkModel::default() }, seed),
            held: BinaryHeap::new(),
            spare: Vec::new(),
            number: 0,
            counts: Counts::default(),
            before: LinkStats::default(),
        }
    }

    pub(crate) fn change(&mut self, model: LinkModel) {
        self.link.set_model(model);
    }

    pub(crate) fn counts(&self) -> Counts {
        let stats = self.link.stats();
        Counts {
            lost: stats.lost - self.before.lost,
            overflowed: stats.overflowed - self.before.overflowed,
            ..self.counts
        }
    }

    pub(crate) fn count_anew(&mut self) {
        self.counts = Counts::default();
        self.before = self.link.stats();
    }

    /// A packet was read.
    pub(crate) fn take(&mut self, now: Instant, packet: &[u8]) {
        self.counts.packets += 1;
        self.counts.bytes += packet.len() as u64;
        for at in self.link.send(now, packet.len()).into_iter().flatten() {
            if self.held.len() >= HELD_AT_MOST {
                self.counts.dropped += 1;
                continue;
            }
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(packet);
            self.number += 1;
            self.held.push(Reverse(Held { at, number: self.number, packet: copy }));
        }
    }

    /// When the next packet is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.held.peek().map(|held| held.0.at)
    }

    /// Writes what is due. `write` says whether the device took it.
    pub(crate) fn deliver(&mut self, now: Instant, mut write: impl FnMut(&[u8]) -> bool) {
        while self.next().is_some_and(|at| at <= now) {
            let Some(Reverse(held)) = self.held.pop() else { return };
            let late = u64::try_from((now - held.at).as_micros()).unwrap_or(u64::MAX);
            self.counts.late += u64::from(late >= 1_000);
            self.counts.latest_us = self.counts.latest_us.max(late);
            if write(&held.packet) {
                self.counts.delivered += 1;
                self.counts.delivered_bytes += held.packet.len() as u64;
            } else {
                self.counts.dropped += 1;
            }
            self.spare.push(held.packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn way(model: LinkModel) -> Way {
        let mut way = Way::new(7);
        way.change(model);
        way
    }

    fn delivered(way: &mut Way, now: Instant) -> Vec<u8> {
        let mut first = Vec::new();
        way.deliver(now, |packet| {
            first.push(packet[0]);
            true
        });
        first
    }

    #[test]
    fn packets_come_in_order_at_their_time_and_not_before() {
        let start = Instant::now();
        let mut way = way(LinkModel { delay: 20 * MILLISECOND, ..LinkModel::default() });
        way.take(start, &[1; 100]);
        way.take(start, &[2; 100]);
        way.take(start + 5 * MILLISECOND, &[3; 50]);
        assert_eq!(way.next(), Some(start + 20 * MILLISECOND));
        assert!(delivered(&mut way, start + 19 * MILLISECOND).is_empty());
        assert_eq!(delivered(&mut way, start + 20 * MILLISECOND), [1, 2]);
        // Three milliseconds late, and told.
        assert_eq!(delivered(&mut way, start + 28 * MILLISECOND), [3]);
        let counts = way.counts();
        assert_eq!((counts.packets, counts.delivered, counts.delivered_bytes), (3, 3, 250));
        assert_eq!((counts.late, counts.latest_us), (1, 3_000));
        assert_eq!(way.next(), None);
    }

    #[test]
    fn a_change_counts_for_what_comes_after_it_and_counting_can_begin_anew() {
        let start = Instant::now();
        let mut way = way(LinkModel { delay: 20 * MILLISECOND, ..LinkModel::default() });
        way.take(start, &[1; 100]);
        way.change(LinkModel { loss: 1.0, ..LinkModel::default() });
        way.take(start, &[2; 100]);
        assert_eq!(delivered(&mut way, start + 20 * MILLISECOND), [1]);
        assert_eq!(way.counts().lost, 1);
        way.count_anew();
        way.take(start, &[3; 100]);
        let counts = way.counts();
        assert_eq!((counts.packets, counts.lost, counts.delivered), (1, 1, 0));
    }

    #[test]
    fn what_a_device_refuses_is_counted() {
        let start = Instant::now();
        let mut way = way(LinkModel { delay: Duration::ZERO, ..LinkModel::default() });
        way.take(start, &[1; 100]);
        way.deliver(start, |_| false);
        assert_eq!((way.counts().delivered, way.counts().dropped), (0, 1));
    }
}
