// SPDX-License-Identifier: EUPL-1.2
//! RTCP's way in: reports, requests for packets and key frames, feedback on the path.

use std::time::{Duration, Instant};

use parvis_peer::sdp::MediaKind;
use parvis_rtp::rtcp::{self, ReportBlocks, Rtcp, SenderInfo, TransportFeedback, Writer, XrBlock};

use super::Egress;
use super::demux::Role;
use super::keyframe;
use super::layer::SenderClock;
use super::ntp;
use super::room::RoomMedia;
use super::subscription::RemoteReport;
use crate::PeerId;

/// What a round trip is believed to be at most: beyond it, a clock is wrong.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);

impl RoomMedia {
    /// A decrypted compound RTCP packet of the peer's.
    pub fn handle_rtcp(&mut self, now: Instant, peer: PeerId, compound: &[u8], egress: &mut impl Egress) {
        let Some(&peer) = self.peer_places.get(&peer) else { return };
        for packet in rtcp::packets(compound) {
            let Ok(packet) = packet else {
                self.stats.dropped_malformed += 1;
                return;
            };
            match packet {
                Rtcp::SenderReport(report) => {
                    self.on_sender_info(now, peer, report.ssrc, &report.info);
                    self.on_report_blocks(now, peer, report.blocks);
                }
                Rtcp::ReceiverReport(report) => self.on_report_blocks(now, peer, report.blocks),
                Rtcp::Nack(nack) => self.on_nack(now, peer, &nack, egress),
                Rtcp::Pli { media_ssrc, .. } => self.on_key_frame_request(now, peer, media_ssrc, egress),
                Rtcp::Fir(fir) => {
                    for entry in fir.entries() {
                        self.on_key_frame_request(now, peer, entry.ssrc, egress);
                    }
                }
                Rtcp::TransportFeedback(feedback) => {
                    self.on_transport_feedback(now, peer, &feedback, egress);
                }
                Rtcp::Xr(report) => {
                    for block in report.blocks() {
                        match block {
                            XrBlock::ReceiverReferenceTime(ntp) => {
                                self.peers[peer].reference_time =
                                    Some((report.ssrc, (ntp >> 16) as u32, now));
                            }
                            XrBlock::Dlrr(entries) => {
                                let peer = &mut self.peers[peer];
                                let ours = entries.iter().find(|entry| entry.ssrc == peer.ssrc);
                                let measured = ours.and_then(|entry| {
                                    round_trip_of(self.epoch, now, entry.last_rr, entry.delay_since_last_rr)
                                });
                                peer.uplink_round_trip = measured.or(peer.uplink_round_trip);
                            }
                            XrBlock::Unknown(_) => {}
                        }
                    }
                }
                Rtcp::Remb(remb) => self.peers[peer].remb = Some(remb.bitrate),
                // Goodbyes come with signalling too.
                Rtcp::Sdes(_) | Rtcp::Bye(_) | Rtcp::Unknown { .. } => {}
            }
        }
    }

    fn on_transport_feedback(
        &mut self,
        now: Instant,
        place: usize,
        feedback: &TransportFeedback<'_>,
        egress: &mut impl Egress,
    ) {
        let mut lost = std::mem::take(&mut self.scratch.lost);
        lost.clear();
        let peer = &mut self.peers[place];
        peer.downlink.on_feedback(now, feedback, &mut lost);
        peer.resends.set_loss(peer.downlink.loss());
        peer.pace(&self.config, now);
        self.on_lost(now, place, &lost, egress);
        self.scratch.lost = lost;
    }

    /// Asks for a key frame when one is wanted and the last request is old enough.
    pub(super) fn request_key_frame(
        &mut self,
        now: Instant,
        publisher: usize,
        publication: usize,
        at: usize,
        egress: &mut impl Egress,
    ) {
        let publisher = &self.peers[publisher];
        let source = &mut self.publications[publication];
        let layer = &mut source.layers[at];
        if let Some(import) = &mut source.import {
            if layer.key_frames.take_due(now, self.config.key_frame_interval) {
                import.key_frames_due |= 1 << at;
                self.trunk_work = true;
                self.stats.key_frame_requests_sent += 1;
            }
            let due = layer.key_frames.poll_timeout(now, self.config.key_frame_interval);
            return self.due_publications.no_later_than(publication, due);
        }
        let Some(ssrc) = layer.ssrc.filter(|_| publisher.is_connected()) else { return };
        let spacing = keyframe::spacing(self.config.key_frame_interval, publisher.round_trip());
        if layer.key_frames.take_due(now, spacing) {
            let mut buf = [0; 32];
            let mut writer = Writer::new(&mut buf);
            if writer.pli(publisher.ssrc, ssrc).is_ok() {
                let len = writer.len();
                egress.rtcp(publisher.id, &buf[..len]);
                self.stats.key_frame_requests_sent += 1;
            }
        }
        let layer = &self.publications[publication].layers[at];
        let due = layer.key_frames.poll_timeout(now, spacing);
        self.due_publications.no_later_than(publication, due);
    }

