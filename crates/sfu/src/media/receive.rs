// SPDX-License-Identifier: EUPL-1.2
//! A packet's way in: whose it is, kept once, shown to every subscription.

use std::time::Instant;

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::{Packet, rtx};

use super::demux::{IncomingType, Learned, Role, StreamRef};
use super::layer::Arrival;
use super::pacer::Paced;
use super::room::RoomMedia;
use super::subscription::Offer;
use super::{Egress, MediaEvent};
use crate::PeerId;

impl RoomMedia {
    /// A decrypted RTP packet of the peer's.
    pub fn handle_rtp(&mut self, now: Instant, peer: PeerId, whole: &[u8], egress: &mut impl Egress) {
        let Some(&peer) = self.peer_places.get(&peer) else { return };
        let Ok(packet) = Packet::parse(whole) else {
            self.stats.dropped_malformed += 1;
            return;
        };
        let extensions = packet.extensions(&self.peers[peer].extensions);
        if let Some(sequence) = extensions.transport_sequence {
            let uplink = &mut self.peers[peer].uplink;
            uplink.on_packet(now, sequence);
            let due = uplink.poll_timeout();
            self.due_peers.no_later_than(peer, due);
        }
        let known = self.peers[peer].demux.stream(packet.ssrc);
        let stream = known.or_else(|| {
            let demux = &self.peers[peer].demux;
            let learned = demux.learn(packet.ssrc, packet.payload_type, &extensions)?;
            self.keep(now, peer, packet.ssrc, learned)
        });
        let Some(stream) = stream else {
            self.stats.dropped_unknown_stream += 1;
            return;
        };
        let publication = &mut self.publications[stream.publication];
        if !publication
            .ingress
            .admit(now, packet.header_len + packet.payload.len() + usize::from(packet.padding))
        {
            self.stats.dropped_ingress_limit += 1;
            self.limit_hit(now, peer);
            return;
        }
        if stream.role == Role::Repair {
            return self.take_repair(now, peer, stream, packet.payload, egress);
        }
        let demux = &self.peers[peer].demux;
        let Some(incoming) = demux.incoming_type(packet.payload_type) else {
            self.stats.dropped_unknown_codec += 1;
            return;
        };
        let mut arrival = Arrival::new(&packet, incoming.kind, incoming.rtp_clock, extensions);
        let mut payload_type = packet.payload_type;
        if let Some(repairs) = incoming.repairs {
            // RFC 4588 section 4. One with nothing in it is padding that probes for bandwidth.
            let Some((sequence, payload)) =
                rtx::split(packet.payload).filter(|_| stream.role == Role::Retransmission)
            else {
                return;
            };
            (arrival.sequence, arrival.payload, arrival.retransmitted) = (sequence, payload, true);
            payload_type = repairs;
        }
        let Some(incoming) = demux.incoming_type(payload_type) else { return };
        if !fits(publication.kind, incoming) {
            self.stats.dropped_unknown_codec += 1;
            return;
        }
        if publication.set_format(payload_type, incoming) {
            for &subscriber in &publication.subscribers {
                self.subscriptions[subscriber].resolve_types(&incoming.fmtp);
            }
            self.state_changed(stream.publication);
            for at in 0..self.publications[stream.publication].subscribers.len() {
                self.check_codec(self.publications[stream.publication].subscribers[at]);
            }
        }
        self.take(now, peer, stream, &arrival, egress);
        if !arrival.retransmitted {
            self.keep_for_repair(now, peer, stream, whole, egress);
        }
    }

    /// Keeps a packet and forwards it.
    pub(super) fn take(
        &mut self,
        now: Instant,
        peer: usize,
        stream: StreamRef,
        arrival: &Arrival<'_>,
        egress: &mut impl Egress,
    ) {
        let publication = &mut self.publications[stream.publication];
        let at = usize::from(stream.layer);
        let layer = &mut publication.layers[at];
        let first = publication.codec.is_some() && layer.last_packet.is_none();
        let was_live = layer.is_live(&self.config, now);
        let Some(number) = layer.receive(now, arrival, &mut self.stats) else { return };
        let here = publication.import.is_none();
        if first && here && publication.layers.iter().filter(|layer| layer.last_packet.is_some()).count() == 1
        {
            let started = MediaEvent::TrackStarted { track: publication.track, codec: arrival.codec };
            self.events.push_back(started);
        }
        if publication.kind == MediaKind::Audio
            && !publication.muted
            && let Some(level) = arrival.extensions.audio_level
        {
            publication.loudness.on_level(level.level, self.config.speech_level);
        }
        if !was_live {
            for &subscriber in &publication.subscribers {
                let peer = self.subscriptions[subscriber].peer;
                self.peers[peer].reallocate = true;
                self.due_peers.no_later_than(peer, Some(now));
            }
        }
        if !publication.muted {
            match publication.kind {
                MediaKind::Audio => self.forward_audio(now, stream.publication, number, arrival, egress),
                MediaKind::Video => self.forward(now, stream.publication, at, number, egress),
            }
            self.export_packet(stream.publication, at, arrival, egress);
        }
        let layer = &mut self.publications[stream.publication].layers[at];
        let nack_due = layer.nack.as_ref().and_then(super::nack::NackGenerator::poll_timeout);
        self.due_publications.no_later_than(stream.publication, nack_due);
        self.request_key_frame(now, peer, stream.publication, at, egress);
    }

