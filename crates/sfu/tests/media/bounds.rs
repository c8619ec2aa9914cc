// SPDX-License-Identifier: EUPL-1.2
//! What one client can't do to the others: rows of the threat table by number.

use std::time::Duration;

use parvis_peer::sdp::MediaKind;
use parvis_rtp::{Extensions, Mid, Rid};
use parvis_sfu::media::{MediaConfig, MediaEvent};
use parvis_sfu::{PeerId, TrackId};

use crate::world::*;

#[test]
fn row_19_a_thousand_key_frame_requests_a_second_become_two() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(1000);
    world.take_plis(1);
    let mut asked = 0;
    for number in 0..5000u32 {
        world.rtcp(2, |writer| {
            if number % 2 == 0 {
                writer.pli(1, 10).unwrap();
            } else {
                let entry = parvis_rtp::rtcp::FirEntry { ssrc: 10, sequence: number as u8 };
                writer.fir(1, &[entry]).unwrap();
            }
        });
        let plis = world.take_plis(1);
        asked += plis;
        if plis > 0 || number % 33 == 0 {
            for packet in source.frame(plis > 0, 1, b"frame") {
                world.rtp(1, &packet);
            }
        }
        world.run_ms(1);
    }
    assert!((8..=10).contains(&asked), "{asked} requests in 5 s");
    assert_eq!(world.room.stats().key_frame_requests_received, 5000);
}

#[test]
fn row_20_a_nack_storm_brings_no_more_than_the_resend_share() {
    let (mut world, mut source) = vp8_pair(config());
    let share = config().resend_share;
    let mut recent = Vec::new();
    for frame in 0..300u32 {
        for packet in source.frame(frame == 0, 3, &[5; 1000]) {
            world.rtp(1, &packet);
        }
        for _ in 0..3 {
            world.run_ms(10);
            recent.extend(world.out.rtp.iter().filter(|left| left.ssrc == 10).map(|left| left.sequence));
            world.out.rtp.clear();
            let last = recent.len().saturating_sub(300);
            let all = recent[last..].to_vec();
            world.rtcp(2, |writer| writer.nack(1, 10, all).unwrap());
        }
    }
    let stats = world.room.stats();
    let media = stats.sent_bytes - stats.resent_bytes;
    let floor = u64::from(config().resend_floor_bytes_per_second) * 10;
    let cap = (media as f64 * share) as u64 + floor;
    assert!(stats.resent_bytes > media / 10, "losses are repaired");
    assert!(stats.resent_bytes <= cap, "{} bytes sent again for {media} of media", stats.resent_bytes);
    assert!(stats.resend_over_budget + stats.resend_suppressed > 10_000);
}

#[test]
fn row_20_one_packet_is_sent_again_only_so_often() {
    let config = MediaConfig { resend_tries: 3, resend_floor_bytes_per_second: 1_000_000, ..config() };
    let (mut world, mut source) = vp8_pair(config);
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    let sequence = world.take_rtp(2)[0].sequence;
    for _ in 0..10 {
        world.run_ms(150);
        world.rtcp(2, |writer| writer.nack(1, 10, [sequence]).unwrap());
    }
    world.run_ms(100);
    assert_eq!(world.take_rtp(2).iter().filter(|left| left.ssrc == 11 && left.padding == 0).count(), 3);
}

#[test]
fn row_22_a_track_at_a_hundred_times_its_share_is_cut_to_its_limit_and_told() {
    let config = MediaConfig { ingress_packets_per_second: 200, ..config() };
    let (mut world, mut source) = vp8_pair(config);
    // Another track of the same room goes on untouched.
    world.peer(3, &[inbound("a", MediaKind::Audio, &[])]);
    world.publish(3, 3, "a", &audio_spec());
    world.room.set_sections(
        world.now,
        PeerId(2),
        &[outbound("0", MediaKind::Video, 1), outbound("1", MediaKind::Audio, 3)],
    );
    world.subscribe(3, 2, 3);
    for ms in 0..2000u16 {
        for packet in source.frame(ms == 0, 20, b"flood") {
            world.rtp(1, &packet);
        }
        if ms % 20 == 0 {
            let voice = In {
                payload_type: OPUS,
                ssrc: 8,
                sequence: ms / 20,
                extensions: mid_ext("a"),
                ..In::default()
            };
            world.rtp(3, &voice.with(b"voice"));
            let left = world.out.rtp.last().unwrap();
            assert_eq!((left.ssrc, &left.payload[..]), (30, &b"voice"[..]), "audio leaves at once");
        }
        world.run_ms(1);
    }
    let stats = world.room.stats();
    assert!(stats.received_packets <= 100 + 400 + 100, "{} packets let in", stats.received_packets);
    assert!(stats.dropped_ingress_limit > 39_000);
    let told = |event: &&MediaEvent| matches!(event, MediaEvent::LimitHit { peer: PeerId(1), .. });
    assert_eq!(world.events.iter().filter(told).count(), 1);
}

