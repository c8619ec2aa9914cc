// SPDX-License-Identifier: EUPL-1.2
//! Opus, RED, and who speaks.

use parvis_peer::sdp::{CodecKind, MediaKind, MediaSection};
use parvis_rtp::red::{self, Block, Red};
use parvis_rtp::{AudioLevel, Extensions};
use parvis_sfu::TrackId;
use parvis_sfu::media::MediaEvent;

use crate::world::*;

fn without_red(section: MediaSection) -> MediaSection {
    let codecs = section.codecs.into_iter().filter(|codec| codec.kind != CodecKind::Red).collect();
    MediaSection { codecs, ..section }
}

fn red_payload() -> Vec<u8> {
    let mut buf = [0; 100];
    let older = Block { payload_type: OPUS, timestamp_offset: 960, payload: b"older" };
    let len = red::write(&mut buf, &[older], OPUS, b"newest").unwrap();
    buf[..len].to_vec()
}

#[test]
fn red_goes_as_it_is_to_those_who_take_it_and_as_opus_to_the_others() {
    let mut world = World::new();
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Audio, 1)]);
    world.peer(3, &[without_red(outbound("0", MediaKind::Audio, 2))]);
    world.publish(1, 1, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    world.subscribe(2, 3, 1);
    let packet = In { payload_type: RED, timestamp: 9600, extensions: mid_ext("a"), ..In::default() };
    world.rtp(1, &packet.with(&red_payload()));
    // Opus alone, as when a packet would get too large.
    let plain =
        In { payload_type: OPUS, sequence: 1, timestamp: 10_560, extensions: mid_ext("a"), ..In::default() };
    world.rtp(1, &plain.with(b"plain"));

    let with_red = world.take_rtp(2);
    assert_eq!(with_red[0].payload_type, RED + SUB_SHIFT);
    let red = Red::parse(&with_red[0].payload).unwrap();
    assert_eq!((red.primary.payload_type, red.primary.payload), (OPUS + SUB_SHIFT, &b"newest"[..]));
    let older: Vec<Block<'_>> = red.redundant().collect();
    assert_eq!(older, [Block { payload_type: OPUS + SUB_SHIFT, timestamp_offset: 960, payload: b"older" }]);
    assert_eq!((with_red[1].payload_type, &with_red[1].payload[..]), (OPUS + SUB_SHIFT, &b"plain"[..]));

    let stripped = world.take_rtp(3);
    assert_eq!(stripped.len(), 2);
    assert_eq!((stripped[0].payload_type, &stripped[0].payload[..]), (OPUS + SUB_SHIFT, &b"newest"[..]));
    assert_eq!(stripped[1].sequence, stripped[0].sequence.wrapping_add(1));
    assert_eq!(stripped[1].timestamp.wrapping_sub(stripped[0].timestamp), 960);
}

