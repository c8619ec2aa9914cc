// SPDX-License-Identifier: EUPL-1.2
//! Shares one peer's bandwidth among its subscriptions: audio always, then the lowest layer of each video track in
//! order of priority, then more of each. What doesn't fit at all is paused, and the subscriber is told.
//!
//! This is the plain form. Probing for room, stealing between tracks and telling publishers what nobody takes come
//! into this file; nothing outside it knows how grants are made.

use std::time::{Duration, Instant};

use parvis_peer::sdp::MediaKind;

use super::layer::Layer;
use super::publication::{MAX_LAYERS, Publication};
use super::rates::SPATIAL_LAYERS;
use super::room::RoomMedia;
use super::select::LayerChoice;
use super::subscription::Grant;
use super::{MediaConfig, MediaEvent};
use crate::{Quality, SubscriptionSettings};

/// After going down, nothing goes up for so long: the path must first show that it recovered.
const HOLD: Duration = Duration::from_secs(1);
/// Going up needs this much more than it costs, in percent; staying needs this much less.
const RAISE_PERCENT: u64 = 115;
const STAY_PERCENT: u64 = 95;
/// What an audio track is reckoned with before it was measured, in bits per second.
const AUDIO_BITRATE: u64 = 40_000;
/// What video layers are reckoned with before they were measured or announced.
const DEFAULT_BITRATES: [u64; MAX_LAYERS] = [150_000, 500_000, 1_700_000, 3_000_000];

/// A step of quality.
#[derive(Debug, Clone, Copy)]
struct Level {
    grant: Grant,
    bitrate: u64,
}

/// A video subscription that asks for bandwidth.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    slot: usize,
    /// Higher goes first.
    priority: (u32, bool),
    levels: [Option<Level>; MAX_LAYERS],
    count: usize,
    /// The level in use.
    current: Option<usize>,
    /// The level given.
    given: Option<usize>,
}

impl RoomMedia {
    /// Grants layers to all subscriptions of one peer.
    pub(super) fn allocate(&mut self, now: Instant, place: usize) {
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        candidates.clear();
        let peer = &mut self.peers[place];
        let mut audio = 0;
        for &slot in &peer.subscriptions {
            let subscription = &mut self.subscriptions[slot];
            let publication = &self.publications[subscription.publication];
            if publication.kind == MediaKind::Audio {
                let grant = Grant { stream: 0, choice: LayerChoice::ALL };
                subscription.set_grant(subscription.settings.enabled.then_some(grant));
                if !publication.muted && publication.layers[0].is_live(&self.config, now) {
                    let bitrate = publication.layers[0].rates.bitrate(0, 0).unwrap_or(AUDIO_BITRATE);
                    audio += bitrate * (1 + u64::from(peer.redundancy.level()));
                }
            } else if publication.muted || subscription.outlet.is_none() {
                // Nothing is sent: it keeps what it had.
            } else if subscription.settings.enabled {
                let levels = levels(&self.config, publication, &subscription.settings);
                let count = levels.iter().flatten().count();
                let current = subscription.grant.and_then(|grant| {
                    levels
                        .iter()
                        .rposition(|level| level.is_some_and(|level| level.grant.order() <= grant.order()))
                });
                candidates.push(Candidate {
                    slot,
                    priority: (subscription.settings.priority, publication.screen_share),
                    levels,
                    count,
                    current,
                    given: None,
                });
            } else {
                subscription.set_grant(None);
            }
        }
        // Stable: equal priorities stay in the order of subscribing.
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        let budget = peer.estimate(&self.config);
        let budget = budget.saturating_sub(audio);
        let young =
            peer.connected_at.is_none_or(|at| now.saturating_duration_since(at) < self.config.warm_up);
        let connected = peer.is_connected();
        let held = peer.lowered_at.is_some_and(|at| now.saturating_duration_since(at) < HOLD);
        let lowered = share_out(&mut candidates, budget, young, held);
        if lowered {
            peer.lowered_at = Some(now);
        }
        let wanted = candidates.iter().filter_map(|candidate| candidate.levels.iter().flatten().last());
        let wanted: u64 = wanted.map(|level| level.bitrate * RAISE_PERCENT / 100).sum();
        peer.downlink.set_wanted(audio + wanted);
        peer.limited =
            candidates.iter().any(|candidate| candidate.given.map_or(0, |given| given + 1) < candidate.count);
        for candidate in &candidates {
            let subscription = &mut self.subscriptions[candidate.slot];
            let grant = candidate.given.and_then(|given| candidate.levels[given]).map(|level| level.grant);
            subscription.set_grant(grant);
            if let Some(grant) = grant
                && connected
                && subscription.followed() != Some(usize::from(grant.stream))
            {
                // A still picture may not send the packet that would ask for it.
                let publication = &mut self.publications[subscription.publication];
                let codec =
                    publication.codec.as_ref().and_then(|codec| subscription.outgoing_type(codec.kind));
                if codec.is_some()
                    && let Some(layer) = publication.layers.get_mut(usize::from(grant.stream))
                {
                    layer.key_frames.want();
                }
            }
            let paused = grant.is_none();
            if subscription.paused != paused {
                subscription.paused = paused;
                self.events.push_back(MediaEvent::StreamState { subscription: subscription.id, paused });
            }
        }
        self.scratch.candidates = candidates;
        self.raise_demand(place);
    }
}

