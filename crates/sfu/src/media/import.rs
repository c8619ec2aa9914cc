// SPDX-License-Identifier: EUPL-1.2
//! Publications of other forwarders, kept here as if they were published here: the same rings, the same subscriptions,
//! the same repair. Their publisher is a peer that never connects; what would be asked of it goes up the trunk.

use std::time::Instant;

use parvis_peer::sdp::MediaKind;
use parvis_rtp::Extensions;

use super::allocate::highest_wanted;
use super::demux::{LearnedLayer, Role, StreamRef};
use super::layer::{Arrival, SenderClock};
use super::peer::MediaPeer;
use super::publication::{IncomingFormat, Publication};
use super::room::RoomMedia;
use super::subscription::Subscription;
use super::walk::Next;
use super::{Egress, ntp};
use crate::{
    Demand, ForwarderId, PacketHead, RateSnapshot, TrackId, TrackSpec, TrackState, TrunkClock, TrunkWord,
};

/// Where a publication comes from, and what was asked for there.
#[derive(Debug)]
pub(crate) struct Import {
    from: ForwarderId,
    demand: Demand,
    demand_due: bool,
    /// Layers of which a key frame is to be asked for.
    pub(super) key_frames_due: u8,
}

impl RoomMedia {
    /// Takes what another forwarder says of a track: makes it known here, or brings it up to date. `false` when a
    /// track of this name is published here.
    pub fn import(&mut self, now: Instant, track: TrackId, from: ForwarderId, state: &TrackState) -> bool {
        let known = self.publication_places.get(&track).copied();
        let place = match known {
            Some(place) if self.publications[place].import.is_none() => return false,
            Some(place) => place,
            None => self.add_import(now, track, from, state),
        };
        let publication = &mut self.publications[place];
        publication.set_streams(&self.config, now, &state.rids);
        let format = state.format.as_ref().map(|format| IncomingFormat {
            payload_type: format.payload_type,
            kind: format.kind,
            rtp_clock: format.rtp_clock,
            fmtp: format.fmtp.clone(),
        });
        if format.is_some() && publication.codec != format {
            publication.codec = format;
            for &subscriber in &publication.subscribers {
                self.subscriptions[subscriber].resolve_types(publication.fmtp());
            }
            for at in 0..publication.subscribers.len() {
                self.check_codec(self.publications[place].subscribers[at]);
            }
        }
        self.set_muted(now, track, state.muted);
        true
    }

    /// Forgets an imported track with its subscriptions.
    pub fn unimport(&mut self, now: Instant, track: TrackId) {
        let Some(&place) = self.publication_places.get(&track) else { return };
        if self.publications[place].import.is_none() {
            return;
        }
        let publisher = self.publications[place].peer;
        self.unpublish(now, track);
        if self.peers[publisher].publications.is_empty() {
            let peer = self.peers.remove(publisher);
            self.due_peers.set(publisher, None);
            self.absent.remove(&peer.id);
        }
        self.imports -= 1;
    }

    /// How many tracks are imported.
    pub fn imports(&self) -> usize {
        self.imports
    }

    /// Takes a packet of an imported track.
    pub fn handle_trunk_packet(
        &mut self,
        now: Instant,
        track: TrackId,
        head: &PacketHead,
        (descriptor, payload): (&[u8], &[u8]),
        egress: &mut impl Egress,
    ) {
        self.hold_trunk_packet(now, track, head, (descriptor, payload), egress);
        self.forward_all_held(now, egress);
    }

