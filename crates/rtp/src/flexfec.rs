// SPDX-License-Identifier: EUPL-1.2
//! Forward error correction as browsers speak it: draft-ietf-payload-flexible-fec-scheme-03 with a flexible mask over
//! one stream (`flexfec-03` in SDP). A repair packet is the exclusive or of the packets that its mask names, so that one
//! of them can be made again from all the others.
//!
//! ```
//! use parvis_rtp::flexfec::{Builder, Repair};
//!
//! let packets: Vec<Vec<u8>> = (7u8..10)
//!     .map(|n| [&[0x80, 96, 0, n, 0, 0, 0, 0, 1, 2, 3, 4][..], &[n; 20]].concat())
//!     .collect();
//! let mut builder = Builder::new();
//! for packet in &packets {
//!     builder.add(packet);
//! }
//! let mut buf = [0; 200];
//! let len = builder.write(&mut buf)?;
//!
//! let repair = Repair::parse(&buf[..len])?;
//! assert_eq!(repair.sequences().collect::<Vec<_>>(), [7, 8, 9]);
//! let mut again = [0; 200];
//! let others = [&packets[0][..], &packets[2]];
//! let len = repair.recover(8, others.into_iter(), &mut again).unwrap();
//! assert_eq!(again[..len], packets[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::error::{slice, take};
use crate::packet::FIXED_HEADER_BYTES;
use crate::{ParseError, WriteError};

const WHAT: &str = "FlexFEC payload";

/// The largest repair header: 12 bytes, the stream's SSRC and base number, 14 bytes of mask.
pub const MAX_HEADER_BYTES: usize = 32;
/// Sequence numbers that a mask can name: 15 + 31 + 63.
pub const MAX_SPAN: u16 = 109;
/// The longest packet that can be protected, in bytes.
pub const MAX_PACKET_BYTES: usize = 1500;

/// Where the mask begins.
const MASK_AT: usize = 18;
/// Bits and bytes of the mask's three sizes.
const MASKS: [(u16, usize); 3] = [(15, 2), (46, 6), (MAX_SPAN, 14)];

/// A repair packet's payload, its header read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repair<'a> {
    /// The stream that it protects.
    pub ssrc: u32,
    /// The lowest sequence number that it can name.
    pub base: u16,
    /// Bit `n` says that it protects `base + n`.
    pub mask: u128,
    head: [u8; 8],
    body: &'a [u8],
}

impl<'a> Repair<'a> {
    /// Reads a repair packet's payload. Refuses what browsers don't send: retransmissions (R), fixed matrices (F), and
    /// several streams in one.
    pub fn parse(payload: &'a [u8]) -> Result<Repair<'a>, ParseError> {
        let head: [u8; 8] = take(payload, 0, WHAT)?;
        if head[0] & 0xc0 != 0 {
            return Err(ParseError::Invalid { what: "FlexFEC R and F bits", value: (head[0] >> 6).into() });
        }
        let [streams] = take(payload, 8, WHAT)?;
        if streams != 1 {
            return Err(ParseError::Invalid { what: "FlexFEC SSRC count", value: streams.into() });
        }
        let ssrc = u32::from_be_bytes(take(payload, 12, WHAT)?);
        let base = u16::from_be_bytes(take(payload, 16, WHAT)?);
        let first = u16::from_be_bytes(take(payload, MASK_AT, WHAT)?);
        let mut mask = reversed(u128::from(first & 0x7fff), 15);
        let mut len = MASK_AT + MASKS[0].1;
        if first & 0x8000 == 0 {
            let second = u32::from_be_bytes(take(payload, MASK_AT + 2, WHAT)?);
            mask |= reversed(u128::from(second & 0x7fff_ffff), 31) << 15;
            len = MASK_AT + MASKS[1].1;
            if second >> 31 == 0 {
                let third = u64::from_be_bytes(take(payload, MASK_AT + 6, WHAT)?);
                if third >> 63 == 0 {
                    return Err(ParseError::Invalid { what: "FlexFEC third K bit", value: 0 });
                }
                mask |= reversed(u128::from(third & !(1 << 63)), 63) << 46;
                len = MASK_AT + MASKS[2].1;
            }
        }
        if mask == 0 {
            return Err(ParseError::Invalid { what: "FlexFEC mask", value: 0 });
        }
        let body = slice(payload, len, payload.len().saturating_sub(len), WHAT)?;
        Ok(Repair { ssrc, base, mask, head, body })
    }

    /// The sequence numbers that it protects, lowest first.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + 'static {
        let (base, mask) = (self.base, self.mask);
        (0..MAX_SPAN).filter(move |bit| mask >> bit & 1 != 0).map(move |bit| base.wrapping_add(bit))
    }

    /// Makes the packet `missing` again from all the others that it protects. Its length; `None` when that can't be: the
    /// packets aren't those that were protected, or `buf` is too small.
    pub fn recover<'p>(
        &self,
        missing: u16,
        others: impl Iterator<Item = &'p [u8]>,
        buf: &mut [u8],
    ) -> Option<usize> {
        let room = buf.get_mut(FIXED_HEADER_BYTES..FIXED_HEADER_BYTES + self.body.len())?;
        room.copy_from_slice(self.body);
        let mut head = self.head;
        for other in others {
            xor_head(&mut head, other)?;
            let (_, body) = other.split_at_checked(FIXED_HEADER_BYTES)?;
            // A longer one was not among those that made this body.
            xor(
                buf.get_mut(FIXED_HEADER_BYTES..FIXED_HEADER_BYTES + self.body.len())?
                    .get_mut(..body.len())?,
                body,
            );
        }
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        // What lies beyond its end is nothing, or it isn't what was protected.
        let beyond = buf.get(FIXED_HEADER_BYTES + len..FIXED_HEADER_BYTES + self.body.len())?;
        if beyond.iter().any(|byte| *byte != 0) {
            return None;
        }
        buf[0] = 0x80 | (head[0] & 0x3f);
        buf[1] = head[1];
        buf[2..4].copy_from_slice(&missing.to_be_bytes());
        buf[4..8].copy_from_slice(&head[4..8]);
        buf[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        Some(FIXED_HEADER_BYTES + len)
    }
}

