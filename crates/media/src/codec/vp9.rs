// SPDX-License-Identifier: EUPL-1.2
//! VP9 (RFC 9628): the layer frames of a picture, as one superframe.

use parvis_rtp::vp9::Descriptor;

use super::bits::Bits;
use super::{Assemble, Assembled, Malformed};
use crate::mkv::Visible;

/// Frames in a superframe, by its index (VP9 bitstream specification, annex B.2).
const MAX_LAYERS: usize = 8;

/// Puts VP9 superframes together.
#[derive(Debug, Default)]
pub(super) struct Vp9 {
    frame: Assembled,
    /// Where each layer frame ends in the data.
    ends: Vec<usize>,
    /// Within a layer frame.
    within: bool,
}

impl Assemble for Vp9 {
    fn push(&mut self, payload: &[u8]) -> Result<bool, Malformed> {
        let descriptor = Descriptor::parse(payload)?;
        let data = payload.get(descriptor.len..).unwrap_or_default();
        let first = self.ends.is_empty() && !self.within;
        if descriptor.start_of_frame == self.within {
            // A layer frame without beginning, or one that begins within another.
            return if first { Ok(false) } else { Err(Malformed) };
        }
        if descriptor.start_of_frame {
            if self.ends.len() == MAX_LAYERS {
                return Err(Malformed);
            }
            if first {
                // There are senders that call every picture a key picture: its own header knows better.
                self.frame.key = descriptor.is_keyframe() && frame_size(data).is_some();
            }
            // Each layer of a key picture has its size; the last one is what is seen.
            if self.frame.key {
                let told =
                    descriptor.resolution().map(|(width, height)| (u32::from(width), u32::from(height)));
                let size = frame_size(data).or(told).filter(|(width, height)| *width > 0 && *height > 0);
                let size = size.map(|(width, height)| Visible { width, height });
                self.frame.visible = size.or(self.frame.visible);
            }
        }
        self.frame.data.extend_from_slice(data);
        self.within = !descriptor.end_of_frame;
        if descriptor.end_of_frame {
            self.ends.push(self.frame.data.len());
        }
        Ok(true)
    }

    fn take(&mut self) -> Option<Assembled> {
        let Vp9 { mut frame, ends, within } = std::mem::take(self);
        if within || ends.is_empty() {
            return None;
        }
        if ends.len() > 1 {
            append_index(&mut frame.data, &ends);
        }
        Some(frame)
    }

    fn reset(&mut self) {
        *self = Vp9::default();
    }

    fn held(&self) -> usize {
        self.frame.data.len()
    }
}

/// The superframe index (annex B.3): without it most decoders see one frame only.
fn append_index(data: &mut Vec<u8>, ends: &[usize]) {
    let mut sizes = Vec::new();
    let mut start = 0;
    for end in ends {
        sizes.push((end - start) as u32);
        start = *end;
    }
    let longest = sizes.iter().max().copied().unwrap_or(0);
    let width = (32 - longest.leading_zeros()).div_ceil(8).max(1);
    let marker = 0b1100_0000 | ((width - 1) as u8) << 3 | (sizes.len() - 1) as u8;
    data.push(marker);
    for size in sizes {
        data.extend(size.to_le_bytes().iter().take(width as usize));
    }
    data.push(marker);
}

/// Width and height from the uncompressed header of a key frame (section 6.2); `None` for others, which refer to sizes
/// of earlier ones, or say them behind what we'd have to keep.
fn frame_size(data: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(data);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.bit()?;
    }
    let show_existing = bits.bit()?;
    let inter = !show_existing && bits.bit()?;
    if show_existing || inter {
        return None;
    }
    bits.take(2)?; // show_frame, error_resilient_mode
    if bits.take(24)? != 0x49_8342 {
        return None;
    }
    if profile >= 2 {
        bits.bit()?; // ten or twelve bits
    }
    let rgb = bits.take(3)? == 7;
    if !rgb {
        bits.bit()?; // range
        if profile == 1 || profile == 3 {
            bits.take(3)?; // subsampling
        }
    } else if profile == 1 || profile == 3 {
        bits.bit()?;
    }
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}
