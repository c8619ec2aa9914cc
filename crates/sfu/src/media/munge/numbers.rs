// SPDX-License-Identifier: EUPL-1.2
//! A codec's own numbers across drops and layer switches: VP8 (RFC 7741 section 4.2), VP9 (RFC 9628 section 4.2), and the
//! dependency descriptor's frame number.

use super::Ranges;
use crate::media::facts::{CodecFacts, Facts};
use crate::media::sent::Munge;

/// The numbers of one subscription. They continue over layer switches as if one encoder had made them.
#[derive(Debug)]
pub(crate) struct CodecNumbers {
    /// Picture ids. A VP8 picture that is dropped whole closes its place: a gap would make receivers wait for it.
    pictures: Ranges,
    last_picture: Option<u64>,
    tl0: Shifted<8>,
    key: Shifted<5>,
    /// Added to frame numbers of the dependency descriptor. Its references are relative: gaps must stay.
    frame_shift: u64,
    last_frame: Option<u64>,
}

/// A small counter of `BITS` bits that goes on after a switch.
#[derive(Debug, Default)]
struct Shifted<const BITS: u32> {
    shift: u8,
    last: Option<u8>,
}

impl<const BITS: u32> Shifted<BITS> {
    const MASK: u8 = ((1u16 << BITS) - 1) as u8;

    fn switch(&mut self, value: u8) {
        if let Some(last) = self.last {
            self.shift = last.wrapping_add(1).wrapping_sub(value);
        }
    }

    fn take(&mut self, value: u8) -> u8 {
        let out = value.wrapping_add(self.shift) & Self::MASK;
        // A late packet's number lies behind the last one and doesn't count.
        if self.last.is_none_or(|last| out.wrapping_sub(last) & Self::MASK <= Self::MASK / 2) {
            self.last = Some(out);
        }
        out
    }
}

impl CodecNumbers {
    pub(crate) fn new() -> CodecNumbers {
        CodecNumbers {
            pictures: Ranges::new(),
            last_picture: None,
            tl0: Shifted::default(),
            key: Shifted::default(),
            frame_shift: 0,
            last_frame: None,
        }
    }

    /// The key picture with which a new layer begins.
    pub(crate) fn switch(&mut self, facts: &Facts) {
        match facts.codec {
            CodecFacts::None => {}
            CodecFacts::Vp8(vp8) => {
                if let Some(picture) = vp8.picture {
                    self.pictures.restart(picture, self.last_picture.map_or(picture, |last| last + 1));
                }
                if let Some(tl0) = vp8.tl0_index {
                    self.tl0.switch(tl0);
                }
                if let Some(key) = vp8.key_index {
                    self.key.switch(key);
                }
            }
            CodecFacts::Vp9(vp9) => {
                if let Some(picture) = vp9.picture {
                    self.pictures.restart(picture, self.last_picture.map_or(picture, |last| last + 1));
                }
                if let Some(tl0) = vp9.tl0_index {
                    self.tl0.switch(tl0);
                }
            }
        }
        if let Some(dependency) = facts.dependency {
            let out = self.last_frame.map_or(dependency.frame, |last| last + 1);
            self.frame_shift = out.wrapping_sub(dependency.frame);
        }
    }

    /// A packet to be sent, new or late. `None` when its picture was dropped.
    pub(crate) fn take(&mut self, facts: &Facts) -> Option<Munge> {
        let mut munge = Munge::default();
        let (picture, tl0_index, key_index) = match facts.codec {
            CodecFacts::None => (None, None, None),
            CodecFacts::Vp8(vp8) => (vp8.picture, vp8.tl0_index, vp8.key_index),
            CodecFacts::Vp9(vp9) => (vp9.picture, vp9.tl0_index, None),
        };
        if let Some(picture) = picture {
            let out = if self.pictures.is_new(picture) {
                self.pictures.take(picture)
            } else {
                self.pictures.late(picture)?
            };
            self.last_picture = Some(self.last_picture.map_or(out, |last| last.max(out)));
            munge.picture_id = (out & 0x7fff) as u16;
        }
        if let Some(tl0_index) = tl0_index {
            munge.tl0_index = self.tl0.take(tl0_index);
        }
        if let Some(key_index) = key_index {
            munge.key_index = self.key.take(key_index);
        }
        if let Some(dependency) = facts.dependency {
            let out = dependency.frame.wrapping_add(self.frame_shift);
            self.last_frame = Some(self.last_frame.map_or(out, |last| last.max(out)));
            munge.frame_number = out as u16;
        }
        Some(munge)
    }

    /// A new packet that is dropped.
    pub(crate) fn exclude(&mut self, facts: &Facts) {
        // VP9's references count pictures back (P_DIFF, GOF): its gaps must stay.
        if let CodecFacts::Vp8(vp8) = facts.codec
            && let Some(picture) = vp8.picture
            && self.pictures.is_new(picture)
        {
            self.pictures.exclude(picture);
        }
    }
}
