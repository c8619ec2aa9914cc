// SPDX-License-Identifier: EUPL-1.2
//! Puts the datagrams of an outbox in order of destination, and equal sizes to one destination into trains.
//!
//! A forwarder writes packet by packet, for every subscriber in turn. The kernel is cheapest when a destination's
//! datagrams come together. Order is kept within a path; between paths there is none.

use std::net::SocketAddr;

use parvis_peer::{Path, Protocol};
use parvis_sfu::Outbox;
use rustc_hash::FxHashMap;

use crate::mmsg::Message;

/// Datagrams in one train at most: `UDP_MAX_SEGMENTS` of Linux up to 6.8, twice that since.
const MAX_SEGMENTS: usize = 64;
/// Bytes in one train at most: an IPv4 packet's 65,535 less 20 of IP and 8 of UDP is 65,507.
const MAX_TRAIN_BYTES: usize = 65_507;

const NONE: u32 = u32::MAX;

/// One outbox in order of destination; its memory is used again.
#[derive(Default)]
pub(crate) struct Trains {
    by_path: FxHashMap<Path, u32>,
    groups: Vec<Group>,
    /// For each of the outbox's runs the next one on the same path.
    next: Vec<u32>,
    /// The datagrams of [`Trains::messages`], in their order.
    order: Vec<u32>,
    messages: Vec<Message>,
}

/// All that goes one way: its first and its last run.
#[derive(Clone, Copy)]
struct Group {
    path: Path,
    first: u32,
    last: u32,
}

impl Trains {
    /// Sorts all datagrams by path.
    pub(crate) fn group(&mut self, outbox: &Outbox) {
        self.by_path.clear();
        self.groups.clear();
        self.next.clear();
        for (run, (path, _)) in outbox.runs().enumerate() {
            let run = run as u32;
            self.next.push(NONE);
            let group = *self.by_path.entry(path).or_insert(self.groups.len() as u32);
            match self.groups.get_mut(group as usize) {
                Some(group) => {
                    self.next[group.last as usize] = run;
                    group.last = run;
                }
                None => self.groups.push(Group { path, first: run, last: run }),
            }
        }
    }

    /// Makes messages of what leaves by UDP from `local`. Returns how many datagrams that are.
    pub(crate) fn plan(&mut self, outbox: &Outbox, local: SocketAddr, gso: bool) -> usize {
        self.order.clear();
        self.messages.clear();
        for group in &self.groups {
            if group.path.protocol != Protocol::Udp || group.path.local != local {
                continue;
            }
            let mut train = Train::default();
            for index in group.datagrams(&self.next, outbox) {
                let size = outbox.datagram(index).len();
                if !(gso && train.takes(size)) {
                    train.finish(group.path.remote, &mut self.messages);
                    train = Train::default();
                }
                train.push(size);
                self.order.push(index as u32);
            }
            train.finish(group.path.remote, &mut self.messages);
        }
        self.order.len()
    }

    /// The messages of the last plan.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The datagrams of the last plan from the one at `skip` on.
    pub(crate) fn pieces<'a>(
        &'a self,
        outbox: &'a Outbox,
        skip: usize,
    ) -> impl Iterator<Item = &'a [u8]> + Clone + 'a {
        self.order[skip..].iter().map(|index| outbox.datagram(*index as usize))
    }

    /// What leaves by TCP: path and datagram, in order for each path.
    pub(crate) fn tcp<'a>(&'a self, outbox: &'a Outbox) -> impl Iterator<Item = (Path, &'a [u8])> + 'a {
        self.groups.iter().filter(|group| group.path.protocol == Protocol::Tcp).flat_map(move |group| {
            group.datagrams(&self.next, outbox).map(move |index| (group.path, outbox.datagram(index)))
        })
    }

    /// How many datagrams leave by UDP from an address that is none of `locals`.
    pub(crate) fn unroutable(&self, outbox: &Outbox, locals: &[SocketAddr]) -> usize {
        self.groups
            .iter()
            .filter(|group| group.path.protocol == Protocol::Udp && !locals.contains(&group.path.local))
            .map(|group| group.datagrams(&self.next, outbox).count())
            .sum()
    }
}

impl Group {
    /// Its datagrams, oldest first.
    fn datagrams<'a>(&self, next: &'a [u32], outbox: &'a Outbox) -> impl Iterator<Item = usize> + 'a {
        let following = move |run: &u32| Some(next[*run as usize]).filter(|next| *next != NONE);
        std::iter::successors(Some(self.first), following).flat_map(move |run| outbox.run(run as usize))
    }
}

/// A run of datagrams as it grows.
#[derive(Default)]
struct Train {
    pieces: usize,
    bytes: usize,
    segment: usize,
    closed: bool,
}

impl Train {
    /// Whether one more of this size may follow: equal to the first, or shorter as the last.
    fn takes(&self, size: usize) -> bool {
        self.pieces > 0
            && !self.closed
            && size > 0
            && size <= self.segment
            && self.pieces < MAX_SEGMENTS
            && self.bytes + size <= MAX_TRAIN_BYTES
    }

    fn push(&mut self, size: usize) {
        if self.pieces == 0 {
            self.segment = size;
        }
        self.closed = size < self.segment;
        self.pieces += 1;
        self.bytes += size;
    }

