// SPDX-License-Identifier: EUPL-1.2
//! What a subscriber gets of several codecs, temporal layers, and speakers; and that layers stay in step.

use std::time::Duration;

use parvis_peer::sdp::{CodecKind, MediaKind, MediaSection};
use parvis_rtp::rtcp::{Rtcp, SenderInfo, packets};
use parvis_rtp::{AudioLevel, Extensions};
use parvis_sfu::media::{MediaConfig, MediaEvent};
use parvis_sfu::{PeerId, Quality, SubscriptionId, SubscriptionSettings, TrackId};

use crate::layers::vp9;
use crate::world::*;

/// Peer 1 sends track 1 in VP9 and track 2, the same picture, in VP8.
struct Backup {
    world: World,
    vp8: Vp8Source,
    picture: u16,
}

fn without(kind: CodecKind, section: MediaSection) -> MediaSection {
    let codecs = section.codecs.iter().filter(|codec| codec.kind != kind).cloned().collect();
    MediaSection { codecs, ..section }
}

impl Backup {
    fn new(section: MediaSection) -> Backup {
        let mut world = World::new();
        let sections = [("v", 1), ("w", 2000)]
            .map(|(mid, ssrc)| inbound_by_ssrc(mid, MediaKind::Video, &[(ssrc, None)]));
        world.peer(1, &sections);
        world.peer(2, &[section]);
        world.publish(1, 1, "v", &video_spec(&[]));
        world.publish(1, 2, "w", &video_spec(&[]));
        world.subscribe(1, 2, 1);
        world.run_ms(0);
        // Both number their packets alike, so that one could be taken for the other's.
        let vp8 = Vp8Source { sequence: 0, ..Vp8Source::new(2000, mid_ext("w")) };
        Backup { world, vp8, picture: 0 }
    }

    /// Frames of both; `key` for both.
    fn play(&mut self, frames: u16, key: bool) {
        for at in 0..frames {
            let packet = In {
                payload_type: VP9,
                ssrc: 1,
                sequence: self.picture,
                timestamp: u32::from(self.picture) * 2970,
                extensions: mid_ext("v"),
                ..In::default()
            };
            let payload = vp9(self.picture, 0, key && at == 0, true, true, 9);
            self.world.rtp(1, &packet.with(&payload));
            self.picture += 1;
            for packet in self.vp8.frame(key && at == 0, 2, b"vp8") {
                self.world.rtp(1, &packet);
            }
            self.world.run_ms(33);
        }
    }

    fn unsupported(&mut self) -> usize {
        let told = MediaEvent::CodecUnsupported { subscription: SubscriptionId(1), codec: CodecKind::Vp9 };
        let count = self.world.events.iter().filter(|event| **event == told).count();
        self.world.events.clear();
        count
    }
}

#[test]
fn who_cannot_take_the_codec_is_told_of_once_and_gets_another() {
    let mut backup = Backup::new(without(CodecKind::Vp9, outbound("0", MediaKind::Video, 1)));
    backup.play(10, true);
    assert_eq!(backup.unsupported(), 1);
    assert!(backup.world.take_rtp(2).is_empty());
    assert!(!backup.world.room.switch_track(backup.world.now, SubscriptionId(1), TrackId(77)));
    assert!(backup.world.room.switch_track(backup.world.now, SubscriptionId(1), TrackId(2)));
    backup.world.take_plis(1);
    backup.play(3, false);
    assert!(backup.world.take_plis(1) >= 1, "the other codec begins with a key frame");
    backup.play(10, true);
    let left = backup.world.take_rtp(2);
    assert_eq!(left.len(), 20);
    assert!(left.iter().all(|left| left.payload_type == VP8 + SUB_SHIFT && left.ssrc == 10));
    assert!(read_vp8(&left[0].payload).3);
    assert_eq!(backup.unsupported(), 0);
}

