// SPDX-License-Identifier: EUPL-1.2
//! Publications on their way to other forwarders: what is carried, and what is told of it.

use std::time::{Duration, Instant};

use parvis_peer::sdp::{CodecKind, MediaKind};

use super::Egress;
use super::layer::Arrival;
use super::publication::{MAX_LAYERS, Publication};
use super::room::RoomMedia;
use crate::{
    Demand, ForwarderId, PacketHead, PeerId, TrackFormat, TrackId, TrackState, TrunkClock, TrunkWord,
};

/// How often the far side hears what it could ask for: half of [`super::MediaConfig::layer_timeout`].
const RATES_INTERVAL: Duration = Duration::from_millis(500);

/// One track on its way to one other forwarder.
#[derive(Debug)]
pub(crate) struct Export {
    to: ForwarderId,
    /// What the far side asked for.
    demand: Demand,
    /// The far side must hear of the track's state before anything else of it.
    state_due: bool,
    /// Layers whose clock is to be told.
    clocks_due: u8,
    next_rates: Instant,
    /// Layers whose last packet was carried.
    carried: u8,
    runs: [u32; MAX_LAYERS],
    /// Each layer's epoch in its last run.
    epochs: [u32; MAX_LAYERS],
}

impl Publication {
    fn state(&self, publisher: PeerId) -> TrackState {
        TrackState {
            publisher,
            kind: self.kind,
            screen_share: self.screen_share,
            muted: self.muted,
            plain: self.plain,
            specs: self.specs.clone(),
            rids: self.layers.iter().map(|layer| layer.rid).collect(),
            codecs: self.codecs.clone(),
            format: self.codec.as_ref().map(|codec| TrackFormat {
                payload_type: codec.payload_type,
                kind: codec.kind,
                rtp_clock: codec.rtp_clock,
                fmtp: codec.fmtp.clone(),
            }),
        }
    }
}

impl RoomMedia {
    /// Lets another forwarder have a track. `false` for one that is unknown, or that was imported itself.
    pub fn export(&mut self, now: Instant, track: TrackId, to: ForwarderId) -> bool {
        let Some(&place) = self.publication_places.get(&track) else { return false };
        let publication = &mut self.publications[place];
        // One hop: what came by a trunk never leaves by one.
        if publication.import.is_some() || publication.exports.iter().any(|export| export.to == to) {
            return false;
        }
        publication.exports.push(Export {
            to,
            demand: Demand::default(),
            state_due: true,
            clocks_due: 0,
            next_rates: now,
            carried: 0,
            runs: [0; MAX_LAYERS],
            epochs: [0; MAX_LAYERS],
        });
        self.trunk_work = true;
        true
    }

    /// Stops letting it have the track.
    pub fn unexport(&mut self, track: TrackId, to: ForwarderId) -> bool {
        let Some(&place) = self.publication_places.get(&track) else { return false };
        let exports = &mut self.publications[place].exports;
        let before = exports.len();
        exports.retain(|export| export.to != to);
        exports.len() < before
    }

