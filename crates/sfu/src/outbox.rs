// SPDX-License-Identifier: EUPL-1.2
//! Where finished datagrams wait for the socket: one arena, reused, no allocation per packet.

use std::ops::Range;

use parvis_peer::Path;

/// The largest datagram that we build, in bytes: 1,200 of RTP payload leave room for header, extensions and tag
/// below the 1,472 that an Ethernet frame carries over IPv4.
pub const MAX_DATAGRAM_BYTES: usize = 1472;

/// Datagrams to be sent, in order. For [`parvis_peer::Protocol::Tcp`] they are unframed.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Only the first `used` are of this round; what lies behind them is of earlier ones, so that it need not be zeroed.
    bytes: Vec<u8>,
    used: usize,
    packets: Vec<(Path, Range<usize>)>,
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
        let start = self.used;
        let used = write(self.room(room)).filter(|used| *used <= room);
        if let Some(used) = used {
            self.used = start + used;
            self.packets.push((path, start..self.used));
        }
        used.is_some()
    }

    /// Copies a finished datagram.
    pub fn push(&mut self, path: Path, datagram: &[u8]) {
        let start = self.used;
        self.room(datagram.len()).copy_from_slice(datagram);
        self.used = start + datagram.len();
        self.packets.push((path, start..self.used));
    }

    /// The next `room` bytes.
    fn room(&mut self, room: usize) -> &mut [u8] {
        let end = self.used + room;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }

    /// The datagrams, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Path, &[u8])> + '_ {
        self.packets.iter().map(|(path, range)| (*path, &self.bytes[range.clone()]))
    }

    /// The datagram at `index`, counted from the oldest.
    pub fn get(&self, index: usize) -> Option<(Path, &[u8])> {
        self.packets.get(index).map(|(path, range)| (*path, &self.bytes[range.clone()]))
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Forgets all, keeping the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.packets.clear();
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
        assert_eq!(outbox.get(1).map(|(_, datagram)| datagram), Some(&[2; 5][..]));
        assert_eq!(outbox.bytes.as_ptr(), first);
    }
}
