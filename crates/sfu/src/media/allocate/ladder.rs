// SPDX-License-Identifier: EUPL-1.2
//! The levels that one subscription may be given, lowest first.
//!
//! Frame rate goes before size: the highest frame rate of a smaller picture lies below the reduced one of the next
//! larger, so that a narrow path costs frames first. Cameras lose no more than half of their frames above the smallest
//! size, where a smaller picture that moves is worth more; a screen keeps its size down to the lowest frame rate.

use std::time::Instant;

use super::super::MediaConfig;
use super::super::layer::Layer;
use super::super::publication::{MAX_LAYERS, Publication};
use super::super::rates::{SPATIAL_LAYERS, TEMPORAL_LAYERS};
use super::super::select::LayerChoice;
use super::super::subscription::Grant;
use crate::SubscriptionSettings;

/// Four sizes of four frame rates each.
const MAX_LEVELS: usize = 16;
/// What video layers are reckoned with before they were measured or announced.
const DEFAULT_BITRATES: [u64; MAX_LAYERS] = [150_000, 500_000, 1_700_000, 3_000_000];

/// A step of quality.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) grant: Grant,
    /// In bits per second, never below that of the level beneath.
    bitrate: u64,
}

/// The levels of one subscription.
#[derive(Debug, Clone)]
pub(super) struct Ladder {
    levels: [Level; MAX_LEVELS],
    count: usize,
    /// What the highest wanted layer is reckoned with, whether or not it comes already.
    pub(super) hoped: u64,
}

impl Ladder {
    const EMPTY: Ladder = Ladder {
        levels: [Level { grant: Grant { stream: 0, choice: LayerChoice::ALL }, bitrate: 0 }; MAX_LEVELS],
        count: 0,
        hoped: 0,
    };

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The level nearest to `level` that there is.
    pub(super) fn clamp(&self, level: usize) -> Option<usize> {
        Some(level.min(self.count.checked_sub(1)?))
    }

    pub(super) fn grant(&self, level: usize) -> Grant {
        self.levels[level].grant
    }

    pub(super) fn bitrate(&self, level: usize) -> u64 {
        self.levels[..self.count].get(level).map_or(0, |level| level.bitrate)
    }

    /// Whether the level has another picture size than the one beneath.
    pub(super) fn changes_size(&self, level: usize) -> bool {
        let size = |grant: Grant| (grant.stream, grant.choice.spatial);
        level > 0 && size(self.levels[level].grant) != size(self.levels[level - 1].grant)
    }

    /// The level that a grant stands for: the highest that is not above it.
    pub(super) fn level_of(&self, grant: Grant) -> Option<usize> {
        let levels = &self.levels[..self.count];
        levels
            .iter()
            .rposition(|level| level.grant.order() <= grant.order())
            .or((self.count > 0).then_some(0))
    }

    fn push(&mut self, grant: Grant, bitrate: u64) {
        let beneath = self.count.checked_sub(1).map_or(0, |beneath| self.levels[beneath].bitrate);
        if let Some(slot) = self.levels.get_mut(self.count) {
            *slot = Level { grant, bitrate: bitrate.max(beneath) };
            self.count += 1;
        }
    }

    /// One picture size in its frame rates. `top` is the highest temporal layer wanted.
    fn push_size(&mut self, stream: u8, spatial: u8, top: u8, rates: Rates<'_>, lowest: bool) {
        let highest = rates.layer.rates.temporal_layers().saturating_sub(1).min(top);
        let from = match (lowest || rates.screen, highest) {
            (true, _) => 0,
            (false, highest) => highest.saturating_sub(1),
        };
        for temporal in from..=highest {
            // The highest is taken whole: more may come than was measured.
            let limit = if temporal == highest { top } else { temporal };
            let choice = LayerChoice { spatial, temporal: limit };
            let bitrate = rates.layer.rates.bitrate(spatial, limit).unwrap_or(rates.expected);
            self.push(Grant { stream, choice }, bitrate);
        }
    }
}

/// What is known of one size's rates.
#[derive(Clone, Copy)]
struct Rates<'a> {
    layer: &'a Layer,
    expected: u64,
    screen: bool,
}

/// The levels that a subscription may be given; those beyond what it shows are left out.
pub(super) fn ladder(
    config: &MediaConfig,
    now: Instant,
    publication: &Publication,
    settings: &SubscriptionSettings,
) -> Ladder {
    match &publication.layers[..] {
        [layer] => of_one_stream(publication, layer, settings),
        _ => of_simulcast(config, now, publication, settings),
    }
}

