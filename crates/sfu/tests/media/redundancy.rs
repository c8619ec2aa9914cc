// SPDX-License-Identifier: EUPL-1.2
//! Redundant audio (RFC 2198) made for who loses packets, and used for what was lost on its way to us.

use parvis_peer::sdp::{CodecKind, EncoderPreference, MediaKind, MediaSection};
use parvis_rtp::red::{self, Block, Red};
use parvis_rtp::rtcp::ReportBlock;
use parvis_sfu::TrackSpec;

use crate::world::*;

fn without_red(section: MediaSection) -> MediaSection {
    let codecs = section.codecs.into_iter().filter(|codec| codec.kind != CodecKind::Red).collect();
    MediaSection { codecs, ..section }
}

/// Peer 1 publishes sound; peer 2 takes RED, peer 3 only Opus.
fn pair(spec: &TrackSpec) -> World {
    let mut world = World::new();
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Audio, 1)]);
    world.peer(3, &[without_red(outbound("0", MediaKind::Audio, 2))]);
    world.publish(1, 1, "a", spec);
    world.subscribe(1, 2, 1);
    world.subscribe(2, 3, 1);
    world.run_ms(0);
    world
}

fn opus(sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    In { payload_type: OPUS, sequence, timestamp, extensions: mid_ext("a"), ..In::default() }.with(payload)
}

/// A packet as a sender of RED makes it: `distance` earlier ones with it.
fn red_packet(sequence: u16, distance: u16) -> Vec<u8> {
    let earlier: Vec<[u8; 10]> = (1..=distance).rev().map(|back| sound(sequence - back)).collect();
    let blocks: Vec<Block<'_>> = earlier
        .iter()
        .zip((1..=distance).rev())
        .map(|(payload, back)| Block { payload_type: OPUS, timestamp_offset: 960 * back, payload })
        .collect();
    let mut buf = [0; 200];
    let len = red::write(&mut buf, &blocks, OPUS, &sound(sequence)).unwrap();
    let timestamp = u32::from(sequence) * 960;
    In { payload_type: RED, sequence, timestamp, extensions: mid_ext("a"), ..In::default() }.with(&buf[..len])
}

fn sound(sequence: u16) -> [u8; 10] {
    let mut sound = [9; 10];
    sound[..2].copy_from_slice(&sequence.to_be_bytes());
    sound
}

/// The subscriber reports that it lost so many of the last hundred.
fn report(world: &mut World, peer: u64, ssrc: u32, at: u32, lost: i32) {
    let block = ReportBlock {
        ssrc,
        cumulative_lost: lost,
        extended_highest_sequence: 1000 + at * 100,
        ..ReportBlock::default()
    };
    world.rtcp(peer, |writer| writer.receiver_report(77, &[block]).unwrap());
}

