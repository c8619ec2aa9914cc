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
    bytes: Vec<u8>,
    packets: Vec<(Path, Range<usize>)>,
}

impl Outbox {
    /// Lets `write` fill a buffer of `room` bytes; it returns how many it used, or `None` to send nothing.
    pub fn push_with(
        &mut self,
        path: Path,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let start = self.bytes.len();
        self.bytes.resize(start + room, 0);
        let used = write(&mut self.bytes[start..]).filter(|used| *used <= room);
        self.bytes.truncate(start + used.unwrap_or(0));
        if let Some(used) = used {
            self.packets.push((path, start..start + used));
        }
        used.is_some()
    }

    /// Copies a finished datagram.
    pub fn push(&mut self, path: Path, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.packets.push((path, start..self.bytes.len()));
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
        self.bytes.clear();
        self.packets.clear();
    }
}
