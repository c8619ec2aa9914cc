// SPDX-License-Identifier: EUPL-1.2
//! The template dependency structure: what the frames of a stream have in common.

use super::WHAT;
use crate::bits::{BitReader, BitWriter};
use crate::{ParseError, WriteError};

/// Templates of a structure: their ids have 6 bits.
pub const MAX_TEMPLATES: usize = 64;
/// Decode targets of a structure: their count less one has 5 bits.
pub const MAX_DECODE_TARGETS: usize = 32;
/// References of one frame that we take. AV1 has 7 a frame, VP9 3; the format sets no bound.
pub const MAX_FRAME_DIFFS: usize = 16;

/// What the descriptors of a stream refer to, from one key frame to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    id_offset: u8,
    decode_target_count: u8,
    chain_count: u8,
    /// For each decode target, the chain that protects it.
    protected_by: [u8; MAX_DECODE_TARGETS],
    templates: Vec<Template>,
    resolutions: Vec<Resolution>,
}

/// What frames of one kind have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// What such a frame is to each decode target.
    pub indications: Indications,
    /// How many frames back its references are.
    pub frame_diffs: FrameDiffs,
    /// How many frames back the previous frame of each chain is; 0 when the frame begins the chain.
    pub chain_diffs: ChainDiffs,
}

/// The size at which a spatial layer is to be shown, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Width, 1 to 65,536.
    pub width: u32,
    /// Height, 1 to 65,536.
    pub height: u32,
}

impl Structure {
    /// How many decode targets there are, 1 to 32.
    pub fn decode_target_count(&self) -> u8 {
        self.decode_target_count
    }

    /// How many chains there are.
    pub fn chain_count(&self) -> u8 {
        self.chain_count
    }

    /// The chain that protects a decode target: its frames must all arrive. `None` when there are no chains.
    pub fn protected_by(&self, decode_target: u8) -> Option<u8> {
        if self.chain_count == 0 || decode_target >= self.decode_target_count {
            return None;
        }
        self.protected_by.get(usize::from(decode_target)).copied()
    }

    /// The templates in order.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The sizes of the spatial layers, lowest first; empty when the structure doesn't say.
    pub fn resolutions(&self) -> &[Resolution] {
        &self.resolutions
    }

    /// The highest spatial and temporal layer among the frames that a decode target needs.
    pub fn decode_target_layer(&self, decode_target: u8) -> (u8, u8) {
        let needed = self
            .templates
            .iter()
            .filter(|template| template.indications.get(decode_target) != Indication::NotPresent);
        needed.fold((0, 0), |(spatial, temporal), template| {
            (spatial.max(template.spatial), temporal.max(template.temporal))
        })
    }

    /// Every decode target active: a bit each.
    pub fn all_decode_targets(&self) -> u32 {
        u32::MAX >> (MAX_DECODE_TARGETS as u32 - u32::from(self.decode_target_count))
    }

    /// The template that descriptors mean by `id`.
    pub(super) fn template(&self, id: u8) -> Option<&Template> {
        self.templates.get(usize::from(id.wrapping_sub(self.id_offset) % MAX_TEMPLATES as u8))
    }

    pub(super) fn parse(bits: &mut BitReader<'_>) -> Result<Structure, ParseError> {
        let id_offset = bits.bits(6)? as u8;
        let decode_target_count = bits.bits(5)? as u8 + 1;
        let mut structure = Structure {
            id_offset,
            decode_target_count,
            chain_count: 0,
            protected_by: [0; MAX_DECODE_TARGETS],
            templates: Vec::new(),
            resolutions: Vec::new(),
        };
        structure.parse_layers(bits)?;
        for template in &mut structure.templates {
            template.indications = Indications::parse(bits, decode_target_count)?;
        }
        for template in &mut structure.templates {
            while bits.bit()? {
                template.frame_diffs.push(bits.bits(4)? as u16 + 1)?;
            }
        }
        structure.chain_count = bits.below(u32::from(decode_target_count) + 1)? as u8;
        if structure.chain_count > 0 {
            for chain in &mut structure.protected_by[..usize::from(decode_target_count)] {
                *chain = bits.below(structure.chain_count.into())? as u8;
            }
            for template in &mut structure.templates {
                template.chain_diffs = ChainDiffs::parse(bits, structure.chain_count, 4)?;
            }
        }
        if bits.bit()? {
            for _ in 0..structure.spatial_layers() {
                structure
                    .resolutions
                    .push(Resolution { width: bits.bits(16)? + 1, height: bits.bits(16)? + 1 });
            }
        }
        Ok(structure)
    }

