// SPDX-License-Identifier: EUPL-1.2
//! What is kept of a publisher's layer to make lost packets again from its repair packets.

use std::collections::VecDeque;

use parvis_rtp::ExtensionMap;
use parvis_rtp::flexfec::{self, MAX_PACKET_BYTES, MAX_SPAN, Repair};

use super::super::MediaConfig;

/// One layer's packets of late, and the repair packets that may still be of use.
#[derive(Debug)]
pub(crate) struct FecReceiver {
    slots: Vec<Slot>,
    /// [`MAX_PACKET_BYTES`] for each slot.
    bytes: Vec<u8>,
    newest: Option<u16>,
    /// Oldest first.
    waiting: VecDeque<Waiting>,
    max_waiting: usize,
    /// Buffers of repair packets that are done with.
    spare: Vec<Vec<u8>>,
}

/// A packet; one of no bytes is none.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    sequence: u16,
    len: u16,
}

/// A repair packet that waits for others.
#[derive(Debug)]
struct Waiting {
    base: u16,
    /// Which of the packets that it protects aren't there: bit `n` for `base + n`.
    missing: u128,
    payload: Vec<u8>,
}

/// What became of a repair packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is kept; whether another had to go.
    Waits { pushed_out: bool },
    /// Nothing of what it protects is missing, or it is too old.
    Unneeded,
    /// It can't be read, or protects something else.
    Refused,
}

/// What could be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovered {
    /// A packet of so many bytes.
    Packet(usize),
    /// A repair packet that doesn't go with the packets.
    Nonsense,
    /// Nothing more.
    Nothing,
}

impl FecReceiver {
    pub(crate) fn new(config: &MediaConfig) -> FecReceiver {
        let packets = config.fec_packets.max(usize::from(MAX_SPAN)).next_power_of_two();
        FecReceiver {
            slots: vec![Slot::default(); packets],
            bytes: vec![0; packets * MAX_PACKET_BYTES],
            newest: None,
            waiting: VecDeque::new(),
            max_waiting: config.fec_repairs.max(1),
            spare: Vec::new(),
        }
    }

    /// Keeps a packet as it came. Whether something may be recovered now.
    pub(crate) fn keep(&mut self, packet: &[u8], map: &ExtensionMap) -> bool {
        let Some(kept) = self.insert(packet) else { return false };
        flexfec::clear_mutable(kept, map);
        self.waiting.iter().any(|waiting| waiting.missing.count_ones() <= 1)
    }

    /// Takes a repair packet's payload for the stream `ssrc`.
    pub(super) fn take(&mut self, ssrc: u32, payload: &[u8]) -> Taken {
        let Ok(repair) = Repair::parse(payload) else { return Taken::Refused };
        if repair.ssrc != ssrc || payload.len() > MAX_PACKET_BYTES {
            return Taken::Refused;
        }
        let mut missing = 0u128;
        for sequence in repair.sequences() {
            if self.get(sequence).is_none() {
                missing |= 1 << sequence.wrapping_sub(repair.base);
            }
        }
        if missing == 0 || self.is_old(repair.base) {
            return Taken::Unneeded;
        }
        let pushed_out = self.waiting.len() >= self.max_waiting;
        if pushed_out {
            self.drop_first();
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(payload);
        self.waiting.push_back(Waiting { base: repair.base, missing, payload: kept });
        Taken::Waits { pushed_out }
    }

    /// Makes one lost packet again, in `buf`. To be called until there is nothing more: each may help to another.
    pub(super) fn recover(&mut self, buf: &mut [u8]) -> Recovered {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.missing.count_ones() <= 1) {
            let Some(waiting) = self.waiting.remove(at) else { break };
            let made = self.make(&waiting, buf);
            let is_done = waiting.missing == 0;
            self.spare.push(waiting.payload);
            if is_done {
                continue;
            }
            let Some(len) = made else { return Recovered::Nonsense };
            self.insert(&buf[..len]);
            return Recovered::Packet(len);
        }
        Recovered::Nothing
    }

    /// Forgets all: another source goes on.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(Slot::default());
        self.newest = None;
        while !self.waiting.is_empty() {
            self.drop_first();
        }
    }

    fn make(&self, waiting: &Waiting, buf: &mut [u8]) -> Option<usize> {
        let repair = Repair::parse(&waiting.payload).ok()?;
        let missing = waiting.base.wrapping_add(waiting.missing.trailing_zeros() as u16);
        let others = || repair.sequences().filter(|sequence| *sequence != missing);
        // One may have left the window meanwhile.
        if others().any(|sequence| self.get(sequence).is_none()) {
            return None;
        }
        repair.recover(missing, others().filter_map(|sequence| self.get(sequence)), buf)
    }

    fn get(&self, sequence: u16) -> Option<&[u8]> {
        let index = self.index(sequence);
        let slot = self.slots.get(index).filter(|slot| slot.len > 0 && slot.sequence == sequence)?;
        let at = index * MAX_PACKET_BYTES;
        self.bytes.get(at..at + usize::from(slot.len))
    }

    /// Puts a packet into its slot, unless a newer one has it.
    fn insert(&mut self, packet: &[u8]) -> Option<&mut [u8]> {
        let sequence = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
        if packet.len() > MAX_PACKET_BYTES || self.is_old(sequence) {
            return None;
        }
        if self.newest.is_none_or(|newest| is_newer(sequence, newest)) {
            self.newest = Some(sequence);
            while self.waiting.front().is_some_and(|waiting| self.is_old(waiting.base)) {
                self.drop_first();
            }
        }
        let index = self.index(sequence);
        *self.slots.get_mut(index)? = Slot { sequence, len: packet.len() as u16 };
        for waiting in &mut self.waiting {
            let ahead = sequence.wrapping_sub(waiting.base);
            if ahead < MAX_SPAN {
                waiting.missing &= !(1 << ahead);
            }
        }
        let at = index * MAX_PACKET_BYTES;
        let kept = self.bytes.get_mut(at..at + packet.len())?;
        kept.copy_from_slice(packet);
        Some(kept)
    }

    /// Whether it lies before the window.
    fn is_old(&self, sequence: u16) -> bool {
        self.newest.is_some_and(|newest| {
            is_newer(newest, sequence) && usize::from(newest.wrapping_sub(sequence)) >= self.slots.len()
        })
    }

    fn index(&self, sequence: u16) -> usize {
        // The number of slots is a power of two.
        usize::from(sequence) & (self.slots.len() - 1)
    }

    fn drop_first(&mut self) {
        self.spare.extend(self.waiting.pop_front().map(|waiting| waiting.payload));
    }
}

fn is_newer(sequence: u16, than: u16) -> bool {
    sequence != than && sequence.wrapping_sub(than) < 0x8000
}
