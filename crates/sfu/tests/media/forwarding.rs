// SPDX-License-Identifier: EUPL-1.2
//! What a subscriber gets of a plain stream.

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::{AbsCaptureTime, AudioLevel, Extensions, Mid, Packet, PlayoutDelay, Rid};
use parvis_sfu::media::MediaEvent;
use parvis_sfu::{PeerId, SubscriptionId, TrackId};

use crate::world::*;

#[test]
fn a_subscriber_gets_the_content_from_its_first_key_frame_on_without_a_gap() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(false, 2, b"too early") {
        world.rtp(1, &packet);
    }
    assert_eq!(world.take_plis(1), 1, "it asks for the key frame that it needs");
    for at in 0..20u8 {
        for packet in source.frame(at == 0, 3, &[at]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
    }
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 60);
    for (at, pair) in left.windows(2).enumerate() {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "after packet {at}");
    }
    for (at, packet) in left.iter().enumerate() {
        let (frame, place) = (at / 3, at % 3);
        let (_, _, _, key, content) = read_vp8(&packet.payload);
        assert_eq!(content, [frame as u8, place as u8]);
        assert_eq!(key, frame == 0 && place == 0);
        assert_eq!(packet.marker, place == 2);
        assert_eq!(packet.ssrc, 10);
        assert_eq!(packet.payload_type, VP8 + SUB_SHIFT);
        assert_eq!(packet.timestamp.wrapping_sub(left[0].timestamp), frame as u32 * 3000);
    }
    assert_eq!(world.take_rtp(1), [], "nothing goes back to the publisher");
    assert!(world.events.contains(&MediaEvent::TrackStarted { track: TrackId(1), codec: CodecKind::Vp8 }));
    assert!(world.events.contains(&MediaEvent::SubscriptionStarted { subscription: SubscriptionId(1) }));
}

#[test]
fn header_extensions_travel_under_the_subscribers_ids_and_the_rid_does_not() {
    let mut world = World::new();
    world.peer(1, &[inbound("v", MediaKind::Video, &["q"])]);
    world.peer(2, &[outbound("sub", MediaKind::Video, 1)]);
    world.publish(1, 1, "v", &video_spec(&["q"]));
    world.subscribe(1, 2, 1);
    world.run_ms(0);
    let extensions = Extensions {
        mid: Mid::new("v"),
        rid: Rid::new("q"),
        transport_sequence: Some(900),
        abs_send_time: Some(77),
        abs_capture_time: Some(AbsCaptureTime { ntp: 0x1234_5678_9abc_def0, clock_offset: Some(-5) }),
        playout_delay: Some(PlayoutDelay { min: 3, max: 40 }),
        video_orientation: Some(1),
        ..Extensions::default()
    };
    let mut source = Vp8Source::new(5, extensions);
    for packet in source.frame(true, 2, b"x") {
        world.rtp(1, &packet);
    }
    world.run_ms(5);
    let left = world.take_rtp(2);
    let read: Vec<Extensions<'_>> =
        left.iter().map(|left| Packet::parse(&left.bytes).unwrap().extensions(&subscriber_map())).collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].mid, Mid::new("sub"));
    assert_eq!(read[0].rid, None);
    assert_eq!(read[0].abs_capture_time, extensions.abs_capture_time);
    assert_eq!(read[0].playout_delay, extensions.playout_delay);
    assert_eq!(read[0].video_orientation, Some(1));
    let sequences = (read[0].transport_sequence.unwrap(), read[1].transport_sequence.unwrap());
    assert_eq!(sequences.1, sequences.0.wrapping_add(1), "our own numbering of the subscriber's transport");
    assert!(read[0].abs_send_time.is_some());
}

