// SPDX-License-Identifier: EUPL-1.2
//! VP9's payload descriptor (RFC 9628 section 4.2), in flexible and non-flexible mode.

use crate::ParseError;
use crate::error::{slice, take};
pub use crate::vp8::PictureId;

const WHAT: &str = "VP9 payload descriptor";

/// References of one picture, at most (RFC 9628 section 4.2).
pub const MAX_REFERENCES: usize = 3;

/// What stands before VP9 data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// The picture's number (I).
    pub picture_id: Option<PictureId>,
    /// The layer frame refers to earlier pictures (P).
    pub inter_picture: bool,
    /// Flexible mode: references are spelled out (F).
    pub flexible: bool,
    /// The packet begins a layer frame (B).
    pub start_of_frame: bool,
    /// The packet ends a layer frame (E).
    pub end_of_frame: bool,
    /// No higher spatial layer of this picture refers to it (Z).
    pub not_inter_layer_reference: bool,
    /// Its layers (L).
    pub layer: Option<Layer>,
    /// Running number of base layer frames; non-flexible mode with layers only.
    pub tl0_pic_idx: Option<u8>,
    /// How many pictures back its references are; flexible mode only.
    references: [u8; MAX_REFERENCES],
    reference_count: u8,
    /// The structure of the layers (V), with key frames.
    pub structure: Option<ScalabilityStructure<'a>>,
    /// Where VP9 data begins in the payload.
    pub len: usize,
}

/// A layer frame's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// Temporal layer, 0 is the base; 3 bits.
    pub temporal: u8,
    /// One can switch up to this temporal layer here (U).
    pub switching_up: bool,
    /// Spatial layer, 0 is the base; 3 bits.
    pub spatial: u8,
    /// Refers to the next lower spatial layer of the same picture (D).
    pub inter_layer: bool,
}

impl<'a> Descriptor<'a> {
    /// Reads the descriptor of a VP9 payload.
    pub fn parse(payload: &'a [u8]) -> Result<Descriptor<'a>, ParseError> {
        let [first] = take(payload, 0, WHAT)?;
        let bit = |place: u8| first >> place & 1 != 0;
        let mut descriptor = Descriptor {
            picture_id: None,
            inter_picture: bit(6),
            flexible: bit(4),
            start_of_frame: bit(3),
            end_of_frame: bit(2),
            not_inter_layer_reference: bit(0),
            layer: None,
            tl0_pic_idx: None,
            references: [0; MAX_REFERENCES],
            reference_count: 0,
            structure: None,
            len: 1,
        };
        if bit(7) {
            let [high] = take(payload, 1, WHAT)?;
            let long = high & 0x80 != 0;
            let value = if long { u16::from_be_bytes(take(payload, 1, WHAT)?) & 0x7fff } else { high.into() };
            descriptor.picture_id = Some(PictureId { value, long });
            descriptor.len += if long { 2 } else { 1 };
        }
        if bit(5) {
            let [layer] = take(payload, descriptor.len, WHAT)?;
            descriptor.len += 1;
            descriptor.layer = Some(Layer {
                temporal: layer >> 5,
                switching_up: layer & 0x10 != 0,
                spatial: layer >> 1 & 0x07,
                inter_layer: layer & 1 != 0,
            });
            if !descriptor.flexible {
                let [index] = take(payload, descriptor.len, WHAT)?;
                descriptor.tl0_pic_idx = Some(index);
                descriptor.len += 1;
            }
        }
        if descriptor.flexible && descriptor.inter_picture {
            descriptor.read_references(payload)?;
        }
        if bit(1) {
            let structure = ScalabilityStructure::parse(&payload[descriptor.len..])?;
            descriptor.len += structure.bytes.len();
            descriptor.structure = Some(structure);
        }
        slice(payload, descriptor.len, 1, "VP9 payload")?;
        Ok(descriptor)
    }

    fn read_references(&mut self, payload: &[u8]) -> Result<(), ParseError> {
        loop {
            let [reference] = take(payload, self.len, WHAT)?;
            let place = usize::from(self.reference_count);
            let slot = self
                .references
                .get_mut(place)
                .ok_or(ParseError::Invalid { what: "VP9 references", value: 1 + place as u32 })?;
            *slot = reference >> 1;
            self.len += 1;
            self.reference_count += 1;
            if reference & 1 == 0 {
                return Ok(());
            }
        }
    }

    /// How many pictures back its references are; flexible mode only.
    pub fn references(&self) -> &[u8] {
        &self.references[..usize::from(self.reference_count)]
    }

    /// The spatial layer; 0 without layers.
    pub fn spatial(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.spatial)
    }