    /// The same, but it may be held back as by [`RoomMedia::hold_rtp`].
    pub fn hold_trunk_packet(
        &mut self,
        now: Instant,
        track: TrackId,
        head: &PacketHead,
        (descriptor, payload): (&[u8], &[u8]),
        egress: &mut impl Egress,
    ) {
        let Some((place, at)) = self.imported_layer(now, track, head.layer) else { return };
        let stream = StreamRef { publication: place, layer: at as u8, role: Role::Media };
        let descriptor = (!descriptor.is_empty()).then_some(descriptor);
        let next = Next {
            stream: Some(stream),
            payload_type: head.codec as u8,
            sequence: head.sequence,
            timestamp: head.timestamp,
        };
        let same_run = self.publications[place].layers[at].epoch == head.run;
        if !same_run || !self.goes_on(&next, descriptor) {
            self.forward_all_held(now, egress);
        }
        let publication = &mut self.publications[place];
        publication.layers[at].begin_run(head.run);
        let arrival = Arrival {
            sequence: head.sequence,
            timestamp: head.timestamp,
            marker: head.marker,
            codec: head.codec,
            rtp_clock: head.rtp_clock,
            extensions: Extensions {
                audio_level: head.audio_level,
                video_orientation: head.video_orientation,
                playout_delay: head.playout_delay,
                abs_capture_time: head.abs_capture_time,
                dependency_descriptor: descriptor,
                ..Extensions::default()
            },
            payload,
            retransmitted: head.retransmitted,
        };
        self.stats.trunk_packets_in += 1;
        let peer = publication.peer;
        let may_hold = (!head.retransmitted).then_some(next.payload_type);
        self.take(now, peer, stream, &arrival, may_hold, egress);
    }

    /// Takes a sender report's clocks.
    pub fn handle_trunk_clock(&mut self, now: Instant, track: TrackId, clock: &TrunkClock) {
        let Some((place, at)) = self.imported_layer(now, track, clock.layer) else { return };
        let arrival = now.checked_sub(clock.age).unwrap_or(now);
        let publication = &mut self.publications[place];
        publication.layers[at].begin_run(clock.run);
        publication.layers[at].clock = Some(SenderClock { ntp: clock.ntp, rtp: clock.rtp, arrival });
        self.peers[publication.peer].on_sender_clock(ntp::at(self.epoch, arrival), clock.ntp);
    }

    /// Takes what a layer that isn't carried brings where it is published.
    pub fn handle_trunk_rates(&mut self, now: Instant, track: TrackId, rates: &RateSnapshot) {
        let Some((place, at)) = self.imported_layer(now, track, rates.layer) else { return };
        let publication = &mut self.publications[place];
        let demand = publication.import.as_ref().map(|import| import.demand).unwrap_or_default();
        if demand.taken >> at & 1 != 0 {
            return; // What comes by itself is measured here.
        }
        let layer = &mut publication.layers[at];
        let was_live = layer.is_live(&self.config, now);
        layer.rates.adopt(now, rates);
        layer.last_packet = Some(now);
        if !was_live {
            for at in 0..self.publications[place].subscribers.len() {
                let peer = self.subscriptions[self.publications[place].subscribers[at]].peer;
                self.reallocate(now, peer);
            }
        }
    }

    /// Asks for the layers that a peer was just granted, at once.
    pub(super) fn raise_demand(&mut self, peer: usize) {
        if self.imports == 0 {
            return;
        }
        for &slot in &self.peers[peer].subscriptions {
            let subscription = &self.subscriptions[slot];
            let publication = &mut self.publications[subscription.publication];
            let more = demand_of(subscription, publication);
            let Some(import) = &mut publication.import else { continue };
            let raised = Demand {
                taken: import.demand.taken | more.taken,
                wanted: import.demand.wanted | more.wanted,
            };
            if raised != import.demand {
                (import.demand, import.demand_due) = (raised, true);
                self.trunk_work = true;
            }
        }
    }