/// Gives levels within the budget. Whether one went down or away.
fn share_out(candidates: &mut [Candidate], budget: u64, young: bool, held: bool) -> bool {
    let mut spent = 0;
    for candidate in candidates.iter_mut() {
        let Some(lowest) = candidate.levels[0] else { continue };
        let percent = if candidate.current.is_some() { STAY_PERCENT } else { RAISE_PERCENT };
        let fits = (spent + lowest.bitrate) * percent / 100 <= budget;
        if fits || young {
            spent += lowest.bitrate;
            candidate.given = Some(0);
        }
    }
    let mut raised = true;
    while raised {
        raised = false;
        for candidate in candidates.iter_mut() {
            let Some(given) = candidate.given.filter(|given| given + 1 < candidate.count) else { continue };
            let (Some(here), Some(next)) = (candidate.levels[given], candidate.levels[given + 1]) else {
                continue;
            };
            let stays = candidate.current.is_some_and(|current| given < current);
            let more = spent + next.bitrate.saturating_sub(here.bitrate);
            let percent = if stays { STAY_PERCENT } else { RAISE_PERCENT };
            if more * percent / 100 <= budget && (stays || !held) {
                spent = more;
                candidate.given = Some(given + 1);
                raised = true;
            }
        }
    }
    candidates.iter().any(|candidate| candidate.given < candidate.current)
}

/// The levels that a subscription may be given, lowest first; those beyond what it shows are left out.
fn levels(
    config: &MediaConfig,
    publication: &Publication,
    settings: &SubscriptionSettings,
) -> [Option<Level>; MAX_LAYERS] {
    let mut levels = [None; MAX_LAYERS];
    let push = |levels: &mut [Option<Level>; MAX_LAYERS], level| {
        if let Some(slot) = levels.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(level);
        }
    };
    let temporal = |layer: &Layer| settings.fps.map_or(u8::MAX, |fps| layer.rates.temporal_for(fps));
    if let [layer] = &publication.layers[..] {
        let top = (1..SPATIAL_LAYERS as u8).rev().find(|spatial| layer.rates.spatial_bitrate(*spatial) > 0.0);
        let top = top.unwrap_or(0);
        let highest = top.min(highest_wanted(publication, usize::from(top) + 1, settings) as u8);
        for spatial in 0..=highest {
            let temporal = temporal(layer);
            // What has but one layer is taken whole.
            let choice = LayerChoice { spatial: if spatial == top { u8::MAX } else { spatial }, temporal };
            let bitrate = layer
                .rates
                .bitrate(spatial, temporal)
                .unwrap_or_else(|| expected(publication, spatial.into()));
            push(&mut levels, Level { grant: Grant { stream: 0, choice }, bitrate });
        }
        return levels;
    }
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
        let temporal = temporal(layer);
        let bitrate = layer.rates.bitrate(u8::MAX, temporal).unwrap_or_else(|| expected(publication, stream));
        let choice = LayerChoice { spatial: u8::MAX, temporal };
        // If only larger layers live than are wanted, the smallest of them must do.
        if stream > highest && levels[0].is_some() {
            break;
        }
        push(&mut levels, Level { grant: Grant { stream: stream as u8, choice }, bitrate });
    }
    levels
}

/// The place of the highest of `count` layers that a subscription wants.
pub(super) fn highest_wanted(
    publication: &Publication,
    count: usize,
    settings: &SubscriptionSettings,
) -> usize {
    let last = count.saturating_sub(1);
    let by_quality = match settings.quality {
        None | Some(Quality::High) => last,
        Some(Quality::Medium) => last.min(1),
        Some(Quality::Low) => 0,
    };
    let by_size = settings.size.map_or(last, |(width, height)| {
        let specs = publication.specs.iter().take(count);
        // The smallest layer that is as large as what is shown. A size that wasn't announced is no bound.
        let place = specs.enumerate().find(|(_, spec)| {
            spec.width > 0 && spec.height > 0 && (spec.width >= width || spec.height >= height)
        });
        place.map_or(last, |(place, _)| place)
    });
    by_quality.min(by_size)
}

/// What a layer is reckoned with until it was measured.
fn expected(publication: &Publication, at: usize) -> u64 {
    let announced = publication.specs.get(at).map_or(0, |spec| u64::from(spec.bitrate));
    if announced > 0 { announced } else { DEFAULT_BITRATES[at.min(MAX_LAYERS - 1)] }
}