#[test]
fn pictures_bear_their_rooms_playout_delay_in_place_of_the_publishers_and_sound_bears_none() {
    let mut world = World::new();
    world.peer(1, &[inbound("v", MediaKind::Video, &["q"]), inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("pictures", MediaKind::Video, 1), outbound("sound", MediaKind::Audio, 2)]);
    world.publish(1, 1, "v", &video_spec(&["q"]));
    world.publish(1, 2, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    world.subscribe(2, 2, 2);
    world.run_ms(0);
    let rooms = PlayoutDelay { min: 20, max: 200 };
    assert!(world.room.set_playout_delay(PeerId(2), rooms));
    assert!(!world.room.set_playout_delay(PeerId(9), rooms), "nobody's");
    let publishers = Some(PlayoutDelay { min: 3, max: 40 });
    let extensions = Extensions {
        mid: Mid::new("v"),
        rid: Rid::new("q"),
        playout_delay: publishers,
        ..Extensions::default()
    };
    for packet in Vp8Source::new(5, extensions).frame(true, 1, b"x") {
        world.rtp(1, &packet);
    }
    world.rtp(1, &In { payload_type: OPUS, extensions: mid_ext("a"), ..In::default() }.with(b"opus"));
    world.run_ms(5);
    let delays: Vec<_> = world
        .take_rtp(2)
        .iter()
        .map(|left| {
            let read = Packet::parse(&left.bytes).unwrap().extensions(&subscriber_map());
            (read.mid, read.playout_delay)
        })
        .collect();
    assert_eq!(delays.len(), 2, "{delays:?}");
    assert!(delays.contains(&(Mid::new("pictures"), Some(rooms))), "{delays:?}");
    assert!(delays.contains(&(Mid::new("sound"), None)), "{delays:?}");
}

#[test]
fn an_audio_level_reaches_the_subscriber() {
    let mut world = World::new();
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Audio, 1)]);
    world.publish(1, 1, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    let level = AudioLevel { voice: true, level: 23 };
    let extensions = Extensions { audio_level: Some(level), ..mid_ext("a") };
    world.rtp(1, &In { payload_type: OPUS, extensions, ..In::default() }.with(b"opus"));
    let left = world.take_rtp(2);
    assert_eq!(left[0].payload, b"opus");
    assert_eq!(Packet::parse(&left[0].bytes).unwrap().extensions(&subscriber_map()).audio_level, Some(level));
}

#[test]
fn nothing_leaves_for_peers_of_other_rooms_or_without_a_subscription() {
    let (mut world, mut source) = vp8_pair(config());
    world.peer(3, &[outbound("0", MediaKind::Video, 9)]);
    let mut other = World::new();
    other.peer(2, &[outbound("0", MediaKind::Video, 1)]);
    other.subscribe(1, 2, 1);
    for packet in source.frame(true, 3, b"secret") {
        world.rtp(1, &packet);
        // The other room doesn't know the sender, even by the same ids.
        other.rtp(1, &packet);
    }
    world.run_ms(1000);
    other.run_ms(1000);
    assert_eq!(world.take_rtp(2).len(), 3);
    assert!(world.out.rtp.is_empty());
    assert!(other.out.rtp.is_empty() && other.out.rtcp.is_empty());
}

#[test]
fn a_muted_track_falls_silent_at_once_and_comes_back_without_a_gap() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 3, b"before") {
        world.rtp(1, &packet);
    }
    world.run_ms(10);
    world.room.set_muted(world.now, TrackId(1), true);
    for packet in source.frame(true, 3, b"during") {
        world.rtp(1, &packet);
    }
    world.run_ms(500);
    let before = world.take_rtp(2);
    assert!(before.iter().all(|left| !left.payload.ends_with(b"during\0")));
    world.room.set_muted(world.now, TrackId(1), false);
    for packet in source.frame(false, 3, b"not decodable") {
        world.rtp(1, &packet);
    }
    assert_eq!(world.take_rtp(2), []);
    assert!(world.take_plis(1) >= 1);
    for packet in source.frame(true, 1, b"after") {
        world.rtp(1, &packet);
    }
    world.run_ms(100);
    let after = world.take_rtp(2);
    assert_eq!(read_vp8(&after[0].payload).4, b"after\0");
    assert_eq!(after[0].sequence, before.last().unwrap().sequence.wrapping_add(1));
    assert_eq!(after[0].timestamp.wrapping_sub(before[0].timestamp), 9000, "the stream's own clock goes on");
}

