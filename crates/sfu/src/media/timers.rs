// SPDX-License-Identifier: EUPL-1.2
//! What is done when time has come.

use std::time::{Duration, Instant};

use parvis_peer::sdp::MediaKind;
use parvis_rtp::rtcp::Writer;

use super::peer::ActiveProbe;
use super::room::{RoomMedia, TICK};
use super::subscription::Subscription;
use super::{Egress, MediaEvent};
use crate::QualityReport;

/// A peer's reports: a second apart, so that round trip and loss are fresh.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Where there are no pictures, nothing is shared out but what everyone gets: that is looked at less often than at each tick.
const SOUND_INTERVAL: Duration = Duration::from_millis(500);
/// RTCP of ours fits in any path's packets.
pub(super) const RTCP_BYTES: usize = 1200;
/// Padding of a probe leaves in steps of this.
const PROBE_STEP: Duration = Duration::from_millis(5);
/// The largest padding that RTP can say.
const PROBE_PADDING_BYTES: u8 = 255;

impl RoomMedia {
    /// Does all that is due and finds out what comes next. A tick visits everyone; between ticks, only those whose own
    /// deadline has come are visited. Always in the order of places.
    pub(super) fn run_timers(&mut self, now: Instant, egress: &mut impl Egress) {
        let tick = self.next_tick <= now;
        if tick {
            self.next_tick = now + TICK;
            self.roll_rates(now);
            self.run_stage(now);
            self.renew_demands();
            self.trunk_work |=
                self.publications.iter().any(|(_, publication)| !publication.exports.is_empty());
        }
        let mut due = std::mem::take(&mut self.scratch.due);
        self.due_peers.take_due(now, &mut due);
        if tick {
            due.clear();
            due.extend(self.peers.iter().map(|(place, _)| place));
        }
        for &place in &due {
            self.run_peer(now, place, tick, egress);
        }
        // Peers that were just given a layer may want a key frame of it.
        self.due_publications.take_due(now, &mut due);
        if tick {
            due.clear();
            due.extend(self.publications.iter().map(|(place, _)| place));
        }
        for &place in &due {
            self.run_layers(now, place, egress);
        }
        self.scratch.due = due;
        self.run_hushes(now, egress);
        if self.next_speakers <= now {
            self.next_speakers = now + self.config.speakers_interval;
            self.run_speakers(now);
        }
    }

    fn run_peer(&mut self, now: Instant, place: usize, tick: bool, egress: &mut impl Egress) {
        self.stats.timer_visits += 1;
        let peer = &mut self.peers[place];
        peer.downlink.handle_timeout(now);
        if peer.uplink.poll_timeout().is_some_and(|due| due <= now) {
            self.send_transport_feedback(now, place, egress);
        }
        let peer = &mut self.peers[place];
        let due = tick && (peer.shows_pictures || now >= peer.next_allocation);
        if due || std::mem::take(&mut peer.reallocate) {
            peer.reallocate = false;
            peer.next_allocation = now + SOUND_INTERVAL;
            peer.pace(&self.config, now);
            self.allocate(now, place);
            self.note_choices(place);
            self.wake_key_frames(now, place);
        }
        self.release_paced(now, place, egress);
        self.run_probe(now, place, egress);
        let peer = &mut self.peers[place];
        if peer.next_report <= now && peer.is_connected() {
            peer.next_report = now + REPORT_INTERVAL;
            self.send_reports(now, place, egress);
        }
        if self.peers[place].next_quality <= now {
            self.tell_quality(now, place);
        }
        let peer = &self.peers[place];
        let probe = peer.probe.map(|probe| probe.last + PROBE_STEP);
        let mut due = earliest(peer.pacer.poll_timeout(), peer.uplink.poll_timeout());
        due = earliest(due, peer.downlink.poll_timeout());
        self.due_peers.set(place, earliest(due, probe));
    }

    /// Notes whether a peer was just granted other layers than before.
    fn note_choices(&mut self, place: usize) {
        for &slot in &self.peers[place].subscriptions {
            self.choices += u64::from(self.subscriptions[slot].take_regranted());
        }
    }

    /// What was just granted to a peer may want a key frame, which is asked for in this same wake.
    fn wake_key_frames(&mut self, now: Instant, place: usize) {
        for &slot in &self.peers[place].subscriptions {
            let place = self.subscriptions[slot].publication;
            let layers = &self.publications[place].layers;
            let interval = self.config.key_frame_interval;
            if layers.iter().any(|layer| layer.key_frames.poll_timeout(now, interval).is_some()) {
                self.due_publications.no_later_than(place, Some(now));
            }
        }
    }

    /// Sends what the pacer lets go.
    fn release_paced(&mut self, now: Instant, place: usize, egress: &mut impl Egress) {
        while let Some(paced) = self.peers[place].pacer.pop(now) {
            // The subscription may be gone, and its place another's.
            let Some(subscription) = self
                .subscriptions
                .get(paced.slot)
                .filter(|subscription| subscription.id == paced.subscription)
            else {
                continue;
            };
            if self.publications[subscription.publication].muted {
                continue;
            }
            let bytes = self.sender(now, paced.slot).emit(paced.out, paced.resend, egress);
            self.peers[place].pacer.spend(bytes);
        }
    }

