// SPDX-License-Identifier: EUPL-1.2
//! Which packets of a stream a subscription gets: spatial and temporal layers within the stream.
//!
//! A picture is decided on as a whole. Going down takes effect with the next picture; going up waits for a point where
//! the codec says that a decoder can follow: a key picture, a temporal switching point, or `Switch` in the dependency
//! descriptor with its chain intact.

use super::facts::{DependencyFacts, Facts, Targets};

/// A layer within a stream. `u8::MAX` stands for the highest there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerChoice {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
}

impl LayerChoice {
    /// All of the stream.
    pub(crate) const ALL: LayerChoice = LayerChoice { spatial: u8::MAX, temporal: u8::MAX };
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) keep: bool,
    /// It ends what this subscriber gets of the picture: the marker bit is set.
    pub(crate) ends_picture: bool,
    /// Decode targets to announce in its dependency descriptor; 0 for none.
    pub(crate) active_targets: u32,
}

/// Frames remembered for chains: the descriptor's differences have 8 bits.
const FRAME_MEMORY: u64 = 256;

/// The state of one subscription within one stream.
#[derive(Debug)]
pub(crate) struct LayerFilter {
    current: LayerChoice,
    picture: Option<u32>,
    keep_picture: bool,
    /// Decode target in use, when the stream has dependency descriptors.
    target: Option<u8>,
    frame: Option<u64>,
    keep_frame: bool,
    /// Bit `n % 256` says that frame `n` was kept.
    kept_frames: [u64; (FRAME_MEMORY / 64) as usize],
    /// A bit for each chain of which a frame is missing here; until it begins anew.
    broken: u32,
    /// The mask last announced.
    announced: u32,
}

impl LayerFilter {
    /// Begins with a key picture.
    pub(crate) fn new(wanted: LayerChoice) -> LayerFilter {
        LayerFilter {
            current: wanted,
            picture: None,
            keep_picture: true,
            target: None,
            frame: None,
            keep_frame: true,
            kept_frames: [0; (FRAME_MEMORY / 64) as usize],
            broken: 0,
            announced: 0,
        }
    }

    /// What this subscription gets now.
    pub(crate) fn current(&self) -> LayerChoice {
        self.current
    }

    /// Decides on the next packet in order.
    pub(crate) fn decide(
        &mut self,
        wanted: LayerChoice,
        timestamp: u32,
        facts: &Facts,
        targets: &Targets,
    ) -> Verdict {
        match facts.dependency {
            Some(dependency) if targets.count() > 0 => {
                self.decide_by_target(wanted, facts, &dependency, targets)
            }
            _ => self.decide_by_layer(wanted, timestamp, facts),
        }
    }

    /// Whether a late packet's place is worth filling. Its picture was decided on when others of it came, or is
    /// taken for wanted: a gap in the picture ids would hold the receiver up longer than a packet too many.
    pub(crate) fn keeps_late(&self, facts: &Facts, targets: &Targets) -> bool {
        match (facts.dependency, self.target) {
            (Some(dependency), Some(target)) if targets.count() > 0 => dependency.present >> target & 1 != 0,
            _ => facts.spatial <= self.current.spatial,
        }
    }

    /// Whether more is wanted than can be had before the next key picture.
    pub(crate) fn waits_for_key_picture(&self, wanted: LayerChoice, targets: &Targets) -> bool {
        let Some(target) = self.target.filter(|_| targets.count() > 0) else {
            return wanted.spatial > self.current.spatial;
        };
        let best = targets.best_within(wanted);
        let resizes = targets.layer(best).spatial != targets.layer(target).spatial;
        resizes && targets.covered_by(target) >> best & 1 == 0
    }

    fn decide_by_layer(&mut self, wanted: LayerChoice, timestamp: u32, facts: &Facts) -> Verdict {
        if self.picture != Some(timestamp) {
            self.picture = Some(timestamp);
            self.current.spatial = self.current.spatial.min(wanted.spatial);
            self.current.temporal = self.current.temporal.min(wanted.temporal);
            let follows = facts.temporal_sync && facts.temporal > self.current.temporal;
            if facts.key {
                self.current = wanted;
            } else if follows && facts.temporal <= wanted.temporal {
                self.current.temporal = facts.temporal;
            }
            self.keep_picture = facts.temporal <= self.current.temporal;
        }
        let keep = self.keep_picture && facts.spatial <= self.current.spatial;
        let ends_picture = facts.layered && facts.frame_end && facts.spatial == self.current.spatial;
        Verdict { keep, ends_picture, active_targets: 0 }
    }

