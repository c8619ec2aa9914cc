// SPDX-License-Identifier: EUPL-1.2
//! H.264 (RFC 6184): NAL units, each behind four bytes of length, with the parameter sets in `avcC`.

use std::collections::BTreeMap;

use parvis_rtp::h264::sps_resolution;

use super::bits::Bits;
use super::{Assemble, Assembled, Malformed};
use crate::mkv::Visible;

const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// By H.264 section 7.4.2.1.1 and 7.4.2.2: ids of sequence and picture parameter sets.
const MAX_SPS_ID: u32 = 31;
const MAX_PPS_ID: u32 = 255;
/// Those of browsers have some 30 bytes.
const MAX_SET_BYTES: usize = 1024;

/// Puts H.264 access units together.
#[derive(Debug, Default)]
pub(super) struct H264 {
    data: Vec<u8>,
    key: bool,
    /// The NAL unit whose fragments are coming.
    fragment: Option<Vec<u8>>,
    sps: BTreeMap<u32, Vec<u8>>,
    pps: BTreeMap<u32, Vec<u8>>,
}

impl Assemble for H264 {
    fn push(&mut self, payload: &[u8]) -> Result<bool, Malformed> {
        let (&first, rest) = payload.split_first().ok_or(Malformed)?;
        let kind = first & 0x1f;
        if kind != FU_A && self.fragment.is_some() {
            return Err(Malformed);
        }
        match kind {
            1..=23 => self.unit(payload)?,
            STAP_A => {
                let mut rest = rest;
                while !rest.is_empty() {
                    let (length, after) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
                    let length = usize::from(u16::from_be_bytes(*length));
                    let (unit, after) = after.split_at_checked(length).ok_or(Malformed)?;
                    self.unit(unit)?;
                    rest = after;
                }
            }
            FU_A => {
                let (&head, body) = rest.split_first().ok_or(Malformed)?;
                if head & 0x80 != 0 {
                    if self.fragment.is_some() {
                        return Err(Malformed);
                    }
                    self.fragment = Some(vec![first & 0xe0 | head & 0x1f]);
                }
                let Some(unit) = &mut self.fragment else { return Ok(false) };
                unit.extend_from_slice(body);
                if head & 0x40 != 0
                    && let Some(unit) = self.fragment.take()
                {
                    self.unit(&unit)?;
                }
            }
            _ => return Err(Malformed),
        }
        Ok(true)
    }

    fn take(&mut self) -> Option<Assembled> {
        let data = std::mem::take(&mut self.data);
        let key = std::mem::take(&mut self.key);
        if self.fragment.take().is_some() {
            return None;
        }
        if !key {
            return Some(Assembled { data, ..Assembled::default() });
        }
        // A key frame whose parameter sets never came can't be decoded: it is none.
        let (visible, private) = (self.visible()?, self.avcc()?);
        Some(Assembled { key, visible: Some(visible), private: Some(private), data })
    }

    fn reset(&mut self) {
        self.data.clear();
        self.key = false;
        self.fragment = None;
    }

    fn held(&self) -> usize {
        self.data.len() + self.fragment.as_ref().map_or(0, Vec::len)
    }
}

impl H264 {
    fn unit(&mut self, unit: &[u8]) -> Result<(), Malformed> {
        let (&first, body) = unit.split_first().ok_or(Malformed)?;
        match first & 0x1f {
            SPS => {
                // Profile, constraints and level come first, then the id.
                let id = Bits::new(body.get(3..).unwrap_or_default()).exp_golomb();
                return keep(&mut self.sps, id, MAX_SPS_ID, unit);
            }
            PPS => {
                let id = Bits::new(body).exp_golomb();
                return keep(&mut self.pps, id, MAX_PPS_ID, unit);
            }
            IDR => self.key = true,
            _ => {}
        }
        let length = u32::try_from(unit.len()).map_err(|_| Malformed)?;
        self.data.extend(length.to_be_bytes());
        self.data.extend_from_slice(unit);
        Ok(())
    }

    fn visible(&self) -> Option<Visible> {
        let sizes = self.sps.values().filter_map(|sps| sps_resolution(sps.get(1..)?).ok());
        let (width, height) = sizes.max_by_key(|(width, height)| u64::from(*width) * u64::from(*height))?;
        Some(Visible { width, height })
    }

    /// The decoder configuration record (ISO/IEC 14496-15 section 5.3.3.1).
    fn avcc(&self) -> Option<Vec<u8>> {
        let first = self.sps.values().next()?;
        let &[profile, constraints, level] = first.get(1..)?.first_chunk::<3>()?;
        if self.pps.is_empty() {
            return None;
        }
        let mut record = vec![1, profile, constraints, level, 0xff];
        // 31 sequence and 255 picture parameter sets at most.
        let sps = self.sps.values().take(31);
        record.push(0xe0 | sps.len() as u8);
        for set in sps {
            record.extend((set.len() as u16).to_be_bytes());
            record.extend_from_slice(set);
        }
        let pps = self.pps.values().take(255);
        record.push(pps.len() as u8);
        for set in pps {
            record.extend((set.len() as u16).to_be_bytes());
            record.extend_from_slice(set);
        }
        // The high profiles say chroma and depth once more.
        if matches!(profile, 100 | 110 | 122 | 144) {
            let (chroma, luma_depth, chroma_depth) = formats(first)?;
            record.extend([0xfc | chroma, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0]);
        }
        Some(record)
    }
}

/// A new set with the same id takes the old one's place.
fn keep(sets: &mut BTreeMap<u32, Vec<u8>>, id: Option<u32>, max: u32, unit: &[u8]) -> Result<(), Malformed> {
    let id = id.filter(|id| *id <= max && unit.len() <= MAX_SET_BYTES).ok_or(Malformed)?;
    sets.insert(id, unit.to_vec());
    Ok(())
}

/// Chroma format, luma depth and chroma depth less 8, of a high profile's set.
fn formats(sps: &[u8]) -> Option<(u8, u8, u8)> {
    let mut bits = Bits::new(sps.get(4..)?);
    bits.exp_golomb()?;
    let chroma = bits.exp_golomb()?;
    if chroma == 3 {
        bits.bit()?;
    }
    let (luma, chroma_depth) = (bits.exp_golomb()?, bits.exp_golomb()?);
    (chroma <= 3 && luma <= 6 && chroma_depth <= 6).then_some((chroma as u8, luma as u8, chroma_depth as u8))
}