fn of_one_stream(publication: &Publication, layer: &Layer, settings: &SubscriptionSettings) -> Ladder {
    let mut ladder = Ladder::EMPTY;
    let measured = (1..SPATIAL_LAYERS as u8).rev().find(|at| layer.rates.spatial_bitrate(*at) > 0.0);
    // What was announced counts until it was measured.
    let announced = || publication.specs.len().min(SPATIAL_LAYERS).saturating_sub(1) as u8;
    let top = measured.unwrap_or_else(|| if layer.rates.is_measured() { 0 } else { announced() });
    let highest = top.min(highest_wanted(publication, usize::from(top) + 1, settings) as u8);
    let temporal = temporal_wanted(layer, settings);
    for spatial in 0..=highest {
        let rates = Rates {
            layer,
            expected: expected(publication, spatial.into()),
            screen: publication.screen_share,
        };
        // What has but one layer is taken whole.
        let choice = if spatial == top { u8::MAX } else { spatial };
        ladder.push_size(0, choice, temporal, rates, spatial == 0);
    }
    ladder.hoped = ladder.bitrate(ladder.count.saturating_sub(1));
    ladder
}

fn of_simulcast(
    config: &MediaConfig,
    now: Instant,
    publication: &Publication,
    settings: &SubscriptionSettings,
) -> Ladder {
    let mut ladder = Ladder::EMPTY;
    // A layer is dead when others go on without it; when all are silent, the picture just doesn't change.
    let newest = publication.layers.iter().filter_map(|layer| layer.last_packet).max();
    let highest = highest_wanted(publication, publication.layers.len(), settings);
    for (stream, layer) in publication.layers.iter().enumerate() {
        // Before anything came, the lowest layer is waited for.
        let eligible = newest.map_or(stream == 0, |newest| {
            layer
                .last_packet
                .is_some_and(|last| newest.saturating_duration_since(last) < config.layer_timeout)
        });
        if !eligible {
            continue;
        }
        // If only larger layers live than are wanted, the smallest of them must do.
        if stream > highest && !ladder.is_empty() {
            break;
        }
        let rates =
            Rates { layer, expected: expected(publication, stream), screen: publication.screen_share };
        let lowest = ladder.is_empty();
        ladder.push_size(stream as u8, u8::MAX, temporal_wanted(layer, settings), rates, lowest);
    }
    ladder.hoped = ladder.bitrate(ladder.count.saturating_sub(1));
    // A layer that nobody wanted until now comes again within a moment: its bandwidth is looked for meanwhile.
    let wanted = &publication.layers[highest];
    let young = |at: Instant| now.saturating_duration_since(at) < config.layer_return;
    if publication.raised_at.is_some_and(young) && !wanted.is_live(config, now) {
        ladder.hoped = ladder.hoped.max(expected(publication, highest));
    }
    ladder
}

/// The highest temporal layer that the wanted frame rate needs.
fn temporal_wanted(layer: &Layer, settings: &SubscriptionSettings) -> u8 {
    let wanted = settings.fps.map_or(u8::MAX, |fps| layer.rates.temporal_for(fps));
    if usize::from(wanted) >= TEMPORAL_LAYERS - 1 { u8::MAX } else { wanted }
}

/// The place of the highest of `count` layers that a subscription wants.
pub(in super::super) fn highest_wanted(
    publication: &Publication,
    count: usize,
    settings: &SubscriptionSettings,
) -> usize {
    let last = count.saturating_sub(1);
    match publication.specs.get(..count) {
        Some(specs) => settings.highest_layer(specs).unwrap_or(0),
        // Layers that nobody announced have a place and no more.
        None => settings.quality.map_or(last, |quality| last.min(quality as usize)),
    }
}

/// What a layer is reckoned with until it was measured.
fn expected(publication: &Publication, at: usize) -> u64 {
    let announced = publication.specs.get(at).map_or(0, |spec| u64::from(spec.bitrate));
    if announced > 0 { announced } else { DEFAULT_BITRATES[at.min(MAX_LAYERS - 1)] }
}

#[cfg(test)]
impl Ladder {
    /// Levels of these bitrates; each is another size.
    pub(super) fn of(bitrates: &[u64]) -> Ladder {
        let mut ladder = Ladder::EMPTY;
        for (stream, bitrate) in bitrates.iter().enumerate() {
            ladder.push(Grant { stream: stream as u8, choice: LayerChoice::ALL }, *bitrate);
        }
        ladder
    }
}