    /// Shows a kept packet to every subscription.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        place: usize,
        at: usize,
        number: u64,
        egress: &mut impl Egress,
    ) {
        let mut needs_key_frame = false;
        for index in 0..self.publications[place].subscribers.len() {
            let slot = self.publications[place].subscribers[index];
            if self.publications[place].withheld && !self.subscriptions[slot].is_pinned() {
                continue;
            }
            let before = self.subscriptions[slot].followed();
            needs_key_frame |= self.offer(now, slot, at, number, egress);
            if before != Some(at) && self.subscriptions[slot].followed() == Some(at) {
                let missed = self.subscriptions[slot].missed(at, &self.publications[place].layers, number);
                for number in missed {
                    needs_key_frame |= self.offer(now, slot, at, number, egress);
                }
            }
        }
        if needs_key_frame {
            self.publications[place].layers[at].key_frames.want();
        }
    }

    /// Shows a kept packet to one subscription, and sends it or lets it wait. Whether a key frame is needed.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        slot: usize,
        at: usize,
        number: u64,
        egress: &mut impl Egress,
    ) -> bool {
        let subscription = &mut self.subscriptions[slot];
        let place = subscription.peer;
        let peer = &mut self.peers[place];
        let publication = &mut self.publications[subscription.publication];
        let Some(stored) = publication.layers[at].ring.get(number).filter(|_| peer.is_connected()) else {
            return false;
        };
        let offer = subscription.offer(now, &publication.layers, at, publication.rtp_clock(), stored);
        let waits =
            subscription.followed() == Some(at) && subscription.waits_for_key_picture(&publication.layers);
        let out = match offer {
            Offer::Send(out) => out,
            Offer::Passed => return waits,
            Offer::NeedsKeyFrame => return true,
            Offer::NoCodec => {
                self.stats.dropped_codec_mismatch += 1;
                return waits;
            }
            Offer::TooLate => {
                self.stats.dropped_too_late += 1;
                return waits;
            }
        };
        let redundancy = peer.redundancy.level();
        if redundancy > 0 && stored.codec == CodecKind::Opus && subscription.takes_red() && !publication.plain
        {
            let ring = &publication.layers[at].ring;
            let mask = publication.red.mask(ring, number, publication.heard_from, redundancy);
            if let Some(sent) = subscription.sent(out) {
                sent.munge.redundancy = mask;
            }
        }
        let video = publication.kind == MediaKind::Video;
        if video && !peer.pacer.is_free(now) {
            let (bytes, subscription) = (stored.payload().len() as u32, subscription.id);
            let paced = Paced { slot, subscription, out, bytes, resend: false };
            self.stats.dropped_pacer_full += peer.pacer.push(paced);
            self.due_peers.no_later_than(place, peer.pacer.poll_timeout());
            return waits;
        }
        let mut sender = super::emit::Sender {
            now,
            epoch: self.epoch,
            peer,
            subscription,
            publication,
            config: &self.config,
            stats: &mut self.stats,
            events: &mut self.events,
        };
        let bytes = sender.emit(out, false, egress);
        if video {
            peer.pacer.spend(bytes);
        }
        waits
    }

    /// Learns an SSRC.
    fn keep(&mut self, now: Instant, peer: usize, ssrc: u32, learned: Learned) -> Option<StreamRef> {
        let publication = &mut self.publications[learned.publication];
        let Some(at) = publication.layer_at(&self.config, now, learned.layer) else {
            self.limit_hit(now, peer);
            return None;
        };
        let layer = &mut publication.layers[at];
        let before = match learned.role {
            Role::Media => layer.ssrc,
            Role::Retransmission => layer.rtx_ssrc.replace(ssrc),
            Role::Repair => layer.fec_ssrc.replace(ssrc),
        };
        if learned.role == Role::Media {
            layer.set_source(ssrc);
        }
        let stream = StreamRef { publication: learned.publication, layer: at as u8, role: learned.role };
        self.peers[peer].demux.insert(ssrc, before, stream);
        Some(stream)
    }
}

/// Whether a track of this kind may be sent so.
fn fits(kind: MediaKind, incoming: &IncomingType) -> bool {
    let audio = matches!(incoming.kind, CodecKind::Opus | CodecKind::Red);
    audio == (kind == MediaKind::Audio)
}
