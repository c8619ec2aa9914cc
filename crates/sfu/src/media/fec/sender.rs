// SPDX-License-Identifier: EUPL-1.2
//! The repair packets that are being made for one subscription.

use std::time::{Duration, Instant};

use parvis_rtp::flexfec::{Builder, MAX_HEADER_BYTES, repairs_of};

/// Repair packets to a group at most: of any two neighbours that are lost, both can be made good with two.
const MAX_REPAIRS: usize = 2;
/// Packets in a group at most: libwebrtc looks no farther.
const MAX_GROUP: usize = 48;
/// A group that took longer is given up: what was lost of it has been sent again by now.
const MAX_GROUP_TIME: Duration = Duration::from_millis(250);
/// A longer packet isn't protected: with the repair packet's own headers it would no longer fit a path's 1,500 bytes.
const MAX_PROTECTED_BYTES: usize = 1400;
/// What a repair packet has beside the longest packet that it protects: its own RTP header and that of the repair.
const OVERHEAD_BYTES: usize = MAX_HEADER_BYTES + 24;
/// What may be saved up, in bytes: the repair packets of two groups.
const MAX_SAVED_BYTES: f64 = (2 * MAX_REPAIRS * (MAX_PROTECTED_BYTES + OVERHEAD_BYTES)) as f64;

/// A group of packets, with what protects it so far.
#[derive(Debug, Default)]
pub(crate) struct FecSender {
    builders: [Builder; MAX_REPAIRS],
    repairs: usize,
    packets: usize,
    longest: usize,
    begun: Option<Instant>,
    /// Bytes that repair packets may have.
    saved: f64,
}

impl FecSender {
    /// A packet is about to leave, for which `level` repair packets to a group are called for.
    pub(super) fn begin(&mut self, now: Instant, level: u8) {
        let late = |begun: Instant| now.saturating_duration_since(begun) > MAX_GROUP_TIME;
        if self.begun.is_some_and(late) || self.packets >= MAX_GROUP {
            self.clear();
        }
        if self.packets == 0 {
            self.repairs = usize::from(level).clamp(1, MAX_REPAIRS);
        }
        self.begun.get_or_insert(now);
    }

    /// Protects a packet: as it leaves, before encryption.
    pub(crate) fn add(&mut self, packet: &[u8]) {
        if packet.len() > MAX_PROTECTED_BYTES {
            return;
        }
        let which = repairs_of(self.packets, self.repairs as u32);
        for (at, builder) in self.builders.iter_mut().enumerate().take(self.repairs) {
            if which >> at & 1 != 0 {
                builder.add(packet);
            }
        }
        self.packets += 1;
        self.longest = self.longest.max(packet.len());
    }

    /// Media of so many bytes left: repair packets may have a share of that.
    pub(super) fn earn(&mut self, bytes: usize, share: f64) {
        self.saved = (self.saved + bytes as f64 * share).min(MAX_SAVED_BYTES);
    }

    /// Whether the group is to end here: with a frame, as soon as its repair packets are within their share.
    pub(super) fn is_due(&self, marker: bool) -> bool {
        let cost = self.repairs * (self.longest + OVERHEAD_BYTES);
        self.packets > 0 && (marker || self.packets >= MAX_GROUP) && self.saved >= cost as f64
    }

    /// What protects the group.
    pub(super) fn builders(&self) -> impl Iterator<Item = &Builder> {
        self.builders.iter().filter(|builder| !builder.is_empty())
    }

    /// The group has ended; its repair packets had so many bytes.
    pub(super) fn close(&mut self, bytes: usize) {
        self.saved -= bytes as f64;
        self.clear();
    }

    fn clear(&mut self) {
        self.builders.iter_mut().for_each(Builder::clear);
        (self.packets, self.longest, self.begun) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet.resize(1000, sequence as u8);
        packet
    }

    /// Repair packets after each of `packets` frames of one packet, `every` so far apart.
    fn play(level: u8, packets: u16, every: Duration, share: f64) -> usize {
        let mut now = Instant::now();
        let (mut fec, mut made) = (FecSender::default(), 0);
        for sequence in 0..packets {
            now += every;
            fec.begin(now, level);
            fec.add(&packet(sequence));
            fec.earn(1000, share);
            if fec.is_due(true) {
                let count = fec.builders().count();
                made += count;
                fec.close(count * 1056);
            }
        }
        made
    }

    #[test]
    fn repair_packets_keep_to_their_share_however_many_are_called_for() {
        for level in [1, 2] {
            let made = play(level, 1000, Duration::from_millis(10), 0.2) * 1056;
            assert!((180_000..=200_000).contains(&made), "{made} bytes for a million at level {level}");
        }
        assert_eq!(play(1, 1000, Duration::from_millis(10), 0.0), 0);
    }

    #[test]
    fn a_group_that_takes_long_is_given_up_and_another_begun() {
        let mut fec = FecSender::default();
        let now = Instant::now();
        fec.begin(now, 1);
        fec.add(&packet(1));
        fec.begin(now + Duration::from_secs(1), 1);
        fec.add(&packet(2));
        fec.earn(1 << 20, 1.0);
        assert!(!fec.is_due(false), "a frame goes on");
        assert!(fec.is_due(true));
        let mut buf = [0; 1500];
        let len = fec.builders().next().unwrap().write(&mut buf).unwrap();
        let repair = parvis_rtp::flexfec::Repair::parse(&buf[..len]).unwrap();
        assert_eq!(repair.sequences().collect::<Vec<_>>(), [2]);
    }
}
