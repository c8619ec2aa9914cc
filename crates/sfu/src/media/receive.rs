// SPDX-License-Identifier: EUPL-1.2
//! A packet's way in: whose it is, kept once, shown to every subscription (`walk`).

use std::time::Instant;

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::{Packet, rtx};

use super::demux::{IncomingType, Learned, Role, StreamRef};
use super::layer::Arrival;
use super::room::RoomMedia;
use super::walk::Next;
use super::{Egress, MediaEvent};
use crate::PeerId;

impl RoomMedia {
    /// A decrypted RTP packet of the peer's.
    pub fn handle_rtp(&mut self, now: Instant, peer: PeerId, whole: &[u8], egress: &mut impl Egress) {
        self.hold_rtp(now, peer, whole, egress);
        self.forward_all_held(now, egress);
    }

    /// The same, but a packet of a picture may be held back with others of it, to be forwarded together: before anything
    /// else is told the room, [`RoomMedia::forward_held`] is called until all of it is done.
    pub fn hold_rtp(&mut self, now: Instant, peer: PeerId, whole: &[u8], egress: &mut impl Egress) {
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
        // What was held back is for the streams as they were when it came.
        let next = Next {
            stream: known,
            payload_type: packet.payload_type,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
        };
        if !self.goes_on(&next, extensions.dependency_descriptor) {
            self.forward_all_held(now, egress);
        }
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
        let bytes = packet.header_len + packet.payload.len() + usize::from(packet.padding);
        // What the track may not bring takes nothing from what its publisher's others may.
        if !publication.ingress.admit(now, bytes) || !self.peers[peer].ingress.admit(now, bytes) {
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
        let may_hold = (!arrival.retransmitted).then_some(payload_type);
        self.take(now, peer, stream, &arrival, may_hold, egress);
        if !arrival.retransmitted {
            self.keep_for_repair(now, peer, stream, whole, egress);
        }
    }

    /// Keeps a packet and forwards it; one of a picture that came in this payload type may be held back.
    pub(super) fn take(
        &mut self,
        now: Instant,
        peer: usize,
        stream: StreamRef,
        arrival: &Arrival<'_>,
        may_hold: Option<u8>,
        egress: &mut impl Egress,
    ) {
        if may_hold.is_none() {
            self.forward_all_held(now, egress);
        }
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
        let (kind, muted) = (publication.kind, publication.muted);
        let shown = kind == MediaKind::Video && !muted && !self.is_untaken(stream.publication, at);
        let held = match may_hold {
            Some(payload_type) if shown => {
                self.hold(now, peer, stream, (payload_type, number), arrival, egress)
            }
            _ => false,
        };
        if shown && !held {
            self.forward(now, stream.publication, at, number..=number, egress);
        }
        if kind == MediaKind::Audio && !muted {
            self.forward_audio(now, stream.publication, number, arrival, egress);
        }
        if !muted {
            self.export_packet(stream.publication, at, arrival, egress);
        }
        let layer = &mut self.publications[stream.publication].layers[at];
        let nack_due = layer.nack.as_ref().and_then(super::nack::NackGenerator::poll_timeout);
        self.due_publications.no_later_than(stream.publication, nack_due);
        if !held {
            self.request_key_frame(now, peer, stream.publication, at, egress);
        }
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
