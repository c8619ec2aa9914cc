// SPDX-License-Identifier: EUPL-1.2
//! H.264's payload structures (RFC 6184 section 5): single NAL units, STAP-A, FU-A.

use crate::ParseError;
use crate::bits::BitReader;
use crate::error::{slice, take};

const WHAT: &str = "H.264 payload";
const SLICE_IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// NAL units, or the beginning of one, in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The packet begins a key frame: parameter sets before one, or the first slice of an IDR picture.
    pub keyframe: bool,
    /// A sequence parameter set is in it.
    pub has_sps: bool,
    /// A picture parameter set is in it.
    pub has_pps: bool,
    /// The packet begins at least one NAL unit; clear within a fragmented one.
    pub starts_unit: bool,
    /// No other picture refers to what is in it (nal_ref_idc is 0 throughout).
    pub non_reference: bool,
    /// Width and height, from a sequence parameter set.
    pub resolution: Option<(u32, u32)>,
}

impl Descriptor {
    /// Reads what kinds of NAL units an H.264 payload has.
    pub fn parse(payload: &[u8]) -> Result<Descriptor, ParseError> {
        let [first] = take(payload, 0, WHAT)?;
        let mut descriptor = Descriptor {
            keyframe: false,
            has_sps: false,
            has_pps: false,
            starts_unit: true,
            non_reference: first & 0x60 == 0,
            resolution: None,
        };
        match first & 0x1f {
            STAP_A => {
                let mut rest = &payload[1..];
                while !rest.is_empty() {
                    let len = usize::from(u16::from_be_bytes(take(rest, 0, "H.264 STAP-A")?));
                    descriptor.add(slice(rest, 2, len, "H.264 STAP-A")?);
                    rest = &rest[2 + len..];
                }
            }
            FU_A => {
                let [head] = take(payload, 1, "H.264 FU-A")?;
                descriptor.starts_unit = head & 0x80 != 0;
                if descriptor.starts_unit {
                    descriptor.add_unit(head & 0x1f, &payload[2..]);
                }
            }
            1..=23 => descriptor.add(payload),
            other => return Err(ParseError::Invalid { what: "H.264 NAL unit type", value: other.into() }),
        }
        Ok(descriptor)
    }

    fn add(&mut self, unit: &[u8]) {
        if let Some((head, rest)) = unit.split_first() {
            self.add_unit(head & 0x1f, rest);
        }
    }

    fn add_unit(&mut self, kind: u8, rest: &[u8]) {
        match kind {
            SPS => {
                self.has_sps = true;
                self.keyframe = true;
                self.resolution = sps_resolution(rest).ok().or(self.resolution);
            }
            PPS => self.has_pps = true,
            // first_mb_in_slice is 0, coded as a single set bit: not a later slice of the same picture.
            SLICE_IDR => self.keyframe |= rest.first().is_some_and(|byte| byte & 0x80 != 0),
            _ => {}
        }
    }
}

/// Whether `payload` begins an H.264 key frame.
pub fn is_keyframe(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_ok_and(|descriptor| descriptor.keyframe)
}

/// A sequence parameter set that we look into, without emulation prevention: those of browsers have some 30 bytes.
const MAX_SPS_BYTES: usize = 256;

/// Width and height from a sequence parameter set (H.264 section 7.3.2.1.1), from behind its NAL unit header.
pub fn sps_resolution(sps: &[u8]) -> Result<(u32, u32), ParseError> {
    let mut plain = [0; MAX_SPS_BYTES];
    let len = remove_emulation_prevention(sps, &mut plain);
    let mut bits = BitReader::new(&plain[..len], "H.264 SPS");
    let profile = bits.bits(8)?;
    bits.bits(16)?; // constraint flags, level
    bits.exp_golomb()?; // id
    let mut chroma = 1;
    // The profiles with chroma format and scaling lists.
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            chroma = if bits.bit()? { 0 } else { 3 }; // separate planes are cropped as monochrome is
        }
        bits.exp_golomb()?; // luma depth
        bits.exp_golomb()?; // chroma depth
        bits.bit()?;
        if bits.bit()? {
            let lists = if chroma == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.bit()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.exp_golomb()?; // frame number length
    match bits.exp_golomb()? {
        0 => drop(bits.exp_golomb()?),
        1 => {
            bits.bit()?;
            bits.skip_signed_exp_golomb()?;
            bits.skip_signed_exp_golomb()?;
            let count = bits.exp_golomb()?;
            if count > 255 {
                return Err(ParseError::Invalid { what: "H.264 SPS picture order cycle", value: count });
            }
            for _ in 0..count {
                bits.skip_signed_exp_golomb()?;
            }
        }
        2 => {}
        other => return Err(ParseError::Invalid { what: "H.264 SPS picture order type", value: other }),
    }
    bits.exp_golomb()?; // reference frames
    bits.bit()?;
    let width = macroblocks(&mut bits)?;
    let map_height = macroblocks(&mut bits)?;
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.bit()?;
    }
    bits.bit()?;
    let height = map_height * if frames_only { 1 } else { 2 };
    let mut crop = [0; 4];
    if bits.bit()? {
        for side in &mut crop {
            *side = bits.exp_golomb()?;
        }
    }
    // In units of chroma samples (section 7.4.2.1.1).
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = if chroma == 1 { 2 } else { 1 } * if frames_only { 1 } else { 2 };
    let cropped = |size: u32, unit: u32, a: u32, b: u32| {
        let cut = a.checked_add(b).and_then(|cut| cut.checked_mul(unit));
        cut.and_then(|cut| size.checked_sub(cut)).filter(|size| *size > 0)
    };
    let bad = ParseError::Invalid { what: "H.264 SPS cropping", value: crop[0] };
    let width = cropped(width, unit_x, crop[0], crop[1]).ok_or(bad)?;
    Ok((width, cropped(height, unit_y, crop[2], crop[3]).ok_or(bad)?))
}

/// A size in macroblocks less one, as samples. Level 6.2 ends at 16,888 samples.
fn macroblocks(bits: &mut BitReader<'_>) -> Result<u32, ParseError> {
    let less_one = bits.exp_golomb()?;
    if less_one >= 2048 {
        return Err(ParseError::Invalid { what: "H.264 SPS size in macroblocks", value: less_one });
    }
    Ok(16 * (less_one + 1))
}

/// Section 7.3.2.1.1.1: a list ends early when the next scale comes to 0.
fn skip_scaling_list(bits: &mut BitReader<'_>, size: u32) -> Result<(), ParseError> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.exp_golomb()?);
            let delta = if code % 2 == 0 { -(code / 2) } else { (code + 1) / 2 };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

/// Drops each 3 that follows two zeros (section 7.4.1). Returns how many bytes of `plain` are filled.
fn remove_emulation_prevention(unit: &[u8], plain: &mut [u8]) -> usize {
    let (mut len, mut zeros) = (0, 0);
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        let Some(slot) = plain.get_mut(len) else { break };
        *slot = byte;
        len += 1;
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    len
}