    fn parse_layers(&mut self, bits: &mut BitReader<'_>) -> Result<(), ParseError> {
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            if self.templates.len() == MAX_TEMPLATES {
                return Err(ParseError::Invalid {
                    what: "dependency templates",
                    value: 1 + MAX_TEMPLATES as u32,
                });
            }
            self.templates.push(Template {
                spatial,
                temporal,
                indications: Indications::default(),
                frame_diffs: FrameDiffs::default(),
                chain_diffs: ChainDiffs::default(),
            });
            match bits.bits(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Ok(()),
            }
        }
    }

    pub(super) fn write(&self, bits: &mut BitWriter<'_>) -> Result<(), WriteError> {
        bits.bits(self.id_offset.into(), 6)?;
        bits.bits(u32::from(self.decode_target_count) - 1, 5)?;
        for (place, template) in self.templates.iter().enumerate() {
            let next = match self.templates.get(place + 1) {
                None => 3,
                Some(next) if next.spatial > template.spatial => 2,
                Some(next) if next.temporal > template.temporal => 1,
                Some(_) => 0,
            };
            bits.bits(next, 2)?;
        }
        for template in &self.templates {
            template.indications.write(bits, self.decode_target_count)?;
        }
        for template in &self.templates {
            for &diff in template.frame_diffs.as_slice() {
                bits.bit(true)?;
                bits.bits(u32::from(diff - 1), 4)?;
            }
            bits.bit(false)?;
        }
        bits.below(self.chain_count.into(), u32::from(self.decode_target_count) + 1)?;
        if self.chain_count > 0 {
            for &chain in &self.protected_by[..usize::from(self.decode_target_count)] {
                bits.below(chain.into(), self.chain_count.into())?;
            }
            for template in &self.templates {
                template.chain_diffs.write(bits, 4)?;
            }
        }
        bits.bit(!self.resolutions.is_empty())?;
        for resolution in &self.resolutions {
            bits.bits(resolution.width - 1, 16)?;
            bits.bits(resolution.height - 1, 16)?;
        }
        Ok(())
    }

    fn spatial_layers(&self) -> usize {
        self.templates.last().map_or(0, |template| usize::from(template.spatial) + 1)
    }
}

/// What a frame is to a decode target (table A.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// It doesn't belong to it.
    NotPresent,
    /// It belongs to it, and nothing depends on it.
    Discardable,
    /// It belongs to it; once it is decodable, so are all later frames of the decode target.
    Switch,
    /// It belongs to it, and later frames depend on it.
    Required,
}

/// An [`Indication`] for each decode target, two bits each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Indications(u64);

impl Indications {
    /// What the frame is to a decode target; [`Indication::NotPresent`] to one that doesn't exist.
    pub fn get(self, decode_target: u8) -> Indication {
        match self.0.checked_shr(2 * u32::from(decode_target)).unwrap_or(0) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    pub(super) fn parse(bits: &mut BitReader<'_>, count: u8) -> Result<Indications, ParseError> {
        let mut indications = 0;
        for place in 0..count {
            indications |= u64::from(bits.bits(2)?) << (2 * place);
        }
        Ok(Indications(indications))
    }

    pub(super) fn write(self, bits: &mut BitWriter<'_>, count: u8) -> Result<(), WriteError> {
        (0..count).try_for_each(|place| bits.bits((self.0 >> (2 * place)) as u32 & 3, 2))
    }
}

/// How many frames back the references of a frame are, 1 to 4,096 each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameDiffs {
    len: u8,
    diffs: [u16; MAX_FRAME_DIFFS],
}

impl FrameDiffs {
    /// In the order of the wire.
    pub fn as_slice(&self) -> &[u16] {
        &self.diffs[..usize::from(self.len)]
    }

    pub(super) fn push(&mut self, diff: u16) -> Result<(), ParseError> {
        let slot = self.diffs.get_mut(usize::from(self.len));
        *slot.ok_or(ParseError::Invalid {
            what: "frame references in a dependency descriptor",
            value: diff.into(),
        })? = diff;
        self.len += 1;
        Ok(())
    }
}

/// How many frames back the previous frame of each chain is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainDiffs {
    len: u8,
    diffs: [u8; MAX_DECODE_TARGETS],
}

impl ChainDiffs {
    /// By chain.
    pub fn as_slice(&self) -> &[u8] {
        &self.diffs[..usize::from(self.len)]
    }

    pub(super) fn parse(bits: &mut BitReader<'_>, count: u8, width: u32) -> Result<ChainDiffs, ParseError> {
        let mut chains = ChainDiffs { len: count, diffs: [0; MAX_DECODE_TARGETS] };
        let slots = chains.diffs.get_mut(..usize::from(count));
        for diff in slots.ok_or(ParseError::Invalid { what: WHAT, value: count.into() })? {
            *diff = bits.bits(width)? as u8;
        }
        Ok(chains)
    }

    pub(super) fn write(&self, bits: &mut BitWriter<'_>, width: u32) -> Result<(), WriteError> {
        self.as_slice().iter().try_for_each(|diff| bits.bits((*diff).into(), width))
    }
}
