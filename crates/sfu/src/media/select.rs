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

/// A packet later than this is not asked for any more: two seconds of video's 90 kHz.
const LATE_TICKS: u32 = 2 * 90_000;
/// Frames remembered for chains: the descriptor's differences have 8 bits.
const FRAME_MEMORY: u64 = 256;

/// The state of one subscription within one stream.
#[derive(Debug)]
pub(crate) struct LayerFilter {
    current: LayerChoice,
    picture: Option<u32>,
    keep_picture: bool,
    /// The timestamp with which it went up last, and what was sent before that.
    raised: Option<(u32, LayerChoice)>,
    /// Decode target in use, when the stream has dependency descriptors.
    target: Option<u8>,
    frame: Option<u64>,
    keep_frame: bool,
    /// Bit `n % 256` says that frame `n` was kept.
    kept_frames: [u64; (FRAME_MEMORY / 64) as usize],
    /// The same for frames of which a packet was dropped: what is late of them is dropped, too.
    dropped_frames: [u64; (FRAME_MEMORY / 64) as usize],
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
            raised: None,
            target: None,
            frame: None,
            keep_frame: true,
            kept_frames: [0; (FRAME_MEMORY / 64) as usize],
            dropped_frames: [0; (FRAME_MEMORY / 64) as usize],
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

    /// Whether a late packet's place is worth filling: whether its picture would have been sent when it was due. One of
    /// layers that were dropped then may need a picture that was dropped too, and its picture id, that goes on from a
    /// closed place, would hide that from a decoder.
    pub(crate) fn keeps_late(&self, timestamp: u32, facts: &Facts, targets: &Targets) -> bool {
        match (facts.dependency, self.target) {
            (Some(dependency), Some(target)) if targets.count() > 0 => {
                let remembered =
                    self.frame.is_some_and(|last| last.wrapping_sub(dependency.frame) < FRAME_MEMORY);
                let dropped = remembered && has(&self.dropped_frames, dependency.frame);
                dependency.present >> target & 1 != 0 && !dropped
            }
            _ => {
                let had = self.had_at(timestamp);
                facts.spatial <= had.spatial && facts.temporal <= had.temporal
            }
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
            let before = self.current;
            let follows = facts.temporal_sync && facts.temporal > self.current.temporal;
            if facts.key {
                self.current = wanted;
            } else if follows && facts.temporal <= wanted.temporal {
                self.current.temporal = facts.temporal;
            }
            if self.current.spatial > before.spatial || self.current.temporal > before.temporal {
                self.note_raise(timestamp, before);
            }
            self.keep_picture = facts.temporal <= self.current.temporal;
        }
        let keep = self.keep_picture && facts.spatial <= self.current.spatial;
        let ends_picture = facts.layered && facts.frame_end && facts.spatial == self.current.spatial;
        Verdict { keep, ends_picture, active_targets: 0 }
    }

    /// It goes up with the picture of `timestamp`. Where it went up shortly before, too, the least of all counts.
    fn note_raise(&mut self, timestamp: u32, before: LayerChoice) {
        let lowest = match self.raised {
            Some((last, lowest)) if timestamp.wrapping_sub(last) < LATE_TICKS => LayerChoice {
                spatial: before.spatial.min(lowest.spatial),
                temporal: before.temporal.min(lowest.temporal),
            },
            _ => before,
        };
        self.raised = Some((timestamp, lowest));
    }

    /// What of a picture of `timestamp` was sent for sure, had it come in time.
    fn had_at(&self, timestamp: u32) -> LayerChoice {
        match self.raised {
            Some((raised, before)) if (timestamp.wrapping_sub(raised) as i32) < 0 => LayerChoice {
                spatial: self.current.spatial.min(before.spatial),
                temporal: self.current.temporal.min(before.temporal),
            },
            _ => self.current,
        }
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
            let memory = if self.keep_frame { &mut self.kept_frames } else { &mut self.dropped_frames };
            memory[(dependency.frame % FRAME_MEMORY / 64) as usize] |= 1 << (dependency.frame % 64);
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
            let kept = has(&self.kept_frames, frame);
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
            for memory in [&mut self.kept_frames, &mut self.dropped_frames] {
                memory[(old % FRAME_MEMORY / 64) as usize] &= !(1 << (old % 64));
            }
        }
    }
}