#[test]
fn who_loses_packets_gets_earlier_ones_with_each_and_nobody_else_does() {
    let mut world = pair(&audio_spec());
    let (mut sequence, mut lost) = (0u16, 0);
    let mut second = |world: &mut World, at: u32, more: i32| {
        lost += more;
        for peer in [2, 3] {
            report(world, peer, peer as u32 * 10 - 10, at, lost);
        }
        for _ in 0..50 {
            world.rtp(1, &opus(sequence, u32::from(sequence) * 960, &sound(sequence)));
            sequence += 1;
            world.run_ms(20);
        }
        (world.take_rtp(2), world.take_rtp(3))
    };
    let mut at = 0;
    let mut seconds = |world: &mut World, count, lost| {
        (0..count)
            .map(|_| {
                at += 1;
                second(world, at, lost)
            })
            .last()
            .unwrap()
    };
    let (plain, _) = seconds(&mut world, 3, 0);
    assert!(plain.iter().all(|left| left.payload_type == OPUS + SUB_SHIFT), "no loss, no redundancy");
    assert_eq!(world.room.stats().red_made, 0);

    let (one, bare) = seconds(&mut world, 3, 5);
    for pair in one.windows(2) {
        assert_eq!(pair[1].payload_type, RED + SUB_SHIFT);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let red = Red::parse(&pair[1].payload).unwrap();
        let before = Red::parse(&pair[0].payload).unwrap();
        let expected =
            Block { payload_type: OPUS + SUB_SHIFT, timestamp_offset: 960, payload: before.primary.payload };
        assert_eq!(red.redundant().collect::<Vec<_>>(), [expected]);
        assert_eq!(red.primary.payload_type, OPUS + SUB_SHIFT);
    }
    assert!(bare.iter().all(|left| left.payload_type == OPUS + SUB_SHIFT), "who can't take it gets Opus");
    assert_eq!(bare.len(), one.len());

    let (two, _) = seconds(&mut world, 3, 20);
    for packets in two.windows(3) {
        let red = Red::parse(&packets[2].payload).unwrap();
        let blocks: Vec<_> = red.redundant().map(|block| (block.timestamp_offset, block.payload)).collect();
        let primary =
            |left: &'_ Left| Red::parse(&left.payload).map(|red| red.primary.payload.to_vec()).unwrap();
        assert_eq!(blocks, [(1920, &primary(&packets[0])[..]), (960, &primary(&packets[1]))]);
    }
    let (calm, _) = seconds(&mut world, 60, 0);
    assert!(calm.iter().all(|left| left.payload_type == OPUS + SUB_SHIFT), "it ends when the losses have");
}

#[test]
fn redundancy_reaches_over_no_silence_and_takes_no_block_that_does_not_fit() {
    let mut world = pair(&audio_spec());
    for at in 0..10 {
        report(&mut world, 2, 10, at, 30 * at as i32);
    }
    let large = [7; 1024];
    let packets: [(u32, &[u8]); 7] = [
        (0, b"a"),
        (960, b"b"),
        // Two seconds of silence that weren't sent: 96,000 ticks don't fit into 14 bits.
        (96_960, b"c"),
        (97_920, &large),
        (98_880, b"d"),
        (99_840, b"e"),
        (100_800, b"f"),
    ];
    for (sequence, (timestamp, payload)) in (0..).zip(packets) {
        // One packet is lost on its way to us.
        if payload != b"e" {
            world.rtp(1, &opus(sequence, timestamp, payload));
            world.run_ms(20);
        }
    }
    let offsets: Vec<Vec<u16>> = world
        .take_rtp(2)
        .iter()
        .map(|left| match left.payload_type {
            RED_OUT => {
                Red::parse(&left.payload).unwrap().redundant().map(|block| block.timestamp_offset).collect()
            }
            _ => Vec::new(),
        })
        .collect();
    let expected: [&[u16]; 6] = [&[], &[960], &[], &[960], &[1920], &[1920]];
    assert_eq!(offsets, expected);
}

const RED_OUT: u8 = RED + SUB_SHIFT;

#[test]
fn a_retransmission_has_the_same_blocks_as_the_first_time() {
    let mut world = pair(&audio_spec());
    world.out.lenient = true;
    for at in 0..10 {
        report(&mut world, 2, 10, at, 30 * at as i32);
    }
    for sequence in [0, 2, 3] {
        world.rtp(1, &opus(sequence, u32::from(sequence) * 960, &sound(sequence)));
    }
    let first = world.take_rtp(2).remove(2);
    // What had been missing comes late: the packet stays what it was.
    world.rtp(1, &opus(1, 960, &sound(1)));
    world.run_ms(300);
    world.take_rtp(2);
    world.rtcp(2, |writer| writer.nack(1, 10, [first.sequence]).unwrap());
    let again = world.take_rtp(2).remove(0);
    assert_eq!(
        (again.sequence, again.payload_type, &again.payload),
        (first.sequence, RED_OUT, &first.payload)
    );
}