#[test]
fn a_switch_of_codecs_leaves_no_seam_and_nothing_of_the_old_is_sent_again() {
    let mut backup = Backup::new(outbound("0", MediaKind::Video, 1));
    backup.play(10, true);
    assert_eq!(backup.unsupported(), 0);
    let before = backup.world.take_rtp(2);
    assert_eq!((before.len(), before[0].payload_type), (10, VP9 + SUB_SHIFT));
    assert!(backup.world.room.switch_track(backup.world.now, SubscriptionId(1), TrackId(2)));
    backup.world.run_ms(0);
    backup.play(5, true);
    let after = backup.world.take_rtp(2);
    assert_eq!((after.len(), after[0].payload_type), (10, VP8 + SUB_SHIFT));
    let (last, first) = (before.last().unwrap(), &after[0]);
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    let advanced = first.timestamp.wrapping_sub(last.timestamp);
    assert!((2900..3100).contains(&advanced), "a frame later: {advanced}");
    // The subscriber asks for one of the old: it gets nothing that is not it.
    let lost = before[4].sequence;
    backup.world.rtcp(2, |writer| writer.nack(9, 10, [lost]).unwrap());
    backup.world.run_ms(50);
    let again = backup.world.take_rtp(2);
    assert!(again.iter().all(|left| left.payload.is_empty() || left.payload_type != VP8 + SUB_SHIFT + 1));
    // And back.
    assert!(backup.world.room.switch_track(backup.world.now, SubscriptionId(1), TrackId(1)));
    backup.world.run_ms(0);
    backup.play(5, true);
    let back = backup.world.take_rtp(2);
    assert_eq!(back.iter().filter(|left| left.payload_type == VP9 + SUB_SHIFT).count(), 5);
}

#[test]
fn a_track_that_ends_takes_those_along_who_were_switched_to_it() {
    let mut backup = Backup::new(outbound("0", MediaKind::Video, 1));
    backup.world.room.switch_track(backup.world.now, SubscriptionId(1), TrackId(2));
    backup.world.room.unpublish(backup.world.now, TrackId(1));
    backup.world.run_ms(0);
    backup.play(5, true);
    assert_eq!(backup.world.take_rtp(2).len(), 10);
    backup.world.room.unpublish(backup.world.now, TrackId(2));
    backup.play(5, true);
    assert!(backup.world.take_rtp(2).is_empty());
}

#[test]
fn a_narrow_path_costs_frames_before_it_costs_the_picture() {
    // Some 240 kbit/s in three temporal layers; half of the frames are 120.
    let config = MediaConfig { start_bitrate: 200_000, warm_up: Duration::ZERO, ..MediaConfig::default() };
    let (mut world, mut source) = vp8_pair(config);
    let mut play = |world: &mut World, frames: u32| {
        for number in 0..frames {
            let temporal = [0, 2, 1, 2][number as usize % 4];
            for packet in source.layered_frame(number == 0, 1, &[temporal; 1000], temporal, temporal > 0) {
                world.rtp(1, &packet);
            }
            world.run_ms(33);
        }
    };
    play(&mut world, 60);
    world.take_rtp(2);
    play(&mut world, 60);
    let left = world.take_rtp(2);
    let temporal: Vec<u8> = left.iter().map(|left| read_vp8(&left.payload).4[0]).collect();
    assert_eq!(temporal.len(), 30, "every second frame");
    assert!(temporal.chunks(2).all(|pair| pair == [0, 1]));
    for pair in left.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let pictures = [0, 1].map(|at: usize| read_vp8(&pair[at].payload).0);
        assert_eq!(pictures[1], (pictures[0] + 1) & 0x7fff);
    }
    assert!(!world.events.iter().any(|event| matches!(event, MediaEvent::StreamState { paused: true, .. })));
}