/// Gathers packets of one stream into a repair packet.
#[derive(Debug, Clone)]
pub struct Builder {
    ssrc: u32,
    base: Option<u16>,
    mask: u128,
    head: [u8; 8],
    body: [u8; MAX_PACKET_BYTES - FIXED_HEADER_BYTES],
    body_len: usize,
}

impl Builder {
    /// An empty one.
    pub fn new() -> Builder {
        Builder {
            ssrc: 0,
            base: None,
            mask: 0,
            head: [0; 8],
            body: [0; MAX_PACKET_BYTES - FIXED_HEADER_BYTES],
            body_len: 0,
        }
    }

    /// Forgets what was gathered.
    pub fn clear(&mut self) {
        self.body[..self.body_len].fill(0);
        (self.base, self.mask, self.head, self.body_len) = (None, 0, [0; 8], 0);
    }

    /// Whether nothing was gathered.
    pub fn is_empty(&self) -> bool {
        self.mask == 0
    }

    /// Protects a whole RTP packet as it leaves, before encryption. The first one's number is the base: `false`, and
    /// nothing is done, for one that lies before it or too far after, is another stream's, or is too long.
    pub fn add(&mut self, packet: &[u8]) -> bool {
        let Some((header, body)) = packet.split_first_chunk::<FIXED_HEADER_BYTES>() else { return false };
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let base = self.base.unwrap_or(sequence);
        let ahead = sequence.wrapping_sub(base);
        let other = self.base.is_some() && self.ssrc != ssrc;
        if other || ahead >= MAX_SPAN || self.mask >> ahead & 1 != 0 || body.len() > self.body.len() {
            return false;
        }
        if xor_head(&mut self.head, packet).is_none() {
            return false;
        }
        (self.base, self.ssrc) = (Some(base), ssrc);
        self.mask |= 1 << ahead;
        xor(&mut self.body[..body.len()], body);
        self.body_len = self.body_len.max(body.len());
        true
    }

    /// Writes the repair packet's payload. Its length.
    pub fn write(&self, buf: &mut [u8]) -> Result<usize, WriteError> {
        let Some(base) = self.base else {
            return Err(WriteError::Unrepresentable { what: "FlexFEC mask", value: 0 });
        };
        let highest = 127 - self.mask.leading_zeros() as u16;
        let size = MASKS.iter().position(|(bits, _)| highest < *bits).unwrap_or(MASKS.len() - 1);
        let head_len = MASK_AT + MASKS[size].1;
        let (need, have) = (head_len + self.body_len, buf.len());
        let buf = buf.get_mut(..need).ok_or(WriteError::NoRoom { need, have })?;
        buf[..8].copy_from_slice(&self.head);
        buf[0] &= 0x3f;
        buf[8..12].copy_from_slice(&[1, 0, 0, 0]);
        buf[12..16].copy_from_slice(&self.ssrc.to_be_bytes());
        buf[16..18].copy_from_slice(&base.to_be_bytes());
        let last = |place: usize| u64::from(size == place);
        let first = reversed(self.mask & 0x7fff, 15) as u16 | (last(0) as u16) << 15;
        buf[18..20].copy_from_slice(&first.to_be_bytes());
        if size > 0 {
            let second = reversed(self.mask >> 15 & 0x7fff_ffff, 31) as u32 | (last(1) as u32) << 31;
            buf[20..24].copy_from_slice(&second.to_be_bytes());
        }
        if size > 1 {
            let third = reversed(self.mask >> 46 & ((1 << 63) - 1), 63) as u64 | last(2) << 63;
            buf[24..32].copy_from_slice(&third.to_be_bytes());
        }
        buf[head_len..].copy_from_slice(&self.body[..self.body_len]);
        Ok(need)
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

/// Which of `repairs` repair packets protect the packet at `place` of a group: bit `n` for the n-th. Any two places among
/// the first `2^repairs - 1` have different bits, and none has no bit: so any two losses there can be made good, one after
/// the other.
pub fn repairs_of(place: usize, repairs: u32) -> u32 {
    let codes = (1u32 << repairs.clamp(1, 16)) - 1;
    place as u32 % codes + 1
}

/// The draft counts mask bits from the left: the highest of `bits` is the base.
fn reversed(mask: u128, bits: u32) -> u128 {
    mask.reverse_bits() >> (128 - bits)
}

/// Puts a packet's first two bytes, length and timestamp to the others'.
fn xor_head(head: &mut [u8; 8], packet: &[u8]) -> Option<()> {
    let fixed = packet.first_chunk::<FIXED_HEADER_BYTES>()?;
    let len = u16::try_from(packet.len() - FIXED_HEADER_BYTES).ok()?.to_be_bytes();
    let theirs = [fixed[0], fixed[1], len[0], len[1], fixed[4], fixed[5], fixed[6], fixed[7]];
    xor(head, &theirs);
    Some(())
}

fn xor(into: &mut [u8], other: &[u8]) {
    for (into, other) in into.iter_mut().zip(other) {
        *into ^= other;
    }
}
