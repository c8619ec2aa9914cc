// SPDX-License-Identifier: EUPL-1.2
//! AV1: the OBUs of a temporal unit, each with its size, as Matroska has them.
//!
//! RTP Payload Format for AV1, sections 4 and 5; AV1 bitstream specification, section 5; "Matroska: AV1 mapping".

use parvis_rtp::av1::Descriptor;

use super::bits::Bits;
use super::{Assemble, Assembled, Malformed};
use crate::mkv::Visible;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// Puts AV1 temporal units together.
#[derive(Debug, Default)]
pub(super) struct Av1 {
    frame: Assembled,
    begun: bool,
    /// The OBU whose next piece comes with the next packet.
    fragment: Option<Vec<u8>>,
}

impl Assemble for Av1 {
    fn push(&mut self, payload: &[u8]) -> Result<bool, Malformed> {
        let descriptor = Descriptor::parse(payload)?;
        if descriptor.continues != self.fragment.is_some() {
            return if self.begun { Err(Malformed) } else { Ok(false) };
        }
        self.begun = true;
        for (place, element) in descriptor.elements().enumerate() {
            let element = element?;
            match &mut self.fragment {
                Some(fragment) if place == 0 && descriptor.continues => fragment.extend_from_slice(element),
                _ => {
                    // What came before is whole, now that another element follows it.
                    if let Some(whole) = self.fragment.replace(element.to_vec()) {
                        self.obu(&whole)?;
                    }
                }
            }
        }
        if !descriptor.continued
            && let Some(whole) = self.fragment.take()
        {
            self.obu(&whole)?;
        }
        Ok(true)
    }

    fn take(&mut self) -> Option<Assembled> {
        let Av1 { mut frame, begun, fragment } = std::mem::take(self);
        if !begun || fragment.is_some() {
            return None;
        }
        frame.key = frame.private.is_some();
        Some(frame)
    }

    fn reset(&mut self) {
        *self = Av1::default();
    }

    fn held(&self) -> usize {
        self.frame.data.len() + self.fragment.as_ref().map_or(0, Vec::len)
    }
}

impl Av1 {
    /// Adds a whole OBU, which may or may not have its size.
    fn obu(&mut self, obu: &[u8]) -> Result<(), Malformed> {
        let Some((&first, rest)) = obu.split_first() else { return Ok(()) };
        if first & 0x80 != 0 {
            return Err(Malformed);
        }
        let kind = first >> 3 & 0x0f;
        let extended = first & 0x04 != 0;
        let (extension, mut body) = rest.split_at_checked(extended.into()).ok_or(Malformed)?;
        if first & 0x02 != 0 {
            let (size, after) = leb128(body).ok_or(Malformed)?;
            body = after.get(..size).ok_or(Malformed)?;
        }
        if matches!(kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            return Ok(());
        }
        let start = self.frame.data.len();
        self.frame.data.push(first | 0x02);
        self.frame.data.extend_from_slice(extension);
        write_leb128(&mut self.frame.data, body.len());
        self.frame.data.extend_from_slice(body);
        if kind == SEQUENCE_HEADER {
            let sequence = Sequence::read(body).ok_or(Malformed)?;
            self.frame.visible = Some(Visible { width: sequence.width, height: sequence.height });
            let mut private = sequence.av1c().to_vec();
            private.extend_from_slice(self.frame.data.get(start..).unwrap_or_default());
            self.frame.private = Some(private);
        }
        Ok(())
    }
}

/// What a sequence header says (section 5.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sequence {
    profile: u32,
    level: u32,
    tier: bool,
    high_depth: bool,
    twelve_bits: bool,
    monochrome: bool,
    subsampling_x: bool,
    subsampling_y: bool,
    sample_position: u32,
    width: u32,
    height: u32,
}