/// Whether a memory of frames has this one.
fn has(memory: &[u64; (FRAME_MEMORY / 64) as usize], frame: u64) -> bool {
    memory[(frame % FRAME_MEMORY / 64) as usize] >> (frame % 64) & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(temporal: u8, temporal_sync: bool) -> Facts {
        Facts { frame_start: true, frame_end: true, temporal, temporal_sync, ..Facts::default() }
    }

    #[test]
    fn a_late_packet_is_kept_where_its_layer_was_sent_when_it_was_due() {
        let reader = crate::media::facts::FrameReader::default();
        let targets = reader.targets();
        let (low, high) = (LayerChoice { spatial: 0, temporal: 0 }, LayerChoice { spatial: 0, temporal: 2 });
        let mut filter = LayerFilter::new(low);
        // Pictures 3,000 ticks apart, over the end of the clock.
        let at = |number: u32| (u32::MAX - 10_000).wrapping_add(number * 3000);
        let late = |filter: &LayerFilter, number: u32, temporal: u8| {
            filter.keeps_late(at(number), &picture(temporal, false), targets)
        };
        assert!(filter.decide(low, at(0), &Facts { key: true, ..picture(0, false) }, targets).keep);
        assert!(!filter.decide(low, at(2), &picture(1, true), targets).keep);
        assert!(late(&filter, 1, 0));
        assert!(!late(&filter, 1, 2), "a layer that is dropped");
        // Up by one, and by another.
        filter.decide(high, at(4), &picture(0, false), targets);
        assert!(filter.decide(high, at(6), &picture(1, true), targets).keep);
        assert!(filter.decide(high, at(9), &picture(2, true), targets).keep);
        assert!(late(&filter, 10, 2) && late(&filter, 7, 0));
        assert!(!late(&filter, 8, 2), "a layer that was dropped when its picture was due");
        assert!(!late(&filter, 5, 1), "before both");
        // Down: the pictures before it are not worth their place any more.
        filter.decide(low, at(12), &picture(0, false), targets);
        assert!(!late(&filter, 11, 2) && late(&filter, 11, 0));
    }

    #[test]
    fn what_is_late_of_a_frame_is_dropped_where_another_part_of_it_was() {
        let targets = Targets::temporal();
        let of = |frame: u64, temporal: u8, switch: u32| {
            let present = if temporal == 0 { 0b11 } else { 0b10 };
            let dependency = DependencyFacts { frame, present, switch, ..DependencyFacts::default() };
            Facts { dependency: Some(dependency), key: frame == 0, temporal, ..Facts::default() }
        };
        let low = LayerChoice { spatial: 0, temporal: 0 };
        let mut filter = LayerFilter::new(low);
        assert!(filter.decide(low, 0, &of(0, 0, 0b11), &targets).keep);
        assert!(!filter.decide(low, 3000, &of(1, 1, 0), &targets).keep);
        // Up, before the other parts of the frame between come.
        assert!(filter.decide(LayerChoice::ALL, 6000, &of(2, 0, 0b11), &targets).keep);
        assert!(filter.decide(LayerChoice::ALL, 12_000, &of(4, 0, 0), &targets).keep);
        assert!(!filter.keeps_late(3000, &of(1, 1, 0), &targets));
        assert!(filter.keeps_late(9000, &of(3, 1, 0), &targets), "nothing of it was there to decide on");
        // A number that comes round is another frame.
        assert!(filter.decide(LayerChoice::ALL, 900_000, &of(300, 0, 0), &targets).keep);
        assert!(filter.keeps_late(890_000, &of(257, 1, 0), &targets));
    }
}
