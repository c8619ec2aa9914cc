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