    /// The temporal layer; 0 without layers.
    pub fn temporal(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.temporal)
    }

    /// Whether the packet begins a key picture: the base layer frame of a picture that refers to no other.
    pub fn is_keyframe(&self) -> bool {
        self.start_of_frame && !self.inter_picture && self.spatial() == 0
    }

    /// Width and height of the highest spatial layer, where the structure says it.
    pub fn resolution(&self) -> Option<(u16, u16)> {
        self.structure?.resolutions().last()
    }
}

/// Whether `payload` begins a VP9 key picture.
pub fn is_keyframe(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_ok_and(|descriptor| descriptor.is_keyframe())
}

/// Changes the picture id in place: its lower bits, when it is 7 bits wide. Without one nothing changes.
pub fn rewrite_picture_id(payload: &mut [u8], value: u16) -> Result<(), ParseError> {
    match Descriptor::parse(payload)?.picture_id {
        Some(PictureId { long: true, .. }) => payload[1..3].copy_from_slice(&(value | 0x8000).to_be_bytes()),
        Some(PictureId { long: false, .. }) => payload[1] = value as u8 & 0x7f,
        None => {}
    }
    Ok(())
}

/// The scalability structure (RFC 9628 section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalabilityStructure<'a> {
    /// How many spatial layers there are, 1 to 8.
    pub spatial_layers: u8,
    bytes: &'a [u8],
    resolutions: &'a [u8],
    pictures: &'a [u8],
    /// How many pictures a group has; 0 when the structure doesn't say.
    pub picture_count: u8,
}

/// One picture of a group of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPicture<'a> {
    /// Its temporal layer.
    pub temporal: u8,
    /// One can switch up to this temporal layer here.
    pub switching_up: bool,
    /// How many pictures back its references are.
    pub references: &'a [u8],
}

impl<'a> ScalabilityStructure<'a> {
    fn parse(bytes: &'a [u8]) -> Result<ScalabilityStructure<'a>, ParseError> {
        const WHAT: &str = "VP9 scalability structure";
        let [first] = take(bytes, 0, WHAT)?;
        let spatial_layers = (first >> 5) + 1;
        let resolutions_len = if first & 0x10 != 0 { 4 * usize::from(spatial_layers) } else { 0 };
        let resolutions = slice(bytes, 1, resolutions_len, WHAT)?;
        let mut len = 1 + resolutions_len;
        let (mut pictures, mut picture_count) = (&[][..], 0);
        if first & 0x08 != 0 {
            [picture_count] = take(bytes, len, WHAT)?;
            len += 1;
            let start = len;
            for _ in 0..picture_count {
                let [head] = take(bytes, len, WHAT)?;
                len += 1 + slice(bytes, len + 1, usize::from(head >> 2 & 3), WHAT)?.len();
            }
            pictures = &bytes[start..len];
        }
        let bytes = &bytes[..len];
        Ok(ScalabilityStructure { spatial_layers, bytes, resolutions, pictures, picture_count })
    }

    /// Width and height of each spatial layer, lowest first; none when the structure doesn't say.
    pub fn resolutions(&self) -> impl ExactSizeIterator<Item = (u16, u16)> + 'a {
        self.resolutions
            .chunks_exact(4)
            .map(|size| (u16::from_be_bytes([size[0], size[1]]), u16::from_be_bytes([size[2], size[3]])))
    }

    /// The pictures of a group.
    pub fn pictures(&self) -> impl Iterator<Item = GroupPicture<'a>> + 'a {
        let mut rest = self.pictures;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first()?;
            let (references, after) = after.split_at_checked(usize::from(head >> 2 & 3))?;
            rest = after;
            Some(GroupPicture { temporal: head >> 5, switching_up: head & 0x10 != 0, references })
        })
    }
}