#[test]
fn a_track_that_is_to_be_left_as_it_is_gets_no_redundancy_and_no_silence() {
    let encoder = EncoderPreference { codec: Some(CodecKind::Opus), ..EncoderPreference::default() };
    let mut world = pair(&TrackSpec { encoder, ..audio_spec() });
    for at in 0..10 {
        report(&mut world, 2, 10, at, 30 * at as i32);
    }
    for sequence in 0..50 {
        world.rtp(1, &opus(sequence, u32::from(sequence) * 960, &sound(sequence)));
        world.run_ms(20);
    }
    world.room.set_muted(world.now, parvis_sfu::TrackId(1), true);
    world.run_ms(500);
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 50);
    assert!(left.iter().all(|left| left.payload_type == OPUS + SUB_SHIFT && left.payload.len() == 10));
}

#[test]
fn what_was_lost_on_its_way_to_us_is_taken_from_the_next_packet() {
    let mut world = pair(&audio_spec());
    for sequence in 100..150u16 {
        // Every tenth is lost, and once two in a row, which one earlier packet can't make good.
        if sequence % 10 == 5 || sequence == 124 {
            continue;
        }
        world.rtp(1, &red_packet(sequence, 1));
        world.run_ms(20);
    }
    let left = world.take_rtp(3);
    let heard: Vec<u16> =
        left.iter().map(|left| u16::from_be_bytes([left.payload[0], left.payload[1]])).collect();
    let expected: Vec<u16> = (100..150).filter(|sequence| *sequence != 124).collect();
    assert_eq!(heard, expected, "in order, each once");
    let first = left[0].sequence;
    for (left, sequence) in left.iter().zip(&expected) {
        assert_eq!(left.payload, sound(*sequence));
        assert_eq!(left.sequence.wrapping_sub(first), sequence - 100, "the place of what never came is kept");
    }
    assert_eq!(world.room.stats().red_recovered, 5);
}

#[test]
fn two_lost_in_a_row_come_back_from_two_earlier_packets() {
    let mut world = pair(&audio_spec());
    for sequence in [10, 11, 12, 15, 16, 17, 20] {
        world.rtp(1, &red_packet(sequence, 2));
    }
    for peer in [2, 3] {
        let left = world.take_rtp(peer);
        assert_eq!(left.len(), 11);
        for pair in left.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "no gap is left for peer {peer}");
            assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), 960);
        }
    }
    assert_eq!(world.room.stats().red_recovered, 4);
}

#[test]
fn what_merely_came_late_is_not_sent_twice_and_counts_as_received() {
    let mut world = pair(&audio_spec());
    for sequence in [10, 11, 13, 12, 14, 16, 17, 15] {
        world.rtp(1, &red_packet(sequence, 1));
        world.run_ms(20);
    }
    let left = world.take_rtp(3);
    assert_eq!(left.len(), 8);
    assert!(left.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    world.run_ms(6000);
    let loss = world.events.iter().find_map(|event| match event {
        parvis_sfu::media::MediaEvent::Quality(parvis_sfu::PeerId(1), report) => Some(report.uplink_loss),
        _ => None,
    });
    assert_eq!(loss, Some(0.0));
}

#[test]
fn redundancy_that_contradicts_what_came_is_not_believed() {
    let mut world = pair(&audio_spec());
    world.rtp(1, &opus(10, 9600, &sound(10)));
    world.rtp(1, &opus(11, 10_560, &sound(11)));
    // Its one block is 60 ms old, but the packet before 13 can only be 20 or 40 ms old; then one of another codec.
    for (sequence, timestamp, payload_type, offset) in
        [(13, 12_480, OPUS, 2880), (15, 14_400, VP8, 960), (17, 16_320, OPUS, 0)]
    {
        let mut buf = [0; 100];
        let block = Block { payload_type, timestamp_offset: offset, payload: b"wrong" };
        let len = red::write(&mut buf, &[block], OPUS, &sound(sequence)).unwrap();
        let packet = In { payload_type: RED, sequence, timestamp, extensions: mid_ext("a"), ..In::default() };
        world.rtp(1, &packet.with(&buf[..len]));
    }
    assert_eq!(world.room.stats().red_recovered, 0);
    assert!(world.take_rtp(3).iter().all(|left| left.payload != b"wrong"));
}
