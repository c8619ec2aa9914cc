// SPDX-License-Identifier: EUPL-1.2
//! A packet's way out: written from the ring by what the sent log says, so that a retransmission is the same packet
//! again.

use std::collections::VecDeque;
use std::time::Instant;

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::{
    Extension, ExtensionMap, Extensions, HeaderFields, PlayoutDelay, red, rtx, vp8, vp9, write_header,
    write_padding,
};

use super::audio::{OPUS_SILENCE, RedPlan};
use super::dependency::MAX_DESCRIPTOR_BYTES;
use super::estimate::SentKind;
use super::facts::CodecFacts;
use super::fec;
use super::layer::Layer;
use super::peer::MediaPeer;
use super::publication::Publication;
use super::ring::Stored;
use super::room::RoomMedia;
use super::sent::{Content, Munge, Sent};
use super::subscription::{OutgoingType, Subscription};
use super::{Egress, MediaConfig, MediaEvent, MediaStats};
use crate::bwe::Carried;

/// Room for the fixed header, all header extensions but the dependency descriptor, and the retransmission's two bytes:
/// 12 + 4 + (MID 34 + audio level 3 + transport sequence 4 + send time 5 + capture time 18 + playout delay 5 +
/// orientation 3) + 2, rounded up.
pub(super) const HEADER_ROOM_BYTES: usize = 96;
/// Room for a decode target mask and its flags in a dependency descriptor.
const DESCRIPTOR_GROWTH_BYTES: usize = 8;

/// Sends packets of one subscription.
pub(super) struct Sender<'a> {
    pub(super) now: Instant,
    pub(super) epoch: Instant,
    pub(super) peer: &'a mut MediaPeer,
    pub(super) subscription: &'a mut Subscription,
    pub(super) publication: &'a Publication,
    pub(super) config: &'a MediaConfig,
    pub(super) stats: &'a mut MediaStats,
    pub(super) events: &'a mut VecDeque<MediaEvent>,
}

impl RoomMedia {
    /// Sends packets of the subscription at `slot`.
    pub(super) fn sender(&mut self, now: Instant, slot: usize) -> Sender<'_> {
        let subscription = &mut self.subscriptions[slot];
        Sender {
            now,
            epoch: self.epoch,
            peer: &mut self.peers[subscription.peer],
            publication: &self.publications[subscription.publication],
            subscription,
            config: &self.config,
            stats: &mut self.stats,
            events: &mut self.events,
        }
    }
}