    fn decide_by_target(
        &mut self,
        wanted: LayerChoice,
        facts: &Facts,
        dependency: &DependencyFacts,
        targets: &Targets,
    ) -> Verdict {
        let mut announce = 0;
        if self.frame != Some(dependency.frame) {
            self.forget_frames(dependency.frame);
            self.follow_chains(dependency);
            self.choose_target(wanted, facts, dependency, targets);
            self.frame = Some(dependency.frame);
            let target = self.target.unwrap_or(0);
            self.keep_frame = dependency.present >> target & 1 != 0;
            if self.keep_frame {
                self.kept_frames[(dependency.frame % FRAME_MEMORY / 64) as usize] |=
                    1 << (dependency.frame % 64);
            }
            let mask = targets.covered_by(target);
            if self.keep_frame && facts.frame_start {
                let whole = mask == targets.all();
                if mask != self.announced || (dependency.structure && !whole) {
                    let first_and_whole = self.announced == 0 && whole;
                    announce = if first_and_whole { 0 } else { mask };
                    self.announced = mask;
                }
            }
        }
        let ends_picture = facts.frame_end && facts.spatial == self.current.spatial;
        Verdict {
            keep: self.keep_frame,
            ends_picture: self.keep_frame && ends_picture,
            active_targets: announce,
        }
    }

    fn choose_target(
        &mut self,
        wanted: LayerChoice,
        facts: &Facts,
        dependency: &DependencyFacts,
        targets: &Targets,
    ) {
        let best = targets.best_within(wanted);
        let may_follow = (facts.key && facts.spatial == 0)
            || (dependency.switch >> best & 1 != 0 && self.chain_is_whole(targets.chain(best)));
        if self.target == Some(best) || self.target.is_none() || may_follow {
            self.target = Some(best);
        } else {
            // Going down needs no point to do it where the lower target's frames were sent all along; where sizes stand
            // alone between key pictures it waits for one, as what is wanted more of does.
            let temporal = self.current.temporal.min(wanted.temporal);
            let lower = LayerChoice { spatial: self.current.spatial.min(wanted.spatial), temporal };
            let same_size = LayerChoice { temporal, ..self.current };
            let covered = self.target.map_or(0, |target| targets.covered_by(target));
            let possible = [lower, same_size].map(|layer| targets.best_within(layer));
            let next = possible.into_iter().find(|target| covered >> target & 1 != 0);
            self.target = next.or(self.target);
        }
        if let Some(target) = self.target {
            self.current = targets.layer(target);
        }
    }

    /// Whether all frames of the chain that protects a target were sent to this subscriber, from its beginning on.
    fn chain_is_whole(&self, chain: Option<u8>) -> bool {
        chain.is_none_or(|chain| self.broken.checked_shr(chain.into()).unwrap_or(0) & 1 == 0)
    }

    /// Every frame says of every chain how far back its last frame is: one that was not sent breaks it.
    fn follow_chains(&mut self, dependency: &DependencyFacts) {
        for (chain, difference) in dependency.chains.iter().enumerate() {
            let frame = dependency.frame.saturating_sub(u64::from(*difference));
            let kept = self.kept_frames[(frame % FRAME_MEMORY / 64) as usize] >> (frame % 64) & 1 != 0;
            if *difference == 0 {
                self.broken &= !(1 << chain);
            } else if !kept {
                self.broken |= 1 << chain;
            }
        }
    }

    /// Clears what stands in the memory from 256 frames ago, up to and including `frame`.
    fn forget_frames(&mut self, frame: u64) {
        let from = self.frame.map_or(frame, |last| (last + 1).max(frame.saturating_sub(FRAME_MEMORY - 1)));
        for old in from..=frame {
            self.kept_frames[(old % FRAME_MEMORY / 64) as usize] &= !(1 << (old % 64));
        }
    }
}