impl Sequence {
    fn read(body: &[u8]) -> Option<Sequence> {
        let mut bits = Bits::new(body);
        let mut sequence = Sequence { profile: bits.take(3)?, ..Sequence::default() };
        bits.bit()?; // still_picture
        if bits.bit()? {
            sequence.level = bits.take(5)?; // reduced_still_picture_header
        } else {
            let mut model_bits = None;
            // timing_info_present_flag
            if bits.bit()? {
                bits.take(32)?;
                bits.take(32)?;
                if bits.bit()? {
                    bits.exp_golomb()?;
                }
                if bits.bit()? {
                    model_bits = Some(bits.take(5)? + 1);
                    bits.take(32)?;
                    bits.take(10)?;
                }
            }
            let display_delay = bits.bit()?;
            let points = bits.take(5)? + 1;
            for point in 0..points {
                bits.take(12)?;
                let level = bits.take(5)?;
                let tier = level > 7 && bits.bit()?;
                if point == 0 {
                    (sequence.level, sequence.tier) = (level, tier);
                }
                if let Some(width) = model_bits
                    && bits.bit()?
                {
                    bits.take(width)?;
                    bits.take(width)?;
                    bits.bit()?;
                }
                if display_delay && bits.bit()? {
                    bits.take(4)?;
                }
            }
            sequence.size(&mut bits)?;
            sequence.tools(&mut bits)?;
            return sequence.colour(&mut bits);
        }
        sequence.size(&mut bits)?;
        bits.take(3)?; // superblocks of 128, filter intra, intra edge filter
        bits.take(3)?; // superres, cdef, restoration
        sequence.colour(&mut bits)
    }

    fn size(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        (self.width, self.height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
        Some(())
    }

    /// From frame ids to the restoration filter.
    fn tools(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if bits.bit()? {
            bits.take(7)?;
        }
        bits.take(3)?; // superblocks of 128, filter intra, intra edge filter
        bits.take(4)?; // inter-intra, masked, warped, dual filter
        let order_hint = bits.bit()?;
        if order_hint {
            bits.take(2)?; // joint compound, reference frame vectors
        }
        let screen = if bits.bit()? { 2 } else { bits.take(1)? };
        if screen > 0 && !bits.bit()? {
            bits.bit()?; // integer motion vectors
        }
        if order_hint {
            bits.take(3)?;
        }
        bits.take(3)?; // superres, cdef, restoration
        Some(())
    }

    fn colour(mut self, bits: &mut Bits<'_>) -> Option<Sequence> {
        self.high_depth = bits.bit()?;
        if self.profile == 2 && self.high_depth {
            self.twelve_bits = bits.bit()?;
        }
        self.monochrome = self.profile != 1 && bits.bit()?;
        let (mut primaries, mut transfer, mut matrix) = (2, 2, 2);
        if bits.bit()? {
            (primaries, transfer, matrix) = (bits.take(8)?, bits.take(8)?, bits.take(8)?);
        }
        if self.monochrome {
            (self.subsampling_x, self.subsampling_y) = (true, true);
            return Some(self);
        }
        // sRGB.
        if (primaries, transfer, matrix) == (1, 13, 0) {
            return Some(self);
        }
        bits.bit()?; // range
        (self.subsampling_x, self.subsampling_y) = match self.profile {
            0 => (true, true),
            1 => (false, false),
            _ if self.twelve_bits => {
                let x = bits.bit()?;
                (x, x && bits.bit()?)
            }
            _ => (true, false),
        };
        if self.subsampling_x && self.subsampling_y {
            self.sample_position = bits.take(2)?;
        }
        Some(self)
    }

    /// The first four bytes of `av1C`.
    fn av1c(&self) -> [u8; 4] {
        [
            0x81,
            (self.profile << 5 | self.level) as u8,
            u8::from(self.tier) << 7
                | u8::from(self.high_depth) << 6
                | u8::from(self.twelve_bits) << 5
                | u8::from(self.monochrome) << 4
                | u8::from(self.subsampling_x) << 3
                | u8::from(self.subsampling_y) << 2
                | self.sample_position as u8,
            0,
        ]
    }
}

/// A number of up to eight bytes, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(place + 1..)?));
        }
    }
    None
}

fn write_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