impl Sender<'_> {
    /// Sends what the log has under `out`. Returns how many bytes left.
    pub(super) fn emit(&mut self, out: u64, resend: bool, egress: &mut impl Egress) -> usize {
        let moment = self.subscription.moment(self.now);
        let Some(sent) = self.subscription.sent(out) else {
            self.stats.dropped_expired += 1;
            return 0;
        };
        sent.sent_at = moment;
        let again = std::mem::replace(&mut sent.left, true);
        let sent = *sent;
        let marker = sent.marker;
        let bytes = match sent.content() {
            Content::Padding => self.emit_closing(out, &sent, again, egress),
            Content::Silence => self.emit_silence(out, &sent, egress),
            Content::Stored { layer, number } => {
                let publication = self.publication;
                let layer = publication.layers.get(usize::from(layer));
                match layer.and_then(|layer| Some((layer, layer.ring.find(number)?))) {
                    Some((layer, stored)) => self.emit_stored(out, &sent, layer, stored, resend, egress),
                    None => {
                        self.stats.dropped_expired += 1;
                        0
                    }
                }
            }
        };
        if bytes == 0 {
            return 0;
        }
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += bytes as u64;
        if resend {
            self.stats.resent_packets += 1;
            self.stats.resent_bytes += bytes as u64;
        } else {
            self.peer.resends.earn(bytes);
        }
        if !self.subscription.started {
            self.subscription.started = true;
            self.events.push_back(MediaEvent::SubscriptionStarted { subscription: self.subscription.id });
        }
        if resend { bytes } else { bytes + self.emit_repairs(bytes, marker, egress) }
    }

    /// Sends padding on the retransmission stream, to see what the path carries. Returns how many bytes left.
    pub(super) fn emit_probe(&mut self, padding: u8, egress: &mut impl Egress) -> usize {
        let (Some(ssrc), Some(OutgoingType { rtx: Some(payload_type), .. })) =
            (self.subscription.rtx_ssrc, self.subscription.last_type)
        else {
            return 0;
        };
        let fields = HeaderFields {
            payload_type,
            ssrc,
            sequence: self.subscription.next_rtx_sequence(),
            timestamp: self.subscription.last_timestamp(),
            ..HeaderFields::default()
        };
        let bytes = self.write_padding(&fields, padding, SentKind::Padding, egress);
        if bytes > 0 {
            self.stats.sent_packets += 1;
            self.stats.sent_bytes += bytes as u64;
        }
        bytes
    }

    /// Sends a packet without content that closes a sequence number. Asked for again it goes on the retransmission stream, an
    /// empty packet under its number: no number of a stream can be used twice under one key (RFC 3711 section 9.1).
    fn emit_closing(&mut self, out: u64, sent: &Sent, again: bool, egress: &mut impl Egress) -> usize {
        let Some(outgoing) = self.subscription.last_type else { return 0 };
        let fields = HeaderFields {
            payload_type: outgoing.payload_type,
            ssrc: self.subscription.ssrc,
            sequence: out as u16,
            timestamp: sent.timestamp,
            ..HeaderFields::default()
        };
        if !again {
            return self.write_padding(&fields, 1, SentKind::Media, egress);
        }
        let (Some(payload_type), Some(ssrc)) = (outgoing.rtx, self.subscription.rtx_ssrc) else { return 0 };
        let sequence = self.subscription.next_rtx_sequence();
        let fields = HeaderFields { payload_type, ssrc, sequence, ..fields };
        let extensions = self.transport_extensions();
        let len = self.hand_over(egress, HEADER_ROOM_BYTES, SentKind::Media, |buf, map| {
            let len = write_header(buf, &fields, map, &extensions).ok()?;
            let end = len + rtx::OVERHEAD_BYTES;
            buf.get_mut(len..end)?.copy_from_slice(&(out as u16).to_be_bytes());
            Some(end)
        });
        self.peer.sent_bytes += len as u64;
        len
    }

    fn emit_silence(&mut self, out: u64, sent: &Sent, egress: &mut impl Egress) -> usize {
        let Some(opus) = self.subscription.outgoing_type(CodecKind::Opus) else { return 0 };
        let fields = HeaderFields {
            payload_type: opus.payload_type,
            ssrc: self.subscription.ssrc,
            sequence: out as u16,
            timestamp: sent.timestamp,
            ..HeaderFields::default()
        };
        let extensions = self.transport_extensions();
        let room = HEADER_ROOM_BYTES + OPUS_SILENCE.len();
        let len = self.hand_over(egress, room, SentKind::Media, |buf, map| {
            let len = write_header(buf, &fields, map, &extensions).ok()?;
            buf.get_mut(len..len + OPUS_SILENCE.len())?.copy_from_slice(&OPUS_SILENCE);
            Some(len + OPUS_SILENCE.len())
        });
        if len == 0 {
            return 0;
        }
        self.stats.silence_packets += 1;
        self.count(len, OPUS_SILENCE.len());
        len
    }

    /// Counts a packet for the sender report.
    fn count(&mut self, len: usize, payload: usize) {
        self.peer.sent_bytes += len as u64;
        self.subscription.packets = self.subscription.packets.wrapping_add(1);
        self.subscription.octets = self.subscription.octets.wrapping_add(payload as u32);
    }

    /// Sends a packet of sound together with earlier ones (RFC 2198), straight from the ring.
    fn emit_redundant(
        &mut self,
        out: u64,
        sent: &Sent,
        layer: &Layer,
        stored: &Stored,
        resend: bool,
        egress: &mut impl Egress,
    ) -> usize {
        // What went out with redundancy is sent again with it, whatever has been decided since.
        let types = [CodecKind::Red, CodecKind::Opus].map(|kind| self.subscription.types[kind as usize]);
        let [Some(outgoing), Some(opus)] = types else { return 0 };
        // Without all that went with it at first, it would be another packet.
        let Some((earlier, count)) = RedPlan::blocks(&layer.ring, stored.number, sent.munge.redundancy)
        else {
            self.stats.dropped_expired += 1;
            return 0;
        };
        let nothing = red::Block { payload_type: opus.payload_type, timestamp_offset: 0, payload: &[] };
        let blocks = earlier.map(|earlier| {
            earlier.map_or(nothing, |(stored, timestamp_offset)| red::Block {
                timestamp_offset,
                payload: stored.payload(),
                ..nothing
            })
        });
        let blocks = &blocks[..count];
        let payload_len = red::len(blocks, stored.payload().len());
        let fields = HeaderFields {
            marker: sent.marker,
            payload_type: outgoing.payload_type,
            sequence: out as u16,
            timestamp: sent.timestamp,
            ssrc: self.subscription.ssrc,
            ..HeaderFields::default()
        };
        self.subscription.last_type = Some(outgoing);
        let extensions = Extensions {
            audio_level: stored.audio_level,
            abs_capture_time: stored.abs_capture_time,
            ..self.transport_extensions()
        };
        let len = self.hand_over(egress, HEADER_ROOM_BYTES + payload_len, SentKind::Media, |buf, map| {
            let len = write_header(buf, &fields, map, &extensions).ok()?;
            let written = red::write(buf.get_mut(len..)?, blocks, opus.payload_type, stored.payload());
            Some(len + written.ok()?)
        });
        if len == 0 {
            return 0;
        }
        self.stats.red_made += 1;
        if resend {
            self.peer.sent_bytes += len as u64;
        } else {
            self.count(len, payload_len);
        }
        len
    }

    fn write_padding(
        &mut self,
        fields: &HeaderFields<'_>,
        padding: u8,
        kind: SentKind,
        egress: &mut impl Egress,
    ) -> usize {
        let room = HEADER_ROOM_BYTES + usize::from(padding);
        let extensions = self.transport_extensions();
        let len = self.hand_over(egress, room, kind, |buf, map| {
            write_padding(buf, fields, map, &extensions, padding).ok()
        });
        self.stats.padding_packets += u64::from(len > 0);
        self.peer.sent_bytes += len as u64;
        len
    }

    fn emit_stored(
        &mut self,
        out: u64,
        sent: &Sent,
        layer: &Layer,
        stored: &Stored,
        resend: bool,
        egress: &mut impl Egress,
    ) -> usize {
        if sent.munge.redundancy != 0 {
            return self.emit_redundant(out, sent, layer, stored, resend, egress);
        }
        let Some(outgoing) = self.subscription.outgoing_type(stored.codec) else { return 0 };
        self.subscription.last_type = Some(outgoing);
        let payload = &stored.payload()[self.subscription.payload_start(stored)..];
        let mut fields = HeaderFields {
            marker: sent.marker,
            payload_type: outgoing.payload_type,
            sequence: out as u16,
            timestamp: sent.timestamp,
            ssrc: self.subscription.ssrc,
            ..HeaderFields::default()
        };
        let original = match (resend, outgoing.rtx, self.subscription.rtx_ssrc) {
            (true, Some(payload_type), Some(ssrc)) => {
                (fields.payload_type, fields.ssrc) = (payload_type, ssrc);
                fields.sequence = self.subscription.next_rtx_sequence();
                Some(out as u16)
            }
            _ => None,
        };
        let mut descriptor_buf = [0; MAX_DESCRIPTOR_BYTES];
        let descriptor_len = match stored.descriptor() {
            Some(descriptor) if self.peer.extensions.id(Extension::DependencyDescriptor).is_some() => {
                layer.reader.dependency().rewrite(descriptor, &sent.munge, &mut descriptor_buf)
            }
            _ => 0,
        };
        let room = HEADER_ROOM_BYTES + descriptor_len + DESCRIPTOR_GROWTH_BYTES + payload.len();
        let video = self.publication.kind == MediaKind::Video;
        let extensions = Extensions {
            audio_level: stored.audio_level,
            video_orientation: stored.video_orientation,
            playout_delay: if video { self.playout_delay(stored) } else { stored.playout_delay },
            abs_capture_time: stored.abs_capture_time,
            dependency_descriptor: (descriptor_len > 0).then(|| &descriptor_buf[..descriptor_len]),
            ..self.transport_extensions()
        };
        let opus = self.subscription.outgoing_type(CodecKind::Opus).map(|opus| opus.payload_type);
        let takes_red = payload.len() == stored.payload().len();
        let protects = video && !resend;
        let mut protection = if protects { self.protection() } else { None };
        let kind = if video { SentKind::Repairable(self.carried(out, sent)) } else { SentKind::Media };
        let len = self.hand_over(egress, room, kind, |buf, map| {
            let mut len = write_header(buf, &fields, map, &extensions).ok()?;
            if let Some(original) = original {
                buf.get_mut(len..len + rtx::OVERHEAD_BYTES)?.copy_from_slice(&original.to_be_bytes());
                len += rtx::OVERHEAD_BYTES;
            }
            let body = buf.get_mut(len..len + payload.len())?;
            body.copy_from_slice(payload);
            rewrite_payload(body, stored, &sent.munge);
            if stored.codec == CodecKind::Red && takes_red {
                rename_red_blocks(body, opus?);
            }
            len += payload.len();
            if let Some(protection) = &mut protection {
                write_header(buf, &fields, map, &fec::unsent(&extensions)).ok()?;
                protection.add(buf.get(..len)?);
                write_header(buf, &fields, map, &extensions).ok()?;
            }
            Some(len)
        });
        if protection.is_some() {
            self.subscription.fec = protection;
        }
        if len == 0 {
            return 0;
        }
        if resend {
            self.peer.sent_bytes += len as u64;
        } else {
            self.count(len, payload.len());
        }
        len
    }

    /// How long the peer is to hold the picture: what it was told, its room, or else the publisher, and longer where it loses
    /// packets.
    fn playout_delay(&self, stored: &Stored) -> Option<PlayoutDelay> {
        self.peer.patience.playout_delay(self.peer.playout_delay.or(stored.playout_delay))
    }

    fn carried(&self, out: u64, sent: &Sent) -> Carried {
        Carried { ssrc: self.subscription.ssrc, sequence: out as u16, resends: sent.resends }
    }

    /// What every packet to this peer says of itself.
    pub(super) fn transport_extensions(&self) -> Extensions<'static> {
        let map = &self.peer.extensions;
        let transport_sequence =
            map.id(Extension::TransportSequence).map(|_| self.peer.downlink.next_sequence());
        // 24 bits, seconds in 6.18 fixed point.
        let abs_send_time = map.id(Extension::AbsSendTime).map(|_| {
            let elapsed = self.now.saturating_duration_since(self.epoch).as_micros();
            ((elapsed << 18) / 1_000_000) as u32 & 0x00ff_ffff
        });
        // Once the peer has reported on the SSRC it knows the section.
        let named = self.subscription.remote.seen;
        let mid = self.subscription.outlet.as_ref().map(|outlet| outlet.mid).filter(|_| !named);
        Extensions { transport_sequence, abs_send_time, mid, ..Extensions::default() }
    }

    /// Has a packet written and sent. Returns how many bytes left. One that does not leave takes no transport-wide number:
    /// the peer would report it lost, and the estimate would fall for what was never sent.
    pub(super) fn hand_over(
        &mut self,
        egress: &mut impl Egress,
        room: usize,
        kind: SentKind,
        write: impl FnOnce(&mut [u8], &ExtensionMap) -> Option<usize>,
    ) -> usize {
        let MediaPeer { id, extensions, downlink, .. } = &mut *self.peer;
        let mut len = 0;
        let left = egress.rtp(*id, room, |buf| {
            len = write(buf, extensions)?;
            Some(len)
        });
        if !left {
            return 0;
        }
        if extensions.id(Extension::TransportSequence).is_some() {
            downlink.on_sent(self.now, len, kind);
        }
        len
    }
}