#[test]
fn what_ends_is_forgotten() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"x") {
        world.rtp(1, &packet);
    }
    assert_eq!(world.room.stats().known_ssrcs, 1);
    world.room.remove_peer(world.now, PeerId(2));
    world.take_rtp(2);
    for packet in source.frame(true, 1, b"x") {
        world.rtp(1, &packet);
    }
    world.run_ms(1000);
    assert_eq!(world.take_rtp(2), []);
    world.room.remove_peer(world.now, PeerId(1));
    assert_eq!(world.room.stats().known_ssrcs, 0);
    world.run_ms(1000);
    assert_eq!(world.room.poll_timeout(), None, "an empty room needs no timer");
}

#[test]
fn the_same_packets_at_the_same_times_give_the_same_bytes() {
    let run = || {
        let (mut world, mut source) = vp8_pair(config());
        for at in 0..100u8 {
            for packet in source.frame(at % 30 == 0, 4, &[at]) {
                if (usize::from(packet[3]) * 31 + 7) % 11 != 0 {
                    world.rtp(1, &packet);
                }
            }
            world.rtcp(2, |writer| writer.nack(1, 10, [at.into(), 500]).unwrap());
            world.run_ms(33);
        }
        let rtp: Vec<Vec<u8>> = world.out.rtp.into_iter().map(|left| left.bytes).collect();
        (rtp, world.out.rtcp, world.events)
    };
    let (first, second) = (run(), run());
    assert!(first.0.len() > 200);
    assert_eq!(first, second);
}

#[test]
fn a_key_frame_whose_first_packet_is_late_is_made_up_for() {
    let (mut world, mut source) = vp8_pair(config());
    let key = source.frame(true, 4, b"key");
    let delta = source.frame(false, 2, b"delta");
    for packet in key[1..].iter().chain(&delta) {
        world.rtp(1, packet);
        world.run_ms(5);
    }
    assert_eq!(world.take_rtp(2), []);
    world.rtp(1, &key[0]);
    world.run_ms(50);
    let left = world.take_rtp(2);
    let contents: Vec<Vec<u8>> = left.iter().map(|left| read_vp8(&left.payload).4).collect();
    assert_eq!(contents, [&b"key\0"[..], b"key\x01", b"key\x02", b"key\x03", b"delta\0", b"delta\x01"]);
    assert!(left.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
}

#[test]
fn a_publisher_that_begins_anew_under_another_ssrc_goes_on_for_the_subscriber() {
    let (mut world, mut source) = vp8_pair(config());
    for at in 0..10u8 {
        for packet in source.frame(at == 0, 2, &[at]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
    }
    let mut other = Vp8Source::new(5000, mid_ext("v"));
    for at in 10..20u8 {
        for packet in other.frame(at == 12, 2, &[at]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
    }
    assert!(world.take_plis(1) >= 1);
    let left = world.take_rtp(2);
    let frames: Vec<u8> = left.iter().step_by(2).map(|left| read_vp8(&left.payload).4[0]).collect();
    assert_eq!(frames, (0..10).chain(12..20).collect::<Vec<u8>>());
    for pair in left.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert!((pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) < 10_000);
        assert!((pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) >= 0);
    }
    assert_eq!(world.room.stats().known_ssrcs, 1, "the former SSRC is forgotten");
}

#[test]
fn a_peer_that_comes_back_begins_with_a_key_frame() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 2, b"before") {
        world.rtp(1, &packet);
    }
    world.run_ms(50);
    world.take_rtp(2);
    world.room.set_connected(world.now, PeerId(2), false);
    for packet in source.frame(false, 2, b"away") {
        world.rtp(1, &packet);
    }
    world.run_ms(1000);
    assert_eq!(world.take_rtp(2), []);
    world.room.set_connected(world.now, PeerId(2), true);
    world.take_plis(1);
    for packet in source.frame(false, 2, b"delta") {
        world.rtp(1, &packet);
    }
    assert_eq!(world.take_plis(1), 1);
    for packet in source.frame(true, 1, b"back") {
        world.rtp(1, &packet);
    }
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 1);
    assert_eq!(read_vp8(&left[0].payload).4, b"back\0");
}

#[test]
fn a_subscription_to_a_still_picture_asks_for_its_key_frame_at_once() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"slide") {
        world.rtp(1, &packet);
    }
    world.run_ms(5000);
    world.take_plis(1);
    world.peer(3, &[outbound("0", MediaKind::Video, 2)]);
    world.subscribe(2, 3, 1);
    world.run_ms(1);
    assert_eq!(world.take_plis(1), 1);
}