#[test]
fn silence_that_is_not_sent_leaves_no_gap_and_keeps_its_time() {
    let mut world = World::new();
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Audio, 1)]);
    world.publish(1, 1, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    for (sequence, timestamp, marker) in [(7, 0, true), (8, 960, false), (9, 96_000, true)] {
        let packet =
            In { payload_type: OPUS, sequence, timestamp, marker, extensions: mid_ext("a"), ..In::default() };
        world.rtp(1, &packet.with(&[sequence as u8]));
        world.run_ms(20);
    }
    let left = world.take_rtp(2);
    assert_eq!(left[2].sequence, left[0].sequence.wrapping_add(2));
    assert_eq!(left[2].timestamp.wrapping_sub(left[0].timestamp), 96_000);
    assert_eq!(left.iter().map(|left| left.marker).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn malformed_red_is_dropped_for_those_who_need_it_stripped() {
    let mut world = World::new();
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[without_red(outbound("0", MediaKind::Audio, 1))]);
    world.publish(1, 1, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    for (sequence, payload) in [(0, red_payload()), (1, vec![0x80 | OPUS, 0xff]), (2, red_payload())] {
        let packet = In { payload_type: RED, sequence, extensions: mid_ext("a"), ..In::default() };
        world.rtp(1, &packet.with(&payload));
    }
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 2);
    assert_eq!(left[1].sequence, left[0].sequence.wrapping_add(1));
}

#[test]
fn speakers_are_told_loudest_first_and_only_when_it_changes() {
    let mut world = World::new();
    for peer in [1, 2] {
        world.peer(peer, &[inbound("a", MediaKind::Audio, &[])]);
        world.publish(peer, peer, "a", &audio_spec());
    }
    let mut sequence = 0;
    let mut talk = |world: &mut World, seconds: u32, levels: [u8; 2]| {
        for _ in 0..seconds * 50 {
            for (peer, level) in (1..).zip(levels) {
                let extensions =
                    Extensions { audio_level: Some(AudioLevel { voice: true, level }), ..mid_ext("a") };
                world.rtp(
                    peer,
                    &In { payload_type: OPUS, sequence, extensions, ..In::default() }.with(b"opus"),
                );
            }
            sequence += 1;
            world.run_ms(20);
        }
    };
    talk(&mut world, 3, [30, 5]);
    let told: Vec<_> = world
        .events
        .drain(..)
        .filter_map(|event| match event {
            MediaEvent::Speakers(speakers) => Some(speakers),
            _ => None,
        })
        .collect();
    let order: Vec<TrackId> = told[0].iter().map(|(track, _)| *track).collect();
    assert_eq!(order, [TrackId(2), TrackId(1)]);
    assert!(told.len() <= 4, "an unchanged conversation isn't told again and again: {told:?}");
    let level = told.last().unwrap()[0].1;
    assert!((0.5..0.7).contains(&level), "10^(-5/20) is 0.56, told {level}");
    talk(&mut world, 3, [30, 90]);
    let last = world
        .events
        .drain(..)
        .filter_map(|event| match event {
            MediaEvent::Speakers(speakers) => Some(speakers),
            _ => None,
        })
        .next_back()
        .unwrap();
    assert_eq!(last.iter().map(|(track, _)| *track).collect::<Vec<_>>(), [TrackId(1)]);
    world.room.set_muted(world.now, TrackId(1), true);
    talk(&mut world, 1, [5, 90]);
    assert!(world.events.contains(&MediaEvent::Speakers(Vec::new())));
}

/// A voice at peer 1 and a listener at peer 2, `level` loud at each of its packets.
fn voice_and_listener() -> World {
    let mut world = World::new();
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Audio, 1)]);
    world.publish(1, 1, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    world.run_ms(0);
    world
}

fn say(world: &mut World, peer: u64, sequence: u16, timestamp: u32, level: u8) {
    let extensions = Extensions { audio_level: Some(AudioLevel { voice: true, level }), ..mid_ext("a") };
    let packet =
        In { payload_type: OPUS, ssrc: peer as u32, sequence, timestamp, extensions, ..In::default() };
    world.rtp(peer, &packet.with(b"sound"));
}

fn speakers_told(world: &mut World) -> Vec<Vec<TrackId>> {
    let speakers = world.events.drain(..).filter_map(|event| match event {
        MediaEvent::Speakers(speakers) => Some(speakers.into_iter().map(|(track, _)| track).collect()),
        _ => None,
    });
    speakers.collect()
}

#[test]
fn a_mute_ends_the_sound_at_once_in_silence_and_an_unmute_goes_on_without_a_seam() {
    let mut world = voice_and_listener();
    for packet in 0..50u16 {
        say(&mut world, 1, packet, u32::from(packet) * 960, 20);
        world.run_ms(20);
    }
    let before = world.take_rtp(2);
    world.room.set_muted(world.now, TrackId(1), true);
    // The client goes on sending, and asks for what it has lost.
    for packet in 50..100u16 {
        say(&mut world, 1, packet, u32::from(packet) * 960, 20);
        world.rtcp(2, |writer| writer.nack(1, 10, [before[49].sequence, before[48].sequence]).unwrap());
        world.run_ms(20);
    }
    let during = world.take_rtp(2);
    let silence: Vec<_> = during.iter().map(|left| &left.payload[..]).collect();
    assert_eq!(silence, [[0xf8, 0xff, 0xfe]; 5], "nothing of the sound leaves any more");
    assert!(during.windows(2).all(|pair| pair[1].at - pair[0].at == std::time::Duration::from_millis(20)));
    world.room.set_muted(world.now, TrackId(1), false);
    for packet in 100..150u16 {
        say(&mut world, 1, packet, u32::from(packet) * 960, 20);
        world.run_ms(20);
    }
    let after = world.take_rtp(2);
    assert_eq!(after.len(), 50);
    let all: Vec<_> = before.iter().chain(&during).chain(&after).collect();
    for pair in all.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32 >= 960);
    }
    assert_eq!(after[0].timestamp.wrapping_sub(before[0].timestamp), 96_000, "time went on meanwhile");
}