/// Puts the subscriber's numbers into the payload descriptor.
fn rewrite_payload(body: &mut [u8], stored: &Stored, munge: &Munge) {
    match stored.facts.codec {
        CodecFacts::None => {}
        CodecFacts::Vp8(facts) => {
            let to = vp8::Rewrite {
                picture_id: facts.picture.map(|_| munge.picture_id),
                tl0_pic_idx: facts.tl0_index.map(|_| munge.tl0_index),
                key_index: facts.key_index.map(|_| munge.key_index),
            };
            // It was read when it came: it can be read again.
            let _ = vp8::rewrite(body, &to);
        }
        CodecFacts::Vp9(facts) => {
            if facts.picture.is_some() {
                let _ = vp9::rewrite_picture_id(body, munge.picture_id);
            }
            if facts.tl0_index.is_some() {
                rewrite_vp9_tl0(body, munge.tl0_index);
            }
        }
    }
}

/// RFC 9628 section 4.2: I, then the picture id of one or two bytes, then the layer indices, then TL0PICIDX.
fn rewrite_vp9_tl0(body: &mut [u8], tl0_index: u8) {
    let picture_len = match (body.first(), body.get(1)) {
        (Some(first), Some(id)) if first & 0x80 != 0 => 1 + usize::from(id & 0x80 != 0),
        _ => 0,
    };
    if let Some(index) = body.get_mut(1 + picture_len + 1) {
        *index = tl0_index;
    }
}

/// Blocks of a RED payload name Opus by the publisher's payload type (RFC 2198 section 3): here by the subscriber's.
fn rename_red_blocks(body: &mut [u8], opus: u8) {
    let mut at = 0;
    while let Some(head) = body.get_mut(at) {
        let more = *head & 0x80;
        *head = more | (opus & 0x7f);
        if more == 0 {
            return;
        }
        at += 4;
    }
}
