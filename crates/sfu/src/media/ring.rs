// SPDX-License-Identifier: EUPL-1.2
//! The packets of one layer: each stored once, for forwarding and for every subscription's retransmissions.

use std::time::{Duration, Instant};

use parvis_peer::sdp::CodecKind;
use parvis_rtp::{AbsCaptureTime, AudioLevel, PlayoutDelay};

use super::facts::Facts;

/// Slots of a new ring; it doubles while packets younger than the kept time would be overwritten.
const FIRST_SLOTS: usize = 32;
/// Room made in a video slot at its first use: the usual packet, so that it is made once.
const VIDEO_SLOT_BYTES: usize = 1200;
/// The same for audio: 20 ms of Opus with one redundant block.
const AUDIO_SLOT_BYTES: usize = 256;

/// A received packet as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Its unwrapped sequence number.
    pub(crate) number: u64,
    pub(crate) arrival: Instant,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) codec: CodecKind,
    pub(crate) facts: Facts,
    pub(crate) audio_level: Option<AudioLevel>,
    pub(crate) video_orientation: Option<u8>,
    pub(crate) playout_delay: Option<PlayoutDelay>,
    pub(crate) abs_capture_time: Option<AbsCaptureTime>,
    /// Dependency descriptor, then payload.
    bytes: Vec<u8>,
    descriptor_len: usize,
}

impl Stored {
    /// The payload as it came.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[self.descriptor_len..]
    }

    /// The dependency descriptor as it came.
    pub(crate) fn descriptor(&self) -> Option<&[u8]> {
        (self.descriptor_len > 0).then(|| &self.bytes[..self.descriptor_len])
    }
}

/// What is stored of a packet beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) number: u64,
    pub(crate) arrival: Instant,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) codec: CodecKind,
    pub(crate) facts: Facts,
    pub(crate) audio_level: Option<AudioLevel>,
    pub(crate) video_orientation: Option<u8>,
    pub(crate) playout_delay: Option<PlayoutDelay>,
    pub(crate) abs_capture_time: Option<AbsCaptureTime>,
}

/// The ring. It grows to what its kept time needs, at most to its limit, and then allocates no more.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Vec<Option<Stored>>,
    max_slots: usize,
    slot_bytes: usize,
    keep: Duration,
}

impl Ring {
    /// A ring of at most `max_slots` packets that keeps each for `keep` if it can.
    pub(crate) fn new(audio: bool, max_slots: usize, keep: Duration) -> Ring {
        let max_slots = max_slots.max(FIRST_SLOTS).next_power_of_two();
        let slot_bytes = if audio { AUDIO_SLOT_BYTES } else { VIDEO_SLOT_BYTES };
        Ring { slots: Vec::new(), max_slots, slot_bytes, keep }
    }

    /// Stores a packet. `false` when it is there already, or a newer one has its slot.
    pub(crate) fn insert(&mut self, meta: &Meta, descriptor: &[u8], payload: &[u8]) -> bool {
        if self.slots.is_empty() {
            self.slots.resize_with(FIRST_SLOTS, || None);
        }
        loop {
            let index = self.index(meta.number);
            let Some(taken) = &self.slots[index] else { break };
            if taken.number >= meta.number {
                return false;
            }
            let young = meta.arrival.saturating_duration_since(taken.arrival) < self.keep;
            if !young || self.slots.len() >= self.max_slots {
                break;
            }
            self.grow();
        }
        let index = self.index(meta.number);
        let mut bytes = self.slots[index].take().map_or_else(Vec::new, |old| old.bytes);
        bytes.clear();
        bytes.reserve((descriptor.len() + payload.len()).max(self.slot_bytes));
        bytes.extend_from_slice(descriptor);
        bytes.extend_from_slice(payload);
        self.slots[index] = Some(Stored {
            number: meta.number,
            arrival: meta.arrival,
            timestamp: meta.timestamp,
            marker: meta.marker,
            codec: meta.codec,
            facts: meta.facts,
            audio_level: meta.audio_level,
            video_orientation: meta.video_orientation,
            playout_delay: meta.playout_delay,
            abs_capture_time: meta.abs_capture_time,
            bytes,
            descriptor_len: descriptor.len(),
        });
        true
    }

    /// The packet with this number, if it is still there.
    pub(crate) fn get(&self, number: u64) -> Option<&Stored> {
        let stored = self.slots.get(self.index(number))?.as_ref()?;
        (stored.number == number).then_some(stored)
    }

    /// The packet whose number ends in these 32 bits, if it is still there: a ring holds far fewer numbers than would be
    /// needed for two of them.
    pub(crate) fn find(&self, low: u32) -> Option<&Stored> {
        let stored = self.slots.get(self.index(low.into()))?.as_ref()?;
        (stored.number as u32 == low).then_some(stored)
    }

    fn index(&self, number: u64) -> usize {
        // The number of slots is a power of two.
        number as usize & self.slots.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let mut slots = Vec::new();
        slots.resize_with(self.slots.len() * 2, || None);
        for stored in self.slots.drain(..).flatten() {
            let index = stored.number as usize & (slots.len() - 1);
            slots[index] = Some(stored);
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(number: u64, arrival: Instant) -> Meta {
        Meta {
            number,
            arrival,
            timestamp: 0,
            marker: false,
            codec: CodecKind::Vp8,
            facts: Facts::default(),
            audio_level: None,
            video_orientation: None,
            playout_delay: None,
            abs_capture_time: None,
        }
    }

    #[test]
    fn keeps_a_second_of_packets_up_to_its_limit_and_refuses_doubles() {
        let start = Instant::now();
        let mut ring = Ring::new(false, 128, Duration::from_secs(1));
        for number in 0..1000u64 {
            let now = start + Duration::from_millis(number * 10);
            assert!(ring.insert(&meta(number, now), b"dd", &number.to_be_bytes()));
            assert!(!ring.insert(&meta(number, now), b"", b"again"));
        }
        assert_eq!(ring.slots.len(), 128, "100 packets a second for a second need 128 slots");
        let stored = ring.get(900).unwrap();
        assert_eq!(stored.payload(), 900u64.to_be_bytes());
        assert_eq!(stored.descriptor(), Some(&b"dd"[..]));
        assert!(ring.get(800).is_none());
    }
}