#[test]
fn who_speaks_keeps_the_picture_when_there_is_room_for_one() {
    let config = MediaConfig { start_bitrate: 300_000, warm_up: Duration::ZERO, ..MediaConfig::default() };
    let mut world = World::with(config);
    world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
    world.peer(3, &[inbound("v", MediaKind::Video, &[]), inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1), outbound("1", MediaKind::Video, 2)]);
    world.publish(1, 1, "v", &video_spec(&[]));
    world.publish(3, 2, "v", &video_spec(&[]));
    world.publish(3, 3, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    world.subscribe(2, 2, 2);
    world.run_ms(0);
    let mut cameras = [Vp8Source::new(1000, mid_ext("v")), Vp8Source::new(2000, mid_ext("v"))];
    let mut sequence = 0;
    let mut play = |world: &mut World, speaks: bool| {
        for number in 0..90 {
            for (camera, peer) in cameras.iter_mut().zip([1, 3]) {
                for packet in camera.frame(number % 15 == 0, 1, &[peer as u8; 1000]) {
                    world.rtp(peer, &packet);
                }
            }
            let level = AudioLevel { level: if speaks { 10 } else { 120 }, voice: speaks };
            let extensions = Extensions { audio_level: Some(level), ..mid_ext("a") };
            sequence += 1;
            let packet = In {
                payload_type: OPUS,
                ssrc: 77,
                sequence,
                timestamp: u32::from(sequence) * 1584,
                extensions,
                ..In::default()
            };
            world.rtp(3, &packet.with(&[1; 60]));
            world.run_ms(33);
        }
    };
    let seen = |world: &mut World| -> Vec<u32> {
        let mut ssrcs: Vec<u32> = world.take_rtp(2).iter().map(|left| left.ssrc).collect();
        ssrcs.drain(..ssrcs.len() / 2);
        ssrcs.retain(|ssrc| *ssrc == 10 || *ssrc == 20);
        ssrcs.dedup();
        ssrcs
    };
    play(&mut world, false);
    assert_eq!(seen(&mut world), [10], "the first one, as long as nobody speaks");
    play(&mut world, true);
    assert_eq!(seen(&mut world), [20]);
    let paused = MediaEvent::StreamState { subscription: SubscriptionId(1), paused: true };
    assert!(world.events.contains(&paused));
}

/// A camera in three layers and a microphone of one person, each with an RTP clock of its own, and reports that take
/// their time.
struct Person {
    world: World,
    layers: [Vp8Source; 3],
    offsets: [u32; 3],
    audio_offset: u32,
    audio_sequence: u16,
    elapsed_ms: u64,
    /// Reports on their way: when they arrive, for whom, what they say.
    reports: Vec<(u64, u32, SenderInfo)>,
    /// By SSRC of ours: the last report that the subscriber got.
    heard: [Option<SenderInfo>; 2],
    random: u32,
}

const AUDIO_SSRC: u32 = 9000;

impl Person {
    fn new() -> Person {
        let rids = ["q", "h", "f"];
        let mut world = World::new();
        world.peer(1, &[inbound("v", MediaKind::Video, &rids), inbound("a", MediaKind::Audio, &[])]);
        world.peer(2, &[outbound("0", MediaKind::Video, 1), outbound("1", MediaKind::Audio, 2)]);
        world.publish(1, 1, "v", &video_spec(&rids));
        world.publish(1, 2, "a", &audio_spec());
        world.subscribe(1, 2, 1);
        world.subscribe(2, 2, 2);
        let mut at = 0;
        let layers = rids.map(|rid| {
            at += 1;
            Vp8Source::new(at * 1000, rid_ext("v", rid))
        });
        Person {
            world,
            layers,
            offsets: [4_000_000_000, 17, 2_222_222_222],
            audio_offset: 3_111_111_111,
            audio_sequence: 0,
            elapsed_ms: 0,
            reports: Vec::new(),
            heard: [None; 2],
            random: 1,
        }
    }

    fn ntp(ms: u64) -> u64 {
        (1_000_000 << 32) + (ms << 32) / 1000
    }

    /// 40 ms: two packets of sound and a frame of each layer. The capture times that the subscriber makes of what came.
    fn step(&mut self) -> Vec<(u32, f64)> {
        let now = self.elapsed_ms;
        let asked = self.world.take_plis_only(1) > 0;
        for (layer, (source, offset)) in self.layers.iter_mut().zip(self.offsets).enumerate() {
            // A frame advances by 3000 when it is made.
            source.timestamp = offset.wrapping_add(now as u32 * 90).wrapping_sub(3000);
            // The larger a layer, the longer its encoder takes: by arrival alone, layers would be out of step.
            for packet in source.frame(asked || now == 0, 1 + layer, b"frame") {
                self.world.rtp(1, &packet);
            }
            self.world.run_ms(5);
        }
        for part in 0..2 {
            self.audio_sequence += 1;
            let packet = In {
                payload_type: OPUS,
                ssrc: AUDIO_SSRC,
                sequence: self.audio_sequence,
                timestamp: self.audio_offset.wrapping_add((now as u32 + part * 20) * 48),
                extensions: mid_ext("a"),
                ..In::default()
            };
            self.world.rtp(1, &packet.with(&[1; 50]));
        }
        self.world.run_ms(25);
        self.elapsed_ms += 40;
        self.report(now);
        self.heard(now)
    }