    fn finish(&self, to: SocketAddr, messages: &mut Vec<Message>) {
        if self.pieces > 0 {
            let segment = if self.pieces > 1 { u16::try_from(self.segment).ok() } else { None };
            messages.push(Message { to, pieces: self.pieces, segment });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1:7882";

    fn path(remote_port: u16) -> Path {
        Path {
            protocol: Protocol::Udp,
            local: LOCAL.parse().unwrap(),
            remote: SocketAddr::from(([127, 0, 0, 1], remote_port)),
        }
    }

    fn plan(sizes: &[(u16, usize)], gso: bool) -> (Trains, Outbox) {
        let mut outbox = Outbox::default();
        for (number, (port, size)) in sizes.iter().enumerate() {
            outbox.push(path(*port), &vec![number as u8; *size]);
        }
        let mut trains = Trains::default();
        trains.group(&outbox);
        assert_eq!(trains.plan(&outbox, LOCAL.parse().unwrap(), gso), sizes.len());
        (trains, outbox)
    }

    fn shape(trains: &Trains) -> Vec<(u16, usize, Option<u16>)> {
        trains.messages().iter().map(|message| (message.to.port(), message.pieces, message.segment)).collect()
    }

    #[test]
    fn interleaved_destinations_become_one_train_each_in_order() {
        let (trains, outbox) =
            plan(&[(1, 1200), (2, 1200), (1, 1200), (2, 1200), (1, 700), (2, 1200), (1, 1200)], true);
        assert_eq!(shape(&trains), [(1, 3, Some(1200)), (1, 1, None), (2, 3, Some(1200))]);
        let order: Vec<u8> = trains.pieces(&outbox, 0).map(|datagram| datagram[0]).collect();
        assert_eq!(order, [0, 2, 4, 6, 1, 3, 5], "order holds within a path");
    }

    #[test]
    fn a_longer_datagram_starts_a_new_train() {
        let (trains, _) = plan(&[(1, 100), (1, 1200), (1, 1200), (1, 100), (1, 100)], true);
        assert_eq!(shape(&trains), [(1, 1, None), (1, 3, Some(1200)), (1, 1, None)]);
    }

    #[test]
    fn a_train_ends_at_64_datagrams_and_below_64_kib() {
        let (trains, _) = plan(&[(1, 100); 65], true);
        assert_eq!(shape(&trains), [(1, 64, Some(100)), (1, 1, None)]);
        let (trains, _) = plan(&[(1, 1472); 64], true);
        assert_eq!(shape(&trains), [(1, 44, Some(1472)), (1, 20, Some(1472))]);
    }

    #[test]
    fn without_gso_every_datagram_goes_alone() {
        let (trains, _) = plan(&[(1, 1200), (1, 1200)], false);
        assert_eq!(shape(&trains), [(1, 1, None), (1, 1, None)]);
    }

    #[test]
    fn what_no_socket_sends_is_counted() {
        let (trains, outbox) = plan(&[(1, 10), (2, 10), (1, 10)], true);
        assert_eq!(trains.unroutable(&outbox, &["127.0.0.1:1".parse().unwrap()]), 3);
        assert_eq!(trains.unroutable(&outbox, &[LOCAL.parse().unwrap()]), 0);
    }

    proptest::proptest! {
        /// A train is a part of what one outbox holds for one destination, and an outbox holds what one turn let out: whatever a
        /// pacer released, no train is longer than that, nor than the kernel takes.
        #[test]
        fn no_train_holds_more_than_one_outbox_has_for_its_destination(
            turns in proptest::collection::vec(
                proptest::collection::vec((1u16..5, 0usize..1_500), 0..200),
                1..4,
            ),
        ) {
            // One that is used again and again, as a shard does: nothing of an earlier turn joins a later one's train.
            let mut trains = Trains::default();
            for sizes in turns {
                let mut outbox = Outbox::default();
                for (number, (port, size)) in sizes.iter().enumerate() {
                    outbox.push(path(*port), &vec![number as u8; *size]);
                }
                trains.group(&outbox);
                proptest::prop_assert_eq!(trains.plan(&outbox, LOCAL.parse().unwrap(), true), sizes.len());
                let (mut skip, mut sent) = (0, std::collections::BTreeMap::<u16, Vec<(u8, usize)>>::new());
                for message in trains.messages() {
                    let pieces: Vec<&[u8]> = trains.pieces(&outbox, skip).take(message.pieces).collect();
                    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
                    proptest::prop_assert!(message.pieces <= MAX_SEGMENTS && bytes <= MAX_TRAIN_BYTES);
                    let segment = message.segment.map_or(bytes, usize::from);
                    let (last, whole) = pieces.split_last().unwrap();
                    proptest::prop_assert!(whole.iter().all(|piece| piece.len() == segment));
                    proptest::prop_assert!(last.len() <= segment);
                    let to = sent.entry(message.to.port()).or_default();
                    to.extend(pieces.iter().map(|piece| (piece.first().copied().unwrap_or(0), piece.len())));
                    skip += message.pieces;
                }
                for (port, sent) in &mut sent {
                    let of = |(number, (to, size)): (usize, &(u16, usize))| {
                        (to == port).then_some((if *size == 0 { 0 } else { number as u8 }, *size))
                    };
                    let released: Vec<_> = sizes.iter().enumerate().filter_map(of).collect();
                    proptest::prop_assert_eq!(&*sent, &released);
                }
                proptest::prop_assert_eq!(skip, sizes.len());
            }
        }
    }
}
