// SPDX-License-Identifier: EUPL-1.2
//! The AV1 dependency descriptor (RTP Payload Format for AV1, appendix A): which frame a packet belongs to, what
//! that frame needs, and who needs it. VP9 and others may carry it too.
//!
//! Key frames bring a [`Structure`] of templates, which the caller keeps per stream; all other descriptors refer to
//! it. [`Descriptor::parse`] allocates only for a new structure.

mod structure;

pub use structure::{
    ChainDiffs, FrameDiffs, Indication, Indications, MAX_DECODE_TARGETS, MAX_FRAME_DIFFS, MAX_TEMPLATES,
    Resolution, Structure, Template,
};

use crate::bits::{BitReader, BitWriter};
use crate::{ParseError, WriteError};

const WHAT: &str = "dependency descriptor";
/// The mandatory fields alone.
const MANDATORY_BYTES: usize = 3;

/// A packet's descriptor, with what its template says filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The packet begins a frame.
    pub start_of_frame: bool,
    /// The packet ends a frame.
    pub end_of_frame: bool,
    /// The template as the wire numbers it, 6 bits.
    pub template_id: u8,
    /// The frame's number.
    pub frame_number: u16,
    /// A new structure: the caller keeps it for this stream, when the packet is accepted.
    pub structure: Option<Box<Structure>>,
    /// A new set of active decode targets, a bit each, as sent. With a new structure and none, all are active.
    pub active_decode_targets: Option<u32>,
    /// The frame's spatial layer.
    pub spatial: u8,
    /// The frame's temporal layer.
    pub temporal: u8,
    /// What the frame is to each decode target.
    pub indications: Indications,
    /// How many frames back those are that it refers to.
    pub frame_diffs: FrameDiffs,
    /// How many frames back the previous frame of each chain is.
    pub chain_diffs: ChainDiffs,
    /// The size at which its spatial layer is to be shown, if the structure says it.
    pub resolution: Option<Resolution>,
    /// Which of the last three differ from the template and so are written out.
    custom: Custom,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Custom {
    indications: bool,
    frame_diffs: bool,
    chain_diffs: bool,
}

impl Descriptor {
    /// Reads a descriptor. `current` is the stream's structure, if one was received.
    pub fn parse(bytes: &[u8], current: Option<&Structure>) -> Result<Descriptor, ParseError> {
        let mut bits = BitReader::new(bytes, WHAT);
        let (start_of_frame, end_of_frame) = (bits.bit()?, bits.bit()?);
        let (template_id, frame_number) = (bits.bits(6)? as u8, bits.bits(16)? as u16);
        let mut custom = Custom::default();
        let (mut received, mut has_active) = (None, false);
        if bytes.len() > MANDATORY_BYTES {
            let has_structure = bits.bit()?;
            has_active = bits.bit()?;
            custom = Custom { indications: bits.bit()?, frame_diffs: bits.bit()?, chain_diffs: bits.bit()? };
            if has_structure {
                received = Some(Box::new(Structure::parse(&mut bits)?));
            }
        }
        let missing = ParseError::Missing { what: "dependency descriptor's template structure" };
        let structure = received.as_deref().or(current).ok_or(missing)?;
        let active_decode_targets =
            if has_active { Some(bits.bits(structure.decode_target_count().into())?) } else { None };
        let unknown = ParseError::Invalid { what: "dependency template", value: template_id.into() };
        let template = structure.template(template_id).ok_or(unknown)?;
        let mut descriptor = Descriptor {
            start_of_frame,
            end_of_frame,
            template_id,
            frame_number,
            structure: None,
            active_decode_targets,
            spatial: template.spatial,
            temporal: template.temporal,
            indications: template.indications,
            frame_diffs: template.frame_diffs,
            chain_diffs: template.chain_diffs,
            resolution: structure.resolutions().get(usize::from(template.spatial)).copied(),
            custom,
        };
        if custom.indications {
            descriptor.indications = Indications::parse(&mut bits, structure.decode_target_count())?;
        }
        if custom.frame_diffs {
            descriptor.frame_diffs = FrameDiffs::default();
            loop {
                let nibbles = bits.bits(2)?;
                if nibbles == 0 {
                    break;
                }
                descriptor.frame_diffs.push(bits.bits(4 * nibbles)? as u16 + 1)?;
            }
        }
        if custom.chain_diffs {
            descriptor.chain_diffs = ChainDiffs::parse(&mut bits, structure.chain_count(), 8)?;
        }
        descriptor.structure = received;
        Ok(descriptor)
    }

    /// Writes the descriptor, after a change of [`Descriptor::active_decode_targets`] say. `current` is the stream's
    /// structure; a new one that the descriptor brings goes before it. Returns the length in bytes.
    pub fn write(&self, buf: &mut [u8], current: Option<&Structure>) -> Result<usize, WriteError> {
        let structure = self.structure.as_deref().or(current);
        let lost = WriteError::Unrepresentable { what: "dependency descriptor without structure", value: 0 };
        let structure = structure.ok_or(lost)?;
        let mut bits = BitWriter::new(buf);
        bits.bit(self.start_of_frame)?;
        bits.bit(self.end_of_frame)?;
        bits.bits(self.template_id.into(), 6)?;
        bits.bits(self.frame_number.into(), 16)?;
        if self.structure.is_none()
            && self.active_decode_targets.is_none()
            && self.custom == Custom::default()
        {
            return Ok(bits.len());
        }
        bits.bit(self.structure.is_some())?;
        bits.bit(self.active_decode_targets.is_some())?;
        bits.bit(self.custom.indications)?;
        bits.bit(self.custom.frame_diffs)?;
        bits.bit(self.custom.chain_diffs)?;
        if let Some(structure) = &self.structure {
            structure.write(&mut bits)?;
        }
        if let Some(active) = self.active_decode_targets {
            bits.bits(active, structure.decode_target_count().into())?;
        }
        if self.custom.indications {
            self.indications.write(&mut bits, structure.decode_target_count())?;
        }
        if self.custom.frame_diffs {
            for &diff in self.frame_diffs.as_slice() {
                let less_one = u32::from(diff - 1);
                let nibbles = (u32::BITS - less_one.leading_zeros()).div_ceil(4).max(1);
                bits.bits(nibbles, 2)?;
                bits.bits(less_one, 4 * nibbles)?;
            }
            bits.bits(0, 2)?;
        }
        if self.custom.chain_diffs {
            self.chain_diffs.write(&mut bits, 8)?;
        }
        Ok(bits.len())
    }
}

/// Start and end of frame, template id and frame number: what every descriptor says, without a structure.
pub fn peek(bytes: &[u8]) -> Option<(bool, bool, u8, u16)> {
    let &[first, high, low] = bytes.first_chunk::<MANDATORY_BYTES>()?;
    Some((first & 0x80 != 0, first & 0x40 != 0, first & 0x3f, u16::from_be_bytes([high, low])))
}