    /// Every second a report of each stream, up to 60 ms late.
    fn report(&mut self, now: u64) {
        if now.is_multiple_of(1000) {
            let ntp = Person::ntp(now);
            let report = |rtp_timestamp| SenderInfo { ntp, rtp_timestamp, packets: 0, octets: 0 };
            let streams =
                self.layers.iter().zip(self.offsets).map(|(source, offset)| (source.ssrc, offset, 90));
            let streams: Vec<_> = streams.chain([(AUDIO_SSRC, self.audio_offset, 48)]).collect();
            for (ssrc, offset, per_ms) in streams {
                self.random = self.random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                let late = u64::from(self.random >> 16) % 60;
                let info = report(offset.wrapping_add(now as u32 * per_ms));
                self.reports.push((now + late, ssrc, info));
            }
        }
        let due: Vec<_> = self.reports.iter().filter(|(at, ..)| *at <= self.elapsed_ms).copied().collect();
        self.reports.retain(|(at, ..)| *at > self.elapsed_ms);
        for (_, ssrc, info) in due {
            self.world.rtcp(1, |writer| writer.sender_report(ssrc, &info, &[]).unwrap());
        }
    }

    /// What the subscriber makes of packets and reports: by SSRC, capture time in ms on our clock, less the true one.
    fn heard(&mut self, captured: u64) -> Vec<(u32, f64)> {
        for (_, compound) in self.world.out.rtcp.iter().filter(|(to, _)| *to == PeerId(2)) {
            for packet in packets(compound) {
                if let Ok(Rtcp::SenderReport(report)) = packet {
                    self.heard[usize::from(report.ssrc == 20)] = Some(report.info);
                }
            }
        }
        self.world.out.rtcp.retain(|(to, _)| *to == PeerId(1));
        let mut last_audio = false;
        let left = self.world.take_rtp(2);
        let mut times = Vec::new();
        for left in left.iter().filter(|left| left.padding == 0) {
            let audio = left.ssrc == 20;
            let Some(report) = self.heard[usize::from(audio)] else { continue };
            let clock = if audio { 48.0 } else { 90.0 };
            let ahead = f64::from(left.timestamp.wrapping_sub(report.rtp_timestamp) as i32) / clock;
            let at = report.ntp as f64 / f64::from(1u32 << 31) / 2.0 * 1000.0 + ahead;
            let part = if audio && std::mem::replace(&mut last_audio, true) { 20.0 } else { 0.0 };
            times.push((left.ssrc, at - captured as f64 - part));
        }
        times
    }

    fn want(&mut self, quality: Quality) {
        let settings = SubscriptionSettings { quality: Some(quality), ..SubscriptionSettings::default() };
        self.world.room.configure(self.world.now, SubscriptionId(1), settings);
    }
}

#[test]
fn lips_stay_in_step_across_layer_switches_with_clocks_of_their_own_and_late_reports() {
    let mut person = Person::new();
    let mut worst: f64 = 0.0;
    let mut layers = std::collections::BTreeSet::new();
    for turn in 0..20 {
        person.want([Quality::Low, Quality::High, Quality::Medium][turn % 3]);
        for at in 0..50 {
            let times = person.step();
            layers.extend(person.followed_sizes(&times));
            let of = |ssrc| times.iter().rev().find(|(each, _)| *each == ssrc).map(|(_, at)| *at);
            // The first seconds, reports have to come and the fastest of them has to be known.
            if let (Some(video), Some(audio), true) = (of(10), of(20), turn > 2 || at > 48) {
                worst = worst.max((video - audio).abs());
            }
        }
    }
    assert!(worst < 10.0, "sound and picture are {worst} ms apart");
    assert_eq!(layers.into_iter().collect::<Vec<_>>(), [1, 2, 3], "all layers were seen");
}

impl Person {
    /// How many packets the frames of a step had: each layer has another number.
    fn followed_sizes(&self, times: &[(u32, f64)]) -> Option<usize> {
        let packets = times.iter().filter(|(ssrc, _)| *ssrc == 10).count();
        (1..=3).contains(&packets).then_some(packets)
    }
}
