// SPDX-License-Identifier: EUPL-1.2
//! VP8 (RFC 7741): a frame's partitions, one after the other.

use parvis_rtp::vp8::Descriptor;

use super::{Assemble, Assembled, Malformed};
use crate::mkv::Visible;

/// Puts VP8 frames together.
#[derive(Debug, Default)]
pub(super) struct Vp8 {
    frame: Assembled,
    begun: bool,
}

impl Assemble for Vp8 {
    fn push(&mut self, payload: &[u8]) -> Result<bool, Malformed> {
        let descriptor = Descriptor::parse(payload)?;
        if !self.begun {
            if !descriptor.starts_frame() {
                return Ok(false);
            }
            self.begun = true;
            self.frame.key = descriptor.is_keyframe(payload);
            let size = descriptor.resolution(payload).filter(|(width, height)| *width > 0 && *height > 0);
            self.frame.visible =
                size.map(|(width, height)| Visible { width: width.into(), height: height.into() });
            if self.frame.key && self.frame.visible.is_none() {
                return Err(Malformed);
            }
        } else if descriptor.starts_frame() {
            // Another frame with the same timestamp: no such thing.
            return Err(Malformed);
        }
        self.frame.data.extend_from_slice(payload.get(descriptor.len..).unwrap_or_default());
        Ok(true)
    }

    fn take(&mut self) -> Option<Assembled> {
        let begun = std::mem::take(&mut self.begun);
        let frame = std::mem::take(&mut self.frame);
        begun.then_some(frame)
    }

    fn reset(&mut self) {
        *self = Vp8::default();
    }

    fn held(&self) -> usize {
        self.frame.data.len()
    }
}