    /// Which forwarders have a track from here.
    pub fn exports(&self, track: TrackId) -> impl Iterator<Item = ForwarderId> + '_ {
        let place = self.publication_places.get(&track);
        place.into_iter().flat_map(|place| self.publications[*place].exports.iter().map(|export| export.to))
    }

    /// Layers that subscribers of other forwarders would show if they could, a bit for each, lowest first: the publisher
    /// should go on sending them.
    pub fn wanted_elsewhere(&self, track: TrackId) -> u8 {
        let place = self.publication_places.get(&track);
        let exports = place.into_iter().flat_map(|place| &self.publications[*place].exports);
        exports.fold(0, |wanted, export| wanted | export.demand.wanted)
    }

    /// Says what a bound track may be sent in, best first.
    pub fn set_codecs(&mut self, track: TrackId, codecs: &[CodecKind]) {
        let Some(&place) = self.publication_places.get(&track) else { return };
        self.publications[place].codecs = codecs.to_vec();
        self.state_changed(place);
    }

    /// Takes a wish of the forwarder `from`. `false` when it doesn't have this track from here.
    pub fn handle_wish(
        &mut self,
        now: Instant,
        track: TrackId,
        from: ForwarderId,
        wish: &TrunkWord,
        egress: &mut impl Egress,
    ) -> bool {
        let Some(&place) = self.publication_places.get(&track) else { return false };
        let publication = &mut self.publications[place];
        let Some(export) = publication.exports.iter_mut().find(|export| export.to == from) else {
            return false;
        };
        match wish {
            TrunkWord::Open => {
                export.demand = Demand::default();
                (export.state_due, export.carried, export.next_rates) = (true, 0, now);
            }
            TrunkWord::Demand(demand) => {
                export.demand = *demand;
                export.carried &= demand.taken;
            }
            TrunkWord::KeyFrame { layer } => {
                let at = usize::from(*layer);
                if publication.kind == MediaKind::Video && !publication.muted && at < publication.layers.len()
                {
                    self.stats.key_frame_requests_received += 1;
                    publication.layers[at].key_frames.want();
                    let publisher = publication.peer;
                    self.request_key_frame(now, publisher, place, at, egress);
                }
            }
            _ => return false,
        }
        self.trunk_work = true;
        true
    }

    /// The far sides of a publication must hear of it anew.
    pub(super) fn state_changed(&mut self, place: usize) {
        for export in &mut self.publications[place].exports {
            export.state_due = true;
            self.trunk_work = true;
        }
    }

    /// A sender report came for a layer.
    pub(super) fn clock_changed(&mut self, place: usize, at: usize) {
        for export in &mut self.publications[place].exports {
            export.clocks_due |= 1 << at & export.carried;
            self.trunk_work = true;
        }
    }

    /// Carries a packet that was just kept to the far sides that take its layer.
    pub(super) fn export_packet(
        &mut self,
        place: usize,
        at: usize,
        arrival: &Arrival<'_>,
        egress: &mut impl Egress,
    ) {
        let publication = &mut self.publications[place];
        if publication.exports.is_empty() || publication.codecs.is_empty() {
            return;
        }
        let (track, audio) = (publication.track, publication.kind == MediaKind::Audio);
        let mut exports = std::mem::take(&mut publication.exports);
        for export in &mut exports {
            // Sound is small, and who is loudest must be known everywhere.
            if !audio && export.demand.taken >> at & 1 == 0 {
                continue;
            }
            if export.state_due {
                let publisher = self.peers[publication.peer].id;
                let state = TrunkWord::State(Box::new(publication.state(publisher)));
                export.state_due = !egress.trunk(export.to, track, state, &[], &[]);
            }
            let layer = &mut publication.layers[at];
            if export.carried >> at & 1 == 0 || export.epochs[at] != layer.epoch {
                export.carried |= 1 << at;
                export.clocks_due |= u8::from(layer.clock.is_some()) << at;
                (export.runs[at], export.epochs[at]) = (export.runs[at].wrapping_add(1), layer.epoch);
                self.trunk_work = true;
            }
            let descriptor = arrival.extensions.dependency_descriptor.unwrap_or_default();
            let word = TrunkWord::Packet(head(arrival, at as u8, export.runs[at], descriptor.len()));
            if !export.state_due && egress.trunk(export.to, track, word, descriptor, arrival.payload) {
                self.stats.trunk_packets_out += 1;
            } else {
                self.stats.trunk_overflow += 1;
                if !audio {
                    // What was lost there can't be had again: those who follow it begin anew.
                    layer.key_frames.want();
                }
            }
        }
        self.publications[place].exports = exports;
    }

    /// Tells far sides what is due, and what could be had. `send` says whether there was room.
    pub(super) fn settle_exports(
        &mut self,
        now: Instant,
        send: &mut impl FnMut(ForwarderId, TrackId, TrunkWord) -> bool,
    ) {
        for place in 0..self.publications.capacity() {
            let Some(publication) = self.publications.get_mut(place) else { continue };
            if publication.exports.is_empty() || publication.codecs.is_empty() {
                continue;
            }
            let track = publication.track;
            let mut exports = std::mem::take(&mut publication.exports);
            for export in &mut exports {
                if export.state_due {
                    let publisher = self.peers[publication.peer].id;
                    let state = TrunkWord::State(Box::new(publication.state(publisher)));
                    export.state_due = !send(export.to, track, state);
                }
                self.trunk_work |= export.state_due;
                for (at, layer) in publication.layers.iter().enumerate() {
                    let Some(clock) = layer.clock.as_ref().filter(|_| export.clocks_due >> at & 1 != 0)
                    else {
                        continue;
                    };
                    // A clock that finds no room comes again with the next report.
                    export.clocks_due &= !(1 << at);
                    let clock = TrunkClock {
                        layer: at as u8,
                        run: export.runs[at],
                        ntp: clock.ntp,
                        rtp: clock.rtp,
                        age: now.saturating_duration_since(clock.arrival),
                    };
                    send(export.to, track, TrunkWord::Clock(clock));
                }
                if publication.kind == MediaKind::Video && export.next_rates <= now {
                    export.next_rates = now + RATES_INTERVAL;
                    for (at, layer) in publication.layers.iter().enumerate() {
                        if export.demand.taken >> at & 1 == 0 && layer.is_live(&self.config, now) {
                            send(export.to, track, TrunkWord::Rates(layer.rates.snapshot(at as u8)));
                        }
                    }
                }
            }
            self.publications[place].exports = exports;
        }
    }
}

fn head(arrival: &Arrival<'_>, layer: u8, run: u32, descriptor_len: usize) -> PacketHead {
    PacketHead {
        layer,
        run,
        sequence: arrival.sequence,
        timestamp: arrival.timestamp,
        marker: arrival.marker,
        codec: arrival.codec,
        rtp_clock: arrival.rtp_clock,
        retransmitted: arrival.retransmitted,
        audio_level: arrival.extensions.audio_level,
        video_orientation: arrival.extensions.video_orientation,
        playout_delay: arrival.extensions.playout_delay,
        abs_capture_time: arrival.extensions.abs_capture_time,
        // Both are parts of one datagram.
        descriptor_len: descriptor_len as u16,
        payload_len: arrival.payload.len() as u16,
    }
}
