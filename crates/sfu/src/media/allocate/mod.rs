// SPDX-License-Identifier: EUPL-1.2
//! Shares one peer's bandwidth among its subscriptions: audio always, then the lowest level of each video track in order
//! of importance, then more of each. What doesn't fit at all is paused, and the subscriber is told.
//!
//! [`ladder`] says which levels a track has for a subscriber and what they cost, [`share`] gives them.

mod ladder;
mod share;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use parvis_peer::sdp::{CodecKind, MediaKind};

use super::MediaEvent;
use super::publication::Publication;
use super::room::RoomMedia;
use super::select::LayerChoice;
use super::subscription::{Grant, Subscription};
pub(super) use ladder::highest_wanted;
pub(super) use share::Demand;
use share::{Class, Importance, Terms, share_out};

/// After going down, nothing goes up for so long: the path must first show that it recovered.
const HOLD: Duration = Duration::from_secs(1);
/// More is looked for than all wanted levels cost, so that they can be given with something to spare.
const WANTED_PERCENT: u64 = 120;
/// What an audio track is reckoned with before it was measured, in bits per second.
const AUDIO_BITRATE: u64 = 40_000;
/// Losses beyond this share are not made good.
const MAX_RESENT_LOSS: f64 = 0.4;
/// A line is narrow until its estimate is this much above what makes it so, in percent.
const NARROW_LEFT_PERCENT: u64 = 125;

impl RoomMedia {
    /// Grants layers to all subscriptions of one peer.
    pub(super) fn allocate(&mut self, now: Instant, place: usize) {
        let mut demands = std::mem::take(&mut self.scratch.demands);
        demands.clear();
        let peer = &mut self.peers[place];
        let wide = self.config.red_min_bitrate * if peer.narrow { NARROW_LEFT_PERCENT } else { 100 } / 100;
        peer.narrow = peer.shows_pictures && peer.estimate(&self.config) < wide;
        let audio = self.gather(now, place, &mut demands);
        // Stable: equal importance stays in the order of subscribing.
        demands.sort_by_key(|demand| std::cmp::Reverse(demand.importance));
        let peer = &mut self.peers[place];
        // Repair packets come out of the same estimate, and so do retransmissions.
        let repaired = peer.protection.level() > 0
            && demands.iter().any(|demand| self.subscriptions[demand.slot].takes_fec());
        let protecting = if repaired { self.config.fec_share } else { 0.0 };
        // What is lost goes out again, and some of that once more.
        let loss = f64::from(peer.downlink.loss()).min(MAX_RESENT_LOSS);
        let with_repair = 1.0 + protecting + loss / (1.0 - loss);
        let budget = |estimate: u64| (estimate.saturating_sub(audio) as f64 / with_repair) as u64;
        let since = |at: Instant| now.saturating_duration_since(at);
        let terms = Terms {
            budget: budget(peer.estimate(&self.config)),
            budget_by_delay: budget(peer.estimate_by_delay(&self.config)),
            young: peer.connected_at.is_none_or(|at| since(at) < self.config.warm_up),
            held: peer.lowered_at.is_some_and(|at| since(at) < HOLD),
        };
        if share_out(&mut demands, terms) {
            peer.lowered_at = Some(now);
        }
        let wanted: u64 = demands.iter().map(|demand| demand.ladder.hoped * WANTED_PERCENT / 100).sum();
        peer.downlink.set_wanted(audio + (wanted as f64 * with_repair) as u64);
        peer.limited =
            demands.iter().any(|demand| demand.given.map_or(0, |given| given + 1) < demand.ladder.len());
        peer.shows_pictures = !demands.is_empty();
        let connected = peer.is_connected();
        for demand in &demands {
            self.grant(demand, connected);
        }
        self.scratch.demands = demands;
        self.raise_demand(place);
    }

    /// Collects what video asks for; grants audio all it wants. What audio takes, in bits per second.
    fn gather(&mut self, now: Instant, place: usize, demands: &mut Vec<Demand>) -> u64 {
        let mut speakers = std::mem::take(&mut self.scratch.speaking);
        speakers.clear();
        let places = self.speakers.iter().filter_map(|(track, _)| self.publication_places.get(track));
        speakers.extend(places.map(|place| self.publications[*place].peer));
        let redundancy = self.peers[place].redundancy.level();
        // The redundancy is of the losses of a while ago, on a narrow line those of its own queue as often as not: what is
        // lost now decides.
        let [one, two] = self.config.red_loss;
        let loses = self.peers[place].downlink.loss() >= (one + two) / 2.0;
        let spares_red = self.peers[place].narrow && !loses;
        let mut audio = 0;
        for &slot in &self.peers[place].subscriptions {
            let subscription = &mut self.subscriptions[slot];
            let publication = &self.publications[subscription.publication];
            if publication.kind == MediaKind::Audio {
                let grant = Grant { stream: 0, choice: LayerChoice::ALL };
                subscription.set_grant(subscription.settings.enabled.then_some(grant));
                subscription.spares_red = spares_red;
                if !publication.muted && publication.layers[0].is_live(&self.config, now) {
                    audio += sound_bitrate(publication, subscription, redundancy);
                }
            } else if publication.muted || subscription.outlet.is_none() {
                // Nothing is sent: it keeps what it had.
            } else if subscription.settings.enabled {
                let ladder = ladder::ladder(&self.config, now, publication, &subscription.settings);
                let class = if publication.screen_share {
                    Class::Screen
                } else if speakers.contains(&publication.peer) {
                    Class::Speaker
                } else {
                    Class::Other
                };
                let in_use = subscription.grant.filter(|_| !subscription.fresh);
                demands.push(Demand {
                    slot,
                    importance: Importance { own: subscription.settings.priority, class },
                    current: in_use.and_then(|grant| ladder.level_of(grant)),
                    ladder,
                    paused: subscription.paused,
                    given: None,
                });
            } else {
                subscription.set_grant(None);
            }
        }
        self.scratch.speaking = speakers;
        audio
    }

    /// Puts a decision into effect, and tells of it where it pauses or takes up.
    fn grant(&mut self, demand: &Demand, connected: bool) {
        let subscription = &mut self.subscriptions[demand.slot];
        let grant = demand.given.map(|given| demand.ladder.grant(given));
        subscription.set_grant(grant);
        subscription.fresh = false;
        if let Some(grant) = grant
            && connected
            && subscription.followed() != Some(usize::from(grant.stream))
        {
            // A still picture may not send the packet that would ask for it.
            let publication = &mut self.publications[subscription.publication];
            let codec = publication.codec.as_ref().and_then(|codec| subscription.outgoing_type(codec.kind));
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
}

/// What a track of sound costs a subscriber, in bits per second: less than comes when redundancy is taken off it, more when
/// some is made.
fn sound_bitrate(publication: &Publication, subscription: &Subscription, redundancy: u8) -> u64 {
    let layer = &publication.layers[0];
    let comes = layer.rates.bitrate(0, 0).unwrap_or(AUDIO_BITRATE);
    let Some(newest) = layer.highest().and_then(|number| layer.ring.get(number)) else { return comes };
    if newest.codec == CodecKind::Opus && subscription.takes_red() && !publication.plain {
        return comes * (1 + u64::from(redundancy));
    }
    let whole = newest.payload().len().max(1) as u64;
    comes * whole.saturating_sub(subscription.payload_start(newest) as u64) / whole
}