    /// Finds out anew what is asked for: what nobody takes any more is no longer carried.
    pub(super) fn renew_demands(&mut self) {
        if self.imports == 0 {
            return;
        }
        for place in 0..self.publications.capacity() {
            let Some(publication) = self.publications.get(place) else { continue };
            if publication.import.is_none() {
                continue;
            }
            let needs = publication.subscribers.iter().map(|slot| &self.subscriptions[*slot]);
            let demand = needs.fold(Demand::default(), |sum, subscription| {
                let more = demand_of(subscription, publication);
                Demand { taken: sum.taken | more.taken, wanted: sum.wanted | more.wanted }
            });
            if let Some(import) = &mut self.publications[place].import
                && import.demand != demand
            {
                (import.demand, import.demand_due) = (demand, true);
                self.trunk_work = true;
            }
        }
    }

    /// Whether something is to be told by a trunk.
    pub(crate) fn has_trunk_work(&self) -> bool {
        self.trunk_work
    }

    /// Tells other forwarders what they are to know, up and down. `send` says whether there was room; what found none is
    /// told the next time.
    pub fn settle_trunks(
        &mut self,
        now: Instant,
        mut send: impl FnMut(ForwarderId, TrackId, TrunkWord) -> bool,
    ) {
        self.trunk_work = false;
        self.settle_exports(now, &mut send);
        if self.imports == 0 {
            return;
        }
        for (_, publication) in &mut self.publications {
            let Some(import) = &mut publication.import else { continue };
            if import.demand_due {
                let demand = TrunkWord::Demand(import.demand);
                import.demand_due = !send(import.from, publication.track, demand);
                self.trunk_work |= import.demand_due;
            }
            // A request that finds no room is made anew by whoever still waits.
            let key_frames = std::mem::take(&mut import.key_frames_due);
            for layer in 0..publication.layers.len() as u8 {
                if key_frames >> layer & 1 != 0 {
                    send(import.from, publication.track, TrunkWord::KeyFrame { layer });
                }
            }
        }
    }

    fn add_import(&mut self, now: Instant, track: TrackId, from: ForwarderId, state: &TrackState) -> usize {
        let publisher = match self.absent.get(&state.publisher) {
            Some(&place) => place,
            None => {
                let place = self.peers.insert(MediaPeer::new(&self.config, now, state.publisher, 0));
                self.absent.insert(state.publisher, place);
                place
            }
        };
        let spec = TrackSpec {
            cid: String::new(),
            kind: state.kind,
            screen_share: state.screen_share,
            muted: state.muted,
            encoder: Default::default(),
            layers: state.specs.clone(),
        };
        let mut publication = Publication::new(&self.config, now, track, publisher, &spec);
        publication.plain = state.plain;
        publication.import =
            Some(Import { from, demand: Demand::default(), demand_due: false, key_frames_due: 0 });
        let place = self.publications.insert(publication);
        self.publication_places.insert(track, place);
        self.peers[publisher].publications.push(place);
        self.imports += 1;
        place
    }

    fn imported_layer(&mut self, now: Instant, track: TrackId, layer: u8) -> Option<(usize, usize)> {
        let &place = self.publication_places.get(&track)?;
        let publication = &mut self.publications[place];
        publication.import.as_ref()?;
        // Simulcast announced by SSRCs alone grows as it comes, here as there.
        let at = publication.layer_at(&self.config, now, LearnedLayer::Index(layer))?;
        Some((place, at))
    }
}

/// What one subscription makes us ask for.
fn demand_of(subscription: &Subscription, publication: &Publication) -> Demand {
    if subscription.outlet.is_none() {
        return Demand::default();
    }
    let granted = subscription.grant.map_or(0, |grant| 1u8.checked_shl(grant.stream.into()).unwrap_or(0));
    // It goes on with what it follows until a key frame of what it is granted comes.
    let followed = subscription.followed().map_or(0, |at| 1 << at);
    let wanted = if !subscription.settings.enabled {
        0
    } else if publication.kind == MediaKind::Audio {
        1
    } else {
        // With SVC one stream has all the layers that were announced.
        let count = publication.layers.len().max(publication.specs.len());
        let highest = highest_wanted(publication, count, &subscription.settings);
        ((2u16 << highest) - 1) as u8
    };
    Demand { taken: granted | followed, wanted }
}