#[test]
fn a_sender_whose_clock_stood_still_while_muted_does_not_go_back_in_time() {
    let mut world = voice_and_listener();
    for packet in 0..10u16 {
        say(&mut world, 1, packet, u32::from(packet) * 960, 20);
        world.run_ms(20);
    }
    world.room.set_muted(world.now, TrackId(1), true);
    world.run_ms(2000);
    world.room.set_muted(world.now, TrackId(1), false);
    for packet in 10..20u16 {
        say(&mut world, 1, packet, u32::from(packet) * 960, 20);
        world.run_ms(20);
    }
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 25);
    let apart: Vec<u32> =
        left.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp)).collect();
    let pause = apart[14];
    assert!((80_000..100_000).contains(&pause), "{pause} ticks for the two seconds less 80 ms of silence");
    assert!(apart.iter().enumerate().all(|(at, apart)| at == 14 || *apart == 960), "{apart:?}");
}

#[test]
fn silence_that_is_not_sent_is_neither_loss_nor_a_dead_track() {
    let mut world = voice_and_listener();
    let mut sequence = 0;
    let mut timestamp = 0;
    for _ in 0..50 {
        say(&mut world, 1, sequence, timestamp, 20);
        sequence += 1;
        timestamp += 960;
        world.run_ms(20);
    }
    assert_eq!(speakers_told(&mut world).last(), Some(&vec![TrackId(1)]));
    world.out.rtcp.clear();
    // DTX: a packet of comfort noise each 400 ms for 10 s, then nothing for 10 s.
    for _ in 0..25 {
        let extensions =
            Extensions { audio_level: Some(AudioLevel { voice: false, level: 127 }), ..mid_ext("a") };
        let packet = In { payload_type: OPUS, sequence, timestamp, extensions, ..In::default() };
        world.rtp(1, &packet.with(&[0x78]));
        sequence += 1;
        timestamp += 19_200;
        world.run_ms(400);
    }
    world.run_ms(10_000);
    timestamp += 480_000;
    let told = speakers_told(&mut world);
    assert!(told.len() <= 4 && told.last().is_some_and(Vec::is_empty), "silent, told once: {told:?}");
    say(&mut world, 1, sequence, timestamp, 20);
    let left = world.take_rtp(2);
    assert!(left.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    assert_eq!(left.last().unwrap().timestamp.wrapping_sub(left[0].timestamp), timestamp);
    assert_eq!(left.len(), 76, "no silence of ours among it");
    let stats = world.room.stats();
    assert_eq!((stats.nacks_sent, stats.key_frame_requests_sent, stats.silence_packets), (0, 0, 0));
    world.run_ms(6000);
    let losses = world.events.iter().filter_map(|event| match event {
        MediaEvent::Quality(parvis_sfu::PeerId(1), report) => Some(report.uplink_loss),
        _ => None,
    });
    assert!(losses.into_iter().all(|loss| loss == 0.0));
}

#[test]
fn two_who_take_turns_do_not_flap_and_a_click_is_no_speaker() {
    let mut world = World::new();
    for peer in [1, 2, 3] {
        world.peer(peer, &[inbound("a", MediaKind::Audio, &[])]);
        world.publish(peer, peer, "a", &audio_spec());
    }
    let mut last: Option<std::time::Instant> = None;
    // Two speak in syllables of 160 ms with 120 ms between them, the third clicks once a second.
    for packet in 0..1000u16 {
        for peer in [1, 2] {
            let in_syllable = (packet + 7 * peer as u16) % 14 < 8;
            say(&mut world, peer, packet, u32::from(packet) * 960, if in_syllable { 20 } else { 60 });
        }
        say(&mut world, 3, packet, u32::from(packet) * 960, if packet % 50 < 2 { 5 } else { 80 });
        world.run_ms(20);
        for event in &world.events {
            let MediaEvent::Speakers(speakers) = event else { continue };
            let who: Vec<u64> = speakers.iter().map(|(track, _)| track.0).collect();
            assert!(!who.contains(&3), "a click is no speaker");
            let since = last.map(|last| world.now - last);
            assert!(since.is_none_or(|since| since.as_millis() >= 280), "told {since:?} after the last time");
            last = Some(world.now);
            if packet > 50 {
                assert_eq!(who.len(), 2, "both are speakers all the time: {who:?}");
            }
        }
        world.events.clear();
    }
    assert!(last.is_some());
}
