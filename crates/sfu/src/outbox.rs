// SPDX-License-Identifier: EUPL-1.2
//! Where finished datagrams wait for the socket: one arena, reused, no allocation per packet.

use std::ops::Range;

use parvis_peer::Path;

/// The largest datagram that we build, in bytes: 1,200 of RTP payload leave room for header, extensions and tag
/// below the 1,472 that an Ethernet frame carries over IPv4.
pub const MAX_DATAGRAM_BYTES: usize = 1472;

/// So much of it is worth sending before more is written: 64 messages of eight datagrams, what one `sendmmsg` takes. It
/// stays in a second-level cache until the kernel reads it, and whoever is first need not wait for the last.
const FULL_BYTES: usize = 640_000;
/// And so many datagrams, when they are small.
const FULL_DATAGRAMS: usize = 1_024;

/// Datagrams to be sent, in order. For [`parvis_peer::Protocol::Tcp`] they are unframed.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Only the first `used` are of this round; what lies behind them is of earlier ones, so that it need not be zeroed.
    bytes: Vec<u8>,
    used: usize,
    /// Where each datagram ends; the next one begins there.
    ends: Vec<usize>,
    runs: Vec<Run>,
}

/// Datagrams in a row that go the same way.
#[derive(Debug, Clone, Copy)]
struct Run {
    path: Path,
    /// Its first datagram. It ends where the next run begins.
    first: usize,
}

impl Outbox {
    /// Lets `write` fill a buffer of `room` bytes, in which anything may stand; it returns how many it filled, or `None`
    /// to send nothing.
    pub fn push_with(
        &mut self,
        path: Path,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let used = write(self.room(room)).filter(|used| *used <= room);
        if let Some(used) = used {
            self.end(path, used);
        }
        used.is_some()
    }

    /// Copies a finished datagram.
    pub fn push(&mut self, path: Path, datagram: &[u8]) {
        self.room(datagram.len()).copy_from_slice(datagram);
        self.end(path, datagram.len());
    }

    /// The next `room` bytes.
    fn room(&mut self, room: usize) -> &mut [u8] {
        let end = self.used + room;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }

    /// A datagram of `len` bytes is there.
    fn end(&mut self, path: Path, len: usize) {
        if self.runs.last().is_none_or(|run| run.path != path) {
            self.runs.push(Run { path, first: self.ends.len() });
        }
        self.used += len;
        self.ends.push(self.used);
    }

    /// The datagrams, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Path, &[u8])> + '_ {
        self.runs().flat_map(move |(path, run)| run.map(move |index| (path, self.datagram(index))))
    }

    /// Which datagrams in a row go which way, oldest first. Two runs that follow each other go different ways.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (Path, Range<usize>)> + '_ {
        self.runs.iter().enumerate().map(move |(at, run)| {
            let end = self.runs.get(at + 1).map_or(self.ends.len(), |next| next.first);
            (run.path, run.first..end)
        })
    }

    /// The run at `index`, counted from the oldest.
    pub fn run(&self, index: usize) -> Range<usize> {
        let first = |index: usize| self.runs.get(index).map_or(self.ends.len(), |run| run.first);
        first(index)..first(index + 1)
    }

    /// The datagram at `index`, counted from the oldest; empty where there is none. Those that follow each other lie one
    /// after the other in memory.
    pub fn datagram(&self, index: usize) -> &[u8] {
        let begin = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = begin.zip(self.ends.get(index)).map(|(begin, end)| begin..*end);
        range.and_then(|range| self.bytes.get(range)).unwrap_or_default()
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether so much waits that it should be sent before more is written. It takes more all the same.
    pub fn is_full(&self) -> bool {
        self.used >= FULL_BYTES || self.ends.len() >= FULL_DATAGRAMS
    }

    /// Forgets all, keeping the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.ends.clear();
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use parvis_peer::Protocol;

    use super::*;

    #[test]
    fn memory_is_used_again_and_nothing_of_an_earlier_round_shows() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let path = Path { protocol: Protocol::Udp, local: address, remote: address };
        let mut outbox = Outbox::default();
        outbox.push(path, &[7; 40]);
        outbox.clear();
        let first = outbox.bytes.as_ptr();
        assert!(outbox.push_with(path, 20, |buffer| {
            buffer[..3].fill(1);
            Some(3)
        }));
        assert!(!outbox.push_with(path, 10, |_| None));
        assert!(!outbox.push_with(path, 10, |_| Some(11)), "more than there was room for");
        outbox.push(path, &[2; 5]);
        let datagrams: Vec<&[u8]> = outbox.iter().map(|(_, datagram)| datagram).collect();
        assert_eq!(datagrams, [&[1; 3][..], &[2; 5]]);
        assert_eq!((outbox.datagram(1), outbox.datagram(2)), (&[2; 5][..], &[][..]));
        assert_eq!(outbox.bytes.as_ptr(), first);
    }
    #[test]
    fn datagrams_in_a_row_of_one_path_are_a_run() {
        let path = |port| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            Path { protocol: Protocol::Udp, local: address, remote: address }
        };
        let mut outbox = Outbox::default();
        assert_eq!((outbox.runs().len(), outbox.run(0)), (0, 0..0));
        for (number, port) in [1, 1, 2, 1].into_iter().enumerate() {
            outbox.push(path(port), &[number as u8; 3]);
        }
        let runs: Vec<_> = outbox.runs().map(|(path, run)| (path.remote.port(), run)).collect();
        assert_eq!(runs, [(1, 0..2), (2, 2..3), (1, 3..4)]);
        assert_eq!([outbox.run(0), outbox.run(2), outbox.run(3)], [0..2, 3..4, 4..4]);
        let datagrams: Vec<(u16, u8)> =
            outbox.iter().map(|(path, datagram)| (path.remote.port(), datagram[0])).collect();
        assert_eq!(datagrams, [(1, 0), (1, 1), (2, 2), (1, 3)]);
        assert!(!outbox.is_full());
        (0..FULL_BYTES / 1_000).for_each(|_| outbox.push(path(1), &[0; 1_000]));
        assert!(outbox.is_full());
        outbox.clear();
        (0..FULL_DATAGRAMS).for_each(|_| outbox.push(path(1), &[0; 1]));
        assert!(outbox.is_full());
    }
}