#[test]
fn row_22_many_tracks_of_one_participant_are_cut_together_and_another_participants_are_not() {
    const TRACKS: u64 = 20;
    let config =
        MediaConfig { ingress_packets_per_second: 100, ingress_packets_per_second_peer: 300, ..config() };
    let mut world = World::with(config);
    let mids: Vec<String> = (0..TRACKS).map(|track| format!("v{track}")).collect();
    let sections: Vec<_> = mids.iter().map(|mid| inbound(mid, MediaKind::Video, &["q"])).collect();
    world.peer(1, &sections);
    world.peer(2, &[inbound("w", MediaKind::Video, &["q"])]);
    for (track, mid) in (1..).zip(&mids) {
        world.publish(1, track, mid, &video_spec(&["q"]));
    }
    world.publish(2, 99, "w", &video_spec(&["q"]));
    let named = |mid: &str| Extensions { mid: Mid::new(mid), rid: Rid::new("q"), ..Extensions::default() };
    let mut sources: Vec<_> = (1..).zip(&mids).map(|(ssrc, mid)| Vp8Source::new(ssrc, named(mid))).collect();
    let mut other = Vp8Source::new(999, named("w"));
    // Each track keeps to its own limit: 80 packets a second, 1,600 together, for two seconds.
    for turn in 0..160 {
        for packet in sources.iter_mut().flat_map(|source| source.frame(turn == 0, 1, b"x")) {
            world.rtp(1, &packet);
        }
        if turn % 2 == 0 {
            let before = world.room.stats().received_packets;
            for packet in other.frame(turn == 0, 1, b"y") {
                world.rtp(2, &packet);
            }
            assert_eq!(world.room.stats().received_packets, before + 1, "the other's packet {turn}");
        }
        world.run(Duration::from_micros(12_500));
    }
    let came = world.room.stats().received_packets - 80;
    assert!((600..=150 + 600 + 10).contains(&came), "{came} of 3,200 packets let in");
    let told = |event: &&MediaEvent| matches!(event, MediaEvent::LimitHit { peer: PeerId(1), .. });
    assert!(world.events.iter().filter(told).count() >= 1);
}

#[test]
fn row_22_sound_is_cut_to_what_sound_needs_since_it_goes_before_all_else() {
    let mut world = World::with(config());
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Audio, 1)]);
    world.publish(1, 1, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    // 5,000 a second, a hundred times what a voice has, for two seconds.
    for number in 0..10_000u16 {
        let flood = In {
            payload_type: OPUS,
            ssrc: 8,
            sequence: number,
            timestamp: u32::from(number) * 960,
            extensions: mid_ext("a"),
            ..In::default()
        };
        world.rtp(1, &flood.with(b"flood"));
        if number % 5 == 4 {
            world.run_ms(1);
        }
    }
    let left = world.take_rtp(2).len();
    assert!((100..=60 + 240).contains(&left), "{left} left of 10,000");
    assert_eq!(world.room.stats().dropped_ingress_limit, 10_000 - left as u64);
}

#[test]
fn row_22_padding_alone_reaches_nobody() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    for _ in 0..50 {
        let padding = source.padding();
        world.rtp(1, &padding);
    }
    for packet in source.frame(false, 1, b"delta") {
        world.rtp(1, &packet);
    }
    world.run_ms(100);
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 2);
    assert_eq!(left[1].sequence, left[0].sequence.wrapping_add(1));
}

#[test]
fn row_23_ten_thousand_ssrcs_and_rids_leave_a_table_of_a_few() {
    let mut world = World::new();
    world.peer(1, &[inbound("v", MediaKind::Video, &["q", "h", "f"])]);
    world.publish(1, 1, "v", &video_spec(&["q", "h", "f"]));
    for ssrc in 0..10_000u32 {
        let rid = ["q", "h", "f"][ssrc as usize % 3];
        world.rtp(1, &In { ssrc, extensions: rid_ext("v", rid), ..In::default() }.with(&[0x10, 0, 0]));
        let made_up = Rid::new(&format!("r{ssrc}"));
        let extensions = Extensions { rid: made_up, ..mid_ext("v") };
        world.rtp(1, &In { ssrc: ssrc + 100_000, extensions, ..In::default() }.with(&[0x10, 0, 0]));
        let extensions = Extensions { repaired_rid: made_up, ..mid_ext("v") };
        world.rtp(
            1,
            &In { ssrc: ssrc + 200_000, payload_type: VP8_RTX, extensions, ..In::default() }
                .with(&[0, 1, 0x10]),
        );
        world.rtp(
            1,
            &In { ssrc: ssrc + 300_000, extensions: mid_ext("nobody"), ..In::default() }.with(&[0x10]),
        );
    }
    assert!(world.room.stats().known_ssrcs <= 6, "{} SSRCs known", world.room.stats().known_ssrcs);
    assert_eq!(world.room.stats().dropped_unknown_stream, 30_000);
}

