// SPDX-License-Identifier: EUPL-1.2
//! VP8's payload descriptor (RFC 7741 section 4.2).

use crate::ParseError;
use crate::error::{slice, take};

/// What stands before VP8 data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// No other frame refers to this one: it can be dropped alone.
    pub non_reference: bool,
    /// The packet begins a partition.
    pub start_of_partition: bool,
    /// Which partition.
    pub partition: u8,
    /// The picture's number, 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// Running number of base layer frames.
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer, and whether it refers to the base layer only, so that one can switch up to it here.
    pub temporal: Option<Temporal>,
    /// Running number of key frames, 5 bits.
    pub key_index: Option<u8>,
    /// Where VP8 data begins in the payload.
    pub len: usize,
}

/// A picture's number and how wide it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// The number.
    pub value: u16,
    /// Whether it has 15 bits rather than 7.
    pub long: bool,
}

impl PictureId {
    /// The highest number of this width.
    pub fn mask(self) -> u16 {
        if self.long { 0x7fff } else { 0x7f }
    }
}

/// A VP8 frame's temporal layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Temporal {
    /// 0 is the base layer; 2 bits.
    pub id: u8,
    /// Refers to the base layer only (Y).
    pub layer_sync: bool,
}

impl Descriptor {
    /// Reads the descriptor of a VP8 payload. A payload without VP8 data is malformed.
    pub fn parse(payload: &[u8]) -> Result<Descriptor, ParseError> {
        Ok(Layout::of(payload)?.descriptor)
    }

    /// Whether the packet begins a frame.
    pub fn starts_frame(&self) -> bool {
        self.start_of_partition && self.partition == 0
    }

    /// Whether the packet begins a key frame. `payload` is the one that the descriptor was read from.
    pub fn is_keyframe(&self, payload: &[u8]) -> bool {
        // The first byte of the frame tag: the P bit is clear in a key frame (RFC 6386 section 9.1).
        self.starts_frame() && payload.get(self.len).is_some_and(|tag| tag & 1 == 0)
    }

    /// Width and height, where a key frame begins.
    pub fn resolution(&self, payload: &[u8]) -> Option<(u16, u16)> {
        if !self.is_keyframe(payload) {
            return None;
        }
        // Frame tag, start code, then 14 bits each below two of scale (RFC 6386 section 9.1).
        let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = payload.get(self.len..)?.first_chunk::<10>()?
        else {
            return None;
        };
        Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
    }
}

/// Whether `payload` begins a VP8 key frame.
pub fn is_keyframe(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_ok_and(|descriptor| descriptor.is_keyframe(payload))
}

/// What a rewritten descriptor says instead; `None` leaves a field as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The picture's number; its lower bits, when 7 bits wide.
    pub picture_id: Option<u16>,
    /// Running number of base layer frames.
    pub tl0_pic_idx: Option<u8>,
    /// Running number of key frames; its lowest 5 bits.
    pub key_index: Option<u8>,
}

/// Changes numbers in the descriptor in place. A field that the descriptor doesn't have is not added.
pub fn rewrite(payload: &mut [u8], to: &Rewrite) -> Result<(), ParseError> {
    let layout = Layout::of(payload)?;
    if let (Some(at), Some(value)) = (layout.picture_id_at, to.picture_id) {
        if payload[at] & 0x80 != 0 {
            payload[at..at + 2].copy_from_slice(&(value | 0x8000).to_be_bytes());
        } else {
            payload[at] = value as u8 & 0x7f;
        }
    }
    if let (Some(at), Some(value)) = (layout.tl0_at, to.tl0_pic_idx) {
        payload[at] = value;
    }
    if let (Some(at), Some(value)) = (layout.key_index_at, to.key_index) {
        payload[at] = payload[at] & 0xe0 | value & 0x1f;
    }
    Ok(())
}

/// A descriptor, and where its numbers stand.
struct Layout {
    descriptor: Descriptor,
    picture_id_at: Option<usize>,
    tl0_at: Option<usize>,
    key_index_at: Option<usize>,
}

impl Layout {
    fn of(payload: &[u8]) -> Result<Layout, ParseError> {
        const WHAT: &str = "VP8 payload descriptor";
        let [first] = take(payload, 0, WHAT)?;
        let mut len = 1;
        let [extended] = if first & 0x80 != 0 { take(payload, 1, WHAT)? } else { [0] };
        len += usize::from(first & 0x80 != 0);
        let mut layout = Layout {
            descriptor: Descriptor {
                non_reference: first & 0x20 != 0,
                start_of_partition: first & 0x10 != 0,
                partition: first & 0x07,
                picture_id: None,
                tl0_pic_idx: None,
                temporal: None,
                key_index: None,
                len,
            },
            picture_id_at: None,
            tl0_at: None,
            key_index_at: None,
        };
        if extended & 0x80 != 0 {
            let [high] = take(payload, len, WHAT)?;
            let long = high & 0x80 != 0;
            let value =
                if long { u16::from_be_bytes(take(payload, len, WHAT)?) & 0x7fff } else { high.into() };
            layout.descriptor.picture_id = Some(PictureId { value, long });
            layout.picture_id_at = Some(len);
            len += if long { 2 } else { 1 };
        }
        if extended & 0x40 != 0 {
            let [index] = take(payload, len, WHAT)?;
            layout.descriptor.tl0_pic_idx = Some(index);
            layout.tl0_at = Some(len);
            len += 1;
        }
        if extended & 0x30 != 0 {
            let [both] = take(payload, len, WHAT)?;
            if extended & 0x20 != 0 {
                layout.descriptor.temporal = Some(Temporal { id: both >> 6, layer_sync: both & 0x20 != 0 });
            }
            if extended & 0x10 != 0 {
                layout.descriptor.key_index = Some(both & 0x1f);
                layout.key_index_at = Some(len);
            }
            len += 1;
        }
        slice(payload, len, 1, "VP8 payload")?;
        layout.descriptor.len = len;
        Ok(layout)
    }
}
