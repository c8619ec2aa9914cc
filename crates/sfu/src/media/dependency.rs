// SPDX-License-Identifier: EUPL-1.2
//! The dependency descriptor as forwarding uses it: which decode targets a stream has, what a frame is to each, and the
//! descriptor that a subscriber of some of them gets.

use parvis_rtp::dependency::{Descriptor, Indication, MAX_DECODE_TARGETS, Structure, Template};

use super::facts::Facts;
use super::select::LayerChoice;
use super::sent::Munge;
use super::sequence::Unwrapper;

/// Chains looked at: encoders make one per spatial layer.
const MAX_CHAINS: usize = 4;
/// The longest descriptor that a header extension carries.
pub(crate) const MAX_DESCRIPTOR_BYTES: usize = 255;

/// What a frame is to the decode targets, a bit for each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DependencyFacts {
    /// The frame's number, unwrapped.
    pub(crate) frame: u64,
    /// It belongs to the target.
    pub(crate) present: u32,
    /// From it on the target can be decoded.
    pub(crate) switch: u32,
    /// It brings a template structure.
    pub(crate) structure: bool,
    /// How many frames back the previous one of each chain is.
    pub(crate) chains: [u8; MAX_CHAINS],
}

/// A stream's decode targets.
#[derive(Debug)]
pub(crate) struct Targets {
    count: u8,
    layers: [(u8, u8); MAX_DECODE_TARGETS],
    chains: [Option<u8>; MAX_DECODE_TARGETS],
    /// For each target, a bit for each that has no frame beyond its own.
    covers: [u32; MAX_DECODE_TARGETS],
    active: u32,
}

impl Targets {
    const NONE: Targets = Targets {
        count: 0,
        layers: [(0, 0); MAX_DECODE_TARGETS],
        chains: [None; MAX_DECODE_TARGETS],
        covers: [0; MAX_DECODE_TARGETS],
        active: 0,
    };

    fn of(structure: &Structure) -> Targets {
        let mut targets = Targets { count: structure.decode_target_count(), ..Targets::NONE };
        for target in 0..targets.count {
            targets.layers[usize::from(target)] = structure.decode_target_layer(target);
            targets.chains[usize::from(target)] = structure.protected_by(target);
            let has =
                |template: &Template, target| template.indications.get(target) != Indication::NotPresent;
            let covers = |other: &u8| {
                let mut templates = structure.templates().iter();
                templates.all(|template| has(template, target) || !has(template, *other))
            };
            targets.covers[usize::from(target)] =
                (0..targets.count).filter(covers).fold(0, |mask, other| mask | 1 << other);
        }
        targets.active = structure.all_decode_targets();
        targets
    }

    /// Two temporal layers of one size.
    #[cfg(test)]
    pub(crate) fn temporal() -> Targets {
        let mut targets = Targets { count: 2, active: 0b11, ..Targets::NONE };
        targets.layers[1] = (0, 1);
        targets.covers[..2].copy_from_slice(&[0b01, 0b11]);
        targets
    }

    pub(crate) fn count(&self) -> u8 {
        self.count
    }

    /// The mask of all of them.
    pub(crate) fn all(&self) -> u32 {
        u32::MAX.checked_shr(u32::from(32 - self.count.min(32))).unwrap_or(0)
    }

    /// A target's highest spatial and temporal layer.
    pub(crate) fn layer(&self, target: u8) -> LayerChoice {
        let (spatial, temporal) = self.layers[usize::from(target) % MAX_DECODE_TARGETS];
        LayerChoice { spatial, temporal }
    }

    /// The chain that protects a target.
    pub(crate) fn chain(&self, target: u8) -> Option<u8> {
        self.chains[usize::from(target) % MAX_DECODE_TARGETS]
    }

    /// The highest active target within `wanted`; the lowest of all when none is.
    pub(crate) fn best_within(&self, wanted: LayerChoice) -> u8 {
        let all = || (0..self.count).map(|target| (self.layers[usize::from(target)], target));
        let active = || all().filter(|(_, target)| self.active >> target & 1 != 0);
        let fits = |&((spatial, temporal), _): &((u8, u8), u8)| {
            spatial <= wanted.spatial && temporal <= wanted.temporal
        };
        let best = active().filter(fits).max_by_key(|(layer, target)| (*layer, u8::MAX - target));
        best.or_else(|| active().min()).or_else(|| all().min()).map_or(0, |(_, target)| target)
    }

    /// The active targets that can be decoded from the frames of `target`. Where layers build upon each other that is
    /// every lower one; where they stand alone but for key pictures, it is none of another size.
    pub(crate) fn covered_by(&self, target: u8) -> u32 {
        self.covers[usize::from(target) % MAX_DECODE_TARGETS] & self.active
    }
}

/// Reads one stream's descriptors.
#[derive(Debug)]
pub(crate) struct DependencyReader {
    structure: Option<Box<Structure>>,
    targets: Targets,
    frames: Unwrapper<16>,
}

impl Default for DependencyReader {
    fn default() -> Self {
        DependencyReader { structure: None, targets: Targets::NONE, frames: Unwrapper::default() }
    }
}

impl DependencyReader {
    /// Fills in what the descriptor says. It goes before what the payload says: that may be encrypted. A descriptor
    /// that can't be read says nothing.
    pub(crate) fn read(&mut self, descriptor: &[u8], facts: &mut Facts) {
        let Ok(descriptor) = Descriptor::parse(descriptor, self.structure.as_deref()) else { return };
        if let Some(structure) = &descriptor.structure {
            self.targets = Targets::of(structure);
        }
        if let Some(active) = descriptor.active_decode_targets {
            self.targets.active = active;
        }
        let mut dependency = DependencyFacts {
            frame: self.frames.unwrap(descriptor.frame_number.into()),
            structure: descriptor.structure.is_some(),
            ..DependencyFacts::default()
        };
        for target in 0..self.targets.count {
            let indication = descriptor.indications.get(target);
            dependency.present |= u32::from(indication != Indication::NotPresent) << target;
            dependency.switch |= u32::from(indication == Indication::Switch) << target;
        }
        for (to, from) in dependency.chains.iter_mut().zip(descriptor.chain_diffs.as_slice()) {
            *to = *from;
        }
        facts.frame_start = descriptor.start_of_frame;
        facts.frame_end = descriptor.end_of_frame;
        facts.key = dependency.structure && descriptor.frame_diffs.as_slice().is_empty();
        facts.spatial = descriptor.spatial;
        facts.temporal = descriptor.temporal;
        facts.layered = self.targets.layers.iter().any(|(spatial, _)| *spatial > 0);
        facts.dependency = Some(dependency);
        if descriptor.structure.is_some() {
            self.structure = descriptor.structure;
        }
    }

    pub(crate) fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Writes the descriptor that a subscriber gets into `to`; returns its length.
    pub(crate) fn rewrite(
        &self,
        descriptor: &[u8],
        munge: &Munge,
        to: &mut [u8; MAX_DESCRIPTOR_BYTES],
    ) -> usize {
        if munge.active_targets != 0
            && let Ok(mut parsed) = Descriptor::parse(descriptor, self.structure.as_deref())
        {
            parsed.active_decode_targets = Some(munge.active_targets);
            parsed.frame_number = munge.frame_number;
            if let Ok(len) = parsed.write(to, self.structure.as_deref()) {
                return len;
            }
        }
        let len = descriptor.len().min(to.len());
        to[..len].copy_from_slice(&descriptor[..len]);
        if let Some(number) = to[..len].get_mut(1..3) {
            number.copy_from_slice(&munge.frame_number.to_be_bytes());
        }
        len
    }
}
