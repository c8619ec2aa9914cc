// SPDX-License-Identifier: EUPL-1.2
//! Repair packets of video (FlexFEC): those of publishers taken and used ([`receiver`]), and others made for subscribers
//! who are far away and lose packets ([`sender`], [`protection`]).
//!
//! What a repair packet protects is the packet as it leaves, but for the header extensions that are written anew on the
//! way: those count as zero, for that is how libwebrtc does it at both ends.

mod protection;
mod receiver;
mod sender;

use std::time::Instant;

use parvis_rtp::{Extensions, HeaderFields, Packet, flexfec, write_header};

use super::Egress;
use super::demux::StreamRef;
use super::emit::{HEADER_ROOM_BYTES, Sender};
use super::estimate::SentKind;
use super::layer::Arrival;
use super::room::RoomMedia;
pub(crate) use protection::Protection;
pub(crate) use receiver::FecReceiver;
use receiver::{Recovered, Taken};
pub(crate) use sender::FecSender;

impl RoomMedia {
    /// A repair packet's payload, of a publisher's layer. It is never forwarded.
    pub(super) fn take_repair(
        &mut self,
        now: Instant,
        peer: usize,
        stream: StreamRef,
        payload: &[u8],
        egress: &mut impl Egress,
    ) {
        self.stats.fec_received += 1;
        let layer = &mut self.publications[stream.publication].layers[usize::from(stream.layer)];
        let Some(ssrc) = layer.ssrc else { return };
        // Made for who sends repair packets alone. What came before the first one was not kept.
        let config = &self.config;
        let fec = layer.fec.get_or_insert_with(|| Box::new(FecReceiver::new(config)));
        match fec.take(ssrc, payload) {
            Taken::Waits { pushed_out } => self.stats.fec_overflow += u64::from(pushed_out),
            Taken::Unneeded => self.stats.fec_unneeded += 1,
            Taken::Refused => self.stats.fec_malformed += 1,
        }
        self.recover_lost(now, peer, stream, egress);
    }

    /// Keeps a packet for the repair packets to come, in a layer that has them.
    pub(super) fn keep_for_repair(
        &mut self,
        now: Instant,
        peer: usize,
        stream: StreamRef,
        packet: &[u8],
        egress: &mut impl Egress,
    ) {
        let layer = &mut self.publications[stream.publication].layers[usize::from(stream.layer)];
        let Some(fec) = layer.fec.as_mut() else { return };
        if fec.keep(packet, &self.peers[peer].extensions) {
            self.recover_lost(now, peer, stream, egress);
        }
    }

    /// Makes lost packets again as far as that goes. They are taken as retransmissions are.
    fn recover_lost(&mut self, now: Instant, peer: usize, stream: StreamRef, egress: &mut impl Egress) {
        let mut buf = std::mem::take(&mut self.scratch.repaired);
        buf.resize(flexfec::MAX_PACKET_BYTES, 0);
        loop {
            let layer = &mut self.publications[stream.publication].layers[usize::from(stream.layer)];
            let Some(fec) = layer.fec.as_mut() else { break };
            let len = match fec.recover(&mut buf) {
                Recovered::Packet(len) => len,
                Recovered::Nonsense => {
                    self.stats.fec_malformed += 1;
                    continue;
                }
                Recovered::Nothing => break,
            };
            let Ok(packet) = Packet::parse(&buf[..len]) else {
                self.stats.fec_malformed += 1;
                continue;
            };
            let from = &self.peers[peer];
            let format = &self.publications[stream.publication].codec;
            let known = format.as_ref().is_some_and(|format| format.payload_type == packet.payload_type);
            let Some(incoming) = from.demux.incoming_type(packet.payload_type).filter(|_| known) else {
                self.stats.fec_malformed += 1;
                continue;
            };
            let extensions = packet.extensions(&from.extensions);
            let mut arrival = Arrival::new(&packet, incoming.kind, incoming.rtp_clock, extensions);
            arrival.retransmitted = true;
            let before = self.stats.received_packets;
            self.take(now, peer, stream, &arrival, None, egress);
            self.stats.fec_recovered += self.stats.received_packets - before;
        }
        self.scratch.repaired = buf;
    }
}

impl Sender<'_> {
    /// The repair packets under way for this subscription, when its losses call for some.
    pub(super) fn protection(&mut self) -> Option<Box<FecSender>> {
        let level = self.peer.protection.level();
        if level == 0 || !self.subscription.takes_fec() {
            self.subscription.fec = None;
            return None;
        }
        let mut fec = self.subscription.fec.take().unwrap_or_default();
        fec.begin(self.now, level);
        Some(fec)
    }

    /// Sends the repair packets that are due after a packet of `bytes`. Returns how many bytes left.
    pub(super) fn emit_repairs(&mut self, bytes: usize, marker: bool, egress: &mut impl Egress) -> usize {
        let Some(mut fec) = self.subscription.fec.take() else { return 0 };
        fec.earn(bytes, self.config.fec_share);
        let mut sent = 0;
        if fec.is_due(marker) {
            for builder in fec.builders() {
                sent += self.emit_repair(builder, egress);
            }
            fec.close(sent);
        }
        self.subscription.fec = Some(fec);
        sent
    }

    fn emit_repair(&mut self, builder: &flexfec::Builder, egress: &mut impl Egress) -> usize {
        let Some((payload_type, ssrc)) = self.subscription.fec_stream() else { return 0 };
        let fields = HeaderFields {
            payload_type,
            ssrc,
            sequence: self.subscription.next_fec_sequence(),
            timestamp: self.subscription.last_timestamp(),
            ..HeaderFields::default()
        };
        let room = HEADER_ROOM_BYTES + builder.len();
        let extensions = self.transport_extensions();
        let len = self.hand_over(egress, room, SentKind::Media, |buf, map| {
            let len = write_header(buf, &fields, map, &extensions).ok()?;
            Some(len + builder.write(buf.get_mut(len..)?).ok()?)
        });
        if len == 0 {
            return 0;
        }
        self.peer.sent_bytes += len as u64;
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += len as u64;
        self.stats.fec_sent_packets += 1;
        self.stats.fec_sent_bytes += len as u64;
        len
    }
}

/// What a packet's header extensions are to a repair packet.
pub(super) fn unsent<'a>(extensions: &Extensions<'a>) -> Extensions<'a> {
    Extensions {
        transport_sequence: extensions.transport_sequence.map(|_| 0),
        abs_send_time: extensions.abs_send_time.map(|_| 0),
        ..*extensions
    }
}
