// SPDX-License-Identifier: EUPL-1.2
//! Redundant audio (RFC 2198): made from the ring for those whose losses call for it, and read for what was lost on the
//! way to us.

use std::time::Instant;

use parvis_peer::sdp::CodecKind;
use parvis_rtp::red::{MAX_BLOCK_BYTES, MAX_OFFSET, Red};

use super::super::layer::Layer;
use super::super::ring::{Ring, Stored};
use super::super::room::RoomMedia;

/// Earlier packets that go with one at most.
pub(crate) const MAX_REDUNDANT: usize = 2;
/// Blocks of an incoming packet that are looked at: senders put in one or two.
const MAX_BLOCKS: usize = 4;

/// Earlier packets and how far they are before one, in timestamp units: so many of them are there as stands beside.
pub(crate) type Blocks<'a> = [Option<(&'a Stored, u16)>; MAX_REDUNDANT];

/// Which earlier packets can go with one: found once for each packet that anyone gets with redundancy, whoever gets it.
/// The packet itself is then written from the ring into each subscriber's buffer, the one copy there is.
#[derive(Debug, Default)]
pub(crate) struct RedPlan {
    number: Option<u64>,
    /// Bit `n` says that the packet `n + 1` before goes with it.
    mask: u8,
}

impl RedPlan {
    /// What `level` of redundancy comes to for the packet `number`: bits of [`RedPlan::blocks`]. Packets before `from` are
    /// for nobody.
    pub(crate) fn mask(&mut self, ring: &Ring, number: u64, from: u64, level: u8) -> u8 {
        if self.number != Some(number) {
            self.number = Some(number);
            self.mask = (0..MAX_REDUNDANT as u8)
                .filter(|bit| number > from + u64::from(*bit) && Self::block(ring, number, *bit).is_some())
                .fold(0, |mask, bit| mask | 1 << bit);
        }
        self.mask & ((1 << level.min(MAX_REDUNDANT as u8)) - 1)
    }

    /// The blocks that go with the packet `number`, oldest first, with their timestamp offsets. `None` when one is no
    /// longer there.
    pub(crate) fn blocks(ring: &Ring, number: u64, mask: u8) -> Option<(Blocks<'_>, usize)> {
        let (mut blocks, mut count) = ([None; MAX_REDUNDANT], 0);
        for bit in (0..MAX_REDUNDANT as u8).rev().filter(|bit| mask >> bit & 1 != 0) {
            blocks[count] = Some(Self::block(ring, number, bit)?);
            count += 1;
        }
        Some((blocks, count))
    }

    /// The packet `bit + 1` before `number`, if a block can hold it: 14 bits of timestamp offset, 10 of length. Over a
    /// silence that wasn't sent the one before is too old to help.
    fn block(ring: &Ring, number: u64, bit: u8) -> Option<(&Stored, u16)> {
        let newest = ring.get(number)?;
        let stored = ring.get(number.checked_sub(u64::from(bit) + 1)?)?;
        let offset = newest.timestamp.wrapping_sub(stored.timestamp);
        let fits = stored.codec == CodecKind::Opus
            && (1..=u32::from(MAX_OFFSET)).contains(&offset)
            && (1..=MAX_BLOCK_BYTES).contains(&stored.payload().len());
        fits.then_some((stored, offset as u16))
    }
}

/// A lost packet found in a later one.
#[derive(Debug, Clone, Copy)]
struct Found {
    number: u64,
    timestamp: u32,
    start: usize,
    len: usize,
}

impl RoomMedia {
    /// Takes packets that were lost on their way to us out of the redundancy of `number` and keeps them. Their numbers,
    /// lowest first.
    pub(super) fn recover(&mut self, now: Instant, place: usize, number: u64) -> ([u64; MAX_BLOCKS], usize) {
        let (mut recovered, mut count) = ([0; MAX_BLOCKS], 0);
        let publication = &self.publications[place];
        let layer = &publication.layers[0];
        let Some(stored) = layer.ring.get(number).filter(|stored| stored.codec == CodecKind::Red) else {
            return (recovered, 0);
        };
        let demux = &self.peers[publication.peer].demux;
        // What comes by trunk was looked at where it is published.
        let imported = publication.import.is_some();
        let is_opus = |payload_type| {
            imported
                || demux.incoming_type(payload_type).is_some_and(|incoming| incoming.kind == CodecKind::Opus)
        };
        let (found, lost) = find_lost(layer, stored, publication.heard_from, is_opus);
        if lost == 0 {
            return (recovered, 0);
        }
        let bytes = &mut self.scratch.recovered;
        bytes.clear();
        bytes.extend_from_slice(stored.payload());
        let layer = &mut self.publications[place].layers[0];
        for found in found[..lost].iter().rev().flatten() {
            let payload = &bytes[found.start..found.start + found.len];
            if layer.recover(now, found.number, found.timestamp, payload) {
                self.stats.red_recovered += 1;
                recovered[count] = found.number;
                count += 1;
            }
        }
        (recovered, count)
    }
}

/// Blocks of `stored` that hold a packet which we lack, newest first. RFC 2198 names blocks by time, not by number: senders
/// repeat the packets right before, so the n-th newest block is the n-th packet before, as long as the times of those that
/// we have agree.
fn find_lost(
    layer: &Layer,
    stored: &Stored,
    heard_from: u64,
    is_opus: impl Fn(u8) -> bool,
) -> ([Option<Found>; MAX_BLOCKS], usize) {
    let (mut found, mut count) = ([None; MAX_BLOCKS], 0);
    let nothing = ([None; MAX_BLOCKS], 0);
    let Ok(red) = Red::parse(stored.payload()) else { return nothing };
    let blocks = red.redundant().count();
    let first = layer.reception.first().unwrap_or(stored.number).max(heard_from);
    let mut later = stored.timestamp;
    for back in 1..=blocks.min(MAX_BLOCKS) {
        let Some(number) = stored.number.checked_sub(back as u64).filter(|number| *number > first) else {
            break;
        };
        let Some(block) = red.redundant().nth(blocks - back) else { break };
        let timestamp = stored.timestamp.wrapping_sub(block.timestamp_offset.into());
        // Each is older than the one after it.
        if block.timestamp_offset == 0 || later.wrapping_sub(timestamp) as i32 <= 0 {
            break;
        }
        if let Some(known) = layer.ring.get(number) {
            if known.timestamp != timestamp {
                break;
            }
        } else if !is_opus(block.payload_type) || block.payload.is_empty() {
            break;
        } else {
            let before = layer.ring.get(number - 1);
            if before.is_some_and(|before| timestamp.wrapping_sub(before.timestamp) as i32 <= 0) {
                break;
            }
            let start = block.payload.as_ptr() as usize - stored.payload().as_ptr() as usize;
            found[count] = Some(Found { number, timestamp, start, len: block.payload.len() });
            count += 1;
        }
        later = timestamp;
    }
    (found, count)
}