#[test]
fn row_23_tracks_and_subscriptions_of_one_peer_are_bounded() {
    let config = MediaConfig { max_tracks_per_peer: 3, max_subscriptions_per_peer: 2, ..config() };
    let mut world = World::with(config);
    world.peer(1, &[]);
    world.peer(2, &[]);
    for track in 0..100 {
        world.room.publish(world.now, TrackId(track), PeerId(1), &audio_spec());
    }
    for track in 0..3 {
        world.subscribe(track, 2, track);
    }
    assert_eq!(world.room.stats().refused_limit, 97 + 1);
}

#[test]
fn row_24_one_ssrc_used_by_two_peers_does_not_mix() {
    let mut world = World::new();
    for peer in [1, 2] {
        world.peer(peer, &[inbound("a", MediaKind::Audio, &[])]);
        world.publish(peer, peer, "a", &audio_spec());
    }
    world.peer(3, &[outbound("0", MediaKind::Audio, 1), outbound("1", MediaKind::Audio, 2)]);
    world.subscribe(1, 3, 1);
    world.subscribe(2, 3, 2);
    for sequence in 0..50 {
        for peer in [1, 2] {
            let packet =
                In { payload_type: OPUS, ssrc: 7, sequence, extensions: mid_ext("a"), ..In::default() };
            world.rtp(peer, &packet.with(&[peer as u8]));
        }
    }
    let left = world.take_rtp(3);
    assert_eq!(left.len(), 100);
    for packet in left {
        assert_eq!(packet.payload, [(packet.ssrc / 10) as u8]);
    }
}

#[test]
fn garbage_changes_nothing() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.take_rtp(2);
    for len in 0..200usize {
        let garbage: Vec<u8> = (0..len).map(|at| (at * 131 + len * 17) as u8).collect();
        world.room.handle_rtp(world.now, PeerId(1), &garbage, &mut world.out);
        world.room.handle_rtcp(world.now, PeerId(2), &garbage, &mut world.out);
        world.room.handle_rtp(world.now, PeerId(99), &garbage, &mut world.out);
    }
    // Well-formed packets with an empty or cut payload descriptor.
    for payload in [&[][..], &[0x90], &[0x80, 0xf0], &[0xff; 3]] {
        for payload_type in [VP8, VP9, AV1, H264, RED, OPUS, VP8_RTX, 5] {
            world.rtp(
                1,
                &In {
                    payload_type,
                    ssrc: 1000,
                    sequence: source.sequence,
                    extensions: mid_ext("v"),
                    ..In::default()
                }
                .with(payload),
            );
            source.sequence = source.sequence.wrapping_add(1);
        }
    }
    world.run_ms(1000);
    for packet in source.frame(true, 1, b"still here") {
        world.rtp(1, &packet);
    }
    let left = world.take_rtp(2);
    assert_eq!(read_vp8(&left.last().unwrap().payload).4, b"still here\0");
}

/// Ten seconds of a publisher's video and sound, seen by peer 3, while peer 2, who sees the same, does `attack` each
/// millisecond. The publisher answers each request for a key frame if `obliging`. What peer 3 got, when and byte for byte,
/// and how many key frames were asked for.
fn seen_beside(
    obliging: bool,
    mut attack: impl FnMut(&mut World, u64),
) -> (Vec<(Duration, Vec<u8>)>, usize, World) {
    let mut world = World::new();
    world.peer(1, &[inbound("v", MediaKind::Video, &[]), inbound("a", MediaKind::Audio, &[])]);
    world.publish(1, 1, "v", &video_spec(&[]));
    world.publish(1, 2, "a", &audio_spec());
    // Whoever watches is there before whoever attacks, so that its numbers don't depend on the attack.
    for peer in [3, 2] {
        let (video, audio) = (peer * 10, peer * 10 + 5);
        world.peer(peer, &[outbound("0", MediaKind::Video, video), outbound("1", MediaKind::Audio, audio)]);
        world.subscribe(video, peer, 1);
        world.subscribe(audio, peer, 2);
    }
    world.run_ms(0);
    let start = world.now;
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    let (mut seen, mut asked) = (Vec::new(), 0);
    for ms in 0..10_000u64 {
        let asks = world.take_plis(1);
        asked += asks;
        if ms % 33 == 0 || (obliging && asks > 0) {
            let key = ms == 0 || (obliging && asks > 0);
            for packet in source.frame(key, if key { 20 } else { 4 }, &[ms as u8; 1000]) {
                world.rtp(1, &packet);
            }
        }
        if ms % 20 == 0 {
            let sequence = (ms / 20) as u16;
            let voice = In {
                payload_type: OPUS,
                ssrc: 9,
                sequence,
                timestamp: u32::from(sequence) * 960,
                extensions: mid_ext("a"),
                ..In::default()
            };
            world.rtp(1, &voice.with(&[3; 120]));
        }
        attack(&mut world, ms);
        world.run_ms(1);
        seen.extend(world.take_rtp(3).into_iter().map(|left| (left.at - start, left.bytes)));
    }
    (seen, asked, world)
}

