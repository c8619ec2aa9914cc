// SPDX-License-Identifier: EUPL-1.2
//! What was sent and not yet forgotten.

use std::collections::VecDeque;

use super::{Carried, SentKind};

/// Packets remembered: 6 s at 1,300 packets a second (12 Mbit/s), 24 bytes each.
const MAX_PACKETS: usize = 8192;
/// How long they are remembered: feedback that comes later is of no use.
const MAX_AGE_MICROS: i64 = 5_000_000;

/// A packet on its way, or past it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentPacket {
    /// On our clock.
    pub(super) sent_micros: i64,
    pub(super) bytes: u32,
    pub(super) kind: SentKind,
    pub(super) fate: Fate,
    pub(super) carried: Option<Carried>,
}

/// What feedback said of a packet so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Unknown,
    /// The feedback that would have told did not come; it counts as the others did.
    Untold,
    /// May still turn up.
    Lost,
    Arrived,
}

/// The packets of the last seconds, by transport-wide sequence number.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The number of the first packet in the queue, unwrapped.
    first: u64,
    packets: VecDeque<SentPacket>,
}

impl History {
    /// The number that the next packet gets.
    pub(super) fn next_sequence(&self) -> u16 {
        (self.first + self.packets.len() as u64) as u16
    }

    /// Remembers a packet and gives it its number.
    pub(super) fn push(&mut self, packet: SentPacket) -> u16 {
        while self.packets.len() >= MAX_PACKETS
            || self.packets.front().is_some_and(|old| packet.sent_micros - old.sent_micros > MAX_AGE_MICROS)
        {
            self.packets.pop_front();
            self.first += 1;
        }
        let sequence = self.next_sequence();
        self.packets.push_back(packet);
        sequence
    }

    /// The packet of a number from feedback. The nearest number to the last one sent is meant.
    pub(super) fn get_mut(&mut self, sequence: u16) -> Option<&mut SentPacket> {
        let next = self.first + self.packets.len() as u64;
        let distance = sequence.wrapping_sub(next as u16) as i16;
        let number = next.checked_add_signed(distance.into())?;
        self.packets.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The packets from the one after `last` up to the one before `next`, of which no feedback told.
    pub(super) fn between(&mut self, last: u16, next: u16) -> impl Iterator<Item = &mut SentPacket> {
        let gap = next.wrapping_sub(last).wrapping_sub(1);
        let count = if gap < MAX_PACKETS as u16 { gap } else { 0 };
        let end = self.first + self.packets.len() as u64;
        let distance = last.wrapping_sub(end as u16) as i16;
        let begin = end.saturating_add_signed(i64::from(distance) + 1).saturating_sub(self.first);
        self.packets.iter_mut().skip(usize::try_from(begin).unwrap_or(usize::MAX)).take(count.into())
    }

    /// How many packets may be asked for at all: feedback on more is not worth reading.
    pub(super) fn capacity(&self) -> usize {
        MAX_PACKETS
    }
}