    fn on_sender_info(&mut self, now: Instant, peer: usize, ssrc: u32, info: &SenderInfo) {
        let our_ntp = ntp::at(self.epoch, now);
        let peer = &mut self.peers[peer];
        let Some(stream) = peer.demux.stream(ssrc).filter(|stream| stream.role == Role::Media) else {
            return;
        };
        let layer = &mut self.publications[stream.publication].layers[usize::from(stream.layer)];
        layer.clock = Some(SenderClock { ntp: info.ntp, rtp: info.rtp_timestamp, arrival: now });
        peer.on_sender_clock(our_ntp, info.ntp);
        self.clock_changed(stream.publication, usize::from(stream.layer));
    }

    fn on_report_blocks(&mut self, now: Instant, peer: usize, blocks: ReportBlocks<'_>) {
        let peer = &mut self.peers[peer];
        let (mut expected, mut lost, mut round_trip) = (0u64, 0i64, None);
        for block in blocks.iter() {
            let Some(&place) = peer.outgoing.get(&block.ssrc) else { continue };
            let subscription = &mut self.subscriptions[place];
            if subscription.ssrc != block.ssrc {
                continue;
            }
            let before = std::mem::replace(
                &mut subscription.remote,
                RemoteReport {
                    seen: true,
                    cumulative_lost: block.cumulative_lost,
                    highest: block.extended_highest_sequence,
                },
            );
            if before.seen {
                let advanced = block.extended_highest_sequence.wrapping_sub(before.highest);
                // A report can't tell of more packets than were sent.
                expected += u64::from(advanced.min(u32::from(u16::MAX)));
                lost += i64::from(block.cumulative_lost) - i64::from(before.cumulative_lost);
            }
            let measured = round_trip_of(self.epoch, now, block.last_sr, block.delay_since_last_sr);
            round_trip = round_trip.or(measured);
        }
        if expected > 0 || round_trip.is_some() {
            let fraction = if expected == 0 { 0.0 } else { lost.max(0) as f32 / expected as f32 };
            peer.downlink.on_report(now, fraction.min(1.0), round_trip);
            let lost = lost.max(0) as u64;
            peer.redundancy.on_report(now, expected, lost, &self.config);
            let round_trip = peer.downlink.round_trip();
            peer.protection.on_report(now, expected, lost, round_trip, &self.config);
            peer.patience.on_report(now, expected, lost, round_trip, &self.config);
        }
    }

    fn on_key_frame_request(&mut self, now: Instant, peer: usize, ssrc: u32, egress: &mut impl Egress) {
        let Some(&slot) = self.peers[peer].outgoing.get(&ssrc) else { return };
        self.stats.key_frame_requests_received += 1;
        let subscription = &mut self.subscriptions[slot];
        let place = subscription.publication;
        let granted = subscription.grant.map(|grant| usize::from(grant.stream));
        let publication = &mut self.publications[place];
        let Some(at) = subscription.followed().or(granted).filter(|at| *at < publication.layers.len()) else {
            return;
        };
        if publication.kind == MediaKind::Video && !publication.muted {
            // Whoever is alone pays for it alone, and where others wait for one already it costs nothing more.
            let free = publication.subscribers.len() < 2 || publication.layers[at].key_frames.is_wanted();
            if !free && !subscription.key_frame_budget.take(now) {
                self.stats.key_frame_requests_over_budget += 1;
                return;
            }
            publication.layers[at].key_frames.want();
            let publisher = publication.peer;
            self.request_key_frame(now, publisher, place, at, egress);
        }
    }
}

/// The round trip, from the middle of our clock's reading that came back and how long it lay (RFC 3550 section 6.4.1).
fn round_trip_of(epoch: Instant, now: Instant, reading: u32, delay: u32) -> Option<Duration> {
    let ticks = ((ntp::at(epoch, now) >> 16) as u32).wrapping_sub(reading).wrapping_sub(delay);
    let measured = Duration::from_micros(u64::from(ticks) * 1_000_000 / 65_536);
    (reading != 0 && measured < MAX_ROUND_TRIP).then_some(measured)
}