    /// Sends padding while the estimator wants to know whether more fits.
    fn run_probe(&mut self, now: Instant, place: usize, egress: &mut impl Egress) {
        let peer = &mut self.peers[place];
        let (slots, subscriptions) = (&peer.subscriptions, &self.subscriptions);
        // Padding goes on the retransmission stream of pictures that are sent already.
        let carrier = || {
            let mut slots = slots.iter().copied();
            slots.find(|slot| subscriptions.get(*slot).is_some_and(Subscription::can_probe))
        };
        if peer.probe.is_none()
            && peer.is_connected()
            && let Some(wanted) = peer.downlink.wants_probe(now, || carrier().is_some())
        {
            peer.probe = Some(ActiveProbe {
                until: now + wanted.duration,
                bitrate: wanted.bitrate.min(self.config.max_bitrate),
                packets: wanted.packets,
                last: now,
                last_bytes: peer.sent_bytes,
                owed_bytes: 1.0,
            });
        }
        let Some(mut probe) = peer.probe.take() else { return };
        let elapsed = now.saturating_duration_since(probe.last).min(PROBE_STEP * 4);
        probe.last = now;
        probe.owed_bytes += elapsed.as_secs_f64() * probe.bitrate as f64 / 8.0;
        probe.owed_bytes -= peer.sent_bytes.saturating_sub(probe.last_bytes) as f64;
        let Some(carrier) = carrier() else { return };
        let over = now >= probe.until;
        // Media counts between packets of padding only: where media alone is as much as is tried, one must end it.
        let mut least = if over { probe.packets.max(1) } else { 0 };
        while probe.owed_bytes > 0.0 || least > 0 {
            let bytes = self.sender(now, carrier).emit_probe(PROBE_PADDING_BYTES, egress);
            if bytes == 0 {
                return;
            }
            probe.owed_bytes -= bytes as f64;
            probe.packets = probe.packets.saturating_sub(1);
            least = least.saturating_sub(1);
        }
        let peer = &mut self.peers[place];
        probe.last_bytes = peer.sent_bytes;
        if !over {
            peer.probe = Some(probe);
        }
    }

    fn send_transport_feedback(&mut self, now: Instant, place: usize, egress: &mut impl Egress) {
        let peer = &mut self.peers[place];
        let media = peer.publications.iter().find_map(|publication| {
            self.publications[*publication].layers.iter().find_map(|layer| layer.ssrc)
        });
        let mut buf = [0; RTCP_BYTES];
        while let Some(len) = peer.uplink.write_feedback(now, peer.ssrc, media.unwrap_or(0), &mut buf) {
            egress.rtcp(peer.id, &buf[..len]);
        }
    }

    /// NACKs and key frame requests of a publication's layers.
    fn run_layers(&mut self, now: Instant, place: usize, egress: &mut impl Egress) {
        self.stats.timer_visits += 1;
        self.due_publications.set(place, None);
        let mut numbers = std::mem::take(&mut self.scratch.numbers);
        let publication = &mut self.publications[place];
        let publisher_place = publication.peer;
        let publisher = &self.peers[publisher_place];
        for layer in &mut publication.layers {
            numbers.clear();
            let Some(nack) = layer.nack.as_mut() else { continue };
            nack.collect(now, publisher.round_trip(), &mut numbers);
            let due = nack.poll_timeout();
            if let Some(ssrc) = layer.ssrc.filter(|_| !numbers.is_empty() && publisher.is_connected()) {
                let mut buf = [0; RTCP_BYTES];
                let mut writer = Writer::new(&mut buf);
                if writer.nack(publisher.ssrc, ssrc, numbers.iter().copied()).is_ok() {
                    let len = writer.len();
                    egress.rtcp(publisher.id, &buf[..len]);
                    self.stats.nacks_sent += numbers.len() as u64;
                }
            }
            self.due_publications.no_later_than(place, due);
        }
        self.scratch.numbers = numbers;
        for at in 0..self.publications[place].layers.len() {
            self.request_key_frame(now, publisher_place, place, at, egress);
        }
    }

    fn roll_rates(&mut self, now: Instant) {
        for (_, publication) in &mut self.publications {
            for layer in &mut publication.layers {
                layer.rates.roll(now);
            }
        }
    }

    fn run_speakers(&mut self, now: Instant) {
        let mut speakers = std::mem::take(&mut self.scratch.speakers);
        speakers.clear();
        for (_, publication) in &mut self.publications {
            if publication.kind == MediaKind::Audio
                && let Some(level) = publication.loudness.end_window(now, self.config.speech_hangover)
            {
                speakers.push((publication.track, level));
            }
        }
        speakers.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if speakers != self.speakers {
            self.speakers.clone_from(&speakers);
            self.events.push_back(MediaEvent::Speakers(speakers.clone()));
        }
        self.scratch.speakers = speakers;
    }

    fn tell_quality(&mut self, now: Instant, place: usize) {
        let peer = &mut self.peers[place];
        peer.next_quality = now + self.config.quality_interval;
        let mut totals = (0, 0);
        for &publication in &peer.publications {
            for layer in &self.publications[publication].layers {
                let (expected, received) = layer.reception.totals();
                totals = (totals.0 + expected, totals.1 + received);
            }
        }
        let before = std::mem::replace(&mut peer.quality_base, totals);
        let expected = totals.0.saturating_sub(before.0);
        let received = totals.1.saturating_sub(before.1);
        let lost = expected.saturating_sub(received);
        let sends = !peer.subscriptions.is_empty();
        let report = QualityReport {
            uplink_loss: if expected == 0 { 0.0 } else { lost as f32 / expected as f32 },
            downlink_loss: if sends { peer.downlink.loss() } else { 0.0 },
            round_trip_ms: peer.downlink.round_trip().map_or(0, |round_trip| round_trip.as_millis() as u32),
            estimate: if sends { peer.estimate(&self.config) } else { 0 },
            limited: peer.limited,
        };
        if peer.is_connected() {
            self.events.push_back(MediaEvent::Quality(peer.id, report));
        }
    }
}

/// The earlier of two times that may not be.
pub(super) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