#[test]
fn row_19_and_20_a_thousand_requests_a_second_change_nothing_of_what_others_get() {
    let (undisturbed, _, _) = seen_beside(false, |_, _| {});
    assert!(undisturbed.len() > 1500);
    let (beside_plis, asked, world) = seen_beside(false, |world, _| {
        world.rtcp(2, |writer| writer.pli(1, 200).unwrap());
    });
    assert!(beside_plis == undisturbed, "not a byte, and not a moment");
    assert!(asked <= 20, "{asked} requests in 10 s, from one who doesn't listen to them");
    assert_eq!(world.room.stats().key_frame_requests_received, 10_000);

    let mut recent = Vec::new();
    let (beside_nacks, asked, world) = seen_beside(false, |world, _| {
        recent.extend(world.out.rtp.iter().filter(|left| left.ssrc == 200).map(|left| left.sequence));
        world.out.rtp.retain(|left| left.peer != PeerId(2));
        let all = recent[recent.len().saturating_sub(200)..].to_vec();
        world.rtcp(2, |writer| writer.nack(1, 200, all).unwrap());
    });
    assert!(beside_nacks == undisturbed, "not a byte, and not a moment");
    assert_eq!(asked, 0);
    let stats = world.room.stats();
    assert!(stats.nacks_received > 1_000_000);
    assert!(
        stats.resend_suppressed + stats.resend_over_budget > 1_000_000,
        "the rest was refused, and counted"
    );
    assert!(stats.resent_bytes < stats.sent_bytes / 4);
}

#[test]
fn row_19_a_subscriber_that_wants_key_frames_all_the_time_soon_gets_few() {
    let (undisturbed, _, _) = seen_beside(true, |_, _| {});
    let (beside, asked, world) = seen_beside(true, |world, _| {
        world.rtcp(2, |writer| writer.pli(1, 200).unwrap());
    });
    let most = config().key_frame_burst as usize + 5;
    assert!((2..=most).contains(&asked), "{asked} key frames");
    assert!(world.room.stats().key_frame_requests_over_budget > 2_000);
    let bytes = |seen: &[(Duration, Vec<u8>)]| seen.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let more = bytes(&beside) - bytes(&undisturbed);
    assert!(more <= most * 20 * 1100, "{more} bytes more: {most} key frames");
    // Others are heard as before, packet by packet.
    let sound = |seen: &[(Duration, Vec<u8>)]| {
        seen.iter().filter(|(_, bytes)| bytes.len() < 200).map(|(at, _)| *at).collect::<Vec<_>>()
    };
    assert!(sound(&beside) == sound(&undisturbed), "sound leaves at the same moments");
}

#[test]
fn row_19_one_that_asked_too_often_is_still_helped_by_what_others_ask_for() {
    let (mut world, mut source) = vp8_pair(config());
    world.peer(3, &[outbound("0", MediaKind::Video, 3)]);
    world.subscribe(3, 3, 1);
    world.run_ms(0);
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    for _ in 0..8_000 {
        world.rtcp(2, |writer| writer.pli(1, 10).unwrap());
        world.run_ms(1);
        if world.take_plis(1) > 0 {
            for packet in source.frame(true, 1, b"key") {
                world.rtp(1, &packet);
            }
        }
    }
    world.take_rtp(2);
    world.rtcp(3, |writer| writer.pli(1, 30).unwrap());
    world.run_ms(600);
    assert!(world.take_plis(1) >= 1, "who asked for little is heard at once");
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(10);
    assert_eq!(world.take_rtp(2).len(), 1, "and all get the key frame");
}
